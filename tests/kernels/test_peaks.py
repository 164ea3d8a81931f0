"""The peaks of the machine: taken on an idle moment and kept; on a busy machine worked out and not kept."""

import itertools
import struct

import pytest

from minigrad.kernels import cache, peaks, threads


class Clocks:
    """The time that runs take, and what of it the process had the processor; a run takes the next of `runs`."""

    def __init__(self, runs, monkeypatch):
        self.runs, self.wall, self.cpu = itertools.cycle(runs), 0.0, 0.0
        monkeypatch.setattr(peaks.time, "perf_counter", lambda: self.wall)
        monkeypatch.setattr(peaks.time, "process_time", lambda: self.cpu)

    def run(self):
        took, share = next(self.runs)
        self.wall += took
        self.cpu += took * share * threads.count


def test_the_fastest_run_that_had_the_machine_to_itself_counts(monkeypatch):
    runs = [(0.4, 0.2), (0.1, 0.5), (0.25, 1.0), (0.2, 0.97), (0.3, 0.3)]
    assert peaks.fastest(Clocks(runs, monkeypatch).run, 10.0) == (pytest.approx(50), True)


def test_on_a_busy_machine_the_time_of_the_processor_counts(monkeypatch):
    runs = [(1.0, 0.2), (0.8, 0.25), (2.0, 0.1), (0.3, 0.1)]  # 0.2 s each, but for one that was odd
    rate, idle = peaks.fastest(Clocks(runs, monkeypatch).run, 10.0)
    assert (rate, idle) == (pytest.approx(50), False)


@pytest.mark.parametrize("idle", [True, False])
def test_a_peak_is_kept_if_the_machine_was_idle(monkeypatch, idle):
    kept, measured = {}, []
    monkeypatch.setattr(cache, "read", kept.get)
    monkeypatch.setattr(cache, "write", kept.__setitem__)
    monkeypatch.setattr(peaks, "MEASURED", {"flops": lambda: (print, 1.0)})
    monkeypatch.setattr(peaks, "fastest", lambda run, amount: measured.append(amount) or (7.0, idle))
    for _ in range(2):  # two processes
        peaks.found.cache_clear()
        assert peaks.flops() == peaks.flops() == 7.0
    assert len(measured) == (1 if idle else 2)
    assert [struct.unpack("d", value) for value in kept.values()] == [(7.0,)] * idle
    threads_before = threads.count
    try:
        threads.set_num_threads(threads_before + 1)
        peaks.flops()  # those of another number of threads are others
    finally:
        threads.set_num_threads(threads_before)
        peaks.found.cache_clear()
    assert len(measured) == (2 if idle else 3)
