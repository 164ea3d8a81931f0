"""Fixed kernels over the rows of arrays, whose rows threads share.

A kernel is a C function: (address of each array, number of rows, other numbers), all 64-bit integers. A thread calls it
with the addresses of some of the rows.
"""

import ctypes
import functools
from collections.abc import Sequence

import numpy as np

from minigrad.kernels import build, threads
from minigrad.kernels.entry import address_of

SHARED = 1 << 17  # elements from which several threads are quicker than one
PIECE = 1 << 14  # elements that a thread takes at once


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
    calls = np.zeros((len(first), 2), np.int64)
    calls[:, 0] = address_of(records) + np.arange(len(first)) * records.strides[0]
    threads.call(piece(records.shape[1]), calls, np.arange(len(first) + 1))


@functools.cache
def prototype(arguments: int):
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)


@functools.cache
def piece(numbers: int) -> int:
    """Address of piece(at, _, _), which makes a call: its function and its arguments lie one after another at `at`."""
    call = ", ".join([f"load_any(at, {k}, np.int64)" for k in range(numbers)])
    return build.address(f"def piece(at, unused, room):\n    call({call})", "piece", "intp, intp, intp")
