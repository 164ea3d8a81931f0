"""Ops that move numbers about: what is left of them is reshape, transpose, broadcast_to, getitem and concatenate.

A rule takes the program, the inputs and the parameters of a call, and gives the value or the list of values that stands
for it, or None where the call is in its canonical form already.
"""

import numpy as np

from minigrad.ops.shape import _reshaped, _sizes, axes_of, axis_of, shape_of


def reshape(p, x, shape):
    shape = _reshaped(x, shape)
    if shape == x.shape:
        return x
    if is_op(x, "reshape"):
        return p.apply("reshape", x.inputs[0], shape=shape)
    return None if type(shape) is tuple else p.apply("reshape", x, shape=shape)


def broadcast_to(p, x, shape):
    return x if tuple(shape) == x.shape else None


def transpose(p, x, axes=None):
    order = tuple(range(x.ndim)[::-1]) if axes is None else axes_of(axes, x.ndim)
    if order == tuple(range(x.ndim)):
        return x
    if is_op(x, "transpose"):
        inner = x.params["axes"]
        return p.apply("transpose", x.inputs[0], axes=tuple([inner[k] for k in order]))
    return None if order == axes else p.apply("transpose", x, axes=order)


def swapaxes(p, x, axis1, axis2):
    order = list(range(x.ndim))
    a, b = axis_of(axis1, x.ndim), axis_of(axis2, x.ndim)
    order[a], order[b] = order[b], order[a]
    return p.apply("transpose", x, axes=tuple(order))


def flip(p, x, axis=None):
    axes = axes_of(axis, x.ndim)
    return p.apply("getitem", x, index=tuple([slice(None, None, -1 if k in axes else 1) for k in range(x.ndim)]))


def roll(p, x, shift, axis=None):
    if axis is None:
        return p.apply("reshape", roll(p, p.apply("reshape", x, shape=(x.size,)), shift, 0), shape=x.shape)
    pairs = np.broadcast(shape_of(shift), shape_of(axis))
    for by, axis in pairs:
        axis = axis_of(int(axis), x.ndim)
        by = int(by) % max(1, x.shape[axis])
        if by:
            x = p.apply("concatenate", along(p, x, axis, slice(-by, None)), along(p, x, axis, slice(-by)), axis=axis)
    return x


def concatenate(p, *arrays, axis=0):
    if len(arrays) == 1:
        return arrays[0]
    k = axis_of(axis, arrays[0].ndim)
    return None if type(axis) is int and k == axis else p.apply("concatenate", *arrays, axis=k)


def split(p, x, sections, axis=0):
    axis, start, pieces = axis_of(axis, x.ndim), 0, []
    for size in _sizes(x.shape[axis], sections):
        pieces.append(along(p, x, axis, slice(start, start + size)))
        start += size
    return pieces


def stack(p, *arrays, axis=0):
    axis = axis_of(axis, arrays[0].ndim + 1)
    shape = (*arrays[0].shape[:axis], 1, *arrays[0].shape[axis:])
    return p.apply("concatenate", *[p.apply("reshape", x, shape=shape) for x in arrays], axis=axis)


def unstack(p, x, axis=0):
    axis = axis_of(axis, x.ndim)
    return [along(p, x, axis, k) for k in range(x.shape[axis])]


def astype(p, x, dtype):
    if np.dtype(dtype) == x.dtype:
        return x
    return None if isinstance(dtype, np.dtype) else p.apply("astype", x, dtype=np.dtype(dtype))


def copy(p, x):
    return x  # values of a program do not change


def along(p, x, axis: int, part):
    """A slice, or one place, along an axis."""
    return p.apply("getitem", x, index=(*[slice(None)] * axis, part))


def is_op(value, name: str) -> bool:
    return getattr(value.op, "name", None) == name


CANONICAL = {
    f.__name__: f
    for f in (reshape, broadcast_to, transpose, swapaxes, flip, roll, concatenate, split, stack, unstack, astype, copy)
}
