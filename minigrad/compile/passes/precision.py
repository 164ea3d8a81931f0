"""Products of float32 round their operands to bfloat16, where the program is to be computed so.

    before                                   after
    y = matmul(x, w)                         y = matmul_bfloat16(x, w)

Sums, and all that is no product of matrices, stay in float32; so does all of float64. It is the last that is done to
products: what is merged, hoisted and sunk before is one op, and the backward's products are rounded as the forward's.
"""

import numpy as np

from minigrad.ir.loop import within_loops
from minigrad.ir.rewrite import rebuilt
from minigrad.ir.rules import rule_of
from minigrad.ops.table import table

BFLOAT16 = "bfloat16"
FLOAT32 = np.dtype("float32")


def lower_precision(program, roots: list) -> list:
    """The roots, rebuilt, if the program is for it."""
    return rounded(roots) if program.precision == BFLOAT16 else roots


def rounded(roots: list) -> list:
    roots = within_loops(roots, lambda loop: rounded(loop.outputs))

    def rule(value, inputs):
        name = rule_of(value.op).rounded
        if name is None or any(x.dtype != FLOAT32 for x in (value, *inputs)):
            return None
        return value.of(inputs, op=table[name])

    return rebuilt(roots, rule)
