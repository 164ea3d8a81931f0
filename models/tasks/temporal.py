"""Temporal order: tell in which order two rare symbols came in a long sequence of others.

Begin, then a, b, c or d at random, an X or a Y at some step from 10 to 20 and another from 50 to 60, End after 100 to
110 steps: classes XX, XY, YX, YY. Experiment 6a of Hochreiter & Schmidhuber 1997, Neural Computation 9(8), where LSTM
learns it and networks without gates do not; with `--symbols 3` 6b, a third one from 33 to 43 and eight classes.
"""

import numpy as np

from minigrad.models.tasks.training import Annotated, LabelTask, Option, Reader, Row

BEGIN, END, X = 4, 5, 6  # 0 to 3 are a, b, c, d; 7 is Y
LONGEST = 111
PLACES = {2: [(10, 20), (50, 60)], 3: [(10, 20), (33, 43), (66, 76)]}


class TemporalOrder(LabelTask):
    steps, lr, batch, every, memory = 800, 0.02, 64, 100, 110
    known = (
        "chance 0.75 (6b: 0.875); LSTM 1 (6b: 2) of 2,560 after 31,390 (571,100) sequences "
        "(Hochreiter & Schmidhuber 1997, table 9)"
    )
    family = "memory"
    rows = [Row(promise=0.01)]

    symbols: Annotated[int, Option(min=2, max=3, help="How many are to be put in order.")] = 2

    def build(self):
        self.model = Reader(self.recurrent(8), 2**self.symbols)
        self.test = self.draw(self.test_draws, 2560)

    def draw(self, generator, count):
        return temporal_order(self.symbols, count, generator)


def temporal_order(symbols: int, count: int, generator) -> tuple[np.ndarray, np.ndarray]:
    """One-hot sequences (111, count, 8), zeros before their beginning, all with the same end; classes (count,)."""
    sequence = generator.integers(4, size=(LONGEST, count))
    first = LONGEST - 1 - generator.integers(100, LONGEST, size=count)  # where each begins
    each, order = np.arange(count), np.zeros(count, int)
    for low, high in PLACES[symbols]:
        which = generator.integers(2, size=count)
        sequence[first + generator.integers(low, high + 1, size=count), each] = X + which
        order = 2 * order + which
    sequence[first, each], sequence[-1] = BEGIN, END
    x = np.eye(8, dtype=np.float32)[sequence]
    x[np.arange(LONGEST)[:, None] < first] = 0
    return x, order
