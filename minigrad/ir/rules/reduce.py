"""Reductions: over a tuple of axes counted from the front, or along one axis."""

import math
from functools import partial

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.partition import PARTIAL, SHARD
from minigrad.ir.rules.rule import Rule
from minigrad.ops.shape import axes_of, axis_of


def reduction(name: str, p, x, axis=None, keepdims=False):
    axes = tuple(sorted(axes_of(axis, x.ndim)))
    if axes == ():
        whole = p.apply("astype", x, dtype="int64") if x.dtype.kind != "f" and name in ("sum", "prod") else x
        return p.apply("not_equal", x, 0) if name in ("any", "all") and x.dtype != bool else whole
    return p.apply(name, x, axis=axes, keepdims=bool(keepdims)) if (axis, keepdims) != (axes, bool(keepdims)) else None


def along_axis(name: str, p, x, *others, axis=None, **params):
    if axis is None and not params.get("keepdims"):
        return p.apply(name, p.apply("reshape", x, shape=(x.size,)), axis=0, **params)
    if axis is None:
        return None
    k = axis_of(axis, x.ndim)
    return None if type(axis) is int and axis == k else p.apply(name, x, *others, axis=k, **params)


def sum_to(p, x, shape):
    lead = x.ndim - len(shape)
    axes = [*range(lead), *[lead + k for k, n in enumerate(shape) if n == 1 and x.shape[lead + k] != 1]]
    return p.apply("reshape", p.apply("sum", x, axis=tuple(axes), keepdims=False) if axes else x, shape=tuple(shape))


# Under one more leading axis


def sum_to_batched(b, x, shape):
    inner = b.shape(0)
    lead = len(inner) - len(shape)
    axes = [*range(lead), *[lead + k for k, n in enumerate(shape) if n == 1 and inner[lead + k] != 1]]
    total = b.o.sum(x, axis=tuple([k + 1 for k in axes])) if axes else x
    total = total if total.dtype == x.dtype else b.o.astype(total, dtype=x.dtype)
    return b.reshaped(total, *shape)


def place_batched(b, x, axis=None, keepdims=False):
    inner = b.shape(0)
    if axis is not None:
        return b.apply(x, axis=axis_of(axis, len(inner)) + 1, keepdims=keepdims)
    y = b.apply(b.reshaped(x, math.prod(inner)), axis=1, keepdims=False)
    return b.reshaped(y, *[1] * len(inner)) if keepdims else y


# In loops: what kernels are made of


def total(o, x, axis, kind="sum"):
    return o.make(kind, x, axis=axes_of(axis, x.ndim), keepdims=True)


def logsumexp_lowered(o, value, x, axis, keepdims=False):
    top = total(o, x, axis, "max")
    top = o.where(o.isfinite(top), top, 0.0)
    y = o.add(o.log(total(o, o.exp(o.sub(x, top)), axis)), top)
    return o.reshape(y, shape=value.shape)


def sum_partition(v, given):
    return PARTIAL if given == SHARD and 0 in v.params["axis"] else partition.along_axes(v, given)


RULES = {
    name: Rule(canonical=partial(reduction, name), batch=batch.over_axes, partition=partition.along_axes)
    for name in ("max", "min", "prod", "any", "all")
}
RULES |= {
    name: Rule(canonical=partial(along_axis, name), batch=place_batched, partition=partition.along_axes)
    for name in ("argmax", "argmin")
}
RULES |= {
    name: Rule(canonical=partial(along_axis, name), batch=batch.along_axis, partition=partition.along_axes)
    for name in ("cumsum", "cumprod", "linear_recurrence")
}
RULES["sum"] = Rule(canonical=partial(reduction, "sum"), batch=batch.over_axes, partition=sum_partition)
RULES["sum_to"] = Rule(canonical=sum_to, batch=sum_to_batched)
RULES["logsumexp"] = Rule(batch=batch.over_axes, partition=partition.along_axes, lower=logsumexp_lowered)
