"""The files of a run: weights and checkpoint, the log as CSV, pictures. Each is written whole or not at all."""

import csv
import io as streams
from pathlib import Path

from minigrad import disk, io, nn
from minigrad.badinput import BadInput

CHECKPOINT, WEIGHTS, LOG, CURVES = "checkpoint.safetensors", "weights.safetensors", "log.csv", "curves.png"


def write_rows(rows: list[dict], path: Path) -> None:
    """The figures of a run as CSV."""
    text = streams.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    disk.replace(path, text.getvalue().encode())


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


def is_fresh(folder: Path) -> bool:
    """Whether a run can begin in a folder: it is empty, or has what a run that was killed in its first save has left.

    Temporary files of dead processes are removed.
    """
    disk.remove_stale(folder)
    names = [path.name for path in folder.iterdir()]
    return not names or (names == [WEIGHTS] and read_settings(folder).get("step") == 0)


def read_settings(folder: Path) -> dict:
    """The settings of a run, its task among them."""
    return read_weights(folder)[1]


def load_weights(model: nn.Module, arrays: dict, folder: Path) -> None:
    try:
        model.load_state_dict(arrays)
    except ValueError as error:
        raise BadInput(f"{folder / WEIGHTS}: {error}") from error
