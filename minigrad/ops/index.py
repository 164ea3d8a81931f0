"""Indexing, x[index], in both directions; triangles and margins.

Every op that picks elements has its transpose beside it, which adds elements back where they were picked: an index that
names an element twice sends it both gradients. Each of the two is the other's vjp.
"""

import math

import numpy as np

from minigrad.kernels.segments import add_up
from minigrad.ops.declare import composite, op
from minigrad.ops.elementwise import where
from minigrad.ops.table import FLOAT32, Spec
from minigrad.symbolic import broadcast_shapes, has_sizes, slice_bounds, slice_length
from minigrad.symbolic import index as size_as_index
from minigrad.tensor import look, unwrap

# x[index]


def is_basic(index) -> bool:
    """Whether an index is made of integers, slices, None and Ellipsis, so that the result is a view."""
    for p in index if type(index) is tuple else (index,):
        if not (p is None or p is Ellipsis or isinstance(p, (slice, int, np.integer))) or isinstance(p, bool):
            return False
    return True


def complete(index, shape) -> tuple[tuple, tuple]:
    """(a basic index with one entry an axis, the shape of its result)

    An axis that None makes is in the shape alone. A slice that takes nothing, or that runs backwards to the front, has
    no stop that is counted from the front: the stop is then None. Raises IndexError for what is outside of the shape.
    """
    index = index if isinstance(index, tuple) else (index,)
    named = sum([part is not None and part is not Ellipsis for part in index])
    if named > len(shape) or sum([part is Ellipsis for part in index]) > 1:
        raise IndexError(f"an index of {named} entries does not fit {len(shape)} dimensions")
    whole: list = []
    result: list = []
    for part in index if any(part is Ellipsis for part in index) else (*index, Ellipsis):
        if part is None:
            result.append(1)
            continue
        for entry in [slice(None)] * (len(shape) - named) if part is Ellipsis else [part]:
            n = shape[len(whole)]
            if isinstance(entry, slice):
                start, stop, step = slice_bounds(entry, n)
                size = slice_length(start, stop, step)
                whole.append(slice(start, stop if stop >= 0 else None, step) if size else slice(0, 0, 1))
                result.append(size)
            else:
                k = size_as_index(entry)
                if not -n <= k < n:
                    raise IndexError(f"index {k} is out of bounds for an axis of {n} elements")
                whole.append(k + n if k < 0 else k)
    return tuple(whole), tuple(result)


def _indexed(x: Spec, index) -> tuple[int, ...]:
    if (has_sizes(x.shape) or has_sizes(index)) and is_basic(index):
        return complete(index, x.shape)[1]
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
    """x[index], as NumPy: integers, slices, None, Ellipsis, integer arrays, boolean masks.

    Examples
    --------
    >>> mg.getitem([[1, 2], [3, 4]], (slice(None), 0))
    tensor([1, 3], dtype=int64)
    """
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
    if g.size == 0:
        return np.zeros(shape, g.dtype)
    return add_up(g.reshape(-1, width), places.reshape(-1), math.prod(shape) // width).reshape(shape)


def _overwritten(x: Spec, value: Spec, index) -> Spec:
    selected = _indexed(x, index)
    try:
        fits = broadcast_shapes(value.shape, selected) == selected
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


def owned_index(index):
    """An index with its tensors as arrays, and a copy of its arrays: the tape keeps them, and their owner may not."""
    if isinstance(index, tuple):
        return tuple([owned_index(part) for part in index])
    return look(index).copy() if isinstance(index, np.ndarray) else unwrap(index)


# Masks and margins


def _masked(x, keep):
    if x.ndim < 2:
        raise ValueError(f"wanted a matrix, or several along leading axes, got shape {x.shape}")
    return where(keep(*x.shape[-2:]), x, np.zeros((), x.dtype))


@composite(sample=lambda d: (d.array((2, 3, 4)), dict(k=d.integer(-4, 4))), numpy=np.tril)
def tril(x, /, k: int = 0):
    """The lower triangle of each matrix: what lies above the k-th diagonal is 0.

    Examples
    --------
    >>> mg.tril([[1, 2], [3, 4]])
    tensor([[1, 0],
            [3, 4]], dtype=int64)
    """
    return _masked(x, lambda rows, columns: np.tri(rows, columns, k, bool))


@composite(sample=lambda d: (d.array((2, 3, 4)), dict(k=d.integer(-4, 4))), numpy=np.triu)
def triu(x, /, k: int = 0):
    """The upper triangle of each matrix: what lies below the k-th diagonal is 0.

    Examples
    --------
    >>> mg.triu([[1, 2], [3, 4]])
    tensor([[1, 2],
            [0, 4]], dtype=int64)
    """
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

    Examples
    --------
    >>> mg.pad([1, 2], (1, 2))
    tensor([0, 1, 2, 0, 0], dtype=int64)
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
