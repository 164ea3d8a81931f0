"""Sentiment of parses: reading brackets, what a draw holds, and what a trained run says of a text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models.tasks import parses, treebank
from minigrad.models.tasks.parses import of_prompt, parsed, phrases

LINE = "(3 (2 It) (4 (2 's) (4 Good)))"
TURNED = "(1 (2 It) (1 (2 is) (0 (1 not) (3 (2 very) (3 good)))))"
OTHERS = ["(4 (2 It) (4 (2 is) (4 great)))", "(0 (0 Dull) (2 .))", "(2 (2 a) (2 film))", "(1 bad)"]
NODES = st.recursive(
    st.tuples(st.integers(0, 4), st.sampled_from(["film", "not", "'s", "8\xa01\\/2", "co-writer\\/director"])),
    lambda below: st.tuples(st.integers(0, 4), below, below),
)


def text_of(node):
    label, *below = node
    return f"({label} {below[0] if isinstance(below[0], str) else ' '.join(map(text_of, below))})"


def words_of(node):
    return [node[1].lower()] if isinstance(node[1], str) else words_of(node[1]) + words_of(node[2])


def nodes_of(node):
    return [node] if isinstance(node[1], str) else [node, *nodes_of(node[1]), *nodes_of(node[2])]


def test_parsed():
    parse = parsed(LINE)
    assert parse.words == ["", "it", "", "'s", "good"] and parse.labels.tolist() == [3, 2, 4, 2, 4]
    assert parse.parents.tolist() == [-1, 0, 0, 2, 2] and parse.positions.tolist() == [0, 0, 1, 0, 1]
    assert phrases(parse) == [("it", "'s", "good"), ("it",), ("'s", "good"), ("'s",), ("good",)]


@given(node=NODES)
def test_a_parse_has_the_nodes_of_its_text_in_order(node):
    parse, nodes = parsed(text_of(node)), nodes_of(node)
    assert parse.labels.tolist() == [label for label, *_ in nodes]
    assert phrases(parse) == [tuple(words_of(n)) for n in nodes]
    for k, (_, *below) in enumerate(nodes):
        children = [i for i, above in enumerate(parse.parents) if above == k]
        assert [nodes[i] for i in children] == [n for n in below if not isinstance(n, str)]
        assert parse.positions[children].tolist() == [0, 1][: len(children)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "got 'the end' before '', wanted an opening bracket"),
        ("(3 (2 a) (2 b)", "got 'the end' before '', wanted a closing bracket"),
        ("(5 a)", "got '5' before 'a \\)', wanted a label from 0 to 4"),
        ("(3 (2 a))", "wanted an opening bracket"),
        ("(3 (2 a) (2 b) (2 c))", "got '\\(' before '2 c \\)', wanted a closing bracket"),
        ("(3 a b)", "got 'b'"),
        ("(3)", "wanted a word, or two phrases in brackets"),
        ("(3 a) (2 b)", "got '\\( 2 b' behind the end of the parse"),
    ],
)
def test_what_is_no_parse(text, wanted):
    with pytest.raises(ValueError, match=wanted):
        parsed(text)


def test_prompts():
    right = [("not", "very", "good"), ("not",), ("very", "good"), ("very",), ("good",)]
    assert phrases(of_prompt("not very good")) == phrases(of_prompt("(not (very good))")) == right
    assert phrases(of_prompt("((not very) good)"))[1] == ("not", "very")
    assert phrases(of_prompt("good")) == [("good",)]
    for wrong in ("", "(a b c)", "((a b)"):
        with pytest.raises(ValueError, match="wanted"):
            of_prompt(wrong)


def test_a_turned_phrase():
    assert parses.is_turned(parsed(TURNED), 2) and not any(
        parses.is_turned(parsed(line), 2) for line in [LINE, *OTHERS]
    )
    assert parses.is_turned(treebank.signs(parsed(TURNED)), 0.5)
    assert not parses.is_turned(parsed("(3 (1 not) (4 only))"), 2) and not parses.is_turned(
        parsed("(1 (3 so) (1 not))"), 2
    )


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for part, count in (("train", 12), ("dev", 2), ("test", 2)):
        (data / f"{part}.txt").write_text("\n".join([TURNED, LINE, *OTHERS] * count) + "\n", encoding="utf-8")
    return data


SMALL = ("--hidden", 4, "--embedding", 3, "--batch", 2)


@pytest.mark.parametrize("options", [(), ("--layer", "attention", "--binary")])
def test_a_few_steps(few_steps, minigrad, folder, options):
    figures, run = few_steps("treebank", "--data", folder, *SMALL, *options)
    assert 0 <= figures["accuracy"] <= 1 and 0 <= figures["dev_wrong"] <= 1
    assert figures["bag_of_words"] == 1 and figures["commonest_label"] == pytest.approx(
        3 / 5 if "--binary" in options else 1 / 3
    )
    assert (run / "tree.png").read_bytes().startswith(b"\x89PNG")
    code, told, _ = minigrad("sample", run, "--prompt", "(not (great film))")
    wanted = ["not great film", "  not", "  great film", "    great", "    film"]
    assert code == 0 and [line.split(":")[0] for line in told.splitlines()] == wanted
    assert all(line.split(":")[1].rpartition(" ")[0][1:] in treebank.FIVE for line in told.splitlines())
    code, _, err = minigrad("sample", run, "--prompt", "not (great film)")
    assert code == 2 and "--prompt: got" in err and err.count("\n") == 1
    code, _, err = minigrad("sample", run, "--prompt", "good", "--length", 3)
    assert code == 2 and "has no --length" in err


def test_training_learns_the_sentences(folder, tmp_path):
    task = treebank.Treebank(
        data=folder, hidden=8, embedding=8, batch=20, lr=0.1, steps=60, every=60, dropout=0, out=tmp_path / "run"
    )
    before = task.loss_of(*mg.tree.map(mg.tensor, task.draw(np.random.default_rng(0), 72))).item()
    figures = task.run()
    after = task.loss_of(*mg.tree.map(mg.tensor, task.draw(np.random.default_rng(0), 72))).item()
    assert before > 1.5 and after < 0.5 and figures["accuracy"] > 0.5


def test_binary_leaves_out_what_is_neutral(folder, tmp_path):
    task = treebank.Treebank(data=folder, binary=True, hidden=2, out=tmp_path / "run")
    assert len(task.test) == 10 and {label for _, label in task.phrases} == {0, 1}
    assert {parse.labels[0] for parse in task.training} == {0, 1}
    assert treebank.signs(parsed(LINE)).labels.tolist() == [1, -100, 1, -100, 1]


@pytest.mark.parametrize("layer", treebank.LAYERS)
def test_a_draw_has_the_phrases_with_their_labels(folder, tmp_path, layer):
    task = treebank.Treebank(data=folder, layer=layer, hidden=2, embedding=2, out=tmp_path / "run")
    words, beside, labels = task.draw(np.random.default_rng(0), 100)
    names = {number: word for word, number in task.classifier.numbers.items()}
    given = [parsed(line) for line in [TURNED, LINE, *OTHERS]]
    known = {pair for parse in given for pair in zip(phrases(parse), parse.labels.tolist())}
    if layer == "tree":
        told = [names.get(number, "") for number in words]
        assert told == [word for parse in task.training for word in parse.words]
        assert labels.tolist() == [label for parse in task.training for label in parse.labels]
    else:
        told = {(tuple(names[n] for n in row[:length]), label) for row, length, label in zip(words.T, beside, labels)}
        assert told == known


def test_a_word_that_came_once_is_sometimes_unknown(folder, tmp_path):
    with (folder / "train.txt").open("a", encoding="utf-8") as file:
        file.write("(3 unheard-of)\n")
    task = treebank.Treebank(data=folder, hidden=2, out=tmp_path / "run")
    number = task.classifier.numbers["unheard-of"]
    drawn = [task.draw(rng, 100)[0] for rng in map(np.random.default_rng, range(40))]
    assert all((number in words) != (treebank.UNKNOWN in words) for words in drawn)
    assert 8 < sum(number in words for words in drawn) < 32 and task.classifier.number("new") == treebank.UNKNOWN


@pytest.mark.parametrize("layer", treebank.LAYERS)
def test_a_phrase_is_told_the_same_in_any_batch(folder, tmp_path, layer):
    task = treebank.Treebank(data=folder, layer=layer, hidden=3, embedding=3, out=tmp_path / "run")
    task.model.eval()
    together = task.classifier.of_roots(task.test)
    chances = np.exp(together) / np.exp(together).sum(axis=-1, keepdims=True)
    for parse, p in zip(task.test, chances):
        np.testing.assert_allclose(task.classifier.of_nodes(parse)[0], p, rtol=1e-4)


def test_bad_options(minigrad, folder, tmp_path):
    def error(*options):
        code, _, err = minigrad("train", "treebank", "--out", tmp_path / "run", *options)
        assert code == 2 and err.count("\n") == 1 and not (tmp_path / "run").exists()
        return err

    assert "--data: wanted the folder" in error()
    assert "--layer forest: wanted tree, lstm, bilstm, attention" in error("--data", folder, "--layer", "forest")
    assert "train.txt: No such file" in error("--data", tmp_path)
    (folder / "dev.txt").write_text(f"{LINE}\n{LINE[1:]}\n", encoding="utf-8")
    assert "dev.txt, line 2: got '3'" in error("--data", folder)
    (folder / "dev.txt").write_text("(2 " * 5000, encoding="utf-8")
    assert "dev.txt, line 1: " in error("--data", folder)
    (folder / "dev.txt").write_text("\n", encoding="utf-8")
    assert "dev.txt has no parse" in error("--data", folder)


@pytest.mark.parametrize("layer", ["tree", "lstm"])
def test_ranks_share_a_batch(folder, tmp_path, layer):
    options = {"data": folder, "layer": layer, "hidden": 2, "embedding": 2, "batch": 4}
    tasks = [treebank.Treebank(out=tmp_path / name, **options) for name in "abc"]
    whole, *parts = [task.batch_at(0, rows) for task, rows in zip(tasks, (slice(None), slice(0, 3), slice(3, None)))]
    labels = np.concatenate([part[-1].numpy() for part in parts])
    assert labels.tolist() == whole[-1].numpy().tolist()
    assert sum(task.terms(*part).item() for task, part in zip(tasks, parts)) == tasks[0].terms(*whole).item()
    assert tasks[0].examples == len(tasks[0].samples(np.random.default_rng(1), 4))
