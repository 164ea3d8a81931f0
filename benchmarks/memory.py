"""Who remembers for how long: cells on tasks that need memory and nothing else, with the gradient's way back in time.

    python benchmarks/memory.py [--tasks adding copy ...] [--lengths 200 ...] [--cells LSTM GRU ...] [--seed 0..2]
                                [--part 1.0] [--out FOLDER] [--workers N] [--docs]

A run ends when its task is solved (TASKS says when), or after as many steps as TASKS has, times --part. Lengths are
tried from the shortest; a cell that did not solve one with any seed is not tried at a longer one. --out keeps what has
been run (`mg.sweep`): a second command adds to it, and goes on where the first was stopped. All of it takes some hours.
Options are those of `minigrad train`, but for those in TASKS and CELLS, and for how gates start: as the cell has it.

At the end there is a table, and with --docs, of all that --out has, it and a picture a task go into docs/models:
figures against steps (the median, from the least to the most), and the norm of the gradient of the loss at the last
step with respect to the state, before and after training; of a state of two parts, that of c, which is added to.
"""

import argparse
import contextlib
import io
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[1] / "docs" / "models"
CELLS: dict[str, dict] = {
    "tanh RNN": {"cell": "rnn", "lr": 0.001},
    "IRNN": {"cell": "irnn", "lr": 0.001},
    "LSTM": {"cell": "lstm"},
    "LSTM, forget bias 1": {"cell": "lstm1"},
    "LSTM, chrono": {"cell": "lstm", "memory": True},  # gates that remember for up to T steps at first
    "GRU": {"cell": "gru"},
    "minGRU": {"cell": "mingru"},
}


class Problem(NamedTuple):
    """A task here: the lengths T, the figure by which a run has solved it, and options."""

    lengths: list[int]
    figure: str
    solved: float
    options: dict


TASKS = {
    "adding": Problem([200, 400, 750], "held_out_loss", 0.01, {"steps": 3000, "lr": 0.02, "batch": 64}),
    "copy": Problem([50, 200, 500], "wrong_symbols", 0.01, {"steps": 6000, "lr": 0.005, "batch": 32, "hidden": 64}),
    "digits": Problem([64], "wrong", 0.05, {"steps": 2000, "lr": 0.005, "layers": 1}),
    "parentheses": Problem([100, 200], "wrong", 0.01, {"steps": 2000, "lr": 0.005}),
}


def run(folder: Path, task: str, length: int, cell: str, seed: int, part: float) -> dict:
    """One run: its curve, the steps after which it had solved the task, or None, and the gradients' norms."""
    from minigrad.cli.tasks import tasks
    from minigrad.models.tasks.loop import train
    from minigrad.training import Hook

    problem = TASKS[task]
    steps = max(1, round(problem.options["steps"] * part))
    options = {"memory": 0, **problem.options, **CELLS[cell], "steps": steps, "every": min(100, steps)}
    options["memory"] = length if options["memory"] else 0
    if task != "digits":
        options["length"] = length
    shutil.rmtree(folder, ignore_errors=True)
    began = time.process_time()
    made = tasks()[task][1](out=folder, seed=seed, **options)
    before = gradient_norms(made)

    class Solved(Hook):
        after = None

        def evaluated(self, trainer):
            if trainer.rows[-1][problem.figure] <= problem.solved:
                self.after = trainer.done
                trainer.stop("solved")

    class Curve(Hook):
        points: list = []

        def evaluated(self, trainer):
            self.points = [(row["step"], row[problem.figure]) for row in trainer.rows]

    solved, curve = Solved(), Curve()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train(made, [solved, curve])
    return {
        "curve": curve.points, "solved": solved.after, "before": before, "after": gradient_norms(made),
        "minutes": (time.process_time() - began) / 60,
    }  # fmt: skip


def gradient_norms(task) -> list[float]:
    """‖∂L/∂state_t‖ from t = 0 to T - 1, L being the loss at the last step alone, of 16 sequences that are held out."""
    import minigrad as mg
    from minigrad.models import gradient_flow
    from minigrad.models.tasks.copy import one_hot

    x, wanted = (part[..., :16] if part.ndim < 3 else part[:, :16] for part in task.test)
    if task.name == "copy":
        x = one_hot(mg.tensor(x))
    last = mg.tensor(wanted if wanted.ndim == 1 else wanted[-1])

    def loss(outputs):
        told = task.model.output(outputs[-1])
        return mg.square(told[:, 0] - last).mean() if task.name == "adding" else mg.cross_entropy(told, last)

    flow = gradient_flow(task.model.recurrent.cells[0], x, loss)
    return [float(norm) for norm in mg.tree.flatten(flow.norms)[0][-1][:-1]]


def sweep(options) -> None:
    """The runs that are missing, lengths from the shortest, of cells that solved the one before."""
    from minigrad import sweeps
    from minigrad.cli.sweep import parse
    from minigrad.models.tasks.training import Task

    seeds = [seed for text in options.seed for seed in parse("seed", text, Task.options()["seed"][0])]
    with sweeps.processes(options.workers) as pool:
        for name in options.tasks:
            cells = list(options.cells)
            for length in [n for n in TASKS[name].lengths if not options.lengths or n in options.lengths]:
                grid = {"task": [name], "length": [length], "cell": cells, "seed": seeds, "part": [options.part]}
                rows = sweeps.sweep(run, grid, options.out.absolute(), pool, told)
                cells = [cell for cell in cells if any(row.get("solved") for row in rows if row["cell"] == cell)]
                if not cells:
                    break


def told(row: dict) -> None:
    of = f"{row['task']}, T = {row['length']}, {row['cell']}, seed {row['seed']}"
    if "error" in row:
        print(f"{of}: {row['error']}", file=sys.stderr, flush=True)
    else:
        after = f"solved after {row['solved']}" if row["solved"] else f"{row['curve'][-1][1]:.3g}, not solved"
        print(f"{of}: {after}; {row['minutes']:.2g} minutes", flush=True)


def groups(rows: list[dict]) -> dict[tuple, list[dict]]:
    """Runs by (task, length, cell), in the order of TASKS and CELLS."""
    found = {
        (task, length, cell): [row for row in rows if (row["task"], row["length"], row["cell"]) == (task, length, cell)]
        for task in TASKS
        for length in TASKS[task].lengths
        for cell in CELLS
    }
    return {key: group for key, group in found.items() if group}


def table(rows: list[dict]) -> str:
    """A line a task, length and cell: medians over the seeds."""
    lines = [
        "| task | T | cell | solved | after steps | figure at the end | steps at most | ‖∂L/∂state‖ at 0 / at T - 1, "
        "before → after training | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (task, length, cell), group in groups(rows).items():
        solved = [row["solved"] for row in group if row["solved"]]
        after = f"{statistics.median(solved):.0f}" if solved else ""
        if len(solved) > 1:
            after += f" ({min(solved)} to {max(solved)})"
        end = statistics.median(row["curve"][-1][1] for row in group)
        most = max(round(TASKS[task].options["steps"] * row["part"]) for row in group)
        flow = " → ".join(
            f"{statistics.median(row[when][0] / row[when][-1] for row in group):.1e}" for when in ("before", "after")
        )
        minutes = statistics.median(row["minutes"] for row in group)
        figure = f"{TASKS[task].figure.replace('_', ' ')} {end:.2g}"
        cells = [task, length, cell, f"{len(solved)} of {len(group)}", after, figure, most, flow, f"{minutes:.2g}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def draw(task: str, rows: list[dict], path: Path) -> None:
    """Curves above, gradients below, a column a length."""
    import numpy as np
    from matplotlib.figure import Figure

    from minigrad.models.tasks import files
    from minigrad.models.tasks.sweeps import band

    found = groups(rows)
    lengths = sorted({length for name, length, _ in found if name == task})
    figure = Figure(figsize=(1.6 + 3.8 * len(lengths), 6.4), layout="constrained")
    for (above, below), length in zip(figure.subplots(2, len(lengths), squeeze=False, sharey="row").T, lengths):
        for k, cell in enumerate(CELLS):
            group = found.get((task, length, cell), [])
            if not group:
                continue
            longest = max((row["curve"] for row in group), key=len)
            # a run that has ended stays where it was
            curves = [
                [*row["curve"], *((step, row["curve"][-1][1]) for step, _ in longest[len(row["curve"]) :])]
                for row in group
            ]
            band(above, curves, f"C{k}", cell)
            for when, style in (("before", ":"), ("after", "-")):
                norms = np.median([row[when] for row in group], axis=0)[::-1]
                below.plot(np.where(norms > 0, norms, np.nan), f"C{k}{style}", label=cell if when == "after" else None)
        above.axhline(TASKS[task].solved, color="black", linewidth=0.7, linestyle="--")
        above.set(title=f"{task}, T = {length}", xlabel="training step", yscale="log")
        below.set(xlabel="steps back in time", yscale="log")
        for axes in (above, below):
            axes.grid(alpha=0.3)
    first = figure.axes[0]
    first.set_ylabel(TASKS[task].figure.replace("_", " "))
    figure.axes[len(lengths)].set_ylabel("‖∂L/∂state‖: dotted untrained, solid trained")
    figure.legend(*first.get_legend_handles_labels(), loc="outside right upper", fontsize="small")
    files.save_figure(figure, path)


def prolonged(curves: list) -> list:
    """Curves, lists of (step, figure), as long as the longest: a run that has ended stays where it was."""
    longest = max(curves, key=len)
    return [[*curve, *((step, curve[-1][1]) for step, _ in longest[len(curve) :])] for curve in curves]


def main() -> None:
    from minigrad import sweeps

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--lengths", nargs="+", type=int)
    parser.add_argument("--seed", nargs="+", default=["0..2"])
    parser.add_argument("--part", type=float, default=1.0, help="of the steps that TASKS has")
    parser.add_argument("--out", type=Path, default=Path("runs/memory"))
    parser.add_argument("--workers", type=int, help="runs at once; else as many as there are cores")
    parser.add_argument("--docs", action="store_true", help="put the table and the pictures into docs/models")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sweep(options)
    rows = sweeps.kept(options.out)
    print("\n" + table(rows), end="")
    for task in dict.fromkeys(row["task"] for row in rows):
        draw(task, rows, options.out / f"memory-{task}.png")
        if options.docs:
            shutil.copy(options.out / f"memory-{task}.png", DOCS / "pictures")
    if options.docs:
        (DOCS / "memory-runs.md").write_text(table(rows))


if __name__ == "__main__":
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    main()
