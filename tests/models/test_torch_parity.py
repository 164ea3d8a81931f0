"""Outputs, final states and all gradients are PyTorch's, from PyTorch's own state dict."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.models import GRU, LSTM, RNN

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

KINDS = {
    "tanh": (RNN, torch.nn.RNN, {}),
    "relu": (RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (LSTM, torch.nn.LSTM, {}),
    "gru": (GRU, torch.nn.GRU, {}),
}
TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
T, B, I, H = 7, 4, 3, 5


def pair(kind, dtype="float64", **options):
    """Our layer and PyTorch's, with PyTorch's initial weights."""
    ours, theirs, more = KINDS[kind]
    torch.manual_seed(0)
    reference = theirs(I, H, dtype=getattr(torch, dtype), **more, **options)
    layer = ours(I, H, **more, **options).astype(dtype)
    assert layer.load_state_dict(reference.state_dict()) == ([], [])
    assert list(layer.state_dict()) == list(reference.state_dict())
    return layer, reference


def states(kind, shape, rng, dtype):
    """An initial state as tensors that require a gradient: ours, theirs, and the leaves of each."""
    arrays = [rng.normal(size=shape).astype(dtype) for _ in range(2 if kind == "lstm" else 1)]
    ours = [mg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    return (ours[0], theirs[0], ours, theirs) if len(arrays) == 1 else (tuple(ours), tuple(theirs), ours, theirs)


def assert_same(layer, reference, results, wanted, inputs, wanted_inputs, rng, dtype):
    """Values of results, and gradients of a random functional of them with respect to inputs and parameters."""
    tolerance = TOLERANCE[dtype]

    def agree(got, theirs, what):
        got, theirs = got.numpy(), theirs.detach().numpy()
        assert got.dtype == theirs.dtype and got.shape == theirs.shape, what
        error = abs(got - theirs).max() / max(1, abs(theirs).max())
        assert error <= tolerance, f"{what}: {error:.1e}"

    weights = [rng.normal(size=y.shape).astype(dtype) for y in results]
    sum((y * w).sum() for y, w in zip(results, weights)).backward()
    sum((y * torch.tensor(w)).sum() for y, w in zip(wanted, weights)).backward()
    for k, (y, z) in enumerate(zip(results, wanted, strict=True)):
        agree(y.detach(), z, f"result {k}")
    for k, (x, z) in enumerate(zip(inputs, wanted_inputs, strict=True)):
        agree(x.grad, z.grad, f"gradient of input {k}")
    theirs = dict(reference.named_parameters())
    for name, p in layer.named_parameters():
        agree(p.grad, theirs.pop(name).grad, f"gradient of {name}")
    assert not theirs


def results_of(output, state):
    return [output, *(state if isinstance(state, tuple) else [state])]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_layer(kind, num_layers, bidirectional, dtype):
    rng = np.random.default_rng(1)
    layer, reference = pair(kind, dtype, num_layers=num_layers, bidirectional=bidirectional)
    cells = num_layers * (2 if bidirectional else 1)
    state, their_state, leaves, their_leaves = states(kind, (cells, B, H), rng, dtype)
    array = rng.normal(size=(T, B, I)).astype(dtype)
    x, z = mg.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    results, wanted = results_of(*layer(x, state)), results_of(*reference(z, their_state))
    assert_same(layer, reference, results, wanted, [x, *leaves], [z, *their_leaves], rng, dtype)


@pytest.mark.parametrize("options", [{"batch_first": True}, {"bias": False}, {"bidirectional": True, "bias": False}])
@pytest.mark.parametrize("kind", KINDS)
def test_options_and_default_state(kind, options):
    rng = np.random.default_rng(2)
    layer, reference = pair(kind, num_layers=2, **options)
    array = rng.normal(size=(B, T, I))
    x, z = mg.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    assert_same(layer, reference, results_of(*layer(x)), results_of(*reference(z)), [x], [z], rng, "float64")


@pytest.mark.parametrize("kind", KINDS)
def test_unbatched(kind):
    rng = np.random.default_rng(3)
    layer, reference = pair(kind, num_layers=2, bidirectional=True)
    state, their_state, leaves, their_leaves = states(kind, (4, H), rng, "float64")
    array = rng.normal(size=(T, I))
    x, z = mg.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    results, wanted = results_of(*layer(x, state)), results_of(*reference(z, their_state))
    assert_same(layer, reference, results, wanted, [x, *leaves], [z, *their_leaves], rng, "float64")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_are_packed_sequences(kind, num_layers, bidirectional, dtype):
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    rng = np.random.default_rng(4)
    layer, reference = pair(kind, dtype, num_layers=num_layers, bidirectional=bidirectional)
    cells = num_layers * (2 if bidirectional else 1)
    state, their_state, leaves, their_leaves = states(kind, (cells, B, H), rng, dtype)
    array = rng.normal(size=(T, B, I)).astype(dtype)
    x, z = mg.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    lengths = [3, T, 1, 5]
    packed, final = reference(pack_padded_sequence(z, torch.tensor(lengths), enforce_sorted=False), their_state)
    padded, _ = pad_packed_sequence(packed, total_length=T)
    results, wanted = results_of(*layer(x, state, lengths=lengths)), results_of(padded, final)
    assert_same(layer, reference, results, wanted, [x, *leaves], [z, *their_leaves], rng, dtype)


def test_cells():
    from minigrad.models import GRUCell, LSTMCell, RNNCell

    rng = np.random.default_rng(5)
    x, h, c = rng.normal(size=(B, I)), rng.normal(size=(B, H)), rng.normal(size=(B, H))
    for ours, theirs in [(RNNCell, torch.nn.RNNCell), (LSTMCell, torch.nn.LSTMCell), (GRUCell, torch.nn.GRUCell)]:
        reference, cell = theirs(I, H, dtype=torch.float64), ours(I, H).astype("float64")
        cell.load_state_dict(reference.state_dict())
        state = (h, c) if ours is LSTMCell else (h,)
        got = cell(mg.tensor(x), tuple(map(mg.tensor, state)) if len(state) > 1 else mg.tensor(h))
        wanted = reference(torch.tensor(x), tuple(map(torch.tensor, state)) if len(state) > 1 else torch.tensor(h))
        for y, z in zip(got if len(state) > 1 else [got], wanted if len(state) > 1 else [wanted], strict=True):
            np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-9, atol=1e-12)
