"""Two or more threads for an elementwise loop over a large array.

NumPy lets go of the interpreter lock inside a ufunc, so plain Python threads around slices of the operands are enough.
"""

import os
import threading
from itertools import pairwise
from queue import SimpleQueue

import numpy as np

# Elements from which a second thread pays (benchmarks/elementwise.py): waking one costs some 100 us.
LARGE = 1 << 20

count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_jobs: SimpleQueue = SimpleQueue()  # (task, queue of outcomes); None ends a worker
_workers = 0
_lock = threading.Lock()


def _forget_workers() -> None:
    """A child of fork has none of its parent's threads, and nobody who would release its lock."""
    global _jobs, _workers, _lock
    _jobs, _workers, _lock = SimpleQueue(), 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def set_num_threads(n: int) -> None:
    """How many threads a kernel may use, the caller's included; at first as many as there are cores.

    Results are the same bits each time for one number of threads, and agree to rounding between numbers.

    Raises ValueError for less than 1, TypeError for what is no integer.
    """
    global count
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool):
        raise TypeError(f"set_num_threads: got {n!r}, wanted an integer")
    if n < 1:
        raise ValueError(f"set_num_threads: got {n}, wanted at least 1")
    count = int(n)


def run(tasks: list) -> None:
    """Call every one of these functions, the first in this thread; returns when all are done."""
    global _workers
    outcomes: SimpleQueue = SimpleQueue()
    with _lock:
        while _workers < count - 1:
            threading.Thread(target=_work, args=(_jobs,), name="minigrad", daemon=True).start()
            _workers += 1
        while _workers > count - 1:
            _jobs.put(None)
            _workers -= 1
    for task in tasks[1:]:
        _jobs.put((task, outcomes))
    try:
        tasks[0]()
    finally:
        errors = [outcomes.get() for _ in tasks[1:]]
    for error in errors:
        if error is not None:
            raise error


def share(tasks: list) -> None:
    """Call every one of these functions; a thread that has done one takes the next."""
    left = iter(tasks)

    def work():
        for task in left:
            task()

    run([work] * min(len(tasks), count))


def _work(jobs: SimpleQueue) -> None:
    while job := jobs.get():
        task, outcomes = job
        try:
            task()
            outcome = None
        except BaseException as error:
            outcome = error
        outcomes.put(outcome)
        del job, task, outcomes, outcome  # while it waits it keeps nobody's arrays


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
