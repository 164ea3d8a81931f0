import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import assert_gradients, assert_layer_is, randomize, sigmoid

import minigrad as mg
from minigrad.models import DepthGatedLSTMCell, LSTMVariantCell, Recurrent
from minigrad.testing import seeds


def depth_gated(p, x, state):
    new, below = [], None
    for k in range(len(state) // 2):
        h, c = state[2 * k : 2 * k + 2]
        W, U, b, p_i, p_f, p_o = [
            p[f"layers.{k}.{n}"] for n in ("weight_ih", "weight_hh", "bias", "weight_ci", "weight_cf", "weight_co")
        ]
        H = len(h)
        a = W @ x + b
        i, f, g, o = np.split(a[: 4 * H] + U @ h, 4)
        c_new = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
        if k:
            d = sigmoid(a[4 * H :] + p[f"layers.{k}.weight_cd"] * c + p[f"layers.{k}.weight_ld"] * below)
            c_new = c_new + d * below
        x = sigmoid(o + p_o * c_new) * np.tanh(c_new)
        below = c_new
        new += [x, c_new]
    return x, new


sizes = st.integers(1, 4)


@pytest.mark.eager_only("every size would be compiled")
@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3), I=sizes, H=sizes, depth=st.integers(1, 3),
    num_layers=st.integers(1, 2), both=st.booleans(), rng=seeds(),
)  # fmt: skip
def test_stacks_are_the_equations(lengths, I, H, depth, num_layers, both, rng):
    layer = Recurrent(DepthGatedLSTMCell, I, H, depth=depth, num_layers=num_layers, bidirectional=both)
    assert_layer_is(randomize(layer, rng), depth_gated, rng.normal(size=(max(lengths), len(lengths), I)), lengths)


def test_equations_and_gradients():
    rng = np.random.default_rng(1)
    layer = randomize(Recurrent(DepthGatedLSTMCell, 2, 3, depth=3), rng)
    x, lengths = rng.normal(size=(4, 2, 2)), [2, 4]
    assert_layer_is(layer, depth_gated, x, lengths)
    assert_gradients(layer, x, lengths, rng)


@pytest.mark.eager_only("compiled above")
def test_closed_depth_gates_leave_a_stack():
    rng = np.random.default_rng(5)
    deep, stack = [
        randomize(layer, rng)
        for layer in (Recurrent(DepthGatedLSTMCell, 2, 3), Recurrent(LSTMVariantCell, 2, 3, num_layers=2))
    ]
    with mg.no_grad():
        for one, other in zip(deep.cells[0].layers, stack.cells):
            for name, p in other.named_parameters():
                p.copy_(getattr(one, name)[:12])
        deep.cells[0].layers[1].bias[12:] = -1000.0
    x = mg.tensor(rng.normal(size=(4, 2, 2)))
    (y, state), (z, (h, c)) = deep(x), stack(x)
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-12)
    for k in range(2):
        np.testing.assert_allclose(state[k][0].numpy()[0], h.numpy()[k], rtol=1e-12)
        np.testing.assert_allclose(state[k][1].numpy()[0], c.numpy()[k], rtol=1e-12)


@pytest.mark.parametrize(
    "depth, message",
    [(0, "DepthGatedLSTMCell: got depth=0, wanted an integer of"), (1.5, "got depth=1.5, wanted an")],
)
def test_errors(depth, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        DepthGatedLSTMCell(2, 3, depth)
