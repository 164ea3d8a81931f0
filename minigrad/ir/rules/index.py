"""Picking elements and adding them back: slices of every axis, or slices along one axis at given places."""

import math

import numpy as np

from minigrad.ops.index import _reach, is_basic
from minigrad.ops.shape import axis_of


def getitem(p, x, index):
    """A basic index has one entry an axis, an integer or a slice, counted from the front. Of others, `take` remains."""
    if not is_basic(index):
        flat, places, shape = picked(p, x.shape, x, index)
        return p.apply("reshape", p.apply("take", flat, p.constant(places), axis=0), shape=shape)
    whole, shape = complete(index, x.shape)
    if whole == tuple([slice(0, n, 1) for n in x.shape]):
        return p.apply("reshape", x, shape=shape)
    taken = x if whole == index else p.apply("getitem", x, index=whole)
    return None if taken is x else p.apply("reshape", taken, shape=shape)


def unindex(p, g, shape, index):
    shape = tuple(shape)
    if not is_basic(index):
        _, places, _ = picked(p, shape, None, index)
        width = math.prod(shape[_reach(index, len(shape)) :])
        rows = p.apply("reshape", g, shape=(*places.shape, width))
        back = p.apply("untake", rows, p.constant(places), shape=(math.prod(shape) // max(1, width), width), axis=0)
        return p.apply("reshape", back, shape=shape)
    whole, _ = complete(index, shape)
    if whole == tuple([slice(0, n, 1) for n in shape]):
        return p.apply("reshape", g, shape=shape)
    inner = tuple([len(range(*s.indices(n))) for s, n in zip(whole, shape) if isinstance(s, slice)])
    if whole == index and g.shape == inner:
        return None
    return p.apply("unindex", p.apply("reshape", g, shape=inner), shape=shape, index=whole)


def index_put(p, x, value, index):
    """Of a basic index: it has one entry an axis, and the value the shape that it selects."""
    if not is_basic(index):
        return None
    whole, selected = complete(index, x.shape)
    shape = tuple([len(range(*s.indices(n))) for s, n in zip(whole, x.shape) if isinstance(s, slice)])
    if whole == index and value.shape == shape:
        return None
    value = p.apply("broadcast_to", value, shape=selected)
    return p.apply("index_put", x, p.apply("reshape", value, shape=shape), index=whole)


def complete(index, shape) -> tuple[tuple, tuple]:
    """(a basic index with one entry an axis, the shape of its result)

    An axis that None makes is in the shape alone. A slice that takes nothing, or that runs backwards to the front, has
    no stop that is counted from the front: the stop is then None.
    """
    index = index if isinstance(index, tuple) else (index,)
    named = sum([part is not None and part is not Ellipsis for part in index])
    whole: list = []
    result: list = []
    for part in index if any(part is Ellipsis for part in index) else (*index, Ellipsis):
        if part is None:
            result.append(1)
            continue
        for entry in [slice(None)] * (len(shape) - named) if part is Ellipsis else [part]:
            n = shape[len(whole)]
            if isinstance(entry, slice):
                start, stop, step = entry.indices(n)
                size = len(range(start, stop, step))
                whole.append(slice(start, stop if stop >= 0 else None, step) if size else slice(0, 0, 1))
                result.append(size)
            else:
                whole.append(int(entry) % n)
    return tuple(whole), tuple(result)


def picked(p, shape, x, index):
    """(x with the axes that an index reaches made one, the places along it, the shape of the result)"""
    from minigrad.tensor import unwrap

    index = unwrap(index)
    reach = _reach(index, len(shape))
    rest = tuple(shape[reach:])
    places = np.arange(math.prod(shape[:reach])).reshape(shape[:reach])[index]
    flat = None if x is None else p.apply("reshape", x, shape=(math.prod(shape[:reach]), *rest))
    return flat, places, places.shape + rest


def take(p, x, indices, axis=None):
    if axis is None:
        return p.apply("take", p.apply("reshape", x, shape=(x.size,)), indices, axis=0)
    k = axis_of(axis, x.ndim)
    return None if type(axis) is int and axis == k else p.apply("take", x, indices, axis=k)


def untake(p, g, indices, shape, axis=None):
    if axis is None:
        flat = p.apply("untake", g, indices, shape=(math.prod(shape),), axis=0)
        return p.apply("reshape", flat, shape=tuple(shape))
    k = axis_of(axis, len(shape))
    return None if type(axis) is int and axis == k else p.apply("untake", g, indices, shape=tuple(shape), axis=k)


def take_along_axis(p, x, indices, axis=-1):
    if axis is None:
        return p.apply("take_along_axis", p.apply("reshape", x, shape=(x.size,)), indices, axis=0)
    k = axis_of(axis, x.ndim)
    return None if type(axis) is int and axis == k else p.apply("take_along_axis", x, indices, axis=k)


def untake_along_axis(p, g, indices, shape, axis=-1):
    if axis is None:
        flat = p.apply("untake_along_axis", g, indices, shape=(math.prod(shape),), axis=0)
        return p.apply("reshape", flat, shape=tuple(shape))
    k = axis_of(axis, len(shape))
    if type(axis) is int and axis == k:
        return None
    return p.apply("untake_along_axis", g, indices, shape=tuple(shape), axis=k)


def argsort(p, x, axis=-1):
    if axis is None:
        return p.apply("argsort", p.apply("reshape", x, shape=(x.size,)), axis=0)
    k = axis_of(axis, x.ndim)
    return None if type(axis) is int and axis == k else p.apply("argsort", x, axis=k)


CANONICAL = {
    f.__name__: f for f in (getitem, unindex, index_put, take, untake, take_along_axis, untake_along_axis, argsort)
}
