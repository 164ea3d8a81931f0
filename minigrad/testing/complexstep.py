"""Derivatives by a complex step: Im f(x + ih) / h = f'(x), with no difference in which digits would be lost.

Squire & Trapp 1998, SIAM Review 40(1). It applies where every op that f calls can be continued to complex numbers:
elementwise ops by their expression, products by their parts, the rest where their forward is NumPy's own.
"""

import re
import sys
import warnings
from contextlib import ExitStack, contextmanager

import numpy as np

from minigrad import creation
from minigrad.observe import Observer, replaced
from minigrad.ops.pointwise import Elementwise, _Kernels, condition
from minigrad.ops.table import table
from minigrad.tensor import Tensor

STEP = 1e-30
COMPLEX = np.dtype("complex128")


class NoComplexForm(Exception):
    """An op that cannot be continued to complex numbers; the message names it."""


FUNCTIONS = {
    name: getattr(np, name)
    for name in ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
                 "arcsin", "arccos", "arctan", "where")
} | {
    "abs": lambda x: np.where(x.real < 0, -x, x),
    "sign": lambda x: np.sign(x.real) + 0j,
    "floor": lambda x: np.floor(x.real) + 0j,
    "ceil": lambda x: np.ceil(x.real) + 0j,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 0.5 + 0.5 * np.tanh(0.5 * x),
    "log_sigmoid": lambda x: -np.log1p(np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
}  # fmt: skip


def bilinear(f):
    """f(a, b) + c, of the real and the imaginary parts."""

    def product(a, b, c=None, **params):
        (p, q), (r, s) = [(np.ascontiguousarray(x.real), np.ascontiguousarray(x.imag)) for x in (a, b)]
        parts = [f(*pair, **params) for pair in ((p, r), (q, s), (p, s), (q, r))]
        y = parts[0] - parts[1] + 1j * (parts[2] + parts[3])
        return y if c is None else y + c.reshape(-1, 1, 1)

    return product


def standardize(f):
    def standardized(x, axis=-1, eps=1e-5):
        centred = x - x.mean(axis, keepdims=True)
        return centred / np.sqrt((centred * centred).mean(axis, keepdims=True) + eps)

    return standardized


def standardize_affine(f):
    return lambda x, weight, bias, axis, eps: standardize(f)(x, axis, eps) * weight + bias


def softmax(f):
    def of(x, axis=-1):
        e = np.exp(x - x.real.max(axis, keepdims=True))
        return e / e.sum(axis, keepdims=True)

    return of


FORWARDS = {
    "astype": lambda f: lambda x, dtype: x,
    "matmul": bilinear,
    "conv2d": bilinear,
    "standardize": standardize,
    "standardize_affine": standardize_affine,
    "softmax": softmax,
}


def of_expression(kernels: _Kernels):
    """The expression of an elementwise op as a function of complex arrays."""
    missing = set(re.findall(r"\b([a-z_]\w*)\(", kernels.expression)) - FUNCTIONS.keys()
    if missing:
        raise NoComplexForm(f"{kernels.this.name} has no complex form")
    return eval(f"lambda {', '.join(kernels.names)}: {kernels.expression}", dict(FUNCTIONS))


def is_complex(a) -> bool:
    return getattr(a, "dtype", None) == COMPLEX


class Guard(Observer):
    """Refuses an op that takes complex numbers and returns real ones: it has lost the derivative."""

    def kernel(self, op, run, arrays):
        try:
            result = run()
        except (TypeError, ValueError, np.exceptions.ComplexWarning) as error:
            raise NoComplexForm(f"{op.name} has no complex form") from error
        results = result if isinstance(result, list) else [result]
        flat = [a for x in arrays for a in (x if isinstance(x, (list, tuple)) else [x])]
        if any(map(is_complex, flat)) and any(np.asarray(r).dtype.kind == "f" for r in results):
            raise NoComplexForm(f"{op.name} has no complex form")
        return result


@contextmanager
def complex_numbers():
    """Within, ops take arrays of complex128, or raise NoComplexForm."""

    def missing(before):
        def made(kernels, dtype):
            return of_expression(kernels) if dtype == COMPLEX and kernels.this.derivatives else before(kernels, dtype)

        return made

    def unify(before):
        def unified(op, *arrays):
            if not any(map(is_complex, arrays)):
                return before(op, *arrays)
            pairs = zip(arrays, op.inputs)
            return [condition(op, a) if n in op.booleans else np.asarray(a, COMPLEX) for a, n in pairs], COMPLEX

        return unified

    def forward(of_complex):
        def wrap(before):
            made = of_complex(before)
            return lambda x, *a, **p: (made if any(map(is_complex, (x, *a))) else before)(x, *a, **p)

        return wrap

    def as_array(before):
        def made(data, dtype=None, *args, **kwargs):
            if is_complex(data) and type(data) is np.ndarray:
                return data
            return np.asarray(data, COMPLEX) if dtype == COMPLEX else before(data, dtype, *args, **kwargs)

        return made

    with ExitStack() as stack:
        for owner, name, wrap in [
            (_Kernels, "__missing__", missing), (Elementwise, "unify", unify),
            (sys.modules[Tensor.__module__], "as_array", as_array), (creation, "as_array", as_array),
            *((table[name], "forward", forward(of_complex)) for name, of_complex in FORWARDS.items()),
        ]:  # fmt: skip
            stack.enter_context(replaced(owner, name, wrap))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        stack.enter_context(Guard())
        yield
