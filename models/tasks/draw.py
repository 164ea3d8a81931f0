"""DRAW: draw handwritten digits, stroke by stroke.

The 1,797 digits of 8x8 pixels that scikit-learn carries, each pixel black with the probability of its grey, drawn anew
each time; a fifth of the digits, drawn at random, is held out. A model of Gregor et al. 2015 (arXiv:1502.04623), with
attention or, with --attention 0, without. held_out_loss is the bound of the negative log-likelihood of a digit, in
nats; importance a closer one, from 50 samples (Burda et al. 2015, arXiv:1509.00519); independent what pixels come to
that know nothing of each other. One stroke without attention makes a variational autoencoder. samples.png shows digits
as they are drawn.
"""

import numpy as np

import minigrad as mg
from minigrad.cli import BadInput
from minigrad.models import DRAW
from minigrad.models.latent import importance_bound, noise
from minigrad.models.tasks import files
from minigrad.models.tasks.training import Annotated, Option, Task

SIDE, SAMPLES = 8, 50


class Draw(Task):
    steps, lr, batch, every = 4000, 3e-3, 64, 500
    figure, loss_unit, unit = "held_out_loss", "nats a digit", "digits"
    known = "binary MNIST of 28x28: 80.97, without attention 87.40 (Gregor et al. 2015)"

    strokes: Annotated[int, Option(min=1, help="Strokes a digit.")] = 8
    attention: Annotated[int, Option(min=0, help="Points a side that are read and written, 0 for all.")] = 4
    hidden: Annotated[int, Option(min=1, help="Hidden units of encoder and decoder.")] = 96
    latent: Annotated[int, Option(min=1, help="Size of z at each stroke.")] = 8

    def build(self):
        from sklearn.datasets import load_digits

        if self.attention == 1:
            raise BadInput("--attention 1: wanted at least 2 points a side, or 0 for no attention")
        size = self.attention or None
        self.model = DRAW(SIDE, SIDE, self.latent, self.hidden, size, size)
        grey = (load_digits().images / 16).astype(np.float32)
        test, rest = np.split(self.test_draws.permutation(len(grey)), [len(grey) // 5])
        self.grey, self.test = grey[rest], black(grey[test], self.test_draws)
        chance = np.clip(self.grey.mean(axis=0), 1e-3, 1 - 1e-3)
        nats = -(self.test * np.log(chance) + (1 - self.test) * np.log(1 - chance))
        self.independent = float(nats.sum(axis=(1, 2)).mean())
        self.evidence = mg.jit(self.model)
        self.about = f"{len(rest)} digits to train on and {len(test)} held out"

    def draw(self, generator, count):
        x = black(self.grey[generator.integers(len(self.grey), size=count)], generator)
        return x, self.noise(generator, count)

    def noise(self, generator, count: int):
        return noise(self.strokes, count, self.latent, generator=generator).numpy()

    def loss(self, x, noise):
        return -self.model(x, noise).bound().mean()

    def evaluate(self):
        draws = np.random.default_rng([self.seed, 3])
        found = [self.evidence(self.test, self.noise(draws, len(self.test))) for _ in range(SAMPLES)]
        strokes = self.model.sample(mg.tensor(self.noise(draws, 12))).numpy()
        draw_strokes(strokes, self.out / "samples.png")
        return {
            "held_out_loss": -float(np.mean([evidence.bound().numpy() for evidence in found])),
            "importance": -importance_bound(mg.stack([e.log_weight() for e in found])).mean().item(),
            "independent": self.independent,
        }


def black(grey: np.ndarray, generator) -> np.ndarray:
    """Images of zeros and ones, ones with the probability of the grey."""
    return (generator.random(grey.shape) < grey).astype(np.float32)


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
