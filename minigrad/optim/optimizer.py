"""Optimizers: each is one elementwise kernel that reads a parameter, its gradient and its state, and overwrites both.

An update rule is written as expressions, one for the parameter and one for each array of its state; a kernel evaluates
them all in one pass over memory, for all parameters in one call. Rules, names and defaults are PyTorch's.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from minigrad.arguments import Finite, checked, described, require
from minigrad.ir.actions import call_of
from minigrad.kernels import many
from minigrad.modes import actions, refuse_traced, tracing
from minigrad.mutations import mutations
from minigrad.nn.module import Module, fit
from minigrad.tensor import Tensor

# What the rules share: in their expressions p is the parameter and g its gradient, and `decay` adds L2 regularisation.
GRADIENT = "(g + decay * p)"


class Optimizer:
    """Base: updates parameters from their gradients; those without a gradient are left alone.

    A subclass sets `rule`, expressions by name: first "p", the new parameter, then the arrays of its state; and
    `coefficients(step)`, the other numbers in them, by name. `lr` may be set at any time. For other settings on some of
    the parameters (no decay of biases, say) use two optimizers.

    Examples
    --------
    >>> class SignSGD(optim.Optimizer):
    ...     rule = {"p": "p - lr * sign(g)"}
    ...     def coefficients(self, step):
    ...         return {"lr": self.lr}
    >>> w = nn.Parameter(np.ones(1, "float32"))
    >>> (3 * w).sum().backward()
    >>> SignSGD([w], lr=0.25).step()
    >>> w.item()
    0.75
    """

    rule: dict[str, str]

    @checked
    def __init__(self, parameters: Iterable[Tensor] | Tensor, lr: float, **settings: float):
        name = type(self).__name__
        refuse_traced(f"{name} is made")
        self.parameters = parameter_list(name, parameters)
        self.settings = settings
        self.lr = lr
        for p in self.parameters:
            if not p.requires_grad or not p.is_leaf:
                raise TypeError(f"{name}: wanted leaf tensors that require a gradient, got {p!r:.80}")
        if len(set(map(id, self.parameters))) < len(self.parameters):
            raise ValueError(f"{name}: a parameter is given twice")
        self.steps = [0] * len(self.parameters)
        self.state = [[np.zeros_like(p._data) for _ in list(self.rule)[1:]] for p in self.parameters]

    @property
    def lr(self) -> float:
        """The learning rate. Setting it raises TypeError for what is no number, ValueError for one below 0 or NaN."""
        if tracing():
            actions("lr").watch(lambda: self._lr)
        return self._lr

    @lr.setter
    def lr(self, value: float):
        require(type(self).__name__, "lr", value, Finite)
        if tracing():
            actions("lr").call("lr", partial(setattr, self, "lr", value), [], [])
        else:
            self._lr = value

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
        if tracing():
            name, updated = f"{type(self).__name__}.step", [p for p in self.parameters if p.grad is not None]
            actions(name).call(name, call_of(self, Optimizer.step), [], updated)
            return
        groups, numbers, changed = [], [], []
        for k, p in enumerate(self.parameters):
            gradient = p.grad  # read once: another thread may be taking it away
            if gradient is None:
                continue
            self.steps[k] += 1
            groups.append((gradient._data, p._data, *self.state[k]))
            numbers.append({name: float(x) for name, x in self.coefficients(self.steps[k]).items()})
            changed.append(p._data)
        many.update(type(self).__name__, ("g", *self.rule), tuple(self.rule.items()), groups, numbers)
        for array in changed:
            mutations.note(array)

    def state_dict(self) -> dict[str, Any]:
        """lr, the number of updates of each parameter, and copies of the state's arrays, named such as "m.0"."""
        refuse_traced(f"{type(self).__name__}.state_dict")
        return {"lr": self.lr, "steps": np.array(self.steps), **{k: a.copy() for k, a in self._arrays().items()}}

    @checked
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` returned, of an optimizer of the same kind over parameters of the same shapes.

        Raises ValueError with all that is missing, unexpected or does not fit; then nothing has been changed.
        """
        refuse_traced(f"{type(self).__name__}.load_state_dict")
        arrays = self.check_state_dict(state)
        self.lr = arrays["lr"].item()
        self.steps = arrays["steps"].tolist()
        for name, array in self._arrays().items():
            array[...] = arrays[name]

    def check_state_dict(self, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The state as arrays of our dtypes. Raises what `load_state_dict` would raise, and changes nothing."""
        wanted = {"lr": np.zeros(()), "steps": np.zeros(len(self.steps), int), **self._arrays()}
        arrays, _, _ = fit(wanted, state, type(self).__name__)
        for name in ("lr", "steps"):
            if not (np.isfinite(arrays[name]) & (arrays[name] >= 0)).all():
                got = np.array2string(arrays[name], threshold=10)
                raise ValueError(f"load_state_dict of {type(self).__name__}: {name}={got} is out of range")
        return arrays

    def _arrays(self) -> dict[str, np.ndarray]:
        return {f"{name}.{k}": a for k, s in enumerate(self.state) for name, a in zip(list(self.rule)[1:], s)}

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value}" for name, value in self.settings.items())
        return f"{type(self).__name__}({len(self.parameters)} parameters, lr={self.lr}{settings})"


def parameter_list(name: str, parameters) -> list[Tensor]:
    """The parameters given to the function of this name, one or several, as a list.

    Raises TypeError for what is no tensor, ValueError if there is none.
    """
    if isinstance(parameters, Module):
        raise TypeError(f"{name}: got a module, pass module.parameters()")
    if isinstance(parameters, Mapping) or not isinstance(parameters, Iterable):
        raise TypeError(f"{name}: got parameters={described(parameters)}, wanted tensors, as module.parameters()")
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for p in listed:
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: got {described(p)} among the parameters, wanted tensors, as module.parameters()")
    if not listed:
        raise ValueError(f"{name}: there are no parameters; an iterator that was read before is empty, use a list")
    return listed
