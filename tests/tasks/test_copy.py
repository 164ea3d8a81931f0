import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.tasks.copy import BLANK, SIGN, Copy, copy_memory


def test_a_run(few_steps):
    row, _ = few_steps("copy", "--length", 3, "--hidden", 4, "--batch", 2)
    assert row["without_memory"] == pytest.approx(10 * math.log(8) / 23)


def test_sequences():
    shown, wanted = copy_memory(5, 40, np.random.default_rng(0))
    assert shown.shape == wanted.shape == (25, 40)
    assert (shown[:10] < 8).all() and (shown[:10] == wanted[15:]).all()
    assert (shown[14] == SIGN).all() and (np.delete(shown, 14, axis=0)[10:] == BLANK).all()
    assert (wanted[:15] == BLANK).all()
    assert set(shown[:10].ravel()) == set(range(8))


def test_blank_then_a_guess_is_the_baseline(tmp_path):
    """A model that reads nothing, but knows the step, has the loss that stands beside ours."""
    task = Copy(length=5, out=tmp_path)
    logits = np.zeros((25, 500, 9), np.float32)
    logits[:15, :, BLANK], logits[15:, :, BLANK] = 50, -50
    task.model = lambda x, last=25: mg.tensor(logits[-last:])
    figures = task.evaluate()
    assert figures["held_out_loss"] == pytest.approx(figures["without_memory"], rel=1e-4)
    assert figures["wrong_symbols"] == pytest.approx(7 / 8, abs=0.03)
