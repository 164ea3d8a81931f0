"""The command `minigrad`: train a task, sample from what it learnt, look after the cache of kernels.

A task is a module of minigrad.models.tasks with a class that derives from its `training.Task`, which says the rest; the
module's docstring is the help, its first line what `minigrad tasks` prints. Tasks are reached by name only.
Bad input ends in one line on stderr and exit code 2.
"""

import sys

from minigrad import __version__
from minigrad.badinput import BadInput
from minigrad.distributed import world

HELP = """Train recurrent networks, and see what they have learnt.

\b
  minigrad new my_cell                       a cell of your own, to start from, and its test
  minigrad check my_cell.py:MyCell           prove it
  minigrad profile my_cell.py:MyCell         find where its time goes
  minigrad train charlm                      an LSTM learns to write Python
  minigrad train charlm --text book.txt --cell mycell.py:MyCell --out runs/book
  minigrad sweep temporal --cell lstm gru --seed 0..4
  minigrad sample runs/book --prompt "Once"
  minigrad export runs/book -o book.onnx     for onnxruntime, without Python
  minigrad doctor                            what this machine is and can do, and what to mend
"""


def application():
    import typer

    from minigrad.cli import cache, cells, doctor, export, sweep, tasks

    # without Rich's boxes an error is a line, and a paragraph of a docstring is one of the help
    plain = {"no_args_is_help": True, "add_completion": False, "rich_markup_mode": None}
    app = typer.Typer(**plain, pretty_exceptions_enable=False, help=HELP)
    train = typer.Typer(**plain, help="Train a task; `minigrad train charlm --help` tells its options.")

    def print_version(asked: bool):
        if asked:
            print(f"minigrad {__version__}")
            raise typer.Exit

    @app.callback()
    def options(version: bool = typer.Option(False, "--version", is_eager=True, callback=print_version)):
        pass

    app.add_typer(train, name="train")
    for name, (module, task) in tasks.tasks().items():
        train.command(name, help=module.__doc__, short_help=tasks.first_line(module))(tasks.command(task))
    for name, function in {
        "tasks": tasks.list_tasks,
        "sample": tasks.sample,
        "export": export.export,
        "new": cells.new_cell,
        "check": cells.check,
        "profile": cells.profile_cell,
        "compare": cells.compare_cells,
        "show": cells.show_cell,
        "doctor": doctor.doctor,
    }.items():
        app.command(name)(function)
    app.command("sweep", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(sweep.sweep)
    of_cache = typer.Typer(**plain, help="The cache of compiled kernels on disk: what it holds, and how to empty it.")
    app.add_typer(of_cache, name="cache")
    of_cache.command("info")(cache.info)
    of_cache.command("clear")(cache.clear)
    return app


def main() -> None:
    """The command. BadInput, a full disk and too little memory end in a line on stderr and exit code 2."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a sample may have characters that this terminal has not
    try:
        try:
            world.mute()
            application()(prog_name="minigrad")
        finally:
            sys.stdout.flush()
    except (BadInput, world.RankError) as error:
        message = str(error)
    except ImportError as error:
        cure = "" if "pip install" in str(error) else "; the command needs all of: pip install 'minigrad-rnn[cli]'"
        message = f"{error}{cure}"
    except MemoryError as error:
        message = f"not enough memory: {error}"
    except OSError as error:
        message = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
        try:
            sys.stdout.flush()
        except OSError:
            sys.stdout = None  # it is what is full; Python would complain again at exit
    world.leave(f"minigrad: {' '.join(message.split())}", 2)
