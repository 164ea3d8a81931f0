"""DRAW: draw handwritten digits, stroke by stroke.

The 1,797 digits of 8x8 pixels that scikit-learn carries, each pixel black with the probability of its grey, drawn anew
each time; a fifth of the digits, drawn at random, is held out. A model of Gregor et al. 2015 (arXiv:1502.04623), with
attention or, with --attention 0, without. held_out_loss is the bound of the negative log-likelihood of a digit, in
nats; importance a closer one, from 50 samples (Burda et al. 2015, arXiv:1509.00519); independent what pixels come to
that know nothing of each other, ten_means what a mixture of such pixels comes to, one for each of the ten digits. One
stroke without attention makes a variational autoencoder. samples.png shows digits as they are drawn.
"""

import numpy as np

import minigrad as mg
from minigrad.badinput import BadInput
from minigrad.models import DRAW
from minigrad.models.latent import importance_bound, noise
from minigrad.models.tasks import files
from minigrad.models.tasks.training import Annotated, Option, Row, Task

SIDE, SAMPLES = 8, 50


class Draw(Task):
    steps, lr, batch, every = 4000, 0.01, 64, 500
    figure, loss_unit, unit = "held_out_loss", "nats a digit", "digits"
    known = "below ten_means; of 28x28 pixels 80.97, without attention 87.40 (Gregor et al. 2015, arXiv:1502.04623)"
    family = "generative"
    rows = [Row(promise="ten_means"), Row("--attention 0", "ten_means")]

    strokes: Annotated[int, Option(min=1, max=100_000, help="Strokes a digit.")] = 8
    attention: Annotated[int, Option(min=0, max=28, help="Points a side that are read and written, 0 for all.")] = 4
    hidden: Annotated[int, Option(min=1, max=2**20, help="Hidden units of encoder and decoder.")] = 96
    latent: Annotated[int, Option(min=1, max=2**20, help="Size of z at each stroke.")] = 8

    def build(self):
        size = self.points()
        self.model = DRAW(SIDE, SIDE, self.latent, self.hidden, size, size)
        self.grey, held_out, digit = digits_of(self.test_draws)
        self.test = black(held_out, self.test_draws)
        means = np.stack([self.grey[digit == k].mean(axis=0) for k in range(10)])
        self.baselines = {
            "independent": mixture_nats(self.grey.mean(axis=0)[None], self.test),
            "ten_means": mixture_nats(means, self.test),
        }
        self.evidence = mg.jit(self.model)
        self.about = f"{len(self.grey)} digits to train on and {len(held_out)} held out"

    def points(self) -> int | None:
        """Of the attention, a side."""
        if self.attention == 1:
            raise BadInput("--attention 1: wanted at least 2 points a side, or 0 for no attention")
        return self.attention or None

    def draw(self, generator, count):
        x = black(self.grey[generator.integers(len(self.grey), size=count)], generator)
        return x, self.noise(generator, count)

    def noise(self, generator, count: int):
        return noise(self.strokes, count, self.latent, generator=generator).numpy()

    def loss(self, x, noise):
        return -self.model(x, noise).bound().mean()

    def served(self):
        return self.model.sample, (self.noise(self.test_draws, 2),), {}

    def evaluate(self):
        draws = np.random.default_rng([self.seed, 3])
        found = [self.evidence(self.test, self.noise(draws, len(self.test))) for _ in range(SAMPLES)]
        strokes = self.model.sample(mg.tensor(self.noise(draws, 12))).numpy()
        draw_strokes(strokes, self.out / "samples.png")
        return {
            "held_out_loss": -float(np.mean([evidence.bound().numpy() for evidence in found])),
            "importance": -importance_bound(mg.stack([e.log_weight() for e in found])).mean().item(),
            **self.baselines,
        }


def digits_of(generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey images of 8x8 digits, from 0 to 1, to train on and, a fifth, held out; and what the former show."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = (digits.images / 16).astype(np.float32)
    test, rest = np.split(generator.permutation(len(grey)), [len(grey) // 5])
    return grey[rest], grey[test], digits.target[rest]


def black(grey: np.ndarray, generator) -> np.ndarray:
    """Images of zeros and ones, ones with the probability of the grey."""
    return (generator.random(grey.shape) < grey).astype(np.float32)


def mixture_nats(shares: np.ndarray, x: np.ndarray) -> float:
    """Of images x (B, rows, columns), each: negative log-likelihood by a mixture of K kinds, equally frequent, of which
    each has pixels that are black with the chances of shares (K, rows, columns)."""
    p = np.clip(shares, 1e-3, 1 - 1e-3)[:, None]
    log_p = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=(2, 3))
    return float(np.log(len(p)) - np.logaddexp.reduce(log_p).mean())


def draw_strokes(canvases: np.ndarray, path) -> None:
    """Canvases (T, B, rows, columns) as a PNG: a row for each digit, a column for each stroke."""
    from matplotlib.figure import Figure

    frames = np.pad(canvases, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=0.2)
    T, B, rows, columns = frames.shape
    figure = Figure(figsize=(0.5 * T + 1, 0.5 * B + 1), layout="constrained")
    axes = figure.subplots()
    axes.imshow(frames.transpose(1, 2, 0, 3).reshape(B * rows, T * columns), cmap="gray_r", vmin=0, vmax=1)
    axes.set_xticks((np.arange(T) + 0.5) * columns, [str(t + 1) for t in range(T)])
    axes.set(xlabel="stroke", yticks=[])
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    files.save_figure(figure, path)
