"""Reading what a container or a namespace holds now: functions of it that keep it alive and nothing that holds it."""

import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np

MISSING = object()
CONTENT = "content"  # part of an object: all that a container holds


class Read(NamedTuple):
    """now(): the values of a container or namespace, in order. what: names of them, for errors. variables: whether
    they are variables or attributes."""

    now: Callable
    what: list[str]
    variables: bool = False


def under(where: Mapping, names) -> list:
    return [where.get(name, MISSING) for name in names]


def items(x) -> list:
    return [*x, *x.values()]


def size_of(x) -> tuple:
    return (len(x),)


def listed(x: np.ndarray) -> list:
    return x.ravel().tolist()


def defaults_of(f) -> tuple:
    """And its code."""
    return (f.__code__, *(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values())


def content(cell) -> tuple:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not assigned yet
        return (None,)


def in_slot(slot, x) -> tuple:
    try:
        return (slot.__get__(x),)
    except AttributeError:  # not assigned yet
        return (None,)


def in_context(x: ContextVar) -> tuple:
    return (x.get(MISSING),)


def is_gone(x: weakref.ref) -> tuple:
    """All that can change; what it refers to must not be held."""
    return (x() is None,)


def content_of_buffer(x) -> tuple:
    return (bytes(x),)
