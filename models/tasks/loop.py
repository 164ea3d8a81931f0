"""The loop that trains a task: steps, evaluations, checkpoints, signals; and how a run that was stopped goes on.

The checkpoint is the run: what is in the other files of the folder follows from it. A save writes the weights, then the
checkpoint, then log and curves, each whole or not at all, so that a run that is killed at any point can be resumed; one
that is killed in its first save has at most the weights of step 0, and starts again.
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from tqdm import tqdm

import minigrad as mg
from minigrad import io, nn, optim
from minigrad.badinput import BadInput
from minigrad.models.tasks import files

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
DIVERGED = 1000  # times the first loss
BEST = "best."  # before the names of the best weights in the checkpoint


class Loop:
    """One run of a task (a `training.Task`): `Loop(task).train()`."""

    def __init__(self, task):
        self.task, self.model, self.out = task, task.model, task.out
        self.optimizer = optim.AdamW(self.model.parameters(), lr=task.lr, weight_decay=task.decay)
        rise = max(1, min(100, task.steps // 10))
        factor = optim.warmup(rise, optim.cosine(task.steps - rise or 1, last=0.05))
        self.schedule = optim.Schedule(self.optimizer, factor)
        self.parts = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        self.parts |= {"generator": nn.default_generator, "draws": task.draws}
        self.done, self.seconds = 0, 0.0
        self.first: float | None = None  # loss, of the run
        self.losses: list[float] = []  # since the last row
        self.rows: list[dict] = []
        self.best: dict[str, np.ndarray] = {}  # weights of the row that is told at the end
        self.stopped = 0  # number of the signal
        self.remedy = f"try a smaller --lr; the checkpoint in {self.out} is the one before"

    def train(self) -> dict:
        """The whole run. Returns the chosen row of the log. Raises BadInput if the loss runs away."""
        task = self.task
        about = f"{sum(p.size for p in self.model.parameters()):,} parameters{task.about and '; '}{task.about}"
        say(f"{task.name}: {about}")
        if task.resume and (self.out / files.CHECKPOINT).exists():
            self.resume()
            if self.done >= task.steps:
                self.write_files()  # the run may have been killed between its checkpoint and these
                say(f"{self.out}: its {self.done} steps are done; --steps N goes on to N")
                return task.chosen(self.rows)
        else:
            self.out.mkdir(parents=True, exist_ok=True)
            self.save()  # a full disk shows now, not after an hour
        with self.stopping(), np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused
            self.run()
        if self.done < task.steps:
            told = f"stopped after step {self.done}; minigrad train {task.name} --resume --out {self.out}"
            print(told, file=sys.stderr)
            sys.exit(128 + self.stopped)
        chosen = task.chosen(self.rows)
        if task.best_on:
            say(f"the weights kept are those of step {chosen['step']}, the best on {written(task.best_on)}")
        if task.known:
            say(f"{written(task.figure)} {written(chosen[task.figure])}; known: {task.known}")
        say(f"{self.out} has {', '.join(sorted(path.name for path in self.out.iterdir()))}")
        return chosen

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """A signal that ends a process lets the step end first, and be saved; a second one does not wait.

        A signal that was ignored before, as SIGINT is in what a shell runs in the background, still is.
        """
        before: dict = {}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def stop(number, _) -> None:
            self.stopped = number
            restore()

        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, stop)
        try:
            yield
        finally:
            restore()

    def run(self) -> None:
        """Steps until the last, or until a signal."""
        task, since = self.task, (self.done, self.seconds)
        bar = tqdm(total=task.steps, initial=self.done, unit="step", disable=None, dynamic_ncols=True, leave=False)
        try:
            while self.done < task.steps and not self.stopped:
                self.step()
                rate = round((self.done - since[0]) * task.size / (self.seconds - since[1]))
                figure = task.best_on or task.figure
                held_out = {written(figure): f"{self.rows[-1][figure]:.3f}"} if self.rows else {}
                told = {"loss": f"{self.losses[-1]:.3f}", **held_out, f"{task.unit}/s": rate}
                bar.set_postfix(told, refresh=False)
                bar.update()
                if self.done % task.every == 0 or self.done == task.steps:
                    self.evaluate({f"{task.unit}_per_second": rate})
                    since = (self.done, self.seconds)
            if self.stopped:
                self.save()
        finally:
            bar.close()

    def step(self) -> None:
        start = time.perf_counter()
        loss = self.task.train_loss(self.done)
        self.optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm(self.optimizer.parameters, self.task.clip)
        self.optimizer.step()
        self.schedule.step()
        self.losses.append(loss.item())
        self.seconds += time.perf_counter() - start
        self.done += 1
        if self.first is None:
            self.first = self.losses[-1]
        self.refuse_runaway("loss", self.losses[-1], math.inf)

    def evaluate(self, rate: dict) -> None:
        """Add a row to the log, save, and show it."""
        task = self.task
        self.refuse_runaway("loss", float(np.median(self.losses)))
        self.model.eval()
        try:
            with mg.no_grad():
                figures, text = task.evaluate(), task.shown(self.done)
        except OverflowError as error:  # of the exponential of a loss
            raise BadInput(f"a figure of the evaluation is too large at step {self.done}: {self.remedy}") from error
        finally:
            self.model.train()
        for name in {task.best_on or task.figure, task.figure} & figures.keys():
            self.refuse_runaway(written(name), figures[name], math.inf)
        if "held_out_loss" in figures:
            self.refuse_runaway("held-out loss", figures["held_out_loss"])
        row = {"step": self.done, "seconds": round(self.seconds, 2), "loss": float(np.mean(self.losses)), **figures}
        self.rows.append({**row, **rate})
        self.losses = []
        self.save()
        told = {k: v for k, v in self.rows[-1].items() if not task.best_on or k != task.figure}
        say("  ".join(f"{written(name)} {written(value)}" for name, value in told.items()))
        if text:
            say(text)

    def refuse_runaway(self, name: str, value: float, times: float = DIVERGED) -> None:
        """Raise BadInput for what is not finite, or so many times as large as the first loss of the run."""
        if not math.isfinite(value):
            raise BadInput(f"the {name} is {value} at step {self.done}: {self.remedy}")
        if self.first is not None and value > times * (1 + abs(self.first)):
            raise BadInput(f"the {name} is {value:.3g} at step {self.done}, {self.first:.3g} at first: {self.remedy}")

    def save(self) -> None:
        weights = self.model.state_dict()
        if not all(np.isfinite(array).all() for array in weights.values()):
            raise BadInput(f"a weight is not finite at step {self.done}: {self.remedy}")
        task = self.task
        if not task.best_on or not self.rows or task.chosen(self.rows)["step"] == self.done:
            self.best = weights
        self.write_weights()
        own = {"step": self.done, "seconds": self.seconds, "first": self.first, "losses": self.losses}
        best = {f"{BEST}{name}": array for name, array in self.best.items()} if task.best_on else {}
        position = {**task.position(), **own, "rows": self.rows, **best}
        io.save_checkpoint(self.out / files.CHECKPOINT, **self.parts, position=position)
        self.write_log()

    def write_files(self) -> None:
        self.write_weights()
        self.write_log()

    def write_weights(self) -> None:
        step = self.task.chosen(self.rows)["step"] if self.task.best_on and self.rows else self.done
        io.save(self.out / files.WEIGHTS, self.best, {**self.task.settings, "step": step})

    def write_log(self) -> None:
        if self.rows:
            files.write_rows(self.rows, self.out / files.LOG)
            files.draw_curves(self.rows, self.task.loss_unit, self.out / files.CURVES)

    def resume(self) -> None:
        """Take up the checkpoint. Raises BadInput for one that does not fit, OSError for one that cannot be read."""
        try:
            kept = io.load_checkpoint(self.out / files.CHECKPOINT, **self.parts)
            self.take(kept)
            self.task.restore(kept)
        except (ValueError, KeyError, TypeError) as error:  # the latter from a task that misses what it kept
            raise BadInput(f"cannot resume: {error}; nothing in {self.out} was changed") from error

    def take(self, kept: dict) -> None:
        """Take what is the loop's own out of what was kept. Raises ValueError for what `save` does not write."""
        path = self.out / files.CHECKPOINT
        own = {name: kept.pop(name, None) for name in ("step", "seconds", "first", "losses", "rows")}
        step, seconds, first, losses, rows = own.values()
        if not (is_count(step) and step == self.schedule.count and is_number(seconds) and seconds >= 0):
            raise ValueError(f"{path}: step {step!r:.50} or seconds {seconds!r:.50} is not that of a run")
        if not (isinstance(losses, list) and all(map(is_number, losses)) and (first is None or is_number(first))):
            raise ValueError(f"{path}: its losses are not those of a run: {first!r:.50}, {losses!r:.50}")
        figures = {"step", "loss", self.task.figure, self.task.best_on or self.task.figure}
        if not isinstance(rows, list) or (step >= self.task.steps and not rows):
            raise ValueError(f"{path}: its rows are not those of a run: {rows!r:.50}")
        for row in rows:
            if not isinstance(row, dict) or not figures <= row.keys() == rows[0].keys() or not is_count(row["step"]):
                raise ValueError(f"{path}: a row is not one of a run: {row!r:.100}")
            if not all(isinstance(x, (int, float)) for x in row.values()) or not all(
                is_number(row[n]) for n in figures
            ):
                raise ValueError(f"{path}: a row is not one of a run: {row!r:.100}")
        arrays = {**self.model.state_dict(), **self.optimizer.state_dict()}
        if damaged := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
            raise ValueError(f"{path}: not finite: {', '.join(damaged)}")
        best = {name.removeprefix(BEST): kept.pop(name) for name in list(kept) if name.startswith(BEST)}
        if self.task.best_on:
            self.model.check_state_dict(best)
        self.best = best or self.model.state_dict()
        self.done, self.seconds, self.first, self.losses, self.rows = step, seconds, first, losses, rows


def is_count(x) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x >= 0


def is_number(x) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) < math.inf


def say(text: str) -> None:
    tqdm.write(text)
    sys.stdout.flush()


def written(x) -> str:
    return f"{x:.4g}" if isinstance(x, float) else str(x).replace("_", " ")
