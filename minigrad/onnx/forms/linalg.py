"""Ops on matrices. Of these ONNX has the determinant alone; equations are solved by a Loop."""

import numpy as np

from minigrad.onnx.forms.form import Without
from minigrad.onnx.forms.index import part
from minigrad.onnx.graph import INT64, Graph, described
from minigrad.ops.table import Spec

BOOL, FLOAT64 = np.dtype(bool), np.dtype("float64")


def det(g, v, x):
    return g.node("Det", x)


def inv(g, v, a):
    places = rows_of(g, v.shape[-1])
    identity = g.cast(g.node("Equal", g.node("Unsqueeze", places, g.sizes([1])), places), FLOAT64)
    return g.cast(solved(g, v.shape, a, identity, v.shape[-1]), v.dtype)


def solve(g, v, a, b):
    sides, shape = v.inputs[1], v.shape
    if sides.ndim == 1:
        b, shape = g.node("Unsqueeze", b, g.sizes([1])), (*shape, 1)
    made = g.cast(solved(g, shape, a, g.cast(b, FLOAT64), v.inputs[0].shape[-1]), v.dtype)
    return g.node("Squeeze", made, g.sizes([-1])) if sides.ndim == 1 else made


def rows_of(g, n) -> str:
    return g.node("Range", g.scalar(0), g.scalar(n), g.scalar(1))


def solved(g, shape, a: str, b: str, n) -> str:
    """x of a @ x = b, in float64 as in minigrad: Gauss and Jordan's elimination, with the largest pivot of a column.
    Where a has no inverse there is a division by zero, and no error."""
    batch = shape[:-2]
    both = [
        g.node("Expand", x, g.sizes([*batch, n, m])) for x, m in ((g.cast(a, FLOAT64), n), (b, shape[-1]))
    ]  # fmt: skip
    start, places, zero = g.node("Concat", *both, axis=-1), rows_of(g, n), g.constant(np.asarray(0.0))
    body = Graph(g)
    k, going, rows = [g.names.new(name) for name in ("row_number", "going", "rows")]
    column, of_row = g.sizes([-1]), g.sizes([-2])
    below = body.node("GreaterOrEqual", places, k)
    sizes = body.node(
        "Where", below, body.node("Abs", body.node("Gather", rows, k, axis=-1)), g.constant(np.asarray(-1.0))
    )
    is_k = body.node("Equal", places, k)
    is_pivot = body.node("Equal", places, body.node("ArgMax", sizes, axis=-1, keepdims=1))
    is_k_row, is_pivot_row = [body.node("Unsqueeze", x, column) for x in (is_k, is_pivot)]
    pivot_row = body.node("ReduceSum", body.node("Where", is_pivot_row, rows, zero), of_row)
    swapped = body.node(
        "Where", is_pivot_row, body.node("Unsqueeze", body.node("Gather", rows, k, axis=-2), of_row), rows
    )
    swapped = body.node("Where", is_k_row, pivot_row, swapped)
    pivot = body.node("Gather", pivot_row, k, axis=-1)
    divided = body.node("Div", pivot_row, body.node("Unsqueeze", pivot, column))
    factors = body.node("Where", is_k, zero, body.node("Gather", swapped, k, axis=-1))
    rest = body.node("Sub", swapped, body.node("Mul", body.node("Unsqueeze", factors, column), divided))
    after = body.node("Where", is_k_row, divided, rest)
    goes_on = body.node("Identity", g.constant(np.asarray(True)))
    unknown = [None] * len(shape)
    spec, number, truth = Spec(shape, FLOAT64), Spec((), INT64), Spec((), BOOL)
    step = body.proto(
        "elimination", [described(k, number, []), described(going, truth, []), described(rows, spec, unknown)],
        [described(goes_on, truth, []), described(after, spec, unknown)],
    )  # fmt: skip
    made = g.node("Loop", g.scalar(n), "", start, body=step)
    width = n + shape[-1]
    return part(g, made, (*[slice(0, m, 1) for m in (*batch, n)], slice(n, width, 1)), (*batch, n, width))


WHY = "ONNX has no op for it; compute it outside and pass the result, or, of a constant, before the export"
FORMS = {
    "det": det, "inv": inv, "solve": solve,
    **dict.fromkeys(["cholesky", "cofactor", "slogdet", "svd", "eigh", "qr", "pinv"], Without(WHY)),
}  # fmt: skip
