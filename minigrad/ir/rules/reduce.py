"""Reductions: over a tuple of axes counted from the front, or along one axis."""

import math
from functools import partial

import numpy as np

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import BOOL, INT64, Along, Fold, dtypes_of, of_floats, of_numbers
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
        y = p.apply(name, p.apply("reshape", x, shape=(x.size,)), axis=0, keepdims=False)
        return p.apply("reshape", y, shape=(1,) * x.ndim)
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


# The texts of kernels


def folding(start: str, of_floats: str, of_integers: str, start_of_integers: str | None = None):
    """The steps of a Fold, by the kind of the operands."""

    def steps(kind: str) -> tuple[str, str]:
        if kind == "f":
            return start, of_floats
        return start_of_integers or start, of_integers.format(true="value" if kind == "b" else "value != 0")

    return steps


LARGEST, SMALLEST = f"np.int64({np.iinfo(np.int64).max})", f"np.int64({np.iinfo(np.int64).min + 1})"
MAX, MIN = [f"value if value {sign} total or value != value else total" for sign in "><"]
MOST, LEAST = [text.replace("value", "np.int64(value)") for text in (MAX, MIN)]  # of booleans too


def running(row, n: str, start: str, step: str) -> list[str]:
    return [f"total = {start}", f"for k in range({n}):", f"    total = {step}", f"    {row.store('total')}"]


def number_of(row, number: int) -> str:
    return f"Float({number})" if row.value.dtype.kind == "f" else f"np.int64({number})"


def value_of(row) -> str:
    return row.load("x") if row.value.dtype.kind == "f" else f"np.int64({row.load('x')})"


def runs(v, main) -> bool:
    """Sums and products of integers and booleans are integers."""
    return of_floats(v, main) or (v.dtype == INT64 and dtypes_of(v) <= {INT64, BOOL})


def cumsum_text(row, n: str) -> list[str]:
    return running(row, n, number_of(row, 0), f"total + {value_of(row)}")


def cumprod_text(row, n: str) -> list[str]:
    return running(row, n, number_of(row, 1), f"total * {value_of(row)}")


def linear_recurrence_text(row, n: str) -> list[str]:
    b, a = row.load("b", "t"), row.load("a", "t")
    if not row.value.params["transposed"]:
        return [
            "total = Float(0)",
            f"for t in range({n}):",
            f"    total = {b} + {a} * total if t > 0 else {b}",
            f"    {row.store('total', 't')}",
        ]
    later = row.load("a", "t + 1")
    return [
        "total = Float(0)",
        f"for k in range({n}):",
        f"    t = {n} - 1 - k",
        "    factor = Float(0)",
        "    if k > 0:",
        f"        factor = {later}",
        f"    total = {b} + factor * total if k > 0 else {b}",
        f"    {row.store('total', 't')}",
    ]


def extreme(sign: str, row, n: str) -> list[str]:
    """Of a NaN the place too: it is larger, and smaller, than all else."""
    value = row.load("x")
    return [
        f"best = {row.load('x', '0')}",
        "at = 0",
        f"for k in range({n}):",
        f"    value = {value}",
        f"    if value {sign} best or (value != value and best == best):",
        "        best = value",
        "        at = k",
        f"store_any({row.place('y', '0')}, np.int64(at))",
    ]


def sum_partition(v, given):
    return PARTIAL if given == SHARD and 0 in v.params["axis"] else partition.along_axes(v, given)


def fold_stacked(v, axis, x):
    axes = v.params["axis"]
    if axis in axes:
        return None
    return axis if v.ndim == v.inputs[0].ndim else axis - sum([a < axis for a in axes])


def sum_stacked(v, axis, x):
    return PARTIAL if axis in v.params["axis"] else fold_stacked(v, axis, x)


FOLDS = {
    "max": Fold(folding("Float(-np.inf)", MAX, MOST, SMALLEST), any_order=True),
    "min": Fold(folding("Float(np.inf)", MIN, LEAST, LARGEST), any_order=True),
    "prod": Fold(folding("Float(1)", "total * value", "total * np.int64(value)", "np.int64(1)")),
    "any": Fold(folding("np.int64(0)", "1 if value != Float(0) else total", "1 if {true} else total"), "total != 0"),
    "all": Fold(folding("np.int64(1)", "total if value != Float(0) else 0", "total if {true} else 0"), "total != 0"),
}
PLACES = {"argmax": partial(extreme, ">"), "argmin": partial(extreme, "<")}
RUNNING = {
    "cumsum": Along(("x",), cumsum_text, runs),
    "cumprod": Along(("x",), cumprod_text, runs),
    "linear_recurrence": Along(("b", "a"), linear_recurrence_text),
}
RULES = {
    name: Rule(
        canonical=partial(reduction, name), batch=batch.over_axes, partition=partition.along_axes,
        stacked=fold_stacked, kernel=kernel,
    )
    for name, kernel in FOLDS.items()
}  # fmt: skip
RULES |= {
    name: Rule(
        canonical=partial(along_axis, name), batch=place_batched, partition=partition.along_axes,
        kernel=Along(("x",), text, of_numbers),
    )
    for name, text in PLACES.items()
}  # fmt: skip
RULES |= {
    name: Rule(
        canonical=partial(along_axis, name), batch=batch.along_axis, partition=partition.along_axes, kernel=kernel
    )
    for name, kernel in RUNNING.items()
}
RULES["sum"] = Rule(
    canonical=partial(reduction, "sum"), batch=batch.over_axes, partition=sum_partition,
    kernel=Fold(folding("np.int64(0)", "total + value", "total + np.int64(value)"), sums=True), linear=(0,),
    stacked=sum_stacked,
)  # fmt: skip
RULES["sum_to"] = Rule(canonical=sum_to, batch=sum_to_batched, linear=(0,))
RULES["logsumexp"] = Rule(batch=batch.over_axes, partition=partition.along_axes, lower=logsumexp_lowered)
