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


@pytest.mark.parametrize("length", [1, 4])
def test_a_forecast_sees_no_later_year(length, tmp_path):
    task = sunspots.Sunspots(hidden=4, networks=2, length=length, out=tmp_path)
    numbers = task.windows(np.array([1, 30]))
    assert len(numbers) == length + sunspots.LAGS
    assert (numbers[-1] == task.series[[1, 30]]).all() and (numbers[:-1, 0] == task.series[0]).all()
    assert (numbers[-1 - min(30, len(numbers) - 1) :, 1] == task.series[31 - min(31, len(numbers)) : 31]).all()
    with mg.no_grad():
        whole = task.forecasts(mg.tensor(task.padded[:50, None])).numpy()
        some = task.forecasts(mg.tensor(task.padded[:30, None])).numpy()
    assert whole.shape == (2, 50 - sunspots.LAGS + 1, 1)
    np.testing.assert_allclose(whole[:, : some.shape[1]], some, rtol=1e-6)
    years = task.draw(np.random.default_rng(0), 5000)[0]
    assert years.max() <= task.series[:221].max()
    assert set(years[-1]) == set(task.series[1:221])


def test_networks_that_change_nothing_are_persistence(tmp_path):
    task = sunspots.Sunspots(hidden=4, networks=2, out=tmp_path / "run")
    with mg.no_grad():
        for reader in task.model.readers:
            for p in (reader.output.weight, reader.output.bias):
                p.copy_(mg.zeros_like(p))
        loss = task.loss(mg.tensor(task.windows(np.arange(1, 309)))).item()
    assert loss == pytest.approx(np.square(np.diff(task.series)).mean() / 1535, rel=1e-5)
    task.out.mkdir()
    figures = task.evaluate()
    assert figures["error_1921_1955"] == pytest.approx(figures["persistence_1921_1955"], rel=1e-5)


def test_the_forecast_is_the_mean_of_networks_that_learn_on_their_own(tmp_path):
    task = sunspots.Sunspots(hidden=3, networks=2, out=tmp_path)
    (numbers,) = map(mg.tensor, task.draw(np.random.default_rng(0), 6))
    errors = mg.square(task.forecasts(numbers[:-1]) - numbers[sunspots.LAGS :]).mean(axis=(1, 2)) / sunspots.VARIANCE
    assert task.loss(numbers).item() == pytest.approx(errors.numpy().mean(), rel=1e-5)
    first, second = (reader.output.weight for reader in task.model.readers)
    assert (first.numpy() != second.numpy()).all()
    told = task.forecasts(mg.tensor(task.windows(np.arange(1, 309))[:-1])).numpy()[:, -1].mean(axis=0)
    error = sunspots.relative_error(told, task.series, 1921, 1955)
    assert task.evaluate()["error_1921_1955"] == pytest.approx(error, rel=1e-5)


def test_the_autoregression_is_that_of_statsmodels():
    from statsmodels.tsa.ar_model import AutoReg

    series = sunspots.sunspots().astype(float)
    fitted = AutoReg(np.sqrt(series[:221]), 9).fit()
    wanted = np.square(np.maximum(fitted.apply(np.sqrt(series)).fittedvalues, 0))
    np.testing.assert_allclose(sunspots.autoregression(series)[8:], wanted, rtol=1e-6)
