"""Series with planted faults, and their scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models.tasks import anomaly

SIZES = ("--hidden", 3, "--batch", 2, "--length", 12, "--beats", 40)


def test_a_few_steps(few_steps):
    row, run = few_steps("anomaly", *SIZES)
    assert all(0 < row[name] < 1 for name in ("roc_auc", "mean_auc", "period_before_auc"))
    assert (run / "faults.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    task = anomaly.Anomaly(out=tmp_path_factory.mktemp("anomaly"), hidden=4, length=14, beats=30, seed=2)
    task.model.eval()
    return task


@given(start=st.integers(0, 50))
def test_only_the_state_after_the_last_point_is_handed_over(task, start):
    """From that state, a plain loop from the end to the beginning writes the same."""
    x = mg.tensor(task.series[start : start + 14, None, None])
    with mg.no_grad():
        h, c = (s[0] for s in task.model.encoder(x)[1])
        told = []
        for _ in range(14):
            h, c = task.model.decoder.cells[0](mg.tensor(np.zeros((1, 1), np.float32)), (h, c))
            told.insert(0, task.model.output(h).numpy())
        np.testing.assert_allclose(task.model(x).numpy(), told, rtol=1e-5, atol=1e-6)


def test_a_point_has_the_mean_error_of_its_windows(task):
    length, n = 14, len(task.series)
    begins = [*range(0, n - length, 3), n - length]
    errors = [[] for _ in range(n)]
    with mg.no_grad():
        for begin in begins:
            x = task.series[begin : begin + length, None, None]
            told = task.model(mg.tensor(x)).numpy()
            for k in range(length):
                errors[begin + k].append((told[k, 0, 0] - x[k, 0, 0]) ** 2)
        np.testing.assert_allclose(task.errors(), [np.mean(several) for several in errors], rtol=1e-4, atol=1e-6)


def test_training_sees_no_fault_and_the_two_series_differ(task):
    healthy, none = anomaly.heartbeats(30, np.random.default_rng([2, 3]))
    assert not none.any() and task.faulty.any() and not task.faulty.all()
    np.testing.assert_allclose(task.healthy, (healthy - healthy.mean()) / healthy.std(), rtol=1e-5, atol=1e-6)
    (windows,) = task.draw(np.random.default_rng(0), 50)
    assert windows.shape == (14, 50, 1)
    strides = np.lib.stride_tricks.sliding_window_view(task.healthy, 14)
    assert all((strides == window).all(axis=1).any() for window in windows[:, :, 0].T)


@given(seed=st.integers(0, 2**32 - 1))
def test_faults_are_whole_beats_as_often_as_asked(seed):
    series, faulty = anomaly.heartbeats(20, np.random.default_rng(seed), faults=1.0)
    assert faulty.all() and np.isfinite(series).all()
    series, faulty = anomaly.heartbeats(300, np.random.default_rng(seed), faults=0.3)
    runs = np.diff(np.flatnonzero(np.diff(faulty)))
    assert runs.min() >= 0.7 * anomaly.PERIOD - 1
    assert 0.15 < faulty.mean() < 0.45 and len(series) == len(faulty)


def test_smooth_is_a_mean_over_a_period():
    score = np.random.default_rng(0).random(100)
    np.testing.assert_allclose(anomaly.smooth(score)[50], score[30:70].mean())
    assert anomaly.smooth(np.ones(100))[30:70] == pytest.approx(1)
