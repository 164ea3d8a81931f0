"""Recording a function on shapes: the program.

While a function is traced, its tensors hold `Value`s in place of arrays: nodes like those of the tape (an op, inputs,
parameters, shape, dtype), recorded for every call whether it needs a gradient or not. All else runs as ever, the tape
included: a vjp that is pulled back while tracing records its own values, and that is the backward program.

A loop's body is a program inside a program. What it reads of the outside enters it as a constant.
"""

import math
import operator
from collections.abc import Callable
from types import NoneType
from typing import Any

import numpy as np

from minigrad.arguments import is_masked
from minigrad.ir.draws import drawn_specs
from minigrad.ir.number import Number
from minigrad.ir.rules import canonical_form
from minigrad.modes import thread, tracing
from minigrad.mutations import axes_in_memory, mutations
from minigrad.ops.index import is_basic
from minigrad.ops.pointwise import NUMBERS, Elementwise
from minigrad.ops.table import Op, Spec, table
from minigrad.sites import call_site
from minigrad.symbolic import Symbolic, has_sizes, hinted
from minigrad.tape import Leaf, Node
from minigrad.tensor import Tensor


class Value(Node):
    """One value of a program, in the place of an array that there is not yet.

    op: its declaration, None for an input. inputs: values; of an elementwise op, Numbers too; None for an operand that
    is not there. params: those of the call; of one of
    several results, its index. program: where it belongs. recompute: whether a checkpoint asks that the backward
    computes it again.
    """

    __slots__ = ("program", "recompute")
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))

    def __init__(self, program, op, inputs, params, shape, dtype, recompute=False):
        for x in inputs:
            if not isinstance(x, (Value, Number, NoneType)):
                raise TypeError(
                    f"{op.name}: a program has an input of type {type(x).__name__}, wanted a Value or a Number"
                )
        site = (thread.pulled or call_site()) if op is not None else None
        super().__init__(op, inputs, params, None, shape, dtype, site)
        self.program = program
        self.recompute = recompute

    def of(self, inputs, program=None, op=None, shape=None, params=None) -> "Value":
        """The same, of other inputs."""
        shape, params = self.shape if shape is None else shape, self.params if params is None else params
        made = Value(program or self.program, op or self.op, tuple(inputs), params, shape, self.dtype, self.recompute)
        made.site = self.site
        return made

    def astype(self, dtype, copy=False):
        return thread.program.cast(self, np.dtype(dtype))

    def copy(self, order=None):
        return self

    def __deepcopy__(self, memo):  # with the tensor that it is the numbers of
        return self

    memory = property(lambda self: self.program.memory_of(self))

    def __str__(self):
        """For errors: what it is, and the line that made it."""
        made = self.inputs[0] if self.op is Pick else self
        of = f"the result of {made.op.name} at {made.line}" if made.op is not None else "which was given to it"
        return f"{self.dtype}{list(self.shape)}, {of}"

    def refuse(self, *_, **__):
        if not tracing():
            raise TypeError(
                f"jit: a tensor that a jitted function left behind has no numbers ({self}); return it instead"
            )
        raise TypeError(
            f"jit: Python asked for the numbers of {self.dtype}{list(self.shape)}, not known while a function "
            f"is traced ({self.asking()}); choose with mg.where or mg.cond instead of `if`, loop with mg.scan or "
            "mg.while_loop instead of `while`, give what must be a Python number as one, or call the function under "
            "mg.disable_jit()"
        )

    __bool__ = __float__ = __int__ = __index__ = __array__ = __iter__ = item = tolist = view = refuse

    @staticmethod
    def asking() -> str:
        code, instruction = call_site()
        return Node(None, (), {}, (), (), None, (code, instruction)).line


class Pick:
    """The op of a value that is one of several results; its params are the place among them."""

    name = "pick"


class Draw:
    """The op of random numbers: params["item"] tells what to draw, in the order in which eager code would."""

    name = "draw"


def stand_in(node: Node | None, like) -> Leaf | None:
    """The leaf through which `node` enters a program; `like` has its shape and dtype.

    It gets the node's time of creation: a transform takes for its own what is younger than itself, and a leaf is made
    when the program first reads the tensor, which may be inside of a transform that began after the tensor was made.
    """
    if node is None:
        return None
    leaf = Leaf(like.shape, like.dtype)
    leaf.seq = node.seq
    return leaf


class Program:
    """Values from inputs to outputs.

    inputs: what the caller supplies. captured: (input, leaf, tensor) for the tensors that the function found elsewhere;
    their arrays are looked up at every call. effects: values that are computed whether needed or not (random draws).
    cotangents: inputs that come only when the backward is run. every: of how many steps loops save their carry alone;
    None: they save what they can. precision: of products of float32: "bfloat16", or None, as they are. looked: the
    arrays that Python has seen the numbers of, with a copy of them.
    borrowed: by their ids, tensors made here of the memory of arrays, which may be written into.
    lent: the ids of those of them that this program, and no other one, made.
    owned: by the ids of those that were changed in place here, what keeps the numbers that they had.
    scalars: inputs that are computed from the sizes of a call, 1 / n in a mean, say; by their expressions and dtypes.
    memories: for values, arrays that stand for their memory; nobody reads the numbers in them. They tell which results
    are views, and which parts have been changed in place.
    """

    parent: Any = None  # of the body of a loop: the program that the loop is in
    counted = False  # of the body of a loop: whether it takes as many steps as a value says
    eager = False  # whether what is recorded runs at once, on arrays
    actions: Any = None  # what a jitted function does to what is outside (actions.py)
    # while its backward is traced: a Reach, the presence of its roots, that in the steps of its loops
    around: Any = None

    def __init__(self):
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.captured: dict = {}
        self.sites: dict = {}  # by id of a captured tensor, where it was read first
        self.effects: list[Value] = []
        self.cotangents: list[Value] = []
        self.recomputing = False
        self.every: int | None = None
        self.precision: str | None = None
        self.looked: dict = {}
        self.borrowed: dict[int, Tensor] = {}
        self.lent: set[int] = set()
        self.owned: dict[int, Tensor] = {}
        self.memories: dict[Value, np.ndarray] = {}
        self.in_order: dict[Value, bool] = {}
        self.scalars: dict[tuple, tuple[Value, Symbolic]] = {}

    # What ops call while tracing

    def enter(self, x, convert: Callable | None = None) -> tuple[Value, Node | None]:
        """An operand as a value of this program, and its place on the tape."""
        if isinstance(x, Tensor):
            value, node = x._data, x._node
        elif isinstance(x, Value):
            value, node = x, None
        else:
            return self.constant(convert() if convert else np.asarray(x)), None
        if isinstance(value, Value) and value.program is self:
            return value, node
        return self.capture(x if isinstance(x, Tensor) else Tensor(x))

    def capture(self, x: Tensor) -> tuple[Value, Node | None]:
        if isinstance(x._data, Value):
            raise RuntimeError(
                "jit: a tensor from inside a loop or another traced function is used outside of it; return it instead "
                f"({x._data}; used at {x._data.asking()})"
            )
        if self.actions is not None and id(x._data) in self.actions.kept:
            return self.actions.kept[id(x._data)][1], None
        if id(x) in self.captured:
            return self.captured[id(x)][0][:2]
        leaf = stand_in(x._node, x)
        value = self.input(x)
        self.lay_out(value, x._data)
        self.captured[id(x)] = [(value, leaf, x)]
        self.sites[id(x)] = call_site()
        return value, leaf

    @property
    def outermost(self) -> "Program":
        return self.parent.outermost if self.parent else self

    def known(self, value) -> bool:
        """Whether Python may ask for its numbers."""
        return False

    def look(self, array: np.ndarray) -> None:
        if self.outermost.actions is not None:
            self.outermost.actions.refuse_look(array)
        self.outermost.looked.setdefault(id(array), (array, numbers(array)))

    def borrow(self, array: np.ndarray) -> Tensor:
        made = Tensor(array)
        self.outermost.borrowed[id(made)] = made
        self.lent.add(id(made))
        return made

    # In-place changes (minigrad/ops/inplace.py)

    def claim(self, x: Tensor) -> bool:
        """Whether x was made while this program was recorded, hence may be changed in place. If it was made of an array
        it now holds a value, so that it can have another one."""
        if isinstance(x._data, Value):
            return x._data.program is self
        if id(x) not in self.lent:
            return False
        self.outermost.owned[id(x)] = Tensor(x._data)
        x._data = self.enter(x)[0]
        return True

    def memory_of(self, value) -> np.ndarray:
        """The array that stands for a value's memory."""
        if not isinstance(value, Value):
            return value
        memories = self.outermost.memories
        if value not in memories:
            made = value.inputs[0] if value.op is Pick else value
            if made.op is not None and getattr(made.op, "view", False):
                with np.errstate(all="ignore"):  # nobody has set the numbers, which a cast looks at
                    views = made.op.forward(self.memory_of(made.inputs[0]), **hinted(made.params))
                memories[value] = views[value.params] if value.op is Pick else views
            else:
                memories[value] = self.laid_out(value)
        return memories[value]

    def lay_out(self, value: Value, array: np.ndarray) -> None:
        """The axes of an input lie in memory in the order of those of the array that it stands for."""
        if (axes := axes_in_memory(array)) is not None:
            shape = hinted(value.shape)
            memory = np.empty([shape[k] for k in axes], value.dtype).transpose(np.argsort(axes))
            self.outermost.memories[value], self.outermost.in_order[value] = memory, False

    def lay_out_as(self, value: Value, outside: Tensor, per_step: bool) -> None:
        """An input of a step lies in memory as what it stands for does, outside of the loop, or as a slice of that."""
        if isinstance(outside._data, Value) and not self.parent.lies_in_order(outside._data):
            memory = self.parent.memory_of(outside._data)
            if memory.size:
                self.lay_out(value, memory[0] if per_step else memory)

    def laid_out(self, value: Value) -> np.ndarray:
        """An array such as eager code makes for a value that is no view: it lies in another order where the operands
        do, and then a reshape of it may be a copy."""
        if not self.lies_in_order(value):
            operands = [self.memory_of(x.value if type(x) is Number else x) for x in value.inputs]
            try:
                with np.errstate(all="ignore"):
                    made = value.op.forward(*([operands] if value.op.variadic else operands), **hinted(value.params))
            except (ArithmeticError, ValueError, IndexError, TypeError):  # of numbers that nobody has set
                made = None
            if isinstance(made, np.ndarray) and made.shape == hinted(value.shape) and made.dtype == value.dtype:
                return made
        return np.empty(hinted(value.shape), value.dtype)

    def lies_in_order(self, value: Value) -> bool:
        """Whether a value surely lies in C order."""
        known, stack = self.outermost.in_order, [value]
        while value not in known:
            v = stack[-1]
            made = v.inputs[0] if v.op is Pick else v
            is_op = isinstance(made.op, Op)
            missing = [x for x in made.inputs if is_op and isinstance(x, Value) and x not in known]
            if missing:
                stack += missing
                continue
            stack.pop()
            if not is_op or v.ndim < 2:
                known[v] = True
            elif made.op.view:
                known[v] = self.memory_of(v).flags.c_contiguous
            else:
                orders = [known[x] for x in made.inputs if isinstance(x, Value)]
                known[v] = v is not made or (all(orders) and made.op.keeps_order) or made.op.orders(*made.inputs)
        return known[value]

    def memory_if_changed(self, value: Value) -> np.ndarray | None:
        """The same, or None where nobody has asked for it yet, so that it has not been changed."""
        root = value
        while root not in self.outermost.memories:
            made = root.inputs[0] if root.op is Pick else root
            if made.op is None or not getattr(made.op, "view", False):
                return None
            root = made.inputs[0]
        return self.memory_of(value)

    def note(self, x: Tensor, time: int, index=...) -> None:
        """A part of x is changed in place at a time. What shares its memory may depend on its size: this is fixed."""
        for n in x.shape:
            operator.index(n)
        memory = self.memory_of(x._data)
        mutations.note(table["getitem"].forward(memory, index) if is_basic(index) else memory, time)

    def replace(self, x: Tensor, new: Tensor) -> None:
        """Let x have another value, in the same memory."""
        value = self.enter(new)[0]
        value = self.record(table["copy"], (value,), {}, Spec(value.shape, value.dtype))  # vjps may need the other one
        self.outermost.memories[value] = self.memory_of(x._data)
        x._data = value

    def constant(self, array: np.ndarray) -> Value:
        return self.capture(self.borrow(array))[0]

    def input(self, like) -> Value:
        return Value(self, None, (), {}, like.shape, like.dtype)

    def cast(self, value: Value, dtype) -> Value:
        value = self.enter(value)[0]
        if value.dtype == dtype:
            return value
        return self.record(table["astype"], [value], {"dtype": dtype}, Spec(value.shape, dtype))

    def filled(self, shape, dtype, value=0) -> Value:
        """The same number everywhere. Of a shape that is not fixed there is no array: one number is repeated."""
        if not has_sizes(shape):
            return self.constant(np.full(shape, value, dtype))
        return self.apply("broadcast_to", self.constant(np.full((), value, dtype)), shape=tuple(shape))

    def number(self, x, dtype) -> Number:
        return Number(x, dtype)

    def scalar(self, x: Symbolic, dtype) -> Value:
        """A number that depends on the sizes of the call, as an input."""
        key = x.text, np.dtype(dtype)
        if key not in self.scalars:
            self.scalars[key] = self.input(Spec((), key[1])), x
        return self.scalars[key][0]

    def apply(self, name: str, *inputs, **params):
        """An op of the table in its canonical form (minigrad/ir/rules), as new value(s).

        Python numbers take the dtype of the other operands: if there are none, wanted are Numbers.
        """
        op = table[name]
        if isinstance(op, Elementwise):
            operands = list(zip(inputs, op.inputs))
            dtypes = [x.dtype for x, n in operands if hasattr(x, "dtype") and n not in op.booleans]
            if not dtypes:
                raise TypeError(f"{name}: got Python numbers alone, wanted a Number, or a Value whose dtype they take")
            of = {n: np.dtype(bool) if n in op.booleans else dtypes[0] for n in op.inputs}
            inputs = tuple([
                Number(x, of[n]) if type(x) in NUMBERS else self.scalar(x, of[n]) if isinstance(x, Symbolic) else x
                for x, n in operands
            ])  # fmt: skip
        params = {**op.defaults, **params}
        canonical = canonical_form(self, op, inputs, params)
        return self.record(op, inputs, params, op.specs(*inputs, **params)) if canonical is None else canonical

    def record(self, op, inputs, params, specs):
        """A new value, or a list of them, if there are several specs."""
        several = isinstance(specs, list)
        shape, dtype = (specs, None) if several else (specs.shape, specs.dtype)
        made = Value(self, op, tuple(inputs), params, shape, dtype, self.recomputing)
        return [self.pick(made, k) for k in range(len(specs))] if several else made

    def pick(self, value: Value, k: int) -> Value:
        spec = value.shape[k]
        return Value(self, Pick, (value,), k, spec.shape, spec.dtype, value.recompute)

    def recomputed(self, f, args, kwargs):
        """f(*args), its values marked: the backward computes them again instead of keeping them."""
        outer, self.recomputing = self.recomputing, True
        try:
            return f(*args, **kwargs)
        finally:
            self.recomputing = outer

    def draw(self, generator, shape, kind, dtype) -> Tensor:
        """Random numbers of a generator; their draws keep their order."""
        return Tensor(self.draws(("draw", generator, tuple(shape), dtype, kind))[0])

    def draws(self, item) -> list[Value]:
        outer, self.recomputing = self.recomputing, False  # what was drawn is kept: it cannot be drawn again
        values = self.record(Draw, (), {"item": item}, drawn_specs(item))
        self.recomputing = outer
        self.effects.append(values[0].inputs[0])
        return values


def numbers(array: np.ndarray) -> tuple:
    """What is to be the same, that an array's numbers are."""
    mask = is_masked(array) and np.ma.getmaskarray(array).tobytes()
    return array.shape, array.dtype, np.ndarray.tobytes(array), mask  # of a masked array, its own method may raise
