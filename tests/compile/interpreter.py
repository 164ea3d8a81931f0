"""Generated kernels run as plain Python: no compilation, and every access to memory is checked.

What a kernel may not do, and machine code would do silently: read or write outside of the arrays that it was given;
read (with `load`, which promises LLVM that it does not) what the same fused function has written before.
"""

import ctypes
import operator
import weakref
from contextlib import contextmanager
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad.compile import emit, native, workspace
from minigrad.kernels import bfloat16, build, launch, matmul
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table

KINDS = {np.float32: ctypes.c_float, np.float64: ctypes.c_double, np.bool_: ctypes.c_bool}
KINDS |= {getattr(np, f"{u}int{n}"): getattr(ctypes, f"c_{u}int{n}") for u in ("", "u") for n in (8, 16, 32, 64)}


class Memory:
    """The arrays that a kernel was given, by their addresses."""

    def __init__(self):
        self.arrays: list = []  # (first address, end, what keeps it alive)
        self.written: list[set] = [set()]  # by the functions that run now, innermost last

    def address_of(self, array: np.ndarray) -> int:
        self.arrays.append((*np.lib.array_utils.byte_bounds(array), array))
        return array.__array_interface__["data"][0]

    def check(self, what: str, first: int, end: int) -> None:
        if not any(low <= first and end <= high for low, high, _ in self.arrays):
            raise AssertionError(f"the kernel's {what} of {end - first} bytes lies outside of every array")

    def cell(self, what, address, index, kind):
        size = ctypes.sizeof(KINDS[kind])
        at = int(address) + int(index) * size
        self.check(what, at, at + size)
        return KINDS[kind].from_address(at), at

    def load_any(self, address, index, kind):
        return kind(self.cell("load", address, index, kind)[0].value)

    def load(self, address, index, kind):
        found, at = self.cell("load", address, index, kind)
        if at in self.written[-1]:
            raise AssertionError("`load` of what this function has written: it wants load_any")
        return kind(found.value)

    def store_any(self, address, index, value):
        value = np.bool_(value) if type(value) is bool else value
        found, at = self.cell("store", address, index, type(value))
        found.value = value
        return at

    def store(self, address, index, value):
        self.written[-1].add(self.store_any(address, index, value))

    def add_to(self, address, index, value):
        self.store_any(address, index, self.load_any(address, index, type(value)) + value)

    def call(self, function, *arguments):
        """One of the fixed kernels, or Python, by its address."""
        kinds = [np.dtype(self.kind)] + [matmul.BFLOAT16] * (bfloat16.host_shape() is not None)
        if int(function) in [matmul.addresses(kind).product for kind in kinds]:
            self.check_product(*arguments)
        ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(arguments))(int(function))(*map(int, arguments))

    def check_product(self, a, row, column, M, packed, K, N, c, ldc, adds):
        size = ctypes.sizeof(KINDS[self.kind])
        if M:
            ends = [
                a,
                a + row * size * (M - 1),
                a + column * size * (K - 1),
                a + size * (row * (M - 1) + column * (K - 1)),
            ]
            self.check("product", min(ends), max(ends) + size)
            self.check("product's result", c, c + size * (ldc * (M - 1) + N))

    def apart(self, function):
        """A fused function: what it has written is its own."""

        def call(*arguments):
            self.written.append(set())
            try:
                function(*arguments)
            finally:
                self.written.pop()

        return call


class Entry(int):
    """A kernel that runs as Python, in the place of an address."""

    def __new__(cls, run):
        made = super().__new__(cls)
        made.run = run
        return made

    def __call__(self, p, n):
        self.run(p, n)


def scalar(name):
    """The function of one op on NumPy scalars."""
    kernels = table[name].kernels

    def call(*operands):
        dtype = next(x.dtype for x in operands if isinstance(x, np.floating))
        return dtype.type(kernels[dtype](*operands))

    return call


@contextmanager
def interpreted():
    """Within, loops run as the text of their kernels, their batch divided in two wherever it can be."""
    memory = Memory()

    def njit(*_, **__):
        return lambda f: memory.apart(f) if f.__name__.startswith("apart_") else f

    def address(text, function, _):
        kind = np.float64 if memory.dtype == "float64" else np.float32
        memory.kind = kind
        namespace = {name: scalar(name) for name, op in table.items() if isinstance(op, Elementwise)}
        namespace |= dict(bfloat16=lambda x: bfloat16.rounded(np.asarray(x))[()])
        namespace |= dict(np=np, njit=njit, Float=kind, call=memory.call, round=np.round, plus=operator.add)
        for name in ("load", "load_any", "store", "store_any", "add_to"):
            namespace[name] = getattr(memory, name)
        exec(compile(text, "<kernel>", "exec"), namespace)
        entry = namespace[function]

        def run(p, n):
            memory.kind = kind
            with np.errstate(all="ignore"):
                entry(p, n, 0)

        return Entry(run)

    def call(function, calls, starts):
        for p, n in calls.tolist():
            function(p, n)

    def source(emitter):
        memory.dtype = emitter.schedule.dtype.name
        return emitter.text

    with divided_batches(), poisoned(), pytest.MonkeyPatch.context() as patch:
        run, make = native.Kernel.run, workspace.Workspace.__init__
        workspaces: Any = weakref.WeakKeyDictionary()  # of each kernel: their arrays

        def run_watched(self, given):
            outer, memory.arrays = memory.arrays, list(workspaces.setdefault(self, []))
            try:
                return run(self, given)
            finally:
                memory.arrays = outer

        def make_watched(self, kernel, parts):
            known = len(memory.arrays)
            make(self, kernel, parts)
            for array in (self.pointers, self.numbers):
                memory.address_of(array)
            workspaces[kernel] += memory.arrays[known:]

        patch.setattr(emit.Emitter, "source", property(source))
        patch.setattr(native, "build", SimpleNamespace(address=address, lock=build.lock))
        patch.setattr(native, "threads", SimpleNamespace(count=1, call=call))
        for module in (native, workspace, launch):
            patch.setattr(module, "address_of", memory.address_of)
        patch.setattr(launch, "knows_arrays", lambda: False)
        patch.setattr(native.Kernel, "run", run_watched)
        patch.setattr(workspace.Workspace, "__init__", make_watched)
        yield


@contextmanager
def divided_batches():
    """Within, a kernel that may divide its batch, between threads or into blocks, divides it, however small it is."""

    def halves(self, first=0, last=None):
        last = self.batch if last is None else last
        return list(pairwise(sorted({first, (first + last) // 2, last})))

    def blocks(self, first, last):
        private = any(b.private and b.kind in ("pair", "history", "y") for b in self.buffers)
        return [(first, last)] if private else halves(self, first, last)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native.Kernel, "parts", halves)
        patch.setattr(native.Kernel, "blocks", blocks)
        yield


@contextmanager
def poisoned():
    """Within, memory that a kernel is given to write holds NaN, so that a result shows if it was read first."""

    class Poisoned:
        def __getattr__(self, name):
            return getattr(np, name)

        @staticmethod
        def empty(shape, dtype=float):
            return poison(np.empty(shape, dtype))

    aligned, run = workspace.aligned, native.Kernel.run

    def again(self, given):
        for space in self.free:
            for buffer, array in space.arrays.items():
                if getattr(buffer, "kind", None) in ("scratch", "pair", "sum", "total"):
                    poison(array)
        return run(self, given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "np", Poisoned())
        patch.setattr(workspace, "aligned", lambda *like: poison(aligned(*like)))
        patch.setattr(native.Kernel, "run", again)
        yield


def poison(array: np.ndarray) -> np.ndarray:
    array[...] = np.nan if array.dtype.kind == "f" else 1
    return array
