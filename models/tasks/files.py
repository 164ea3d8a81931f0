"""The files of a run of a task, beside those of every run: weights with the task's options."""

from pathlib import Path

from minigrad import io, nn
from minigrad.badinput import BadInput
from minigrad.training.files import CHECKPOINT, LOG, WEIGHTS, is_fresh, save_figure

__all__ = [
    "CHECKPOINT", "LOG", "WEIGHTS", "is_fresh", "load_weights", "read_settings", "read_weights", "save_figure",
]  # fmt: skip


def read_weights(folder: Path) -> tuple[dict, dict]:
    """(arrays, settings) of a run: its options, and the step that the weights are of.

    Raises BadInput if the folder holds none, or a damaged one.
    """
    try:
        arrays, settings = io.load(folder / WEIGHTS)
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{folder} is not the folder of a run (it has no {WEIGHTS})") from None
    except ValueError as error:
        raise BadInput(str(error)) from error
    if not isinstance(settings, dict) or not isinstance(settings.get("task"), str):
        raise BadInput(f"{folder / WEIGHTS} was not written by minigrad train: it tells no task")
    return arrays, settings


def read_settings(folder: Path) -> dict:
    """The settings of a run, its task among them."""
    return read_weights(folder)[1]


def load_weights(model: nn.Module, arrays: dict, folder: Path) -> None:
    try:
        model.load_state_dict(arrays)
    except ValueError as error:
        raise BadInput(f"{folder / WEIGHTS}: {error}") from error
