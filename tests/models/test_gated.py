import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import assert_gradients, assert_layer_is, assert_same_as_torch, randomize, sigmoid

import minigrad as mg
from minigrad.models import MGUCell, MinGRUCell, MinLSTMCell, MUT1Cell, MUT2Cell, MUT3Cell, Recurrent
from minigrad.testing import seeds


def mgu(p, x, state):
    [h] = state
    (W_f, W_n), (U_f, U_n), (b_f, b_n) = [np.split(p[n], 2) for n in ("weight_ih", "weight_hh", "bias")]
    f = sigmoid(W_f @ x + U_f @ h + b_f)
    h = (1 - f) * h + f * np.tanh(W_n @ x + U_n @ (f * h) + b_n)
    return h, [h]


def mut1(p, x, state):
    [h] = state
    W_xz, W_xr = np.split(p["weight_ih"], 2)
    W_hr, W_hh = np.split(p["weight_hh"], 2)
    b_z, b_r, b_h = np.split(p["bias"], 3)
    z = sigmoid(W_xz @ x + b_z)
    r = sigmoid(W_xr @ x + W_hr @ h + b_r)
    h = np.tanh(W_hh @ (r * h) + np.tanh(p["weight_x"] @ x if "weight_x" in p else x) + b_h) * z + h * (1 - z)
    return h, [h]


def mut2(p, x, state):
    [h] = state
    W_xz, W_xh = np.split(p["weight_ih"], 2)
    W_hz, W_hr, W_hh = np.split(p["weight_hh"], 3)
    b_z, b_r, b_h = np.split(p["bias"], 3)
    z = sigmoid(W_xz @ x + W_hz @ h + b_z)
    r = sigmoid((p["weight_x"] @ x if "weight_x" in p else x) + W_hr @ h + b_r)
    h = np.tanh(W_hh @ (r * h) + W_xh @ x + b_h) * z + h * (1 - z)
    return h, [h]


def mut3(p, x, state):
    [h] = state
    (W_xz, W_xr, W_xh), (W_hz, W_hr, W_hh) = [np.split(p[n], 3) for n in ("weight_ih", "weight_hh")]
    b_z, b_r, b_h = np.split(p["bias"], 3)
    z = sigmoid(W_xz @ x + W_hz @ np.tanh(h) + b_z)
    r = sigmoid(W_xr @ x + W_hr @ h + b_r)
    h = np.tanh(W_hh @ (r * h) + W_xh @ x + b_h) * z + h * (1 - z)
    return h, [h]


def min_gru(p, x, state):
    z, n = np.split(p["weight_ih"] @ x + p["bias"], 2)
    h = (1 - sigmoid(z)) * state[0] + sigmoid(z) * n
    return h, [h]


def min_lstm(p, x, state):
    i, f, n = np.split(p["weight_ih"] @ x + p["bias"], 3)
    i, f = sigmoid(i), sigmoid(f)
    h = f / (f + i) * state[0] + i / (f + i) * n
    return h, [h]


CELLS = {MGUCell: mgu, MUT1Cell: mut1, MUT2Cell: mut2, MUT3Cell: mut3, MinGRUCell: min_gru, MinLSTMCell: min_lstm}
sizes = st.integers(1, 4)


@pytest.mark.eager_only("every size would be compiled")
@given(
    cell=st.sampled_from(list(CELLS)), I=sizes, H=sizes, lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    num_layers=st.integers(1, 2), both=st.booleans(), rng=seeds(),
)  # fmt: skip
def test_stacks_are_the_equations(cell, I, H, lengths, num_layers, both, rng):
    layer = randomize(Recurrent(cell, I, H, num_layers=num_layers, bidirectional=both), rng)
    assert_layer_is(layer, CELLS[cell], rng.normal(size=(max(lengths), len(lengths), I)), lengths)


@pytest.mark.parametrize("cell", CELLS)
def test_equations_and_gradients(cell):
    rng = np.random.default_rng(1)
    layer = randomize(Recurrent(cell, 2, 3), rng)
    x, lengths = rng.normal(size=(4, 2, 2)), [2, 4]
    assert_layer_is(layer, CELLS[cell], x, lengths)
    assert_gradients(layer, x, lengths, rng)


@pytest.mark.eager_only("compiled above")
@pytest.mark.parametrize("cell", [MUT1Cell, MUT2Cell])
def test_gradients_without_a_projection(cell):
    rng = np.random.default_rng(2)
    layer = randomize(Recurrent(cell, 3, 3), rng)
    assert_gradients(layer, rng.normal(size=(4, 2, 3)), [2, 4], rng)


@pytest.mark.eager_only("compiled above")
def test_mingru_is_a_gru_of_pytorch_that_does_not_look_back(torch):
    """With no recurrent weight and an n so small that its tanh is linear; PyTorch's z keeps, here it lets in."""
    rng = np.random.default_rng(3)
    reference = torch.nn.GRU(3, 4, dtype=torch.float64)
    layer = randomize(Recurrent(MinGRUCell, 3, 4), rng)
    W, b = np.split(layer.weight_ih_l0.numpy(), 2), np.split(layer.bias_l0.numpy(), 2)
    tiny = 1e-6
    with torch.no_grad():
        for p in reference.parameters():
            p.zero_()
        reference.weight_ih_l0[4:] = torch.tensor(np.concatenate([-W[0], tiny * W[1]]))
        reference.bias_ih_l0[4:] = torch.tensor(np.concatenate([-b[0], tiny * b[1]]))
    x = rng.normal(size=(6, 2, 3))
    wanted = reference(torch.tensor(x))[0].detach().numpy() / tiny
    np.testing.assert_allclose(layer(mg.tensor(x))[0].numpy(), wanted, rtol=1e-9)


@pytest.mark.eager_only("compiled above")
def test_mut3_is_a_gru_of_pytorch_where_the_reset_gate_is_open(torch):
    """r = 1 leaves n = tanh(x W_n + h U_n); z looks at tanh(h), so PyTorch's has no recurrent weight there."""
    rng = np.random.default_rng(4)
    reference = torch.nn.GRU(3, 4, dtype=torch.float64)
    layer = randomize(Recurrent(MUT3Cell, 3, 4), rng)
    with mg.no_grad():
        layer.weight_hh_l0[:4] = 0.0
        layer.bias_l0[4:8] = 1000.0
    z, r, n = [np.arange(k, k + 4) for k in (0, 4, 8)]
    rows = np.concatenate([r, z, n])
    sign = np.repeat([1.0, -1.0, 1.0], 4)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(torch.tensor(sign[:, None] * layer.weight_ih_l0.numpy()[rows]))
        reference.weight_hh_l0.copy_(torch.tensor(sign[:, None] * layer.weight_hh_l0.numpy()[rows]))
        reference.bias_ih_l0.copy_(torch.tensor(sign * layer.bias_l0.numpy()[rows]))
        reference.bias_hh_l0.zero_()
    assert_same_as_torch(layer, reference, rng.normal(size=(6, 2, 3)), [])
