"""Train tasks and tell what came of each, beside what the literature or a baseline has: a Markdown table.

    python benchmarks/tasks.py [--out FOLDER] [--seed 0] [--docs] [all] [RUN ...]

A RUN is what follows `minigrad train`: adding, or "adding --cell rnn", or "music --data jsb-chorales-quarter.json".
`all`, or no RUN: every task that no RUN names. A run that names none of the options that VARIANTS has for its task is
made once for each. A run is in a process of its own, in one thread unless OMP_NUM_THREADS and its like say otherwise;
minutes are those of the processor, compiling and evaluating included. FOLDER gets the runs' folders and the table,
table.md, which grows as they end; a run made again takes the place of its folder and of its row. --docs puts what
FOLDER has, table and pictures, into docs/models.
"""

import argparse
import csv
import os
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from minigrad import cli

CELLS = ["--cell lstm", "--cell gru", "--cell rnn"]
VARIANTS = {
    "adding": CELLS,
    "captions": ["", "--decoder tell"],
    "copy": CELLS,
    "draw": ["", "--attention 0"],
    "listops": ["", "--layer string --hidden 96"],
    "music": [*CELLS[:2], "--cell rnn --lr 0.001"],
    "nextframe": ["", "--patch 24 --kernel 1 --hidden 27"],
    "sentiment": ["", "--attention none"],
    "tagging": ["--softmax", "--crf"],
    "video": ["", "--frames alone"],
}
HEAD = "| run | figure | known (source) | ours | beside | minutes |\n|---|---|---|---|---|---|\n"
OF_THE_RUN = ("step", "seconds", "loss", "held_out_loss")


def runs_of(wanted: list[str], names) -> list[list[str]]:
    """The runs to make, each a list of words."""
    runs = [shlex.split(run) for run in wanted if run != "all"]
    if "all" in wanted or not wanted:
        runs += [[name] for name in sorted(names - {run[0] for run in runs})]
    return [[*run, *more] for run in runs for more in variants(run)]


def variants(run: list[str]) -> list[list[str]]:
    """What is to be added to a run, once for each."""
    found = [options.split() for options in VARIANTS.get(run[0], [""])]
    return [[]] if any(word.startswith("--") and word in run for words in found for word in words) else found


def told(run: list[str]) -> str:
    """A run as the table has it: files without their folders."""
    return shlex.join([Path(word).name for word in run])


def row_of(run: list[str], task, folder: Path, minutes: float) -> str:
    with (folder / "log.csv").open(newline="") as file:
        figures = task.chosen(list(csv.DictReader(file)))
    beside = [
        f"{name.replace('_', ' ')} {float(figure):.4g}"
        for name, figure in figures.items()
        if name not in (*OF_THE_RUN, task.figure) and not name.endswith("_per_second")
    ]
    ours = f"{float(figures[task.figure]):.4g}"
    cells = [told(run), task.figure.replace("_", " "), task.known, ours, "; ".join(beside), f"{minutes:.1f}"]
    return f"| {' | '.join(cells)} |\n"


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def publish(out: Path) -> None:
    """The table and the pictures, for the chapters of the site."""
    docs = Path(__file__).parents[1] / "docs" / "models"
    head, line, *rows = (out / "table.md").read_text().splitlines()
    (docs / "figures.md").write_text("\n".join([head, line, *sorted(rows)]) + "\n")
    for picture in out.glob("*/*.png"):
        name = picture.parent.name if picture.stem == "curves" else f"{picture.parent.name}-{picture.stem}"
        if f"pictures/{name}.png" in "".join(page.read_text() for page in docs.glob("*.md")):
            shutil.copy(picture, docs / "pictures" / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--out", type=Path, default=Path("runs/tasks"))
    parser.add_argument("--seed", default="0")
    parser.add_argument("--docs", action="store_true", help="put the table and the pictures into docs/models")
    options = parser.parse_args()
    tasks = cli.tasks()
    runs = runs_of(options.runs, tasks.keys()) if options.runs or not options.docs else []
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
        folder = options.out / "-".join(Path(word).name.strip("-") for word in run)
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "minigrad", "train", name, "--seed", options.seed, "--out", folder, *words]
        before = cpu_seconds()
        done = subprocess.run(command, env=threads | os.environ, capture_output=True, text=True)
        minutes = (cpu_seconds() - before) / 60
        if done.returncode:
            row = f"| {told(run)} | {done.stderr.strip().splitlines()[-1]} | | | | |\n"
        else:
            row = row_of(run, tasks[name][1], folder, minutes)
        others = [line for line in table.open() if not line.startswith(f"| {told(run)} |")]
        table.write_text("".join([*others, row]))
        print(row, end="", flush=True)
    if options.docs:
        publish(options.out)


if __name__ == "__main__":
    main()
