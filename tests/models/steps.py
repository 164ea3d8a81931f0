"""What every cell must be, given its equations as one step in plain NumPy.

A step is a function of the parameters `p` by name, an input x (I,) and the state, a flat list of arrays; it returns the
output and the next state. It knows of no batch and no padding: `assert_layer_is` runs it over each sequence alone.
"""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.nn.cell import initial_state
from minigrad.testing import gradcheck


def randomize(module, rng):
    """Parameters of float64, none of them small or equal by the way they are made."""
    module.astype("float64")
    with mg.no_grad():
        for p in module.parameters():
            p.copy_(rng.normal(size=p.shape))
    return module


def leaves(tree) -> list:
    return mg.tree.flatten(tree)[0]


def run_alone(layer, step, x):
    """A sequence x (T, I, ...) through every layer and direction: the outputs, and the last state of each cell."""
    finals = []
    directions = 2 if layer.bidirectional else 1
    for k in range(0, len(layer.cells), directions):
        sides = []
        for cell, order in zip(layer.cells[k : k + directions], (slice(None), slice(None, None, -1))):
            p = {name: parameter.numpy() for name, parameter in cell.named_parameters()}
            state = [leaf.numpy()[0] for leaf in leaves(initial_state(cell, mg.tensor(x[:, None])))]
            outputs = []
            for x_t in x[order]:
                y, state = step(p, x_t, state)
                outputs.append(y)
            sides.append(np.stack(outputs)[order])
            finals.append(state)
        x = np.concatenate(sides, axis=1)
    return x, finals


def assert_layer_is(layer, step, x, lengths):
    """Outputs and states of a padded batch x (T, B, I, ...), with NaN for padding, are those of `step`, to 1e-10."""
    x = x.copy()
    for b, length in enumerate(lengths):
        x[length:, b] = np.nan
    output, final = layer(mg.tensor(x), lengths=lengths)
    for b, length in enumerate(lengths):
        y, finals = run_alone(layer, step, x[:length, b])
        np.testing.assert_allclose(output.numpy()[:length, b], y, rtol=1e-10, atol=1e-12)
        assert not output.numpy()[length:, b].any()
        for k, state in enumerate(finals):
            for got, wanted in zip(leaves(final), state, strict=True):
                np.testing.assert_allclose(got.numpy()[k, b], wanted, rtol=1e-10, atol=1e-12)


class Padded(nn.Module):
    """A layer with its lengths, for gradcheck."""

    def __init__(self, layer, lengths):
        self.layer, self.lengths = layer, lengths

    def forward(self, x, state):
        return self.layer(x, state, lengths=self.lengths)


def assert_gradients(layer, x, lengths, rng):
    """Of a padded batch, with respect to the input, the initial state and all parameters."""
    with mg.no_grad():
        _, zero = layer(mg.tensor(x), lengths=lengths)
    state = mg.tree.map(lambda leaf: rng.normal(size=leaf.shape), zero)
    assert gradcheck(Padded(layer, lengths), (x, state))


def count(module) -> int:
    return sum(p.size for p in module.parameters())


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def assert_same_as_torch(layer, reference, x, same):
    """Values and gradients of a PyTorch layer. same: pairs of parameters, ours and PyTorch's, whose gradients are one.

    Both give (output, state); a random functional of them all is pulled back.
    """
    import torch

    rng = np.random.default_rng(0)
    z = torch.tensor(x, requires_grad=True)
    x = mg.tensor(x, requires_grad=True)
    results, wanted = leaves(layer(x)), reference(z)
    wanted = [wanted[0], *(wanted[1] if isinstance(wanted[1], tuple) else wanted[1:])]
    weights = [rng.normal(size=r.shape) for r in results]
    sum((r * w).sum() for r, w in zip(results, weights)).backward()
    sum((r * torch.tensor(w)).sum() for r, w in zip(wanted, weights)).backward()
    gradients = [(p.grad, q.grad) for p, q in [(x, z), *same]]
    for got, theirs in [*zip(results, wanted, strict=True), *gradients]:
        np.testing.assert_allclose(got.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-11)
