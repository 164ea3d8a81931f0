"""Two or more threads for an elementwise loop over a large array.

NumPy lets go of the interpreter lock inside a ufunc, so plain Python threads around slices of the operands are enough.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

import numpy as np

# Elements from which a second thread pays (benchmarks/elementwise.py): waking one costs some 100 us.
LARGE = 1 << 20

count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_pool: ThreadPoolExecutor | None = None
_lock = threading.Lock()


def _forget_pool() -> None:
    """A child of fork has none of its parent's threads, and nobody who would release its lock."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def set_num_threads(n: int) -> None:
    """How many threads a kernel may use, the caller's included; at first as many as there are cores.

    Results are the same bits each time for one number of threads, and agree to rounding between numbers.

    Raises ValueError for less than 1, TypeError for what is no integer.
    """
    global _pool, count
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool):
        raise TypeError(f"set_num_threads: got {n!r}, wanted an integer")
    if n < 1:
        raise ValueError(f"set_num_threads: got {n}, wanted at least 1")
    with _lock:
        count, _pool = int(n), None


def run(tasks: list) -> None:
    """Call every one of these functions, the first in this thread; returns when all are done."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, count - 1), thread_name_prefix="minigrad")
        others = [_pool.submit(task) for task in tasks[1:]]
    try:
        tasks[0]()
    finally:
        wait(others)
    for other in others:
        other.result()


def split(kernel, *operands, out=None):
    """kernel(*operands), the longest axis divided between the threads where the result is large."""
    shape = np.broadcast_shapes(*[np.shape(x) for x in operands])
    if count == 1 or np.prod(shape, dtype=float) < LARGE or not isinstance(kernel, np.ufunc):
        return kernel(*operands) if out is None else kernel(*operands, out=out)
    axis = int(np.argmax(shape))
    operands = [x if type(x) in (int, float) else np.broadcast_to(x, shape) for x in operands]
    if out is None:
        kinds = [type(x) if type(x) in (int, float) else x.dtype for x in operands]
        out = np.empty(shape, kernel.resolve_dtypes((*kinds, None))[-1])
    outs = out if isinstance(out, tuple) else (out,)
    edges = [shape[axis] * k // count for k in range(count + 1)]

    def part(first, last):
        where = (slice(None),) * axis + (slice(first, last),)
        pieces = [x if type(x) in (int, float) else x[where] for x in operands]
        return lambda: kernel(*pieces, out=tuple(o[where] for o in outs))

    run([part(first, last) for first, last in pairwise(edges)])
    return out
