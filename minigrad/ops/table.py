"""How an op is declared, and what follows from the declaration.

An op is declared once: its forward on arrays, its shape rule, the vjp of each input, a sample for the tests. From that
come the public function, the method on `Tensor`, NumPy's protocols, the node on the tape, the backward, higher
derivatives, the traced node, the property tests and the row in the docs.

Two things make a declaration short.
- *What a vjp names is what the tape saves.* `lambda g, y: ...` saves the result, `lambda g, b: ...` the input b,
  `lambda g, x_shape, axis: ...` a shape and a parameter, and no array at all.
- *A vjp is read two ways.* It is written with ops and operators. Given arrays it computes; given tensors it computes
  and is recorded, and that is all there is to second derivatives.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.arguments import REFUSALS, described, restated
from minigrad.dtypes import common_dtype
from minigrad.modes import ON, RAW, TRACED, thread
from minigrad.sites import call_site
from minigrad.symbolic import has_sizes
from minigrad.tape import Node, Pick
from minigrad.tensor import Tensor, as_array
from minigrad.views import Argument, View, as_view, shares

table: dict[str, "Op"] = {}
FLOAT32 = np.dtype("float32")
numpy_rules: dict = {}  # NumPy function -> the op that stands for it
composites: dict[str, Callable] = {}  # public functions that are built of ops, and tested like them


class Spec:
    """Shape and dtype of an array that need not exist: what shape rules read and return."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __repr__(self):
        return f"{self.dtype}{list(self.shape)}"


class Op:
    """One row of the op table.

    name: of the op and of the public function. inputs: names of its array arguments. forward: on arrays. shape: from
    Specs of the inputs and the parameters to the Spec (or the shape, in the inputs' common dtype) of the result, or a
    list of them; it raises ValueError or TypeError for what the op cannot take. vjps: for each differentiable input
    (g, anything by name) -> its cotangent. together: the same for all inputs at once -> a list. sample: from a `Draw`
    (see minigrad.testing) to (inputs, params).
    """

    public = True  # or only for the vjps of other ops
    view = False  # whether results share the memory of the input, or may
    keeps_order = True  # whether its result lies in C order if its inputs do
    orders = staticmethod(lambda *inputs: False)  # whether it lies in C order however these lie
    place: Any = None  # of an op with several results that are views: the index of each in the input
    defaults: dict = {}  # of parameters

    def __init__(self, name, inputs, forward, shape, vjps, sample, doc, options=(), together=None):
        self.name = name
        self.inputs = inputs
        self.forward = forward
        self.shape = shape
        self.vjps = vjps
        self.sample = sample
        self.doc = doc
        self.variadic = inputs == ["arrays"]
        self.call: Callable  # the public function; set when it is made
        wanted = {i: list(inspect.signature(f).parameters)[1:] for i, f in vjps.items()}
        self.saves = sorted({name for names in wanted.values() for name in names})
        self.plans = [(vjps[i], [self.saves.index(name) for name in wanted[i]]) if i in vjps else None for i in inputs]
        self.together = (together, self.plans[0][1]) if together else None
        given = ", ".join(["y", *inputs, *options])
        self.save = eval(f"lambda {given}: ({''.join(self.where_saved(name) + ', ' for name in self.saves)})")
        table[name] = self

    def where_saved(self, name: str) -> str:
        """Expression for what a vjp calls `name`, in terms of the result y, the inputs and the parameters."""
        if self.variadic and name in ("arrays", "arrays_shape"):
            return "tuple(arrays)" if name == "arrays" else "[x.shape for x in arrays]"
        return f"{name[:-6]}.shape" if name.removesuffix("_shape") in self.inputs and name not in self.inputs else name

    def specs(self, *inputs: Spec | None, **params):
        """Spec of the result, or a list of them."""
        result = self.shape(*inputs, **params)
        given = [spec for spec in inputs if spec is not None]

        def complete(spec):
            return spec if isinstance(spec, Spec) else Spec(tuple(spec), common_dtype(given))

        return [complete(spec) for spec in result] if isinstance(result, list) else complete(result)

    def complain(self, arrays, params, error: Exception):
        """Raise what the shape rule has to say of these inputs; what NumPy said of them if it has no objection."""
        try:
            specs = [None if a is None else Spec(np.shape(a), as_array(a).dtype) for a in arrays]
        except REFUSALS as reason:
            text = str(reason).removeprefix("tensor: ")
            raise restated(reason, f"{self.name}({', '.join(map(described, arrays))}): {text}") from None
        got = ", ".join("None" if spec is None else str(spec) for spec in specs)
        try:
            self.specs(*specs, **params)
        except REFUSALS as reason:
            raise restated(reason, f"{self.name}({got}): {reason}") from None
        raise restated(error, f"{self.name}({got}): {error}") from error

    def part(self, shape, k: int, params) -> tuple["Op", dict]:
        """Of an op with several results that are views: the op that gives the k-th alone, and its parameters. shape: of
        the input."""
        return table["getitem"], {"index": self.place(shape, k, **params)}

    def operand(self, k: int, x, like=None):
        """Input k of a call as an array, if it is no tensor: a copy where the tape will need it, for it may change."""
        name = self.inputs[0 if self.variadic else k]
        try:
            array = as_array(x, like=like)
        except REFUSALS as error:
            reason = str(error).removeprefix("tensor: ")
            raise restated(error, f"{self.name}: input '{name}' is a {type(x).__name__}: {reason}") from None
        return array.copy() if array is x and thread.mode is ON else array

    def pull(self, node: Node, g, useful=None) -> list:
        """Cotangents of the node's inputs, given that of its result; None for those that need none.

        useful: the nodes that need a cotangent, None for all.
        """
        saved = node.saved if thread.mode is RAW else self.saved_tensors(node)
        if type(g) is list:  # the results are parts of one input, whose cotangent is zero where a part is not used
            g = [self.zeros(spec) if one is None else one for one, spec in zip(g, node.shape)]
        if self.variadic or self.together:
            vjp, plan = self.together or self.plans[0]
            return [fit(c, x) for c, x in zip(vjp(g, *[saved[k] for k in plan]), node.inputs)]
        pulled: list = []
        for parent, plan in zip(node.inputs, self.plans):
            if parent is None or plan is None or (useful is not None and parent not in useful):
                pulled.append(None)
            else:
                pulled.append(fit(plan[0](g, *[saved[k] for k in plan[1]]), parent))
        return pulled

    def saved_tensors(self, node: Node) -> list:
        """What the node saved, as tensors in their places on the tape."""

        def tensor(value, parent):
            if parent is node and type(value) is list:  # the several results of an op whose vjps name y
                return [Tensor(v, Pick(self, (node,), k, (), v.shape, v.dtype, node.site)) for k, v in enumerate(value)]
            return Tensor(value, parent) if isinstance(value, (np.ndarray, Node)) else value

        parents = dict(zip(self.inputs, node.inputs))
        if self.variadic and self.inputs[0] in self.saves:
            arrays = node.saved[self.saves.index(self.inputs[0])]
            return [
                tuple(tensor(a, p) for a, p in zip(arrays, node.inputs)) if value is arrays else value
                for value in node.saved
            ]
        return [tensor(v, node if name == "y" else parents.get(name)) for name, v in zip(self.saves, node.saved)]

    def trace(self, tensors, params, promoted):
        """A call while tracing: a node of the program, and one of the tape if an input is on it."""
        program, missing = thread.program, [None] * len(tensors)
        values, parents = list(missing), list(missing)
        for k, x in enumerate(tensors):
            optional = x is None and not self.variadic
            if not optional:
                values[k], parents[k] = program.enter(x, lambda: self.operand(k, x, dtype_among(tensors)))
        given = range(len(values)) if self.variadic else promoted
        floats = [values[k] for k in given if values[k] is not None]
        if len({v.dtype for v in floats}) > 1:
            dtype = common_dtype(floats)
            for k in given:
                if values[k] is not None:
                    values[k] = program.cast(values[k], dtype)
        try:
            specs = self.specs(*values, **params)
        except REFUSALS as reason:
            got = ", ".join("None" if v is None else f"{v.dtype}{list(v.shape)}" for v in values)
            raise restated(reason, f"{self.name}({got}): {reason}") from None
        results = program.record(self, values, params, specs)
        if thread.mode is not TRACED or not self.vjps or not any(parents):
            made = [Tensor(r) for r in results] if isinstance(results, list) else Tensor(results)
        else:
            saved = self.save(results, values, **params) if self.variadic else self.save(results, *values, **params)
            made = on_tape(self, parents, params, saved, results)
        return as_view(tensors[0], self, params, made) if self.view else made

    def needed(self, node: Node) -> tuple:
        """What the node saved and the vjps of those of its inputs that are on the tape name."""
        if self.variadic:
            return node.saved
        plans = [plan for parent, plan in zip(node.inputs, self.plans) if parent is not None and plan is not None]
        return tuple([node.saved[k] for k in {k for _, places in plans for k in places}])

    @staticmethod
    def zeros(spec: Spec):
        zeros = filled(spec.shape, spec.dtype)
        return zeros if thread.mode is RAW or isinstance(zeros, Tensor) else Tensor(zeros)


def fit(cotangent, node: Node | None):
    """A cotangent summed over the axes along which the input, whose node this is, was broadcast."""
    if cotangent is None or node is None or cotangent.shape == node.shape:
        return cotangent
    return table["sum_to"].call(cotangent, node.shape)


def views(this, x, array, parents, params, results) -> Any:
    """The result of a view op on x, or its several results, as views of x, on the tape if x is. None where they are no
    views of a tensor that may be changed."""
    several = type(results) is list
    first = results if not several else results[0] if results else None
    if type(first) is not np.ndarray or not (first.base is array or shares(first, array)):
        return None
    if not isinstance(x, Tensor) or type(x) is Argument:
        return None
    parent = parents[0]
    if parent is None:
        if not several:
            return View(results, None, x, (this, params, None))
        return [View(r, None, x, (this, params, k)) for k, r in enumerate(results)]
    saved, site = this.save(results, array, **params), call_site()
    if not several:
        node = Node(this, parents, params, saved, results.shape, results.dtype, site)
        return View(results, node, x, (this, params, None), parent)
    specs = [Spec(r.shape, r.dtype) for r in results]
    inputs = (Node(this, parents, params, saved, specs, None, site),)
    return [
        View(r, Pick(this, inputs, k, (), spec.shape, spec.dtype, site), x, (this, params, k), parent)
        for k, (r, spec) in enumerate(zip(results, specs))
    ]


def on_tape(this, parents, params, saved, results):
    """The result of an op, or its several results, as tensors on the tape."""
    site = call_site()
    if not isinstance(results, list):
        is_float = results.dtype.kind == "f"
        node = Node(this, parents, params, saved, results.shape, results.dtype, site) if is_float else None
        return Tensor(results, node)
    node = Node(this, parents, params, saved, [Spec(r.shape, r.dtype) for r in results], None, site)
    return [
        Tensor(r, Pick(this, (node,), k, (), r.shape, r.dtype, site) if r.dtype.kind == "f" else None)
        for k, r in enumerate(results)
    ]


def filled(shape: tuple, dtype, value=0):
    """An array with the same number everywhere; while tracing, of a shape that is not fixed, a tensor."""
    if has_sizes(shape):
        return Tensor(thread.program.filled(shape, dtype, value))
    return np.full(shape, value, dtype)


def dtype_among(operands: Sequence) -> np.dtype | None:
    """Dtype of the first operand that has one: what Python numbers beside it become."""
    return next((x.dtype for x in operands if isinstance(x, (Tensor, np.ndarray))), None)


def promote(arrays: list, which: Sequence[int]) -> None:
    """Bring the arrays at these places to their common dtype."""
    given = [arrays[k] for k in which if arrays[k] is not None]
    for a in given:
        if a.dtype is not given[0].dtype:
            break
    else:
        return
    dtype = common_dtype(given)
    for k in which:
        if arrays[k] is not None and arrays[k].dtype != dtype:
            arrays[k] = arrays[k].astype(dtype)


def publish(call, numpy, method):
    """The public function's other names: NumPy's functions that stand for it, and the method on Tensor."""
    for function in numpy if isinstance(numpy, tuple) else (numpy,) if numpy else ():
        numpy_rules[function] = call
    if method:
        setattr(Tensor, method if isinstance(method, str) else call.__name__, call)
    return call
