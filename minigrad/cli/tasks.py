"""The tasks by name, and the commands about them: train one, list them, sample from what one has learnt."""

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Annotated

import typer

from minigrad.badinput import BadInput

TASKS = "minigrad.models.tasks"


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


def list_tasks():
    """List the tasks, a line each."""
    for name, (module, _) in tasks().items():
        print(f"{name:12} {first_line(module)}")


def sample(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    prompt: Annotated[str, typer.Option(help="Text to begin with, to translate or to label; a WAV file to read.")] = "",
    length: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="Characters or steps of music.  [default: the task's]")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="0 takes the likeliest each time.  [default: the task's]")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Of the draws.  [default: 0]")] = None,
    width: Annotated[int | None, typer.Option(min=1, max=1000, help="Of the beam.")] = None,
):
    """What a run has learnt: text, a piece of music; what it makes of a sentence, or hears in a WAV file."""
    settings = importlib.import_module(f"{TASKS}.files").read_settings(run)
    module, _ = tasks().get(settings["task"], (None, None))
    if not hasattr(module, "sample"):
        raise BadInput(f"{run}: a run of {settings['task']} has nothing to sample")
    options = {"length": length, "temperature": temperature, "seed": seed, "width": width}
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := given.keys() - inspect.signature(module.sample).parameters.keys():
        raise BadInput(f"{run}: a run of {settings['task']} has no --{', --'.join(sorted(unknown))}")
    for piece in module.sample(run, prompt, **given):
        print(piece, end="", flush=True)
    print()


def first_line(module) -> str:
    return module.__doc__.strip().splitlines()[0]
