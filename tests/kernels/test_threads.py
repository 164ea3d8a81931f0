"""Threads that share calls: every piece is done once, whoever calls, whatever number of threads is set meanwhile."""

import os
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import loops, matmul, threads

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
