"""What jit made of a function, for a person (as text) and for tools (as objects)."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from minigrad.compile import beside
from minigrad.compile.execute import Steps, memory_of
from minigrad.compile.native import Kernel, touched
from minigrad.compile.tasks import (
    Along,
    Blocks,
    Call,
    Clear,
    Convolution,
    Fused,
    Gather,
    Product,
    Reduction,
    Repeat,
    WeightGradient,
)  # fmt: skip
from minigrad.ir.loop import UNBOUNDED, Loop
from minigrad.ir.rewrite import order_of
from minigrad.ir.rules import rule_of
from minigrad.ir.text import show
from minigrad.ir.trace import Pick, Value
from minigrad.kernels import peaks
from minigrad.sites import line_number

MOST = 16  # tasks of a loop on the page


@dataclass
class Stage:
    """The program after a pass: its name, the program as text, how many ops are in loops and outside of them."""

    name: str
    program: str
    inside: int
    outside: int


@dataclass
class LoopReport:
    """One loop.

    source: of its kernel, where each statement names its op and the line of the cell; None if its steps run one by one,
    and then why_not. tasks: a line each. flops, bytes: of a step, read and written. saved: bytes a step, kept for the
    backward. divided: whether threads share the batch.
    """

    direction: str
    steps: int | str
    source: str | None
    why_not: str | None
    tasks: list[str]
    flops: float
    bytes: float
    saved: int
    divided: bool

    def __str__(self):
        head = f"{self.direction}, {self.steps} steps"
        if self.source is None:
            return f"{head}: its steps run one by one, no kernel for {self.why_not}"
        more = len(self.tasks) - MOST
        shown = self.tasks if more <= 1 else [*self.tasks[:MOST], f"and {more} more"]
        return "\n".join([
            f"{head}, {'batch divided between threads' if self.divided else 'one thread'}",
            *[f"    {task}" for task in shown],
            f"    a step: {self.flops:,.0f} flops, {self.bytes:,.0f} bytes read and written, "
            f"{self.saved:,} bytes kept for the backward",
        ])  # fmt: skip


@dataclass
class Explanation:
    """stages: the program as it was traced, and after each pass. loops: a report each. flops: of forward and backward.
    saved: bytes kept between them. clusters: ops outside of loops that are one kernel, a report each. expected_seconds:
    what the flops take at the rate of a large product here.

    As text it is a page: what became of the loops, and which passes did something. `full()` is all of it.
    """

    name: str
    stages: list[Stage]
    loops: list[LoopReport]
    flops: float
    saved: int
    clusters: list[LoopReport]
    expected_seconds: float = field(default=0.0)

    def __str__(self):
        last = self.stages[-1]
        kernels = f" (small ones in {len(self.clusters)} of the kernels below)" if self.clusters else ""
        parts = [f"jit of {self.name}: {last.inside} ops in {len(self.loops)} loops, {last.outside} outside{kernels}"]
        alike: dict[str, list[int]] = {}
        for k, loop in enumerate(self.loops, 1):
            alike.setdefault(str(loop), []).append(k)
        for text, which in alike.items():
            parts += ["", f"Loop{'s' * (len(which) > 1)} {', '.join(map(str, which))}: {text}"]
        changed = [line for line, changes in self.passes() if changes]
        parts += ["", "Passes that changed something (ops inside of loops, and outside):", *changed]
        return "\n".join([*parts, "", *self.totals(), "All programs and kernels: print(report.full())"])

    def full(self) -> str:
        """The program as it was traced, what every pass did, the program that runs, and each kernel's source."""
        parts = [f"jit of {self.name}", "", "The tape, as it was traced:", self.stages[0].program, ""]
        parts += ["Passes (ops inside of loops, and outside):", *[line for line, _ in self.passes()]]
        parts += ["", "The program that runs:", self.stages[-1].program]
        for name, reports in (("Loop", self.loops), ("Outside of loops, kernel", self.clusters)):
            for k, report in enumerate(reports, 1):
                parts += ["", f"{name} {k}: {report}", "", report.source or ""]
        return "\n".join([*parts, "", *self.totals()])

    def _repr_html_(self) -> str:
        return beside.shown(self)

    def passes(self) -> list[tuple[str, bool]]:
        """Of each pass a line, and whether it changed the program."""
        lines = []
        for before, stage in zip([None, *self.stages], self.stages):
            line = f"  {stage.name:45} {stage.inside:4d} {stage.outside:4d}"
            if before is not None:
                line += f"   ({stage.inside - before.inside:+d}, {stage.outside - before.outside:+d})"
            lines.append((line, before is None or stage.program != before.program))
        return lines

    def totals(self) -> list[str]:
        return [
            f"In all {self.flops:,.0f} flops forward and backward, {self.saved:,} bytes kept between them; "
            f"{1e3 * self.expected_seconds:.3g} ms at the rate of a large product on this machine "
            f"({peaks.flops() / 1e9:.0f} GFLOP/s)."
        ]


def stage(name: str, roots) -> Stage:
    inside, outside = count(roots)
    return Stage(name, show(roots), inside, outside)


def count(roots) -> tuple[int, int]:
    """Ops inside of loops, and outside of them."""
    inside = outside = 0
    for v in order_of(roots):
        if isinstance(v.op, Loop) and v.op.is_cluster:
            outside += sum(count(v.op.outputs))
        elif isinstance(v.op, Loop):
            inside += sum(count(v.op.outputs))
        elif v.op not in (None, Pick):
            outside += 1
    return inside, outside


def report(loop: Loop, kernel: Kernel | Steps, saved: int) -> LoopReport:
    direction = "backward in time" if loop.reverse else "forward in time"
    if not isinstance(kernel, Kernel):
        return LoopReport(direction, loop.steps, None, kernel.why_not, [], 0.0, 0.0, saved, False)
    tasks = [f"{describe(task)}  # {places(values_of(task))}" for task in kernel.schedule.tasks]
    traffic = sum(touched(task) for task in kernel.schedule.tasks)
    return LoopReport(
        direction,
        loop.steps,
        annotated(kernel.emitter),
        None,
        tasks,
        kernel.flops,
        traffic,
        saved,
        kernel.schedule.rows,
    )


def values_of(task) -> list[Value]:
    """What a task computes, or copies."""
    if isinstance(task, Fused):
        return task.values or [v for v, _ in [*task.writes, *task.adds]]
    return [task.value]


def places(values) -> str:
    """The lines of the user's code that stand behind values: "cell.py:12, 14"."""
    lines: dict[str, set[int]] = {}
    for v in values:
        v = v.inputs[0] if v.op is Pick else v
        if v.site is not None:
            lines.setdefault(Path(v.site[0].co_filename).name, set()).add(line_number(v.site))
    return "; ".join([f"{file}:{', '.join(map(str, sorted(found)))}" for file, found in lines.items()]) or "an input"


def annotated(emitter) -> str:
    """The text of a kernel, each statement of a fused loop with its op and its line, and each other task with its own.

    The text that is compiled does without: it would be another one, and compiled anew, when a line of the cell moves.
    """
    text, at = emitter.text, emitter.text.index("def loop(")
    for task, own in emitter.texts.items():
        *functions, calls = own.split("\n\n")
        for function in functions:
            lines = function.split("\n")
            for k, line in enumerate(lines):
                if isinstance(task, Fused) and (found := re.match(r" +v(\d+) = ", line)):
                    v = task.values[int(found[1])]
                    lines[k] = f"{line}  # {v.op.name}, {places([v])}"
            longer = "\n".join(lines)
            text, at = text.replace(function, longer, 1), at + len(longer) - len(function)
        indent = " " * 8
        calls = "\n".join([indent + line for line in calls.split("\n")])
        noted = f"{indent}# {describe(task)}, {places(values_of(task))}\n{calls}"
        at = text.index(calls, at)
        text, at = text[:at] + noted + text[at + len(calls) :], at + len(noted)
    return text


def describe(task) -> str:
    if isinstance(task, Repeat):
        return f"loop of {task.value.op.steps} steps: {len(task.tasks)} tasks"
    if isinstance(task, Fused):
        names = ", ".join(dict.fromkeys(v.op.name for v in task.values)) or "copy"
        summed = f", {len(task.sums)} summed" if task.sums else ""
        return f"fused over {list(task.shape)}: {len(task.values)} ops ({names}), {len(task.writes)} written{summed}"
    if isinstance(task, Product):
        packed = "" if hasattr(task.b, "strides") else ", packed once a call"
        return f"product {list(task.a.shape)} @ {list(task.b.shape)}{packed}"
    if isinstance(task, Call):
        return f"call of Python: {task.value.op.name}, {task.value.line}"
    if isinstance(task, Clear):
        return f"zeros over {list(task.to.shape)}"
    if isinstance(task, Along):
        return f"{task.value.op.name} along axis {task.axis} of {list(task.reads[0].shape)}"
    if isinstance(task, Blocks):
        return f"{task.value.op.name} of {', '.join([str(list(x.shape)) for x in task.reads])}"
    if isinstance(task, Gather):
        return f"{task.value.op.name} of {list(task.indices.shape)} along axis {task.axis} of {list(task.x.shape)}"
    if isinstance(task, Convolution):
        packed = ", filters packed once a call" if task.weight is None else ""
        return f"convolution {list(task.x.shape)} to {list(task.to.shape)}{packed}"
    if isinstance(task, WeightGradient):
        return f"gradient of a convolution of {list(task.x.shape)} with respect to its weight {list(task.to.shape)}"
    if isinstance(task, Reduction):
        return f"{task.value.op.name} over axes {task.axes} of {list(task.x.shape)}"
    return type(task).__name__


def flops_of(order, kernels) -> float:
    """Of a program. kernels: what runs its loops."""
    total = 0.0
    for v in order:
        if isinstance(v.op, Loop):
            kernel = kernels.get(v)
            if isinstance(kernel, Kernel) and not v.op.is_cluster:
                total += kernel.length * kernel.flops
            else:
                length = 1 if v.op.length == UNBOUNDED else v.op.length
                total += length * flops_of(order_of(v.op.outputs), {})
        elif v.op not in (None, Pick) and v.dtype is not None:
            total += rule_of(v.op).flops([x.shape for x in v.inputs if x is not None], [v.shape])
    return total


def explain(name: str, compiled, stages) -> Explanation:
    """Of a function compiled for one kind of arguments."""
    forward, backward = compiled.forward, compiled.backward
    residuals = compiled.forward.outputs[compiled.count :]
    given = set(forward.inputs)
    kernels = forward.kernels | backward.kernels
    owners = {memory_of(r, kernels): r for r in residuals}
    kept = [r for owner, r in owners.items() if owner not in given]
    loops: list[LoopReport] = []
    clusters: list[LoopReport] = []
    for v in [*forward.order, *backward.order]:
        if isinstance(v.op, Loop):
            own = [
                r for r in kept if r.op is Pick and r.inputs[0] is v and len(r.shape) > 0 and r.shape[0] == v.op.length
            ]
            saved = sum(r.size * r.dtype.itemsize for r in own) // max(1, v.op.length)
            (clusters if v.op.is_cluster else loops).append(report(v.op, kernels[v], saved))
    flops = flops_of([*forward.order, *backward.order], kernels)
    saved = sum(r.size * r.dtype.itemsize for r in kept)
    return Explanation(name, stages, loops, flops, saved, clusters, flops / peaks.flops())
