"""What every task needs: a cell by name, a folder for the run, the loop with its log, checkpoints and curves."""

import csv
import importlib
import importlib.util
import inspect
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import io, nn
from minigrad.cli import BadInput

CELLS = {"rnn": "RNNCell", "lstm": "LSTMCell", "gru": "GRUCell"}
CHECKPOINT, WEIGHTS, SETTINGS, LOG, CURVES = (
    "checkpoint.safetensors",
    "weights.safetensors",
    "settings.json",
    "log.csv",
    "curves.png",
)


def cell_named(name: str, input_size: int, hidden_size: int) -> type:
    """The class of a cell: `lstm`, `gru`, `rnn`, or `path/to/file.py:Class` for one of your own.

    Raises BadInput if it cannot be found, cannot be made from (input_size, hidden_size), or does not take one step.
    """
    if name in CELLS:
        return getattr(importlib.import_module("minigrad.models"), CELLS[name])
    path, colon, class_name = name.rpartition(":")
    if not colon:
        raise BadInput(f"--cell {name}: wanted one of {', '.join(CELLS)}, or path/to/file.py:Class")
    if not Path(path).is_file():
        raise BadInput(f"--cell {name}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"--cell {name}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadInput(f"--cell {name}: running {path} raised {type(error).__name__}: {error}") from error
    cell = getattr(module, class_name, None)
    if cell is None:
        classes = [n for n, c in vars(module).items() if inspect.isclass(c) and c.__module__ == module.__name__]
        raise BadInput(f"--cell {name}: {path} defines no {class_name}; it has {', '.join(classes) or 'no class'}")
    try:
        layer = importlib.import_module("minigrad.models").Recurrent(cell, input_size, hidden_size)
        with mg.no_grad():
            output, _ = layer(mg.tensor(np.zeros((2, 3, input_size), np.float32)))
    except Exception as error:
        raise BadInput(
            f"--cell {name}: {class_name} is not a cell: wanted a Module made by {class_name}(input_size, hidden_size) "
            f"and called as cell(x, state); it raised {type(error).__name__}: {error}"
        ) from error
    if output.shape != (2, 3, hidden_size):
        raise BadInput(f"--cell {name}: a step gives {output.shape[1:]}, wanted (batch, hidden_size) = (3, {hidden_size})")
    return cell


class Run:
    """The folder of one training run.

    settings: all options of the run, kept in the folder; with resume they are read from there, but for `steps`.
    """

    def __init__(self, task: str, folder: Path, settings: dict, resume: bool):
        self.folder = folder
        self.resume = resume
        if resume:
            kept = read_settings(folder)
            if kept["task"] != task:
                raise BadInput(f"{folder} is a run of {kept['task']}, not of {task}")
            if not (folder / CHECKPOINT).is_file():
                raise BadInput(f"{folder} has no checkpoint to resume from")
            self.settings = {**kept, "steps": settings["steps"] or kept["steps"]}
        else:
            if (folder / SETTINGS).exists():
                raise BadInput(f"{folder} holds a run already: --resume continues it, --out NAME starts another")
            self.settings = {"task": task, **settings}

    def begin(self) -> None:
        """Make the folder and keep the settings: not before all input has been found good."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / SETTINGS).write_text(json.dumps(self.settings, indent=1, ensure_ascii=False), encoding="utf-8")

    def train(
        self,
        parts: dict,
        position: Callable[[], dict],
        restore: Callable[[dict], None],
        step: Callable[[int], float],
        evaluate: Callable[[], dict],
        size: int,
        unit: str,
        after: Callable[[int], str] | None = None,
    ) -> dict:
        """The training loop. Returns the last row of the log.

        parts: what a checkpoint holds (model, optimizer, generators). position, restore: what else the run must find
        again. step: takes a step's number, trains, returns the loss. evaluate: figures on held-out data. size, unit:
        what one step consumes ("characters"). after: text to show after an evaluation, a sample for instance.
        """
        from tqdm import tqdm

        steps, every = self.settings["steps"], self.settings["every"]
        done, seconds = 0, 0.0
        if self.resume:
            try:
                kept = io.load_checkpoint(self.folder / CHECKPOINT, **parts)
            except ValueError as error:
                raise BadInput(f"{error}; the log and the weights of {self.folder} are untouched") from error
            done, seconds = kept.pop("step"), kept.pop("seconds")
            restore(kept)
        self.begin()
        log = Log(self.folder / LOG, done)
        row: dict = dict(log.rows[-1]) if log.rows else {}
        losses: list[float] = []
        since, start_of_rate, interrupted = done, time.perf_counter(), False

        def stop(*_):
            nonlocal interrupted
            interrupted = True

        def save():
            io.save_checkpoint(
                self.folder / CHECKPOINT, **parts, position={**position(), "step": done, "seconds": seconds}
            )
            io.save(self.folder / WEIGHTS, parts["model"].state_dict())

        handler = signal.signal(signal.SIGINT, stop)
        bar = tqdm(total=steps, initial=done, unit="step", disable=None, dynamic_ncols=True)
        try:
            while done < steps and not interrupted:
                start = time.perf_counter()
                losses.append(step(done))
                seconds += time.perf_counter() - start
                done += 1
                rate = (done - since) * size / (time.perf_counter() - start_of_rate)
                bar.update()
                bar.set_postfix({"loss": f"{losses[-1]:.3f}", f"{unit}/s": f"{rate:.0f}"}, refresh=False)
                if not np.isfinite(losses[-1]):
                    raise BadInput(f"the loss is {losses[-1]} at step {done}: try a smaller --lr; the last checkpoint is kept")
                if done % every == 0 or done == steps:
                    row = {"step": done, "seconds": round(seconds, 2), "loss": float(np.mean(losses)), **evaluate()}
                    row[f"{unit}_per_second"] = round(rate)
                    losses, since, start_of_rate = [], done, time.perf_counter()
                    log.add(row)
                    tqdm.write("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
                    if after is not None:
                        tqdm.write(after(done))
                    save()
            if interrupted:
                save()
                raise SystemExit(f"stopped after step {done}; go on with --resume --out {self.folder}")
        finally:
            signal.signal(signal.SIGINT, handler)
            bar.close()
            if log.rows:
                draw(log.rows, self.folder / CURVES)
        return row


class Log:
    """The CSV of a run's figures. Rows after the step that a run resumes from are dropped."""

    def __init__(self, path: Path, done: int):
        self.path = path
        self.rows = []
        if done and path.exists():
            with path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= done]
        self.write()

    def add(self, row: dict) -> None:
        self.rows.append({k: str(v) for k, v in row.items()})
        self.write()

    def write(self) -> None:
        with self.path.open("w", newline="") as file:
            if self.rows:
                writer = csv.DictWriter(file, list(self.rows[0]), extrasaction="ignore")
                writer.writeheader()
                writer.writerows(self.rows)


def draw(rows: list[dict], path: Path) -> None:
    """Losses against steps, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    steps = [int(row["step"]) for row in rows]
    for name in rows[0]:
        if "loss" in name:
            axes.plot(steps, [float(row[name]) for row in rows], label=name.replace("_", " "), marker=".")
    axes.set(xlabel="step", ylabel="loss", title=path.parent.name)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def read_settings(folder: Path) -> dict:
    try:
        return json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{folder} is not the folder of a run (it has no {SETTINGS})") from None
    except ValueError as error:
        raise BadInput(f"{folder / SETTINGS} is damaged: {error}") from None


def task_of(folder: Path, tasks: dict):
    """The module of the task that a run belongs to."""
    name = read_settings(folder)["task"]
    if name not in tasks:
        raise BadInput(f"{folder} is a run of {name}, a task that this minigrad does not have")
    return tasks[name]


def load_weights(folder: Path, model: nn.Module) -> None:
    try:
        arrays, _ = io.load(folder / WEIGHTS)
        model.load_state_dict(arrays)
    except FileNotFoundError:
        raise BadInput(f"{folder} has no weights yet: its run has not reached a checkpoint") from None
    except ValueError as error:
        raise BadInput(str(error)) from error
