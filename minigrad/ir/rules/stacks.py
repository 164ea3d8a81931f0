"""What becomes of the rows in what is made of stacks of a loop in the step: (L, B, ...), the rows are its second axis.

A rule is called as rule(v, axis): axis is that of the rows, in those operands that have rows. It gives that of the
value, PARTIAL for a sum over the rows, None where it mixes them.

    y = ys[2]              (L, B, H) to (B, H)             the rows are its leading axis
    y = sum(ys, axis=0)    (L, B, H) to (B, H)             the same
    d = sum(g, axis=(0, 1))                                PARTIAL
    y = reshape(ys)        (L, B, H) to (L * B, H)         MERGED
    d = y.T @ z            of two of these                 PARTIAL
"""

import math
from collections.abc import Callable, Sequence

from minigrad.ir.rules.partition import MERGED, PARTIAL, REPLICATE, TRANSPOSED, axis_of, stacked


def getitem(v, axis):
    index = v.params["index"]
    whole = index[axis] == slice(0, v.inputs[0].shape[axis], 1)
    return axis - sum([not isinstance(part, slice) for part in index[:axis]]) if whole else None


def concatenate(v, axis):
    return axis if v.params["axis"] != axis else None


def broadcast_to(v, axis):
    return (
        axis + v.ndim - v.inputs[0].ndim
        if v.inputs[0].shape[axis] == v.shape[v.ndim - v.inputs[0].ndim + axis]
        else None
    )


def transpose(v, axis):
    axes = v.params["axes"]
    return axis if axes[: axis + 1] == tuple(range(axis + 1)) else None


def reshape(v, axis):
    """The axes before that of the rows, and those behind it, may become others."""
    x = v.inputs[0]
    for k, n in enumerate(v.shape):
        if n == x.shape[axis] and math.prod(v.shape[:k]) == math.prod(x.shape[:axis]):
            return k
    return None


def fold(v, axis):
    axes = v.params["axis"]
    if axis in axes:
        return PARTIAL if v.op.name == "sum" else None
    return axis if v.ndim == v.inputs[0].ndim else axis - sum([a < axis for a in axes])


def matmul(v, axis):
    """Rows times a matrix that is the same for all."""
    a, b = v.inputs
    return axis if b.ndim <= 2 and axis < a.ndim - 1 else None


RULES: dict[str, Callable] = {
    f.__name__: f for f in (getitem, concatenate, broadcast_to, transpose, reshape, matmul)
}  # fmt: skip
RULES |= dict.fromkeys(("sum", "max", "min"), fold)


def divided(v, given: Sequence, is_elementwise: bool) -> str | None:
    """How a value is divided of which an operand is a stack; given: how its operands are, None for what is no value."""
    kinds = {k for k in given if k not in (None, REPLICATE)}
    if any(MERGED in k for k in kinds):
        return of_merged(v, given)
    kind = kinds.pop()
    x, axis = v.inputs[given.index(kind)], axis_of(kind)
    if axis and v.op.name == "reshape" and v.shape == (math.prod(x.shape[: axis + 1]), *x.shape[axis + 1 :]):
        return f"{MERGED}{math.prod(x.shape[:axis])}" if v.ndim == 2 else None
    if kinds or axis is None:
        return None
    if is_elementwise:
        return kind if all(x.ndim == v.ndim for x, k in zip(v.inputs, given) if k == kind) else None
    rule = RULES.get(v.op.name)
    if rule is None or given[0] != kind or (rule is concatenate and REPLICATE in given):
        return None
    made = rule(v, axis)
    return made if made is None or made == PARTIAL else stacked(kind, made - axis)


def of_merged(v, given: Sequence) -> str | None:
    """Of matrices whose rows are those of every step of a loop in the step: the product of a transpose with another."""
    if v.op.name == "transpose":
        return f"{TRANSPOSED} {given[0]}" if v.params["axes"] == (1, 0) and TRANSPOSED not in given[0] else None
    return PARTIAL if v.op.name == "matmul" and given[0] == f"{TRANSPOSED} {given[1]}" else None
