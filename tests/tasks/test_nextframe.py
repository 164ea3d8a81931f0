"""ConvLSTMs that continue films of moving digits."""

import csv

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.tasks import nextframe
from minigrad.models.tasks.nextframe import NextFrame


@pytest.mark.parametrize("architecture", ["predictor", "forecaster"])
def test_a_run(architecture, few_steps, minigrad):
    row, run = few_steps("nextframe", "--hidden", 2, "--batch", 2, "--architecture", architecture)
    assert row["copied_error"] > 0
    for picture in ("prediction.png", "frames.png"):
        assert (run / picture).read_bytes().startswith(b"\x89PNG")
    with (run / "frames.csv").open(newline="") as file:
        by_frame = [{name: float(figure) for name, figure in line.items()} for line in csv.DictReader(file)]
    assert [line.pop("frame") for line in by_frame] == list(range(1, 11))
    for name, figure in by_frame[-1].items():
        assert row[f"last_{name}"] == pytest.approx(figure, rel=1e-5)
        assert row[name] == pytest.approx(np.mean([line[name] for line in by_frame]), rel=1e-5)
    code, _, err = minigrad("sample", run)
    assert code == 2 and "nothing to sample" in err and err.count("\n") == 1


@pytest.mark.parametrize("option, value", [("--patch", 5), ("--architecture", "fed")])
def test_bad_options(option, value, minigrad, tmp_path):
    code, _, err = minigrad("train", "nextframe", "--out", tmp_path / "run", option, value)
    assert code == 2 and f"{option} {value}" in err and not (tmp_path / "run").exists()


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


@pytest.mark.parametrize("architecture", ["predictor", "forecaster"])
def test_forecast_and_loss(architecture, tmp_path):
    task = NextFrame(hidden=3, layers=2, out=tmp_path, architecture=architecture)
    film, given = task.draw(np.random.default_rng(0), 2)
    assert not given.any()
    logits = task.forecast(mg.tensor(film)).numpy()
    assert logits.shape == (10, 2, 24, 24)
    told = task.tell(mg.tensor(film), mg.tensor(given)).numpy()
    first = 10 if architecture == "forecaster" else 1
    assert told.shape == (20 - first, 2, 24, 24)
    np.testing.assert_allclose(told[-10:], logits, rtol=1e-5, atol=1e-6)
    chances, truth = 1 / (1 + np.exp(-told.astype(np.float64))), film[first:]
    nats = -(truth * np.log(chances) + (1 - truth) * np.log(1 - chances)).sum() / (len(truth) * 2)
    assert task.loss(mg.tensor(film), mg.tensor(given)).item() == pytest.approx(nats, rel=1e-5)
    film[10:] = 0.5
    np.testing.assert_array_equal(task.forecast(mg.tensor(film)).numpy(), logits)  # never seen
    if architecture == "predictor":  # but of what is given, each frame tells those behind it
        given[2, 1] = True
        read = task.tell(mg.tensor(film), mg.tensor(given)).numpy()
        for frame in range(10, 20):
            other = film.copy()
            other[frame] = 0.7
            changed = (task.tell(mg.tensor(other), mg.tensor(given)).numpy() != read).any(axis=(-1, -2))
            assert not changed[:, 0].any() and not changed[:12].any()
            assert changed[12:, 1].all() if frame == 12 else not changed.any()


def test_ever_fewer_frames_are_given(tmp_path):
    task = NextFrame(hidden=2, steps=100, batch=400, out=tmp_path)
    task.draw = lambda generator, count: (np.zeros((20, count)), None)
    shares = [task.batch_at(step)[1].numpy().mean() for step in (0, 10, 25, 50, 99)]
    assert shares == pytest.approx([1, 0.8, 0.5, 0, 0], abs=0.05)


def test_a_forecast_that_copies_is_as_good_as_the_last_frame_copied(tmp_path):
    task = NextFrame(hidden=2, out=tmp_path)
    seen, truth = task.test[:10], task.test[10:]
    task.forecast = lambda film: mg.tensor(100 * (2 * seen[9:].round().repeat(10, axis=0) - 1))
    task.test[9].round(out=task.test[9])
    figures = task.evaluate()
    assert figures["copied_error"] == pytest.approx(((truth - seen[9]) ** 2).sum() / (10 * len(seen[0])), rel=1e-5)
    for name in ("error", "similarity"):
        told = "squared_error" if name == "error" else name
        assert figures[told] == pytest.approx(figures[f"copied_{name}"], rel=1e-4)
        assert figures[f"last_{told}"] == pytest.approx(figures[f"last_copied_{name}"], rel=1e-4)


def test_similarity_is_that_of_the_paper():
    """Equation 13 of Wang et al. 2004, with K = 0.01 and 0.03 and unbiased moments, at every window of 7x7."""
    a, b = np.random.default_rng(0).random((2, 3, 24, 24))
    b = (a + b) / 2
    windows = [np.lib.stride_tricks.sliding_window_view(x, (7, 7), axis=(1, 2)).reshape(3, -1, 49) for x in (a, b)]
    mean_a, mean_b = (w.mean(axis=-1) for w in windows)
    var_a, var_b = (w.var(axis=-1, ddof=1) for w in windows)
    both = ((windows[0] - mean_a[..., None]) * (windows[1] - mean_b[..., None])).sum(axis=-1) / 48
    wanted = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
    wanted /= (mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)
    assert nextframe.similarity(a, b) == pytest.approx(wanted.mean(), rel=1e-6)
    assert nextframe.similarity(a, a) == pytest.approx(1)


def test_the_fully_connected_lstm_has_as_many_parameters(tmp_path):
    sizes = {"patch": 24, "kernel": 1, "hidden": 60}
    words = nextframe.__doc__.split()
    assert all(
        words[words.index(f"`--{name}" if name == "patch" else f"--{name}") + 1].strip("`") == str(n)
        for name, n in sizes.items()
    )
    ours, connected = (
        sum(p.size for p in NextFrame(out=tmp_path, **options).model.parameters()) for options in ({}, sizes)
    )
    H = sizes["hidden"]
    assert connected == 4 * H * (576 + H + 1) + 576 * (H + 1)
    assert ours <= connected < 1.06 * ours


@pytest.mark.parametrize("patch", [2, 24])
def test_training_begins_at_the_mean_pixel(patch, tmp_path):
    """Before a step, the loss is near that of a constant chance, the mean pixel of other digits."""
    task = NextFrame(patch=patch, out=tmp_path)
    p = task.draw(np.random.default_rng(3), 200)[0].mean()
    entropy = -24 * 24 * (p * np.log(p) + (1 - p) * np.log(1 - p))
    film = mg.tensor(task.test)
    assert task.loss(film, np.zeros((9, film.shape[1]), bool)).item() == pytest.approx(entropy, rel=0.05)
