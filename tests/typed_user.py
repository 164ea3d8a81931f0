"""A user's code, for mypy --strict and pyright: nothing here runs. test_typing.py has what they must refuse."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import minigrad as mg
from minigrad import io, nn, optim, random
from minigrad.models import GRU, LSTM, LSTMCell, Recurrent, gradient_flow
from minigrad.testing import check_cell, gradcheck


class Cell(nn.Module):
    """A cell as a user writes it."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.hidden_size = hidden_size
        self.weight = nn.Parameter(np.zeros((hidden_size, input_size + hidden_size), np.float32))
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, x: mg.Tensor, h: mg.Tensor) -> mg.Tensor:
        a = mg.concatenate([x, h], axis=-1) @ self.weight.T
        z = mg.sigmoid(a)
        nn.watch(z=z)
        h = self.norm((1 - z) * h + z * mg.tanh(a))
        return h + a[0] / 2 - x.sum(axis=-1, keepdims=True)


class Classifier(nn.Module):
    def __init__(self, vocabulary: int, classes: int) -> None:
        self.embedding = nn.Embedding(vocabulary, 8)
        self.layer = LSTM(8, 16, num_layers=2, bidirectional=True, dropout=0.1)
        self.head = nn.Sequential(nn.Linear(32, 16), mg.relu, nn.Dropout(0.2), nn.Linear(16, classes))

    def forward(self, words: mg.Tensor) -> mg.Tensor:
        output, _ = self.layer(self.embedding(words))
        logits: mg.Tensor = self.head(output[-1])
        return logits


def batches(count: int) -> Iterator[tuple[mg.Tensor, NDArray[np.int64]]]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield mg.tensor(rng.integers(0, 50, (20, 4))), rng.integers(0, 3, 4)


def norms(model: nn.Module) -> dict[str, float]:
    return {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}


def train(model: nn.Module, steps: int, folder: Path) -> float:
    optimizer = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = optim.Schedule(optimizer, optim.cosine(steps))
    total = 0.0
    for x, targets in batches(steps):
        loss = mg.cross_entropy(model(x), targets, reduction="mean")
        model.zero_grad()
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
    io.save_checkpoint(folder / "last.safetensors", model=model, optimizer=optimizer)
    return total / steps


def energy(x: mg.Tensor) -> mg.Tensor:
    values, _ = mg.topk(x, 2)
    halves: list[mg.Tensor] = mg.split(x * x, 2)
    picked = mg.where(x > 0, x.clip(0.0, 1.0), mg.einsum("i,i->i", x, x)).reshape(-1)
    return halves[0].sum() + values.mean() + picked.max() + mg.logsumexp(x, axis=None)


def step(h: mg.Tensor, x: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor]:
    h = mg.tanh(h + x)
    return h, h


model = Classifier(50, 3)
fast = mg.jit(model)  # still a Classifier, and a Module
kept: Classifier = mg.checkpoint(mg.jit(model, checkpoint=4))
figure: float = train(fast, 10, Path("runs")) + train(kept.eval(), 1, Path("runs"))
stacked = nn.Sequential(mg.jit(GRU(3, 4)), mg.checkpoint(Recurrent(LSTMCell, 3, 4)))
stacked.train().zero_grad()

x = random.normal((8,), dtype="float64").requires_grad_()
gradient: mg.Tensor = mg.grad(energy)(x)
value, (first, second) = mg.value_and_grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, 2.0)
curvature: mg.Tensor = mg.hessian(energy)(x)
carry, ys = mg.scan(step, mg.zeros(3), mg.ones((5, 3)))
rows: mg.Tensor = mg.vmap(energy)(mg.ones((4, 8)))
length: int = len(x) + x.shape[0] + x.ndim + mg.jit(energy).traces
array: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = gradient.numpy()
x += 1.0
x[1:3] = 0.0
mask: mg.Tensor = (x > 0) & ~(x == 1.0)


@mg.jit
def jitted(a: mg.Tensor) -> mg.Tensor:
    return a.T.exp().sum()


print(jitted.explain(gradient).full(), check_cell(Cell), gradient_flow(Cell(3, 4), x, energy).norms)
gradcheck(energy, [np.ones(4)], second_order=True)
with mg.profile() as profiled, mg.no_grad(), mg.disable_jit():
    jitted(gradient)
page: str = str(mg.viz.show(Cell(3, 4), np.ones((5, 2, 3), np.float32)))
print(profiled, mg.debug.summary(model, mg.zeros((5, 2), "int64")), mg.__version__, norms(model))
