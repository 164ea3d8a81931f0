"""Modules that are called in another way: what `mg.jit(layer)` and `mg.checkpoint(layer)` return.

Such a module is an object of its own, of a subclass of the module's class, and its `__dict__` is the module's own, the
same object. So all that reads or sets attributes, by whatever way, reads and sets those of the module; only the call
differs. One `__dict__` is one module: whoever counts modules tells them apart by that (`key_of`).
"""

import copy
import functools
import inspect
import weakref
from collections.abc import Callable
from types import MemberDescriptorType
from typing import Any, NamedTuple


class Sharable:
    """Base of what may be called in another way and stay what it is: of `nn.Module`."""


class Way(NamedTuple):
    """How a module is called: call(*args, **kwargs). again: the function that makes such a module of another one."""

    module: Any
    call: Callable
    again: Callable


class Shared:
    """The first base of such a module's class. A copy has a copy of the module below it."""

    __slots__ = ()

    def __init_subclass__(cls, **_):
        pass  # the user's classes are not told: this subclass is not one that they wrote

    def __call__(self, *args, **kwargs):
        return way_of(self).call(*args, **kwargs)

    def __copy__(self):
        way = way_of(self)
        return way.again(copy.copy(way.module))

    def __deepcopy__(self, memo):
        way = way_of(self)
        return way.again(copy.deepcopy(way.module, memo))

    def __reduce_ex__(self, protocol):
        way = way_of(self)
        return way.again, (way.module,)


classes: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # (module's class, what was done) -> class


def shared(module, done: str, call: Callable, again: Callable, last: type | None = None) -> Any:
    """`module`, called by `call`. done: what has been done to it, for the name of its class. last: a base with what it
    can do besides; names that the module has come first."""
    kind: Any = type(module)
    if issubclass(kind, Shared):
        kind = kind.__bases__[1]
    made = classes.get((kind, done))
    if made is None:
        names: dict = {"__slots__": ("_way",), "__module__": __name__, "__qualname__": f"{done}({kind.__qualname__})"}
        for name, member in [item for base in kind.__mro__ for item in vars(base).items()]:
            if isinstance(member, MemberDescriptorType):
                names[name] = slot_of_the_module(name)
        bases = (Shared, kind) if last is None else (Shared, kind, last)
        made = classes[kind, done] = type(kind)(kind.__name__, bases, {**names, "__doc__": kind.__doc__})
    one = object.__new__(made)
    object.__setattr__(one, "__dict__", vars(module))
    object.__setattr__(one, "_way", Way(module, call, again))
    return one


def slot_of_the_module(name: str) -> property:
    """What is in `__slots__`, not in the `__dict__`."""
    return property(
        lambda one: getattr(way_of(one).module, name),
        lambda one, value: setattr(way_of(one).module, name, value),
        lambda one: delattr(way_of(one).module, name),
    )


def way_of(module: Shared) -> Way:
    return object.__getattribute__(module, "_way")


def unshared(module):
    """The module itself, as it was written."""
    while isinstance(module, Shared):
        module = way_of(module).module
    return module


class Whole:
    """Base of functions that are compiled as a whole, so that what a transform makes of one is best compiled as a
    whole, too: of what `jit` returns."""

    def of(self, key: tuple, transform: Callable) -> Callable:
        """What the transform makes of the function, compiled; made once for each key, which names the transform."""
        raise NotImplementedError


wholes: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # what a transform made -> how to compile it


def whole_of(f) -> Whole | None:
    """f as what is compiled as a whole; None if it is not. A gradient of such a function is one, too."""
    f = way_of(f).call if isinstance(f, Shared) else f
    if isinstance(f, Whole):
        return f
    make = wholes.get(f) if inspect.isfunction(f) else None
    return None if make is None else make()


def made_of(f, key: tuple, transform: Callable, made: Callable) -> Callable:
    """`made`, which the transform has made of f, noted so that `whole_of` knows it."""
    whole = whole_of(f)
    if whole is not None:
        wholes[made] = functools.partial(whole.of, key, transform)
    return made


def key_of(module) -> int:
    """What is the same for a module and for those that share all with it, and for no other: the id of its `__dict__`.

    Not the module, whose class may say that two modules are equal.
    """
    return id(vars(module))
