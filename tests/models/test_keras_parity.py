"""Outputs, last states and all gradients are those of Keras 3, which runs on PyTorch here, from its own weights."""

import os
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models import ConvLSTMCell, GRUCell, LSTMCell, Recurrent, RNNCell
from minigrad.testing import seeds

os.environ["KERAS_BACKEND"] = "torch"
torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
pytestmark = pytest.mark.parity

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
sizes = st.integers(1, 4)


def reordered(array, order: str):
    """The blocks along the last axis, Keras' order "zrn" brought into ours, "rzn"."""
    blocks = dict(zip(order, np.split(array, len(order), axis=-1)))
    return np.concatenate([blocks[name] for name in sorted(order, key="ifgo rzn".index)], axis=-1)


def ours(weights, order, two_biases=False):
    """Keras' [kernel, recurrent kernel, bias], or their gradients, as our parameters: blocks of rows."""
    kernel, recurrent, bias = [reordered(np.asarray(w), order) for w in weights]
    axes = (kernel.ndim - 1, kernel.ndim - 2, *range(kernel.ndim - 2))
    named = {"weight_ih": kernel.transpose(axes), "weight_hh": recurrent.transpose(axes)}
    if kernel.ndim > 2:
        return named | {"bias": bias}
    return named | ({"bias_ih": bias[0], "bias_hh": bias[1]} if two_biases else {"bias_ih": bias})


def numpy_of(variables):
    return [v.value.detach().numpy() for v in variables], [v.value.grad for v in variables]


def check(layer, theirs, cells, order, x, rng):
    """Both layers on x (B, T, I) or (B, T, I, rows, columns) or the like. cells: Keras', in the order of ours."""
    images = x.ndim > 3
    theirs.build((*x.shape[:2], *x.shape[3:], x.shape[2]) if images else x.shape)
    for variable in theirs.weights:
        variable.assign(rng.normal(size=variable.shape))
    two = order == "zrn" and cells[0].reset_after
    suffixes = ["_l0", "_l0_reverse"][: len(cells)]
    values = {
        name + suffix: value
        for cell, suffix in zip(cells, suffixes)
        for name, value in ours(numpy_of(cell.weights)[0], order, two).items()
    }
    layer.astype(x.dtype)
    assert layer.load_state_dict(values) == ([], [])

    z = torch.tensor(np.moveaxis(x, 2, -1) if images else x, requires_grad=True)
    x = mg.tensor(x, requires_grad=True)
    output, state = layer(x)
    state = state if isinstance(state, tuple) else (state,)
    results = [output, *[leaf[k] for k in range(len(cells)) for leaf in state]]
    wanted = [w.movedim(-1, 2 - x.ndim) if images else w for w in theirs(z)]
    weights = [rng.normal(size=y.shape).astype(y.dtype) for y in results]
    sum((y * w).sum() for y, w in zip(results, weights, strict=True)).backward()
    sum((y * torch.tensor(w)).sum() for y, w in zip(wanted, weights, strict=True)).backward()

    for got, w in zip(results, wanted):
        close(got.detach().numpy(), w.detach().numpy())
    close(x.grad.numpy(), (z.grad.movedim(-1, 2) if images else z.grad).numpy())
    for cell, suffix in zip(cells, suffixes):
        for name, gradient in ours(numpy_of(cell.weights)[1], order, two).items():
            close(getattr(layer, name + suffix).grad.numpy(), gradient, name + suffix)


def close(got, wanted, name=""):
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    error = abs(got - wanted).max() / max(1, abs(wanted).max())
    assert error <= TOLERANCE[str(got.dtype)], f"{name}: {error:.1e}"


# Our cell, Keras' layer, its order of gates. keras.ops.matmul rounds to float32, so those that use it are compared so.
PAIRS = {
    "rnn": (partial(RNNCell, two_biases=False), keras.layers.SimpleRNN, "g", "float32"),
    "relu": (
        partial(RNNCell, two_biases=False, nonlinearity="relu"),
        partial(keras.layers.SimpleRNN, activation="relu"),
        "g",
        "float32",
    ),
    "lstm": (partial(LSTMCell, two_biases=False), keras.layers.LSTM, "ifgo", "float64"),
    "gru": (GRUCell, keras.layers.GRU, "zrn", "float64"),
    "gru2014": (
        partial(GRUCell, reset_after=False),
        partial(keras.layers.GRU, reset_after=False),
        "zrn",
        "float32",
    ),
}


def both(kind, H):
    """Our cell's maker, Keras' layer, the order and dtype."""
    cell, theirs, order, dtype = PAIRS[kind]
    return cell, theirs(H, return_sequences=True, return_state=True, dtype=dtype), order, dtype


@pytest.mark.parametrize("kind", PAIRS)
@settings(max_examples=3)
@given(T=st.integers(1, 6), B=sizes, I=sizes, H=sizes, rng=seeds())
def test_layer(kind, T, B, I, H, rng):
    cell, theirs, order, dtype = both(kind, H)
    x = rng.normal(size=(B, T, I)).astype(dtype)
    check(Recurrent(cell, I, H, batch_first=True), theirs, [theirs.cell], order, x, rng)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "ave", "mul"])
@settings(max_examples=2)
@given(kind=st.sampled_from(list(PAIRS)), T=st.integers(1, 6), B=sizes, I=sizes, H=sizes, rng=seeds())
def test_both_directions(merge_mode, kind, T, B, I, H, rng):
    cell, theirs, order, dtype = both(kind, H)
    theirs = keras.layers.Bidirectional(theirs, merge_mode=merge_mode, dtype=dtype)
    layer = Recurrent(cell, I, H, bidirectional=True, merge_mode=merge_mode, batch_first=True)
    cells = [theirs.forward_layer.cell, theirs.backward_layer.cell]
    check(layer, theirs, cells, order, rng.normal(size=(B, T, I)).astype(dtype), rng)


def hard_sigmoid(a):
    """Keras' own before version 3."""
    return keras.ops.clip(0.2 * a + 0.5, 0, 1)


@settings(max_examples=2)
@given(
    T=st.integers(1, 3), B=sizes, I=sizes, H=sizes, k=st.integers(1, 3), image=st.tuples(sizes, sizes),
    hard=st.booleans(), rng=seeds(),
)  # fmt: skip
@example(T=2, B=2, I=2, H=3, k=3, image=(4, 3), hard=False, rng=np.random.default_rng(0))
@example(T=2, B=2, I=1, H=2, k=2, image=(3, 4), hard=True, rng=np.random.default_rng(0))
def test_images(T, B, I, H, k, image, hard, rng):
    """Its ConvLSTM2D has no peepholes, and channels come last."""
    theirs = keras.layers.ConvLSTM2D(
        H, k, padding="same", return_sequences=True, return_state=True, dtype="float64", data_format="channels_last",
        recurrent_activation=hard_sigmoid if hard else "sigmoid",
    )  # fmt: skip
    layer = Recurrent(ConvLSTMCell, I, H, k, hard_sigmoid=hard, batch_first=True)
    check(layer, theirs, [theirs.cell], "ifgo", rng.normal(size=(B, T, I, *image)), rng)


OTHER_IMAGES = {
    "sequences": (1, {}, {}), "sequences, valid": (1, {"padding": "valid"}, {}),
    "stride": (2, {"padding": "valid", "strides": (2, 1)}, {"stride": (2, 1)}),
    "dilation": (2, {"padding": "valid", "dilation_rate": 2}, {"dilation": 2}),
    "volumes": (3, {}, {}), "volumes, stride": (3, {"padding": "valid", "strides": 2}, {"stride": 2}),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_IMAGES)
def test_images_of_other_axes_and_convolutions(name):
    ndim, given, options = OTHER_IMAGES[name]
    rng = np.random.default_rng(0)
    theirs = getattr(keras.layers, f"ConvLSTM{ndim}D")(
        2, 2, **{"padding": "same", **given}, return_sequences=True, return_state=True, dtype="float64",
        data_format="channels_last",
    )  # fmt: skip
    options = {"padding": given.get("padding", "same"), **options}
    layer = Recurrent(ConvLSTMCell, 1, 2, (2,) * ndim, **options, batch_first=True)
    check(layer, theirs, [theirs.cell], "ifgo", rng.normal(size=(2, 3, 1, *(5, 4, 3)[:ndim])), rng)


@pytest.mark.eager_only("nothing is run")
def test_the_bias_of_the_forget_gate_begins_as_keras():
    """1 for the forget gate, in all; the rest is PyTorch's, and zero in Keras."""
    f = slice(4, 8)
    theirs, images = keras.layers.LSTM(4), keras.layers.ConvLSTM2D(4, 3)
    theirs.build((1, 2, 3))
    images.build((1, 2, 5, 5, 3))
    for bias in (theirs.cell.bias, images.cell.bias):
        assert (bias.value.detach().numpy()[f] == 1).all()
    for two in (False, True):
        cell = LSTMCell(3, 4, two_biases=two, unit_forget_bias=True)
        total = cell.bias_ih.numpy() + (cell.bias_hh.numpy() if two else 0)
        assert (total[f] == 1).all() and (np.delete(total, np.r_[f]) < 1).all()
    assert (ConvLSTMCell(3, 4, 3, unit_forget_bias=True).bias.numpy()[f] == 1).all()
    assert (LSTMCell(3, 4, two_biases=False).bias_ih.numpy() < 1).all()
