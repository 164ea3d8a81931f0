"""Picking elements by an index, and adding them back: an integer or a slice for each axis."""

import math
from dataclasses import replace

import numpy as np

from minigrad.ir.number import Number
from minigrad.ir.rules import partition
from minigrad.ir.rules.kernel import Copies, Part
from minigrad.ir.rules.partition import of_rows
from minigrad.ir.rules.rule import Rule, no_flops
from minigrad.ops.index import _reach, complete, is_basic
from minigrad.symbolic import slice_bounds, slice_length
from minigrad.tensor import unwrap


def getitem(p, x, index):
    """A basic index has one entry an axis, an integer or a slice, counted from the front. Of others, `take` remains."""
    if not is_basic(index):
        if along := one_axis(x.shape, index):
            return p.apply("take", x, p.constant(along[1]), axis=along[0])
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
        if along := one_axis(shape, index):
            return p.apply("untake", g, p.constant(along[1]), shape=shape, axis=along[0])
        _, places, _ = picked(p, shape, None, index)
        width = math.prod(shape[_reach(index, len(shape)) :])
        rows = p.apply("reshape", g, shape=(*places.shape, width))
        back = p.apply("untake", rows, p.constant(places), shape=(math.prod(shape) // max(1, width), width), axis=0)
        return p.apply("reshape", back, shape=shape)
    whole, _ = complete(index, shape)
    if whole == tuple([slice(0, n, 1) for n in shape]):
        return p.apply("reshape", g, shape=shape)
    inner = tuple([slice_length(*slice_bounds(s, n)) for s, n in zip(whole, shape) if isinstance(s, slice)])
    if whole == index and g.shape == inner:
        return None
    return p.apply("unindex", p.apply("reshape", g, shape=inner), shape=shape, index=whole)


def index_put(p, x, value, index):
    """Of a basic index: it has one entry an axis, and the value the shape that it selects. Of others, a choice along
    one axis."""
    if not is_basic(index):
        return chosen(p, x, value, index)
    whole, selected = complete(index, x.shape)
    shape = tuple([slice_length(*slice_bounds(s, n)) for s, n in zip(whole, x.shape) if isinstance(s, slice)])
    if whole == index and value.shape == shape:
        return None
    value = p.apply("broadcast_to", value, shape=selected)
    return p.apply("index_put", x, p.apply("reshape", value, shape=shape), index=whole)


def chosen(p, x, value, index):
    """where(written, take(value, origins), x) along the axis of an index, or along those that it reaches, made one. Of
    a place that is named twice the last value stays."""
    axis, places = one_axis(x.shape, index) or (None, None)
    if axis is None:
        places, count, rest = places_of(x.shape, index)
        lined, selected, axis = (count, *rest), (*places.shape, *rest), 0
    else:
        lined, selected = x.shape, (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    if not places.size:
        return x
    origins = np.full(lined[axis], -1)
    origins[places.reshape(-1)] = np.arange(places.size)
    value = p.apply("broadcast_to", value, shape=selected)
    value = p.apply("reshape", value, shape=(*lined[:axis], places.size, *lined[axis + 1 :]))
    written = (origins >= 0).reshape(-1, *[1] * (len(lined) - axis - 1))
    taken = p.apply("take", value, p.constant(np.maximum(origins, 0)), axis=axis)
    made = p.apply("where", p.constant(written), taken, p.apply("reshape", x, shape=lined))
    return p.apply("reshape", made, shape=x.shape)


def one_axis(shape, index) -> tuple[int, np.ndarray] | None:
    """(the axis, the places along it) of an index that picks along one axis other than the first, and takes all of the
    others; None of another one."""
    parts = list(unwrap(index)) if isinstance(index, tuple) else [unwrap(index)]
    if any(part is Ellipsis for part in parts):
        at = next(k for k, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    arrays = [k for k, part in enumerate(parts) if isinstance(part, (np.ndarray, list))]
    whole = all(isinstance(part, slice) and part == slice(None) for k, part in enumerate(parts) if k not in arrays)
    if len(arrays) != 1 or not whole or arrays == [0]:
        return None
    (axis,) = arrays
    places = np.asarray(parts[axis])
    if places.dtype == bool and places.ndim != 1:
        return None
    return axis, np.arange(shape[axis])[places]


def picked(p, shape, x, index):
    """(x with the axes that an index reaches made one, the places along it, the shape of the result)"""
    places, count, rest = places_of(shape, index)
    flat = None if x is None else p.apply("reshape", x, shape=(count, *rest))
    return flat, places, places.shape + rest


def places_of(shape, index) -> tuple[np.ndarray, int, tuple]:
    """(the places that an index picks along the axes that it reaches, made one; their number; the axes behind them)"""
    index = unwrap(index)
    reach = _reach(index, len(shape))
    count = math.prod(shape[:reach])
    return np.arange(count).reshape(shape[:reach])[index], count, tuple(shape[reach:])


# Under one more leading axis


def getitem_batched(b, x, index):
    if is_basic(index):
        return b.o.getitem(x, index=(slice(None), *index) if isinstance(index, tuple) else (slice(None), index))
    places, count, rest = places_of(b.shape(0), index)
    return b.o.take(b.reshaped(x, count, *rest), b.o.constant(places), axis=1)


def unindex_batched(b, g, shape, index):
    if is_basic(index):
        index = (slice(None), *index) if isinstance(index, tuple) else (slice(None), index)
        return b.o.unindex(g, shape=(b.size, *shape), index=index)
    places, count, rest = places_of(tuple(shape), index)
    return b.reshaped(b.o.untake(g, b.o.constant(places), shape=(b.size, count, *rest), axis=1), *shape)


def index_put_batched(b, x, value, index):
    shape, whole = b.shape(0), b.whole(0)
    if is_basic(index):
        selected = complete(index, shape)[1]
        index = (slice(None), *index) if isinstance(index, tuple) else (slice(None), index)
        return b.o.index_put(whole, b.padded(1, len(selected)), index=index)
    places, count, rest = places_of(shape, index)
    value = b.padded(1, places.ndim + len(rest))
    return b.reshaped(b.o.index_put(b.reshaped(whole, count, *rest), value, index=(slice(None), places)), *shape)


# In loops: what kernels are made of


def unindex_lowered(o, value, g, shape, index):
    """Zeros around g, where the index is made of integers and slices without steps."""
    bounds = [(p.start, p.stop) if isinstance(p, slice) else (p, p + 1) for p in index]
    if any(isinstance(p, slice) and p.step != 1 for p in index):
        return None
    if any(a == b for a, b in bounds):
        return None
    y = o.reshape(g, shape=tuple([b - a for a, b in bounds]))
    for axis, ((start, stop), n) in enumerate(zip(bounds, shape)):
        parts = [y]
        for size, before in ((start, True), (n - stop, False)):
            if size:
                one = o.getitem(y, index=(*[slice(None)] * axis, slice(0, 1)))
                zeros = o.where(o.isnan(one), *[Number(0.0, one.dtype)] * 2)
                zeros = o.broadcast_to(zeros, shape=(*y.shape[:axis], size, *y.shape[axis + 1 :]))
                parts = [zeros, *parts] if before else [*parts, zeros]
        y = o.concatenate(*parts, axis=axis) if len(parts) > 1 else y
    return y


def part_of(memory, index, v):
    """The part of a memory that a canonical basic index names."""
    begun, shape, strides = memory, [], []
    for part, size, stride in zip(index, memory.shape, memory.strides):
        start, step = (part.start, part.step) if isinstance(part, slice) else (part, 1)
        begun = begun.moved(start, stride)
        if isinstance(part, slice):
            strides.append(stride if step == 1 else memory.times(stride, step))
            shape.append(slice_length(*slice_bounds(part, size)))
    return begun.like(shape=shape, strides=strides)


def getitem_layout(memory, v):
    return part_of(memory, v.params["index"], v)


def unindex_copies(v, to):
    return [(None, to), (v.inputs[0], part_of(to, v.params["index"], v))]


def index_put_copies(v, to):
    x, value = v.inputs
    return [(x, to), (value, part_of(to, v.params["index"], v))]


# What becomes of the rows


@of_rows
def getitem_partition(v, x):
    return v.params["index"][0] == slice(0, v.inputs[0].shape[0], 1)


def getitem_stacked(v, axis, x):
    index = v.params["index"]
    whole = index[axis] == slice(0, v.inputs[0].shape[axis], 1)
    return axis - sum([not isinstance(part, slice) for part in index[:axis]]) if whole else None


RULES = {
    "getitem": Rule(
        canonical=getitem, batch=getitem_batched, partition=getitem_partition, stacked=getitem_stacked,
        layout=getitem_layout, kernel=Part(),
        view=lambda v: is_basic(v.params["index"]), additive=True,
    ),
    "unindex": Rule(
        canonical=unindex, batch=unindex_batched, partition=partition.indexed, lower=unindex_lowered,
        kernel=Copies(unindex_copies), additive=True,
    ),
    "index_put": Rule(
        canonical=index_put, batch=index_put_batched, partition=partition.indexed, kernel=Copies(index_put_copies)
    ),
}  # fmt: skip
RULES = {name: replace(rule, flops=no_flops) for name, rule in RULES.items()}
