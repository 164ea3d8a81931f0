"""Whether jitted functions run compiled in this thread."""

import contextlib
import threading
from typing import Any


class _Switch(threading.local):
    off = 0


switch = _Switch()


class disable_jit(contextlib.ContextDecorator):
    """Run jitted functions as ordinary ones in this thread, to debug them: `with mg.disable_jit():`, or a decorator.

    Examples
    --------
    >>> f = mg.jit(lambda x: x + 1)
    >>> with mg.disable_jit():
    ...     y = f(mg.tensor(1.0))
    >>> f.traces
    0
    """

    def __enter__(self) -> None:
        switch.off += 1

    def __exit__(self, *_: Any) -> None:
        switch.off -= 1
