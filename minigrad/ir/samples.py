"""Recording a function of one sample while it runs for all samples at once: what `vmap` is made of.

Inside, tensors hold `Batched` values. Each has the shape of one sample, and `data`: an array, or a value of the program
around, with one more axis in front for the samples, unless it is the same for all of them. An op on them runs at once,
outside, by its batching rule (minigrad/ir/rules). All else sees one sample: shape rules, the tape, a vjp that is pulled
back, in-place changes, another `vmap`.

    one sample            outside, x of shape (n, 3), w of shape (3, 2) for all samples
    y = x @ w             Y = X @ w
    s = sum(y, axis=0)    S = sum(Y, axis=1)

A loop that a jitted function records becomes a loop whose step is that of all samples.
"""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.ir.batched_loop import BatchedLoop
from minigrad.ir.later import Later
from minigrad.ir.loop import Loop
from minigrad.ir.number import Number
from minigrad.ir.rules import NOTHING, rule_of
from minigrad.ir.rules.batch import Batch, Ops, ops_of
from minigrad.ir.trace import Pick, Program, Value, stand_in
from minigrad.kernels import pieces
from minigrad.modes import RAW, TRACED, TRACED_OFF, recording, thread, tracing
from minigrad.mutations import mutations
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table
from minigrad.tape import Leaf, Node
from minigrad.tensor import Tensor


class Batched(Value):
    """A value of each sample. data: of all samples, with an axis of them in front if `on`, else the same for each. Of
    several results a list; of a loop the BatchedLoop."""

    __slots__ = ("held", "on")

    def __init__(self, program, op, inputs, params, shape, dtype, data, on):
        Node.__init__(self, op, inputs, params, None, shape, dtype, None)
        self.program, self.recompute, self.held, self.on = program, False, data, on

    @property
    def data(self):
        if type(self.held) is Later:
            self.held = self.held.value()
        return self.held

    def __str__(self):
        return f"{self.dtype}{list(self.shape)}" + (", of each sample" if self.on else "")

    def one(self):
        """The array, or the value of the program around, of what is the same for all samples."""
        if not tracing():
            raise TypeError(f"vmap: a tensor that a mapped function left behind has no numbers ({self}); return it")
        if self.on:
            raise TypeError(
                f"vmap: Python asked for the numbers of {self}, which differ from sample to sample ({self.asking()}); "
                "choose with mg.where instead of `if`, or give what must be a Python number with None in in_axes"
            )
        return self.data

    def __bool__(self):
        return bool(self.one())

    def __float__(self):
        return float(self.one())

    def __int__(self):
        return int(self.one())

    def __index__(self):
        return self.one().__index__()

    def __iter__(self):
        return iter(self.one())

    def __array__(self, dtype=None, copy=None):
        return self.one().__array__(dtype, copy=copy)

    def item(self):
        return self.one().item()

    def tolist(self):
        return self.one().tolist()

    def view(self):
        return self.one().view()


def on_array(name: str, *inputs, **params):
    """An op of the table on arrays."""
    op = table[name]
    inputs = tuple([np.asarray(x.value) if isinstance(x, Number) else x for x in inputs])
    if isinstance(op, Elementwise):
        unified, dtype = op.unify(*inputs)
        return np.asarray(pieces.split(op.kernels[dtype], *unified))
    result = op.forward(list(inputs), **params) if op.variadic else op.forward(*inputs, **params)
    return [np.asarray(r) for r in result] if type(result) is list else np.asarray(result)


ON_ARRAYS = Ops(on_array, lambda array: array)


class Samples(Program):
    """The program in which a function of one sample is recorded, and run for all of them.

    size: how many samples. around: the program in which the ops run; None: on arrays. same: the program that has begun
    with the function, of which this one is a continuation: a backward, in another program around, of what it recorded.
    """

    def __init__(self, size: int, around: Any, same: "Samples | None" = None):
        super().__init__()
        self.size, self.outside, self.first = size, around, same or self
        self.ops = ON_ARRAYS if around is None else ops_of(around)
        self.every = None if around is None else around.every
        self.entries: list[tuple[Leaf, Batched, Node]] = []  # what entered from the tape around
        self.alive: list = []

    eager = property(lambda self: self.outside is None or self.outside.eager)
    outermost = property(lambda self: self.first if self.outside is None else self.outside.outermost)

    # What enters

    def enter(self, x, convert: Callable | None = None):
        value, node = (x._data, x._node) if isinstance(x, Tensor) else (x, None)
        if type(value) is Batched and value.program.first is self.first:
            return value, node
        if isinstance(x, (Tensor, Value)):
            return self.capture(x if isinstance(x, Tensor) else Tensor(x))
        return self.constant(convert() if convert else np.asarray(x)), None

    def capture(self, x: Tensor):
        key = id(x._data), x._node
        if key not in self.captured:
            self.alive.append(x._data)
            self.captured[key] = self.place(x, False)
        return self.captured[key]

    def place(self, x: Tensor, on: bool) -> tuple[Batched, Leaf | None]:
        """A tensor of the program around, with an axis of samples or the same for each."""
        data, node = self.data_of(x)
        value = self.given(data, on)
        leaf = stand_in(node, value)
        if leaf is not None and node is not None:
            self.entries.append((leaf, value, node))
        return value, leaf

    def given(self, data, on: bool) -> Batched:
        """A value that is there: with an axis of samples, or the same for each."""
        return Batched(self, None, (), {}, data.shape[1:] if on else data.shape, data.dtype, data, on)

    def again(self, around: Program) -> "Samples":
        """Another one for as many samples."""
        return Samples(self.size, around)

    def data_of(self, x) -> tuple[Any, Any]:
        """What is outside, in the program around, and its place on the tape there."""
        if self.outside is not None:
            return self.outside.enter(x)
        data, node = (x._data, x._node) if isinstance(x, Tensor) else (x, None)
        if isinstance(data, Node):
            raise RuntimeError(
                "vmap: a tensor from inside another mapped or traced function is used outside of it; return it instead "
                f"({data}; used at {Value.asking()})"
            )
        return data, node

    def borrow(self, array) -> Tensor:
        if isinstance(array, Value):
            return Tensor(array)
        made = Tensor(np.array(array)) if self.outside is None else self.outside.borrow(array)
        self.alive.append(made)
        self.lent.add(id(made))
        return made

    def constant(self, array: np.ndarray) -> Batched:
        if self.outside is None:
            return self.given(array, False)
        return self.capture(Tensor(self.outside.constant(array)))[0]

    def known(self, value) -> bool:
        if isinstance(value, Batched) and value.program.first is self.first:
            return not value.on and (self.outside is None or self.outside.known(value.data))
        return self.outside is None or self.outside.known(value)

    def of_any_sample(self, x: Tensor) -> bool:
        """Whether a condition holds for any of them."""
        data = self.enter(x)[0].data
        return bool(data.any()) if self.outside is None else self.outside.of_any_sample(Tensor(data))

    def look(self, array: np.ndarray) -> None:
        if self.outside is not None:
            self.outside.look(array)

    def memory_if_changed(self, value):
        """Also what holds the numbers may have been changed: the user's own array."""
        traced = super().memory_if_changed(value)
        real = value.data if self.outside is None else self.outside.memory_if_changed(value.data)
        there = [memory for memory in (traced, real) if memory is not None]
        return max(there, key=mutations.time, default=None)

    # What runs

    def record(self, op, inputs, params, specs):
        several = isinstance(specs, list)
        if self.outside is None and thread.mode is TRACED_OFF and not several:
            later = self.later(op, inputs, params, specs)
            if later is not None:
                kept = (tuple(inputs), params) if getattr(op, "view", False) else ((), {})
                return Batched(self, op, *kept, specs.shape, specs.dtype, later, True)
        data = [self.data_of(x.data)[0] if isinstance(x, Batched) else x for x in inputs]
        on = [isinstance(x, Batched) and x.on for x in inputs]
        with self.running():
            if isinstance(op, Loop):
                results = BatchedLoop(self, op, data, on)
            elif any(on):
                results = rule_of(op).batch(Batch(self.ops, op.name, self.size, data, on), *data, **params)
            elif rule_of(op) is NOTHING:
                results = self.outside.record(op, data, params, specs)
            else:
                results = self.ops.make(op.name, *data, **params)
        if self.outside is None and not getattr(op, "view", False):
            inputs, params = (), {}  # so that what nobody needs any more goes
        shape, dtype = (specs, None) if several else (specs.shape, specs.dtype)
        value = Batched(self, op, tuple(inputs), params, shape, dtype, results, any(on))
        return [self.pick(value, k) for k in range(len(specs))] if several else value

    def later(self, op, inputs, params, specs) -> Later | None:
        """What a call gives, if that is a sum of products that can wait."""
        rule = rule_of(op)
        held = [x.held for x in inputs if type(x) is Batched and type(x.held) is Later]
        if held:
            if len(inputs) == 1 and (rule.additive or rule.linear == (0,)):
                return held[0].then(op.name, params)
            alike = rule.additive and len(inputs) == len(held) == 2 and inputs[0].shape == inputs[1].shape
            return held[0].plus(held[1]) if alike else None
        found = rule.over_steps(Batched(self, op, inputs, params, specs.shape, specs.dtype, None, True))
        if found is None or not all(x.on for x in found[0]):
            return None
        operands, make = found
        data, on = [x.data if isinstance(x, Batched) else x for x in inputs], [x.on for x in inputs]
        key = op.name, repr(params), specs.dtype, *[x.shape for x in operands]

        def first():
            return rule.batch(Batch(self.ops, op.name, self.size, data, on), *data, **params)

        return Later(self.ops, key, make, first, [tuple([x.data for x in operands])])

    def pick(self, value, k: int) -> Batched:
        spec, made = value.shape[k], value.data
        data, on = made.result(k) if isinstance(made, BatchedLoop) else (made[k], value.on)
        return Batched(self, Pick, (value,), k, spec.shape, spec.dtype, data, on)

    def recomputed(self, f, args, kwargs):
        if self.outside is None:
            return f(*args, **kwargs)
        return self.outside.recomputed(f, args, kwargs)

    def draws(self, item):
        raise RuntimeError(
            f"vmap: random numbers are drawn inside of a mapped function ({Value.asking()}), where there is one call "
            "for all samples; draw those of all samples outside, mg.random.normal((n, ...)) say, and map over them; "
            "switch dropout off with module.eval(), or draw its mask outside"
        )

    # What leaves

    def whole(self, value: Batched):
        """What is outside, with the axis of samples."""
        data = self.data_of(value.data)[0]
        return data if value.on else self.ops.broadcast_to(data, shape=(self.size, *value.shape))

    @contextmanager
    def recording(self):
        """Within, ops are recorded here."""
        outer = thread.mode, thread.program
        thread.mode, thread.program = (TRACED if recording() else TRACED_OFF), self
        try:
            yield
        finally:
            thread.mode, thread.program = outer

    @contextmanager
    def running(self):
        """Within, ops run outside, off the tape there."""
        outer = thread.mode, thread.program
        thread.mode, thread.program = (RAW if self.outside is None else TRACED_OFF), self.outside
        try:
            yield
        finally:
            thread.mode, thread.program = outer

    def total(self, value: Batched):
        """The sum over the samples, outside. What is linear is applied to the sum, and of a product of each sample's
        matrices the sum is one product: the gradient of a weight that all samples share is never one for each."""
        found, unseen = {value}, [value]
        while unseen:
            new = set(self.summands(unseen.pop())) - found
            found |= new
            unseen += new
        totals: dict = {}
        for v in sorted(found, key=lambda v: v.seq):
            totals[v] = self.total_of(v, totals)
        return totals[value]

    def summands(self, value: Batched) -> list:
        """The values of which the total is made, if it is made of totals."""
        inputs = value.inputs
        if not value.on or self.outside is None or not inputs:
            return []
        rule, on = rule_of(value.op), [isinstance(x, Batched) and x.on for x in inputs]
        if sum(on) == 1 and ((len(on) == 1 and rule.additive) or on.index(True) in rule.linear_in(value)):
            return [inputs[on.index(True)]]
        return list(inputs) if rule.additive and all(isinstance(x, Batched) for x in inputs) else []

    def total_of(self, value: Batched, totals: dict):
        if type(value.held) is Later:
            return value.held.total()
        o, data, inputs = self.ops, self.data_of(value.data)[0], value.inputs
        if not value.on:
            return o.mul(data, Number(self.size, data.dtype))
        made = inputs[0].data if value.op is Pick else None
        if isinstance(made, BatchedLoop) and value.params in made.totals:
            return self.data_of(made.total(value.params))[0]
        if parts := self.summands(value):
            given = [
                totals[x] if x in parts else self.data_of(x.data)[0] if isinstance(x, Batched) else x for x in inputs
            ]
            return o.make(value.op.name, *given, **value.params)
        over_samples = rule_of(value.op).over_steps(value) if inputs else None  # no other than over steps
        if over_samples is not None and all(x.on for x in over_samples[0]):
            return over_samples[1](o, *[self.data_of(x.data)[0] for x in over_samples[0]])
        return o.sum(data, axis=0)

    def taken_out(self, values: Sequence[Batched], inside: Sequence[bool]) -> list:
        """What values are outside: with the axis of samples where they are to have it (inside)."""
        with self.running():
            return [self.whole(v) if flag else self.data_of(v.data)[0] for v, flag in zip(values, inside)]
