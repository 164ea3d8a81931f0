"""Loops over the rows of a matrix: softmax, cross entropy and standardisation, each forward and backward in one sweep.

A row stays in the cache between the passes over it, where a NumPy function a pass would fetch the whole matrix anew.
Sums and maxima may be taken in any order (`reassoc`), or LLVM could not vectorise them.
"""

import ctypes
import functools
import importlib
from itertools import pairwise

import numpy as np

from minigrad.kernels import build, loops, threads
from minigrad.kernels.entry import FLOATS, refuse, require_indices

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
    )
])  # fmt: skip

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
def standardize(y, x, rows, n, eps):
    for at in range(0, rows * n, n):
        m = total(x, at, n) / Float(n)
        scale = Float(1) / sqrt(total_square(x, m, at, n) / Float(n) + Float(eps))
        for i in range(at, at + n):
            y[i] = (x[i] - m) * scale
""",
    "standardize_pull": """
def standardize_pull(result, g, x, y, rows, n, eps):
    for at in range(0, rows * n, n):
        m = total(x, at, n) / Float(n)
        scale = Float(1) / sqrt(total_square(x, m, at, n) / Float(n) + Float(eps))
        a = total(g, at, n) / Float(n)
        b = total_product(g, y, at, n) / Float(n)
        for i in range(at, at + n):
            result[i] = scale * (g[i] - a - y[i] * b)
""",
}


# What each kernel takes: "m" is a matrix of n columns, "r" has a number for each of its rows, both of the result's
# dtype; "t" has an int64 for each row, in [0, n). All are in C order.
SIGNATURES = {
    "softmax": "mm",
    "softmax_pull": "mmm",
    "log_softmax": "mm",
    "log_softmax_pull": "mmm",
    "cross_entropy": "rmt",
    "cross_entropy_pull": "mrmt",
    "standardize": "mm",
    "standardize_pull": "mmmm",
}
INT64 = np.dtype("int64")


def check(name: str, rows: int, n: int, arrays) -> None:
    signature, dtype, good = SIGNATURES[name], arrays[0].dtype, len(arrays) == len(SIGNATURES[name])
    for kind, a in zip(signature, arrays):
        flags = a.flags
        good = good and a.size == (rows * n if kind == "m" else rows) and flags.c_contiguous and flags.aligned
        good = good and a.dtype == (INT64 if kind == "t" else dtype)
    if not good or dtype not in FLOATS:
        words = {"m": f"{rows} x {n} floats", "r": f"{rows} floats", "t": f"{rows} int64"}
        refuse(name, f"{', '.join(words[kind] for kind in signature)}, in C order", *arrays)
    if signature[-1] == "t":
        require_indices("targets", "classes", arrays[-1], n)


@functools.cache
def source(name: str, dtype: str) -> str:
    return f"Float = np.{dtype}\n{loops.with_dependencies(HELPERS + KERNELS[name], dtype)}"


@functools.cache
def compiled(name: str, kinds: tuple[str, ...], scalars: int):
    """A kernel that takes pointers to arrays of `kinds`, the number of rows, their length, and float64 scalars."""
    types = [*[f"CPointer({kind})" for kind in kinds], "intp", "intp", *["float64"] * scalars]
    prototype = [*[ctypes.c_void_p] * len(kinds), *[ctypes.c_ssize_t] * 2, *[ctypes.c_double] * scalars]
    return ctypes.CFUNCTYPE(None, *prototype)(build.address(source(name, kinds[0]), name, ", ".join(types)))


@functools.cache
def interpreted(name: str, dtype: str):
    """The same kernel in plain Python, for the debugger."""
    namespace = dict(vars(importlib.import_module(f"minigrad.kernels.{dtype}")), Float=np.dtype(dtype).type)
    exec("from numba import njit\n" + HELPERS + KERNELS[name], namespace)
    return namespace[name]


def run(name: str, n: int, *arrays: np.ndarray, scalars=()) -> np.ndarray:
    """Run a kernel over rows of length n. arrays: the result, which it writes, then the operands, as SIGNATURES says.

    Returns the result. Threads share the rows of a large matrix.

    Raises ValueError for arrays that are not what the kernel takes, IndexError for a target outside [0, n).
    """
    result = arrays[0]
    rows = max(a.size for a in arrays) // max(n, 1)
    check(name, rows, n, arrays)
    if rows == 0 or n == 0:
        return result
    if loops.INTERPRETED:
        with np.errstate(all="ignore"):
            interpreted(name, result.dtype.name)(*[a.reshape(-1) for a in arrays], rows, n, *scalars)
        return result
    kernel = compiled(name, tuple([a.dtype.name for a in arrays]), len(scalars))
    starts = [(a.ctypes.data, a.nbytes // rows) for a in arrays]
    count = threads.count if rows * n >= threads.LARGE else 1
    edges = [rows * k // count for k in range(count + 1)]

    def part(first, last):
        return lambda: kernel(*[start + first * size for start, size in starts], last - first, n, *scalars)

    tasks = [part(first, last) for first, last in pairwise(edges)]
    threads.run(tasks) if count > 1 else tasks[0]()
    return result
