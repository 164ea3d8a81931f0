"""Random tensors, drawn from a NumPy generator: the same numbers eager and in a jitted function.

Each function draws from `generator`, a numpy.random.Generator, or else from `default_generator`, which `manual_seed`
starts anew. In a jitted function every call draws anew; in a loop every step does. Gradients flow to the parameters of
a distribution where the sample is a differentiable function of them (loc, scale, low, high).
"""

from typing import Any

import numpy as np

from minigrad.arguments import Count, Generator, checked
from minigrad.creation import Shape, constant
from minigrad.dtypes import default_dtype
from minigrad.ops.along import argsort
from minigrad.ops.elementwise import add, less, log, mul, neg, sub
from minigrad.ops.neural import draw
from minigrad.ops.reduce import argmax
from minigrad.ops.shape import astype
from minigrad.symbolic import broadcast_shapes
from minigrad.tensor import Tensor, as_array, as_tensor

__all__ = [
    "bernoulli",
    "categorical",
    "exponential",
    "gumbel",
    "integers",
    "manual_seed",
    "normal",
    "permutation",
    "uniform",
]

# The generator of everything that is not given one. It is set, never replaced: a checkpoint may hold on to it.
default_generator = np.random.default_rng()


@checked
def manual_seed(seed: Count) -> None:
    """Start `default_generator` anew.

    Parameters
    ----------
    seed
        An integer of at least 0; the same one gives the same draws.

    Examples
    --------
    >>> nn.manual_seed(7)
    >>> x = mg.random.normal((2,)).tolist()
    >>> nn.manual_seed(7)
    >>> mg.random.normal((2,)).tolist() == x
    True
    """
    default_generator.bit_generator.state = type(default_generator.bit_generator)(seed).state


def drawn(kind: str, size: Shape | None, generator, dtype, *parameters) -> Tensor:
    """Numbers of a shape that is given, or that of the parameters broadcast with each other."""
    if size is None:
        size = broadcast_shapes(*[as_tensor(x).shape for x in parameters])
    shape = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    dtype = as_array(0, dtype).dtype
    if dtype.kind != "f":
        raise TypeError(f"wanted float32 or float64, got {dtype}")
    return as_tensor(draw(generator or default_generator, shape, kind, dtype))


@checked
def uniform(
    size: Shape | None = None, low: Any = 0.0, high: Any = 1.0, generator: Generator = None, dtype: Any = default_dtype
) -> Tensor:
    """U[low, high).

    Parameters
    ----------
    size
        The shape, by default that of low and high.
    low, high
        Numbers, or tensors that broadcast to it.
    generator
        A numpy.random.Generator, by default `default_generator`.
    dtype
        float32 or float64.

    Examples
    --------
    >>> mg.random.uniform((2, 3)).shape
    (2, 3)
    """
    return add(mul(drawn("random", size, generator, dtype, low, high), sub(constant(high), low)), low)


@checked
def normal(
    size: Shape | None = None, loc: Any = 0.0, scale: Any = 1.0, generator: Generator = None, dtype: Any = default_dtype
) -> Tensor:
    """N(loc, scale²); with tensors it is the reparametrised sample loc + scale * noise (Kingma & Welling 2013,
    arXiv:1312.6114, eq. 4).

    Parameters
    ----------
    size
        The shape, by default that of loc and scale.
    loc, scale
        Numbers, or tensors that broadcast to it; gradients flow to them.
    generator, dtype
        As of `uniform`.

    Examples
    --------
    >>> mg.random.normal((2, 3)).shape
    (2, 3)
    """
    return add(mul(drawn("standard_normal", size, generator, dtype, loc, scale), scale), loc)


@checked
def exponential(
    size: Shape | None = None, scale: Any = 1.0, generator: Generator = None, dtype: Any = default_dtype
) -> Tensor:
    """Exponential numbers.

    Parameters
    ----------
    size
        The shape, by default that of scale.
    scale
        Their mean.
    generator, dtype
        As of `uniform`.

    Examples
    --------
    >>> mg.random.exponential((2, 3), scale=2.0).shape
    (2, 3)
    """
    return mul(drawn("standard_exponential", size, generator, dtype, scale), scale)


@checked
def gumbel(size: Shape, generator: Generator = None, dtype: Any = default_dtype) -> Tensor:
    """Gumbel(0, 1): -log(E) of exponential E. argmax(logits + gumbel) is a sample of softmax(logits).

    Parameters
    ----------
    size
        The shape.
    generator, dtype
        As of `uniform`.

    Examples
    --------
    >>> mg.random.gumbel((2, 3)).shape
    (2, 3)
    """
    tiny = np.finfo(as_array(0, dtype).dtype).tiny
    return neg(log(add(drawn("standard_exponential", size, generator, dtype), float(tiny))))


@checked
def bernoulli(p: Any, size: Shape | None = None, generator: Generator = None) -> Tensor:
    """1 with probability p, else 0, in p's dtype; no gradient passes.

    Parameters
    ----------
    p
        A probability, or a tensor of them.
    size
        The shape, by default that of p.
    generator
        As of `uniform`.

    Examples
    --------
    >>> mg.random.bernoulli(mg.full(3, 1.0)).tolist()
    [1.0, 1.0, 1.0]
    """
    p = constant(p)
    return astype(less(drawn("random", size, generator, p.dtype, p), p), p.dtype)


@checked
def categorical(logits: Any, axis: int = -1, generator: Generator = None) -> Tensor:
    """Places along an axis, int64, each with the probability that softmax(logits) gives it.

    They are found by the Gumbel-max trick (Maddison et al. 2014, arXiv:1411.0030).

    Parameters
    ----------
    logits
        A float tensor.
    axis
        Along which the places are.
    generator
        As of `uniform`.

    Examples
    --------
    >>> mg.random.categorical([[0.0, -np.inf], [-np.inf, 0.0]]).tolist()
    [0, 1]
    """
    logits = constant(logits)
    return argmax(add(logits, gumbel(logits.shape, generator, logits.dtype)), axis=axis)


@checked
def integers(low: int, high: int, size: Shape = (), generator: Generator = None) -> Tensor:
    """Integers from low to high - 1, int64, equally likely.

    Parameters
    ----------
    low, high
        Integers.
    size
        The shape, by default of one number.
    generator
        As of `uniform`.

    Raises
    ------
    ValueError
        Unless 0 < high - low <= 2**53.

    Examples
    --------
    >>> mg.random.integers(5, 6, (3,)).tolist()
    [5, 5, 5]
    """
    if not 0 < high - low <= 2**53:
        raise ValueError(f"integers: got low={low}, high={high}, wanted low < high, at most 2**53 apart")
    return add(astype(mul(drawn("random", size, generator, "float64"), float(high - low)), "int64"), low)


@checked
def permutation(n: Count, generator: Generator = None) -> Tensor:
    """The integers from 0 to n - 1 in a random order, int64.

    Parameters
    ----------
    n
        How many.
    generator
        As of `uniform`.

    Examples
    --------
    >>> sorted(mg.random.permutation(4).tolist())
    [0, 1, 2, 3]
    """
    return argsort(drawn("random", n, generator, "float64"), axis=0)
