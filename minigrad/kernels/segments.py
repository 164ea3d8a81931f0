"""Sums of rows that go to one place, the transpose of a lookup: the rows are put in the order of their places first.

So each row of the result is written once, by any thread. Where rows are narrow, that order costs more than it saves,
and they are added one after another (kernels/sequential.py).
"""

import functools

import numpy as np

from minigrad.kernels import build, memory, pieces
from minigrad.kernels.entry import FLOATS, address_of, in_order, refuse, require_indices
from minigrad.kernels.loops import INTERPRETED
from minigrad.kernels.sequential import add_rows

WIDE = 16  # numbers of a row from which the order pays

TEXT = """
def segments(starts, order, index, count, n):
    for i in range(n + 1):
        starts[i] = 0
    for k in range(count):
        starts[index[k]] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    for k in range(count - 1, -1, -1):
        starts[index[k]] -= 1
        order[starts[index[k]]] = k


def sum_segments(y, starts, order, x, n, width):
    sums = stack(4096)
    for r in range(n):
        first, last = starts[r], starts[r + 1]
        for begin in range(0, width, 512):
            m = min(512, width - begin)
            to, at = r * width + begin, begin
            if last == first:
                for j in range(m):
                    y[to + j] = Float(0)
            elif last == first + 1:
                at += order[first] * width
                for j in range(m):
                    y[to + j] = x[at + j]
            else:
                for j in range(m):
                    store_any(sums, j, np.float64(0))
                for k in range(first, last):
                    at = order[k] * width + begin
                    for j in range(m):
                        store_any(sums, j, load_any(sums, j, np.float64) + np.float64(x[at + j]))
                for j in range(m):
                    y[to + j] = Float(load_any(sums, j, np.float64))
"""


@functools.cache
def compiled(name: str, kinds: str, of: str) -> int:
    return build.address(f"Float = np.{of}\n{TEXT}", name, f"{kinds}, intp, intp")


def add_up(x: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
    """Zeros (n, width) with x[i] added at the row index[i] for each i in order; floats are added up in float64.

    x: (k, width). index: integers in [0, n), of one dimension. Threads share the rows of the result, whose bits do not
    depend on how many there are.

    Raises ValueError for other shapes and dtypes, IndexError for an index outside.
    """
    if x.ndim != 2 or index.ndim != 1 or index.dtype.kind not in "iu" or len(x) != len(index):
        refuse("add_up", "rows (k, width), integers (k,)", x, index)
    require_indices("kernel add_up: indices", "rows", index, n)
    if x.dtype not in FLOATS or INTERPRETED or x.shape[1] < WIDE:
        sums = np.zeros((n, x.shape[1]), x.dtype)
        add_rows(sums, index, x)
        return sums
    x, index = in_order(x), in_order(index.astype(np.int64, copy=False))
    (count, width), kind = x.shape, x.dtype.name
    y = memory.empty((n, width), x.dtype)
    starts, order = np.empty(n + 1, np.int64), np.empty(count, np.int64)
    sort = compiled("segments", ", ".join(["CPointer(int64)"] * 3), kind)
    pieces.prototype(5)(sort)(*map(address_of, (starts, order, index)), count, n)
    kinds = f"CPointer({kind}), CPointer(int64), CPointer(int64), CPointer({kind})"
    given = [(y, width * x.itemsize), (starts, 8), (order, 0), (x, 0)]
    pieces.call(compiled("sum_segments", kinds, kind), n, max(1, width + count * width // max(1, n)), given, width)
    return y
