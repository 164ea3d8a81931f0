"""Ops that move numbers about: what is left of them is reshape, transpose, broadcast_to, getitem and concatenate.

A rule takes the program, the inputs and the parameters of a call, and gives the value or the list of values that stands
for it, or None where the call is in its canonical form already.
"""

import math
from dataclasses import replace

import numpy as np

from minigrad.ir.number import Number
from minigrad.ir.rules import partition
from minigrad.ir.rules.kernel import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    NARROW,
    Cast,
    Copies,
    Join,
    dtypes_of,
    lies_in_order,
    natural,
)
from minigrad.ir.rules.partition import MERGED, SHARD, of_rows, transposed
from minigrad.ir.rules.rule import Rule, Unsupported, no_flops
from minigrad.ops.join import _sizes
from minigrad.ops.shape import _reshaped, axes_of, axis_of, shape_of
from minigrad.symbolic import strides_in


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
    def ordered(axes):
        return tuple(range(x.ndim)[::-1]) if axes is None else axes_of(axes, x.ndim)

    order = ordered(axes)
    if order == tuple(range(x.ndim)):
        return x
    if is_op(x, "transpose"):
        inner = ordered(x.params["axes"])  # of a trace, in which vmap makes values, perhaps in no canonical form yet
        return p.apply("transpose", x.inputs[0], axes=tuple([inner[k] for k in order]))
    if is_op(x, "matmul") and x.ndim == 2 and is_op(x.inputs[0], "transpose"):  # (a.T @ g).T, a weight's gradient
        a, g = x.inputs[0].inputs[0], x.inputs[1]
        product = p.apply("matmul", p.apply("transpose", g, axes=(1, 0)), a)
        product.site = x.site
        return product
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


# Under one more leading axis


def reshape_batched(b, x, shape):
    return b.reshaped(x, *_reshaped(b.spec(0), shape))


def broadcast_to_batched(b, x, shape):
    return b.o.broadcast_to(b.padded(0, len(shape_of(shape))), shape=(b.size, *shape_of(shape)))


def transpose_batched(b, x, axes=None):
    ndim = len(b.shape(0))
    order = tuple(range(ndim)[::-1]) if axes is None else axes_of(axes, ndim)
    return b.o.transpose(x, axes=(0, *[k + 1 for k in order]))


def swapaxes_batched(b, x, axis1, axis2):
    ndim = len(b.shape(0))
    return b.o.swapaxes(x, axis1=axis_of(axis1, ndim) + 1, axis2=axis_of(axis2, ndim) + 1)


def flip_batched(b, x, axis=None):
    return b.o.flip(x, axis=tuple([k + 1 for k in axes_of(axis, len(b.shape(0)))]))


def roll_batched(b, x, shift, axis=None):
    shape = b.shape(0)
    if axis is None:
        return b.o.reshape(b.o.roll(b.reshaped(x, math.prod(shape)), shift=shift, axis=1), shape=x.shape)
    return b.o.roll(x, shift=shift, axis=tuple([axis_of(k, len(shape)) + 1 for k in shape_of(axis)]))


def concatenate_batched(b, *arrays, axis=0):
    parts = [b.whole(k) for k in range(len(arrays))]
    return b.o.concatenate(*parts, axis=axis_of(axis, len(b.shape(0))) + 1)


def stack_batched(b, *arrays, axis=0):
    parts = [b.whole(k) for k in range(len(arrays))]
    return b.o.stack(*parts, axis=axis_of(axis, len(b.shape(0)) + 1) + 1)


def split_batched(b, x, sections, axis=0):
    return b.o.split(x, sections=sections, axis=axis_of(axis, len(b.shape(0))) + 1)


def unstack_batched(b, x, axis=0):
    return b.o.unstack(x, axis=axis_of(axis, len(b.shape(0))) + 1)


def same_batched(b, x, **params):
    return b.apply(x, **params)


# In loops: what kernels are made of


def astype_lowered(o, value, x, dtype):
    if x.dtype != bool or np.dtype(dtype).kind != "f":
        return None
    return o.where(x, Number(1.0, dtype), Number(0.0, dtype))


def astype_takes(v, main) -> bool:
    dtypes = dtypes_of(v)
    if v.dtype == "uint64":  # what sums of unsigned integers are
        return v.inputs[0].dtype == INT64
    return dtypes <= {FLOAT32, FLOAT64, INT64, BOOL} or dtypes <= {INT64, BOOL, *NARROW}


def astype_text(v, names: dict) -> str:
    if v.dtype == BOOL:
        return f"{names['x']} != np.{v.inputs[0].dtype.name}(0)"
    x, kind = names["x"], f"np.{v.inputs[0].dtype.name}"
    if v.dtype == INT64 and v.inputs[0].dtype.kind == "f":  # NaN and what is too large: the least, as in NumPy
        return (
            f"np.int64({x}) if {x} > {kind}(-9.2e18) and {x} < {kind}(9.2e18) else np.int64(-9223372036854775807) - 1"
        )
    return f"np.{v.dtype.name}({x})"


def reshape_copies(v, to):
    """Of memory that has no view in this shape, a copy in order."""
    x = v.inputs[0]
    return [(x, to.like(shape=x.shape, strides=natural(x.shape)))] if lies_in_order(v.shape, to.strides) else None


# Where views lie in their operand's memory


def transpose_layout(memory, v):
    return memory.like(shape=v.shape, strides=[memory.strides[k] for k in v.params["axes"]])


def broadcast_layout(memory, v):
    lead = v.ndim - len(memory.shape)
    sizes = zip(memory.shape, v.shape[lead:], memory.strides)
    return memory.like(shape=v.shape, strides=[0] * lead + [0 if m == 1 != n else s for m, n, s in sizes])


def reshape_layout(memory, v):
    """Where the memory allows it; an axis of unknown stride stays as it is."""
    shape, strides, lead = memory.shape, memory.strides, []
    ones = next((k for k, n in enumerate(v.shape) if n != 1), 0)
    if shape and ones < v.ndim and shape[0] == v.shape[ones]:
        lead, shape, strides = [0] * ones + [strides[0]], shape[1:], strides[1:]
    strides = tuple([0 if n == 1 else s for n, s in zip(shape, strides)])
    if not all(isinstance(s, int) for s in strides):
        raise Unsupported("a reshape of memory of unknown strides", v)
    inner = strides_in(v.shape[len(lead) :], shape, strides)
    if inner is None:
        raise Unsupported("a reshape of strided memory", v)
    return memory.like(shape=v.shape, strides=[*lead, *inner])


# What becomes of the rows


@of_rows
def reshape_partition(v, x):
    return v.ndim > 0 and v.shape[0] == v.inputs[0].shape[0]


@of_rows
def broadcast_partition(v, x):
    return v.ndim == v.inputs[0].ndim


def transpose_partition(v, given):
    if v.params["axes"] == (1, 0) and (given == SHARD or given.startswith(MERGED)):
        return transposed(given)
    return SHARD if given == SHARD and v.params["axes"][0] == 0 else None


@of_rows
def concatenate_partition(v, *by_row):
    return v.params["axis"] != 0


def reshape_stacked(v, axis, x):
    """The axes before that of the rows, and those behind it, may become others; or the rows those of one matrix."""
    (x,) = v.inputs
    times = math.prod(x.shape[:axis])
    if times != 1 and v.shape == (times * x.shape[axis], *x.shape[axis + 1 :]):
        return f"{MERGED}{times}" if v.ndim == 2 else None
    for k, n in enumerate(v.shape):
        if n == x.shape[axis] and math.prod(v.shape[:k]) == times:
            return k
    return None


def broadcast_stacked(v, axis, x):
    at = axis + v.ndim - v.inputs[0].ndim
    return at if v.inputs[0].shape[axis] == v.shape[at] else None


def transpose_stacked(v, axis, x):
    return axis if v.params["axes"][: axis + 1] == tuple(range(axis + 1)) else None


def concatenate_stacked(v, axis, *by_row):
    return axis if all(by_row) and v.params["axis"] != axis else None


RULES = {
    "reshape": Rule(
        canonical=reshape, batch=reshape_batched, partition=reshape_partition, stacked=reshape_stacked,
        view=True, layout=reshape_layout,
        additive=True, kernel=Copies(reshape_copies),
    ),
    "broadcast_to": Rule(
        canonical=broadcast_to, batch=broadcast_to_batched, partition=broadcast_partition, view=True,
        stacked=broadcast_stacked,
        layout=broadcast_layout, linear=(0,),
    ),
    "transpose": Rule(
        canonical=transpose, batch=transpose_batched, partition=transpose_partition, view=True, layout=transpose_layout,
        stacked=transpose_stacked,
        additive=True,
    ),
    "swapaxes": Rule(canonical=swapaxes, batch=swapaxes_batched, additive=True, view=True),
    "flip": Rule(canonical=flip, batch=flip_batched, additive=True, view=True),
    "roll": Rule(canonical=roll, batch=roll_batched),
    "concatenate": Rule(
        canonical=concatenate, batch=concatenate_batched, partition=concatenate_partition, cheap=True, kernel=Join(),
        stacked=concatenate_stacked,
        additive=True,
    ),
    "split": Rule(canonical=split, batch=split_batched, view=True),
    "stack": Rule(canonical=stack, batch=stack_batched, additive=True),
    "unstack": Rule(canonical=unstack, batch=unstack_batched, view=True),
    "astype": Rule(
        canonical=astype, batch=same_batched, partition=partition.leading, lower=astype_lowered,
        stacked=partition.elementwise_stacked,
        kernel=Cast(astype_takes, text=astype_text),
    ),
    "copy": Rule(canonical=copy, batch=same_batched),
}  # fmt: skip
RULES = {name: replace(rule, flops=no_flops) for name, rule in RULES.items()}
