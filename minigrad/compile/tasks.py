"""What a kernel does in a step, task by task, and the memory that it does it in."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.linalg import LinAlgError

from minigrad.ir.trace import Value


@dataclass(eq=False)
class Buffer:
    """Memory that a kernel is given. kind: input, packed, y, history, pair, scratch, sum or total; index: which one.

    A sum of few terms is added to its total, in float64, before the next ones are added up.

    per_step: whether it has a slice for each step. private: whether each thread has its own.
    """

    kind: str
    index: Any
    shape: tuple
    dtype: Any
    per_step: bool = False
    private: bool = False
    name: str = ""


def named(stride: str) -> tuple[int, str]:
    """(how many times, which) of a stride that has a name: of "3 * input0_row", 3 and input0_row."""
    count, _, name = stride.rpartition(" * ")
    return int(count or 1), name


@dataclass(eq=False)
class View:
    """Part of a buffer's memory: strides in elements, or the name of a number that the caller gives, in bytes, or a
    multiple of one.

    offset: of the first element, in elements; rows: and how many of the named strides before it. slices: of stacks, of
    which a loop in the step takes one after another: (the name of its step, the stride, how many there are).
    """

    buffer: Buffer
    offset: int
    shape: tuple
    strides: tuple
    dtype: Any
    out: bool = False  # of a carry: where the next one lies
    rows: tuple = (0, "")
    slices: tuple = ()

    def part(self, axis: int, start: int, size: int) -> "View":
        shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])
        return self.moved(start, self.strides[axis]).like(shape=shape)

    def moved(self, start: int, stride) -> "View":
        """What begins so many strides later."""
        if not isinstance(stride, str):
            return self.like(self.offset + start * stride)
        count, name = named(stride)
        return replace(self, rows=(self.rows[0] + start * count, name)) if start else self

    @staticmethod
    def times(stride, count: int):
        """A multiple of a stride."""
        if not isinstance(stride, str):
            return stride * count
        before, name = named(stride)
        return f"{before * count} * {name}"

    def require_inside(self) -> None:
        """Raise unless it lies in its buffer; a stride that the caller gives is taken for a contiguous one's."""
        whole = self.buffer.shape
        row = math.prod(whole[1:])
        steps = [*zip(self.strides, self.shape, strict=True), *[(s, n) for _, s, n in self.slices]]
        reach = [(row * named(s)[0] if isinstance(s, str) else s) * (n - 1) for s, n in steps]
        first = self.offset + self.rows[0] * row
        low, high = first + sum([r for r in reach if r < 0]), first + sum([r for r in reach if r > 0])
        if math.prod(self.shape) * math.prod(whole) and not 0 <= low <= high < math.prod(whole):
            raise RuntimeError(
                f"jit: a kernel would read elements {low} to {high} of {self.buffer.name}, of shape {whole}. This is a "
                "fault of minigrad's compiler; mg.disable_jit() runs the function without it"
            )

    def slice(self, step: str) -> "View":
        """The slice that a loop takes at a step."""
        taken = (step, self.strides[0], self.shape[0])
        return replace(self, shape=self.shape[1:], strides=self.strides[1:], slices=(*self.slices, taken))

    def like(self, offset=None, shape=None, strides=None) -> "View":
        return replace(
            self,
            offset=self.offset if offset is None else offset,
            shape=self.shape if shape is None else tuple(shape),
            strides=self.strides if strides is None else tuple(strides),
        )


@dataclass(eq=False)
class Fused:
    """Elementwise values over one shape. writes: (value, view) to store; adds: (value, view) to add up over the steps.
    sums: (value, axes, view) of the step, where the sum of one of the values along these axes is to be."""

    shape: tuple
    rows: bool
    values: list = field(default_factory=list)
    writes: list = field(default_factory=list)
    adds: list = field(default_factory=list)
    sums: list = field(default_factory=list)
    axis: int = 0  # of the rows


@dataclass(eq=False)
class Product:
    """value = a @ b, the right operand packed beforehand (a Buffer) or read where it lies (a View)."""

    value: Value
    a: View
    b: Any
    to: View
    rows: bool
    adds: bool = False  # to what is there, over the rows of this thread
    axis: int = 0  # of the rows
    room: Any = None  # to pack the right operand of such a sum
    times: int = 1  # the operands of such a sum are of so many times the rows


@dataclass(eq=False)
class Convolution:
    """value = conv of x with filters. weight: what they are packed from at every step; None: they are once a call."""

    value: Value
    x: View
    weight: View | None
    filters: Buffer
    to: View
    workspace: Buffer
    geometry: Any  # a Geometry of kernels/conv.py
    transposed: bool
    rows: bool


@dataclass(eq=False)
class WeightGradient:
    """value = the gradient of a convolution of x with respect to its weight, g that of its result."""

    value: Value
    x: View
    g: View
    to: View
    sums: Buffer
    workspace: Buffer
    geometry: Any


@dataclass(eq=False)
class Reduction:
    """Sum, max or min over some axes."""

    value: Value
    x: View
    to: View
    axes: tuple
    rows: bool
    axis: int = 0  # of the rows, among those that are left


@dataclass(eq=False)
class Along:
    """An op that goes along an axis, row by row (minigrad/compile/along.py)."""

    value: Value
    reads: list[View]
    to: View
    axis: int
    rows: bool


@dataclass(eq=False)
class Blocks:
    """An op that works on one block after another (minigrad/compile/blocks.py). rooms: memory for one, by name."""

    value: Value
    reads: list[View]
    writes: list[View]
    rooms: dict[str, View]
    kernel: Any
    rows: bool


@dataclass(eq=False)
class Complaint:
    """What a kernel says went wrong. size: of the axis in which there is no such index; reason: of a matrix."""

    value: Value
    size: int = 0
    reason: str = ""

    def error(self, index: int) -> Exception:
        name, line = self.value.op.name, self.value.line
        if self.reason:
            return LinAlgError(f"{name}: {self.reason}, at {line}")
        return IndexError(f"{name}: index {index} does not fit an axis of {self.size} elements, at {line}")


@dataclass(eq=False)
class Gather:
    """What indices pick along an axis of x."""

    value: Value
    x: View
    indices: View
    to: View
    axis: int
    rows: bool


@dataclass(eq=False)
class Clear:
    """Zeros, before something is put in their place. value: that of which they are a part."""

    value: Value
    to: View
    rows: bool


@dataclass(eq=False)
class Repeat:
    """A loop in the step, with tasks of its own. schedule: of its step."""

    value: Value
    schedule: Any
    rows: bool

    @property
    def tasks(self) -> list:
        return [*self.schedule.entry, *self.schedule.tasks]


@dataclass(eq=False)
class Call:
    """A value that Python computes, from where the operands lie: an op that has no kernel, or a loop with one of its
    own. reads: of each operand (its view or the Number, whether it is by row). writes: of each result that is used
    (which, its view). rows: whether threads divide the rows."""

    value: Value
    reads: list
    writes: list
    rows: bool

    @property
    def views(self) -> list:
        return [x for x, _ in self.reads if isinstance(x, View)] + [view for _, view in self.writes]
