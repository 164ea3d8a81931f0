"""The text of ops that go along an axis, row by row: running sums, orders, places, elements picked by an index.

cumsum over axis 1 of x:        for i0 in range(first, last):
                                    total = Float(0)
                                    for k in range(n):
                                        total = total + x[i0, k]
                                        y[i0, k] = total
"""

from collections.abc import Callable
from dataclasses import dataclass

from minigrad.compile.nest import Nest, element
from minigrad.compile.tasks import Along, Clear, Gather, View
from minigrad.ir.trace import Value

PLAIN = '@njit(error_model="numpy", fastmath={"contract"})\n'


@dataclass(eq=False)
class Complaint:
    """What a kernel says of an index that there is not: the op, and the size of the axis."""

    value: Value
    size: int


class Row:
    """One row of each operand and of the result, as text."""

    def __init__(self, emitter, views: dict[str, View], starts: dict[str, str], axis: int):
        self.emitter, self.views, self.starts, self.axis = emitter, views, starts, axis

    def place(self, name: str, k: str) -> str:
        view = self.views[name]
        stride = view.strides[self.axis]
        if stride == 1:
            return f"{self.starts[name]}, {k}"
        return f"{self.starts[name]} + ({k}) * {self.emitter.bytes(stride, view.dtype)}, 0"

    def load(self, name: str, k: str = "k") -> str:
        return f"load_any({self.place(name, k)}, {element(self.views[name], self.emitter.schedule.dtype)})"

    def store(self, value: str, k: str = "k") -> str:
        view = self.views["y"]
        return f"store_any({self.place('y', k)}, {element(view, self.emitter.schedule.dtype)}({value}))"


def running(row: Row, n: str, start: str, step: str) -> list[str]:
    return [f"total = {start}", f"for k in range({n}):", f"    total = {step}", f"    {row.store('total')}"]


def cumsum(row: Row, n: str, task: Along) -> list[str]:
    return running(row, n, "Float(0)", f"total + {row.load('x')}")


def cumprod(row: Row, n: str, task: Along) -> list[str]:
    return running(row, n, "Float(1)", f"total * {row.load('x')}")


def linear_recurrence(row: Row, n: str, task: Along) -> list[str]:
    b, a = row.load("b", "t"), row.load("a", "t")
    if not task.value.params["transposed"]:
        return [
            "total = Float(0)",
            f"for t in range({n}):",
            f"    total = {b} + {a} * total if t > 0 else {b}",
            f"    {row.store('total', 't')}",
        ]
    later = row.load("a", "t + 1")
    return [
        "total = Float(0)",
        f"for k in range({n}):",
        f"    t = {n} - 1 - k",
        "    factor = Float(0)",
        "    if k > 0:",
        f"        factor = {later}",
        f"    total = {b} + factor * total if k > 0 else {b}",
        f"    {row.store('total', 't')}",
    ]


def extreme(sign: str, row: Row, n: str, task: Along) -> list[str]:
    """Of a NaN the place too: it is larger, and smaller, than all else."""
    value = row.load("x")
    return [
        f"best = {row.load('x', '0')}",
        "at = 0",
        f"for k in range({n}):",
        f"    value = {value}",
        f"    if value {sign} best or (value != value and best == best):",
        "        best = value",
        "        at = k",
        f"store_any({row.place('y', '0')}, np.int64(at))",
    ]


def argsort(row: Row, n: str, task: Along) -> list[str]:
    """The place of an element is the number of those that come before it. NaN is the largest."""
    return [
        f"for k in range({n}):",
        f"    value = {row.load('x')}",
        "    at = 0",
        f"    for m in range({n}):",
        f"        other = {row.load('x', 'm')}",
        "        equal = other == value or (other != other and value != value)",
        "        smaller = other < value or (value != value and other == other)",
        "        at += 1 if smaller or (equal and m < k) else 0",
        f"    {row.store('k', 'at')}",
    ]


def index_lines(e, name: str, loaded: str, size: int, value: Value) -> list[str]:
    """An index that was loaded, counted from the front; one that there is not is said and made one that there is."""
    n, complaint = e.number(size), e.called(Complaint(value, size))
    lowest = "0" if value.op.name == "embedding" else f"-{n}"
    return [
        f"{name} = np.int64({loaded})",
        f"if {name} >= {n}:",
        f"    call({complaint}, p, {name})",
        f"if {name} < {lowest}:",
        f"    call({complaint}, p, {name})",
        f"{name} = {name} + {n} if {name} < 0 else {name}",
        f"{name} = min(max({name}, 0), {n} - 1)",
    ]


def take_along_axis(row: Row, n: str, task: Along) -> list[str]:
    e = row.emitter
    index = index_lines(e, "at", row.load("i"), row.views["x"].shape[row.axis], task.value)
    return [f"for k in range({n}):", *[f"    {line}" for line in [*index, row.store(row.load("x", "at"))]]]


def untake_along_axis(row: Row, n: str, task: Along) -> list[str]:
    e = row.emitter
    index = index_lines(e, "at", row.load("i"), row.views["y"].shape[row.axis], task.value)
    added = row.store(f"{row.load('y', 'at')} + {row.load('x')}", "at")
    return [
        f"for k in range({e.number(row.views['y'].shape[row.axis])}):",
        f"    {row.store('Float(0)')}",
        f"for k in range({n}):",
        *[f"    {line}" for line in [*index, added]],
    ]


TEXTS: dict[str, tuple[list[str], Callable]] = {
    "cumsum": (["x"], cumsum),
    "cumprod": (["x"], cumprod),
    "linear_recurrence": (["b", "a"], linear_recurrence),
    "argmax": (["x"], lambda *given: extreme(">", *given)),
    "argmin": (["x"], lambda *given: extreme("<", *given)),
    "argsort": (["x"], argsort),
    "take_along_axis": (["x", "i"], take_along_axis),
    "untake_along_axis": (["x", "i"], untake_along_axis),
}  # of each op the names of its operands, and its text


def along(e, task: Along) -> str:
    """A call of the function of a task's text; defines the function."""
    names, text = TEXTS[task.value.op.name]
    axis, to = task.axis, task.to
    if len(to.shape) < len(task.reads[0].shape):  # one for each row
        to = to.like(to.offset, (*to.shape[:axis], 1, *to.shape[axis:]), (*to.strides[:axis], 0, *to.strides[axis:]))
    views = dict(zip([*names, "y"], [*task.reads, to]))

    def rest(view: View) -> View:
        drop = [k for k in range(len(view.shape)) if k != axis]
        return view.like(view.offset, [view.shape[k] for k in drop], [view.strides[k] for k in drop])

    others = {name: rest(view) for name, view in views.items()}
    nest = Nest(tuple(others["y"].shape), list(others.values()), task.rows, e, split=True)
    lines = nest.opening([], list(others.items()))
    starts = {}
    for name, view in others.items():
        start, index = nest.place(name, view)
        starts[name] = f"row_{name}"
        address = start if index == "0" else f"{start} + {index} * {view.dtype.itemsize}"
        lines.append(f"{nest.indent}row_{name} = {address}")
    n = e.number(task.reads[-1].shape[axis])
    lines += [nest.indent + line for line in text(Row(e, views, starts, axis), n, task)]
    addresses = {name: e.base(view) for name, view in views.items()} | ({"p": "p"} if "i" in names else {})
    return e.call_of(lines, addresses, PLAIN, task.value.op.name, task.rows)


def clear(e, task: Clear) -> str:
    """Zeros."""
    nest = Nest(task.to.shape, [task.to], task.rows, e)
    lines = nest.opening([], [("y", task.to)])
    place, index = nest.place("y", task.to)
    lines.append(f"{nest.indent}store({place}, {index}, {element(task.to, e.schedule.dtype)}(0))")
    return e.call_of(lines, {"y": e.base(task.to)}, PLAIN, "zeros", task.rows)


def gather(e, task: Gather) -> str:
    """y[..., i, ...] = x[..., indices[i], ...]; the index is looked at once for a run of elements that it picks."""
    x, i, y, axis = task.x, task.indices, task.to, task.axis
    n = len(i.shape)
    within = [*x.strides[:axis], *[0] * n, *x.strides[axis + 1 :]]
    source = x.like(x.offset, y.shape, within)
    index = i.like(i.offset, y.shape, [*[0] * axis, *i.strides, *[0] * (len(x.shape) - axis - 1)])
    nest = Nest(tuple(y.shape), [source, index, y], task.rows, e, split=True)
    lines = nest.opening([("at", "i", index, None)], [("x", source), ("y", y)])
    where = next(k for k, line in enumerate(lines) if line.strip().startswith("at = "))
    indent = lines[where][: -len(lines[where].lstrip())] if lines[where][0] == " " else ""
    loaded = lines[where].strip().removeprefix("at = ")
    moved = f"moved = at * {e.bytes(x.strides[axis], x.dtype)}"
    lines[where : where + 1] = [
        indent + line for line in [*index_lines(e, "at", loaded, x.shape[axis], task.value), moved]
    ]
    start, k = nest.place("x", source)
    to, j = nest.place("y", y)
    kind = element(y, e.schedule.dtype)
    lines.append(f"{nest.indent}store({to}, {j}, {kind}(load({start} + moved, {k}, {kind})))")
    addresses = {"x": e.base(x), "i": e.base(i), "y": e.base(y), "p": "p"}
    return e.call_of(lines, addresses, PLAIN, task.value.op.name, task.rows)
