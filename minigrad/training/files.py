"""The folder of a run: weights, checkpoint, log and pictures, each written whole or not at all."""

import csv
import io as streams
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigrad import disk, io

CHECKPOINT, WEIGHTS, LOG, CURVES = "checkpoint.safetensors", "weights.safetensors", "log.csv", "curves.png"


def write_rows(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The figures of a run as CSV."""
    text = streams.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    disk.replace(path, text.getvalue().encode())


def draw_curves(rows: Sequence[dict[str, Any]], loss_unit: str, path: Path) -> None:
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


def is_fresh(folder: Path) -> bool:
    """Whether a run can begin in a folder: it is empty, or has what a run that was killed in its first save has left.

    Temporary files of dead processes are removed.
    """
    disk.remove_stale(folder)
    names = [path.name for path in folder.iterdir()]
    if names != [WEIGHTS]:
        return not names
    try:
        settings = io.load(folder / WEIGHTS)[1]
    except ValueError:  # it is damaged, or somebody else's
        return False
    return isinstance(settings, dict) and type(settings.get("step")) is int and settings["step"] == 0
