"""The command `minigrad sweep`: every combination of a task's options, here or on a Dask cluster."""

import math
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

import typer

from minigrad import sweeps
from minigrad.badinput import BadInput
from minigrad.cli.tasks import tasks

SHOWN = 20  # settings in the table while runs finish
OF_A_RUN = ("out", "resume")  # which the sweep gives


def sweep(
    context: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK", help="As in `minigrad tasks`.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the sweep; else sweeps/TASK.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, tcp://HOST:PORT.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=4096, help="Processes here; else one a core.")] = None,
):
    """Train a task with every combination of its options: each option of `minigrad train TASK` takes several values.

    \b
      minigrad sweep temporal --cell lstm gru mycell.py:MyCell --seed 0..4 --lr 1e-3 3e-3

    N..M are the integers from N to M. Stop it with Ctrl-C: the same command goes on; another one adds to the folder.
    runs.csv has a row a run; the table ranks the settings by the median over seeds, p is of the difference to the best.
    """
    found = tasks()
    if task not in found:
        raise BadInput(f"sweep {task}: wanted one of {', '.join(found)}")
    run_sweep(found[task][1], grid_of(found[task][1], context.args), out or Path("sweeps") / task, scheduler, workers)


def grid_of(task, words: list[str]) -> dict[str, list]:
    """The values of all options of a task, from `--name value value ...`; those not named have one, the default."""
    from minigrad.models.tasks.training import settled

    options = {name: option for name, option in task.options().items() if name not in OF_A_RUN}
    grid = {name: [settled(name, default, hint)] for name, (hint, default) in options.items()}
    named: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--"):
            name = name.replace("-", "_")
            if name not in options:
                raise BadInput(f"{word}: {task.name} has no such option; it has --{', --'.join(sorted(options))}")
            values = named.setdefault(name, [])
            values += [value] if equals else []
        elif named:
            values.append(word)
        else:
            raise BadInput(f"{word}: wanted --OPTION VALUE...")
    for name, values in named.items():
        if not values:
            raise BadInput(f"--{name}: wanted one value or several")
        hint = options[name][0]
        parsed = [x for value in values for x in parse(name, value, hint)]
        grid[name] = list(dict.fromkeys(settled(name, x, hint) for x in parsed))
    return grid


def parse(name: str, text: str, hint) -> list:
    """A word as values of an option's type; N..M as the integers from N to M."""
    kinds = get_args(get_args(hint)[0]) or (get_args(hint)[0],)
    if type(None) in kinds and text == "none":
        return [None]
    try:
        if int in kinds:
            first, dots, last = text.partition("..")
            return list(range(int(first), int(last) + 1)) if dots else [int(text)]
        if float in kinds:
            return [float(text)]
    except ValueError:
        raise BadInput(f"--{name} {text}: wanted {'an integer or N..M' if int in kinds else 'a number'}") from None
    if bool in kinds:
        if text not in ("true", "false"):
            raise BadInput(f"--{name} {text}: wanted true or false")
        return [text == "true"]
    return [text]


def run_sweep(task, grid: dict, out: Path, scheduler: str | None, workers: int | None) -> None:
    """The runs that are missing in a folder, then the table, the CSV and the picture of all that it has."""
    from minigrad.models.tasks import sweeps as told

    out.mkdir(parents=True, exist_ok=True)
    try:
        with executor_of(scheduler, workers) as executor, watched(task, grid) as finished:
            rows = sweeps.sweep(partial(told.trained, task=task), grid, out.absolute(), executor, finished)
    except KeyboardInterrupt:
        print(f"stopped; what was done is kept in {out}: the same command goes on", file=sys.stderr)
        raise typer.Exit(130) from None
    except (RuntimeError, ValueError) as error:  # workers are lost, or a result is damaged
        raise BadInput(error) from error
    kept = [row for row in sweeps.kept(out) if task.figure in row]
    if kept:
        found = told.settings(kept, task)
        told.compare_to_best(found)
        told.write_csv(kept, out / "runs.csv")
        told.draw(found, task, out / "curves.png")
        print(told.table(found, task))
        print(f"\n{out} has runs.csv, curves.png and {len(kept)} runs")
    failed = [row for row in rows if "error" in row]
    for row in failed:
        print(f"failed: {described(row, grid)}: {row['error']}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def described(row: dict, grid: dict) -> str:
    return " ".join(f"--{name} {row[name]}" for name, values in grid.items() if len(values) > 1)


@contextmanager
def executor_of(scheduler: str | None, workers: int | None) -> Iterator[Executor]:
    """Processes, or the workers of a Dask cluster."""
    if scheduler is None:
        with sweeps.processes(workers) as pool:
            yield pool
        return
    try:
        from distributed import Client
    except ImportError:
        raise BadInput("--scheduler needs Dask: pip install 'minigrad-rnn[sweep]'") from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise BadInput(f"--scheduler {scheduler}: {error}") from error
    with client:
        yield client.get_executor(pure=False)


@contextmanager
def watched(task, grid: dict) -> Iterator[Callable[[dict], None]]:
    """What takes each row as it comes: a table that grows on a terminal, a line a run elsewhere. SIGTERM is Ctrl-C."""
    from rich.console import Group
    from rich.live import Live
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from minigrad.models.tasks import sweeps as told

    rows: list[dict] = []
    progress = Progress(*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    bar = progress.add_task(task.name, total=math.prod(map(len, grid.values())))

    def shown() -> Group:
        return Group(progress, told.table(told.settings(rows, task)[:SHOWN], task))

    def finished(row: dict) -> None:
        rows.append(row)
        progress.advance(bar)
        if not sys.stdout.isatty():
            figure = f"error {row['error']}" if "error" in row else f"{task.figure} {row[task.figure]:.4g}"
            print(f"{described(row, grid)}: {figure}", flush=True)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Live(get_renderable=shown, refresh_per_second=2, transient=True) if sys.stdout.isatty() else nullcontext():
            yield finished
    finally:
        signal.signal(signal.SIGTERM, before)
