"""`Cell`: the base of the cells here, which refuses a state that is not its own. And what a layer asks of any cell."""

from typing import Any

import numpy as np

from minigrad import tree
from minigrad.creation import zeros
from minigrad.nn.declared import zero_state
from minigrad.nn.module import Module
from minigrad.tensor import Tensor, tensor

AXES = [(), ("length",), ("rows", "columns"), ("depth", "rows", "columns"), ()]  # behind that of the input size
IMAGE = (4, 5, 3)  # sizes of the axes of the examples


class Cell(Module):
    """A module whose `forward(x, state)` is one step and returns the next state, or (output, next state), called as
    cell(x, state).

    x: (..., input_size), or with `feature_ndim` axes at its end that are not batch axes. state: of the structure,
    shapes and dtypes of `initial_state(x)`. A state that would be broadcast to these is refused: its rows would be
    taken for others'.

    Raises TypeError without a state, ValueError for a state or an x that do not fit.

    Examples
    --------
    >>> class Leaky(nn.Cell):
    ...     def __init__(self, input_size, hidden_size):
    ...         self.input_size, self.hidden_size = input_size, hidden_size
    ...         self.inner = nn.Linear(input_size + hidden_size, hidden_size)
    ...     def forward(self, x, h):
    ...         return h / 2 + mg.tanh(self.inner(mg.concatenate([x, h], axis=-1)))
    >>> cell = Leaky(3, 4)
    >>> x = mg.zeros((2, 3))
    >>> cell(x, cell.initial_state(x)).shape
    (2, 4)
    """

    hidden_size: int

    def __call__(self, x: Any, state: Any = None, *shared: Any, **context: Any) -> Any:
        if state is None:
            raise TypeError(
                f"{type(self).__name__}: got no state, wanted cell(x, state); "
                "the state before the first step is cell.initial_state(x)"
            )
        try:
            returned = super().__call__(x, state, *shared, **context)
        except (ValueError, TypeError, IndexError, AttributeError):
            problem = self.problem(x, state)
            if problem:
                raise problem from None
            raise
        pair = has_output(returned, state)
        new = returned[1] if pair else returned
        axes = len(getattr(x, "shape", ())) - getattr(self, "feature_ndim", 1)
        foreign = pair and not same_structure(
            state, self.structure_of_state(x)
        )  # (h, c) is h and a state to who gave h
        if foreign or axes < 0 or unlike(state, new, x.shape[:axes], x.dtype):
            problem = self.problem(x, state)
            if problem:
                raise problem
        return returned

    def structure_of_state(self, x) -> Any:
        """Something of the structure of this cell's states."""
        declared = type(self).initial_state is Cell.initial_state
        return getattr(self, "state_shape", "hidden_size") if declared else self.initial_state(x)

    def problem(self, x, state) -> Exception | None:
        """The error for an x or a state that are not what this cell takes; None if they are."""
        name, size = type(self).__name__, getattr(self, "input_size", None)
        axes = getattr(self, "feature_ndim", 1)
        wanted = ["..." if axes == 1 else "B", "input_size" if size is None else str(size), *AXES[axes - 1]]
        if not isinstance(x, (Tensor, np.ndarray)):
            return TypeError(f"{name}: got x, a {type(x).__name__}, wanted a tensor ({', '.join(wanted[: axes + 1])})")
        try:
            tensor(x)
        except (TypeError, ValueError) as error:
            return TypeError(f"{name}: got x: {str(error).removeprefix('tensor: ')}")
        if x.ndim < axes or (size is not None and axes and x.shape[-axes] != size):
            return ValueError(f"{name}: got x of shape {x.shape}, wanted ({', '.join(wanted[: axes + 1])})")
        own = described(self.initial_state(x))
        if described(state) != own:
            return ValueError(
                f"{name}: got the state {described(state)} with x of {described(x)}, wanted {own}, "
                "as initial_state(x) gives it"
            )
        return None

    def initial_state(self, x: Any) -> Any:
        """The state before the first step, from a step's input: zeros of the shapes in `state_shape`, by default of
        (*batch, hidden_size)."""
        return zero_state(self, x)


def unlike(state, new, batch: tuple[int, ...], dtype) -> bool:
    """Whether a step changed the structure, a shape or a dtype of the state, or it has not x's batch axes and dtype."""
    if isinstance(new, Tensor) and isinstance(state, Tensor):
        before, after = state._data, new._data  # whose attributes cost less than a tensor's
        shape = before.shape
        if after.shape != shape or shape[: len(batch)] != batch:
            return True
        return not (before.dtype is after.dtype is dtype) and not (before.dtype == after.dtype == dtype)
    if isinstance(state, (tuple, list)):
        if not isinstance(new, (tuple, list)) or len(state) != len(new):
            return True
        return any(unlike(old, one, batch, dtype) for old, one in zip(state, new))
    if not hasattr(state, "dtype") or not hasattr(new, "dtype"):
        return True
    return state.shape != new.shape or not state.dtype == new.dtype == dtype or state.shape[: len(batch)] != batch


def described(state) -> str:
    """A state in an error: dtypes and shapes, in its structure."""
    if isinstance(state, (tuple, list)):
        return f"({', '.join(map(described, state))})"
    return f"{state.dtype}{list(state.shape)}" if hasattr(state, "dtype") else type(state).__name__


def output_of(cell, state):
    """What a cell shows of its state."""
    return cell.output(state) if hasattr(cell, "output") else tree.flatten(state)[0][0]


def take_step(cell, x, state, *shared, **context) -> tuple:
    """(output, next state) of a step, whichever of the two that a cell may return it does.

    Examples
    --------
    >>> cell = models.LSTMCell(3, 4)
    >>> x = mg.zeros((2, 3))
    >>> output, (h, c) = nn.take_step(cell, x, cell.initial_state(x))
    >>> output is h
    True
    """
    returned = cell(x, state, *shared, **context)
    return returned if has_output(returned, state) else (output_of(cell, returned), returned)


def has_output(returned, state) -> bool:
    """Whether a step returned (output, next state). Its next state has the structure of the state that it got, and no
    structure is that of a pair with itself in it."""
    return isinstance(returned, tuple) and len(returned) == 2 and same_structure(returned[1], state)


def same_structure(a, b) -> bool:
    """Of two states; a list is as a tuple."""
    of_a, of_b = tree.children(a), tree.children(b)
    if of_a is None or of_b is None:
        return of_a is of_b
    return of_a[0] == of_b[0] and all(same_structure(p, q) for p, q in zip(of_a[1], of_b[1]))


def output_size(cell) -> int:
    """How wide a cell's output is."""
    return cell.output_size if hasattr(cell, "output_size") else cell.hidden_size


def first_step(x):
    """Of x (T, B, ...); zeros, if there is none."""
    return x[0] if x.shape[0] else zeros(x.shape[1:], x.dtype)


def initial_state(cell, x):
    """A cell's state before the first step of x (T, B, ...)."""
    first = first_step(x)
    return cell.initial_state(first) if hasattr(cell, "initial_state") else zero_state(cell, first)


def example_input(cell, steps: int, batch: int, generator, input_size: int | None = None) -> np.ndarray:
    """x (steps, batch, features...) from N(0, 1) in float32, such as a cell takes: vectors (input_size,), images
    (input_size, 4, 5) or what has one axis less or more. input_size: of a cell that does not tell its own."""
    size = getattr(cell, "input_size", input_size)
    features = (size, *IMAGE)[: getattr(cell, "feature_ndim", 1)]
    return generator.standard_normal((steps, batch, *features)).astype(np.float32)
