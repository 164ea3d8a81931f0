"""Sweeps: every combination once, whoever runs it, however often it was stopped."""

import os
import signal
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from executors import Now
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

import minigrad as mg
from minigrad import sweeps
from minigrad.kernels import threads


def product(folder, log, **options):
    log.append(options)
    numbers = [x for x in options.values() if not isinstance(x, str)]
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"product": float(np.prod(numbers)), "cores": max([threads.count, *blas])}


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1))
def test_every_combination_is_run_once_and_told_in_order(tmp_path_factory, grid):
    out, log = tmp_path_factory.mktemp("out"), []
    rows = mg.sweep(partial(product, log=log), grid, out, Now())
    wanted = list(dict.fromkeys(tuple(options.items()) for options in sweeps.combinations(grid)))
    assert [tuple((name, row[name]) for name in grid) for row in rows] == wanted
    assert sorted(tuple(options.items()) for options in log) == sorted(wanted)
    assert all(row["cores"] == 1 and (out / row["folder"]).is_dir() for row in rows)
    seen = []
    assert mg.sweep(partial(product, log=log), grid, out, Now(), seen.append) == rows == seen
    assert len(log) == len(wanted)
    grid = {**grid, "a": [*grid.get("a", []), 10]}
    more = mg.sweep(partial(product, log=log), grid, out, Now())
    assert len(log) == len({row["folder"] for row in [*rows, *more]}) == len(sweeps.kept(out))


def in_threads(folder, k):
    return {"draw": float(np.random.default_rng(k).normal()), "at": os.getpid()}


def test_threads_and_processes_give_the_same(tmp_path):
    with ThreadPoolExecutor(3) as pool:
        one = mg.sweep(in_threads, {"k": range(6)}, tmp_path / "one", pool)
    with sweeps.processes(2) as pool:
        other = mg.sweep(in_threads, {"k": range(6)}, tmp_path / "other", pool)
    assert [row["draw"] for row in one] == [row["draw"] for row in other]
    assert {row["at"] for row in one} == {os.getpid()} != {row["at"] for row in other}


@pytest.mark.filterwarnings("ignore")  # of Dask
def test_workers_of_dask_give_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None) as client:
        rows = mg.sweep(in_threads, {"k": range(6)}, tmp_path, client.get_executor(pure=False))
    assert [row["draw"] for row in rows] == [np.random.default_rng(k).normal() for k in range(6)]


def failing(folder, k, broken):
    if k in broken:
        raise ValueError(f"{k} is\nodd")
    return {"k2": k * k}


def test_a_run_that_raises_is_told_and_tried_again(tmp_path):
    rows = mg.sweep(partial(failing, broken=[1]), {"k": [0, 1, 2]}, tmp_path, Now())
    assert [row.get("k2") for row in rows] == [0, None, 4]
    assert rows[1]["error"] == "ValueError: 1 is"
    rows = mg.sweep(partial(failing, broken=[0]), {"k": [0, 1, 2]}, tmp_path, Now())
    assert [row["k2"] for row in rows] == [0, 1, 4]


def of_numpy(folder, k):
    return {"k2": np.float32(k * k) if k else np.zeros(2)}


def test_figures_of_numpy_are_numbers_and_what_is_none_is_told(tmp_path):
    failed, row = mg.sweep(of_numpy, {"k": np.arange(2).tolist()}, tmp_path, Now())
    assert failed["error"].startswith("TypeError") and row["k2"] == 1.0
    assert sweeps.kept(tmp_path) == [row]


def killed_once(folder, k):
    if k == 1 and not folder.exists():
        folder.mkdir(parents=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return {"k": k}


def test_a_process_that_is_killed_ends_the_sweep_and_the_next_goes_on(tmp_path):
    with (
        pytest.raises(RuntimeError, match="a process was killed; what has finished is kept in"),
        sweeps.processes(1) as pool,
    ):
        mg.sweep(killed_once, {"k": range(3)}, tmp_path, pool)
    with sweeps.processes(1) as pool:
        assert [row["k"] for row in mg.sweep(killed_once, {"k": range(3)}, tmp_path, pool)] == [0, 1, 2]


def test_runs_of_a_file_that_has_changed_are_not_the_same(tmp_path):
    file, log = tmp_path / "cell.py", []
    file.write_text("one")
    grid = {"cell": [f"{file}:Cell"], "k": [1, 2]}
    mg.sweep(partial(product, log=log), grid, tmp_path / "out", Now())
    file.write_text("two")
    assert not sweeps.kept(tmp_path / "out")
    mg.sweep(partial(product, log=log), grid, tmp_path / "out", Now())
    assert len(log) == 4 and len(sweeps.kept(tmp_path / "out")) == 2


def test_a_long_queue_is_given_to_the_executor_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "SUBMITTED", 7)
    waiting, most = [], 0

    class Later(Executor):
        def submit(self, f, *arguments):
            nonlocal most
            future: Future = Future()
            waiting.append((future, f, arguments))
            most = max(most, len(waiting))
            if len(waiting) == 7 or len(log) + len(waiting) == 40:
                while waiting:
                    first, g, given = waiting.pop(0)
                    first.set_result(g(*given))
            return future

    log: list = []
    rows = mg.sweep(partial(product, log=log), {"k": range(1, 41)}, tmp_path, Later())
    assert [row["product"] for row in rows] == list(range(1, 41)) and most == 7


@pytest.mark.parametrize("grid, message", [
    ({"k": 3}, "the values of 'k' are 3; wanted a list"), ({1: [2]}, "an option is named 1"),
    ({"k": "ab"}, "wanted a list"), ({"k": []}, "at least one"),
    ({"k": [object()]}, "got an option of object"),
])  # fmt: skip
def test_bad_grids(grid, message, tmp_path):
    with pytest.raises((ValueError, TypeError), match=message):
        mg.sweep(product, grid, tmp_path, Now())


def test_a_damaged_result_is_named(tmp_path):
    (row,) = mg.sweep(partial(product, log=[]), {"k": [1]}, tmp_path, Now())
    path = tmp_path / row["folder"] / sweeps.RESULT
    path.write_text("[1")
    with pytest.raises(ValueError, match="result.json is not the result of a run; remove it"):
        mg.sweep(partial(product, log=[]), {"k": [1]}, tmp_path, Now())
