"""Labels of frames against their equations in NumPy, a frame at a time."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import FrameClassifier, GRUCell, LSTMCell, convolutions
from minigrad.testing import gradcheck, seeds

D, F, H, K = 2, 4, 3, 5  # maps, features (maps of 1 x 2), hidden units, classes
IMAGE = (1, 2, 4)
sizes = st.integers(1, 4)
either = pytest.mark.parametrize("cell", [LSTMCell, None], ids=["lstm", "alone"])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def made(rng, cell=LSTMCell):
    return FrameClassifier(convolutions(1, D, generator=rng), F, H, K, cell, generator=rng).astype("float64")


def features(p, image):
    """Convolution of 3 x 3, relu and maximum of 2 x 2, pixel by pixel."""
    _, rows, columns = image.shape
    around = np.pad(image, [(0, 0), (1, 1), (1, 1)])
    seen = np.zeros((D, rows, columns))
    for d, r, c in np.ndindex(seen.shape):
        window = around[:, r : r + 3, c : c + 3]
        seen[d, r, c] = max(0, (p["encoder.0.weight"][d] * window).sum() + p["encoder.0.bias"][d])
    pooled = [[[m[r : r + 2, c : c + 2].max() for c in range(0, columns, 2)] for r in range(0, rows, 2)] for m in seen]
    return np.ravel(pooled)


def told(p, film):
    """The logits of the frames of one video."""
    logits, h, c = [], np.zeros(H), np.zeros(H)
    for image in film:
        x = features(p, image)
        if "alone.weight" in p:
            h = np.maximum(p["alone.weight"] @ x + p["alone.bias"], 0)
        else:
            q = {name.removeprefix("recurrent."): value for name, value in p.items()}
            a = q["weight_ih_l0"] @ x + q["bias_ih_l0"] + q["weight_hh_l0"] @ h + q["bias_hh_l0"]
            i, f, g, o = np.split(a, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        logits.append(p["output.weight"] @ h + p["output.bias"])
    return np.array(logits)


@either
@given(T=sizes, B=sizes, rng=seeds())
def test_it_is_the_equations(cell, T, B, rng):
    model, video = made(rng, cell), rng.normal(size=(T, B, *IMAGE))
    logits = model(mg.tensor(video)).numpy()
    for b in range(B):
        np.testing.assert_allclose(logits[:, b], told(model.state_dict(), video[:, b]), rtol=1e-10, atol=1e-13)


@either
@given(lengths=st.lists(st.integers(0, 3), min_size=1, max_size=3), rng=seeds())
def test_padding_changes_nothing(cell, lengths, rng):
    """Neither logits nor gradients, were it NaN."""
    model, B = made(rng, cell), len(lengths)
    valid = np.arange(4)[:, None] < lengths
    video, weight = rng.normal(size=(4, B, *IMAGE)), rng.normal(size=(4, B, K)) * valid[..., None]
    results = []
    for filling in (0.0, np.nan):
        model.zero_grad()
        logits = model(mg.tensor(np.where(valid[..., None, None, None], video, filling)), lengths)
        (logits * weight).sum().backward()
        results.append([logits.numpy(), *[p.grad.numpy() for p in model.parameters()]])
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)
    for b, n in enumerate(lengths):
        np.testing.assert_allclose(
            logits.numpy()[:n, b], told(model.state_dict(), video[:n, b]).reshape(n, K), rtol=1e-10
        )


@given(rng=seeds())
def test_what_a_label_depends_on(rng):
    """With a recurrence, on the frames before its own and on its own; alone, on its own."""
    video = rng.normal(size=(4, 1, *IMAGE))
    for cell in (LSTMCell, None):
        model, frames = made(rng, cell), mg.tensor(video, requires_grad=True)
        model(frames)[2].square().sum().backward()
        seen = np.abs(frames.grad.numpy()).sum(axis=(1, 2, 3, 4)) > 0
        assert not seen[3] and (cell is LSTMCell or not seen[:2].any())
    changed = np.concatenate([video[:1] + 1, video[1:]])
    assert np.abs(made(rng)(mg.tensor(changed)).numpy() - made(rng)(mg.tensor(video)).numpy())[3].max() > 0


@either
@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit], ids=["eager", "jit"])
def test_gradcheck(cell, wrap):
    rng = np.random.default_rng(1)
    model = made(rng, cell)

    class Given(nn.Module):
        def __init__(self):
            self.model = model
            self.call = wrap(lambda video: model(video, [3, 1]))

        def forward(self, video):
            return self.call(video)

    assert gradcheck(Given(), [rng.normal(size=(3, 2, *IMAGE))])


@pytest.mark.parametrize("F, H, K", [(4, 3, 5), (2, 6, 2)])
def test_parameter_count(F, H, K):
    def count(cell):
        return sum(p.size for p in FrameClassifier(nn.Sequential(), F, H, K, cell).parameters())

    assert count(LSTMCell) == 4 * (H * (F + H) + 2 * H) + K * (H + 1)
    assert count(GRUCell) == 3 * (H * (F + H) + 2 * H) + K * (H + 1)
    assert count(None) == H * (F + 1) + K * (H + 1)


def test_errors():
    model, video = made(np.random.default_rng(2)), mg.tensor(np.zeros((3, 2, *IMAGE)))
    with pytest.raises(ValueError, match=re.escape("FrameClassifier: got lengths [4, 1], wanted each from 0 to 3")):
        model(video, [4, 1])
    with pytest.raises(ValueError, match=re.escape("got x of shape (3, 2, 8), wanted (T, B, input_size=4)")):
        model(mg.tensor(np.zeros((3, 2, 1, 2, 8))))
