import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import assert_gradients, assert_layer_is, assert_same_as_torch, randomize, sigmoid

from minigrad.models import LayerNormLSTMCell, Recurrent
from minigrad.testing import seeds


def layer_norm(x, gain, bias):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * gain + bias


def layer_normalized(keeps_normed):
    def step(p, x, state):
        h, c = state
        a = layer_norm(p["weight_ih"] @ x, p["norm_x.weight"], p["norm_x.bias"])
        a = a + layer_norm(p["weight_hh"] @ h, p["norm_h.weight"], p["norm_h.bias"])
        i, f, g, o = np.split(a, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        normed = layer_norm(c, p["norm_c.weight"], p["norm_c.bias"])
        h = sigmoid(o) * np.tanh(normed)
        return h, [h, normed if keeps_normed else c]

    return step


sizes = st.integers(1, 4)


@pytest.mark.eager_only("every size would be compiled")
@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3), I=sizes, H=sizes, carried=st.booleans(),
    num_layers=st.integers(1, 2), both=st.booleans(), rng=seeds(),
)  # fmt: skip
def test_stacks_are_the_equations(lengths, I, H, carried, num_layers, both, rng):
    layer = Recurrent(LayerNormLSTMCell, I, H, normalize_memory=carried, num_layers=num_layers, bidirectional=both)
    assert_layer_is(
        randomize(layer, rng), layer_normalized(carried), rng.normal(size=(max(lengths), len(lengths), I)), lengths
    )


@pytest.mark.parametrize("carried", [True, False])
def test_equations_and_gradients(carried):
    rng = np.random.default_rng(1)
    layer = randomize(Recurrent(LayerNormLSTMCell, 2, 3, normalize_memory=carried), rng)
    x, lengths = rng.normal(size=(4, 2, 2)), [2, 4]
    assert_layer_is(layer, layer_normalized(carried), x, lengths)
    assert_gradients(layer, x, lengths, rng)


@pytest.mark.eager_only("compiled above")
@pytest.mark.parametrize("carried", [True, False])
def test_it_is_pytorchs_benchmark(torch, carried):
    """benchmarks/fastrnns/custom_lstms.py of PyTorch, its lines in its order; the paper does not carry the normed c."""
    rng = np.random.default_rng(3)
    layer = randomize(Recurrent(LayerNormLSTMCell, 3, 5, normalize_memory=carried), rng)
    p = {name: torch.tensor(q.numpy(), requires_grad=True) for name, q in layer.named_parameters()}

    def normed(x, name):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], p[f"{name}.weight_l0"], p[f"{name}.bias_l0"])

    def reference(x):
        hx = cx = torch.zeros(x.shape[1], 5, dtype=torch.float64)
        outputs = []
        for x_t in x:
            gates = normed(torch.mm(x_t, p["weight_ih_l0"].t()), "norm_x")
            gates = gates + normed(torch.mm(hx, p["weight_hh_l0"].t()), "norm_h")
            ingate, forgetgate, cellgate, outgate = gates.chunk(4, 1)
            ingate, forgetgate, outgate = torch.sigmoid(ingate), torch.sigmoid(forgetgate), torch.sigmoid(outgate)
            cy = (forgetgate * cx) + (ingate * torch.tanh(cellgate))
            hx = outgate * torch.tanh(normed(cy, "norm_c"))
            cx = normed(cy, "norm_c") if carried else cy
            outputs.append(hx)
        return torch.stack(outputs), (hx[None], cx[None])

    same = [(q, p[name]) for name, q in layer.named_parameters()]
    assert_same_as_torch(layer, reference, rng.normal(size=(7, 4, 3)), same)
