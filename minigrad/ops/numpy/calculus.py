"""Differences, integrals, interpolation and convolution, as NumPy names them."""

import numpy as np

from minigrad.ops.along import take
from minigrad.ops.elementwise import where
from minigrad.ops.index import getitem
from minigrad.ops.join import concatenate
from minigrad.ops.numpy.declare import as_input, off_the_tape, stands_for
from minigrad.ops.numpy.shape import ravel
from minigrad.ops.product import matmul
from minigrad.ops.reduce import sum
from minigrad.ops.shape import axis_of, broadcast_to, flip, reshape


def along(x, axis: int, start=None, stop=None, step=None):
    """x[start:stop:step] along an axis."""
    return getitem(x, (*[slice(None)] * axis_of(axis, x.ndim), slice(start, stop, step)))


@stands_for(np.diff)
def diff(x, /, n=1, axis=-1, prepend=None, append=None):
    if n < 0:
        raise ValueError(f"got n={n}, wanted at least 0")
    axis = axis_of(axis, x.ndim)
    x = concatenate(
        [part for part in (_margin(prepend, x, axis), x, _margin(append, x, axis)) if part is not None], axis
    )
    for _ in range(n):
        x = (
            along(x, axis, 1) != along(x, axis, None, -1)
            if x.dtype == bool
            else along(x, axis, 1) - along(x, axis, None, -1)
        )
    return x


def _margin(value, x, axis):
    if value is None:
        return None
    value = as_input(value, x.dtype)
    return value if value.ndim else broadcast_to(value, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))


@stands_for(np.ediff1d)
def ediff1d(x, /, to_end=None, to_begin=None):
    parts = [to_begin, diff(ravel(x)), to_end]
    return concatenate([ravel(as_input(p, x.dtype)) for p in parts if p is not None])


@stands_for(np.gradient)
def gradient(x, /, *varargs, axis=None, edge_order=1):
    """Central differences; at the ends one-sided ones, of first or second order. Distances are numbers."""
    axes = (
        list(range(x.ndim))
        if axis is None
        else [axis_of(a, x.ndim) for a in (axis if isinstance(axis, (tuple, list)) else [axis])]
    )
    steps = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if len(steps) != len(axes) or any(np.ndim(step) for step in steps):
        raise TypeError("wanted a distance for each axis, a number; of unequal distances there is no rule")
    if edge_order not in (1, 2):
        raise ValueError(f"got edge_order={edge_order}, wanted 1 or 2")
    results = [_gradient(x, a, step, edge_order) for a, step in zip(axes, steps)]
    return results[0] if len(results) == 1 else tuple(results)


def _gradient(x, axis, step, edge_order):
    if x.shape[axis] < edge_order + 1:
        raise ValueError(f"axis {axis} has {x.shape[axis]} elements, wanted at least {edge_order + 1}")
    middle = (along(x, axis, 2) - along(x, axis, None, -2)) / (2 * step)
    first, last = (along(x, axis, k, k + 1 or None) for k in (0, -1))
    second, before = (along(x, axis, k, k + 1) for k in (1, -2))
    start, end = second - first, last - before
    if edge_order == 2:
        third, earlier = along(x, axis, 2, 3), along(x, axis, -3, -2)
        start, end = -1.5 * first + 2 * second - 0.5 * third, 1.5 * last - 2 * before + 0.5 * earlier
    return concatenate([start / step, middle, end / step], axis)


@stands_for(np.trapezoid)
def trapezoid(y, x=None, /, dx=1.0, axis=-1):
    axis = axis_of(axis, y.ndim)
    if x is not None:
        dx = diff(x, axis=axis if x.ndim == y.ndim else -1)
        dx = reshape(dx, (-1, *[1] * (y.ndim - axis - 1))) if x.ndim == 1 else dx
    return sum(dx * (along(y, axis, 1) + along(y, axis, None, -1)) / 2, axis)


@stands_for(np.interp)
def interp(x, xp, fp, /, left=None, right=None, period=None):
    """Piecewise linear. At a point of xp the derivative is that of the piece on its left."""
    if period is not None:
        raise TypeError(f"takes no period={period!r} of tensors; take x % period")
    n = xp.shape[0]
    if n < 2:
        raise ValueError(f"got {n} points, wanted at least 2")
    k = off_the_tape(lambda p, v: np.clip(np.searchsorted(p, v), 1, n - 1), xp, x)
    x0, x1, y0, y1 = (take(values, at, 0) for values in (xp, fp) for at in (k - 1, k))
    inside = y0 + (x - x0) * ((y1 - y0) / (x1 - x0))
    below = where(x < xp[0], fp[0] if left is None else left, inside)
    return where(x > xp[n - 1], fp[n - 1] if right is None else right, below)


# Convolution: a product with the windows of the longer one.


def _correlated(a, v, mode):
    if a.ndim != 1 or v.ndim != 1 or not a.shape[0] or not v.shape[0]:
        raise ValueError(f"got shapes {a.shape} and {v.shape}, wanted two vectors with elements")
    n, m = a.shape[0], v.shape[0]
    margins = {"full": (m - 1, m - 1), "same": (m // 2, m - 1 - m // 2), "valid": (0, 0)}
    if mode not in margins:
        raise ValueError(f"got mode={mode!r}, wanted full, same or valid")
    before, after = margins[mode]
    zeros = [np.zeros(k, a.dtype) for k in (before, after)]
    padded = concatenate([zeros[0], a, zeros[1]])
    windows = np.arange(n + before + after - m + 1)[:, None] + np.arange(m)
    return matmul(take(padded, windows, 0), v)


@stands_for(np.convolve)
def convolve(a, v, /, mode="full"):
    longer, shorter = (a, v) if a.shape[0] >= v.shape[0] else (v, a)
    n, m = longer.shape[0], shorter.shape[0]
    if mode != "same":
        return _correlated(longer, flip(shorter), mode)
    start = (m - 1) // 2
    return _correlated(longer, flip(shorter), "full")[start : start + n]


@stands_for(np.correlate)
def correlate(a, v, /, mode="valid"):
    if a.shape[0] >= v.shape[0]:
        return convolve(a, flip(v), mode)
    return flip(convolve(v, flip(a), mode))
