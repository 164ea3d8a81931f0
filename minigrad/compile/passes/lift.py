"""Slices are taken before elementwise ops, not after, so that gates are computed where their parts are read.

    before                                   after
    a = p + z                                i = sigmoid(p[:, :H] + z[:, :H])
    i = sigmoid(a[:, :H])                    f = sigmoid(p[:, H:] + z[:, H:])
    f = sigmoid(a[:, H:])

Each gate is then one run of elementwise ops over one shape: one fused loop. It pays where the slices are all that is
needed of the result.
"""

from minigrad.compile.passes.cse_dce import cse_dce
from minigrad.ir.loop import within_loops
from minigrad.ir.rewrite import is_elementwise, is_part, order_of, rebuilt
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.trace import Value


def lift(program, roots: list) -> list:
    """The roots, rebuilt; in loops only."""

    def within(loop):
        outputs = loop.outputs
        for _ in range(4):  # through a few ops, one at a time
            before, outputs = outputs, lift_within(loop.body, outputs)
            if all(a is b for a, b in zip(before, outputs)):
                break
        return lift(loop.body, outputs)

    return within_loops(roots, within)


def lift_within(program, roots: list) -> list:
    o, needed = ops_of(program), set(roots)
    users: dict = {}
    for v in order_of(roots):
        for x in v.inputs:
            users.setdefault(x, []).append(v)

    def pays(v) -> bool:
        """Whether slices are all that is needed of an elementwise value, and no more than it has."""
        slices = users[v]
        return (
            is_elementwise(v)
            and v not in needed
            and all(is_part(u) for u in slices)
            and sum([u.size for u in slices]) <= v.size
        )

    liftable = {v for v in users if pays(v)}

    def rule(value, inputs):
        if not (is_part(value) and value.inputs[0] in liftable):
            return None
        whole, index = inputs[0], value.params["index"]

        def part(x):
            if not isinstance(x, Value) or x.ndim == 0:
                return x
            own = index[whole.ndim - x.ndim :]
            stretched = [n == 1 != m for n, m in zip(x.shape, whole.shape[whole.ndim - x.ndim :])]
            own = [(slice(None) if isinstance(k, slice) else 0) if s else k for k, s in zip(own, stretched)]
            return o.getitem(x, index=tuple(own))

        made = whole.of([part(x) for x in whole.inputs], program, shape=value.shape)
        made.recompute = value.recompute
        return made

    return cse_dce(program, rebuilt(roots, rule))
