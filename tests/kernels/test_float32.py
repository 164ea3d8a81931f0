"""The float32 functions, compiled into ufuncs as the engine does it, against float64 and the edges of C99's Annex F.

`benchmarks/ulp.py` runs them on all 2^32 arguments; this is the sample for every day.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigrad.kernels import loops

INF, NAN, TINY, HUGE = math.inf, math.nan, 2.0**-149, 2.0**128 - 2.0**104
MANTISSAS = 1 if loops.INTERPRETED else 80
BOUND = 2  # ULP
EXACT = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sqrt": np.sqrt,
    "arcsin": np.arcsin,
    "arccos": np.arccos,
    "arctan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
}
EXACT_2 = {"pow": np.power, "arctan2": np.arctan2}

# An interval in which the function is neither constant nor undefined, where that is a small part of all floats.
INTERESTING = {
    **dict.fromkeys(["exp", "expm1", "softplus", "sinh", "cosh"], (-104, 89.5)),
    **dict.fromkeys(["log", "log1p", "arcsin", "arccos"], (-1, 2)),
    "log_sigmoid": (-89.5, 104),
    "sigmoid": (-104, 20),
    "tanh": (-10, 10),
    "erf": (-4.5, 4.5),
}


@pytest.fixture(scope="module")
def compiled():
    """The ufunc of a function, compiled once."""
    ufuncs = {}

    def get(name):
        if name not in ufuncs:
            inputs = ["x", "y"] if name in EXACT_2 else ["x"]
            ufuncs[name] = loops.elementwise(name, inputs, [f"{name}({', '.join(inputs)})"], "float32")
        return ufuncs[name]

    return get


def error_in_ulp(got, exact):
    """Distance in gaps between the float32 around the exact value. Infinity is where the next float would be."""
    got = got.astype(np.float64)
    y, t = (np.clip(v, -(2.0**128), 2.0**128) for v in (got, exact))
    error = np.abs(y - t) / np.exp2(np.maximum(np.frexp(t)[1] - 24, -149))
    error = np.where((got == 0) & (np.signbit(got) != np.signbit(exact)), INF, error)
    return np.where(np.isnan(got) | np.isnan(exact), np.where(np.isnan(got) & np.isnan(exact), 0, INF), error)


def check(name, ufunc, *arguments):
    with np.errstate(all="ignore"):
        got = ufunc(*arguments)
        error = error_in_ulp(got, (EXACT | EXACT_2)[name](*(x.astype(np.float64) for x in arguments)))
    i = np.argmax(error)
    assert error[i] <= BOUND, f"{name}{tuple(x[i] for x in arguments)} = {got[i]}, {error[i]:.2f} ULP off"


def every_exponent(rng):
    """Numbers of either sign with each of the 256 exponents, subnormal numbers, infinities and NaN among them."""
    high = np.arange(512, dtype=np.uint32) << 23
    mantissas = rng.integers(0, 1 << 23, (MANTISSAS, 512), dtype=np.uint32)
    return (high | mantissas).ravel().view(np.float32)


@pytest.mark.parametrize("name", EXACT)
def test_sample_is_within_2_ulp(name, compiled):
    rng = np.random.default_rng(sum(map(ord, name)))
    interesting = rng.uniform(*INTERESTING.get(name, (-10, 10)), MANTISSAS * 512).astype(np.float32)
    near_quarter_turns = (np.rint(rng.uniform(-1e5, 1e5, MANTISSAS * 64)) * (np.pi / 2)).astype(np.float32)
    check(name, compiled(name), np.concatenate([every_exponent(rng), interesting, near_quarter_turns]))


def test_sample_of_pow_is_within_2_ulp(compiled):
    rng = np.random.default_rng(0)
    x, any_y = np.abs(every_exponent(rng)), rng.permutation(every_exponent(rng))
    check("pow", compiled("pow"), x, any_y)
    with np.errstate(all="ignore"):
        y = (rng.uniform(-151, 129, x.size) / np.log2(x.astype(np.float64))).astype(np.float32)
    check("pow", compiled("pow"), x, y)
    check("pow", compiled("pow"), -x, np.rint(y))


def test_sample_of_arctan2_is_within_2_ulp(compiled):
    rng = np.random.default_rng(0)
    y, any_x = every_exponent(rng), rng.permutation(every_exponent(rng))
    check("arctan2", compiled("arctan2"), y, any_x)
    with np.errstate(all="ignore"):
        x = (y * np.exp2(rng.uniform(-9, 9, y.size))).astype(np.float32)
    check("arctan2", compiled("arctan2"), y, x)


any_float = st.floats(width=32)
near_one = st.floats(-4, 4, width=32)


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=50)
@given(xs=st.lists(any_float | near_one, min_size=1, max_size=20))
@example(xs=[HUGE, -HUGE, TINY, -TINY, 0.0, -0.0, INF, -INF, NAN])
@example(xs=[2.0**24, 2.0**47, 2.0**69, 2.0**91, 2.0**113])  # where sin changes its constants
@example(xs=[-16.642534, -17.334003, 8.144481, 0.24680562, 0.06123856, 0.83820063, 5.9240550e33])  # once the worst ones
def test_any_argument(name, compiled, xs):
    check(name, compiled(name), np.array(xs, np.float32))


@pytest.mark.parametrize("name", EXACT_2)
@settings(max_examples=50)
@given(points=st.lists(st.tuples(any_float | near_one, any_float | near_one | st.integers(-9, 9)), min_size=1))
def test_any_pair(name, compiled, points):
    x, y = np.array(points, np.float32).T.copy()
    check(name, compiled(name), x, y)


@pytest.mark.parametrize("name", EXACT_2)
def test_every_pair_of_special_numbers(name, compiled):
    """NumPy's float64 functions keep to Annex F, up to the sign of NaN."""
    special = [0, TINY, 0.5, 1 - 2.0**-24, 1, 1.5, 2, 3, 2.0**24 - 1, 2.0**24, 2.0**25, HUGE, INF]
    special += [-x for x in special] + [NAN]
    x, y = np.array(list(itertools.product(special, special)), np.float32).T.copy()
    check(name, compiled(name), x, y)


ZEROS = [(0.0, 0.0), (-0.0, -0.0)]
ODD = [*ZEROS, (TINY, TINY), (-TINY, -TINY)]
EDGES = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (88.73, INF), (-103.2, TINY), (-104.0, 0.0)],
    "expm1": [*ODD, (INF, INF), (-INF, -1.0), (88.73, INF), (-20.0, -1.0)],
    "log": [(1.0, 0.0), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-TINY, NAN), (-INF, NAN), (INF, INF)],
    "log1p": [*ODD, (-1.0, -INF), (-1.0000001, NAN), (-INF, NAN), (INF, INF)],
    "tanh": [*ODD, (INF, 1.0), (-INF, -1.0), (9.1, 1.0), (-HUGE, -1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (30.0, 1.0), (-103.2, TINY), (-HUGE, 0.0)],
    "softplus": [(INF, INF), (-INF, 0.0), (100.0, 100.0), (-103.2, TINY), (HUGE, HUGE)],
    "log_sigmoid": [(INF, -0.0), (-INF, -INF), (-100.0, -100.0), (103.2, -TINY), (-HUGE, -HUGE)],
    "erf": [*ZEROS, (INF, 1.0), (-INF, -1.0), (4.0, 1.0), (-HUGE, -1.0)],
    "sin": [*ODD, (INF, NAN), (-INF, NAN)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN)],
    "tan": [*ODD, (INF, NAN), (-INF, NAN)],
    "rsqrt": [(0.0, INF), (-0.0, -INF), (INF, 0.0), (-1.0, NAN), (4.0, 0.5)],
    "sqrt": [*ZEROS, (INF, INF), (-1.0, NAN), (4.0, 2.0)],
    "arcsin": [*ODD, (1.0000001, NAN), (-INF, NAN)],
    "arccos": [(1.0, 0.0), (1.0000001, NAN), (-INF, NAN)],
    "arctan": [*ODD],
    "sinh": [*ODD, (INF, INF), (-INF, -INF), (89.5, INF)],
    "cosh": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, INF), (-89.5, INF)],
    "abs": [(0.0, 0.0), (-0.0, 0.0), (-INF, INF), (-TINY, TINY)],
    "sign": [(0.0, 0.0), (TINY, 1.0), (-TINY, -1.0), (-INF, -1.0)],
    "floor": [*ZEROS, (-0.5, -1.0), (0.5, 0.0), (-INF, -INF), (HUGE, HUGE)],
    "ceil": [*ZEROS, (-0.5, -0.0), (0.5, 1.0), (-INF, -INF), (HUGE, HUGE)],
    "round": [*ZEROS, (0.5, 0.0), (-0.5, -0.0), (1.5, 2.0), (2.5, 2.0), (-2.5, -2.0), (INF, INF)],
}


@pytest.mark.parametrize("name", EDGES)
def test_edges_exactly(name, compiled):
    x, expected = np.array([*EDGES[name], (NAN, NAN)], np.float32).T.copy()
    with np.errstate(all="ignore"):
        got = compiled(name)(x)
    np.testing.assert_array_equal(got, expected)
    is_number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[is_number]), np.signbit(expected[is_number]))
