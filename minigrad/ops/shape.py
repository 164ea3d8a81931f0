"""Ops that move numbers about and compute none. Most results are views."""

import math
import operator

import numpy as np

from minigrad.arguments import Size
from minigrad.ops.table import Spec, composite, op, publish
from minigrad.tensor import Tensor, as_array, look


def axis_of(axis, ndim: int) -> int:
    """An axis counted from the front."""
    try:
        k = operator.index(axis)
    except TypeError:
        raise TypeError(f"an axis must be an integer, got {axis!r}") from None
    if not -ndim <= k < ndim:
        raise ValueError(f"axis {k} does not fit {ndim} dimensions, wanted one from {-ndim} to {ndim - 1}")
    return k % ndim


def axes_of(axis, ndim: int) -> tuple[int, ...]:
    """The axes that `axis` (None for all, an integer, or several) means, counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, (tuple, list)):
        return (axis_of(axis, ndim),)
    axes = tuple([axis_of(a, ndim) for a in axis])
    if len(set(axes)) != len(axes):
        raise ValueError(f"axis {axis} names one axis twice")
    return axes


def shape_of(shape) -> tuple[int, ...]:
    return (operator.index(shape),) if np.ndim(shape) == 0 else tuple([operator.index(n) for n in shape])


def is_integer(x) -> bool:
    return isinstance(x, (int, np.integer))


# Shape and order of axes


def _reshaped(x: Spec, shape) -> tuple[int, ...]:
    shape = shape_of(shape)
    known = math.prod([n for n in shape if n != -1])
    if shape.count(-1) == 1 and known > 0 and x.size % known == 0:
        shape = tuple([x.size // known if n == -1 else n for n in shape])
    if math.prod(shape) != x.size or any(n < 0 for n in shape):
        raise ValueError(f"cannot give {x.size} elements the shape {shape}")
    return shape


@op(
    shape=_reshaped,
    sample=lambda d: (x := d.array(d.shape()), dict(shape=d.choice([(-1,), x.shape[::-1], (1, *x.shape)]))),
    x=lambda g, x_shape: reshape(g, x_shape),
    numpy=np.reshape,
    method=False,
    view=True,
)
def reshape(x, /, shape):
    """The same elements, in C order, in another shape; one size may be -1. As a method, t.reshape(2, 3) too."""
    return x.reshape(shape)


def _broadcast(x: Spec, shape) -> tuple[int, ...]:
    shape = shape_of(shape)
    stretches = all(a in (1, b) for a, b in zip(x.shape[::-1], shape[::-1]))
    if x.ndim > len(shape) or not stretches or any(n < 0 for n in shape):
        raise ValueError(f"cannot broadcast to {shape}: from the last axis on, sizes must be equal, or 1 here")
    return shape


@op(
    shape=_broadcast,
    sample=lambda d: (d.array((3, 1)), dict(shape=d.choice([(3, 4), (2, 3, 1), (2, 3, 5)]))),
    x=lambda g: g,  # the tape sums what was broadcast
    numpy=np.broadcast_to,
    view=True,
)
def broadcast_to(x, /, shape):
    """x repeated, without a copy, along new leading axes and along axes of size 1."""
    return np.broadcast_to(x, shape)


@composite(sample=lambda d: (d.array((2, 3)), dict(axis=d.choice([0, -1, (0, 2), (-1, 1)]))), numpy=np.expand_dims)
def expand_dims(x, /, axis):
    """New axes of size 1; `axis`, an integer or several, says where they are in the result."""
    axes = axes_of(axis, x.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1))
    shape = list(x.shape)
    for a in sorted(axes):
        shape.insert(a, 1)
    return reshape(x, tuple(shape))


@composite(sample=lambda d: (d.array((1, 3, 1)), dict(axis=d.choice([None, 0, -1, (0, 2)]))), numpy=np.squeeze)
def squeeze(x, /, axis=None):
    """x without these axes, which must have size 1; without all such axes by default."""
    axes = [k for k, n in enumerate(x.shape) if n == 1] if axis is None else axes_of(axis, x.ndim)
    if any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"axis {axis} of shape {x.shape}: only axes of size 1 can go")
    return reshape(x, tuple([n for k, n in enumerate(x.shape) if k not in axes]))


def _permuted(x: Spec, axes=None) -> tuple[int, ...]:
    order = range(x.ndim)[::-1] if axes is None else [axis_of(a, x.ndim) for a in shape_of(axes)]
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"axes {axes} are no permutation of the {x.ndim} axes")
    return tuple([x.shape[k] for k in order])


@op(
    shape=_permuted,
    sample=lambda d: (x := d.array(d.shape()), dict(axes=d.choice([None, d.permutation(x.ndim)]))),
    x=lambda g, axes: transpose(g, None if axes is None else tuple(np.argsort([a % len(axes) for a in axes]).tolist())),
    numpy=np.transpose,
    method=False,
    view=True,
)
def transpose(x, /, axes=None):
    """Axes in another order; reversed by default. The method takes axes too: t.transpose(1, 0, 2)."""
    return x.transpose(axes)


def _swapped(x: Spec, axis1, axis2) -> tuple[int, ...]:
    a, b = axis_of(axis1, x.ndim), axis_of(axis2, x.ndim)
    shape = list(x.shape)
    shape[a], shape[b] = shape[b], shape[a]
    return tuple(shape)


@op(
    shape=_swapped,
    sample=lambda d: (x := d.array(d.shape(1)), dict(axis1=d.axis(x.ndim), axis2=d.axis(x.ndim))),
    x=lambda g, axis1, axis2: swapaxes(g, axis1, axis2),
    numpy=np.swapaxes,
    view=True,
)
def swapaxes(x, /, axis1, axis2):
    """Two axes exchanged."""
    return x.swapaxes(axis1, axis2)


@composite(
    sample=lambda d: (
        d.array((2, 3, 1)),
        d.choice([dict(source=0, destination=-1), dict(source=(0, -1), destination=(1, 0))]),
    ),
    numpy=np.moveaxis,
)
def moveaxis(x, /, source, destination):
    """Axes `source` moved to the places `destination` (integers or tuples); the others keep their order."""
    source, destination = axes_of(source, x.ndim), axes_of(destination, x.ndim)
    if len(source) != len(destination):
        raise ValueError(f"{len(source)} axes cannot move to {len(destination)} places")
    order = [k for k in range(x.ndim) if k not in source]
    for to, a in sorted(zip(destination, source)):
        order.insert(to, a)
    return transpose(x, tuple(order))


def _along(x: Spec, axis=None) -> tuple[int, ...]:
    axes_of(axis, x.ndim)
    return x.shape


@op(
    shape=_along,
    sample=lambda d: (x := d.array(d.shape()), dict(axis=d.axes(x.ndim))),
    x=lambda g, axis: flip(g, axis),
    numpy=np.flip,
    view=True,
)
def flip(x, /, axis=None):
    """The order of the elements reversed along an axis, several, or all (None)."""
    return np.flip(x, axis if axis is None else axes_of(axis, x.ndim))


def _rolled(x: Spec, shift, axis=None) -> tuple[int, ...]:
    shifts, axes = len(shape_of(shift)), 1 if axis is None else len(shape_of(axis))
    for a in () if axis is None else shape_of(axis):
        axis_of(a, x.ndim)
    if shifts != axes and 1 not in (shifts, axes):
        raise ValueError(f"{shifts} shifts for {axes} axes: wanted one for each, or one for all")
    return x.shape


@op(
    shape=_rolled,
    sample=lambda d: (
        d.array((3, 4)),
        d.choice([dict(shift=d.integer(-5, 5)), dict(shift=2, axis=-1), dict(shift=(1, -2), axis=(0, 1))]),
    ),
    x=lambda g, shift, axis: roll(g, tuple([-s for s in shape_of(shift)]), axis),
    numpy=np.roll,
)
def roll(x, /, shift, axis=None):
    """Elements moved on by `shift` places along an axis, those that fall off the end put in front.

    Several shifts go with several axes. None: along the flattened x, which then gets its shape back.
    """
    return np.roll(x, shift, axis)


# Joining and dividing


def _concatenated(*arrays: Spec, axis=0) -> tuple[int, ...]:
    if not arrays:
        raise ValueError("wanted at least one tensor")
    first = arrays[0]
    axis = axis_of(axis, first.ndim)
    for x in arrays:
        if x.ndim != first.ndim or any(x.shape[k] != first.shape[k] for k in range(first.ndim) if k != axis):
            raise ValueError(f"shapes must agree but on axis {axis}")
    return tuple([n if k != axis else sum([x.shape[axis] for x in arrays]) for k, n in enumerate(first.shape)])


@op(
    shape=_concatenated,
    sample=lambda d: ([d.array((2, 3)), d.array((d.integer(0, 3), 3))], dict(axis=d.choice([0, -2]))),
    arrays=lambda g, arrays_shape, axis: split(g, [s[axis] for s in arrays_shape], axis),
    numpy=(np.concatenate, np.concat),
    method=False,
)
def concatenate(arrays, /, axis=0):
    """A sequence of tensors, one after another along an axis that they have."""
    return np.concatenate(arrays, operator.index(axis))


def _sizes(n: int, sections) -> list[int]:
    """Sizes of the pieces of n: `sections` is a number of equal pieces, or the sizes."""
    if is_integer(sections):
        if sections < 1 or n % sections:
            raise ValueError(f"cannot split {n} into {sections} equal pieces; give their sizes, or use chunk")
        return [n // sections] * int(sections)
    sizes = list(shape_of(sections))
    if sum(sizes) != n or any(m < 0 for m in sizes):
        raise ValueError(f"pieces of sizes {sizes} do not add up to {n}")
    return sizes


def _pieces(x: Spec, sections, axis=0) -> list[Spec]:
    axis = axis_of(axis, x.ndim)
    return [Spec((*x.shape[:axis], m, *x.shape[axis + 1 :]), x.dtype) for m in _sizes(x.shape[axis], sections)]


def _piece(x_shape, k: int, sections, axis):
    axis = axis_of(axis, len(x_shape))
    sizes = _sizes(x_shape[axis], sections)
    start = sum(sizes[:k])
    return (*[slice(None)] * axis, slice(start, start + sizes[k]), ...)


@op(
    shape=_pieces,
    sample=lambda d: (d.array((4, 6)), dict(sections=d.choice([2, (1, 2, 3)]), axis=d.choice([1, -1]))),
    x=lambda g, axis: concatenate(g, axis),
    view=True,
    place=lambda x_shape, k, sections, axis: _piece(x_shape, k, sections, axis),
)
def split(x, /, sections, axis=0):
    """A list of pieces along an axis. sections: the number of equal pieces, or (as in PyTorch) the size of each.

    np.split of a tensor, which takes the places of the cuts, works as in NumPy.
    """
    where = [slice(None)] * x.ndim
    pieces, start = [], 0
    for size in _sizes(x.shape[axis], sections):
        where[axis] = slice(start, start + size)
        pieces.append(x[tuple(where)])
        start += size
    return pieces


def _cut(x, indices_or_sections, axis=0):
    if not is_integer(indices_or_sections):
        n = x.shape[axis]
        cuts = [min(max(c + n if c < 0 else c, 0), n) for c in indices_or_sections]
        indices_or_sections = [end - start for start, end in zip([0, *cuts], [*cuts, n])]
    return split(x, indices_or_sections, axis)


publish(_cut, np.split, method=False)


@composite(sample=lambda d: (d.array((5, 3)), dict(chunks=d.integer(1, 6))))
def chunk(x, /, chunks: Size, axis=0):
    """A list of pieces of equal size along an axis, the last one smaller where it must be, `chunks` of them at most.

    As torch.chunk: the size is n / chunks rounded up, so that there may be fewer.
    """
    n = x.shape[axis_of(axis, x.ndim)]
    size = -(-n // chunks)
    return split(x, [min(size, n - start) for start in range(0, n, size)] if n else [0] * chunks, axis)


def _stacked(*arrays: Spec, axis=0) -> tuple[int, ...]:
    if not arrays:
        raise ValueError("wanted at least one tensor")
    if any(x.shape != arrays[0].shape for x in arrays):
        raise ValueError("wanted tensors of one shape")
    axis = axis_of(axis, arrays[0].ndim + 1)
    return (*arrays[0].shape[:axis], len(arrays), *arrays[0].shape[axis:])


@op(
    shape=_stacked,
    sample=lambda d: ([d.array((2, 3)) for _ in range(d.integer(1, 3))], dict(axis=d.choice([0, 1, 2, -1]))),
    arrays=lambda g, axis: unstack(g, axis),
    numpy=np.stack,
    method=False,
)
def stack(arrays, /, axis=0):
    """Tensors of one shape along a new axis."""
    if axis == 0 and arrays and arrays[0].ndim and len({x.shape for x in arrays}) == 1:  # np.stack is slow
        return np.concatenate(arrays).reshape(len(arrays), *arrays[0].shape)
    return np.stack(arrays, operator.index(axis))


def _unstacked(x: Spec, axis=0) -> list[Spec]:
    axis = axis_of(axis, x.ndim)
    return [Spec(x.shape[:axis] + x.shape[axis + 1 :], x.dtype)] * x.shape[axis]


@op(
    shape=_unstacked,
    sample=lambda d: (d.array((3, 2)), dict(axis=d.choice([0, 1, -1]))),
    x=lambda g, axis: stack(g, axis),
    numpy=np.unstack,
    view=True,
    place=lambda x_shape, k, axis: (*[slice(None)] * axis_of(axis, len(x_shape)), k, ...),
)
def unstack(x, /, axis=0):
    """A list of the slices along an axis; along the first it is what iteration over a tensor gives."""
    first = x if axis == 0 else np.moveaxis(x, axis, 0)
    return [first[k, ...] for k in range(len(first))]


# Repeating


@composite(sample=lambda d: (d.array((2, 3)), dict(reps=d.choice([2, (3,), (2, 2), (2, 1, 2), (0, 1)]))), numpy=np.tile)
def tile(x, /, reps):
    """x laid out `reps` times along each axis (np.tile; in PyTorch, torch.tile and Tensor.repeat)."""
    reps = shape_of(reps)
    ndim = max(len(reps), x.ndim)
    reps, shape = (1,) * (ndim - len(reps)) + reps, (1,) * (ndim - x.ndim) + x.shape
    apart = [size for n in shape for size in (1, n)]
    repeated = [size for r, n in zip(reps, shape) for size in (r, n)]
    together = tuple([r * n for r, n in zip(reps, shape)])
    return reshape(broadcast_to(reshape(x, tuple(apart)), tuple(repeated)), together)


@composite(
    sample=lambda d: (
        d.array((2, 3)),
        d.choice([dict(repeats=2), dict(repeats=2, axis=-1), dict(repeats=(2, 0, 1), axis=1)]),
    ),
    numpy=np.repeat,
)
def repeat(x, /, repeats, axis=None):
    """Each element in turn `repeats` times, an integer or one for each, along an axis; None: of the flattened x.

    As np.repeat and torch.repeat_interleave.
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = axis_of(axis, x.ndim)
    if not is_integer(repeats):
        return x[(slice(None),) * axis + (np.repeat(np.arange(x.shape[axis]), look(as_array(repeats))),)]
    before, n, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    apart = broadcast_to(reshape(x, (*before, n, 1, *after)), (*before, n, repeats, *after))
    return reshape(apart, (*before, n * repeats, *after))


# Values as they are


def _cast(x: Spec, dtype) -> Spec:
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype == np.float16:
        raise TypeError(f"no tensor has dtype {dtype}; wanted float32, float64, an integer type or bool")
    return Spec(x.shape, dtype)


@op(
    shape=_cast,
    sample=lambda d: (d.array(d.shape()), dict(dtype="float64")),
    x=lambda g: g,
    numpy=np.astype,
    view=True,
)
def astype(x, /, dtype):
    """The values in another dtype, rounded; no copy if it is x's own. The gradient comes back in x's dtype.

    A cast to integers or bool is off the tape.
    """
    dtype = np.dtype(dtype)
    _cast(x, dtype)
    return x.astype(dtype, copy=False)


@op(shape=lambda x: Spec(x.shape, x.dtype), sample=lambda d: (d.array(d.shape()), {}), x=lambda g: g, numpy=np.copy)
def copy(x, /):
    """The same values in memory of their own."""
    return x.copy()


def _unpacked(sizes: tuple):
    """t.reshape(2, 3) is t.reshape((2, 3))."""
    return sizes[0] if len(sizes) == 1 and not is_integer(sizes[0]) else sizes


Tensor.reshape = lambda self, *shape: reshape(self, _unpacked(shape))
Tensor.transpose = lambda self, *axes: transpose(self, _unpacked(axes)) if axes else transpose(self)
Tensor.T = property(transpose)
transpose.op.passes_products = swapaxes.op.passes_products = True


def _iter(self):
    if not self.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unstack(self))


Tensor.__iter__ = _iter
