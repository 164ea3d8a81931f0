import re

import numpy as np
import pytest
from bptt import conv
from hypothesis import given
from hypothesis import strategies as st
from steps import assert_gradients, assert_layer_is, randomize, sigmoid

import minigrad as mg
from minigrad.models import GRU, ConvGRU
from minigrad.testing import seeds


def conv_gru(p, x, state):
    """The GRU of Ballas et al. 2015, on one image (I, rows, columns)."""
    [h] = state

    def maps(x, W):
        return conv(x[None], W)[0]

    (W_r, W_z, W_n), (U_r, U_z, U_n) = [np.split(p[n], 3) for n in ("weight_ih", "weight_hh")]
    b_r, b_z, b_n = np.split(p["bias"][:, None, None], 3)
    z = sigmoid(maps(x, W_z) + maps(h, U_z) + b_z)
    r = sigmoid(maps(x, W_r) + maps(h, U_r) + b_r)
    h = (1 - z) * h + z * np.tanh(maps(x, W_n) + maps(r * h, U_n) + b_n)
    return h, [h]


sizes, sides = st.integers(1, 3), st.integers(1, 5)


@pytest.mark.eager_only("every size would be compiled")
@given(
    I=sizes, H=sizes, k=st.sampled_from([1, 3, 5]), image=st.tuples(sides, sides), both=st.booleans(), rng=seeds(),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3), num_layers=st.integers(1, 2),
)  # fmt: skip
def test_stacks_are_the_equations(I, H, k, image, both, rng, lengths, num_layers):
    layer = randomize(ConvGRU(I, H, k, num_layers=num_layers, bidirectional=both), rng)
    assert_layer_is(layer, conv_gru, rng.normal(size=(max(lengths), len(lengths), I, *image)), lengths)


def test_equations_and_gradients():
    rng = np.random.default_rng(1)
    layer = randomize(ConvGRU(1, 2, 3), rng)
    x, lengths = rng.normal(size=(3, 2, 1, 2, 3)), [1, 3]
    assert_layer_is(layer, conv_gru, x, lengths)
    assert_gradients(layer, x, lengths, rng)


@pytest.mark.eager_only("compiled above")
def test_one_pixel_is_a_gru():
    """On images of one pixel it is the GRU that resets before the product; its z keeps where ours lets in."""
    rng = np.random.default_rng(2)
    images, vectors = randomize(ConvGRU(3, 4, 1), rng), GRU(3, 4, reset_after=False).astype("float64")
    sign = np.repeat([1.0, -1.0, 1.0], 4)
    values = {name.replace("bias", "bias_ih"): p.reshape(12, -1) for name, p in images.state_dict().items()}
    vectors.load_state_dict({
        name: (sign[:, None] * value).reshape(12) if "bias" in name else sign[:, None] * value
        for name, value in values.items()
    })  # fmt: skip
    x = mg.tensor(rng.normal(size=(5, 2, 3)))
    output, h = images(x.reshape(5, 2, 3, 1, 1))
    wanted, h_n = vectors(x)
    np.testing.assert_allclose(output.numpy()[..., 0, 0], wanted.numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(h.numpy()[..., 0, 0], h_n.numpy(), rtol=1e-12, atol=1e-14)


def test_errors():
    message = "ConvGRU: got x of shape (5, 2, 3), wanted (T, B, input_size=3, rows, columns)"
    with pytest.raises(ValueError, match=re.escape(message)):
        ConvGRU(3, 4, 3)(mg.tensor(np.zeros((5, 2, 3), "float32")))
