"""One step of a `scan`: what its function must return, and what must not change from step to step."""

import functools
import inspect
from collections.abc import Callable

from minigrad import tree
from minigrad.ops.table import Spec
from minigrad.tensor import as_tensor


def take_step(f, carry, x, t=0):
    """Step t of a loop; an Observer that has `step` sees it."""
    result = f(carry, x)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"scan: wanted (carry, y) from {line_of(f)}, got {tree.describe(result)}")
    return result


def unchanged(f, t: int, name: str, structure, before: list, after) -> list:
    """The leaves of `after`, which must be what those of `before` were."""
    fix = "start it so (init)" if name == "the carry" else "return the same type at every step"
    try:
        leaves = tree.flatten_like(structure, after, name)
    except ValueError as error:
        raise ValueError(f"scan: {error} at step {t} of {line_of(f)}; it must not change: {fix}") from None
    for k, (old, new) in enumerate(zip(before, leaves)):
        if new is None:
            new = "None"
        else:
            leaves[k] = new = as_tensor(new)
            if new.shape == old.shape and new.dtype == old.dtype:
                continue
            new = Spec(new.shape, new.dtype)
        raise ValueError(
            f"scan: {tree.names(structure, name)[k]} was {Spec(old.shape, old.dtype)} and became {new} at step {t} of "
            f"{line_of(f)}; it must not change: {fix}, or cast or reshape it in the function"
        )
    return leaves


def line_of(f: Callable) -> str:
    """Name, file and line of a function, method or callable object."""
    while isinstance(f, functools.partial):
        f = f.func
    f = inspect.unwrap(f)
    code = getattr(f, "__code__", None) or getattr(getattr(type(f), "forward", type(f).__call__), "__code__", None)
    name = getattr(f, "__qualname__", type(f).__qualname__)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name
