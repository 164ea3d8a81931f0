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

Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]] | Tensor
# What the rules share: in their expressions p is the parameter and g its gradient, and `decay` adds L2 regularisation.
GRADIENT = "(g + decay * p)"


class Optimizer:
    """Base: updates parameters from their gradients; those without a gradient are left alone.

    A subclass sets `rule`, expressions by name: first "p", the new parameter, then the arrays of its state; and
    `coefficients(step)`, the other numbers in them, by name. `lr` may be set at any time.

    parameters: tensors, or groups of them with an lr or a weight_decay of their own, as in PyTorch. A group's lr stays
    in proportion to the optimizer's: what sets that, a schedule, say, scales those of all groups.

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
    >>> bias = nn.Parameter(np.zeros(1, "float32"))
    >>> optimizer = SignSGD([{"params": w}, {"params": bias, "lr": 0.5}], lr=0.25)
    """

    rule: dict[str, str]

    @checked
    def __init__(self, parameters: Parameters, lr: float, **settings: float):
        name = type(self).__name__
        refuse_traced(f"{name} is made")
        self.settings = settings
        self.lr = lr
        self.parameters: tuple[Tensor, ...] = ()  # with their state beside them, so nobody else appends to it
        self.groups: list[tuple[float, dict[str, float]]] = []  # of each parameter: a factor of lr, and settings
        for group in groups_of(name, parameters):
            listed = parameter_list(name, group["params"])
            self.parameters += tuple(listed)
            self.groups += [self.own(group)] * len(listed)
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

    def own(self, group: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
        """What a group has of its own: a factor of the learning rate, and settings."""
        name, own = type(self).__name__, {key: value for key, value in group.items() if key != "params"}
        for key, value in own.items():
            if key != "lr" and (key != "weight_decay" or key not in self.settings):
                raise ValueError(
                    f"{name}: got {key!r} in a group, wanted params, lr or weight_decay; use two optimizers"
                )
            require(name, f"{key} of a group", value, Finite)
        rate = own.pop("lr", self.lr)
        if rate != self.lr and not self.lr:
            raise ValueError(f"{name}: got lr={rate} in a group, which stays in proportion to lr, and that is 0")
        return (rate / self.lr if rate != self.lr else 1.0), own

    def with_settings(self, factor: float, own: dict[str, float]) -> "Optimizer":
        """This optimizer, as a group sees it."""
        made = object.__new__(type(self))
        vars(made).update(vars(self), settings={**self.settings, **own}, _lr=self._lr * factor)
        return made

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
            of_group = self.with_settings(*self.groups[k])
            numbers.append({name: float(x) for name, x in of_group.coefficients(self.steps[k]).items()})
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


def groups_of(name: str, parameters: Parameters) -> list[Mapping[str, Any]]:
    """The groups of parameters given to an optimizer: one, if they are tensors."""
    if not isinstance(parameters, (list, tuple)) or not any(isinstance(group, Mapping) for group in parameters):
        return [{"params": parameters}]
    for group in parameters:
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(f"{name}: got {described(group)} among groups, wanted dicts with params")
    return list(parameters)


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
