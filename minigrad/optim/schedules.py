"""Learning rates that change as training goes.

A schedule is a function from a step's number (from 0) to a factor of the first learning rate. `Schedule` applies one:

    schedule = Schedule(optimizer, warmup(100, cosine(10_000)))
    ...
    optimizer.step(); schedule.step()

and any function of your own will do: Schedule(optimizer, lambda epoch: 0.8 ** max(0, epoch - 5)).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from minigrad.arguments import Count, Finite, Fraction, Size, checked, described, is_number, require
from minigrad.optim.optimizer import Optimizer
from minigrad.tensor import Tensor


class Schedule:
    """Sets optimizer.lr to its first value times factor(count), now and at each `step()`, which counts one further.

    Raises TypeError or ValueError where factor returns what is no number, is NaN, infinite or below 0.
    """

    @checked
    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]):
        self.optimizer = optimizer
        self.factor = factor
        self.base = optimizer.lr
        self.count = 0
        self._set_rate()

    def step(self) -> None:
        self.count += 1
        self._set_rate()

    def _set_rate(self) -> None:
        factor = self.factor(self.count)
        require("Schedule", f"factor({self.count})", factor, Finite)
        self.optimizer.lr = self.base * factor

    def state_dict(self) -> dict[str, Any]:
        """The first learning rate and the count; the function is the caller's to give again."""
        return {"base": self.base, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` returned; the optimizer's learning rate follows."""
        self.base, self.count = float(state["base"]), int(state["count"])
        self._set_rate()


@checked
def step_decay(every: Size, gamma: Finite = 0.1) -> Callable[[int], float]:
    """gamma to the number of whole `every` steps done."""
    return lambda step: gamma ** (step // every)


@checked
def exponential(gamma: Finite) -> Callable[[int], float]:
    """gamma to the step."""
    return lambda step: gamma**step


@checked
def linear(steps: Size, last: Finite = 0.0) -> Callable[[int], float]:
    """From 1 to `last` in a straight line of `steps` steps, then constant."""
    return lambda step: 1 + (last - 1) * min(step / steps, 1)


@checked
def cosine(steps: Size, last: Finite = 0.0) -> Callable[[int], float]:
    """From 1 to `last` along half a cosine of `steps` steps, then constant (Loshchilov & Hutter, arXiv:1608.03983)."""
    return lambda step: last + (1 - last) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2


@checked
def warmup(steps: Count, then: Callable[[int], float] = lambda step: 1.0) -> Callable[[int], float]:
    """From 1 / steps to 1 in a straight line of `steps` steps; afterwards `then`, counted from there."""
    return lambda step: (step + 1) / steps if step < steps else then(step - steps)


class ReduceOnPlateau:
    """Multiplies optimizer.lr by factor when the loss given to `step` has not been below its best, by more than the
    relative threshold, more than `patience` times in a row (PyTorch's ReduceLROnPlateau).

    The rate stops at min_lr; one that is lower already stays.
    """

    @checked
    def __init__(
        self, optimizer: Optimizer, factor: Fraction = 0.1, patience: Count = 10, threshold: Finite = 1e-4,
        min_lr: Finite = 0.0,
    ):  # fmt: skip
        self.optimizer = optimizer
        self.factor, self.patience, self.threshold, self.min_lr = factor, patience, threshold, min_lr
        self.best = math.inf
        self.bad = 0

    def step(self, loss: float | Tensor) -> None:
        """loss: a number or a tensor with one element; NaN is no improvement."""
        if isinstance(loss, Tensor) and loss.size == 1:
            loss = loss.item()
        if not is_number(loss):
            raise TypeError(f"ReduceOnPlateau.step: got loss={described(loss)}, wanted a number")
        if loss < self.best * (1 - self.threshold):
            self.best, self.bad = float(loss), 0
        else:
            self.bad += 1
        if self.bad > self.patience:
            lr = self.optimizer.lr
            self.optimizer.lr = min(lr, max(lr * self.factor, self.min_lr))
            self.bad = 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "bad": self.bad, "lr": self.optimizer.lr}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.bad, self.optimizer.lr = float(state["best"]), int(state["bad"]), float(state["lr"])
