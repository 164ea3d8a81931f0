"""Reductions over a tuple of axes; and what runs along one axis, as a Scan."""

import numpy as np

from minigrad.onnx.forms.index import part, zeros
from minigrad.onnx.graph import INT64, Graph, described
from minigrad.ops.table import Spec

BOOL = np.dtype(bool)


def over_axes(kind: str, accumulates: bool):
    """accumulates: whether the result has the wider type of integers (the operand is brought to it before)."""

    def form(g, v, x, axis, keepdims):
        given = v.inputs[0].dtype
        if accumulates:
            working = v.dtype if v.dtype.kind == "f" else INT64
        else:
            working = given if given.kind == "f" or given in (np.int32, np.int64) else INT64
        x = x if given == working else g.cast(x, working)
        made = g.node(kind, x, *reduced_axes(g, kind, axis), keepdims=int(keepdims), **attributes(kind, axis))
        return made if v.dtype == working else g.cast(made, v.dtype)

    return form


def reduced_axes(g, kind: str, axis) -> list[str]:
    return [] if kind.startswith("Arg") else [g.sizes(axis)]


def attributes(kind: str, axis) -> dict:
    return {"axis": axis} if kind.startswith("Arg") else {}


def truth(kind: str):
    """any and all: the largest and the smallest of 0 and 1."""

    def form(g, v, x, axis, keepdims):
        x = g.cast(x if v.inputs[0].dtype == BOOL else g.cast(x, BOOL), INT64)
        return g.cast(g.node(kind, x, g.sizes(axis), keepdims=int(keepdims)), BOOL)

    return form


def cumsum(g, v, x, axis):
    working = v.dtype if v.dtype.kind == "f" else INT64
    x = x if v.inputs[0].dtype == working else g.cast(x, working)
    made = g.node("CumSum", x, g.scalar(axis))
    return made if v.dtype == working else g.cast(made, v.dtype)


def running(g, v, rows: list[str], start: str, axis: int, step, backwards: bool = False) -> str:
    """What a carry is after each step along an axis. step(body, carry, *slices) -> the next."""
    spec = Spec((*v.shape[:axis], *v.shape[axis + 1 :]), v.dtype)
    body = Graph(g)
    carry, *slices = [g.names.new(name) for name in ("carry", *["row"] * len(rows))]
    after = step(body, carry, *slices)
    y = body.node("Identity", after)
    unknown = [None] * spec.ndim
    inner = body.proto("step", [described(name, spec, unknown) for name in (carry, *slices)],
                       [described(name, spec, unknown) for name in (after, y)])  # fmt: skip
    directions = [int(backwards)]
    return g.nodes_of(
        "Scan", start, *rows, results=2, body=inner, num_scan_inputs=len(rows),
        scan_input_axes=[axis] * len(rows), scan_output_axes=[axis],
        scan_input_directions=directions * len(rows), scan_output_directions=directions,
    )[1]  # fmt: skip


def without(shape, axis: int) -> tuple:
    return (*shape[:axis], *shape[axis + 1 :])


def cumprod(g, v, x, axis):
    x = x if v.inputs[0].dtype == v.dtype else g.cast(x, v.dtype)
    start = zeros(g, without(v.shape, axis), v.dtype, 1)
    return running(g, v, [x], start, axis, lambda body, carry, row: body.node("Mul", carry, row))


def linear_recurrence(g, v, b, a, axis, transposed):
    """Of the factors the first is not used, which multiplies the carry before the first step: 0 stands there."""
    shape, start = v.shape, zeros(g, without(v.shape, axis), v.dtype)
    nothing = zeros(g, (*shape[:axis], 1, *shape[axis + 1 :]), v.dtype)
    rest = part(g, a, tuple([slice(int(k == axis), n, 1) for k, n in enumerate(shape)]), shape)
    factors = g.node("Concat", *([rest, nothing] if transposed else [nothing, rest]), axis=axis)

    def step(body, carry, b, a):
        return body.node("Add", b, body.node("Mul", a, carry))

    return running(g, v, [b, factors], start, axis, step, transposed)


FORMS = {
    "sum": over_axes("ReduceSum", True), "prod": over_axes("ReduceProd", True),
    "max": over_axes("ReduceMax", False), "min": over_axes("ReduceMin", False),
    "argmax": over_axes("ArgMax", False), "argmin": over_axes("ArgMin", False),
    "any": truth("ReduceMax"), "all": truth("ReduceMin"),
    "cumsum": cumsum, "cumprod": cumprod, "linear_recurrence": linear_recurrence,
}  # fmt: skip
