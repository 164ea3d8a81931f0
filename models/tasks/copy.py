"""Copy memory: write down ten symbols that came long before.

Ten symbols of eight, then T blanks, of which the last is the sign to begin, then ten more blanks, during which the
symbols are to be told in order; until then the answer is "blank". Who remembers nothing says blank, then guesses: 10
ln 8 nats in T + 20 steps. Task 2a of Hochreiter & Schmidhuber 1997, as in Arjovsky, Shah & Bengio 2016
(arXiv:1511.06464); with the first gates that `--memory` gives an LSTM gets far below that (Tallec & Ollivier 2018,
arXiv:1804.11188).
"""

import math

import numpy as np

import minigrad as mg
from minigrad.models.tasks.training import Annotated, CellTask, Option, Reader, Row

SYMBOLS, COUNT = 8, 10
BLANK, SIGN = SYMBOLS, SYMBOLS + 1


class Copy(CellTask):
    steps, lr, batch, every, memory, hidden = 6000, 0.01, 64, 500, 75, 128
    loss_unit = "nats a step"
    known = "without a memory 10 ln 8 / (T + 20), 0.297 at T = 50 (Arjovsky, Shah & Bengio 2016, arXiv:1511.06464)"
    family = "memory"
    rows = [Row("--cell lstm", "without_memory"), Row("--cell gru", "without_memory"), Row("--cell rnn")]

    length: Annotated[int, Option(min=1, max=100_000, help="Steps between the symbols and their copy, T.")] = 50

    def build(self):
        self.model = Reader(self.recurrent(SYMBOLS + 2), SYMBOLS + 1)
        self.test = self.draw(self.test_draws, 500)

    def draw(self, generator, count):
        return copy_memory(self.length, count, generator)

    def loss(self, x, wanted):
        return mg.cross_entropy(self.model(one_hot(x)).reshape(-1, SYMBOLS + 1), wanted.reshape(-1))

    def evaluate(self):
        x, wanted = map(mg.tensor, self.test)
        told = self.model(one_hot(x), last=COUNT).numpy()[:, :, :SYMBOLS].argmax(axis=-1)
        return {
            "held_out_loss": self.loss_of(x, wanted).item(),
            "without_memory": COUNT * math.log(SYMBOLS) / (self.length + 2 * COUNT),
            "wrong_symbols": float((told != self.test[1][-COUNT:]).mean()),
        }


def one_hot(x):
    return mg.tensor(np.eye(SYMBOLS + 2, dtype=np.float32))[x]


def copy_memory(length: int, count: int, generator) -> tuple[np.ndarray, np.ndarray]:
    """What is shown and what is wanted at each step, (length + 20, count) each."""
    symbols = generator.integers(SYMBOLS, size=(COUNT, count))
    shown = np.full((length + 2 * COUNT, count), BLANK)
    wanted = shown.copy()
    shown[:COUNT], wanted[-COUNT:] = symbols, symbols
    shown[COUNT + length - 1] = SIGN
    return shown, wanted
