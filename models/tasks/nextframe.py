"""Next frames: a ConvLSTM watches two handwritten digits move, and continues the film.

A small version of the Moving MNIST of Shi et al. 2015 (arXiv:1506.04214): real digits of 8x8 pixels (scikit-learn
carries them) bounce in a frame of 24x24, cut into 4x4 patches; 10 frames are seen, and 10 are to be told. A predictor
tells the next frame at each step, and reads it in its turn where the seen ones end; in training the true one takes its
place with a chance that falls from 1 to 0 in the first half (scheduled sampling, Bengio et al. 2015, arXiv:1506.03099).
--architecture forecaster is the paper's encoder and forecaster. The fully connected LSTM is a predictor that takes the
whole frame as one patch: `--patch 24 --kernel 1 --hidden 60` is one of as many parameters as the default.

Training begins at the mean pixel: its log odds are the first biases of the output. The loss is the binary cross-entropy
of a frame, summed over its pixels, in nats. frames.png and frames.csv have the squared error and the structural
similarity of each frame ahead, beside those of the last frame that was seen.
"""

from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.models import EncoderForecaster, FramePredictor
from minigrad.models.tasks.files import save_figure
from minigrad.models.tasks.training import ALL, Annotated, BadInput, Option, Row, Task
from minigrad.training.files import write_rows

FRAME, DIGIT = 24, 8
SEEN, TOLD = 10, 10  # frames
HELD_OUT_DIGITS = 360  # of the 1,797: films of the evaluation are made of digits that training never shows


ARCHITECTURES = {"predictor": FramePredictor, "forecaster": EncoderForecaster}
FIGURES = ["squared_error", "copied_error", "similarity", "copied_similarity"]  # of each frame ahead


class NextFrame(Task):
    steps, lr, batch, every = 8000, 3e-3, 4, 1000
    unit, loss_unit, clip = "films", "nats a frame", 10.0
    figure = "held_out_loss"
    known = "of 64x64 pixels ConvLSTM 367, fully connected LSTM 483 (Shi et al. 2015, table 1, a tenth of a sequence)"
    family = "space"
    rows = [Row(promise=75), Row("--architecture forecaster", 90), Row("--patch 24 --kernel 1 --hidden 60")]

    architecture: Annotated[str, Option(help=f"{' or '.join(ARCHITECTURES)}.")] = "predictor"
    hidden: Annotated[int, Option(min=1, max=2**20, help="Hidden channels a layer.")] = 64
    layers: Annotated[int, Option(min=1, max=100, help="Layers, of a forecaster in each of its parts.")] = 1
    kernel: Annotated[int, Option(min=1, max=100, help="Size of the kernels.")] = 3
    patch: Annotated[
        int, Option(min=1, max=48, help="Side of a patch, whose pixels are channels; 24: no image is left.")
    ] = 4

    def build(self):
        if FRAME % self.patch:
            raise BadInput(f"--patch {self.patch}: wanted a divisor of {FRAME}, the side of a frame")
        if self.architecture not in ARCHITECTURES:
            raise BadInput(f"--architecture {self.architecture}: wanted {' or '.join(ARCHITECTURES)}")
        digits = load_digits()
        self.digits = digits[HELD_OUT_DIGITS:]
        self.test = moving_digits(digits[:HELD_OUT_DIGITS], 128, self.test_draws)
        self.model = ARCHITECTURES[self.architecture](self.patch**2, (self.hidden,) * self.layers, self.kernel)
        mean = self.draw(self.draws, 64)[0].mean()
        with mg.no_grad():  # most pixels are black
            self.model.read_out.bias[:] = np.log(mean / (1 - mean))

    def draw(self, generator, count):
        return moving_digits(self.digits, count, generator), np.zeros((TOLD - 1, count), bool)

    def batch_at(self, step, rows=ALL):
        """Films, and which of the frames to be told are given: all at first, and none in the second half of the
        training."""
        film, _ = super().batch_at(step, rows)
        chance = 1 - 2 * step / self.steps
        return film, mg.tensor(self.draws.random((TOLD - 1, self.batch))[:, rows] < chance)

    def tell(self, film, given=None):
        """Logits of frames from those seen of a film (20, B, 24, 24): of all from the second on, or of the last ten."""
        patches = to_patches(film, self.patch)
        seen, truth = patches[:SEEN], patches[SEEN:-1]
        if self.architecture == "forecaster":
            return from_patches(self.model(seen, TOLD))
        return from_patches(self.model(seen, TOLD, *([] if given is None else [truth, given])))

    def loss(self, film, given):
        """Nats a frame, of those that are told."""
        told = self.tell(film, given)
        return nats(told, film[-len(told) :])

    def forecast(self, film):
        """Logits of the frames to be told, (10, B, 24, 24), from those seen of a film (20, B, 24, 24)."""
        return self.tell(film)[-TOLD:]

    def evaluate(self):
        logits = self.forecast(mg.tensor(self.test))
        told, truth = mg.sigmoid(logits).numpy(), self.test[SEEN:]
        copied = np.broadcast_to(self.test[SEEN - 1], truth.shape)
        by_frame = [
            dict(zip(FIGURES, (squared_error(a, c), squared_error(b, c), similarity(a, c), similarity(b, c))))
            for a, b, c in zip(told, copied, truth)
        ]
        draw_films(self.test, told, self.out / "prediction.png")
        draw_by_frame(by_frame, self.out / "frames.png")
        write_rows([{"frame": t + 1, **row} for t, row in enumerate(by_frame)], self.out / "frames.csv")
        means = {name: float(np.mean([row[name] for row in by_frame])) for name in FIGURES}
        last = {f"last_{name}": by_frame[-1][name] for name in FIGURES}
        return {"held_out_loss": nats(logits, mg.tensor(truth)).item(), **means, **last}


def nats(logits, frames):
    """The cross-entropy of a frame."""
    return mg.binary_cross_entropy_with_logits(logits, frames, reduction="sum") / (frames.shape[0] * frames.shape[1])


def to_patches(film, side: int):
    """(T, B, 24, 24) to (T, B, side², 24 / side, 24 / side): the pixels of a patch become channels."""
    (T, B), n = film.shape[:2], FRAME // side
    return film.reshape(T, B, n, side, n, side).transpose(0, 1, 3, 5, 2, 4).reshape(T, B, side**2, n, n)


def from_patches(patches):
    (T, B, _, n, _), side = patches.shape, FRAME // patches.shape[-1]
    return patches.reshape(T, B, side, side, n, n).transpose(0, 1, 4, 2, 5, 3).reshape(T, B, FRAME, FRAME)


def squared_error(told, truth) -> float:
    """Summed over a frame's pixels, mean over frames (B, 24, 24)."""
    return float(np.square(told - truth).sum(axis=(-1, -2)).mean())


def similarity(told, truth) -> float:
    """The structural similarity of frames (B, 24, 24), their mean, in windows of 7x7 pixels, at most 1 (Wang et al.
    2004)."""
    from skimage.metrics import structural_similarity

    return float(np.mean([structural_similarity(a, b, data_range=1.0) for a, b in zip(told, truth)]))


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


def draw_by_frame(by_frame: list[dict[str, float]], path: Path) -> None:
    """Error and similarity of each frame ahead, as a PNG, beside those of the last frame that was seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, name, copied, label in zip(
        figure.subplots(1, 2), FIGURES[::2], FIGURES[1::2], ["squared error of a frame", "structural similarity"]
    ):
        frames = np.arange(1, TOLD + 1)
        axes.plot(frames, [row[name] for row in by_frame], marker=".", label="told")
        axes.plot(frames, [row[copied] for row in by_frame], marker=".", label="last frame copied")
        axes.set(xlabel="frames ahead", ylabel=label, ylim=(0, None), xticks=frames)
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path)
