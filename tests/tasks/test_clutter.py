"""A small digit on a large canvas among pieces of others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models.tasks import clutter
from minigrad.testing import seeds

SIZES = {"hidden": 4, "latent": 2, "strokes": 2, "batch": 2}


@pytest.fixture
def task(tmp_path, monkeypatch):
    monkeypatch.setattr(clutter, "HELD_OUT", 6)
    (tmp_path / "run").mkdir()
    return clutter.Clutter(out=tmp_path / "run", **SIZES)


def test_a_few_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(clutter, "HELD_OUT", 6)
    figures = clutter.Clutter(out=tmp_path / "run", steps=2, every=2, **SIZES).run()
    assert figures["held_out_loss"] == pytest.approx(figures["independent"], rel=0.1)  # it knows the mean pixel alone
    assert 0.9 < figures["digit_error"] / figures["blank_error"] < 1
    assert (tmp_path / "run" / "strokes.png").read_bytes().startswith(b"\x89PNG")


def test_as_many_parameters_without_attention(tmp_path):
    def count(**options):
        return sum(p.size for p in clutter.Clutter(out=tmp_path / "run", **options).model.parameters())

    ours = count()
    assert "`--attention 0 --hidden 12`" in clutter.__doc__ and ours <= count(attention=0, hidden=12) < 1.06 * ours
    assert "twelve times" in clutter.__doc__ and round(count(attention=0) / ours) == 12


@given(rng=seeds())
def test_canvases(rng):
    """With digits of ink alone, squares of one digit and six pieces, wherever the digit is said to be."""
    x, corners = clutter.canvases(np.ones((3, 8, 8), np.float32), 4, rng)
    assert x.shape == (4, 60, 60) and x.dtype == np.float32
    assert x[clutter.window(corners, 8)].all()
    ink = x.sum(axis=(1, 2))
    assert (ink >= 64).all() and (ink <= 64 + 6 * 16).all()
    x[clutter.window(corners, 8)] = 0
    for image in x:  # what is left lies in pieces: none of its pixels is alone
        rows, columns = np.nonzero(image)
        padded = np.pad(image, 1)
        for row, column in zip(rows, columns):
            assert padded[row : row + 3, column : column + 3].sum() > 1


def test_a_piece_is_cut_out_of_a_digit(monkeypatch):
    """Of a digit whose pixels have each a number of its own."""
    monkeypatch.setattr(clutter, "PIECES", 1)
    monkeypatch.setattr(clutter, "black", lambda grey, generator: grey)
    digit = np.arange(1, 65, dtype=np.float32).reshape(1, 8, 8)
    x, corners = clutter.canvases(digit, 200, np.random.default_rng(0))
    assert (x[clutter.window(corners, 8)] >= digit).all()
    pieces = {digit[0, r : r + 4, c : c + 4].tobytes() for r in range(5) for c in range(5)}
    found = set()
    for image, (row, column) in zip(x, corners):
        image[row : row + 8, column : column + 8] = 0
        if (image > 0).sum() == 16:
            rows, columns = np.nonzero(image)
            found.add(image[rows[0] : rows[0] + 4, columns[0] : columns[0] + 4].tobytes())
    assert len(found) > 15 and found <= pieces


def test_ink_stays_ink(monkeypatch):
    """Where a digit without ink is put upon pieces, they are still seen."""
    monkeypatch.setattr(clutter, "PIECES", 60)
    x, corners = clutter.canvases(np.stack([np.zeros((8, 8)), np.ones((8, 8))]), 20, np.random.default_rng(0))
    ink = x[clutter.window(corners, 8)].mean(axis=(1, 2))
    assert ((ink > 0) & (ink < 1)).any() and (ink == 1).any()


@given(st.integers(1, 5), seeds())
def test_the_error_is_that_of_the_digit(count, rng):
    told, truth = rng.random((2, count, 60, 60))
    corners = rng.integers(53, size=(count, 2))
    wanted = [((told - truth)[k, r : r + 8, c : c + 8] ** 2).sum() for k, (r, c) in enumerate(corners)]
    assert clutter.squared_error(told, truth, corners) == pytest.approx(np.mean(wanted))


def test_figures(task):
    """The mean pixel tells the baseline; what is drawn is what the evidence is of."""
    with mg.no_grad(), mg.disable_jit():
        figures, again = task.evaluate(), task.evaluate()
    assert figures == again
    density = clutter.canvases(task.grey, 2000, np.random.default_rng(5))[0].mean()
    nats = -(task.test * np.log(density) + (1 - task.test) * np.log(1 - density)).sum(axis=(1, 2)).mean()
    assert figures["independent"] == pytest.approx(nats, rel=0.03)
    noise = task.noise(np.random.default_rng([0, 3]), 6)
    told = task.model.reconstruct(mg.tensor(task.test), mg.tensor(noise))[0].numpy()[-1]
    nats = -(task.test * np.log(told) + (1 - task.test) * np.log(1 - told)).sum(axis=(1, 2)).mean()
    kl = task.model(mg.tensor(task.test), mg.tensor(noise)).kl.numpy().sum(axis=0).mean()
    assert figures["held_out_loss"] == pytest.approx(nats + kl, rel=1e-4)
    ink = task.test[clutter.window(task.corners, 8)]
    assert figures["blank_error"] == pytest.approx(ink.sum() / 6)
