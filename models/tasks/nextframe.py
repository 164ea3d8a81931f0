"""Next frames: a ConvLSTM watches two handwritten digits move, and continues the film.

Encoder and forecaster of Shi et al. 2015 (arXiv:1506.04214), on a small version of their Moving MNIST: real digits of
8x8 pixels (scikit-learn carries them) bounce in a frame of 24x24, cut into 2x2 patches as there; 10 frames are seen,
10 are to be told. The loss is the binary cross-entropy of a frame, summed over its pixels, in nats.
"""

from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models import ConvLSTM
from minigrad.models.tasks.files import save_figure
from minigrad.models.tasks.training import Annotated, BadInput, Option, Task

FRAME, DIGIT, PATCH, FRAMES = 24, 8, 2, 10
HELD_OUT_DIGITS = 360  # of the 1,797: films of the evaluation are made of digits that training never shows


class Forecaster(nn.Module):
    """Frames (T, B, 24, 24) in [0, 1] -> logits of the next `frames` frames, (frames, B, 24, 24).

    The encoder's final states become the forecaster's initial ones; the forecaster gets no input.
    """

    def __init__(self, hidden: int, kernel: int, layers: int):
        self.hidden, self.layers = hidden, layers
        self.encoder = ConvLSTM(PATCH * PATCH, hidden, kernel, num_layers=layers)
        self.forecaster = ConvLSTM(1, hidden, kernel, num_layers=layers)
        self.read_out = nn.Conv2d(hidden, PATCH * PATCH, 1)

    def forward(self, film, frames: int):
        _, state = self.encoder(to_patches(film))
        nothing = mg.tensor(np.zeros((frames, film.shape[1], 1, FRAME // PATCH, FRAME // PATCH), film.dtype))
        hidden, _ = self.forecaster(nothing, state)
        patches = self.read_out(hidden.reshape(-1, *hidden.shape[2:]))
        return from_patches(patches.reshape(frames, -1, *patches.shape[1:]))


def to_patches(film):
    """(T, B, 24, 24) to (T, B, 4, 12, 12): the pixels of a patch become channels."""
    (T, B), n = film.shape[:2], FRAME // PATCH
    return film.reshape(T, B, n, PATCH, n, PATCH).transpose(0, 1, 3, 5, 2, 4).reshape(T, B, PATCH * PATCH, n, n)


def from_patches(patches):
    (T, B), n = patches.shape[:2], FRAME // PATCH
    return patches.reshape(T, B, PATCH, PATCH, n, n).transpose(0, 1, 4, 2, 5, 3).reshape(T, B, FRAME, FRAME)


class FrameTask(Task):
    steps, lr, batch, every = 2000, 5e-3, 16, 100
    unit, loss_unit, clip = "films", "nats a frame", 10.0
    figure = "squared_error"

    hidden: Annotated[int, Option(min=1, help="Hidden channels.")] = 32
    kernel: Annotated[int, Option(min=1, help="Size of the kernels, odd.")] = 3
    layers: Annotated[int, Option(min=1, help="Layers of encoder and forecaster.")] = 1

    def build(self):
        if self.kernel % 2 == 0:
            raise BadInput(f"--kernel {self.kernel}: wanted an odd number, so that a frame keeps its size")
        digits = load_digits()
        self.digits = digits[HELD_OUT_DIGITS:]
        self.held_out = moving_digits(digits[:HELD_OUT_DIGITS], 64, self.test_draws)
        self.model = Forecaster(self.hidden, self.kernel, self.layers)

    def draw(self, generator, count):
        return (moving_digits(self.digits, count, generator),)

    def loss(self, film):
        return cross_entropy_of(self.model, film)

    def evaluate(self):
        told = mg.sigmoid(self.model(mg.tensor(self.held_out[:FRAMES]), FRAMES)).numpy()
        draw_films(self.held_out, told, self.out / "prediction.png")
        truth = self.held_out[FRAMES:]
        return {
            "held_out_loss": self.loss_of(self.held_out).item(),
            "squared_error": squared_error(told, truth),
            "copy_last_frame": squared_error(np.broadcast_to(self.held_out[FRAMES - 1], truth.shape), truth),
        }


def cross_entropy_of(model, film):
    """Nats a frame, of the second half of the film (20, B, 24, 24) given the first."""
    logits = model(film[:FRAMES], FRAMES)
    total = mg.binary_cross_entropy_with_logits(logits, film[FRAMES:], reduction="sum")
    return total / (film.shape[0] - FRAMES) / film.shape[1]


def squared_error(told, truth) -> float:
    """Summed over a frame's pixels, mean over frames."""
    return float(np.square(told - truth).sum(axis=(-1, -2)).mean())


def load_digits() -> np.ndarray:
    """The 1,797 handwritten digits that scikit-learn carries, (1797, 8, 8), from 0 to 1."""
    from sklearn.datasets import load_digits

    return (load_digits().images / 16).astype(np.float32)


def moving_digits(digits: np.ndarray, films: int, generator, count: int = 2) -> np.ndarray:
    """(20, films, 24, 24): `count` digits that move in straight lines, up to 2 pixels a frame, and bounce."""
    room = FRAME - DIGIT
    place = generator.uniform(0, room, (films, count, 2))
    speed = generator.uniform(0.5, 2, (films, count, 2)) * generator.choice([-1, 1], (films, count, 2))
    chosen = digits[generator.integers(len(digits), size=(films, count))]
    film = np.zeros((2 * FRAMES, films, FRAME, FRAME), np.float32)
    for t in range(2 * FRAMES):
        # a path that bounces between two walls is a straight one, folded
        folded = np.mod(place + t * speed, 2 * room)
        rows, columns = np.rint(np.minimum(folded, 2 * room - folded)).astype(int).transpose(2, 0, 1)
        for k in range(films):
            for d in range(count):
                spot = film[t, k, rows[k, d] : rows[k, d] + DIGIT, columns[k, d] : columns[k, d] + DIGIT]
                np.maximum(spot, chosen[k, d], out=spot)
    return film


def draw_films(film: np.ndarray, told: np.ndarray, path: Path, shown: int = 3) -> None:
    """A few films as a PNG: the truth, and below its second half what was told of it."""
    from matplotlib.figure import Figure

    told = np.concatenate([np.zeros_like(told[:, :shown]), told[:, :shown]])
    border = [(0, 0), (0, 0), (0, 0), (1, 1), (1, 1)]
    frames = np.pad(np.stack([film[:, :shown], told]), border, constant_values=0.2)  # (truth or told, T, shown, 26, 26)
    rows, columns, side = 2 * shown, 2 * FRAMES, FRAME + 2
    figure = Figure(figsize=(0.5 * columns + 1, 0.5 * rows + 0.5), layout="constrained")
    axes = figure.subplots()
    picture = frames.transpose(2, 0, 3, 1, 4).reshape(rows * side, columns * side)
    axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    axes.set_xticks((np.arange(columns) + 0.5) * side, [str(t + 1) for t in range(columns)])
    axes.set_yticks((np.arange(rows) + 0.5) * side, ["truth", "told"] * shown)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    save_figure(figure, path)
