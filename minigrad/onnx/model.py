"""A model of a function, with names for what goes in, comes out and is kept."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any, NamedTuple

import numpy as np
import onnx

from minigrad import tree
from minigrad.arguments import REFUSALS, restated
from minigrad.compile.passes.canonicalize import canonicalize
from minigrad.compile.passes.cse_dce import cse_dce
from minigrad.compile.record import record
from minigrad.compile.sources import Consumed, refusing
from minigrad.compile.walk import Walk
from minigrad.ir.trace import Program
from minigrad.modes import TRACED_OFF, thread
from minigrad.nn.module import Module
from minigrad.onnx.dynamic import Axes, Place, every_axis, named_axes, settled
from minigrad.onnx.graph import Graph, described
from minigrad.onnx.program import Writer
from minigrad.symbolic import Sizes, Symbolic, printing
from minigrad.tensor import Tensor, as_tensor

OPSET, IR = 18, 9  # the versions of ONNX's ops and of its files: what has been read everywhere since 2023


def model_of(f: Callable, args: tuple, kwargs: dict, dynamic_axes: Mapping | None, output_names: Sequence | None):
    leaves, structure = tree.flatten((args, kwargs))
    given = [(name, as_tensor(x)) for name, x in zip(names_of(f, args, kwargs), leaves) if is_tensor(x)]
    names, shapes = [name for name, _ in given], [x.shape for _, x in given]
    axes, called = (every_axis(shapes), {}) if dynamic_axes is None else named_axes(shapes, names, dynamic_axes)

    def told(place: Place) -> str:
        return f"{names[place[0]]}.shape[{place[1]}]"

    def trace(sizes: Sizes, axes: Axes) -> Trace:
        try:
            return traced(f, leaves, structure, axes.shapes(sizes, len(given)))
        except REFUSALS as error:
            if not called:
                raise
            hints = ", ".join([f"{called[name]}={n}" for name, n in axes.hints.items()])
            raise restated(
                error, f"{error}; this was traced with {hints}: what must have one size needs one name in dynamic_axes"
            ) from error

    def write(sizes: Sizes, axes: Axes):
        return written(f, trace(sizes, axes), names, output_names, axes)

    with evaluating(f):
        (g, inputs, outputs), axes, *_ = settled(axes, dynamic_axes is not None, told, trace, write)
    for name, (k, axis) in axes.places().items():
        called.setdefault(name, f"{names[k]}_{axis}")
    model = assembled(f, g, inputs, outputs, called)
    onnx.checker.check_model(model)
    return model


def is_tensor(x) -> bool:
    return isinstance(x, (Tensor, np.ndarray))


class Trace(NamedTuple):
    """A function's program: values of its arguments and of its results, None for what is no tensor."""

    program: Program
    inputs: list
    results: list
    structure: Any


def traced(f: Callable, leaves: list, structure, shapes: list) -> Trace:
    program = Program()
    consumed = Consumed(Walk(f, leaves, structure).consumed.values())
    outer = thread.mode, thread.program
    try:
        with refusing() as called:
            values, _, results, results_structure = record(f, program, leaves, structure, False, shapes)
            thread.mode, thread.program = TRACED_OFF, program
            roots = [program.enter(x)[0] if is_tensor(x) else None for x in results]
            consumed.refuse_changed(lambda: record(f, Program(), leaves, structure, False, shapes), called)
    finally:
        thread.mode, thread.program = outer
    return Trace(program, values, roots, results_structure)


def written(f: Callable, trace: Trace, names: list[str], output_names, axes: Axes):
    """The graph of f; its inputs and outputs, as (name, value) each."""
    g, program = Graph(), trace.program
    called = names_of_results(trace.structure, output_names)
    made = [(name, v) for name, v in zip(called, trace.results) if v is not None]
    if not made:
        raise ValueError("export: the function returns no tensor")
    roots = cse_dce(program, canonicalize(program, [v for _, v in made]))
    inputs = [(g.names.new(name), v) for name, v in zip(names, trace.inputs)]
    outputs = [g.names.new(name) for name, _ in made]
    g.symbols = {name: (inputs[k][0], axis) for name, (k, axis) in axes.places().items()}
    writer = Writer({id(x): g.names.new(name) for name, x in parameters_of(f) if id(x) in program.captured})
    writer.names.update((v, name) for name, v in inputs)
    g.rename(dict(zip(g.results(writer.write(g, roots)), outputs)))
    return g, inputs, list(zip(outputs, roots))


def assembled(f, g: Graph, inputs, outputs, called: Mapping[str, str]):
    def of(name: str, v):
        with printing():  # an expression of sizes is told as one, of its symbols' names
            dims = [called.get(str(n), str(n)) if isinstance(n, Symbolic) else n for n in v.shape]
        return described(name, v, dims)

    graph = onnx.helper.make_graph(
        g.nodes, getattr(f, "__name__", type(f).__name__), [of(*x) for x in inputs], [of(*x) for x in outputs],
        g.initializers,
    )  # fmt: skip
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="minigrad")


# Names


def names_of(f: Callable, args: Sequence, kwargs: Mapping) -> list[str]:
    """A name for each leaf of (args, kwargs)."""
    try:
        called = inspect.signature(f.forward if isinstance(f, Module) else f)
        named = called.bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # of what Python cannot tell the parameters; or they do not fit, which f will say
        named, called = {}, None
    first: list = []
    for name, value in named.items():
        kind = called.parameters[name].kind  # type: ignore[union-attr]
        if kind is inspect.Parameter.VAR_POSITIONAL:
            first += [f"{name}[{k}]" for k in range(len(value))]
        elif kind is not inspect.Parameter.VAR_KEYWORD and name not in kwargs:
            first.append(name)
    if len(first) < len(args):
        first = [f"args[{k}]" for k in range(len(args))]
    pairs = [*zip(first, args), *kwargs.items()]
    return [leaf for name, value in pairs for leaf in tree.names(value, name)]


def names_of_results(structure, wanted: Sequence | None) -> list[str]:
    if wanted is None:
        return tree.names(structure, "output")
    parts = structure if isinstance(structure, (tuple, list)) else (structure,)
    if isinstance(wanted, str) or len(wanted) != len(parts) or not all(isinstance(n, str) and n for n in wanted):
        raise ValueError(f"export: got output_names={wanted!r}, wanted {len(parts)}, one for each result")
    return [leaf for name, part in zip(wanted, parts) for leaf in tree.names(part, name)]


def modules_of(f: Any) -> Iterator[tuple[str, Module]]:
    """The modules that a function is made of, with what their parameters' names begin with."""
    if isinstance(f, Module):
        yield "", f
    elif isinstance(f, MethodType):
        yield from modules_of(f.__self__)
    elif isinstance(f, functools.partial):
        for part in (f.func, *f.args, *f.keywords.values()):
            yield from modules_of(part)
    elif (inner := getattr(f, "__wrapped__", None)) is not None:
        yield from modules_of(inner)
    else:
        yield from ((f"{name}.", x) for name, x in closed_over(f) if isinstance(x, Module))


def closed_over(f: Callable) -> list[tuple[str, Any]]:
    if not inspect.isfunction(f):
        return []
    variables = inspect.getclosurevars(f)
    return [*variables.nonlocals.items(), *variables.globals.items()]


def parameters_of(f: Callable) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a function reads besides its arguments, as far as they have names."""
    seen: set[int] = set()
    named = [
        (prefix + name, x)
        for prefix, module in modules_of(f)
        for name, x in (*module.named_parameters(), *module.named_buffers())
    ]
    for name, x in (*named, *[(name, x) for name, x in closed_over(f) if isinstance(x, Tensor)]):
        if id(x) not in seen:
            seen.add(id(x))
            yield name, x


@contextmanager
def evaluating(f: Callable):
    """Within, the modules of a function are in eval mode."""
    modules = [module for _, found in modules_of(f) for module in found.modules()]
    before = [(module, vars(module).get("training")) for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in before:
            if training is None:
                del module.training
            else:
                module.training = training
