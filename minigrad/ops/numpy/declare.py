"""How a composition is declared: with the NumPy functions that it stands for."""

import functools
import inspect
from collections.abc import Callable

import numpy as np

from minigrad.ops.table import dtype_among
from minigrad.tensor import Tensor, as_tensor, look, unwrap

compositions: dict = {}  # NumPy function -> what computes it; before numpy_rules


def stands_for(*functions):
    """Decorates a function with (some of) NumPy's parameters, under NumPy's names.

    Its positional-only arguments are inputs and reach it as tensors (`arrays`: as a list of them, and so do *arrays);
    the others are as they were given. What it has no parameter for is refused when it is called (numpycall.py).
    """

    def declare(rule: Callable):
        parameters = list(inspect.signature(rule).parameters.values())
        inputs = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        several = any(p.kind is p.VAR_POSITIONAL and p.name == "arrays" for p in parameters)

        @functools.wraps(rule)
        def call(*given, **options):
            if several:
                return rule(*tensors(given), **options)
            n = len(inputs)
            like = dtype_among([x for x in given[:n] if not isinstance(x, list)])
            taken = [tensors(x) if name == "arrays" else as_input(x, like) for name, x in zip(inputs, given)]
            return rule(*taken, *given[n:], **options)

        for function in functions:
            compositions[function] = call
        return call

    return declare


def as_input(x, like=None):
    return None if x is None else as_tensor(x, like)


def tensors(arrays) -> list:
    arrays = list(arrays)
    like = dtype_among(arrays)
    return [as_input(x, like) for x in arrays]


def off_the_tape(function: Callable, *args, **kwargs):
    """function of the numbers of tensors: its result, tensors without a gradient, is a step function of them.

    While a function is traced there are no numbers, and this is refused.
    """
    result = function(*map(numbers, args), **{name: numbers(value) for name, value in kwargs.items()})
    if isinstance(result, (tuple, list)):
        return type(result)(map(Tensor, map(np.asarray, result)))
    return Tensor(np.asarray(result)) if isinstance(result, np.ndarray) or np.ndim(result) else result


def numbers(value):
    """`value` with the arrays of tensors in their place. Of a traced tensor there is none, and asking for it raises."""
    if isinstance(value, Tensor):
        array = look(value._data)
        return array if isinstance(array, np.ndarray) else np.asarray(array)
    return type(value)(map(numbers, value)) if isinstance(value, (list, tuple)) else unwrap(value)
