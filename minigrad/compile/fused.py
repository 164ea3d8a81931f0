"""The text of a run of elementwise values over one shape: one loop that computes them, stores some and adds some up.

a = add(p, B);  y = tanh(a)         for i0 in range(first, last):
                                        for j in range(n):
                                            v0 = load(p, j, Float) + load(B, j, Float)
                                            v1 = tanh(v0)
                                            store(y, j, Float(v1))
"""

import ast

import numpy as np

from minigrad.compile.nest import Nest, element, spread
from minigrad.compile.tasks import Fused, View
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.elementwise import of_operators
from minigrad.ir.rules.kernel import natural
from minigrad.ir.trace import Value
from minigrad.kernels import loops

FUSED = '@njit(error_model="numpy", fastmath={"contract"})\n'
SUMMED = '@njit(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})\n'
TERMS = 64  # that a sum in float32 gets before it is added to its total
BLOCK = 1024  # terms of a sum along an axis that are vectorised; blocks are added in float64


def fused(e, task: Fused) -> str:
    """A call of the function of a run; defines the function."""
    run = Run(e, task)
    statements, stores, sums_of_step = run.statements(), run.stores(), run.sums()
    views = [view for *_, view in run.reads] + [view for _, _, view, *_ in [*stores, *sums_of_step]]
    flat = not task.adds and all(max(axes) < task.axis for _, axes, _ in task.sums)
    nest = Nest(task.shape, views, task.rows, e, axis=task.axis, flat=flat)
    lines = nest.opening(
        [(name, at, view, None) for name, at, view in run.reads], [(at, view) for _, at, view, _ in stores]
    )
    alone = not task.values and nest.inner and all(v.strides[nest.inner[-1]] == 0 for _, _, v, _ in stores)
    if alone and task.adds:
        lines = in_registers(e, nest, lines, stores) + flushes(e, nest, stores, run.totals)
        kind, doc = SUMMED, "sums"
    else:
        lines += [nest.indent + line for line in statements]
        for source, at, view, verb in stores:
            place, index = nest.place(at, view)
            # what is stored has the width of the memory, whatever the expression
            lines.append(f"{nest.indent}{verb}({place}, {index}, {element(view, e.schedule.dtype)}({source}))")
        lines = with_sums(nest, lines, sums_of_step, flushes(e, nest, stores, run.totals))
        kind, doc = FUSED, ", ".join(dict.fromkeys(v.op.name for v in task.values)) or "copy"
    return e.call_of(lines, run.addresses, kind, doc, task.rows)


class Run:
    """The names of what a run reads and computes. addresses: of its memory, by name. reads: (name, address, view).
    totals: of the address of a sum, (its buffer, the address of its total)."""

    def __init__(self, e, task: Fused):
        self.e, self.task, self.inside = e, task, set(task.values)
        self.local: dict[Value, str] = {}
        self.addresses: dict[str, str] = {}
        self.reads: list = []
        self.totals: dict[str, tuple] = {}

    def address(self, view: View) -> str:
        text = self.e.base(view)
        for name, known in self.addresses.items():
            if known == text:
                return name
        self.addresses[f"a{len(self.addresses)}"] = text
        return f"a{len(self.addresses) - 1}"

    def name(self, v: Value) -> str:
        if v not in self.local and v not in self.inside:
            view = spread(self.e.schedule.home(v), self.task.shape)
            self.local[v] = f"x{len(self.reads)}"
            self.reads.append((self.local[v], self.address(view), view))
        return self.local[v]

    def statements(self) -> list[str]:
        made = []
        for k, v in enumerate(self.task.values):
            names = {}
            for name, x in zip(v.op.inputs, v.inputs):
                if isinstance(x, Value):
                    names[name] = self.name(x)
                else:
                    names[name] = repr(x).replace("inf", "1e999").replace("nan", "(1e999 - 1e999)")
            self.local[v] = f"v{k}"
            made.append(f"v{k} = {expression(v, names, self.e.schedule.dtype)}")
        return made

    def stores(self) -> list[tuple]:
        """What is written and added up: (name, address, view, the function that does it)."""
        shape, made = self.task.shape, []
        for v, view in self.task.writes:
            made.append((self.name(v), self.address(view), spread(view, shape), "store"))
        for v, view in self.task.adds:
            made.append((self.name(v), self.address(view), spread(view, shape), "add_to"))
            total = self.e.schedule.totals[view.buffer]
            of_total = self.address(View(total, 0, total.shape, natural(total.shape), total.dtype))
            self.totals[made[-1][1]] = view.buffer, of_total
        return made

    def sums(self) -> list[tuple]:
        """Sums along axes: (name of the terms, address, view, axes)."""
        return [
            (self.name(v), self.address(view), spread(view, self.task.shape), axes) for v, axes, view in self.task.sums
        ]


def with_sums(nest: Nest, lines: list[str], terms: list[tuple], end: list[str]) -> list[str]:
    """The lines of a nest, and what adds up terms along some of its loops: in a register where nothing but such loops
    is inside, and in memory otherwise. end: of the outermost loop.

    sum over the last axis:                   sum over the one before:
        for i0 in range(n):                       for i0 in range(n):
            sum0 = Float(0)                           for j in range(m):
            for j in range(m):                            store_any(y_i0, j, Float(0))
                ...                                   for i1 in range(k):
                sum0 = plus(sum0, v3)                     for j in range(m):
            store(y_i0, 0, sum0)                              ...
                                                              add_to(y_i0, j, v3)
    """
    depth, main = len(nest.loops), nest.emitter.schedule.dtype
    before: dict[int, list[str]] = {}  # what stands before a loop, by its number, and what stands behind it
    behind: dict[int, list[str]] = {}
    body: list[str] = []
    for k, (source, at, view, axes) in enumerate(terms):
        summed = [group[-1] in axes for group in nest.loops]
        first, kind, name = summed.index(True), element(view, main), f"sum{k}"
        inner = depth - [*summed[::-1], False].index(False)  # from here on inwards all are summed over
        if inner < depth:
            before.setdefault(inner, []).append(f"{name} = {kind}(0)")
            body.append(f"{name} = plus({name}, {kind}({source}))")
        if first < inner:
            kept = [n for n in range(first, depth) if not summed[n]]
            clear = [f"{'    ' * d}{nest.head(n)}" for d, n in enumerate(kept)]
            clear.append(f"{'    ' * len(kept)}store_any({nest.element(at, view, depth)}, {kind}(0))")
            before.setdefault(first, []).extend(clear)
        verb, value = "add_to" if first < inner else "store", name if inner < depth else f"{kind}({source})"
        behind.setdefault(inner, []).append(f"{verb}({nest.element(at, view, inner)}, {value})")
    for n in sorted(before, reverse=True):
        start = lines.index(f"{'    ' * n}{nest.head(n)}")
        lines[start:start] = [f"{'    ' * n}{line}" for line in before[n]]
    lines = [*lines, *[nest.indent + line for line in body]]
    for n in range(depth, -1, -1):
        lines += [*(end if n == 0 else []), *[f"{'    ' * n}{line}" for line in behind.get(n, [])]]
    return lines


def in_registers(e, nest: Nest, lines: list[str], stores) -> list[str]:
    """Sums along the innermost axis. lines: of the nest, with what is read in it."""
    at_head = next(k for k, line in enumerate(lines) if line.strip().startswith("for j in"))
    head = "    " * len(nest.outer)
    kinds = [element(view, e.schedule.dtype) for _, _, view, _ in stores]
    terms = [(f"s{k}", source, kind) for k, ((source, *_), kind) in enumerate(zip(stores, kinds))]
    reading = [line.strip() for line in lines[at_head + 1 :]]
    made = [*lines[:at_head], *[head + line for line in sums(e, terms, "j", nest.length(nest.inner or []), reading)]]
    for k, (_, at, view, verb) in enumerate(stores):
        place, index = nest.place(at, view)
        made.append(f"{head}{verb}({place}, {index}, {kinds[k]}(s{k}))")
    return made


def flushes(e, nest: Nest, stores, totals) -> list[str]:
    """What empties the sums of which every turn of the outermost loop adds terms."""
    if not nest.outer:
        return []
    axis = nest.outer[0][-1]
    summed = [at for _, at, view, verb in stores if verb == "add_to" and view.strides[axis] == 0]
    lines = [f"        {e.flush(totals[at][0], at, totals[at][1])}" for at in summed]
    return [f"    if i0 % {TERMS} == {TERMS - 1}:", *lines] if lines else []


def sums(e, terms: list[tuple[str, str, str]], index: str, n: int, reading: list[str]) -> list[str]:
    """Sums along an axis of length n: (name, what is added, its type), and the lines that read it. Of a long one,
    the blocks are added up in float64."""
    if n <= BLOCK:
        return [
            *[f"{name} = {kind}(0)" for name, _, kind in terms],
            f"for {index} in range({e.number(n)}):",
            *[f"    {line}" for line in [*reading, *[f"{name} += {term}" for name, term, _ in terms]]],
        ]
    size = e.number(n)
    return [
        *[f"{name} = np.float64(0)" for name, *_ in terms],
        f"for block in range(0, {size}, {BLOCK}):",
        *[f"    {name}_part = {kind}(0)" for name, _, kind in terms],
        f"    for {index} in range(block, min(block + {BLOCK}, {size})):",
        *[f"        {line}" for line in [*reading, *[f"{name}_part += {term}" for name, term, _ in terms]]],
        *[f"    {name} += {name}_part" for name, *_ in terms],
    ]


def expression(v: Value, names: dict[str, str], main: np.dtype) -> str:
    """The scalar expression of an elementwise op on these names. main: the float type that the kernel computes with.

    There are functions (exp, say) of this type alone: of float32, in a kernel of float64, they are taken in float64.
    """

    class Rename(ast.NodeTransformer):
        def visit_Name(self, node):
            if node.id in names:
                return ast.parse(names[node.id], mode="eval").body
            return node

    kernel = rule_of(v.op).kernel
    if kernel.text is not None:
        return kernel.text(v, names)
    tree = ast.parse(v.op.expression, mode="eval")
    other = next((x.dtype for x in v.inputs if x.dtype.kind in "fi" and x.dtype != main), None)
    narrow = other is not None and not of_operators(v.op)
    if narrow:
        names = {n: f"Float({names[n]})" if x.dtype == other else names[n] for n, x in zip(v.op.inputs, v.inputs)}
    literal = "Float" if other is None or narrow else f"np.{other.name}"
    text = loops.kernel_expression(ast.unparse(Rename().visit(tree)), literal)
    if narrow and v.dtype == other:
        text = f"np.{other.name}({text})"
    booleans = all(x.dtype.kind == "b" for x in v.inputs)
    return kernel.booleans.format(y=text, **names) if booleans else text
