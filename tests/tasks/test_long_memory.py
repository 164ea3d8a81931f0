"""benchmarks/memory.py: when a run ends, what it tells, which cells go on, and the gradients' norms."""

import importlib.util
import sys
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from minigrad import sweeps
from minigrad.cli.tasks import tasks

spec = importlib.util.spec_from_file_location("memory_of_cells", Path(__file__).parents[2] / "benchmarks" / "memory.py")
memory = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = memory
spec.loader.exec_module(memory)


@pytest.mark.parametrize("name", ["adding", "copy", "parentheses"])  # digits have labels as adding has sums
def test_the_gradient_is_that_of_the_last_step(name, tmp_path):
    """So going back a step it grows by no more than the matrix does, no other output being seen."""
    task = tasks()[name][1](out=tmp_path, hidden=4, cell="rnn", memory=0, length=6)
    norms = memory.gradient_norms(task)
    steps = {"adding": 6, "copy": 26, "parentheses": 6}[name]
    assert len(norms) == steps and all(norm > 0 for norm in norms)
    weight = np.linalg.norm(task.model.recurrent.cells[0].weight_hh.numpy(), 2)
    assert all(a <= b * weight * 1.001 for a, b in pairwise(norms))  # |tanh'| is at most 1


def test_a_run_ends_when_its_task_is_solved(tmp_path, monkeypatch):
    problem = memory.Problem([4], "held_out_loss", 1e9, {"steps": 20, "hidden": 3})
    monkeypatch.setitem(memory.TASKS, "adding", problem)
    row = memory.run(tmp_path / "run", "adding", 4, "LSTM, forget bias 1", 0, 0.5)
    assert row["solved"] == 10 and [step for step, _ in row["curve"]] == [10]
    assert len(row["before"]) == len(row["after"]) == 4 and row["before"] != row["after"]
    monkeypatch.setitem(memory.TASKS, "adding", problem._replace(solved=0.0))
    row = memory.run(tmp_path / "run", "adding", 4, "LSTM, chrono", 0, 0.1)
    assert row["solved"] is None and row["curve"][-1][0] == 2


def test_cells_that_did_not_solve_a_length_are_not_tried_at_a_longer_one(tmp_path, monkeypatch, capsys):
    calls = []

    def run(folder, task, length, cell, seed, part):
        calls.append((task, length, cell, seed))
        solved = 3 if (cell, length) == ("GRU", 200) and seed == 1 else None
        curve = [(k, 1 / k) for k in range(1, 3 + (solved is None))]
        return {"curve": curve, "solved": solved, "before": [1.0, 2.0], "after": [2.0, 2.0], "minutes": 0.5}

    @contextmanager
    def threads(count):
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            yield pool

    monkeypatch.setattr(memory, "run", run)
    monkeypatch.setattr(sweeps, "processes", threads)
    monkeypatch.setattr(memory, "DOCS", tmp_path / "docs")
    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    words = ["--tasks", "adding", "--cells", "GRU", "IRNN", "--seed", "0..1", "--out", tmp_path / "out", "--docs"]
    monkeypatch.setattr(sys, "argv", ["memory.py", *map(str, words)])
    memory.main()
    assert calls == [
        *[("adding", 200, cell, seed) for cell in ("GRU", "IRNN") for seed in (0, 1)],
        *[("adding", 400, "GRU", seed) for seed in (0, 1)],
    ]
    assert "adding, T = 200, GRU, seed 1: solved after 3; 0.5 minutes" in capsys.readouterr().out
    lines = (tmp_path / "docs" / "memory-runs.md").read_text().splitlines()[2:]
    assert lines[0].startswith(
        "| adding | 200 | IRNN | 0 of 2 |  | held out loss 0.33 | 3000 | 5.0e-01 → 1.0e+00 | 0.5 |"
    )
    assert lines[1].startswith("| adding | 200 | GRU | 1 of 2 | 3 | held out loss 0.42 |")
    assert lines[2].startswith("| adding | 400 | GRU | 0 of 2 |") and len(lines) == 3
    assert (tmp_path / "docs" / "pictures" / "memory-adding.png").exists()


def test_a_curve_that_ended_stays_where_it_was():
    assert memory.prolonged([[(1, 5), (2, 4)], [(1, 3)]]) == [[(1, 5), (2, 4)], [(1, 3), (2, 3)]]
