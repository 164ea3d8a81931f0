"""Picking elements and adding them back: slices of every axis, or slices along one axis at given places."""

import math
from dataclasses import replace

import numpy as np

from minigrad.ir.number import Number
from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import INT64, Along, Copies, Gather, Part, Python, of_numbers
from minigrad.ir.rules.partition import mixes, of_rows
from minigrad.ir.rules.rule import Rule, Unsupported, no_flops
from minigrad.ops.index import _reach, complete, is_basic
from minigrad.ops.shape import axis_of
from minigrad.symbolic import key_of, slice_bounds, slice_length
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
    """Of a basic index: it has one entry an axis, and the value the shape that it selects."""
    if not is_basic(index):
        return None
    whole, selected = complete(index, x.shape)
    shape = tuple([slice_length(*slice_bounds(s, n)) for s, n in zip(whole, x.shape) if isinstance(s, slice)])
    if whole == index and value.shape == shape:
        return None
    value = p.apply("broadcast_to", value, shape=selected)
    return p.apply("index_put", x, p.apply("reshape", value, shape=shape), index=whole)


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


def take_batched(b, x, indices, axis=None):
    """Where each sample has its own x and its own indices, each element is picked along the axis."""
    shape, places = b.shape(0), b.shape(1)
    if axis is None:
        shape, axis = (math.prod(shape),), 0
        x = b.reshaped(x, *shape) if b.on[0] else b.o.reshape(x, shape=shape)
    axis = axis_of(axis, len(shape))
    if not b.on[1]:
        return b.o.take(x, indices, axis=axis + 1)
    if not b.on[0]:
        taken = b.o.take(x, indices, axis=axis)
        return b.front(taken, axis)
    before, n, after = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    taken = b.o.take_along_axis(b.reshaped(x, before, n, after), b.reshaped(indices, 1, math.prod(places), 1), axis=2)
    return b.reshaped(taken, *shape[:axis], *places, *shape[axis + 1 :])


def untake_batched(b, g, indices, shape, axis=None):
    flat, axis = ((math.prod(shape),), 0) if axis is None else (tuple(shape), axis_of(axis, len(shape)))
    if not b.on[1]:
        return b.reshaped(b.o.untake(g, indices, shape=(b.size, *flat), axis=axis + 1), *shape)
    before, n, after = math.prod(flat[:axis]), flat[axis], math.prod(flat[axis + 1 :])
    places = math.prod(b.shape(1))
    lined = b.reshaped(b.whole(0), before, places, after)
    back = b.o.untake_along_axis(lined, b.reshaped(indices, 1, places, 1), shape=(b.size, before, n, after), axis=2)
    return b.reshaped(back, *shape)


def embedding_batched(b, weight, indices):
    entries, width = b.shape(0)
    if not b.on[0]:
        return b.o.embedding(weight, indices)
    if not b.on[1]:
        side_by_side = b.o.reshape(b.o.transpose(weight, axes=(1, 0, 2)), shape=(entries, b.size * width))
        rows = b.o.embedding(side_by_side, indices)
        return b.front(b.o.reshape(rows, shape=(*b.shape(1), b.size, width)), len(b.shape(1)))
    places = b.reshaped(indices, math.prod(b.shape(1)), 1)
    places = b.o.where(b.o.less(places, 0), entries, places)  # no entry either, but not counted from the end
    return b.reshaped(b.o.take_along_axis(weight, places, axis=1), *b.shape(1), width)


def take_along_axis_batched(b, x, indices, axis=-1):
    if axis is None:
        x = b.reshaped(x, math.prod(b.shape(0))) if b.on[0] else b.o.reshape(x, shape=(math.prod(b.shape(0)),))
    k = 0 if axis is None else axis_of(axis, len(b.shape(0)))
    given = [y if on else b.o.reshape(y, shape=(1, *y.shape)) for y, on in zip((x, indices), b.on)]
    return b.o.take_along_axis(*given, axis=k + 1)


def untake_along_axis_batched(b, g, indices, shape, axis=-1):
    flat = (math.prod(shape),) if axis is None else tuple(shape)
    k = 0 if axis is None else axis_of(axis, len(shape))
    indices = b.whole(1)
    back = b.o.untake_along_axis(b.whole(0), indices, shape=(b.size, *flat), axis=k + 1)
    return b.reshaped(back, *shape)


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


# In loops: what kernels are made of


def untake_lowered(o, value, g, indices, shape, axis):
    """Each row of the axis has the same places."""
    count, after = indices.size, len(shape) - axis - 1
    g = o.reshape(g, shape=(*shape[:axis], count, *shape[axis + 1 :]))
    places = o.reshape(indices, shape=(*[1] * axis, count, *[1] * after))
    return o.untake_along_axis(g, o.broadcast_to(places, shape=g.shape), shape=tuple(shape), axis=axis)


def one_hot_lowered(o, value, indices, n):
    """A one that is added to zeros, at a place that is looked at; a negative one is none."""
    if indices.dtype != INT64:
        return None
    i = o.reshape(indices, shape=(*indices.shape, 1))
    i = o.where(o.less(i, Number(0, INT64)), Number(n, INT64), i)
    ones = o.astype(o.equal(i, i), dtype=value.dtype)
    return o.untake_along_axis(ones, i, shape=value.shape, axis=value.ndim - 1)


# Where views lie in their operand's memory


def part_of(memory, index, v):
    """The part of a memory that a canonical basic index names."""
    begun, shape, strides = memory, [], []
    for part, size, stride in zip(index, memory.shape, memory.strides):
        start, step = (part.start, part.step) if isinstance(part, slice) else (part, 1)
        begun = begun.moved(start, stride)
        if isinstance(part, slice):
            if step != 1 and isinstance(stride, str):
                raise Unsupported("every so many-th row of memory of unknown stride", v)
            strides.append(stride * step if step != 1 else stride)
            shape.append(slice_length(*slice_bounds(part, size)))
    return begun.like(shape=shape, strides=strides)


def getitem_layout(memory, v):
    return part_of(memory, v.params["index"], v)


# The texts of kernels


def take_along_axis_text(row, n: str) -> list[str]:
    lines = [*row.index("at", row.load("i"), "x"), row.store(row.load("x", "at"))]
    return [f"for k in range({n}):", *[f"    {line}" for line in lines]]


def untake_along_axis_text(row, n: str) -> list[str]:
    added = row.store(f"{row.load('y', 'at')} + {row.load('x')}", "at")
    return [
        f"for k in range({row.size('y')}):",
        f"    {row.store('Float(0)')}",
        f"for k in range({n}):",
        *[f"    {line}" for line in [*row.index("at", row.load("i"), "y"), added]],
    ]


def picks_along(whole, v, indices) -> bool:
    """Whether the shapes agree but on the axis: kernels do not broadcast them."""
    axis = v.params["axis"]
    shapes = {key_of((*y.shape[:axis], *y.shape[axis + 1 :])) for y in (whole, v, *v.inputs)}
    return indices.dtype.kind in "iu" and len(shapes) == 1


def take_along_axis_takes(v, main) -> bool:
    return picks_along(v.inputs[0], v, v.inputs[1])  # it moves numbers of any type


def untake_along_axis_takes(v, main) -> bool:
    return v.inputs[0].dtype == v.dtype and v.dtype.kind == "f" and picks_along(v, v, v.inputs[1])


MOST = 256  # elements along an axis that are sorted by counting, for each, those that come before it


def argsort_takes(v, main) -> bool:
    return of_numbers(v, main) and v.shape[v.params["axis"]] <= MOST


def argsort_text(row, n: str) -> list[str]:
    """The place of an element is the number of those that come before it. NaN is the largest."""
    return [
        f"for k in range({n}):",
        f"    value = {row.load('x')}",
        "    at = 0",
        f"    for m in range({n}):",
        f"        other = {row.load('x', 'm')}",
        "        equal = other == value or (other != other and value != value)",
        "        smaller = other < value or (value != value and other == other)",
        "        at += 1 if smaller or (equal and m < k) else 0",
        f"    {row.store('k', 'at')}",
    ]


def unindex_copies(v, to):
    return [(None, to), (v.inputs[0], part_of(to, v.params["index"], v))]


def index_put_copies(v, to):
    x, value = v.inputs
    return [(x, to), (value, part_of(to, v.params["index"], v))] if is_basic(v.params["index"]) else None


# All steps at once


def take_hoist(v, x, indices) -> bool:
    return not x and v.params.get("axis", 0) == 0


def untake_over_steps(v):
    return (v.inputs, lambda o, g, indices: o.untake(g, indices, **v.params)) if v.params["axis"] == 0 else None


# What becomes of the rows


@of_rows
def getitem_partition(v, x):
    return v.params["index"][0] == slice(0, v.inputs[0].shape[0], 1)


@of_rows
def take_partition(v, x, indices):
    """Each row picks from what is the same for all, or all pick in the same way from their own."""
    axis = v.params.get("axis", 0)
    return axis == 0 if indices and not x else not indices and axis != 0


RULES = {
    "getitem": Rule(
        canonical=getitem, batch=getitem_batched, partition=getitem_partition, layout=getitem_layout, kernel=Part(),
        view=lambda v: is_basic(v.params["index"]), additive=True,
    ),
    "unindex": Rule(
        canonical=unindex, batch=unindex_batched, partition=partition.indexed, lower=unindex_lowered,
        kernel=Copies(unindex_copies), additive=True,
    ),
    "index_put": Rule(
        canonical=index_put, batch=index_put_batched, partition=partition.indexed, kernel=Copies(index_put_copies)
    ),
    "take": Rule(
        canonical=take, batch=take_batched, partition=take_partition, kernel=Gather(), hoist=take_hoist
    ),
    "untake": Rule(
        canonical=untake, batch=untake_batched, partition=mixes, lower=untake_lowered, kernel=Python(), sinks=True,
        hoist=lambda v, *on: False, over_steps=untake_over_steps,
    ),
    "embedding": Rule(
        batch=embedding_batched, partition=take_partition, kernel=Gather(negative=False), hoist=take_hoist
    ),
    "take_along_axis": Rule(
        canonical=take_along_axis, batch=take_along_axis_batched, partition=partition.along_axes,
        kernel=Along(("x", "i"), take_along_axis_text, take_along_axis_takes),
    ),
    "untake_along_axis": Rule(
        canonical=untake_along_axis, batch=untake_along_axis_batched, partition=partition.along_axes,
        kernel=Along(("x", "i"), untake_along_axis_text, untake_along_axis_takes),
    ),
    "one_hot": Rule(
        batch=batch.leading, partition=partition.leading, lower=one_hot_lowered, kernel=Python()
    ),
    "argsort": Rule(
        canonical=argsort, batch=batch.along_axis, partition=partition.along_axes,
        kernel=Along(("x",), argsort_text, argsort_takes),
    ),
}  # fmt: skip
RULES = {name: replace(rule, flops=no_flops) for name, rule in RULES.items()}
