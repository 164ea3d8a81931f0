"""In loops, integers of fewer than 64 bits are computed with as int64, and so are booleans that are put in order: in
memory alone they are narrow.

    before                       after
    n = add(k, 1): int32         a = astype(k, int64);  b = add(a, 1): int64;  n = astype(b, int32)

The cast back keeps the low bits, so that overflow wraps as it does in NumPy.
"""

import numpy as np

from minigrad.ir.loop import within_loops
from minigrad.ir.number import Number
from minigrad.ir.rewrite import is_a, rebuilt
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.rules.kernel import BOOL, INT64, NARROW, Along, Cast, Fold, Scalar
from minigrad.ir.trace import Value


def widen(program, roots: list) -> list:
    """The roots, rebuilt, with the integers in the bodies of all loops wide."""

    def within(loop):
        return rebuilt(widen(loop.body, loop.outputs), lambda v, inputs: widened(loop.body, v, inputs))

    return within_loops(roots, within)


def widened(program, value: Value, inputs: tuple):
    narrow = NARROW | {BOOL} if is_a(value, Along) else NARROW
    if not any(is_a(value, kind) for kind in (Scalar, Fold, Along)):
        return None
    if not any(x.dtype in narrow for x in (value, *inputs) if x is not None):
        return None
    if is_a(value, Cast) and (value.dtype == INT64 or inputs[0].dtype in (INT64, BOOL)):
        return None
    o = ops_of(program)

    def wide(x):
        if x is None or x.dtype not in narrow:
            return x
        return Number(x.value, INT64) if type(x) is Number else o.astype(x, dtype=INT64)

    made = o.make(value.op.name, *map(wide, inputs), **wide_params(value))
    return made if made.dtype == value.dtype else o.astype(made, dtype=value.dtype)


def wide_params(value: Value) -> dict:
    return {name: INT64 if isinstance(p, np.dtype) and p in NARROW else p for name, p in value.params.items()}
