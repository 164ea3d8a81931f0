"""Diagonals: slices, with a step, of a matrix written in one line. Ops on matrices, as they are."""

import math
from dataclasses import replace

import numpy as np

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import Blocks
from minigrad.ir.rules.rule import Rule
from minigrad.ops.linalg import INDEFINITE, SINGULAR, _diagonal_shape
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


# In loops: what kernels are made of. Like NumPy they compute in float64, and `refuse()` where it does.


def solve_lowered(o, value, a, b):
    """A vector on the right is a column."""
    if b.ndim != 1:
        return None
    return o.reshape(o.solve(a, o.reshape(b, shape=(*b.shape, 1))), shape=value.shape)


ELIMINATION = """
for i in range(n):
    for j in range(n):
        lu[i, j] = np.float64(a[i, j])
    for j in range(m):
        x[i, j] = {right}
for k in range(n):
    best, largest = k, np.abs(lu[k, k])
    for i in range(k + 1, n):
        size = np.abs(lu[i, k])
        if size > largest:
            best, largest = i, size
    if best != k:
        for j in range(k, n):
            kept = lu[k, j]
            lu[k, j] = lu[best, j]
            lu[best, j] = kept
        for j in range(m):
            kept = x[k, j]
            x[k, j] = x[best, j]
            x[best, j] = kept
    pivot = lu[k, k]
    if pivot == np.float64(0):
        refuse()
    for i in range(k + 1, n):
        factor = lu[i, k] / pivot
        for j in range(k + 1, n):
            lu[i, j] -= factor * lu[k, j]
        for j in range(m):
            x[i, j] -= factor * x[k, j]
for back in range(n):
    k = n - 1 - back
    for i in range(k + 1, n):
        factor = lu[k, i]
        for j in range(m):
            x[k, j] -= factor * x[i, j]
    pivot = lu[k, k]
    for j in range(m):
        x[k, j] = x[k, j] / pivot
for i in range(n):
    for j in range(m):
        y[i, j] = x[i, j]
"""
CHOLESKY = """
for i in range(n):
    for j in range(i):
        total = np.float64(a[i, j])
        for k in range(j):
            total -= x[i, k] * x[j, k]
        x[i, j] = total / x[j, j]
    total = np.float64(a[i, i])
    for k in range(i):
        total -= x[i, k] * x[i, k]
    if total <= np.float64(0):
        refuse()
    x[i, i] = np.sqrt(total)
    for j in range(n):
        y[i, j] = x[i, j] if j <= i else np.float64(0)
"""
PIVOTS = """
sign = np.float64(1)
for i in range(n):
    for j in range(n):
        lu[i, j] = np.float64(a[i, j])
for k in range(n):
    best, largest = k, np.abs(lu[k, k])
    for i in range(k + 1, n):
        size = np.abs(lu[i, k])
        if size > largest:
            best, largest = i, size
    if best != k:
        sign = -sign
        for j in range(k, n):
            kept = lu[k, j]
            lu[k, j] = lu[best, j]
            lu[best, j] = kept
    pivot = lu[k, k]
    if pivot != np.float64(0):
        for i in range(k + 1, n):
            factor = lu[i, k] / pivot
            for j in range(k + 1, n):
                lu[i, j] -= factor * lu[k, j]
"""
DETERMINANT = f"""{PIVOTS}
total = sign
for k in range(n):
    total = total * lu[k, k]
if not (np.abs(total) > 1e-300 and np.abs(total) < 1e300):
    logarithm = np.float64(0)
    for k in range(n):
        pivot = lu[k, k]
        sign = -sign if pivot < np.float64(0) else sign
        logarithm += np.float64(log(Float(np.abs(pivot))))
    total = sign * np.float64(exp(Float(logarithm)))
y[()] = total
"""
LOGARITHM = f"""{PIVOTS}
total = np.float64(0)
for k in range(n):
    pivot = lu[k, k]
    sign = -sign if pivot < np.float64(0) else sign
    sign = np.float64(0) if pivot == np.float64(0) else sign
    total += np.float64(log(Float(np.abs(pivot))))
s[()] = sign
y[()] = total
"""
# With all of the matrix searched for a pivot, P a Q = L U, and cofactors are those of the factors: of L its inverse
# transposed; of U the transposed adjugate, which grows by a row and a column at a time without a division. So a
# matrix without an inverse has them, too.
COFACTORS = """
sign = np.float64(1)
for i in range(n):
    row[i] = i
    column[i] = i
    for j in range(n):
        lu[i, j] = np.float64(a[i, j])
        c[i, j] = np.float64(0)
for k in range(n):
    r, q, largest = k, k, np.abs(lu[k, k])
    for i in range(k, n):
        for j in range(k, n):
            size = np.abs(lu[i, j])
            if size > largest:
                r, q, largest = i, j, size
    if r != k:
        sign = -sign
        kept = row[k]
        row[k] = row[r]
        row[r] = kept
        for j in range(n):
            kept = lu[k, j]
            lu[k, j] = lu[r, j]
            lu[r, j] = kept
    if q != k:
        sign = -sign
        kept = column[k]
        column[k] = column[q]
        column[q] = kept
        for i in range(n):
            kept = lu[i, k]
            lu[i, k] = lu[i, q]
            lu[i, q] = kept
    pivot = lu[k, k]
    for i in range(k + 1, n):
        factor = lu[i, k] / pivot if pivot != np.float64(0) else np.float64(0)
        lu[i, k] = factor
        for j in range(k + 1, n):
            lu[i, j] -= factor * lu[k, j]
minor = sign
for k in range(n):
    for i in range(k):
        total = np.float64(0)
        for j in range(i, k):
            total += c[j, i] * lu[j, k]
        c[k, i] = -total
    pivot = lu[k, k]
    for i in range(k):
        for j in range(i + 1):
            c[i, j] *= pivot
    c[k, k] = minor
    minor = minor * pivot
for back in range(n):
    i = n - 1 - back
    for k in range(i + 1, n):
        for j in range(n):
            c[i, j] -= lu[k, i] * c[k, j]
for i in range(n):
    for j in range(n):
        y[np.int64(row[i]), np.int64(column[j])] = c[i, j]
"""


def sizes(v) -> dict:
    n = v.inputs[0].shape[-1]
    return {"n": n, "m": n if len(v.inputs) == 1 else v.inputs[1].shape[-1]}


def rooms(*names: str):
    """Memory for matrices, (n, m) for what the sides of equations become, and for vectors."""
    shapes = {"lu": "nn", "c": "nn", "x": "nm", "row": "n", "column": "n"}
    return lambda v: {name: [sizes(v)[k] for k in shapes[name]] for name in names}


def cubic(n: int, m: int) -> int:
    """Of an elimination, and of what it does to the right sides."""
    return 2 * n * n * (n + 3 * m) // 3


ONE = ELIMINATION.format(right="np.float64(1) if i == j else np.float64(0)")
SIDES = ELIMINATION.format(right="np.float64(b[i, j])")
MATRIX = {"a": 2}
KERNELS = {
    "solve": Blocks(MATRIX | {"b": 2}, {"y": 2}, SIDES, sizes, cubic, rooms("lu", "x"), SINGULAR),
    "inv": Blocks(MATRIX, {"y": 2}, ONE, sizes, cubic, rooms("lu", "x"), SINGULAR),
    "cholesky": Blocks(MATRIX, {"y": 2}, CHOLESKY, sizes, cubic, rooms("x"), INDEFINITE),
    "cofactor": Blocks(MATRIX, {"y": 2}, COFACTORS, sizes, cubic, rooms("lu", "c", "row", "column")),
    "det": Blocks(MATRIX, {"y": 0}, DETERMINANT, sizes, cubic, rooms("lu")),
    "slogdet": Blocks(MATRIX, {"s": 0, "y": 0}, LOGARITHM, sizes, cubic, rooms("lu")),
}


def matrix_flops(shapes, results) -> float:
    *batch, n, _ = shapes[0]
    *_, m = shapes[-1] if len(shapes[-1]) > 1 else (1,)
    return float(math.prod(batch) * cubic(n, m))


RULES = {
    "diagonal": Rule(canonical=diagonal, batch=diagonal_batched, view=True),
    "undiagonal": Rule(canonical=undiagonal, batch=undiagonal_batched),
}
RULES |= {name: Rule(batch=batch.leading, partition=partition.matrices, kernel=kernel, flops=matrix_flops)
          for name, kernel in KERNELS.items()}  # fmt: skip
RULES |= {name: Rule(batch=batch.leading, partition=partition.matrices)  # which no kernel has
          for name in ("svd", "eigh", "qr", "pinv")}  # fmt: skip
RULES["solve"] = replace(RULES["solve"], batch=solve_batched, lower=solve_lowered, linear=(1,))
