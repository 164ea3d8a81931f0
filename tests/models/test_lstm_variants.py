import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import assert_gradients, assert_layer_is, assert_same_as_torch, randomize, sigmoid

import minigrad as mg
from minigrad.models import VARIANTS, LSTMVariantCell, Recurrent
from minigrad.testing import seeds

OPTIONS = {**VARIANTS, "olah": {"output_sees_old": True}, "nfg fgr": {**VARIANTS["nfg"], **VARIANTS["fgr"]}}
BLOCKS = {"nig": "fgo", "nfg": "igo", "nog": "ifg", "cifg": "igo", "lstm1997": "igo", "nfg fgr": "igo"}


def variant(name):
    """One step of the LSTM of Greff et al. 2015, changed as the name says."""
    words = name.split()
    blocks = BLOCKS.get(name, "ifgo")

    def step(p, x, state):
        h, c = state[:2]
        a = {b: np.zeros(len(h)) for b in "ifgo"}
        for b, W, R, bias in zip(blocks, *[np.split(p[n], len(blocks)) for n in ("weight_ih", "weight_hh", "bias")]):
            a[b] = W @ x + R @ h + bias
        if "fgr" in words:
            fed_back = p["weight_gates"] @ state[2]
            for b, r in zip(blocks.replace("g", ""), np.split(fed_back, len(blocks) - 1)):
                a[b] = a[b] + r
        peepholes = not {"np", "lstm1997"} & set(words)
        i = 1.0 if "nig" in words else sigmoid(a["i"] + (p["weight_ci"] * c if peepholes else 0))
        if "nfg" in words or "lstm1997" in words:
            f = 1.0
        elif "cifg" in words:
            f = 1 - i
        else:
            f = sigmoid(a["f"] + (p["weight_cf"] * c if peepholes else 0))
        z = a["g"] if "niaf" in words else np.tanh(a["g"])
        new = f * c + i * z
        seen = c if "olah" in words else new
        o = 1.0 if "nog" in words else sigmoid(a["o"] + (p["weight_co"] * seen if peepholes else 0))
        y = o * (new if "noaf" in words else np.tanh(new))
        gates = [np.concatenate([g for g, b in zip((i, f, o), "ifo") if b in blocks])] if "fgr" in words else []
        return y, [y, new, *gates]

    return step


sizes = st.integers(1, 4)


@pytest.mark.eager_only("every size would be compiled")
@given(
    name=st.sampled_from(list(OPTIONS)), I=sizes, H=sizes, lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    num_layers=st.integers(1, 2), both=st.booleans(), rng=seeds(),
)  # fmt: skip
def test_stacks_are_the_equations(name, I, H, lengths, num_layers, both, rng):
    layer = Recurrent(LSTMVariantCell, I, H, num_layers=num_layers, bidirectional=both, **OPTIONS[name])
    assert_layer_is(randomize(layer, rng), variant(name), rng.normal(size=(max(lengths), len(lengths), I)), lengths)


@pytest.mark.parametrize("name", VARIANTS)
def test_equations_and_gradients(name):
    rng = np.random.default_rng(1)
    layer = randomize(Recurrent(LSTMVariantCell, 2, 3, **OPTIONS[name]), rng)
    x, lengths = rng.normal(size=(4, 2, 2)), [2, 4]
    assert_layer_is(layer, variant(name), x, lengths)
    assert_gradients(layer, x, lengths, rng)


@pytest.mark.eager_only("compiled above")
@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in VARIANTS])
def test_gradients_of_options(name):
    rng = np.random.default_rng(1)
    layer = randomize(Recurrent(LSTMVariantCell, 2, 3, **OPTIONS[name]), rng)
    assert_gradients(layer, rng.normal(size=(4, 2, 2)), [2, 4], rng)


@pytest.mark.eager_only("compiled above")
def test_without_peepholes_it_is_pytorchs_lstm(torch):
    torch.manual_seed(0)
    reference = torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True, dtype=torch.float64)
    layer = Recurrent(LSTMVariantCell, 3, 5, peepholes=False, num_layers=2, bidirectional=True).astype("float64")
    theirs = dict(reference.named_parameters())
    values = {name: p.detach().numpy() for name, p in theirs.items() if "weight" in name}
    values |= {
        name.replace("bias_ih", "bias"): (p + theirs[name.replace("ih", "hh")]).detach().numpy()
        for name, p in theirs.items()
        if "bias_ih" in name
    }
    layer.load_state_dict(values)
    same = [(p, theirs[name.replace("bias", "bias_ih")]) for name, p in layer.named_parameters()]
    assert_same_as_torch(layer, reference, np.random.default_rng(2).normal(size=(7, 4, 3)), same)


@pytest.mark.eager_only("compiled above")
def test_constant_error_carousel_of_1997():
    """Where the gates do not see h, ∂c_T/∂c_0 is the identity, whatever they are."""
    layer = randomize(Recurrent(LSTMVariantCell, 2, 3, **VARIANTS["lstm1997"]), np.random.default_rng(4))
    with mg.no_grad():
        layer.weight_hh_l0.zero_()
    h, c = [mg.tensor(np.ones((1, 1, 3)), requires_grad=True) for _ in range(2)]
    _, (_, c_n) = layer(mg.tensor(np.ones((50, 1, 2))), (h, c))
    c_n.sum().backward()
    np.testing.assert_array_equal(c.grad.numpy(), np.ones((1, 1, 3)))


@pytest.mark.eager_only("compiled above")
def test_gates_that_there_are():
    x = mg.tensor(np.ones((3, 2, 4), "float32"))
    for name, gates in {"peephole": "gifo", "nig": "gfo", "cifg": "gio", "lstm1997": "gio"}.items():
        _, _, [(_, watched)] = Recurrent(LSTMVariantCell, 4, 2, **VARIANTS[name])(x, return_states=True)
        assert "".join(watched) == gates


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: LSTMVariantCell(2, 3, coupled=True, forget_gate=False), "LSTMVariantCell: coupled makes f of i, so"),
        (lambda: LSTMVariantCell(2, 3)(np.zeros((1, 2)), mg.tensor([[1.0]])), "LSTMVariantCell: got the state"),
        (lambda: LSTMVariantCell(2, -1), "LSTMVariantCell: got hidden_size=-1, wanted an integer of at least 0"),
    ],
)
def test_errors(make, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        make()
