"""A compiled loop that also tells how its time divides among its tasks: the same kernel with a clock between them."""

import numpy as np

from minigrad.compile.emit import Emitter
from minigrad.compile.native import Kernel, flops_of, touched

CLOCK = """@njit(error_model="numpy", forceinline=True)
def tick(at, k, last):
    now = cycles()
    store_any(at, k, load_any(at, k, np.int64) + now - load_any(at, last, np.int64))
    store_any(at, last, now)
"""


class TimedEmitter(Emitter):
    """Behind each task the clock is read, and what has passed is added to the task's sum."""

    def __init__(self, schedule):
        n = len(schedule.tasks)
        self.ticks = schedule.buffer("sum", None, (n + 2,), np.dtype("int64"), private=True)
        super().__init__(schedule)

    def whole(self, body):
        self.functions.insert(0, CLOCK)
        tasks, last = self.schedule.tasks, len(self.schedule.tasks)
        return super().whole([f"tick({self.ticks.name}, {last + 1}, {last})", *body]) if tasks else super().whole(body)

    def task(self, task):
        k, last = self.schedule.tasks.index(task), len(self.schedule.tasks)
        return [*super().task(task), f"tick({self.ticks.name}, {k}, {last})"]


class TimedKernel(Kernel):
    emitter: TimedEmitter
    emitter_class = TimedEmitter

    def ticks(self) -> np.ndarray:
        """Cycles of each task in the last call, the threads' together."""
        return self.free[-1].arrays[self.emitter.ticks].sum(0)[:-2]


def estimated(kernel: Kernel, arithmetic: float, memory: float) -> np.ndarray:
    """What each task would take at the machine's peaks, in seconds a step: flops and bytes a second."""
    return np.array([max(flops_of(t) / arithmetic, touched(t) / memory) for t in kernel.schedule.tasks])
