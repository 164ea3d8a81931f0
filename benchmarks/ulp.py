"""The worst error of the scalar functions of minigrad/kernels, in units in the last place (ULP).

    python benchmarks/ulp.py                    # everything: a quarter of an hour on 2 idle cores
    python benchmarks/ulp.py exp tanh           # these functions
    python benchmarks/ulp.py --sample 1000000   # float32 on a sample as well

A float32 function of one argument is run on each of the 2^32 floats and held against NumPy's float64 function, whose
own error is a billionth of a float32 ULP; functions of two arguments and those of float64 are run on samples that give
every exponent the same weight, the latter held against mpmath. One ULP is the gap between the floats around the true
value. A wrong NaN, or a zero of the wrong sign, counts as an infinite error.
"""

import argparse
import importlib
import math
import time
import types
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
from numba import njit

OPTIONS = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}
CHUNK = 1 << 16
NAMES = [
    *("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "log_sigmoid", "erf", "sin", "cos", "tan"),
    *("sqrt", "rsqrt", "pow", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh"),
    *("abs", "sign", "floor", "ceil", "round"),
]
BEYOND = 2.0**128  # where the next float32 would be; infinity counts as this
TWO_ARGUMENTS = ("pow", "arctan2")


def compiled(module):
    """The functions of a module of plain scalar functions, compiled as the generated kernels compile them."""
    functions = {
        name: function
        for name, function in vars(module).items()
        if isinstance(function, types.FunctionType) and function.__module__ == module.__name__
    }
    namespace = dict(vars(module))
    for name, function in functions.items():
        twin = types.FunctionType(function.__code__, namespace, name)
        namespace[name] = njit(**OPTIONS, forceinline=True)(twin)
    return {name: namespace[name] for name in functions}


def loop_over(function, arguments):
    """A compiled loop that applies `function` to arrays, as one more function of arrays."""
    if arguments == 1:

        def loop(x, out):
            for i in range(x.size):
                out[i] = function(x[i])
    else:

        def loop(x, y, out):
            for i in range(x.size):
                out[i] = function(x[i], y[i])

    loop = njit(**OPTIONS)(loop)

    def apply(*arrays):
        out = np.empty_like(arrays[0])
        loop(*arrays, out)
        return out

    return apply


@njit(**OPTIONS)
def errors_in_ulp(got, truth, errors):
    for i in range(got.size):
        y, t = np.float64(got[i]), truth[i]
        wrong_zero = (y == 0) & ((np.float64(y).view(np.int64) ^ np.float64(t).view(np.int64)) < 0)
        both_nan = (y != y) & (t != t)
        one_nan = (y != y) ^ (t != t)
        y, t = min(max(y, -BEYOND), BEYOND), min(max(t, -BEYOND), BEYOND)
        power = np.int64(np.float64(t).view(np.int64) & 0x7FF0000000000000).view(np.float64)  # 2^e <= |t| < 2^(e + 1)
        error = abs(y - t) / max(power * 2.0**-23, 2.0**-149)
        errors[i] = np.inf if wrong_zero | one_nan else (0.0 if both_nan else error)


def worst_float32_error(got, truth):
    """The largest error in ULP, and its index."""
    errors = np.empty(truth.shape)
    errors_in_ulp(got, truth, errors)
    where = errors.argmax()
    return errors[where], where


def sigmoid64(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


@njit(nogil=True)
def erf64(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = math.erf(x[i])
    return out


FLOAT64_TRUTH = {
    "pow": np.power,
    "round": np.rint,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": sigmoid64,
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "erf": erf64,
}

MPMATH_TRUTH = {
    "abs": abs,
    "arccos": mpmath.acos,
    "arcsin": mpmath.asin,
    "arctan": mpmath.atan,
    "arctan2": mpmath.atan2,
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "pow": mpmath.power,
    "round": mpmath.nint,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
}


def sample_float32(arguments, size, rng):
    """Floats of any bits; of two arguments mostly such that x^y is neither 0 nor infinite."""
    x, *y = rng.integers(0, 1 << 32, (arguments, size), dtype=np.uint32).view(np.float32)
    if not y:
        return [x]
    with np.errstate(all="ignore"):
        moderate = (rng.uniform(-150, 128, size) / np.log2(np.abs(x).astype(np.float64))).astype(np.float32)
    return [x, np.where(rng.random(size) < 0.7, moderate, y[0])]


def check_float32(name, function, sample, pool):
    """(worst error, its arguments, how many were tried)"""
    arguments = 2 if name in TWO_ARGUMENTS else 1
    apply = loop_over(function, arguments)
    truth = FLOAT64_TRUTH.get(name) or getattr(np, name)
    total = sample or (1 << 26 if arguments == 2 else 1 << 32)

    def check(start):
        stop = min(start + CHUNK, total)
        if arguments == 1 and not sample:
            arrays = [np.arange(start, stop, dtype=np.uint32).view(np.float32)]
        else:
            arrays = sample_float32(arguments, stop - start, np.random.default_rng(start))
        with np.errstate(all="ignore"):
            error, where = worst_float32_error(apply(*arrays), truth(*(a.astype(np.float64) for a in arrays)))
        return error, [float(a[where]) for a in arrays]

    return *max(pool.map(check, range(0, total, CHUNK)), key=lambda found: found[0]), total


def sample_float64(name, size, rng):
    """A third of any bits, a third where exp neither over- nor underflows, a third near 0."""
    arrays = []
    for _ in range(2 if name in TWO_ARGUMENTS else 1):
        any_exponent = rng.integers(-(1 << 63), (1 << 63) - 1, size // 3).view(np.float64)
        arrays.append(np.concatenate([any_exponent, rng.uniform(-750, 750, size // 3), rng.uniform(-2, 2, size // 3)]))
        rng.shuffle(arrays[-1])
    return arrays


def check_float64(name, function, sample):
    """(worst error, its arguments, how many were tried)"""
    arrays = sample_float64(name, sample or 30000, np.random.default_rng(0))
    got = loop_over(function, len(arrays))(*arrays)
    truth = MPMATH_TRUTH.get(name) or getattr(mpmath, name)
    worst, where, tried = -1.0, None, 0
    for *numbers, y in zip(*arrays, got, strict=True):
        if not np.isfinite([*numbers, y]).all():
            continue
        with mpmath.workprec(200 + (1100 if name in ("sin", "cos", "tan") else 0)):
            exact = truth(*(mpmath.mpf(float(x)) for x in numbers))
            nearest_exponent = max(mpmath.frexp(exact)[1] - 53, -1074) if exact else -1074
            error = float(abs(mpmath.mpf(float(y)) - exact) / mpmath.mpf(2) ** nearest_exponent)
        tried += 1
        if error > worst:
            worst, where = error, [float(x) for x in numbers]
    return worst, where, tried


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="functions; all of them if none is named")
    parser.add_argument("--sample", type=int, help="so many arguments at random instead of all 2^32")
    parser.add_argument("--dtype", choices=["float32", "float64"], help="only this module")
    options = parser.parse_args()

    for dtype in [options.dtype] if options.dtype else ["float32", "float64"]:
        functions = compiled(importlib.import_module(f"minigrad.kernels.{dtype}"))
        for name, function in functions.items():
            if name not in (options.names or NAMES):
                continue
            start = time.perf_counter()
            if dtype == "float32":
                with ThreadPoolExecutor(2) as pool:
                    error, where, tried = check_float32(name, function, options.sample, pool)
            else:
                error, where, tried = check_float64(name, function, options.sample)
            seconds = time.perf_counter() - start
            print(f"{dtype} {name:12} {error:6.3f} ULP at {where} of {tried:,} ({seconds:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
