"""A loop as one compiled kernel, run by as many threads as its batch is worth."""

import ctypes
import math
from itertools import pairwise

import numpy as np

from minigrad.compile.emit import Emitter
from minigrad.compile.loop import Loop
from minigrad.compile.schedule import Buffer, Convolution, Product, View, schedule
from minigrad.kernels import build, conv, matmul, threads

SPLIT = 2e5  # operations a step below which a second thread costs more than it saves
FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)
PACK = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 6)
PACK_FILTERS = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 10)


def aligned(shape, dtype) -> np.ndarray:
    """Uninitialised memory that begins with a cache line."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.__array_interface__["data"][0] % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def address_of(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class Kernel:
    """A compiled loop: arrays of its inputs to arrays of its outputs. Raises Unsupported if it cannot be one."""

    def __init__(self, loop: Loop):
        self.loop = loop
        self.schedule = schedule(loop)
        self.emitter = Emitter(self.schedule)
        self.source = self.emitter.source
        self.call = FUNCTION(build.address(self.source, "loop", "intp, intp"))
        self.matmul = matmul.addresses(self.schedule.dtype)
        self.pack = PACK(self.matmul.pack)
        self.conv = 0
        if any(b.kind == "filters" for b in self.emitter.buffers):
            of_conv = conv.addresses(self.schedule.dtype)
            self.conv, self.pack_filters = of_conv.conv, PACK_FILTERS(of_conv.pack)
        first = [c.shape[0] for c in (loop.carries or loop.ys) if c.ndim > 0]
        self.batch = first[0] if self.schedule.rows else 1
        self.flops = sum(flops_of(task) for task in self.schedule.tasks)

    def parts(self) -> list[tuple[int, int]]:
        count = min(threads.count, self.batch)
        if count == 1 or self.flops * self.loop.length < 1e6 or self.flops < 2e4:
            return [(0, self.batch)]
        return list(pairwise([self.batch * k // count for k in range(count + 1)]))

    def run(self, given: list) -> list:
        loop, T = self.loop, self.loop.length
        parts = self.parts()
        numbers: dict = {}
        arrays: dict[Buffer, list] = {}  # for each thread
        results: dict[Buffer, np.ndarray] = {}
        position = {v: k for k, v in enumerate(loop.inputs)}
        for b in self.emitter.buffers:
            lead = (len(parts),) if b.private else ()
            if b.kind == "input":
                array = usable(given[b.index], b.per_step)
                if b.per_step:
                    numbers[f"{b.name}_step"] = array.strides[0]
                if len(b.shape) > 1:
                    numbers[f"{b.name}_row"] = array.strides[1 if b.per_step else 0]
                arrays[b] = [array] * len(parts)
                continue
            if b.kind == "packed":
                w = given[b.index]
                packed = matmul.packed_buffer(*w.shape, w.dtype)
                item = w.itemsize
                self.pack(
                    address_of(w), w.strides[0] // item, w.strides[1] // item, *w.shape, address_of(packed)
                )
                arrays[b] = [packed] * len(parts)
                continue
            if b.kind == "filters":
                arrays[b] = [self.packed_filters(given[b.index[0]], b.index[1] == "conv_transpose2d")] * len(parts)
                continue
            if b.kind == "y":
                array = np.empty((*lead, T, *b.shape), b.dtype)
                numbers[f"{b.name}_step"] = math.prod(b.shape) * b.dtype.itemsize
            elif b.kind in ("history", "pair"):
                slots = T + 1 if b.kind == "history" else 2
                array = np.empty((*lead, slots, *b.shape), b.dtype)
                start = T if b.kind == "history" and loop.reverse else 0
                array[(slice(None),) * len(lead) + (start,)] = given[position[loop.carries[b.index]]]
                numbers[f"{b.name}_step"] = math.prod(b.shape) * b.dtype.itemsize
            elif b.kind == "sum":
                array = np.zeros((*lead, *b.shape), b.dtype)
            else:
                array = aligned((*lead, *b.shape), b.dtype)
            results[b] = array
            arrays[b] = list(array) if b.private else [array] * len(parts)
            if b.private and not b.shape:
                arrays[b] = [array[k : k + 1] for k in range(len(parts))]
        values = [numbers[n] if isinstance(n, str) else n for n in self.emitter.numbers.values()]
        tasks = []
        for k, (first, last) in enumerate(parts):
            p = np.array([address_of(arrays[b][k]) for b in self.emitter.buffers], np.int64)
            n = np.array([T, first, last, self.matmul.product, self.conv, *values], np.int64)
            tasks.append(lambda p=p, n=n: self.call(address_of(p), address_of(n)))
        threads.run(tasks) if len(tasks) > 1 else tasks[0]()
        return [np.asarray(self.read(results[b], b, how)) for b, how in self.schedule.results]

    def packed_filters(self, w: np.ndarray, transposed: bool) -> np.ndarray:
        """A convolution's weight as its kernel wants it; of a transposed one, flipped and its channels exchanged."""
        o, i, h, x = [s // w.itemsize for s in w.strides]
        O, I, kh, kw = w.shape
        start = address_of(w)
        if transposed:
            o, i, O, I = i, o, I, O
            start += ((kh - 1) * h + (kw - 1) * x) * w.itemsize
            h, x = -h, -x
        packed = conv.packed_buffer(O, I, kh, kw, w.dtype)
        self.pack_filters(start, o, i, h, x, O, I, kh, kw, address_of(packed))
        return packed

    def read(self, array, b: Buffer, how: str):
        T = self.loop.length
        if how == "all" and b.kind == "sum":
            if not b.private:
                return array
            total = array[0]
            for part in array[1:]:
                total = total + part
            return total
        if b.private:
            array = array[0]
        if how == "last":
            if b.kind == "pair":
                return array[T % 2]
            return array[0 if self.loop.reverse else T]
        if how in ("before", "after"):
            return array[1:] if (how == "after") != self.loop.reverse else array[:-1]
        return array


def usable(array: np.ndarray, per_step: bool) -> np.ndarray:
    """The array, or a copy of it, in which only the axes of steps and rows are strided."""
    lead = 2 if per_step else 1
    inner = array.shape[lead:]
    expected = []
    n = array.itemsize
    for size in reversed(inner):
        expected.append(n)
        n *= size
    strides = tuple(reversed(expected))
    one_axis = array.ndim <= lead and not per_step or array.ndim < lead
    fits = array.strides[lead:] == strides or array.size == 0
    if array.ndim == lead:  # the last axis is that of rows, or of a vector
        fits = array.strides[-1] == array.itemsize or array.shape[-1] == 1
    if one_axis:
        fits = array.flags.c_contiguous
    return array if fits else np.ascontiguousarray(array)


def flops_of(task) -> float:
    """Of one step, counting an elementwise op as one."""
    if isinstance(task, Product):
        n = math.prod(task.value.shape)
        return 2.0 * n * task.a.shape[-1]
    if isinstance(task, Convolution):
        I, _, _, O, kh, kw, *_ = task.geometry
        return 2.0 * math.prod(task.value.shape) * I * kh * kw
    if hasattr(task, "values"):
        return float(math.prod(task.shape) * max(1, len(task.values)))
    return float(math.prod(task.x.shape))


__all__ = ["Kernel", "View"]
