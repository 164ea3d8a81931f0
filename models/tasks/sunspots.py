"""Sunspots: tell next year's number from all years before.

The yearly numbers since 1700 that statsmodels carries: training to 1920, one-step forecasts of 1921 to 1955 and of
1956 to 1979, each from the true past; the decay was chosen on 1881 to 1920, after training to 1880. The figure is the
mean squared error over the variance of the whole record, 1535, as in Weigend, Huberman & Rumelhart 1990, International
Journal of Neural Systems 1(3). Beside it are two forecasts without a model: the same as this year (persistence), and as
a period ago (seasonal), the one that does best to 1920.
"""

import numpy as np

import minigrad as mg
from minigrad.models.tasks.training import Annotated, CellTask, Option, Reader, Row

FIRST, LEARNT = 1700, 1920
SPANS = [(1921, 1955), (1956, 1979)]
ROOT, VARIANCE = 7.0, 1535.0


class Sunspots(CellTask):
    steps, lr, batch, every, hidden, decay = 1000, 5e-3, 16, 100, 16, 3.0
    figure, loss_unit, unit = "error_1921_1955", "error over variance", "series"
    known = "network 0.086, threshold autoregression 0.097 (Weigend, Huberman & Rumelhart 1990)"
    family = "sequences"
    rows = [Row(promise="persistence_1921_1955")]

    length: Annotated[int, Option(min=2, max=200, help="Years of a training sequence.")] = 20

    def build(self):
        self.series = sunspots()
        self.model = Reader(self.recurrent(1), 1)

    def draw(self, generator, count):
        years = np.arange(self.length + 1)[:, None]
        begin = generator.integers(LEARNT + 2 - FIRST - len(years), size=count)
        return (self.series[begin + years],)

    def loss(self, years):
        return mg.square(self.forecast(years[:-1]) - years[1:]).mean() / VARIANCE

    def forecast(self, years):
        """Of the year after each, (T, B): a change of its root, whose noise does not grow with the number."""
        roots = mg.sqrt(years) / ROOT
        return mg.square(ROOT * (roots + self.model(roots[:, :, None])[:, :, 0]))

    def evaluate(self):
        told = self.forecast(mg.tensor(self.series[:-1, None])).numpy()[:, 0]
        forecasts = {"error": told, "persistence": self.series[:-1], "seasonal": seasonal(self.series)}
        return {
            f"{name}_{first}_{last}": relative_error(forecast, self.series, first, last)
            for first, last in SPANS
            for name, forecast in forecasts.items()
        }


def sunspots() -> np.ndarray:
    """The yearly numbers from 1700 on."""
    from statsmodels.datasets import sunspots

    return sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(np.float32)


def seasonal(series: np.ndarray) -> np.ndarray:
    """Forecasts, from the second year on: what was so many years before, with the period that does best to 1920."""

    def before(period):
        return np.concatenate([series[: period - 1], series[:-period]])

    return min(map(before, range(5, 16)), key=lambda told: relative_error(told, series, FIRST + 15, LEARNT))


def relative_error(told: np.ndarray, series: np.ndarray, first: int, last: int) -> float:
    """Mean squared error over VARIANCE; told: from the second year on."""
    error = told - series[1:]
    return float(np.square(error[first - FIRST - 1 : last - FIRST]).mean() / VARIANCE)
