"""What is picked from each row of a matrix: by integers, and where it is added back; and the greatest."""

import functools

import numpy as np

from minigrad.kernels import build, pieces
from minigrad.kernels.entry import FLOATS, in_order, refuse
from minigrad.kernels.loops import INTERPRETED

MOST = 4096  # columns into which is added: their sums, in float64, are on the stack

TEXT = """
def take_along(y, x, index, outside, rows, m, n):
    for r in range(rows):
        for k in range(r * m, (r + 1) * m):
            i = index[k]
            i = i + n if i < 0 else i
            if i < 0 or i >= n:
                outside[0] = 1
            else:
                y[k] = x[r * n + i]


def add_along(y, g, index, outside, rows, m, n):
    sums = stack(32768)
    for r in range(rows):
        for k in range(n):
            store_any(sums, k, np.float64(0))
        for k in range(r * m, (r + 1) * m):
            i = index[k]
            i = i + n if i < 0 else i
            if i < 0 or i >= n:
                outside[0] = 1
            else:
                store_any(sums, i, load_any(sums, i, np.float64) + np.float64(g[k]))
        for k in range(n):
            y[r * n + k] = Float(load_any(sums, k, np.float64))
"""


@functools.cache
def compiled(name: str, dtype: np.dtype) -> int:
    kinds = f"CPointer({dtype.name}), CPointer({dtype.name}), CPointer(int64), CPointer(int64), intp, intp, intp"
    return build.address(f"Float = np.{dtype.name}\n{TEXT}", name, kinds)


def takes(of_indices: np.ndarray, index: np.ndarray, n: int) -> bool:
    """Whether the kernels take what belongs to these indices, of rows of n."""
    integers = index.dtype.kind in "iu" and np.can_cast(index.dtype, np.int64)
    return integers and of_indices.dtype in FLOATS and n > 0 and index.size > 0 and not INTERPRETED


def take_along(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """x[r, index[r, k]] for each row r of x (rows, n) and of index (rows, m); negative ones count from the end.

    Raises ValueError for other shapes, IndexError for an index outside.
    """
    if x.ndim != 2 or index.ndim != 2 or len(x) != len(index) or not takes(x, index, x.shape[1]):
        refuse("take_along", "floats (rows, n) and integers (rows, m)", x, index)
    y = np.empty(index.shape, x.dtype)
    run("take_along", y, x, index, x.shape[1])
    return y


def add_along(g: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
    """Zeros (rows, n) with g[r, k] added at [r, index[r, k]], in float64: the transpose of take_along. n: up to MOST.

    Raises ValueError for other shapes, IndexError for an index outside.
    """
    if g.ndim != 2 or g.shape != index.shape or n > MOST or not takes(g, index, n):
        refuse("add_along", f"floats and integers (rows, m), and up to {MOST} columns", g, index)
    y = np.empty((len(g), n), g.dtype)
    run("add_along", y, g, index, n)
    return y


def run(name: str, y: np.ndarray, x: np.ndarray, index: np.ndarray, n: int) -> None:
    x, index, outside = in_order(x), in_order(index.astype(np.int64, copy=False)), np.zeros(1, np.int64)
    rows, m = index.shape
    given = [*[(a, a.shape[1] * a.itemsize) for a in (y, x, index)], (outside, 0)]
    pieces.call(compiled(name, y.dtype), rows, m + n, given, m, n)
    if outside[0]:
        raise IndexError(f"indices from {index.min()} to {index.max()}, wanted {-n} to {n - 1}")


def order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """Indices that sort x along an axis (>= 0), equal elements in their order; NaN is the largest."""
    if not descending:
        return np.argsort(x, axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)


def greatest(x: np.ndarray, k: int, axis: int, largest: bool) -> np.ndarray:
    """The first k of order(x, axis, largest), 0 <= k <= x.shape[axis], without sorting the others."""
    n, shape = x.shape[axis], [k if a == axis else m for a, m in enumerate(x.shape)]
    if 0 in shape:
        return np.empty(shape, np.intp)
    lined = np.moveaxis(x, axis, -1)
    rows = lined.reshape(-1, n)
    places = np.argpartition(rows, n - k if largest else k - 1, -1)
    places = np.sort(places[:, n - k :] if largest else places[:, :k], -1)
    values = np.take_along_axis(rows, places, -1)
    last = (np.fmin if largest else np.maximum).reduce(values, -1, keepdims=True)
    equal = np.count_nonzero(rows == last, -1) == np.count_nonzero(values == last, -1)
    others = np.flatnonzero(~equal | (last != last)[:, 0])  # of equal elements, or NaN, a partition takes any
    places[others] = first_of_equal(rows[others], last[others], k, largest)
    places = np.take_along_axis(places, order(np.take_along_axis(rows, places, -1), 1, largest), -1)
    return np.moveaxis(places.reshape(*lined.shape[:-1], k), -1, axis)


def first_of_equal(x: np.ndarray, last: np.ndarray, k: int, largest: bool) -> np.ndarray:
    """Places, in order, of what is beyond `last` in each row, and of the first that equal it: k together."""
    nan, end = x != x, last != last
    beyond = (x > last) | (nan & ~end) if largest else (x < last) | (~nan & end)
    equal = (x == last) | (nan & end)
    room = k - np.count_nonzero(beyond, -1, keepdims=True)
    return np.nonzero(beyond | (equal & (np.cumsum(equal, -1) <= room)))[1].reshape(len(x), k)
