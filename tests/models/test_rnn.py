import numpy as np
import pytest
from bptt import assert_layer_agrees, rnn
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models import RNN, IRNNCell, Recurrent, RNNCell
from minigrad.testing import gradcheck, seeds

sizes = st.integers(1, 5)


@given(T=st.integers(1, 9), B=sizes, I=sizes, H=sizes, relu=st.booleans(), rng=seeds())
def test_gradients_are_those_derived_by_hand(T, B, I, H, relu, rng):
    layer = RNN(I, H, nonlinearity="relu" if relu else "tanh", generator=rng)
    assert_layer_agrees(
        layer, lambda *args: rnn(*args, relu=relu), rng.normal(size=(T, B, I)), rng.normal(size=(B, H)), rng=rng
    )


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_gradcheck(nonlinearity):
    rng = np.random.default_rng(1)
    cell = RNNCell(3, 4, nonlinearity=nonlinearity, generator=rng)
    assert gradcheck(cell, (rng.normal(size=(2, 3)), rng.normal(size=(2, 4))))


def test_cell_is_the_equation():
    rng = np.random.default_rng(2)
    cell = RNNCell(3, 4, nonlinearity="relu", generator=rng).astype("float64")
    x, h = rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
    W, U, b, d = [p.numpy() for p in cell.parameters()]
    np.testing.assert_allclose(cell(mg.tensor(x), mg.tensor(h)).numpy(), np.maximum(x @ W.T + b + h @ U.T + d, 0))


def test_initial_values_are_uniform_within_one_over_root_h():
    first, again = [RNNCell(50, 16, generator=np.random.default_rng(7)) for _ in range(2)]
    for p, q in zip(first.parameters(), again.parameters(), strict=True):
        assert abs(p.numpy()).max() <= 0.25 and p.dtype == np.float32
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert abs(first.weight_ih.numpy()).max() > 0.24 and abs(first.weight_ih.numpy().mean()) < 0.03
    mg.nn.manual_seed(3)
    drawn = RNNCell(2, 3).weight_hh.numpy().copy()
    mg.nn.manual_seed(3)
    np.testing.assert_array_equal(RNNCell(2, 3).weight_hh.numpy(), drawn)


def test_irnn_begins_as_the_identity():
    """Le et al. 2015: without an input the state stays, and so does its gradient, however long the sequence."""
    cell = IRNNCell(3, 4, generator=np.random.default_rng(1))
    assert cell.nonlinearity == "relu" and list(cell.state_dict()) == list(RNNCell(3, 4).state_dict())
    np.testing.assert_array_equal(cell.weight_hh.numpy(), np.eye(4))
    assert not cell.bias_ih.numpy().any() and not cell.bias_hh.numpy().any()
    drawn = IRNNCell(300, 100, generator=np.random.default_rng(2)).weight_ih.numpy()
    assert abs(drawn.std() - 1e-3) < 2e-5 and abs(drawn.mean()) < 2e-5 and abs(drawn).max() > 3e-3
    h = mg.tensor(np.array([[[0.5, 1.0, 2.0, 3.0]]], "float32"), requires_grad=True)
    output, h_n = Recurrent(cell)(mg.tensor(np.zeros((100, 1, 3), "float32")), h)
    np.testing.assert_array_equal(output.numpy(), np.broadcast_to(h.detach().numpy()[0], (100, 1, 4)))
    h_n.sum().backward()
    np.testing.assert_array_equal(h.grad.numpy(), np.ones((1, 1, 4)))


def test_errors():
    with pytest.raises(ValueError, match="RNNCell: got nonlinearity 'gelu', wanted 'tanh' or 'relu'"):
        RNNCell(2, 3, nonlinearity="gelu")
    with pytest.raises(ValueError, match="got hidden_size=-1, wanted an integer of at least 0"):
        RNNCell(2, -1)
