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


def each(shapes, results) -> float:
    """One for each element: of the result, or of an operand that is larger."""
    return float(max([sum([math.prod(shape) for shape in results]), *[math.prod(shape) for shape in shapes]]))


def no_flops(shapes, results) -> float:
    """Of ops that move numbers."""
    return 0.0


@dataclass(frozen=True)
class Rule:
    """canonical: (p, *inputs, **params) -> the value, or the values, in whose form the op enters a program; None where
    the call is in its canonical form already. batch: the op under one more leading axis (rules/batch.py). partition:
    what becomes of the rows where threads divide them (rules/partition.py).

    view: whether a value lies in the memory of its first operand: a bool, or asked of the value. layout: (memory,
    value) -> where it lies in its operand's memory, a View (compile/tasks.py); of views in their canonical form.
    identity: (value, inputs) -> the operand that the value equals, None if it equals none. cheap: of a value, whether
    the backward of a loop computes it again rather than keeping it for every step. lower: (o, value, *inputs, **params)
    -> what stands for it in a loop, made of ops that have kernels; None where it stays. kernel: what computes it in
    loops (rules/kernel.py). flops: (shapes of the inputs, shapes of the results) -> their number.

    What moves values out of loops asks: hoist: (value, *on) -> whether the op on all steps at once, with an axis of
    steps on these operands, is one large product rather than many; None of what is not worth moving alone. sinks:
    whether it is worth moving below the loop. additive: whether the sum of its results over the steps is its result on
    the sums of its operands. linear: the operands in each of which it is linear, the others being constant; or asked
    of the value. over_steps: (value) -> (operands, make), where make(o, *stacks) of them for all steps is the sum of
    the value over the steps; or None.
    """

    canonical: Callable[..., Any] | None = None
    batch: Callable[..., Any] | None = None
    partition: Callable[..., Any] | None = None
    view: bool | Callable[..., bool] = False
    layout: Callable[..., Any] = without_layout
    identity: Callable[..., Any] | None = None
    cheap: bool | Callable[..., bool] = False
    lower: Callable[..., Any] | None = None
    kernel: Any = None
    flops: Callable[..., float] = each
    hoist: Callable[..., bool] | None = None
    sinks: bool = False
    additive: bool = False
    linear: tuple[int, ...] | Callable[..., tuple[int, ...]] = ()
    over_steps: Callable[..., Any] = nothing

    def is_view(self, value) -> bool:
        return self.view if isinstance(self.view, bool) else self.view(value)

    def linear_in(self, value) -> tuple[int, ...]:
        return self.linear if isinstance(self.linear, tuple) else self.linear(value)

    def is_cheap(self, value) -> bool:
        return self.cheap if isinstance(self.cheap, bool) else self.cheap(value)


NOTHING = Rule()  # of what is no op of the table: loops, picks, draws
