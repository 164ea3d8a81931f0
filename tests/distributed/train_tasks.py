"""Trains tasks in float64, in turn: python train_tasks.py '[["adding", {"steps": 3, ...}, {"fails": "raise"}], ...]'.

What may be said besides options: jit, false for eager code; fails, how a rank is to fail at a step.
"""

import json
import os
import signal
import sys
import threading
import warnings
from contextlib import nullcontext

import minigrad as mg
from minigrad.cli.tasks import tasks
from minigrad.distributed import rank, world


def fail(how: str) -> None:
    if how == "raise":
        raise ZeroDivisionError("of one rank alone")
    os.kill(os.getpid(), {"kill": signal.SIGKILL, "hang": signal.SIGSTOP, "interrupt": signal.SIGINT}[how])


def in_float64(kind, fails: str = "", at: int = 0, on: int = 1):
    """A task with data in float64. Its evaluation, on others, is left out."""

    class Wide(kind):
        def draw(self, generator, count):
            batch = tuple(super().draw(generator, count))
            return mg.tree.map(lambda x: x.astype("float64") if x.dtype == "float32" else x, batch)

        def train_loss(self, *batch):
            self.calls = getattr(self, "calls", 0) + 1
            if fails and self.calls == at and rank() == on:
                fail(fails)
            return super().train_loss(*batch)

        def evaluate(self):
            return {self.figure: 1.0}

        def shown(self, step):
            return ""

    Wide.name = kind.name
    return Wide


def train(name: str, options: dict, jit: bool = True, after: float = 0.0, patience: float = 15.0, **failure) -> None:
    """after: seconds after which a rank is killed."""
    world.PATIENCE = patience
    if after and rank() == failure.pop("on"):
        threading.Timer(after, fail, ["kill"]).start()
    task = in_float64(tasks()[name][1], **failure)(**options)
    task.model.astype("float64")
    with nullcontext() if jit else mg.disable_jit():
        task.run()


def main(runs: list) -> None:
    warnings.simplefilter("ignore")
    mg.set_num_threads(1)
    for name, options, *more in runs:
        train(name, options, **(more[0] if more else {}))


if __name__ == "__main__":
    world.mute()
    main(json.loads(sys.argv[1]))
