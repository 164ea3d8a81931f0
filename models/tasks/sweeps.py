"""Many runs of a task: what a run tells a sweep, and what the runs tell together (a table, tests, learning curves)."""

import contextlib
import csv
import io as streams
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.models.tasks import files
from minigrad.models.tasks.cells import running
from minigrad.training.files import write_rows

COLOURS = 10  # settings that are drawn, the best ones


def trained(folder: Path, task: Any, **options) -> dict:
    """A whole run of a task in a folder, gone on with if it was stopped there. For `minigrad.sweep`.

    Returns the chosen row of its log, the number of parameters, and the curve: (step, figure) of each evaluation.
    """
    resumed = (folder / files.CHECKPOINT).exists()
    with contextlib.redirect_stdout(streams.StringIO()), contextlib.redirect_stderr(streams.StringIO()):
        made = task(out=folder, resume=resumed, **options)
        with running(options.get("cell", "")):
            chosen = made.run()
    with (folder / files.LOG).open(newline="") as file:
        rows = list(csv.DictReader(file))
    curve = [(int(row["step"]), float(row[task.figure])) for row in rows]
    parameters = sum(p.size for p in made.model.parameters())
    return {**chosen, "parameters": parameters, "curve": curve}


class Setting:
    """The runs that differ in their seed only. options: what they share, of what differs in the sweep."""

    def __init__(self, options: dict, rows: list[dict], task):
        self.options, self.rows = options, rows
        self.by_seed = {row["seed"]: float(row[task.figure]) for row in rows}
        self.median = statistics.median(self.by_seed.values())
        self.p: float | None = None

    @property
    def name(self) -> str:
        return " ".join(told(value) if name == "cell" else f"{name}={value}" for name, value in self.options.items())


def settings(rows: Sequence[dict], task) -> list[Setting]:
    """The settings of the runs that did not fail, the best median first."""
    rows = [row for row in rows if task.figure in row]
    names = [name for name in task.options() if name not in ("out", "resume", "seed")]
    varied = [name for name in names if len({row[name] for row in rows}) > 1]
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in varied), []).append(row)
    found = [Setting(dict(zip(varied, key)), group, task) for key, group in groups.items()]
    return sorted(found, key=lambda setting: setting.median, reverse=task.higher_is_better)


def compare_to_best(found: list[Setting]) -> None:
    """Give every setting but the best its p: of the difference to the best, in the mean over the seeds of both.

    A permutation test of pairs (the sign of each seed's difference is random if there is none; exact up to 13 seeds),
    with Holm's correction for their number. n seeds give no less than 2/2^n.
    """
    from scipy.stats import permutation_test
    from statsmodels.stats.multitest import multipletests

    best, *others = found
    tested = []
    for other in others:
        seeds = sorted(best.by_seed.keys() & other.by_seed.keys())
        if len(seeds) > 1:
            pairs = [[setting.by_seed[seed] for seed in seeds] for setting in (best, other)]
            result = permutation_test(pairs, mean_difference, permutation_type="samples", batch=1000, rng=0)
            other.p = float(result.pvalue)
            tested.append(other)
    if tested:
        corrected = multipletests([other.p for other in tested], method="holm")[1]
        for other, p in zip(tested, corrected):
            other.p = float(p)


def mean_difference(a, b, axis=-1):
    return np.mean(a - b, axis=axis)


def table(found: list[Setting], task) -> str:
    """A line a setting: median and spread over the seeds, rank, parameters, seconds, p."""
    varied = list(found[0].options) if found else []
    figure = task.figure.replace("_", " ")
    lines = [["rank", *varied, "runs", figure, "least", "most", "parameters", "seconds", "p"]]
    for rank, setting in enumerate(found, 1):
        values = setting.by_seed.values()
        line = [str(rank), *map(told, setting.options.values()), str(len(values))]
        line += [f"{x:.4g}" for x in (setting.median, min(values), max(values))]
        line += [
            f"{setting.rows[0]['parameters']:,}",
            f"{statistics.median(row['seconds'] for row in setting.rows):.3g}",
        ]
        lines.append([*line, "" if setting.p is None else f"{setting.p:.2g}"])
    return aligned(lines)


def told(value) -> str:
    """An option's value, of a path its end."""
    return Path(value).name if isinstance(value, str) and "/" in value else str(value)


def aligned(lines: list[list[str]]) -> str:
    """Rows of text as a table, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    parts = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    return "\n".join(part.rstrip() for part in parts)


def draw(found: list[Setting], task, path: Path) -> None:
    """Learning curves of the best settings, as a PNG: the median over seeds, and a band from least to most."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for k, setting in enumerate(found[:COLOURS]):
        band(axes, [row["curve"] for row in setting.rows], f"C{k}", setting.name or task.name)
    axes.set(xlabel="training step", ylabel=task.figure.replace("_", " "), title=task.name)
    axes.grid(alpha=0.3)
    axes.legend()
    files.save_figure(figure, path)


def band(axes, curves: list, colour: str, label: str) -> None:
    """The median of several curves, lists of (step, figure), and a band from least to most, where all have a point."""
    steps = sorted(set.intersection(*[{step for step, _ in curve} for curve in curves]))
    figures = np.array([[dict(curve)[step] for step in steps] for curve in curves])
    axes.plot(steps, np.median(figures, axis=0), colour, label=label, marker=".")
    axes.fill_between(steps, figures.min(axis=0), figures.max(axis=0), color=colour, alpha=0.2, linewidth=0)


def write_csv(rows: Sequence[dict], path: Path) -> None:
    """A row a run; what is no single value (curves) is left out."""
    names = dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, (list, dict)))
    write_rows([{name: row.get(name, "") for name in names} for row in rows], path)
