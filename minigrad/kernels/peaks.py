"""What this machine can do: flops a second of a large product, bytes a second of a large copy.

They are measured once, at a moment at which the machine has nothing else to do, and kept beside the kernels. A peak
that is taken while other programs run would be too low, and kernels would seem to be faster than it; so if there is no
such moment, the processor's time counts, not the clock's, and the next process tries again.
"""

import functools
import hashlib
import itertools
import platform
import statistics
import struct
import time
from collections.abc import Callable

import numpy as np

from minigrad.kernels import build, cache, matmul, threads

RUNS = 8  # at least, of which the fastest counts
PATIENCE = 1.0  # seconds to wait for an idle moment
IDLE = 0.9  # of the time of all its threads a run has had, if nothing else took their cores


def flops() -> float:
    """Flops a second of a large float32 product, by all threads."""
    return found("flops", threads.count)


def bandwidth() -> float:
    """Bytes a second, read and written, of the copy of a large array by all threads."""
    return found("bandwidth", threads.count)


@functools.cache
def found(what: str, count: int) -> float:
    """A peak of so many threads, as it was kept or as it is now; kept if the machine was idle."""
    rate = kept(what, count)
    if rate is None:
        rate, idle = fastest(*MEASURED[what]())
        if idle:
            cache.write(key(what, count), struct.pack("d", rate))
    return rate


def kept(what: str, count: int) -> float | None:
    content = cache.read(key(what, count))
    return struct.unpack("d", content)[0] if content is not None and len(content) == 8 else None


def key(what: str, count: int) -> str:
    return hashlib.sha256(f"{what} {build.CPU} {platform.node()} {count} threads".encode()).hexdigest()


def fastest(run: Callable, amount: float) -> tuple[float, bool]:
    """Amount a second of the fastest run that had the machine to itself, and True. If there was none, it is worked out
    from the processor time of the runs, and False."""
    alone, shared, begin = [], [], time.perf_counter()
    for k in itertools.count(1):
        used, start = time.process_time(), time.perf_counter()
        run()
        took, used = time.perf_counter() - start, time.process_time() - used
        (alone if used >= IDLE * took * threads.count else shared).append((took, used / threads.count))
        if k >= RUNS and (alone or start - begin > PATIENCE):
            break
    if alone:
        return amount / min(took for took, _ in alone), True
    return amount / max(statistics.median(used for _, used in shared), 1e-9), False


def product() -> tuple[Callable, float]:
    n = 1024
    a, b = np.ones((2, n, n), np.float32)
    matmul.matmul(a, b)
    return functools.partial(matmul.matmul, a, b), 2.0 * n**3


def copy() -> tuple[Callable, float]:
    source = np.ones(1 << 24, np.float32)  # 64 MB
    to = np.zeros_like(source)
    edges = [len(source) * k // threads.count for k in range(threads.count + 1)]
    tasks = [functools.partial(np.copyto, to[a:b], source[a:b]) for a, b in itertools.pairwise(edges)]
    return functools.partial(threads.run, tasks), 2.0 * source.nbytes


MEASURED = {"flops": product, "bandwidth": copy}
