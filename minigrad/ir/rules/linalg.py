"""Diagonals: slices, with a step, of a matrix written in one line."""

import math

import numpy as np

from minigrad.ops.linalg import _diagonal_shape
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


CANONICAL = {"diagonal": diagonal, "undiagonal": undiagonal}
