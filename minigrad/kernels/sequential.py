"""Loops whose steps depend on one another, so that no ufunc expresses them: scattered sums, linear recurrences."""

import ctypes
import functools
import math

import numpy as np

from minigrad.kernels import build
from minigrad.kernels.loops import INTERPRETED

SOURCE = """
def add_rows(result, index, rows, count, width):
    for i in range(count):
        to = index[i] * width
        for j in range(width):
            result[to + j] += rows[i * width + j]

def linear_recurrence(y, b, a, outer, steps, inner):
    for o in range(outer):
        start = o * steps * inner
        for i in range(inner):
            y[start + i] = b[start + i]
        for k in range(start + inner, start + steps * inner):
            y[k] = b[k] + a[k] * y[k - inner]

def linear_recurrence_transposed(y, b, a, outer, steps, inner):
    for o in range(outer):
        end = (o + 1) * steps * inner - 1
        for i in range(inner):
            y[end - i] = b[end - i]
        for i in range(inner, steps * inner):
            k = end - i
            y[k] = b[k] + a[k + inner] * y[k + inner]
"""


@functools.cache
def compiled(function: str, kinds: tuple[str, ...]):
    """A function of SOURCE: pointers to arrays of `kinds`, then sizes."""
    sizes = 2 if function == "add_rows" else 3
    types = ", ".join([*[f"CPointer({kind})" for kind in kinds], *["intp"] * sizes])
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(kinds), *[ctypes.c_ssize_t] * sizes)
    return prototype(build.address(SOURCE, function, types))


def add_rows(result: np.ndarray, index: np.ndarray, rows: np.ndarray) -> None:
    """result[index[i]] += rows[i] for each i in order, in place.

    result: (n, width), contiguous, float32 or float64. index: integers in [0, n). rows: one for each index.
    """
    if INTERPRETED or result.dtype.kind != "f":
        np.add.at(result, index, rows)
        return
    index, rows = np.ascontiguousarray(index, np.intp), np.ascontiguousarray(rows, result.dtype)
    kernel = compiled("add_rows", (result.dtype.name, "intp", result.dtype.name))
    kernel(result.ctypes.data, index.ctypes.data, rows.ctypes.data, *rows.shape)


def linear_recurrence(b: np.ndarray, a: np.ndarray, axis: int, transposed: bool) -> np.ndarray:
    """y[t] = b[t] + a[t] y[t - 1] along an axis (>= 0), y[0] = b[0]; transposed, y[t] = b[t] + a[t + 1] y[t + 1]."""
    b, a = np.ascontiguousarray(b), np.ascontiguousarray(a)
    y = np.empty_like(b)
    sizes = math.prod(b.shape[:axis]), b.shape[axis], math.prod(b.shape[axis + 1 :])
    if b.size == 0:
        return y
    if INTERPRETED:
        y3, b3, a3 = [x.reshape(sizes) for x in (y, b, a)]
        y3[:] = b3
        for t in range(sizes[1] - 2, -1, -1) if transposed else range(1, sizes[1]):
            y3[:, t] += a3[:, t + 1] * y3[:, t + 1] if transposed else a3[:, t] * y3[:, t - 1]
        return y
    name = "linear_recurrence" + "_transposed" * transposed
    compiled(name, (b.dtype.name,) * 3)(y.ctypes.data, b.ctypes.data, a.ctypes.data, *sizes)
    return y
