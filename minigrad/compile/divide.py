"""How threads may divide a loop's batch: which values have it as their leading axis, and which ops mix it.

ROWS: the batch is the leading axis. WHOLE: the same for every row (weights, and what comes of them alone).
PARTIAL: a sum over the rows, of which each thread has its part. COLUMNS: the transpose of ROWS, fit for such a sum.
"""

from minigrad.compile.loop import Loop
from minigrad.compile.passes.rewrite import is_elementwise, is_op
from minigrad.compile.trace import Pick, Value
from minigrad.ops.shape import axes_of, axis_of

ROWS, WHOLE, PARTIAL, COLUMNS = "rows", "whole", "partial", "columns"


class Unsupported(Exception):
    """A loop that cannot become one kernel; its steps are run one by one. The message says why."""


def divide(loop: Loop, order: list[Value]) -> dict[Value, str]:
    """The kind of each value, the batch divided between threads. Raises Unsupported if some op mixes the batch."""
    leading = loop.carries or loop.ys
    sizes = {c.shape[0] for c in leading if c.ndim > 0}
    if len(sizes) != 1:
        raise Unsupported("no batch")
    (batch,) = sizes
    kinds: dict = {}
    for v in order:
        if v.op is None:
            per_row = v not in loop.consts and v.ndim > 0 and v.shape[0] == batch
            kinds[v] = ROWS if per_row else WHOLE
        else:
            kinds[v] = kind_of(v, kinds, batch)
            if kinds[v] == ROWS and v.dtype is not None and v.shape[0] != batch:
                raise Unsupported(f"{v.op.name} of a batch of one with a larger one")
    for carry, out in zip(loop.carries, loop.carry_outs):
        if kinds.get(carry, ROWS) != kinds[out] and not (kinds.get(carry) == ROWS and kinds[out] == WHOLE):
            raise Unsupported("a carry that mixes the batch")
        if carry not in kinds:
            kinds[carry] = kinds[out]
    for y in loop.ys:
        if kinds[y] not in (ROWS, WHOLE):
            raise Unsupported("an output that mixes the batch")
    if any(kinds[s] == WHOLE for s in loop.sums):
        raise Unsupported("a sum that has no part in any row")  # every thread would add all of it
    return kinds


def kind_of(v: Value, kinds: dict, batch: int) -> str:
    given = [kinds[x] for x in v.inputs if isinstance(x, Value)]
    if all(k == WHOLE for k in given):
        return WHOLE
    mixes = Unsupported(f"{v.op.name} mixes the batch")
    if is_op(v, "matmul"):
        a, b = v.inputs
        if kinds[a] == COLUMNS and kinds[b] == ROWS and a.ndim == 2 == b.ndim:
            return PARTIAL
        if kinds[a] == ROWS and kinds[b] == WHOLE and a.ndim >= 2 and b.ndim <= 2:
            return ROWS
        if a.ndim == b.ndim >= 3 and all(kinds[x] == ROWS or x.shape[0] in (1, batch) for x in (a, b)):
            return ROWS  # what is whole is read at the same rows
        if kinds[a] == WHOLE and kinds[b] == ROWS and b.ndim >= 3 and 2 <= a.ndim < b.ndim:
            return ROWS
        raise mixes
    if any(k in (PARTIAL, COLUMNS) for k in given):
        raise mixes
    if is_op(v, "conv2d", "conv_transpose2d"):
        if kinds[v.inputs[0]] != ROWS or kinds[v.inputs[1]] != WHOLE:
            raise mixes
        return ROWS
    x = v.inputs[0]
    if v.op is Pick:
        return ROWS
    if is_elementwise(v):
        if all(not isinstance(x, Value) or kinds[x] == WHOLE or x.ndim == v.ndim for x in v.inputs):
            return ROWS
        raise mixes
    params = v.params
    name = v.op.name
    if name == "concatenate":
        ok = axis_of(params["axis"], v.ndim) != 0
    elif name in ("split", "unstack"):
        ok = axis_of(params["axis"], x.ndim) != 0
    elif name in ("sum", "max", "min"):
        ok = 0 not in axes_of(params.get("axis"), x.ndim)
        if not ok and name == "sum":
            return PARTIAL
    elif name == "sum_to":
        if len(v.shape) < x.ndim or v.shape[0] != batch:
            return PARTIAL
        ok = True
    elif name == "swapaxes":
        axes = {axis_of(params["axis1"], v.ndim), axis_of(params["axis2"], v.ndim)}
        if v.ndim == 2 and axes == {0, 1}:
            return COLUMNS
        ok = 0 not in axes or len(axes) == 1
    elif name == "transpose":
        axes = params["axes"]
        if v.ndim == 2 and (axes is None or axes_of(axes, 2) == (1, 0)):
            return COLUMNS
        ok = axes is not None and axis_of(axes[0], v.ndim) == 0
    elif name == "reshape":
        ok = v.ndim > 0 and v.shape[0] == x.shape[0]
    elif name == "broadcast_to":
        ok = v.ndim == x.ndim
    elif name == "flip":
        ok = 0 not in axes_of(params["axis"], v.ndim)
    elif name == "getitem":
        index = params["index"] if isinstance(params["index"], tuple) else (params["index"],)
        ok = bool(index) and (
            index[0] == slice(None) or (index[0] is Ellipsis and len([i for i in index[1:] if i is not None]) < x.ndim)
        )
    else:
        ok = False
    if not ok:
        raise mixes
    return ROWS
