"""A user's code, for the type checker: nothing here runs."""

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.models import LSTM, Recurrent


class Cell(nn.Module):
    def __init__(self, input_size: int, hidden_size: int):
        self.hidden_size = hidden_size
        self.weight = nn.Parameter(np.zeros((hidden_size, input_size + hidden_size), np.float32))

    def forward(self, x: mg.Tensor, h: mg.Tensor) -> mg.Tensor:
        a: mg.Tensor = mg.concatenate([x, h], axis=-1) @ self.weight.T
        return 1 - mg.tanh(a) * h + a[0] / 2


def loss(x: mg.Tensor) -> mg.Tensor:
    return (x * x).sum()


gradient: mg.Tensor = mg.grad(loss)(mg.tensor([1.0, 2.0]))
layer = Recurrent(Cell, 3, 4)
lstm = LSTM(3, 4, num_layers=2)
optimizer = optim.Adam(lstm.parameters(), lr=1e-3)
mask: mg.Tensor = gradient > 0
values: np.ndarray = gradient.numpy()
number: float = gradient.sum().item()


def train(model: nn.Module) -> None: ...


lstm = mg.jit(lstm)  # still an LSTM, and a Module
kept: LSTM = mg.checkpoint(mg.jit(lstm, checkpoint=4))
train(mg.jit(kept))
nn.Sequential(mg.jit(lstm), mg.checkpoint(layer)).zero_grad()
traces: int = mg.jit(loss).traces


@mg.jit
def jitted(x: mg.Tensor) -> mg.Tensor:
    return x


jitted.explain(gradient)
