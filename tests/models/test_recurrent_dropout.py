import copy
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import leaves, randomize, sigmoid

import minigrad as mg
from minigrad import nn
from minigrad.models import (
    ConvLSTMCell,
    GRUCell,
    LSTMCell,
    Recurrent,
    RecurrentDropout,
    RNNCell,
    VariationalDropout,
    Zoneout,
    dropped,
    gradient_flow,
)
from minigrad.models.tasks.cells import CELLS
from minigrad.testing import gradcheck

T, B, I, H = 6, 4, 3, 5
X = np.random.default_rng(0).normal(size=(T, B, I))
WRAPPERS = {
    "variational": lambda cell, **o: VariationalDropout(cell, 0.3, 0.4, **o),
    "candidate": lambda cell, **o: RecurrentDropout(cell, 0.4, **o),
}
both_wrappers = pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)


def layer_of(cell, wrap, seed=0):
    generator = np.random.default_rng(seed)
    layer = Recurrent(lambda *sizes: wrap(cell(*sizes), generator=generator), I, H)
    return randomize(layer, np.random.default_rng(1))


class Probe(nn.Module):
    """It shows what a cell gets to see: of x as its output, and of an h of ones as the second part of its state."""

    def __init__(self, size):
        self.hidden_size = size
        self.nothing = nn.Parameter(np.zeros(1))

    def forward(self, x, state):
        return x + self.nothing, dropped("hidden", mg.tensor(np.ones(x.shape)))

    def initial_state(self, x):
        return (mg.tensor(np.zeros((*x.shape[:-1], self.hidden_size))),) * 2


@given(p_x=st.floats(0, 0.9), p_h=st.floats(0.1, 0.9), seed=st.integers(0, 100))
@pytest.mark.eager_only("the next test is compiled")
def test_one_mask_for_all_steps(p_x, p_h, seed):
    layer = Recurrent(VariationalDropout(Probe(500), p_x, p_h, generator=np.random.default_rng(seed)))
    assert_masks(layer, p_x, p_h)


def test_one_mask_for_all_steps_backwards():
    cell = VariationalDropout(Probe(500), 0.2, 0.7, generator=np.random.default_rng(0))
    assert_masks(Recurrent(cell, reverse=True), 0.2, 0.7)


def assert_masks(layer, p_x, p_h):
    """Each element is 0 or 1 / (1 - p), so that the mean stays 1; rows differ, steps do not, and calls do."""
    x = mg.tensor(np.ones((4, 30, 500)))
    draws = []
    for _ in range(2):
        _, _, [(state, _)] = layer(x, return_states=True)
        draws.append([s.detach().numpy() for s in state])
    for k, p in enumerate((p_x, p_h)):
        masks = draws[0][k]
        kept = np.isclose(masks, 1 / (1 - p))
        assert (kept | (masks == 0)).all()
        assert abs(kept[0].mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / kept[0].size) + 1e-12
        assert abs(masks[0].mean() - 1) < 5 * np.sqrt(p / (1 - p) / kept[0].size) + 1e-12
        np.testing.assert_array_equal(masks, np.broadcast_to(masks[0], masks.shape))
        if p > 0.05:
            assert (masks[0, 0] != masks[0, 1]).any() and (draws[0][k] != draws[1][k]).any()


def plain_lstm(p, x, h_seen, state):
    _, c = state
    a = p["weight_ih"] @ x + p["bias_ih"] + p["weight_hh"] @ h_seen + p["bias_hh"]
    i, f, g, o = np.split(a, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def plain_gru(p, x, h_seen, state):
    x_r, x_z, x_n = np.split(p["weight_ih"] @ x + p["bias_ih"], 3)
    h_r, h_z, h_n = np.split(p["weight_hh"] @ h_seen + p["bias_hh"], 3)
    z = sigmoid(x_z + h_z)
    return [(1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * state[0]]


@pytest.mark.eager_only("no Recurrent is called here")
@pytest.mark.parametrize("make, step", [(LSTMCell, plain_lstm), (GRUCell, plain_gru)])
def test_it_is_the_equations_of_gal_and_ghahramani(make, step):
    """x ⊙ m_x and h ⊙ m_h in the products; a GRU's carry and an LSTM's memory are not touched."""
    wrapper = randomize(VariationalDropout(make(I, H), 0.3, 0.4), np.random.default_rng(1))
    p = {name.removeprefix("cell."): q.numpy() for name, q in wrapper.named_parameters()}
    m_x, m_h = masks = wrapper.shared(mg.tensor(X[0]))
    state = wrapper.initial_state(mg.tensor(X[0])) if make is LSTMCell else mg.tensor(np.zeros((B, H)))
    alone = [[leaf.numpy()[b] for leaf in leaves(state)] for b in range(B)]
    for x in X:
        state = wrapper(mg.tensor(x), state, masks)
        alone = [step(p, x[b] * m_x.numpy()[b], s[0] * m_h.numpy()[b], s) for b, s in enumerate(alone)]
        for k, leaf in enumerate(leaves(state)):
            np.testing.assert_allclose(leaf.numpy(), [s[k] for s in alone], rtol=1e-12)


@pytest.mark.parametrize("make", [LSTMCell, GRUCell])
def test_only_the_candidate_is_dropped_and_anew_at_every_step(make):
    """Semeniuta et al. 2016: from the states and gates that were, what was added to the memory, over the candidate."""
    rate = 0.4
    layer = layer_of(make, lambda cell, **o: RecurrentDropout(cell, rate, **o))
    x = np.random.default_rng(2).normal(size=(40, 50, I))
    _, _, [(state, gates)] = layer(mg.tensor(x), return_states=True)
    memory = leaves(state)[-1].detach().numpy()
    old = np.concatenate([np.zeros((1, 50, H)), memory[:-1]])
    gates = {name: gate.detach().numpy() for name, gate in gates.items()}
    if make is LSTMCell:
        ratio = (memory - gates["f"] * old) / (gates["i"] * gates["g"])
    else:
        ratio = (memory - gates["z"] * old) / ((1 - gates["z"]) * gates["n"])
    kept = np.isclose(ratio, 1 / (1 - rate), rtol=1e-4)
    assert (kept | np.isclose(ratio, 0, atol=1e-4)).mean() > 0.999  # where a gate is shut the ratio is rounding
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / kept.size) + 1e-3
    assert (kept[0] != kept[1]).any() and (kept[:, 0] != kept[:, 1]).any()


@pytest.mark.eager_only("compiled below")
@both_wrappers
@pytest.mark.parametrize("make", [LSTMCell, GRUCell])
def test_off_in_evaluation(wrap, make):
    layer = layer_of(make, wrap)
    plain = Recurrent(layer.cells[0].cell)
    x = mg.tensor(X)
    wanted = plain(x)[0].numpy()
    assert abs(layer(x)[0].numpy() - wanted).max() > 1e-3
    layer.eval()
    for _ in range(2):
        np.testing.assert_allclose(layer(x)[0].numpy(), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make, wrap", [(LSTMCell, WRAPPERS["variational"]), (GRUCell, WRAPPERS["candidate"])])
def test_gradients_with_the_masks_held(make, wrap):
    layer = layer_of(make, wrap)
    cell = layer.cells[0]

    class Repeated(nn.Module):
        def __init__(self):
            self.layer = layer

        def forward(self, x):
            for part in cell.modules():
                if isinstance(part, nn.Dropout):
                    part.generator.bit_generator.state = np.random.default_rng(7).bit_generator.state
            return self.layer(x, lengths=np.array([3, 1]))

    assert gradcheck(Repeated(), X[:3, :2])


@pytest.mark.eager_only("compiled here")
@both_wrappers
@pytest.mark.parametrize("make", [LSTMCell, GRUCell])
def test_jitted_it_draws_the_same(wrap, make):
    a, b = layer_of(make, wrap, seed=4), layer_of(make, wrap, seed=4)
    jitted = mg.jit(b)
    for _ in range(2):
        got = []
        for f, layer in ((a, a), (jitted, b)):
            x = mg.tensor(X, requires_grad=True)
            layer.zero_grad()
            y, _ = f(x)
            y.square().sum().backward()
            got.append([y.detach().numpy(), x.grad.numpy(), *[p.grad.numpy() for p in layer.parameters()]])
        for one, other in zip(*got, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    b.eval()
    plain = Recurrent(b.cells[0].cell)
    np.testing.assert_allclose(jitted(mg.tensor(X))[0].numpy(), plain(mg.tensor(X))[0].numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.eager_only("compiled above")
def test_memory_is_whole_where_the_gate_is_open():
    """z = 1 keeps h, f = 1 and i = 0 keep c, whatever the masks: no step divides them by 1 - rate."""
    gru, lstm = layer_of(GRUCell, WRAPPERS["variational"]), layer_of(LSTMCell, WRAPPERS["variational"])
    with mg.no_grad():
        gru.cells[0].cell.bias_ih[H : 2 * H] = 1000.0
        lstm.cells[0].cell.bias_ih[: 2 * H] = np.repeat([-1000.0, 1000.0], H)
    h = mg.tensor(np.random.default_rng(3).normal(size=(1, B, H)))
    np.testing.assert_array_equal(gru(mg.tensor(X), h)[1].numpy(), h.numpy())
    np.testing.assert_array_equal(lstm(mg.tensor(X), (h, h))[1][1].numpy(), h.numpy())


NO_HIDDEN, NO_CANDIDATE = {"mingru", "minlstm"}, {"rnn", "irnn", "clockwork"}


@pytest.mark.eager_only("every cell would be compiled")
@pytest.mark.parametrize("name", CELLS)
def test_any_cell_that_has_such_a_value(name):
    """Dropped altogether, x, h and the candidate are not seen: the output depends on none of them."""
    cell = randomize(CELLS[name](I, 8), np.random.default_rng(1))
    image = (2, 3) if hasattr(cell, "feature_ndim") else ()
    x, other = [mg.tensor(np.random.default_rng(seed).normal(size=(T, B, I, *image))) for seed in range(2)]
    blind = Recurrent(VariationalDropout(cell, 1.0, 0.0))
    np.testing.assert_array_equal(blind(x)[0].numpy(), blind(other)[0].numpy())
    if name in NO_HIDDEN:
        with pytest.raises(ValueError, match="has no hidden value to drop"):
            Recurrent(VariationalDropout(cell, 0.0, 1.0))(x)
    else:
        plain, forgetful = [r(x)[0].numpy() for r in (Recurrent(cell), Recurrent(VariationalDropout(cell, 0.0, 1.0)))]
        np.testing.assert_allclose(plain[0], forgetful[0], rtol=1e-12, atol=1e-14)
        assert abs(plain[1:] - forgetful[1:]).max() > 1e-3
    if name in NO_CANDIDATE:
        with pytest.raises(ValueError, match="has no candidate value to drop"):
            Recurrent(RecurrentDropout(cell, 0.5))(x)
    else:
        _, state = Recurrent(RecurrentDropout(cell, 1.0))(x)
        assert not leaves(state)[:2][-1].numpy().any()  # c, or h where there is no c


@pytest.mark.eager_only("compiled above")
def test_wrappers_in_wrappers_stacked_both_ways():
    def cell(*sizes):
        return Zoneout(RecurrentDropout(VariationalDropout(LSTMCell(*sizes), 0.2, 0.3), 0.25), 0.05, 0.5)

    layer = Recurrent(cell, I, H, num_layers=2, bidirectional=True).astype("float64")
    output, (h, c) = layer(mg.tensor(X), lengths=np.array([6, 3, 0, 1]))
    assert output.shape == (T, B, 2 * H) and h.shape == c.shape == (4, B, H)
    assert next(iter(layer.state_dict())) == "cell.cell.cell.weight_ih_l0"
    layer.eval()
    np.testing.assert_array_equal(copy.deepcopy(layer)(mg.tensor(X))[0].numpy(), layer(mg.tensor(X))[0].numpy())


@pytest.mark.eager_only("compiled above")
def test_images_and_no_steps():
    layer = Recurrent(VariationalDropout(ConvLSTMCell(1, 2, 3), 0.2, 0.3))
    assert layer(mg.tensor(np.ones((2, 3, 1, 4, 5), "float32")))[0].shape == (2, 3, 2, 4, 5)
    assert layer(mg.tensor(np.ones((0, 3, 1, 4, 5), "float32")))[0].shape == (0, 3, 2, 4, 5)


@pytest.mark.eager_only("no Recurrent is called here")
def test_the_flow_of_gradients_keeps_to_one_mask():
    """A linear unit that is dropped at one step is dropped at all: its gradient is 0 or (1 / (1 - p))^t."""

    class Carry(nn.Module):
        hidden_size = 1

        def __init__(self):
            self.w = nn.Parameter(np.ones(1))

        def forward(self, x, h):
            return dropped("hidden", h) * self.w

    for seed in range(8):
        cell = VariationalDropout(Carry(), 0.0, 0.5, generator=np.random.default_rng(seed))
        norms = gradient_flow(
            cell, np.ones((5, 1, 1)), lambda outputs: outputs[-1].sum(), mg.tensor(np.ones((1, 1)))
        ).norms
        assert norms.tolist() in ([32, 16, 8, 4, 2, 1], [0, 0, 0, 0, 0, 1])


def test_errors_leave_nothing_behind():
    with pytest.raises(ValueError, match=re.escape("RNNCell has no candidate value to drop; if it should have one")):
        Recurrent(RecurrentDropout(RNNCell(I, H).astype("float64"), 0.5))(mg.tensor(X))
    x = mg.tensor(np.ones(3))
    assert dropped("candidate", x) is x and dropped("hidden", x) is x
    with pytest.raises(ValueError, match="VariationalDropout: got input_rate=1.5, wanted a number from 0 to 1"):
        VariationalDropout(LSTMCell(3, 4), 1.5, 0.1)
