"""What a kernel does: flops and bytes, from shapes."""

import math

import numpy as np

from minigrad.ir.rules import rule_of
from minigrad.mutations import memory_of
from minigrad.ops.table import table

ABOVE_SLOPE = "above the slope: their operands stay in a cache, which is faster than the memory"
ABOVE_PEAK = (
    "above the peak: faster than a large float32 product is here, as products of bfloat16 are, and as all is if the "
    "peak was taken while other programs ran"
)


def spec(x):
    """An operand as what its cost depends on: (shape, bytes that are read of it); those of a sequence."""
    if isinstance(x, (np.ndarray, np.generic)):
        if 0 not in x.strides:
            return x.shape, x.nbytes
        return x.shape, x.itemsize * math.prod(n for n, s in zip(x.shape, x.strides) if s)  # broadcast: read once
    return tuple(map(spec, x)) if isinstance(x, (list, tuple)) else None


def work(name: str, arrays, result) -> tuple[float, int, int]:
    """Flops, bytes read and written, bytes allocated of a call of an op.

    An elementwise op counts as one flop an element of its result, a reduction as one an element of its input, a product
    or convolution as two a multiplication; what copies counts as none, a view moves nothing.
    """
    if type(result) is not np.ndarray or result.base is not None:
        return worked_out(name, arrays, result)
    operands = [(a.shape, a.strides, a.itemsize) if type(a) is np.ndarray else spec(a) for a in arrays]
    key = (name, result.shape, result.itemsize, *operands)
    if key not in known:
        if len(known) > 4096:
            known.clear()
        known[key] = worked_out(name, arrays, result)
    return known[key]


known: dict[tuple, tuple[float, int, int]] = {}


def worked_out(name: str, arrays, result) -> tuple[float, int, int]:
    results = result if isinstance(result, list) else [result]
    made = 0
    for r in results:
        if getattr(r, "base", None) is None or not is_part(r, arrays):
            made += getattr(r, "nbytes", 0)
    if not made:
        return 0.0, 0, 0
    return (*counted(name, list(map(spec, arrays)), list(map(spec, results))), made)


def is_part(result: np.ndarray, arrays) -> bool:
    """Whether it is a view of an operand."""
    memory = memory_of(result)
    flat = (a for x in arrays for a in (x if isinstance(x, (list, tuple)) else [x]))
    return any(memory_of(a) is memory for a in flat if isinstance(a, np.ndarray))


def counted(name: str, inputs, results) -> tuple[float, int]:
    flat = [x for each in inputs if each for x in ([each] if isinstance(each[-1], int) else each) if x]
    moved = sum(size for _, size in [*flat, *results])
    flops = rule_of(table.get(name)).flops([shape for shape, _ in flat], [shape for shape, _ in results])
    return flops, moved
