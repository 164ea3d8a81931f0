"""What a cell of the zoo is: one step as a function, with the shapes of its parameters, inputs and states beside it.

    @cell(W="H,I", U="H,H", b="H")
    def elman(xp, p, x, h):
        "Elman 1990, Finding structure in time."
        h = xp.tanh(x @ p.W.T + h @ p.U.T + p.b)
        return h, h

A step takes the functions of a framework (`xp`: minigrad's own, or PyTorch's and JAX's under minigrad's names), the
parameters, the input and the state, each with the batch as its leading axis, and returns the output and the next state.
Shapes are text, in the sizes I and H of the layer and in `dims` of the cell's own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

CELLS: dict[str, "Cell"] = {}


class Array(NamedTuple):
    """A shape as text, and how numbers of it are drawn."""

    shape: str
    draw: Callable  # (generator, shape) -> array


def zeros(shape: str) -> Array:
    return Array(shape, lambda rng, shape: np.zeros(shape))


def full(shape: str, value) -> Array:
    return Array(shape, lambda rng, shape: np.full(shape, value))


def normal(shape: str, scale: float = 1.0) -> Array:
    return Array(shape, lambda rng, shape: scale * rng.standard_normal(shape))


def uniform(shape: str, low: float = 0.0, high: float = 1.0) -> Array:
    return Array(shape, lambda rng, shape: rng.uniform(low, high, shape))


def integers(shape: str, below: int) -> Array:
    return Array(shape, lambda rng, shape: rng.integers(0, below, shape))


def flags(shape: str, chance: float) -> Array:
    return Array(shape, lambda rng, shape: rng.random(shape) < chance)


def weight(shape: str) -> Array:
    """U(-1/√n, 1/√n) for n inputs."""

    def draw(rng, shape):
        k = math.prod(shape[1:]) ** -0.5
        return rng.uniform(-k, k, shape)

    return Array(shape, draw)


@dataclass
class Cell:
    """step: one step. parameters, x, state: what it takes; x and the state may be nested tuples.

    smooth: whether its derivative is that of its value; that of a straight-through estimator or of a surrogate
    gradient is declared. mixes: why its rows are not independent; None if they are.
    """

    name: str
    step: Callable
    parameters: dict[str, Array]
    x: Any
    state: Any
    dims: dict
    smooth: bool
    mixes: str | None

    def sizes(self, I: int, H: int) -> dict:
        known = {"I": I, "H": H}
        for name, value in self.dims.items():
            known[name] = eval(value, {}, known) if isinstance(value, str) else value
        return known

    def numbers(self, T: int, B: int, I: int, H: int, dtype="float32", seed: int = 0) -> SimpleNamespace:
        """Arrays: parameters by name, x with leading axes (T, B), the state before the first step with (B,)."""
        rng, sizes = np.random.default_rng(seed), self.sizes(I, H)

        def drawn(array: Array, *lead: int):
            shape = tuple([eval(n, {}, sizes) for n in array.shape.split(",") if n])
            numbers = np.asarray(array.draw(rng, (*lead, *shape)))
            return numbers.astype(dtype) if numbers.dtype.kind == "f" else numbers

        def nested(arrays, *lead: int):
            if isinstance(arrays, Array):
                return drawn(arrays, *lead)
            return tuple([nested(array, *lead) for array in arrays])

        parameters = {name: drawn(array) for name, array in self.parameters.items()}
        return SimpleNamespace(parameters=parameters, x=nested(self.x, T, B), state=nested(self.state, B))


FEATURES, HIDDEN = normal("I"), zeros("H")


def cell(x=FEATURES, state=HIDDEN, dims=None, smooth=True, mixes=None, **parameters):
    """Put a step among CELLS. A parameter that is given as text is a matrix, or a bias, as `weight` draws them."""

    def enter(step):
        arrays = {name: weight(a) if isinstance(a, str) else a for name, a in parameters.items()}
        CELLS[step.__name__] = Cell(step.__name__, step, arrays, x, state, dims or {}, smooth, mixes)
        return step

    return enter
