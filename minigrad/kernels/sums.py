"""Sums whose rounding error does not grow with the number of terms.

NumPy adds in pairs along the axis that is contiguous in memory, and one term after another along every other axis: a
million float32 numbers of 0.1 are then off by a hundredth. Here every long axis is cut into short runs, whose sums are
summed in the same way; the runs lie side by side, so that NumPy's innermost loop is long even if there are few columns.
"""

import math

import numpy as np

from minigrad.kernels import rows

RUN = 16  # terms that are added one after another
WIDTH = 1024  # elements that the innermost loop should have: they stay in the L1 cache
LINE = 1 << 12  # elements of one run of memory whose sum is a kernel's


def add_reduce(x: np.ndarray, axes: tuple[int, ...], keepdims: bool = False) -> np.ndarray:
    """np.add.reduce over `axes` (non-negative). Of integers and booleans: NumPy's own."""
    count = math.prod([x.shape[a] for a in axes])
    if count <= 2 * RUN or x.dtype.kind != "f" or not x.size:
        return np.add.reduce(x, axis=axes, keepdims=keepdims)
    shape = [1 if k in axes else n for k, n in enumerate(x.shape) if keepdims or k not in axes]
    if len(axes) == x.ndim and x.flags.forc:
        return _of_line(x.reshape(-1, order="A")).reshape(shape)
    last = min(axes) == x.ndim - len(axes)
    if last and x.size >= LINE and rows.takes(x):
        return rows.run("sum", count, np.empty(shape, x.dtype), x)
    order = sorted(range(x.ndim), key=lambda k: -abs(x.strides[k]))
    if any(a != b for a, b in zip(order, range(x.ndim))):
        kept = [k for k in order if k not in axes]
        back = sorted(range(len(kept)), key=lambda k: kept[k])
        y = _reduced(x.transpose(order), [k in axes for k in order])
        y = y.reshape([x.shape[k] for k in kept]).transpose(back)
    else:
        y = _reduced(x, [k in axes for k in order])
    return y.reshape(shape)


def _of_line(x: np.ndarray) -> np.ndarray:
    """The sum of one run of memory."""
    lines = x.size // LINE
    if not lines or not rows.takes(x):
        return np.asarray(np.add.reduce(x))
    whole = lines * LINE
    parts = rows.run("sum", LINE, np.empty(lines, x.dtype), x[:whole])
    return _of_line(parts) if whole == x.size else _of_line(parts) + np.add.reduce(x[whole:])


def _reduced(x: np.ndarray, gone: list[bool]) -> np.ndarray:
    """x, whose strides descend, without the axes that are to go."""
    x, gone = _joined(x, gone)
    while any(gone):
        if gone[-1] and (x.shape[-1] >= RUN or gone.count(True) == 1):
            axis, x = len(gone) - 1, np.add.reduce(x, axis=-1)
        else:
            axis = gone.index(True)
            x = _over(x, axis)
        gone = gone[:axis] + gone[axis + 1 :]
    return x


def _joined(x: np.ndarray, gone: list[bool]) -> tuple[np.ndarray, list[bool]]:
    """x with neighbouring axes made one, where both go or both stay and memory allows it: a view."""
    sizes: list[int] = []
    flags: list[bool] = []
    inner = 0
    for n, stride, flag in zip(x.shape, x.strides, gone):
        if n == 1 and not flag:
            flag = flags[-1] if flags else flag
        if sizes and flags[-1] == flag and inner == stride * n:
            sizes[-1] *= n
        else:
            sizes.append(n)
            flags.append(flag)
        inner = stride
    return x.reshape(sizes), flags


def _over(x: np.ndarray, axis: int) -> np.ndarray:
    """The sum along one axis that is not the innermost."""
    lead, inner = x.shape[:axis], x.shape[axis + 1 :]
    n, at = x.shape[axis], (slice(None),) * axis
    if n <= 2 * RUN:
        return np.add.reduce(x, axis=axis)
    side = max(1, min(WIDTH // math.prod(inner), n // RUN))
    runs = n // (RUN * side)
    whole = runs * RUN * side
    runs_sums = np.add.reduce(x[(*at, slice(whole))].reshape(*lead, runs, RUN, side, *inner), axis=axis + 1)
    total = _over(runs_sums.reshape(*lead, runs * side, *inner), axis)
    return total if whole == n else total + _over(x[(*at, slice(whole, None))], axis)
