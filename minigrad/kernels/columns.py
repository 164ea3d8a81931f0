"""Loops over columns: what rows.py does, of numbers that lie a line's width apart, as a softmax over channels does.

Columns are side by side, so that each step down takes one of many columns at once. Sums are in float64.
"""

import functools

import numpy as np

from minigrad.kernels import build, loops, pieces
from minigrad.kernels.entry import FLOATS, refuse

TILE = 256  # columns that are worked on together, which should stay in the cache
MULTIPLE = 64  # of columns that a thread takes

# Each is run on `columns` columns that begin at `at`, of n numbers that lie `width` apart. a, b, c and d have a number
# for each column.
KERNELS = {
    "softmax": """
def of_columns(y, x, a, b, c, d, eps, at, n, width, columns):
    find_largest(a, x, at, n, width, columns)
    clear(b, columns)
    for start in range(at, at + n * width, width):
        for k in range(columns):
            e = exp(x[start + k] - Float(a[k]))
            y[start + k] = e
            b[k] += e
    for start in range(at, at + n * width, width):
        for k in range(columns):
            y[start + k] = y[start + k] / Float(b[k])
""",
    "softmax_pull": """
def of_columns(result, g, y, a, b, c, d, eps, at, n, width, columns):
    clear(a, columns)
    for start in range(at, at + n * width, width):
        for k in range(columns):
            a[k] += g[start + k] * y[start + k]
    for start in range(at, at + n * width, width):
        for k in range(columns):
            result[start + k] = y[start + k] * (g[start + k] - Float(a[k]))
""",
    "log_softmax": """
def of_columns(y, x, a, b, c, d, eps, at, n, width, columns):
    find_largest(a, x, at, n, width, columns)
    clear(b, columns)
    for start in range(at, at + n * width, width):
        for k in range(columns):
            b[k] += exp(x[start + k] - Float(a[k]))
    for k in range(columns):
        b[k] = log(Float(b[k]))
    for start in range(at, at + n * width, width):
        for k in range(columns):
            y[start + k] = (x[start + k] - Float(a[k])) - Float(b[k])
""",
    "log_softmax_pull": """
def of_columns(result, g, y, a, b, c, d, eps, at, n, width, columns):
    clear(a, columns)
    for start in range(at, at + n * width, width):
        for k in range(columns):
            a[k] += g[start + k]
    for start in range(at, at + n * width, width):
        for k in range(columns):
            result[start + k] = g[start + k] - exp(y[start + k]) * Float(a[k])
""",
    "standardize": """
def of_columns(y, x, a, b, c, d, eps, at, n, width, columns):
    find_moments(a, b, x, eps, at, n, width, columns)
    for start in range(at, at + n * width, width):
        for k in range(columns):
            y[start + k] = (x[start + k] - Float(a[k])) * Float(b[k])
""",
    "standardize_pull": """
def of_columns(result, g, x, y, a, b, c, d, eps, at, n, width, columns):
    find_moments(a, b, x, eps, at, n, width, columns)
    clear(c, columns)
    clear(d, columns)
    for start in range(at, at + n * width, width):
        for k in range(columns):
            c[k] += g[start + k]
            d[k] += g[start + k] * y[start + k]
    for k in range(columns):
        c[k], d[k] = c[k] / np.float64(n), d[k] / np.float64(n)
    for start in range(at, at + n * width, width):
        for k in range(columns):
            result[start + k] = Float(b[k]) * (g[start + k] - Float(c[k]) - y[start + k] * Float(d[k]))
""",
}
HELPERS = """
@njit(error_model="numpy", forceinline=True)
def clear(a, columns):
    for k in range(columns):
        a[k] = np.float64(0)


@njit(error_model="numpy", forceinline=True)
def find_largest(a, x, at, n, width, columns):
    for k in range(columns):
        a[k] = np.float64(x[at + k])
    for start in range(at, at + n * width, width):
        for k in range(columns):
            v = np.float64(x[start + k])
            a[k] = v if v > a[k] else a[k]


@njit(error_model="numpy", forceinline=True)
def find_moments(a, b, x, eps, at, n, width, columns):
    # the mean, and 1 / the standard deviation
    clear(a, columns)
    for start in range(at, at + n * width, width):
        for k in range(columns):
            a[k] += x[start + k]
    for k in range(columns):
        a[k] = np.float64(Float(a[k] / np.float64(n)))
        b[k] = np.float64(0)
    for start in range(at, at + n * width, width):
        for k in range(columns):
            centred = np.float64(x[start + k]) - a[k]
            b[k] += centred * centred
    for k in range(columns):
        b[k] = np.float64(1) / np.sqrt(b[k] / np.float64(n) + eps[0])


@njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
"""
ENTRY = """
def columns_of({arrays}, a, b, c, d, eps, columns, blocks, n, width):
    for block in range(blocks):
        for first in range(0, columns, TILE):
            tile = min(TILE, columns - first)
            of_columns({arrays}, a, b, c, d, eps, block * n * width + first, n, width, tile)
"""


@functools.cache
def compiled(name: str, count: int, dtype: np.dtype) -> int:
    """Address of a kernel of so many arrays: columns_of."""
    entry = ENTRY.format(arrays=", ".join([f"array{k}" for k in range(count)]))
    text = loops.with_dependencies(HELPERS.rstrip() + KERNELS[name] + entry, dtype.name)
    kinds = [*[f"CPointer({dtype.name})"] * count, *["CPointer(float64)"] * 5, *["intp"] * 4]
    return build.address(f"Float = np.{dtype.name}\nTILE = {TILE}\n{text}", "columns_of", ", ".join(kinds))


def run(name: str, result: np.ndarray, *operands: np.ndarray, eps: float = 0.0) -> np.ndarray:
    """Run a kernel along the middle axis of operands (blocks, n, columns), and write into the result, which is
    returned. Threads share the columns of many.

    Raises ValueError for arrays that are not of one such shape and dtype, in C order.
    """
    arrays = (result, *operands)
    good = result.ndim == 3 and result.dtype in FLOATS and not loops.INTERPRETED
    for a in arrays:
        flags = a.flags
        good = good and a.shape == result.shape and a.dtype == result.dtype and flags.c_contiguous and flags.aligned
    if not good or len(arrays) != KERNELS[name].partition(", a, b")[0].count(",") + 1:
        refuse(f"{name} of columns", "floats (blocks, n, columns) of one shape, in C order", *arrays)
    blocks, n, columns = result.shape
    if result.size:
        given = [*[(a, MULTIPLE * a.itemsize) for a in arrays], *[(a, MULTIPLE * 8) for a in np.empty((4, columns))]]
        given.append((np.array([eps]), 0))
        function = compiled(name, len(arrays), result.dtype)
        pieces.call(function, columns, blocks * n, given, blocks, n, columns, multiple=MULTIPLE)
    return result
