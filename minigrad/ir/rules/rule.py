"""What the compiler knows of an op: one declaration, in the file of its family."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minigrad.ir.rules.partition import mixes


class Unsupported(Exception):
    """Something that no kernel can do; the message says why. value: what it is about; it is then computed by a call of
    Python from the kernel. None: the loop as a whole cannot become a kernel, and its steps are run one by one."""

    def __init__(self, reason: str, value=None):
        super().__init__(reason)
        self.value = value


def without_layout(memory, value):
    raise Unsupported(value.op.name, value)


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
    loops (rules/kernel.py); None: Python does.
    """

    canonical: Callable[..., Any] | None = None
    batch: Callable[..., Any] | None = None
    partition: Callable[..., Any] = mixes
    view: bool | Callable[..., bool] = False
    layout: Callable[..., Any] = without_layout
    identity: Callable[..., Any] | None = None
    cheap: bool | Callable[..., bool] = False
    lower: Callable[..., Any] | None = None
    kernel: Any = None

    def is_view(self, value) -> bool:
        return self.view if isinstance(self.view, bool) else self.view(value)

    def is_cheap(self, value) -> bool:
        return self.cheap if isinstance(self.cheap, bool) else self.cheap(value)


NOTHING = Rule()  # of what is no op of the table: loops, picks, draws
