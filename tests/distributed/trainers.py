"""A Trainer with all that a step may have: accumulation, clipping, a schedule, an average of the weights, dropout, and
batches of several sizes."""

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.models import GRU
from minigrad.training import Batches, Division, Trainer

X = np.random.default_rng(0).normal(size=(5, 23, 3))
Y = X.sum(axis=0)[:, :1]
order = Batches(23, 5, seed=3)  # the last of an epoch has three


class Model(nn.Module):
    def __init__(self):
        self.layer, self.drop, self.last = GRU(3, 5, num_layers=2, dropout=0.3), nn.Dropout(0.4), nn.Linear(5, 1)

    def forward(self, x):
        return self.last(self.drop(self.layer(x)[0][-1]))


def trainer(out, steps, at=lambda k: None, **options):
    nn.manual_seed(0)
    model = Model().astype("float64")
    noise = np.random.default_rng(5)

    def batches(k, rows=slice(None)):
        at(k)
        chosen = order(k)
        x = X[:, chosen] + noise.normal(size=(5, len(chosen), 3)) / 10
        return x[:, rows], Y[chosen[rows]]

    def loss(x, y):
        return mg.square(model(x) - y).mean()

    division = Division(lambda k: len(order(k)))
    return Trainer(
        model, optim.AdamW(model.parameters(), lr=0.05), mg.jit(loss), batches, steps=steps, out=out, every=4, clip=0.1,
        schedule=optim.warmup(3, optim.cosine(9)), accumulate=2, ema=0.9, hooks=[], parts={"noise": noise},
        division=division, **options,
    )  # fmt: skip
