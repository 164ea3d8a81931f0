"""Anomaly: an LSTM that has only read healthy heartbeats rebuilds them; where it cannot, there is a fault.

A series of beats, each a sum of five bell-shaped waves (P, Q, R, S and T, as in McSharry, Clifford, Tarassenko & Smith
2003, IEEE Transactions on Biomedical Engineering 50(3)) whose length, heights and noise vary from beat to beat. The
encoder reads a window of it, and from its last state alone the decoder writes the window from its end to its beginning;
the squared error of a point, a mean over the windows that have it, is its score (Malhotra, Ramakrishnan, Anand, Vig,
Agarwal & Shroff 2016, arXiv:1607.00148; there the decoder also sees the points after, and scores are of windows).

In a second series every tenth beat or so has a fault: a wave is missing or upside down, P and T change places, or the
sensor stands still. The figure is the area under the ROC curve of the scores of its points, those of beats with a fault
against the others; beside it are those of the squared distance to the series' mean, and to the point a period before.
All three are means over the period around a point. faults.png shows series, scores and faults.
"""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models.tasks import files
from minigrad.models.tasks.training import Annotated, CellTask, Option, Row

PERIOD = 40  # points of a beat, on average
#        place in the beat, height, width, of the waves P Q R S T
PLACE = np.array([0.2, 0.36, 0.4, 0.44, 0.7])
HEIGHT = np.array([0.25, -0.2, 1.0, -0.3, 0.4])
WIDTH = np.array([0.04, 0.015, 0.02, 0.02, 0.06])
P, Q, R, S, T = range(5)


class Reconstruction(nn.Module):
    """Windows (T, B, 1) to the same, through the state after the last point alone."""

    def __init__(self, encoder, decoder):
        self.encoder, self.decoder = encoder, decoder
        self.output = nn.Linear(decoder.hidden_size, 1)

    def forward(self, x):
        _, state = self.encoder(x)
        hidden, _ = self.decoder(mg.zeros(x.shape, x.dtype), state)
        return self.output(hidden)


class Anomaly(CellTask):
    steps, lr, batch, every, hidden = 4000, 5e-3, 32, 400, 48
    figure, unit, loss_unit = "roc_auc", "windows", "squared error"
    higher_is_better = True
    known = "above mean_auc and period_before_auc"
    family = "sequences"
    rows = [Row(promise="period_before_auc")]

    length: Annotated[int, Option(min=2, max=100_000, help="Points of a window.")] = 60
    beats: Annotated[int, Option(min=10, max=100_000, help="Beats of each series.")] = 500

    def build(self):
        healthy, _ = heartbeats(self.beats, np.random.default_rng([self.seed, 3]))
        series, self.faulty = heartbeats(self.beats, self.test_draws, faults=0.1)
        self.healthy, self.series = ((part - healthy.mean()) / healthy.std() for part in (healthy, series))
        self.model = Reconstruction(self.recurrent(1), self.recurrent(1, reverse=True))
        self.rebuilt = mg.jit(self.model)
        self.about = (
            f"{len(self.healthy):,} points to train on, {self.faulty.mean():.0%} of {len(self.series):,} faulty"
        )

    def draw(self, generator, count):
        begin = generator.integers(len(self.healthy) - self.length + 1, size=count)
        return (self.healthy[begin + np.arange(self.length)[:, None], None],)

    def loss(self, x):
        return mg.square(self.model(x) - x).mean()

    def evaluate(self):
        from sklearn.metrics import roc_auc_score

        error = self.errors()
        scores = {
            "roc_auc": error,
            "mean_auc": np.square(self.series - self.series.mean()),
            "period_before_auc": np.square(self.series - np.roll(self.series, PERIOD)),
        }
        around = {name: smooth(score) for name, score in scores.items()}
        draw_faults(self.series, around["roc_auc"], self.faulty, self.out / "faults.png")
        figures = {name: float(roc_auc_score(self.faulty, score)) for name, score in around.items()}
        return {"held_out_loss": float(error[~self.faulty].mean()), **figures}

    def errors(self) -> np.ndarray:
        """Squared error of each point of the series, a mean over windows that begin every quarter of a length."""
        last = len(self.series) - self.length
        begin = np.unique([*range(0, last, max(1, self.length // 4)), last])
        index = begin + np.arange(self.length)[:, None]
        x = self.series[index, None]
        error = np.square(self.rebuilt(mg.tensor(x)).numpy() - x)[:, :, 0]
        total, count = (np.bincount(index.ravel(), weights) for weights in (error.ravel(), None))
        return total / count


def heartbeats(beats: int, generator, faults: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(a series, which of its points are in a beat with a fault), the beats with these chances."""
    series, faulty = [], []
    for _ in range(beats):
        points = int(PERIOD * np.clip(generator.normal(1, 0.05), 0.7, 1.3))
        place, height = PLACE.copy(), HEIGHT * generator.normal(1, 0.1, len(HEIGHT))
        fault = generator.choice(["missing", "inverted", "swapped", "stuck"]) if generator.random() < faults else None
        wave = generator.choice([P, R, T])
        if fault == "missing":
            height[wave] = 0
        elif fault == "inverted":
            height[wave] *= -1
        elif fault == "swapped":
            height[[P, T]] = height[[T, P]]
        t = np.arange(points)[:, None] / points
        beat = (height * np.exp(-np.square((t - place) / WIDTH) / 2)).sum(axis=1)
        if fault == "stuck":
            begin = int(generator.integers(points // 2))
            beat[begin : begin + points // 2] = beat[begin]
        series.append(beat + generator.normal(0, 0.03, points))
        faulty.append(np.full(points, fault is not None))
    return np.concatenate(series).astype(np.float32), np.concatenate(faulty)


def smooth(score: np.ndarray) -> np.ndarray:
    """Means over the period around each point."""
    return np.convolve(score, np.ones(PERIOD) / PERIOD, mode="same")


def draw_faults(series: np.ndarray, score: np.ndarray, faulty: np.ndarray, path, points: int = 40 * PERIOD) -> None:
    """The first `points` of a series, and their scores below, faults shaded, as a PNG."""
    from matplotlib.figure import Figure

    points = min(points, len(series))
    figure = Figure(figsize=(14, 6), layout="constrained")
    rows = figure.subplots(4, 1)
    for k, begin in enumerate(range(0, points, points // 2)):
        part = slice(begin, begin + points // 2)
        where = np.arange(points)[part]
        for axes, what, label in zip(rows[2 * k :], (series[:points], score[:points]), ("series", "error")):
            axes.plot(where, what[part], linewidth=0.8)
            axes.fill_between(where, 0, 1, faulty[part], transform=axes.get_xaxis_transform(), color="C1", alpha=0.3)
            axes.set(ylabel=label, xlim=(where[0], where[-1]), ylim=(what.min(), what.max()))
    files.save_figure(figure, path)
