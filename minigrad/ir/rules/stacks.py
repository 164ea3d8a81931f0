"""What becomes of the rows in what is made of stacks of a loop in the step: (L, B, ...), the rows are its second axis.

A rule is called as rule(v, axis): axis is that of the rows, in those operands that have rows. It gives that of the
value, PARTIAL for a sum over the rows, None where it mixes them.

    y = ys[2]              (L, B, H) to (B, H)             the rows are its leading axis
    y = sum(ys, axis=0)    (L, B, H) to (B, H)             the same
    d = sum(g, axis=(0, 1))                                PARTIAL
"""

import math
from collections.abc import Callable, Sequence

from minigrad.ir.rules.partition import PARTIAL, REPLICATE, axis_of, stacked


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
    kind = kinds.pop()
    axis = axis_of(kind)
    if kinds or axis is None:
        return None
    if is_elementwise:
        return kind if all(x.ndim == v.ndim for x, k in zip(v.inputs, given) if k == kind) else None
    rule = RULES.get(v.op.name)
    if rule is None or given[0] != kind or (rule is concatenate and REPLICATE in given):
        return None
    made = rule(v, axis)
    return made if made is None or made == PARTIAL else stacked(kind, made - axis)
