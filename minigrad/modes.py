"""What an op does in this thread: it records, or not, or is traced. And what threads share: a clock and a lock."""

import inspect
import itertools
import os
import threading
from contextlib import ContextDecorator
from typing import Any

from minigrad.sites import call_site, line_of_site

OFF, ON, RAW = "off", "on", "raw"
TRACED, TRACED_OFF = "traced", "traced, off"


class _Mode(threading.local):
    """What an op does in this thread.

    ON: it records a node if an input has one. OFF: it records nothing (`no_grad`). RAW: it takes and returns plain
    arrays; so the vjps run when nobody will differentiate their result. TRACED and TRACED_OFF are ON and OFF while a
    compiler watches: tensors hold nodes of `program` in place of arrays (minigrad/ir).
    """

    mode = ON
    program: Any = None
    generators: dict | None = None  # the random generators drawn from, with their states before, if a checkpoint asks
    drawing: Any = None  # what draws random numbers in place of the generator (minigrad/distributed/samples.py)
    written: list | None = None  # tensors changed in place on the tape (weakly), and the lines, if a checkpoint asks
    pulled: Any = None  # site of the node that is pulled back while tracing: what is traced then belongs to its line


thread = _Mode()
clock = itertools.count(1)
lock = threading.RLock()  # for changes of what threads share: gradients of leaves, lists of hooks


def _renew_lock() -> None:
    """A child of fork has nobody who would release the lock that another thread of its parent held."""
    global lock
    lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def recording() -> bool:
    return thread.mode is ON or thread.mode is TRACED


def tracing() -> bool:
    """Whether `jit` is tracing a function in this thread, so that tensors have shapes but no numbers yet.

    Examples
    --------
    >>> seen = []
    >>> f = mg.jit(lambda x: seen.append(mg.tracing()) or 2 * x)
    >>> f(mg.tensor(1.0)).item(), seen, mg.tracing()
    (2.0, [True], False)
    """
    return thread.mode is TRACED or thread.mode is TRACED_OFF


def actions(what: str):
    """What the function that is traced does to what is outside (minigrad/ir/actions.py). what: for the error where it
    cannot be done."""
    found = thread.program.actions
    if found is None:
        raise RuntimeError(
            f"jit: {what} inside a step of scan or while_loop, a branch of cond, or a function that vmap calls, in a "
            f"jitted function; do it outside of that, or loop in Python ({line_of_site(call_site())})"
        )
    return found


def refuse_traced(what: str) -> None:
    """Raise in a jitted function, about what would happen while it is traced and not at later calls."""
    if tracing():
        raise RuntimeError(f"jit: {what} inside a jitted function; do it outside ({line_of_site(call_site())})")


def of_backward(differentiable: bool) -> str:
    """The mode in which vjps run: on plain arrays, or recorded; while tracing they are traced in any case."""
    if tracing():
        return TRACED if differentiable else TRACED_OFF
    return ON if differentiable else RAW


class _SetMode(ContextDecorator):
    """Base of context managers that change what ops do in this thread; each is a decorator as well."""

    mode: str

    def __enter__(self):
        outer = self.__dict__.setdefault(threading.get_ident(), [])  # one context may be entered by several threads
        outer.append(thread.mode)
        traced = TRACED if self.mode is ON else TRACED_OFF
        thread.mode = traced if tracing() else self.mode

    def __exit__(self, *_):
        thread.mode = self.__dict__[threading.get_ident()].pop()

    def __call__(self, function):
        if inspect.isgeneratorfunction(function):
            raise TypeError(
                f"{type(self).__name__} on a generator function would end before it runs; use `with` inside"
            )
        return super().__call__(function)

    def _recreate_cm(self):
        return type(self)()


class no_grad(_SetMode):
    """Record nothing in this thread: `with no_grad():`, or `@no_grad()` on a function.

    Examples
    --------
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """

    mode = OFF


class enable_grad(_SetMode):
    """Record again inside a `no_grad`.

    Examples
    --------
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> with mg.no_grad(), mg.enable_grad():
    ...     y = x * x
    >>> y.requires_grad
    True
    """

    mode = ON
