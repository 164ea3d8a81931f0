import numpy as np
import pytest

import minigrad as mg
from minigrad.models.tasks import sunspots


def test_a_run(few_steps):
    row, run = few_steps("sunspots", "--hidden", 3, "--batch", 2, "--length", 5)
    assert (run / "forecast.png").read_bytes().startswith(b"\x89PNG")
    series = sunspots.sunspots().astype(float)
    year = {1700 + k: number for k, number in enumerate(series)}
    assert len(series) == 309 and year[1957] == pytest.approx(190.2) and year[1700] == 5
    for first, last in ((1921, 1955), (1956, 1979)):
        errors = [(year[y] - year[y - 1]) ** 2 for y in range(first, last + 1)]
        assert row[f"persistence_{first}_{last}"] == pytest.approx(np.mean(errors) / 1535)
        seasonal = [np.mean([(year[y] - year[y - p]) ** 2 for y in range(first, last + 1)]) / 1535 for p in (10, 11)]
        assert any(row[f"seasonal_{first}_{last}"] == pytest.approx(error) for error in seasonal)


def test_a_forecast_sees_no_later_year(tmp_path):
    task = sunspots.Sunspots(hidden=4, out=tmp_path)
    with mg.no_grad():
        whole = task.forecast(mg.tensor(task.padded[:50, None])).numpy()
        some = task.forecast(mg.tensor(task.padded[:30, None])).numpy()
    assert len(whole) == 50 - sunspots.LAGS + 1
    np.testing.assert_allclose(whole[: len(some)], some, rtol=1e-6)
    years = task.draw(np.random.default_rng(0), 5000)[0]
    assert len(years) == task.length + sunspots.LAGS and years.max() <= task.series[:221].max()
    assert set(years[-1]) >= {task.series[220]} - {task.series[221]}


def test_a_network_that_changes_nothing_is_persistence(tmp_path):
    task = sunspots.Sunspots(hidden=4, out=tmp_path)
    with mg.no_grad():
        for p in (task.model.output.weight, task.model.output.bias):
            p.copy_(mg.zeros_like(p))
        told = task.forecast(mg.tensor(task.padded[:-1, None])).numpy()[:, 0]
        loss = task.loss(mg.tensor(task.padded[:, None])).item()
    np.testing.assert_allclose(told, task.series[:-1], rtol=1e-5, atol=1e-5)
    assert loss == pytest.approx(np.square(np.diff(task.series)).mean() / 1535, rel=1e-5)


def test_the_autoregression_is_that_of_statsmodels():
    from statsmodels.tsa.ar_model import AutoReg

    series = sunspots.sunspots().astype(float)
    fitted = AutoReg(np.sqrt(series[:221]), 9).fit()
    wanted = np.square(np.maximum(fitted.apply(np.sqrt(series)).fittedvalues, 0))
    np.testing.assert_allclose(sunspots.autoregression(series)[8:], wanted, rtol=1e-6)
