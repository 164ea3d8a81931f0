"""Loops whose steps depend on one another, so that no ufunc expresses them: scattered sums, linear recurrences."""

import ctypes
import functools
import math

import numpy as np

from minigrad.kernels import build, pieces
from minigrad.kernels.entry import FLOATS, in_order, refuse, require_indices
from minigrad.kernels.loops import INTERPRETED

SOURCE = """
def add_rows(result, index, rows, count, width):
    for i in range(count):
        to = index[i] * width
        for j in range(width):
            result[to + j] += rows[i * width + j]

def add_rows_often(result, index, rows, slots, totals, count, width):
    for i in range(count):
        slot = slots[index[i]]
        if slot < 0:
            to = index[i] * width
            for j in range(width):
                result[to + j] += rows[i * width + j]
        else:
            to = slot * width
            for j in range(width):
                totals[to + j] += rows[i * width + j]

def running_sum(y, x, total, outer, steps, inner):
    for o in range(outer):
        for i in range(inner):
            total[i] = 0
        for k in range(o * steps, (o + 1) * steps):
            for i in range(inner):
                total[i] += x[k * inner + i]
                y[k * inner + i] = total[i]

def running_product(y, x, total, outer, steps, inner):
    for o in range(outer):
        for i in range(inner):
            total[i] = 1
        for k in range(o * steps, (o + 1) * steps):
            for i in range(inner):
                total[i] *= x[k * inner + i]
                y[k * inner + i] = total[i]

def linear_recurrence(y, b, a, total, outer, steps, inner):
    for o in range(outer):
        for i in range(inner):
            total[i] = 0
        for k in range(o * steps, (o + 1) * steps):
            for i in range(inner):
                at = k * inner + i
                total[i] = b[at] + a[at] * total[i] if k > o * steps else b[at]
                y[at] = total[i]

def linear_recurrence_transposed(y, b, a, total, outer, steps, inner):
    for o in range(outer):
        for i in range(inner):
            total[i] = 0
        end = (o + 1) * steps - 1
        for k in range(end, o * steps - 1, -1):
            for i in range(inner):
                at = k * inner + i
                total[i] = b[at] + a[at + inner] * total[i] if k < end else b[at]
                y[at] = total[i]
"""

SIDE = 8  # rows whose running sums are taken side by side: each waits for itself alone
ROWS = """
def running_{name}_rows(y, x, rows, steps):
    whole = rows - rows % {side}
    for at in range(0, whole * steps, {side} * steps):
        {starts} = {zeros}
        for k in range(at, at + steps):
{body}
    for at in range(whole * steps, rows * steps, steps):
        t = np.float64({start})
        for k in range(at, at + steps):
            t = t {op} x[k]
            y[k] = t
"""
for name, op, start in (("sum", "+", 0), ("product", "*", 1)):
    body = [
        f"            t{r} = t{r} {op} x[k + {r} * steps]\n            y[k + {r} * steps] = t{r}" for r in range(SIDE)
    ]
    SOURCE += ROWS.format(
        name=name, op=op, start=start, side=SIDE, body="\n".join(body),
        starts=", ".join([f"t{r}" for r in range(SIDE)]), zeros=", ".join([f"np.float64({start})"] * SIDE),
    )  # fmt: skip
OFTEN = 128  # rows of float32 that are added one after another
CACHED = 1 << 15  # numbers of float64 that the L2 cache holds beside the rows


def address(function: str, kinds: tuple[str, ...], sizes: int) -> int:
    """Of a function of SOURCE: pointers to arrays of `kinds`, then sizes."""
    return build.address(SOURCE, function, ", ".join([*[f"CPointer({kind})" for kind in kinds], *["intp"] * sizes]))


@functools.cache
def compiled(function: str, kinds: tuple[str, ...]):
    sizes = 2 if function.startswith("add_rows") else 3
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(kinds), *[ctypes.c_ssize_t] * sizes)
    return prototype(address(function, kinds, sizes))


@functools.cache
def of_rows(function: str, kind: str) -> int:
    return address(function, (kind, kind), 2)


def add_rows(result: np.ndarray, index: np.ndarray, rows: np.ndarray) -> None:
    """result[index[i]] += rows[i] for each i in order, in place. What is added to often is added up in float64.

    result: (n, width), contiguous. index: integers in [0, n), of one dimension. rows: one for each index, of its dtype.

    Raises ValueError for other shapes and dtypes, IndexError for an index outside.
    """
    fits = result.ndim == 2 and index.ndim == 1 and index.dtype.kind in "iu" and rows.dtype == result.dtype
    fits = fits and rows.shape == (len(index), result.shape[1]) and in_order(result) is result
    if not fits:
        refuse("add_rows", "(n, width) in C order, integers (k,), rows (k, width) of its dtype", result, index, rows)
    require_indices("kernel add_rows: indices", "rows", index, len(result))
    if result.dtype not in FLOATS:
        np.add.at(result, index, rows)
        return
    if INTERPRETED:
        totals = result.astype("float64")
        np.add.at(totals, index, rows)
        result[...] = totals
        return
    index, rows = in_order(index.astype(np.intp, copy=False)), in_order(rows)
    kind, long = result.dtype.name, result.dtype == np.float32 and len(index) > OFTEN
    if long and result.size <= max(CACHED, 2 * len(index)):
        totals = result.astype("float64")
        compiled("add_rows", ("float64", "intp", kind))(*addresses(totals, index, rows), *rows.shape)
        result[...] = totals
        return
    often = np.flatnonzero(np.bincount(index) > OFTEN) if long else ()
    if not len(often):
        compiled("add_rows", (kind, "intp", kind))(*addresses(result, index, rows), *rows.shape)
        return
    slots, totals = np.full(len(result), -1), result[often].astype("float64")
    slots[often] = np.arange(len(often))
    kernel = compiled("add_rows_often", (kind, "intp", kind, "intp", "float64"))
    kernel(*addresses(result, index, rows, slots, totals), *rows.shape)
    result[often] = totals


def addresses(*arrays: np.ndarray) -> list[int]:
    return [x.ctypes.data for x in arrays]


def running(x: np.ndarray, axis: int, product: bool = False) -> np.ndarray:
    """Sums, or products, of the elements so far along an axis (>= 0)."""
    if INTERPRETED or x.dtype.kind != "f":
        return (np.cumprod if product else np.cumsum)(x, axis)
    function, steps = "running_product" if product else "running_sum", x.shape[axis]
    if x.size == 0 or x.dtype not in FLOATS or math.prod(x.shape[axis + 1 :]) > 1:
        return _along(function, axis, x)
    x = in_order(x)
    y = np.empty_like(x)
    given = [(a, steps * a.itemsize) for a in (y, x)]
    pieces.call(of_rows(f"{function}_rows", x.dtype.name), x.size // steps, steps, given, steps)
    return y


def linear_recurrence(b: np.ndarray, a: np.ndarray, axis: int, transposed: bool) -> np.ndarray:
    """y[t] = b[t] + a[t] y[t - 1] along an axis (>= 0), y[0] = b[0]; transposed, y[t] = b[t] + a[t + 1] y[t + 1]."""
    fits = b.shape == a.shape and b.dtype == a.dtype and b.dtype in FLOATS and 0 <= axis < b.ndim
    if not fits:
        refuse("linear_recurrence", "two of one shape and one dtype, float32 or float64", b, a)
    if INTERPRETED:
        y = np.array(b)
        y3, a3 = np.moveaxis(y, axis, 0), np.moveaxis(a, axis, 0)
        for t in range(len(y3) - 2, -1, -1) if transposed else range(1, len(y3)):
            y3[t] += a3[t + 1] * y3[t + 1] if transposed else a3[t] * y3[t - 1]
        return y
    return _along("linear_recurrence" + "_transposed" * transposed, axis, b, a)


def _along(function: str, axis: int, *operands: np.ndarray) -> np.ndarray:
    """Run a function of SOURCE along an axis of operands of one shape. It carries float64 along, as PyTorch does."""
    operands = [in_order(x) for x in operands]
    first = operands[0]
    y = np.empty_like(first)
    if y.size:
        sizes = math.prod(y.shape[:axis]), y.shape[axis], math.prod(y.shape[axis + 1 :])
        carried = np.empty(sizes[2])
        kinds = (*[y.dtype.name] * (1 + len(operands)), "float64")
        compiled(function, kinds)(*addresses(y, *operands, carried), *sizes)
    return y
