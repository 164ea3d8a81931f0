"""Mistakes that mypy and pyright tell before anything runs: each line that has one says so."""

import minigrad as mg
from minigrad import models, nn

x = mg.tensor([1.0, 2.0])
mg.tnah(x)  # wrong: no such op
x.sume()  # wrong: no such method
x.sum(axs=0)  # wrong: no such argument
mg.softmax(x, axis="rows")  # wrong: an axis is an integer
mg.cross_entropy(x, 1, reduction="average")  # wrong: one of three words
models.LSTMCel(3, 4)  # wrong: no such cell
nn.Linear("3", 4)  # wrong: a size is an integer
mg.grad(3)  # wrong: a function is wanted


def train(model: nn.Module) -> None: ...


train(mg.jit(lambda a: a))  # wrong: a jitted function is no Module
train(mg.jit(nn.Linear(3, 4)))
