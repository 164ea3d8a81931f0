"""Averages, quantiles, covariances."""

import math

import numpy as np

from minigrad.ops import reduce
from minigrad.ops.along import sort, take_along_axis
from minigrad.ops.elementwise import clip, isnan, maximum, minimum, sqrt, where
from minigrad.ops.join import concatenate
from minigrad.ops.linalg import diagonal
from minigrad.ops.numpy.declare import as_input, numbers, stands_for
from minigrad.ops.numpy.shape import at_least
from minigrad.ops.product import matmul
from minigrad.ops.shape import astype, axes_of, broadcast_to, reshape, transpose


@stands_for(np.average)
def average(x, /, axis=None, weights=None, returned=False, keepdims=False):
    if weights is None:
        mean = reduce.mean(x, axis, keepdims)
        return (mean, mean * 0 + x.size / max(mean.size, 1)) if returned else mean
    weights = as_input(weights, x.dtype)
    if weights.shape != x.shape:
        axes = axes_of(axis, x.ndim)
        if axis is None or weights.shape != tuple([x.shape[a] for a in axes]):
            raise ValueError(f"weights of shape {weights.shape} do not fit {x.shape} along axis {axis}")
        weights = transpose(weights, tuple(np.argsort(axes).tolist()))
        weights = reshape(weights, tuple([n if k in axes else 1 for k, n in enumerate(x.shape)]))
    weights = broadcast_to(weights, x.shape)
    total = reduce.sum(weights, axis, keepdims)
    mean = reduce.sum(x * weights, axis, keepdims) / total
    return (mean, total) if returned else mean


def _last(x, axis):
    """x with the axes of a reduction as one, the last; and the shape of the result with them."""
    axes = axes_of(axis, x.ndim)
    rest = [k for k in range(x.ndim) if k not in axes]
    lined = reshape(transpose(x, (*rest, *axes)), (*[x.shape[k] for k in rest], math.prod([x.shape[k] for k in axes])))
    return lined, tuple([1 if k in axes else n for k, n in enumerate(x.shape)])


METHODS = {
    "linear": lambda low, high, at: low + (high - low) * at,
    "lower": lambda low, high, at: low,
    "higher": lambda low, high, at: high,
    "midpoint": lambda low, high, at: (low + high) * 0.5,
}


def _quantiles(x, q, axis, method, keepdims, skip=False):
    """Of the sorted elements, those around the place q (n - 1). NaN where there is one, unless they are skipped."""
    if method not in METHODS:
        raise TypeError(f"takes no method={method!r} of tensors; wanted one of {', '.join(METHODS)}")
    values = _numbers(q)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a quantile must be from 0 to 1")
    x = reduce._as_float(x)
    lined, kept = _last(x, axis)
    n = lined.shape[-1]
    if n == 0:
        raise ValueError("there is no quantile of no elements")
    bad = isnan(lined)
    ordered = sort(lined)
    found = [_quantile(ordered, bad, float(v), n, method, skip) for v in values.reshape(-1)]
    found = [reshape(y, kept) if keepdims else y for y in found]
    if not values.ndim:
        return found[0]
    joined = concatenate([reshape(y, (1, *y.shape)) for y in found]) if found else None
    return reshape(joined, (*values.shape, *found[0].shape))


def _numbers(q) -> np.ndarray:
    if getattr(q, "requires_grad", False):
        raise TypeError("the quantiles' own places have no gradient here; give q.detach()")
    return np.asarray(numbers(q), np.float64)


def _quantile(ordered, bad, q, n, method, skip):
    if not skip:
        place = q * (n - 1)
        low = min(math.floor(place), n - 1)
        high = min(low + (place > low), n - 1)
        y = METHODS[method](ordered[..., low], ordered[..., high], place - low)
        return where(reduce.any(bad, -1), math.nan, y)
    count = n - reduce.sum(astype(bad, "int64"), -1, True)
    place = maximum(astype(count, "float64") - 1, 0.0) * q
    low = astype(place, "int64")
    high = minimum(low + astype(place > astype(low, "float64"), "int64"), maximum(count - 1, 0))
    at = astype(place - astype(low, "float64"), ordered.dtype)
    y = METHODS[method](take_along_axis(ordered, low, -1), take_along_axis(ordered, high, -1), at)
    return y[..., 0]


@stands_for(np.quantile)
def quantile(x, /, q, axis=None, method="linear", keepdims=False):
    return _quantiles(x, q, axis, method, keepdims)


@stands_for(np.percentile)
def percentile(x, /, q, axis=None, method="linear", keepdims=False):
    return _quantiles(x, _numbers(q) / 100, axis, method, keepdims)


@stands_for(np.median)
def median(x, /, axis=None, keepdims=False):
    """Of an even number the mean of the two in the middle (PyTorch's median is the lower one)."""
    return _quantiles(x, 0.5, axis, "linear", keepdims)


@stands_for(np.nanquantile)
def nanquantile(x, /, q, axis=None, method="linear", keepdims=False):
    return _quantiles(x, q, axis, method, keepdims, skip=True)


@stands_for(np.nanpercentile)
def nanpercentile(x, /, q, axis=None, method="linear", keepdims=False):
    return _quantiles(x, _numbers(q) / 100, axis, method, keepdims, skip=True)


@stands_for(np.nanmedian)
def nanmedian(x, /, axis=None, keepdims=False):
    return _quantiles(x, 0.5, axis, "linear", keepdims, skip=True)


@stands_for(np.cov)
def cov(m, y=None, /, rowvar=True, bias=False, ddof=None):
    x = _variables(m, rowvar)
    if y is not None:
        x = concatenate([x, _variables(y, rowvar)])
    x = x - reduce.mean(x, 1, True)
    freedom = max(x.shape[1] - (ddof if ddof is not None else 0 if bias else 1), 0)
    c = matmul(x, transpose(x)) / freedom
    return reshape(c, c.shape[1:] if c.shape[0] == 1 else c.shape) if c.shape[0] > 1 else reshape(c, ())


def _variables(x, rowvar):
    x = reduce._as_float(x)
    if x.ndim > 2:
        raise ValueError(f"got {x.ndim} dimensions, wanted 1 or 2")
    return at_least(x, 2) if rowvar or x.ndim < 2 else transpose(x)


@stands_for(np.corrcoef)
def corrcoef(x, y=None, /, rowvar=True):
    c = cov(x, y, rowvar=rowvar)
    if c.ndim == 0:
        return c / c
    deviation = sqrt(diagonal(c))
    return clip(c / reshape(deviation, (-1, 1)) / deviation, -1.0, 1.0)
