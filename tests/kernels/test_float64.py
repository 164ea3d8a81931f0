"""The float64 functions, compiled into ufuncs as the engine does it, against mpmath and the edges of C99's Annex F."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from minigrad.kernels import loops

INF, NAN, TINY, HUGE = math.inf, math.nan, 5e-324, 1.7976931348623157e308
PER_STRATUM = 800


def exact_pow(x, y):
    if x == 0 or x == 1 or y == 0:
        return x**y
    if x < 0 and y != mpmath.floor(y):
        return mpmath.nan
    size = y * mpmath.log(abs(x))  # beyond 1000 the result is 0 or infinity, and mpmath would be slow
    value = mpmath.exp(max(min(size, 1000), -1000))
    return -value if x < 0 and y % 2 == 1 else value


def bounded(f):
    """f of an argument kept within 1000: beyond it the result does not change any more."""
    return lambda x: f(max(min(x, 1000), -1000))


def exact_softplus(x):
    return max(x, 0) + mpmath.log1p(mpmath.exp(-abs(bounded(lambda t: t)(x))))


EXACT = {
    "exp": bounded(mpmath.exp),
    "expm1": bounded(mpmath.expm1),
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "tanh": bounded(mpmath.tanh),
    "sigmoid": bounded(lambda x: 1 / (1 + mpmath.exp(-x))),
    "softplus": exact_softplus,
    "log_sigmoid": lambda x: -exact_softplus(-x),
    "erf": bounded(mpmath.erf),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "sqrt": mpmath.sqrt,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "sinh": bounded(mpmath.sinh),
    "cosh": bounded(mpmath.cosh),
    "floor": mpmath.floor,
    "ceil": mpmath.ceil,
    "round": mpmath.nint,
    "abs": abs,
    "sign": mpmath.sign,
    "pow": exact_pow,
    "arctan2": mpmath.atan2,
}


@pytest.fixture(scope="module")
def compiled():
    """The ufunc of a function, compiled once."""
    ufuncs = {}

    def get(name):
        if name not in ufuncs:
            inputs = ["x", "y"] if name in ("pow", "arctan2") else ["x"]
            ufuncs[name] = loops.elementwise(name, inputs, [f"{name}({', '.join(inputs)})"], "float64")
        return ufuncs[name]

    return get


def uniform(low, high):
    return lambda rng: rng.uniform(low, high, PER_STRATUM)


def exponents(low, high, signs=(-1, 1), around=0.0):
    """Numbers whose distances from `around` have exponents spread evenly."""
    return lambda rng: around + rng.choice(signs, PER_STRATUM) * np.exp2(rng.uniform(low, high, PER_STRATUM))


def near_multiples(step):
    return lambda rng: np.rint(rng.uniform(-1e6, 1e6, PER_STRATUM)) * step


POSITIVE, NEGATIVE = (1,), (-1,)
ANGLES = [exponents(-1074, 1024), uniform(-10, 10), exponents(20, 1024), near_multiples(math.pi / 2)]
STRATA = {
    "exp": [uniform(-745.2, 709.8), exponents(-60, 9.4), uniform(-1, 1)],
    "expm1": [uniform(-50, 709.8), exponents(-1074, 9.4), uniform(-2, 2)],
    "log": [exponents(-1074, 1024, POSITIVE), uniform(0.5, 2), exponents(-52, -1, around=1.0)],
    "log1p": [
        exponents(-1074, 1024, POSITIVE),
        exponents(-1074, 0, NEGATIVE),
        exponents(-53, 1, POSITIVE, around=-1.0),
    ],
    "tanh": [exponents(-1074, 5), uniform(-22, 22), uniform(-1, 1)],
    "sigmoid": [uniform(-745, 40), uniform(-5, 5), exponents(-60, 6)],
    "softplus": [uniform(-745, 40), uniform(-5, 5), exponents(-60, 60)],
    "log_sigmoid": [uniform(-40, 745), uniform(-5, 5), exponents(-60, 60)],
    "erf": [uniform(-6.1, 6.1), exponents(-1074, 3), uniform(-2, 2)],
    "sin": ANGLES,
    "cos": ANGLES,
    "tan": ANGLES,
    "sqrt": [exponents(-1074, 1024, POSITIVE)],
    "rsqrt": [exponents(-1074, 1024, POSITIVE)],
    "arcsin": [exponents(-1074, 0), uniform(-1, 1), exponents(-52, -1, NEGATIVE, around=1.0)],
    "arccos": [exponents(-1074, 0), uniform(-1, 1), exponents(-52, -1, NEGATIVE, around=1.0)],
    "arctan": [exponents(-1074, 1024), exponents(-5, 5)],
    "sinh": [exponents(-1074, 9.45), uniform(-710.5, 710.5), uniform(-2, 2)],
    "cosh": [exponents(-1074, 9.45), uniform(-710.5, 710.5), uniform(-2, 2)],
    "floor": [exponents(-5, 55)],
    "ceil": [exponents(-5, 55)],
    "round": [exponents(-5, 55)],
    "abs": [exponents(-1074, 1024)],
    "sign": [exponents(-1074, 1024)],
}


def pairs(name, rng):
    if name == "arctan2":
        y = np.concatenate([exponents(-1074, 1024)(rng), exponents(-5, 5)(rng)])
        return y, np.concatenate([exponents(-1074, 1024)(rng), exponents(-5, 5)(rng)])
    x = np.concatenate([stratum(rng) for stratum in [*STRATA["log"], exponents(-5, 5, POSITIVE)]])
    return x, rng.uniform(-745, 709.7, x.size) / np.where(x == 1, 1, np.log(x))


def error_in_ulp(got, exact):
    """Distance in gaps between the floats around the exact value. Infinity is where the next float would be."""
    if isinstance(exact, mpmath.mpc) or mpmath.isnan(exact):
        return 0.0 if math.isnan(got) else INF
    if math.isnan(got) or (got == 0 and exact != 0 and math.copysign(1, got) != mpmath.sign(exact)):
        return INF
    limit = mpf(2) ** 1024
    got = max(min(mpf(got), limit), -limit)
    exact = max(min(exact, limit), -limit)
    gap = max(mpmath.frexp(exact)[1] - 53, -1074) if exact else -1074
    return float(abs(got - exact) / mpf(2) ** gap)


def check(name, ufunc, *arguments):
    with mpmath.workprec(120), np.errstate(all="ignore"):
        got = np.asarray(ufunc(*arguments), np.float64)
        for result, *point in zip(got.tolist(), *(x.tolist() for x in arguments)):
            error = error_in_ulp(result, EXACT[name](*map(mpf, point)))
            assert error <= 4, f"{name}{tuple(point)} = {result}, {error:.1f} ULP off"


@pytest.mark.parametrize("name", EXACT)
def test_sample_is_within_4_ulp(name, compiled):
    rng = np.random.default_rng(sum(map(ord, name)))
    if name in STRATA:
        check(name, compiled(name), np.concatenate([stratum(rng) for stratum in STRATA[name]]))
    else:
        check(name, compiled(name), *pairs(name, rng))


finite = st.floats(allow_nan=False, allow_infinity=False)
near_one = st.floats(-4, 4)


@pytest.mark.parametrize("name", STRATA)
@settings(max_examples=60, deadline=None)
@given(xs=st.lists(finite | near_one, min_size=1, max_size=20))
def test_any_finite_argument(name, compiled, xs):
    skip_zeros = name in ("log", "rsqrt", "log1p")  # mpmath has no infinity there; EDGES has
    check(name, compiled(name), np.array([x for x in xs if not (skip_zeros and x in (0, -1))]))


@pytest.mark.parametrize("name", ["pow", "arctan2"])
@settings(max_examples=60, deadline=None)
@given(points=st.lists(st.tuples(finite | near_one, finite | near_one | st.integers(-9, 9).map(float)), min_size=1))
def test_any_finite_pair(name, compiled, points):
    x, y = np.array([point for point in points if point[0] != 0 and point[1] != 0]).reshape(-1, 2).T.copy()
    check(name, compiled(name), x, y)


TO_NAN = [(NAN, NAN)]
ODD = [(0.0, 0.0), (-0.0, -0.0), (TINY, TINY), (-TINY, -TINY), *TO_NAN]
NEAREST_TO_A_QUARTER_TURN = 6381956970095103 * 2.0**797  # of all float64, relative to the gap between floats there
EDGES = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (709.79, INF), (-745.14, 0.0), (-745.0, TINY), *TO_NAN],
    "expm1": [*ODD, (INF, INF), (-INF, -1.0), (709.79, INF), (-40.0, -1.0)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-TINY, NAN), (-INF, NAN), (INF, INF), *TO_NAN],
    "log1p": [*ODD, (-1.0, -INF), (-1.0000000000000002, NAN), (-INF, NAN), (INF, INF)],
    "tanh": [*ODD, (INF, 1.0), (-INF, -1.0), (20.0, 1.0), (HUGE, 1.0)],
    "sigmoid": [(0.0, 0.5), (INF, 1.0), (-INF, 0.0), (40.0, 1.0), (-745.0, TINY), (-746.0, 0.0), *TO_NAN],
    "softplus": [(INF, INF), (-INF, 0.0), (100.0, 100.0), (-745.0, TINY), (HUGE, HUGE), *TO_NAN],
    "log_sigmoid": [(INF, -0.0), (-INF, -INF), (-100.0, -100.0), (745.0, -TINY), (-HUGE, -HUGE), *TO_NAN],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (TINY, TINY), (INF, 1.0), (-INF, -1.0), (6.0, 1.0), (-HUGE, -1.0), *TO_NAN],
    "sin": [*ODD, (INF, NAN), (-INF, NAN), (math.pi, 1.2246467991473532e-16), (math.pi / 2, 1.0)],
    "cos": [(0.0, 1.0), (INF, NAN), (NEAREST_TO_A_QUARTER_TURN, -4.687165924254628e-19), (math.pi, -1.0), *TO_NAN],
    "tan": [*ODD, (INF, NAN), (-INF, NAN), (NEAREST_TO_A_QUARTER_TURN, -2.133485385753704e18)],
    "sqrt": [(0.0, 0.0), (-0.0, -0.0), (4.0, 2.0), (-1.0, NAN), (INF, INF), *TO_NAN],
    "rsqrt": [(0.0, INF), (-0.0, -INF), (4.0, 0.5), (-1.0, NAN), (INF, 0.0), *TO_NAN],
    "arcsin": [*ODD, (1.0, math.pi / 2), (-1.0, -math.pi / 2), (1.0000000000000002, NAN), (INF, NAN)],
    "arccos": [(1.0, 0.0), (0.0, math.pi / 2), (-1.0, math.pi), (1.0000000000000002, NAN), (-INF, NAN), *TO_NAN],
    "arctan": [*ODD, (INF, math.pi / 2), (-INF, -math.pi / 2), (1.0, math.pi / 4), (HUGE, math.pi / 2)],
    "sinh": [*ODD, (INF, INF), (-INF, -INF), (710.5, INF), (-HUGE, -INF)],
    "cosh": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, INF), (710.5, INF), (-HUGE, INF), *TO_NAN],
    "floor": [(0.5, 0.0), (-0.5, -1.0), (-0.0, -0.0), (INF, INF), *TO_NAN],
    "ceil": [(0.5, 1.0), (-0.5, -0.0), (-0.0, -0.0), (INF, INF), *TO_NAN],
    "round": [(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (-0.0, -0.0), (INF, INF), *TO_NAN],
    "abs": [(-0.0, 0.0), (-TINY, TINY), (-INF, INF), *TO_NAN],
    "sign": [(0.0, 0.0), (-0.0, 0.0), (TINY, 1.0), (-TINY, -1.0), (INF, 1.0), (-INF, -1.0), *TO_NAN],
    "arctan2": [
        *[(0.0, x, 0.0) for x in (0.0, TINY, HUGE, INF)],
        *[(-0.0, x, -0.0) for x in (0.0, TINY, HUGE, INF)],
        *[(0.0, x, math.pi) for x in (-0.0, -TINY, -HUGE, -INF)],
        *[(-0.0, x, -math.pi) for x in (-0.0, -TINY, -HUGE, -INF)],
        *[(y, x, math.copysign(math.pi / 2, y)) for y in (TINY, -TINY, HUGE, -INF) for x in (0.0, -0.0)],
        *[(y, x, math.copysign(math.pi / 2, y)) for y in (INF, -INF) for x in (1.0, -1.0, HUGE, -HUGE)],
        *[(1.0, INF, 0.0), (-HUGE, INF, -0.0), (1.0, -INF, math.pi), (-HUGE, -INF, -math.pi)],
        *[(INF, INF, math.pi / 4), (-INF, INF, -math.pi / 4), (INF, -INF, 3 * math.pi / 4)],
        *[(HUGE, HUGE, math.pi / 4), (TINY, TINY, math.pi / 4), (NAN, 1.0, NAN), (1.0, NAN, NAN), (INF, NAN, NAN)],
    ],
    "pow": [
        *[(x, y, 1.0) for x in (0.0, -0.0, 1.0, -2.5, INF, -INF, NAN) for y in (0.0, -0.0)],
        *[(1.0, y, 1.0) for y in (2.5, HUGE, INF, -INF, NAN)],
        *[(0.0, y, INF) for y in (-3.0, -2.5, -2.0, -TINY, -INF)],
        *[(-0.0, -3.0, -INF), (-0.0, -2.5, INF), (-0.0, -2.0, INF), (-0.0, -TINY, INF), (-0.0, -INF, INF)],
        *[(0.0, y, 0.0) for y in (3.0, 2.5, 2.0, TINY, INF)],
        *[(-0.0, 3.0, -0.0), (-0.0, 2.5, 0.0), (-0.0, 2.0, 0.0), (-0.0, TINY, 0.0), (-0.0, INF, 0.0)],
        *[(-1.0, INF, 1.0), (-1.0, -INF, 1.0), (-1.0, HUGE, 1.0), (-1.0, 2.0**53 - 1, -1.0), (-1.0, 2.0**53, 1.0)],
        *[(-2.0, 0.5, NAN), (-TINY, 1.5, NAN), (-HUGE, TINY, NAN), (-2.0, -1075.5, NAN)],
        *[(0.5, -INF, INF), (-0.5, -INF, INF), (2.0, -INF, 0.0), (-2.0, -INF, 0.0)],
        *[(0.5, INF, 0.0), (-0.5, INF, 0.0), (2.0, INF, INF), (-2.0, INF, INF)],
        *[(-INF, -3.0, -0.0), (-INF, -2.5, 0.0), (-INF, -2.0, 0.0), (-INF, -TINY, 0.0), (-INF, -INF, 0.0)],
        *[(-INF, 3.0, -INF), (-INF, 2.5, INF), (-INF, 2.0, INF), (-INF, TINY, INF), (-INF, INF, INF)],
        *[(INF, -TINY, 0.0), (INF, TINY, INF), (INF, -INF, 0.0), (INF, INF, INF)],
        *[(NAN, 1.0, NAN), (2.0, NAN, NAN), (NAN, NAN, NAN), (0.0, NAN, NAN), (-INF, NAN, NAN)],
        *[(2.0, 1024.0, INF), (-2.0, 1023.0, -(2.0**1023)), (2.0, -1074.0, TINY), (2.0, -1076.0, 0.0)],
        *[(TINY, 1.0, TINY), (TINY, -1.0, INF), (HUGE, 1.0, HUGE), (HUGE, HUGE, INF), (HUGE, -HUGE, 0.0)],
        *[(-3.0, 3.0, -27.0), (10.0, 2.0, 100.0), (-0.5, -4.0, 16.0)],
    ],
}


def same(got, expected):
    if math.isnan(expected):
        return math.isnan(got)
    return got == expected and math.copysign(1, got) == math.copysign(1, expected)


@pytest.mark.parametrize("name", EDGES)
def test_edges_are_exact(name, compiled):
    with np.errstate(all="ignore"):
        for *arguments, expected in EDGES[name]:
            got = float(compiled(name)(*map(np.float64, arguments)))
            assert same(got, expected), f"{name}{tuple(arguments)} = {got}, not {expected}"
