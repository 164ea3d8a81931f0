"""Video: tell of each frame which way the digit in it has just moved: right, left, down, up or not at all.

Handwritten digits of 8x8 pixels (scikit-learn carries them) move over frames of 16x16, two pixels a frame, and change
their motion now and then. What leaves the frame comes in again on the other side, so that every place is as likely
whatever the motion, and a frame alone tells nothing at all of it. The same convolutional encoder on every frame and an
LSTM over the frames (Donahue et al. 2015, CVPR, arXiv:1411.4389), or with --frames alone a layer that sees one frame. A
fifth of the digits is in the clips of the test alone. motion.png shows clips, and what was told of their frames.
"""

import numpy as np

import minigrad as mg
from minigrad.models import FrameClassifier, convolutions
from minigrad.models.tasks import files
from minigrad.models.tasks.cells import CELLS, cell_named
from minigrad.models.tasks.training import Annotated, BadInput, Option, Row, Task

FRAME, DIGIT, LENGTH = 16, 8, 16
MOTIONS = np.array([(0, 2), (0, -2), (2, 0), (-2, 0), (0, 0)])  # pixels down and to the right, a frame
SIGNS = ["→", "←", "↓", "↑", "·"]
CHANGE = 0.2  # how likely another motion begins at a frame
FRAMES = ["before", "alone"]


class Video(Task):
    steps, lr, batch, every = 1000, 5e-3, 32, 100
    figure, loss_unit, unit = "wrong", "nats a frame", "clips"
    known = "0.8, the best that a frame alone can do"
    family = "images"
    rows = [Row(promise=0.05), Row("--frames alone")]

    frames: Annotated[str, Option(help="What a label is told from: the frames before as well, or its own alone.")] = (
        "before"
    )
    cell: Annotated[str, Option(help=f"Over frames: {', '.join(CELLS)} or path/to/file.py:Class.")] = "lstm"
    hidden: Annotated[int, Option(min=1, max=2**20, help="Hidden units.")] = 64
    channels: Annotated[
        int, Option(min=1, max=2**20, help="Channels of the first convolution, half of the second's.")
    ] = 8

    def build(self):
        from sklearn.datasets import load_digits

        if self.frames not in FRAMES:
            raise BadInput(f"--frames {self.frames}: wanted {' or '.join(FRAMES)}")
        features = 2 * self.channels * (FRAME // 4) ** 2
        cell = cell_named(self.cell, features, self.hidden) if self.frames == "before" else None
        encoder = convolutions(1, self.channels, 2 * self.channels)
        self.model = FrameClassifier(encoder, features, self.hidden, len(MOTIONS), cell)
        digits = self.test_draws.permutation((load_digits().images / 16).astype(np.float32))
        test, self.digits = np.split(digits, [len(digits) // 5])
        self.test = clips(test, 200, self.test_draws)
        self.about = f"{len(self.digits)} digits to train on and {len(test)} held out"

    def draw(self, generator, count):
        return clips(self.digits, count, generator)

    def loss(self, film, motion):
        return mg.cross_entropy(self.model(film)[1:].reshape(-1, len(MOTIONS)), motion[1:].reshape(-1))

    def evaluate(self):
        film, motion = self.test
        told = self.model(mg.tensor(film)).numpy().argmax(axis=-1)
        draw_clips(film, motion, told, self.out / "motion.png")
        wrong = (told != motion)[1:]
        changed = motion[1:] != motion[:-1]
        return {
            "held_out_loss": self.loss_of(film, motion).item(),
            "wrong": float(wrong.mean()),
            "wrong_at_a_change": float(wrong[changed].mean()),
        }


def clips(digits: np.ndarray, count: int, generator) -> tuple[np.ndarray, np.ndarray]:
    """Films (LENGTH, count, 1, FRAME, FRAME) and the motion that led to each frame, (LENGTH, count).

    What led to the first frame cannot be seen: it is told by nobody, and counted nowhere.
    """
    begins = generator.random((LENGTH, count)) < CHANGE
    motion = generator.integers(len(MOTIONS), size=(LENGTH, count))
    for t in range(1, LENGTH):
        motion[t] = np.where(begins[t], motion[t], motion[t - 1])
    place = generator.integers(FRAME, size=(count, 2)) + np.cumsum(MOTIONS[motion], axis=0)
    rows, columns = np.moveaxis((place[..., None] + np.arange(DIGIT)) % FRAME, 2, 0)
    film = np.zeros((LENGTH, count, 1, FRAME, FRAME), np.float32)
    times, clip = np.ogrid[:LENGTH, :count]
    chosen = digits[generator.integers(len(digits), size=count)]
    film[times[..., None, None], clip[..., None, None], 0, rows[..., None], columns[..., None, :]] = chosen
    return film, motion


def draw_clips(film: np.ndarray, motion: np.ndarray, told: np.ndarray, path, shown: int = 4) -> None:
    """A few clips as a PNG: above each frame the motion that led to it, in red what was told if it is another."""
    from matplotlib.figure import Figure

    side, above = FRAME + 2, 8
    framed = np.pad(film[:, :shown, 0], [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=0.3)
    framed = np.pad(framed, [(0, 0), (0, 0), (above, 0), (0, 0)])  # (LENGTH, shown, above + side, side)
    figure = Figure(figsize=(0.6 * LENGTH, 0.85 * shown), layout="constrained")
    axes = figure.subplots()
    picture = framed.transpose(1, 2, 0, 3).reshape(shown * (above + side), LENGTH * side)
    axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    for t, k in np.ndindex(LENGTH - 1, shown):
        right, wrong = SIGNS[motion[t + 1, k]], SIGNS[told[t + 1, k]]
        x, y = (t + 1.5) * side, k * (above + side) + above / 2
        axes.text(x, y, right, ha="center", va="center")
        if wrong != right:
            axes.text(x + side / 3, y, wrong, ha="center", va="center", color="red")
    axes.axis("off")
    files.save_figure(figure, path)
