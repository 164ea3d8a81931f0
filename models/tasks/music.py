"""Polyphonic music: tell the notes of the next step of a chorale, each on its own.

88 keys, each with a chance, given all steps before; the figure is the negative log-likelihood of a step, in nats summed
over the keys, a mean over all steps of the test pieces, the first included. That of the valid pieces, held_out_loss, is
the one to choose options by, and the weights kept are those at which it was least. --data is a JSON of the splits
train, valid and test: each a list of pieces, a piece a list of steps, a step a list of MIDI pitches from 21 to 108, as
czhuang's JSB-Chorales-dataset on GitHub has them (jsb-chorales-quarter.json: data, split and grid of
Boulanger-Lewandowski, Bengio & Vincent 2012, arXiv:1206.6392). Chung, Gulcehre, Cho & Bengio 2014 (arXiv:1412.3555).
"""

import json
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import disk, nn
from minigrad.models.tasks.training import Annotated, BadInput, CellTask, Option, Row

LOWEST, KEYS = 21, 88


class Notes(nn.Module):
    """Steps (T, B, 88) of 0 and 1, as they come before each step, to the logits of that step."""

    def __init__(self, recurrent, dropout: float):
        self.recurrent, self.drop = recurrent, nn.Dropout(dropout)
        self.output = nn.Linear(recurrent.hidden_size, KEYS)

    def forward(self, before, lengths):
        hidden, _ = self.recurrent(before, lengths=lengths)
        return self.output(self.drop(hidden))


class Music(CellTask):
    steps, lr, batch, every, memory, hidden = 3000, 0.01, 8, 100, 20, 150
    figure, best_on, unit, loss_unit = "nats_a_step", "held_out_loss", "pieces", "nats a step"
    known = "JSB chorales, test: tanh 9.10, GRU 8.54, LSTM 8.67 (Chung et al. 2014, arXiv:1412.3555)"
    family = "sequences"
    rows = [
        Row("--data jsb-chorales/jsb-chorales-quarter.json --cell lstm", 8.67),
        Row("--data jsb-chorales/jsb-chorales-quarter.json --cell gru", 8.54),
        Row("--data jsb-chorales/jsb-chorales-quarter.json --cell rnn --lr 0.001", 9.10),
    ]
    may_change = ("steps", "data")

    data: Annotated[Path | None, Option(help="JSON of train, valid and test pieces.  [required]")] = None
    dropout: Annotated[float, Option(min=0, max=0.95, help="Of what is read out of the cells.")] = 0.2

    def build(self):
        self.pieces = read_pieces(self.data)
        self.longest = max(map(len, self.pieces["train"]))
        self.model = Notes(self.recurrent(KEYS), self.dropout)
        self.about = ", ".join(f"{len(pieces)} pieces to {split}" for split, pieces in self.pieces.items())

    def draw(self, generator, count):
        chosen = generator.integers(len(self.pieces["train"]), size=count)
        return side_by_side([self.pieces["train"][k] for k in chosen], self.longest)

    def loss(self, roll, lengths):
        return self.total(roll, lengths) / lengths.sum()

    def terms(self, roll, lengths):
        return lengths.sum()

    def total(self, roll, lengths):
        """Nats of all steps of pieces (T, B, 88)."""
        silence = mg.tensor(np.zeros((1, *roll.shape[1:]), np.float32))
        logits = self.model(mg.concatenate([silence, roll[:-1]]), lengths)
        nats = mg.binary_cross_entropy_with_logits(logits, roll, reduction="none").sum(axis=-1)
        return mg.where(mg.tensor(np.arange(len(roll))[:, None]) < lengths, nats, 0).sum()

    def evaluate(self):
        nats = {}
        for split in ("valid", "test"):
            roll, lengths = side_by_side(self.pieces[split], max(map(len, self.pieces[split])))
            nats[split] = self.total(mg.tensor(roll), mg.tensor(lengths)).item() / lengths.sum()
        return {"held_out_loss": float(nats["valid"]), "nats_a_step": float(nats["test"])}


def side_by_side(pieces: list[np.ndarray], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Pieces (T, 88) as one array (longest, count, 88), and their lengths."""
    roll = np.zeros((longest, len(pieces), KEYS), np.float32)
    for k, piece in enumerate(pieces):
        roll[: len(piece), k] = piece
    return roll, np.array([len(piece) for piece in pieces])


def read_pieces(path: str | None) -> dict[str, list[np.ndarray]]:
    """Pieces (T, 88) of 0 and 1 by split. Raises BadInput for what is no such file."""
    if path is None:
        raise BadInput("--data: wanted a JSON of pieces (jsb-chorales-quarter.json of czhuang/JSB-Chorales-dataset)")
    try:
        splits = json.loads(disk.read_text(path))
        rolls = {split: [piano_roll(piece) for piece in splits[split]] for split in ("train", "valid", "test")}
        if empty := [split for split, pieces in rolls.items() if not any(map(len, pieces))]:
            raise ValueError(f"no step to {empty[0]}")
        return rolls
    except OSError as error:
        raise BadInput(f"--data {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise BadInput(
            f"--data {path}: wanted a JSON with train, valid and test, each a list of pieces, a piece a list of steps, "
            f"a step a list of MIDI pitches from {LOWEST} to {LOWEST + KEYS - 1}; {type(error).__name__}: {error}"
        ) from error


def piano_roll(piece: list) -> np.ndarray:
    roll = np.zeros((len(piece), KEYS), np.float32)
    for t, pitches in enumerate(piece):
        for pitch in pitches:
            if not 0 <= pitch - LOWEST < KEYS:
                raise ValueError(f"pitch {pitch}")
            roll[t, pitch - LOWEST] = 1
    return roll
