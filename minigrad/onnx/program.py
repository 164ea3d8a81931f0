"""A traced program as a graph: its values one by one, each by the form of its op."""

import re
from collections.abc import Callable, Iterable

from minigrad.ir.loop import Loop
from minigrad.ir.number import Number
from minigrad.ir.rewrite import order_of
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.trace import Draw, Pick, Value
from minigrad.onnx.forms import Composed, Without, form_of
from minigrad.onnx.graph import Graph, Unsupported
from minigrad.onnx.loops import loop
from minigrad.symbolic import Symbolic
from minigrad.tensor import Tensor


class Writer:
    """names: of the values that have been written, and of inputs. initializers: by the ids of tensors, the names that
    they are to have."""

    def __init__(self, initializers: dict[int, str]):
        self.names: dict[Value, str] = {}
        self.results: dict[Value, list[str]] = {}
        self.initializers = initializers

    def write(self, g: Graph, roots: Iterable) -> list[str]:
        """Write what the roots depend on into a graph; their names."""
        roots = list(roots)
        for v in order_of(roots):
            if v.op is not None and v not in self.names and v not in self.results:
                self.value(g, v)
        return [self.name(g, v) for v in roots]

    def name(self, g: Graph, x) -> str:
        """The name of what an op is given: of a constant too, which is written where it is first needed."""
        if isinstance(x, Number):
            return g.constant(x.value)
        if x not in self.names:
            self.names[x] = self.results[x.inputs[0]][x.params] if x.op is Pick else self.given(g, x)
        return self.names[x]

    def given(self, g: Graph, v: Value) -> str:
        """Of a value that no op computes: what a step reads from outside, a captured tensor, a number of sizes."""
        program = v.program
        for inner, _, outside in getattr(program, "consts", ()):
            if inner is v:
                return self.name(g, outside._data)
        for ((value, _, tensor),) in program.captured.values():
            if value is v:
                tensor = program.owned.get(id(tensor), tensor)
                return self.constant(g, tensor)
        for value, number in program.scalars.values():
            if value is v:
                return g.scalar(number, v.dtype)
        raise AssertionError(f"{v} is nowhere")

    def constant(self, g: Graph, tensor: Tensor) -> str:
        array = tensor._data
        named = self.initializers.get(id(tensor))
        return g.constant(array) if named is None else g.main.initializer(array, named)

    def value(self, g: Graph, v: Value) -> None:
        if v.op is Pick:
            self.name(g, v)
        elif isinstance(v.op, Loop):
            self.results[v] = self.told(g, v, lambda: loop(self, g, v))
        else:
            made = self.told(g, v, lambda: self.of_op(g, v))
            if isinstance(made, list):
                self.results[v] = made
            else:
                self.names[v] = made

    @staticmethod
    def told(g: Graph, v: Value, write: Callable):
        """What is written for a value; the error says which value has no form."""
        try:
            return write()
        except Unsupported as error:
            raise refused(g, v, str(error)) from None

    def of_op(self, g: Graph, v: Value):
        if v.op is Draw:
            raise Unsupported(
                "random numbers are drawn; call model.eval() before, or let the function take what is drawn as an "
                "argument"
            )
        form = form_of(v.op)
        if form is None:
            raise Unsupported("the op has no ONNX form; give it one in minigrad/onnx/forms")
        if isinstance(form, Without):
            raise Unsupported(form.why)
        if isinstance(form, Composed):
            made = form.lower(ops_of(v.program), v, *v.inputs, **v.params)
            if made is None:
                raise Unsupported(
                    "of these operands it is not made of other ops; give it a form in minigrad/onnx/forms"
                )
            return self.write(g, made) if isinstance(made, list) else self.write(g, [made])[0]
        return form(g, v, *[None if x is None else self.name(g, x) for x in v.inputs], **v.params)


def refused(g: Graph, v: Value, why: str) -> Exception:
    inputs = [x for x in v.inputs if x is not None]
    got = ", ".join([f"{x.dtype}[{', '.join([size(g, n) for n in x.shape])}]" for x in inputs])
    return NotImplementedError(f"export: {v.op.name}({got}) at {v.line}: {why}")


def size(g: Graph, n) -> str:
    """A size as the user writes it: x.shape[0] * 2."""
    if not isinstance(n, Symbolic):
        return str(n)
    places = {name: f"{argument}.shape[{axis}]" for name, (argument, axis) in g.main.symbols.items()}
    return re.sub(r"\w+", lambda found: places.get(found[0], found[0]), n.expression)
