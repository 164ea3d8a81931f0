"""Initial values: each function returns an array of `shape`, drawn from a NumPy generator.

    self.weight = Parameter(init.xavier_uniform((out_features, in_features), generator=generator))

Without a generator they draw from `default_generator`. They draw in float64 and round, so that one seed gives the same
numbers in both precisions. Of a shape with two axes or more, the first counts the outputs and the second the inputs
(PyTorch's order); the rest are the extent of a convolution's kernel, which multiplies both fans.
"""

import math
from typing import Literal

import numpy as np

from minigrad.arguments import Count, Finite, Generator, checked, described
from minigrad.dtypes import default_dtype
from minigrad.modes import no_grad
from minigrad.random import default_generator
from minigrad.tensor import Tensor

__all__ = [
    "constant_slice",
    "default_generator",
    "fan",
    "fans",
    "kaiming_normal",
    "kaiming_uniform",
    "normal",
    "orthogonal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
]
Axes = tuple[Count, ...]
Shape = Count | Axes
RELU = math.sqrt(2)  # the gain that makes up for the half that relu sets to 0


@checked
def uniform(shape: Shape, bound: Finite, *, generator: Generator = None, dtype=default_dtype) -> np.ndarray:
    """U(-bound, bound). PyTorch's recurrent layers take bound = 1 / sqrt(hidden_size) for every parameter.

    Examples
    --------
    >>> bool(abs(nn.init.uniform((4, 3), 0.5, generator=np.random.default_rng(0))).max() <= 0.5)
    True
    """
    return (generator or default_generator).uniform(-bound, bound, shape).astype(dtype)


@checked
def normal(shape: Shape, std: Finite = 1.0, *, generator: Generator = None, dtype=default_dtype) -> np.ndarray:
    """N(0, std²).

    Examples
    --------
    >>> nn.init.normal((2, 3), std=0.1, generator=np.random.default_rng(0)).dtype
    dtype('float32')
    """
    return (generator or default_generator).normal(0.0, std, shape).astype(dtype)


@checked
def xavier_uniform(shape: Axes, gain: Finite = 1.0, *, generator: Generator = None, dtype=default_dtype) -> np.ndarray:
    """U(-b, b), b = gain sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16).

    Examples
    --------
    >>> bound = np.sqrt(6 / (30 + 20))
    >>> bool(abs(nn.init.xavier_uniform((30, 20), generator=np.random.default_rng(0))).max() <= bound)
    True
    """
    return uniform(shape, gain * math.sqrt(6 / sum(fans(shape))), generator=generator, dtype=dtype)


@checked
def xavier_normal(shape: Axes, gain: Finite = 1.0, *, generator: Generator = None, dtype=default_dtype) -> np.ndarray:
    """N(0, std²), std = gain sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 12).

    Examples
    --------
    >>> w = nn.init.xavier_normal((300, 200), generator=np.random.default_rng(0))
    >>> bool(abs(w.std() - np.sqrt(2 / 500)) < 0.001)
    True
    """
    return normal(shape, gain * math.sqrt(2 / sum(fans(shape))), generator=generator, dtype=dtype)


@checked
def kaiming_uniform(
    shape: Axes, gain: Finite = RELU, mode: Literal["fan_in", "fan_out"] = "fan_in", *, generator: Generator = None,
    dtype=default_dtype,
) -> np.ndarray:  # fmt: skip
    """U(-b, b), b = gain sqrt(3 / fan) (He et al. 2015, arXiv:1502.01852, eq. 10); the gain is that of relu.

    mode: "fan_in" keeps the variance forward, "fan_out" backward.

    Examples
    --------
    >>> bool(abs(nn.init.kaiming_uniform((30, 24), generator=np.random.default_rng(0))).max() <= np.sqrt(6 / 24))
    True
    """
    return uniform(shape, gain * math.sqrt(3 / fan(shape, mode)), generator=generator, dtype=dtype)


@checked
def kaiming_normal(
    shape: Axes, gain: Finite = RELU, mode: Literal["fan_in", "fan_out"] = "fan_in", *, generator: Generator = None,
    dtype=default_dtype,
) -> np.ndarray:  # fmt: skip
    """N(0, std²), std = gain / sqrt(fan) (He et al. 2015, arXiv:1502.01852, eq. 10); the gain is that of relu.

    Examples
    --------
    >>> w = nn.init.kaiming_normal((300, 200), mode="fan_out", generator=np.random.default_rng(0))
    >>> bool(abs(w.std() - np.sqrt(2 / 300)) < 0.001)
    True
    """
    return normal(shape, gain / math.sqrt(fan(shape, mode)), generator=generator, dtype=dtype)


@checked
def orthogonal(shape: Axes, gain: Finite = 1.0, *, generator: Generator = None, dtype=default_dtype) -> np.ndarray:
    """A matrix whose rows or columns, whichever are fewer, are orthonormal, times gain (Saxe et al. 2013,
    arXiv:1312.6120). Axes after the first are taken together.

    Examples
    --------
    >>> q = nn.init.orthogonal((3, 5), dtype="float64", generator=np.random.default_rng(0))
    >>> bool(np.allclose(q @ q.T, np.eye(3)))
    True
    """
    fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(normal((max(rows, columns), min(rows, columns)), generator=generator, dtype=np.float64))
    q *= np.sign(np.diagonal(r))  # without it the distribution is not uniform (Mezzadri 2007, math-ph/0609050)
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


@checked
def constant_slice(parameter: Tensor, where: slice, value: float) -> None:
    """Set a part of a parameter, in place. A bias of 1 for a forget gate keeps early states (Gers et al. 2000;
    Jozefowicz et al. 2015): with gates i f g o, constant_slice(cell.bias_ih, slice(H, 2 * H), 1.0).

    Examples
    --------
    >>> cell = mg.nn.Linear(1, 4)
    >>> nn.init.constant_slice(cell.bias, slice(1, 3), 1.0)
    >>> cell.bias[1:3].tolist()
    [1.0, 1.0]
    """
    if not isinstance(parameter, Tensor):
        raise TypeError(f"constant_slice: got parameter={described(parameter)}, wanted a tensor")
    with no_grad():
        parameter[where] = value


@checked
def fans(shape: Axes) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight.

    Examples
    --------
    >>> nn.init.fans((8, 3, 5, 5))
    (75, 200)
    """
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"got shape {shape}, wanted at least two axes (outputs, inputs, ...), none of size 0")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


@checked
def fan(shape: Axes, mode: Literal["fan_in", "fan_out"]) -> int:
    return fans(shape)[mode == "fan_out"]
