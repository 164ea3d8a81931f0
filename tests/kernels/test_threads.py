"""Threads that share calls: every piece is done once, whoever calls, whatever number of threads is set meanwhile."""

import ctypes
import os
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import build, loops, matmul, threads

pytestmark = pytest.mark.skipif(loops.INTERPRETED, reason="the JIT is off: nothing is compiled")


@pytest.fixture(autouse=True)
def _as_before():
    count = threads.count
    yield
    mg.set_num_threads(count)


@pytest.fixture
def product(monkeypatch):
    """A product that all numbers of threads divide; and its results, by that number."""
    monkeypatch.setattr(matmul, "LARGE", 1000)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((150, 300)), rng.standard_normal((300, 512))
    wanted = []
    for count in (1, 2, 3, 4):
        mg.set_num_threads(count)
        wanted.append(matmul.matmul(a, b))
        np.testing.assert_allclose(wanted[-1], a @ b)
    return lambda: matmul.matmul(a, b), wanted


def check(product, wanted, times, seed):
    rng = np.random.default_rng(seed)
    for _ in range(times):
        y = product()
        assert any(np.array_equal(y, w) for w in wanted)
        if rng.random() < 0.3:
            done: list = []
            threads.run([lambda: done.append(1), lambda: done.append(2), lambda: done.append(3)])
            assert sorted(done) == [1, 2, 3]
        if rng.random() < 0.1:
            mg.set_num_threads(int(rng.integers(1, 5)))


def test_several_python_threads_while_the_number_changes(product):
    errors: list = []

    def work(seed):
        try:
            check(*product, 100, seed)
        except BaseException as error:
            errors.append(error)

    users = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join(60)
    assert not errors and not any(user.is_alive() for user in users)


MARK = """
def mark(at, number, room):
    add(at, 1)
    store_any(at, 1, room)
"""


@pytest.mark.parametrize("count", [2, 3, 5, threads.team.SECTIONS + 2])
def test_each_piece_is_done_once_whichever_section_it_is_in(count):
    """Also where there are fewer pieces than sections, and more threads than sections."""
    mg.set_num_threads(count)
    mark = build.address(MARK, "mark", "intp, intp, intp")
    for pieces in (2, 3, 7, 64, 101):
        marks = np.zeros((pieces, 2), np.int64)
        calls = np.zeros((pieces, 2), np.int64)
        calls[:, 0] = marks.ctypes.data + marks.strides[0] * np.arange(pieces)
        for times in (1, 2):
            threads.call(mark, calls, np.arange(pieces + 1))
            assert (marks[:, 0] == times).all()


def test_a_thread_begins_with_the_section_of_its_number():
    mg.set_num_threads(2)
    team = (ctypes.c_int64 * threads.team.FIELDS)()
    number = build.address(ORDER, "order", "intp, intp, intp")
    seen = np.zeros(9, np.int64)
    calls = np.array([[seen.ctypes.data, k] for k in range(8)], np.int64)
    starts = np.arange(9)
    team[threads.team.JOB : threads.team.JOB + 5] = number, calls.ctypes.data, starts.ctypes.data, 8, 2
    threads.team.functions()["take"](ctypes.addressof(team), 0, 1)
    np.testing.assert_array_equal(seen, [8, 4, 5, 6, 7, 0, 1, 2, 3])


ORDER = """
def order(at, number, room):
    k = add(at, 1)
    store_any(at, k + 1, number)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_has_workers_of_its_own(product):
    child = os.fork()
    if child == 0:
        try:
            mg.set_num_threads(2)
            check(*product, 20, 0)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_error_of_a_task_is_raised_when_all_are_done():
    done: list = []

    def fail():
        raise KeyError("here")

    with pytest.raises(KeyError, match="here"):
        threads.run([lambda: done.append(1), fail, lambda: done.append(2)])
    assert sorted(done) == [1, 2]
