"""Parentheses: tell at each step of a text how deep in parentheses it is.

Half of the symbols are "(" and ")", as many of each, half are one of four letters; no more than nine parentheses are
open at once, and none is closed that is not open: a letter stands in their place. Nobody can tell the depth from the
last symbols, for it is what all of them add up to; who tells the most frequent depth is wrong as often as most_frequent
says. Counting what is open, among noise, is a task of Foerster et al. 2017 (arXiv:1611.09434), with several kinds of
parentheses; here there is one kind, and it goes deeper.
"""

import numpy as np

import minigrad as mg
from minigrad.models.tasks.training import Annotated, CellTask, Option, Reader, Row

LETTERS, DEEPEST = 4, 9
OPEN, CLOSE = LETTERS, LETTERS + 1


class Parentheses(CellTask):
    steps, lr, every = 1000, 0.01, 100
    figure, loss_unit = "wrong", "nats a step"
    known = "the most frequent depth of all"
    family = "memory"
    rows = [Row("--cell lstm", 0.01), Row("--cell rnn")]

    length: Annotated[int, Option(min=1, max=100_000, help="Steps of a sequence, T.")] = 100

    def build(self):
        self.model = Reader(self.recurrent(LETTERS + 2), DEEPEST + 1)
        self.test = self.draw(self.test_draws, 500)

    def draw(self, generator, count):
        return parentheses(self.length, count, generator)

    def loss(self, x, depth):
        return mg.cross_entropy(self.model(x).reshape(-1, DEEPEST + 1), depth.reshape(-1))

    def evaluate(self):
        x, depth = self.test
        told = mg.jit(self.model)(mg.tensor(x)).numpy().argmax(axis=-1)
        return {
            "held_out_loss": self.loss_of(x, depth).item(),
            "wrong": float((told != depth).mean()),
            "most_frequent": float(1 - np.bincount(depth.ravel()).max() / depth.size),
        }


def parentheses(length: int, count: int, generator) -> tuple[np.ndarray, np.ndarray]:
    """One-hot sequences (length, count, 6), and the depth after each symbol, (length, count)."""
    symbols, depths = np.zeros((2, length, count), int)
    depth = np.zeros(count, int)
    for t in range(length):
        letter, kind = generator.integers(LETTERS, size=count), generator.integers(4, size=count)
        symbol = np.where(kind == 0, OPEN, np.where(kind == 1, CLOSE, letter))
        forbidden = ((symbol == OPEN) & (depth == DEEPEST)) | ((symbol == CLOSE) & (depth == 0))
        symbols[t] = np.where(forbidden, letter, symbol)
        depth = depth + (symbols[t] == OPEN) - (symbols[t] == CLOSE)
        depths[t] = depth
    return np.eye(LETTERS + 2, dtype=np.float32)[symbols], depths
