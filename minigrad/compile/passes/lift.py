"""Slices are taken before elementwise ops, not after, so that gates are computed where their parts are read.

    before                                   after
    a = p + z                                p_i, p_f = split(p);  z_i, z_f = split(z)
    i, f = split(a)                          i = sigmoid(p_i + z_i)
    i = sigmoid(i)                           f = sigmoid(p_f + z_f)
    f = sigmoid(f)

Each `sigmoid(p_i + z_i)` is then one run of elementwise ops over one shape: one fused loop. It pays where the slices
are all that is needed of the result.
"""

from minigrad.compile.loop import Loop
from minigrad.compile.passes.clean import clean, place
from minigrad.compile.passes.rewrite import apply, is_elementwise, is_op, order_of, rewrite
from minigrad.compile.trace import Pick, Value
from minigrad.ops.shape import axis_of


def lift(program, roots: list) -> list:
    """The roots, rebuilt; in loops only."""
    for value in order_of(roots):
        if isinstance(value.op, Loop):
            loop = value.op
            for _ in range(4):  # through a few ops, one at a time
                before = loop.outputs
                place(loop, lift_within(loop.body, before))
                if all(a is b for a, b in zip(before, loop.outputs)):
                    break
            lift(loop.body, loop.outputs)
    return roots


def lift_within(program, roots: list) -> list:
    needed = set(roots)
    users: dict = {}
    for v in order_of(roots):
        for x in v.inputs:
            users.setdefault(x, []).append(v)
    liftable = {
        v
        for v in users
        if is_elementwise(v) and v not in needed and all(is_op(u, "split") for u in users[v]) and len(users[v]) == 1
    }

    def rule(value, inputs):
        if not (value.op is Pick and is_op(value.inputs[0], "split") and value.inputs[0].inputs[0] in liftable):
            return None
        split, whole = value.inputs[0], inputs[0].inputs[0]
        axis, k = axis_of(split.params["axis"], whole.ndim), value.params
        operands = []
        for x in whole.inputs:
            along = x.ndim - (whole.ndim - axis) if isinstance(x, Value) else -1
            if along >= 0 and x.shape[along] == whole.shape[axis] and whole.shape[axis] != 1:
                sections = [spec.shape[axis] for spec in split.shape]
                x = apply(program, "split", x, sections=sections, axis=along)[k]
            operands.append(x)
        part = whole.of(operands, program, shape=value.shape)
        part.recompute = value.recompute
        return part

    became = rewrite(roots, rule)
    return clean(program, [became[r] if isinstance(r, Value) else r for r in roots])
