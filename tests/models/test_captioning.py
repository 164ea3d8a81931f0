"""Captioning against its equations in NumPy, an image and a word at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import Captioner, GRUCell, ShowAndTell, ShowAttendTell, convolutions, doubly_stochastic
from minigrad.testing import gradcheck, seeds

pytestmark = pytest.mark.eager_only("no Recurrent is called here; whole models are jitted beside eager ones")
both = pytest.mark.parametrize("decoder", [ShowAndTell, ShowAttendTell])
V, E, H = 5, 3, 4


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm(p, x, state):
    h, c = state
    at = "decoder.cell."
    a = p[at + "weight_ih"] @ x + p[at + "bias_ih"] + p[at + "weight_hh"] @ h + p[at + "bias_hh"]
    i, f, g, o = np.split(a, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def regions_of(p, image):
    """Convolution, relu and maximum, pixel by pixel: (L, D)."""
    for layer in (0, 3):
        weight, bias = p[f"encoder.{layer}.weight"], p[f"encoder.{layer}.bias"]
        padded = np.pad(image, [(0, 0), (1, 1), (1, 1)])
        seen = np.zeros((len(weight), *image.shape[1:]))
        for d, r, c in np.ndindex(seen.shape):
            seen[d, r, c] = max(0.0, (weight[d] * padded[:, r : r + 3, c : c + 3]).sum() + bias[d])
        rows, columns = seen.shape[1] // 2, seen.shape[2] // 2
        image = np.array(
            [
                [[m[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].max() for c in range(columns)] for r in range(rows)]
                for m in seen
            ]
        )
    return image.reshape(len(image), -1).T


def show_and_tell(p, regions, words):
    state = np.zeros(H), np.zeros(H)
    state = lstm(p, p["decoder.image.weight"] @ regions.ravel() + p["decoder.image.bias"], state)
    logits = []
    for word in words:
        state = lstm(p, p["decoder.embedding.weight"][word], state)
        logits.append(p["decoder.output.weight"] @ state[0] + p["decoder.output.bias"])
    return np.array(logits), None


def show_attend_tell(p, regions, words):
    p = {name.removeprefix("decoder.") if "cell" not in name else name: value for name, value in p.items()}
    mean = regions.mean(0)
    state = [np.tanh(p[f"first.{k}.weight"] @ mean + p[f"first.{k}.bias"]) for k in range(2)]
    logits, weights = [], []
    for word in words:
        h, y = state[0], p["embedding.weight"][word]
        scores = [
            p["attention.v.weight"][0] @ np.tanh(p["attention.W.weight"] @ h + p["attention.U.weight"] @ a)
            for a in regions
        ]
        alpha = np.exp(scores) / np.exp(scores).sum()
        beta = sigmoid(p["beta.weight"][0] @ h + p["beta.bias"][0])
        z = beta * sum(weight * a for weight, a in zip(alpha, regions))
        state = lstm(p, np.concatenate([y, z]), state)
        deep = y + p["L_h.weight"] @ state[0] + p["L_z.weight"] @ z
        logits.append(p["output.weight"] @ deep + p["output.bias"])
        weights.append(alpha)
    return np.array(logits), np.array(weights)


def made(decoder, rng, image=(1, 4, 8)):
    return Captioner(convolutions(image[0], 2, 3, generator=rng), image, V, E, H, decoder, generator=rng).astype(
        "float64"
    )


@both
@given(S=st.integers(1, 4), B=st.integers(1, 3), rng=seeds())
def test_it_is_the_equations(decoder, S, B, rng):
    model = made(decoder, rng)
    images, captions = rng.normal(size=(B, 1, 4, 8)), rng.integers(V, size=(S, B))
    logits, weights = model(mg.tensor(images), mg.tensor(captions))
    p = model.state_dict()
    for b in range(B):
        words = [model.start, *captions[:-1, b]]
        wanted = (show_and_tell if decoder is ShowAndTell else show_attend_tell)(p, regions_of(p, images[b]), words)
        np.testing.assert_allclose(logits.numpy()[:, b], wanted[0], rtol=1e-9, atol=1e-12)
        if wanted[1] is not None:
            np.testing.assert_allclose(weights.numpy()[:, :, b], wanted[1], rtol=1e-9)


@both
@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit], ids=["eager", "jit"])
def test_gradcheck(decoder, wrap):
    rng = np.random.default_rng(1)
    model = made(decoder, rng)
    assert gradcheck(wrap(model), (rng.normal(size=(2, 1, 4, 8)), rng.integers(V, size=(3, 2))))


@both
def test_it_writes_what_it_finds_likeliest(decoder):
    """Greedy words are the argmax of the logits that teacher forcing gives for them; a beam of one is greedy."""
    rng = np.random.default_rng(2)
    model = made(decoder, rng)
    with mg.no_grad():
        model.decoder.output.weight *= 5.0
    images = mg.tensor(rng.normal(size=(6, 1, 4, 8)) * 3)
    words, count, weights = model.greedy(images, max_length=7)
    forced, of_forced = model(images, words)
    for b, n in enumerate(count.numpy()):
        assert (forced.numpy().argmax(-1)[:n, b] == words.numpy()[:n, b]).all()
        assert (words.numpy()[n:, b] == model.end).all() and (n == 7 or words.numpy()[n - 1, b] == model.end)
    if weights is not None:
        np.testing.assert_allclose(weights.numpy(), of_forced.numpy(), rtol=1e-12)
    beam, count_of_beam, _ = model.beam(images, width=1, max_length=7)
    np.testing.assert_array_equal(beam.numpy()[..., 0], words.numpy())
    np.testing.assert_array_equal(count_of_beam.numpy()[:, 0], count.numpy())


@given(rng=seeds())
def test_attention_does_not_see_the_order_of_regions(rng):
    decoder = ShowAttendTell(V, E, H, 6, 2, GRUCell, generator=rng).astype("float64")
    regions, order = rng.normal(size=(6, 3, 2)), rng.permutation(6)
    y, mask = mg.tensor(rng.integers(V, size=3)), mg.tensor(np.ones((6, 3), bool))
    results = []
    for memory in (mg.tensor(regions), mg.tensor(regions[order])):
        results.append(decoder(y, decoder.start(memory), decoder.prepare(memory), mask))
    (logits, state, weights), (logits_2, state_2, weights_2) = results
    np.testing.assert_allclose(logits.numpy(), logits_2.numpy(), rtol=1e-10)
    np.testing.assert_allclose(state.numpy(), state_2.numpy(), rtol=1e-10)
    np.testing.assert_allclose(weights.numpy()[order], weights_2.numpy(), rtol=1e-10)


def test_a_closed_gate_hides_the_regions():
    """β = 0: the words depend on the image by way of the first state alone."""
    rng = np.random.default_rng(3)
    decoder = ShowAttendTell(V, E, H, 6, 2, GRUCell, generator=rng).astype("float64")
    mask, y = mg.tensor(np.ones((6, 1), bool)), mg.tensor(np.array([2]))
    state = mg.tensor(rng.normal(size=(1, H)))
    a, b = [decoder.prepare(mg.tensor(rng.normal(size=(6, 1, 2)))) for _ in range(2)]
    assert abs(decoder(y, state, a, mask)[0].numpy() - decoder(y, state, b, mask)[0].numpy()).max() > 1e-3
    with mg.no_grad():
        decoder.beta.bias += -1000.0
    np.testing.assert_array_equal(decoder(y, state, a, mask)[0].numpy(), decoder(y, state, b, mask)[0].numpy())


def test_doubly_stochastic_penalty():
    rng = np.random.default_rng(4)
    weights = rng.uniform(size=(5, 6, 2))
    weights /= weights.sum(axis=1, keepdims=True)
    mask = np.arange(5)[:, None] < np.array([5, 3])
    wanted = np.mean(
        [sum((1 - sum(weights[t, l, b] for t in range(n))) ** 2 for l in range(6)) for b, n in [(0, 5), (1, 3)]]
    )
    assert doubly_stochastic(mg.tensor(weights), mg.tensor(mask)).item() == pytest.approx(wanted)
    assert doubly_stochastic(mg.tensor(np.full((6, 6, 2), 1 / 6))).item() == pytest.approx(0)
    assert gradcheck(lambda w: doubly_stochastic(w, mg.tensor(mask)), [weights])


@pytest.mark.parametrize("V, E, H, L, D", [(5, 3, 4, 6, 2), (7, 2, 3, 4, 5)])
def test_parameter_count(V, E, H, L, D):
    def cell(inputs):
        return 3 * (H * (inputs + H) + 2 * H)

    def count(decoder):
        return sum(p.size for p in decoder(V, E, H, L, D, GRUCell).parameters())

    assert count(ShowAndTell) == cell(E) + V * E + E * (L * D + 1) + V * (H + 1)
    rest = V * E + H * (H + D + 1) + (H + 1) + H * (D + 1) + E * (H + D) + V * (E + 1)
    assert count(ShowAttendTell) == cell(E + D) + rest


def test_convolutions_are_torchs(torch):
    ours = convolutions(2, 3, 4)
    theirs = torch.nn.Sequential(
        *[torch.nn.Conv2d(2, 3, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)],
        *[torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)],
    )
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(5).normal(size=(2, 2, 8, 12)).astype("float32")
    np.testing.assert_allclose(ours(mg.tensor(x)).numpy(), theirs(torch.from_numpy(x)).detach(), atol=1e-5)


def test_any_encoder_and_cell():
    encoder = nn.Conv2d(3, 2, 2, stride=2)
    model = Captioner(encoder, (3, 4, 4), V, E, H, cell=GRUCell)
    logits, weights = model(mg.tensor(np.ones((2, 3, 4, 4), "float32")), mg.tensor(np.zeros((3, 2), int)))
    assert logits.shape == (3, 2, V) and weights.shape == (3, 4, 2)


def test_errors():
    with pytest.raises(ValueError, match=r"Captioner: got images of shape \(2, 1, 4, 4\), wanted \(B, 1, 4, 8\)"):
        made(ShowAndTell, np.random.default_rng(0))(mg.tensor(np.zeros((2, 1, 4, 4))), mg.tensor(np.zeros((1, 2), int)))
