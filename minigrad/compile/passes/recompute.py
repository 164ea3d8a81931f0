"""The saving policy: what `mg.checkpoint` marks, and what costs less to compute again than to keep, is computed again.

    before (z saved for the backward)        after
    forward:  z = checkpoint(f)(x)           forward:  z = f(x)
    backward: dx = g * (1 - z * z)           backward: z' = f(x);  dx = g * (1 - z' * z')

Inside of loops it has been done when the backward was traced: see `Body.again` in loop.py, and the chunks of `scan`.
"""

from minigrad.ir.rewrite import order_of, same
from minigrad.ir.trace import Value


def recompute(program, roots: list) -> list:
    """The roots, rebuilt: what waits for a cotangent reads copies of the marked values."""
    late = set(program.cotangents)
    copies: dict = {}
    became: dict = {}

    def again(value: Value) -> Value:
        if not value.recompute:
            return became[value]
        if value not in copies:
            inputs = [again(x) if isinstance(x, Value) else x for x in value.inputs]
            copies[value] = value.of(inputs, program)
            copies[value].recompute = False
        return copies[value]

    for value in order_of(roots):
        if any(x in late for x in value.inputs):
            late.add(value)
            inputs = [again(x) if isinstance(x, Value) and x not in late else became.get(x, x) for x in value.inputs]
        else:
            inputs = [became[x] if isinstance(x, Value) else x for x in value.inputs]
        became[value] = same(value, tuple(inputs))
    return [became[r] if isinstance(r, Value) else r for r in roots]
