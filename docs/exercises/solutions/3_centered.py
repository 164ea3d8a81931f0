from minigrad.ops.declare import op
from minigrad.ops.shape import axis_of
from minigrad.ops.table import FLOAT32, Spec


def same_shape(x, axis):
    axis_of(axis, x.ndim)  # refuses an axis that x has not
    return Spec(x.shape, x.dtype if x.dtype.kind == "f" else FLOAT32)


@op(
    shape=same_shape,
    sample=lambda d: (d.array((3, 2)), dict(axis=d.choice([0, 1, -1]))),
    x=lambda g, axis: g - g.mean(axis, keepdims=True),
)
def centered(x, /, axis: int):
    """x less its mean along an axis."""
    x = x if x.dtype.kind == "f" else x.astype(FLOAT32)
    return x - x.mean(axis, keepdims=True)
