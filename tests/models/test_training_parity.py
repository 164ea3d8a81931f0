"""The character model trains as PyTorch's does: same weights, same data, same Adam, the same losses."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.models import LSTM

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

VOCABULARY, EMBEDDING, HIDDEN, T, B, STEPS = 20, 8, 16, 12, 4, 50


class Model(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.lstm = LSTM(EMBEDDING, HIDDEN, num_layers=2)
        self.output = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, x):
        return self.output(self.lstm(self.embedding(x))[0])


class TorchModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, EMBEDDING)
        self.lstm = torch.nn.LSTM(EMBEDDING, HIDDEN, num_layers=2)
        self.output = torch.nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, x):
        return self.output(self.lstm(self.embedding(x))[0])


def test_fifty_steps_follow_pytorch():
    theirs = TorchModel().double()
    ours = Model().astype("float64")
    ours.load_state_dict(theirs.state_dict())
    their_adam = torch.optim.Adam(theirs.parameters(), lr=3e-3)
    our_adam = optim.Adam(ours.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(STEPS):
        text = rng.integers(VOCABULARY, size=(T + 1, B)).cumsum(0) % VOCABULARY
        x, target = text[:-1], text[1:].reshape(-1)

        our_adam.zero_grad()
        our_loss = mg.cross_entropy(ours(mg.tensor(x)).reshape(-1, VOCABULARY), mg.tensor(target))
        our_loss.backward()
        our_adam.step()

        their_adam.zero_grad()
        logits = theirs(torch.from_numpy(x)).reshape(-1, VOCABULARY)
        their_loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(target))
        their_loss.backward()
        their_adam.step()

        losses.append((our_loss.item(), their_loss.item()))
    ours_, theirs_ = np.array(losses).T
    assert np.abs(ours_ - theirs_).max() < 1e-6
    assert ours_[-10:].mean() < ours_[:10].mean()  # and it did train
