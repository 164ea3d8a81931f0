"""Which kernel of a jitted function an op has become a part of."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from minigrad import tree
from minigrad.compile import execute
from minigrad.compile.compiled import Compiled, Options
from minigrad.compile.explain import describe
from minigrad.compile.native import Kernel, emitted
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import order_of
from minigrad.ir.trace import Pick, Value
from minigrad.modes import enable_grad
from minigrad.observe import replaced
from minigrad.sharing import whole_of


class Text(Kernel):
    """A kernel that will never run: its text is all that is made of it, not its machine code."""

    def __init__(self, loop: Loop):
        self.loop, self.emitter = loop, emitted(loop)
        self.schedule = self.emitter.schedule
        self.results, self.calls = self.schedule.results, []


@dataclass
class Kernels:
    """parts: (what it does, its source, which loop) of each task. loops: (what it is, the source of its kernel).
    forward, backward: for a site, the parts that its op, and its vjp, went into. outside: for a site, what of it runs
    outside of loops. why_not: why there is nothing of all this."""

    parts: list[tuple[str, str, int]] = field(default_factory=list)
    loops: list[tuple[str, str]] = field(default_factory=list)
    forward: dict = field(default_factory=dict)
    backward: dict = field(default_factory=dict)
    outside: dict = field(default_factory=dict)
    why_not: str = ""


def kernels_of(f: Callable, args: Sequence) -> Kernels:
    """Of f jitted for these arguments. What cannot be jitted has no kernels, and `why_not` says why."""
    leaves, structure = tree.flatten((tuple(args), {}))
    thread = threading.get_ident()

    def in_this_thread(kernel):
        return lambda loop, call_of: Text(loop) if threading.get_ident() == thread else kernel(loop, call_of)

    try:
        with enable_grad(), replaced(execute, "Kernel", in_this_thread):
            compiled = Compiled(f, None, structure, leaves, True, getattr(whole_of(f), "options", Options()))
    except Exception as error:
        return Kernels(why_not=" ".join(f"{type(error).__name__}: {error}".split()))
    found = Kernels()
    scans = set()  # lines that call a loop: what is theirs alone is moving data in and out
    for program, sites, way in (
        (compiled.forward, found.forward, "forward"),
        (compiled.backward, found.backward, "backward"),
    ):
        for value in each(program.order):
            if isinstance(value.op, Loop):
                add_loop(found, sites, program.kernels[value], way)
                scans.add(value.site)
            elif value.op is not None and value.op is not Pick and value.site is not None:
                text = f"{way}, outside of the loop: {value.op.name} {described(value)}"
                lines = found.outside.setdefault(value.site, [])
                if text not in lines:
                    lines.append(text)
    for site in scans:
        for sites in (found.forward, found.backward, found.outside):
            sites.pop(site, None)
    return found


def each(order: Sequence) -> Iterator[Value]:
    """Values in order, those of clusters too: they are outside of loops."""
    for value in order:
        cluster = isinstance(value.op, Loop) and value.op.is_cluster
        yield from order_of(value.op.outputs) if cluster else [value]


def described(value: Value) -> str:
    if value.dtype is None:
        return ""
    of = ", ".join(f"{list(x.shape)}" for x in value.inputs if isinstance(x, Value) and x.dtype is not None)
    return f"of {of} to {value.dtype}{list(value.shape)}"


def add_loop(found: Kernels, sites: dict, kernel: Kernel | execute.Steps, way: str) -> None:
    loop = kernel.loop
    if not isinstance(kernel, Kernel):
        found.why_not = found.why_not or f"the loop's steps run one by one: no kernel for {kernel.why_not}"
        return
    found.loops.append((f"{way}, {loop.steps} step{'s' * (loop.length != 1)}", kernel.emitter.text))
    for task in kernel.schedule.tasks:
        values = task.values if hasattr(task, "values") else [task.value]
        for site in dict.fromkeys(v.site for v in values if v.site is not None):
            sites.setdefault(site, []).append(len(found.parts))
        found.parts.append((describe(task), kernel.emitter.texts[task], len(found.loops) - 1))
