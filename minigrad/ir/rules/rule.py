"""What the compiler knows of an op: one declaration, in the file of its family."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """canonical: (p, *inputs, **params) -> the value, or the values, in whose form the op enters a program; None where
    the call is in its canonical form already. batch: the op under one more leading axis (rules/batch.py)."""

    batch: Callable[..., Any]
    canonical: Callable[..., Any] | None = None
