import json
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.tasks import music

PIECES = {"train": [[[60, 64], [], [62]], [[60]]], "valid": [[[21], [108]]], "test": [[[60, 64], [60]], [[]]]}


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pieces.json"
    path.write_text(json.dumps(PIECES))
    return path


def test_a_run(few_steps, data):
    row, _ = few_steps("music", "--data", data, "--hidden", 3, "--batch", 2)
    assert 0 < row["nats_a_step"] < 2 * 88 * math.log(2)


def test_piano_roll(data):
    pieces = music.read_pieces(data)
    assert [np.argwhere(piece).tolist() for piece in pieces["train"]] == [[[0, 39], [0, 43], [2, 41]], [[0, 39]]]
    assert [np.argwhere(piece).tolist() for piece in pieces["valid"]] == [[[0, 0], [1, 87]]]
    roll, lengths = music.side_by_side(pieces["train"], 4)
    assert roll.shape == (4, 2, 88) and lengths.tolist() == [3, 1] and roll.sum() == 4


def test_the_nats_are_those_of_each_piece_alone(data, tmp_path):
    task = music.Music(data=data, hidden=4, dropout=0.0, out=tmp_path / "run")
    roll, lengths = music.side_by_side(task.pieces["train"], 7)
    alone = 0.0
    for piece in task.pieces["train"]:
        before = np.concatenate([np.zeros((1, 88), np.float32), piece[:-1]])
        logits = task.model(mg.tensor(before[:, None]), mg.tensor(np.array([len(piece)]))).numpy()[:, 0]
        p = 1 / (1 + np.exp(-logits.astype(float)))
        alone -= (piece * np.log(p) + (1 - piece) * np.log(1 - p)).sum()
    assert task.total(mg.tensor(roll), mg.tensor(lengths)).item() == pytest.approx(alone, rel=1e-5)
    assert task.loss(mg.tensor(roll), mg.tensor(lengths)).item() == pytest.approx(alone / 4, rel=1e-5)


@pytest.mark.parametrize(
    "text, words",
    [
        (None, "No such file"),
        ("{", "JSONDecodeError"),
        ('{"train": []}', "'valid'"),
        (json.dumps({**PIECES, "test": [[[60.5]]]}), "IndexError"),
        (json.dumps({**PIECES, "test": [[[20]]]}), "pitch 20"),
        (json.dumps({**PIECES, "test": [[[109]]]}), "pitch 109"),
        (json.dumps({**PIECES, "test": [[["c"]]]}), "TypeError"),
        (json.dumps({**PIECES, "test": [3]}), "TypeError"),
        (json.dumps({**PIECES, "train": []}), "no step to train"),
        (json.dumps({**PIECES, "test": [[]]}), "no step to test"),
    ],
)
def test_bad_data(text, words, minigrad, tmp_path):
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    code, _, err = minigrad("train", "music", "--data", path, "--out", tmp_path / "run")
    assert code == 2 and err.startswith("minigrad: --data ") and words in err and err.count("\n") == 1
    code, _, err = minigrad("train", "music", "--out", tmp_path / "run")
    assert code == 2 and err.startswith("minigrad: --data: wanted a JSON") and not (tmp_path / "run").exists()
