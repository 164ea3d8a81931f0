"""In-place changes of arrays that a backward may still need: when they happened, and to which memory."""

import math
import sys
import weakref
from typing import Any

import numpy as np

from minigrad.kernels import memory
from minigrad.modes import clock


class Mutations:
    """When arrays were last changed in place, for those that were.

    A node remembers its time of creation and nothing else; a change is rare, so the change does the bookkeeping. At
    backward one comparison clears every node that is younger than the latest change.
    """

    def __init__(self):
        self.latest = 0
        self.times: dict[int, tuple] = {}  # id of the array that owns the memory -> (weak reference to it, its parts)

    def note(self, array: np.ndarray, time: int | None = None) -> None:
        """The numbers of this array have been changed."""
        owner = memory_of(array)
        key = id(owner)
        if key not in self.times:
            self.times[key] = weakref.ref(owner, lambda _: self.times.pop(key, None)), {}
        parts = self.times[key][1]
        if array.size == owner.size or len(parts) > 10_000:
            array = owner
            parts.clear()
        part = Part(array)
        parts.pop(part, None)  # the parts keep the order in which they were changed
        parts[part] = time = next(clock) if time is None else time
        self.latest = max(self.latest, time)

    def changed(self, node, after: int, before: float = math.inf) -> np.ndarray | None:
        """An array that the node's vjp needs and that was last changed between two times; None if there is none."""
        needed = getattr(node.op, "needed", None)
        array: Any
        for value in node.saved if needed is None else needed(node):
            for array in value if type(value) is tuple else (value,):
                if hasattr(array, "program"):  # while tracing, a value
                    array = array.program.memory_if_changed(array)
                if isinstance(array, np.ndarray) and after < self.time(array) < before:
                    return array
        return None

    def time(self, array: np.ndarray) -> int:
        """When the array was last changed in place; 0 if it never was."""
        found = self.times.get(id(memory_of(array)))
        if found is None:
            return 0
        return next((time for part, time in reversed(found[1].items()) if part.meets(array)), 0)

    def refuse(self, node) -> None:
        """Raise if an array that the node's vjp needs has been changed since it was recorded."""
        array = self.changed(node, after=node.seq)
        if array is not None:
            raise RuntimeError(
                f"backward of {node.op.name}: an array {array.dtype}{list(array.shape)} that it needs was "
                f"changed in place after {node.line} recorded it; change a copy, or call backward first"
            )


class Part(tuple):
    """Where an array lies in memory, without keeping it: (address, shape, strides, type)."""

    __slots__ = ()

    def __new__(cls, array: np.ndarray):
        return super().__new__(cls, (array.ctypes.data, array.shape, array.strides, array.dtype.str))

    def meets(self, array: np.ndarray) -> bool:
        """Whether an array in the same memory has an element in common with it."""
        try:
            return np.shares_memory(np.asarray(self), array, max_work=1000)  # type: ignore[arg-type]
        except np.exceptions.TooHardError:
            return True

    @property
    def __array_interface__(self) -> dict:
        address, shape, strides, kind = self
        return {"data": (address, False), "shape": shape, "strides": strides, "typestr": kind, "version": 3}


def memory_of(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory that `array` is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def references(array: np.ndarray) -> tuple[int, int]:
    """How many there are to an array, and to the memory behind it, counting those of the functions on the way here."""
    owner = array.base
    return sys.getrefcount(array), sys.getrefcount(owner)


def references_of_one() -> tuple[int, int]:
    """To an array that is in one variable, a view of memory to which nothing else refers, asked as `held_once` does."""

    def asked(array):
        return references(array)

    array = np.empty(2).reshape(2, 1)
    return asked(array)


OF_ONE = references_of_one()


def held_once(array: np.ndarray) -> bool:
    """Whether nothing refers to an array, or to its memory, but one variable of the caller's."""
    (of_array, of_memory), owner = references(array), array.base
    if owner is None:
        return of_array == OF_ONE[0] and array.flags.owndata
    again = memory.keeps(owner)  # one reference more, and up to twice the size
    most = 2 * array.nbytes if again else array.nbytes + 64
    whole = type(owner) is np.ndarray and owner.flags.owndata and owner.nbytes <= most
    return whole and (of_array, of_memory - again) == OF_ONE and array.flags.writeable


def axes_in_memory(array: np.ndarray) -> tuple[int, ...] | None:
    """The axes of an array in the order in which they lie in memory; None where that is their own order.

    An elementwise result keeps this order, and the order decides whether a reshape of it is a view or a copy.
    """
    if array.flags.c_contiguous:
        return None
    order = tuple(sorted(range(array.ndim), key=lambda k: -abs(array.strides[k])))
    return None if order == tuple(range(array.ndim)) else order


def dense_order(array: np.ndarray) -> tuple[int, ...] | None:
    """The axes of an array in the order in which they lie in memory; None if it does not fill its memory."""
    axes = axes_in_memory(array) or tuple(range(array.ndim))
    return axes if array.transpose(axes).flags.c_contiguous else None


mutations = Mutations()
