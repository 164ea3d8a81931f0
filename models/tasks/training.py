"""What every task needs: a cell by name, a folder for the run, the loop with its log, checkpoints and curves."""

import csv
import importlib
import importlib.util
import inspect
import io as streams
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import io, models, nn
from minigrad.cli import BadInput

CELLS = {"rnn": models.RNNCell, "lstm": models.LSTMCell, "gru": models.GRUCell}
CHECKPOINT, WEIGHTS, LOG, CURVES = "checkpoint.safetensors", "weights.safetensors", "log.csv", "curves.png"


def cell_named(name: str, input_size: int, hidden_size: int):
    """The class of a cell: `lstm`, `gru`, `rnn`, or `path/to/file.py:Class` for one of your own.

    Raises BadInput if it cannot be found, or does not make cells that can be run and trained.
    """
    if name in CELLS:
        return CELLS[name]
    path, colon, class_name = name.rpartition(":")
    if not colon:
        raise BadInput(f"--cell {name}: wanted one of {', '.join(CELLS)}, or path/to/file.py:Class")
    if not Path(path).is_file():
        raise BadInput(f"--cell {name}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"cells_of_{Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"--cell {name}: {path} is not a Python file")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.append(str(Path(path).parent))  # the file may import its neighbours
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BadInput(f"--cell {name}: running {path} raised {told(error, path)}") from error
    cell = getattr(module, class_name, None)
    if cell is None:
        classes = [n for n, c in vars(module).items() if inspect.isclass(c) and c.__module__ == module.__name__]
        raise BadInput(f"--cell {name}: {path} defines no {class_name}; it has {', '.join(classes) or 'no class'}")
    try:
        output, _ = models.Recurrent(cell, input_size, hidden_size)(mg.tensor(np.zeros((2, 3, input_size), np.float32)))
        if output.shape != (2, 3, hidden_size):
            raise ValueError(f"a step gives {output.shape[1:]}, wanted (batch, hidden_size) = (3, {hidden_size})")
        output.sum().backward()
    except Exception as error:
        raise BadInput(
            f"--cell {name}: {class_name} is not a cell, a Module made by {class_name}(input_size, hidden_size) and "
            f"called as cell(x, state), giving the next state: {told(error, path)}"
        ) from error
    return cell


def told(error: BaseException, path: str) -> str:
    """An exception in a line, with the last line of the file at `path` that had to do with it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{type(error).__name__}: {error}" + (f" ({Path(path).name}, line {lines[-1]})" if lines else "")


class Run:
    """The folder of one training run.

    train: the task's function. settings: all its options; with resume those of the run, but for what MAY_CHANGE.
    """

    MAY_CHANGE = ("steps", "text")

    def __init__(self, train: Callable, folder: Path, settings: dict, resume: bool):
        self.folder, self.resume = folder, resume
        task = train.__module__.rpartition(".")[2]
        for name, value in settings.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise BadInput(f"--{name} {value}: wanted a finite number")
        if not resume:
            if folder.exists() and not folder.is_dir():
                raise BadInput(f"--out {folder} is a file; wanted a folder")
            if folder.exists() and any(folder.iterdir()):
                raise BadInput(f"{folder} is not empty: --resume continues a run, --out FOLDER starts another")
            self.settings = {"task": task, **settings}
            return
        kept = read_settings(folder)
        if kept["task"] != task:
            raise BadInput(f"{folder} is a run of {kept['task']}, not of {task}")
        if not (folder / CHECKPOINT).is_file():
            raise BadInput(f"{folder} has no {CHECKPOINT} to resume from")
        options = inspect.signature(train).parameters
        given = {name: value for name, value in settings.items() if value != options[name].default}
        for name, value in given.items():
            if name not in self.MAY_CHANGE and value != kept.get(name):
                raise BadInput(f"--{name} {value}: a resumed run keeps its own, {kept.get(name)}")
        self.settings = {**kept, **{name: given[name] for name in self.MAY_CHANGE if name in given}}

    def train(
        self,
        parts: dict,
        position: Callable[[], dict],
        restore: Callable[[dict], None],
        step: Callable[[int], float],
        evaluate: Callable[[], dict],
        size: int,
        unit: str,
        loss_unit: str,
        shown: str,
        after: Callable[[int], str] | None = None,
    ) -> None:
        """The training loop.

        parts: what a checkpoint holds (model, optimizer, generators). position, restore: what else the run must find
        again. step: takes a step's number, trains, returns the loss (in loss_unit). evaluate: figures on held-out data,
        of which the bar has the one called `shown`. size, unit: what one step consumes ("characters"). after: text to
        show after an evaluation, a sample for instance.
        """
        from tqdm import tqdm

        steps, every = self.settings["steps"], self.settings["every"]
        done, seconds, stopped = 0, 0.0, False
        losses: list[float] = []  # since the last row
        rows: list[dict] = []
        remedy = f"try a smaller --lr; the checkpoint in {self.folder} is the one before"

        def say(text: str) -> None:
            tqdm.write(text)
            sys.stdout.flush()

        def save() -> None:
            if not all(np.isfinite(array).all() for array in parts["model"].state_dict().values()):
                raise BadInput(f"a weight is not finite at step {done}: {remedy}")
            own = {"step": done, "seconds": seconds, "losses": losses, "rows": rows}
            io.save(self.folder / WEIGHTS, parts["model"].state_dict(), self.settings)
            io.save_checkpoint(self.folder / CHECKPOINT, **parts, position={**position(), **own})
            if rows:
                write_rows(rows, self.folder / LOG)
                draw(rows, loss_unit, self.folder / CURVES)

        def stop(*_) -> None:
            nonlocal stopped
            stopped = True
            signal.signal(signal.SIGINT, before)  # a second Ctrl-C does not wait for the step

        if self.resume:
            try:
                kept = io.load_checkpoint(self.folder / CHECKPOINT, **parts)
                done, seconds, losses, rows = (kept.pop(name) for name in ("step", "seconds", "losses", "rows"))
                restore(kept)
            except (ValueError, KeyError) as error:
                raise BadInput(f"cannot resume: {error}; nothing in {self.folder} was changed") from error
            if done >= steps:
                return say(f"{self.folder}: its {done} steps are done; --steps N goes on to N")
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            save()  # a full disk shows now, not after an hour
        since = (done, seconds)
        before = signal.signal(signal.SIGINT, stop)
        bar = tqdm(total=steps, initial=done, unit="step", disable=None, dynamic_ncols=True, leave=False)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused
                while done < steps and not stopped:
                    start = time.perf_counter()
                    losses.append(step(done))
                    seconds += time.perf_counter() - start
                    done += 1
                    if not math.isfinite(losses[-1]):
                        raise BadInput(f"the loss is {losses[-1]} at step {done}: {remedy}")
                    rate = round((done - since[0]) * size / (seconds - since[1]))
                    held_out = {shown.replace("_", " "): f"{rows[-1][shown]:.3f}"} if rows else {}
                    bar.set_postfix({"loss": f"{losses[-1]:.3f}", **held_out, f"{unit}/s": rate}, refresh=False)
                    bar.update()
                    if done % every == 0 or done == steps:
                        row = {"step": done, "seconds": round(seconds, 2), "loss": float(np.mean(losses)), **evaluate()}
                        rows.append({**row, f"{unit}_per_second": rate})
                        losses, since = [], (done, seconds)
                        save()
                        say(described(rows[-1]))
                        if after is not None:
                            say(after(done))
            if stopped:
                save()
        finally:
            signal.signal(signal.SIGINT, before)
            bar.close()
        if done < steps:
            task = self.settings["task"]
            print(f"stopped after step {done}; minigrad train {task} --resume --out {self.folder}", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
        say(f"{self.folder} has {', '.join(sorted(path.name for path in self.folder.iterdir()))}")


def described(row: dict) -> str:
    figures = {k.replace("_", " "): f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()}
    return "  ".join(f"{name} {value}" for name, value in figures.items())


def write_rows(rows: list[dict], path: Path) -> None:
    """The figures of a run as CSV."""
    text = streams.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace(path, text.getvalue().encode())


def draw(rows: list[dict], loss_unit: str, path: Path) -> None:
    """Losses against steps, as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in (("loss", "training"), ("held_out_loss", "held out")):
        axes.plot([row["step"] for row in rows], [row[name] for row in rows], label=label, marker=".")
    axes.set(xlabel="step", ylabel=loss_unit, title=path.absolute().parent.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path)


def save_figure(figure, path: Path) -> None:
    """A Matplotlib figure as a PNG."""
    content = streams.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    replace(path, content.getvalue())


def replace(path: Path, content: bytes) -> None:
    """Write a file in one step: if it fails (a full disk), what was there is unchanged."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def read_weights(folder: Path) -> tuple[dict, dict]:
    """(arrays, settings) of a run. Raises BadInput if the folder holds none, or a damaged one."""
    try:
        arrays, settings = io.load(folder / WEIGHTS)
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{folder} is not the folder of a run (it has no {WEIGHTS})") from None
    except ValueError as error:
        raise BadInput(str(error)) from error
    if not isinstance(settings, dict) or "task" not in settings:
        raise BadInput(f"{folder / WEIGHTS} was not written by minigrad train: it tells no task")
    return arrays, settings


def read_settings(folder: Path) -> dict:
    """The settings of a run, its task among them."""
    return read_weights(folder)[1]


def load_weights(model: nn.Module, arrays: dict, folder: Path) -> None:
    try:
        model.load_state_dict(arrays)
    except ValueError as error:
        raise BadInput(f"{folder / WEIGHTS}: {error}") from error
