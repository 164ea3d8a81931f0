"""Reductions over any axes."""

import numpy as np

from minigrad.ops.table import Spec, op
from minigrad.ops.shape import broadcast_to, reshape


def axes_of(axis, ndim: int) -> tuple[int, ...]:
    """The axes that `axis` (None for all, an int, or several) means, each in range(ndim), in order."""
    given = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = sorted(a + ndim if a < 0 else a for a in given)
    if any(not 0 <= a < ndim for a in axes) or len(set(axes)) != len(axes):
        raise ValueError(f"axis {axis} does not fit {ndim} dimensions: wanted different ones from {-ndim} to {ndim - 1}")
    return tuple(axes)


def reduced(x: Spec, axis=None, keepdims=False) -> tuple[int, ...]:
    """Shape of a reduction of x."""
    axes = axes_of(axis, x.ndim)
    return tuple(1 if k in axes else n for k, n in enumerate(x.shape) if keepdims or k not in axes)


def expand(g, shape, axis):
    """A reduction's result or cotangent, with its reduced axes back as axes of size 1."""
    axes = axes_of(axis, len(shape))
    return reshape(g, tuple([1 if k in axes else n for k, n in enumerate(shape)]))


@op(
    shape=lambda x, axis, keepdims: reduced(x, axis, keepdims),
    sample=lambda d: (x := d.array(d.shape()), dict(axis=d.axes(x.ndim), keepdims=d.boolean())),
    x=lambda g, x_shape, axis: broadcast_to(expand(g, x_shape, axis), x_shape),
    numpy=np.sum,
)
def sum(x, /, axis=None, keepdims=False):
    """Sum over an axis, several, or all (None)."""
    return np.add.reduce(x, axis=axes_of(axis, np.ndim(x)), keepdims=keepdims)


@op(
    shape=lambda x, shape: tuple(shape),
    sample=lambda d: (x := d.array(d.shape()), dict(shape=tuple(1 if d.boolean() else n for n in x.shape))),
    x=lambda g, x_shape: broadcast_to(g, x_shape),
    method=False,
)
def sum_to(x, /, shape):
    """Sum over the axes along which `shape` would be stretched to broadcast to x: the transpose of broadcasting."""
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple([lead + k for k, n in enumerate(shape) if n == 1 and x.shape[lead + k] != 1])
    return np.add.reduce(x, axis=axes).reshape(shape)
