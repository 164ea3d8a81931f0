"""Small ops become one kernel, a loop of one step, in a program that has no loop.

    before                                   after
    p = x @ W                                y = kernel(x, W, b)      (one call of machine code, in one thread)
    a = p + b
    y = tanh(a)

Where arrays are small, to call an op from Python costs more than the op. What is large stays outside, where all threads
share it; `fuse` has the elementwise ops among it. Views are made again where they are read. What runs with the backward
is in no kernel with what runs before it.

A kernel rounds otherwise than the ops that it stands for. Which sizes a trace serves therefore depends on what is small
(a symbol that is compared is a guard), and its kernel's text does not depend on them: a call has the same bits whatever
sizes came before it, as training that goes on after a break has to. Beside a loop such kernels gained nothing.
"""

from minigrad.compile.supported import has_kernel, main_dtype
from minigrad.ir.loop import Body, Loop
from minigrad.ir.rewrite import is_product, is_view, order_of, same
from minigrad.ir.rules import kernel, rule_of
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.trace import Pick, Value

SIZE = 1 << 15  # elements of a value, and of its operands, up to which it is small: threads have nothing to share
MULTIPLICATIONS = 1 << 21  # of a product that is
FEW, WORK = 1 << 12, (kernel.Along, kernel.Blocks, kernel.Convolution)  # elements, where one is more work than an op
LEAST, PRODUCT = 4, 3  # ops that are worth a kernel; a product counts as so many


def cluster(program, roots: list) -> list:
    """The roots, rebuilt."""
    order, groups = clusters(program, roots)
    if any(isinstance(v.op, Loop) for v in order):
        return roots
    inside = {v: group for group in groups for v in group}
    read = {origin(r) for r in roots if isinstance(r, Value)}  # what others than its group read
    read.update([x for v in order for x in operands(v) if v not in inside or inside.get(x) is not inside[v]])
    became: dict = {}
    for v in order:
        group = inside.get(v)
        if group is None:
            outside(v, became)
        elif v is group[-1]:
            became.update(as_loop(program, group, [u for u in group if u in read], became))
    return [outside(r, became) for r in roots]


def outside(x, became: dict):
    """What stands for a value outside of the groups. Views are made when they are asked for."""
    if isinstance(x, Value) and x not in became:
        became[x] = same(x, tuple([outside(y, became) for y in x.inputs]))
    return became[x] if isinstance(x, Value) else x


def is_remade(v: Value) -> bool:
    """Whether it is a view, which costs nothing to make again."""
    return v.op is not Pick and is_view(v)


def origin(v: Value) -> Value:
    """What a value is a view of; others themselves."""
    while is_remade(v):
        v = v.inputs[0]
    return v


def operands(v: Value) -> list[Value]:
    """What it reads, or what that is a view of."""
    return [origin(x) for x in v.inputs if isinstance(x, Value)]


def clusters(program, roots) -> tuple[list[Value], list[list[Value]]]:
    """All values but views in an order in which those of a group can be computed at once; and the groups."""
    order = order_of(roots)
    main = main_dtype(order, ())
    depth: dict = {}
    groups: dict = {}
    values = [v for v in order if not is_remade(v)]
    small = {v: is_small(v, main) for v in values}
    early = before_cotangents(program, roots)
    for v in values:
        depth[v] = max([depth[x] + (not small[v] or not small[x]) for x in operands(v)], default=0)
        if small[v]:
            groups.setdefault((v not in early, depth[v]), []).append(v)
    pays = [g for g in groups.values() if sum([PRODUCT if is_product(v) else 1 for v in g]) >= LEAST]
    return sorted(values, key=lambda v: (v not in early, depth[v], v.seq)), pays


def before_cotangents(program, roots) -> set[Value]:
    """What the roots that wait for no cotangent depend on."""
    late = set(program.cotangents)
    for v in order_of(roots):
        if any(x in late for x in v.inputs):
            late.add(v)
    return set(order_of([r for r in roots if r not in late]))


def is_small(v: Value, main) -> bool:
    """Whether a kernel that computes with floats of type `main` has it, and threads have nothing to share."""
    if v.op is None or v.op is Pick or v.dtype is None:
        return False
    if v.size == 0 or not has_kernel(v, (), main):
        return False
    if is_product(v):
        return v.size <= SIZE and v.size * v.inputs[0].shape[-1] <= MULTIPLICATIONS
    most = FEW if isinstance(rule_of(v.op).kernel, WORK) else SIZE
    return all(x.size <= most for x in (v, *operands(v)))


def as_loop(program, group: list[Value], needed: list[Value], became: dict) -> dict[Value, Value]:
    """What stands for the needed values of a group: parts of the results of a loop of one step."""
    body = Body(program)
    inner: dict = {}
    consts: dict = {}
    for v in group:
        inner[v] = v.of([entered(x, body, inner, consts, became) for x in v.inputs], body)
    loop = Loop(body, 1, False, list(consts), [], [], [], [], [inner[v] for v in needed])
    stacks = program.record(loop, list(consts.values()), {}, loop.specs())
    return {v: ops_of(program).reshape(stack, shape=v.shape) for v, stack in zip(needed, stacks)}


def entered(x, body: Body, inner: dict, consts: dict, became: dict):
    """An operand as a value of the body. inner: those that there are. consts: what they are outside, if they enter."""
    if isinstance(x, Value) and x not in inner:
        if is_remade(x):
            inner[x] = x.of([entered(y, body, inner, consts, became) for y in x.inputs], body)
        else:
            inner[x] = body.input(x)
            consts[inner[x]] = outside(x, became)
    return inner[x] if isinstance(x, Value) else x
