"""What a task is: options, a model, batches, a loss, figures; and the loop that trains it.

A task is one file of this folder with one class. The file's first line is what `minigrad tasks` prints, the whole
docstring the help of `minigrad train NAME`; NAME is the file's. Complete:

    '''Echo: tell what came three steps ago.'''

    class Echo(CellTask):                           # CellTask has --cell, --hidden, ...; Task has none of them
        steps, lr, batch = 500, 3e-3, 32            # other defaults for the options that every task has
        figure = "wrong"                            # the one of evaluate's figures that the bar and the table show
        known = "chance 0.875"                      # what it is in the literature, or a baseline, with the source
        loss_unit = "nats"                          # for the picture of the curves

        length: Annotated[int, Option(min=4, help="Steps of a sequence.")] = 20         # an option of its own

        def build(self):                            # the options are attributes; data are read here, too
            self.model = Reader(self.recurrent(8), 8)
            self.test = self.draw(self.test_draws, 500)

        def draw(self, generator, count):           # a batch: arrays in tuples, lists and dicts, as loss takes them
            symbols = generator.integers(8, size=(self.length, count))
            return np.eye(8, dtype=np.float32)[symbols], symbols[:-3]

        def loss(self, x, symbols):                 # of tensors; jitted, so without effects
            return mg.cross_entropy(self.model(x)[3:].reshape(-1, 8), symbols.reshape(-1))

        def evaluate(self):                         # without gradients, the model in eval mode; floats by name
            x, symbols = self.test
            told = self.model(mg.tensor(x)).numpy()[3:].argmax(-1)
            return {"held_out_loss": self.loss_of(x, symbols).item(), "wrong": float((told != symbols).mean())}

What need not be given has a default below: `train_loss` (a loss that carries a state from step to step, or whose shapes
change too often to be jitted), `position` and `restore` (what else a resumed run must find), `shown` (text after an
evaluation), `best_on` (a figure of validation data: the run's weights and what it tells at its end are those of the
evaluation at which it was least), `clip` and `decay`, `unit` and `size` (of what a step consumes), `may_change`
(options that a resumed run may have anew). Pictures go to `self.out` with `files.save_figure`. Bad input raises
BadInput, in a sentence, from `build`. AdamW, a warm-up and half a cosine, clipping, log, curves, checkpoints and Ctrl-C
are `run`'s.
"""

import inspect
import math
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any, get_origin

import numpy as np
from typer import Option

import minigrad as mg
from minigrad import io, nn, optim
from minigrad.badinput import BadInput
from minigrad.models import Recurrent
from minigrad.models.tasks import files
from minigrad.models.tasks.cells import OF_VECTORS, cell_path, remember, vector_cell_named

__all__ = ["Annotated", "BadInput", "CellTask", "LabelTask", "Option", "Reader", "SymbolTask", "Task"]


class Task:
    """One training run of a task. given: options by name; the others are the defaults, or with resume the run's own.

    Raises BadInput for what cannot be used, before anything is written.
    """

    steps: Annotated[int, Option(min=1, help="Training steps.")] = 3000
    lr: Annotated[float, Option(min=0, help="Adam's learning rate at its highest.")] = 3e-3
    batch: Annotated[int, Option(min=1, help="Sequences a step.")] = 32
    every: Annotated[int, Option(min=1, help="Steps between evaluations and checkpoints.")] = 250
    seed: Annotated[int, Option(min=0, help="Of all that is drawn.")] = 0
    out: Annotated[Path, Option(help="Folder of the run.")] = Path("runs")
    resume: Annotated[bool, Option("--resume", help="Go on from the checkpoint in --out, as it began.")] = False

    figure = "held_out_loss"
    best_on = ""
    known = ""
    loss_unit = "loss"
    unit = "sequences"
    clip = 1.0  # of the gradient's norm
    decay = 0.0  # of the weights, AdamW's
    may_change: tuple = ("steps",)
    about = ""  # the data, told at the beginning
    name: str
    model: nn.Module

    def __init_subclass__(cls):
        cls.name = cls.__module__.rpartition(".")[2]
        cls.out = Path("runs") / cls.name

    @classmethod
    def options(cls) -> dict[str, tuple[Any, Any]]:
        """(annotation, default) of every option by name, the task's own first."""
        found: dict = {}
        for base in cls.__mro__:
            for name, hint in inspect.get_annotations(base).items():
                if get_origin(hint) is Annotated:
                    found.setdefault(name, (hint, getattr(cls, name)))
        return found

    def __init__(self, **given):
        self.out, self.resume = Path(given.pop("out", self.out)), given.pop("resume", False)
        defaults = {name: default for name, (_, default) in self.options().items() if name not in ("out", "resume")}
        given = {name: settled(name, value) for name, value in given.items()}
        if unknown := given.keys() - defaults.keys():
            raise TypeError(f"{self.name} has no option {', '.join(unknown)}; it has {', '.join(defaults)}")
        self.settings = self.kept(given) if self.resume else {"task": self.name, **defaults, **given}
        if not self.resume and self.out.exists():
            if not self.out.is_dir():
                raise BadInput(f"--out {self.out} is a file; wanted a folder")
            if any(self.out.iterdir()):
                raise BadInput(f"{self.out} is not empty: --resume continues a run, --out FOLDER starts another")
        for name in defaults:
            setattr(self, name, self.settings[name])
        nn.manual_seed(self.seed)
        self.draws, self.test_draws = (np.random.default_rng([self.seed, k]) for k in (1, 2))
        self.loss_of = mg.jit(self.loss)
        self.build()

    def kept(self, given: dict) -> dict:
        """The settings of the run in --out, with those of `given` that may change."""
        kept = files.read_settings(self.out)
        if kept["task"] != self.name:
            raise BadInput(f"{self.out} is a run of {kept['task']}, not of {self.name}")
        if not (self.out / files.CHECKPOINT).exists():
            raise BadInput(f"{self.out} has no {files.CHECKPOINT} to resume from")
        for name, value in given.items():
            if name not in self.may_change and value != kept.get(name):
                raise BadInput(f"--{name} {value}: a resumed run keeps its own, {kept.get(name)}")
        return {**kept, **given}

    # What a task gives

    def build(self) -> None:
        """Read or make the data and set self.model."""
        raise NotImplementedError

    def draw(self, generator: np.random.Generator, count: int) -> tuple:
        """`count` examples: the arguments of `loss`, arrays in nested tuples, lists and dicts."""
        raise NotImplementedError

    def loss(self, *batch):
        """What is minimised, from a batch of tensors."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        """Figures on held-out data, `figure` among them; of the name held_out_loss, it is drawn beside the loss."""
        raise NotImplementedError

    # What a task may give

    def train_loss(self, step: int):
        """The loss of a training step."""
        return self.loss_of(*mg.tree.map(mg.tensor, tuple(self.draw(self.draws, self.batch))))

    def position(self) -> dict:
        """What a resumed run must find again besides model, optimizer and generators: arrays and JSON by name."""
        return {}

    def restore(self, kept: dict) -> None:
        """Take up what `position` gave."""

    def shown(self, step: int) -> str:
        """Text to show after an evaluation: a sample, say."""
        return ""

    @classmethod
    def chosen(cls, rows: list[dict]) -> dict:
        """The row of the log that is told: the best on `best_on`, else the last."""
        return min(rows, key=lambda row: float(row[cls.best_on])) if cls.best_on else rows[-1]

    @property
    def size(self) -> int:
        """How many of `unit` a step consumes."""
        return self.batch

    def run(self) -> dict:
        """Train, and write the folder. Returns the chosen row of the log. Raises BadInput if the loss runs away."""
        from tqdm import tqdm

        optimizer = optim.AdamW(self.model.parameters(), lr=self.lr, weight_decay=self.decay)
        rise = max(1, min(100, self.steps // 10))
        schedule = optim.Schedule(optimizer, optim.warmup(rise, optim.cosine(self.steps - rise or 1, last=0.05)))
        parts = {"model": self.model, "optimizer": optimizer, "schedule": schedule}
        parts |= {"generator": nn.default_generator, "draws": self.draws}
        done, seconds, stopped = 0, 0.0, False
        losses: list[float] = []  # since the last row
        rows: list[dict] = []
        remedy = f"try a smaller --lr; the checkpoint in {self.out} is the one before"

        def say(text: str) -> None:
            tqdm.write(text)
            sys.stdout.flush()

        def train() -> float:
            loss = self.train_loss(done)
            optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm(optimizer.parameters, self.clip)
            optimizer.step()
            schedule.step()
            return loss.item()

        def evaluate() -> tuple[dict, str]:
            self.model.eval()
            with mg.no_grad():
                told = self.evaluate(), self.shown(done)
            self.model.train()
            return told

        def save() -> None:
            if not all(np.isfinite(array).all() for array in self.model.state_dict().values()):
                raise BadInput(f"a weight is not finite at step {done}: {remedy}")
            own = {"step": done, "seconds": seconds, "losses": losses, "rows": rows}
            best = not self.best_on or not rows or self.chosen(rows)["step"] == done
            weights = self.model.state_dict() if best else files.read_weights(self.out)[0]  # those kept, settings new
            io.save(self.out / files.WEIGHTS, weights, self.settings)
            io.save_checkpoint(self.out / files.CHECKPOINT, **parts, position={**self.position(), **own})
            if rows:
                files.write_rows(rows, self.out / files.LOG)
                files.draw_curves(rows, self.loss_unit, self.out / files.CURVES)

        def stop(*_) -> None:
            nonlocal stopped
            stopped = True
            signal.signal(signal.SIGINT, before)  # a second Ctrl-C does not wait for the step

        say(
            f"{self.name}: {sum(p.size for p in self.model.parameters()):,} parameters{self.about and '; '}{self.about}"
        )
        if self.resume:
            try:
                kept = io.load_checkpoint(self.out / files.CHECKPOINT, **parts)
                done, seconds, losses, rows = (kept.pop(name) for name in ("step", "seconds", "losses", "rows"))
                self.restore(kept)
            except (ValueError, KeyError) as error:
                raise BadInput(f"cannot resume: {error}; nothing in {self.out} was changed") from error
            if done >= self.steps:
                say(f"{self.out}: its {done} steps are done; --steps N goes on to N")
                return self.chosen(rows)
        else:
            self.out.mkdir(parents=True, exist_ok=True)
            save()  # a full disk shows now, not after an hour
        since = (done, seconds)
        before = signal.signal(signal.SIGINT, stop)
        bar = tqdm(total=self.steps, initial=done, unit="step", disable=None, dynamic_ncols=True, leave=False)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused
                while done < self.steps and not stopped:
                    start = time.perf_counter()
                    losses.append(train())
                    seconds += time.perf_counter() - start
                    done += 1
                    if not math.isfinite(losses[-1]):
                        raise BadInput(f"the loss is {losses[-1]} at step {done}: {remedy}")
                    rate = round((done - since[0]) * self.size / (seconds - since[1]))
                    figure = self.best_on or self.figure
                    held_out = {written(figure): f"{rows[-1][figure]:.3f}"} if rows else {}
                    bar.set_postfix({"loss": f"{losses[-1]:.3f}", **held_out, f"{self.unit}/s": rate}, refresh=False)
                    bar.update()
                    if done % self.every == 0 or done == self.steps:
                        figures, text = evaluate()
                        row = {"step": done, "seconds": round(seconds, 2), "loss": float(np.mean(losses)), **figures}
                        rows.append({**row, f"{self.unit}_per_second": rate})
                        losses, since = [], (done, seconds)
                        save()
                        told = {k: v for k, v in rows[-1].items() if not self.best_on or k != self.figure}
                        say("  ".join(f"{written(name)} {written(value)}" for name, value in told.items()))
                        if text:
                            say(text)
            if stopped:
                save()
        finally:
            signal.signal(signal.SIGINT, before)
            bar.close()
        if done < self.steps:
            print(f"stopped after step {done}; minigrad train {self.name} --resume --out {self.out}", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
        chosen = self.chosen(rows)
        if self.best_on:
            say(f"the weights kept are those of step {chosen['step']}, the best on {written(self.best_on)}")
        if self.known:
            say(f"{written(self.figure)} {written(chosen[self.figure])}; known: {self.known}")
        say(f"{self.out} has {', '.join(sorted(path.name for path in self.out.iterdir()))}")
        return chosen


class CellTask(Task):
    """A task for any cell."""

    cell: Annotated[str, Option(help=f"{', '.join(OF_VECTORS)} or path/to/file.py:Class.")] = "lstm"
    hidden: Annotated[int, Option(min=1, help="Hidden units a layer.")] = 64
    layers: Annotated[int, Option(min=1, help="Layers.")] = 1
    memory: Annotated[int, Option(min=0, help="Steps that gates of LSTM and GRU remember at first; 0: PyTorch's.")] = 0

    def __init__(self, **given):
        super().__init__(**given)
        if self.memory:
            for module in self.model.modules():
                remember(module, self.memory)

    def recurrent(self, input_size: int, **options) -> Recurrent:
        """Layers of the cell that the options name."""
        cell = vector_cell_named(self.cell, input_size, self.hidden)
        return Recurrent(cell, input_size, self.hidden, num_layers=self.layers, **options)


class LabelTask(CellTask):
    """A task of one label a sequence, told at its end: self.model is a Reader, self.test and batches (x, labels)."""

    figure, loss_unit = "wrong", "nats"

    def loss(self, x, label):
        return mg.cross_entropy(self.model(x, last=1)[0], label)

    def evaluate(self):
        x, label = self.test
        told = mg.jit(self.model)(mg.tensor(x), last=1).numpy()[0].argmax(axis=-1)
        return {"held_out_loss": self.loss_of(x, label).item(), "wrong": float((told != label).mean())}


class SymbolTask(Task):
    """A task whose symbols are embedded."""

    hidden: Annotated[int, Option(min=1, help="Hidden units.")] = 64
    embedding: Annotated[int, Option(min=1, help="Size of a symbol's embedding.")] = 32


class Reader(nn.Module):
    """A recurrent layer, then a linear one: (T, B, inputs) to (T, B, outputs), or (last, B, outputs) at the end."""

    def __init__(self, recurrent: Recurrent, outputs: int):
        self.recurrent = recurrent
        self.output = nn.Linear(recurrent.hidden_size, outputs)

    def forward(self, x, last: int | None = None):
        hidden, _ = self.recurrent(x)
        return self.output(hidden if last is None else hidden[-last:])


def settled(name: str, value):
    """An option as it is kept: numbers finite, paths absolute, so that a run can be resumed from another folder."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"--{name} {value}: wanted a finite number")
    if isinstance(value, Path):
        return str(value.absolute())
    return cell_path(value) if name == "cell" else value


def written(x) -> str:
    return f"{x:.4g}" if isinstance(x, float) else str(x).replace("_", " ")
