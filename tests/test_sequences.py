"""Batches of sequences of several lengths: padded, packed and one by one, as in PyTorch, and in layers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import GRU, LSTM

lengths_of_a_batch = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def same(ours, theirs):
    np.testing.assert_array_equal(np.asarray(ours.detach() if isinstance(ours, mg.Tensor) else ours), theirs.numpy())


@given(
    lengths=lengths_of_a_batch,
    batch_first=st.booleans(),
    features=st.integers(0, 2),
    value=st.sampled_from([0.0, -1.5]),
)
def test_they_are_pytorchs(torch, lengths, batch_first, features, value):
    theirs = torch.nn.utils.rnn
    xs = [draw(n, *[2] * features, seed=k) for k, n in enumerate(lengths)]
    ts = [torch.tensor(x) for x in xs]
    padded = nn.pad_sequence(xs, batch_first, value)
    wanted = theirs.pad_sequence(ts, batch_first, value)
    same(padded, wanted)
    for x, t in zip(nn.unpad_sequence(padded, lengths, batch_first), ts, strict=True):
        same(x, t)
    packed = nn.pack_padded_sequence(padded, lengths, batch_first)
    reference = theirs.pack_padded_sequence(wanted, torch.tensor(lengths), batch_first, enforce_sorted=False)
    for ours, each in zip(packed, reference, strict=True):
        same(ours, each)
    same(nn.pack_sequence(xs).data, reference.data)
    for ours, each in zip(nn.pad_packed_sequence(packed, batch_first, value),
                          theirs.pad_packed_sequence(reference, batch_first, value), strict=True):  # fmt: skip
        same(ours, each)
    for x, t in zip(nn.unpack_sequence(packed), ts, strict=True):
        same(x, t)


@pytest.mark.parametrize("jit", [False, True])
@given(lengths=lengths_of_a_batch, batch_first=st.booleans())
def test_a_layer_takes_and_returns_packed_sequences_with_their_gradients(jit, lengths, batch_first):
    layer = GRU(2, 3, bidirectional=True, batch_first=batch_first).astype("float64")
    f = mg.jit(layer) if jit else layer
    x = draw(len(lengths), max(lengths), 2) if batch_first else draw(max(lengths), len(lengths), 2)
    a, b = mg.tensor(x, requires_grad=True), mg.tensor(x, requires_grad=True)
    packed, state = f(nn.pack_padded_sequence(a, lengths, batch_first))
    padded, wanted = f(b, lengths=np.array(lengths))
    found, steps = nn.pad_packed_sequence(packed, batch_first)
    np.testing.assert_allclose(found.detach().numpy(), padded.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(state.detach().numpy(), wanted.detach().numpy(), rtol=1e-12)
    assert steps.tolist() == lengths
    ((packed.data**2).sum() + state.sum()).backward()
    ((padded**2).sum() + wanted.sum()).backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-12)


def test_one_trace_serves_packed_batches_of_any_lengths():
    f = mg.jit(LSTM(2, 3))
    x = draw(6, 5, 2).astype("float32")
    for lengths in ([6, 5, 4, 3, 2], [1, 6, 2, 2, 6], [6, 6, 6, 6, 6], [3, 6, 1, 1, 1]):
        f(nn.pack_padded_sequence(x, lengths))
    f(nn.pack_padded_sequence(x[:4], [4, 3, 2, 2, 1]))
    traces = f.traces
    for lengths in ([5, 3, 2, 2, 1], [1, 1, 1, 1, 2], [6, 6, 6, 1, 1]):
        f(nn.pack_padded_sequence(x, lengths))
    assert f.traces == traces <= 3


def test_gradients_pass_through_each():
    def through(x):
        rows = nn.unpad_sequence(x, [3, 2])
        packed = nn.pack_sequence([rows[1], rows[0]])
        return (nn.pad_packed_sequence(packed)[0] * nn.pad_sequence(rows[::-1])).sum()

    assert mg.testing.gradcheck(through, [mg.tensor(draw(3, 2, 2))])


def test_what_does_not_fit_is_refused():
    x = draw(4, 2, 3)
    for wrong in ([4, 0], [5, 1], [4], [4.0, 2.0], 4):
        with pytest.raises(ValueError, match="pack_padded_sequence: got lengths .* wanted 2 integers from 1 to 4"):
            nn.pack_padded_sequence(x, wrong)
    with pytest.raises(ValueError, match="pad_sequence: got float64"):
        nn.pad_sequence([draw(2, 3), draw(2, 4)])
    with pytest.raises(ValueError, match="no sequence"):
        nn.pad_sequence([])
    with pytest.raises(ValueError, match="lengths beside a packed sequence"):
        GRU(3, 2).astype("float64")(nn.pack_padded_sequence(x, [4, 2]), lengths=[4, 2])
