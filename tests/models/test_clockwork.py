import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import assert_gradients, assert_layer_is, assert_same_as_torch, randomize

import minigrad as mg
from minigrad.models import ClockworkCell, Recurrent
from minigrad.testing import seeds


def clockwork(periods):
    """Module by module, unit by unit: section 3 of Koutník et al. 2014."""

    def step(p, x, state):
        h, t = state
        n = len(h) // len(periods)
        new = h.copy()
        for k, period in enumerate(periods):
            if t % period == 0:
                mine = slice(k * n, (k + 1) * n)
                slower = h[k * n :]
                new[mine] = np.tanh(p["weight_ih"][mine] @ x + p[f"weight_hh.{k}"] @ slower + p["bias"][mine])
        return new, [new, t + 1]

    return step


@pytest.mark.eager_only("every size would be compiled")
@given(
    periods=st.lists(st.integers(1, 7), min_size=1, max_size=4, unique=True), n=st.integers(1, 3), I=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=3), num_layers=st.integers(1, 2), both=st.booleans(),
    rng=seeds(),
)  # fmt: skip
def test_stacks_are_the_equations(periods, n, I, lengths, num_layers, both, rng):
    periods = tuple(sorted(periods))
    layer = Recurrent(ClockworkCell, I, n * len(periods), periods=periods, num_layers=num_layers, bidirectional=both)
    x = rng.normal(size=(max(lengths), len(lengths), I))
    assert_layer_is(randomize(layer, rng), clockwork(periods), x, lengths)


def test_equations_and_gradients():
    rng = np.random.default_rng(1)
    layer = randomize(Recurrent(ClockworkCell, 2, 6, periods=(1, 2, 3)), rng)
    x, lengths = rng.normal(size=(7, 2, 2)), [3, 7]
    assert_layer_is(layer, clockwork((1, 2, 3)), x, lengths)
    assert_gradients(layer, x, lengths, rng)


@given(period=st.integers(1, 2000))
def test_every_tick_is_found(period):
    """In float32, and for periods that are no power of two."""
    cell = ClockworkCell(1, 1, (period,))
    with mg.no_grad():
        cell.bias[:] = 1.0
    t = np.arange(5 * period, dtype="float32")
    zeros = mg.tensor(np.zeros((len(t), 1), "float32"))
    h, _ = cell(zeros, (zeros, mg.tensor(t)))
    np.testing.assert_array_equal(np.flatnonzero(h.numpy()), np.arange(5) * period)


@pytest.mark.eager_only("compiled above")
def test_a_sequence_in_two_pieces_keeps_the_time():
    layer = randomize(Recurrent(ClockworkCell, 2, 4), np.random.default_rng(2))
    x = mg.tensor(np.random.default_rng(3).normal(size=(11, 3, 2)))
    first, state = layer(x[:5])
    second, (h, t) = layer(x[5:], state)
    whole, (h_n, t_n) = layer(x)
    np.testing.assert_array_equal(mg.concatenate([first, second]).numpy(), whole.numpy())
    np.testing.assert_array_equal(h.numpy(), h_n.numpy())
    assert (t.numpy() == 11).all() and (t_n.numpy() == 11).all()


@pytest.mark.eager_only("compiled above")
def test_slow_units_stand_still_and_do_not_see_the_fast_ones():
    layer = randomize(Recurrent(ClockworkCell, 2, 8), np.random.default_rng(4))
    x = mg.tensor(np.random.default_rng(5).normal(size=(16, 1, 2)))
    output, _ = layer(x)
    for k, period in enumerate((1, 2, 4, 8)):
        units = output.numpy()[:, 0, 2 * k : 2 * k + 2]
        changed = np.flatnonzero((np.diff(units, axis=0, prepend=0) != 0).all(axis=1))
        np.testing.assert_array_equal(changed, np.arange(0, 16, period))
    h = mg.tensor(np.ones((1, 1, 8)), requires_grad=True)
    _, (h_n, _) = layer(x, (h, mg.tensor(np.zeros((1, 1)))))
    h_n[..., 4:6].sum().backward()
    assert not h.grad.numpy()[..., :4].any() and h.grad.numpy()[..., 4:].all()


@pytest.mark.eager_only("compiled above")
def test_one_module_of_period_one_is_pytorchs_rnn(torch):
    torch.manual_seed(0)
    reference = torch.nn.RNN(3, 5, dtype=torch.float64)
    layer = Recurrent(ClockworkCell, 3, 5, periods=(1,)).astype("float64")
    theirs = dict(reference.named_parameters())
    bias = theirs["bias_ih_l0"] + theirs["bias_hh_l0"]
    values = {"weight_ih_l0": theirs["weight_ih_l0"], "weight_hh.0_l0": theirs["weight_hh_l0"], "bias_l0": bias}
    layer.load_state_dict(values)
    ours = dict(layer.named_parameters())
    same = [(ours[name], theirs[name.replace(".0", "").replace("bias", "bias_ih")]) for name in values]
    x = np.random.default_rng(6).normal(size=(7, 4, 3))
    assert_same_as_torch(lambda x: (lambda y, state: (y, state[0]))(*layer(x)), reference, x, same)


@pytest.mark.parametrize(
    "size, periods, message",
    [
        (10, (1, 2, 4), "ClockworkCell: got hidden_size=10, wanted a multiple of 3, one part a period"),
        (4, (2, 1), "ClockworkCell: got periods (2, 1), wanted some in ascending order"),
        (4, (0, 1), "ClockworkCell: got periods=(0, 1), wanted a tuple (each an integer"),
        (4, (2, 2), "ClockworkCell: got periods (2, 2), wanted some in ascending order"),
        (4, (), "ClockworkCell: got periods (), wanted some in ascending order"),
        (4, (1, 2.5), "got periods=(1, 2.5), wanted a tuple (each an integer of at least 1)"),
    ],
)
def test_errors(size, periods, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        ClockworkCell(2, size, periods)
