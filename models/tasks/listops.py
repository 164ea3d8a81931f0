"""ListOps: read a nested list of operations, and tell what it comes to, with a Tree-LSTM.

[MAX 2 9 [MIN 4 7] 0] is 9; MED is the median, rounded down, SM the sum modulo 10. A small version of Nangia & Bowman
2018 (arXiv:1804.06028): lists of 2 to 5, nested up to 4 deep, of 8 to 40 symbols. The trees are given, with the list as
it has been read so far, and the next symbol or list, below every node, as in the paper's parses. Unlike there, not only
the root's answer is taught but that of every list as far as it has been read. --layer string is the baseline: an LSTM
that reads the list as it is written, and is taught the same answers (with --hidden 96 it has nary's 50,000 numbers).
majority_guess is what the commonest answer comes to.
"""

from collections.abc import Callable
from statistics import median

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.badinput import BadInput
from minigrad.models import LSTM, ChildSumTreeLSTM, NaryTreeLSTM, forest
from minigrad.models.tasks.training import ALL, Annotated, Option, Row, SymbolTask

OPERATIONS: dict[str, Callable[[list[int]], int]] = {
    "MAX": max,
    "MIN": min,
    "MED": lambda digits: int(median(digits)),
    "SM": lambda digits: sum(digits) % 10,
}
NAMES = list(OPERATIONS)
LIST, SYMBOLS = 10 + len(NAMES), 11 + len(NAMES)  # 0 to 9, the operations, a node that is a list or the end of one
SHORTEST, LONGEST = 8, 40  # digits and operations
LAYERS = {"nary": lambda inputs, hidden: NaryTreeLSTM(inputs, hidden, 2), "childsum": ChildSumTreeLSTM, "string": LSTM}


class Evaluator(nn.Module):
    """Symbols (nodes,) and their forest to logits of each node's answer, (nodes, 10); strings (T, B) of them, with
    None, to (T, B, 10)."""

    def __init__(self, layer, embedding: int, hidden: int):
        self.embedding = nn.Embedding(SYMBOLS, embedding)
        self.layer = layer(embedding, hidden)
        self.output = nn.Linear(hidden, 10)

    def forward(self, symbols, trees):
        h, _ = self.layer(self.embedding(symbols), trees)
        return self.output(h)


class ListOps(SymbolTask):
    steps, lr, batch, every = 3000, 0.01, 64, 500
    figure, loss_unit, unit = "exact", "nats a list", "trees"
    higher_is_better = True
    known = "above majority_guess; trees given 0.987, LSTM 0.715 (Nangia & Bowman 2018, arXiv:1804.06028)"
    family = "trees"
    rows = [Row(promise=0.9), Row("--layer string --hidden 96", "majority_guess")]

    layer: Annotated[str, Option(help=f"{', '.join(LAYERS)}: two Tree-LSTMs, and an LSTM.")] = "nary"

    def build(self):
        if self.layer not in LAYERS:
            raise BadInput(f"--layer {self.layer}: wanted {', '.join(LAYERS)}")
        self.laid_out = as_strings if self.layer == "string" else as_trees
        self.model = Evaluator(LAYERS[self.layer], self.embedding, self.hidden)
        self.lists = [expression(self.test_draws) for _ in range(1000)]
        self.answers = np.array([value_of(e) for e in self.lists])
        self.test, self.whole = self.laid_out(self.lists)

    def draw(self, generator, count):
        return self.laid_out([expression(generator) for _ in range(count)])[0]

    def batch_at(self, step, rows=ALL):
        """All lists are drawn, and those wanted are laid out."""
        lists = [expression(self.draws) for _ in range(self.batch)]
        return mg.tree.map(mg.tensor, self.laid_out(lists[rows])[0])

    def terms(self, symbols, trees, answers):
        return (answers >= 0).sum()

    def loss(self, symbols, trees, answers):
        told, answers = self.model(symbols, trees).reshape(-1, 10), answers.reshape(-1)
        nats = mg.cross_entropy(told, mg.maximum(answers, 0), reduction="none")
        return mg.where(answers >= 0, nats, 0).sum() / (answers >= 0).sum()

    def evaluate(self):
        symbols, trees, _ = self.test
        self.told = self.model(mg.tensor(symbols), trees).numpy().argmax(axis=-1).reshape(-1)[self.whole]
        return {
            "held_out_loss": self.loss_of(*mg.tree.map(mg.tensor, self.test)).item(),
            "exact": float((self.told == self.answers).mean()),
            "majority_guess": float(np.bincount(self.answers).max() / len(self.answers)),
        }

    def shown(self, step):
        return "\n".join(f"  {text_of(e)} = {answer}" for e, answer in zip(self.lists[:3], self.told))


def expression(generator):
    """A list of 8 to 40 digits and operations: (name of the operation, [digits and lists])."""
    while not SHORTEST <= len(text_of(made := nested(generator, 4)).split()) <= LONGEST:
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


def tokens_of(e) -> list[tuple[int, int]]:
    """A list as it is written: (symbol, answer of the innermost open list as far as it has been read, or -1)."""
    name, items = e
    tokens = [(NAMES.index(name) + 10, -1)]
    for k, item in enumerate(items, 1):
        *within, (last, _) = [(item, -1)] if isinstance(item, int) else tokens_of(item)
        tokens += [*within, (last, value_of((name, items[:k])))]
    return [*tokens, (LIST, value_of(e))]


def as_trees(lists) -> tuple[tuple, np.ndarray]:
    """(symbols (nodes,), forest, answers (nodes,)) of lists, rounded up, so that not each batch is compiled anew; and
    which nodes are whole lists."""
    made = [np.array(nodes_of(e)) for e in lists]
    symbols, _, _, answers = np.concatenate(made).T
    laid = forest([tree[:, 1] for tree in made], [tree[:, 2] for tree in made], (512, 8, 128))
    more = (0, len(laid.place) - len(symbols))
    roots = np.cumsum([0, *map(len, made[:-1])])
    return (np.pad(symbols, more), laid, np.pad(answers, more, constant_values=-1)), roots


def as_strings(lists) -> tuple[tuple, np.ndarray]:
    """(symbols (T, B), None, answers (T, B)) of lists; and at which of all T B symbols the lists end."""
    made = [np.array(tokens_of(e)) for e in lists]
    ends = [len(tokens) - 1 for tokens in made]
    symbols, answers = np.full((2, LONGEST + LONGEST // 2, len(lists)), -1)  # lists end at most LONGEST // 2 times
    for b, tokens in enumerate(made):
        symbols[: len(tokens), b], answers[: len(tokens), b] = tokens.T
    return (np.maximum(symbols, 0), None, answers), np.ravel_multi_index((ends, range(len(lists))), answers.shape)
