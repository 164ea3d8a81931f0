"""Gathering and scattering along an axis, and sorting, which is a gather.

As in index.py, an op that picks elements has its transpose beside it, and each of the two is the other's vjp.
"""

import math

import numpy as np

from minigrad.arguments import Count
from minigrad.kernels import picks
from minigrad.modes import RAW, thread, tracing
from minigrad.ops.declare import composite, op
from minigrad.ops.index import _scattered, getitem, unindex
from minigrad.ops.shape import axis_of
from minigrad.ops.table import FLOAT32, Spec
from minigrad.symbolic import broadcast_shapes
from minigrad.symbolic import index as size_as_index
from minigrad.tensor import Tensor, as_array

# Slices along an axis


def _require_integers(indices: Spec, what="indices"):
    if indices.dtype.kind not in "iu":
        raise TypeError(f"{what} must be integers, got {indices.dtype}")


def _taken(x: Spec, indices: Spec, axis=None) -> Spec:
    _require_integers(indices)
    shape, axis = ((x.size,), 0) if axis is None else (x.shape, axis_of(axis, x.ndim))
    if shape[axis] == 0 and indices.size:
        raise IndexError(f"axis {axis} is empty, and no index can be right")
    return Spec(shape[:axis] + indices.shape + shape[axis + 1 :], x.dtype)


@op(
    shape=_taken,
    sample=lambda d: (d.array((4, 3)), d.indices(d.shape(0, 2), 3), dict(axis=d.choice([None, 0, 1, -1]))),
    x=lambda g, x_shape, indices, axis: untake(g, indices, x_shape, axis),
    numpy=np.take,
)
def take(x, indices, /, axis=None):
    """The slices of x at these indices along an axis (None: the elements of the flattened x).

    The axis makes room for those of `indices`, which are integers; negative ones count from the end.

    Examples
    --------
    >>> mg.take([10, 20, 30], [2, 0])
    tensor([30, 10], dtype=int64)
    """
    _require_integers(indices)
    return np.take(x, indices, axis if axis is None else axis_of(axis, x.ndim))


def _untaken(g: Spec, indices: Spec, shape, axis=None) -> Spec:
    taken = _taken(Spec(shape, g.dtype), indices, axis)
    if g.shape != taken.shape:
        raise ValueError(f"these indices take the shape {taken.shape} from {tuple(shape)}")
    return Spec(tuple(shape), g.dtype)


@op(
    shape=_untaken,
    sample=lambda d: (d.array((4, 2)), d.indices(2, 3), dict(shape=(4, 3), axis=1)),
    g=lambda g, indices, axis: take(g, indices, axis),
    method=False,
    public=False,
)
def untake(g, indices, /, shape, axis=None):
    """Zeros of `shape` with the slices of g added at these indices along an axis: the transpose of take."""
    _untaken(g, indices, shape, axis)
    flat, axis = ((math.prod(shape),), 0) if axis is None else (shape, axis_of(axis, len(shape)))
    n = flat[axis]
    places = np.arange(n)[indices.reshape(-1)]
    outer = math.prod(flat[:axis])
    if outer != 1:
        places = np.arange(0, outer * n, n)[:, None] + places
    return _scattered(places, g, shape, math.prod(flat[axis + 1 :]))


def _embedded(weight: Spec, indices: Spec) -> Spec:
    _require_integers(indices)
    if weight.ndim != 2:
        raise ValueError("wanted a weight of shape (number of entries, width)")
    if weight.shape[0] == 0 and indices.size:
        raise IndexError("the weight has no entries")
    return Spec((*indices.shape, weight.shape[1]), weight.dtype)


@op(
    shape=_embedded,
    sample=lambda d: (d.array((4, 3)), d.indices(d.shape(0, 2), 4), {}),
    weight=lambda g, weight_shape, indices: untake(g, indices, weight_shape, 0),
    method=False,
)
def embedding(weight, indices, /):
    """Rows of `weight` (entries, width) looked up: integers of any shape give that shape and the width.

    Raises IndexError for an index that is negative, or no less than the number of entries.

    Examples
    --------
    >>> mg.embedding([[0.0, 1.0], [2.0, 3.0]], [1, 1, 0]).tolist()
    [[2.0, 3.0], [2.0, 3.0], [0.0, 1.0]]
    """
    _embedded(weight, indices)
    if indices.size and indices.min() < 0:
        raise IndexError(f"index {indices.min()} is negative, and entries are counted from 0")
    return np.take(weight, indices, 0)


# Elements along an axis


def _taken_along(x: Spec, indices: Spec, axis=-1) -> Spec:
    _require_integers(indices)
    shape, axis = ((x.size,), 0) if axis is None else (x.shape, axis_of(axis, x.ndim))
    if len(shape) != indices.ndim:
        raise ValueError(f"indices must have {len(shape)} dimensions, as many as x")
    try:
        rest = broadcast_shapes(*[(*s[:axis], *s[axis + 1 :]) for s in (shape, indices.shape)])
    except ValueError:
        raise ValueError(f"but on axis {axis} the shapes must be equal, or broadcast") from None
    result = (*rest[:axis], indices.shape[axis], *rest[axis:])
    if shape[axis] == 0 and math.prod(result):
        raise IndexError(f"axis {axis} is empty, and no index can be right")
    return Spec(result, x.dtype)


@op(
    shape=_taken_along,
    sample=lambda d: (d.array((3, 4)), d.indices(d.choice([(3, 2), (1, 5), (3, 0)]), 4), dict(axis=d.choice([1, -1]))),
    x=lambda g, x_shape, indices, axis: untake_along_axis(g, indices, x_shape, axis),
    numpy=np.take_along_axis,
)
def take_along_axis(x, indices, /, axis=-1):
    """For each place of `indices`, the element of x there, but with that index along the axis: x[i][indices[i][j]].

    Axes other than this one broadcast. None: from the flattened x, by indices of one dimension.

    Examples
    --------
    >>> mg.take_along_axis([[3, 1], [2, 4]], [[1], [0]], axis=1).tolist()
    [[1], [2]]
    """
    by_row = _by_row(x.shape, indices, axis)
    if by_row is not None and picks.takes(x, by_row, x.shape[-1]):
        lined = [a.reshape(-1, a.shape[-1]) for a in (x, by_row)]
        return picks.take_along(*lined).reshape(by_row.shape)
    return np.take_along_axis(x, indices, axis)


def _by_row(shape, indices: np.ndarray, axis) -> np.ndarray | None:
    """The indices along the last axis for each row of a shape; None if it is another axis, or they have more rows."""
    if not (len(shape) == indices.ndim > 0 and axis in (-1, len(shape) - 1)):
        return None
    if not all(n in (1, m) for n, m in zip(indices.shape[:-1], shape[:-1])):
        return None
    return np.broadcast_to(indices, (*shape[:-1], indices.shape[-1]))


def _untaken_along(g: Spec, indices: Spec, shape, axis=-1) -> Spec:
    taken = _taken_along(Spec(shape, g.dtype), indices, axis)
    if g.shape != taken.shape:
        raise ValueError(f"these indices take the shape {taken.shape} from {tuple(shape)}")
    return Spec(tuple(shape), g.dtype)


@op(
    shape=_untaken_along,
    sample=lambda d: (d.array((3, 2)), d.indices((3, 2), 4), dict(shape=(3, 4), axis=1)),
    g=lambda g, indices, axis: take_along_axis(g, indices, axis),
    method=False,
    public=False,
)
def untake_along_axis(g, indices, /, shape, axis=-1):
    """Zeros of `shape` with g added at these indices along an axis: the transpose of take_along_axis."""
    _untaken_along(g, indices, shape, axis)
    by_row = _by_row(shape, indices, axis)
    if by_row is not None and shape[-1] <= picks.MOST and picks.takes(g, by_row, shape[-1]):
        lined = [a.reshape(-1, a.shape[-1]) for a in (g, by_row)]
        return picks.add_along(*lined, shape[-1]).reshape(shape)
    places = np.take_along_axis(np.arange(math.prod(shape)).reshape(shape), indices, axis)
    return _scattered(places, g, shape, 1)


def _within(shape, index_shape, axis) -> tuple[slice, ...] | None:
    """The corner of `shape` that an index covers but for its axis; None if it covers all."""
    if len(shape) != len(index_shape):
        raise ValueError(f"index has shape {index_shape}: wanted {len(shape)} dimensions")
    if any(m > n and k != axis for k, (m, n) in enumerate(zip(index_shape, shape))):
        raise ValueError(f"index has shape {index_shape}, which does not fit into {shape}")
    if all(m == n or k == axis for k, (m, n) in enumerate(zip(index_shape, shape))):
        return None
    return tuple([slice(None) if k == axis else slice(0, m) for k, m in enumerate(index_shape)])


@composite(sample=lambda d: (d.array((3, 4)), dict(axis=1, index=d.indices(d.choice([(3, 2), (2, 5)]), 4))))
def gather(x, /, axis, index):
    """As torch.gather: of the shape of `index`, with result[i][j] = x[i][index[i][j]] for axis 1.

    index: integers, of as many dimensions as x, and no larger but along the axis.

    Examples
    --------
    >>> mg.gather([[1, 2], [3, 4]], 1, [[1], [0]]).tolist()
    [[2], [3]]
    """
    index, axis = as_array(index), axis_of(axis, x.ndim)
    corner = _within(x.shape, index.shape, axis)
    return take_along_axis(x if corner is None else x[corner], index, axis)


@composite(
    sample=lambda d: (d.array((3, 4)), 1, d.indices((i := d.choice([(3, 2), (2, 5)])), 4), d.array((3, i[1])), {}),
)
def scatter_add(x, /, axis, index, src):
    """As torch.scatter_add: a copy of x with src[i][j] added to element [i][index[i][j]], for axis 1.

    index: integers, of as many dimensions as x; no larger than src, and but for the axis no larger than x.

    Examples
    --------
    >>> mg.scatter_add(mg.zeros(3), 0, [0, 2, 2], mg.ones(3))
    tensor([1., 0., 2.], dtype=float32)
    """
    index, axis = as_array(index), axis_of(axis, x.ndim)
    corner = _within(x.shape, index.shape, axis)
    src = getitem(src, tuple([slice(0, n) for n in index.shape]))
    if corner is None:
        return x + untake_along_axis(src, index, x.shape, axis)
    shape = tuple([n if k == axis else m for k, (n, m) in enumerate(zip(x.shape, index.shape))])
    return x + unindex(untake_along_axis(src, index, shape, axis), x.shape, corner)


@op(
    shape=lambda indices, n: _require_integers(indices) or Spec((*indices.shape, size_as_index(n)), FLOAT32),
    sample=lambda d: (d.indices(d.shape(), 4), dict(n=4)),
    method=False,
)
def one_hot(indices, /, n: Count):
    """float32 of shape (*indices.shape, n): 1 at each index, 0 elsewhere. No gradient.

    Raises IndexError for an index outside [0, n).

    Examples
    --------
    >>> mg.one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    _require_integers(indices)
    if indices.size and not 0 <= indices.min() <= indices.max() < n:
        raise IndexError(f"indices from {indices.min()} to {indices.max()}: wanted them in [0, {n})")
    return (indices[..., None] == np.arange(n)).astype(FLOAT32)


# Order


def _sorted(x: Spec, axis=-1, descending=False) -> Spec:
    if axis is not None:
        axis_of(axis, x.ndim)
    return Spec((x.size,) if axis is None else x.shape, np.dtype(np.intp))


@op(
    shape=_sorted,
    sample=lambda d: (x := d.array(d.shape(1)), dict(axis=d.axis(x.ndim), descending=d.boolean())),
    numpy=np.argsort,
)
def argsort(x, /, axis=-1, descending: bool = False):
    """Indices that sort x along an axis, in ascending or descending order; equal elements keep theirs. No gradient.

    None: of the flattened x. NaN comes last, in descending order first.

    Examples
    --------
    >>> mg.argsort([30, 10, 20])
    tensor([1, 2, 0], dtype=int64)
    """
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis_of(axis, x.ndim))
    return picks.order(x, axis, descending)


@composite(
    sample=lambda d: (d.array((3, 4)), dict(axis=d.choice([None, 0, 1, -1]), descending=d.boolean())), numpy=np.sort
)
def sort(x, /, axis=-1, descending: bool = False):
    """x sorted along an axis, in ascending or descending order; None: flattened first. Values only: their indices are
    `argsort`.

    Examples
    --------
    >>> mg.sort([30, 10, 20])
    tensor([10, 20, 30], dtype=int64)
    """
    return take_along_axis(x, argsort(x, axis, descending), axis)


@composite(sample=lambda d: (d.array((3, 4)), dict(k=d.integer(0, 3), axis=d.choice([0, -1]), largest=d.boolean())))
def topk(x, /, k: Count, axis=-1, largest: bool = True):
    """(values, indices) of the k largest elements along an axis, the largest first; or of the k smallest.

    Of equal elements the first ones are taken. NaN counts as the largest.

    Examples
    --------
    >>> mg.topk([30.0, 10.0, 20.0], 2)[1]
    tensor([0, 2], dtype=int64)
    """
    axis = axis_of(axis, x.ndim)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"k is {k}: wanted 0 to {x.shape[axis]}, the size of axis {axis}")
    if tracing():
        indices = argsort(x, axis, largest)[(slice(None),) * axis + (slice(0, k),)]
    else:
        places = picks.greatest(as_array(x), k, axis, largest)
        indices = places if thread.mode is RAW else Tensor(places)
    return take_along_axis(x, indices, axis), indices


# The largest and the smallest so far


@op(
    shape=lambda x, axis, largest: Spec(x.shape, np.dtype(np.intp)) if axis_of(axis, x.ndim) >= 0 else None,
    sample=lambda d: (x := d.array(d.shape(1)), dict(axis=d.axis(x.ndim), largest=d.boolean())),
    method=False,
    public=False,
)
def cumargmax(x, /, axis=-1, largest: bool = True):
    """Place of the largest (or smallest) element so far along an axis, the last of several or a NaN. No gradient."""
    axis = axis_of(axis, x.ndim)
    best = (np.maximum if largest else np.minimum).accumulate(x, axis)
    places = np.arange(x.shape[axis]).reshape(-1, *[1] * (x.ndim - axis - 1))
    return np.maximum.accumulate(np.where((x == best) | (x != x), places, 0), axis)


def _sample_axis(d):
    x = d.array(d.shape(1))
    return x, dict(axis=d.axis(x.ndim))


@composite(sample=_sample_axis)
def cummax(x, /, axis=-1):
    """(values, indices) of the largest element so far along an axis, as torch.cummax. Of equal ones, and of NaN, the
    last counts, and has the gradient.

    Examples
    --------
    >>> mg.cummax([1, 3, 2, 4], 0)[0]
    tensor([1, 3, 3, 4], dtype=int64)
    """
    indices = cumargmax(x, axis)
    return take_along_axis(x, indices, axis), indices


@composite(sample=_sample_axis)
def cummin(x, /, axis=-1):
    """(values, indices) of the smallest element so far along an axis; all else as `cummax`.

    Examples
    --------
    >>> mg.cummin([3, 1, 2, 0], 0)[0]
    tensor([3, 1, 1, 0], dtype=int64)
    """
    indices = cumargmax(x, axis, False)
    return take_along_axis(x, indices, axis), indices
