"""What the passes share: walking a program in order, and rebuilding it."""

from collections.abc import Callable

from minigrad.ir.rules import kernel, rule_of
from minigrad.ir.trace import Pick, Value
from minigrad.modes import thread
from minigrad.ops.pointwise import Elementwise

# Elements of a weight that stays in the nearest cache, and rows of a step that make up for packing it.
SMALL, ROWS = 4096, 128


def order_of(roots) -> list[Value]:
    """Values that the roots depend on, in order of creation, which is a topological one."""
    found = dict.fromkeys(v for v in roots if isinstance(v, Value))
    unseen = list(found)
    while unseen:
        for x in unseen.pop().inputs:
            if isinstance(x, Value) and x not in found:
                found[x] = None
                unseen.append(x)
    return sorted(found, key=lambda value: value.seq)


def by_level(roots) -> list[Value]:
    """As order_of, but each value as early as its inputs allow."""
    levels: dict = {}
    order = order_of(roots)
    for v in order:
        levels[v] = 1 + max((levels[x] for x in v.inputs if isinstance(x, Value)), default=-1)
    return sorted(order, key=lambda v: (levels[v], v.seq))


def rewrite(roots, rule: Callable, order=order_of, became: dict | None = None) -> dict:
    """Rebuild what the roots depend on: rule(value, its new inputs) is what takes its place, None for the same op on
    the new inputs. Returns what has become of every value, in `became` if the rule wants to look at it."""
    became = {} if became is None else became
    outer = thread.pulled
    try:
        for value in order(roots):
            inputs = tuple([became[x] if isinstance(x, Value) else x for x in value.inputs])
            thread.pulled = value.site  # what the rule makes stands for the same line
            new = rule(value, inputs)
            became[value] = same(value, inputs) if new is None else new
    finally:
        thread.pulled = outer
    return became


def rebuilt(roots: list, rule: Callable) -> list:
    """The roots, rewritten."""
    became = rewrite(roots, rule)
    return [became[r] if isinstance(r, Value) else r for r in roots]


def same(value: Value, inputs: tuple) -> Value:
    return value if inputs == value.inputs else value.of(inputs)


def is_a(value, kind: type) -> bool:
    """Whether it is a Value that a kernel of this kind computes."""
    return isinstance(value, Value) and isinstance(rule_of(value.op).kernel, kind)


def is_product(value) -> bool:
    """Whether it is a product of matrices, a @ b."""
    return is_a(value, kernel.Product)


def rounds(value) -> bool:
    """Whether it is a product that rounds its operands to bfloat16."""
    return is_product(value) and rule_of(value.op).kernel.rounds


def is_join(value) -> bool:
    """Whether it is a concatenation."""
    return is_a(value, kernel.Join)


def is_part(value) -> bool:
    """Whether it is a part of something, by an index."""
    return is_a(value, kernel.Part)


def is_sum(value) -> bool:
    """Whether it is a sum over axes."""
    return is_a(value, kernel.Fold) and rule_of(value.op).kernel.sums


def is_addition(value) -> bool:
    """Whether it is a + b."""
    return is_elementwise(value) and rule_of(value.op).additive and len(value.inputs) == 2


def is_elementwise(value) -> bool:
    return isinstance(value, Value) and isinstance(value.op, Elementwise)


def picks_of(roots) -> dict:
    """For each value with several results, {place: value of that result}."""
    found: dict = {}
    for value in order_of(roots):
        if value.op is Pick:
            found.setdefault(value.inputs[0], {})[value.params] = value
    return found


def is_view(value) -> bool:
    """Whether it is a part of its input, or all of it, laid out in another way."""
    made = value.inputs[0] if value.op is Pick else value
    return rule_of(made.op).is_view(made)


def is_layout(value) -> bool:
    """Whether it is a view that is best made again where it is needed: all of something, or a part of what is there
    anyway. Of a part of something computed it is better to keep the part than the whole."""
    if not is_view(value):
        return False
    origin = value
    while origin.op is not None and is_view(origin):
        origin = origin.inputs[0]
    return origin.op is None or value.dtype is None or value.size >= origin.size


def weights(program, order) -> list:
    """What a program is given and does not compute: its captured matrices."""
    captured = {value for [(value, _, _)] in program.captured.values()}
    return [v for v in order if v in captured and v.ndim <= 2]
