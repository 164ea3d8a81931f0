"""C functions by which a kernel calls Python: for what it cannot compute itself, and to say what went wrong."""

import ctypes
from collections.abc import Callable, Iterator

import numpy as np

from minigrad.compile.tasks import Call, Complaint, View
from minigrad.ir.number import Number
from minigrad.modes import RAW, thread


def python_call(task: Call, whole: Callable, call_of: Callable, failed: dict):
    """A C function that computes a value from where its operands lie, for the rows from `first` to `last`.

    Its arguments: the address of the kernel's pointers, by which a run is known; first, last; and of every operand and
    result the address, then the strides that its view names. What is raised is kept until the kernel returns.
    whole: the function of arrays that computes it of all rows.
    """
    value = task.value
    computes: dict = {None: whole}  # the function of arrays, by the number of rows

    def compute(rows):
        if rows not in computes:
            made = value.of(value.inputs, shape=value.shape)
            if rows is not None and "shape" in value.params:
                made.params = {**value.params, "shape": (rows, *value.params["shape"][1:])}
            computes[rows] = call_of(made)
        return computes[rows]

    numbers = [np.asarray(x.value) if isinstance(x, Number) else None for x, _ in task.reads]
    count = 3 + sum([1 + len([n for n in view.strides if isinstance(n, str)]) for view in task.views])

    def call(run, first, last, *given):
        if run in failed:
            return
        mode, thread.mode = thread.mode, RAW
        try:
            rest = iter(given)
            arrays = [array_at(x, rest) if isinstance(x, View) else n for (x, _), n in zip(task.reads, numbers)]
            outs = [array_at(view, rest) for _, view in task.writes]
            if task.rows:
                arrays = [x[first:last] if by_row else x for x, (_, by_row) in zip(arrays, task.reads)]
                outs = [x[first:last] for x in outs]
            with np.errstate(all="ignore"):  # as where kernels are run from; threads do not inherit it
                results = compute(last - first if task.rows else None)(*arrays)
            for (k, _), out in zip(task.writes, outs):
                out[...] = results if k is None else results[k]
        except BaseException as error:
            failed[run] = error
        finally:
            thread.mode = mode

    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * count)(call)


def complaint(about: Complaint, failed: dict):
    """A C function that keeps an exception for when the kernel returns."""

    def complain(run, index):
        failed.setdefault(run, about.error(index))

    return ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(complain)


def array_at(view: View, given: Iterator) -> np.ndarray:
    """The array of a view's memory. given: its address, then those of its strides, in bytes, that the view names."""
    address, item = next(given), view.dtype.itemsize
    strides = tuple([next(given) if isinstance(n, str) else n * item for n in view.strides])
    reach = [(size - 1) * n for size, n in zip(view.shape, strides)]
    below, above = -sum([n for n in reach if n < 0]), sum([n for n in reach if n > 0]) + item
    memory = (ctypes.c_char * (below + above)).from_address(address - below)
    return np.ndarray(view.shape, view.dtype, memory, below, strides)
