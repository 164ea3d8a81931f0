"""What a task is: options, a model, batches, a loss, figures; a `Trainer` trains it (loop.py).

A task is one file of this folder with one class. The file's first line is what `minigrad tasks` prints, the whole
docstring the help of `minigrad train NAME`; NAME is the file's. Complete:

    '''Echo: tell what came three steps ago.'''

    class Echo(CellTask):                           # CellTask has --cell, --hidden, ...; Task has none of them
        steps, lr, batch = 500, 3e-3, 32            # other defaults for the options that every task has
        figure = "wrong"                            # the one of evaluate's figures that the bar and the table show
        higher_is_better = False                    # of the figure, as it is unless told
        known = "chance 0.875"                      # what it is in the literature, or a baseline, with the source
        family = "memory"                           # the chapter of docs/models that it is in
        rows = [Row(promise=0.3), Row("--cell rnn")]        # its runs in the table of benchmarks/tasks.py
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
change too often to be jitted), `batch_at` (if a step's batch is not just drawn), `terms` (what the loss is a mean of,
if not of the samples: the words of sentences, say) and `trial`, for several ranks (docs/distributed.md), `position` and
`restore` (what else a resumed run must find), `shown` (text after an evaluation), `best_on` (a figure of validation
data: the run's weights and what it tells at its end are those of the evaluation at which it was least), `clip` and
`decay`, `unit` and `size` (of what a step consumes), `served` (what `minigrad export` writes, if it is not the model as
the loss calls it), `may_change` (options that a resumed run may have anew). Pictures go to `self.out` with
`files.save_figure`. Bad input raises BadInput, in a sentence, from `build`. AdamW, a warm-up and half a cosine,
clipping, log, curves, checkpoints and signals are the `Trainer`'s, which loop.py makes.
"""

import inspect
import math
import numbers
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import numpy as np
from typer import Option

import minigrad as mg
from minigrad import nn
from minigrad.badinput import BadInput
from minigrad.models import Recurrent
from minigrad.models.tasks import files
from minigrad.models.tasks.cells import OF_VECTORS, cell_path, remember, vector_cell_named

ALL = slice(None)
__all__ = ["Annotated", "BadInput", "CellTask", "LabelTask", "Option", "Reader", "Row", "SymbolTask", "Task"]


class Row(NamedTuple):
    """A run that the table of all tasks has, made with several seeds. Nothing else lists the runs.

    options: the words after `minigrad train NAME`; a path is one in the folder of the data sets.
    promise: what the median of the task's figure over the seeds is to reach, else `benchmarks/tasks.py` fails: a
    number, or the name of another of evaluate's figures, a baseline. None: nothing.
    known: of this run, what `Task.known` is of all.
    """

    options: str = ""
    promise: float | str | None = None
    known: str = ""


class Task:
    """One training run of a task. given: options by name; the others are the defaults, or with resume the run's own.

    Raises BadInput for what cannot be used, before anything is written.
    """

    steps: Annotated[int, Option(min=1, max=10**9, help="Training steps.")] = 3000
    lr: Annotated[float, Option(min=0, help="Adam's learning rate at its highest.")] = 3e-3
    batch: Annotated[int, Option(min=1, max=10**6, help="Sequences a step.")] = 32
    every: Annotated[int, Option(min=1, max=10**9, help="Steps between evaluations and checkpoints.")] = 250
    seed: Annotated[int, Option(min=0, max=2**63 - 1, help="Of all that is drawn.")] = 0
    out: Annotated[Path, Option(help="Folder of the run.")] = Path("runs")
    resume: Annotated[bool, Option("--resume", help="Go on from the checkpoint in --out, as it began.")] = False

    figure = "held_out_loss"
    higher_is_better = False  # of the figure
    best_on = ""
    known = ""
    family = ""
    rows: list[Row] = [Row()]
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
        if unknown := given.keys() - defaults.keys():
            raise TypeError(f"{self.name} has no option {', '.join(unknown)}; it has {', '.join(defaults)}")
        given = {name: settled(name, value, self.options()[name][0]) for name, value in given.items()}
        self.settings = self.kept(given) if self.resume else {"task": self.name, **defaults, **given}
        if not self.resume and self.out.exists():
            if not self.out.is_dir():
                raise BadInput(f"--out {self.out} is a file; wanted a folder")
            if not files.is_fresh(self.out):
                raise BadInput(f"{self.out} is not empty: --resume continues a run, --out FOLDER starts another")
        for name in defaults:
            setattr(self, name, self.settings[name])
        nn.manual_seed(self.seed)
        self.draws, self.test_draws = (np.random.default_rng([self.seed, k]) for k in (1, 2))
        self.loss_of = mg.jit(self.loss)
        self.build()

    def kept(self, given: dict) -> dict:
        """The settings of the run in --out, with those of `given` that may change."""
        kept = self.checked(files.read_settings(self.out), self.out)
        if not (self.out / files.CHECKPOINT).exists() and not files.is_fresh(self.out):
            raise BadInput(f"{self.out} has no {files.CHECKPOINT} to resume from")
        for name, value in given.items():
            if name not in self.may_change and value != kept.get(name):
                raise BadInput(f"--{name} {value}: a resumed run keeps its own, {kept.get(name)}")
        return {**kept, **given}

    @classmethod
    def checked(cls, settings: dict, folder: Path) -> dict:
        """The settings of the run in a folder, all options among them. Raises BadInput for what are none."""
        if settings["task"] != cls.name:
            raise BadInput(f"{folder} is a run of {settings['task']}, not of {cls.name}")
        options = {name: hint for name, (hint, _) in cls.options().items() if name not in ("out", "resume")}
        if missing := options.keys() - settings.keys():
            raise BadInput(f"{folder / files.WEIGHTS} does not tell {', '.join(sorted(missing))}")
        try:
            return settings | {name: settled(name, settings[name], hint) for name, hint in options.items()}
        except BadInput as error:
            raise BadInput(f"{folder / files.WEIGHTS}: {error}") from error

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

    def batch_at(self, step: int, rows: slice = ALL) -> tuple:
        """What train_loss takes in a step; rows: of the whole batch, the samples that are wanted."""
        batch = tuple(self.draw(self.draws, self.batch))
        return mg.tree.map(mg.tensor, batch if rows == ALL else taken(batch, self.axes, rows))

    @cached_property
    def axes(self) -> list[int | None]:
        """Along which axis of each array of a batch the samples lie, as three small batches show it."""
        return sample_axes(self.name, lambda count: self.draw(np.random.default_rng(0), count))

    def train_loss(self, *batch):
        """The loss of a training step."""
        return self.loss_of(*batch)

    def trial(self, *batch):
        """A loss of `batch_at` without effects, and with the draws of train_loss."""
        return self.loss(*batch)

    def terms(self, *batch):
        """How many terms the loss of a batch is a mean of."""
        return batch_size(batch, self.axes)

    def position(self) -> dict:
        """What a resumed run must find again besides model, optimizer and generators: arrays and JSON by name."""
        return {}

    def restore(self, kept: dict) -> None:
        """Take up what `position` gave."""

    def shown(self, step: int) -> str:
        """Text to show after an evaluation: a sample, say."""
        return ""

    def served(self) -> tuple[Callable, tuple, dict]:
        """What `minigrad export` writes, with its arguments in an example: the model, as `loss` calls it."""
        batch = mg.tree.map(mg.tensor, tuple(self.draw(self.test_draws, 2)))
        return self.model, *first_call(self.model, lambda: self.loss(*batch))

    @classmethod
    def chosen(cls, rows: list[dict]) -> dict:
        """The row of the log that is told: the best on `best_on`, else the last."""
        return min(rows, key=lambda row: float(row[cls.best_on])) if cls.best_on else rows[-1]

    @property
    def examples(self) -> int:
        """The samples of a batch."""
        return self.batch

    @property
    def size(self) -> int:
        """How many of `unit` a step consumes."""
        return self.batch

    def run(self) -> dict:
        """Train, and write the folder. Returns the chosen row of the log. Raises BadInput if the loss runs away: when
        it is not finite, or at an evaluation 1000 times the first; the checkpoint is then the one before."""
        from minigrad.models.tasks.loop import train

        return train(self)


class CellTask(Task):
    """A task for any cell."""

    cell: Annotated[str, Option(help=f"{', '.join(OF_VECTORS)} or path/to/file.py:Class.")] = "lstm"
    hidden: Annotated[int, Option(min=1, max=2**20, help="Hidden units a layer.")] = 64
    layers: Annotated[int, Option(min=1, max=100, help="Layers.")] = 1
    memory: Annotated[
        int, Option(min=0, max=10**9, help="Steps that gates of LSTM and GRU remember at first; 0: PyTorch's.")
    ] = 0

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

    hidden: Annotated[int, Option(min=1, max=2**20, help="Hidden units.")] = 64
    embedding: Annotated[int, Option(min=1, max=2**20, help="Size of a symbol's embedding.")] = 32


def sample_axes(name: str, draw: Callable[[int], tuple]) -> list[int | None]:
    """Along which axis of each array that draw(count) gives the count lies; None where there is none."""
    counts = 2, 3, 5
    arrays = [mg.tree.flatten(tuple(draw(count)))[0] for count in counts]
    found: list[int | None] = []
    for same in zip(*arrays):
        shapes = [np.shape(x) for x in same]
        axes = [k for k, sizes in enumerate(zip(*shapes)) if sizes == counts]
        if len(axes) > 1 or (not axes and len(set(shapes)) > 1):
            raise BadInput(f"{name} cannot be divided between ranks: arrays of shapes {shapes} for {counts} samples")
        found.append(axes[0] if axes else None)
    return found


def taken(batch: tuple, axes: list[int | None], rows: slice) -> tuple:
    """The samples `rows` of a batch."""
    arrays, structure = mg.tree.flatten(batch)
    parts = [x if axis is None else x[(slice(None),) * axis + (rows,)] for x, axis in zip(arrays, axes)]
    return mg.tree.unflatten(structure, parts)


def batch_size(batch: tuple, axes: list[int | None]) -> int:
    """The samples of a batch."""
    return next(x.shape[axis] for x, axis in zip(mg.tree.flatten(batch)[0], axes) if axis is not None)


class Reader(nn.Module):
    """A recurrent layer, then a linear one: (T, B, inputs) to (T, B, outputs), or (last, B, outputs) at the end."""

    def __init__(self, recurrent: Recurrent, outputs: int):
        self.recurrent = recurrent
        self.output = nn.Linear(recurrent.hidden_size, outputs)

    def forward(self, x, last: int | None = None):
        hidden, _ = self.recurrent(x)
        return self.output(hidden if last is None else hidden[-last:])


def first_call(model: nn.Module, run: Callable) -> tuple[tuple, dict]:
    """The arguments with which run() calls a module first."""
    calls: list = []

    def forward(*args, **kwargs):
        calls.append((args, kwargs))
        return type(model).forward(model, *args, **kwargs)

    vars(model)["forward"] = forward
    model.eval()
    try:
        with mg.no_grad():
            run()
    finally:
        del vars(model)["forward"]
        model.train()
    return calls[0]


def settled(name: str, value: Any, hint: Any) -> Any:
    """An option as it is kept: in range, paths absolute, so that a run can be resumed from another folder.

    hint: its annotation. Raises BadInput for another type, and what is not in the range.
    """
    kinds, option = get_args(hint)[0], hint.__metadata__[0]
    kinds = get_args(kinds) or (kinds,)
    if Path in kinds and isinstance(value, (str, Path)):
        return str(Path(value).absolute())
    if int in kinds or float in kinds:
        kind = numbers.Integral if int in kinds else numbers.Real
        wanted = "an integer" if int in kinds else "a finite number"
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            raise BadInput(f"--{name} {value!r:.50}: wanted {wanted}")
        if not (option.min is None or option.min <= value) or not (option.max is None or value <= option.max):
            raise BadInput(f"--{name} {value!r:.50}: wanted {wanted} {within(option)}")
        kept: type = int if int in kinds else float
        return kept(value)
    if not isinstance(value, tuple(kind for kind in kinds if kind is not Path)):
        raise BadInput(f"--{name}: got {value!r:.50}, wanted {' or '.join(kind.__name__ for kind in kinds)}")
    return cell_path(str(value)) if name == "cell" else value


def within(option) -> str:
    bounds = [
        f"{word} {bound}" for word, bound in (("at least", option.min), ("at most", option.max)) if bound is not None
    ]
    return " and ".join(bounds)
