"""The commands about one cell: a new one, its proof, its profile, its page; and several side by side."""

from pathlib import Path
from typing import Annotated

import typer

from minigrad.badinput import BadInput
from minigrad.cli.tasks import tasks

Cell = Annotated[str, typer.Argument(metavar="CELL", help="A cell's name, or path/to/file.py:Class.")]
Input = Annotated[int, typer.Option(min=1, max=2**20, help="Features of the input.")]
Hidden = Annotated[int, typer.Option(min=1, max=2**20, help="Units of the cell.")]
Steps = Annotated[int, typer.Option(min=1, max=10**6, help="Steps of the sequence.")]
Batch = Annotated[int, typer.Option(min=1, max=10**6, help="Sequences at a time.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of all that is drawn.")]


def new_cell(name: Annotated[str, typer.Argument(metavar="NAME", help="Of the file, and so of the class.")]):
    """Write NAME.py, a cell that works, with the places to change marked, and its test, test_NAME.py."""
    from minigrad.cli.new import new

    try:
        print(new(name, Path()))
    except (ValueError, FileExistsError) as error:
        raise BadInput(error) from error


def check(
    cell: Cell,
    input: Annotated[int | None, typer.Option(min=1, max=2**20, help="Features of the input; else drawn.")] = None,
    hidden: Annotated[int | None, typer.Option(min=1, max=2**20, help="Units of the cell; else drawn.")] = None,
    seed: Seed = 0,
):
    """Prove what should hold for every cell, or show the smallest counterexample. Exit code 1 if one fails."""
    from minigrad.models.tasks.cells import cell_named, running
    from minigrad.testing.cells import results

    make = cell_named(cell, input or 3, hidden or 4)
    failed = 0
    with running(cell):
        for result in results(make, seed, input, hidden):
            print(result, flush=True)
            failed += not result.ok
    if failed:
        raise typer.Exit(1)


def profile_cell(
    cell: Cell,
    input: Input = 32,
    hidden: Hidden = 64,
    steps: Steps = 100,
    batch: Batch = 16,
    seed: Seed = 0,
    jit: Annotated[bool, typer.Option("--jit/--eager", help="Compile the layer, or run op by op.")] = True,
    out: Annotated[Path | None, typer.Option(help="Folder for a trace, a roofline, and the kernels' code.")] = None,
    kernel: Annotated[str | None, typer.Option(help="Show a kernel instead: is it vectorised? if not, why?")] = None,
):
    """Find where a cell's time goes: by op, fused kernel and line, against the peaks of this machine."""
    from minigrad.cli.profile import run

    run(cell, input, hidden, steps, batch, seed, jit, out, kernel)


def compare_cells(
    cells: Annotated[list[str], typer.Argument(metavar="CELL...", help="Cells' names, or path/to/file.py:Class.")],
    input: Input = 32,
    hidden: Hidden = 64,
    steps: Steps = 100,
    batch: Batch = 16,
    seed: Seed = 0,
    task: Annotated[str | None, typer.Option(help="A task to learn, for curves; see `minigrad tasks`.")] = None,
    task_steps: Annotated[int | None, typer.Option(min=1, max=10**9, help="Training steps; else the task's.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Training runs of each cell, from seed 0 on.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Folder for a picture, and for the runs.")] = None,
):
    """Set cells side by side: parameters, flops, speed, memory, gradient flow, learning curves."""
    known = tasks()
    if task is None and task_steps is not None:
        raise BadInput("--task-steps wants --task NAME")
    if task is not None and task not in known:
        raise BadInput(f"--task {task}: wanted one of {', '.join(known)}")
    learning = known[task][1] if task is not None else None
    from minigrad.models.compare import compare

    compare(cells, input, hidden, steps, batch, seed, learning, task_steps, seeds, out)


def show_cell(
    cell: Cell,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write, or a figure (.svg).")] = Path(
        "page.html"
    ),
    input: Input = 8,
    hidden: Hidden = 32,
    steps: Steps = 40,
    batch: Batch = 4,
    seed: Seed = 0,
):
    """See inside a cell: a page with its tape, forward and backward, its gates and its gradient over time."""
    from minigrad.cli.show import run

    run(cell, input, hidden, steps, batch, seed, out)
