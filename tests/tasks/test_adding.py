import numpy as np
import pytest

from minigrad.models.tasks.adding import Adding, adding


def test_a_run(few_steps):
    row, _ = few_steps("adding", "--length", 9, "--hidden", 4, "--batch", 3, "--memory", 9)
    assert row["constant_guess"] == pytest.approx(1 / 6, abs=0.02)


def test_sequences():
    x, total = adding(9, 500, np.random.default_rng(0))
    assert x.shape == (9, 500, 2) and x.dtype == total.dtype == np.float32
    marked = x[:, :, 1] == 1
    assert (marked[:4].sum(axis=0) == 1).all() and (marked[4:].sum(axis=0) == 1).all()  # one in each half
    assert marked.any(axis=1).all() and ((x[:, :, 1] == 0) | marked).all()
    for k in range(500):
        assert total[k] == pytest.approx(sum(x[t, k, 0] for t in range(9) if x[t, k, 1]))


def test_it_learns(tmp_path):
    row = Adding(length=10, memory=10, hidden=32, steps=400, every=400, out=tmp_path).run()
    assert row["held_out_loss"] < 0.03 < row["constant_guess"]
