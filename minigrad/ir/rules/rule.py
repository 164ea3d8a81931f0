"""What the compiler knows of an op: one declaration, in the file of its family."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Unsupported(Exception):
    """Something that no kernel can do; the message says why. value: what it is about; it is then computed by a call of
    Python from the kernel. None: the loop as a whole cannot become a kernel, and its steps are run one by one."""

    def __init__(self, reason: str, value=None):
        super().__init__(reason)
        self.value = value


def without_layout(memory, value):
    raise Unsupported(value.op.name, value)


def nothing(value) -> None:
    pass


def no_rows(o, value, *inputs) -> None:
    pass


def each(shapes, results) -> float:
    """One for each element: of the result, or of an operand that is larger."""
    return float(max([sum([math.prod(shape) for shape in results]), *[math.prod(shape) for shape in shapes]]))


def no_flops(shapes, results) -> float:
    """Of ops that move numbers."""
    return 0.0


@dataclass(frozen=True)
class Rule:
    """Parts that an op has nothing to say of are left out."""

    # (p, *inputs, **params) -> the value, or the values, in whose form the op enters a program; None where the call is
    # in its canonical form already. An op that is always something else needs this and `batch` alone.
    canonical: Callable[..., Any] | None = None
    # (b, *inputs, **params) -> the op under one more leading axis (rules/batch.py)
    batch: Callable[..., Any] | None = None
    # (v, *given) -> what becomes of the rows where threads divide them (rules/partition.py)
    partition: Callable[..., Any] | None = None
    # (v, axis, *by_row) -> the same of a stack of a loop in the step, (L, B, ...), whose rows are not its leading axis:
    # the axis that is that of the value's rows, PARTIAL for a sum over them, None where it mixes them
    stacked: Callable[..., Any] | None = None
    # (value) -> whether it lies in the memory of its first operand; or a bool
    view: bool | Callable[..., bool] = False
    # (memory, value) -> where a view in its canonical form lies in its operand's memory, a View (compile/tasks.py)
    layout: Callable[..., Any] = without_layout
    # (value, inputs) -> the operand that the value equals; None if it equals none
    identity: Callable[..., Any] | None = None
    # (value) -> whether the backward of a loop computes it again rather than keeping it for every step; or a bool
    cheap: bool | Callable[..., bool] = False
    # (value) -> whether it takes less time to compute than to write and read, so that the backward of a loop computes
    # it again where its operands are less to keep than it is; or a bool
    light: bool | Callable[..., bool] = False
    # (o, value, *inputs, **params) -> what stands for it in a loop, made of ops that have kernels; None where it stays
    lower: Callable[..., Any] | None = None
    # the Kernel that computes it in a loop (rules/kernel.py)
    kernel: Any = None
    # (shapes of the inputs, shapes of the results) -> their number
    flops: Callable[..., float] = each
    # (value, *on) -> whether the op on all steps at once, with an axis of steps on these operands, is one large product
    # rather than many; None: it is not worth moving out of a loop for its own sake
    hoist: Callable[..., bool] | None = None
    # whether it is worth moving below the loop
    sinks: bool = False
    # whether the sum of its results over the steps is its result on the sums of its operands
    additive: bool = False
    # the operands in each of which it is linear, the others being constant; or (value) -> them
    linear: tuple[int, ...] | Callable[..., tuple[int, ...]] = ()
    # (o, value, *inputs) -> the same with products of fewer rows, where it is made of what is looked up in a table that
    # has fewer rows than are looked up, or added up so; None where it is not
    of_rows: Callable[..., Any] = no_rows
    # the op that computes it, a product, of operands rounded to bfloat16
    rounded: str | None = None
    # (value) -> (operands, make), where make(o, *stacks) of them for all steps is the sum of the value over the steps
    over_steps: Callable[..., Any] = nothing

    def is_view(self, value) -> bool:
        return self.view if isinstance(self.view, bool) else self.view(value)

    def linear_in(self, value) -> tuple[int, ...]:
        return self.linear if isinstance(self.linear, tuple) else self.linear(value)

    def is_cheap(self, value) -> bool:
        return self.cheap if isinstance(self.cheap, bool) else self.cheap(value)

    def is_light(self, value) -> bool:
        return self.light if isinstance(self.light, bool) else self.light(value)


NOTHING = Rule()  # of what is no op of the table: loops, picks, draws
