"""ListOps: read a nested list of operations, and tell what it comes to, with a Tree-LSTM.

[MAX 2 9 [MIN 4 7] 0] is 9; MED is the median, rounded down, SM the sum modulo 10. A small version of Nangia & Bowman
2018 (arXiv:1804.06028): lists of 2 to 5, nested up to 4 deep, of 8 to 40 symbols. The trees are given, with the list as
it has been read so far, and the next symbol or list, below every node, as in the paper's parses. Unlike there, not only
the root's answer is taught but that of every list as far as it has been read.
"""

from collections.abc import Callable
from statistics import median

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.cli import BadInput
from minigrad.models import ChildSumTreeLSTM, NaryTreeLSTM, forest
from minigrad.models.tasks.training import Annotated, Option, Task

OPERATIONS: dict[str, Callable[[list[int]], int]] = {
    "MAX": max,
    "MIN": min,
    "MED": lambda digits: int(median(digits)),
    "SM": lambda digits: sum(digits) % 10,
}
NAMES = list(OPERATIONS)
LIST, SYMBOLS = 10 + len(NAMES), 11 + len(NAMES)  # 0 to 9, the operations, a node that is a list
LAYERS = {"nary": lambda *sizes: NaryTreeLSTM(*sizes, 2), "childsum": ChildSumTreeLSTM}


class Evaluator(nn.Module):
    """Symbols (nodes,) and their forest to logits of each node's answer, (nodes, 10)."""

    def __init__(self, layer, embedding: int, hidden: int):
        self.embedding = nn.Embedding(SYMBOLS, embedding)
        self.tree = layer(embedding, hidden)
        self.output = nn.Linear(hidden, 10)

    def forward(self, symbols, trees):
        h, _ = self.tree(self.embedding(symbols), trees)
        return self.output(h)


class ListOps(Task):
    steps, lr, batch, every = 3000, 0.01, 64, 500
    figure, loss_unit, unit = "exact", "nats a list", "trees"
    known = "0.987 with trees that are given, chance 0.1 (Nangia & Bowman 2018, arXiv:1804.06028)"

    layer: Annotated[str, Option(help=f"Tree-LSTM: {' or '.join(LAYERS)}.")] = "nary"
    hidden: Annotated[int, Option(min=1, help="Hidden units.")] = 64
    embedding: Annotated[int, Option(min=1, help="Size of a symbol's embedding.")] = 32

    def build(self):
        if self.layer not in LAYERS:
            raise BadInput(f"--layer {self.layer}: wanted {' or '.join(LAYERS)}")
        self.model = Evaluator(LAYERS[self.layer], self.embedding, self.hidden)
        self.lists = [expression(self.test_draws) for _ in range(1000)]
        self.test = laid_out(self.lists)

    def draw(self, generator, count):
        return laid_out([expression(generator) for _ in range(count)])

    def loss(self, symbols, trees, answers):
        told = self.model(symbols, trees)
        nats = mg.cross_entropy(told, mg.maximum(answers, 0), reduction="none")
        return mg.where(answers >= 0, nats, 0).sum() / (answers >= 0).sum()

    def evaluate(self):
        symbols, trees, answers = self.test
        nats = self.loss_of(*mg.tree.map(mg.tensor, self.test)).item()
        roots = np.cumsum([0, *[len(nodes_of(e)) for e in self.lists[:-1]]])
        self.told = self.model(mg.tensor(symbols), trees).numpy().argmax(axis=-1)[roots]
        return {"held_out_loss": nats, "exact": float((self.told == answers[roots]).mean())}

    def shown(self, step):
        return "\n".join(f"  {text_of(e)} = {answer}" for e, answer in zip(self.lists[:3], self.told))


def expression(generator):
    """A list of 8 to 40 symbols: (name of the operation, [digits and lists])."""
    while not 8 <= len(text_of(made := nested(generator, 4)).split()) <= 40:
        pass
    return made


def nested(generator, depth: int):
    arguments = [
        nested(generator, depth - 1) if depth > 1 and generator.random() < 0.25 else int(generator.integers(10))
        for _ in range(generator.integers(2, 6))
    ]
    return NAMES[generator.integers(len(NAMES))], arguments


def text_of(e) -> str:
    return str(e) if isinstance(e, int) else f"[{e[0]} {' '.join(map(text_of, e[1]))}]"


def value_of(e) -> int:
    return e if isinstance(e, int) else OPERATIONS[e[0]](list(map(value_of, e[1])))


def nodes_of(e, parent: int = -1, position: int = 0, first: int = 0) -> list[tuple[int, int, int, int]]:
    """The nodes of a list's tree, from number `first` on, its root first: (symbol, parent, position, answer or -1).
    Below a list are the list without its last item, at last the operation alone, and that item."""
    if isinstance(e, (int, str)):
        return [(NAMES.index(e) + 10 if isinstance(e, str) else e, parent, position, -1)]
    name, items = e
    nodes = [(LIST, parent, position, value_of(e))]
    nodes += nodes_of((name, items[:-1]) if len(items) > 1 else name, first, 0, first + 1)
    return nodes + nodes_of(items[-1], first, 1, first + len(nodes))


def laid_out(lists) -> tuple:
    """Symbols (nodes,), forest and answers (nodes,) of lists; rounded up, so that not each batch is compiled anew."""
    trees = [np.array(nodes_of(e)) for e in lists]
    symbols, _, _, answers = np.concatenate(trees).T
    made = forest([tree[:, 1] for tree in trees], [tree[:, 2] for tree in trees], (512, 8, 128))
    more = (0, len(made.place) - len(symbols))
    return np.pad(symbols, more), made, np.pad(answers, more, constant_values=-1)
