"""Diagonals: slices, with a step, of a matrix written in one line. Ops on matrices, as they are."""

import math

import numpy as np

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import Python
from minigrad.ir.rules.rule import Rule
from minigrad.ops.linalg import _diagonal_shape
from minigrad.ops.shape import axis_of
from minigrad.ops.table import Spec


def diagonal(p, x, offset=0, axis1=0, axis2=1):
    order, inside = as_slice(x.shape, offset, axis1, axis2)
    x = p.apply("transpose", x, axes=order)
    lined = p.apply("reshape", x, shape=(*x.shape[:-2], math.prod(x.shape[-2:])))
    return p.apply("getitem", lined, index=(..., inside))


def undiagonal(p, g, shape, offset=0, axis1=0, axis2=1):
    order, inside = as_slice(shape, offset, axis1, axis2)
    moved = tuple([shape[k] for k in order])
    lined = (*moved[:-2], math.prod(moved[-2:]))
    x = p.apply("reshape", p.apply("unindex", g, shape=lined, index=(..., inside)), shape=moved)
    return p.apply("transpose", x, axes=tuple([order.index(k) for k in range(len(order))]))


def as_slice(shape, offset, axis1, axis2) -> tuple[tuple, slice]:
    """(an order of axes in which the diagonal's are the last, its slice of these two in one line)"""
    count = _diagonal_shape(Spec(tuple(shape), np.dtype(bool)), offset, axis1, axis2)[-1]
    last = axis1 % len(shape), axis2 % len(shape)
    order = (*[k for k in range(len(shape)) if k not in last], *last)
    columns = shape[last[1]]
    start = offset if offset >= 0 else -offset * columns
    return order, slice(start, start + (count - 1) * (columns + 1) + 1, columns + 1) if count else slice(0, 0)


# Under one more leading axis


def diagonal_batched(b, x, offset=0, axis1=0, axis2=1):
    ndim = len(b.shape(0))
    return b.o.diagonal(x, offset=offset, axis1=axis_of(axis1, ndim) + 1, axis2=axis_of(axis2, ndim) + 1)


def undiagonal_batched(b, g, shape, offset=0, axis1=0, axis2=1):
    axes = {"axis1": axis_of(axis1, len(shape)) + 1, "axis2": axis_of(axis2, len(shape)) + 1}
    return b.o.undiagonal(g, shape=(b.size, *shape), offset=offset, **axes)


def solve_batched(b, x, y):
    """A vector on the right is a column, since with an axis of samples it would look like a matrix."""
    if not b.on[1]:
        return b.o.solve(x, y) if len(b.shape(1)) == 1 else b.o.solve(b.padded(0, len(b.shape(1))), y)
    vector = len(b.shape(1)) == 1
    columns = (*b.shape(1), 1) if vector else b.shape(1)
    ndim = max(len(b.shape(0)), len(columns))
    right = b.reshaped(y, *[1] * (ndim - len(columns)), *columns)
    result = b.o.solve(b.padded(0, ndim), right)
    return b.o.reshape(result, shape=result.shape[:-1]) if vector else result


RULES = {
    "diagonal": Rule(canonical=diagonal, batch=diagonal_batched, view=True),
    "undiagonal": Rule(canonical=undiagonal, batch=undiagonal_batched),
    "solve": Rule(batch=solve_batched, partition=partition.matrices, kernel=Python(), linear=(1,)),
}
RULES |= {name: Rule(batch=batch.leading, partition=partition.matrices, kernel=Python())
          for name in ("inv", "cholesky", "cofactor", "det", "slogdet", "svd", "eigh", "qr", "pinv")}  # fmt: skip
