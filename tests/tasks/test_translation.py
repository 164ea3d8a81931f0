"""Sentences in two languages, and what is told of one in the other."""

import gzip
import itertools

import numpy as np
import pytest
import sacrebleu

import minigrad as mg
from minigrad.models.tasks import translation

PAIRS = [  # ours, as the files have them
    ("A dog runs.", "Ein Hund läuft.", "Un chien court."),
    ("A dog sleeps.", "Ein Hund schläft.", "Un chien dort."),
    ("The child sleeps on a bench.", "Das Kind schläft auf einer Bank.", "L'enfant dort sur un banc."),
    ("The child runs.", "Das Kind läuft.", "L'enfant court."),
    ("Two dogs run in the snow.", "Zwei Hunde laufen im Schnee.", "Deux chiens courent dans la neige."),
    ("A child reads.", "Ein Kind liest.", "Un enfant lit."),
]
PARTS = ["train", "val", "test_2016_flickr"]
SMALL = ("--hidden", 4, "--embedding", 3, "--batch", 4, "--vocabulary", 50, "--width", 2)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for part, chosen in zip(PARTS, (PAIRS, PAIRS[:2], PAIRS[1:3])):
        for language, sentences in zip(("en", "de", "fr"), zip(*chosen)):
            put(folder, part, language, "\n".join(sentences) + "\n")
    return folder


def put(folder, part, language, text):
    (folder / f"{part}.{language}.gz").write_bytes(gzip.compress(text.encode()))


def made(data, out, **options):
    small = {"hidden": 16, "embedding": 8, "batch": 6, "vocabulary": 50, "dropout": 0.0, "width": 2}
    return translation.Translation(data=data, out=out, **small | options)


def test_a_few_steps_and_a_translation(data, few_steps, minigrad):
    figures, folder = few_steps("translation", *SMALL, "--data", data)
    assert figures["bleu"] >= 0 and figures["held_out_loss"] > 0
    assert figures["copy_source"] == pytest.approx(translation.bleu(*zip(*[pair[:2] for pair in PAIRS[1:3]])))
    assert figures["nearest_sentence"] == pytest.approx(100)  # this test's sentences are in the training's
    assert (folder / "attention.png").read_bytes().startswith(b"\x89PNG")
    for path in data.iterdir():
        path.unlink()  # a run is enough to translate
    code, told, err = minigrad("sample", folder, "--prompt", "A dog reads.")
    assert (code, err) == (0, "") and told.endswith("\n")
    assert minigrad("sample", folder, "--prompt", "A dog reads.", "--width", 1)[0] == 0
    assert "translated" in minigrad("sample", folder)[2]
    code, _, err = minigrad("sample", folder, "--prompt", "A dog reads.", "--length", 3, "--seed", 1)
    assert code == 2 and err == f"minigrad: {folder}: a run of translation has no --length, --seed\n"


def test_it_learns_to_translate_what_it_has_seen(data, tmp_path):
    task = made(data, tmp_path / "run", attention="luong", to="fr", seed=1)
    assert task.model.decoder.attention.scale == 1 / 4  # of 16 hidden units
    optimizer = mg.optim.Adam(task.model.parameters(), lr=0.02)
    for step in range(150):
        optimizer.zero_grad()
        loss = task.train_loss(*task.batch_at(step))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    task.model.eval()
    with mg.no_grad():
        assert task.translator([en for en, _, _ in PAIRS], 2) == [fr for _, _, fr in PAIRS]


def test_each_epoch_has_each_sentence_once_and_padding_is_not_told(data, tmp_path):
    task = made(data, tmp_path / "run", batch=4)
    seen = [written(task, task.batch_at(step)) for step in range(2)]
    assert sorted(itertools.chain(*seen)) == sorted(de for _, de, _ in PAIRS)
    assert [len(sentences) for sentences in seen] == [task.examples(step) for step in range(2)]
    assert written(task, task.batch_at(0, slice(1, 2))) == seen[0][1:2]
    source, lengths, target = translation.padded(task.pairs)
    whole = task.loss(*map(mg.tensor, (source, lengths, target))).item()
    apart = [task.loss(*map(mg.tensor, translation.padded([pair]))).item() for pair in task.pairs]
    counts = (target != translation.NONE).sum(axis=0)
    assert counts.tolist() == [len(side) for _, side in task.pairs] and counts.sum() == task.terms(None, None, target)
    assert whole == pytest.approx(np.average(apart, weights=counts), rel=1e-5)


def written(task, batch):
    return [
        task.translator.writes.decode([int(k) for k in column if k > translation.END]) for column in batch[2].numpy().T
    ]


def test_pieces_are_text_without_loss(data, tmp_path):
    translator = made(data, tmp_path / "run").translator
    (pair,) = translator.encode(["Two children sleep."], ["Zwei Kinder schlafen im Schnee."])
    for side, numbers in zip((translator.reads, translator.writes), pair):
        assert numbers[-1] == translation.END == side.eos_id() and side.bos_id() == translation.START
    assert translator.writes.decode(pair[1][:-1]) == "Zwei Kinder schlafen im Schnee."


def test_bleu_is_the_librarys_of_text_as_it_is():
    told, truth = ["Ein Hund läuft schnell davon."], ["Ein Hund läuft schnell weg."]
    assert translation.bleu(truth, truth) == pytest.approx(100)
    # n-grams that are right: 5 of 6, 3 of 5, 2 of 4, 1 of 3
    assert translation.bleu(told, truth) == pytest.approx(100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)
    assert translation.bleu([told[0].lower()], truth) < translation.bleu(told, truth)
    assert sacrebleu.corpus_bleu(told, [truth]).score == translation.bleu(told, truth)


def test_the_nearest_sentence_counts_rare_words_more():
    read, written = ["dog in a hat", "man in a car", "the zebra"], ["hut", "auto", "zebra"]
    assert translation.nearest(["In a zebra?", "a car"], read, written) == ["zebra", "auto"]


@pytest.mark.parametrize(
    "spoil, wanted",
    [
        (lambda folder: (folder / "val.de.gz").unlink(), "No such file"),
        (lambda folder: put(folder, "val", "de", "Ein Hund.\n"), "val has 2 lines in en and 1 in de; wanted pairs"),
        (lambda folder: put(folder, "val", "en", "A dog.\n\n"), "val.en.gz: line 2 is empty; wanted a sentence"),
        (lambda folder: (folder / "train.en.gz").write_bytes(b"A dog.\n"), "train.en.gz: wanted gzipped UTF-8 text"),
        (
            lambda folder: (folder / "train.en.gz").write_bytes((folder / "train.en.gz").read_bytes()[:-9]),
            "train.en.gz: wanted gzipped UTF-8 text",
        ),
        (
            lambda folder: (folder / "train.en.gz").write_bytes(gzip.compress(b"caf\xe9")),
            "train.en.gz: wanted gzipped UTF-8 text",
        ),
        (lambda folder: [put(folder, "val", side, "") for side in ("en", "de")], "val has 0 lines in en and 0 in de"),
    ],
)
def test_files_that_are_no_pairs(spoil, wanted, data, minigrad, tmp_path):
    spoil(data)
    code, _, err = minigrad("train", "translation", "--data", data, *SMALL, "--out", tmp_path / "run")
    assert code == 2 and wanted in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "options, wanted",
    [
        (("--to", "es"), "--to es: wanted de or fr"),
        (("--attention", "dot"), "--attention dot: wanted bahdanau or luong"),
        (("--vocabulary", 5000), "--vocabulary 5000: Vocabulary size too high"),
        (("--vocabulary", 5), "--vocabulary 5: "),
    ],
)
def test_options_that_cannot_be(options, wanted, data, minigrad, tmp_path):
    code, _, err = minigrad("train", "translation", "--data", data, *SMALL, *options, "--out", tmp_path / "run")
    assert code == 2 and wanted in err and err.count("\n") == 1


def test_without_data(minigrad, tmp_path):
    code, _, err = minigrad("train", "translation", "--out", tmp_path / "run")
    assert code == 2 and "--data FOLDER is wanted" in err


def test_a_run_without_pieces_is_refused(data, tmp_path):
    task = made(data, tmp_path / "run")
    for pieces in (None, ["?", "?"], ["AAAA", "AAAA"], task.settings["pieces"][:1]):
        with pytest.raises(translation.BadInput, match="without byte pairs"):
            translation.Translator(task.settings | {"pieces": pieces}, tmp_path)
