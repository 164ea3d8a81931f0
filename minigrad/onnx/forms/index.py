"""Basic indices: an integer or a slice for each axis, counted from the front."""

import math

import numpy as np

from minigrad.onnx.forms.shape import reshaped
from minigrad.onnx.graph import LAST, same_size


def getitem(g, v, x, index):
    return part(g, x, index, v.inputs[0].shape)


def part(g, x: str, index, shape) -> str:
    bounds: list[tuple] = []
    for axis, (at, n) in enumerate(zip(index, shape)):
        if not isinstance(at, slice):
            continue
        step = 1 if at.step is None else at.step
        if not (at.start == 0 and step == 1 and same_size(at.stop, n)):
            stop = LAST if step < 0 and (at.stop is None or (type(at.stop) is int and at.stop < 0)) else at.stop
            bounds.append((at.start, stop, axis, step))
    if bounds:
        starts, stops, axes, steps = zip(*bounds)
        x = g.node("Slice", x, g.sizes(starts), g.sizes(stops), g.sizes(axes), g.sizes(steps))
    for axis, at in reversed(list(enumerate(index))):
        if not isinstance(at, slice):
            x = g.node("Gather", x, g.scalar(at), axis=axis)
    return x


def written(g, x: str, value: str, index, shape) -> str:
    """x of a shape, with value at an index."""
    count = math.prod(shape)
    places = g.node("Range", g.scalar(0), g.scalar(count), g.scalar(1))
    places = part(g, reshaped(g, places, shape), index, shape)
    line = g.sizes([-1])
    flat = g.node("ScatterElements", *[g.node("Reshape", y, line) for y in (x, places, value)], axis=0)
    return reshaped(g, flat, shape)


def index_put(g, v, x, value, index):
    return written(g, x, value, index, v.shape)


def unindex(g, v, x, shape, index):
    return written(g, zeros(g, v.shape, v.dtype), x, index, v.shape)


def zeros(g, shape, dtype, value=0) -> str:
    """The same number everywhere."""
    return g.node("Expand", g.constant(np.asarray(value, dtype)), g.sizes(shape))


FORMS = {"getitem": getitem, "index_put": index_put, "unindex": unindex}
