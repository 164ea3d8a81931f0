"""The text of ops that work on blocks, the last axes of their operands, one after another: matrices, images.

A kernel's text is Python for one block, in which `a[i, j]` is an element. Here each becomes a load or a store.

for j in range(n):              for j in range(n2):
    y[i, j] = 2 * a[i, j]           store_any(block_y + i * b0, j, Float(2 * load_any(block_a + i * b0, j, Float)))
"""

import ast

from minigrad.compile.nest import Nest, element, spread
from minigrad.compile.tasks import Blocks, Complaint, View
from minigrad.ir.rules.kernel import FLOAT64, natural
from minigrad.ir.rules.partition import SHARD
from minigrad.ir.trace import Pick, Value

PLAIN = '@njit(error_model="numpy", fastmath={"contract"})\n'


def task(plan, v: Value, kernel) -> Blocks:
    """plan: a Schedule."""
    if v.dtype is None:
        picks = {u.params: plan.home(u) for u in plan.order if u.op is Pick and u.inputs[0] is v}
        writes = [picks.get(k) or room(plan, v, spec.shape, spec.dtype) for k, spec in enumerate(v.shape)]
    else:
        writes = [plan.home(v)]
    rooms = {name: room(plan, v, shape) for name, shape in kernel.rooms(v).items()}
    return Blocks(v, [plan.home(x) for x in v.inputs], writes, rooms, kernel, plan.kinds[v] == SHARD)


def room(plan, v: Value, shape, dtype=FLOAT64) -> View:
    b = plan.buffer("scratch", v, shape, dtype, False, plan.rows)
    return View(b, 0, tuple(shape), natural(shape), dtype)


def blocks(e, task: Blocks) -> str:
    """A call of the function of a task's text; defines the function."""
    kernel = task.kernel
    views = dict(zip([*kernel.operands, *kernel.results], [*task.reads, *task.writes]))
    axes = kernel.operands | kernel.results
    first = next(iter(kernel.results))
    lead = tuple(task.writes[0].shape[: len(task.writes[0].shape) - axes[first]])

    def before(name: str) -> View:
        view, n = views[name], len(views[name].shape) - axes[name]
        return spread(view.like(view.offset, view.shape[:n], view.strides[:n]), lead)

    others = {name: before(name) for name in views}
    nest = Nest(lead, list(others.values()), task.rows, e, split=True)
    lines = nest.opening([], list(others.items()))
    for name, view in others.items():
        start, index = nest.place(name, view)
        address = start if index == "0" else f"{start} + {index} * {view.dtype.itemsize}"
        lines.append(f"{nest.indent}block_{name} = {address}")
    inner = {name: (f"block_{name}", view, axes[name]) for name, view in views.items()}
    inner |= {name: (name, view, len(view.shape)) for name, view in task.rooms.items()}
    tree = Elements(e, inner, kernel.sizes(task.value), task).visit(ast.parse(kernel.text))
    lines += [nest.indent + line for line in ast.unparse(tree).split("\n")]
    addresses = {name: e.base(view) for name, view in (views | task.rooms).items()}
    return e.call_of(lines, addresses | ({"p": "p"} if kernel.refusal else {}), PLAIN, task.value.op.name, task.rows)


class Elements(ast.NodeTransformer):
    """Puts memory for elements, and numbers for sizes. places: by name, (address, view, how many of its last axes are
    those of a block)."""

    def __init__(self, e, places: dict[str, tuple], sizes: dict, task: Blocks):
        self.e, self.places, self.task = e, places, task
        self.sizes = {name: e.number(n) for name, n in sizes.items()}

    def visit_Name(self, node):
        return parsed(self.sizes[node.id]) if node.id in self.sizes else node

    def visit_Subscript(self, node):
        address, index, kind = self.element(node)
        return parsed(f"load_any({address}, {index}, {kind})")

    def visit_Assign(self, node):
        value = self.visit(node.value)
        [target] = node.targets
        if not isinstance(target, ast.Subscript):
            return ast.copy_location(ast.Assign([target], value), node)
        address, index, kind = self.element(target)
        return ast.Expr(parsed(f"store_any({address}, {index}, {kind}({ast.unparse(value)}))"))

    def visit_AugAssign(self, node):
        if not isinstance(node.target, ast.Subscript):
            return self.generic_visit(node)
        read = ast.Subscript(node.target.value, node.target.slice, ast.Load())
        whole = ast.Assign([node.target], ast.BinOp(read, node.op, node.value))
        return self.visit_Assign(ast.copy_location(whole, node))

    def visit_Call(self, node):
        if ast.unparse(node) != "refuse()":
            return self.generic_visit(node)
        return parsed(f"call({self.e.called(Complaint(self.task.value, reason=self.task.kernel.refusal))}, p, 0)")

    def element(self, node: ast.Subscript) -> tuple[str, str, str]:
        """(address, index, type) of an element."""
        assert isinstance(node.value, ast.Name)
        address, view, count = self.places[node.value.id]
        within = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        strides = view.strides[len(view.strides) - count :]
        assert len(within) == count or (count == 0 and ast.unparse(node.slice) == "()")
        terms, index = [address], "0"
        for k, (at, stride) in enumerate(zip(within, strides)):
            text = ast.unparse(self.visit(at))
            if stride == 1 and k == count - 1:
                index = text
            else:
                terms.append(f"({text}) * {self.e.bytes(stride, view.dtype)}")
        return " + ".join(terms), index, element(view, self.e.schedule.dtype)


def parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
