"""Sunspots: tell next year's number from all years before.

The yearly numbers since 1700 that statsmodels carries, by the protocol of Weigend, Huberman & Rumelhart 1990
(International Journal of Neural Systems 1(3)): training to 1920, one-step forecasts of 1921 to 1955 and of 1956 to
1979, each from the true past. The figure is the mean squared error over the variance of the whole record, 1535; the
threshold autoregression is that of Tong & Lim 1980, to which they compare.

A cell reads the numbers and the roots of the last nine years at once, and tells the root's change; the forecast is the
mean of ten such networks. --length is how many years a cell reads so, one after another, before it tells: 1, then its
state is no memory, and a cell of the kind rnn is a feed-forward network, as theirs was (of twelve years). These
choices, units, steps and decay were made by cross-validation on training years: 1761 to 1800, 1801 to 1840, 1841 to
1880 and 1881 to 1920, each left out in turn. Beside the figure are forecasts without a network: the same as this year
(persistence), as a period ago (seasonal), the one that does best to 1920, and a linear autoregression on the roots of
the last nine years. forecast.png shows the years that are tested.
"""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models.tasks import files
from minigrad.models.tasks.training import Annotated, CellTask, Option, Reader, Row

FIRST, LEARNT = 1700, 1920
SPANS = [(1921, 1955), (1956, 1979)]
ROOT, VARIANCE = 7.0, 1535.0
LAGS = 9  # years that a step reads


class Networks(nn.Module):
    """Several readers of the same, of which each learns on its own: (T, B, inputs) to (networks, T, B)."""

    def __init__(self, readers: list[Reader]):
        self.readers = readers

    def forward(self, x):
        return mg.stack([reader(x)[:, :, 0] for reader in self.readers])


class Sunspots(CellTask):
    steps, lr, batch, every, hidden, decay, cell = 1500, 0.01, 220, 500, 8, 0.3, "rnn"
    figure, loss_unit = "error_1921_1955", "error over variance"
    known = "network 0.086, threshold autoregression 0.097 (Weigend, Huberman & Rumelhart 1990)"
    family = "sequences"
    rows = [Row(promise=0.097)]

    length: Annotated[int, Option(min=1, max=200, help="Years that a cell reads before it tells.")] = 1
    networks: Annotated[int, Option(min=1, max=1000, help="Networks, whose forecasts are averaged.")] = 10

    def build(self):
        self.series = sunspots()
        self.padded = np.concatenate([np.repeat(self.series[:1], LAGS + self.length - 2), self.series])
        self.model = Networks([Reader(self.recurrent(2 * LAGS), 1) for _ in range(self.networks)])

    def draw(self, generator, count):
        return (self.windows(generator.integers(1, LEARNT + 1 - FIRST, size=count)),)

    def windows(self, years):
        """Numbers up to these years, of which the first is 1 (LAGS + length, B): the last is what is to be told."""
        return self.padded[years + np.arange(-1, LAGS + self.length - 1)[:, None]]

    def loss(self, numbers):
        return mg.square(self.forecasts(numbers[:-1]) - numbers[LAGS:]).mean() / VARIANCE

    def forecasts(self, numbers):
        """Of each network, of the year after each from the LAGS-th on, (T, B) to (networks, T - LAGS + 1, B): a change
        of its root, whose noise does not grow with the number."""
        roots = mg.sqrt(numbers) / ROOT
        last = len(numbers) - LAGS + 1
        lags = mg.stack([roots[k : k + last] for k in reversed(range(LAGS))], axis=-1)
        changes = self.model(mg.concatenate([lags, mg.square(lags)], axis=-1))
        return mg.square(ROOT * (lags[:, :, 0] + changes))

    def evaluate(self):
        numbers = self.windows(np.arange(1, len(self.series)))
        told = self.forecasts(mg.tensor(numbers[:-1])).numpy()[:, -1].mean(axis=0)
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
