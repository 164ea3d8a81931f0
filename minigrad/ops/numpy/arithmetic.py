"""Elementwise functions of NumPy, and its rounding and bits.

A derivative at a kink is the one of PyTorch: 0 for steps, half to each at a tie.
"""

import math

import numpy as np

from minigrad.ops import elementwise as e
from minigrad.ops.elementwise import abs, isnan, log, log1p, maximum, minimum, pow, sin, sqrt, square, where
from minigrad.ops.join import concatenate
from minigrad.ops.neural import stop_gradient
from minigrad.ops.numpy.calculus import diff
from minigrad.ops.numpy.declare import as_input, off_the_tape, stands_for
from minigrad.ops.reduce import _root, cumsum
from minigrad.ops.reduce import all as all_of
from minigrad.ops.shape import astype, axis_of, copy
from minigrad.ops.table import FLOAT32, filled
from minigrad.tensor import Tensor, as_array

LN2, LN10 = math.log(2), math.log(10)


def _floats(x):
    return x if x.dtype.kind == "f" else astype(x, FLOAT32)


# Exponentials and logarithms

stands_for(np.log2)(lambda x, /: log(x) * (1 / LN2))
stands_for(np.log10)(lambda x, /: log(x) * (1 / LN10))
stands_for(np.exp2)(lambda x, /: pow(2.0, _floats(x)))
stands_for(np.logaddexp2)(lambda a, b, /: e.logaddexp(a * LN2, b * LN2) * (1 / LN2))
stands_for(np.arctanh)(lambda x, /: 0.5 * (log1p(x) - log1p(-x)))


@stands_for(np.arccosh)
def arccosh(x, /):
    more = _floats(x) - 1
    return log1p(more + sqrt(more) * sqrt(more + 2))


@stands_for(np.hypot)
def hypot(a, b, /):
    """Scaled by the larger of the two, so that no square overflows; its gradient at (0, 0) is 0."""
    a, b = _floats(a), _floats(b)
    largest = stop_gradient(maximum(abs(a), abs(b)))
    scale = where((largest > 0) & (largest < math.inf), largest, 1.0)
    length = scale * _root(square(a / scale) + square(b / scale))
    return where(_isinf(a) | _isinf(b), math.inf, length)


@stands_for(np.sinc)
def sinc(x, /):
    """sin(πx) / (πx); near 0 its series, which has all derivatives there."""
    x = _floats(x) * math.pi
    near = abs(x) < 0.5
    t = square(where(near, x, 0.0))
    series = 1.0
    for n in (15, 13, 11, 9, 7, 5, 3):
        series = 1 - t * series / (n * (n - 1))
    far = where(near, 1.0, x)
    return where(near, series, sin(far) / far)


# Angles


stands_for(np.deg2rad, np.radians)(lambda x, /: x * (math.pi / 180))
stands_for(np.rad2deg, np.degrees)(lambda x, /: x * (180 / math.pi))
stands_for(np.positive, np.conjugate)(lambda x, /: copy(x))
stands_for(np.real, np.real_if_close)(lambda x, /: x)
stands_for(np.imag)(lambda x, /: as_input(filled(x.shape, x.dtype)))


@stands_for(np.unwrap)
def unwrap(x, /, discont=None, axis=-1, period=2 * math.pi):
    x, axis = _floats(x), axis_of(axis, x.ndim)
    step, half = stop_gradient(diff(x, axis=axis)), period / 2
    wrapped = (step + half) % period - half
    wrapped = where((wrapped == -half) & (step > 0), half, wrapped)
    jumps = where(abs(step) < (half if discont is None else discont), 0.0, wrapped - step)
    first = (slice(None),) * axis + (slice(0, 1),)
    return x + concatenate([x[first] * 0, cumsum(jumps, axis)], axis)


# Division and rounding


@stands_for(np.trunc, np.fix)
def trunc(x, /):
    return where(x < 0, e.ceil(x), e.floor(x))


@stands_for(np.fmod)
def fmod(a, b, /):
    """The remainder with the sign of a."""
    b = abs(b)
    return where(a < 0, -((-a) % b), a % b)


@stands_for(np.modf)
def modf(x, /):
    x = _floats(x)
    whole = trunc(x)
    return where(_isinf(x), 0.0, x - whole), whole


@stands_for(np.divmod)
def divmod(a, b, /):
    return e.floor_divide(a, b), e.remainder(a, b)


setattr(Tensor, "__divmod__", divmod)  # noqa: B010
setattr(Tensor, "__rdivmod__", lambda self, other: divmod(other, self))  # noqa: B010


@stands_for(np.round, np.around)
def round(x, /, decimals=0):
    if decimals == 0 or x.dtype.kind != "f":
        if decimals < 0:
            raise ValueError(f"got decimals={decimals} for {x.dtype}; use astype first")
        return e.round(x) if x.dtype.kind == "f" else x
    scale = 10.0 ** math.fabs(decimals)
    return e.round(x * scale) / scale if decimals > 0 else e.round(x / scale) * scale


@stands_for(np.ldexp)
def ldexp(x, exponent, /):
    if as_array(exponent).dtype.kind not in "iu":
        raise TypeError(f"got an exponent of {exponent.dtype}, wanted integers")
    return x * pow(2.0, astype(exponent, _floats(x).dtype))


# Selection and signs


@stands_for(np.fmax)
def fmax(a, b, /):
    return where(isnan(a), b, where(isnan(b), a, maximum(a, b)))


@stands_for(np.fmin)
def fmin(a, b, /):
    return where(isnan(a), b, where(isnan(b), a, minimum(a, b)))


@stands_for(np.signbit)
def signbit(x, /):
    """The sign of zeros counts, that of NaN does not."""
    if x.dtype.kind != "f":
        return x < 0
    return (x < 0) | ((x == 0) & (e.reciprocal(where(x == 0, x, 1.0)) < 0))


@stands_for(np.angle)
def angle(x, /, deg=False):
    return where(signbit(x), 180.0 if deg else math.pi, where(x == x, 0.0, x))


@stands_for(np.copysign)
def copysign(a, b, /):
    return abs(_floats(a)) * where(signbit(b), -1.0, 1.0)


@stands_for(np.heaviside)
def heaviside(a, b, /):
    return where(a == 0, b, where(a < 0, 0.0, where(a > 0, 1.0, a * 0.0)))


def _isinf(x):
    return abs(x) == math.inf


stands_for(np.isinf)(lambda x, /: _isinf(x))
stands_for(np.isposinf)(lambda x, /: x == math.inf)
stands_for(np.isneginf)(lambda x, /: x == -math.inf)


@stands_for(np.nan_to_num)
def nan_to_num(x, /, nan=0.0, posinf=None, neginf=None):
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    x = where(isnan(x), nan, x)
    x = where(x == math.inf, float(limits.max) if posinf is None else posinf, x)
    return where(x == -math.inf, float(limits.min) if neginf is None else neginf, x)


@stands_for(np.isclose)
def isclose(a, b, /, rtol=1e-5, atol=1e-8, equal_nan=False):
    near = (abs(a - b) <= atol + rtol * abs(b)) & e.isfinite(b) | (a == b)
    return near | (isnan(a) & isnan(b)) if equal_nan else near


@stands_for(np.allclose)
def allclose(a, b, /, rtol=1e-5, atol=1e-8, equal_nan=False):
    return bool(all_of(isclose(a, b, rtol, atol, equal_nan)))


# Bits of integers: NumPy's results, which have no gradient.


def _bits(ufunc):
    def rule(*operands):
        for x in operands:
            if as_array(x).dtype.kind not in "iub":
                raise TypeError(f"np.{ufunc.__name__} wants integers, got {as_array(x).dtype}; use astype")
        return off_the_tape(ufunc, *operands)

    return rule


for _ufunc in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift, np.gcd,
               np.lcm, np.bitwise_count):  # fmt: skip
    stands_for(_ufunc)(_bits(_ufunc))


def _rounded(self, decimals: int = 0):
    """Rounded to this number of decimals, halves to even."""
    return round(self, decimals)


Tensor.round = _rounded  # type: ignore[attr-defined]
