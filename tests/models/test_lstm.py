import numpy as np
from bptt import assert_layer_agrees, lstm, sigmoid
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models import LSTM, LSTMCell
from minigrad.testing import gradcheck, seeds

sizes = st.integers(1, 5)


@given(T=st.integers(1, 9), B=sizes, I=sizes, H=sizes, rng=seeds())
def test_gradients_are_those_derived_by_hand(T, B, I, H, rng):
    h0, c0 = rng.normal(size=(2, B, H))
    assert_layer_agrees(LSTM(I, H, generator=rng), lstm, rng.normal(size=(T, B, I)), h0, c0, rng=rng)


def test_gradcheck_to_second_order():
    rng = np.random.default_rng(1)
    cell = LSTMCell(2, 2, generator=rng)
    assert gradcheck(cell, (rng.normal(size=(2, 2)), tuple(rng.normal(size=(2, 2, 2)))), second_order=True)


def test_cell_is_the_equation():
    rng = np.random.default_rng(2)
    cell = LSTMCell(3, 4, bias=False, generator=rng).astype("float64")
    x, h, c = rng.normal(size=(2, 3)), rng.normal(size=(2, 4)), rng.normal(size=(2, 4))
    i, f, g, o = np.split(x @ cell.weight_ih.numpy().T + h @ cell.weight_hh.numpy().T, 4, axis=-1)
    c_new = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    got_h, got_c = cell(mg.tensor(x), (mg.tensor(h), mg.tensor(c)))
    np.testing.assert_allclose(got_c.numpy(), c_new, rtol=1e-12)
    np.testing.assert_allclose(got_h.numpy(), sigmoid(o) * np.tanh(c_new), rtol=1e-12)


def test_open_forget_gate_carries_the_gradient_unchanged():
    """With f = 1 and i = 0, ∂c_T/∂c_0 is the identity however long the sequence: the constant error carousel."""
    cell = LSTMCell(1, 3).astype("float64")
    with mg.no_grad():
        for p in cell.parameters():
            p.zero_()
        cell.bias_ih[0:3] = -1000.0
        cell.bias_ih[3:6] = 1000.0
    c0 = mg.tensor(np.array([[0.5, -1.0, 2.0]]), requires_grad=True)
    h, c = mg.tensor(np.zeros((1, 3))), c0
    for _ in range(100):
        h, c = cell(mg.tensor(np.ones((1, 1))), (h, c))
    c.sum().backward()
    np.testing.assert_array_equal(c0.grad.numpy(), np.ones((1, 3)))
