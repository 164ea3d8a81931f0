"""Joining, dividing, turning and repeating, as NumPy names them."""

import math

import numpy as np

from minigrad.ops.along import take
from minigrad.ops.elementwise import div, pow
from minigrad.ops.join import _cut, concatenate, split, stack
from minigrad.ops.linalg import diag
from minigrad.ops.numpy.declare import as_input, numbers, stands_for, tensors
from minigrad.ops.shape import (
    astype,
    axes_of,
    axis_of,
    broadcast_to,
    copy,
    flip,
    is_integer,
    moveaxis,
    reshape,
    shape_of,
    swapaxes,
    transpose,
)
from minigrad.ops.table import filled
from minigrad.symbolic import broadcast_shapes
from minigrad.tensor import Tensor


def cast(x, dtype):
    """x in another dtype, which keeps floats floats, as NumPy's casting="same_kind"."""
    if dtype is None or x.dtype == dtype:
        return x
    if not np.can_cast(x.dtype, dtype, "same_kind"):
        raise TypeError(f"got dtype={np.dtype(dtype)} for {x.dtype}; use astype, which rounds")
    return astype(x, dtype)


# Shape


def is_fortran(order) -> bool:
    if order not in ("C", "F"):
        raise ValueError(
            f"got order={order!r}: wanted 'C' or 'F', for a tensor's layout in memory is nothing to rely on"
        )
    return order == "F"


@stands_for(np.reshape)
def as_shape(x, /, shape, order="C"):
    if not is_fortran(order):
        return reshape(x, shape)
    return transpose(reshape(transpose(x), shape_of(shape)[::-1]))


@stands_for(np.ravel)
def ravel(x, /, order="C"):
    return reshape(transpose(x) if is_fortran(order) else x, (-1,))


def at_least(x, ndim: int):
    """x with new axes in front."""
    return x if x.ndim >= ndim else reshape(x, (1,) * (ndim - x.ndim) + x.shape)


def _each(arrays, function):
    results = tuple([function(x) for x in arrays])
    return results[0] if len(results) == 1 else results


def _three(x):
    return at_least(x, 2)[..., None] if x.ndim < 3 else x


@stands_for(np.atleast_1d)
def atleast_1d(*arrays):
    return _each(arrays, lambda x: at_least(x, 1))


@stands_for(np.atleast_2d)
def atleast_2d(*arrays):
    return _each(arrays, lambda x: at_least(x, 2))


@stands_for(np.atleast_3d)
def atleast_3d(*arrays):
    return _each(arrays, _three)


@stands_for(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x, /):
    return swapaxes(x, -1, -2)


@stands_for(np.rollaxis)
def rollaxis(x, /, axis, start=0):
    axis, start = axis_of(axis, x.ndim), axis_of(start, x.ndim + 1)
    return moveaxis(x, axis, start - (start > axis))


@stands_for(np.fliplr)
def fliplr(x, /):
    return flip(x, axis=1)


@stands_for(np.flipud)
def flipud(x, /):
    return flip(x, axis=0)


@stands_for(np.rot90)
def rot90(x, /, k=1, axes=(0, 1)):
    first, second = axes_of(tuple(axes), x.ndim)
    if k % 4 == 2:
        return flip(x, (first, second))
    return x if k % 4 == 0 else flip(swapaxes(x, first, second), first if k % 4 == 1 else second)


@stands_for(np.broadcast_arrays)
def broadcast_arrays(*arrays):
    shape = broadcast_shapes(*[x.shape for x in arrays])
    return tuple([broadcast_to(x, shape) for x in arrays])


@stands_for(np.meshgrid)
def meshgrid(*arrays, indexing="xy", sparse=False):
    if indexing not in ("xy", "ij"):
        raise ValueError(f"got indexing={indexing!r}, wanted 'xy' or 'ij'")
    n = len(arrays)
    lined = [reshape(x, (*[1] * k, -1, *[1] * (n - k - 1))) for k, x in enumerate(arrays)]
    if indexing == "xy" and n > 1:
        lined = [swapaxes(x, 0, 1) for x in lined]
    return tuple(lined) if sparse else broadcast_arrays(*lined)


# Joining


@stands_for(np.concatenate, np.concat)
def joined(arrays, /, axis=0, dtype=None):
    arrays = [ravel(x) for x in arrays] if axis is None else arrays
    return cast(concatenate(arrays, axis or 0), dtype)


@stands_for(np.stack)
def stacked(arrays, /, axis=0, dtype=None):
    return cast(stack(arrays, axis), dtype)


@stands_for(np.vstack)
def vstack(arrays, /, dtype=None):
    return joined([at_least(x, 2) for x in arrays], 0, dtype)


@stands_for(np.hstack)
def hstack(arrays, /, dtype=None):
    arrays = [at_least(x, 1) for x in arrays]
    return joined(arrays, 0 if arrays and arrays[0].ndim == 1 else 1, dtype)


@stands_for(np.dstack)
def dstack(arrays, /):
    return joined([_three(x) for x in arrays], 2)


@stands_for(np.column_stack)
def column_stack(arrays, /):
    return joined([x if x.ndim > 1 else reshape(x, (-1, 1)) for x in arrays], 1)


@stands_for(np.append)
def append(x, values, /, axis=None):
    return joined([x, values], axis)


def _depth(nested) -> int:
    return 1 + max([_depth(x) for x in nested], default=0) if isinstance(nested, list) else 0


@stands_for(np.block)
def block(nested):
    leaves = tensors(_leaves(nested))
    depth = _depth(nested)
    ndim = max([depth, *[x.ndim for x in leaves]])
    left = iter(leaves)

    def joined_from(part, depth):
        if not isinstance(part, list):
            if depth:
                raise ValueError("lists must be nested equally deep everywhere")
            return at_least(next(left), ndim)
        return concatenate([joined_from(x, depth - 1) for x in part], axis=-depth)

    return joined_from(nested, depth)


def _leaves(nested) -> list:
    return [leaf for x in nested for leaf in _leaves(x)] if isinstance(nested, list) else [nested]


# Dividing


@stands_for(np.array_split)
def array_split(x, /, indices_or_sections, axis=0):
    if not is_integer(indices_or_sections):
        return _cut(x, indices_or_sections, axis)
    if indices_or_sections < 1:
        raise ValueError(f"got {indices_or_sections} pieces, wanted at least 1")
    size, more = divmod(x.shape[axis_of(axis, x.ndim)], indices_or_sections)
    return split(x, [size + (k < more) for k in range(indices_or_sections)], axis)


@stands_for(np.hsplit)
def hsplit(x, /, indices_or_sections):
    return _cut(x, indices_or_sections, 0 if x.ndim == 1 else 1)


@stands_for(np.vsplit)
def vsplit(x, /, indices_or_sections):
    if x.ndim < 2:
        raise ValueError(f"got {x.ndim} dimensions, wanted 2 or more")
    return _cut(x, indices_or_sections, 0)


@stands_for(np.dsplit)
def dsplit(x, /, indices_or_sections):
    return _cut(x, indices_or_sections, 2)


# Taking out and putting in


@stands_for(np.delete)
def delete(x, /, obj, axis=None):
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    return take(x, np.delete(np.arange(x.shape[axis]), numbers(obj)), axis)


@stands_for(np.insert)
def insert(x, /, obj, values, axis=None):
    x, axis = (ravel(x), 0) if axis is None else (x, axis_of(axis, x.ndim))
    n = x.shape[axis]
    where = np.arange(n)[obj] if isinstance(obj, slice) else np.asarray(numbers(obj))
    where = np.flatnonzero(where) if where.dtype == bool else where
    values = at_least(astype(as_input(values, x.dtype), x.dtype), x.ndim)
    if where.ndim == 0:
        values = moveaxis(values, 0, axis)
    count = values.shape[axis] if where.size == 1 else where.size
    new = broadcast_to(values, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
    places = np.insert(np.arange(n), where, n + np.arange(count))
    return take(concatenate([x, new], axis), places, axis)


@stands_for(np.resize)
def resize(x, /, new_shape):
    shape = shape_of(new_shape)
    return reshape(take(ravel(x), np.arange(math.prod(shape)) % max(x.size, 1), 0), shape)


@stands_for(np.diagflat)
def diagflat(x, /, k=0):
    return diag(ravel(x), k)


@stands_for(np.vander)
def vander(x, /, N=None, increasing=False):
    n = x.shape[0] if N is None else N
    powers = np.arange(n, dtype=x.dtype)
    return pow(reshape(x, (-1, 1)), powers if increasing else powers[::-1].copy())


# Made of a shape


@stands_for(np.full_like)
def full_like(x, fill_value, /, dtype=None):
    return broadcast_to(astype(fill_value, dtype or x.dtype), x.shape)


stands_for(np.tril_indices_from)(lambda x, /, k=0: np.tril_indices_from(np.empty(x.shape, bool), k))
stands_for(np.triu_indices_from)(lambda x, /, k=0: np.triu_indices_from(np.empty(x.shape, bool), k))
stands_for(np.diag_indices_from)(lambda x, /: np.diag_indices_from(np.empty(x.shape, bool)))
stands_for(np.isrealobj)(lambda x, /: True)
stands_for(np.iscomplexobj)(lambda x, /: False)


@stands_for(np.result_type)
def result_type(*given):
    return np.result_type(*[x.dtype if isinstance(x, Tensor) else x for x in given])


@stands_for(np.empty_like)
def empty_like(x, /, dtype=None):
    return as_input(filled(x.shape, x.dtype if dtype is None else np.dtype(dtype)))


@stands_for(np.linspace)
def linspace(start, stop, /, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    return _spaced(start, stop, num, endpoint, retstep, dtype, axis)


def _spaced(start, stop, num, endpoint, retstep, dtype, axis):
    length = stop - start
    steps = num - 1 if endpoint else num
    shape = (num, *[1] * length.ndim)
    kind = np.result_type(length.dtype, np.float32 if length.dtype == np.float32 else np.float64)
    places = Tensor((np.arange(num) / max(steps, 1)).astype(kind).reshape(shape))
    spaced = cast(start + places * length, dtype)
    spaced = spaced if axis == 0 else moveaxis(spaced, 0, axis)
    return (spaced, div(length, steps)) if retstep else spaced


@stands_for(np.logspace)
def logspace(start, stop, /, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    return cast(pow(base, _spaced(start, stop, num, endpoint, False, None, axis)), dtype)


def _ravel(self, order="C"):
    """The elements in one line, as np.ravel."""
    return ravel(self, order)


def _flatten(self, order="C"):
    """The elements in one line, in memory of their own."""
    return copy(ravel(self, order))


Tensor.ravel, Tensor.flatten = _ravel, _flatten  # type: ignore[attr-defined]
