"""What does not depend on the carry leaves the loop: constants are computed once, products over all steps at once.

    before                                   after
    loop over x_t, carry h:                  V = W.T
        V = W.T                              P = X @ V                  (one large product)
        p = x_t @ V                          loop over p_t, carry h:
        h = tanh(p + h @ U)                      h = tanh(p_t + h @ U)

Of what depends on the step only products, convolutions and lookups move, with what they need: an elementwise op costs
less where its operands are in the cache than it would cost to store its result for every step.
"""

import math

from minigrad.compile.passes.batch import over_time
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import ROWS, SMALL, is_a, is_elementwise, is_join, is_product, is_view, order_of, rebuilt
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.kernel import Cast
from minigrad.ir.trace import Pick, Value


def hoist(program, roots: list) -> list:
    """The roots, rebuilt, with every loop that they depend on made smaller."""

    def rule(value, inputs):
        return hoist_from(program, value, inputs) if isinstance(value.op, Loop) else None

    return rebuilt(roots, rule)


def is_small(v, invariant) -> bool:
    """Whether a product costs no more in the loop, many rows with a weight that stays in the cache, than the memory
    that its results for all steps would take."""
    if not is_product(v) or v.inputs[1] not in invariant:
        return False
    a, w = v.inputs
    return w.ndim == 2 and w.size <= SMALL and math.prod(a.shape[:-1]) >= ROWS


def free(v, loop) -> bool:
    """Whether a constant may be computed before a loop that perhaps takes no step: it cannot raise, and if there is one
    step at most, it costs next to nothing."""
    repeated = loop.length > 1 and (is_elementwise(v) or is_product(v))
    return repeated or is_view(v) or is_join(v) or is_a(v, Cast)


def hoist_from(program, value: Value, inputs: tuple) -> Value:
    loop = value.op.with_outputs(hoist(value.op.body, value.op.outputs))  # the loops inside first
    outside, consts, streams = dict(zip(loop.inputs, inputs)), list(loop.consts), list(loop.streams)
    invariant = {v: outside[v] for v in loop.consts}
    stacks: dict = {v: outside[v] for v in loop.streams}
    order = order_of(loop.outputs)
    moving = set(loop.carries)
    for v in order:
        if any(x in moving for x in v.inputs):
            moving.add(v)
    for v in order:
        constant = (
            v.op is not None and v not in moving and all(x in invariant for x in v.inputs if isinstance(x, Value))
        )
        if constant and (loop.count is None or free(v, loop)):
            invariant[v] = v.of([invariant.get(x, x) for x in v.inputs], program)

    def stack_of(v):
        """The value for all steps at once, outside; None if it cannot be had."""
        if v not in stacks:
            stacks[v] = None
            if v not in moving and v.op not in (None, Pick) and not isinstance(v.op, Loop):
                on = [isinstance(x, Value) and x not in invariant for x in v.inputs]
                given = [stack_of(x) if s else invariant.get(x, x) for x, s in zip(v.inputs, on)]
                if all(not s or g is not None for g, s in zip(given, on)):
                    stacks[v] = over_time(program, v, tuple(given), on, loop.length)
                    if isinstance(stacks[v], Value):
                        stacks[v].site = v.site
        return stacks[v]

    became: dict = {}
    for v in () if loop.chunked or loop.count is not None else order:
        if v in moving or v in invariant or rule_of(v.op).hoist is None or is_small(v, invariant):
            continue
        stack = stack_of(v)
        if stack is not None and stack.shape == (loop.length, *v.shape):
            became[v] = loop.body.input(v)
            streams.append(became[v])
            outside[became[v]] = stack
    for v in order:
        if v in invariant and v.op is not None and v.dtype is not None:
            became[v] = loop.body.input(v)
        if v in invariant and v in became:
            consts.append(became[v])
            outside[became[v]] = invariant[v]
    made = loop.with_outputs(rebuilt(loop.outputs, lambda v, _: became.get(v)))
    needed = set(order_of(made.outputs))
    made = made.replace(consts=[v for v in consts if v in needed], streams=[v for v in streams if v in needed])
    return value.of([outside[v] for v in made.inputs], program, made)
