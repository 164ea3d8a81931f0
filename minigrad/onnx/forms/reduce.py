"""Reductions over a tuple of axes; and what runs along one axis, as a Scan."""

import numpy as np

from minigrad.onnx.forms.index import part, zeros
from minigrad.onnx.forms.shape import reshaped
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


def running(g, v, rows: list[str], start: str, axis: int, step, backwards: bool = False, dtype=None) -> str:
    """What a carry is after each step along an axis. step(body, carry, *slices) -> the next. dtype: of both, if it is
    not that of the value."""
    spec = Spec(without(v.shape, axis), dtype or v.dtype)
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


def cumargmax(g, v, x, axis, largest):
    """The best so far; and of the places where that is met the last."""
    given = v.inputs[0].dtype
    dtype = given if given.kind == "f" or given in (np.int32, np.int64) else INT64
    x = x if given == dtype else g.cast(x, dtype)
    least, most = (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)

    def met(g, x: str, other: str, kind: str) -> str:
        found = g.node(kind, x, other)
        return g.node("Or", found, g.node("IsNaN", x)) if dtype.kind == "f" else found

    def better(body, best: str, x: str) -> str:
        return body.node("Where", met(body, x, best, "GreaterOrEqual" if largest else "LessOrEqual"), x, best)

    shape, n = without(v.shape, axis), v.shape[axis]
    best = running(g, v, [x], zeros(g, shape, dtype, least if largest else most), axis, better, dtype=dtype)
    places = g.node("Range", g.scalar(0), g.scalar(n), g.scalar(1))
    places = reshaped(g, places, (n, *[1] * (len(shape) - axis)))
    there = g.node("Where", met(g, x, best, "Equal"), places, g.scalar(0))
    return running(g, v, [there], zeros(g, shape, INT64), axis, lambda body, last, at: body.node("Max", last, at))


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
    "cumsum": cumsum, "cumprod": cumprod, "cumargmax": cumargmax, "linear_recurrence": linear_recurrence,
}  # fmt: skip
