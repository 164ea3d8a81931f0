"""Sizes of 0, projections, and what other frameworks' layers have besides: parity where they have it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steps import leaves, randomize

import minigrad as mg
from minigrad import nn
from minigrad.models import LSTM, LSTMCell, NaryTreeLSTM, Recurrent, forest
from minigrad.models.tasks.cells import CELLS
from minigrad.testing import gradcheck, seeds

T, B, I, H = 5, 3, 2, 4
EMPTY = [name for name in CELLS if name != "lnlstm"]  # whose normalisation of no numbers is refused


# No units, no features


@pytest.mark.eager_only("jitted here")
@pytest.mark.parametrize("name", EMPTY)
def test_no_hidden_units_and_no_input_features(name):
    image = (2, 3) if getattr(getattr(CELLS[name], "func", CELLS[name]), "feature_ndim", 1) == 3 else ()
    for i, h in ((I, 0), (0, H)):
        layer = Recurrent(CELLS[name](i, h))
        for run in (layer, mg.jit(layer)):
            layer.zero_grad()
            x = mg.tensor(np.ones((T, B, i, *image), "float32"), requires_grad=True)
            output, state = run(x)
            (output.sum() + x.sum()).backward()
            assert output.shape == (T, B, h, *image) and x.grad.shape == x.shape
            assert all(np.isfinite(leaf.numpy()).all() for leaf in leaves((output, state)))
            assert all(p.grad is None or p.grad.shape == p.shape for p in layer.parameters())


# Projections


@pytest.mark.parity
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False, "batch_first": True, "num_layers": 2}]
)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", 1e-5)])
def test_a_projection_is_pytorchs(options, dtype, tolerance):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    reference = torch.nn.LSTM(I, H, proj_size=3, dtype=getattr(torch, dtype), **options)
    layer = LSTM(I, H, proj_size=3, **options).astype(dtype)
    assert layer.load_state_dict(reference.state_dict()) == ([], [])
    assert list(layer.state_dict()) == list(reference.state_dict())
    cells = len(layer.cells)
    arrays = [rng.normal(size=s).astype(dtype) for s in ((B, B, I), (cells, B, 3), (cells, B, H))]
    ours, theirs = ([make(a, requires_grad=True) for a in arrays] for make in (mg.tensor, torch.tensor))
    got, wanted = layer(ours[0], tuple(ours[1:])), reference(theirs[0], tuple(theirs[1:]))
    results, wanted = leaves(got), [wanted[0], *wanted[1]]
    weights = [rng.normal(size=y.shape).astype(dtype) for y in results]
    sum((y * w).sum() for y, w in zip(results, weights)).backward()
    sum((y * torch.tensor(w)).sum() for y, w in zip(wanted, weights)).backward()
    named = dict(reference.named_parameters())
    pairs = [*zip(results, wanted, strict=True), *((x.grad, z.grad) for x, z in zip(ours, theirs))]
    pairs += [(p.grad, named[name].grad) for name, p in layer.named_parameters()]
    for a, b in pairs:
        a, b = a.detach().numpy(), b.detach().numpy()
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, abs(b).max()))


@pytest.mark.eager_only("parity compiles it")
def test_gradients_of_a_projection():
    layer = LSTM(1, 2, proj_size=1, generator=np.random.default_rng(0))
    assert gradcheck(layer, np.random.default_rng(1).normal(size=(2, 1, 1)), second_order=True)


def test_a_projection_is_smaller_than_what_it_projects():
    for size in (H, H + 1):
        with pytest.raises(ValueError, match=f"LSTMCell: got proj_size={size}, wanted it below hidden_size=4"):
            LSTM(I, H, proj_size=size)
    assert LSTMCell(I, H, proj_size=1).output_size == 1


# Trees


def chainers(p, x, tree, positions, N, H):
    """Chainer's NaryTreeLSTM, a node at a time: a, i, o and each f_k read the input by weights of their own."""

    def node(n):
        states = [(np.zeros(H), np.zeros(H))] * N
        for child in np.flatnonzero(tree == n):
            states[positions[child]] = node(child)
        total = p["weight_ih"] @ x[n] + p["bias"] + p["weight_hh"] @ np.concatenate([h for h, _ in states])
        i, *f, g, o = np.split(total, 3 + N)
        sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
        c = sigmoid(i) * np.tanh(g) + sum(sigmoid(f_k) * c_k for f_k, (_, c_k) in zip(f, states))
        return sigmoid(o) * np.tanh(c), c

    return node(int(np.flatnonzero(tree < 0)[0]))


@settings(max_examples=10)
@given(rng=seeds(), N=st.integers(1, 3), size=st.integers(1, 7))
def test_each_forget_gate_reads_the_input_by_weights_of_its_own(rng, N, size):
    layer = randomize(NaryTreeLSTM(I, 3, N, input_forgets=True), rng)
    tree, positions = np.full(size, -1), np.zeros(size, int)
    free = [(0, k) for k in range(N)]
    for n in range(1, size):
        tree[n], positions[n] = free.pop(int(rng.integers(len(free))))
        free += [(n, k) for k in range(N)]
    x = rng.normal(size=(size, I))
    h, c = layer(mg.tensor(x), forest([tree], [positions]))
    p = {name: parameter.numpy() for name, parameter in layer.named_parameters()}
    assert p["weight_ih"].shape == ((3 + N) * 3, I)
    for got, wanted in zip((h, c), chainers(p, x, tree, positions, N, 3)):
        np.testing.assert_allclose(got.detach().numpy()[0], wanted, rtol=1e-10)


def test_gradients_of_own_forget_inputs():
    trees = forest([np.array([-1, 0, 0, 1])])

    class Run(nn.Module):
        def __init__(self):
            self.layer = NaryTreeLSTM(2, 2, 2, input_forgets=True, generator=np.random.default_rng(0))

        def forward(self, x):
            return self.layer(x, trees)

    assert gradcheck(Run(), np.random.default_rng(1).normal(size=(4, 2)))
