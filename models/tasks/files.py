"""The files of a run of a task, beside those of every run: pictures, weights with the task's options."""

import io as streams
from pathlib import Path

from minigrad import disk, io, nn
from minigrad.badinput import BadInput
from minigrad.training.files import CHECKPOINT, LOG, WEIGHTS, is_fresh

__all__ = [
    "CHECKPOINT", "CURVES", "LOG", "WEIGHTS", "draw_curves", "is_fresh", "load_weights", "read_settings",
    "read_weights", "save_figure",
]  # fmt: skip
CURVES = "curves.png"


def draw_curves(rows: list[dict], loss_unit: str, path: Path) -> None:
    """Losses against steps, as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in (("loss", "training"), ("held_out_loss", "held out")):
        if name in rows[0]:
            axes.plot([row["step"] for row in rows], [row[name] for row in rows], label=label, marker=".")
    axes.set(xlabel="step", ylabel=loss_unit, title=path.absolute().parent.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def save_figure(figure, path: Path) -> None:
    """A Matplotlib figure as a PNG."""
    content = streams.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    disk.replace(path, content.getvalue())


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
