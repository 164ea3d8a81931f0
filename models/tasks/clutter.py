"""Clutter: draw a small digit on a large canvas among pieces of others, where attention pays.

A digit of 8x8 pixels that scikit-learn carries lies anywhere on a canvas of 60x60, among six pieces of 4x4 cut out of
other digits, as in the cluttered MNIST of Mnih et al. 2014 (arXiv:1406.6247); each pixel is black with the probability
of its grey, and a fifth of the digits is held out. The model is DRAW (Gregor et al. 2015, arXiv:1502.04623), which drew
two digits of MNIST on such a canvas one after the other. Without attention (`--attention 0`) one of as many hidden
units has twelve times as many parameters, and `--attention 0 --hidden 12` has as many. Training begins at the mean
pixel, with a wide and blurred look and strokes over half of the canvas: what a narrow look misses gives no gradient.

held_out_loss is the bound of the negative log-likelihood of a canvas, in nats; digit_error the squared error of what
was drawn in the 8x8 pixels where the digit is, summed, and blank_error that of a blank canvas; independent are the nats
of pixels that know nothing of each other. strokes.png shows how canvases were drawn, and where each stroke wrote.
"""

import numpy as np

import minigrad as mg
from minigrad.models import DRAW
from minigrad.models.tasks import files
from minigrad.models.tasks.draw import Draw, black, digits_of, mixture_nats
from minigrad.models.tasks.training import Annotated, Option, Row

SIDE, DIGIT, PIECE, PIECES = 60, 8, 4, 6
HELD_OUT = 500  # canvases


class Clutter(Draw):
    steps, lr, batch, every = 3000, 1e-3, 16, 1000
    unit, loss_unit = "canvases", "nats a canvas"
    known = "below independent; with attention below without"
    rows = [Row(promise=275), Row("--attention 0"), Row("--attention 0 --hidden 12")]

    strokes: Annotated[int, Option(min=1, max=100_000, help="Strokes a canvas.")] = 8
    attention: Annotated[int, Option(min=0, max=60, help="Points a side that are read and written, 0 for all.")] = 12
    hidden: Annotated[int, Option(min=1, max=2**20, help="Hidden units of encoder and decoder.")] = 128

    def build(self):
        size = self.points()
        self.model = DRAW(SIDE, SIDE, self.latent, self.hidden, size, size)
        self.grey, held_out, _ = digits_of(self.test_draws)
        self.test, self.corners = canvases(held_out, HELD_OUT, self.test_draws)
        mean = canvases(self.grey, 2000, self.test_draws)[0].mean(axis=0)
        with mg.no_grad():
            self.model.first[2][:] = np.log(mean.mean() / (1 - mean.mean()))  # most pixels are white
            if size:
                self.model.read_attention.bias[2:4] = 2.0, 0.0  # log σ², log δ
                self.model.write_attention.bias[2:4] = 1.0, -0.5
        self.baselines = {"independent": mixture_nats(mean[None], self.test)}
        self.reconstruct = mg.jit(self.model.reconstruct)
        self.about = f"{len(self.grey)} digits to train on and {len(held_out)} held out"

    def draw(self, generator, count):
        return canvases(self.grey, count, generator)[0], self.noise(generator, count)

    def evaluate(self):
        noise = self.noise(np.random.default_rng([self.seed, 3]), len(self.test))
        drawn, _, written = self.reconstruct(self.test, noise)
        told = drawn.numpy()
        draw_frames(self.test, told, written, self.attention, self.out / "strokes.png")
        return {
            "held_out_loss": self.loss_of(self.test, noise).item(),
            "digit_error": squared_error(told[-1], self.test, self.corners),
            "blank_error": squared_error(np.zeros_like(self.test), self.test, self.corners),
            **self.baselines,
        }


def canvases(grey: np.ndarray, count: int, generator) -> tuple[np.ndarray, np.ndarray]:
    """Canvases (count, 60, 60) of a digit and pieces of others, black on white, and the digits' upper left corners,
    (count, 2)."""
    canvas = np.zeros((count, SIDE, SIDE), np.float32)

    def paste(side):
        chosen = grey[generator.integers(len(grey), size=count)]
        piece = chosen[window(generator.integers(DIGIT - side + 1, size=(count, 2)), side)]
        corners = generator.integers(SIDE - side + 1, size=(count, 2))
        there = window(corners, side)
        canvas[there] = np.maximum(canvas[there], piece)
        return corners

    for _ in range(PIECES):
        paste(PIECE)
    corners = paste(DIGIT)
    return black(canvas, generator), corners


def window(corners: np.ndarray, side: int) -> tuple[np.ndarray, ...]:
    """The index of squares of side² pixels, one an image, whose upper left corners are given, (B, 2)."""
    rows, columns = (corners[:, axis, None] + np.arange(side) for axis in (0, 1))
    return np.arange(len(corners))[:, None, None], rows[:, :, None], columns[:, None, :]


def squared_error(told: np.ndarray, truth: np.ndarray, corners: np.ndarray) -> float:
    """Summed over the pixels of a digit, whose corner is given, mean over canvases."""
    where = window(corners, DIGIT)
    return float(np.square(told[where] - truth[where]).sum(axis=(1, 2)).mean())


def draw_frames(truth: np.ndarray, told: np.ndarray, written, points: int, path, shown: int = 4) -> None:
    """A few canvases as a PNG: how each (T, B, rows, columns) was drawn, stroke by stroke, the frame to which the
    stroke wrote, and the truth."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    T = len(told)
    figure = Figure(figsize=(1.2 * (T + 1), 1.25 * shown + 0.2), layout="constrained")
    for k, row in enumerate(figure.subplots(shown, T + 1)):
        for t, axes in enumerate(row):
            axes.imshow(told[t, k] if t < T else truth[k], cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            if k == 0:
                axes.set_title(f"{t + 1}" if t < T else "truth")
            if written is not None and t < T:
                y, x, stride = written.numpy()[t, k] - (1, 1, 0)  # the model's pixels are numbered from 1
                side = stride * (points - 1)
                corner = (x - side / 2, y - side / 2)
                axes.add_patch(Rectangle(corner, side, side, fill=False, color="tab:red"))
    files.save_figure(figure, path)
