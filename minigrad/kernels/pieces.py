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
    places = [n for start, (_, stride) in zip(starts, arrays) for n in (start, each // multiple * stride)]
    record = np.array([function, rows, each, *places, *numbers], np.int64)
    make(rows_piece(len(arrays), len(numbers)), record, -(-rows // each))


def make(function: int, record: np.ndarray, count: int) -> None:
    """Call function(record, k, room) for each k < count, threads sharing the calls."""
    order = numbered(count)
    calls = np.empty((count, 2), np.int64)
    calls[:, 0], calls[:, 1] = address_of(record), order[:-1]
    threads.call(function, calls, order)


@functools.lru_cache(64)
def numbered(count: int) -> np.ndarray:
    return np.arange(count + 1)


@functools.cache
def prototype(arguments: int):
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)


@functools.cache
def rows_piece(arrays: int, numbers: int) -> int:
    """Address of piece(record, k, _): a call on piece k of the rows. The record has the function, the number of rows in
    all and in a piece, where each array is and how many bytes of it a piece has, then the other numbers."""
    record = [f"load_any(at, {k}, np.int64)" for k in range(3 + 2 * arrays + numbers)]
    function, rows, each, *rest = record
    starts = [f"{rest[2 * k]} + k * {rest[2 * k + 1]}" for k in range(arrays)]
    arguments = [function, *starts, f"min({each}, {rows} - k * {each})", *rest[2 * arrays :]]
    text = f"def piece(at, k, room):\n    call({', '.join(arguments)})"
    return build.address(text, "piece", "intp, intp, intp")


@functools.cache
def line_piece(arrays: int) -> int:
    """Address of piece(record, k, room): a ufunc's loop on piece k of lines of memory. The record has the loop, the
    length of the lines and of a piece, the bytes from each array's element to the next, and where each is."""
    lines = ["def piece(at, k, room):", "    each = load_any(at, 2, np.int64)"]
    lines += [f"    store_any(room, {arrays}, min(each, load_any(at, 1, np.int64) - k * each))"]
    for j in range(arrays):
        step, start = f"load_any(at, {3 + j}, np.int64)", f"load_any(at, {3 + arrays + j}, np.int64)"
        lines += [f"    store_any(room, {j}, {start} + k * each * {step})"]
    lines += [f"    call(load_any(at, 0, np.int64), room, room + {8 * arrays}, at + 24, 0)"]
    return build.address("\n".join(lines), "piece", "intp, intp, intp")


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
    places = [address_of(x) for x in (*given, y)]
    record = np.array([loop, y.size, PIECE, *steps, y.itemsize, *places], np.int64)
    make(line_piece(len(places)), record, -(-y.size // PIECE))
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
