"""What partition rules are made of: what becomes of the rows where threads divide them.

A rule is called as rule(v, *given): a value, and how each operand is divided, None for what is no value. It is asked
where not all of them are replicated, and gives how the value is divided, or None where no thread can compute its part.

    y = tanh(x)            shard                           SHARD
    y = x @ w              shard, replicate                SHARD
    d = sum(g, axis=0)     shard                           PARTIAL
    d = x.T @ g            transposed, shard               PARTIAL
    m = max(x, axis=0)     shard                           None: it needs all rows

Of stacks of a loop in the step, (L, B, ...), the rows are the second axis. Their rules are called as
rule(v, axis, *by_row): the axis of the rows, and which operands have them. They give that of the value.

    y = ys[2]              (L, B, H) to (B, H)             the rows are its leading axis
    y = sum(ys, axis=0)    (L, B, H) to (B, H)             the same
    d = sum(g, axis=(0, 1))                                PARTIAL
    y = reshape(ys)        (L, B, H) to (L * B, H)         MERGED: its transpose and another one give a PARTIAL product
"""

import functools
from collections.abc import Callable

from minigrad.ops.index import is_basic

SHARD = "shard"  # its leading axis is that of the rows: each thread has some
REPLICATE = "replicate"  # the same for every row (weights, and what comes of them alone): each thread has all of it
PARTIAL = "partial"  # a sum over the rows: each thread has that over its own
STACKED = (
    "shard at "  # followed by the axis of the rows, if that is not the leading one: what a loop in the step stacks
)
MERGED = "shards of "  # followed by a number: a matrix of so many times the rows, a stack whose steps are rows, too


def stacked(kind: str, by: int = 1) -> str | None:
    """How a stack of such values is divided, over steps of a loop in the step; by=-1: how a slice of such a stack is.
    None where that cannot be divided."""
    if kind == REPLICATE:
        return kind
    axis = axis_of(kind)
    if axis is None or axis + by < 0:
        return None
    return f"{STACKED}{axis + by}" if axis + by else SHARD


def axis_of(kind: str) -> int | None:
    """The axis of the rows, of what has one."""
    return 0 if kind == SHARD else int(kind.removeprefix(STACKED)) if kind.startswith(STACKED) else None


def transposed(kind: str) -> str:
    """How the transpose of a matrix is divided: its last axis is that of the rows, fit for a sum over them."""
    return f"transposed {kind}"


TRANSPOSED = transposed(SHARD)


def merged(kind: str) -> int:
    """Of how many times the rows a matrix is, or the transpose of one."""
    return int(kind.rpartition(MERGED)[2]) if MERGED in kind else 1


def of_rows(rule: Callable) -> Callable:
    """A rule that says of sharded operands (True) and replicated ones (False) whether the value is sharded."""

    @functools.wraps(rule)
    def partition(v, *given):
        if not {SHARD, REPLICATE, None}.issuperset(given):
            return None
        return SHARD if rule(v, *[None if g is None else g == SHARD for g in given]) else None

    return partition


@of_rows
def elementwise(v, *by_row):
    return all(not b or x.ndim == v.ndim for x, b in zip(v.inputs, by_row))


@of_rows
def leading(v, *by_row):
    """Of ops that work on the last axes alone: each operand has rows."""
    return all(by_row)


def elementwise_stacked(v, axis, *by_row):
    return axis if all(x.ndim == v.ndim for x, b in zip(v.inputs, by_row) if b) else None


def mixes(v, *given) -> None:
    """Of ops whose every result needs all rows."""


@of_rows
def along_axes(v, *by_row):
    """Of ops along axes: they leave the leading one alone, and all operands have it. What is the same for all rows is
    read at the same rows."""
    axis, size = v.params["axis"], v.shape[:1]
    have_it = all(b or (x.ndim == v.ndim and x.shape[:1] == size) for x, b in zip(v.inputs, by_row))
    return have_it and axis is not None and 0 not in (axis if isinstance(axis, tuple) else (axis,))


@of_rows
def matrices(v, *by_row):
    """Of ops on matrices: there is one, or several, for each row; an operand for all rows is one matrix."""
    return all(x.ndim >= 3 if b else x.ndim <= 2 for x, b in zip(v.inputs, by_row))


@of_rows
def indexed(v, *by_row):
    """Of ops with an index: it takes all rows. What is the same for all of them is read at the same rows."""
    index = v.params["index"]
    return isinstance(index, tuple) and is_basic(index) and index[0] == slice(0, v.shape[0], 1)
