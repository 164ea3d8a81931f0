"""The text of ops that go along an axis, row by row: running sums, orders, places, elements picked by an index.

cumsum over axis 1 of x:        for i0 in range(first, last):
                                    total = Float(0)
                                    for k in range(n):
                                        total = total + x[i0, k]
                                        y[i0, k] = total
"""

from minigrad.compile.nest import Nest, element
from minigrad.compile.tasks import Along, Clear, Complaint, Gather, View
from minigrad.ir.rules import rule_of
from minigrad.ir.trace import Value

PLAIN = '@njit(error_model="numpy", fastmath={"contract"})\n'


class Row:
    """One row of each operand and of the result, as text."""

    def __init__(self, emitter, task: Along, views: dict[str, View], starts: dict[str, str]):
        self.emitter, self.views, self.starts, self.axis, self.value = emitter, views, starts, task.axis, task.value

    def place(self, name: str, k: str) -> str:
        view = self.views[name]
        stride = view.strides[self.axis]
        if stride == 1:
            return f"{self.starts[name]}, {k}"
        return f"{self.starts[name]} + ({k}) * {self.emitter.bytes(stride, view.dtype)}, 0"

    def load(self, name: str, k: str = "k") -> str:
        return f"load_any({self.place(name, k)}, {element(self.views[name], self.emitter.schedule.dtype)})"

    def size(self, name: str) -> str:
        """Elements in the row of an operand or of the result."""
        return self.emitter.number(self.views[name].shape[self.axis])

    def index(self, name: str, loaded: str, of: str) -> list[str]:
        """The lines that give a name to an index into the row of an operand or of the result."""
        return index_lines(self.emitter, name, loaded, self.views[of].shape[self.axis], self.value)

    def store(self, value: str, k: str = "k") -> str:
        view = self.views["y"]
        return f"store_any({self.place('y', k)}, {element(view, self.emitter.schedule.dtype)}({value}))"


def index_lines(e, name: str, loaded: str, size: int, value: Value, negative: bool = True) -> list[str]:
    """An index that was loaded, counted from the front; one that there is not is said and made one that there is."""
    n, complaint = e.number(size), e.called(Complaint(value, size))
    lowest = f"-{n}" if negative else "0"
    return [
        f"{name} = np.int64({loaded})",
        f"if {name} >= {n}:",
        f"    call({complaint}, p, {name})",
        f"if {name} < {lowest}:",
        f"    call({complaint}, p, {name})",
        f"{name} = {name} + {n} if {name} < 0 else {name}",
        f"{name} = min(max({name}, 0), {n} - 1)",
    ]


def along(e, task: Along) -> str:
    """A call of the function of a task's text; defines the function."""
    kernel, axis, to = rule_of(task.value.op).kernel, task.axis, task.to
    if len(to.shape) < len(task.reads[0].shape):  # one for each row
        to = to.like(to.offset, (*to.shape[:axis], 1, *to.shape[axis:]), (*to.strides[:axis], 0, *to.strides[axis:]))
    views = dict(zip([*kernel.names, "y"], [*task.reads, to]))

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
    lines += [nest.indent + line for line in kernel.text(Row(e, task, views, starts), n)]
    addresses = {name: e.base(view) for name, view in views.items()} | ({"p": "p"} if "i" in kernel.names else {})
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
    negative = rule_of(task.value.op).kernel.negative
    index_at = index_lines(e, "at", loaded, x.shape[axis], task.value, negative)
    lines[where : where + 1] = [indent + line for line in [*index_at, moved]]
    start, k = nest.place("x", source)
    to, j = nest.place("y", y)
    kind = element(y, e.schedule.dtype)
    lines.append(f"{nest.indent}store({to}, {j}, {kind}(load({start} + moved, {k}, {kind})))")
    addresses = {"x": e.base(x), "i": e.base(i), "y": e.base(y), "p": "p"}
    return e.call_of(lines, addresses, PLAIN, task.value.op.name, task.rows)
