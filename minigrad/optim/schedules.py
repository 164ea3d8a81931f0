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

import numpy as np

from minigrad.arguments import Count, Finite, Fraction, Size, checked, described, is_number, require
from minigrad.ir.actions import call_of
from minigrad.modes import actions, refuse_traced, tracing
from minigrad.nn.module import fit
from minigrad.optim.optimizer import Optimizer
from minigrad.tensor import Tensor


class Schedule:
    """Sets optimizer.lr to its first value times factor(count), now and at each `step()`, which counts one further.

    Raises TypeError or ValueError where factor returns what is no number, is NaN, infinite or below 0.

    Examples
    --------
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=0.5)
    >>> schedule = optim.Schedule(optimizer, lambda count: 0.1**count)
    >>> schedule.step()
    >>> optimizer.lr
    0.05
    """

    @checked
    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]):
        refuse_traced("Schedule is made")
        self.optimizer = optimizer
        self.factor = factor
        self.base = optimizer.lr
        self.count = 0
        optimizer.lr = self._rate(self.base, 0)

    def step(self) -> None:
        if tracing():
            actions("Schedule.step").call("Schedule.step", call_of(self, Schedule.step), [], [])
            return
        self.count += 1
        self.optimizer.lr = self._rate(self.base, self.count)

    def _rate(self, base: float, count: int) -> float:
        factor = self.factor(count)
        require("Schedule", f"factor({count})", factor, Finite)
        require("Schedule", f"{base} * factor({count})", base * factor, Finite)
        return base * factor

    def state_dict(self) -> dict[str, Any]:
        """The first learning rate and the count; the function is the caller's to give again."""
        return {"base": self.base, "count": self.count}

    @checked
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` returned; the optimizer's learning rate follows.

        Raises ValueError for what `state_dict` does not return, numbers below 0 or not finite among it; then nothing
        has been changed.
        """
        refuse_traced("Schedule.load_state_dict")
        self.base, self.count, self.optimizer.lr = self.check_state_dict(state)

    def check_state_dict(self, state: Mapping[str, Any]) -> tuple[float, int, float]:
        """(base, count, learning rate) of a state. Raises what `load_state_dict` would raise, and changes nothing."""
        wanted = {"base": np.zeros(()), "count": np.zeros((), int)}
        base, count = (array.item() for array in fit(wanted, state, "Schedule")[0].values())
        if not (0 <= base < math.inf and count >= 0):
            raise ValueError(f"load_state_dict of Schedule: base={base} or count={count} is out of range")
        return base, count, self._rate(base, count)


@checked
def step_decay(every: Size, gamma: Finite = 0.1) -> Callable[[int], float]:
    """gamma to the number of whole `every` steps done.

    Examples
    --------
    >>> [optim.step_decay(2, 0.5)(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return lambda step: gamma ** (step // every)


@checked
def exponential(gamma: Finite) -> Callable[[int], float]:
    """gamma to the step.

    Examples
    --------
    >>> [optim.exponential(0.5)(step) for step in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """
    return lambda step: gamma**step


@checked
def linear(steps: Size, last: Finite = 0.0) -> Callable[[int], float]:
    """From 1 to `last` in a straight line of `steps` steps, then constant.

    Examples
    --------
    >>> [optim.linear(4)(step) for step in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    return lambda step: 1 + (last - 1) * min(step / steps, 1)


@checked
def cosine(steps: Size, last: Finite = 0.0) -> Callable[[int], float]:
    """From 1 to `last` along half a cosine of `steps` steps, then constant (Loshchilov & Hutter, arXiv:1608.03983).

    Examples
    --------
    >>> [round(optim.cosine(4)(step), 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    return lambda step: last + (1 - last) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2


@checked
def warmup(steps: Count, then: Callable[[int], float] = lambda step: 1.0) -> Callable[[int], float]:
    """From 1 / steps to 1 in a straight line of `steps` steps; afterwards `then`, counted from there.

    Examples
    --------
    >>> [optim.warmup(2, optim.exponential(0.5))(step) for step in range(5)]
    [0.5, 1.0, 1.0, 0.5, 0.25]
    """
    return lambda step: (step + 1) / steps if step < steps else then(step - steps)


class ReduceOnPlateau:
    """Multiplies optimizer.lr by factor when the loss given to `step` has not been below its best, by more than the
    relative threshold, more than `patience` times in a row (PyTorch's ReduceLROnPlateau).

    The rate stops at min_lr; one that is lower already stays.

    Examples
    --------
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> plateau = optim.ReduceOnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     plateau.step(loss)
    >>> optimizer.lr
    0.5
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

    @checked
    def step(self, loss: float | Tensor) -> None:
        """loss: a number or a tensor with one element; NaN is no improvement."""
        refuse_traced("ReduceOnPlateau.step")
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

    @checked
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` returned. Raises ValueError for anything else; then nothing has been changed."""
        refuse_traced("ReduceOnPlateau.load_state_dict")
        self.best, self.bad, self.optimizer.lr = self.check_state_dict(state)

    def check_state_dict(self, state: Mapping[str, Any]) -> tuple[float, int, float]:
        """best, bad and the learning rate. Raises what `load_state_dict` would raise, and changes nothing."""
        wanted = {"best": np.zeros(()), "bad": np.zeros((), int), "lr": np.zeros(())}
        best, bad, lr = (array.item() for array in fit(wanted, state, "ReduceOnPlateau")[0].values())
        if math.isnan(best) or bad < 0 or not 0 <= lr < math.inf:
            raise ValueError(f"load_state_dict of ReduceOnPlateau: best={best}, bad={bad} or lr={lr} is out of range")
        return best, bad, lr
