"""An ONNX graph while it is written: nodes, constants, and the sizes that are known only when it runs.

A `Graph` is the main graph, or that of a step of a loop, which sees the names of the graphs around it. What does not
depend on the step, constants and sizes, is put into the main graph. All names are different, in all graphs.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from minigrad.symbolic import Symbolic

INT64 = np.dtype("int64")
SMALL = 64  # elements of a constant that is looked for among those that there are
LAST = -(2**63) + 1  # as the end of a slice with a negative step: through the first element
OPERATORS: dict[type, str] = {
    ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Pow: "Pow", ast.Mod: "Mod",
}  # fmt: skip


class Unsupported(Exception):
    """Something that ONNX has no form for; the message says why, and what to do."""


class Names:
    """Names that are all different."""

    def __init__(self):
        self.taken: set[str] = set()

    def new(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self.taken or not name:
            count += 1
            name = f"{wanted}_{count}"
        self.taken.add(name)
        return name


class Graph:
    """symbols: of the main graph, for each symbol of the sizes the input and the axis whose size it is."""

    def __init__(self, outer: "Graph | None" = None):
        self.main: Graph = outer.main if outer else self
        self.names: Names = self.main.names if outer else Names()
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.symbols: dict[str, tuple[str, int]] = {}
        self.known: dict[Any, str] = {}  # constants, and sizes by their text

    def nodes_of(self, kind: str, *inputs: str | None, results: int = 1, **attributes) -> list[str]:
        """The results of a new node."""
        outputs = [self.names.new(kind.lower()) for _ in range(results)]
        given = [x or "" for x in inputs]
        while given and not given[-1]:
            given.pop()
        self.nodes.append(helper.make_node(kind, given, outputs, name=outputs[0], **attributes))
        return outputs

    def node(self, kind: str, *inputs: str | None, **attributes) -> str:
        return self.nodes_of(kind, *inputs, **attributes)[0]

    def results(self, names: Sequence[str]) -> list[str]:
        """Names for outputs of this graph: each that of the result of a node of it, and all different.

        An Identity is added where it must be, and no other: onnxruntime (1.32) loses what it passes on where that is
        also an operand of a product with a transposed matrix and a bias.
        """
        own = {name for node in self.nodes for name in node.output}
        made: list[str] = []
        for name in names:
            made.append(name if name in own and name not in made else self.node("Identity", name))
        return made

    def rename(self, became: dict[str, str]) -> None:
        """Give results of this graph's nodes other names."""
        for node in nodes_in(self.nodes):
            for names in (node.input, node.output):
                names[:] = [became.get(name, name) for name in names]

    def constant(self, array, dtype=None) -> str:
        array = np.ascontiguousarray(array, dtype) if np.ndim(array) else np.asarray(array, dtype)
        if array.size > SMALL:
            return self.main.initializer(array, self.names.new("constant"))
        key = array.dtype, array.shape, array.tobytes()
        if key not in self.main.known:
            self.main.known[key] = self.main.initializer(array, self.names.new("constant"))
        return self.main.known[key]

    def initializer(self, array: np.ndarray, name: str) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def proto(self, name: str, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> GraphProto:
        return helper.make_graph(self.nodes, self.names.new(name), inputs, outputs, self.initializers)

    # Sizes

    def sizes(self, numbers: Sequence) -> str:
        """A vector of integers, some of which follow from sizes of the inputs."""
        if not any(isinstance(n, Symbolic) for n in numbers):
            return self.constant(np.asarray([int(n) for n in numbers], np.int64).reshape(len(numbers)), INT64)
        key = "sizes", *[n.text if isinstance(n, Symbolic) else n for n in numbers]
        if key not in self.main.known:
            parts = [self.size(n) for n in numbers]
            self.main.known[key] = parts[0] if len(parts) == 1 else self.main.node("Concat", *parts, axis=0)
        return self.main.known[key]

    def size(self, n) -> str:
        """A vector of one integer."""
        if not isinstance(n, Symbolic):
            return self.constant(np.asarray([int(n)], np.int64))
        return self.main.evaluated(ast.parse(n.text, mode="eval").body, INT64)

    def scalar(self, n, dtype=INT64) -> str:
        """A number that may follow from sizes of the inputs, without axes."""
        if not isinstance(n, Symbolic):
            return self.constant(np.asarray(n, dtype))
        key = "scalar", n.text, dtype
        if key not in self.main.known:
            main = self.main
            whole = isinstance(n, int)
            made = main.evaluated(ast.parse(n.text, mode="eval").body, INT64 if whole else np.dtype("float64"))
            made = main.node("Reshape", made, main.constant(np.zeros(0, np.int64)))
            main.known[key] = made if whole and dtype == INT64 else main.cast(made, dtype)
        return self.main.known[key]

    def cast(self, x: str, dtype) -> str:
        return self.node("Cast", x, to=element_type(dtype))

    def evaluated(self, e: ast.expr, dtype) -> str:
        """An expression of sizes, as a vector of one number."""
        key = ast.unparse(e), dtype
        if key not in self.known:
            self.known[key] = self.of_expression(e, dtype)
        return self.known[key]

    def of_expression(self, e: ast.expr, dtype) -> str:
        if isinstance(e, ast.Constant):
            return self.constant(np.asarray([e.value], dtype))
        if isinstance(e, ast.Name):
            name, axis = self.symbols[e.id]
            size = self.node("Shape", name, start=axis, end=axis + 1)
            return size if dtype == INT64 else self.cast(size, dtype)
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
            return self.node("Neg", self.evaluated(e.operand, dtype))
        if isinstance(e, ast.BinOp) and (type(e.op) in OPERATORS or isinstance(e.op, ast.FloorDiv)):
            a, b = self.evaluated(e.left, dtype), self.evaluated(e.right, dtype)
            if type(e.op) in (ast.FloorDiv, ast.Mod) and dtype != INT64:
                raise Unsupported(f"the remainder of a real number, `{ast.unparse(e)}`")
            if isinstance(e.op, ast.FloorDiv):  # of integers Div cuts off
                return self.node("Div", self.node("Sub", a, self.node("Mod", a, b)), b)
            return self.node(OPERATORS[type(e.op)], a, b)
        raise Unsupported(f"the size `{ast.unparse(e)}`")


def nodes_in(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Nodes, and those of the graphs in them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from nodes_in(attribute.g.node)


def element_type(dtype) -> int:
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def same_size(n, m) -> bool:
    """Whether two sizes are surely equal; asking that of Sizes themselves would be a guard."""
    if isinstance(n, Symbolic) or isinstance(m, Symbolic):
        return isinstance(n, Symbolic) and isinstance(m, Symbolic) and n.text == m.text
    return n == m


def described(name: str, spec, dims: Sequence) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, element_type(spec.dtype), list(dims))
