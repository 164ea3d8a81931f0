"""In loops, integers of fewer than 64 bits are computed with as int64: in memory alone they are narrow.

    before                       after
    n = add(k, 1): int32         a = astype(k, int64);  b = add(a, 1): int64;  n = astype(b, int32)

The cast back keeps the low bits, so that overflow wraps as it does in NumPy.
"""

import numpy as np

from minigrad.ir.loop import within_loops
from minigrad.ir.number import Number
from minigrad.ir.rewrite import is_a, rebuilt
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.rules.kernel import INT64, NARROW, Along, Cast, Fold, Scalar
from minigrad.ir.trace import Value


def widen(program, roots: list) -> list:
    """The roots, rebuilt, with the integers in the bodies of all loops wide."""

    def within(loop):
        return rebuilt(widen(loop.body, loop.outputs), lambda v, inputs: widened(loop.body, v, inputs))

    return within_loops(roots, within)


def widened(program, value: Value, inputs: tuple):
    narrow = [x.dtype in NARROW for x in inputs if x is not None]
    if not (any(narrow) or value.dtype in NARROW) or not any(is_a(value, kind) for kind in (Scalar, Fold, Along)):
        return None
    if is_a(value, Cast) and (value.dtype == INT64 or inputs[0].dtype in (INT64, np.dtype(bool))):
        return None
    o = ops_of(program)
    wide = o.make(value.op.name, *[as_int64(o, x) for x in inputs], **wide_params(value))
    return wide if wide.dtype == value.dtype else o.astype(wide, dtype=value.dtype)


def as_int64(o, x):
    if x is None or x.dtype not in NARROW:
        return x
    return Number(x.value, INT64) if type(x) is Number else o.astype(x, dtype=INT64)


def wide_params(value: Value) -> dict:
    return {name: INT64 if p in NARROW else p for name, p in value.params.items() if isinstance(p, np.dtype)} | {
        name: p for name, p in value.params.items() if not isinstance(p, np.dtype)
    }
