"""Sizes that are not fixed while a function is traced, so that one trace serves them all.

While `jit` traces a function for many lengths and batch sizes, the sizes of its arguments that vary are `Size`s: an
expression of symbols, and a hint, which is its value in the call that is traced. Arithmetic gives further expressions.
Whatever asks a Size for a plain answer gets the one that the hint gives, and `Sizes` notes what it rests on as a guard:
a comparison notes the relation, an escape into a Python number (`range`, an index, NumPy, a hash) notes that the
expression has this value. Another call may use the trace if its sizes fulfil the guards. So code that knows nothing of
Sizes makes a trace more special, and never wrong.

    T, B = x.shape[:2]          # s0 and s1, say 20 and 8 in this call
    x.reshape(T * B, -1)        # the shape (s0*s1, 3): no guard
    if T > 10: ...              # guard: s0 > 10
    for t in range(T): ...      # guard: s0 == 20; the trace serves this length alone

A symbol is at least 2. Smaller sizes broadcast, or are empty, and would be guards at every step: they stay numbers.
"""

from minigrad.symbolic.base import Symbolic, printing
from minigrad.symbolic.shapes import (
    broadcast_shapes,
    evaluator,
    has_sizes,
    hinted,
    index,
    key_of,
    slice_bounds,
    slice_length,
    strides_in,
)
from minigrad.symbolic.size import Real, Size, symbol
from minigrad.symbolic.sizes import LEAST, Sizes

__all__ = [
    "LEAST", "Real", "Size", "Sizes", "Symbolic", "broadcast_shapes", "evaluator", "has_sizes", "hinted", "index",
    "key_of", "printing", "slice_bounds", "slice_length", "strides_in", "symbol",
]  # fmt: skip
