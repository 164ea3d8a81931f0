"""A ConvLSTM that continues films of moving digits."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.models.tasks import nextframe

SIZES = ("--hidden", "2", "--kernel", "3", "--batch", "2")


def test_a_run(few_steps, minigrad):
    row, run = few_steps("nextframe", *SIZES)
    assert row["copy_last_frame"] > 0
    assert (run / "prediction.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = minigrad("sample", run)
    assert code == 2 and "nothing to sample" in err and err.count("\n") == 1


def test_bad_kernel(minigrad, tmp_path):
    code, _, err = minigrad("train", "nextframe", "--out", tmp_path / "run", "--kernel", 4)
    assert code == 2 and "--kernel 4" in err and not (tmp_path / "run").exists()


def test_patches():
    film = np.random.default_rng(0).random((2, 3, 24, 24))
    patches = nextframe.to_patches(film)
    assert patches.shape == (2, 3, 4, 12, 12)
    np.testing.assert_array_equal(patches[:, :, :, 5, 7], film[:, :, 10:12, 14:16].reshape(2, 3, 4))
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


def test_forecast_and_loss():
    nn.manual_seed(0)
    model = nextframe.Forecaster(3, 3, 2)
    film = nextframe.moving_digits(nextframe.load_digits(), 2, np.random.default_rng(0))
    logits = model(mg.tensor(film[:10]), 10).numpy().astype(np.float64)
    assert logits.shape == (10, 2, 24, 24)
    chances = 1 / (1 + np.exp(-logits))
    truth = film[10:]
    nats = -(truth * np.log(chances) + (1 - truth) * np.log(1 - chances)).sum() / (10 * 2)
    assert nextframe.cross_entropy_of(model, mg.tensor(film)).item() == pytest.approx(nats, rel=1e-5)
    nextframe.cross_entropy_of(model, mg.tensor(film)).backward()
    used = {name for name, parameter in model.named_parameters() if np.abs(parameter.grad.numpy()).max() > 0}
    # the forecaster's first layer is given nothing, so what would read it learns nothing
    assert {name for name, _ in model.named_parameters()} - used == {"forecaster.weight_ih_l0"}
