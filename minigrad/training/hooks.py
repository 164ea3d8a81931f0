"""What a `Trainer` calls while it trains: the log, the bar, early stopping, and what users add."""

import sys
import warnings
from collections.abc import Iterable
from typing import Any

from minigrad.arguments import Count, NonNegative, checked
from minigrad.training import files

try:
    with warnings.catch_warnings(action="ignore"):  # of a notebook without ipywidgets: there are lines, and no bar
        from tqdm.auto import tqdm
except ImportError:  # without it there are lines and no bar
    tqdm = None  # type: ignore[assignment,misc]

__all__ = ["CSV", "Curves", "EarlyStopping", "Hook", "Progress", "TensorBoard"]


class Hook:
    """Base of what is called while a `Trainer` trains; each method does nothing until it is overridden.

    What a hook may read: `trainer.done` (steps so far), `trainer.steps`, `trainer.losses` (of the steps since the last
    evaluation), `trainer.rows` (a dict an evaluation, in order), `trainer.rate` (of what `unit` counts, a second),
    `trainer.model`, `trainer.optimizer`, `trainer.out`. What it may do: `trainer.stop(reason)`, set
    `trainer.optimizer.lr`, write files into `trainer.out`. A hook with a state of its own that a resumed run needs has
    `state_dict` and `load_state_dict`, and is given to the Trainer in `parts` as well. In a run on several ranks it is
    called on all of them, or, with `on_every_rank = False`, on the first alone; rows and losses are the same on all.

    Examples
    --------
    >>> class Losses(mg.training.Hook):
    ...     losses = []
    ...     def step(self, trainer):
    ...         self.losses.append(trainer.losses[-1])
    """

    on_every_rank = True

    def begin(self, trainer) -> None:
        """Before the first step of this process; in a resumed run with all that was done before."""

    def step(self, trainer) -> None:
        """After a step; its loss is `trainer.losses[-1]`."""

    def evaluated(self, trainer) -> None:
        """After an evaluation, `trainer.rows[-1]`, before it is saved."""

    def saved(self, trainer) -> None:
        """After the checkpoint was written, and when a run that is done is resumed."""

    def end(self, trainer) -> None:
        """At the end, whatever ended the run."""


class CSV(Hook):
    """Writes the rows as CSV to `log.csv` of the run's folder."""

    on_every_rank = False

    def saved(self, trainer) -> None:
        if trainer.rows:
            files.write_rows(trainer.rows, trainer.out / files.LOG)


class Curves(Hook):
    """Draws the loss, and the figure `held_out_loss` beside it, as `curves.png` in the run's folder."""

    on_every_rank = False

    def __init__(self, loss_unit: str = "loss"):
        self.loss_unit = loss_unit

    def saved(self, trainer) -> None:
        if trainer.rows:
            files.draw_curves(trainer.rows, self.loss_unit, trainer.out / files.CURVES)


class TensorBoard(Hook):
    """Writes each row's figures to `tensorboard` in the run's folder: `tensorboard --logdir runs`.

    Raises ImportError without the tensorboard package.
    """

    on_every_rank = False

    def __init__(self) -> None:
        try:
            from tensorboard.summary import Writer
        except ImportError as error:
            raise ImportError("TensorBoard wants the tensorboard package: pip install tensorboard") from error
        self._open = Writer
        self._writer: Any = None
        self._written = 0

    def begin(self, trainer) -> None:
        self._written = len(trainer.rows)

    def saved(self, trainer) -> None:
        for row in trainer.rows[self._written :]:
            self._writer = self._writer or self._open(str(trainer.out / "tensorboard"))
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, step=row["step"])
            self._writer.flush()
        self._written = len(trainer.rows)

    def end(self, trainer) -> None:
        if self._writer:
            self._writer.close()


class EarlyStopping(Hook):
    """Stops when a figure has not been below its least, by more than `by`, for more than `patience` evaluations.

    With `best_on` of the Trainer the weights of its best evaluation are those that are kept.

    Examples
    --------
    >>> stop = mg.training.EarlyStopping(patience=3)
    """

    @checked
    def __init__(self, figure: str = "held_out_loss", patience: Count = 5, by: NonNegative = 0.0):
        self.figure, self.patience, self.by = figure, patience, by

    def begin(self, trainer) -> None:
        least, waited = float("inf"), 0
        for row in trainer.rows:
            if row[self.figure] < least - self.by:
                least, waited = row[self.figure], 0
            else:
                waited += 1
        if waited > self.patience:
            trainer.stop(f"{written(self.figure)} has not been below {written(least)} for {waited} evaluations")

    evaluated = begin  # a resumed run decides from its rows, as the run did that was stopped


class Progress(Hook):
    """A bar, where there is a terminal or a notebook, and a line an evaluation. Without tqdm there are lines alone."""

    on_every_rank = False
    bar: Any = None

    def begin(self, trainer) -> None:
        if tqdm is not None:
            notebook = tqdm.__module__ == "tqdm.auto"  # the class that draws a widget is made there
            self.bar = tqdm(
                total=trainer.steps, initial=trainer.done, unit="step", dynamic_ncols=True, leave=False,
                disable=False if notebook else None,  # None: where there is no terminal
            )  # fmt: skip

    def step(self, trainer) -> None:
        if self.bar is not None:
            figure = trainer.best_on or trainer.figure
            held_out = {written(figure): f"{trainer.rows[-1][figure]:.3f}"} if trainer.rows and figure else {}
            told = {"loss": f"{trainer.losses[-1]:.3f}", **held_out, f"{trainer.unit}/s": round(trainer.rate)}
            self.bar.set_postfix(told, refresh=False)
            self.bar.update()

    def evaluated(self, trainer) -> None:
        for line in self.lines(trainer):
            say(line)

    def lines(self, trainer) -> Iterable[str]:
        """What is told after an evaluation."""
        yield "  ".join(f"{written(name)} {written(value)}" for name, value in trainer.rows[-1].items())

    def end(self, trainer) -> None:
        if self.bar is not None:
            self.bar.close()


def say(text: str) -> None:
    """Print a line without breaking a bar."""
    if tqdm is None:
        print(text)
    else:
        tqdm.write(text)
    sys.stdout.flush()


def written(x) -> str:
    return f"{x:.4g}" if isinstance(x, float) else str(x).replace("_", " ")
