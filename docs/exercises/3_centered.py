"""Exercise 3: an op that mixes places, x - mean(x), and its vjp.

The forward works on arrays. The vjp gets the cotangent `g` of the result, a tensor, and gives that of x, written with
tensor operations (`g.mean(...)`), so that it can be differentiated again. It may also name x, y, x_shape and the
parameters. What does it have to be so that the sum over all places of g * forward(dx) is the sum of vjp(g) * dx?
"""

from minigrad.ops.declare import op
from minigrad.ops.shape import axis_of
from minigrad.ops.table import FLOAT32, Spec


def same_shape(x, axis):
    axis_of(axis, x.ndim)  # refuses an axis that x has not
    return Spec(x.shape, x.dtype if x.dtype.kind == "f" else FLOAT32)


@op(
    shape=same_shape,
    sample=lambda d: (d.array((3, 2)), dict(axis=d.choice([0, 1, -1]))),
    x=lambda g, axis: g,
)
def centered(x, /, axis: int):
    """x less its mean along an axis."""
    x = x if x.dtype.kind == "f" else x.astype(FLOAT32)
    return x - x.mean(axis, keepdims=True)
