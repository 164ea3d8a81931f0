"""Train tasks over several seeds, and tell what came of each beside what is known and what it promises: a table.

    python benchmarks/tasks.py [--data FOLDER] [--out FOLDER] [--seed 0..4] [--workers N] [--docs] [all] [RUN ...]

A RUN is a task, for all rows that it has (`Task.rows`); a family, a chapter of docs/models with all of its tasks; or
what follows `minigrad train`, one run: "adding --cell rnn". `all`, or no RUN: all rows of all tasks. FOLDER of --data
has the data sets: a path in a row is one in it. A run is in one thread, and as many go at once as there are cores.
--out keeps what has been run: the same command goes on where it was stopped, and what was done is not done again; a
change of the code needs another FOLDER. --docs puts rows and pictures, those of the first seed, into docs/models, in
the place of what was there of the same runs.

The figure is the median over the seeds, with the least and the most; other figures are medians, and so are minutes, of
the processor, compiling and evaluating included. Exit code 1 if a run failed or a figure is worse than promised.
"""

import argparse
import contextlib
import functools
import os
import shlex
import shutil
import statistics
import sys
import time
from concurrent.futures import Executor
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs" / "models"
COLUMNS = ["run", "figure", "known (source)", "promised", "median (least to most)", "seeds", "beside", "minutes"]
OF_A_RUN = ("folder", "step", "seconds", "minutes", "loss", "held_out_loss", "parameters", "curve")


class Named:
    """A row of the table: the words of the run, and what its task says of it."""

    def __init__(self, task, row):
        self.task, self.row = task, row
        self.words = shlex.split(row.options)
        self.name = shlex.join([task.name, *[Path(word).name for word in self.words]])  # files without their folders

    @property
    def slug(self) -> str:
        """The name of the pictures of the run."""
        return "-".join(word.strip("-") for word in shlex.split(self.name))

    def grid(self, data: Path, seeds: str) -> dict[str, list]:
        """The options of the runs, read as `minigrad train` reads them; a path is one in the folder `data`."""
        import typer

        from minigrad.cli.sweep import OF_A_RUN, parse
        from minigrad.cli.tasks import command
        from minigrad.models.tasks.training import settled

        app = typer.Typer(add_completion=False)
        app.command()(command(self.task))
        hints = {name: hint for name, (hint, _) in self.task.options().items() if name not in OF_A_RUN}
        given = typer.main.get_command(app).make_context(self.name, list(self.words)).params
        with contextlib.chdir(data):
            grid = {name: [settled(name, given[name], hint)] for name, hint in hints.items()}
        return {**grid, "seed": parse("seed", seeds, hints["seed"])}

    def runs(self, data: Path, out: Path, seeds: str, executor: Executor | None) -> list[dict]:
        """A row a seed: figures, or an error."""
        import minigrad as mg

        folder = (out / self.task.name).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return mg.sweep(functools.partial(measured, task=self.task), self.grid(data, seeds), folder, executor)


def measured(folder: Path, task, **options) -> dict:
    """A run, with the minutes of the processor that it took."""
    from minigrad.models.tasks.sweeps import trained

    before = time.process_time()
    figures = trained(folder, task, **options)
    return {**figures, "minutes": (time.process_time() - before) / 60}


class Outcome:
    """What the runs of a row came to."""

    def __init__(self, named: Named, runs: list[dict]):
        self.named, task = named, named.task
        self.error = next((run["error"] for run in runs if "error" in run), None)
        if self.error:
            return
        self.seeds = len(runs)
        options = task.options()
        self.medians = {
            name: statistics.median(float(run[name]) for run in runs)
            for name in runs[0]
            if (name not in options and name not in OF_A_RUN) or name in ("minutes", task.figure)
        }
        ours = [float(run[task.figure]) for run in runs]
        self.median, self.least, self.most = statistics.median(ours), min(ours), max(ours)
        promise = named.row.promise
        if isinstance(promise, str):
            promise = statistics.median(float(run[promise]) for run in runs)
        self.promise = promise
        sign = -1 if task.higher_is_better else 1
        self.short = 0.0 if promise is None else max(0.0, sign * (self.median - promise))

    @property
    def kept(self) -> bool:
        return not self.error and self.short == 0

    def line(self) -> str:
        task, row = self.named.task, self.named.row
        figure, known = task.figure.replace("_", " "), row.known or task.known
        if self.error:
            return of_cells([self.named.name, figure, known, "", self.error.replace("|", "/"), "", "", ""])
        promised = "" if self.promise is None else f"{'≥' if task.higher_is_better else '≤'} {self.promise:.4g}"
        if self.short:
            promised += f", missed by {self.short:.2g}"
        beside = "; ".join(
            f"{name.replace('_', ' ')} {value:.4g}"
            for name, value in self.medians.items()
            if name not in ("minutes", task.figure) and not name.endswith("_per_second")
        )
        ours = f"{self.median:.4g}"
        if self.seeds > 1:
            ours += f" ({self.least:.4g} to {self.most:.4g})"
        return of_cells(
            [self.named.name, figure, known, promised, ours, str(self.seeds), beside, f"{self.medians['minutes']:.2g}"]
        )


def of_cells(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


HEAD = [of_cells(COLUMNS), "|" + "---|" * len(COLUMNS)]


def rows_of(wanted: list[str], tasks: dict) -> list[Named]:
    """The rows that a command line names. Raises ValueError for a name that is neither a task nor a family."""
    from minigrad.models.tasks.training import Row

    found: dict[str, Named] = {}
    for text in wanted or ["all"]:
        name, *words = shlex.split(text)
        if words and name in tasks:
            task = tasks[name][1]
            rows = [row for row in task.rows if shlex.split(row.options) == words]
            named = [Named(task, row) for row in rows or [Row(shlex.join(words))]]
        else:
            of_name = [task for _, task in tasks.values() if not words and name in ("all", task.name, task.family)]
            named = [Named(task, row) for task in of_name for row in task.rows]
        if not named:
            families = sorted({task.family for _, task in tasks.values()} - {""})
            raise ValueError(f"{text}: wanted a task ({', '.join(tasks)}), a family ({', '.join(families)}) or all")
        found.update((row.name, row) for row in named)
    return list(found.values())


def merged(before: str, lines: list[str], names: set[str]) -> str:
    """A table with new lines in the place of those of the same runs, of runs that are still in `names`."""
    by_run = {line.split(" | ")[0][2:]: line for line in [*before.splitlines()[2:], *lines]}
    return "\n".join([*HEAD, *(by_run[run] for run in sorted(by_run) if run in names)]) + "\n"


def publish(named: Named, folder: Path, docs: Path) -> None:
    """Put those pictures of a run that a page shows into docs/models."""
    pages = "".join(page.read_text() for page in docs.glob("*.md"))
    for picture in folder.glob("*.png"):
        name = named.slug if picture.stem == "curves" else f"{named.slug}-{picture.stem}"
        if f"pictures/{name}.png" in pages:
            shutil.copy(picture, docs / "pictures" / f"{name}.png")


def main(arguments: list[str] | None = None, executor: Executor | None = None, docs: Path = DOCS) -> int:
    from minigrad.cli.tasks import tasks as all_tasks
    from minigrad.sweeps import processes

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUN")
    parser.add_argument("--data", type=Path, default=Path(), help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/tasks"))
    parser.add_argument("--seed", default="0..4")
    parser.add_argument("--workers", type=int, help="runs at once; else as many as there are cores")
    parser.add_argument("--docs", action="store_true", help="put rows and pictures into docs/models")
    options = parser.parse_args(arguments)
    tasks = all_tasks()
    try:
        rows = rows_of(options.runs, tasks)
    except ValueError as error:
        parser.error(str(error))
    print(*HEAD, sep="\n", flush=True)
    outcomes = []
    with contextlib.nullcontext(executor) if executor else processes(options.workers) as pool:
        for named in rows:
            runs = named.runs(options.data, options.out, options.seed, pool)
            outcomes.append(Outcome(named, runs))
            print(outcomes[-1].line(), flush=True)
            if options.docs and outcomes[-1].error is None:
                publish(named, options.out / named.task.name / runs[0]["folder"], docs)
    if options.docs:
        lines = [outcome.line() for outcome in outcomes if outcome.error is None]
        before, names = docs / "figures.md", {named.name for named in rows_of(["all"], tasks)}
        before.write_text(merged(before.read_text() if before.exists() else "", lines, names))
    for outcome in outcomes:
        if not outcome.kept:
            print(f"worse than promised, or failed: {outcome.named.name}", file=sys.stderr)
    return int(not all(outcome.kept for outcome in outcomes))


if __name__ == "__main__":
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    sys.exit(main())
