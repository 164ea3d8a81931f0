"""The grammar of reviews, read again by regular expressions, and the two tasks that are made of it."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.models.tasks import documents, reviews, sentiment
from minigrad.models.tasks.reviews import ASPECTS, OTHERS, PRAISE
from minigrad.testing import seeds

SMALL = ("--hidden", 4, "--embedding", 3, "--batch", 4)
OPINION = "(?P<turned>not |far from |anything but )?((very|really|quite|so|rather) )?(?P<word>{})".format(
    "|".join(PRAISE[1] + PRAISE[-1])
)
FORMS = [  # the longer one before what it has in it
    ("unlike the (?P<unlike>x) the (?P<of>x) was OPINION", 1),
    ("like the (?P<like>x) the (?P<of>x) was OPINION", 1),
    ("it is wrong that the (?P<of>x) was OPINION", -1),
    ("(it is true that )?the (?P<of>x) was OPINION", 1),
    ("i found the (?P<of>x) OPINION", 1),
    ("the (?P<of>x) seemed OPINION to us", 1),
    ("OPINION is what i call the (?P<of>x)", 1),
    ("everybody would call the (?P<of>x) OPINION", 1),
    ("nobody would call the (?P<of>x) OPINION", -1),
]


def read(text):
    """What a sentence says of each of its subjects."""
    signs = {}
    for form, sign in FORMS:
        form = form.replace("OPINION", OPINION).replace("<of>x", r"<of>\w+").replace("like>x", r"like>\w+")
        for match in re.finditer(form, text):
            found = match.groupdict()
            sense = sign * (-1 if found["turned"] else 1) * (1 if found["word"] in PRAISE[1] else -1)
            signs |= {found["of"]: sense, found.get("unlike"): -sense, found.get("like"): sense}
        text = re.sub(form, "", text)
    signs |= {word: 0 for word in text.split() if word in ASPECTS + OTHERS}
    return {subject: sign for subject, sign in signs.items() if subject}


subjects = st.lists(
    st.tuples(st.sampled_from(ASPECTS + OTHERS), st.sampled_from([1, -1, 0])), min_size=1, max_size=5,
    unique_by=lambda pair: pair[0],
)  # fmt: skip


@given(signs=subjects, rng=seeds())
def test_a_sentence_says_what_it_is_to_say(signs, rng):
    text = reviews.sentence(signs, rng)
    assert read(text) == dict(signs)
    assert [word for word in text.split() if word in dict(signs)] == [subject for subject, _ in signs]
    assert set(text.split()) <= reviews.numbered().keys()


def test_reading():
    assert read("unlike the food the wine was not very bad and we talked about the view") == {
        "food": -1, "wine": 1, "view": 0,
    }  # fmt: skip
    assert read("nobody would call the film anything but dull , like the room the food was poor") == {
        "film": -1, "room": -1, "food": -1,
    }  # fmt: skip


@pytest.mark.parametrize("attention", ["words", "none"])
def test_a_few_steps_of_sentiment(few_steps, attention):
    figures, folder = few_steps("sentiment", *SMALL, "--attention", attention)
    assert 0 < figures["accuracy"] < 1 and 0.3 < figures["bag_of_words"] < 0.7
    picture = folder / "attention.png"
    assert not picture.exists() if attention == "none" else picture.read_bytes().startswith(b"\x89PNG")


def test_bad_attention(minigrad, tmp_path):
    code, _, err = minigrad("train", "sentiment", "--out", tmp_path / "run", "--attention", "some")
    assert code == 2 and "--attention some: wanted words or none" in err and not (tmp_path / "run").exists()


@given(rng=seeds())
def test_labels_of_sentiment(rng):
    sentences = [sentiment.composed(rng) for _ in range(5)]
    words, lengths, aspect, label = sentiment.asked(sentences, rng)
    names = {number: word for word, number in sentiment.WORDS.items()}
    for b, (text, signs) in enumerate(sentences):
        assert len(signs) in (2, 3) and read(text).items() >= signs.items()
        assert " ".join(names[k] for k in words[: lengths[b], b]) == text and not words[lengths[b] :, b].any()
        assert signs[ASPECTS[aspect[b]]] == sentiment.SIGNS[label[b]]


def test_the_label_does_not_depend_on_the_place_of_the_aspect():
    rng = np.random.default_rng(0)
    sentences = [sentiment.composed(rng) for _ in range(4000)]
    _, _, aspect, label = sentiment.asked(sentences, rng)
    first = np.array([next(iter(signs)) == ASPECTS[k] for (_, signs), k in zip(sentences, aspect)])
    assert 0.37 < first.mean() < 0.46  # 5/12
    for k in range(3):
        assert abs((label[first] == k).mean() - 1 / 3) < 0.05 and abs((label[~first] == k).mean() - 1 / 3) < 0.05


@pytest.mark.parametrize("module, task", [(sentiment, sentiment.Sentiment), (documents, documents.Documents)])
def test_what_is_held_out_is_not_trained_on(module, task, tmp_path, monkeypatch):
    made = task(out=tmp_path / "run", hidden=2)
    pool = made.held_out[:20] + [module.composed(np.random.default_rng(1))]
    monkeypatch.setattr(module, "composed", lambda generator: reviews.one_of(pool, generator))
    words = made.draw(np.random.default_rng(2), 30)[0]
    assert (words == words[..., :1]).all()


def test_a_few_steps_of_documents(few_steps):
    figures, _ = few_steps("documents", *SMALL)
    assert figures.keys() >= {"words_shuffled", "sentences_shuffled"}
    assert 0 < figures["accuracy"] < 1 and 0.4 < figures["bag_of_words"] < 0.6


@given(rng=seeds())
def test_verdicts(rng):
    for sentences, verdict in [documents.composed(rng) for _ in range(10)]:
        (k,) = [k for k, s in enumerate(sentences) if s.endswith(tuple(documents.MORE))]
        (before,), (after,) = [
            {sign for s in part for of, sign in read(s).items() if of in ASPECTS and sign}
            for part in (sentences[:k], sentences[k + 1 :])
        ]
        link = sentences[k].split()[0]
        assert (before == after) == (link == "and") and verdict == (before if link == "admittedly" else after)


@given(rng=seeds())
def test_documents_are_encoded(rng):
    made = [documents.composed(rng) for _ in range(3)]
    words, lengths, label = documents.encoded(made)
    assert words.shape == (lengths.max(), max(len(sentences) for sentences, _ in made), 3)
    names = {number: word for word, number in documents.WORDS.items()}
    for b, (sentences, verdict) in enumerate(made):
        assert [" ".join(names[w] for w in words[:n, s, b]) for s, n in enumerate(lengths[:, b]) if n] == sentences
        assert not lengths[len(sentences) :, b].any() and label[b] == (verdict == 1)


@given(rng=seeds())
def test_shuffled(rng):
    text = documents.judgement(1, rng)
    other = documents.shuffled(text, rng)
    assert sorted(other.split()) == sorted(text.split()) and other != text


@given(words=st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_counts(words):
    table = reviews.counts(np.reshape(words, (3, 1, 2)), 5)
    wanted = [[0] + [words[b::2].count(k) for k in range(1, 5)] for b in range(2)]
    np.testing.assert_array_equal(table, wanted)
