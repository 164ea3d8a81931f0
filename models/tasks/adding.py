"""Adding problem: tell the sum of the two marked numbers in a long sequence.

A step is (number, mark): numbers uniform in [0, 1], two marks among zeros, one in each half of the sequence. The
constant guess 1 has a mean squared error of 1/6; a tanh RNN of T = 200 stays there. Hochreiter & Schmidhuber 1997,
Neural Computation 9(8), section 5.4, in the form of Le, Jaitly & Hinton 2015 (arXiv:1504.00941).
"""

import numpy as np

import minigrad as mg
from minigrad.models.tasks.training import Annotated, CellTask, Option, Reader, Row


class Adding(CellTask):
    steps, lr, batch, every, memory = 1000, 0.02, 64, 100, 200
    figure, loss_unit = "held_out_loss", "squared error"
    known = "constant guess 0.167; LSTM under 0.01 (Le, Jaitly & Hinton 2015, arXiv:1504.00941)"
    family = "memory"
    rows = [Row("--cell lstm", 0.01), Row("--cell gru", 0.01), Row("--cell rnn")]

    length: Annotated[int, Option(min=2, max=100_000, help="Steps of a sequence, T.")] = 200

    def build(self):
        self.model = Reader(self.recurrent(2), 1)
        self.test = self.draw(self.test_draws, 1000)

    def draw(self, generator, count):
        return adding(self.length, count, generator)

    def loss(self, x, total):
        return mg.square(self.model(x, last=1)[0, :, 0] - total).mean()

    def evaluate(self):
        return {"held_out_loss": self.loss_of(*self.test).item(), "constant_guess": float(np.var(self.test[1]))}


def adding(length: int, count: int, generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (length, count, 2) of numbers and marks, and the sums of the two marked numbers, (count,)."""
    x = np.zeros((length, count, 2), np.float32)
    x[:, :, 0] = generator.random((length, count))
    half, each = length // 2, np.arange(count)
    x[generator.integers(half, size=count), each, 1] = 1
    x[generator.integers(half, length, size=count), each, 1] = 1
    return x, x.prod(axis=-1).sum(axis=0)
