"""Tensors that are made of a shape: zeros, ones, ranges, and the like of another tensor.

In a jitted function they are ops of the program, so that their shape may follow those of the arguments.
"""

import math
from typing import Any

import numpy as np

from minigrad.arguments import Count, checked, is_integer
from minigrad.dtypes import default_dtype
from minigrad.modes import tracing
from minigrad.ops.elementwise import add, equal, mul
from minigrad.ops.reduce import cumsum
from minigrad.ops.shape import astype, broadcast_to, copy, reshape
from minigrad.symbolic import index
from minigrad.tensor import Tensor, as_array, as_tensor, tensor

Shape = Count | tuple[Count, ...]


def constant(x: Any, dtype: Any = None) -> Tensor:
    """x, or a tensor of it. A trace knows where that comes from, and does not ask who else holds it."""
    return x if isinstance(x, Tensor) else tensor(x, dtype)


@checked
def full(shape: Shape, value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape filled with one value, whose gradient it keeps.

    Parameters
    ----------
    shape
        An integer, or a tuple of them.
    value
        A number, or a tensor or array without axes.
    dtype
        By default that of the value: float32 for a Python float, int64 for a Python integer, bool for a bool.
    requires_grad
        Whether it is a leaf of the tape.

    Raises
    ------
    TypeError
        For what is no number.
    ValueError
        For a value with axes and for negative sizes.

    Examples
    --------
    >>> mg.full((2, 3), 0.5).sum().item()
    3.0
    """
    value = constant(value, dtype)
    if value.ndim:
        raise ValueError(f"full: got a value of shape {value.shape}, wanted one without axes; use broadcast_to")
    value = value if dtype is None else astype(value, as_array(0, dtype).dtype)
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    made = copy(broadcast_to(value, sizes))
    return made.requires_grad_() if requires_grad else made


@checked
def zeros(shape: Shape, dtype: Any = default_dtype, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros.

    Parameters
    ----------
    shape, dtype, requires_grad
        As of `full`; float32 by default.

    Examples
    --------
    >>> mg.zeros((2, 3)).shape
    (2, 3)
    """
    return full(shape, 0, dtype, requires_grad)


@checked
def ones(shape: Shape, dtype: Any = default_dtype, requires_grad: bool = False) -> Tensor:
    """A tensor of ones.

    Parameters
    ----------
    shape, dtype, requires_grad
        As of `full`; float32 by default.

    Examples
    --------
    >>> mg.ones(3, dtype="float64").dtype
    dtype('float64')
    """
    return full(shape, 1, dtype, requires_grad)


@checked
def full_like(x: Any, value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the shape of another one, filled with one value.

    Parameters
    ----------
    x
        A tensor, or what becomes one.
    value, requires_grad
        As of `full`.
    dtype
        By default that of x.

    Examples
    --------
    >>> mg.full_like(mg.zeros((2, 2)), 7.0).tolist()
    [[7.0, 7.0], [7.0, 7.0]]
    """
    x = as_tensor(x)
    return full(x.shape, value, x.dtype if dtype is None else dtype, requires_grad)


@checked
def zeros_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape of another tensor.

    Parameters
    ----------
    x, dtype, requires_grad
        As of `full_like`.

    Examples
    --------
    >>> mg.zeros_like(mg.tensor([1, 2])).tolist()
    [0, 0]
    """
    return full_like(x, 0, dtype, requires_grad)


@checked
def ones_like(x: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape of another tensor.

    Parameters
    ----------
    x, dtype, requires_grad
        As of `full_like`.

    Examples
    --------
    >>> mg.ones_like(mg.tensor([1.5, 2.5])).tolist()
    [1.0, 1.0]
    """
    return full_like(x, 1, dtype, requires_grad)


@checked
def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, ... as long as stop is not reached; arange(n) counts from 0 to n - 1.

    Parameters
    ----------
    start, stop, step
        Numbers.
    dtype
        By default int64 if all are integers, else float32.
    requires_grad
        Whether it is a leaf of the tape.

    Raises
    ------
    ValueError
        For a step of 0.

    Examples
    --------
    >>> mg.arange(1, 2, 0.25).tolist()
    [1.0, 1.25, 1.5, 1.75]
    """
    if step == 0:
        raise ValueError("arange: got step=0")
    start, stop = (0, start) if stop is None else (start, stop)
    whole = all(map(is_integer, (start, stop, step)))
    n = max(0, index(-((start - stop) // step)) if whole else math.ceil((stop - start) / step))
    kind = (np.dtype(np.int64) if whole else default_dtype) if dtype is None else as_array(0, dtype).dtype
    if not tracing():
        places: np.ndarray = np.arange(n) if whole else np.arange(n, dtype=np.float64)
        return tensor(np.add(np.multiply(places, step), start), kind, requires_grad)
    counted = add(cumsum(full(n, 1), axis=0), -1)
    exact = add(mul(counted if whole else astype(counted, "float64"), step), start)
    return astype(exact, kind)


@checked
def eye(
    n: Count, m: Count | None = None, k: int = 0, dtype: Any = default_dtype, requires_grad: bool = False
) -> Tensor:
    """A matrix with ones on a diagonal, and zeros elsewhere.

    Parameters
    ----------
    n, m
        Its rows and columns; m is n by default.
    k
        The column in which the diagonal begins.
    dtype, requires_grad
        As of `full`; float32 by default.

    Examples
    --------
    >>> mg.eye(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    m = n if m is None else m
    made = astype(equal(add(reshape(arange(n), (n, 1)), k), reshape(arange(m), (1, m))), as_array(0, dtype).dtype)
    return made.requires_grad_() if requires_grad else made
