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


@dataclass(frozen=True)
class Rule:
    """canonical: (p, *inputs, **params) -> the value, or the values, in whose form the op enters a program; None where
    the call is in its canonical form already. batch: the op under one more leading axis (rules/batch.py). partition:
    what becomes of the rows where threads divide them (rules/partition.py)."""

    canonical: Callable[..., Any] | None = None
    batch: Callable[..., Any] | None = None
    partition: Callable[..., Any] = mixes


NOTHING = Rule()  # of what is no op of the table: loops, picks, draws
