"""A loop as one compiled kernel, run by as many threads as its batch is worth."""

import copy
import ctypes
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NoReturn

import numpy as np

from minigrad.compile import nested
from minigrad.compile.bind import call_at, task_at
from minigrad.compile.callbacks import complaint, python_call
from minigrad.compile.emit import FIXED, Emitter
from minigrad.compile.partition import leading
from minigrad.compile.schedule import schedule
from minigrad.compile.tasks import (
    Along,
    Blocks,
    Buffer,
    Call,
    Clear,
    Complaint,
    Convolution,
    Fused,
    Gather,
    Product,
    Repeat,
    WeightGradient,
)
from minigrad.compile.workspace import Recent, Workspace, in_elements
from minigrad.ir.loop import UNBOUNDED, Loop
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.trace import Value
from minigrad.kernels import build, conv, launch, matmul, memory, threads
from minigrad.kernels.convolution import filters
from minigrad.kernels.entry import address_of
from minigrad.ops.table import Spec

CACHE = 1 << 17  # bytes that a step of a block of rows may touch
LAST_CACHE = 1 << 21  # bytes that a core has of its own
PACK = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 6)
PACK_FILTERS = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * conv.COUNTS.pack)


def emitted(loop: Loop, emitter_class=Emitter) -> Emitter:
    """The text of a loop's kernel. What turns out to have none is called. Raises Unsupported if it cannot be one."""
    called: set = set()
    while True:
        planned = schedule(loop, called)
        try:
            with build.lock:  # Python's own parser is not safe in several threads (gh-106905)
                return emitter_class(planned)
        except Unsupported as reason:
            if reason.value is None or reason.value in called:
                raise
            called.add(reason.value)


class Kernel:
    """A compiled loop: arrays of its inputs to arrays of its outputs. Raises Unsupported if it cannot be one."""

    emitter_class = Emitter

    def __init__(self, loop: Loop, call_of: Callable):
        loop = nested.apart(loop)
        if any(s.dtype.kind != "f" for s in loop.sums):
            raise Unsupported("a sum of integers")
        self.loop, self.call_of = loop, call_of
        self.emitter = emitted(loop, self.emitter_class)
        self.schedule = self.emitter.schedule
        with build.lock:  # Python's own parser is not safe in several threads (gh-106905)
            self.source = self.emitter.source
        self.computes = [call_of(task.value) if isinstance(task, Call) else None for task in self.emitter.calls]
        for value in [task.value for task in self.emitter.calls if isinstance(task, Call)]:
            if not isinstance(value.op, Loop):  # that has a kernel of its own
                warnings.warn(
                    f"jit: no kernel has {value.op.name} of these operands; Python is called for it at every step, "
                    f"which takes some microseconds each time ({value.line})",
                    stacklevel=2,
                )
        self.connect(self.emitter.calls)
        self.function = build.address(self.source, "loop", "intp, intp, intp")
        dtype, self.buffers = self.schedule.dtype, self.emitter.buffers
        products, images = matmul.addresses(self.schedule.packs), conv.Addresses(0, 0, 0, 0)
        if {"conv", "conv_weight"} & set(self.emitter.fixed):
            images = conv.addresses(dtype)
        self.pack, self.pack_filters = PACK(products.pack), PACK_FILTERS(images.pack)
        self.called = products.product, products.pack, images.conv, images.pack, images.weight, images.unpack
        first = [c.shape[0] for c in leading(loop) if c.ndim > 0]
        self.length, self.results = loop.length, self.schedule.results
        self.batch = first[0] if self.schedule.rows else 1
        self.flops = sum(flops_of(task) for task in self.schedule.tasks)
        self.touched = sum(touched(task) for task in self.schedule.tasks)  # bytes a step
        self.free: list[Workspace] = []  # that nobody uses
        self.recent = Recent()  # which all that are bound to sizes share
        self.sizes = {f"{b.name}_step": nested.size_of(b) for b in self.buffers if b.kind in ("y", "history", "pair")}
        self.numbers = self.numbered(self.emitter.numbers.values())
        self.sort(self.buffers)
        self.carries = [loop.inputs.index(c) for c in loop.carries]
        streams = set(loop.streams)
        self.specs = [((loop.length, *v.shape) if v in streams else tuple(v.shape), v.dtype) for v in loop.inputs]

    def sort(self, buffers: list[Buffer]) -> None:
        """inputs, filled, packs: the buffers, with their places, that lie where an array of the call does, that are
        written before the kernel runs or by it, and that hold a packed weight. reads, strided: of an input, its buffer,
        and its strides that are numbers of the kernel: (which number, axis)."""
        known, placed = list(self.emitter.numbers), list(enumerate(buffers))
        self.inputs = [(k, b) for k, b in placed if b.kind == "input"]
        self.packs = [(k, b) for k, b in placed if b.kind in ("packed", "filters")]
        own = ("input", "scratch", "turn", "packed", "filters")
        self.filled = [(k, b) for k, b in placed if b.kind not in own]
        self.reads = {b.index: b for _, b in self.inputs}
        self.strided = {
            b.index: [(FIXED + known.index(f"{b.name}_{of}"), axis)
                      for of, axis in (("step", 0), ("row", int(b.per_step))) if f"{b.name}_{of}" in known]
            for _, b in self.inputs
        }  # fmt: skip

    def connect(self, tasks: list) -> None:
        """Make the functions of Python that the kernel calls."""
        self.failed: dict[int, BaseException] = {}  # `p` of the run -> what a call of Python raised
        self.calls = [
            complaint(task, self.failed)
            if isinstance(task, Complaint)
            else python_call(task, compute, self.call_of, self.failed)
            for task, compute in zip(tasks, self.computes)
        ]

    def numbered(self, numbers) -> list:
        """What the kernel is given for these numbers; those that a call fills in stay names."""
        known = self.sizes | {f"python{k}": ctypes.cast(c, ctypes.c_void_p).value for k, c in enumerate(self.calls)}
        return [known.get(n, n) if isinstance(n, str) else n for n in numbers]

    def bound(self, at: Callable) -> "Kernel":
        """The same for sizes that were not fixed. at: what each of them is (symbolic.evaluator)."""
        made = copy.copy(self)
        became = {b: replace(b, shape=at(b.shape)) for b in self.schedule.buffers}
        made.buffers = [became[b] for b in self.buffers]
        made.sort(made.buffers)
        made.results = [(became[b], how) for b, how in self.results]
        for name in ("length", "batch", "flops", "touched", "specs", "sizes"):
            setattr(made, name, at(getattr(self, name)))
        made.free = []
        if self.calls:
            made.computes = [
                call_at(task.value, compute, self.call_of, at) if isinstance(task, Call) else None
                for task, compute in zip(self.emitter.calls, self.computes)
            ]
            made.connect([task_at(task, at) for task in self.emitter.calls])
        made.numbers = made.numbered(at(list(self.emitter.numbers.values())))
        return made

    def __call__(self, *arrays) -> list:
        return self.run(arrays)

    def parts(self) -> list[tuple[int, int]]:
        count = min(threads.count, self.batch)
        if count == 1 or self.flops * self.length < 1e6 or self.flops < 5e3:
            return [(0, self.batch)]
        return list(pairwise([self.batch * k // count for k in range(count + 1)]))

    def blocks(self, first: int, last: int) -> list[tuple[int, int]]:
        """A thread's rows in blocks that each run all steps, so small that what a step touches stays in the cache."""
        row = self.touched / self.batch + 1  # bytes
        rows, room = max(16, int(CACHE / row) // 8 * 8), CACHE
        if 16 * row > LAST_CACHE:  # fewer of them than products like, beside which their weights are little to read
            rows, room = 8, int(4 * row)
        shared = any(b.private and b.kind in ("pair", "history", "y") for b in self.buffers)
        shared = shared or any(how == "first" for _, how in self.results)
        weights = sum(math.prod(b.shape) * b.dtype.itemsize for b in self.buffers if b.kind in ("packed", "filters"))
        if last - first < 2 * rows or shared or weights > room:
            return [(first, last)]
        count = (last - first) // rows
        return list(pairwise([first + (last - first) * k // count for k in range(count + 1)]))

    def refuse(self, given: Sequence) -> NoReturn:
        """Raise about the inputs of a call: machine code would read past what is smaller than it should be."""
        loop = self.loop
        kinds = ["constant"] * len(loop.consts) + ["carry"] * len(loop.carries) + ["stream"] * len(loop.streams)
        wrong = [
            f"got the {kind} {Spec(x.shape, x.dtype)}, wanted {Spec(*wanted)}"
            for kind, x, wanted in zip(kinds, given, self.specs)
            if (x.shape, x.dtype) != wanted
        ] or [f"got {len(given)} arrays, wanted {len(self.specs)}"]
        line = next((v.line for v in self.schedule.order if v.op is not None), "unknown lines")
        raise RuntimeError(
            f"jit: the kernel of the loop of {line}: {'; '.join(wrong)}. This is a fault of minigrad's compiler; "
            "mg.disable_jit() runs the function without it"
        )

    def run(self, given: Sequence) -> list:
        parts = self.parts()
        try:
            space = self.free.pop()
        except IndexError:
            space = None
        if space is None or space.count != len(parts):
            space = Workspace(self, parts)
            self.recent.note(self, space)
        if len(given) != len(self.specs):
            self.refuse(given)
        empty = memory.empty if space.is_large else np.empty
        operands = [*given, *[empty(shape, dtype) for shape, dtype in space.made]]
        alone = len(parts) == 1 and not self.packs and launch.knows_arrays()
        look = space.run if alone else space.launch.look
        while (k := look(operands)) >= 0:
            space.fit(operands, k)
        if not alone:
            self.pack_all(given, space)
            space.launch.before()
            threads.call(self.function, space.calls, space.starts)
            space.launch.after()
        if self.failed:
            errors = [self.failed.pop(p, None) for p in dict.fromkeys(space.calls[:, 0].tolist())]
            for error in filter(None, errors):
                raise error
        outputs = [operands[k] if part is None else operands[k][part] for k, part in space.results]
        self.free.append(space)
        return outputs

    def buffer_of(self, k: int) -> Buffer:
        """Where result k lies."""
        return self.results[k][0]

    def pack_all(self, given: Sequence, space: Workspace) -> None:
        """Weights, as the products and convolutions of the kernel want them."""
        for k, b in self.packs:
            to = int(space.pointers[0, k])
            if b.kind == "packed":
                w = in_elements(given[b.index])
                item = w.itemsize
                self.pack(address_of(w), w.strides[0] // item, w.strides[1] // item, *w.shape, to)
            else:
                source, transposed, groups = b.index
                w = in_elements(given[source])
                strides, begin = filters(w.shape, [n // w.itemsize for n in w.strides], groups, transposed)
                self.pack_filters(address_of(w) + begin * w.itemsize, *strides, to)


def touched(task) -> int:
    """Bytes that a task reads and writes in a step, each array once."""
    if isinstance(task, Repeat):
        return sum([touched(one) for one in task.tasks])
    if isinstance(task, Fused):
        inside = set(task.values)
        read = {x for v in task.values for x in v.inputs if isinstance(x, Value) and x not in inside}
        read |= {v for v, _ in task.writes if v not in inside}
        arrays = [*read, *[v for v, _ in task.writes]]
    elif isinstance(task, Product):
        arrays = [task.a, task.to] if isinstance(task.b, Buffer) else [task.a, task.b, task.to]
    elif isinstance(task, Call):
        arrays = task.views
    elif isinstance(task, Blocks):
        arrays = [*task.reads, *task.writes]
    elif isinstance(task, Clear):
        arrays = [task.to]
    elif isinstance(task, Along):
        arrays = [*task.reads, task.to]
    elif isinstance(task, Gather):
        arrays = [task.indices, task.to, task.to]
    else:
        arrays = [task.x, task.to]
    return sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays)


def flops_of(task) -> int:
    """Of one step, counting an elementwise op as one."""
    if isinstance(task, Repeat):
        length = task.value.op.length
        return (1 if length == UNBOUNDED else length) * sum([flops_of(one) for one in task.tasks])
    if isinstance(task, Product):
        n = math.prod(task.value.shape)
        return 2 * n * task.a.shape[-1]
    if isinstance(task, Convolution):
        return 2 * math.prod(task.value.shape) * task.geometry.I * task.geometry.kh * task.geometry.kw
    if isinstance(task, WeightGradient):
        return 2 * math.prod(task.g.shape) * task.geometry.I * task.geometry.kh * task.geometry.kw
    if hasattr(task, "values"):
        return math.prod(task.shape) * max(1, len(task.values))
    if isinstance(task, Blocks):
        of = task.kernel
        [axes, *_], [to, *_] = of.results.values(), task.writes
        return math.prod(to.shape[: len(to.shape) - axes]) * of.flops(**of.sizes(task.value))
    if isinstance(task, Along | Gather | Clear):
        return math.prod(task.to.shape)
    if isinstance(task, Call):
        return sum([math.prod(view.shape) for _, view in task.writes])
    return math.prod(task.x.shape)
