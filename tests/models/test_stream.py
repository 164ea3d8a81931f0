"""A layer one step at a time is the layer over the whole sequence."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_steps_of_cells import Reader, Shown

import minigrad as mg
from minigrad import nn
from minigrad.models import (
    GRU,
    LSTM,
    ConvLSTM,
    DepthGatedLSTMCell,
    GridLSTMCell,
    GRUCell,
    Recurrent,
    VariationalDropout,
)
from minigrad.testing import seeds

pytestmark = pytest.mark.eager_only("jitted here")
T, B, I, H = 6, 3, 2, 4
LAYERS = {
    "LSTM": lambda: LSTM(I, H, num_layers=2),
    "GRU, batch first": lambda: GRU(I, H, batch_first=True),
    "projected": lambda: LSTM(I, H, proj_size=2),
    "depth gated": lambda: Recurrent(DepthGatedLSTMCell, I, H),
    "grid": lambda: Recurrent(GridLSTMCell, I, H, depth=2),
    "an output beside the state": lambda: Recurrent(Shown, I, H, num_layers=2),
    "a context": lambda: Recurrent(Reader, I, H),
    "images": lambda: ConvLSTM(I, H, 3),
}


def close(a, b):
    for x, y in zip(mg.tree.flatten(a)[0], mg.tree.flatten(b)[0], strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=4)
@given(rng=seeds(), jitted=st.booleans(), batched=st.booleans())
def test_steps_are_those_of_the_whole_sequence(name, rng, jitted, batched):
    layer = LAYERS[name]().astype("float64")
    features = (I, 3, 4) if name == "images" else (I,)
    x = rng.normal(size=(T, *([B] if batched else []), *features))
    batch = (B,) if batched else ()
    context = (rng.normal(size=(5, *batch, 3)), np.ones((5, *batch), bool)) if name == "a context" else None
    time = int(layer.batch_first and batched)
    output, state = layer(np.moveaxis(x, 0, time), context=context)
    step = (mg.jit(layer) if jitted else layer).stream(B if batched else None, context=context)
    for _ in range(2):
        assert step.steps == 0 and step.state is None
        ys = [step(x_t) for x_t in x]
        close([mg.stack(ys, axis=time), step.state], [output, state])
        assert step.steps == T and not ys[-1].requires_grad
        step.reset()


def test_a_stream_goes_on_from_a_state():
    layer, x = LSTM(I, H), np.random.default_rng(0).normal(size=(T, B, I)).astype("float32")
    _, state = layer(x[:4])
    step = layer.stream(B)
    step.state = state
    np.testing.assert_allclose(step(x[4]).numpy(), layer(x[:5])[0][4].detach().numpy(), rtol=1e-6)
    again = pickle.loads(pickle.dumps(step))
    np.testing.assert_array_equal(again(x[5]).numpy(), step(x[5]).numpy())
    assert repr(step) == "Stream(LSTM, a batch of 3, 2 steps since it was reset)"


def test_a_compiled_stream_is_traced_for_its_first_step_and_for_all_others():
    fast = mg.jit(LSTM(I, H, num_layers=2))
    step = fast.stream(B)
    for _ in range(5):
        step(np.ones((B, I), "float32"))
    step.reset()
    step(np.ones((B, I), "float32"))
    assert fast.traces == 2


def test_a_step_that_raises_changes_nothing():
    step = GRU(I, H).stream(B)
    step(np.ones((B, I), "float32"))
    before = step.state
    for wrong, message in (
        ((B + 1, I), "got x of shape .4, 2., wanted that of a step, .3, input_size."),
        ((B, 5), "wanted .T, B, input_size=2."),
    ):
        with pytest.raises(ValueError, match=message):
            step(np.ones(wrong, "float32"))
    assert step.state is before and step.steps == 1


def test_what_cannot_be_streamed():
    with pytest.raises(ValueError, match="LSTM: got a bidirectional layer, whose first output waits for the last step"):
        LSTM(I, H, bidirectional=True).stream(B)
    with pytest.raises(ValueError, match=r"Recurrent\(GRUCell\): got a reversed layer"):
        Recurrent(GRUCell, I, H, reverse=True).stream(B)
    layer = Recurrent(VariationalDropout(GRUCell(I, H), 0.5, 0.5))
    step, x = layer.stream(B), np.ones((B, I), "float32")
    with pytest.raises(RuntimeError, match="Stream: masks of dropout that all steps share .*layer.eval()"):
        step(x)
    layer.eval()
    np.testing.assert_allclose(step(x).numpy(), layer(x[None])[0][0].detach().numpy())
    assert isinstance(step, nn.Stream)
