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
import re
from collections.abc import Callable, Sequence
from functools import update_wrapper

import numpy as np

from minigrad.kernels import loops, threads
from minigrad.tape import OFF, ON, RAW, Node, Pick, call_site, thread
from minigrad.tensor import Tensor, as_array, common_dtype, numpy_rules, restated

table: dict[str, "Op"] = {}
composites: dict[str, Callable] = {}  # public functions that are built of ops, and tested like them
FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")
NUMBERS = (int, float, bool)


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

    def __str__(self):
        return f"{self.dtype}{list(self.shape)}"


class Op:
    """One row of the op table.

    name: of the op and of the public function. inputs: names of its array arguments. forward: on arrays. shape: from
    Specs of the inputs and the parameters to the Spec (or the shape, in the inputs' common dtype) of the result, or a
    list of them; it raises ValueError or TypeError for what the op cannot take. vjps: for each differentiable input
    (g, anything by name) -> its cotangent. sample: from a `Draw` (see minigrad.testing) to (inputs, params).
    """

    public = True  # or only for the vjps of other ops

    def __init__(self, name, inputs, forward, shape, vjps, sample, doc, options=()):
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
        specs = [None if a is None else Spec(np.shape(a), as_array(a).dtype) for a in arrays]
        got = ", ".join("None" if spec is None else str(spec) for spec in specs)
        try:
            self.specs(*specs, **params)
        except (ValueError, TypeError, IndexError) as reason:
            raise restated(reason, f"{self.name}({got}): {reason}") from None
        raise restated(error, f"{self.name}({got}): {error}") from error

    def operand(self, k: int, x, like=None):
        """Input k of a call as an array, if it is no tensor: a copy where the tape will need it, for it may change."""
        name = self.inputs[0 if self.variadic else k]
        try:
            array = as_array(x, like=like)
        except (ValueError, TypeError) as error:
            reason = str(error).removeprefix("tensor: ")
            raise restated(error, f"{self.name}: input '{name}' is a {type(x).__name__}: {reason}") from None
        return array.copy() if array is x and thread.mode is ON else array

    def pull(self, node: Node, g, useful=None) -> list:
        """Cotangents of the node's inputs, given that of its result; None for those that need none.

        useful: the nodes that need a cotangent, None for all.
        """
        saved = node.saved if thread.mode is RAW else self.saved_tensors(node)
        if type(g) is list:
            g = [self.zeros(spec) if one is None else one for one, spec in zip(g, node.shape)]
        if self.variadic:
            vjp, plan = self.plans[0]
            return vjp(g, *[saved[k] for k in plan])
        pulled: list = []
        for parent, plan in zip(node.inputs, self.plans):
            if parent is None or plan is None or (useful is not None and parent not in useful):
                pulled.append(None)
            else:
                pulled.append(plan[0](g, *[saved[k] for k in plan[1]]))
        return pulled

    def saved_tensors(self, node: Node) -> list:
        """What the node saved, as tensors in their places on the tape."""

        def tensor(value, parent):
            return Tensor(value, parent) if isinstance(value, np.ndarray) else value

        parents = dict(zip(self.inputs, node.inputs))
        if self.variadic and self.inputs[0] in self.saves:
            arrays = node.saved[self.saves.index(self.inputs[0])]
            return [
                tuple(tensor(a, p) for a, p in zip(arrays, node.inputs)) if value is arrays else value
                for value in node.saved
            ]
        return [tensor(v, node if name == "y" else parents.get(name)) for name, v in zip(self.saves, node.saved)]

    @staticmethod
    def zeros(spec: Spec):
        zeros = np.zeros(spec.shape, spec.dtype)
        return zeros if thread.mode is RAW else Tensor(zeros)


def op(*, shape, sample=None, numpy=None, method=True, name=None, public=True, **vjps):
    """Declare an op: decorates its forward, a function from arrays to an array (or a list of arrays).

    The forward's positional-only arguments are the op's inputs (a default of None marks one that may be missing; the
    name `arrays` means a sequence of tensors), the others its parameters. The remaining arguments of `op` are the vjps,
    each under the name of its input. numpy: the NumPy function(s) that this op stands for. method: whether Tensor has
    it, under which name. public: whether users see it, or only the vjps of other ops.

    A forward may rely on NumPy to refuse what does not fit: when it raises, the shape rule is asked what to say. Where
    it would compute something all the same, it asks the rule itself, first.
    """

    def declare(forward: Callable):
        parameters = list(inspect.signature(forward).parameters.values())
        inputs = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        options = [p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY]
        defaults = {p.name: p.default for p in parameters[len(inputs) :] if p.default is not p.empty}
        required = [p.name for p in parameters if p.default is p.empty]
        this = Op(name or forward.__name__, inputs, forward, shape, vjps, sample, forward.__doc__, options)
        this.public, variadic = public, this.variadic
        arity, full = len(inputs), len(parameters)
        promoted = [k for k, i in enumerate(inputs) if i in vjps] if len(vjps) > 1 else []

        def bind(args, kwargs):
            """(inputs, params) of a call: inputs come first, each may be given by position or by name."""
            given = {**defaults, **dict(zip(options, args[arity:])), **kwargs}
            tensors = list(args[:arity])
            tensors += [given.pop(i, None) for i in inputs[len(tensors) :]]
            missing = [i for i, x in zip(inputs, tensors) if x is None and i in required]
            missing += [o for o in options if o not in given]
            unknown = [o for o in given if o not in options]
            if missing or unknown or len(args) > arity + len(options):
                problem = f"{missing} missing" if missing else f"unknown {unknown}" if unknown else "too many arguments"
                raise TypeError(f"{this.name}({', '.join([*inputs, *options])}): {problem}")
            return tensors, given

        def call(*args, **kwargs):
            mode = thread.mode
            if mode is RAW:
                return forward(*args, **kwargs)
            if not kwargs and len(args) == arity and len(defaults) == len(options):
                tensors, params = args, defaults
            elif not kwargs and len(args) == full:
                tensors, params = args[:arity], dict(zip(options, args[arity:]))
            else:
                tensors, params = bind(args, kwargs)
            if variadic:
                if not isinstance(tensors[0], (list, tuple, Tensor, np.ndarray)):
                    raise TypeError(f"{this.name}: wanted a sequence of tensors, got {type(tensors[0]).__name__}")
                tensors = list(tensors[0])
            arrays, parents, recorded = [], [], False
            for k, x in enumerate(tensors):
                if isinstance(x, Tensor):
                    arrays.append(x._data)
                    parents.append(x._node)
                    recorded = recorded or x._node is not None
                else:
                    missing = x is None and not variadic and inputs[k] not in required
                    arrays.append(None if missing else this.operand(k, x, dtype_among(tensors)))
                    parents.append(None)
            try:
                if variadic:
                    promote(arrays, range(len(arrays)))
                    result = forward(arrays, **params)
                else:
                    if promoted:
                        promote(arrays, promoted)
                    result = forward(*arrays, **params)
            except (ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
                this.complain(arrays, params, error)
            if type(result) is not list:
                if type(result) is not np.ndarray:
                    result = np.asarray(result)
                if mode is OFF or not recorded or not vjps or result.dtype.kind != "f":
                    return Tensor(result)
                saved = this.save(result, arrays, **params) if variadic else this.save(result, *arrays, **params)
                return Tensor(result, Node(this, parents, params, saved, result.shape, result.dtype, call_site()))
            if mode is OFF or not recorded or not vjps:
                return [Tensor(r) for r in result]
            site = call_site()
            specs = [Spec(r.shape, r.dtype) for r in result]
            saved = this.save(result, *arrays, **params)
            node = Node(this, parents, params, saved, specs, None, site)
            return [
                Tensor(r, Pick(this, (node,), k, (), r.shape, r.dtype, site) if r.dtype.kind == "f" else None)
                for k, r in enumerate(result)
            ]

        update_wrapper(call, forward)
        call.op, this.call = this, call
        return publish(call, numpy, method)

    return declare


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


def composite(*, sample, numpy=None, method=True):
    """Declare a function that is built of ops, hence needs neither vjp nor shape rule.

    Its positional-only arguments are inputs, as in `op`: they may be given by name, and reach it as tensors (in a vjp
    on plain arrays, as arrays). sample, numpy, method: as in `op`.
    """

    def declare(function: Callable):
        name = function.__name__
        parameters = list(inspect.signature(function).parameters.values())
        inputs = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]

        def call(*args, **kwargs):
            if thread.mode is RAW:
                return function(*args, **kwargs)
            given = list(args)
            for p in inputs[len(args) :]:
                if p.name not in kwargs and p.default is p.empty:
                    break
                given.append(kwargs.pop(p.name, p.default))
            like = dtype_among(given)
            for k, p in enumerate(inputs[: len(given)]):
                x = given[k]
                if isinstance(x, Tensor) or p.name == "arrays" or (x is None and p.default is None):
                    continue
                try:
                    given[k] = Tensor(as_array(x, like=like))
                except (ValueError, TypeError) as error:
                    reason = str(error).removeprefix("tensor: ")
                    raise restated(error, f"{name}: input '{p.name}' is a {type(x).__name__}: {reason}") from None
            try:
                return function(*given, **kwargs)
            except (ValueError, TypeError, IndexError) as error:
                raise restated(error, f"{name}: {error}") from None

        update_wrapper(call, function)
        call.sample = sample
        composites[name] = call
        return publish(call, numpy, method)

    return declare


class Elementwise(Op):
    """An op whose result at one place depends on the inputs at that place alone: one scalar expression.

    expression, derivatives: text, read by Numba on scalars and by Python on tensors. A derivative is written as the
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
            vjps[x] = eval(f"lambda g, {', '.join(names)}: {derivative}", self.namespace)
            self.vjp_kernels[x] = _Kernels(self, ["g", *names], derivative, None)
        super().__init__(name, inputs, self.forward_any, self.shape_rule, vjps, None, doc)
        self.raw_plans = [
            None if x not in derivatives
            else (None if derivatives[x] == "g" else self.vjp_kernels[x], plan[1])
            for x, plan in zip(inputs, self.plans)
        ]  # fmt: skip

    namespace: dict = {}  # the ops that the derivatives of elementwise ops name; filled by ops/elementwise.py

    def shape_rule(self, *inputs: Spec):
        try:
            return Spec(np.broadcast_shapes(*[x.shape for x in inputs]), self.result_dtype(inputs))
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
        return self.kernels[dtype](*arrays)

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

    def saved_tensors(self, node):
        """As of every op; and Python numbers become tensors of the node's dtype, so that log(2) is not a float32."""
        saved = super().saved_tensors(node)
        return [Tensor(np.asarray(v, node.dtype)) if type(v) in NUMBERS else v for v in saved]

    def pull(self, node, g, useful=None):
        if thread.mode is not RAW:
            return super().pull(node, g, useful)
        pulled = []
        saved, large = node.saved, g.size >= threads.LARGE
        for parent, plan in zip(node.inputs, self.raw_plans):
            if parent is None or plan is None or (useful is not None and parent not in useful):
                pulled.append(None)
                continue
            kernels, places = plan
            if kernels is None:  # the derivative is 1
                pulled.append(g)
            elif large:
                pulled.append(threads.split(kernels[g.dtype], g, *[saved[k] for k in places]))
            elif len(places) == 1:
                pulled.append(kernels[g.dtype](g, saved[places[0]]))
            else:
                pulled.append(kernels[g.dtype](g, *[saved[k] for k in places]))
        return pulled


def condition(this: Op, a):
    a = np.asarray(a)
    if a.dtype != bool:
        raise TypeError(f"{this.name}: a condition must be bool, got {a.dtype}; write a comparison, such as x != 0")
    return a


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
    function = _general(this, defaults)
    if len(names) <= 2 and not defaults:
        function = (_unary if len(names) == 1 else _binary)(this, function)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc}\n\n{call} = {expression}, elementwise and broadcasting."
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
        like = dtype_among(operands)
        arrays = [
            x._data if isinstance(x, Tensor) else x if type(x) in NUMBERS else this.operand(k, x, like)
            for k, x in enumerate(operands)
        ]
        parents = [x._node if isinstance(x, Tensor) else None for x in operands]
        try:
            unified, dtype = this.unify(*arrays)
            y = np.asarray(threads.split(this.kernels[dtype], *unified))
        except (ValueError, TypeError, OverflowError) as error:
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
        if not isinstance(x, Tensor):
            return general(x)
        array, parent = x._data, x._node
        try:
            kernel = kernels[array.dtype]
            y = kernel(array) if array.size < threads.LARGE else threads.split(kernel, array)
        except TypeError as error:
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
        if isinstance(a, Tensor):
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
            y = kernel(x, z) if size < threads.LARGE else threads.split(kernel, x, z)
        except (ValueError, TypeError) as error:
            this.complain((x, z), {}, error)
        if type(y) is not np.ndarray:
            y = np.asarray(y)
        if (p is None and q is None) or mode is OFF or not differentiable:
            return Tensor(y, None)
        return Tensor(y, Node(this, (p, q), None, save(y, x, z), y.shape, y.dtype, call_site()))

    return call
