"""Loops over the rows of a matrix: softmax and its kin, cross entropy, standardisation, and what pulls them back.

A row stays in the cache between the passes over it, where a NumPy function a pass would fetch the whole matrix anew.
Sums and maxima may be taken in any order (`reassoc`), or LLVM could not vectorise them.
"""

import functools
import importlib
import math

import numpy as np

from minigrad.kernels import build, loops, pieces
from minigrad.kernels.entry import FLOATS, refuse, require_indices

RUN = 64  # rows whose sum is taken one row after another
WIDE = 32  # elements of a row from which a kernel is quicker than NumPy

# A row of n * parts elements is n side by side, `apart` elements on as many more, and so on. A function of HELPERS
# takes the row that begins at `at`.
HELPERS = """
@njit(error_model="numpy", fastmath={"nnan", "nsz", "reassoc"}, forceinline=True)
def largest(x, at, n, parts, apart):
    m = x[at]
    for first in range(at, at + parts * apart, apart):
        for i in range(first, first + n):
            v = x[i]
            m = v if v > m else m
    return m
"""

SUM = """
@njit(error_model="numpy", fastmath={{"nsz", "reassoc", "contract"}}, forceinline=True)
def {name}({arguments}, at, n, parts, apart):
    s, rest = Float(0), at + n % 1024
    for i in range(at, rest):
        s += {term}
    if n >= 1024 or parts > 1:  # float32 would lose what is added to the sum of many
        whole = np.float64(s)
        for start in range(rest, at + n, 1024):
            s = Float(0)
            for i in range(start, start + 1024):
                s += {term}
            whole += s
        for first in range(at + apart, at + parts * apart, apart):
            for start in range(first, first + n, 1024):
                s = Float(0)
                for i in range(start, min(start + 1024, first + n)):
                    s += {term}
                whole += s
        s = Float(whole)
    return s
"""
HELPERS += HELPERS.replace("largest", "smallest").replace("v > m", "v < m")
HELPERS += """
@njit(error_model="numpy", fastmath={"reassoc"}, forceinline=True)
def has_nan(x, at, n):
    s = Float(0)
    for i in range(at, at + n):
        s += Float(1) if x[i] != x[i] else Float(0)
    return s > Float(0)
"""
HELPERS += "".join([
    SUM.format(name=name, arguments=arguments, term=term)
    for name, arguments, term in (
        ("total", "x", "x[i]"),
        ("total_product", "x, y", "x[i] * y[i]"),
        ("total_exp", "x, m", "exp(x[i] - m)"),
        ("total_square", "x, m", "(x[i] - m) * (x[i] - m)"),
        ("total_centred", "g, x, m", "g[i] * (x[i] - m)"),
        ("total_weighted", "g, w", "g[i] * w[i - at]"),
        ("total_weighted_centred", "g, w, x, m", "g[i] * w[i - at] * (x[i] - m)"),
    )
])  # fmt: skip
HELPERS += f"""
RUN = {RUN}

@njit(error_model="numpy", fastmath={{"contract"}}, forceinline=True)
def affine(y, x, m, scale, weight, bias, at, n):
    for k in range(n):
        y[at + k] = (x[at + k] - m) * scale * weight[k] + bias[k]

@njit(error_model="numpy", fastmath={{"contract"}}, forceinline=True)
def affine_channel(y, x, m, factor, shift, at, n):
    for i in range(at, at + n):
        y[i] = (x[i] - m) * factor + shift

@njit(error_model="numpy", fastmath={{"contract"}}, forceinline=True)
def pull_channel(result, g, x, m, factor, of_x, shift, at, n):
    for i in range(at, at + n):
        result[i] = g[i] * factor - ((x[i] - m) * of_x + shift)
"""

KERNELS = {
    "sum": """
def sum(y, x, rows, n, parts, apart):
    for r in range(rows):
        y[r] = total(x, r * n, n, 1, n)
""",
    "max": """
def max(y, x, rows, n, parts, apart):
    for r in range(rows):
        m = largest(x, r * n, n, 1, n)
        y[r] = Float(np.nan) if has_nan(x, r * n, n) else m
""",
    "min": """
def min(y, x, rows, n, parts, apart):
    for r in range(rows):
        m = smallest(x, r * n, n, 1, n)
        y[r] = Float(np.nan) if has_nan(x, r * n, n) else m
""",
    "softmax": """
def softmax(y, x, rows, n, parts, apart):
    for at in range(0, rows * n, n):
        m = largest(x, at, n, parts, apart)
        for first in range(at, at + parts * apart, apart):
            for i in range(first, first + n):
                y[i] = exp(x[i] - m)
        s = total(y, at, n, parts, apart)
        for first in range(at, at + parts * apart, apart):
            for i in range(first, first + n):
                y[i] = y[i] / s
""",
    "softmax_pull": """
def softmax_pull(result, g, y, rows, n, parts, apart):
    for at in range(0, rows * n, n):
        s = total_product(g, y, at, n, parts, apart)
        for first in range(at, at + parts * apart, apart):
            for i in range(first, first + n):
                result[i] = y[i] * (g[i] - s)
""",
    "log_softmax": """
def log_softmax(y, x, rows, n, parts, apart):
    for at in range(0, rows * n, n):
        m = largest(x, at, n, parts, apart)
        s = log(total_exp(x, m, at, n, parts, apart))
        for first in range(at, at + parts * apart, apart):
            for i in range(first, first + n):
                y[i] = (x[i] - m) - s
""",
    "logsumexp": """
def logsumexp(y, x, rows, n, parts, apart):
    for r in range(rows):
        m = largest(x, r * n, n, 1, n)
        m = m if m - m == Float(0) else Float(0)  # or inf - inf would be NaN
        y[r] = log(total_exp(x, m, r * n, n, 1, n)) + m
""",
    "log_softmax_pull": """
def log_softmax_pull(result, g, y, rows, n, parts, apart):
    for at in range(0, rows * n, n):
        s = total(g, at, n, parts, apart)
        for first in range(at, at + parts * apart, apart):
            for i in range(first, first + n):
                result[i] = g[i] - exp(y[i]) * s
""",
    "cross_entropy": """
def cross_entropy(loss, x, target, rows, n, parts, apart):
    for r in range(rows):
        at = r * n
        m = largest(x, at, n, 1, n)
        loss[r] = log(total_exp(x, m, at, n, 1, n)) - (x[at + target[r]] - m)
""",
    "cross_entropy_pull": """
def cross_entropy_pull(result, g, x, target, rows, n, parts, apart):
    for r in range(rows):
        at = r * n
        if g[r] == Float(0):
            for i in range(at, at + n):
                result[i] = Float(0)
        else:
            m = largest(x, at, n, 1, n)
            for i in range(at, at + n):
                result[i] = exp(x[i] - m)
            scale = g[r] / total(result, at, n, 1, n)
            for i in range(at, at + n):
                result[i] = result[i] * scale
            result[at + target[r]] -= g[r]
""",
    "standardize": """
def standardize(y, x, eps, rows, n, parts, apart):
    count = Float(n * parts)
    for at in range(0, rows * n, n):
        m = total(x, at, n, parts, apart) / count
        scale = Float(1) / sqrt(total_square(x, m, at, n, parts, apart) / count + Float(eps[0]))
        for first in range(at, at + parts * apart, apart):
            for i in range(first, first + n):
                y[i] = (x[i] - m) * scale
""",
    "standardize_pull": """
def standardize_pull(result, g, x, y, eps, rows, n, parts, apart):
    count = Float(n * parts)
    for at in range(0, rows * n, n):
        m = total(x, at, n, parts, apart) / count
        scale = Float(1) / sqrt(total_square(x, m, at, n, parts, apart) / count + Float(eps[0]))
        a = total(g, at, n, parts, apart) / count
        b = total_product(g, y, at, n, parts, apart) / count
        for first in range(at, at + parts * apart, apart):
            for i in range(first, first + n):
                result[i] = scale * (g[i] - a - y[i] * b)
""",
    "standardize_affine": """
def standardize_affine(y, x, weight, bias, eps, rows, n, parts, apart):
    for at in range(0, rows * n, n):
        m = total(x, at, n, 1, n) / Float(n)
        scale = Float(1) / sqrt(total_square(x, m, at, n, 1, n) / Float(n) + Float(eps[0]))
        affine(y, x, m, scale, weight, bias, at, n)
""",
    "standardize_affine_pull": """
def standardize_affine_pull(result, of_weight, of_bias, g, x, weight, eps, rows, n, parts, apart):
    for r in range(rows):
        at, to = r * n, r // RUN * n
        m = total(x, at, n, 1, n) / Float(n)
        scale = Float(1) / sqrt(total_square(x, m, at, n, 1, n) / Float(n) + Float(eps[0]))
        if r % RUN == 0:
            for k in range(n):
                of_weight[to + k] = Float(0)
                of_bias[to + k] = Float(0)
        for k in range(n):
            of_weight[to + k] += g[at + k] * ((x[at + k] - m) * scale)
            of_bias[to + k] += g[at + k]
        a = total_weighted(g, weight, at, n, 1, n) / Float(n)
        b = total_weighted_centred(g, weight, x, m, at, n, 1, n) / Float(n) * scale
        for k in range(n):
            result[at + k] = scale * (g[at + k] * weight[k] - a - (x[at + k] - m) * scale * b)
""",
    "standardize_channels": """
def standardize_channels(y, x, weight, bias, eps, sizes, rows, n, parts, apart):
    groups, channels, size, count = sizes[0], sizes[1], n // sizes[1], Float(n * parts)
    for r in range(rows):
        at, to = r * n, r % groups * channels
        m = total(x, at, n, parts, apart) / count
        scale = Float(1) / sqrt(total_square(x, m, at, n, parts, apart) / count + Float(eps[0]))
        for c in range(channels):
            for first in range(at + c * size, at + c * size + parts * apart, apart):
                affine_channel(y, x, m, scale * weight[to + c], bias[to + c], first, size)
""",
    "standardize_channels_pull": """
def standardize_channels_pull(result, of_weight, of_bias, g, x, weight, eps, sizes, rows, n, parts, apart):
    groups, channels, size, count = sizes[0], sizes[1], n // sizes[1], Float(n * parts)
    for r in range(rows):
        at, to = r * n, r % groups * channels
        m = total(x, at, n, parts, apart) / count
        scale = Float(1) / sqrt(total_square(x, m, at, n, parts, apart) / count + Float(eps[0]))
        a, b = Float(0), Float(0)
        for c in range(channels):
            s = total(g, at + c * size, size, parts, apart)
            t = total_centred(g, x, m, at + c * size, size, parts, apart) * scale
            of_bias[r * channels + c], of_weight[r * channels + c] = s, t
            a += s * weight[to + c]
            b += t * weight[to + c]
        a, b = a / count * scale, b / count * scale * scale
        for c in range(channels):
            for first in range(at + c * size, at + c * size + parts * apart, apart):
                pull_channel(result, g, x, m, scale * weight[to + c], b, a, first, size)
""",
}


# What each kernel takes: "m" is all rows; "c" has a number for each column, "r" one for each row, "b" a
# row for each RUN of rows, "w" one number for each channel of each group, "p" one for each channel of each row, all of
# the result's dtype; "t" has an int64 for each row, in [0, n); "s" is a float64; "i" are two int64: of how many groups
# the rows are, one after another, and how many channels a row has. All are in C order.
SIGNATURES = {
    "sum": "rm",
    "max": "rm",
    "min": "rm",
    "softmax": "mm",
    "softmax_pull": "mmm",
    "log_softmax": "mm",
    "logsumexp": "rm",
    "log_softmax_pull": "mmm",
    "cross_entropy": "rmt",
    "cross_entropy_pull": "mrmt",
    "standardize": "mms",
    "standardize_pull": "mmmms",
    "standardize_affine": "mmccs",
    "standardize_affine_pull": "mbbmmcs",
    "standardize_channels": "mmwwsi",
    "standardize_channels_pull": "mppmmwsi",
}
INT64, FLOAT64 = np.dtype("int64"), np.dtype("float64")
WORDS = {
    "m": "{rows} x {parts} x {n} floats", "c": "{n} floats", "r": "{rows} floats", "b": "{runs} x {n} floats",
    "t": "{rows} int64", "s": "a float64", "w": "{groups} x {channels} floats", "p": "{rows} x {channels} floats",
    "i": "two int64",
}  # fmt: skip


def grouped(signature: str, arrays) -> tuple[int, int]:
    """Of how many groups the rows are, and how many channels a row has."""
    last = arrays[-1]
    if signature[-1] == "i" and last.dtype == INT64 and last.shape == (2,):
        return int(last[0]), int(last[1])
    return 1, 1


def check(name: str, rows: int, n: int, parts: int, arrays) -> None:
    signature, dtype, good = SIGNATURES[name], arrays[0].dtype, len(arrays) == len(SIGNATURES[name])
    runs = -(-rows // RUN)
    groups, channels = grouped(signature, arrays)
    sizes = {"m": rows * n * parts, "c": n, "r": rows, "b": runs * n, "t": rows, "s": 1, "i": 2}
    sizes |= {"w": groups * channels, "p": rows * channels}
    dtypes = {"t": INT64, "s": FLOAT64, "i": INT64}
    good = good and groups > 0 and channels > 0 and rows % groups == 0 and n % channels == 0
    for kind, a in zip(signature, arrays):
        flags = a.flags
        good = good and a.size == sizes[kind] and flags.c_contiguous and flags.aligned
        good = good and a.dtype == dtypes.get(kind, dtype)
    if not good or dtype not in FLOATS:
        known = dict(rows=rows, parts=parts, n=n, runs=runs, groups=groups, channels=channels)
        wanted = ", ".join([WORDS[kind].format(**known) for kind in signature])
        refuse(name, f"{wanted}, in C order", *arrays)
    if signature[-1] == "t":
        require_indices("targets", "classes", arrays[-1], n)


@functools.cache
def source(name: str, dtype: str, whole: bool = True) -> str:
    """whole: of rows in one piece, which need no loop over the parts."""
    text = HELPERS + KERNELS[name]
    if whole:
        text = text.replace("for first in range(at, at + parts * apart, apart)", "for first in range(at, at + 1)")
    return f"Float = np.{dtype}\n{loops.with_dependencies(text, dtype)}"


@functools.cache
def compiled(name: str, dtype: np.dtype, whole: bool) -> int:
    """Address of a kernel: it takes pointers to arrays, the number of rows, n, parts, and `apart`."""
    kinds = {"t": INT64, "s": FLOAT64, "i": INT64}
    pointers = [f"CPointer({kinds.get(kind, dtype).name})" for kind in SIGNATURES[name]]
    return build.address(source(name, dtype.name, whole), name, ", ".join([*pointers, "intp, intp, intp, intp"]))


@functools.cache
def interpreted(name: str, dtype: str):
    """The same kernel in plain Python, for the debugger."""
    namespace = dict(vars(importlib.import_module(f"minigrad.kernels.{dtype}")), Float=np.dtype(dtype).type)
    exec("from numba import njit\n" + HELPERS + KERNELS[name], namespace)
    return namespace[name]


def takes(x: np.ndarray) -> bool:
    """Whether a kernel can read this array where it lies."""
    return x.dtype in FLOATS and not loops.INTERPRETED and x.flags.c_contiguous and x.flags.aligned


def run(name: str, n: int, *arrays: np.ndarray, parts: int = 1) -> np.ndarray:
    """Run a kernel over rows of n * parts elements. arrays: the result, which it writes, then the operands, as
    SIGNATURES says.

    Matrices are (parts, rows, n), so that with one part a row lies in one piece. Returns the result. Threads share the
    rows of a large matrix.

    Raises ValueError for arrays that are not what the kernel takes, IndexError for a target outside [0, n).
    """
    result, signature = arrays[0], SIGNATURES[name]
    length = n * parts
    matrix = arrays[min(signature.index("m"), len(arrays) - 1)]
    rows = matrix.size // length if length else max([a.size for a in arrays])
    check(name, rows, n, parts, arrays)
    if rows == 0 or length == 0:
        return result
    apart = rows * n
    if loops.INTERPRETED:
        with np.errstate(all="ignore"):
            interpreted(name, result.dtype.name)(*[a.reshape(-1) for a in arrays], rows, n, parts, apart)
        return result
    groups, channels = grouped(signature, arrays)
    once = rows == groups  # or else a thread takes the rows of all groups, for which it finds the numbers of "w"
    multiple = RUN if "b" in signature else 1 if once else groups
    elements = {"m": n * multiple, "c": 0, "r": multiple, "b": n, "t": multiple, "s": 0, "i": 0}  # for so many rows
    elements |= {"w": channels if once else 0, "p": channels * multiple}
    given = [(a, elements[kind] * a.itemsize) for kind, a in zip(signature, arrays)]
    pieces.call(compiled(name, result.dtype, parts == 1), rows, length, given, n, parts, apart, multiple=multiple)
    return result


def extreme(ufunc: np.ufunc, x: np.ndarray, axes: tuple[int, ...], keepdims: bool) -> np.ndarray:
    """ufunc, np.maximum or np.minimum, reduced over axes (>= 0); long rows by a kernel."""
    kept = x.ndim - len(axes)
    n = math.prod([x.shape[k] for k in axes])
    if not 0 < kept < x.ndim or min(axes) < kept or n < WIDE or not x.size or not takes(x):
        return ufunc.reduce(x, axis=axes, keepdims=keepdims)
    result = np.empty((*x.shape[:kept], *[1] * (len(axes) * keepdims)), x.dtype)
    return run("max" if ufunc is np.maximum else "min", n, result, x)
