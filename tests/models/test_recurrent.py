import copy
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import (
    GRU,
    LSTM,
    RNN,
    ConvLSTM,
    ConvLSTMCell,
    GRUCell,
    LSTMCell,
    Recurrent,
    RNNCell,
    watch,
)
from minigrad.nn import recurrent
from minigrad.testing import gradcheck, seeds


class MGUCell(nn.Module):
    """Zhou et al. 2016, as the page of Recurrent has it: it inherits nothing but Module."""

    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.forget, self.new = [nn.Linear(input_size + hidden_size, hidden_size) for _ in range(2)]

    def forward(self, x, h):
        f = mg.sigmoid(self.forget(mg.concatenate([x, h], axis=-1)))
        n = mg.tanh(self.new(mg.concatenate([x, f * h], axis=-1)))
        watch(f=f)
        return (1 - f) * h + f * n


class PeepholeCell(nn.Module):
    """Gers & Schmidhuber 2000, with a state that is nested, an output that is not its first tensor, a learnt start."""

    def __init__(self, input_size, hidden_size):
        self.hidden_size = hidden_size
        self.gates = nn.Linear(input_size + hidden_size, 4 * hidden_size)
        self.p = nn.Parameter(np.linspace(-1, 1, 3 * hidden_size, dtype="float32").reshape(3, hidden_size))
        self.start = nn.Parameter(np.full(hidden_size, 0.3, "float32"))

    def forward(self, x, state):
        c, (h,) = state
        i, f, g, o = mg.split(self.gates(mg.concatenate([x, h], axis=-1)), 4, axis=-1)
        c_new = mg.sigmoid(f + self.p[1] * c) * c + mg.sigmoid(i + self.p[0] * c) * mg.tanh(g)
        return c_new, (mg.sigmoid(o + self.p[2] * c_new) * mg.tanh(c_new),)

    def initial_state(self, x):
        start = mg.broadcast_to(self.start, (*x.shape[:-1], self.hidden_size))
        return start, (start,)

    def output(self, state):
        return state[1][0]


CELLS = [RNNCell, LSTMCell, GRUCell, MGUCell, PeepholeCell]
MERGES = {
    "concat": lambda y, z: mg.concatenate([y, z], axis=-1),
    "sum": lambda y, z: y + z,
    "ave": lambda y, z: 0.5 * y + 0.5 * z,
    "mul": lambda y, z: y * z,
}
T, B, I, H = 5, 3, 2, 4


def random(rng, *shape):
    return mg.tensor(rng.normal(size=shape), requires_grad=True)


def leaves(tree):
    return mg.tree.flatten(tree)[0]


def close(got, wanted):
    for a, b in zip(leaves(got), leaves(wanted), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-11, atol=1e-12)


def gradients(layer, x, results, weights):
    """Gradients of Σ <result, weight> with respect to the parameters and x, by name."""
    layer.zero_grad()
    x.grad = None
    sum((y * w).sum() for y, w in zip(results, weights, strict=True)).backward()
    return {name: p.grad.numpy() for name, p in layer.named_parameters()}, x.grad.numpy()


# Padding


@given(
    cell=st.sampled_from(CELLS), lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4), padding=st.integers(0, 3),
    num_layers=st.integers(1, 2), merge_mode=st.sampled_from([None, *MERGES]), with_mask=st.booleans(), rng=seeds(),
)  # fmt: skip
def test_a_padded_batch_is_its_sequences_one_by_one(cell, lengths, padding, num_layers, merge_mode, with_mask, rng):
    """Outputs, final states and gradients; what stands in the padding (NaN here) has no part in them."""
    both = {} if merge_mode is None else {"bidirectional": True, "merge_mode": merge_mode}
    layer = Recurrent(cell, I, H, num_layers=num_layers, **both).astype("float64")
    width = H * (2 if merge_mode == "concat" else 1)
    steps, batch = max(1, max(lengths) + padding), len(lengths)
    valid = np.arange(steps)[:, None] < np.array(lengths)
    array = np.where(valid[..., None], rng.normal(size=(steps, batch, I)), np.nan)
    weight = rng.normal(size=(steps, batch, width))
    x = mg.tensor(array, requires_grad=True)
    output, final = layer(x, mask=valid) if with_mask else layer(x, lengths=lengths)
    final_weights = [rng.normal(size=leaf.shape) for leaf in leaves(final)]
    assert not output.numpy()[~valid].any()
    got, dx = gradients(layer, x, [output, *leaves(final)], [weight, *final_weights])
    assert not dx[~valid].any()

    total = {name: np.zeros_like(g) for name, g in got.items()}
    for b, length in enumerate(lengths):
        alone = mg.tensor(array[:length, b : b + 1], requires_grad=True)
        y, state = layer(alone)
        close(output[:length, b : b + 1], y)
        close(mg.tree.map(lambda leaf, b=b: leaf[:, b : b + 1], final), state)
        results = [y, *leaves(state)]
        weights = [weight[:length, b : b + 1], *[w[:, b : b + 1] for w in final_weights]]
        if not any(leaf.requires_grad for leaf in results):
            continue  # no step at all: nothing depends on anything
        layer.zero_grad()
        sum((r * w).sum() for r, w in zip(results, weights)).backward()
        for name, p in layer.named_parameters():
            total[name] += 0 if p.grad is None else p.grad.numpy()
        if length:
            np.testing.assert_allclose(dx[:length, b : b + 1], alone.grad.numpy(), rtol=1e-10, atol=1e-12)
    for name, g in got.items():
        np.testing.assert_allclose(g, total[name], rtol=1e-10, atol=1e-12, err_msg=name)


@given(cell=st.sampled_from(CELLS), reverse=st.booleans(), rng=seeds())
def test_a_mask_with_holes_skips_steps(cell, reverse, rng):
    layer = Recurrent(cell, I, H, reverse=reverse).astype("float64")
    mask = rng.random(6) < 0.5
    x = random(rng, 6, I)
    output, final = layer(x, mask=mask)
    y, state = layer(x[mask])
    close([output[mask], final], [y, state])
    assert not output.numpy()[~mask].any()


def test_a_sequence_of_length_zero_hands_its_initial_state_on():
    rng = np.random.default_rng(0)
    layer = LSTM(I, H, bidirectional=True).astype("float64")
    h, c = random(rng, 2, B, H), random(rng, 2, B, H)
    output, (h_n, c_n) = layer(random(rng, T, B, I), (h, c), lengths=[2, 0, 5])
    assert not output.numpy()[:, 1].any()
    close([h_n[:, 1], c_n[:, 1]], [h[:, 1], c[:, 1]])
    c_n.sum().backward()
    np.testing.assert_array_equal(c.grad.numpy()[:, 1], np.ones((2, H)))


def test_no_steps_at_all():
    output, state = GRU(I, H)(np.zeros((0, B, I), "float32"), lengths=[0] * B)
    assert output.shape == (0, B, H) and state.shape == (1, B, H) and not state.numpy().any()


# Composition


@pytest.mark.parametrize("cell", CELLS)
def test_reverse_runs_from_the_last_step(cell):
    x = random(np.random.default_rng(1), T, B, I)
    layer = Recurrent(cell, I, H, reverse=True).astype("float64")
    y, state = Recurrent(layer.cells[0])(x[::-1])
    close(layer(x), (y[::-1], state))


@pytest.mark.parametrize("cell, merge_mode", [*[(cell, "concat") for cell in CELLS], *[(GRUCell, m) for m in MERGES]])
def test_bidirectional_stack_is_made_of_single_layers(cell, merge_mode):
    x = random(np.random.default_rng(2), T, B, I)
    layer = Recurrent(cell, I, H, num_layers=2, bidirectional=True, merge_mode=merge_mode).astype("float64")
    assert len(layer.cells) == 4
    below, states = x, []
    for forward, backward in (layer.cells[:2], layer.cells[2:]):
        y, state = Recurrent(forward)(below)
        z, reversed_state = Recurrent(backward, reverse=True)(below)
        below = MERGES[merge_mode](y, z)
        states += [state, reversed_state]
    close(layer(x), (below, mg.tree.map(lambda *parts: mg.concatenate(parts), *states)))


def test_state_in_two_halves():
    """A sequence in two pieces, the state handed over, is the sequence."""
    x = random(np.random.default_rng(3), T, B, I)
    layer = Recurrent(PeepholeCell, I, H, num_layers=2).astype("float64")
    first, state = layer(x[:2])
    second, state = layer(x[2:], state)
    close(layer(x), (mg.concatenate([first, second]), state))


def test_batch_first_and_unbatched():
    x = random(np.random.default_rng(4), T, B, I)
    layer = LSTM(I, H, bidirectional=True).astype("float64")
    output, state, steps = layer(x, lengths=[5, 2, 0], return_states=True)
    swapped = copy.deepcopy(layer)
    swapped.batch_first = True
    y, state_too, steps_too = swapped(x.swapaxes(0, 1), mask=(np.arange(T) < [[5], [2], [0]]), return_states=True)
    close((y.swapaxes(0, 1), state_too), (output, state))
    close(mg.tree.map(lambda leaf: leaf.swapaxes(0, 1), steps_too), steps)
    for options in ({"lengths": 2}, {"mask": np.arange(T) < 2}):
        alone, state_alone, steps_alone = layer(x[:, 1], return_states=True, **options)
        close((alone, state_alone), (output[:, 1], mg.tree.map(lambda leaf: leaf[:, 1], state)))
        close(steps_alone, mg.tree.map(lambda leaf: leaf[:, 1], steps))
    close(layer(x[:, 0], mg.tree.map(lambda leaf: leaf[:, 0], state)), swapped(x[:, 0], [s[:, 0] for s in state]))


def test_dropout_is_between_layers_while_training():
    x = random(np.random.default_rng(5), T, B, I)
    layer = GRU(I, H, num_layers=2, dropout=0.5, generator=np.random.default_rng(6)).astype("float64")
    plain = GRU(I, H, num_layers=2).astype("float64")
    plain.load_state_dict(layer.state_dict())
    wanted = plain(x)[0].numpy()
    trained, (first, second) = layer(x)
    assert abs(trained.numpy() - wanted).max() > 1e-3
    close(first, plain(x)[1][0])  # the first layer itself sees no dropout
    close(second, trained[-1])  # nor does the output of the last
    np.testing.assert_array_equal(layer.eval()(x)[0].numpy(), wanted)


# States and gates


def test_every_state_and_gate_of_an_lstm():
    x = random(np.random.default_rng(7), T, B, I)
    layer = LSTM(I, H, num_layers=2, bidirectional=True).astype("float64")
    output, (h_n, c_n), steps = layer(x, return_states=True)
    close(layer(x), (output, (h_n, c_n)))
    assert len(steps) == 4
    for k, (state, gates) in enumerate(steps):
        h, c = (leaf.detach().numpy() for leaf in state)
        i, f, g, o = (gates[name].detach().numpy() for name in "ifgo")
        assert list(gates) == list("ifgo") and h.shape == c.shape == i.shape == (T, B, H)
        before = np.zeros((1, B, H))
        before = np.concatenate([before, c[:-1]]) if k % 2 == 0 else np.concatenate([c[1:], before])
        np.testing.assert_allclose(c, f * before + i * g, rtol=1e-12)
        np.testing.assert_allclose(h, o * np.tanh(c), rtol=1e-12)
        last = -1 if k % 2 == 0 else 0
        close([h_n[k], c_n[k]], [state[0][last], state[1][last]])
    close(output, mg.concatenate([steps[2].state[0], steps[3].state[0]], axis=-1))


def test_states_stand_still_and_gates_are_zero_in_padding():
    x = random(np.random.default_rng(8), T, 1, I)
    _, final, [(state, gates)] = Recurrent(MGUCell, I, H).astype("float64")(x, lengths=[2], return_states=True)
    assert state.numpy()[:2].all() and gates["f"].numpy()[:2].all()
    np.testing.assert_array_equal(state.numpy()[1:], np.broadcast_to(final.numpy(), (4, 1, H)))
    assert not gates["f"].numpy()[2:].any()


def test_gates_are_on_the_tape():
    x = random(np.random.default_rng(9), T, B, I)
    _, _, [(_, gates)] = GRU(I, H).astype("float64")(x, return_states=True)
    gates["z"][1].sum().backward()
    assert x.grad.numpy()[:2].all() and not x.grad.numpy()[2:].any()


def test_names_that_come_twice_are_numbered_and_an_inner_layer_keeps_its_own():
    class Two(nn.Module):
        hidden_size = H

        def __init__(self, input_size, hidden_size):
            self.below, self.above = GRUCell(input_size, hidden_size), GRUCell(hidden_size, hidden_size)
            self.inner = Recurrent(GRUCell, hidden_size, hidden_size)

        def forward(self, x, state):
            h = self.below(x, state)
            watch(norm=(h * h).sum(-1))
            self.inner(mg.stack([h, h]))
            return self.above(h, state)

    x = mg.tensor(np.ones((T, B, I), "float32"))
    _, _, [(_, gates)] = Recurrent(Two, I, H)(x, return_states=True)
    assert list(gates) == ["r", "z", "n", "norm", "r_2", "z_2", "n_2"]
    assert gates["norm"].shape == (T, B) and np.ptp(gates["r"].numpy() - gates["r_2"].numpy())


def test_watching_ends_with_the_step_even_if_the_cell_raises():
    class Broken(nn.Module):
        hidden_size = H

        def forward(self, x, h):
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        Recurrent(Broken())(np.zeros((T, I), "float32"), return_states=True)
    for _ in range(2):
        watch(r=mg.tensor(1.0))  # outside of a step it does nothing
    assert recurrent.watching.gates is None


# Any cell


@pytest.mark.parametrize("cell", [MGUCell, PeepholeCell])
def test_users_cell_passes_gradcheck_through_a_layer(cell):
    rng = np.random.default_rng(10)
    layer = Recurrent(cell, 2, 2, bidirectional=True)
    with mg.no_grad():
        for p in layer.parameters():
            p.copy_(rng.normal(size=p.shape))

    class Run(nn.Module):
        def __init__(self):
            self.layer = layer

        def forward(self, x):
            return self.layer(x, lengths=[3, 1])

    assert gradcheck(Run(), (rng.normal(size=(3, 2, 2)),))


def test_second_derivatives_through_time():
    rng = np.random.default_rng(11)
    assert gradcheck(LSTM(1, 2, generator=rng), (rng.normal(size=(2, 1, 1)),), second_order=True)


def test_a_cell_that_reads_tokens():
    class Tokens(nn.Module):
        feature_ndim = 0
        hidden_size = H

        def __init__(self):
            self.table = nn.Parameter(np.random.default_rng(12).normal(size=(10, H)))

        def forward(self, x, h):
            return mg.tanh(self.table[x] + 0.5 * h)

    layer = Recurrent(Tokens)
    tokens = np.array([[1, 2], [3, 4], [5, 6]])
    output, state = layer(tokens, lengths=[3, 2])
    assert output.shape == (3, 2, H) and state.shape == (1, 2, H) and output.dtype == np.float64
    output.sum().backward()
    assert layer.table_l0.grad.numpy().any(axis=1).tolist() == [False, True, True, True, True, True] + [False] * 4


# The layer as a module


def test_names_of_parameters():
    layer = Recurrent(MGUCell, I, H, num_layers=2, bidirectional=True)
    names = ["forget.weight", "forget.bias", "new.weight", "new.bias"]
    suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    assert list(layer.state_dict()) == [name + suffix for suffix in suffixes for name in names]
    assert [name for name, _ in layer.named_parameters()] == list(layer.state_dict())
    model = nn.Sequential(RNN(I, H), nn.Linear(H, 1))
    assert list(model.state_dict())[:2] == ["0.weight_ih_l0", "0.weight_hh_l0"]
    assert {"", "0", "0.cells.0", "1"} == {name for name, _ in model.named_modules()}


def test_cells_follow_their_layer():
    layer = GRU(I, H)
    assert not layer.eval().cells[0].training and layer.train().cells[0].training
    other = copy.deepcopy(layer).astype("float64")
    assert other.cells[0].weight_ih is other.weight_ih_l0 and other.cells[0].weight_ih.dtype == np.float64
    before = layer.weight_ih_l0.numpy().copy()
    other.load_state_dict({name: value + 1 for name, value in other.state_dict().items()})
    np.testing.assert_array_equal(layer.weight_ih_l0.numpy(), before)
    np.testing.assert_allclose(other.cells[0].weight_ih.numpy(), before + 1)


def test_a_parameter_that_is_set_is_the_cells():
    """Under the layer's name for it, or in the cell: there is one parameter, and the layer uses it."""
    layer = LSTM(I, H, num_layers=2, bidirectional=True)
    x = mg.tensor(np.ones((T, B, I), "float32"))
    for name in layer.state_dict():
        setattr(layer, name, nn.Parameter(np.zeros(getattr(layer, name).shape, "float32")))
    assert not layer(x)[0].numpy().any()
    assert layer.cells[3].weight_hh is layer.weight_hh_l1_reverse
    assert "weight_hh_l1_reverse" not in vars(layer)
    layer.cells[1].bias_ih = nn.Parameter(np.ones(4 * H, "float32"))
    assert layer.bias_ih_l0_reverse is layer.cells[1].bias_ih
    assert any(p is layer.cells[1].bias_ih for p in layer.parameters())
    assert layer.state_dict()["bias_ih_l0_reverse"].all() and "bias_ih_l0_reverse float32[16]" in repr(layer)
    layer.weight_l0 = 3  # no cell has a weight: an attribute as any other
    assert vars(layer)["weight_l0"] == 3


def test_layers_share_a_weight():
    layer = GRU(H, H, num_layers=2)
    layer.weight_hh_l1 = layer.weight_hh_l0
    assert len(list(layer.parameters())) == 7 and len(layer.state_dict()) == 8
    layer(mg.tensor(np.ones((T, B, H), "float32")))[0].sum().backward()
    assert layer.cells[1].weight_hh.grad is layer.weight_hh_l0.grad is not None
    twin = copy.deepcopy(layer)
    assert twin.weight_hh_l1 is twin.weight_hh_l0 is twin.cells[0].weight_hh is not layer.weight_hh_l0


@pytest.mark.parametrize("name", ["weight_ih_l1", "weight_ih_l0_reverse", "weight_l0", "weight_ih", "nothing"])
def test_no_such_parameter(name):
    layer = GRU(I, H)
    assert not hasattr(layer, name)
    with pytest.raises(AttributeError, match=f"GRU has no attribute '{name}'"):
        getattr(layer, name)


def test_a_generator_repeats_the_weights():
    first, again = [LSTM(I, H, num_layers=2, generator=np.random.default_rng(13)) for _ in range(2)]
    for p, q in zip(first.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    assert abs(first.weight_hh_l0.numpy() - first.weight_hh_l1.numpy()).max() > 0.01


# Errors

X = np.zeros((5, 3, 2), "float32")
MASK = np.ones((5, 3), bool)


def zeros(*shape):
    return np.zeros(shape, "float32")


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: LSTM(2, 4)(zeros(5, 3, 7)),
            r"LSTM: got x of shape (5, 3, 7), wanted (T, B, input_size=2), or unbatched",
        ),
        (lambda: RNN(2, 4)(zeros(5)), "RNN: got x of shape (5,), wanted (T, B, input_size=2)"),
        (
            lambda: GRU(2, 4, batch_first=True)(X[..., None]),
            "GRU: got x of shape (5, 3, 2, 1), wanted (B, T, input_size=2)",
        ),
        (
            lambda: Recurrent(MGUCell, 3, 4)(X),
            "Recurrent(MGUCell): got x of shape (5, 3, 2), wanted (T, B, input_size=3)",
        ),
        (
            lambda: ConvLSTM(1, 2, 3)(zeros(5, 3, 1, 4)),
            "ConvLSTM: got x of shape (5, 3, 1, 4), wanted (T, B, input_size=1, ",
        ),
        (lambda: LSTM(2, 4)(X.astype("float64")), "LSTM: got x of float64, its parameters are float32"),
        (
            lambda: LSTM(2, 4)(X.astype(int)),
            "LSTM: got x of int64, its parameters are float32; use x.astype('float32')",
        ),
        (lambda: Recurrent(MGUCell, 2, 4)(X > 0), "Recurrent(MGUCell): got x of bool, its parameters are float32"),
        (
            lambda: LSTMCell(2, 4)(zeros(2, 2), mg.tensor(zeros(2, 4))),
            "LSTMCell: got the state",
        ),
        (lambda: ConvLSTMCell(1, 2, 3)(zeros(2, 1, 4, 4), zeros(2, 2, 4, 4)), "ConvLSTMCell: got the state"),
        (lambda: LSTM(3, "4"), "LSTM: got hidden_size='4', wanted an integer"),
        (lambda: GRU("3", 4), "GRU: got input_size='3', wanted an integer"),
        (lambda: RNN(3, 4.0), "RNN: got hidden_size=4.0, wanted an integer"),
        (lambda: RNN(3, 4, num_layers="2"), "RNN: got num_layers='2', wanted an integer"),
        (lambda: ConvLSTM(1, 2, "3"), "ConvLSTM: got kernel_size='3', wanted an integer"),
        (lambda: ConvLSTM(1, 2, (3,) * 4), "ConvLSTMCell: got kernel_size=(3, 3, 3, 3), wanted an integer"),
        (lambda: ConvLSTM(1, 2, (3,))(zeros(5, 3, 4)), "wanted (T, B, input_size=1, length)"),
        (
            lambda: LSTM(2, 4)(X, (zeros(1, 3, 4), zeros(1, 2, 4))),
            "LSTM: got a state (float32[1, 3, 4], float32[1, 2, 4]), wanted (float32[1, 3, 4], float32[1, 3, 4])",
        ),
        (
            lambda: LSTM(2, 4)(X, zeros(1, 3, 4)),
            "LSTM: got a state float32[1, 3, 4], wanted (float32[1, 3, 4], float32",
        ),
        (lambda: GRU(2, 4)(X, zeros(3, 4)), "GRU: got a state float32[3, 4], wanted float32[1, 3, 4]"),
        (lambda: GRU(2, 4)(X[0], zeros(1, 1, 4)), "GRU: got a state float32[1, 1, 4], wanted float32[1, 4]"),
        (lambda: GRU(2, 4)(X, 0), "GRU: got a state int, wanted float32[1, 3, 4]"),
        (lambda: GRU(2, 4)(X, lengths=[1, 2, 6]), "GRU: got lengths [1, 2, 6], wanted each from 0 to T=5"),
        (lambda: GRU(2, 4)(X, lengths=[1, 2, -1]), "GRU: got lengths [1, 2, -1], wanted each from 0 to T=5"),
        (lambda: GRU(2, 4)(X, lengths=[1, 2]), "GRU: got lengths of shape (2,), wanted (3,)"),
        (lambda: GRU(2, 4)(X[0], lengths=[1]), "GRU: got lengths of shape (1,), wanted (), one number"),
        (lambda: GRU(2, 4)(X, lengths=[1.0, 2, 3]), "GRU: got lengths of float64, wanted integers"),
        (lambda: GRU(2, 4)(X, mask=zeros(5, 3)), "GRU: got a mask of float32, wanted bool"),
        (lambda: GRU(2, 4)(X, mask=MASK.T), "GRU: got a mask of shape (3, 5), wanted (5, 3)"),
        (lambda: GRU(2, 4)(X, lengths=[1, 1, 1], mask=MASK), "GRU: got lengths and a mask, wanted one of them"),
        (lambda: GRU(2, 4, num_layers=0), "GRU: got num_layers=0, wanted an integer of at least 1"),
        (lambda: Recurrent(GRUCell, 2, 4, bidirectional=True, reverse=True), "Recurrent: bidirectional runs both ways"),
        (
            lambda: Recurrent(GRUCell, 2, 4, bidirectional=True, merge_mode="average"),
            "Recurrent: got merge_mode='average', wanted one of concat, sum, ave, mul",
        ),
        (
            lambda: Recurrent(GRUCell, 2, 4, merge_mode="sum"),
            "Recurrent: merge_mode='sum' wants two directions, bidirectional=True",
        ),
        (lambda: Recurrent(lambda: print), "Recurrent: wanted a cell, an nn.Module, got builtin_function_or_method"),
        (
            lambda: Recurrent(GRUCell(2, 4), num_layers=2),
            "Recurrent: every layer and direction wants a cell of its own",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        call()
