"""Indexing, gathering and scattering, sorting.

Every op that picks elements has its transpose beside it, which adds elements back where they were picked: an index that
names an element twice sends it both gradients. Each of the two is the other's vjp.
"""

import math
import operator

import numpy as np

from minigrad.arguments import Count
from minigrad.kernels.sequential import add_rows
from minigrad.ops.elementwise import where
from minigrad.ops.shape import axis_of, flip
from minigrad.ops.table import FLOAT32, Spec, composite, op
from minigrad.tensor import Tensor, as_array, look, unwrap

# x[index]


def is_basic(index) -> bool:
    """Whether an index is made of integers, slices, None and Ellipsis, so that the result is a view."""
    for p in index if type(index) is tuple else (index,):
        if not (p is None or p is Ellipsis or isinstance(p, (slice, int, np.integer))) or isinstance(p, bool):
            return False
    return True


def _indexed(x: Spec, index) -> tuple[int, ...]:
    probe = np.broadcast_to(np.empty((), x.dtype), x.shape)  # takes no memory, and NumPy knows the rules of indexing
    return probe[unwrap(index)].shape


_INDICES = [
    1, -1, (slice(None), 2), (slice(None, None, -2), None), (Ellipsis, None), slice(2, 0), (1, ..., 2),
    np.array([0, 0, 2]), (np.array([0, 2, 0]), np.array([1, 3, 1])), (slice(1, 3), np.array([[3, 3], [0, 1]])),
    (np.array([1, 1]), None, slice(None)), (np.array([[0], [1]]), np.array([0, 0])), [2, 2], np.arange(3) != 1,
    np.arange(12).reshape(3, 4) % 2 == 0, (slice(None), np.arange(4) > 0), (np.arange(3) > 3, 1),
]  # fmt: skip


@op(
    shape=_indexed,
    sample=lambda d: (d.array((3, 4)), dict(index=d.choice(_INDICES))),
    x=lambda g, x_shape, index: unindex(g, x_shape, index),
    method=False,
    view=True,
)
def getitem(x, /, index):
    """x[index], as NumPy: integers, slices, None, Ellipsis, integer arrays, boolean masks."""
    index = unwrap(index)
    part = x[index]
    if type(part) is not np.ndarray:  # one element, which NumPy copies: with an Ellipsis it is a view
        part = x[(*index, ...) if type(index) is tuple else (index, ...)]
    return part


def _unindexed(g: Spec, shape, index) -> tuple[int, ...]:
    selected = _indexed(Spec(shape, g.dtype), index)
    if g.shape != selected:
        raise ValueError(f"this index selects the shape {selected} from {tuple(shape)}")
    return tuple(shape)


@op(
    shape=_unindexed,
    sample=lambda d: (d.array((2, 4)), dict(shape=(3, 4), index=d.choice([np.array([0, 2]), [1, 1], slice(0, 2)]))),
    g=lambda g, index: getitem(g, index),
    method=False,
    public=False,
)
def unindex(g, /, shape, index):
    """Zeros of `shape` with g added at `index`: the transpose of getitem. What an index names twice gets both."""
    index = unwrap(index)
    result = np.zeros(shape, g.dtype)
    if is_basic(index):
        if result[index].shape != g.shape:
            raise ValueError
        result[index] = g
        return result
    # Number the elements along the axes that the index reaches; what lies behind each is a row.
    reach = _reach(index, len(shape))
    places = np.arange(math.prod(shape[:reach])).reshape(shape[:reach])[index]
    if places.shape + tuple(shape[reach:]) != g.shape:
        raise ValueError
    return _scattered(places, g, shape, math.prod(shape[reach:]))


def _reach(index, ndim: int) -> int:
    """How many axes an index is about, from the first on."""
    reach = 0
    for p in index if type(index) is tuple else (index,):
        if p is Ellipsis:
            return ndim
        if p is not None:
            reach += np.ndim(p) if not isinstance(p, slice) and np.asarray(p).dtype == bool else 1
    return reach


def _scattered(places, g, shape, width: int):
    """Zeros of `shape`, seen as rows of a width, with the rows of g added at these places."""
    result = np.zeros(shape, g.dtype)
    if g.size:
        add_rows(result.reshape(-1, width), places.reshape(-1), g.reshape(-1, width))
    return result


def _overwritten(x: Spec, value: Spec, index) -> Spec:
    selected = _indexed(x, index)
    try:
        fits = np.broadcast_shapes(value.shape, selected) == selected
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"this index selects the shape {selected} from {x.shape}, and the value has {value.shape}")
    if value.dtype != x.dtype:
        raise TypeError(f"the value must have the dtype {x.dtype}; cast it first")
    return Spec(x.shape, x.dtype)


@op(
    shape=_overwritten,
    sample=lambda d: (
        d.array((3, 4)),
        d.array(_indexed(Spec((3, 4), FLOAT32), i := d.choice(_INDICES))),
        dict(index=i),
    ),
    x=lambda g, index: index_put(g, np.zeros((), g.dtype), index),
    value=lambda g, x_shape, index: _last(getitem(g, index), x_shape, index),
    method=False,
    public=False,
)
def index_put(x, value, /, index):
    """A copy of x in which x[index] is overwritten by value, which may be broadcast. Where an index names an element
    twice, the last value stays."""
    _overwritten(x, value, index)
    result = x.copy()
    result[unwrap(index)] = value
    return result


def _last(g, shape, index):
    """g with zeros where an index names an element that it names again later."""
    index = unwrap(index)
    if is_basic(index) or not g.size:
        return g
    reach = _reach(index, len(shape))
    places = np.arange(math.prod(shape[:reach])).reshape(shape[:reach])[index]
    last = np.empty(math.prod(shape[:reach]), np.intp)
    order = np.arange(places.size).reshape(places.shape)
    last[places] = order
    stays = last[places] == order
    if stays.all():
        return g
    return where(stays.reshape(*stays.shape, *[1] * (g.ndim - stays.ndim)), g, np.zeros((), g.dtype))


def _getitem(self, index):
    if type(index) is int or is_basic(index):
        return getitem(self, index)
    if isinstance(index, Tensor) and index.dtype.kind in "iu":
        return take(self, index, 0)
    return getitem(self, owned_index(index))


def owned_index(index):
    """An index with its tensors as arrays, and a copy of its arrays: the tape keeps them, and their owner may not."""
    if isinstance(index, tuple):
        return tuple([owned_index(part) for part in index])
    return look(index).copy() if isinstance(index, np.ndarray) else unwrap(index)


Tensor.__getitem__ = _getitem


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
        rest = np.broadcast_shapes(*[(*s[:axis], *s[axis + 1 :]) for s in (shape, indices.shape)])
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
    """
    return np.take_along_axis(x, indices, axis)


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
    """
    index, axis = as_array(index), axis_of(axis, x.ndim)
    corner = _within(x.shape, index.shape, axis)
    src = getitem(src, tuple([slice(0, n) for n in index.shape]))
    if corner is None:
        return x + untake_along_axis(src, index, x.shape, axis)
    shape = tuple([n if k == axis else m for k, (n, m) in enumerate(zip(x.shape, index.shape))])
    return x + unindex(untake_along_axis(src, index, shape, axis), x.shape, corner)


# Masks


@op(
    shape=lambda indices, n: _require_integers(indices) or Spec((*indices.shape, operator.index(n)), FLOAT32),
    sample=lambda d: (d.indices(d.shape(), 4), dict(n=4)),
    method=False,
)
def one_hot(indices, /, n: Count):
    """float32 of shape (*indices.shape, n): 1 at each index, 0 elsewhere. No gradient.

    Raises IndexError for an index outside [0, n).
    """
    _require_integers(indices)
    if indices.size and not 0 <= indices.min() <= indices.max() < n:
        raise IndexError(f"indices from {indices.min()} to {indices.max()}: wanted them in [0, {n})")
    return (indices[..., None] == np.arange(n)).astype(FLOAT32)


def _masked(x, keep):
    if x.ndim < 2:
        raise ValueError(f"wanted a matrix, or several along leading axes, got shape {x.shape}")
    return where(keep(*x.shape[-2:]), x, np.zeros((), x.dtype))


@composite(sample=lambda d: (d.array((2, 3, 4)), dict(k=d.integer(-4, 4))), numpy=np.tril)
def tril(x, /, k: int = 0):
    """The lower triangle of each matrix: what lies above the k-th diagonal is 0."""
    return _masked(x, lambda rows, columns: np.tri(rows, columns, k, bool))


@composite(sample=lambda d: (d.array((2, 3, 4)), dict(k=d.integer(-4, 4))), numpy=np.triu)
def triu(x, /, k: int = 0):
    """The upper triangle of each matrix: what lies below the k-th diagonal is 0."""
    return _masked(x, lambda rows, columns: ~np.tri(rows, columns, k - 1, bool))


_MODES = ("edge", "reflect", "symmetric", "wrap")


@composite(
    sample=lambda d: (
        d.array((3, 4)),
        dict(pad_width=d.choice([1, (1, 2), ((0, 2), (1, 0))]), mode=d.choice(["constant", *_MODES])),
    ),
    numpy=np.pad,
)
def pad(x, /, pad_width, mode="constant", constant_values=0):
    """x with a margin: `pad_width` elements before and after each axis, as np.pad.

    pad_width: one number, a pair (before, after), or a pair for each axis, the first axis first (PyTorch's order is the
    other way round). mode: "constant" fills in constant_values, given in these forms too; "edge", "reflect",
    "symmetric", "wrap" continue x.
    """
    widths = np.asarray(unwrap(pad_width))
    if widths.dtype.kind not in "iu":
        raise TypeError(f"pad_width {pad_width!r}: wanted integers, or pairs of them")
    widths = np.broadcast_to(widths, (x.ndim, 2)).tolist()
    if any(width < 0 for pair in widths for width in pair):
        raise ValueError(f"pad_width {pad_width}: a margin cannot be negative; cut with a slice")
    if mode in _MODES:
        for axis, pair in enumerate(widths):
            if any(pair):
                x = x[(slice(None),) * axis + (np.pad(np.arange(x.shape[axis]), pair, mode),)]
        return x
    if mode != "constant":
        raise ValueError(f"mode {mode!r}: wanted constant, {', '.join(_MODES)}")
    shape = tuple([before + n + after for n, (before, after) in zip(x.shape, widths)])
    inside = tuple([slice(before, before + n) for n, (before, _) in zip(x.shape, widths)])
    padded = unindex(x, shape, inside)
    values = np.broadcast_to(np.asarray(unwrap(constant_values), x.dtype), (x.ndim, 2))
    if not values.tobytes().strip(b"\0"):  # but -0.0
        return padded
    margin, inside_of = np.zeros(shape, x.dtype), np.zeros(shape, bool)
    for axis, ((before, after), n) in enumerate(zip(widths, shape)):  # the later axes' values fill the corners
        along = (slice(None),) * axis
        margin[(*along, slice(before))] = values[axis, 0]
        margin[(*along, slice(n - after, None))] = values[axis, 1]
    inside_of[inside] = True
    return where(inside_of, padded, margin)


# Order


def _sorted(x: Spec, axis=-1) -> Spec:
    if axis is not None:
        axis_of(axis, x.ndim)
    return Spec((x.size,) if axis is None else x.shape, np.dtype(np.intp))


@op(shape=_sorted, sample=lambda d: (x := d.array(d.shape(1)), dict(axis=d.axis(x.ndim))), numpy=np.argsort)
def argsort(x, /, axis=-1):
    """Indices that sort x along an axis, in ascending order; equal elements keep theirs. No gradient.

    None: of the flattened x. NaN comes last.
    """
    return np.argsort(x, axis if axis is None else axis_of(axis, x.ndim), kind="stable")


@composite(sample=lambda d: (d.array((3, 4)), dict(axis=d.choice([None, 0, 1, -1]))), numpy=np.sort)
def sort(x, /, axis=-1):
    """x sorted along an axis, in ascending order; None: flattened first. Values only: their indices are `argsort`."""
    return take_along_axis(x, argsort(x, axis), axis)


@composite(sample=lambda d: (d.array((3, 4)), dict(k=d.integer(0, 3), axis=d.choice([0, -1]), largest=d.boolean())))
def topk(x, /, k: Count, axis=-1, largest: bool = True):
    """(values, indices) of the k largest elements along an axis, the largest first; or of the k smallest.

    Of equal elements the first ones are taken. NaN counts as the largest.
    """
    axis = axis_of(axis, x.ndim)
    n = x.shape[axis]
    if not 0 <= k <= n:
        raise ValueError(f"k is {k}: wanted 0 to {n}, the size of axis {axis}")
    order = n - 1 - flip(argsort(flip(x, axis), axis), axis) if largest else argsort(x, axis)
    indices = order[(slice(None),) * axis + (slice(0, k),)]
    return take_along_axis(x, indices, axis), indices
