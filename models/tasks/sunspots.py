"""Sunspots: tell next year's number from all years before.

The yearly numbers since 1700 that statsmodels carries, by the protocol of Weigend, Huberman & Rumelhart 1990
(International Journal of Neural Systems 1(3)): training to 1920, one-step forecasts of 1921 to 1955 and of 1956 to
1979, each from the true past. The figure is the mean squared error over the variance of the whole record, 1535; the
threshold autoregression is that of Tong & Lim 1980, to which they compare. A step reads the numbers of the last nine
years (their network has twelve). Nine, the units, steps and decay were chosen by cross-validation on training years:
1761 to 1800, 1801 to 1840, 1841 to 1880 and 1881 to 1920, each left out in turn. Beside the figure are forecasts
without a network: the same as this year (persistence), as a period ago (seasonal), the one that does best to 1920, and
a linear autoregression on the roots of the last nine years. forecast.png shows the years that are tested.
"""

import numpy as np

import minigrad as mg
from minigrad.models.tasks import files
from minigrad.models.tasks.training import Annotated, CellTask, Option, Reader, Row

FIRST, LEARNT = 1700, 1920
SPANS = [(1921, 1955), (1956, 1979)]
ROOT, VARIANCE = 7.0, 1535.0
LAGS = 9  # years that a step reads


class Sunspots(CellTask):
    steps, lr, batch, every, hidden, decay = 500, 5e-3, 16, 100, 8, 3.0
    figure, loss_unit, unit = "error_1921_1955", "error over variance", "series"
    known = "network 0.086, threshold autoregression 0.097 (Weigend, Huberman & Rumelhart 1990)"
    family = "sequences"
    rows = [Row(promise="autoregression_1921_1955")]

    length: Annotated[int, Option(min=2, max=200, help="Years of a training sequence.")] = 20

    def build(self):
        self.series = sunspots()
        self.padded = np.concatenate([np.repeat(self.series[:1], LAGS - 1), self.series])
        self.model = Reader(self.recurrent(LAGS), 1)

    def draw(self, generator, count):
        begin = generator.integers(LEARNT + 1 - FIRST - self.length, size=count)
        return (self.padded[begin + np.arange(self.length + LAGS)[:, None]],)

    def loss(self, years):
        return mg.square(self.forecast(years[:-1]) - years[LAGS:]).mean() / VARIANCE

    def forecast(self, years):
        """Of the year after each from the LAGS-th on, (T, B) to (T - LAGS + 1, B): a change of its root, whose noise
        does not grow with the number."""
        roots = mg.sqrt(years) / ROOT
        last = len(years) - LAGS + 1
        lags = mg.stack([roots[k : k + last] for k in reversed(range(LAGS))], axis=-1)
        return mg.square(ROOT * (lags[:, :, 0] + self.model(lags)[:, :, 0]))

    def evaluate(self):
        told = self.forecast(mg.tensor(self.padded[:-1, None])).numpy()[:, 0]
        draw_forecast(self.series, told, self.out / "forecast.png")
        forecasts = {
            "error": told, "persistence": self.series[:-1], "seasonal": seasonal(self.series),
            "autoregression": autoregression(self.series),
        }  # fmt: skip
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


def autoregression(series: np.ndarray) -> np.ndarray:
    """Forecasts, from the second year on, of the root by the roots of LAGS years; least squares to 1920. The first
    LAGS - 1 forecasts, which have no such past, are the year before."""
    roots = np.sqrt(series.astype(np.float64))
    past = np.lib.stride_tricks.sliding_window_view(roots[:-1], LAGS)
    design = np.column_stack([past, np.ones(len(past))])
    learnt = slice(LEARNT + 1 - FIRST - LAGS)
    weights, *_ = np.linalg.lstsq(design[learnt], roots[LAGS:][learnt], rcond=None)
    return np.concatenate([series[: LAGS - 1], np.square(np.maximum(design @ weights, 0))])


def relative_error(told: np.ndarray, series: np.ndarray, first: int, last: int) -> float:
    """Mean squared error over VARIANCE; told: from the second year on."""
    error = told - series[1:]
    return float(np.square(error[first - FIRST - 1 : last - FIRST]).mean() / VARIANCE)


def draw_forecast(series: np.ndarray, told: np.ndarray, path) -> None:
    """Numbers and forecasts of the years that are tested, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    first, last = SPANS[0][0], SPANS[-1][1]
    years = np.arange(first, last + 1)
    axes.plot(years, series[years - FIRST], label="sunspots")
    axes.plot(years, told[years - FIRST - 1], "--", label="told a year before")
    axes.axvline(SPANS[1][0] - 0.5, color="gray", linewidth=0.5)
    axes.legend()
    files.save_figure(figure, path)
