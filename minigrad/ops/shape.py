"""Ops that move numbers about and compute none. Most results are views."""

import math
import operator

import numpy as np

from minigrad.dtypes import STORAGE
from minigrad.ops.declare import composite, op
from minigrad.ops.table import Spec
from minigrad.symbolic import index
from minigrad.tensor import Tensor


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
    single = isinstance(shape, int) or (not isinstance(shape, (tuple, list)) and np.ndim(shape) == 0)
    return (index(shape),) if single else tuple([index(n) for n in shape])


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
    """The same elements, in C order, in another shape; one size may be -1. As a method, t.reshape(2, 3) too.

    Examples
    --------
    >>> mg.reshape(mg.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]], dtype=int64)
    """
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
    """x repeated, without a copy, along new leading axes and along axes of size 1.

    Examples
    --------
    >>> mg.broadcast_to([1, 2], (2, 2))
    tensor([[1, 2],
            [1, 2]], dtype=int64)
    """
    return np.broadcast_to(x, shape)


@composite(sample=lambda d: (d.array((2, 3)), dict(axis=d.choice([0, -1, (0, 2), (-1, 1)]))), numpy=np.expand_dims)
def expand_dims(x, /, axis):
    """New axes of size 1; `axis`, an integer or several, says where they are in the result.

    Examples
    --------
    >>> mg.expand_dims([1, 2], 1).shape
    (2, 1)
    """
    axes = axes_of(axis, x.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1))
    shape = list(x.shape)
    for a in sorted(axes):
        shape.insert(a, 1)
    return reshape(x, tuple(shape))


@composite(sample=lambda d: (d.array((1, 3, 1)), dict(axis=d.choice([None, 0, -1, (0, 2)]))), numpy=np.squeeze)
def squeeze(x, /, axis=None):
    """x without these axes, which must have size 1; without all such axes by default.

    Examples
    --------
    >>> mg.squeeze(mg.zeros((1, 3, 1))).shape
    (3,)
    """
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
    """Axes in another order; reversed by default. The method takes axes too: t.transpose(1, 0, 2).

    Examples
    --------
    >>> mg.transpose(mg.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
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
    """Two axes exchanged.

    Examples
    --------
    >>> mg.swapaxes(mg.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    return x.swapaxes(axis1, axis2)


@composite(
    sample=lambda d: (
        d.array((2, 3, 1)),
        d.choice([dict(source=0, destination=-1), dict(source=(0, -1), destination=(1, 0))]),
    ),
    numpy=np.moveaxis,
)
def moveaxis(x, /, source, destination):
    """Axes `source` moved to the places `destination` (integers or tuples); the others keep their order.

    Examples
    --------
    >>> mg.moveaxis(mg.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
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
    """The order of the elements reversed along an axis, several, or all (None).

    Examples
    --------
    >>> mg.flip([1, 2, 3])
    tensor([3, 2, 1], dtype=int64)
    """
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

    Examples
    --------
    >>> mg.roll([1, 2, 3, 4], 1)
    tensor([4, 1, 2, 3], dtype=int64)
    """
    return np.roll(x, shift, axis)


# Values as they are


def _cast(x: Spec, dtype) -> Spec:
    dtype = np.dtype(dtype)
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype == np.float16:
        hint = STORAGE if dtype == np.float16 else ""
        raise TypeError(f"no tensor has dtype {dtype}; wanted float32, float64, an integer type or bool{hint}")
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

    Examples
    --------
    >>> mg.astype([0.5, 2.5], "int64")
    tensor([0, 2], dtype=int64)
    """
    dtype = np.dtype(dtype)
    _cast(x, dtype)
    return x.astype(dtype, copy=False)


@op(shape=lambda x: Spec(x.shape, x.dtype), sample=lambda d: (d.array(d.shape()), {}), x=lambda g: g, numpy=np.copy)
def copy(x, /):
    """The same values in memory of their own.

    Examples
    --------
    >>> mg.copy([1, 2])
    tensor([1, 2], dtype=int64)
    """
    return x.copy()


def _unpacked(sizes: tuple):
    """t.reshape(2, 3) is t.reshape((2, 3))."""
    return sizes[0] if len(sizes) == 1 and not is_integer(sizes[0]) else sizes


Tensor.reshape = lambda self, *shape: reshape(self, _unpacked(shape))
Tensor.transpose = lambda self, *axes: transpose(self, _unpacked(axes)) if axes else transpose(self)
Tensor.T = property(transpose)
transpose.op.passes_products = swapaxes.op.passes_products = True
