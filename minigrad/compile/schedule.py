"""What a step of a loop does, in which order, and where each value lies.

A schedule is a list of tasks. A `Fused` task is one loop over a shape that computes a run of elementwise values and
writes those that something outside of it needs; a `Product`, a `Reduction` is a task of its own. A value that is a part
of another, or another in another layout, is a `View` of its memory and costs nothing; parts of a concatenation are
written where the whole lies.
"""

import math
from typing import Any

import numpy as np

from minigrad.compile import blocks, convolutions
from minigrad.compile.arrange import Arrangement
from minigrad.compile.partition import is_large, partition
from minigrad.compile.supported import main_dtype, require_kernel
from minigrad.compile.tasks import (
    Along,
    Buffer,
    Call,
    Clear,
    Fused,
    Gather,
    Product,
    Reduction,
    Repeat,
    View,
)
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import is_a, is_join, is_product, is_view, order_of, rounds
from minigrad.ir.rules import kernel as kernels
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.kernel import lies_in_order, natural
from minigrad.ir.rules.partition import PARTIAL, REPLICATE, SHARD, TRANSPOSED, axis_of, merged
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.trace import Pick, Value
from minigrad.kernels import matmul

PACKED = 4096  # multiplications of a product from which packing its right operand at every step pays
LEAST_ROWS, LEAST_SIDE = 6, 16  # of a product that is worth packing its right operand at every step


def schedule(loop: Loop, called: set | None = None) -> "Schedule":
    """The schedule of a loop, its batch divided between threads if no op mixes it. What has no kernel is called.

    Raises Unsupported if the loop as a whole cannot be one kernel.
    """
    called = set() if called is None else called
    while True:
        try:
            return scheduled(loop, called)
        except Unsupported as reason:
            if reason.value is None or reason.value in called:
                raise
            called.add(reason.value)


def scheduled(loop: Loop, called: set) -> "Schedule":
    try:
        return Schedule(loop, True, called)
    except Unsupported as reason:
        if reason.value is not None:
            raise
        return Schedule(loop, False, called)


def nest(loop: Loop, order: list[Value], called) -> list[Loop]:
    """A loop and those in its step that are not called, to any depth."""
    inner = [v.op for v in order if isinstance(v.op, Loop) and v not in called]
    return [loop, *[one for op in inner for one in nest(op, order_of(op.outputs), called)]]


def all_values(order: list[Value], called) -> list[Value]:
    """These values, and those of the loops among them."""
    found = list(order)
    for v in order:
        if isinstance(v.op, Loop) and v not in called:
            found += [*all_values(order_of(v.op.outputs), called), *v.op.carries]
    return found


class Schedule:
    """Of a loop: tasks, buffers, what lies where. rows: whether threads may divide the batch, the leading axis."""

    def __init__(self, loop: Loop, divided: bool, called: set):
        self.loop, self.called, self.rows = loop, called, divided
        self.order = order_of(loop.outputs)
        for v in self.order:
            if not divided and isinstance(v.op, Loop) and v not in called and is_large(v.op, called):
                raise Unsupported("a loop whose rows threads divide by themselves", v)
        everything = all_values(self.order, called)
        self.dtype = main_dtype(everything, {c for one in nest(loop, self.order, called) for c in one.consts})
        self.packs = self.packed_as(everything)
        self.fixed = {v: k for k, v in enumerate(loop.consts)}  # what may be packed once a call, and which input it is
        for v in self.order:
            self.require(v)
        if any(0 in v.shape for v in loop.carries or loop.ys):
            raise Unsupported("an empty batch")
        self.kinds = dict.fromkeys([*everything, *loop.carries], REPLICATE)
        if divided:
            self.kinds |= partition(loop, self.order, called)
        self.buffers: list[Buffer] = []
        self.homes: dict[Value, View] = {}
        self.totals: dict[Buffer, Buffer] = {}
        self.nested: list = []  # the loops in the step
        self.tasks: list = []
        self.results: list = []  # for each output of the loop: (buffer, how to read it)
        self.place()
        self.arrange()

    def packed_as(self, values: list[Value]) -> np.dtype:
        """The type in which right operands of products are packed."""
        kinds = {rounds(v) for v in values if is_product(v) and v not in self.called}
        if len(kinds) > 1:
            raise Unsupported("products in float32 and in bfloat16")
        return matmul.BFLOAT16 if True in kinds else self.dtype

    def require(self, v: Value) -> None:
        """Raise Unsupported for what no kernel can do."""
        if v not in self.called and not isinstance(v.op, Loop):
            require_kernel(v, self.fixed, self.dtype)

    def is_view(self, v: Value) -> bool:
        return is_view(v) and v not in self.called

    def is_fused(self, v: Value) -> bool:
        return is_a(v, kernels.Scalar) and v not in self.called

    # Where values lie

    def buffer(self, kind, index, shape, dtype, per_step=False, private=False) -> Buffer:
        made = Buffer(kind, index, tuple(shape), dtype, per_step, private, f"{kind}{len(self.buffers)}")
        self.buffers.append(made)
        return made

    def place(self) -> None:
        """Homes of inputs and of results; the others get theirs when they are scheduled."""
        loop = self.loop
        used = set(self.order)
        for k, v in enumerate(loop.inputs):
            if v not in used or v in loop.carries:
                continue
            per_step = v in loop.streams
            b = self.buffer("input", k, v.shape, v.dtype, per_step)
            strides = natural(v.shape)
            if v.ndim == 2:
                strides = (f"{b.name}_row", *strides[1:])
            self.homes[v] = View(b, 0, v.shape, strides, v.dtype)
        self.targets: list[tuple] = []  # (value, view): what is to be there at the end of a step
        self.results = [None] * len(loop.outputs)
        n, m = len(loop.carries), len(loop.sums)
        ys = dict(enumerate(loop.ys))
        for k, (carry, out) in enumerate(zip(loop.carries, loop.carry_outs)):
            before = [j for j, y in ys.items() if y is carry]
            after = [j for j, y in ys.items() if y is out and y is not carry]
            kept = bool(before or after)
            private = self.rows and self.kinds.get(carry) == REPLICATE
            b = self.buffer("history" if kept else "pair", k, carry.shape, carry.dtype, False, private)
            self.homes[carry] = View(b, 0, carry.shape, natural(carry.shape), carry.dtype)
            view = View(b, 0, carry.shape, natural(carry.shape), carry.dtype, True)
            self.targets.append((out, view))
            self.results[k] = (b, "last")
            for j in before:
                self.results[n + m + j] = (b, "before")
            for j in after:
                self.results[n + m + j] = (b, "after")
            for j in before + after:
                del ys[j]
        for j, y in ys.items():
            private = self.rows and self.kinds[y] == REPLICATE
            b = self.buffer("y", j, y.shape, y.dtype, True, private)
            self.targets.append((y, View(b, 0, y.shape, natural(y.shape), y.dtype)))
            self.results[n + m + j] = (b, "all")
        self.place_sums()
        for j, b in enumerate(self.parts):
            self.results[n + j] = (self.totals[b], "all")
        self.place_targets()

    def place_sums(self) -> None:
        """parts: of each sum over the steps, where few terms are added up."""
        self.parts = []
        for j, s in enumerate(self.loop.sums):
            b = self.given_part(j)
            if b is None:
                b = self.buffer("sum", j, s.shape, s.dtype, False, self.rows)
                self.totals[b] = self.buffer("total", j, s.shape, np.dtype("float64"), False, self.rows)
            self.parts.append(b)

    def given_part(self, j: int) -> Buffer | None:
        """Where a sum is added up, if the step around has a place for it."""
        return None

    def adds_up(self, v: Value) -> Buffer | None:
        """Where a sum of a loop in the step is added up, if nothing but a sum over the steps around reads it."""
        loop = v.inputs[0] if v.op is Pick else None
        if loop is None or not isinstance(loop.op, Loop) or loop in self.called:
            return None
        is_a_sum = 0 <= v.params - len(loop.op.carries) < len(loop.op.sums) and self.loop.sums.count(v) == 1
        if not is_a_sum or v in self.homes or any(v in u.inputs for u in self.order):
            return None
        return self.parts[self.loop.sums.index(v)]

    def place_targets(self) -> None:
        """Let what must lie somewhere be computed there, or be copied."""
        self.copies: list[tuple] = []
        for v, view in self.targets:
            of_all = self.rows and self.kinds[v] == REPLICATE and not view.buffer.private
            elsewhere = self.is_view(v) or self.is_carried(v) or self.kinds[v] == TRANSPOSED
            if v.op is None or v in self.homes or elsewhere or of_all:
                self.copies.append((v, view))
            else:
                self.homes[v] = view
        for v in reversed(self.order):
            if is_join(v):
                whole = self.home(v)
                axis, start = v.params["axis"], 0
                for x in v.inputs:
                    part = whole.part(axis, start, x.shape[axis])
                    start += x.shape[axis]
                    computed = x.op not in (None, Pick) and not is_view(x)
                    if computed and x not in self.homes and self.kinds[x] == self.kinds[v]:
                        self.homes[x] = part
                    else:
                        self.copies.append((x, part))

    def is_carried(self, v: Value) -> bool:
        """Whether it is the last carry of a loop in the step, which lies where the loop has it."""
        loop = v.inputs[0] if v.op is Pick else None
        return loop is not None and loop not in self.called and isinstance(loop.op, Loop) and (
            v.params < len(loop.op.carries)
        )  # fmt: skip

    def home(self, v: Value) -> View:
        """Where a value lies; made now if it is not a view and has no place yet."""
        if v not in self.homes:
            if self.is_view(v):
                self.homes[v] = rule_of(v.op).layout(self.home(v.inputs[0]), v)
            else:
                private = self.rows and self.kinds[v] in (REPLICATE, PARTIAL)
                b = self.buffer("scratch", v, v.shape, v.dtype, False, private)
                self.homes[v] = View(b, 0, v.shape, natural(v.shape), v.dtype)
        return self.homes[v]

    # In which order

    def arrange(self) -> None:
        self.tasks += Arrangement(self).tasks()

    def barrier(self, v: Value, to: View | None = None) -> list:
        rows = self.kinds[v] == SHARD
        if v.dtype is not None and v.size == 0:
            return []
        axis = axis_of(self.kinds[v]) or 0
        if v in self.called:
            if axis or any(axis_of(self.kinds[x]) for x in v.inputs if isinstance(x, Value)):
                raise Unsupported(f"{v.op.name} of a stack of a loop in the step")
            return self.copied(v) or [self.call(v)]
        if isinstance(v.op, Loop):
            return [self.repeat(v)]
        kernel = rule_of(v.op).kernel
        if v.op is Pick or isinstance(kernel, kernels.Join):
            return []
        if isinstance(kernel, kernels.Product):
            return [self.product(v, to)]
        if isinstance(kernel, kernels.WeightGradient):
            return convolutions.weight_gradient(self, v, kernel)
        if isinstance(kernel, kernels.Convolution):
            return convolutions.convolution(self, v, kernel)
        if isinstance(kernel, kernels.Blocks):
            return [blocks.task(self, v, kernel)]
        x = self.home(v.inputs[0])
        if isinstance(kernel, kernels.Along):
            return [Along(v, [self.home(x) for x in v.inputs], self.home(v), v.params["axis"], rows)]
        if isinstance(kernel, kernels.Gather):
            return [Gather(v, x, self.home(v.inputs[1]), self.home(v), v.params.get("axis", 0), rows)]
        axes = v.params["axis"]
        axis = axis_of(self.kinds[v.inputs[0]]) or 0
        return [Reduction(v, x, self.home(v), axes, self.kinds[v] != REPLICATE, axis - sum([a < axis for a in axes]))]

    def product(self, v: Value, to: View | None) -> Product:
        """to: a sum that it is added to."""
        a, b = v.inputs
        left, result, room = self.home(a), to or self.home(v), None
        once = b in self.fixed and b.ndim == 2 and to is None and self.loop.length != 1
        right: Any = self.packed(b) if once else self.home(b)
        rows = math.prod(a.shape[:-1])
        large = b.ndim == 2 and rows * b.size >= PACKED and rows >= LEAST_ROWS
        many = a.ndim >= 3 <= b.ndim and v.shape[-2] >= LEAST_ROWS and min(b.shape[-2:]) >= LEAST_SIDE
        pays = (large or many) and isinstance(right, View) and result.strides[-1] == 1
        if (to is not None and self.rows) or pays:  # packed at every step
            size = matmul.packed_size(b.shape[-2], b.shape[-1], self.packs)
            room = self.buffer("scratch", v, (size,), self.packs, False, True)
        axis = axis_of(self.kinds[v])
        times = merged(self.kinds[b])
        return Product(v, left, right, result, axis is not None, to is not None, axis or 0, room, times)

    def copied(self, v: Value) -> list:
        """What is made of copies of its operands; nothing if it is not."""
        kernel, rows = rule_of(v.op).kernel, self.kinds[v] == SHARD
        parts = kernel.parts(v, self.home(v)) if isinstance(kernel, kernels.Copies) else None
        return [Clear(v, to, rows) if x is None else Fused(to.shape, rows, [], [(x, to)]) for x, to in parts or []]

    def call(self, v: Value) -> Call:
        reads = [(self.home(x), self.kinds[x] == SHARD) if isinstance(x, Value) else (x, False) for x in v.inputs]
        picks = [(u.params, self.home(u)) for u in self.order if u.op is Pick and u.inputs[0] is v]
        return Call(v, reads, picks if v.dtype is None else [(None, self.home(v))], self.kinds[v] == SHARD)

    def packed(self, b: Value) -> Buffer:
        k = self.fixed[b]
        for buffer in self.buffers:
            if buffer.kind == "packed" and buffer.index == k:
                return buffer
        return self.buffer("packed", k, b.shape, self.packs)

    def repeat(self, v: Value) -> Repeat:
        """The task of a loop in the step."""
        try:
            return Repeat(v, Nested(self, v), self.rows)
        except Unsupported as reason:
            if reason.value is None and not self.rows:
                raise Unsupported(str(reason), v) from None
            raise


class Nested(Schedule):
    """The schedule of a loop in the step of another one, whose buffers it shares. entry: the tasks before its steps."""

    def __init__(self, around: Schedule, value: Value):
        self.around, self.value, self.loop = around, value, value.op
        self.called, self.rows, self.kinds = around.called, around.rows, around.kinds
        self.dtype, self.packs = around.dtype, around.packs
        self.buffers, self.homes, self.totals, self.nested = around.buffers, around.homes, around.totals, around.nested
        self.number = len(self.nested)
        self.nested.append(self)
        self.order = order_of(self.loop.outputs)
        outside = dict(zip(self.loop.inputs, value.inputs))
        self.fixed = {c: around.fixed[x] for c, x in outside.items() if c in self.loop.consts and x in around.fixed}
        for v in self.order:
            self.require(v)
        self.entry: list = []
        self.tasks: list = []
        self.results = [None] * len(self.loop.outputs)
        self.picks = {u.params: u for u in around.order if u.op is Pick and u.inputs[0] is value}
        self.place()
        self.arrange()

    @property
    def step(self) -> str:
        """What the number of its step is called."""
        return f"t{self.number}"

    def place(self) -> None:
        loop, n, m = self.loop, len(self.loop.carries), len(self.loop.sums)
        for v, x in zip(loop.inputs, self.value.inputs):
            if v in loop.consts:
                self.homes[v] = self.around.home(x)
            elif v in loop.streams:
                self.homes[v] = self.around.home(x).slice(self.step)
        self.targets, self.carried = [], []
        for k, (carry, out) in enumerate(zip(loop.carries, loop.carry_outs)):
            private = self.rows and self.kinds[carry] == REPLICATE
            b = self.buffer("turn", k, carry.shape, carry.dtype, False, private)
            self.carried.append(b)
            here = View(b, 0, carry.shape, natural(carry.shape), carry.dtype)
            self.homes[carry] = here
            self.targets.append((out, View(b, 0, carry.shape, natural(carry.shape), carry.dtype, True)))
            if k in self.picks:
                self.homes[self.picks[k]] = here
            x = self.value.inputs[len(loop.consts) + k]
            rows, axis = self.rows and not private, axis_of(self.kinds[carry]) or 0
            self.entry.append(Fused(carry.shape, rows, [], [(x, here)], axis=axis))
        for j, y in enumerate(loop.ys):
            if n + m + j in self.picks:
                self.targets.append((y, self.around.home(self.picks[n + m + j]).slice(self.step)))
        self.goes_on = None
        if loop.go is not None:
            b = self.buffer("scratch", loop.go, (), loop.go.dtype, False, self.rows)
            self.goes_on = View(b, 0, (), (), loop.go.dtype)
            self.targets.append((loop.go, self.goes_on))
        self.place_sums()
        self.settled = []  # sums that something reads: (part, where it is to be)
        for j, b in enumerate(self.parts):
            if n + j in self.picks and b not in self.around.parts:
                self.settled.append((b, self.around.home(self.picks[n + j])))
                if not lies_in_order(b.shape, self.settled[-1][1].strides):
                    raise Unsupported("a sum in strided memory", self.value)
        self.place_targets()

    def given_part(self, j: int) -> Buffer | None:
        v = self.picks.get(len(self.loop.carries) + j)
        return None if v is None else self.around.adds_up(v)
