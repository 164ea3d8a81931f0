"""Parts of speech, from files in CoNLL-U."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.tasks import tagging
from minigrad.models.tasks.conll import Sentence, conllu
from minigrad.models.tasks.tagging import accuracy, most_frequent_tags

TEXT = """# sent_id = 1
# text = He isn't here
1\tHe\the\tPRON\tPRP\t_\t3\tnsubj\t_\t_
2-3\tisn't\t_\t_\t_\t_\t_\t_\t_\t_
2\tis\tbe\tAUX\tVBZ\t_\t3\tcop\t_\t_
3\tn't\tnot\tPART\tRB\t_\t0\troot\t_\t_
3.1\tgone\tgo\tVERB\tVBN\t_\t_\t_\t_\t_

1\tRuns\trun\tVERB\tVBZ\t_\t0\troot\t_\t_
"""


def line(k, word, tag):
    return "\t".join([str(k), word, "_", tag, *"______"])


@pytest.fixture
def folder(tmp_path):
    """A treebank in which words of three letters are verbs."""
    data, rng = tmp_path / "data", np.random.default_rng(0)
    data.mkdir()
    for part, count in (("dev", 40), ("test", 12)):
        sentences = []
        for _ in range(count):
            words = ["".join(rng.choice(list("abcd"), rng.integers(2, 5))) for _ in range(rng.integers(1, 10))]
            tags = ["VERB" if len(word) == 3 else "NOUN" for word in words]
            sentences.append("\n".join(map(line, range(1, 10), words, tags)) + "\n")
        (data / f"xx_toy-ud-{part}.conllu").write_text("\n".join(sentences), encoding="utf-8")
    return data


@pytest.mark.parametrize("options", [(), ("--crf", "--cell", "gru", "--layers", 2)])
def test_a_few_steps(few_steps, folder, options):
    figures, _ = few_steps("tagging", "--data", folder, "--hidden", 4, "--batch", 4, *options)
    assert figures.keys() >= {"held_out_loss", "accuracy", "most_frequent_tag"}
    assert 0 < figures["accuracy"] < 1 and 0 < figures["most_frequent_tag"] < 1


def test_conllu():
    assert conllu(TEXT) == conllu(TEXT.rstrip()) == [
        Sentence(["He", "is", "n't"], ["PRON", "AUX", "PART"]), Sentence(["Runs"], ["VERB"]),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="line 2 has 3 columns, wanted the ten of CoNLL-U"):
        conllu(line(1, "a", "X") + "\n2\tb\tY\n")


def test_most_frequent_tags():
    training = [Sentence(["a", "a", "a", "b", "c"], ["X", "X", "Y", "Y", "Y"])]
    test = [Sentence(["a", "b", "new"], ["X", "X", "Y"]), Sentence(["a"], ["Y"])]
    told = most_frequent_tags(training, test)
    assert told == [["X", "Y", "Y"], ["X"]]  # Y is the commonest
    assert accuracy(told, test) == 0.5


def test_numbers(folder, tmp_path):
    task = tagging.Tagging(out=tmp_path / "run", data=folder, hidden=2)
    sentences = [Sentence(["AB", "zz"], ["VERB", "NOUN"]), Sentence(["d" * 20 + "a"], ["ODD"])]
    (words, spelling), tags, lengths = task.annotator.numbers(sentences)
    assert words.shape == tags.shape == (8, 2) and spelling.shape == (8, 2, 16) and lengths.tolist() == [2, 1]
    assert words[0, 0] == task.annotator.words["ab"] > 1 == words[1, 0] == words[0, 1] and not words[2:].any()
    a, d = task.annotator.characters["a"], task.annotator.characters["d"]
    assert spelling[0, 1].tolist() == [*[d] * 15, a]  # the end of a long word
    assert spelling[0, 0].tolist() == [1, 1, *[0] * 14]  # capitals are characters of their own, here unknown ones
    assert tags[:2, 0].tolist() == [1, 0] and task.tags == ["NOUN", "VERB"]
    lengths = task.draw(np.random.default_rng(0), 8)[2]
    assert len(lengths) == 8 and np.ptp(lengths) <= 4


@pytest.mark.parametrize("crf", [False, True])
def test_what_is_exported_are_the_tags(folder, tmp_path, crf):
    task = tagging.Tagging(out=tmp_path / "run", data=folder, hidden=2, batch=2, crf=crf)
    decode, (words, lengths), _ = task.served()
    assert decode == task.model.decode and decode(mg.tree.map(mg.tensor, words), lengths).shape == words[0].shape


def test_a_training_part_goes_before_a_development_part(folder, tmp_path):
    (folder / "xx_toy-ud-train.conllu").write_text(line(1, "w", "ADV") + "\n", encoding="utf-8")
    assert tagging.Tagging(out=tmp_path / "run", data=folder).tags == ["ADV"]


def test_bad_data(minigrad, folder, tmp_path):
    def error(*options):
        code, _, err = minigrad("train", "tagging", "--out", tmp_path / "run", *options)
        assert code == 2 and err.count("\n") == 1 and not (tmp_path / "run").exists()
        return err

    assert "--data is missing: wanted a folder with" in error()
    assert "no sentence in any *train.conllu or *dev.conllu there" in error("--data", tmp_path / "nowhere")
    (folder / "xx_toy-ud-test.conllu").write_text("1\tword\n", encoding="utf-8")
    assert "xx_toy-ud-test.conllu: line 1 has 2 columns" in error("--data", folder)
    (folder / "xx_toy-ud-test.conllu").write_bytes(b"\xff\xfe")
    assert "xx_toy-ud-test.conllu" in error("--data", folder)
