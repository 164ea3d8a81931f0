import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, optim
from minigrad.models import CRF, SpelledWords, Tagger, bio_forbidden
from minigrad.testing import gradcheck, seeds

WORDS, CHARACTERS, TAGS = 9, 5, 3
crfs = pytest.mark.parametrize("with_crf", [False, True])


def made(with_crf, rng, spelled=True, **options):
    embedding = SpelledWords(WORDS, CHARACTERS, 1, 2, 1, generator=rng) if spelled else nn.Embedding(WORDS, 3)
    return Tagger(embedding, 2, TAGS, CRF(TAGS, generator=rng) if with_crf else None, generator=rng, **options)


def sentences(rng, T, B, L=4):
    """(words, spelling), tags."""
    ends = rng.integers(1, L + 1, (T, B, 1))
    spelling = np.where(np.arange(L) < ends, rng.integers(1, CHARACTERS, (T, B, L)), 0)
    return (mg.tensor(rng.integers(0, WORDS, (T, B))), mg.tensor(spelling)), mg.tensor(rng.integers(0, TAGS, (T, B)))


@functools.cache
def one(with_crf):
    """A tagger that examples share: a new one would be traced anew."""
    return made(with_crf, np.random.default_rng(0)).astype("float64")


@crfs
@given(lengths=st.tuples(st.integers(1, 3), st.integers(1, 3)), rng=seeds())
def test_a_padded_batch_is_its_sentences_one_by_one(with_crf, lengths, rng):
    model = one(with_crf)
    model.load_state_dict({name: rng.normal(size=p.shape) for name, p in model.named_parameters()})
    (words, spelling), tags = sentences(rng, 4, 2)
    scores = model((words, spelling), lengths)
    loss = model.loss((words, spelling), tags, lengths).item()
    decoded = model.decode((words, spelling), lengths).numpy()
    total = 0.0
    for b, length in enumerate(lengths):
        alone = words[:length, b : b + 1], spelling[:length, b : b + 1, :]
        np.testing.assert_allclose(scores.numpy()[:length, b], model(alone).numpy()[:, 0], rtol=1e-10, atol=1e-13)
        total += length * model.loss(alone, tags[:length, b : b + 1]).item()
        np.testing.assert_array_equal(decoded[:length, b], model.decode(alone).numpy()[:, 0])
        assert not decoded[length:, b].any()
    assert loss == pytest.approx(total / sum(lengths), rel=1e-10)


@crfs
def test_loss_is_the_mean_log_probability(with_crf):
    rng = np.random.default_rng(0)
    model = made(with_crf, rng, spelled=False).astype("float64")
    (words, _), tags = sentences(rng, 4, 2)
    scores = model(words)
    if with_crf:
        wanted = -model.crf(scores, tags).sum().item() / 8
    else:
        p = np.exp(scores.numpy()) / np.exp(scores.numpy()).sum(axis=-1, keepdims=True)
        wanted = -np.log(np.take_along_axis(p, tags.numpy()[..., None], axis=-1)).mean()
        np.testing.assert_array_equal(model.decode(words).numpy(), p.argmax(axis=-1))
    assert model.loss(words, tags).item() == pytest.approx(wanted, rel=1e-12)


@crfs
def test_gradcheck(with_crf):
    rng = np.random.default_rng(1)
    model = made(with_crf, rng)
    words, tags = sentences(rng, 3, 2, L=2)

    class Loss(nn.Module):
        def __init__(self):
            self.model = model

        def forward(self):
            return self.model.loss(words, tags, [3, 2])

    assert gradcheck(Loss(), ())


@pytest.mark.eager_only("jits the whole model, its layers within")
@crfs
def test_jitted_it_is_the_same(with_crf):
    rng = np.random.default_rng(2)
    model = made(with_crf, rng).astype("float64")
    words, tags = sentences(rng, 4, 2)
    lengths = mg.tensor([4, 3])
    losses, gradients = [], []
    for f in (model.loss, mg.jit(model.loss)):
        model.zero_grad()
        loss = f(words, tags, lengths)
        loss.backward()
        losses.append(loss.item())
        gradients.append([p.grad.numpy() for p in model.parameters()])
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)
    for eager, jitted in zip(*gradients):
        np.testing.assert_allclose(jitted, eager, rtol=1e-9, atol=1e-13)
    np.testing.assert_array_equal(mg.jit(model.decode)(words, lengths).numpy(), model.decode(words, lengths).numpy())
    assert not any(loop.why_not for loop in mg.jit(model.loss).explain(words, tags, lengths).loops)


def test_bio_tags_that_it_learns_to_find():
    """A run of words from 3 on is an entity; the tagger with a CRF learns where it begins and goes on."""
    names = ["O", "B-x", "I-x"]
    rng = np.random.default_rng(3)
    words = rng.integers(0, WORDS, (12, 16))
    inside = words >= 5
    begins = inside & ~np.concatenate([np.zeros((1, 16), bool), inside[:-1]])
    tags = np.where(begins, 1, np.where(inside, 2, 0))
    model = Tagger(nn.Embedding(WORDS, 4, generator=rng), 8, 3, CRF(3, bio_forbidden(names), generator=rng), 0.1,
                   generator=rng)  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        model.loss(mg.tensor(words), mg.tensor(tags)).backward()
        optimizer.step()
    model.eval()
    np.testing.assert_array_equal(model.decode(mg.tensor(words)).numpy(), tags)


def test_spelling_alone_tells_unknown_words_apart():
    rng = np.random.default_rng(4)
    embedding = SpelledWords(WORDS, CHARACTERS, 2, 2, 2, generator=rng)
    same = mg.tensor(np.zeros((1, 3), int))
    out = embedding((same, mg.tensor([[[1, 2, 0], [1, 3, 0], [1, 2, 0]]]))).numpy()[0]
    assert out.shape == (3, embedding.embedding_dim) and (out[0] == out[2]).all() and (out[0, 2:] != out[1, 2:]).any()
    longer = embedding((same, mg.tensor([[[1, 2, 0, 0, 0], [1, 3, 0, 0, 0], [1, 2, 0, 0, 0]]]))).numpy()[0]
    np.testing.assert_allclose(longer, out, rtol=1e-6)


@crfs
def test_parameter_count(with_crf):
    W, N, E, C, S, H, K = 11, 5, 4, 3, 2, 6, 7
    embedding = SpelledWords(W, N, E, C, S)
    spelled = W * E + N * C + 8 * (S * (C + S) + 2 * S)
    assert sum(p.size for p in embedding.parameters()) == spelled
    model = Tagger(embedding, H, K, CRF(K) if with_crf else None)
    width = E + 2 * S
    wanted = spelled + 8 * (H * (width + H) + 2 * H) + K * (2 * H + 1) + with_crf * (K * K + 2 * K)
    assert sum(p.size for p in model.parameters()) == wanted


def test_errors():
    with pytest.raises(ValueError, match=r"Tagger: got lengths \[0\], wanted each from 1 to 2"):
        made(False, None, spelled=False)(mg.tensor([[1], [2]]), [0])
