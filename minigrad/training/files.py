"""The folder of a run: weights, checkpoint and log, each written whole or not at all."""

import csv
import io as streams
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigrad import disk, io

CHECKPOINT, WEIGHTS, LOG = "checkpoint.safetensors", "weights.safetensors", "log.csv"


def write_rows(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The figures of a run as CSV."""
    text = streams.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    disk.replace(path, text.getvalue().encode())


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
