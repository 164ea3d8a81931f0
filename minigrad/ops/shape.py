"""Ops that move numbers about and compute none. Most results are views."""

import math

import numpy as np

from minigrad.ops.table import Elementwise, Spec, op
from minigrad.tensor import Tensor


def sum_to(x, *, shape):
    return Elementwise.namespace["sum_to"](x, shape=shape)


def shape_of(shape) -> tuple[int, ...]:
    return (int(shape),) if np.ndim(shape) == 0 else tuple([int(n) for n in shape])


def reshaped(x: Spec, shape) -> tuple[int, ...]:
    shape = shape_of(shape)
    known = math.prod(n for n in shape if n != -1)
    if shape.count(-1) == 1 and known and x.size % known == 0:
        shape = tuple(x.size // known if n == -1 else n for n in shape)
    if math.prod(shape) != x.size or -1 in shape:
        raise ValueError(f"cannot give {x.size} elements the shape {shape}")
    return shape


@op(
    shape=reshaped,
    sample=lambda d: (x := d.array(d.shape()), dict(shape=d.choice([(-1,), x.shape[::-1], (1, *x.shape)]))),
    x=lambda g, x_shape: reshape(g, x_shape),
    numpy=np.reshape,
    method=False,
)
def reshape(x, /, shape):
    """The same elements, in C order, in another shape; one size may be -1."""
    return x.reshape(shape)


@op(
    shape=lambda x, shape: np.broadcast_shapes(x.shape, shape_of(shape)) if _stretches(x.shape, shape_of(shape)) else None,
    sample=lambda d: (d.array((3, 1)), dict(shape=d.choice([(3, 4), (2, 3, 1), (2, 3, 5)]))),
    x=lambda g, x_shape: sum_to(g, shape=x_shape),
    numpy=np.broadcast_to,
)
def broadcast_to(x, /, shape):
    """x repeated, without a copy, along new leading axes and along axes of size 1."""
    return np.broadcast_to(x, shape)


def _stretches(old, new) -> bool:
    if len(old) > len(new) or any(a not in (1, b) for a, b in zip(old[::-1], new[::-1])):
        raise ValueError(f"cannot broadcast to {new}: from the last axis on, sizes must be equal, or 1 here")
    return True


def permuted(x: Spec, axes=None) -> tuple[int, ...]:
    order = tuple(range(x.ndim))[::-1] if axes is None else tuple(a % max(x.ndim, 1) for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"axes {axes} are no permutation of the {x.ndim} axes")
    return tuple(x.shape[k] for k in order)


@op(
    shape=permuted,
    sample=lambda d: (x := d.array(d.shape()), dict(axes=d.choice([None, d.permutation(x.ndim)]))),
    x=lambda g, axes: transpose(g, axes=None if axes is None else tuple(np.argsort([a % len(axes) for a in axes]))),
    numpy=np.transpose,
    method=False,
)
def transpose(x, /, axes=None):
    """Axes in another order; reversed by default."""
    return np.transpose(x, axes)


@op(
    shape=lambda x, a, b: _swapped(x, a, b),
    sample=lambda d: (x := d.array(d.shape(1)), dict(a=d.axis(x.ndim), b=d.axis(x.ndim))),
    x=lambda g, a, b: swapaxes(g, a, b),
    numpy=np.swapaxes,
)
def swapaxes(x, /, a, b):
    """Two axes exchanged."""
    return np.swapaxes(x, a, b)


def _swapped(x: Spec, a, b):
    if not (-x.ndim <= a < x.ndim and -x.ndim <= b < x.ndim):
        raise ValueError(f"axes {a} and {b} do not fit {x.ndim} dimensions")
    shape = list(x.shape)
    shape[a], shape[b] = shape[b], shape[a]
    return tuple(shape)


@op(
    shape=lambda *arrays, axis=0: _concatenated(arrays, axis),
    sample=lambda d: ([d.array((2, 3)), d.array((d.integer(0, 3), 3))], dict(axis=0)),
    arrays=lambda g, arrays_shape, axis: split(g, [s[axis] for s in arrays_shape], axis),
    numpy=(np.concatenate, np.concat),
    method=False,
)
def concatenate(arrays, /, axis=0):
    """A sequence of tensors, one after another along an axis that they have."""
    return np.concatenate(arrays, axis)


def _concatenated(arrays, axis):
    if not arrays:
        raise ValueError("wanted at least one tensor")
    first = arrays[0]
    if not -first.ndim <= axis < first.ndim:
        raise ValueError(f"axis {axis} does not fit {first.ndim} dimensions")
    axis %= first.ndim
    for x in arrays:
        if x.ndim != first.ndim or any(x.shape[k] != first.shape[k] for k in range(first.ndim) if k != axis):
            raise ValueError(f"shapes must agree but on axis {axis}")
    return tuple(n if k != axis else sum(x.shape[axis] for x in arrays) for k, n in enumerate(first.shape))


def sizes_of(n: int, sections) -> list[int]:
    """Sizes of the pieces of n: `sections` is a number of equal pieces, or the sizes."""
    if isinstance(sections, (int, np.integer)):
        if sections < 1 or n % sections:
            raise ValueError(f"cannot split {n} into {sections} equal pieces; give their sizes, or use chunk")
        return [n // sections] * int(sections)
    if sum(sections) != n:
        raise ValueError(f"pieces of sizes {list(sections)} do not add up to {n}")
    return list(sections)


@op(
    shape=lambda x, sections, axis: [
        Spec(tuple(m if k == axis % x.ndim else n for k, n in enumerate(x.shape)), x.dtype)
        for m in sizes_of(x.shape[axis], sections)
    ],
    sample=lambda d: (d.array((4, 6)), dict(sections=d.choice([2, (1, 2, 3)]), axis=d.choice([1, -1]))),
    x=lambda g, axis: concatenate(g, axis),
)
def split(x, /, sections, axis=0):
    """A list of pieces along an axis. sections: the number of equal pieces, or (as in PyTorch) the size of each."""
    sizes = sizes_of(x.shape[axis], sections)
    where = [slice(None)] * x.ndim
    pieces, start = [], 0
    for size in sizes:
        where[axis] = slice(start, start + size)
        pieces.append(x[tuple(where)])
        start += size
    return pieces


@op(
    shape=lambda *arrays, axis=0: _stacked(arrays, axis),
    sample=lambda d: ([d.array((2, 3)) for _ in range(d.integer(1, 3))], dict(axis=d.choice([0, 1, 2, -1]))),
    arrays=lambda g, axis, arrays_shape: [reshape(p, s) for p, s in zip(split(g, len(arrays_shape), axis), arrays_shape)],
    numpy=np.stack,
    method=False,
)
def stack(arrays, /, axis=0):
    """Tensors of one shape along a new axis."""
    return np.stack(arrays, axis)


def _stacked(arrays, axis):
    if not arrays:
        raise ValueError("wanted at least one tensor")
    if any(x.shape != arrays[0].shape for x in arrays):
        raise ValueError("wanted tensors of one shape")
    ndim = arrays[0].ndim + 1
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} does not fit {ndim} dimensions")
    shape = list(arrays[0].shape)
    shape.insert(axis % ndim, len(arrays))
    return tuple(shape)


def _unpacked(sizes: tuple):
    """t.reshape(2, 3) is t.reshape((2, 3))."""
    return sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer)) else sizes


Tensor.reshape = lambda self, *shape: reshape(self, _unpacked(shape))
Tensor.transpose = lambda self, *axes: transpose(self, _unpacked(axes) if axes else None)


@op(
    shape=lambda x: [Spec(x.shape[1:], x.dtype)] * x.shape[0],
    sample=lambda d: (d.array((3, 2)), {}),
    x=lambda g: stack(g),
    name="unstack",
)
def unstack(x, /):
    """A list of the slices along the first axis: what iteration over a tensor gives."""
    return list(x)


Tensor.__iter__ = lambda self: iter(unstack(self))
