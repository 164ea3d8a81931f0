"""How threads may divide a loop's batch: which values have it as their leading axis, and which ops mix it.

ROWS: the batch is the leading axis. WHOLE: the same for every row (weights, and what comes of them alone).
PARTIAL: a sum over the rows, of which each thread has its part. COLUMNS: the transpose of ROWS, fit for such a sum.
"""

from collections.abc import Callable

from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import is_elementwise, is_op
from minigrad.ir.trace import Pick, Value
from minigrad.ops.index import is_basic

ROWS, WHOLE, PARTIAL, COLUMNS = "rows", "whole", "partial", "columns"


class Unsupported(Exception):
    """Something that no kernel can do; the message says why. value: what it is about; it is then computed by a call of
    Python from the kernel. None: the loop as a whole cannot become a kernel, and its steps are run one by one."""

    def __init__(self, reason: str, value: Value | None = None):
        super().__init__(reason)
        self.value = value


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
    x = v.inputs[0]
    if v.op is Pick:
        return kinds[x]
    if is_elementwise(v):
        if all(not isinstance(x, Value) or kinds[x] == WHOLE or x.ndim == v.ndim for x in v.inputs):
            return ROWS
        raise mixes
    params = v.params
    name = v.op.name
    if name == "concatenate":
        ok = params["axis"] != 0
    elif name in ("sum", "max", "min"):
        ok = 0 not in params["axis"]
        if not ok and name == "sum":
            return PARTIAL
    elif name == "transpose":
        if params["axes"] == (1, 0):
            return COLUMNS
        ok = params["axes"][0] == 0
    elif name == "reshape":
        ok = v.ndim > 0 and v.shape[0] == x.shape[0]
    elif name == "broadcast_to":
        ok = v.ndim == x.ndim
    elif name == "getitem":
        ok = params["index"][0] == slice(0, batch, 1)
    else:
        ok = name in BY_ROW and BY_ROW[name](v, *[None if x is None else kinds[x] == ROWS for x in v.inputs])
    if not ok:
        raise mixes
    return ROWS


def off_the_rows(v, *by_row) -> bool:
    """Whether an op along axes leaves the leading one alone, and has all its operands by row."""
    axis = v.params["axis"]
    return all(by_row) and axis is not None and 0 not in (axis if isinstance(axis, tuple) else (axis,))


def of_matrices(v, *by_row) -> bool:
    """Whether an op on matrices has one, or several, for each row; an operand for all rows is one matrix."""
    return all(x.ndim >= 3 if b else x.ndim <= 2 for x, b in zip(v.inputs, by_row))


def picks_rows(v, x, indices) -> bool:
    """Whether each row picks from what is the same for all, or all pick in the same way from their own."""
    return v.params.get("axis", 0) == 0 if indices and not x else not indices and v.params.get("axis", 0) != 0


def convolved(v, x, weight, bias=None) -> bool:
    return x and not weight


def alone(v, x) -> bool:
    return x


def placed(v, *by_row) -> bool:
    """Whether an index takes all rows. What is the same for all of them is read at the same rows."""
    index = v.params["index"]
    return isinstance(index, tuple) and is_basic(index) and index[0] == slice(0, v.shape[0], 1)


# Whether threads may divide the rows of an op: of the value, and of each operand whether it is by row.
BY_ROW: dict[str, Callable[..., bool]] = {}
BY_ROW |= dict.fromkeys(("argsort", "argmax", "argmin", "cumsum", "cumprod", "linear_recurrence", "prod", "any", "all",
                        "take_along_axis", "untake_along_axis"), off_the_rows)  # fmt: skip
BY_ROW |= dict.fromkeys(("cholesky", "inv", "det", "slogdet", "solve", "cofactor"), of_matrices)
BY_ROW |= dict.fromkeys(("conv2d", "conv_transpose2d"), convolved)
BY_ROW |= dict.fromkeys(("pool_sum", "pool_spread", "max_pool2d_indices", "one_hot", "astype"), alone)
BY_ROW |= dict.fromkeys(("take", "embedding"), picks_rows)
BY_ROW["unindex"] = BY_ROW["index_put"] = placed
