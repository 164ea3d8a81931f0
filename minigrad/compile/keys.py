"""What tells the calls of a jitted function apart besides shapes and dtypes: structures and Python values.

Two values share a program only if no function could tell them apart by what they hold: numbers, strings and the like of
one type and one value; slices, ranges, frozensets and frozen dataclasses of such. All else counts by its identity,
whatever its `__eq__` says, since it may hold tensors, and results and gradients are to go to those.
"""

import functools
import weakref
from collections import OrderedDict, defaultdict
from types import MethodType
from typing import Any

import numpy as np

VALUES = frozenset({bool, int, str, bytes, type(None), type(...), type(NotImplemented)})


class Known(OrderedDict):
    """Programs by the keys of arguments. last: those of the last call. families: by the key without sizes, what is
    known of them all."""

    def __init__(self):
        super().__init__()
        self.last: Any = None
        self.families: OrderedDict = OrderedDict()

    def clear(self):
        super().clear()
        self.last = None


def key_of_structure(node, known: Known):
    """A structure (tree.flatten) as part of a key."""
    if node is ... or node is None:
        return node
    kind = type(node)
    if kind is tuple:  # what else there is begins with a type
        return tuple([key_of_structure(inner, known) for inner in node])
    if isinstance(node, dict):
        keys = [name if type(name) is str else key_of_value(name, known) for name in node]
        made_by = [key_of_value(node.default_factory, known)] if isinstance(node, defaultdict) else []
        return (kind, *made_by, *keys, *[key_of_structure(inner, known) for inner in node.values()])
    return (kind, *[key_of_structure(inner, known) for inner in node])


def key_of_value(x, known: Known) -> tuple:
    """A Python value as part of a key: (type, what counts). An object is not kept alive by it: when the object goes,
    what is known of it goes too.

    Raises TypeError for what neither is a value nor has attributes, and for iterators.
    """
    kind = type(x)
    if kind in VALUES:
        return kind, x
    if kind is float or kind is complex:
        return kind, repr(x)  # -0.0 is not 0.0, and NaN is NaN
    if isinstance(x, np.generic):
        return kind, x.dtype, x.tobytes()
    if isinstance(x, np.dtype):
        return kind, x
    if kind is slice or kind is range:
        return kind, *[key_of_value(part, known) for part in (x.start, x.stop, x.step)]
    if kind is frozenset:
        return kind, frozenset([key_of_value(part, known) for part in x])
    if kind is tuple:
        return kind, *[key_of_value(part, known) for part in x]
    if kind is MethodType:  # made anew whenever it is asked for
        return kind, identity(x.__func__, known), identity(x.__self__, known)
    if fields := frozen_fields(x):
        return kind, *[identity_or_value(getattr(x, name), known) for name in fields]
    if is_iterator(x):
        raise TypeError(
            f"jit: an argument is a {kind.__name__}, which gives its values once, and would give them to the trace "
            "alone; take them outside, and pass a list or a tensor of them"
        )
    if kind.__hash__ is None and not hasattr(x, "__dict__") and not hasattr(kind, "__slots__"):
        raise TypeError(
            f"jit: an argument is a {kind.__name__}; wanted tensors, arrays, hashable Python values and objects "
            "with attributes in nested tuples, lists and dicts"
        )
    return kind, identity(x, known)


def identity_or_value(x, known: Known):
    """Of what a frozen dataclass holds, which may be anything."""
    try:
        return key_of_value(x, known)
    except TypeError:
        return identity(x, known)


def frozen_fields(x):
    """The names of all that x holds, if it is of a frozen dataclass; otherwise nothing."""
    names = vars(type(x)).get("__dataclass_fields__", ())
    if names and type(x).__dataclass_params__.frozen and getattr(x, "__dict__", names).keys() <= names.keys():
        return names
    return ()


def is_iterator(x) -> bool:
    """Whether x is an iterator that is not written in Python (whose attributes could be looked at): generators, files,
    `zip`, `map`, what itertools and `iter` return."""
    return hasattr(getattr(type(x), "__next__", None), "__objclass__")


class Identity(weakref.ref):
    """An object in a key, by its identity."""

    __slots__ = ("id",)

    def __init__(self, x, callback=None):
        super().__init__(x, callback)
        self.id = id(x)

    def __hash__(self):
        return self.id

    def __eq__(self, other):
        return self is other or (isinstance(other, Identity) and self() is other() is not None)


class Same:
    """An object of which there are no weak references, in a key by its identity, and kept alive."""

    def __init__(self, x):
        self.x = x

    def __hash__(self):
        return id(self.x)

    def __eq__(self, other):
        return isinstance(other, Same) and self.x is other.x


def identity(x, known: Known) -> Identity | Same:
    try:
        return Identity(x, functools.partial(forget, weakref.ref(known)))
    except TypeError:
        return Same(x)


def forget(known, gone: Identity) -> None:
    programs = known()
    if programs is not None:
        programs.last = None
    for part in () if programs is None else (programs, programs.families):
        for kind in list(dict.keys(part)):  # an OrderedDict's own fails where it is being changed
            if holds(kind, gone):
                part.pop(kind, None)


def holds(key, gone: Identity) -> bool:
    return key is gone or (isinstance(key, (tuple, frozenset)) and any(holds(part, gone) for part in key))
