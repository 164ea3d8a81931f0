"""The loop that trains a model: steps, evaluations, checkpoints, signals; and how a run that was stopped goes on.

The checkpoint is the run: what is in the other files of the folder follows from it. A save writes the weights, then the
checkpoint, then the hooks write the log and what else there is, each file whole or not at all, so that a run that is
killed at any point can be resumed; one that is killed in its first save has at most the weights of step 0, and starts
again.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import io, optim, tree
from minigrad.arguments import Finite, Fraction, Size, checked, described
from minigrad.creation import full_like
from minigrad.distributed.world import rank, size
from minigrad.modes import no_grad
from minigrad.nn.module import Module
from minigrad.random import default_generator
from minigrad.tensor import Tensor, tensor
from minigrad.training import files, rates
from minigrad.training.ema import EMA
from minigrad.training.hooks import CSV, Hook, Progress, say, written
from minigrad.training.ranks import Division, Ranks
from minigrad.training.record import Record

__all__ = ["RunError", "Stopped", "Trainer"]
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
DIVERGED = 1000  # times the first loss


class RunError(ValueError):
    """A run that cannot begin, go on or be resumed; the message is a sentence for the user."""


class Stopped(KeyboardInterrupt):
    """A signal ended the run after a step, which was saved. number: of the signal."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped after step {step} by signal {number}; run(resume=True) goes on")
        self.number = number


class Trainer:
    """Trains a model, and writes the folder of the run: weights, a checkpoint to go on from, and a log.

    Parameters
    ----------
    model, optimizer
        What is trained, and what trains it.
    loss
        `loss(*batch)`, a scalar tensor; `mg.jit` it to have it compiled.
    batches
        `batches(step)`, the arguments of `loss` for a step (from 0): a tuple whose arrays, nested as you like, become
        tensors. If it draws from a NumPy generator, name that in `parts`.
    steps
        Of the whole run.
    out
        Its folder.
    every
        Steps between evaluations, each of which is saved.
    evaluate
        `evaluate()`, figures by name, on data that are held out; the model is in eval mode, and nothing is recorded.
    figure
        The figure that the bar shows.
    best_on
        The figure by which the weights are chosen that are kept: those of the evaluation at which it was least.
    schedule
        A factor of the learning rate by step, as those of `mg.optim`.
    clip
        The greatest norm of the gradient.
    accumulate
        Batches whose gradients are averaged into one step; `batches` counts them on.
    ema
        The decay of an average of the weights (`EMA`), with which the model is evaluated and saved.
    hooks
        What is called meanwhile (`Hook`); by default a log as CSV, and a bar with a line an evaluation.
    parts
        What else a resumed run must find as it was, by name: NumPy generators, what has a `state_dict`.
    settings
        Kept in the file of the weights: JSON.
    unit, size
        For the log: a step consumes `size` of these.
    division
        How ranks divide a batch, for `mpiexec -n 4 python train.py` (`Division`; docs/distributed.md).

    Examples
    --------
    >>> import tempfile
    >>> layer = nn.Linear(2, 1)
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> trainer = mg.training.Trainer(
    ...     layer, optim.Adam(layer.parameters(), lr=0.1), mg.jit(lambda x, y: ((layer(x) - y) ** 2).mean()),
    ...     lambda step: (x, x.sum(axis=1, keepdims=True)), steps=200, out=tempfile.mkdtemp(), hooks=[])
    >>> trainer.run()["loss"] < 1
    True
    """

    @checked
    def __init__(
        self, model: Module, optimizer: optim.Optimizer, loss: Callable, batches: Callable, *, steps: Size, out,
        every: Size = 250, evaluate: Callable | None = None, figure: str = "", best_on: str = "",
        schedule: Callable | None = None, clip: Finite | None = None, accumulate: Size = 1, ema: Fraction | None = None,
        hooks: Iterable[Hook] | None = None, parts: Mapping | None = None, settings: Mapping | None = None,
        unit: str = "steps", size: Size = 1, division: Division | None = None,
    ):  # fmt: skip
        self.model, self.optimizer, self.loss, self.batches = model, optimizer, loss, batches
        self.steps, self.out, self.every, self.evaluate = steps, Path(out), every, evaluate or dict
        self.figure, self.best_on, self.clip, self.accumulate = figure, best_on, clip, accumulate
        self.schedule = None if schedule is None else optim.Schedule(optimizer, schedule)
        self.ema = None if ema is None else EMA(model, ema)
        self.hooks = [CSV(), Progress()] if hooks is None else list(hooks)
        if wrong := [hook for hook in self.hooks if not isinstance(hook, Hook)]:
            raise TypeError(f"Trainer: got hooks={described(wrong)}, wanted instances of Hook")
        self.settings, self.unit, self.size = dict(settings or {}), unit, size
        self.record = Record(steps, tuple(name for name in (figure, best_on) if name))
        self.parts: dict[str, Any] = {"run": self.record, "model": model, "optimizer": optimizer}
        self.parts |= {"schedule": self.schedule} if self.schedule else {}
        self.parts |= {"ema": self.ema} if self.ema else {}
        self.parts["generator"] = default_generator
        if taken := self.parts.keys() & (parts or {}).keys():
            raise ValueError(f"Trainer: got parts named {', '.join(sorted(taken))}, names that it has itself")
        self.parts |= parts or {}
        self.division, self.ranks = division, None  # type: Division | None, Ranks | None
        self.best: dict[str, np.ndarray] = {}  # weights of the row that is told at the end
        self.signal = 0
        self.reason = ""
        self.began = 0  # steps that were done before this process
        self.since = (0, 0.0)  # steps and seconds at the last evaluation

    # What hooks read, and the one thing that they may ask for

    @property
    def done(self) -> int:
        """Steps so far."""
        return self.record.done

    @property
    def losses(self) -> list[float]:
        """Of the steps since the last evaluation."""
        return self.record.losses

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Figures of each evaluation so far."""
        return self.record.rows

    @property
    def rate(self) -> float:
        """How many of `unit` a second, since the last evaluation."""
        return (self.done - self.since[0]) * self.size / max(self.record.seconds - self.since[1], 1e-9)

    @property
    def chosen(self) -> dict[str, Any]:
        """The row that is told at the end: the best on `best_on`, else the last."""
        return min(self.rows, key=lambda row: row[self.best_on]) if self.best_on else self.rows[-1]

    def stop(self, reason: str) -> None:
        """End the run after this step or evaluation, as if it had been its last."""
        self.reason = reason

    # The run

    def run(self, resume: bool = False) -> dict[str, Any]:
        """Train until the last step. Returns the chosen row: of the evaluation that was best on `best_on`, or the last.

        resume: go on from the checkpoint in the folder, bit for bit as if the run had never been stopped. Raises
        RunError if the loss runs away: when it is not finite, or at an evaluation 1000 times the first; the checkpoint
        is then the one before. A signal that ends a process (SIGINT, as from Ctrl-C, SIGTERM) lets the step end and be
        saved first, and raises `Stopped`, a KeyboardInterrupt.
        """
        if resume:
            self._resume()
        elif rank() == 0:
            self.out.mkdir(parents=True, exist_ok=True)
            if not files.is_fresh(self.out):
                raise RunError(f"{self.out} is not empty: run(resume=True) goes on with it")
        if size() > 1:
            self.ranks = Ranks(self, self.division)
            self.ranks.begin()
        self.began = self.done
        try:
            self._call("begin")
            if self.done >= self.steps:
                self._write_weights()  # the run may have been killed between its checkpoint and these
                self._call("saved")
                return self.chosen
            if not resume:
                self._save()  # a full disk shows now, not after an hour
            with self._stopping(), np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused
                self._loop()
        finally:
            self._call("end")
        if self.signal and self.done < self.steps:
            raise Stopped(self.signal, self.done)
        return self.chosen

    def find_lr(self, least: Finite = 1e-6, most: Finite = 1.0, steps: Size = 100) -> rates.LearningRates:
        """Try learning rates from `least` to `most`, a step each, until the loss runs away; then set all back.

        What it returns has `suggested`, `rates` and `losses`: plot these, the rates on a logarithmic axis.
        """
        if not 0 < least <= most:
            raise ValueError(f"find_lr: got least={least}, most={most}, wanted 0 < least <= most")
        before = {name: io.state_of(name, part) for name, part in self.parts.items()}

        def step(k, rate):
            self.optimizer.lr = rate
            loss = self._gradients(k)
            self.optimizer.step()
            return loss

        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return rates.search(step, least, most, steps)
        finally:
            for name, part in self.parts.items():
                io.set_state(part, before[name])
            self.optimizer.zero_grad()

    def _call(self, moment: str) -> None:
        for hook in self.hooks:
            if hook.on_every_rank or rank() == 0:
                getattr(hook, moment)(self)

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        """A signal that ends a process lets the step end first, and be saved; a second one does not wait.

        A signal that was ignored before, as SIGINT is in what a shell runs in the background, still is.
        """
        before: dict = {}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def stop(number, _) -> None:
            self.signal = number
            restore()

        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, stop)
        try:
            yield
        finally:
            restore()

    def _loop(self) -> None:
        """Steps until the last, or until a signal, or until a hook asked to stop."""
        self.since = (self.done, self.record.seconds)
        stopped = self._stopped()
        while self.done < self.steps and not stopped and not self.reason:
            self._step()
            self._call("step")
            stopped = self._stopped()
            if self.done % self.every == 0 or self.done == self.steps or self.reason:
                self._evaluate()
                self.since = (self.done, self.record.seconds)
                stopped = self._stopped()
        if self.reason:
            say(f"stopped after step {self.done}: {self.reason}")
        if stopped:
            self._save()

    def _stopped(self) -> bool:
        """Whether a signal ends the run; ranks agree on it, and on whether a hook asked to stop."""
        if self.ranks:
            self.ranks.agree()
        return bool(self.signal)

    def _step(self) -> None:
        start = time.perf_counter()
        loss = self._gradients(self.done)
        if self.clip is not None:
            optim.clip_grad_norm(self.optimizer.parameters, self.clip)
        self.optimizer.step()
        if self.schedule:
            self.schedule.step()
        if self.ema:
            self.ema.update()
        record = self.record
        record.losses.append(loss)
        record.seconds += time.perf_counter() - start
        record.done += 1
        if record.first is None:
            record.first = loss
        self.refuse_runaway("loss", loss, math.inf)

    def _gradients(self, step: int) -> float:
        """Fill the gradients with those of a step's batches, averaged; returns the mean of their losses."""
        self.optimizer.zero_grad()
        if self.ranks:
            return self.ranks.gradients(step)
        total, n = 0.0, self.accumulate
        for k in range(step * n, step * n + n):
            loss = self.loss_of(self.batches(k))
            loss.backward(full_like(loss.detach(), 1 / n))
            total += loss.item()
        return total / n

    def loss_of(self, batch: tuple, loss: Callable | None = None) -> Tensor:
        """The loss of a batch, whose arrays become tensors; or another function of the batch."""
        value = (loss or self.loss)(*tree.map(lambda x: tensor(x) if isinstance(x, np.ndarray) else x, tuple(batch)))
        if not isinstance(value, Tensor) or value.size != 1:
            raise TypeError(f"Trainer: loss gave {described(value)}, wanted a tensor of one number")
        return value

    def _evaluate(self) -> None:
        """Add a row to the log, and save."""
        record = self.record
        self.refuse_runaway("loss", float(np.median(record.losses)))
        training = self.model.training
        self.model.eval()
        try:
            with no_grad(), self.ema.applied() if self.ema else nullcontext():
                figures = {name: x if isinstance(x, (int, float)) else float(x) for name, x in self.evaluate().items()}
        except OverflowError as error:  # of the exponential of a loss
            text = f"a figure of the evaluation is too large at step {self.done}"
            raise RunError(f"{text}: {self._remedy}") from error
        finally:
            self.model.train(training)
        if self.ranks:
            figures = self.ranks.of_first(figures)
        if missing := {name for name in (self.figure, self.best_on) if name} - figures.keys():
            raise ValueError(f"Trainer: evaluate gave no {', '.join(missing)}; it gave {', '.join(figures)}")
        for name in {self.best_on, self.figure} & figures.keys():
            self.refuse_runaway(written(name), figures[name], math.inf)
        if "held_out_loss" in figures:
            self.refuse_runaway("held-out loss", figures["held_out_loss"])
        row = {"step": self.done, "seconds": round(record.seconds, 2), "loss": float(np.mean(record.losses)), **figures}
        row[f"{self.unit}_per_second"] = round(self.rate)
        record.rows.append(self.ranks.of_first(row) if self.ranks else row)
        record.losses = []
        self._call("evaluated")
        self._save()

    @property
    def _remedy(self) -> str:
        return f"try a smaller lr; the checkpoint in {self.out} is the one before"

    def refuse_runaway(self, name: str, value: float, times: float = DIVERGED) -> None:
        """Raise RunError for what is not finite, or so many times as large as the first loss of the run."""
        first = self.record.first
        if not math.isfinite(value):
            raise RunError(f"the {name} is {value} at step {self.done}: {self._remedy}")
        if first is not None and value > times * (1 + abs(first)):
            raise RunError(f"the {name} is {value:.3g} at step {self.done}, {first:.3g} at first: {self._remedy}")

    # What is on disk

    def _save(self) -> None:
        weights = self.model.state_dict()
        if not all(np.isfinite(array).all() for array in weights.values()):
            raise RunError(f"a weight is not finite at step {self.done}: {self._remedy}")
        if not self.best_on or not self.rows or self.chosen["step"] == self.done:
            self.best = {name: array.copy() for name, array in self.ema.average.items()} if self.ema else weights
        if self.ranks is None or self.ranks.save():
            self._write_weights()
            position = self.best if self.best_on else {}
            io.save_checkpoint(self.out / files.CHECKPOINT, **self.parts, position=position)
        self._call("saved")
        if self.ranks:
            self.ranks.saved()

    def _write_weights(self) -> None:
        if rank():
            return
        step = self.chosen["step"] if self.best_on and self.rows else self.done
        io.save(self.out / files.WEIGHTS, self.best, {**self.settings, "step": step})

    def _resume(self) -> None:
        """Take up the checkpoint. Raises RunError for one that does not fit, OSError for one that cannot be read."""
        path = self.out / files.CHECKPOINT
        try:
            best = io.load_checkpoint(path, **self.parts)
            if self.schedule and self.schedule.count != self.done:
                raise ValueError(f"{path}: step {self.done} is not that of a run")
            arrays = {**self.model.state_dict(), **self.optimizer.state_dict(), **best}
            if damaged := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
                raise ValueError(f"{path}: not finite: {', '.join(damaged)}")
            if self.best_on:
                self.model.check_state_dict(best)
            elif best:
                raise ValueError(f"{path}: it has weights of a best evaluation, and none is chosen")
        except (ValueError, KeyError, TypeError) as error:  # the latter from a part that misses what it kept
            raise RunError(f"cannot resume: {error}; nothing in {self.out} was changed") from error
        self.best = best or (dict(self.ema.average) if self.ema else self.model.state_dict())
