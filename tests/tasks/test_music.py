import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.io import savemat

import minigrad as mg
from minigrad.badinput import BadInput
from minigrad.models.tasks import music, pianoroll
from minigrad.models.tasks.pianoroll import Note, notes_of, read_pieces

PIECES = {"train": [[[60, 64], [], [62]], [[60]]], "valid": [[[21], [108]]], "test": [[[60, 64], [60]], [[]]]}


rolls = arrays(np.int8, st.tuples(st.integers(1, 9), st.just(88)), elements=st.integers(0, 1))


def of_cells(rolls):
    """A cell array of MATLAB."""
    cells = np.empty((1, len(rolls)), object)
    cells[0] = [*rolls]
    return cells


def matlab_of(*pieces):
    return {f"{split}data": of_cells(pieces) for split in PIECES}


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pieces.json"
    path.write_text(json.dumps(PIECES))
    return path


@pytest.fixture
def matlab(tmp_path, data):
    """The same pieces as MATLAB has them: cell arrays of uint8."""
    splits = {}
    for split, pieces in read_pieces(data).items():
        splits[f"{split}data"] = of_cells([piece.astype(np.uint8) for piece in pieces])
    savemat(tmp_path / "pieces.mat", splits)
    return tmp_path / "pieces.mat"


def test_a_run(few_steps, minigrad, matlab):
    row, folder = few_steps("music", "--data", matlab, "--hidden", 3, "--batch", 2)
    assert 0 < row["nats_a_step"] < 2 * 88 * math.log(2) and row["no_memory"] > 0
    assert (folder / "roll.png").exists()
    code, out, err = minigrad("sample", folder, "--length", 20, "--temperature", 1, "--seed", 1)
    assert code == 0 and err == "" and f"{folder / 'sample.mid'} and {folder / 'sample.png'}: 20 steps" in out
    assert (folder / "sample.png").exists()
    first = (folder / "sample.mid").read_bytes()
    assert minigrad("sample", folder, "--length", 20, "--temperature", 1, "--seed", 1)[0] == 0
    assert (folder / "sample.mid").read_bytes() == first
    code, _, err = minigrad("sample", folder, "--prompt", "C")
    assert code == 2 and "--prompt 'C': a piece begins with silence" in err


def test_pieces(data, matlab):
    pieces = read_pieces(data)
    assert [np.argwhere(piece).tolist() for piece in pieces["train"]] == [[[0, 39], [0, 43], [2, 41]], [[0, 39]]]
    assert [np.argwhere(piece).tolist() for piece in pieces["valid"]] == [[[0, 0], [1, 87]]]
    roll = music.side_by_side(pieces["train"], 4)
    assert roll.shape == (4, 2, 88) and roll.sum() == 4
    same = read_pieces(matlab)
    for split in PIECES:
        assert all((a == b).all() and a.dtype == b.dtype for a, b in zip(pieces[split], same[split], strict=True))


def test_the_nats_are_those_of_each_piece_alone(data, tmp_path):
    task = music.Music(data=data, hidden=4, dropout=0.0, out=tmp_path / "run")
    pieces = task.pieces["train"]
    alone = []
    for piece in pieces:
        before = np.concatenate([np.zeros((1, 88), np.float32), piece[:-1]])
        p = 1 / (1 + np.exp(-task.model(mg.tensor(before[:, None]))[0].numpy()[:, 0].astype(float)))
        alone.append(-(piece * np.log(p) + (1 - piece) * np.log(1 - p)).sum())
    assert task.nats_of_pieces(pieces) == pytest.approx(alone, rel=1e-5)
    both = [music.side_by_side(rolls, 7) for rolls in (map(music.from_silence, pieces), pieces)]
    lengths = np.array([3, 1])  # what is beyond them does not count
    assert task.loss(*map(mg.tensor, both), mg.tensor(lengths)).item() == pytest.approx(sum(alone) / 4, rel=1e-5)


def test_at_first_each_key_has_its_frequency(data, tmp_path):
    """And a model that says that has the figure that stands beside ours."""
    task = music.Music(data=data, hidden=4, out=tmp_path / "run")
    assert task.frequency[39] == pytest.approx(3 / 6) and task.frequency[0] == pytest.approx(1 / 6)
    with mg.no_grad():
        task.model.output.weight[:] = 0
    task.out.mkdir()
    figures = task.evaluate()
    assert figures["nats_a_step"] == pytest.approx(figures["no_memory"], rel=1e-5)
    assert (
        figures["mean_of_pieces"]
        != figures["no_memory"]
        == pytest.approx(music.nats(task.frequency, task.pieces["test"]))
    )


@given(data=st.data(), length=st.integers(1, 8))
def test_parts_are_of_pieces_with_what_came_before(data, length):
    pieces = [np.eye(88, dtype=np.float32)[k : k + n] for k, n in ((0, 3), (10, 5), (40, 20))]
    task = music.Music.__new__(music.Music)
    vars(task).update(pieces={"train": pieces}, longest=length, chance=np.ones(3) / 3)
    before, wanted, lengths = task.draw(np.random.default_rng(data.draw(st.integers(0, 99))), 4)
    assert before.shape == wanted.shape == (length, 4, 88)
    for k, n in enumerate(lengths):
        first = wanted[0, k].argmax()
        (piece,) = (piece for piece in pieces if piece[:, first].any())
        start = piece[:, first].argmax()
        assert n == min(length, len(piece)) and (wanted[:n, k] == piece[start : start + n]).all()
        assert (before[:n, k] == np.concatenate([np.zeros((1, 88)), piece])[start : start + n]).all()
        assert not wanted[n:, k].any() and not before[n:, k].any()


@given(roll=rolls, most=st.integers(0, 90), seed=st.integers(0, 99))
def test_a_piece_is_moved_as_a_whole(roll, most, seed):
    moved = music.transposed(roll, most, np.random.default_rng(seed))
    assert moved.shape == roll.shape
    (times, keys), (same, now) = np.nonzero(roll), np.nonzero(moved)
    assert (times == same).all() and len(set(now - keys)) <= 1 and np.abs(now - keys).max(initial=0) <= most


def test_each_distance_that_keeps_the_notes_is_as_likely():
    roll, generator = np.eye(88)[[2, 84]], np.random.default_rng(0)
    found = [music.transposed(roll, 5, generator)[0].argmax() - 2 for _ in range(600)]
    assert np.bincount(np.array(found) + 2).tolist() == pytest.approx([100] * 6, abs=40)  # -2, ..., 3


def test_recurrent_dropout(few_steps, minigrad, data, tmp_path):
    options = "--cell", "gru", "--recurrent-dropout", 0.5, "--transpose", 6
    _, folder = few_steps("music", "--data", data, "--hidden", 3, "--batch", 2, *options)
    assert minigrad("sample", folder, "--length", 2)[0] == 0
    task = music.Music(data=data, hidden=40, recurrent_dropout=0.5, out=tmp_path / "run")
    x = mg.ones((3, 1, 88))
    first, again = (task.model.recurrent(x)[0].numpy() for _ in range(2))
    assert (first[0] == again[0]).all() and (first[1] != again[1]).any()  # the first step has no hidden state to drop
    task.model.eval()
    assert (task.model(x)[0].numpy() == task.model(x)[0].numpy()).all()
    code, _, err = minigrad(
        "train", "music", "--data", data, "--cell", "mingru", *options[2:], "--out", tmp_path / "other"
    )
    assert code == 2 and "--recurrent-dropout 0.5: " in err and "MinGRUCell has no hidden value to drop" in err


@given(roll=rolls)
def test_the_notes_are_the_roll(roll):
    again = np.zeros_like(roll)
    for note in notes_of(roll):
        assert note.start < note.end and not again[note.start : note.end, note.pitch - 21].any()
        again[note.start : note.end, note.pitch - 21] = 1
    assert (again == roll).all()
    assert notes_of(np.eye(88)[[3, 3, 5, 3]]) == [Note(0, 2, 24), Note(2, 3, 26), Note(3, 4, 24)]


@given(roll=rolls)
def test_midi_is_read_back(roll, tmp_path_factory):
    mido = pytest.importorskip("mido")
    path = tmp_path_factory.mktemp("midi") / "roll.mid"
    pianoroll.write_midi(roll, path)
    now, began, found = 0, {}, []
    for message in mido.MidiFile(path).tracks[0]:
        now += message.time
        if message.type == "note_on":
            began[message.note] = now // 240
        elif message.type == "note_off":
            found.append(Note(began.pop(message.note), now // 240, message.note))
    assert sorted(found) == notes_of(roll) and not began


def test_a_sample_has_the_chances_of_the_model():
    model = music.Notes(mg.models.Recurrent(mg.models.RNNCell, 88, 2), 0.0)
    with mg.no_grad():
        model.output.weight[:] = 0
        model.output.bias[:] = np.linspace(-3, 3, 88, dtype=np.float32)
    roll = music.compose(model, 2000, 2.0, np.random.default_rng(0))
    np.testing.assert_allclose(roll.mean(axis=0), 1 / (1 + np.exp(-np.linspace(-1.5, 1.5, 88))), atol=0.05)
    assert (music.compose(model, 3, 0.0, np.random.default_rng(0)) == (np.linspace(-3, 3, 88) > 0)).all()


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
    assert (
        code == 2 and err.startswith("minigrad: --data: wanted a .mat or a .json") and not (tmp_path / "run").exists()
    )


@pytest.mark.parametrize(
    "splits, words",
    [
        ({"traindata": [np.ones((2, 88))]}, "'validdata'"),
        (dict.fromkeys(["traindata", "validdata", "testdata"], np.ones((3, 88))), "a piece of shape"),
        (matlab_of(np.full((2, 88), 2)), "a piece of shape"),
        (matlab_of(np.ones((2, 87))), "shape (2, 87)"),
        (matlab_of(np.ones((0, 88))), "no step to train"),
        (None, "No such file"),
        (b"", "ValueError"),
        (b"MATLAB 5.0 MAT-file", "ValueError"),
    ],
)
def test_bad_matlab_files(splits, words, tmp_path):
    path = tmp_path / "bad.mat"
    if isinstance(splits, bytes):
        path.write_bytes(splits)
    elif splits is not None:
        savemat(path, splits)
    with pytest.raises(BadInput, match=re.escape(words)):
        read_pieces(str(path))
