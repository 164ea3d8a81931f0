"""Choice by conditions and indices; and what finds indices, which has no gradient."""

import numpy as np

from minigrad.ops.along import take, take_along_axis
from minigrad.ops.elementwise import where
from minigrad.ops.index import getitem, unindex
from minigrad.ops.join import stack
from minigrad.ops.numpy.declare import as_input, numbers, off_the_tape, stands_for, tensors
from minigrad.ops.numpy.shape import linspace, ravel
from minigrad.ops.reduce import max, min
from minigrad.ops.shape import astype, axis_of, broadcast_to, is_integer, moveaxis, reshape
from minigrad.symbolic import broadcast_shapes
from minigrad.tensor import Tensor


@stands_for(np.take)
def taken(x, indices, /, axis=None, mode="raise"):
    """mode: "clip" and "wrap" bring indices outside into the axis."""
    n = x.size if axis is None else x.shape[axis_of(axis, x.ndim)]
    if mode == "clip":
        indices = where(indices < 0, 0, where(indices >= n, n - 1, indices))
    elif mode == "wrap":
        indices = indices % n
    elif mode != "raise":
        raise ValueError(f"got mode={mode!r}, wanted raise, clip or wrap")
    return take(x, indices, axis)


@stands_for(np.select)
def select(condlist, choicelist=None, default=0):
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(f"got {len(condlist)} conditions and {len(choicelist)} choices, wanted as many, and some")
    *choices, result = tensors([*choicelist, default])
    for condition, choice in zip(condlist[::-1], choices[::-1]):
        result = where(condition, choice, result)
    return result


@stands_for(np.choose)
def choose(indices, choices, mode="raise"):
    indices, choices = as_input(indices), tensors(choices)
    n, shape = len(choices), broadcast_shapes(indices.shape, *[x.shape for x in choices])
    if mode not in ("raise", "clip", "wrap"):
        raise ValueError(f"got mode={mode!r}, wanted raise, clip or wrap")
    if mode == "raise":
        given = numbers(indices)
        if ((given < 0) | (given >= n)).any():
            raise ValueError(f"an index is outside of the {n} choices")
    at = indices % n if mode == "wrap" else where(indices < 0, 0, where(indices >= n, n - 1, indices))
    at = reshape(broadcast_to(at, shape), (1, *shape))
    return take_along_axis(stack([broadcast_to(x, shape) for x in choices]), at, 0)[0]


@stands_for(np.compress)
def compress(condition, x, /, axis=None):
    return take(x, off_the_tape(np.flatnonzero, condition), axis)


@stands_for(np.extract)
def extract(condition, x, /):
    return take(x, off_the_tape(np.flatnonzero, condition), None)


@stands_for(np.piecewise)
def piecewise(x, /, condlist, funclist):
    """Each function of the elements that its condition picks; a further one of those that none picks."""
    masks = [np.asarray(numbers(c)) for c in (condlist if isinstance(condlist, (list, tuple)) else [condlist])]
    if len(funclist) == len(masks) + 1:
        masks = [*masks, ~np.any(masks, axis=0)]
    if len(funclist) != len(masks):
        raise ValueError(f"got {len(masks)} conditions and {len(funclist)} functions")
    later = [np.any(masks[k + 1 :], axis=0) if k + 1 < len(masks) else False for k in range(len(masks))]
    result = Tensor(np.zeros(x.shape, x.dtype))
    for mask, again, f in zip(masks, later, funclist):
        where_only = (mask & ~np.asarray(again),)
        part = getitem(x, where_only)
        value = as_input(f(part) if callable(f) else f, x.dtype)
        result = result + unindex(broadcast_to(astype(value, x.dtype), part.shape), x.shape, where_only)
    return result


@stands_for(np.trim_zeros)
def trim_zeros(x, /, trim="fb"):
    if x.ndim != 1:
        raise ValueError(f"got {x.ndim} dimensions, wanted a vector")
    there = np.flatnonzero(numbers(x))
    if not there.size:
        return x[:0]
    return x[there[0] if "f" in trim.lower() else 0 : there[-1] + 1 if "b" in trim.lower() else None]


@stands_for(np.partition)
def partition(x, /, kth, axis=-1, kind="introselect"):
    if kind != "introselect":
        raise ValueError(f"got kind={kind!r}, wanted 'introselect'")
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    return take_along_axis(x, off_the_tape(np.argpartition, x, kth, axis), axis)


@stands_for(np.unique)
def unique(x, /, return_index=False, return_inverse=False, return_counts=False, axis=None):
    """The values are picked, and have a gradient: it goes to the first of equal ones."""
    results = np.unique(numbers(x), True, True, True, axis)
    values = take(x, results[1], axis)
    wanted = [r for r, w in zip(results[1:], (return_index, return_inverse, return_counts)) if w]
    return (values, *map(Tensor, wanted)) if wanted else values


# Functions along axes


@stands_for(np.apply_along_axis)
def apply_along_axis(func1d, axis, arr, *args):
    axis = axis_of(axis, arr.ndim)
    moved = moveaxis(arr, axis, -1)
    rows = reshape(moved, (-1, arr.shape[axis]))
    results = stack(tensors([func1d(rows[k], *args) for k in range(rows.shape[0])]))
    inner = results.shape[1:]
    whole = reshape(results, (*moved.shape[:-1], *inner))
    return moveaxis(whole, tuple(range(arr.ndim - 1, whole.ndim)), tuple(range(axis, axis + len(inner))))


@stands_for(np.apply_over_axes)
def apply_over_axes(func, a, axes):
    for axis in axes if isinstance(axes, (list, tuple)) else [axes]:
        axis = axis_of(axis, a.ndim)
        result = func(a, axis)
        a = result if result.ndim == a.ndim else reshape(result, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))
    return a


# Indices and counts, from the numbers: no gradient, and none of them while a function is traced.


OFF_THE_TAPE = {
    np.nonzero, np.flatnonzero, np.argwhere, np.searchsorted, np.digitize, np.bincount, np.argpartition, np.lexsort,
    np.isin, np.unravel_index, np.ravel_multi_index, np.nanargmax, np.nanargmin,
    np.array_equal, np.array_equiv,
    np.isreal, np.iscomplex,
    np.array2string, np.array_repr, np.array_str,
    np.save, np.savez, np.savez_compressed, np.savetxt,
}  # fmt: skip


@stands_for(np.histogram)
def histogram(x, /, bins=10, range=None, density=None, weights=None):
    """Counts, which have no gradient, and edges; those that follow from the extremes of x have theirs."""
    counts, edges = off_the_tape(np.histogram, x, bins, range, density, weights)
    if is_integer(bins) and range is None and x.size:
        low, high = min(x), max(x)
        same = 0.5 if float(low.detach()) == float(high.detach()) else 0.0
        edges = linspace(low - same, high + same, bins + 1)
    return counts, edges
