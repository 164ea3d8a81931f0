import numpy as np
import pytest
from bptt import assert_layer_agrees, gru, gru_reset_before
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models import GRU, GRUCell
from minigrad.testing import gradcheck, seeds

sizes = st.integers(1, 5)


@given(T=st.integers(1, 9), B=sizes, I=sizes, H=sizes, reset_after=st.booleans(), rng=seeds())
def test_gradients_are_those_derived_by_hand(T, B, I, H, reset_after, rng):
    layer = GRU(I, H, reset_after=reset_after, generator=rng)
    x, h0 = rng.normal(size=(T, B, I)), rng.normal(size=(B, H))
    assert_layer_agrees(layer, gru if reset_after else gru_reset_before, x, h0, rng=rng)


@pytest.mark.parametrize("reset_after", [True, False])
def test_gradcheck(reset_after):
    rng = np.random.default_rng(1)
    cell = GRUCell(3, 4, reset_after=reset_after, generator=rng)
    assert gradcheck(cell, (rng.normal(size=(2, 3)), rng.normal(size=(2, 4))))


def test_the_two_resets_agree_where_the_reset_gate_is_open():
    """With r = 1 and no bias on the recurrent product, before and after the product are the same."""
    rng = np.random.default_rng(2)
    after, before = [GRUCell(3, 4, reset_after=r).astype("float64") for r in (True, False)]
    values = {name: rng.normal(size=p.shape) for name, p in after.named_parameters()}
    values["bias_hh"][:] = 0
    x, h = mg.tensor(rng.normal(size=(2, 3))), mg.tensor(rng.normal(size=(2, 4)))

    def both():
        after.load_state_dict(values)
        before.load_state_dict({name: v for name, v in values.items() if name != "bias_hh"})
        return after(x, h).numpy(), before(x, h).numpy()

    a, b = both()
    assert abs(a - b).max() > 1e-3
    values["bias_ih"][:4] = 1000.0
    a, b = both()
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("reset_after", [True, False])
def test_z_and_1_minus_z_change_places(reset_after):
    """1 - σ(a) = σ(-a): Chung's z is the other's with its weights negated, in values and gradients."""
    rng = np.random.default_rng(3)
    ours, chung = [GRU(3, 4, reset_after=reset_after, z_keeps=z).astype("float64") for z in (True, False)]
    sign = np.repeat([1.0, -1.0, 1.0], 4)
    values = {name: rng.normal(size=p.shape) for name, p in ours.named_parameters()}
    ours.load_state_dict(values)
    chung.load_state_dict({name: (sign * v.T).T for name, v in values.items()})
    x = rng.normal(size=(5, 2, 3))
    outputs = []
    for layer in (ours, chung):
        output, _ = layer(mg.tensor(x))
        output.square().sum().backward()
        outputs.append(output.detach().numpy())
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-12)
    for p, q in zip(ours.parameters(), chung.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), (sign * q.grad.numpy().T).T, rtol=1e-10, atol=1e-12)
