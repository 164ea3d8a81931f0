"""Entities made of universal tags, their spans, and what the CRF may not tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models.tasks import entities
from minigrad.models.tasks.conll import Sentence
from minigrad.models.tasks.entities import entity_tags, f1, spans, surface_f1

tag = st.sampled_from(["O", "B-date", "I-date", "B-name", "I-name", "B-number", "I-number"])


def line(k, word, tag):
    return "\t".join([str(k), word, "_", tag, *"______"])


@pytest.fixture
def folder(tmp_path):
    data, rng = tmp_path / "data", np.random.default_rng(0)
    data.mkdir()
    pool = {"PROPN": ["Ann", "Bob", "May", "Tuesday"], "NUM": ["5", "2004", "two"], "X": ["the", ",", "of"]}
    for part, count in (("dev", 60), ("test", 20)):
        sentences = []
        for _ in range(count):
            tags = rng.choice(list(pool), rng.integers(1, 10))
            sentences.append("\n".join(line(k, rng.choice(pool[tag]), tag) for k, tag in enumerate(tags, 1)) + "\n")
        (data / f"xx_toy-ud-{part}.conllu").write_text("\n".join(sentences), encoding="utf-8")
    return data


@pytest.mark.parametrize("options", [(), ("--softmax",)])
def test_a_few_steps(few_steps, folder, options):
    figures, run = few_steps("entities", "--data", folder, "--hidden", 4, "--batch", 4, *options)
    assert 0 <= figures["f1"] <= 1 and 0 < figures["most_frequent_tag"] < 1
    assert options or figures["never_began"] == 0  # untrained as it is
    assert (run / "tags.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("Bush/PROPN on/ADP Tuesday/PROPN named/VERB two/NUM judges/NOUN", "name O date O number O"),
        ("Tuesday/PROPN ,/PUNCT May/PROPN 4/NUM ,/PUNCT 2004/NUM ,/PUNCT", "date date' date' date' date' date' O"),
        ("13/NUM Dec./PROPN 1998/NUM and/CCONJ August/PROPN 17th/NOUN", "date date' date' O date date'"),
        ("Jennifer/PROPN M./PROPN Anderson/PROPN ,/PUNCT 15/NUM", "name name' name' O number"),
        ("April/PROPN Smith/PROPN may/AUX go/VERB Black/PROPN Friday/PROPN", "name name' O O name name'"),
        ("in/ADP 2004/NUM ,/PUNCT 3/NUM million/NUM of/ADP march/NOUN", "O number O number number' O O"),
        ("2/14/2005/NUM 2005-02-14/NUM 1/2/NUM 17th/ADJ", "date date number O"),
        ("5/NUM May/PROPN 2004/NUM 6/NUM", "date date' date' number"),
        ("Tuesday/PROPN ,/PUNCT Bob/PROPN", "date O name"),
    ],
)
def test_entity_tags(sentence, wanted):
    words, tags = zip(*(word.rsplit("/", 1) for word in sentence.split()))
    named = ["O" if w == "O" else f"I-{w[:-1]}" if w.endswith("'") else f"B-{w}" for w in wanted.split()]
    assert entity_tags(list(words), list(tags)) == named


words_and_tags = st.lists(
    st.sampled_from(["May", "Fri.", "Ann", "4", "4th", "1999", "1/2/99", ",", "x"]).flatmap(
        lambda word: st.sampled_from(["PROPN", "NUM", "NOUN"]).map(lambda tag: (word, tag))
    ),
    min_size=1,
)


@given(words_and_tags)
def test_every_numeral_and_proper_noun_is_in_an_entity_and_a_name_has_only_these(pairs):
    words, tags = zip(*pairs)
    made = entity_tags(list(words), list(tags))
    for word, tag, entity in zip(words, tags, made):
        assert entity != "O" or tag not in ("PROPN", "NUM")
        assert entity[2:] != "name" or tag == "PROPN"
        assert entity[2:] != "number" or tag == "NUM"
        assert entity[2:] != "date" or tag in ("PROPN", "NUM") or word in (",", "4th")
    assert not any(
        tag[0] == "I" and not entities.goes_on(*pair) for pair in zip(["O", *made], made) for tag in pair[1:]
    )


def plain_spans(tags):
    """By another road than the task's: each beginning is followed to its end."""
    found = []
    for k, tag in enumerate(tags):
        inside = k and tags[k - 1] != "O" and tags[k - 1][2:] == tag[2:]
        if tag.startswith("B-") or (tag.startswith("I-") and not inside):
            length = 1
            while k + length < len(tags) and tags[k + length] == "I-" + tag[2:]:
                length += 1
            found.append((k, k + length, tag[2:]))
    return found


@given(st.lists(st.lists(st.tuples(tag, tag), max_size=9)))
def test_f1_is_that_of_precision_and_recall_of_whole_entities(sentences):
    told, truth = ([[pair[k] for pair in sentence] for sentence in sentences] for k in (0, 1))
    test = [Sentence(["word"] * len(tags), tags) for tags in truth]
    right = sum(span in plain_spans(b) for a, b in zip(told, truth) for span in plain_spans(a))
    count, wanted = (sum(len(plain_spans(tags)) for tags in part) for part in (told, truth))
    precision, recall = right / max(count, 1), right / max(wanted, 1)
    expected = 2 * precision * recall / (precision + recall) if right else 0
    assert f1(told, test) == pytest.approx(expected)


@given(st.lists(tag, max_size=9))
def test_spans(tags):
    assert sorted(spans(tags)) == plain_spans(tags)


def test_half_of_an_entity_is_worth_nothing():
    test = [Sentence(["New", "York", "today"], ["B-name", "I-name", "B-date"])]
    assert f1([["B-name", "O", "O"]], test) == surface_f1([["B-name", "O", "O"]], test) == 0
    assert f1([["B-name", "I-name", "O"]], test) == pytest.approx(2 / 3)


def test_a_surface_form_counts_once():
    words = ["in", "New", "York"]
    test = [Sentence(words, ["O", "B-place", "I-place"])] * 2 + [
        Sentence(["Ann", "met", "Bob"], ["B-who", "O", "B-who"])
    ]
    told = [test[0].tags, test[0].tags, ["B-who", "B-thing", "I-who"]]
    assert [sorted(spans(tags)) for tags in told[2:]] == [[(0, 1, "who"), (1, 2, "thing"), (2, 3, "who")]]
    assert f1(told, test) == pytest.approx(2 * 4 / 9)
    told[2] = ["B-who", "B-thing", "B-thing"]
    assert f1(told, test) == pytest.approx(2 * 3 / 9)
    assert surface_f1(told, test) == pytest.approx(2 * 2 / 7)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 50))
def test_what_the_scheme_forbids_is_never_told(model_of, seed, scale):
    """Whatever the weights are."""
    task, (words, spelling), lengths = model_of
    rng = np.random.default_rng(seed)
    with mg.no_grad():
        for parameter in task.model.parameters():
            parameter.copy_(rng.normal(0, scale, parameter.shape))
        told = task.annotator.tagged((words, spelling), lengths)
    for names in told:
        for before, tag in zip(["O", *names], names):
            assert tag[0] != "I" or before[2:] == tag[2:]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    folder = tmp_path_factory.mktemp("entities")
    words = {"PROPN": "Ann Bob May Sue", "NUM": "5 2004", "X": "the of ,"}
    flat = [(word, tag) for tag, several in words.items() for word in several.split()]
    rng = np.random.default_rng(1)
    for part in ("dev", "test"):
        text = [
            "\n".join(line(k, *flat[i]) for k, i in enumerate(rng.integers(len(flat), size=8), 1)) for _ in range(40)
        ]
        (folder / f"a-{part}.conllu").write_text("\n\n".join(text) + "\n", encoding="utf-8")
    task = entities.Entities(out=folder / "run", data=folder, hidden=3)
    assert {"I-name", "I-date", "I-number"} <= set(task.tags)
    inputs, _, lengths = task.annotator.numbers(task.test)
    return task, inputs, lengths


@pytest.fixture
def columns(tmp_path):
    """Two columns, named as those of WNUT 2017: what follows "in" is a place."""
    data, rng = tmp_path / "columns", np.random.default_rng(0)
    data.mkdir()
    for name, count in (("wnut17train.conll", 60), ("emerging.dev.conll", 4), ("emerging.test.annotated", 20)):
        texts = []
        for _ in range(count):
            place = [f"{word}\t{tag}-place" for word, tag in zip(("New", "York")[: rng.integers(1, 3)], "BI")]
            texts.append("\n".join(["we\tO", "are\tO", "in\tO", *place, *["today\tO"] * rng.integers(3)]) + "\n\t\n")
        (data / name).write_text("".join(texts), encoding="utf-8")
    return data


def test_places_are_learnt_and_told(minigrad, columns, tmp_path):
    run = tmp_path / "run"
    options = ("--steps", 60, "--every", 60, "--hidden", 8, "--batch", 20, "--lr", 0.02, "--dropout", 0)
    code, told, _ = minigrad("train", "entities", "--data", columns, "--out", run, *options)
    assert code == 0 and " f1 1 " in told and " surface f1 1 " in told
    told = minigrad("sample", run, "--prompt", "today we are in New York")[1]
    assert told == "today/O we/O are/O in/O New/B-place York/I-place\n"
    code, _, err = minigrad("sample", run)
    assert code == 2 and "--prompt is empty" in err


def test_bad_columns(minigrad, columns, tmp_path):
    def error(text):
        (columns / "wnut17train.conll").write_text(text, encoding="utf-8")
        code, _, err = minigrad("train", "entities", "--data", columns, "--out", tmp_path / "run")
        assert code == 2 and err.count("\n") == 1 and not (tmp_path / "run").exists()
        return err

    assert "wnut17train.conll: line 2 has 1 columns, wanted a word and its tag" in error("we\tO\nare\n")
    assert "line 1 has 3 columns" in error("we\tPRON\tO\n")
    assert "line 1 has 2 columns, wanted a word" in error("\tO\n")
    assert "line 1 has the tag 'place', wanted O, B-kind or I-kind" in error("York\tplace\n")
