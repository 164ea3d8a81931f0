"""The command `minigrad`: train a task, sample from what it learnt, look after the cache of kernels.

A task is a module of minigrad.models.tasks with a class that derives from its `training.Task`, which says the rest; the
module's docstring is the help, its first line what `minigrad tasks` prints. Tasks are reached by name only.
Bad input ends in one line on stderr and exit code 2.
"""

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from typing import Annotated

from minigrad.badinput import BadInput

TASKS = "minigrad.models.tasks"
HELP = """Train recurrent networks, and see what they have learnt.

\b
  minigrad new my_cell                       a cell of your own, to start from, and its test
  minigrad check my_cell.py:MyCell           prove it
  minigrad profile my_cell.py:MyCell         find where its time goes
  minigrad train charlm                      an LSTM learns to write Python
  minigrad train charlm --text book.txt --cell mycell.py:MyCell --out runs/book
  minigrad sample runs/book --prompt "Once"
"""


def tasks() -> dict:
    """(module, class) of every task, by name."""
    base = importlib.import_module(f"{TASKS}.training").Task
    found = {}
    for _, name, _ in pkgutil.iter_modules(importlib.import_module(TASKS).__path__):
        module = importlib.import_module(f"{TASKS}.{name}")
        for value in vars(module).values():
            own = inspect.isclass(value) and value.__module__ == module.__name__
            if own and issubclass(value, base) and module.__name__ != base.__module__:
                found[name] = (module, value)
    return found


def command(task):
    """A task as the function that Typer makes a command of: its options are the arguments."""
    import typer

    def train(context: typer.Context, **options):
        sources = {name: context.get_parameter_source(name) for name in options}
        given = {name: options[name] for name, source in sources.items() if source and source.name != "DEFAULT"}
        made = task(**given)
        with importlib.import_module(f"{TASKS}.cells").running(getattr(made, "cell", "")):
            made.run()

    own = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    arguments = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in task.options().items()
    ]
    train.__signature__ = inspect.Signature([own, *arguments])  # type: ignore[attr-defined]
    train.__annotations__ = {argument.name: argument.annotation for argument in [own, *arguments]}
    return train


def application():
    import typer

    Cell = Annotated[str, typer.Argument(metavar="CELL", help="A cell's name, or path/to/file.py:Class.")]
    Input = Annotated[int, typer.Option(min=1, max=2**20, help="Features of the input.")]
    Hidden = Annotated[int, typer.Option(min=1, max=2**20, help="Units of the cell.")]
    Steps = Annotated[int, typer.Option(min=1, max=10**6, help="Steps of the sequence.")]
    Batch = Annotated[int, typer.Option(min=1, max=10**6, help="Sequences at a time.")]
    Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of all that is drawn.")]
    # without Rich's boxes an error is a line, and a paragraph of a docstring is one of the help
    plain = {"no_args_is_help": True, "add_completion": False, "rich_markup_mode": None}
    app = typer.Typer(**plain, pretty_exceptions_enable=False, help=HELP)
    train = typer.Typer(**plain, help="Train a task; `minigrad train charlm --help` tells its options.")
    app.add_typer(train, name="train")
    for name, (module, task) in tasks().items():
        train.command(name, help=module.__doc__, short_help=first_line(module))(command(task))

    @app.command("tasks")
    def list_tasks():
        """List the tasks, a line each."""
        for name, (module, _) in tasks().items():
            print(f"{name:12} {first_line(module)}")

    @app.command()
    def sample(
        run: Annotated[Path, typer.Argument(help="Folder of a run.")],
        prompt: Annotated[str, typer.Option(help="Text to begin with.")] = "",
        length: Annotated[int, typer.Option(min=1, max=10**9, help="Characters to add.")] = 500,
        temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest each time.")] = 0.8,
        seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the draws.")] = 0,
    ):
        """Print text from a trained character model."""
        settings = importlib.import_module(f"{TASKS}.files").read_settings(run)
        module, _ = tasks().get(settings["task"], (None, None))
        if not hasattr(module, "sample"):
            raise BadInput(f"{run}: a run of {settings['task']} has nothing to sample")
        for piece in module.sample(run, prompt, length, temperature, seed):
            print(piece, end="", flush=True)
        print()

    @app.command("new")
    def new_cell(name: Annotated[str, typer.Argument(metavar="NAME", help="Of the file, and so of the class.")]):
        """Write NAME.py, a cell that works, with the places to change marked, and its test, test_NAME.py."""
        from minigrad.new import new

        try:
            print(new(name, Path()))
        except (ValueError, FileExistsError) as error:
            raise BadInput(error) from error

    @app.command("check")
    def check(
        cell: Cell,
        input: Annotated[int | None, typer.Option(min=1, max=2**20, help="Features of the input; else drawn.")] = None,
        hidden: Annotated[int | None, typer.Option(min=1, max=2**20, help="Units of the cell; else drawn.")] = None,
        seed: Seed = 0,
    ):
        """Prove what should hold for every cell, or show the smallest counterexample. Exit code 1 if one fails."""
        from minigrad.testing.cells import results

        make = importlib.import_module(f"{TASKS}.cells").cell_named(cell, input or 3, hidden or 4)
        failed = 0
        with importlib.import_module(f"{TASKS}.cells").running(cell):
            for result in results(make, seed, input, hidden):
                print(result, flush=True)
                failed += not result.ok
        if failed:
            raise typer.Exit(1)

    @app.command("profile")
    def profile_cell(
        cell: Cell,
        input: Input = 32,
        hidden: Hidden = 64,
        steps: Steps = 100,
        batch: Batch = 16,
        seed: Seed = 0,
        jit: Annotated[bool, typer.Option("--jit/--eager", help="Compile the layer, or run op by op.")] = True,
        out: Annotated[Path | None, typer.Option(help="Folder for a trace, a roofline, and the kernels' code.")] = None,
        kernel: Annotated[
            str | None, typer.Option(help="Show a kernel instead: is it vectorised? if not, why?")
        ] = None,
    ):
        """Find where a cell's time goes: by op, fused kernel and line, against the peaks of this machine."""
        run = importlib.import_module("minigrad.profiling.cell").run
        run(cell, input, hidden, steps, batch, seed, jit, out, kernel)

    @app.command("compare")
    def compare_cells(
        cells: Annotated[list[str], typer.Argument(metavar="CELL...", help="Cells' names, or path/to/file.py:Class.")],
        input: Input = 32,
        hidden: Hidden = 64,
        steps: Steps = 100,
        batch: Batch = 16,
        seed: Seed = 0,
        task: Annotated[str | None, typer.Option(help="A task to learn, for curves; see `minigrad tasks`.")] = None,
        task_steps: Annotated[
            int | None, typer.Option(min=1, max=10**9, help="Training steps; else the task's.")
        ] = None,
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
        compare = importlib.import_module("minigrad.models.compare").compare
        compare(cells, input, hidden, steps, batch, seed, learning, task_steps, seeds, out)

    @app.command("show")
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
        run = importlib.import_module("minigrad.viz.command").run
        run(cell, input, hidden, steps, batch, seed, out)

    cache = typer.Typer(**plain, help="The cache of compiled kernels on disk: what it holds, and how to empty it.")
    app.add_typer(cache, name="cache")

    @cache.command("info")
    def cache_info():
        """Where the cache is, how much it holds, and whether it can be used."""
        from minigrad.kernels import cache

        folder = cache.folder()
        try:
            limit = cache.limit()
        except ValueError as error:
            raise BadInput(error) from error
        try:
            sizes = [status.st_size for _, status in cache.ours(folder)]
            held = [f"files   {len(sizes)}", f"size    {sum(sizes) / 1e6:.1f} MB"]
        except OSError as error:
            held = [f"files   unknown: {error.strerror}"]
        reason = cache.trouble(folder)
        usable = f"no: {reason}" if reason else "yes"
        print(f"folder  {folder}", *held, f"limit   {limit / 1e6:g} MB", f"usable  {usable}", sep="\n")

    @cache.command("clear")
    def cache_clear():
        """Remove every kernel from the cache; they are compiled anew when they are needed."""
        from minigrad.kernels import cache

        count, size = cache.clear()
        print(f"removed {count} {'file' if count == 1 else 'files'}, {size / 1e6:.1f} MB, from {cache.folder()}")

    return app


def first_line(module) -> str:
    return module.__doc__.strip().splitlines()[0]


def main() -> None:
    """The command. BadInput, a full disk and too little memory end in a line on stderr and exit code 2."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a sample may have characters that this terminal has not
    try:
        try:
            application()(prog_name="minigrad")
        finally:
            sys.stdout.flush()
    except BadInput as error:
        message = str(error)
    except ImportError as error:
        message = f"{error}; the command needs all of: pip install 'minigrad[cli]'"
    except MemoryError as error:
        message = f"not enough memory: {error}"
    except OSError as error:
        message = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
        try:
            sys.stdout.flush()
        except OSError:
            sys.stdout = None  # it is what is full; Python would complain again at exit
    print("minigrad:", " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
