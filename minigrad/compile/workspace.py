"""What a kernel is given besides the arrays of a call: memory of its own, numbers, and where everything lies."""

import math
import weakref
from typing import Any

import numpy as np

from minigrad.compile.emit import FIXED
from minigrad.compile.nested import size_of
from minigrad.compile.tasks import Buffer
from minigrad.ir.rules.kernel import natural
from minigrad.kernels import conv, launch, matmul, memory, threads
from minigrad.kernels.entry import address_of
from minigrad.kernels.launch import COPY, PUT, TOTAL32, TOTAL64, ZERO

ROOM, SIZES = 1 << 22, 4  # bytes, or times what the last one takes: workspaces of one kernel for its other sizes


def aligned(shape, dtype) -> np.ndarray:
    """Uninitialised memory that begins with a cache line."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


class Workspace:
    """Memory of a kernel that no caller sees, planned once and used again by the next call; where it lies, for each
    thread. One that runs is in use by one call.

    arrays: by buffer, that memory. made: shape and dtype of each array that a call makes, for results. strides: of the
    arrays of a call, given and made, as they were when the numbers were filled in. launch: what machine code reads of
    all this (kernels/launch.py).
    """

    def __init__(self, kernel: Any, parts):
        self.kernel, self.count = kernel, len(parts)
        self.arrays: dict[Buffer, np.ndarray] = {}
        self.pointers = np.zeros((len(parts), len(kernel.buffers)), np.int64)
        blocks = [(k, *block) for k, part in enumerate(parts) for block in kernel.blocks(*part)]
        self.numbers = np.zeros((len(blocks), FIXED + len(kernel.numbers)), np.int64)
        for row, (_, first, last) in zip(self.numbers, blocks):
            row[:FIXED] = kernel.length, first, last, *kernel.called
        for k, n in enumerate(kernel.numbers):
            self.numbers[:, FIXED + k] = 0 if isinstance(n, str) else n
        for where, b in enumerate(kernel.buffers):
            self.reserve(where, b)
        self.nbytes = sum(array.nbytes for array in self.arrays.values())
        places = [(self.pointers[k].ctypes.data, n.ctypes.data) for (k, _, _), n in zip(blocks, self.numbers)]
        self.calls = np.array(places, np.int64)
        # a thread does the blocks of a part one after another: they share their memory
        self.starts = np.searchsorted([k for k, _, _ in blocks], np.arange(len(parts) + 1))
        self.plan()

    def reserve(self, where: int, b: Buffer) -> None:
        """The memory of a buffer that is the kernel's own."""
        if b.kind == "packed":
            array = matmul.packed_buffer(b.shape[0], b.shape[1], b.dtype)
        elif b.kind == "filters":
            O, I, kh, kw = b.shape
            array = conv.packed_buffer(O, I, kh, kw, b.dtype)
        elif b.kind in ("scratch", "sum", "total", "pair", "turn"):
            slots = (2,) if b.kind in ("pair", "turn") else ()
            array = aligned((self.count if b.private else 1, *slots, *b.shape), b.dtype)
        else:
            return
        self.arrays[b] = array
        apart = array.strides[0] if b.private and b.kind not in ("packed", "filters") else 0
        self.pointers[:, where] = address_of(array) + np.arange(self.count) * apart

    # The steps before the kernel and after it

    def plan(self) -> None:
        """Places are numbered: own memory first, then what is given, then what is made."""
        kernel, self.own = self.kernel, {b: n for n, b in enumerate(self.arrays)}
        self.first = len(self.own)
        self.made: list[tuple] = []
        self.before: list[list[int]] = []
        self.after: list[list[int]] = []
        makes: dict[Buffer, int] = {}
        for where, b in kernel.inputs:
            self.put(where, self.first + b.index)
        for where, b in kernel.filled:
            if b.kind in ("y", "history"):
                makes[b] = self.stack(where, b)
            elif b.kind == "pair":
                start = self.first + kernel.carries[b.index]
                for k in range(self.count if b.private else 1):
                    self.before.append([COPY, start, 0, self.own[b], 2 * k * size_of(b), size_of(b), 0, 0])
            else:
                self.before.append([ZERO, self.own[b], 0, 0, 0, self.arrays[b].nbytes, 0, 0])
        self.results = [self.result(b, how, makes) for b, how in kernel.results]
        self.is_large = any(math.prod(shape) * dtype.itemsize >= memory.LARGE for shape, dtype in self.made)
        start, end = [np.array(rows, np.int64).reshape(-1, launch.WIDTH) for rows in (self.before, self.after)]
        self.places = np.zeros(self.first + len(kernel.specs) + len(self.made), np.int64)
        self.places[: self.first] = [address_of(array) for array in self.arrays.values()]
        self.wanted = [(shape, dtype, in_bytes(shape, dtype)) for shape, dtype in (*kernel.specs, *self.made)]
        self.launch = launch.Launch(self.places, self.first, start, end, kernel.function, self.calls)
        for k in range(len(kernel.specs)):
            self.expect(k, self.wanted[k][2])
        self.launch.expect(self.wanted)

    def make(self, shape, dtype) -> int:
        """The place of an array that every call makes."""
        self.made.append((shape, dtype))
        return self.first + len(self.kernel.specs) + len(self.made) - 1

    def put(self, where: int, place: int, apart: int = 0) -> None:
        """The kernel finds the address of a place in its pointers; each thread, one that is so much further."""
        slots = [self.pointers[k : k + 1, where].ctypes.data for k in range(self.count)]
        self.before += [[PUT, place, k * apart, 0, slot, 0, 0, 0] for k, slot in enumerate(slots)]

    def stack(self, where: int, b: Buffer) -> int:
        """The place of a stack of all steps, of carries with their start."""
        kernel, copies = self.kernel, self.count if b.private else 1
        slots = kernel.length + (b.kind == "history")
        place = self.make((copies, slots, *b.shape) if b.private else (slots, *b.shape), b.dtype)
        self.put(where, place, slots * size_of(b) if b.private else 0)
        if b.kind == "history":
            skip = kernel.length if kernel.loop.reverse else 0
            for k in range(copies):
                to, start = (k * slots + skip) * size_of(b), self.first + kernel.carries[b.index]
                self.before.append([COPY, start, 0, place, to, size_of(b), 0, 0])
        return place

    def result(self, b: Buffer, how: str, makes: dict[Buffer, int]) -> tuple:
        """An output: which of the arrays of a call it is, and the part of it (None: all)."""
        T, reverse = self.kernel.length, self.kernel.loop.reverse
        if b.kind == "total":
            dtype = self.kernel.schedule.loop.sums[b.index].dtype
            place, parts = self.make(b.shape, dtype), 1 if how == "first" else len(self.arrays[b])
            kind, apart = TOTAL32 if dtype.itemsize == 4 else TOTAL64, self.arrays[b].strides[0]
            self.after.append([kind, self.own[b], 0, place, 0, math.prod(b.shape), parts, apart])
            return place - self.first, None
        if b.kind == "pair":
            place = self.make(b.shape, b.dtype)
            self.after.append([COPY, self.own[b], T % 2 * size_of(b), place, 0, size_of(b), 0, 0])
            return place - self.first, None
        ends: dict = {"last": 0 if reverse else T, "after": slice(1, None), "before": slice(None, -1)}
        if reverse:
            ends["after"], ends["before"] = ends["before"], ends["after"]
        if how == "all":
            return makes[b] - self.first, (0,) if b.private else None
        return makes[b] - self.first, (0, ends[how], ...) if b.private else (ends[how], ...)

    # A call

    def expect(self, k: int, strides: tuple) -> None:
        """Let the kernel know of the strides of operand k."""
        self.wanted[k] = *self.wanted[k][:2], strides
        for which, axis in self.kernel.strided.get(k, ()):
            self.numbers[:, which] = strides[axis]

    def run(self, operands: list) -> int:
        """Look at the operands, and run the kernel if they are what it reads; the first one that is not, or -1."""
        return threads.alone(self.launch.run, operands)

    def fit(self, operands: list, k: int) -> None:
        """Put in the place of operand k, which does not lie as it was expected to, one that does; or expect it so."""
        array, (shape, dtype, _) = operands[k], self.wanted[k]
        if (array.shape, array.dtype) != (shape, dtype):
            self.kernel.refuse(operands[: len(self.kernel.specs)])
        array, b = in_elements(np.asarray(array).view(dtype)), self.kernel.reads.get(k)
        if b is not None:
            array = usable(array, b.per_step)
        elif k in self.kernel.carries:  # which is copied
            array = np.ascontiguousarray(array).reshape(shape)
        operands[k] = array
        if array.strides != self.wanted[k][2]:
            self.expect(k, array.strides)
            self.launch.expect(self.wanted)


class Recent:
    """The kernels that are one but for their sizes, and have made workspaces, the last one at the end.

    Batches of all lengths come with hundreds of sizes, and each has a workspace; those of the sizes that have been away
    for the longest time are let go.
    """

    def __init__(self):
        self.kernels: list[weakref.ref] = []

    def note(self, kernel: Any, space: Workspace) -> None:
        """A kernel has made one more."""
        others = [k for ref in self.kernels if (k := ref()) is not None and k is not kernel]
        room, kept = max(ROOM, SIZES * space.nbytes), [kernel]
        for other in reversed(others):
            room -= sum(free.nbytes for free in other.free)
            if room < 0:
                other.free.clear()
            else:
                kept.append(other)
        self.kernels = [weakref.ref(k) for k in reversed(kept)]


def in_bytes(shape, dtype) -> tuple:
    """Strides of an array that lies in order."""
    return tuple([n * dtype.itemsize for n in natural(shape)])


def in_elements(array: np.ndarray) -> np.ndarray:
    """The array, or a copy of it, whose address and strides are multiples of its itemsize (a field of records has
    others)."""
    return array if array.flags.aligned else array.copy()


def usable(array: np.ndarray, per_step: bool) -> np.ndarray:
    """The array, or a copy of it, in which only the axis of steps, and of matrices that of rows, are strided, by whole
    elements."""
    array = in_elements(array)
    free = per_step + (array.ndim - per_step == 2)
    fits = array.size == 0 or array[(0,) * free + (...,)].flags.c_contiguous
    return array if fits else np.ascontiguousarray(array)
