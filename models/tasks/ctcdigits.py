"""CTC digits: read a string of handwritten digits column by column, without being told where each of them is.

The 1,797 digits of 8x8 pixels that scikit-learn carries, a fifth of them held out, are put side by side at random
heights, with gaps of random width. The network sees one column of pixels a step; connectionist temporal classification
(Graves et al. 2006, ICML) finds the alignment. The figure is the label error: edits from what was told to the truth,
over the number of digits; of phonemes of TIMIT the paper has 0.315 (table 1, best path). reading.png shows how likely
each digit is at each column.
"""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models import ctc_greedy, ctc_loss
from minigrad.models.lengths import valid_steps
from minigrad.models.tasks import files
from minigrad.models.tasks.training import Annotated, CellTask, Option, Row

SIDE, HEIGHT, GAP = 8, 10, 3  # pixels: of a digit, of the strip, at most between two digits
BLANK = 10


class StripReader(nn.Module):
    """Strips (T, B, HEIGHT) and their lengths to log probabilities of the digits and the blank, (T, B, 11)."""

    def __init__(self, recurrent):
        self.recurrent = recurrent
        self.output = nn.Linear(2 * recurrent.hidden_size, BLANK + 1)

    def forward(self, strips, lengths):
        valid = valid_steps("StripReader", lengths, *strips.shape[:2])
        hidden, _ = self.recurrent(strips, mask=valid)
        return mg.log_softmax(self.output(hidden))


class CTCDigits(CellTask):
    steps, lr, batch, every, hidden = 2000, 0.01, 32, 200, 64
    figure, loss_unit, unit = "label_error", "nats a digit", "strings"
    known = "under 0.05 wanted, 1 if nothing is told; TIMIT's phonemes 0.315 (Graves et al. 2006)"
    family = "structured"
    rows = [Row(promise=0.05)]

    longest: Annotated[int, Option(min=1, max=1000, help="Digits of a string, at most.")] = 8

    def build(self):
        from sklearn.datasets import load_digits

        data = load_digits()
        order = self.test_draws.permutation(len(data.target))
        held_out, rest = np.split(order, [len(order) // 5])
        images = (data.images / 16).astype(np.float32)
        self.digits, test = [(images[chosen], data.target[chosen]) for chosen in (rest, held_out)]
        self.about = f"{len(rest)} digits to train on and {len(held_out)} held out"
        self.model = StripReader(self.recurrent(HEIGHT, bidirectional=True))
        self.test = strips_of(test, self.longest, 500, self.test_draws)

    def draw(self, generator, count):
        return strips_of(self.digits, self.longest, count, generator)

    def loss(self, strips, lengths, labels, counts):
        return ctc_loss(self.model(strips, lengths), labels, lengths, counts, blank=BLANK)

    def evaluate(self):
        strips, lengths, labels, counts = self.test
        log_probs = self.model(mg.tensor(strips), lengths)
        self.told = ctc_greedy(log_probs, lengths, BLANK)
        self.truth = [row[:count].tolist() for row, count in zip(labels, counts)]
        k = lengths.argmax()
        strip, read = [x[: lengths[k], k] for x in (strips, np.exp(log_probs.numpy()))]
        draw_reading(strip, read, self.out / "reading.png")
        return {
            "held_out_loss": ctc_loss(log_probs, labels, lengths, counts, blank=BLANK).item(),
            "label_error": sum(map(edits, self.told, self.truth)) / sum(map(len, self.truth)),
        }

    def shown(self, step):
        pairs = [("".join(map(str, labels)) for labels in pair) for pair in zip(self.truth, self.told)]
        return "\n".join("  {} read as {}".format(*pair) for pair in pairs[:3])


def strips_of(digits, longest: int, count: int, generator) -> tuple[np.ndarray, ...]:
    """Strings of 1 to `longest` digits, from (images, labels): strips (T, count, HEIGHT) and their lengths, labels
    (count, longest) and how many they are. T is that of the longest string with the widest gaps."""
    images, labels = digits
    numbers = generator.integers(1, longest + 1, count)
    chosen = generator.integers(len(labels), size=(count, longest))
    gaps = generator.integers(0, GAP + 1, (count, longest))
    starts = np.cumsum(gaps + SIDE, axis=1) - SIDE
    heights = generator.integers(0, HEIGHT - SIDE + 1, (count, longest))
    strips = np.zeros((longest * (SIDE + GAP), count, HEIGHT), np.float32)
    for b, number in enumerate(numbers):
        for k, start, top in zip(chosen[b, :number], starts[b], heights[b]):
            strips[start : start + SIDE, b, top : top + SIDE] = images[k].T
    return strips, starts[np.arange(count), numbers - 1] + SIDE, labels[chosen], numbers


def edits(a: list, b: list) -> int:
    """Levenshtein distance: insertions, deletions and substitutions from a to b."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


def draw_reading(strip: np.ndarray, read: np.ndarray, path) -> None:
    """A strip (T, HEIGHT), and below it the probability of each digit at each column, (T, 11); of the blank, dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.imshow(strip.T, cmap="gray_r", aspect="auto")
    above.set_axis_off()
    for digit in range(BLANK):
        below.plot(read[:, digit], label=str(digit))
    below.plot(read[:, BLANK], "k--", linewidth=0.5)
    below.set(xlabel="column", ylabel="probability")
    below.legend(ncols=2, fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    files.save_figure(figure, path)
