"""What is asked of shapes, where some of their sizes are not fixed."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.symbolic.base import Symbolic
from minigrad.symbolic.size import Real, Size, number
from minigrad.symbolic.sizes import SCOPE, Sizes, reduced


def replacing(number: Callable) -> Callable:
    """A function that replaces the Sizes in nested tuples, lists, dicts and slices by number(size)."""

    def at(x):
        kind = type(x)
        if kind is Size or kind is Real:
            return number(x)
        if kind is tuple or kind is list:
            made = [at(part) for part in x]
            return x if all(map(operator.is_, made, x)) else kind(made)
        if kind is dict:
            return {key: at(part) for key, part in x.items()}
        if kind is slice:
            return slice(at(x.start), at(x.stop), at(x.step))
        return x

    return at


hinted = replacing(operator.attrgetter("hint"))  # what they are in the call that is traced: to be asked about memory


def evaluator(sizes: Sizes, values: dict[str, int]) -> Callable:
    """A function that replaces the Sizes in nested tuples, lists, dicts and slices by what they are for these values of
    the symbols."""
    scope = dict(values)
    results: dict[str, Any] = {}

    def number(x):
        if x.text not in results:
            if x.text not in sizes.codes:
                sizes.codes[x.text] = compile(x.text, "a size", "eval")
            results[x.text] = eval(sizes.codes[x.text], SCOPE, scope)
        return results[x.text]

    return replacing(number)


def key_of(x):
    """What stands for nested tuples with Sizes in a key of a dict: equal for expressions that are known to be equal,
    and hashed without a question."""
    if type(x) is Size:
        x = number(x.sizes, reduced(x.sizes, x.terms))
    if isinstance(x, Symbolic):
        return Symbolic, x.text
    return tuple([key_of(part) for part in x]) if type(x) is tuple else x


def index(n):
    """operator.index, but that a Size stays what it is."""
    return n if type(n) is Size else operator.index(n)


def has_sizes(x) -> bool:
    """Whether nested tuples, lists, dicts and slices have a Size in them."""
    if isinstance(x, Symbolic):
        return True
    if type(x) in (tuple, list):
        return any(map(has_sizes, x))
    if type(x) is dict:
        return any(map(has_sizes, x.values()))
    return type(x) is slice and any(map(has_sizes, (x.start, x.stop, x.step)))


def slice_bounds(part: slice, n) -> tuple:
    """slice.indices, of an axis whose size may be a Size: (start, stop, step)."""
    step = 1 if part.step is None else index(part.step)
    if not has_sizes((n, part)):
        return part.indices(n)
    step = operator.index(step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    low, high = (0, n) if step > 0 else (-1, n - 1)

    def within(k, default):
        if k is None:
            return default
        k = index(k)
        if k < 0:
            k = k + n
            return low if k < low else k
        return high if k > high else k

    start = within(part.start, low if step > 0 else high)
    return start, within(part.stop, high if step > 0 else low), step


def slice_length(start, stop, step) -> Any:
    """How many elements a slice has, given its bounds (slice_bounds)."""
    if step > 0:
        return (stop - start + step - 1) // step if start < stop else 0
    return (start - stop - step - 1) // -step if stop < start else 0


def broadcast_shapes(*shapes: Sequence) -> tuple:
    """np.broadcast_shapes, of shapes with Sizes. Raises ValueError where they do not broadcast."""
    if not has_sizes(shapes):
        return np.broadcast_shapes(*shapes)  # type: ignore[arg-type]
    result: list = [1] * max(len(shape) for shape in shapes)
    for shape in shapes:
        for k, n in enumerate(shape, len(result) - len(shape)):
            if n is result[k] or (type(n) is int and n == 1):
                continue
            if type(result[k]) is int and result[k] == 1:
                result[k] = n
            elif n != result[k] and n != 1:
                if result[k] != 1:
                    raise ValueError(f"the shapes {shapes} do not broadcast")
                result[k] = n
    return tuple(result)


def strides_in(shape: tuple, before: tuple, strides: tuple) -> list | None:
    """Strides of the same elements in another shape; None where there are none. As NumPy, for sizes that vary, too."""
    if 0 in shape:
        return [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    axes = [(n, s) for n, s in zip(before, strides) if n != 1]
    result: list = [0] * len(shape)
    k = 0
    for n, stride in reversed(runs_in_line(axes)):  # each run of axes that lie in one line, from the last one on
        done: int = 1
        while k < len(shape) and done != n:
            size = shape[len(shape) - 1 - k]
            result[len(shape) - 1 - k] = stride * done
            done, k = done * size, k + 1
            if done > n:
                return None
        if done != n:
            return None
    for rest in range(k, len(shape)):  # sizes of 1
        result[len(shape) - 1 - rest] = 1
    return result


def runs_in_line(axes: list[tuple]) -> list[tuple]:
    """(size, stride) of neighbouring axes that are one in memory, joined."""
    joined: list[tuple] = []
    for n, stride in axes:
        if joined and joined[-1][1] == n * stride:
            joined[-1] = joined[-1][0] * n, stride
        else:
            joined.append((n, stride))
    return joined
