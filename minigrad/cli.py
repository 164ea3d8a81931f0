"""The command `minigrad`: train a task, sample from what it learnt.

A task is a module of minigrad.models.tasks with a function `train`, whose annotated arguments are the command's options;
its docstring's first line is what `minigrad tasks` prints. Bad input ends in one line on stderr and exit code 2.
"""

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Annotated

TASKS = "minigrad.models.tasks"


class BadInput(Exception):
    """What the user gave cannot be used; the message is one line that says what, and what would do."""


def tasks() -> dict:
    """Modules of the tasks, by name."""
    package = importlib.import_module(TASKS)
    modules = {name: importlib.import_module(f"{TASKS}.{name}") for _, name, _ in pkgutil.iter_modules(package.__path__)}
    return {name: module for name, module in modules.items() if hasattr(module, "train")}


def application():
    import typer

    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
    train = typer.Typer(no_args_is_help=True, help="Train a task: `minigrad train charlm --help`.")
    app.add_typer(train, name="train")
    for name, module in tasks().items():
        train.command(name, help=module.__doc__)(module.train)

    @app.command("tasks")
    def list_tasks():
        """List the tasks, a line each."""
        for name, module in tasks().items():
            print(f"{name:12} {module.__doc__.strip().splitlines()[0]}")

    @app.command()
    def sample(
        run: Annotated[Path, typer.Argument(help="Folder of a run.")],
        prompt: Annotated[str, typer.Option(help="Text to begin with.")] = "",
        length: Annotated[int, typer.Option(min=1, help="Characters to add.")] = 500,
        temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest each time.")] = 0.8,
        seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    ):
        """Print text from a trained character model."""
        module = importlib.import_module(f"{TASKS}.training").task_of(run, tasks())
        if not hasattr(module, "sample"):
            raise BadInput(f"{run}: a run of {module.__name__.rpartition('.')[2]} has nothing to sample")
        for piece in module.sample(run, prompt, length, temperature, seed):
            print(piece, end="", flush=True)
        print()

    return app


def main() -> None:
    try:
        import typer  # noqa: F401
    except ImportError:
        sys.exit("minigrad: the command needs more packages: pip install 'minigrad[cli]'")
    try:
        application()()
    except BadInput as error:
        print(f"minigrad: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"minigrad: {error.strerror or error}{where}", file=sys.stderr)
        sys.exit(2)


