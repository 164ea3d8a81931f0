"""What kernels can do, of which types and shapes. For the rest they call Python."""

import numpy as np

from minigrad.ir.rewrite import is_view
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.kernel import operands
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.trace import Pick, Value


def main_dtype(order, constants) -> np.dtype:
    """The float type that a kernel computes with: that with which Python is called least; else that of most numbers."""
    sizes: dict = {}
    for v in order:
        if v.dtype is not None and v.dtype.kind == "f":
            sizes[v.dtype] = sizes.get(v.dtype, 0) + v.size
    if len(sizes) < 2:
        return next(iter(sizes), np.dtype("float32"))
    return min(sizes, key=lambda main: (sum([not has_kernel(v, constants, main) for v in order]), -sizes[main]))


def has_kernel(v: Value, constants, main: np.dtype) -> bool:
    try:
        require_kernel(v, constants, main)
    except Unsupported:
        return False
    return True


def require_kernel(v: Value, constants, main: np.dtype) -> None:
    """Raise Unsupported for what no kernel can do. main: the float type that the kernel computes with."""
    if v.op is None or v.op is Pick or is_view(v):
        return
    kernel = rule_of(v.op).kernel
    if kernel is None or not kernel.fits(v, main, constants):
        raise Unsupported(f"{v.op.name} of {', '.join(sorted({str(x.dtype) for x in operands(v)}))}", v)
