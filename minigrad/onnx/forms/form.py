"""What a form may be besides a function that writes nodes."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Composed(NamedTuple):
    """Of other ops: as a rule's `lower`."""

    lower: Callable[..., Any]


class Without(NamedTuple):
    """None, and why."""

    why: str
