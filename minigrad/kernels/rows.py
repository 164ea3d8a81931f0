"""Loops over the rows of a matrix: softmax, cross entropy and standardisation, each forward and backward in one sweep.

A row stays in the cache between the passes over it, where a NumPy function a pass would fetch the whole matrix anew.
Sums and maxima may be taken in any order (`reassoc`), or LLVM could not vectorise them.
"""

import functools
import importlib

import numpy as np

from minigrad.kernels import build, loops, pieces
from minigrad.kernels.entry import FLOATS, refuse, require_indices

RUN = 64  # rows whose sum is taken one row after another

HELPERS = """
@njit(error_model="numpy", fastmath={"nnan", "nsz", "reassoc"}, forceinline=True)
def largest(x, at, n):
    m = x[at]
    for i in range(at, at + n):
        v = x[i]
        m = v if v > m else m
    return m
"""

SUM = """
@njit(error_model="numpy", fastmath={{"nsz", "reassoc", "contract"}}, forceinline=True)
def {name}({arguments}, at, n):
    s, rest = Float(0), at + n % 1024
    for i in range(at, rest):
        s += {term}
    if n >= 1024:  # float32 would lose what is added to the sum of many
        whole = np.float64(s)
        for first in range(rest, at + n, 1024):
            part = Float(0)
            for i in range(first, first + 1024):
                part += {term}
            whole += part
        s = Float(whole)
    return s
"""
HELPERS += "".join([
    SUM.format(name=name, arguments=arguments, term=term)
    for name, arguments, term in (
        ("total", "x", "x[i]"),
        ("total_product", "x, y", "x[i] * y[i]"),
        ("total_exp", "x, m", "exp(x[i] - m)"),
        ("total_square", "x, m", "(x[i] - m) * (x[i] - m)"),
        ("total_centred", "g, x, m", "g[i] * (x[i] - m)"),
    )
])  # fmt: skip
HELPERS += f"""
RUN = {RUN}

@njit(error_model="numpy", fastmath={{"contract"}}, forceinline=True)
def affine(y, x, m, scale, weight, bias, at, n):
    for k in range(n):
        y[at + k] = (x[at + k] - m) * scale * weight[k] + bias[k]
"""

KERNELS = {
    "softmax": """
def softmax(y, x, rows, n):
    for at in range(0, rows * n, n):
        m = largest(x, at, n)
        for i in range(at, at + n):
            y[i] = exp(x[i] - m)
        s = total(y, at, n)
        for i in range(at, at + n):
            y[i] = y[i] / s
""",
    "softmax_pull": """
def softmax_pull(result, g, y, rows, n):
    for at in range(0, rows * n, n):
        s = total_product(g, y, at, n)
        for i in range(at, at + n):
            result[i] = y[i] * (g[i] - s)
""",
    "log_softmax": """
def log_softmax(y, x, rows, n):
    for at in range(0, rows * n, n):
        m = largest(x, at, n)
        s = log(total_exp(x, m, at, n))
        for i in range(at, at + n):
            y[i] = (x[i] - m) - s
""",
    "log_softmax_pull": """
def log_softmax_pull(result, g, y, rows, n):
    for at in range(0, rows * n, n):
        s = total(g, at, n)
        for i in range(at, at + n):
            result[i] = g[i] - exp(y[i]) * s
""",
    "cross_entropy": """
def cross_entropy(loss, x, target, rows, n):
    for r in range(rows):
        at = r * n
        m = largest(x, at, n)
        loss[r] = log(total_exp(x, m, at, n)) - (x[at + target[r]] - m)
""",
    "cross_entropy_pull": """
def cross_entropy_pull(result, g, x, target, rows, n):
    for r in range(rows):
        at = r * n
        if g[r] == Float(0):
            for i in range(at, at + n):
                result[i] = Float(0)
        else:
            m = largest(x, at, n)
            for i in range(at, at + n):
                result[i] = exp(x[i] - m)
            scale = g[r] / total(result, at, n)
            for i in range(at, at + n):
                result[i] = result[i] * scale
            result[at + target[r]] -= g[r]
""",
    "standardize": """
def standardize(y, x, eps, rows, n):
    for at in range(0, rows * n, n):
        m = total(x, at, n) / Float(n)
        scale = Float(1) / sqrt(total_square(x, m, at, n) / Float(n) + Float(eps[0]))
        for i in range(at, at + n):
            y[i] = (x[i] - m) * scale
""",
    "standardize_pull": """
def standardize_pull(result, g, x, y, eps, rows, n):
    for at in range(0, rows * n, n):
        m = total(x, at, n) / Float(n)
        scale = Float(1) / sqrt(total_square(x, m, at, n) / Float(n) + Float(eps[0]))
        a = total(g, at, n) / Float(n)
        b = total_product(g, y, at, n) / Float(n)
        for i in range(at, at + n):
            result[i] = scale * (g[i] - a - y[i] * b)
""",
    "standardize_affine": """
def standardize_affine(y, x, weight, bias, eps, rows, n):
    for at in range(0, rows * n, n):
        m = total(x, at, n) / Float(n)
        scale = Float(1) / sqrt(total_square(x, m, at, n) / Float(n) + Float(eps[0]))
        affine(y, x, m, scale, weight, bias, at, n)
""",
    "standardize_affine_pull": """
def standardize_affine_pull(result, of_weight, of_bias, g, x, weight, eps, rows, n):
    for r in range(rows):
        at, to = r * n, r // RUN * n
        m = total(x, at, n) / Float(n)
        scale = Float(1) / sqrt(total_square(x, m, at, n) / Float(n) + Float(eps[0]))
        if r % RUN == 0:
            for k in range(n):
                of_weight[to + k] = Float(0)
                of_bias[to + k] = Float(0)
        for k in range(n):
            of_weight[to + k] += g[at + k] * ((x[at + k] - m) * scale)
            of_bias[to + k] += g[at + k]
            result[at + k] = g[at + k] * weight[k]
        a = total(result, at, n) / Float(n)
        b = total_centred(result, x, m, at, n) / Float(n) * scale
        for i in range(at, at + n):
            result[i] = scale * (result[i] - a - (x[i] - m) * scale * b)
""",
}


# What each kernel takes: "m" is a matrix of n columns; "c" has a number for each column, "r" one for each row, "b" a
# row for each RUN of rows, all of the result's dtype; "t" has an int64 for each row, in [0, n); "s" is a float64. All
# are in C order.
SIGNATURES = {
    "softmax": "mm",
    "softmax_pull": "mmm",
    "log_softmax": "mm",
    "log_softmax_pull": "mmm",
    "cross_entropy": "rmt",
    "cross_entropy_pull": "mrmt",
    "standardize": "mms",
    "standardize_pull": "mmmms",
    "standardize_affine": "mmccs",
    "standardize_affine_pull": "mbbmmcs",
}
INT64, FLOAT64 = np.dtype("int64"), np.dtype("float64")
WORDS = {
    "m": "{rows} x {n} floats", "c": "{n} floats", "r": "{rows} floats", "b": "{runs} x {n} floats",
    "t": "{rows} int64", "s": "a float64",
}  # fmt: skip


def check(name: str, rows: int, n: int, arrays) -> None:
    signature, dtype, good = SIGNATURES[name], arrays[0].dtype, len(arrays) == len(SIGNATURES[name])
    runs = -(-rows // RUN)
    sizes = {"m": rows * n, "c": n, "r": rows, "b": runs * n, "t": rows, "s": 1}
    dtypes = {"t": INT64, "s": FLOAT64}
    for kind, a in zip(signature, arrays):
        flags = a.flags
        good = good and a.size == sizes[kind] and flags.c_contiguous and flags.aligned
        good = good and a.dtype == dtypes.get(kind, dtype)
    if not good or dtype not in FLOATS:
        wanted = ", ".join([WORDS[kind].format(rows=rows, n=n, runs=runs) for kind in signature])
        refuse(name, f"{wanted}, in C order", *arrays)
    if signature[-1] == "t":
        require_indices("targets", "classes", arrays[-1], n)


@functools.cache
def source(name: str, dtype: str) -> str:
    return f"Float = np.{dtype}\n{loops.with_dependencies(HELPERS + KERNELS[name], dtype)}"


@functools.cache
def compiled(name: str, dtype: np.dtype) -> int:
    """Address of a kernel: it takes pointers to arrays, the number of rows, and their length."""
    kinds = {"t": INT64, "s": FLOAT64}
    pointers = [f"CPointer({kinds.get(kind, dtype).name})" for kind in SIGNATURES[name]]
    return build.address(source(name, dtype.name), name, ", ".join([*pointers, "intp, intp"]))


@functools.cache
def interpreted(name: str, dtype: str):
    """The same kernel in plain Python, for the debugger."""
    namespace = dict(vars(importlib.import_module(f"minigrad.kernels.{dtype}")), Float=np.dtype(dtype).type)
    exec("from numba import njit\n" + HELPERS + KERNELS[name], namespace)
    return namespace[name]


def run(name: str, n: int, *arrays: np.ndarray) -> np.ndarray:
    """Run a kernel over rows of length n. arrays: the result, which it writes, then the operands, as SIGNATURES says.

    Returns the result. Threads share the rows of a large matrix.

    Raises ValueError for arrays that are not what the kernel takes, IndexError for a target outside [0, n).
    """
    result, signature = arrays[0], SIGNATURES[name]
    rows = arrays[signature.index("m")].size // n if n else max([a.size for a in arrays])
    check(name, rows, n, arrays)
    if rows == 0 or n == 0:
        return result
    if loops.INTERPRETED:
        with np.errstate(all="ignore"):
            interpreted(name, result.dtype.name)(*[a.reshape(-1) for a in arrays], rows, n)
        return result
    multiple = RUN if "b" in signature else 1
    elements = {"m": n * multiple, "c": 0, "r": multiple, "b": n, "t": multiple, "s": 0}  # for so many rows
    given = [(a, elements[kind] * a.itemsize) for kind, a in zip(signature, arrays)]
    pieces.call(compiled(name, result.dtype), rows, n, given, n, multiple=multiple)
    return result
