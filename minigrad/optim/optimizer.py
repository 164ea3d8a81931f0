"""Optimizers: each is one elementwise kernel that reads a parameter, its gradient and its state, and overwrites both.

An update rule is written as expressions, one for the parameter and one for each array of its state; a kernel evaluates
them all in one pass over memory. Rules, names and defaults are PyTorch's.
"""

import functools
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad.kernels import loops, threads
from minigrad.nn.module import Module, fit
from minigrad.tape import mutations
from minigrad.tensor import Tensor

# What the rules share: in their expressions p is the parameter and g its gradient, and `decay` adds L2 regularisation.
GRADIENT = "(g + decay * p)"


class Optimizer:
    """Base: updates parameters from their gradients; those without a gradient are left alone.

    A subclass sets `rule`, expressions by name: first "p", the new parameter, then the arrays of its state; and
    `coefficients(step)`, the other numbers in them, by name. `lr` may be set at any time. For other settings on some of
    the parameters (no decay of biases, say) use two optimizers.
    """

    rule: dict[str, str]

    def __init__(self, parameters: Iterable[Tensor], lr: float, **settings: float):
        if isinstance(parameters, Module):
            raise TypeError(f"{type(self).__name__}: got a module, pass module.parameters()")
        self.parameters = list(parameters)
        self.settings = settings
        self.lr = lr
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimize")
        for p in self.parameters:
            if not isinstance(p, Tensor) or not p.requires_grad or not p.is_leaf:
                raise TypeError(f"{type(self).__name__}: wanted leaf tensors that require a gradient, got {p!r:.80}")
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"{type(self).__name__}: a parameter is given twice")
        for name, value in {"lr": lr, **settings}.items():
            if not isinstance(value, numbers.Real):
                raise TypeError(f"{type(self).__name__}: {name}={value!r}, wanted a number")
            if not 0 <= value < (1 if name in ("beta1", "beta2", "alpha") else math.inf):
                raise ValueError(f"{type(self).__name__}: {name}={value} is out of range")
        self.steps = [0] * len(self.parameters)
        self.state = [[np.zeros_like(p._data) for _ in list(self.rule)[1:]] for p in self.parameters]

    def coefficients(self, step: int) -> dict[str, float]:
        """The numbers that the rule names, at a parameter's update number `step` (from 1)."""
        raise NotImplementedError(f"{type(self).__name__} has no coefficients method")

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            if p.requires_grad:  # it may have been frozen since
                p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient, and its state, in place."""
        for k, p in enumerate(self.parameters):
            if p.grad is None:
                continue
            self.steps[k] += 1
            numbers = {name: float(x) for name, x in self.coefficients(self.steps[k]).items()}
            update = kernel(type(self).__name__, tuple(self.rule.items()), tuple(numbers), p.dtype.name)
            changed = (p._data, *self.state[k])
            operands = (p.grad._data, *changed, *numbers.values())
            if p.size < threads.LARGE:
                update(*operands, out=changed)
            else:
                threads.split(update, *operands, out=changed)
            mutations.note(p._data)

    def state_dict(self) -> dict[str, Any]:
        """lr, the number of updates of each parameter, and copies of the state's arrays, named such as "m.0"."""
        return {"lr": self.lr, "steps": np.array(self.steps), **{k: a.copy() for k, a in self._arrays().items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` returned, of an optimizer of the same kind over parameters of the same shapes.

        Raises ValueError with all that is missing, unexpected or does not fit; then nothing has been changed.
        """
        own = self._arrays()
        wanted = {"lr": np.zeros(()), "steps": np.zeros(len(self.steps), int), **own}
        arrays, _, _ = fit(wanted, state, type(self).__name__)
        self.lr = arrays["lr"].item()
        self.steps = arrays["steps"].tolist()
        for name, array in own.items():
            array[...] = arrays[name]

    def _arrays(self) -> dict[str, np.ndarray]:
        return {f"{name}.{k}": a for k, s in enumerate(self.state) for name, a in zip(list(self.rule)[1:], s)}

    def __repr__(self):
        settings = "".join(f", {name}={value}" for name, value in self.settings.items())
        return f"{type(self).__name__}({len(self.parameters)} parameters, lr={self.lr}{settings})"


@functools.cache
def kernel(name: str, rule: tuple, numbers: tuple, dtype: str):
    names, expressions = zip(*rule)
    return loops.elementwise(name, ["g", *names, *numbers], expressions, dtype)
