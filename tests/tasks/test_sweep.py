"""`minigrad sweep`: the command's words, its table, and that a sweep goes on wherever it was stopped."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.badinput import BadInput
from minigrad.cli.sweep import grid_of
from minigrad.cli.tasks import tasks
from minigrad.models.tasks import sweeps
from minigrad.models.tasks.temporal import TemporalOrder

TINY = ("--hidden", "4", "--steps", "4", "--every", "2", "--batch", "2")


def rows_of(folder) -> list[dict]:
    """runs.csv, but for what depends on the clock."""
    with (folder / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "sequences_per_second")} for row in rows]


def test_words_are_values_of_the_tasks_options():
    grid = grid_of(TemporalOrder, ["--cell", "lstm", "gru", "--seed", "0..3", "9", "--lr=1e-3", "3e-3"])
    assert grid["cell"] == ["lstm", "gru"] and grid["seed"] == [0, 1, 2, 3, 9] and grid["lr"] == [1e-3, 3e-3]
    assert grid["hidden"] == [64] and grid.keys() == TemporalOrder.options().keys() - {"out", "resume"}


@pytest.mark.parametrize("words, message", [
    (["--cel", "lstm"], "--cel: temporal has no such option; it has --batch"), (["lstm"], "lstm: wanted --OPTION"),
    (["--seed"], "--seed: wanted one value or several"), (["--seed", "x"], "--seed x: wanted an integer or N..M"),
    (["--lr", "-1"], "--lr -1.0: wanted a finite number at least 0"), (["--out", "x"], "no such option"),
    (["--lr", "fast"], "--lr fast: wanted a number"),
])  # fmt: skip
def test_words_that_are_none(words, message):
    with pytest.raises(BadInput, match=message):
        grid_of(TemporalOrder, words)


def test_a_sweep_ends_in_a_table_and_another_adds_to_it(minigrad, tmp_path):
    code, out, err = minigrad("sweep", "temporal", "--workers", 1, "--out", tmp_path, "--seed", "0..1", *TINY)
    assert (code, err) == (0, "")
    first = rows_of(tmp_path)
    assert [row["seed"] for row in first] == ["0", "1"] and "rank  runs" in out
    words = ("--cell", "rnn", "lstm", "--seed", "0..1", *TINY)
    code, out, err = minigrad("sweep", "temporal", "--workers", 1, "--out", tmp_path, *words)
    assert (code, err) == (0, "")
    assert {row["folder"] for row in first} < {row["folder"] for row in rows_of(tmp_path)}
    assert len(rows_of(tmp_path)) == 4 and "rank  cell  runs" in out
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert minigrad("sweep", "temporl")[0] == 2


def test_a_run_that_fails_is_told(minigrad, tmp_path):
    words = ("--lr", "1e-3", "1e30", *TINY)
    code, _, err = minigrad("sweep", "temporal", "--workers", 1, "--out", tmp_path, *words)
    assert code == 1 and err.startswith("failed: --lr 1e+30: BadInput: ") and len(rows_of(tmp_path)) == 1


class Figured:
    """A task, as a table needs one."""

    name, figure, higher_is_better = "figured", "wrong", False

    @staticmethod
    def options():
        return {"cell": None, "seed": None}


def rows(cells: dict) -> list[dict]:
    return [
        {"cell": cell, "seed": seed, "wrong": value, "parameters": 10, "seconds": 1.0}
        for cell, values in cells.items()
        for seed, value in enumerate(values)
    ]


@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_p_is_that_of_all_signs(n, seed):
    """The exact test by hand: the share of the 2^n choices of signs whose mean is as far from 0 as the one found."""
    a, b = np.random.default_rng(seed).normal(size=(2, n))
    found = sweeps.settings(rows({"a": a, "b": b}), Figured)
    assert [s.options["cell"] for s in found] == sorted("ab", key=lambda k: np.median({"a": a, "b": b}[k]))
    sweeps.compare_to_best(found)
    signs = np.array(np.meshgrid(*[[-1, 1]] * n)).reshape(n, -1)
    means = np.abs(signs.T @ (a - b))
    assert found[0].p is None
    assert found[1].p == pytest.approx(np.mean(means >= abs(np.sum(a - b)) * (1 - 1e-12)))


def test_the_table_ranks_by_the_median():
    found = sweeps.settings(rows({"a": [3, 1, 2], "b": [1, 1, 9], "c": [4, 4, 4]}), Figured)
    sweeps.compare_to_best(found)
    assert sweeps.table(found, Figured).splitlines()[1:] == [
        "1        b     3      1      1     9          10        1",
        "2        a     3      2      1     3          10        1  1",
        "3        c     3      4      4     4          10        1  1",
    ]


def started(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", *map(str, arguments)], text=True, **options)


def wait_for(count: int, folder, process) -> None:
    """Until so many runs have finished; the sweep has more to do then."""
    while len([*folder.glob("*/result.json")]) < count:
        assert process.poll() is None, "the sweep has ended"
        time.sleep(0.05)


@pytest.fixture
def serial(minigrad, tmp_path):
    """The rows of a sweep of 40 runs, and its words."""
    words = ("--cell", "rnn", "lstm", "--seed", "0..9", "--lr", "1e-3", "3e-3", *TINY)
    assert minigrad("sweep", "temporal", "--workers", 1, "--out", tmp_path / "serial", *words)[0] == 0
    return rows_of(tmp_path / "serial"), ("minigrad", "sweep", "temporal", *words, "--out", tmp_path / "out")


@pytest.mark.heavy
def test_a_sweep_that_is_interrupted_goes_on(serial, tmp_path):
    wanted, sweep = serial
    for done in (1, 9):
        process = started(*sweep, "--workers", 2, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(done, tmp_path / "out", process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130 and err.startswith("stopped; what was done is kept in")
    assert started(*sweep).wait() == 0
    assert rows_of(tmp_path / "out") == wanted


@pytest.mark.heavy
def test_workers_of_a_cluster_are_killed(serial, tmp_path):
    pytest.importorskip("distributed")
    wanted, sweep = serial
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    address = f"tcp://127.0.0.1:{20000 + os.getpid() % 20000}"
    cluster = ("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
    scheduler = started(
        "distributed.cli.dask_scheduler", "--port", address.rpartition(":")[2], "--no-dashboard", **quiet
    )
    workers = [started(*cluster, **quiet) for _ in range(2)]
    try:
        time.sleep(10)
        process = started(*sweep, "--scheduler", address)
        for done in (5, 15, 25):
            wait_for(done, tmp_path / "out", process)
            workers[0].kill()
            workers[0] = started(*cluster, **quiet)
        assert process.wait(timeout=600) == 0
        assert rows_of(tmp_path / "out") == wanted
        (tmp_path / "out").rename(tmp_path / "all")
        process = started(*sweep, "--scheduler", address, stderr=subprocess.PIPE)
        wait_for(5, tmp_path / "out", process)
        scheduler.kill()
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2 and "the scheduler is gone; what has finished is kept in" in err
        assert started(*sweep).wait() == 0
        assert rows_of(tmp_path / "out") == wanted
    finally:
        for each in (*workers, scheduler):
            each.kill()
            each.wait()


def test_every_task_can_be_swept():
    for name, (_, task) in tasks().items():
        assert grid_of(task, ["--seed", "0..1"])["seed"] == [0, 1], name
