"""What integers and real numbers of symbols have in common."""

import math
import threading
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.symbolic.sizes import Sizes


class _Shown(threading.local):
    on = False


shown = _Shown()


@contextmanager
def printing():
    """Within, in this thread, the text of a Size is its expression, and asks for no number: for reports."""
    before, shown.on = shown.on, True
    try:
        yield
    finally:
        shown.on = before


class Symbolic:
    """A number that is not fixed while a function is traced."""

    __slots__ = ("hint", "sizes", "text")
    hint: Any
    sizes: Sizes
    text: str  # Python's, of the symbols

    def plain(self):
        """The number that it is in this call. The trace then serves no others."""
        raise NotImplementedError

    def __array__(self, dtype=None, copy=None):
        return np.array(self.plain(), dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        inputs = tuple([x.plain() if isinstance(x, Symbolic) else x for x in inputs])
        return getattr(ufunc, method)(*inputs, **kwargs)

    def __float__(self):
        return float(self.plain())

    def __int__(self):
        return int(self.plain())

    def __hash__(self):
        return hash(self.plain())

    def __str__(self):
        return self.expression if shown.on else str(self.plain())

    def __repr__(self):
        return self.expression if shown.on else repr(self.plain())

    def __format__(self, spec):
        return self.expression if shown.on and not spec else format(self.hint if shown.on else self.plain(), spec)

    @property
    def expression(self) -> str:
        """The text without the brackets around it."""
        return self.text[1:-1]

    def __round__(self, digits=None):
        return round(self.plain(), digits)

    def __trunc__(self):
        return math.trunc(self.plain())

    def __floor__(self):
        return math.floor(self.plain())

    def __ceil__(self):
        return math.ceil(self.plain())

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return type(self.plain()), (self.plain(),)
