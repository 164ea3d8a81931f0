import copy
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import randomize

import minigrad as mg
from minigrad.models import GRUCell, LSTMCell, Recurrent, Zoneout
from minigrad.testing import gradcheck

ONES = np.ones((20, 50, 3))


def lstm(*rates, seed=0):
    drawn = np.random.default_rng(seed)
    layer = Recurrent(lambda *sizes: Zoneout(LSTMCell(*sizes), *rates, generator=drawn), 3, 4)
    return randomize(layer, np.random.default_rng(1))


def test_a_state_is_the_old_or_the_new_one():
    """Rate by rate: h keeps a tenth, c three quarters, and the others are what the cell makes of the step before."""
    layer = lstm(0.1, 0.75)
    _, _, [(states, _)] = layer(mg.tensor(ONES), return_states=True)
    old = [np.concatenate([np.zeros((1, *s.shape[1:])), s.detach().numpy()[:-1]]) for s in states]
    new = layer.cells[0].cell(mg.tensor(ONES), tuple(mg.tensor(s) for s in old))
    for rate, got, before, after in zip((0.1, 0.75), states, old, new):
        kept, made = np.isclose(got.numpy(), before, rtol=1e-12), np.isclose(got.numpy(), after.numpy(), rtol=1e-12)
        assert (kept | made).all()
        assert abs(kept.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / kept.size) + 1e-3


@given(rate=st.floats(0, 1))
def test_evaluation_takes_the_mean(rate):
    cell = Zoneout(randomize(GRUCell(3, 4), np.random.default_rng(2)), rate).eval()
    x, h = mg.tensor(ONES[0]), mg.tensor(np.full((50, 4), 0.5))
    np.testing.assert_allclose(cell(x, h).numpy(), rate * 0.5 + (1 - rate) * cell.cell(x, h).numpy(), rtol=1e-12)


@pytest.mark.parametrize("rate, wanted", [(0.0, "the cell"), (1.0, "nothing")])
def test_ends(rate, wanted):
    layer = lstm(rate, rate)
    plain, _ = Recurrent(layer.cells[0].cell)(mg.tensor(ONES))
    expected = plain.numpy() if wanted == "the cell" else np.zeros(plain.shape)
    np.testing.assert_allclose(layer(mg.tensor(ONES))[0].numpy(), expected, rtol=1e-10, atol=1e-12)


def test_jitted_it_draws_the_same():
    a, b = lstm(0.3, 0.5, seed=4), lstm(0.3, 0.5, seed=4)
    jitted = mg.jit(b)
    for _ in range(2):
        got = []
        for f in (a, jitted):
            x = mg.tensor(ONES, requires_grad=True)
            y, _ = f(x)
            y.sum().backward()
            got.append((y.numpy(), x.grad.numpy()))
        for one, other in zip(*got):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.eager_only("compiled above")
def test_it_is_the_cell_otherwise():
    layer = Recurrent(lambda *sizes: Zoneout(LSTMCell(*sizes), 0.1, 0.2), 3, 4, num_layers=2, bidirectional=True)
    assert len(layer.cells) == 4 and layer.input_size == 3 and layer.hidden_size == 4
    assert next(iter(layer.state_dict())) == "cell.weight_ih_l0"
    layer.eval()
    assert not layer.cells[3].drops[0].training
    x = mg.tensor(ONES.astype("float32"))
    np.testing.assert_array_equal(copy.deepcopy(layer)(x)[0].numpy(), layer(x)[0].numpy())
    assert gradcheck(lstm(0.1, 0.2).eval(), np.random.default_rng(5).normal(size=(3, 2, 3)))


def test_errors():
    with pytest.raises(ValueError, match=re.escape("Zoneout: got 1 rates for a state of 2 tensors, wanted one each")):
        Recurrent(Zoneout(LSTMCell(3, 4), 0.1))(mg.tensor(ONES.astype("float32")))
    with pytest.raises(ValueError, match="Zoneout: got rates=1.5, wanted a number from 0 to 1"):
        Zoneout(LSTMCell(3, 4), 1.5, 0.1)
