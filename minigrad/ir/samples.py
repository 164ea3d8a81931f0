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

from minigrad.ir.loop import Body, Loop
from minigrad.ir.rewrite import order_of
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.batch import Batch, Ops, ops_of
from minigrad.ir.trace import Number, Pick, Program, Value, stand_in
from minigrad.kernels import threads
from minigrad.modes import RAW, TRACED, TRACED_OFF, recording, thread, tracing
from minigrad.mutations import mutations
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import Spec, table
from minigrad.tape import Leaf, Node
from minigrad.tensor import Tensor


class Batched(Value):
    """A value of each sample. data: of all samples, with an axis of them in front if `on`, else the same for each. Of
    several results a list; of a loop the BatchedLoop."""

    __slots__ = ("data", "on")

    def __init__(self, program, op, inputs, params, shape, dtype, data, on):
        Node.__init__(self, op, inputs, params, None, shape, dtype, None)
        self.program, self.recompute, self.data, self.on = program, False, data, on

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
        return np.asarray(threads.split(op.kernels[dtype], *unified))
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
        spec = Spec(data.shape[1:] if on else data.shape, data.dtype)
        value = Batched(self, None, (), {}, spec.shape, spec.dtype, data, on)
        leaf = stand_in(node, spec)
        if leaf is not None and node is not None:
            self.entries.append((leaf, value, node))
        return value, leaf

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

    def borrow(self, array: np.ndarray) -> Tensor:
        made = Tensor(np.array(array)) if self.outside is None else self.outside.borrow(array)
        self.alive.append(made)
        self.lent.add(id(made))
        return made

    def constant(self, array: np.ndarray) -> Batched:
        if self.outside is None:
            return Batched(self, None, (), {}, array.shape, array.dtype, array, False)
        return self.capture(Tensor(self.outside.constant(array)))[0]

    def known(self, value) -> bool:
        if isinstance(value, Batched) and value.program.first is self.first:
            return not value.on and (self.outside is None or self.outside.known(value.data))
        return self.outside is None or self.outside.known(value)

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
        data = [self.data_of(x.data)[0] if isinstance(x, Batched) else x for x in inputs]
        on = [isinstance(x, Batched) and x.on for x in inputs]
        with self.running():
            if isinstance(op, Loop) and self.outside is None:
                raise TypeError(
                    "vmap: a predicate of cond or while_loop, or an index of switch, differs from sample to sample; "
                    "choose with mg.where instead"
                )
            if isinstance(op, Loop):
                results = BatchedLoop(self, op, data, on)
            elif any(on):
                results = rule_of(op).batch(Batch(self.ops, op.name, self.size, data, on), *data, **params)
            else:
                results = self.ops.make(op.name, *data, **params)
        if self.outside is None and not getattr(op, "view", False):
            inputs, params = (), {}  # so that what nobody needs any more goes
        shape, dtype = (specs, None) if several else (specs.shape, specs.dtype)
        value = Batched(self, op, tuple(inputs), params, shape, dtype, results, any(on))
        return [self.pick(value, k) for k in range(len(specs))] if several else value

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
        return data if value.on else self.ops.make("broadcast_to", data, shape=(self.size, *value.shape))

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

    def taken_out(self, values: Sequence[Batched], inside: Sequence[bool]) -> list:
        """What values are outside: with the axis of samples where they are to have it (inside)."""
        with self.running():
            return [self.whole(v) if flag else self.data_of(v.data)[0] for v, flag in zip(values, inside)]


class BatchedLoop:
    """A loop of one sample as a loop of all samples, in the program around.

    A carry has the axis of samples if it starts with it or becomes what has it. value: the loop, outside. on: for each
    of its results, whether it has the axis. constants: how many of those that the rules brought with them have entered
    the loop.
    """

    def __init__(self, samples: Samples, loop: Loop, data: Sequence, on: Sequence[bool]):
        self.samples, self.loop = samples, loop
        self.around = samples.outside
        self.body = Body(self.around)
        self.inner = Samples(samples.size, self.body)
        self.became: dict[Value, Any] = {}
        nc, n = len(loop.consts), len(loop.carries)
        carried = self.carried(on)
        flags = [*on[:nc], *carried, *on[nc + n :]]
        inputs = [self.entered(v, flag) for v, flag in zip(loop.inputs, flags)]
        outs = [self.of(v) for v in loop.results]
        self.on = [*carried, *[out.on for out in outs[n:]]]
        results = [self.inner.whole(v) if flag else v.data for v, flag in zip(outs, self.on)]
        consts, outside = inputs[:nc] + [v for v, _, _ in self.body.consts], list(data[:nc])
        outside += [self.around.enter(tensor)[0] for _, _, tensor in self.body.consts]
        for x, flag, wanted in zip(data[nc : nc + n], on[nc : nc + n], carried):
            size = () if flag == wanted else (samples.size,)
            outside.append(samples.ops.broadcast_to(x, shape=(*size, *x.shape)))
        outside += [time_and_samples(samples.ops, x) if flag else x for x, flag in zip(data[nc + n :], on[nc + n :])]
        self.constants = len(self.body.consts)
        m = n + len(loop.sums)
        self.new = Loop(
            self.body, loop.length, loop.reverse, consts, inputs[nc : nc + n], inputs[nc + n :],
            results[:n], results[n:m], results[m:],
        )  # fmt: skip
        self.new.count, self.new.go = [None if v is None else self.decided(v) for v in (loop.count, loop.go)]
        self.new.chunked = loop.chunked
        self.value = self.around.record(self.new, outside, {}, self.new.specs())[0].inputs[0]

    def decided(self, value: Value) -> Value:
        """What decides how many steps there are."""
        found = self.of(value)
        if found.on:
            raise TypeError(
                "vmap: a predicate of cond or while_loop, or an index of switch, differs from sample to sample; choose "
                "with mg.where instead"
            )
        return found.data

    def carried(self, on: Sequence[bool]) -> list[bool]:
        """For each carry, whether it has the axis at some step."""
        loop = self.loop
        nc, n = len(loop.consts), len(loop.carries)
        carried, order = list(on[nc : nc + n]), order_of(loop.outputs)
        while True:
            flags = [*on[:nc], *carried, *on[nc + n :]]
            moving = {v for v, flag in zip(loop.inputs, flags) if flag}
            for v in order:
                if any(x in moving for x in v.inputs):
                    moving.add(v)
            after = [flag or out in moving for flag, out in zip(carried, loop.carry_outs)]
            if after == carried:
                return carried
            carried = after

    def entered(self, value: Value, on: bool) -> Value:
        """An input of the new step, for one of the old."""
        made = self.body.input(Spec((self.samples.size, *value.shape) if on else value.shape, value.dtype))
        self.became[value] = Batched(self.inner, None, (), {}, value.shape, value.dtype, made, on)
        return made

    def of(self, root: Value) -> Batched:
        """What a value of the step is for all samples. The ops that lead to it are recorded, if they have not been."""
        became, outer = self.became, thread.pulled
        try:
            for v in order_of([root]):
                if v in became:
                    continue
                thread.pulled, self.body.recomputing = v.site, v.recompute
                inputs = tuple([became[x] if isinstance(x, Value) else x for x in v.inputs])
                if v.op is Pick:
                    became[v] = self.inner.pick(inputs[0][0].inputs[0], v.params)
                else:
                    specs = v.shape if v.dtype is None else Spec(v.shape, v.dtype)
                    became[v] = self.inner.record(v.op, inputs, v.params, specs)
        finally:
            thread.pulled, self.body.recomputing = outer, False
        return became[root]

    def result(self, k: int) -> tuple[Any, bool]:
        """(result k, whether it has the axis of samples). A backward may ask for what is kept for it alone."""
        while k >= len(self.on):
            self.keep(self.of(self.loop.results[len(self.on)]))
        data, stacked = self.around.pick(self.value, k), k >= len(self.loop.carries) + len(self.loop.sums)
        return time_and_samples(self.samples.ops, data) if stacked and self.on[k] else data, self.on[k]

    def keep(self, value: Batched) -> None:
        """Let the loop give a stack of these, too."""
        self.on.append(value.on)
        self.new.ys.append(value.data)
        self.value.shape.append(Spec((self.new.length, *value.data.shape), value.dtype))
        for v, _, tensor in self.body.consts[self.constants :]:
            place = len(self.new.consts)
            self.new.consts.append(v)
            outside = self.around.enter(tensor)[0]
            self.value.inputs = (*self.value.inputs[:place], outside, *self.value.inputs[place:])
        self.constants = len(self.body.consts)


def time_and_samples(ops: Ops, x):
    """The axes of the steps and of the samples, one for the other."""
    return ops.transpose(x, axes=(1, 0, *range(2, x.ndim)))
