"""NumPy's reductions with all of their keywords: where, initial, dtype, correction; and those that skip NaN."""

import numpy as np

from minigrad.ops import reduce
from minigrad.ops.elementwise import isnan, logical_not, maximum, minimum, square, where
from minigrad.ops.join import concatenate
from minigrad.ops.numpy.declare import as_input, stands_for
from minigrad.ops.shape import astype, axis_of, broadcast_to
from minigrad.ops.table import filled
from minigrad.tensor import as_array


def _cast(x, dtype):
    return x if dtype is None else astype(x, dtype)


def _float(x, dtype):
    """x in a dtype for means, which are floats."""
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise TypeError(f"got dtype={np.dtype(dtype)}, wanted float32 or float64")
    return _cast(x, dtype)


def _only(x, mask, otherwise):
    """x where the mask holds."""
    return x if mask is True or mask is None else where(_mask(mask), x, np.asarray(otherwise, x.dtype))


def _mask(mask):
    return mask if as_array(mask).dtype == bool else as_input(mask) != 0


@stands_for(np.sum)
def sum(x, /, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    total = reduce.sum(_only(_cast(x, dtype), where, 0), axis, keepdims)
    return total if initial is None else total + initial


@stands_for(np.prod)
def prod(x, /, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    product = reduce.prod(_only(_cast(x, dtype), where, 1), axis, keepdims)
    return product if initial is None else product * initial


@stands_for(np.max, np.amax)
def max(x, /, axis=None, keepdims=False, initial=None, where=True):
    return _extreme(reduce.max, maximum, x, axis, keepdims, initial, where)


@stands_for(np.min, np.amin)
def min(x, /, axis=None, keepdims=False, initial=None, where=True):
    return _extreme(reduce.min, minimum, x, axis, keepdims, initial, where)


def _extreme(extreme, of_two, x, axis, keepdims, initial, mask):
    if initial is None and mask is not True:
        raise ValueError("where wants an initial value too, for there may be nothing else")
    if initial is None:
        return extreme(x, axis, keepdims)
    return of_two(extreme(_only(x, mask, initial), axis, keepdims), initial)


@stands_for(np.any)
def any(x, /, axis=None, keepdims=False, where=True):
    return reduce.any(x if where is True else _only(_mask(x), where, False), axis, keepdims)


@stands_for(np.all)
def all(x, /, axis=None, keepdims=False, where=True):
    return reduce.all(x if where is True else _only(_mask(x), where, True), axis, keepdims)


def _counted(x, axis, keepdims, mask):
    """How many elements there are where the mask holds."""
    return reduce.sum(astype(broadcast_to(as_input(_mask(mask)), x.shape), x.dtype), axis, keepdims)


@stands_for(np.mean)
def mean(x, /, axis=None, dtype=None, keepdims=False, where=True):
    x = reduce._as_float(_float(x, dtype))
    if where is True:
        return reduce.mean(x, axis, keepdims)
    return reduce.sum(_only(x, where, 0), axis, keepdims) / _counted(x, axis, keepdims, where)


@stands_for(np.var)
def var(x, /, axis=None, dtype=None, ddof=0, keepdims=False, where=True, mean=None, correction=None):
    x, ddof = _float(x, dtype), _ddof(ddof, correction)
    if where is True and mean is None:
        return reduce.var(x, axis, ddof, keepdims)
    return _variance(reduce._as_float(x), axis, ddof, keepdims, where, mean)


@stands_for(np.std)
def std(x, /, axis=None, dtype=None, ddof=0, keepdims=False, where=True, mean=None, correction=None):
    return reduce._root(var(x, axis, dtype, ddof, keepdims, where, mean, correction))


def _ddof(ddof, correction):
    if correction is None:
        return ddof
    if ddof:
        raise ValueError("ddof and correction are one number; give it once")
    return correction


def _variance(x, axis, ddof, keepdims, mask, centre):
    mask = np.True_ if mask is True else mask
    if centre is None:
        centre = reduce.sum(_only(x, mask, 0), axis, True) / _counted(x, axis, True, mask)
    squares = reduce.sum(_only(square(x - centre), mask, 0), axis, keepdims)
    return squares / maximum(_counted(x, axis, keepdims, mask) - ddof, 0)


# Running


@stands_for(np.cumsum)
def cumsum(x, /, axis=None, dtype=None):
    return reduce.cumsum(_cast(x, dtype), axis)


@stands_for(np.cumprod)
def cumprod(x, /, axis=None, dtype=None):
    return reduce.cumprod(_cast(x, dtype), axis)


@stands_for(np.cumulative_sum)
def cumulative_sum(x, /, axis=None, dtype=None, include_initial=False):
    return _cumulative(reduce.cumsum, x, axis, dtype, include_initial, 0)


@stands_for(np.cumulative_prod)
def cumulative_prod(x, /, axis=None, dtype=None, include_initial=False):
    return _cumulative(reduce.cumprod, x, axis, dtype, include_initial, 1)


def _cumulative(running, x, axis, dtype, include_initial, first):
    if axis is None and x.ndim != 1:
        raise ValueError(f"got {x.ndim} dimensions: wanted an axis")
    axis = axis_of(axis or 0, x.ndim)
    y = running(_cast(x, dtype), axis)
    if not include_initial:
        return y
    return concatenate([filled((*y.shape[:axis], 1, *y.shape[axis + 1 :]), y.dtype, first), y], axis)


# Without NaN


def _numbers(x, otherwise):
    return where(isnan(x), np.asarray(otherwise, x.dtype), x) if x.dtype.kind == "f" else x


def _and_number(x, mask):
    """A mask of the elements that are no NaN."""
    return logical_not(isnan(x)) if mask is True else logical_not(isnan(x)) & as_input(_mask(mask))


@stands_for(np.nansum)
def nansum(x, /, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    return sum(_numbers(x, 0), axis, dtype, keepdims, initial, where)


@stands_for(np.nanprod)
def nanprod(x, /, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    return prod(_numbers(x, 1), axis, dtype, keepdims, initial, where)


@stands_for(np.nancumsum)
def nancumsum(x, /, axis=None, dtype=None):
    return cumsum(_numbers(x, 0), axis, dtype)


@stands_for(np.nancumprod)
def nancumprod(x, /, axis=None, dtype=None):
    return cumprod(_numbers(x, 1), axis, dtype)


@stands_for(np.nanmean)
def nanmean(x, /, axis=None, dtype=None, keepdims=False, where=True):
    return mean(_numbers(x, 0), axis, dtype, keepdims, _and_number(x, where))


@stands_for(np.nanvar)
def nanvar(x, /, axis=None, dtype=None, ddof=0, keepdims=False, where=True, mean=None, correction=None):
    return var(_numbers(x, 0), axis, dtype, ddof, keepdims, _and_number(x, where), mean, correction)


@stands_for(np.nanstd)
def nanstd(x, /, axis=None, dtype=None, ddof=0, keepdims=False, where=True, mean=None, correction=None):
    return reduce._root(nanvar(x, axis, dtype, ddof, keepdims, where, mean, correction))


@stands_for(np.nanmax)
def nanmax(x, /, axis=None, keepdims=False):
    return _or_nan(reduce.max(_numbers(x, -np.inf), axis, keepdims), x, axis, keepdims)


@stands_for(np.nanmin)
def nanmin(x, /, axis=None, keepdims=False):
    return _or_nan(reduce.min(_numbers(x, np.inf), axis, keepdims), x, axis, keepdims)


def _or_nan(extreme, x, axis, keepdims):
    """NaN where there is nothing else."""
    if x.dtype.kind != "f":
        return extreme
    return where(reduce.all(isnan(x), axis, keepdims), np.asarray(np.nan, x.dtype), extreme)


@stands_for(np.ptp)
def ptp(x, /, axis=None, keepdims=False):
    return reduce.max(x, axis, keepdims) - reduce.min(x, axis, keepdims)


@stands_for(np.count_nonzero)
def count_nonzero(x, /, axis=None, keepdims=False):
    return reduce.sum(astype(_mask(x), "int64"), axis, keepdims)
