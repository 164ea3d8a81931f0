"""Loops: a `Scan`, which takes all steps of its streams; a `Loop`, which says itself how many; an `If`, of one or none.

Scan    consts are names of the graph around; carries and sums are its states, streams its scan inputs
Loop    the same without streams: a step reads its slice of them by its number
If      a loop of at most one step, a branch of `cond`
"""

import re

import numpy as np

from minigrad.ir.loop import UNBOUNDED
from minigrad.ir.trace import Value
from minigrad.onnx.forms.index import part, zeros
from minigrad.onnx.graph import INT64, Graph, Unsupported, described
from minigrad.ops.table import Spec
from minigrad.symbolic import Symbolic

BOOL = np.dtype(bool)


def loop(writer, g: Graph, v: Value) -> list[str]:
    """The names of a loop's results: the last carries, the sums, the ys."""
    kind = v.op
    outside = [writer.name(g, x) for x in v.inputs]
    for inner, name in zip(kind.consts, outside):
        writer.names[inner] = name
    starts = outside[len(kind.consts) : len(kind.consts) + len(kind.carries)]
    streams = outside[len(kind.consts) + len(kind.carries) :]
    starts = starts + [zeros(g, x.shape, x.dtype) for x in kind.sums]
    if kind.count is not None and kind.length == 1 and kind.go is None:
        return branch(writer, g, kind, starts, streams)
    if kind.count is None and streams and takes_steps(kind.length):
        return scan(writer, g, kind, starts, streams)
    return counted(writer, g, kind, starts, streams)


def takes_steps(length) -> bool:
    """Whether a loop surely takes a step, as onnxruntime wants of a Scan: an axis of an input is not empty."""
    return not isinstance(length, Symbolic) or re.fullmatch(r"\(\w+\)", length.text) is not None


def entered(writer, g: Graph, body: Graph, values, name: str) -> list:
    """Inputs of a step's graph for values of the step's program."""
    names = [g.names.new(name) for _ in values]
    writer.names.update(zip(values, names))
    return [described(n, v, dims(v)) for n, v in zip(names, values)]


def dims(v) -> list:
    """The axes of a value, for the reader: those that are known."""
    return [n if type(n) is int else None for n in v.shape]


def step(writer, g: Graph, body: Graph, kind, totals: list[str]) -> tuple[list, list]:
    """Write a step: what it gives for the next one (carries, sums), and the ys. totals: the sums so far."""
    names = writer.write(body, kind.results)
    carried, terms, ys = np.split(np.array(names, object), np.cumsum([len(kind.carry_outs), len(kind.sums)]))
    sums = [body.node("Add", total, term) for total, term in zip(totals, terms)]
    results = body.results([*carried, *sums, *ys])
    after, given = results[: len(results) - len(ys)], results[len(results) - len(ys) :]
    return (
        [described(name, v, dims(v)) for name, v in zip(after, (*kind.carry_outs, *kind.sums))],
        [described(name, v, dims(v)) for name, v in zip(given, kind.ys)],
    )


def scan(writer, g: Graph, kind, starts: list[str], streams: list[str]) -> list[str]:
    body = Graph(g)
    carries = entered(writer, g, body, kind.carries, "carry")
    totals = [described(g.names.new("total"), v, dims(v)) for v in kind.sums]
    slices = entered(writer, g, body, kind.streams, "slice")
    after, ys = step(writer, g, body, kind, [total.name for total in totals])
    backwards = {"scan_input_directions": [1] * len(streams), "scan_output_directions": [1] * len(ys)}
    return g.nodes_of(
        "Scan", *starts, *streams, results=len(after) + len(ys), num_scan_inputs=len(streams),
        body=body.proto("step", [*carries, *totals, *slices], [*after, *ys]),
        **{name: values for name, values in backwards.items() if kind.reverse and values},
    )  # fmt: skip


def counted(writer, g: Graph, kind, starts: list[str], streams: list[str]) -> list[str]:
    if kind.count is not None and (kind.ys or kind.reverse):
        raise Unsupported(
            "the derivative of a loop of which the numbers say how many steps it takes; export the function without it"
        )
    body = Graph(g)
    number, going = [g.names.new(name) for name in ("step_number", "going")]
    heading = [described(number, Spec((), INT64), []), described(going, Spec((), BOOL), [])]
    at = number
    if kind.reverse:
        at = body.node("Sub", g.scalar(kind.length - 1), number)
    writer.names.update(
        (inner, body.node("Gather", stream, at, axis=0)) for inner, stream in zip(kind.streams, streams)
    )
    carries = entered(writer, g, body, kind.carries, "carry")
    totals = [described(g.names.new("total"), v, dims(v)) for v in kind.sums]
    after, ys = step(writer, g, body, kind, [total.name for total in totals])
    (go,) = writer.write(body, [kind.go]) if kind.go is not None else [g.constant(np.asarray(True))]
    goes_on = body.node("Identity", go)
    if kind.count is not None:
        steps = g.node("Cast", writer.names[kind.count], to=7)
    else:
        steps = "" if kind.length == UNBOUNDED else g.scalar(kind.length)
    results = g.nodes_of(
        "Loop", steps, "", *starts, results=len(after) + len(ys),
        body=body.proto("step", [*heading, *carries, *totals], [described(goes_on, Spec((), BOOL), []), *after, *ys]),
    )  # fmt: skip
    made = [stacked(g, y, kind, v) for y, v in zip(results[len(after) :], kind.ys)]
    return [*results[: len(after)], *made]


def stacked(g: Graph, y: str, kind, v) -> str:
    """The slices of a Loop in order. Of one that takes no step, onnxruntime does not know the sizes of a slice."""
    shape = (kind.length, *v.shape)
    y = y if takes_steps(kind.length) else g.node("Reshape", y, g.sizes(shape), allowzero=1)
    index = slice(kind.length - 1, -1, -1), *[slice(0, n, 1) for n in v.shape]
    return part(g, y, index, shape) if kind.reverse else y


def branch(writer, g: Graph, kind, starts: list[str], streams: list[str]) -> list[str]:
    taken, passed = Graph(g), Graph(g)
    first = g.scalar(0)
    writer.names.update(
        (inner, taken.node("Gather", stream, first, axis=0)) for inner, stream in zip(kind.streams, streams)
    )
    writer.names.update(zip(kind.carries, starts))
    after, ys = step(writer, g, taken, kind, starts[len(kind.carries) :])
    if ys:
        raise Unsupported("the derivative of a branch; export the function without it")
    before = [
        described(passed.node("Identity", name), v, dims(v))
        for name, v in zip(starts, (*kind.carries, *kind.sums))
    ]  # fmt: skip
    return g.nodes_of(
        "If", g.cast(writer.names[kind.count], BOOL), results=len(after),
        then_branch=taken.proto("taken", [], after), else_branch=passed.proto("passed", [], before),
    )  # fmt: skip
