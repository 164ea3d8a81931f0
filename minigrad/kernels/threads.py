"""Two or more threads: for functions of Python that let go of the interpreter lock, and for calls of C functions."""

import ctypes
import os
import threading
from queue import SimpleQueue

import numpy as np

from minigrad.kernels import machine, team

count = machine.found().threads
POLITE = 4000  # looks of a worker for more work between which it lets others have its core, some 2 ms; then it sleeps
TURNS = 1000 + POLITE  # all of them; some 40 us go by without a call of the system
ROOM = 1 << 19  # bytes for packed blocks, that stay in the L2 cache
WAKE = object()
try:
    SLEEP = ctypes.cast(ctypes.CDLL(None).usleep, ctypes.c_void_p).value or 0
    GIVE_WAY = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
except (TypeError, AttributeError, OSError):
    SLEEP = GIVE_WAY = POLITE = 0
_own = threading.local()


def _begin() -> None:
    """Also in a child of fork: it has none of its parent's threads, and nobody who would release a lock."""
    global _jobs, _team, _workers, _lock, _leading
    _jobs = SimpleQueue()  # WAKE; or (task, queue of outcomes); None ends a worker
    _team, _workers = (ctypes.c_int64 * team.FIELDS)(), 0
    _lock, _leading = threading.Lock(), threading.Lock()


_begin()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)


def set_num_threads(n: int) -> None:
    """How many threads a kernel may use, the caller's included.

    At first it is $OMP_NUM_THREADS, or a thread for each physical core that this process may use: affinity, a
    container's quota and other ranks on the machine count (`minigrad doctor`).

    Results are the same bits each time for one number of threads, and agree to rounding between numbers.

    Raises ValueError for less than 1 or more than 1024, TypeError for what is no integer.

    Examples
    --------
    >>> mg.set_num_threads(2)
    """
    global count
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool):
        raise TypeError(f"set_num_threads: got {n!r}, wanted an integer")
    if not 1 <= n <= machine.MOST:  # it would start as many, and divide products into as many parts
        got = n if abs(n) < 10**9 else f"an integer of {int(n).bit_length()} bits"
        raise ValueError(f"set_num_threads: got {got}, wanted 1 to {machine.MOST}")
    count = int(n)


def run(tasks: list) -> None:
    """Call every one of these functions, the first in this thread; returns when all are done."""
    outcomes: SimpleQueue = SimpleQueue()
    _team[team.RECALL] = 1
    with _lock:  # or a worker could be sent away before it sees these
        _keep_workers()
        for task in tasks[1:]:
            _jobs.put((task, outcomes))
    try:
        tasks[0]()
    finally:
        errors = [outcomes.get() for _ in tasks[1:]]
        _team[team.RECALL] = 0
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


def call(function: int, calls: np.ndarray, starts: np.ndarray) -> None:
    """Call the C function at an address, function(*calls[i], room) for all i: three 64-bit integers.

    calls: int64, (n, 2). Calls from starts[k] to starts[k + 1] are one thread's, one after another. room: address of
    ROOM bytes of the thread's own.
    """
    room, alone = _room(), count == 1 or len(starts) == 2 or not _leading.acquire(blocking=False)
    fields = _own.fields if alone else _team
    try:
        sections = 1 if alone else min(count, team.SECTIONS)
        fields[team.JOB : team.JOB + 5] = function, calls.ctypes.data, starts.ctypes.data, len(starts) - 1, sections
        for k in range(sections):
            fields[team.NEXT + team.STEP * k] = 0
        if alone:
            team.functions()["take"](ctypes.addressof(fields), room, 0)
            return
        with _lock:
            _keep_workers()
        missing = ctypes.c_int64()
        at = ctypes.addressof(fields)
        team.functions()["summon"](at, count - 1, ctypes.addressof(missing))
        for _ in range(missing.value):
            _jobs.put(WAKE)
        team.functions()["lead"](at, room, TURNS, POLITE, GIVE_WAY, SLEEP)
    finally:
        if not alone:
            _leading.release()


def alone(run, operands: list) -> int:
    """run(operands, room), in this thread, where the kernels that it runs find their room."""
    return run(operands, _room())


def _keep_workers() -> None:
    """As many as are wanted; one at least, that does what has been put in the queue."""
    global _workers
    wanted = max(1, count - 1)
    for k in range(_workers, wanted):
        threading.Thread(target=_work, args=(_jobs, _team, k + 1), name="minigrad", daemon=True).start()
    for _ in range(wanted, _workers):
        _jobs.put(None)
    _workers = wanted


def _room() -> int:
    """Address of this thread's own ROOM bytes."""
    if not hasattr(_own, "room"):
        _own.memory = np.empty(ROOM + 64, np.uint8)
        _own.fields = (ctypes.c_int64 * team.FIELDS)()  # a team of this thread alone
        _own.room = _own.memory.ctypes.data + 63 & ~63
    return _own.room


def _work(jobs: SimpleQueue, fields, number: int) -> None:
    """number: from 1 on, of the section that it begins with; the caller's is 0."""
    while job := jobs.get():
        if job is WAKE:
            team.functions()["work"](ctypes.addressof(fields), _room(), TURNS, POLITE, GIVE_WAY, number)
            continue
        task, outcomes = job
        try:
            task()
            outcome = None
        except BaseException as error:
            outcome = error
        outcomes.put(outcome)
        del job, task, outcomes, outcome  # while it waits it keeps nobody's arrays
