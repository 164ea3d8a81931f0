"""Train tasks and tell what came of each, beside what the literature or a baseline has: a Markdown table.

    python benchmarks/tasks.py [--out FOLDER] [--seed 0] [all] [RUN ...]

A RUN is what follows `minigrad train`: adding, or "adding --cell rnn", or "music --data jsb-chorales-quarter.json".
`all`, or no RUN: every task that no RUN names. Without --cell, a task of CELLS is run for each cell there. A run is in
a process of its own, in one thread unless OMP_NUM_THREADS and its like say otherwise; minutes are of the clock,
compiling and evaluating included. FOLDER gets the runs' folders and the table, table.md, which grows as they end.
"""

import argparse
import csv
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from minigrad import cli

CELLS = {"adding": ["lstm", "gru", "rnn"], "copy": ["lstm", "gru", "rnn"], "music": ["rnn", "gru", "lstm"]}
HEAD = "| run | figure | known | ours | beside | minutes |\n|---|---|---|---|---|---|\n"
OF_THE_RUN = ("step", "seconds", "loss", "held_out_loss")


def runs_of(wanted: list[str], names) -> list[list[str]]:
    """The runs to make, each a list of words."""
    runs = [shlex.split(run) for run in wanted if run != "all"]
    if "all" in wanted or not wanted:
        runs += [[name] for name in sorted(names - {run[0] for run in runs})]
    cells = {run[0]: [["--cell", cell] for cell in CELLS.get(run[0], [])] for run in runs}
    return [[*run, *cell] for run in runs for cell in ([[]] if "--cell" in run else cells[run[0]] or [[]])]


def row_of(run: list[str], task, folder: Path, minutes: float) -> str:
    with (folder / "log.csv").open(newline="") as file:
        figures = list(csv.DictReader(file))[-1]
    beside = [
        f"{name.replace('_', ' ')} {float(figure):.4g}"
        for name, figure in figures.items()
        if name not in (*OF_THE_RUN, task.figure) and not name.endswith("_per_second")
    ]
    ours = f"{float(figures[task.figure]):.4g}"
    cells = [shlex.join(run), task.figure.replace("_", " "), task.known, ours, "; ".join(beside), f"{minutes:.1f}"]
    return f"| {' | '.join(cells)} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--out", type=Path, default=Path("runs/tasks"))
    parser.add_argument("--seed", default="0")
    options = parser.parse_args()
    tasks = cli.tasks()
    runs = runs_of(options.runs, tasks.keys())
    if unknown := {run[0] for run in runs} - tasks.keys():
        parser.error(f"no task {', '.join(unknown)}; there are {', '.join(tasks)}")
    options.out.mkdir(parents=True, exist_ok=True)
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    table = options.out / "table.md"
    if not table.exists():
        table.write_text(HEAD)
    print(HEAD, end="")
    for run in runs:
        name, *words = run
        folder = options.out / "-".join(word.strip("-").replace("/", "_") for word in run)
        command = [sys.executable, "-m", "minigrad", "train", name, "--seed", options.seed, "--out", folder, *words]
        start = time.perf_counter()
        done = subprocess.run(command, env=threads | os.environ, capture_output=True, text=True)
        minutes = (time.perf_counter() - start) / 60
        if done.returncode:
            row = f"| {shlex.join(run)} | {done.stderr.strip().splitlines()[-1]} | | | | |\n"
        else:
            row = row_of(run, tasks[name][1], folder, minutes)
        with table.open("a") as file:
            file.write(row)
        print(row, end="", flush=True)


if __name__ == "__main__":
    main()
