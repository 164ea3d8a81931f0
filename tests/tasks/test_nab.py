"""The Numenta Anomaly Benchmark: its files, its scoring by hand-made cases, and the detector."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.badinput import BadInput
from minigrad.models.tasks import nab
from minigrad.models.tasks.nab_scoring import PROFILES, Series, read_corpus, scaled_sigmoid, score

N = 200


def written(
    folder,
    n=N,
    windows=(("2014-04-01 10:00:00", "2014-04-01 11:00:00"), ("2014-04-01 14:00:00", "2014-04-01 15:00:00")),
):
    """Two series of a record every five minutes, from midnight on; the second has no window."""
    t = np.arange(n)
    times = np.datetime64("2014-04-01T00:00:00") + 300 * t
    for name, values in (("real/a.csv", np.sin(t / 5)), ("none/b.csv", np.where(t % 9, 20.0, 21.0))):
        (folder / "data" / name).parent.mkdir(parents=True)
        lines = [f"{str(time).replace('T', ' ')},{value}" for time, value in zip(times, values)]
        (folder / "data" / name).write_text("\n".join(["timestamp,value", *lines]) + "\n")
    (folder / "labels").mkdir()
    labels = {"real/a.csv": [[f"{a}.000000", f"{b}.000000"] for a, b in windows], "none/b.csv": []}
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(labels))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return written(tmp_path_factory.mktemp("nab"))


def test_a_few_steps(few_steps, data):
    row, run = few_steps("nab", "--data", data, "--hidden", 3, "--batch", 2, "--length", 12)
    assert row["standard"] <= row["standard_optimised"] + 1e-9 and 0 <= row["low_fp_optimised"] <= 100
    assert (run / "alarms.png").read_bytes().startswith(b"\x89PNG")


def test_files(data):
    corpus = read_corpus(data)
    assert list(corpus) == ["none/b.csv", "real/a.csv"]
    series = corpus["real/a.csv"]
    assert series.windows == [(120, 132), (168, 180)] and series.probation == 30 and len(series.values) == N
    assert series.times[0] == np.datetime64("2014-04-01T00:00:00") and series.values[5] == pytest.approx(np.sin(1))
    assert Series(np.zeros(0), np.zeros(22_695), []).probation == 750


LABELS = "labels/combined_windows.json"


@pytest.mark.parametrize(
    "name, text, words",
    [
        (LABELS, None, "No such file"),
        (LABELS, "{", "line 1"),
        (LABELS, "[]", "by its name"),
        (LABELS, '{"real/a.csv": [["2014-04-01 10:00:00", "noon"]]}', "pairs of timestamps"),
        (LABELS, '{"real/a.csv": [["2015-01-01", "2015-01-02"]]}', "no record at 2015-01-01"),
        ("data/real/a.csv", None, "No such file"),
        ("data/real/a.csv", "a,b\n1,2\n", "columns timestamp and value"),
        ("data/real/a.csv", "timestamp,value\n2014-04-01,x\n", "could not convert"),
        ("data/real/a.csv", "timestamp,value\n2014-04-01,nan\n", "not finite"),
    ],
)
def test_bad_files(name, text, words, tmp_path, minigrad):
    path = written(tmp_path / "nab") / name
    path.unlink() if text is None else path.write_text(text)
    code, _, err = minigrad("train", "nab", "--data", tmp_path / "nab", "--out", tmp_path / "run")
    assert code == 2 and err.startswith("minigrad: --data") and words in err and err.count("\n") == 1


def test_series_that_are_too_short(data, tmp_path):
    with pytest.raises(BadInput, match="first 15% of none/b.csv are 30 records"):
        nab.NAB(data=data, length=27, out=tmp_path / "run")
    with pytest.raises(BadInput, match="wanted the folder"):
        nab.NAB(out=tmp_path / "run")


def corpus_of(*windows, n=1000):
    return {"a": Series(np.arange(n).astype("datetime64[s]"), np.zeros(n), list(windows))}


def detected(*records, n=1000):
    scores = np.zeros(n)
    scores[list(records)] = 1
    return {"a": scores}


def test_the_sigmoid_of_the_paper():
    """0.98661, 0.84828 and 0: what the benchmark's repository tells of σ at -1, -0.5 and 0."""
    np.testing.assert_allclose(scaled_sigmoid(np.array([-1, -0.5, 0, 1])), [0.98661, 0.84828, 0, -0.98661], atol=5e-6)
    assert scaled_sigmoid(3.0) == scaled_sigmoid(400.0) == -1


def test_scores_by_hand():
    corpus = corpus_of((300, 399), (600, 699))
    s = scaled_sigmoid
    assert score(corpus, detected(), "standard", 0.5) == 0
    assert score(corpus, detected(300, 600), "standard", 0.5) == 100
    assert score(corpus, detected(300, 350, 399, 600, 601), "standard", 0.5) == 100  # only the earliest counts
    assert score(corpus, detected(300), "standard", 0.5) == 50
    late = s(-0.5) / s(-1)  # record 350 is half a window before the end
    assert score(corpus, detected(350), "standard", 0.5) == pytest.approx(100 * (late + 1) / 4)
    assert score(corpus, detected(350), "low_fn", 0.5) == pytest.approx(100 * (late + 2) / 6)
    for record, cost in (
        (149, 0),
        (150, 0.11),
        (299, 0.11),
        (400, -0.11 * s(1 / 99)),
        (498, -0.11 * s(1.0)),
        (999, 0.11),
    ):
        assert score(corpus, detected(record), "standard", 0.5) == pytest.approx(-100 * cost / 4), record
        assert score(corpus, detected(record), "low_fp", 0.5) == pytest.approx(-100 * 2 * cost / 4), record


@given(seed=st.integers(0, 2**32 - 1))
def test_the_best_threshold_is_the_best_of_all(seed):
    draws = np.random.default_rng(seed)
    corpus = corpus_of((30, 39), (60, 64), n=100) | {"b": corpus_of((50, 59), n=80)["a"]}
    told = {name: np.round(draws.random(len(series.values)), 1) for name, series in corpus.items()}
    for profile in PROFILES:
        all_of_them = [score(corpus, told, profile, t) for t in np.arange(0, 12) / 10 - 0.05]
        assert score(corpus, told, profile) == pytest.approx(max(0, *all_of_them))


@given(seed=st.integers(0, 2**32 - 1), records=st.integers(0, 40))
def test_an_alarm_stands(seed, records):
    x = np.random.default_rng(seed).integers(0, 9, 60).astype(float)
    wanted = [v if v > max(x[max(0, t - records) : t], default=0) else 0 for t, v in enumerate(x)]
    np.testing.assert_array_equal(nab.standing(x, records), wanted)


def test_running_means():
    x = np.random.default_rng(0).normal(1e6, 1, nab.WINDOW + 50)
    means, deviations = nab.running(x)
    for t in (2, 700, nab.WINDOW + 30):
        seen = x[max(0, t - nab.WINDOW) : t]
        assert means[t] == pytest.approx(seen.mean(), rel=1e-12) and deviations[t] == pytest.approx(
            seen.std(), rel=1e-6
        )
    assert (means[0], deviations[0]) == (x[0], 1e-6)


def test_surprise_is_a_tail_of_the_normal_distribution():
    """One tail: 0.5, 0.158655, 2.866516e-7 (tables of the normal distribution)."""
    np.testing.assert_allclose(10 ** -nab.surprise(np.array([0, 1.0, 5.0])), [0.5, 0.158655, 2.866516e-7], rtol=1e-5)
    assert 340 < nab.surprise(np.array([40.0]))[0] < 360  # where the tail itself is 0


def test_the_windowed_gaussian():
    x = np.random.default_rng(0).normal(size=nab.WINDOW + 250)
    told = nab.windowed_gaussian(x)
    for t, end in (
        (1, 1),
        (50, 50),
        (nab.WINDOW, nab.WINDOW),
        (nab.WINDOW + 99, nab.WINDOW),
        (nab.WINDOW + 240, nab.WINDOW + 200),
    ):
        seen = x[max(0, end - nab.WINDOW) : end]
        assert told[t] == pytest.approx(abs(x[t] - seen.mean()) / (seen.std() or 1e-6))
    assert told[0] == 0 and nab.as_published(told)[0] == 0 and nab.as_published(np.array([9.0]))[0] == 1


def test_inputs_know_no_later_record(data):
    series = read_corpus(data)["real/a.csv"]
    whole = nab.read_as(series)
    some = nab.read_as(Series(series.times[:150], series.values[:150], []))
    np.testing.assert_allclose(whole.inputs[:149], some.inputs[:149], atol=1e-6)
    t = 100
    for k, horizon in enumerate(nab.HORIZONS):
        told = whole.targets[t, k] * whole.deviation[t] + whole.mean[t]
        assert told == pytest.approx(series.values[t + horizon], abs=1e-5)
    assert whole.mean[t] == pytest.approx(series.values[: t + 1].mean())


def test_yesterday_and_last_week_are_those_of_what_is_told():
    """Hourly records: column 5 + 4k is of a day before the k-th horizon, column 7 + 4k of a week before, less z."""
    values = np.random.default_rng(0).normal(size=300)
    read = nab.read_as(Series(np.datetime64("2014-04-01T00:00:00") + 3600 * np.arange(300), values, []))
    for k, horizon in enumerate(nab.HORIZONS):
        for column, back in ((5 + 4 * k, 24 - horizon), (7 + 4 * k, 168 - horizon)):
            t = np.arange(back, 300)
            wanted = (values[t - back] - values[t]) / read.deviation[t]
            np.testing.assert_allclose(read.inputs[t, column][5:], wanted[5:], rtol=1e-4, atol=1e-5)
            assert not read.inputs[:back, column : column + 2].any() and read.inputs[back:, column + 1].all()


def test_nothing_is_learnt_before_it_is_told(data, tmp_path, monkeypatch):
    task = nab.NAB(data=data, hidden=2, batch=4, length=12, steps=100, out=tmp_path / "run")
    told = []
    monkeypatch.setattr(task, "tell", lambda _, first, last: told.append((first, last)))
    assert [task.arrived("real/a.csv", part) for part in (0, nab.PARTS)] == [30, N]
    for step in range(100):
        task.batch_at(step)
        assert task.part == len(told)
        _, targets = task.draw(np.random.default_rng(step), 4)
        assert targets.shape == (12, 4, 2)
        if step < 30:
            assert task.part == 0
    assert told == [(k, k + 1) for k in range(nab.PARTS - 1)]


def test_a_forecast_is_of_the_next_record(data, tmp_path):
    task = nab.NAB(data=data, hidden=2, length=12, out=tmp_path / "run")
    for name, series in task.corpus.items():
        perfect = nab.in_units(series, task.read[name], task.read[name].targets)
        np.testing.assert_allclose(perfect[20:], series.values[20:], atol=1e-4)
