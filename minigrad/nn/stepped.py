"""A function of a step for `mg.scan`, and what it closes over: what the workbench takes in the place of a cell."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from minigrad.nn.module import Module
from minigrad.nn.recurrent import Steps, watching
from minigrad.scan import scan
from minigrad.tensor import Tensor


def closed_over(f: Callable) -> dict[str, Tensor | Module]:
    """The tensors and modules that a function reads from around it, by name."""
    try:
        found = inspect.getclosurevars(inspect.unwrap(f))
    except TypeError:
        return {}
    return {k: v for k, v in {**found.globals, **found.nonlocals}.items() if isinstance(v, (Tensor, Module))}


class Stepped:
    """mg.scan of a function of a step, f(carry, x) -> (carry, y): called as stepped(init, xs)."""

    def __init__(self, f: Callable):
        self.f = f

    def __call__(self, init: Any, xs: Any) -> tuple:
        return scan(self.f, init, xs)

    def recorded(self, init: Any, xs: Any) -> tuple[tuple, Steps]:
        """The same, with the carry after every step and what the steps watched."""

        def step(carry, x):
            gates: dict = {}
            outer, watching.gates = watching.gates, gates
            try:
                carry, y = self.f(carry, x)
            finally:
                watching.gates = outer
            return carry, (y, carry, gates)

        carry, (ys, *steps) = scan(step, init, xs)
        return (carry, ys), Steps(*steps)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """What f closes over and requires a gradient, each once: tensors, and the parameters of modules."""
        seen: set[int] = set()
        held = closed_over(self.f)
        held |= {"self": self.f} if isinstance(self.f, Module) else {}
        for name, x in held.items():
            named = {f"{name}.{k}": p for k, p in x.named_parameters()} if isinstance(x, Module) else {name: x}
            for label, p in named.items():
                if p.requires_grad and id(p) not in seen:
                    seen.add(id(p))
                    yield label, p
