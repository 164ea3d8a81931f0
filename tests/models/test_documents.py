"""Documents against the paper's equations in NumPy, a word and a sentence at a time."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import DocumentClassifier, GatedRNNCell, GRUCell, LSTMCell, Recurrent
from minigrad.testing import gradcheck, seeds

V, E, H, K = 7, 2, 3, 4
sizes = st.integers(1, 4)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gated(p, at, xs):
    """The states of a gated RNN after each of xs."""
    h, states = np.zeros(H), []
    for x in xs:
        i, f, g = np.split(p[f"weight_ih_{at}"] @ x + p[f"weight_hh_{at}"] @ h + p[f"bias_{at}"], 3)
        h = np.tanh(sigmoid(i) * np.tanh(g) + sigmoid(f) * h)
        states.append(h)
    return states


def sentence_vector(p, words):
    h = c = np.zeros(H)
    at = "over_words."
    for word in words:
        x = p["embedding.weight"][word]
        a = p[at + "weight_ih_l0"] @ x + p[at + "bias_ih_l0"] + p[at + "weight_hh_l0"] @ h + p[at + "bias_hh_l0"]
        i, f, g, o = np.split(a, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h


def classified(p, document):
    """The logits of one document, a list of lists of words."""
    vectors = [sentence_vector(p, words) for words in document]
    above = {name.removeprefix("over_sentences."): value for name, value in p.items()}
    forward, backward = gated(above, "l0", vectors), gated(above, "l0_reverse", vectors[::-1])[::-1]
    states = [np.concatenate(pair) for pair in zip(forward, backward)]
    return p["output.weight"] @ (np.mean(states, axis=0) if states else np.zeros(2 * H)) + p["output.bias"]


def made(rng, **options):
    return DocumentClassifier(V, E, H, K, generator=rng, **options).astype("float64")


documents = st.lists(st.lists(sizes, max_size=3), min_size=1, max_size=3)  # the lengths of each one's sentences


def padded(rng, counts, more=(0, 0)):
    """(words, lengths, the documents as lists); what is padding are words, too. more: steps and sentences of it."""
    texts = [[rng.integers(V, size=n) for n in document] for document in counts]
    S = max(map(len, counts)) + more[1]
    T = max([n for document in counts for n in document], default=1) + more[0]
    words, lengths = rng.integers(V, size=(T, S, len(counts))), np.zeros((S, len(counts)), int)
    for b, text in enumerate(texts):
        for s, sentence in enumerate(text):
            words[: len(sentence), s, b] = sentence
            lengths[s, b] = len(sentence)
    return words, lengths, texts


@given(counts=documents, more=st.tuples(st.integers(0, 2), st.integers(0, 2)), rng=seeds())
def test_it_is_the_equations(counts, more, rng):
    model = made(rng)
    words, lengths, texts = padded(rng, counts, more)
    logits = model(mg.tensor(words), lengths).numpy()
    for b, text in enumerate(texts):
        np.testing.assert_allclose(logits[b], classified(model.state_dict(), text), rtol=1e-10, atol=1e-13)


@given(counts=documents, more=st.tuples(st.integers(0, 2), st.integers(0, 2)), rng=seeds())
def test_padding_of_words_and_sentences_changes_nothing(counts, more, rng):
    """More of it, and of other words, and a document beside others: the same logits and the same gradients."""
    model = made(rng)
    words, lengths, _ = padded(rng, counts)
    weight = rng.normal(size=(len(counts), K))
    results = []
    for T, S in ((0, 0), more):
        again = rng.integers(V, size=(words.shape[0] + T, words.shape[1] + S, len(counts)))
        counted = np.concatenate([lengths, np.zeros((S, len(counts)), int)])
        there = np.arange(len(words))[:, None, None] < lengths
        again[: words.shape[0], : words.shape[1]][there] = words[there]
        model.zero_grad()
        logits = model(mg.tensor(again), counted)
        (logits * weight).sum().backward()
        gradients = [np.zeros(p.shape) if p.grad is None else p.grad.numpy() for p in model.parameters()]
        results.append([logits.numpy(), *gradients])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)
    for b in range(len(counts)):
        alone = model(mg.tensor(words[:, :, [b]]), lengths[:, [b]]).numpy()[0]
        np.testing.assert_allclose(alone, results[0][0][b], rtol=1e-10, atol=1e-13)


def test_an_empty_sentence_is_none():
    model = made(np.random.default_rng(0))
    words = np.random.default_rng(1).integers(V, size=(3, 3, 1))
    a = model(mg.tensor(words), [[3], [0], [2]]).numpy()
    np.testing.assert_array_equal(a, model(mg.tensor(words[:, [0, 2]]), [[3], [2]]).numpy())
    np.testing.assert_array_equal(model(mg.tensor(words), [[0], [0], [0]]).numpy()[0], model.output.bias.numpy())


def test_without_lengths_all_is_text():
    model = made(np.random.default_rng(0))
    words = mg.tensor(np.random.default_rng(1).integers(V, size=(3, 2, 4)))
    np.testing.assert_array_equal(model(words).numpy(), model(words, np.full((2, 4), 3)).numpy())


@given(rng=seeds())
def test_both_orders_matter(rng):
    """Of the words of a sentence, and of the sentences."""
    model = made(rng)
    words = np.array([[[1], [4]], [[2], [5]], [[3], [6]]])
    a = model(mg.tensor(words)).numpy()
    for other in (words[::-1], words[:, ::-1]):
        assert np.abs(model(mg.tensor(other.copy())).numpy() - a).max() > 1e-8


@pytest.mark.parametrize("wrap", [lambda f: f, mg.jit], ids=["eager", "jit"])
def test_gradcheck(wrap):
    rng = np.random.default_rng(2)
    words, lengths, _ = padded(rng, [[2, 0, 3], [1]], (1, 1))
    model = made(rng)

    class Given(nn.Module):
        def __init__(self):
            self.model = model
            self.call = wrap(lambda: model(mg.tensor(words), lengths))

        def forward(self):
            return self.call()

    assert gradcheck(Given(), ())


@pytest.mark.eager_only("jitted here")
def test_jit_of_the_whole():
    """Lengths as an argument: other ones, and other sizes, give what eager ops give."""
    rng = np.random.default_rng(3)
    model = made(rng)
    fast = mg.jit(model)
    for counts, more in (([[2, 1], [3]], (0, 0)), ([[4], [1, 1, 1], []], (1, 0)), ([[1]], (2, 2))):
        words, lengths, _ = padded(rng, counts, more)
        results = []
        for call in (model, fast):
            model.zero_grad()
            logits = call(mg.tensor(words), mg.tensor(lengths))
            logits.square().sum().backward()
            results.append([logits.numpy(), *[p.grad.numpy() for p in model.parameters()]])
        for a, b in zip(*results):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


@given(T=sizes, B=sizes, I=sizes, rng=seeds())
def test_gated_rnn(T, B, I, rng):
    layer = Recurrent(GatedRNNCell, I, H, generator=rng).astype("float64")
    x = rng.normal(size=(T, B, I))
    output, state = layer(mg.tensor(x))
    for b in range(B):
        np.testing.assert_allclose(
            output.numpy()[:, b], gated(layer.state_dict(), "l0", x[:, b]), rtol=1e-10, atol=1e-13
        )
    np.testing.assert_array_equal(state.numpy()[0], output.numpy()[-1])


def test_gated_rnn_gradcheck():
    rng = np.random.default_rng(4)
    assert gradcheck(Recurrent(GatedRNNCell, 2, 3, generator=rng), [rng.normal(size=(3, 2, 2))])


@pytest.mark.parametrize("V, E, H, K", [(7, 2, 3, 4), (5, 4, 2, 2)])
def test_parameter_count(V, E, H, K):
    wanted = E * V + 4 * (H * (E + H) + 2 * H) + 6 * (2 * H * H + H) + K * (2 * H + 1)
    assert sum(p.size for p in DocumentClassifier(V, E, H, K).parameters()) == wanted
    assert sum(p.size for p in GatedRNNCell(E, H).parameters()) == 3 * (H * (E + H) + H)


def test_other_cells():
    for sentence, document in ((GRUCell, LSTMCell), (LSTMCell, GRUCell)):
        model = made(np.random.default_rng(5), sentence=sentence, document=document)
        assert model(mg.tensor(np.ones((2, 3, 5), int))).shape == (5, K)


@pytest.mark.parametrize(
    "words, lengths, error, message",
    [
        ((2, 3), None, ValueError, "got words of shape (2, 3), wanted (words, sentences, batch)"),
        ((2, 3, 1), [2, 2, 2], ValueError, "got lengths of shape (3,), wanted (3, 1), one for each sentence"),
        ((2, 1, 1), [[3]], ValueError, "got lengths [3], wanted each from 0 to 2"),
        ((2, 1, 1), [[1.0]], TypeError, "wanted integers"),
    ],
)
def test_errors(words, lengths, error, message):
    with pytest.raises(error, match=re.escape(message)):
        made(np.random.default_rng(6))(mg.tensor(np.zeros(words, int)), lengths)
