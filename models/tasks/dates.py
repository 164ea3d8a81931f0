"""Dates: read a date as people write it, and write it as ISO 8601 has it, with attention.

"Saturday, 3rd of May 1980", "may 3, 80" and "3/5/1980" are all 1980-05-03. Days from 1970 to 2069 and formats are drawn
at random; a tenth of the days is held out. Encoder and decoder with the attention of Bahdanau, Cho & Bengio 2014
(arXiv:1409.0473); attention.png shows at which characters it looked when it wrote each of its own.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial
from string import ascii_letters, digits

import numpy as np

import minigrad as mg
from minigrad.models import Seq2Seq
from minigrad.models.tasks import files
from minigrad.models.tasks.cells import OF_VECTORS, vector_cell_named
from minigrad.models.tasks.training import Annotated, Option, Row, SymbolTask

FIRST, DAYS = date(1970, 1, 1), 36_525
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
FORMATS = [
    "{day} {month} {year}",
    "{month} {day}, {year}",
    "{weekday}, {nth} of {month} {year}",
    "{weekday} {mon} {day} {year}",
    "{mon} {nth}, {year}",
    "{day} {mon} {yy}",
    "{month} {day}, {yy}",
    "{day}/{m}/{year}",
    "{dd}.{mm}.{yy}",
    "{day}-{mon}-{year}",
]
LONGEST = len("Wednesday, 22nd of September 2021")
START, END = "<", ">"
READ, WRITTEN = " ,./-" + digits + ascii_letters, START + END + "-" + digits


class Dates(SymbolTask):
    steps, lr, batch, every, embedding = 600, 5e-3, 64, 100, 16
    figure, loss_unit, unit = "exact", "nats a character", "dates"
    higher_is_better = True
    known = "0.99 wanted; a day guessed 1/36,525"
    family = "attention"
    rows = [Row(promise=0.99)]

    cell: Annotated[str, Option(help=f"Of both: {', '.join(OF_VECTORS)} or path/to/file.py:Class.")] = "gru"

    def build(self):
        self.model = Seq2Seq(
            len(READ) + 1, len(WRITTEN), self.embedding, self.hidden, start=0, end=1,
            cell=vector_cell_named(self.cell, self.embedding, self.hidden),
        )  # fmt: skip
        days = self.test_draws.permutation(DAYS)
        self.held_out, self.days = np.split(days, [DAYS // 10])
        self.test = encoded(*written(self.test_draws.choice(self.held_out, 1000), self.test_draws))
        self.greedy = mg.jit(lambda *source: self.model.greedy(*source, max_length=self.test[2].shape[0]))

    def draw(self, generator, count):
        return encoded(*written(generator.choice(self.days, count), generator))

    def loss(self, source, lengths, target):
        logits, _ = self.model(source, target, lengths)
        return mg.cross_entropy(logits.reshape(-1, len(WRITTEN)), target.reshape(-1))

    def served(self):
        source, lengths, target = self.draw(self.test_draws, 2)
        return partial(self.model.greedy, max_length=len(target)), (source, lengths), {}

    def evaluate(self):
        source, lengths, target = self.test
        symbols, _, weights = self.greedy(source, lengths)
        self.told = ["".join(WRITTEN[k] for k in column).rstrip(END) for column in symbols.numpy().T]
        draw_attention(self.read(0), self.told[0], weights.numpy()[:, :, 0], self.out / "attention.png")
        return {
            "held_out_loss": self.loss_of(*self.test).item(),
            "exact": float((symbols.numpy() == target).all(axis=0).mean()),
        }

    def read(self, k: int) -> str:
        """The k-th text of the test."""
        source, lengths, _ = self.test
        return "".join(READ[c - 1] for c in source[: lengths[k], k])

    def shown(self, step):
        return "\n".join(f"  {self.read(k)} -> {self.told[k]}" for k in range(3))


def written(days, generator) -> tuple[list[str], list[str]]:
    """Days, counted from FIRST, as people write them, and in ISO 8601."""
    dates = [FIRST + timedelta(int(day)) for day in days]
    texts = [FORMATS[k].format(**names(d)) for k, d in zip(generator.integers(len(FORMATS), size=len(days)), dates)]
    lower = generator.random(len(days)) < 0.5
    return [text.lower() if low else text for text, low in zip(texts, lower)], [d.isoformat() for d in dates]


def names(d: date) -> dict[str, str]:
    """What a format can say of a date. Names are English whatever the locale, which strftime's are not."""
    end = "th" if 11 <= d.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(d.day % 10, "th")
    return {
        "day": f"{d.day}", "dd": f"{d.day:02}", "nth": f"{d.day}{end}", "weekday": WEEKDAYS[d.weekday()],
        "m": f"{d.month}", "mm": f"{d.month:02}", "month": MONTHS[d.month - 1], "mon": MONTHS[d.month - 1][:3],
        "year": f"{d.year}", "yy": f"{d.year % 100:02}",
    }  # fmt: skip


def encoded(texts: list[str], isos: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Characters (LONGEST, B), 0 behind the last; how many there are, (B,); and those of the ISO dates, (11, B)."""
    source = np.array([[READ.index(c) + 1 for c in text] + [0] * (LONGEST - len(text)) for text in texts]).T
    target = np.array([[WRITTEN.index(c) for c in iso + END] for iso in isos]).T
    return source, (source > 0).sum(axis=0), target


def draw_attention(read: Sequence[str], written: Sequence[str], weights: np.ndarray, path) -> None:
    """Weights (symbols written, symbols read), as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.3 * len(read) + 1, 0.3 * len(written) + 1), layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights[: len(written), : len(read)], cmap="gray_r", vmin=0, vmax=1)
    axes.set_xticks(range(len(read)), read, rotation=90 if max(map(len, read)) > 1 else 0)
    axes.set_yticks(range(len(written)), written)
    axes.set(xlabel="read", ylabel="written")
    files.save_figure(figure, path)
