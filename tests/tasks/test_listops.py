"""Nested lists of operations, as trees and as strings."""

import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.models.tasks import listops
from minigrad.models.tasks.listops import LIST, NAMES, as_strings, as_trees, expression, text_of
from minigrad.testing import seeds

SIZES = ("--hidden", 4, "--embedding", 3, "--batch", 2)


@pytest.mark.parametrize("layer", listops.LAYERS)
def test_a_few_steps(few_steps, layer):
    figures, _ = few_steps("listops", *SIZES, "--layer", layer)
    assert 0 <= figures["exact"] <= 1 and 0.1 <= figures["majority_guess"] < 0.2


def test_bad_layer(minigrad, tmp_path):
    code, _, err = minigrad("train", "listops", "--out", tmp_path / "run", "--layer", "binary")
    assert code == 2 and "--layer binary: wanted nary, childsum, string" in err and err.count("\n") == 1


def applied(name, digits):
    """An operation, as the paper has it."""
    digits = sorted(digits)
    n = len(digits)
    middle = (digits[(n - 1) // 2] + digits[n // 2]) // 2
    return {"MIN": digits[0], "MAX": digits[-1], "MED": middle, "SM": sum(digits) % 10}[name]


def read(words):
    """What the innermost open list comes to after each word, None after an operation; of the outermost, at its end."""
    open_lists, answers = [], []
    for word in words:
        if word == "]":
            closed = applied(*open_lists.pop())
            if open_lists:
                open_lists[-1][1].append(closed)
            answers.append(applied(*open_lists[-1]) if open_lists else closed)
        elif word[0] == "[":
            open_lists.append((word[1:], []))
            answers.append(None)
        else:
            open_lists[-1][1].append(int(word))
            answers.append(applied(*open_lists[-1]))
    assert not open_lists
    return answers


def words_of(e):
    return text_of(e).replace("]", " ]").split()


def test_operations():
    assert text_of(("MAX", [2, 9, ("MIN", [4, 7]), 0])) == "[MAX 2 9 [MIN 4 7] 0]"
    assert read(["[MAX", "2", "9", "[MIN", "4", "7", "]", "0", "]"]) == [None, 2, 9, None, 4, 4, 9, 9, 9]
    for name, digits, answer in [
        ("MED", [1, 9, 4], 4),
        ("MED", [1, 4, 9, 2], 3),
        ("MED", [1, 2], 1),
        ("SM", [8, 7], 5),
    ]:
        assert applied(name, digits) == listops.value_of((name, digits)) == answer


@given(rng=seeds())
def test_lists(rng):
    e = expression(rng)
    words = words_of(e)
    assert 8 <= sum(word != "]" for word in words) <= 40
    depth = np.cumsum([{"[": 1, "]": -1}.get(word[0], 0) for word in words])
    assert depth.min() == depth[-1] == 0 and depth.max() <= 4
    assert listops.value_of(e) == read(words)[-1]


@given(rng=seeds())
def test_trees_are_the_lists_with_every_answer(rng):
    lists = [expression(rng) for _ in range(3)]
    (symbols, trees, answers), roots = as_trees(lists)
    assert symbols.shape == answers.shape == trees.place.shape and len(symbols) % 512 == 0
    assert answers[roots].tolist() == [read(words_of(e))[-1] for e in lists]
    end = 0
    for e, root in zip(lists, roots):
        nodes = listops.nodes_of(e)
        table = {(parent, position): k for k, (_, parent, position, _) in enumerate(nodes)}
        assert root == end and len(table) == len(nodes)  # no two nodes in one place
        end += len(nodes)
        assert [symbol for symbol, *_ in nodes] == symbols[root:end].tolist()
        assert [answer for *_, answer in nodes] == answers[root:end].tolist()

        def words(k):
            """Those of the symbols below a node, in order."""
            if nodes[k][0] != LIST:
                return ["[" + NAMES[nodes[k][0] - 10] if nodes[k][0] >= 10 else str(nodes[k][0])]
            *before, item = words(table[k, 0]) + [words(table[k, 1])]
            return [*before, *item, "]"] if len(item) > 1 else [*before, *item]

        for k, (symbol, *_, answer) in enumerate(nodes):
            if symbol == LIST:
                assert answer == read([*words(k), "]"])[-1]
            else:
                assert answer == -1 and (k, 0) not in table
        assert [*words(0), "]"] == words_of(e)
    assert (answers[end:] == -1).all()  # what rounds up is not taught


@given(rng=seeds())
def test_strings_are_the_lists_with_every_answer(rng):
    lists = [expression(rng) for _ in range(3)]
    (symbols, nothing, answers), ends = as_strings(lists)
    assert nothing is None and symbols.shape == answers.shape == (60, 3)
    names = [*map(str, range(10)), *("[" + name for name in NAMES), "]"]
    for b, e in enumerate(lists):
        words = words_of(e)
        assert [names[k] for k in symbols[: len(words), b]] == words
        assert [None if answer < 0 else answer for answer in answers[: len(words), b]] == read(words)
        assert ends[b] == (len(words) - 1) * 3 + b and (answers[len(words) :, b] == -1).all()


@pytest.mark.parametrize("layer", ["nary", "string"])
def test_loss_is_of_the_answers_that_there_are(tmp_path, layer):
    task = listops.ListOps(out=tmp_path / "run", hidden=4, embedding=3, layer=layer)
    symbols, trees, answers = task.draw(task.draws, 3)
    logits = task.model(mg.tensor(symbols), trees).numpy().astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    nats = [-log_p[place][answers[place]] for place in np.ndindex(answers.shape) if answers[place] >= 0]
    assert task.loss_of(*mg.tree.map(mg.tensor, (symbols, trees, answers))).item() == pytest.approx(np.mean(nats), 1e-5)
