"""From a schedule to the text of a kernel: the time loop, and a function for each fused run of elementwise ops.

Sizes and strides come as numbers at run time, so that one text, compiled once, serves every length, batch and width.
"""

import itertools
import math
import re

from minigrad.compile import along, blocks, convolutions, fused, nested, products
from minigrad.compile.fused import BLOCK, SUMMED, TERMS, sums
from minigrad.compile.nest import Nest, element
from minigrad.compile.schedule import Schedule
from minigrad.compile.tasks import (
    Along,
    Blocks,
    Buffer,
    Call,
    Clear,
    Convolution,
    Fused,
    Gather,
    Product,
    Reduction,
    Repeat,
    View,
    WeightGradient,
    named,
)
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.rule import Unsupported
from minigrad.kernels import loops
from minigrad.symbolic import key_of

CALLED = ("matmul", "pack", "conv", "pack_filters", "conv_weight", "unpack")  # fixed kernels
FIXED = 3 + len(CALLED)  # numbers that every kernel is given: steps, first and last row, addresses of these
# A maximum or minimum of up to so many elements that do not lie side by side is unrolled, so that LLVM vectorises over
# the results. Sums are not: unrolled, they have other bits, and a size is a number in one trace, a symbol in another.
UNROLLED = 8
FLUSH = """
@njit(error_model="numpy")
def flush_{dtype}(part, total, n):
    for i in range(n):
        store_any(total, i, load_any(total, i, np.float64) + load_any(part, i, np.{dtype}))
        store_any(part, i, np.{dtype}(0))
"""


class Emitter:
    """text: of the kernel `loop(p, n, _)`: p, n are addresses of 64-bit integers. numbers: what n holds behind the
    steps and the first and last row, by name; each the name of a buffer's stride, or a number. buffers: what p holds.
    texts: what each task has become, its functions and its lines of the loop. calls: of Python, `python0` and so on.
    fixed: the fixed kernels that are.
    """

    def __init__(self, schedule: Schedule):
        self.schedule = schedule
        self.numbers: dict[str, object] = {}
        self.names: dict[tuple, str] = {}
        self.functions: list[str] = []
        self.item = schedule.dtype.itemsize
        self.texts: dict[object, str] = {}
        self.calls: list[Call] = []
        body: list[str] = []
        for task in schedule.tasks:
            before = len(self.functions)
            lines = self.task(task)
            body += lines
            self.texts[task] = "\n\n".join([*self.functions[before:], "\n".join(lines)])
        used = set(re.findall(r"input\d+", " ".join(body)))  # not those of which only a packed copy is read
        self.buffers = [b for b in schedule.buffers if b.kind != "input" or b.name in used]
        self.text = self.whole(body)

    def number(self, n, role: str = "n") -> str:
        """An integer as text: 0 and ±1 as they are, others by a name; those that the caller gives have one.

        role: numbers that agree by chance, a size and a stride, have different names, so that the text stays the same
        where they do not agree.
        """
        if isinstance(n, str):
            count, name = named(n)
            self.numbers[name] = name
            return name if count == 1 else f"({count} * {name})"
        if -2 < n < 2:
            return str(n)
        key = key_of(n), role
        if key not in self.names:
            self.names[key] = f"{role}{len(self.names)}"
            self.numbers[self.names[key]] = n
        return self.names[key]

    def bytes(self, stride, dtype) -> str:
        """A stride in bytes; those that the caller gives are in bytes already."""
        return self.number(stride if isinstance(stride, str) else stride * dtype.itemsize, "b")

    def base(self, view: View) -> str:
        """Address of a view's first element in this step."""
        view.require_inside()
        b = view.buffer
        name = b.name
        if b.kind in ("history", "pair", "turn"):
            name += "_out" if view.out else "_in"
        elif b.per_step:
            name += "_t"
        count, stride = view.rows
        name += f" + {self.number(count)} * {self.number(stride)}" if count else ""
        for step, stride, _ in view.slices:
            name += f" + {step} * {self.bytes(stride, view.dtype)}"
        return f"{name} + {self.bytes(view.offset, view.dtype)}" if view.offset else name

    # The whole

    def whole(self, body: list[str]) -> str:
        buffers = self.buffers
        reverse = self.schedule.loop.reverse
        step: list[str] = []
        before: list[str] = []
        after: list[str] = []
        for b in buffers:
            if b.per_step:
                step.append(f"{b.name}_t = {b.name} + t * {self.number(f'{b.name}_step')}")
            if b.kind == "history":
                near, far = ("t + 1", "t") if reverse else ("t", "t + 1")
                size = self.number(f"{b.name}_step")
                step += [f"{b.name}_in = {b.name} + ({near}) * {size}", f"{b.name}_out = {b.name} + ({far}) * {size}"]
            if b.kind == "pair":
                size = self.number(f"{b.name}_step")
                before += [f"{b.name}_in = {b.name}", f"{b.name}_out = {b.name} + {size}"]
                after.append(f"{b.name}_in, {b.name}_out = {b.name}_out, {b.name}_in")
        flushes = [self.flush(b, b.name, self.schedule.totals[b].name) for b in self.schedule.parts]
        lines = ["def loop(p, n, _):", "    steps, first, last = number(n, 0), number(n, 1), number(n, 2)"]
        words = set(re.findall(r"\w+", " ".join(body)))
        self.fixed = [name for name in CALLED if name in words]
        lines += [f"    {name} = number(n, {3 + CALLED.index(name)})" for name in self.fixed]
        lines += [f"    {name} = number(n, {k + FIXED})" for k, name in enumerate(self.numbers)]
        lines += [f"    {b.name} = number(p, {k})" for k, b in enumerate(buffers)]
        lines += [f"    {line}" for line in before]
        if self.schedule.totals:
            lines.append(f"    every = max(1, {TERMS} // max(1, last - first))")
        lines.append("    for step in range(steps):")
        lines.append(f"        t = {'steps - 1 - step' if reverse else 'step'}")
        if flushes:
            after += ["if step % every == every - 1:", *[f"    {line}" for line in flushes]]
        lines += [f"        {line}" for line in [*step, *body, *after]]
        lines += [f"    {line}" for line in flushes]
        dtypes = dict.fromkeys([b.dtype.name for b in self.schedule.totals])
        settled = dict.fromkeys([b.dtype.name for plan in self.schedule.nested for b in plan.parts])
        self.functions[:0] = [FLUSH.format(dtype=d) for d in dtypes] + [nested.SETTLE.format(dtype=d) for d in settled]
        number = (
            '@njit(error_model="numpy", forceinline=True)\ndef number(at, k):\n    return load_any(at, k, np.int64)\n'
        )
        return "\n\n".join([number, *self.functions, "\n".join(lines)])

    @property
    def source(self) -> str:
        """The text with all that it calls."""
        dtype = self.schedule.dtype.name
        return f"Float = np.{dtype}\n{loops.with_dependencies(self.text, dtype)}"

    def flush(self, b: Buffer, part: str, total: str) -> str:
        return f"flush_{b.dtype.name}({part}, {total}, {self.number(math.prod(b.shape))})"

    # Tasks

    def task(self, task) -> list[str]:
        return self.part(task)

    def part(self, task) -> list[str]:
        """The lines of a task, which may be one of a loop in the step."""
        try:
            return self.lines_of(task)
        except Unsupported as reason:
            about = getattr(task, "value", None) if reason.value is None else reason.value
            raise Unsupported(str(reason), about) from None

    def lines_of(self, task) -> list[str]:
        if isinstance(task, Repeat):
            return nested.lines(self, task)
        if isinstance(task, Call):
            return [self.call(task)]
        if isinstance(task, Along):
            return [along.along(self, task)]
        if isinstance(task, Blocks):
            return [blocks.blocks(self, task)]
        if isinstance(task, Gather):
            return [along.gather(self, task)]
        if isinstance(task, Clear):
            return [along.clear(self, task)]
        if isinstance(task, Fused):
            return [fused.fused(self, task)]
        if isinstance(task, Product):
            return products.product(self, task)
        if isinstance(task, Convolution):
            return convolutions.text(self, task)
        if isinstance(task, WeightGradient):
            return convolutions.text_of_weight(self, task)
        return [self.reduction(task)]

    def function(self, lines: list[str], arguments: list[str], kind: str, doc: str) -> str:
        """Define a function of these lines and return its name; its arguments are the names that the lines use."""
        name = f"apart_{len(self.functions)}"
        text = "\n".join(f"    {line}" for line in lines)
        self.functions.append(f"{kind}def {name}({', '.join(arguments)}):\n    # {doc}\n{text}")
        return name

    def call_of(self, lines, addresses: dict[str, str], kind, doc, rows: bool) -> str:
        used = loops.names_in("\n".join(lines))
        numbers = [n for n in self.numbers if n in used]
        bounds = ["first", "last"] if rows else []
        name = self.function(lines, [*bounds, *addresses, *numbers], kind, doc)
        return f"{name}({', '.join([*bounds, *addresses.values(), *numbers])})"

    def called(self, what) -> str:
        """The name of a function of Python that the text calls."""
        self.calls.append(what)
        return self.number(f"python{len(self.calls) - 1}")

    def call(self, task: Call) -> str:
        """A call of Python: of every operand and result the address, and the strides that are known when it runs."""
        given = [self.called(task), "p", "first", "last"]
        for view in task.views:
            given += [self.base(view), *[self.number(n) for n in view.strides if isinstance(n, str)]]
        return f"call({', '.join(given)})"

    def elements(self, stride) -> str:
        return f"{self.number(stride)} // {self.item}" if isinstance(stride, str) else self.number(stride)

    def reduction(self, task: Reduction) -> str:
        x, fold = task.x, rule_of(task.value.op).kernel
        kept = [k for k in range(len(x.shape)) if k not in task.axes]
        shape = [x.shape[k] for k in kept]
        keeps = len(task.to.shape) == len(x.shape)
        to = task.to.like(
            task.to.offset,
            shape,
            [task.to.strides[k] for k in kept] if keeps else task.to.strides[-len(kept) :] if kept else [],
        )
        outer = x.like(x.offset, shape, [x.strides[k] for k in kept])
        nest = Nest(tuple(shape), [outer, to], task.rows, self, split=True, axis=task.axis)
        lines = nest.opening([], [("x", outer), ("y", to)])
        at, index = nest.place("x", outer)
        kind = element(x, self.schedule.dtype)
        start, step = fold.steps(x.dtype.kind)
        start, step = [text.replace("Float", kind if x.dtype.kind == "f" else "Float") for text in (start, step)]
        counts = [x.shape[k] for k in task.axes]
        small = all(type(n) is int for n in counts) and math.prod(counts) <= UNROLLED
        if small and fold.any_order and x.strides[task.axes[-1]] != 1:
            body = [f"total = {start}"]
            for places in itertools.product(*map(range, counts)):
                terms = [f"{k} * {self.bytes(x.strides[axis], x.dtype)}" for k, axis in zip(places, task.axes) if k]
                body += [f"value = load({' + '.join([at, *terms])}, {index}, {kind})", f"total = {step}"]
        else:
            body = self.folded(x, task.axes, fold, at, index, start, step)
        lines += [nest.indent + line for line in body]
        place, index = nest.place("y", to)
        lines.append(f"{nest.indent}store({place}, {index}, {element(task.to, self.schedule.dtype)}({fold.made}))")
        addresses = {"x": self.base(x), "y": self.base(to)}
        return self.call_of(lines, addresses, SUMMED, f"{task.value.op.name} over {task.axes}", task.rows)

    def folded(self, x: View, axes, fold, at: str, index: str, start: str, step: str) -> list[str]:
        """Loops that fold the elements of x along axes into `total`; of the others, this is the place."""
        kind = element(x, self.schedule.dtype)
        lines = [f"here = {at} + {index} * {x.dtype.itemsize}" if index != "0" else f"here = {at}"]
        *outer_axes, last = axes
        terms = [f"k{k} * {self.bytes(x.strides[k], x.dtype)}" for k in outer_axes]
        there, stride = " + ".join(["here", *terms]), x.strides[last]
        if stride == 1:
            reading = f"value = load({there}, k{last}, {kind})"
        else:
            reading = f"value = load({there} + k{last} * {self.bytes(stride, x.dtype)}, 0, {kind})"
        if not fold.sums or x.dtype.kind != "f":
            body = [f"for k{last} in range({self.number(x.shape[last])}):", f"    {reading}", f"    total = {step}"]
        else:
            start = "np.float64(0)" if math.prod([x.shape[k] for k in axes]) > BLOCK else f"{kind}(0)"
            body = [*sums(self, [("part", "value", kind)], f"k{last}", x.shape[last], [reading]), "total += part"]
        lines.append(f"total = {start}")
        indent = ""
        for k in outer_axes:
            lines.append(f"{indent}for k{k} in range({self.number(x.shape[k])}):")
            indent += "    "
        return [*lines, *[indent + line for line in body]]
