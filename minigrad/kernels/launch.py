"""From a list of arrays to a kernel that runs on them, in one call of machine code.

What comes before the kernel and after it is a list of small steps, rows of 64-bit integers that are made once: an
address goes where the kernel reads it, a carry's start is copied, a sum is set to zero; afterwards results are copied
out of memory that the next call uses again. Places are numbered: first the arrays of the call, then memory of the
kernel's own.

The arrays are looked at where Python and NumPy keep what they are. A row for each says what it has to be, so that
nothing is read past its end; the first that is not as its row says is given back to Python.
"""

import ctypes
import functools
from collections.abc import Sequence

import numpy as np

from minigrad.kernels import build
from minigrad.kernels.entry import address_of

WIDTH, PUT, COPY, ZERO, TOTAL32, TOTAL64 = 8, 0, 1, 2, 3, 4  # integers of a step, and its kinds; see the text below

TEXT = '''
@njit
def number(at, k):
    return load_any(at, k, np.int64)


@njit
def wrong(array, row, ndim):
    """Not 0 unless the array is of this type and shape, lies so in memory, and at a multiple of its itemsize."""
    bad = (number(array, 1) ^ number(row, 2)) | (number(array, 7) ^ number(row, 3))
    bad = bad | (number(array, 2) & number(row, 1)) | (ndim ^ load_any(array, 6, np.int32))
    if bad != 0:
        return bad
    shape, strides = number(array, 4), number(array, 5)
    for axis in range(ndim):
        n = number(row, 4 + 2 * axis)
        bad = bad | (number(shape, axis) ^ n)
        if n != 1:
            bad = bad | (number(strides, axis) ^ number(row, 5 + 2 * axis))
    return bad


@njit
def collect(arrays, count, rows, places, found):
    items, row = number(arrays, 3), rows
    for k in range(count):
        array, ndim = number(items, k), number(row, 0)
        if wrong(array, row, ndim) != 0:
            store_any(found, 0, np.int64(k))
            return
        store_any(places, k, number(array, 2))
        row += 8 * (4 + 2 * ndim)
    store_any(found, 0, np.int64(-1))


@njit
def copied(start, to, size):
    if (size | start | to) & 3 == 0:
        for i in range(size // 4):
            store_any(to, i, load_any(start, i, np.int32))
    else:
        for i in range(size):
            store_any(to, i, load_any(start, i, np.uint8))


@njit
def zeroed(to, size):
    if size & 3 == 0:
        for i in range(size // 4):
            store_any(to, i, np.float32(0))
    else:
        for i in range(size):
            store_any(to, i, np.uint8(0))


@njit
def total(start, parts, size, k):
    """Of element k of several arrays of float64, one after another."""
    found = load_any(start, k, np.float64)
    for part in range(1, parts):
        found += load_any(start + part * size, k, np.float64)
    return found


@njit
def steps(places, at, count):
    for _ in range(count):
        kind, start, to = number(at, 0), number(places, number(at, 1)) + number(at, 2), number(at, 4)
        n, parts, size = number(at, 5), number(at, 6), number(at, 7)
        if kind == 0:
            store_any(to, 0, start)
        else:
            to += number(places, number(at, 3))
        if kind == 1:
            copied(start, to, n)
        if kind == 2:
            zeroed(start, n)
        if kind == 3:
            for k in range(n):
                store_any(to, k, np.float32(total(start, parts, size, k)))
        if kind == 4:
            for k in range(n):
                store_any(to, k, total(start, parts, size, k))
        at += 64


def look(arrays, launch):
    """launch: count, rows and places of the arrays; steps before and after, and how many; function, calls and how many;
    what was found; all places."""
    collect(arrays, number(launch, 0), number(launch, 1), number(launch, 2), launch + 80)


def before(launch):
    steps(number(launch, 11), number(launch, 3), number(launch, 4))


def after(launch):
    steps(number(launch, 11), number(launch, 5), number(launch, 6))


def run(arrays, launch, room):
    look(arrays, launch)
    if number(launch, 10) >= 0:
        return
    before(launch)
    function, calls = number(launch, 7), number(launch, 8)
    for k in range(number(launch, 9)):
        call(function, number(calls, 2 * k), number(calls, 2 * k + 1), room)
    after(launch)
'''
ARGUMENTS = {"look": 2, "before": 1, "after": 1, "run": 3}


@functools.cache
def functions() -> dict:
    """The C functions of the text that Python calls, by name."""
    found = build.addresses(TEXT, {name: ", ".join(["intp"] * n) for name, n in ARGUMENTS.items()})
    prototypes = [ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * n) for n in ARGUMENTS.values()]
    return {name: prototype(address) for name, prototype, address in zip(ARGUMENTS, prototypes, found)}


class Launch:
    """Of one kernel with one memory. places: where these lie, the first ones known; the arrays of a call come from
    `first` on. before, after: the steps. function: the kernel's address. calls: what it is called with."""

    def __init__(self, places, first: int, before: np.ndarray, after: np.ndarray, function: int, calls: np.ndarray):
        self.places, self.first, self.kept = places, first, (before, after, calls)
        self.record = (ctypes.c_int64 * 12)()  # what `launch` is in the text
        self.at = ctypes.addressof(self.record)
        start = places.ctypes.data
        of_steps = [n for rows in (before, after) for n in (rows.ctypes.data, len(rows))]
        self.record[2:] = [start + 8 * first, *of_steps, function, calls.ctypes.data, len(calls), -1, start]

    def expect(self, wanted: Sequence[tuple]) -> None:
        """What the arrays of a call have to be: (shape, dtype, strides)."""
        self.wanted = list(wanted)
        self.rows = np.array([n for each in wanted for n in row_of(*each)], np.int64)
        self.record[0:2] = [len(self.wanted), self.rows.ctypes.data]

    def look(self, arrays: list) -> int:
        """Note where the arrays lie. The first one that is not what it has to be; -1 if all are."""
        if knows_arrays():
            functions()["look"](id(arrays), self.at)
            return self.record[10]
        for k, (x, each) in enumerate(zip(arrays, self.wanted, strict=True)):
            if not fits(x, *each):
                return k
            self.places[self.first + k] = address_of(x)
        return -1

    def before(self) -> None:
        functions()["before"](self.at)

    def after(self) -> None:
        functions()["after"](self.at)

    def run(self, arrays: list, room: int) -> int:
        """Look at them, and all the rest, in this thread, if all are what they have to be. As `look`."""
        functions()["run"](id(arrays), self.at, room)
        return self.record[10]


def row_of(shape: Sequence[int], dtype: np.dtype, strides: Sequence[int]) -> list[int]:
    """What an array has to be. Strides count where there is more than one element along an axis."""
    sides = [number for pair in zip(shape, strides, strict=True) for number in pair]
    return [len(shape), dtype.itemsize - 1, id(np.ndarray), id(dtype), *sides]


def fits(x: np.ndarray, shape: Sequence[int], dtype: np.dtype, strides: Sequence[int]) -> bool:
    """What `collect` asks of an array."""
    same = type(x) is np.ndarray and x.dtype is dtype and x.shape == tuple(shape)
    lies = same and all(n == 1 or s == t for n, s, t in zip(shape, x.strides, strides))
    return lies and address_of(x) & dtype.itemsize - 1 == 0


@functools.cache
def knows_arrays() -> bool:
    """Whether Python and NumPy keep lists and arrays as the text thinks; on others arrays are looked at here."""
    if (object.__basicsize__, list.__basicsize__) != (16, 40):
        return False
    probe = [np.empty((2, 3, 1), np.float32), np.empty(4), np.empty((3, 5), bool)[:, 1:]]
    rows = np.array([n for x in probe for n in row_of(x.shape, x.dtype, x.strides)], np.int64)
    places, none = np.zeros(len(probe), np.int64), np.zeros((0, WIDTH), np.int64)
    launch = Launch(places, 0, none, none, 0, none)
    launch.record[0:2] = [len(probe), rows.ctypes.data]
    functions()["look"](id(probe), launch.at)
    return launch.record[10] == -1 and places.tolist() == [x.ctypes.data for x in probe]
