"""Digits that are drawn stroke by stroke."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.tasks import draw
from minigrad.models.tasks.draw import black

SIZES = {"hidden": 4, "latent": 2, "strokes": 2, "batch": 2}


@pytest.mark.parametrize("attention", [0, 2])
def test_a_few_steps(few_steps, attention):
    sizes = [word for name, size in SIZES.items() for word in (f"--{name}", size)]
    figures, folder = few_steps("draw", *sizes, "--attention", attention)
    assert figures["importance"] < figures["held_out_loss"] < 64 * math.log(2) * 1.2  # it knows nothing yet
    assert (folder / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_bad_attention(minigrad, tmp_path):
    code, _, err = minigrad("train", "draw", "--out", tmp_path / "run", "--attention", 1)
    assert code == 2 and "--attention 1: wanted at least 2 points a side, or 0" in err and err.count("\n") == 1


def test_black_is_as_likely_as_grey():
    grey = np.linspace(0, 1, 5, dtype=np.float32).reshape(1, 5)
    x = black(np.repeat(grey, 20_000, axis=0), np.random.default_rng(0))
    assert set(np.unique(x)) == {0, 1} and x.dtype == np.float32
    assert (x[:, 0] == 0).all() and (x[:, 4] == 1).all()
    assert np.abs(x.mean(axis=0) - grey).max() < 4 * 0.5 / 20_000**0.5


@pytest.fixture
def task(tmp_path):
    return draw.Draw(out=tmp_path / "run", **SIZES)


def test_digits_held_out_are_not_trained_on(task):
    from sklearn.datasets import load_digits

    trained = {image.tobytes() for image in task.grey}
    images = (load_digits().images / 16).astype(np.float32)
    others = np.array([image for image in images if image.tobytes() not in trained])
    assert len(trained) == 1438 and len(others) == len(task.test) == 359
    for x in task.test:  # each is one of the others, made black and white
        assert (((others > 0) >= x) & ((others == 1) <= x)).all(axis=(1, 2)).any()
    x, noise = task.draw(np.random.default_rng(0), 30)
    assert x.shape == (30, 8, 8) and noise.shape == (2, 30, 2)
    assert (((task.grey[:, None] > 0) >= x) & ((task.grey[:, None] == 1) <= x)).all(axis=(2, 3)).any(axis=0).all()


def test_figures(task, tmp_path):
    (tmp_path / "run").mkdir()
    with mg.no_grad(), mg.disable_jit():
        figures, again = task.evaluate(), task.evaluate()
    assert figures == again  # the noise of the evaluation is always the same
    from sklearn.datasets import load_digits

    digits = load_digits()
    held_out, _ = np.split(np.random.default_rng([0, 2]).permutation(1797), [359])
    trained = np.setdiff1d(np.arange(1797), held_out)

    def log_p(x, which):
        shares = sum(digits.images[k].ravel() / 16 for k in which) / len(which)
        return sum(math.log(min(max(p if on else 1 - p, 1e-3), 1 - 1e-3)) for p, on in zip(shares, x.ravel()))

    x = task.test[:20]
    classes = [trained[digits.target[trained] == digit] for digit in range(10)]
    alone = [log_p(image, trained) for image in x]
    mixed = [math.log(sum(math.exp(log_p(image, which)) for which in classes) / 10) for image in x]
    assert draw.mixture_nats(task.grey.mean(axis=0)[None], x) == pytest.approx(-np.mean(alone), rel=1e-5)
    means = np.stack([(digits.images[which] / 16).mean(axis=0) for which in classes])
    assert draw.mixture_nats(means, x) == pytest.approx(-np.mean(mixed), rel=1e-5)
    assert figures["ten_means"] == pytest.approx(draw.mixture_nats(means, task.test), rel=1e-5)
    assert figures["ten_means"] < figures["independent"] == draw.mixture_nats(task.grey.mean(axis=0)[None], task.test)
    x, noise = task.test[:4], task.noise(np.random.default_rng(1), 4)
    evidence = task.model(mg.tensor(x), mg.tensor(noise))
    bound = evidence.log_likelihood.numpy().sum(axis=0) - evidence.kl.numpy().sum(axis=0)
    assert task.loss_of(x, noise).item() == pytest.approx(-bound.mean(), rel=1e-5)
