"""The op table: each op is declared in the file of its family, and is public by being declared.

Type checkers and editors read __init__.pyi, which `python tests/stubs.py` writes from the table.
"""

from minigrad.ops import (  # noqa: F401
    along,
    attention,
    conv,
    convnd,
    elementwise,
    factor,
    index,
    inplace,
    join,
    linalg,
    loss,
    neural,
    normalization,
    numpycall,
    pool,
    product,
    reduce,
    resize,
    shape,
)
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import composites, table

Elementwise.namespace["sum_to"] = reduce.sum_to

public = {name: op.call for name, op in table.items() if op.public} | composites
# three whose public form takes its arguments otherwise than their op
public |= {"clip": elementwise.clip, "einsum": product.einsum, "straight_through": neural.straight_through}
globals().update(public)
__all__ = list(public)
