import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import assert_gradients, assert_layer_is, assert_same_as_torch, randomize, sigmoid

import minigrad as mg
from minigrad.models import GridLSTM1d, GridLSTMBlock, GridLSTMCell, Recurrent
from minigrad.testing import gradcheck, seeds


def block(W, b, hidden, memory, inside):
    """Section 3.1 of Kalchbrenner et al. 2015, for one vector a dimension."""
    everything = np.concatenate(hidden)
    new_hidden, new_memory = [], []
    for W_k, b_k, m in zip(np.split(W, len(memory)), np.split(b, len(memory)), memory):
        i, f, g, o = np.split(W_k @ everything + b_k, 4)
        m = sigmoid(f) * m + sigmoid(i) * np.tanh(g)
        new_memory.append(m)
        new_hidden.append(np.tanh(sigmoid(o) * m) if inside else sigmoid(o) * np.tanh(m))
    return new_hidden, new_memory


def grid(inside, tied):
    def step(p, x, state):
        h, m = np.split(p["project.weight"] @ x + p["project.bias"], 2)
        new = []
        for k in range(len(state) // 2):
            h_time, m_time = state[2 * k : 2 * k + 2]
            W, b = [p[f"blocks.{0 if tied else k}.{name}"] for name in ("weight", "bias")]
            (h_time, h), (m_time, m) = block(W, b, [h_time, h], [m_time, m], inside)
            new += [h_time, m_time]
        return h, new

    return step


sizes = st.integers(1, 4)


@pytest.mark.eager_only("every size would be compiled")
@given(
    I=sizes, H=sizes, depth=st.integers(1, 3), tied=st.booleans(), inside=st.booleans(),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3), num_layers=st.integers(1, 2), both=st.booleans(),
    rng=seeds(),
)  # fmt: skip
def test_stacks_are_the_equations(I, H, depth, tied, inside, lengths, num_layers, both, rng):
    options = {"depth": depth, "tied": tied, "output_inside": inside}
    layer = randomize(Recurrent(GridLSTMCell, I, H, num_layers=num_layers, bidirectional=both, **options), rng)
    assert_layer_is(layer, grid(inside, tied), rng.normal(size=(max(lengths), len(lengths), I)), lengths)


@pytest.mark.parametrize("tied", [False, True])
def test_equations_and_gradients(tied):
    rng = np.random.default_rng(1)
    layer = randomize(Recurrent(GridLSTMCell, 2, 2, depth=2, tied=tied), rng)
    x, lengths = rng.normal(size=(3, 2, 2)), [1, 3]
    assert_layer_is(layer, grid(False, tied), x, lengths)
    assert_gradients(layer, x, lengths, rng)


@given(I=sizes, H=sizes, depth=st.integers(1, 4), tied=st.booleans(), inside=st.booleans(), rng=seeds())
def test_one_dimension_is_the_equations(I, H, depth, tied, inside, rng):
    network = randomize(GridLSTM1d(I, H, depth, tied, output_inside=inside), rng)
    p = {name: parameter.numpy() for name, parameter in network.named_parameters()}
    x = rng.normal(size=(3, I))
    for x_b, got in zip(x, network(mg.tensor(x)).numpy()):
        h, m = np.split(p["project.weight"] @ x_b + p["project.bias"], 2)
        for k in range(depth):
            W, b = [p[f"blocks.{0 if tied else k}.{name}"] for name in ("weight", "bias")]
            [h], [m] = block(W, b, [h], [m], inside)
        np.testing.assert_allclose(got, h, rtol=1e-10)


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_gradients_of_one_dimension(tied, jitted):
    rng = np.random.default_rng(2)
    network = GridLSTM1d(2, 3, 3, tied, generator=rng)
    assert gradcheck(mg.jit(network) if jitted else network, rng.normal(size=(2, 2)))


def test_three_dimensions():
    rng = np.random.default_rng(3)
    cube = randomize(GridLSTMBlock(2, 3), rng)
    hidden, memory = rng.normal(size=(2, 3, 1, 2))
    wanted = block(cube.weight.numpy(), cube.bias.numpy(), [h[0] for h in hidden], [m[0] for m in memory], False)
    got = cube([mg.tensor(h) for h in hidden], [mg.tensor(m) for m in memory])
    for tensors, arrays in zip(got, wanted):
        for tensor, array in zip(tensors, arrays, strict=True):
            np.testing.assert_allclose(tensor.numpy()[0], array, rtol=1e-12)


@pytest.mark.eager_only("compiled above")
def test_along_time_it_is_pytorchs_lstm(torch):
    """A depth of one whose h is x itself: the time's h and m are those of an LSTM that reads x."""
    torch.manual_seed(0)
    H = 4
    reference = torch.nn.LSTM(H, H, dtype=torch.float64)
    theirs = {name: p.detach().numpy() for name, p in reference.named_parameters()}
    layer = Recurrent(GridLSTMCell, H, H).astype("float64")
    with mg.no_grad():
        for p in layer.parameters():
            p.zero_()
        layer.cells[0].project.weight[:H] = np.eye(H)
        layer.cells[0].blocks[0].weight[: 4 * H, :H] = theirs["weight_hh_l0"]
        layer.cells[0].blocks[0].weight[: 4 * H, H:] = theirs["weight_ih_l0"]
        layer.cells[0].blocks[0].bias[: 4 * H] = theirs["bias_ih_l0"] + theirs["bias_hh_l0"]

    def in_time(x):
        _, _, [steps] = layer(x, return_states=True)
        [(h, m)] = steps.state
        return h, (h[-1:], m[-1:])

    assert_same_as_torch(in_time, reference, np.random.default_rng(4).normal(size=(7, 3, H)), [])


@pytest.mark.parametrize(
    "depth, message", [(0, ": got depth=0, wanted an integer of at least 1"), ("2", "got depth='2', wanted an integer")]
)
def test_errors(depth, message):
    for network in (GridLSTM1d, GridLSTMCell):
        with pytest.raises((ValueError, TypeError), match=re.escape(message)):
            network(2, 3, depth)
