"""Elementwise ops: one scalar expression for the value, one for each derivative; and the calls that are the hot path.

minigrad/ops/elementwise.py declares them; this file is what a declaration does.
"""

import inspect
import re
from collections.abc import Callable

import numpy as np

from minigrad.arguments import REFUSALS
from minigrad.dtypes import common_dtype
from minigrad.kernels import loops, pieces
from minigrad.modes import OFF, ON, RAW, TRACED, thread
from minigrad.ops.examples import EXAMPLES
from minigrad.ops.table import FLOAT32, Op, Spec, dtype_among, fit, on_tape, publish, table
from minigrad.sites import call_site
from minigrad.symbolic import Symbolic, broadcast_shapes
from minigrad.tape import Node
from minigrad.tensor import Tensor, foreign

FLOAT64 = np.dtype("float64")
NUMBERS = (int, float, bool)
INPUT = inspect.Parameter.POSITIONAL_ONLY


class Elementwise(Op):
    """An op whose result at one place depends on the inputs at that place alone: one scalar expression.

    expression, derivatives: text, compiled for scalars and read by Python on tensors. A derivative is written as the
    product with the cotangent g, which is the vjp; with a tangent in place of g it is the jvp. domain: an interval for
    each input on which tests sample it; kinks: points where it has no derivative, with PyTorch's choice of subgradient
    in `doc`. booleans: inputs that are conditions.
    """

    def __init__(self, name, inputs, expression, derivatives, domain, doc, integers, kinks, booleans):
        self.expression = expression
        self.derivatives = derivatives
        self.domain = domain
        self.integers = integers
        self.kinks = kinks
        self.booleans = booleans
        self.kernels = _Kernels(self, inputs, expression, integers)
        vjps, self.vjp_kernels = {}, {}
        for x, derivative in derivatives.items():
            names = [n for n in ("y", *inputs) if re.search(rf"\b{n}\b", derivative)]
            text = f"lambda g, {', '.join(names)}: {derivative}"
            vjps[x] = eval(compile(text, f"{__file__}, {name}", "eval"), self.namespace)
            self.vjp_kernels[x] = _Kernels(self, ["g", *names], derivative, None)
        super().__init__(name, inputs, self.forward_any, self.shape_rule, vjps, None, doc)
        self.raw_plans = [
            None if x not in derivatives
            else (None if derivatives[x] == "g" else self.vjp_kernels[x], plan[1])
            for x, plan in zip(inputs, self.plans)
        ]  # fmt: skip

    general: Callable  # the call for whatever operands; set when it is declared
    namespace: dict = {}  # the ops that the derivatives of elementwise ops name; filled by ops/elementwise.py

    def shape_rule(self, *inputs: Spec):
        try:
            return Spec(broadcast_shapes(*[x.shape for x in inputs]), self.result_dtype(inputs))
        except ValueError:
            raise ValueError("the shapes do not broadcast; from the last axis on, sizes must be equal or 1") from None

    def result_dtype(self, inputs):
        if not self.derivatives:
            return np.dtype(bool)
        dtype = common_dtype([x for x, n in zip(inputs, self.inputs) if n not in self.booleans])
        if dtype.kind == "f" or not self.integers:
            return dtype if dtype.kind == "f" else FLOAT32
        return self.integers(*[np.empty(0, bool if n in self.booleans else dtype) for n in self.inputs]).dtype

    def forward_any(self, *arrays):
        arrays, dtype = self.unify(*arrays)
        kernel = self.kernels[dtype]
        large = any(a.size >= pieces.SHARED for a in arrays if type(a) is np.ndarray)
        return pieces.split(kernel, *arrays) if large else kernel(*arrays)

    def unify(self, *arrays):
        """Operands brought to a common dtype, and that dtype. Python numbers beside an array stay as they are: weak."""
        operands = [a for a, n in zip(arrays, self.inputs) if n not in self.booleans]
        dtype = common_dtype(operands)
        if dtype.kind != "f" and self.derivatives and not self.integers:
            dtype = FLOAT32
        weak = any(hasattr(a, "dtype") for a in operands)

        def convert(a, name):
            if name in self.booleans:
                return condition(self, a)
            return a if weak and type(a) in NUMBERS else np.asarray(a, dtype)

        return [convert(a, name) for a, name in zip(arrays, self.inputs)], dtype

    def trace(self, operands, params=None, promoted=()):
        program = thread.program
        like = dtype_among(operands)
        values, parents = [], []
        for k, x in enumerate(operands):
            if type(x) in NUMBERS or isinstance(x, Symbolic):
                values.append(x)
                parents.append(None)
            else:
                value, parent = program.enter(x, lambda: self.operand(k, x, like))
                values.append(value)
                parents.append(parent)
        pairs = [(x, n) for x, n in zip(values, self.inputs) if n not in self.booleans]
        dtype = common_dtype([x for x, _ in pairs])
        if dtype.kind != "f" and self.derivatives and not self.integers:
            dtype = FLOAT32
        saved = list(values)
        for k, (x, name) in enumerate(zip(values, self.inputs)):
            if name in self.booleans:
                kind = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
                if kind.kind != "b":
                    raise TypeError(f"{self.name}: a condition must be bool, got {kind}; write a comparison")
            else:
                kind = dtype
            if type(x) in NUMBERS:
                values[k], saved[k] = self.number(x, kind)
            elif isinstance(x, Symbolic):
                values[k] = saved[k] = program.scalar(x, kind)
            else:
                values[k] = saved[k] = program.cast(x, kind)
        try:
            spec = self.shape_rule(*values)
        except ValueError as error:
            self.complain([np.broadcast_to(np.empty((), x.dtype), x.shape) for x in values], {}, error)
        y = program.record(self, values, {}, spec)
        if thread.mode is not TRACED or not self.derivatives or not any(parents):
            return Tensor(y)
        return on_tape(self, parents, None, self.save(y, *saved), y)

    def number(self, x, dtype):
        """A Python number among the operands of a traced call: as the program and as the tape keep it."""
        try:
            return thread.program.number(x, dtype), np.asarray(x, dtype)
        except OverflowError as error:
            raise OverflowError(f"{self.name}: {x} does not fit into the other operands' {dtype} ({error})") from None

    def saved_tensors(self, node):
        """As of every op; and Python numbers become tensors of the node's dtype, so that log(2) is not a float32."""
        saved = super().saved_tensors(node)
        return [Tensor(np.asarray(v, node.dtype)) if type(v) in NUMBERS else v for v in saved]

    def pull(self, node, g, useful=None):
        if thread.mode is not RAW:
            return super().pull(node, g, useful)
        pulled = []
        saved, large = node.saved, g.size >= pieces.SHARED
        for parent, plan in zip(node.inputs, self.raw_plans):
            if parent is None or plan is None or (useful is not None and parent not in useful):
                pulled.append(None)
                continue
            kernels, places = plan
            if kernels is None:  # the derivative is 1
                c = g
            elif large:
                c = pieces.split(kernels[g.dtype], g, *[saved[k] for k in places])
            elif len(places) == 1:
                c = kernels[g.dtype](g, saved[places[0]])
            else:
                c = kernels[g.dtype](g, *[saved[k] for k in places])
            pulled.append(c if c.shape == parent.shape else fit(c, parent))
        return pulled

    def push(self, node, tangents):
        """The tangent of the result: the derivatives with those of the inputs in place of the cotangent."""
        raw, total = thread.mode is RAW, None
        saved = node.saved if raw else self.saved_tensors(node)
        for t, plan in zip(tangents, self.raw_plans if raw else self.plans):
            if t is None or plan is None:
                continue
            derivative, places = plan
            t = t if t.dtype == node.dtype else t.astype(node.dtype)
            if not raw:
                t = derivative(t, *[saved[k] for k in places])
            elif derivative is not None:
                t = np.asarray(pieces.split(derivative[t.dtype], t, *[saved[k] for k in places]))
            total = t if total is None else total + t
        return total if total is None or total.shape == node.shape else table["broadcast_to"].call(total, node.shape)


def condition(this: Op, a):
    a = np.asarray(a)
    if a.dtype != bool:
        raise TypeError(f"{this.name}: a condition must be bool, got {a.dtype}; write a comparison, such as x != 0")
    return a


def operator(this: Elementwise):
    """The function that stands for an operator of two operands, `a + b`: it leaves what is foreign to the other one."""

    def asks_other(a, b):
        return NotImplemented if foreign(a) or foreign(b) else this.general(a, b)

    return _binary(this, asks_other)


class _Kernels(dict):
    """Compiled loops by dtype, each made when it is first needed."""

    def __init__(self, this, names, expression, integers):
        self.this, self.names, self.expression, self.integers = this, names, expression, integers

    def __missing__(self, dtype):
        this = self.this
        if not this.derivatives:
            kernel = this.integers
        elif dtype in (FLOAT32, FLOAT64):
            booleans = [n for n in self.names if n in this.booleans]
            kernel = loops.elementwise(this.name, self.names, [self.expression], dtype.name, booleans)
        elif dtype.kind in "iub" and self.integers:
            kernel = self.integers
        elif dtype.kind in "iub":
            float32 = self[FLOAT32]

            def kernel(*arrays):
                return float32(*[a.astype(FLOAT32) if isinstance(a, np.ndarray) else a for a in arrays])

        else:
            raise TypeError(f"{this.name}: no kernel for dtype {dtype}; use float32 or float64 (t.astype(...))")
        self[dtype] = kernel
        return kernel


def elementwise(
    call: str, expression: str, *, domain=(-3.0, 3.0), doc: str, numpy=None, integers=None, method=True, kinks=(),
    booleans=(), public=True, **derivatives: str,
):  # fmt: skip
    """Declare an elementwise op: `elementwise("tanh(x)", "tanh(x)", x="g * (1 - y * y)", doc="...")`.

    Derivatives come under the name of their input. integers: the NumPy ufunc for integer and bool operands, if the op
    keeps them; otherwise they become float32. An input with a default may be left out: "leaky_relu(x, slope=0.01)".
    """
    name, arguments = call.rstrip(")").split("(")
    names = [argument.split("=")[0].strip() for argument in arguments.split(",")]
    defaults = {n: float(a.split("=")[1]) for n, a in zip(names, arguments.split(",")) if "=" in a}
    domain = dict.fromkeys(names, domain) if isinstance(domain, tuple) else domain
    this = Elementwise(name, names, expression, derivatives, domain, doc, integers, kinks, booleans)
    this.public = public
    function = this.general = _general(this, defaults)
    if len(names) <= 2 and not defaults:
        function = (_unary if len(names) == 1 else _binary)(this, function)
    function.__name__ = function.__qualname__ = name
    function.__signature__ = inspect.Signature(
        [inspect.Parameter(n, INPUT, default=defaults.get(n, inspect.Parameter.empty)) for n in names]
    )
    example = "\n\nExamples\n--------\n>>> {}\n{}".format(*EXAMPLES[name]) if name in EXAMPLES else ""
    function.__doc__ = f"{doc}\n\n{call} = {expression}, elementwise and broadcasting.{example}"
    function.op, this.call = this, function
    Elementwise.namespace[name] = function
    return publish(function, numpy, method)


def _general(this: Elementwise, defaults: dict):
    """The call of an elementwise op on whatever it takes: tensors, arrays, numbers, lists, by position or by name."""

    def call(*operands, **named):
        given = {**defaults, **dict(zip(this.inputs, operands)), **named}
        if (
            len(operands) > len(this.inputs)
            or set(given) != set(this.inputs)
            or set(named) & set(this.inputs[: len(operands)])
        ):
            got = ", ".join(["_"] * len(operands) + sorted(named))
            raise TypeError(f"{this.name}({got}): wanted {this.name}({', '.join(this.inputs)})")
        operands = [given[name] for name in this.inputs]
        if thread.mode is RAW:
            return this.forward_any(*operands)
        if thread.mode is not ON and thread.mode is not OFF:
            return this.trace(operands)
        like = dtype_among(operands)
        arrays = [
            x._data if isinstance(x, Tensor) else x if type(x) in NUMBERS else this.operand(k, x, like)
            for k, x in enumerate(operands)
        ]
        parents = [x._node if isinstance(x, Tensor) else None for x in operands]
        try:
            unified, dtype = this.unify(*arrays)
            y = np.asarray(pieces.split(this.kernels[dtype], *unified))
        except REFUSALS as error:
            this.complain(arrays, {}, error)
        if thread.mode is OFF or not this.derivatives or not any(parents):
            return Tensor(y)
        return Tensor(y, Node(this, parents, None, this.save(y, *unified), y.shape, y.dtype, call_site()))

    return call


# The hot path: one tensor; two tensors of a dtype, or a float tensor and a number. All else goes the general way.


def _unary(this: Elementwise, general):
    kernels, save, differentiable = this.kernels, this.save, bool(this.derivatives)

    def call(x):
        mode = thread.mode
        if mode is RAW:
            return this.forward_any(x)
        if not isinstance(x, Tensor) or (mode is not ON and mode is not OFF):
            return general(x)
        array, parent = x._data, x._node
        try:
            kernel = kernels[array.dtype]
            y = kernel(array) if array.size < pieces.SHARED else pieces.split(kernel, array)
        except REFUSALS as error:
            this.complain([array], {}, error)
        if type(y) is not np.ndarray:
            y = np.asarray(y)
        if parent is None or mode is OFF or not differentiable:
            return Tensor(y, None)
        return Tensor(y, Node(this, (parent,), None, save(y, array), y.shape, y.dtype, call_site()))

    return call


def _binary(this: Elementwise, general):
    kernels, save, differentiable = this.kernels, this.save, bool(this.derivatives)

    def call(a, b):
        mode = thread.mode
        if mode is RAW:
            return this.forward_any(a, b)
        p = q = None
        if mode is not ON and mode is not OFF:
            fits = False
        elif isinstance(a, Tensor):
            x, p = a._data, a._node
            dtype, size = x.dtype, x.size
            if isinstance(b, Tensor):
                z, q = b._data, b._node
                fits = z.dtype is dtype
            else:
                z, fits = b, type(b) in NUMBERS and dtype.kind == "f"
        elif isinstance(b, Tensor):
            x, z, q = a, b._data, b._node
            dtype, size = z.dtype, z.size
            fits = type(a) in NUMBERS and dtype.kind == "f"
        else:
            fits = False
        if not fits:
            return general(a, b)
        try:
            kernel = kernels[dtype]
            y = kernel(x, z) if size < pieces.SHARED else pieces.split(kernel, x, z)
        except REFUSALS as error:
            this.complain((x, z), {}, error)
        if type(y) is not np.ndarray:
            y = np.asarray(y)
        if (p is None and q is None) or mode is OFF or not differentiable:
            return Tensor(y, None)
        return Tensor(y, Node(this, (p, q), None, save(y, x, z), y.shape, y.dtype, call_site()))

    return call
