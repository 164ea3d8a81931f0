"""A step of `scan` and `while_loop`, a branch of `cond`: what their functions must return, and what must agree."""

import functools
import inspect
from collections.abc import Callable

import numpy as np

from minigrad import tree
from minigrad.arguments import is_number
from minigrad.modes import thread, tracing
from minigrad.ops.shape import copy
from minigrad.ops.table import Spec
from minigrad.tensor import Tensor, as_tensor


def take_step(f, carry, x, t=0):
    """Step t of a loop; an Observer that has `step` sees it."""
    result = f(carry, x)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"scan: wanted (carry, y) from {line_of(f)}, got {tree.describe(result)}")
    return result


def unchanged(f, t: int, name: str, structure, before: list, after, function: str = "scan") -> list:
    """The leaves of `after`, which must be what those of `before` were."""
    fix = "start it so (init)" if name == "the carry" else "return the same type at every step"
    try:
        leaves = tree.flatten_like(structure, after, name)
    except ValueError as error:
        raise ValueError(f"{function}: {error} at step {t} of {line_of(f)}; it must not change: {fix}") from None
    for k, (old, new) in enumerate(zip(before, leaves)):
        if new is None:
            new = "None"
        else:
            leaves[k] = new = as_tensor(new)
            if new.shape == old.shape and new.dtype == old.dtype:
                continue
            new = Spec(new.shape, new.dtype)
        raise ValueError(
            f"{function}: {tree.names(structure, name)[k]} was {Spec(old.shape, old.dtype)} and became {new} at step "
            f"{t} of {line_of(f)}; it must not change: {fix}, or cast or reshape it in the function"
        )
    return leaves


def in_order(leaves: list[Tensor]) -> list[Tensor]:
    """A loop's carries and ys lie in C order, whatever makes them: which decides what a reshape in a step is, a view or
    a copy, and a step that is compiled is the same for all times."""
    return [copy(x) if isinstance(x._data, np.ndarray) and not x._data.flags.c_contiguous else x for x in leaves]


def same_results(function: str, f, g, structure, first: list, second) -> None:
    """Raise unless g returned (`second`) what f did: leaves like `first` in this structure."""
    ends = f"at {line_of(g)}, and at {line_of(f)} it is"
    fix = "branches must return the same structure, shapes and dtypes"
    try:
        leaves = tree.flatten_like(structure, second, "the result")
    except ValueError as error:
        raise ValueError(f"{function}: {error} at {line_of(g)}; {fix} as {line_of(f)}") from None
    for k, (a, b) in enumerate(zip(first, leaves)):
        if b is not None and a.shape == b.shape and a.dtype == b.dtype:
            continue
        wanted, got = Spec(a.shape, a.dtype), None if b is None else Spec(b.shape, b.dtype)
        place = tree.names(structure, "the result")[k]
        raise ValueError(f"{function}: {place} is {got} {ends} {wanted}; {fix}: cast or reshape it in one of them")


def as_scalar(function: str, what: str, p, kinds: str = "biuf"):
    """A scalar that decides what happens: a Python number, or while tracing, where it is not known, a tensor.

    kinds: of dtypes that may decide; a bool among them is asked for as one. Raises TypeError or ValueError for others.
    """
    wanted = "a bool, or a number that is not 0" if "b" in kinds else "an integer"
    if isinstance(p, (bool, np.bool_)) or is_number(p):
        dtype = np.asarray(p).dtype
    else:
        try:
            p = as_tensor(p)
        except (TypeError, ValueError):
            raise TypeError(f"{function}: {what} is a {type(p).__name__}, wanted {wanted}") from None
        dtype = p.dtype
    if dtype.kind not in kinds:
        raise TypeError(f"{function}: {what} is {Spec(np.shape(p), dtype)}, wanted {wanted}")
    if np.shape(p) != ():
        raise ValueError(
            f"{function}: {what} is {Spec(p.shape, p.dtype)}, wanted one scalar that decides for all rows; where each "
            "row decides for itself compute both and choose with mg.where, or decide with .any() or .all()"
        )
    if isinstance(p, Tensor) and tracing() and not thread.program.known(p._data):
        return p if "b" not in kinds or dtype.kind == "b" else p != 0
    number = p.item() if isinstance(p, Tensor) else p
    return bool(number) if "b" in kinds else int(number)


def line_of(f: Callable) -> str:
    """Name, file and line of a function, method or callable object."""
    while isinstance(f, functools.partial):
        f = f.func
    f = inspect.unwrap(f)
    code = getattr(f, "__code__", None) or getattr(getattr(type(f), "forward", type(f).__call__), "__code__", None)
    name = getattr(f, "__qualname__", type(f).__qualname__)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name
