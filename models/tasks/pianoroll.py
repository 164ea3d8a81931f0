"""Piano rolls, arrays (steps, 88) of 0 and 1: read from files of pieces, written as MIDI, drawn."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigrad import disk
from minigrad.badinput import BadInput
from minigrad.models.tasks import files

LOWEST, KEYS = 21, 88
SPLITS = ("train", "valid", "test")
TICKS = 240  # of a step in MIDI: an eighth note, 480 being a quarter


class Note(NamedTuple):
    start: int
    end: int
    pitch: int


def notes_of(roll: np.ndarray) -> list[Note]:
    """The notes of a roll in order of time; what sounds in steps that follow each other is one note, held."""
    edges = np.diff(np.pad(roll.astype(int), ((1, 1), (0, 0))), axis=0)
    found = [
        Note(int(start), int(end), LOWEST + key)
        for key in range(KEYS)
        for start, end in zip(*(np.flatnonzero(edges[:, key] == sign) for sign in (1, -1)))
    ]
    return sorted(found)


def write_midi(roll: np.ndarray, path: Path) -> None:
    """A roll as a MIDI file, by mido: one track, an eighth note a step."""
    try:
        from mido import Message, MidiFile, MidiTrack
    except ImportError as error:
        raise BadInput(f"MIDI needs mido: pip install 'minigrad-rnn[music]' ({error})") from error

    edges = [(note.end, "note_off", note.pitch) for note in notes_of(roll)]
    edges += [(note.start, "note_on", note.pitch) for note in notes_of(roll)]
    track, now = MidiTrack(), 0
    for step, kind, pitch in sorted(edges):  # at one step what ends is before what begins
        track.append(Message(kind, note=pitch, velocity=64, time=(step - now) * TICKS))
        now = step
    MidiFile(ticks_per_beat=2 * TICKS, tracks=[track]).save(path)


def draw_rolls(rolls: dict[str, np.ndarray], path: Path) -> None:
    """A PNG of rolls by name, below each other: pitches against steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.2 * len(rolls) + 0.4), layout="constrained")
    sounding = np.flatnonzero(np.concatenate(list(rolls.values())).sum(axis=0))
    low, high = (int(sounding[0]), int(sounding[-1])) if len(sounding) else (0, KEYS - 1)
    for axes, (name, roll) in zip(figure.subplots(len(rolls), sharex=True, squeeze=False)[:, 0], rolls.items()):
        starts, ends, pitches = np.array(notes_of(roll)).reshape(-1, 3).T
        axes.hlines(pitches, starts, ends, linewidth=3)
        axes.set(title=name, ylabel="MIDI pitch", ylim=(LOWEST + low - 1, LOWEST + high + 1))
        axes.grid(alpha=0.3)
    axes.set_xlabel("step")
    files.save_figure(figure, path)


def read_pieces(path: str | None) -> dict[str, list[np.ndarray]]:
    """Pieces (T, 88) of 0 and 1 by split. Raises BadInput for what is no such file."""
    if path is None:
        raise BadInput("--data: wanted a .mat or a .json of pieces; `minigrad train music --help` tells which")
    try:
        rolls = of_matlab(path) if Path(path).suffix == ".mat" else of_json(path)
        if empty := [split for split, pieces in rolls.items() if not any(map(len, pieces))]:
            raise ValueError(f"no step to {empty[0]}")
        return rolls
    except OSError as error:
        raise BadInput(f"--data {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise BadInput(
            f"--data {path}: wanted a .mat with traindata, validdata and testdata, each a cell array of rolls "
            f"(steps, {KEYS}) of 0 and 1, or a JSON with train, valid and test, each a list of pieces, a piece a list "
            f"of steps, a step a list of MIDI pitches from {LOWEST} to {LOWEST + KEYS - 1}; "
            f"{type(error).__name__}: {error}"
        ) from error


def of_matlab(path: str) -> dict[str, list[np.ndarray]]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        arrays = loadmat(path, variable_names=[f"{split}data" for split in SPLITS])
    except (MatReadError, NotImplementedError) as error:  # empty, cut off, or of version 7.3, which is HDF5
        raise ValueError(str(error)) from error
    rolls = {split: [np.asarray(roll) for roll in arrays[f"{split}data"].ravel()] for split in SPLITS}
    for roll in (roll for pieces in rolls.values() for roll in pieces):
        if roll.ndim != 2 or roll.shape[1] != KEYS or not np.isin(roll, (0, 1)).all():
            raise ValueError(f"a piece of shape {roll.shape} and dtype {roll.dtype}")
    return {split: [roll.astype(np.float32) for roll in pieces] for split, pieces in rolls.items()}


def of_json(path: str) -> dict[str, list[np.ndarray]]:
    splits = json.loads(disk.read_text(path))
    return {split: [roll_of(piece) for piece in splits[split]] for split in SPLITS}


def roll_of(piece: list) -> np.ndarray:
    roll = np.zeros((len(piece), KEYS), np.float32)
    for t, pitches in enumerate(piece):
        for pitch in pitches:
            if not 0 <= pitch - LOWEST < KEYS:
                raise ValueError(f"pitch {pitch}")
            roll[t, pitch - LOWEST] = 1
    return roll
