"""A run of a task: the `Trainer` that it has, and what the commands tell about it."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minigrad import optim
from minigrad.badinput import BadInput
from minigrad.distributed import rank, size
from minigrad.models.tasks import files
from minigrad.training import CSV, Curves, Division, Hook, Progress, RunError, Stopped, Trainer
from minigrad.training.hooks import say, written


class Told(Progress):
    """The lines of a run; a figure on the test data is not told before the weights are chosen on other data."""

    def __init__(self, task):
        self.task = task
        self.text = ""  # what the task shows after an evaluation

    def lines(self, trainer) -> Iterator[str]:
        row = {k: v for k, v in trainer.rows[-1].items() if not self.task.best_on or k != self.task.figure}
        yield "  ".join(f"{written(name)} {written(value)}" for name, value in row.items())
        if self.text:
            yield self.text


class Position:
    """What else a task wants to find again, as a part of the checkpoint."""

    def __init__(self, task):
        self.task = task

    def state_dict(self) -> dict[str, Any]:
        return self.task.position()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.task.restore(dict(state))


def train(task, hooks: Sequence[Hook] = ()) -> dict:
    """The whole run of a task, with hooks besides its own. Returns the chosen row of the log. Raises BadInput if the
    loss runs away."""
    model, out = task.model, task.out
    if rank():
        task.out = Path(tempfile.mkdtemp())  # for pictures that an evaluation draws, of which the first rank's are kept
    ranks = f"{size()} ranks; " if size() > 1 else ""
    say(f"{task.name}: {ranks}{sum(p.size for p in model.parameters()):,} parameters{task.about and '; '}{task.about}")
    optimizer = optim.AdamW(model.parameters(), lr=task.lr, weight_decay=task.decay)
    rise = max(1, min(100, task.steps // 10))

    told = Told(task)

    def evaluate():
        figures, told.text = task.evaluate(), task.shown(trainer.done)
        return figures

    trainer = Trainer(
        model, optimizer, task.train_loss, task.batch_at, steps=task.steps, out=out, every=task.every,
        evaluate=evaluate, figure=task.figure, best_on=task.best_on,
        schedule=optim.warmup(rise, optim.cosine(task.steps - rise or 1, last=0.05)), clip=task.clip,
        hooks=[CSV(), Curves(task.loss_unit), told, *hooks],
        parts={"draws": task.draws, "task": Position(task)},
        settings=task.settings, unit=task.unit, size=task.size,
        division=Division(task.examples, task.terms, task.trial),
    )  # fmt: skip
    resume = task.resume and (out / files.CHECKPOINT).exists()
    try:
        chosen = trainer.run(resume=resume)
    except RunError as error:
        raise BadInput(str(error)) from error
    except Stopped as stopped:
        command = f"minigrad train {task.name} --resume --out {out}"
        print(f"stopped after step {trainer.done}; {command}", file=sys.stderr)
        sys.exit(128 + stopped.number)
    finally:
        if rank():
            shutil.rmtree(task.out, ignore_errors=True)
    if trainer.began >= task.steps:
        say(f"{out}: its {trainer.done} steps are done; --steps N goes on to N")
        return chosen
    if task.best_on:
        say(f"the weights kept are those of step {chosen['step']}, the best on {written(task.best_on)}")
    if task.known:
        say(f"{written(task.figure)} {written(chosen[task.figure])}; known: {task.known}")
    say(f"{out} has {', '.join(sorted(path.name for path in out.iterdir()))}")
    return chosen
