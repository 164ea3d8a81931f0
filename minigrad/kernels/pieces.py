"""Fixed kernels over the rows of arrays, and elementwise loops, that threads share.

A kernel over rows is a C function: (address of each array, number of rows, other numbers), all 64-bit integers. A
thread calls it with the addresses of some of the rows.
"""

import ctypes
import functools
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from minigrad.kernels import build, loops, threads
from minigrad.kernels.entry import address_of

SHARED = 1 << 18  # elements from which several threads are quicker than one
PIECE = 1 << 14  # elements that a thread takes at once
LARGE = 1 << 20  # elements from which a second thread pays where Python wakes it, which costs some 100 us


def call(function: int, rows: int, width: int, arrays: Sequence[tuple], *numbers: int, multiple: int = 1) -> None:
    """Call the C function at an address on all rows.

    width: elements of a row, by which work is measured. arrays: (an array, bytes of it for `multiple` rows). multiple:
    pieces are of a multiple of so many rows.
    """
    starts = [address_of(a) for a, _ in arrays]
    if threads.count == 1 or rows * width < SHARED:
        prototype(len(arrays) + 1 + len(numbers))(function)(*starts, rows, *numbers)
        return
    each = max(1, PIECE // width // multiple) * multiple
    first = np.arange(0, rows, each)
    records = np.empty((len(first), len(arrays) + 2 + len(numbers)), np.int64)
    records[:, 0] = function
    for k, (start, (_, stride)) in enumerate(zip(starts, arrays)):
        records[:, k + 1] = start + first // multiple * stride
    records[:, len(arrays) + 1] = np.minimum(each, rows - first)
    records[:, len(arrays) + 2 :] = numbers
    make(records)


def make(records: np.ndarray) -> None:
    """Make calls of C functions, threads sharing them: each row is the address of one and its arguments."""
    calls = np.zeros((len(records), 2), np.int64)
    calls[:, 0] = address_of(records) + np.arange(len(records)) * records.strides[0]
    threads.call(piece(records.shape[1]), calls, np.arange(len(records) + 1))


@functools.cache
def prototype(arguments: int):
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)


@functools.cache
def piece(numbers: int) -> int:
    """Address of piece(at, _, _), which makes a call: its function and its arguments lie one after another at `at`."""
    call = ", ".join([f"load_any(at, {k}, np.int64)" for k in range(numbers)])
    return build.address(f"def piece(at, unused, room):\n    call({call})", "piece", "intp, intp, intp")


# Elementwise loops


def split(kernel, *operands, out=None):
    """kernel(*operands), divided between the threads where the result is large."""
    shape = np.broadcast_shapes(*[np.shape(x) for x in operands])
    size = math.prod(shape)
    if threads.count > 1 and size >= SHARED and out is None and kernel in loops.made:
        y = in_line(kernel, operands, shape)
        if y is not None:
            return y
    if threads.count == 1 or size < LARGE or not isinstance(kernel, np.ufunc):
        return kernel(*operands) if out is None else kernel(*operands, out=out)
    return by_slices(kernel, operands, shape, out)


def in_line(kernel: np.ufunc, operands: Sequence, shape: tuple[int, ...]) -> np.ndarray | None:
    """kernel(*operands), by blocks of a line of memory; None if the operands are not all such lines, or one number."""
    loop, kinds = loops.made[kernel]
    given, steps = [], []
    for x, kind in zip(operands, kinds):
        if type(x) in (int, float):
            x = np.array(x, kind) if abs(x) < 1e30 else x
        if type(x) is not np.ndarray or x.dtype != np.dtype(kind) or not x.flags.aligned:
            return None
        if x.size == 1 or not any(x.strides):
            steps.append(0)
        elif x.shape == shape and x.flags.c_contiguous:
            steps.append(x.itemsize)
        else:
            return None
        given.append(x)
    y = np.empty(shape, kinds[-1])
    given, steps = [*given, y], np.array([*steps, y.itemsize], np.int64)
    first = np.arange(0, y.size, PIECE)
    counts = np.minimum(PIECE, y.size - first)
    places = np.array([address_of(x) for x in given]) + first[:, None] * steps
    records = np.zeros((len(first), 5), np.int64)  # the loop; where its arrays are, how long, their steps; no more
    records[:, 0], records[:, 3] = loop, address_of(steps)
    records[:, 1] = address_of(places) + np.arange(len(first)) * places.strides[0]
    records[:, 2] = address_of(counts) + np.arange(len(first)) * counts.itemsize
    make(records)
    return y


def by_slices(kernel: np.ufunc, operands: Sequence, shape: tuple[int, ...], out):
    """kernel(*operands), the longest axis divided: NumPy lets go of the interpreter lock inside of a ufunc."""
    axis = int(np.argmax(shape))
    operands = [x if type(x) in (int, float) else np.broadcast_to(x, shape) for x in operands]
    if out is None:
        kinds = [type(x) if type(x) in (int, float) else x.dtype for x in operands]
        out = np.empty(shape, kernel.resolve_dtypes((*kinds, None))[-1])
    outs = out if isinstance(out, tuple) else (out,)
    edges = [shape[axis] * k // threads.count for k in range(threads.count + 1)]

    def part(first, last):
        where = (slice(None),) * axis + (slice(first, last),)
        pieces = [x if type(x) in (int, float) else x[where] for x in operands]
        return lambda: kernel(*pieces, out=tuple(o[where] for o in outs))

    threads.run([part(first, last) for first, last in pairwise(edges)])
    return out
