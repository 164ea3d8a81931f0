"""Memory of large results of kernels, used again when nobody holds them any more.

A training step makes the same large arrays as the one before: what its loops keep for their backward. From the system
each of them would come as new pages, which are filled with zeros when they are first touched; that takes longer than
what the kernel does there. What is free and does not fit is given back before more is asked for, so that at most twice
as much is held as has been in use at once.
"""

import math
import os
import sys
import threading

import numpy as np

LARGE = 1 << 22  # bytes of an array from which malloc asks the system for new pages

_lock = threading.Lock()
_blocks: list[np.ndarray] = [np.empty(0)]  # of memory: those in use and those that are free
ALONE = sys.getrefcount(_blocks[0])  # references to a block of which there are no arrays


def _begin() -> None:
    """Also in a child of fork, where nobody would release the lock that another thread of its parent held."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)


def empty(shape: tuple, dtype) -> np.ndarray:
    """np.empty(shape, dtype), perhaps in the memory of an array that is gone."""
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    with _lock:
        free = [k for k in range(len(_blocks)) if sys.getrefcount(_blocks[k]) == ALONE]
        fitting = [k for k in free if size <= _blocks[k].nbytes <= 2 * size]
        if fitting:
            block = _blocks[min(fitting, key=lambda k: _blocks[k].nbytes)]
        else:
            for k in reversed(free):
                del _blocks[k]
            block = np.empty(size, np.uint8)
            _blocks.append(block)
    return block[:size].view(dtype).reshape(shape)


def keeps(owner) -> bool:
    """Whether this is memory that `empty` uses again, when no array is in it any more."""
    return any(block is owner for block in _blocks)
