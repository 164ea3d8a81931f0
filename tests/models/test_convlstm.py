import numpy as np
import pytest
from bptt import assert_layer_agrees, convlstm
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models import ConvLSTM, ConvLSTMCell, EncoderForecaster, FramePredictor
from minigrad.testing import gradcheck, seeds

sizes = st.integers(1, 3)
sides = st.integers(1, 5)


@given(
    T=st.integers(1, 5), B=sizes, I=sizes, H=sizes, k=st.sampled_from([1, 3, 5]), image=st.tuples(sides, sides),
    peepholes=st.booleans(), rng=seeds(),
)  # fmt: skip
def test_gradients_are_those_derived_by_hand(T, B, I, H, k, image, peepholes, rng):
    layer = ConvLSTM(I, H, k, peepholes=image if peepholes else None, generator=rng)
    h0, c0 = rng.normal(size=(2, B, H, *image))
    assert_layer_agrees(layer, convlstm, rng.normal(size=(T, B, I, *image)), h0, c0, rng=rng)


@pytest.mark.parametrize("peepholes", [None, (2, 3)])
def test_gradcheck(peepholes):
    rng = np.random.default_rng(1)
    cell = ConvLSTMCell(1, 2, 3, peepholes=peepholes, generator=rng)
    assert gradcheck(cell, (rng.normal(size=(1, 1, 2, 3)), tuple(rng.normal(size=(2, 1, 2, 2, 3)))))


def test_even_kernels_keep_the_size():
    h, c = ConvLSTMCell(1, 2, 4)(mg.tensor(np.zeros((3, 1, 5, 6), "float32")), [np.zeros((3, 2, 5, 6), "float32")] * 2)
    assert h.shape == c.shape == (3, 2, 5, 6)


def test_one_pixel_is_an_lstm():
    """On images of one pixel a ConvLSTM with kernels of one pixel is the LSTM."""
    from minigrad.models import LSTM

    rng = np.random.default_rng(2)
    images, vectors = ConvLSTM(3, 4, 1).astype("float64"), LSTM(3, 4).astype("float64")
    values = vectors.state_dict()
    bias = values["bias_ih_l0"] + values["bias_hh_l0"]
    weights = {name: values[name][:, :, None, None] for name in ("weight_ih_l0", "weight_hh_l0")}
    images.load_state_dict({"bias_l0": bias, **weights})
    x = mg.tensor(rng.normal(size=(5, 2, 3)))
    output, (h, c) = vectors(x)
    y, (h_image, c_image) = images(x.reshape(5, 2, 3, 1, 1))
    for got, wanted in [(y, output), (h_image, h), (c_image, c)]:
        np.testing.assert_allclose(got.numpy()[..., 0, 0], wanted.numpy(), rtol=1e-12, atol=1e-12)


def test_bidirectional_stack_joins_channels():
    layer = ConvLSTM(2, 3, 3, num_layers=2, bidirectional=True, batch_first=True)
    x = mg.tensor(np.random.default_rng(3).normal(size=(2, 4, 2, 5, 6)).astype("float32"))
    output, (h, c) = layer(x, lengths=[4, 2])
    assert output.shape == (2, 4, 6, 5, 6) and h.shape == c.shape == (4, 2, 3, 5, 6)
    assert not output.numpy()[1, 2:].any() and output.numpy()[1, :2].all()
    unbatched, (h, c) = layer(x[0])
    np.testing.assert_allclose(unbatched.numpy(), output.numpy()[0], atol=1e-6)
    assert unbatched.shape == (4, 6, 5, 6) and h.shape == (4, 3, 5, 6)


def test_errors():
    with pytest.raises(
        ValueError, match=r"ConvLSTM: got x of shape \(5, 2, 3\), wanted \(T, B, input_size=3, rows, columns\)"
    ):
        ConvLSTM(3, 4, 3)(mg.tensor(np.zeros((5, 2, 3), "float32")))


@pytest.mark.parametrize("peepholes", [None, (2, 3)])
def test_forecaster_step_by_step(peepholes):
    """Cell by cell and frame by frame: the forecaster's cells begin with the encoder's states, and see zeros."""
    rng = np.random.default_rng(4)
    model = EncoderForecaster(2, (3, 2), 3, peepholes=peepholes, generator=rng).astype("float64")
    x, nothing = mg.tensor(rng.normal(size=(3, 2, 2, 2, 3))), mg.tensor(np.zeros((2, 1, 2, 3)))
    states = [layer.cells[0].initial_state(nothing) for layer in model.encoder]

    def step(stack, below):
        for k, layer in enumerate(stack):
            states[k] = layer.cells[0](below, states[k])
            below = states[k][0]

    for frame in x:
        step(model.encoder, frame)
    W, b = model.read_out.weight.numpy()[..., 0, 0], model.read_out.bias.numpy()
    for got in model(x, 4).detach().numpy():
        step(model.forecaster, nothing)
        hidden = np.concatenate([h.detach().numpy() for h, _ in states], axis=1)
        np.testing.assert_allclose(got, np.einsum("oc,bcij->boij", W, hidden) + b[:, None, None], rtol=1e-10)


def test_forecaster_gradients():
    rng = np.random.default_rng(5)

    class TwoFrames(mg.nn.Module):
        def __init__(self):
            self.model = EncoderForecaster(1, (1, 1), 3, generator=rng)

        def forward(self, x):
            return self.model(x, 2)

    assert gradcheck(TwoFrames(), rng.normal(size=(2, 1, 1, 1, 2)))


@given(T=st.integers(1, 3), steps=st.integers(1, 3), layers=st.integers(1, 2), rng=seeds())
def test_a_predictor_reads_on_in_its_own_words(T, steps, layers, rng):
    """What it is told and what it tells itself are read alike; a true frame takes the place of its own where given."""
    model = FramePredictor(2, (3,) * layers, 3, generator=rng).astype("float64")
    x = rng.uniform(size=(T, 2, 2, 4, 5))
    logits = model(mg.tensor(x), steps).numpy()
    assert logits.shape == (T - 1 + steps, 2, 2, 4, 5)
    own = 1 / (1 + np.exp(-logits[T - 1 : -1]))
    np.testing.assert_allclose(model(mg.tensor(np.concatenate([x, own])), 1).numpy(), logits, rtol=1e-9)
    truth, given = rng.uniform(size=own.shape), rng.random((steps - 1, 2)) < 0.5
    mixed = model(mg.tensor(x), steps, mg.tensor(truth), mg.tensor(given)).numpy()
    own = 1 / (1 + np.exp(-mixed[T - 1 : -1]))
    read = np.where(given[:, :, None, None, None], truth, own)
    np.testing.assert_allclose(model(mg.tensor(np.concatenate([x, read])), 1).numpy(), mixed, rtol=1e-9)


def test_gradcheck_of_a_predictor():
    rng = np.random.default_rng(4)
    model = FramePredictor(1, (2,), 3, generator=rng)
    x, truth = rng.uniform(size=(2, 2, 1, 1, 2, 3))
    assert gradcheck(lambda x, truth: model(x, 3, truth, mg.tensor([[True], [False]])), (x, truth))
