"""A ConvLSTM that continues films of moving digits."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.tasks import nextframe
from minigrad.models.tasks.nextframe import NextFrame


def test_a_run(few_steps, minigrad):
    row, run = few_steps("nextframe", "--hidden", 2, "--batch", 2)
    assert row["copy_last_frame"] > 0
    assert (run / "prediction.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = minigrad("sample", run)
    assert code == 2 and "nothing to sample" in err and err.count("\n") == 1


def test_bad_patch(minigrad, tmp_path):
    code, _, err = minigrad("train", "nextframe", "--out", tmp_path / "run", "--patch", 5)
    assert code == 2 and "--patch 5" in err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("side", [1, 2, 8, 24])
def test_patches(side):
    film = np.random.default_rng(0).random((2, 3, 24, 24))
    patches, n = nextframe.to_patches(film, side), 24 // side
    assert patches.shape == (2, 3, side**2, n, n)
    corner = film[:, :, -side:, (n // 2) * side : (n // 2 + 1) * side]  # the lowest row, in the middle
    np.testing.assert_array_equal(patches[:, :, :, -1, n // 2], corner.reshape(2, 3, side**2))
    np.testing.assert_array_equal(nextframe.from_patches(patches), film)


def test_films():
    digits = nextframe.load_digits()
    assert digits.shape == (1797, 8, 8) and digits.min() == 0 and digits.max() == 1
    ones = np.ones((1, 8, 8), np.float32)
    film = nextframe.moving_digits(ones, 50, np.random.default_rng(0), count=1)
    assert film.shape == (20, 50, 24, 24) and film.dtype == np.float32
    assert (film.sum(axis=(-1, -2)) == 64).all()  # a digit never leaves the frame, even in part
    places = np.stack([film.max(axis=axis).argmax(axis=-1) for axis in (-1, -2)], axis=-1)
    moves = np.diff(places, axis=0)
    assert np.abs(moves).max() <= 3 and (moves != 0).any(axis=(0, 2)).all()
    assert ((moves[1:] * moves[:-1]) < 0).any()  # they bounce


def test_forecast_and_loss(tmp_path):
    task = NextFrame(hidden=3, layers=2, out=tmp_path)
    (film,) = task.draw(np.random.default_rng(0), 2)
    logits = task.forecast(mg.tensor(film)).numpy().astype(np.float64)
    assert logits.shape == (10, 2, 24, 24)
    chances = 1 / (1 + np.exp(-logits))
    truth = film[10:]
    nats = -(truth * np.log(chances) + (1 - truth) * np.log(1 - chances)).sum() / (10 * 2)
    assert task.loss(mg.tensor(film)).item() == pytest.approx(nats, rel=1e-5)
    film[10:] = 0.5
    np.testing.assert_array_equal(task.forecast(mg.tensor(film)).numpy(), logits.astype(np.float32))  # never seen


def test_evaluation(tmp_path):
    task = NextFrame(hidden=2, out=tmp_path)
    seen, truth = task.test[:10], task.test[10:]
    task.forecast = lambda film: mg.tensor(100 * (2 * seen[9:].repeat(10, axis=0) - 1))  # goes on showing the last one
    figures = task.evaluate()
    assert figures["copy_last_frame"] == pytest.approx(((truth - seen[9]) ** 2).sum() / (10 * 64), rel=1e-5)
    assert 0 < figures["squared_error"] < 2 * figures["copy_last_frame"]


def test_the_fully_connected_lstm_has_as_many_parameters(tmp_path):
    sizes = {"patch": 24, "kernel": 1, "hidden": 27}
    words = nextframe.__doc__.split()
    assert all(
        words[words.index(f"`--{name}" if name == "patch" else f"--{name}") + 1].strip("`") == str(n)
        for name, n in sizes.items()
    )
    ours, connected = (
        sum(p.size for p in NextFrame(out=tmp_path, **options).model.parameters()) for options in ({}, sizes)
    )
    H = sizes["hidden"]
    assert connected == 4 * H * (576 + H + 1) + 4 * H * (1 + H + 1) + 576 * (H + 1)
    assert ours <= connected < 1.06 * ours


@pytest.mark.parametrize("patch", [2, 24])
def test_training_begins_at_the_mean_pixel(patch, tmp_path):
    """Before a step, the loss is near that of a constant chance, the mean pixel of other digits."""
    task = NextFrame(patch=patch, out=tmp_path)
    p = task.draw(np.random.default_rng(3), 200)[0].mean()
    entropy = -24 * 24 * (p * np.log(p) + (1 - p) * np.log(1 - p))
    assert task.loss(mg.tensor(task.test)).item() == pytest.approx(entropy, rel=0.05)
