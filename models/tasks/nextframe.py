"""Next frames: a ConvLSTM watches two handwritten digits move, and continues the film.

Encoder and forecaster of Shi et al. 2015 (arXiv:1506.04214), on a small version of their Moving MNIST: real digits of
8x8 pixels (scikit-learn carries them) bounce in a frame of 24x24, cut into 2x2 patches; 10 frames are seen, and 10 are
to be told. Training begins at the mean pixel: its log odds are the first biases of the output. The loss is the binary
cross-entropy of a frame, summed over its pixels, in nats; the paper's ConvLSTM has 367, its fully connected LSTM, of
more parameters, 483. The latter is a ConvLSTM that takes the whole frame as one patch: `--patch 24 --kernel 1 --hidden
27` is one of as many parameters as the default.
"""

from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.models import EncoderForecaster
from minigrad.models.tasks.files import save_figure
from minigrad.models.tasks.training import Annotated, BadInput, Option, Row, Task

FRAME, DIGIT = 24, 8
SEEN, TOLD = 10, 10  # frames
HELD_OUT_DIGITS = 360  # of the 1,797: films of the evaluation are made of digits that training never shows


class NextFrame(Task):
    steps, lr, batch, every = 4000, 5e-3, 8, 250
    unit, loss_unit, clip = "films", "nats a frame", 10.0
    figure = "held_out_loss"
    known = "of 64x64 pixels ConvLSTM 367, fully connected LSTM 483 (Shi et al. 2015, table 1, a tenth of a sequence)"
    family = "space"
    rows = [Row(promise=90), Row("--patch 24 --kernel 1 --hidden 27")]

    hidden: Annotated[int, Option(min=1, max=2**20, help="Hidden channels a layer.")] = 32
    layers: Annotated[int, Option(min=1, max=100, help="Layers of encoder and forecaster.")] = 1
    kernel: Annotated[int, Option(min=1, max=100, help="Size of the kernels.")] = 3
    patch: Annotated[
        int, Option(min=1, max=48, help="Side of a patch, whose pixels are channels; 24: no image is left.")
    ] = 2

    def build(self):
        if FRAME % self.patch:
            raise BadInput(f"--patch {self.patch}: wanted a divisor of {FRAME}, the side of a frame")
        digits = load_digits()
        self.digits = digits[HELD_OUT_DIGITS:]
        self.test = moving_digits(digits[:HELD_OUT_DIGITS], 64, self.test_draws)
        self.model = EncoderForecaster(self.patch**2, (self.hidden,) * self.layers, self.kernel)
        mean = self.draw(self.draws, 64)[0].mean()
        with mg.no_grad():  # most pixels are black
            self.model.read_out.bias[:] = np.log(mean / (1 - mean))

    def draw(self, generator, count):
        return (moving_digits(self.digits, count, generator),)

    def forecast(self, film):
        """Logits of the frames to be told, (10, B, 24, 24), from those seen of a film (20, B, 24, 24)."""
        return from_patches(self.model(to_patches(film[:SEEN], self.patch), TOLD))

    def loss(self, film):
        """Nats a frame."""
        total = mg.binary_cross_entropy_with_logits(self.forecast(film), film[SEEN:], reduction="sum")
        return total / (TOLD * film.shape[1])

    def evaluate(self):
        told = mg.sigmoid(self.forecast(mg.tensor(self.test))).numpy()
        truth = self.test[SEEN:]
        draw_films(self.test, told, self.out / "prediction.png")
        return {
            "held_out_loss": self.loss_of(self.test).item(),
            "squared_error": squared_error(told, truth),
            "copy_last_frame": squared_error(self.test[SEEN - 1], truth),
        }


def to_patches(film, side: int):
    """(T, B, 24, 24) to (T, B, side², 24 / side, 24 / side): the pixels of a patch become channels."""
    (T, B), n = film.shape[:2], FRAME // side
    return film.reshape(T, B, n, side, n, side).transpose(0, 1, 3, 5, 2, 4).reshape(T, B, side**2, n, n)


def from_patches(patches):
    (T, B, _, n, _), side = patches.shape, FRAME // patches.shape[-1]
    return patches.reshape(T, B, side, side, n, n).transpose(0, 1, 4, 2, 5, 3).reshape(T, B, FRAME, FRAME)


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
    film = np.zeros((SEEN + TOLD, films, FRAME, FRAME), np.float32)
    for t in range(SEEN + TOLD):
        # a path that bounces between two walls is a straight one, folded
        folded = np.mod(place + t * speed, 2 * room)
        rows, columns = np.rint(np.minimum(folded, 2 * room - folded)).astype(int).transpose(2, 0, 1)
        for k in range(films):
            for d in range(count):
                spot = film[t, k, rows[k, d] : rows[k, d] + DIGIT, columns[k, d] : columns[k, d] + DIGIT]
                np.maximum(spot, chosen[k, d], out=spot)
    return film


def draw_films(film: np.ndarray, told: np.ndarray, path: Path, shown: int = 3) -> None:
    """A few films as a PNG: the truth, and below its end what was told of it."""
    from matplotlib.figure import Figure

    told = np.concatenate([np.zeros_like(film[:SEEN, :shown]), told[:, :shown]])
    border = [(0, 0), (0, 0), (0, 0), (1, 1), (1, 1)]
    frames = np.pad(np.stack([film[:, :shown], told]), border, constant_values=0.2)  # (truth or told, T, shown, 26, 26)
    rows, columns, side = 2 * shown, SEEN + TOLD, FRAME + 2
    figure = Figure(figsize=(0.5 * columns + 1, 0.5 * rows + 0.5), layout="constrained")
    axes = figure.subplots()
    picture = frames.transpose(2, 0, 3, 1, 4).reshape(rows * side, columns * side)
    axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    axes.set_xticks((np.arange(columns) + 0.5) * side, [str(t + 1) for t in range(columns)])
    axes.set_yticks((np.arange(rows) + 0.5) * side, ["truth", "told"] * shown)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    save_figure(figure, path)
