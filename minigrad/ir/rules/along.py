"""Along one axis: what integers pick and where it is added back, places in order, sorting."""

import math
from dataclasses import replace
from functools import partial

from minigrad.ir.number import Number
from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import INT64, Along, Gather, of_numbers
from minigrad.ir.rules.lookup import sum_of_products
from minigrad.ir.rules.partition import mixes, of_rows
from minigrad.ir.rules.reduce import along_axis
from minigrad.ir.rules.rule import Rule, no_flops
from minigrad.ops.shape import axis_of
from minigrad.symbolic import key_of


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


# Under one more leading axis


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


def untake_lowered(o, value, g, indices, shape, axis):
    """Each row of the axis has the same places."""
    count, after = indices.size, len(shape) - axis - 1
    g = o.reshape(g, shape=(*shape[:axis], count, *shape[axis + 1 :]))
    places = o.reshape(indices, shape=(*[1] * axis, count, *[1] * after))
    return o.untake_along_axis(g, o.broadcast_to(places, shape=g.shape), shape=tuple(shape), axis=axis)


def take_along_axis_lowered(o, value, x, indices, axis):
    """Kernels broadcast neither operand."""
    of_x, of_indices = [(*value.shape[:axis], y.shape[axis], *value.shape[axis + 1 :]) for y in (x, indices)]
    if (x.shape, indices.shape) == (of_x, of_indices):
        return None
    return o.take_along_axis(o.broadcast_to(x, shape=of_x), o.broadcast_to(indices, shape=of_indices), axis=axis)


def untake_along_axis_lowered(o, value, g, indices, shape, axis):
    """Where the taken elements were of something broadcast, their sum."""
    whole = (*g.shape[:axis], shape[axis], *g.shape[axis + 1 :])
    if (indices.shape, shape) == (g.shape, whole):
        return None
    made = o.untake_along_axis(g, o.broadcast_to(indices, shape=g.shape), shape=whole, axis=axis)
    axes = tuple([k for k, (n, m) in enumerate(zip(shape, whole)) if n != m])
    return o.sum(made, axis=axes, keepdims=True) if axes else made


def one_hot_lowered(o, value, indices, n):
    """A one that is added to zeros, at a place that is looked at; a negative one is none."""
    i = o.reshape(o.astype(indices, dtype=INT64), shape=(*indices.shape, 1))
    i = o.where(o.less(i, Number(0, INT64)), Number(n, INT64), i)
    ones = o.astype(o.equal(i, i), dtype=value.dtype)
    return o.untake_along_axis(ones, i, shape=value.shape, axis=value.ndim - 1)


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


MOST = 64  # elements along an axis that are sorted by counting, for each, those that come before it


def precedes(row, a: str, b: str) -> str:
    a, b = (b, a) if row.value.params["descending"] else (a, b)
    return f"{a} < {b} or ({b} != {b} and {a} == {a})"


def argsort_text(row, n: str) -> list[str]:
    """The place of an element is the number of those that come before it. NaN is the largest."""
    if row.value.shape[row.value.params["axis"]] > MOST:
        return heap_text(row, n)
    return [
        f"for k in range({n}):",
        f"    value = {row.load('x')}",
        "    at = 0",
        f"    for m in range({n}):",
        f"        other = {row.load('x', 'm')}",
        "        equal = other == value or (other != other and value != value)",
        f"        sooner = {precedes(row, 'other', 'value')}",
        "        at += 1 if sooner or (equal and m < k) else 0",
        f"    {row.store('k', 'at')}",
    ]


def heap_text(row, n: str) -> list[str]:
    """A heap of places with the last one, in the order that is wanted, at its root: built from below, then its root is
    exchanged for its end, again and again."""
    exchange = [
        f"kept = {row.load('y', 'root')}",
        row.store(row.load("y", "other"), "root"),
        row.store("kept", "other"),
    ]
    return [
        f"for k in range({n}):",
        f"    {row.store('k')}",
        f"half = {n} // 2",
        f"for turn in range(half + {n} - 1):",
        f"    root, end = half - 1 - turn, {n}",
        "    if turn >= half:",
        f"        root, other, end = 0, {n} - 1 - turn + half, {n} - 1 - turn + half",
        *[f"        {line}" for line in exchange],
        "    while 2 * root + 1 < end:",
        "        other, largest = 2 * root + 1, root",
        "        for child in range(other, min(other + 2, end)):",
        f"            i, j = {row.load('y', 'largest')}, {row.load('y', 'child')}",
        f"            a, b = {row.load('x', 'i')}, {row.load('x', 'j')}",
        "            equal = a == b or (a != a and b != b)",
        f"            sooner = {precedes(row, 'a', 'b')}",
        "            largest = child if sooner or (equal and i < j) else largest",
        "        other = largest",
        "        if other != root:",
        *[f"            {line}" for line in exchange],
        "        root = other if other != root else end",
    ]


def cumargmax_text(row, n: str) -> list[str]:
    sign = ">=" if row.value.params["largest"] else "<="
    zero = "Float(0)" if row.value.inputs[0].dtype.kind == "f" else "np.int64(0)"
    return [
        f"best, at = {zero}, 0",
        f"for k in range({n}):",
        f"    value = {row.load('x')}",
        f"    if k == 0 or value {sign} best or value != value:",
        "        best, at = value, k",
        f"    {row.store('at')}",
    ]


# All steps at once


def take_hoist(v, x, indices) -> bool:
    return not x and v.params.get("axis", 0) == 0


def untake_over_steps(v):
    return (v.inputs, lambda o, g, indices: o.untake(g, indices, **v.params)) if v.params["axis"] == 0 else None


# What becomes of the rows


@of_rows
def take_partition(v, x, indices):
    """Each row picks from what is the same for all, or all pick in the same way from their own."""
    axis = v.params.get("axis", 0)
    return axis == 0 if indices and not x else not indices and axis != 0


RULES = {
    "take": Rule(
        canonical=take, batch=take_batched, partition=take_partition, kernel=Gather(), hoist=take_hoist
    ),
    "untake": Rule(
        canonical=untake, batch=untake_batched, partition=mixes, lower=untake_lowered, sinks=True,
        hoist=lambda v, *on: False, over_steps=untake_over_steps, of_rows=sum_of_products,
    ),
    "embedding": Rule(
        batch=embedding_batched, partition=take_partition, kernel=Gather(negative=False), hoist=take_hoist
    ),
    "take_along_axis": Rule(
        canonical=take_along_axis, batch=take_along_axis_batched, partition=partition.along_axes,
        lower=take_along_axis_lowered,
        kernel=Along(("x", "i"), take_along_axis_text, take_along_axis_takes),
    ),
    "untake_along_axis": Rule(
        canonical=untake_along_axis, batch=untake_along_axis_batched, partition=partition.along_axes,
        lower=untake_along_axis_lowered,
        kernel=Along(("x", "i"), untake_along_axis_text, untake_along_axis_takes),
    ),
    "one_hot": Rule(
        batch=batch.leading, partition=partition.leading, lower=one_hot_lowered
    ),
    "cumargmax": Rule(
        canonical=partial(along_axis, "cumargmax"), batch=batch.along_axis, partition=partition.along_axes,
        kernel=Along(("x",), cumargmax_text, of_numbers),
    ),
    "argsort": Rule(
        canonical=partial(along_axis, "argsort"), batch=batch.along_axis, partition=partition.along_axes,
        kernel=Along(("x",), argsort_text, of_numbers),
    ),
}  # fmt: skip
RULES = {name: replace(rule, flops=no_flops) for name, rule in RULES.items()}
