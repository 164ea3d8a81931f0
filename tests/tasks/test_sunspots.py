import numpy as np
import pytest

import minigrad as mg
from minigrad.models.tasks import sunspots


def test_a_run(few_steps):
    row, _ = few_steps("sunspots", "--hidden", 3, "--batch", 2, "--length", 5)
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
        whole = task.forecast(mg.tensor(task.series[:50, None])).numpy()
        some = task.forecast(mg.tensor(task.series[:30, None])).numpy()
    np.testing.assert_allclose(whole[:30], some, rtol=1e-6)
    assert task.draw(np.random.default_rng(0), 5000)[0].max() <= task.series[:221].max()
    assert set(task.draw(np.random.default_rng(0), 5000)[0][-1]) >= {task.series[220]} - {task.series[221]}
