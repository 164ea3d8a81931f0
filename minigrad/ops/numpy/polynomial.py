"""Polynomials, vectors of coefficients with the highest power first."""

import numpy as np

from minigrad.ops.elementwise import mul
from minigrad.ops.factor import pinv
from minigrad.ops.join import concatenate
from minigrad.ops.numpy.calculus import convolve
from minigrad.ops.numpy.declare import as_input, stands_for
from minigrad.ops.numpy.shape import vander
from minigrad.ops.product import matmul
from minigrad.ops.table import filled
from minigrad.tensor import Tensor


@stands_for(np.polyval)
def polyval(p, x, /):
    y = x * 0.0
    for k in range(p.shape[0]):
        y = y * x + p[k]
    return y


@stands_for(np.poly)
def poly(roots, /):
    if roots.ndim != 1:
        raise ValueError(f"got shape {roots.shape}, wanted a vector of roots")
    a = Tensor(np.ones(1, roots.dtype))
    for k in range(roots.shape[0]):
        a = concatenate([a, [0.0]]) - concatenate([[0.0], a * roots[k]])
    return a


stands_for(np.polymul)(lambda a, b, /: convolve(a, b))


def _with_zeros(p, n: int):
    """p with zeros in front, n coefficients in all."""
    return p if p.shape[0] == n else concatenate([filled((n - p.shape[0],), p.dtype), p])


@stands_for(np.polyadd)
def polyadd(a, b, /):
    n = max(a.shape[0], b.shape[0])
    return _with_zeros(a, n) + _with_zeros(b, n)


@stands_for(np.polysub)
def polysub(a, b, /):
    return polyadd(a, -b)


@stands_for(np.polyder)
def polyder(p, /, m=1):
    for _ in range(m):
        p = mul(p[:-1], np.arange(p.shape[0] - 1, 0, -1).astype(p.dtype))
    return p


@stands_for(np.polyint)
def polyint(p, /, m=1):
    for _ in range(m):
        p = concatenate([p / np.arange(p.shape[0], 0, -1).astype(p.dtype), [0.0]])
    return p


@stands_for(np.polyfit)
def polyfit(x, y, /, deg):
    """The coefficients of least squares."""
    columns = vander(as_input(x), deg + 1)
    return matmul(pinv(columns), y)
