"""The word model, and the n-gram model beside it."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.models.tasks import charlm, words
from minigrad.models.tasks.words import KneserNey, perplexity

TEXT = "".join(f"The sum of {n} and {n} is {2 * n}, no more.\n" for n in range(80))
SIZES = ("--hidden", 5, "--embedding", 4, "--batch", 3, "--length", 7)


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path / "text.txt"


def test_a_few_steps(few_steps, text):
    row, _ = few_steps("words", "--text", text, *SIZES)
    assert row["perplexity"] == pytest.approx(math.exp(row["held_out_loss"]))
    assert row["trigram"] < row["unigram"] < len(set(words.words_of(TEXT)))


def test_it_learns(minigrad, text, tmp_path):
    options = (
        "--text",
        text,
        "--steps",
        120,
        "--lr",
        0.02,
        "--every",
        120,
        "--hidden",
        16,
        "--batch",
        8,
        "--dropout",
        0,
    )
    assert minigrad("train", "words", "--out", tmp_path / "run", *SIZES, *options)[0] == 0
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    row = dict(zip(log[0].split(","), log[-1].split(",")))
    assert float(row["perplexity"]) < 0.6 * float(row["unigram"])


def test_model_and_baselines_tell_the_same_words(text, tmp_path):
    """Of the last tenth, in the same streams, with the vocabulary of the first nine."""
    task = words.WordTask(out=tmp_path / "run", text=text, hidden=3, embedding=3, batch=2, length=5)
    all_words = words.words_of(TEXT)
    split = len(all_words) * 9 // 10
    counts = Counter(all_words[:split])
    assert set(task.vocabulary) == {word for word in counts if counts[word] > 1} | {charlm.UNKNOWN}
    held_out = [word if counts[word] > 1 else charlm.UNKNOWN for word in all_words[split:]]
    rows, streams = task.held_out.shape
    assert charlm.UNKNOWN in held_out and rows * streams > len(held_out) - streams
    assert [task.vocabulary[k] for k in task.held_out.T.ravel()] == held_out[: rows * streams]


integers = st.lists(st.integers(0, 4), max_size=40)


@given(integers, st.integers(1, 4), st.lists(st.integers(0, 6), max_size=4))
def test_probabilities_sum_to_one_after_any_context(text, order, context):
    model = KneserNey(text, order, 7)
    chances = [model(tuple(context[-(order - 1) :] if order > 1 else ()), word) for word in range(7)]
    assert sum(chances) == pytest.approx(1, rel=1e-12) and min(chances) >= 0


@given(st.lists(st.integers(0, 3), min_size=3, max_size=30), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_the_trigram_is_chen_and_goodmans(text, a, b, w):
    """Their equations, counted over the text anew for each number."""
    V = 4
    triples, pairs = list(zip(text, text[1:], text[2:])), set(zip(text, text[1:], text[2:]))
    bigrams = [t[1:] for t in pairs]  # a type of trigram each: as often as there are words before

    def discount(counts):
        once, twice = (list(counts.values()).count(k) for k in (1, 2))
        return once / (once + 2 * twice) if once else 0.5

    unigrams = Counter(pair[1] for pair in set(bigrams))
    D1, D2, D3 = discount(unigrams), discount(Counter(bigrams)), discount(Counter(triples))
    p1 = (max(unigrams[w] - D1, 0) + D1 * len(unigrams) / V) / sum(unigrams.values())
    after_b = [pair for pair in bigrams if pair[0] == b]
    p2 = p1
    if after_b:
        p2 = (max(after_b.count((b, w)) - D2, 0) + D2 * len(set(after_b)) * p1) / len(after_b)
    after_ab = [t for t in triples if t[:2] == (a, b)]
    p3 = p2
    if after_ab:
        p3 = (max(after_ab.count((a, b, w)) - D3, 0) + D3 * len(set(after_ab)) * p2) / len(after_ab)
    assert KneserNey(text, 3, V)((a, b), w) == pytest.approx(p3, rel=1e-12)


def test_perplexity_is_of_all_words_but_the_first_of_a_stream():
    model = KneserNey([0, 1, 2, 0, 1, 2, 0, 1], 2, 4)
    streams = np.array([[0, 1, 2, 3], [2, 2, 0, 1]]).T
    nats = [-math.log(model((a,), b)) for stream in streams.T.tolist() for a, b in pairwise(stream)]
    assert perplexity(model, streams) == pytest.approx(math.exp(sum(nats) / 6))
    uniform = KneserNey([], 3, 50)
    assert perplexity(uniform, streams) == pytest.approx(50)


def test_words_of():
    assert words.words_of("Speak! Well-known, we know't...\n\nI") == [
        "speak", "!", "well-known", ",", "we", "know't", "...", "\n", "\n", "i",
    ]  # fmt: skip
    assert words.vocabulary_of(["b", "a", "b", "a", "c"]) == ["a", "b", charlm.UNKNOWN]


def test_the_default_text_repeats_no_paragraph():
    paragraphs = words.language_reference().split("\n\n")
    assert len(paragraphs) == len(set(paragraphs)) > 1000
    assert len(words.words_of("\n\n".join(paragraphs))) > 50_000


def test_too_short_a_text(minigrad, text, tmp_path):
    text.write_text("one or two words")
    code, _, err = minigrad("train", "words", "--text", text, "--out", tmp_path / "run")
    assert code == 2 and err.startswith("minigrad: the text is too short") and err.count("\n") == 1


def test_one_vector_a_word(text, tmp_path):
    sizes = {"text": text, "batch": 2, "length": 5}
    one, two = (words.WordTask(out=tmp_path / "run", hidden=6, embedding=k, **sizes).model for k in (6, 5))
    V, reader = one.embedding.num_embeddings, sum(p.size for p in one.recurrent.parameters())
    assert sum(p.size for p in one.parameters()) == reader + 6 * V + V
    assert two.embedding.weight.shape == (V, 5) and two.output.weight.shape == (V, 6)


def test_training_begins_at_the_unigram_model(text, tmp_path):
    task = words.WordTask(out=tmp_path / "run", text=text, hidden=3, embedding=3, batch=2, length=5)
    counts = np.bincount(task.training.ravel(), minlength=len(task.vocabulary))
    chances = np.exp(task.model.output.bias.numpy())
    assert chances.sum() == pytest.approx(1, rel=1e-5) and chances.min() > 0
    np.testing.assert_allclose(chances, counts / counts.sum(), atol=0.01)
