"""What a function reads besides its arguments, so that a later call can tell whether the trace still holds.

Looked at are the variables that the function closes over and the globals that it names; from there attributes of
modules, containers and functions, as far as they lead; of other objects, the attributes that the code names.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType

import numpy as np

from minigrad.nn.module import Module
from minigrad.tape import of_the_engine
from minigrad.tensor import Tensor

MANY = 100  # values of a container beyond which it is taken for data that the function does not depend on


class Guards:
    """What f and the leaves of its arguments read now. `hold()`: whether they would still read the same."""

    def __init__(self, f: Callable, leaves=()):
        self.cells: list = []  # (cell of a closure, what it held)
        self.names: dict = {}  # (id of a dict, name) -> (the dict, the name, value)
        self.dicts: list = []  # (dict, values)
        self.lists: list = []
        self.seen: dict = {}  # ids, with what they are of
        self.walk(f, frozenset())
        code = getattr(f, "__code__", None)
        for x in leaves:
            self.walk(x, names_in(code) if code else frozenset())
        del self.seen

    def hold(self) -> bool:
        for cell, then in self.cells:
            if not same(content(cell), then):
                return False
        for where, name, then in self.names.values():
            if not same(where.get(name, Guards), then):
                return False
        for where, values in self.dicts:
            if len(where) != len(values) or not all(map(same, where.values(), values)):
                return False
        return all(len(where) == len(values) and all(map(same, where, values)) for where, values in self.lists)

    def walk(self, x, names: frozenset) -> None:
        """names: attributes that the code which reads x names."""
        if x is None or isinstance(x, (Tensor, np.ndarray, np.generic, int, float, str, ModuleType, type)):
            return
        if id(x) in self.seen:
            return
        self.seen[id(x)] = x
        if isinstance(x, functools.partial):
            for part in (x.func, x.args, x.keywords):
                self.walk(part, names)
        elif inspect.ismethod(x):
            self.walk(x.__func__, names)
            self.walk(x.__self__, names_in(x.__func__.__code__))
        elif inspect.isfunction(x):
            self.walk_function(x)
        elif isinstance(x, Module):
            for module in x.modules():
                self.walk_dict(vars(module), self.through(type(module), names | {"forward"}))
        elif isinstance(x, dict):
            self.walk_dict(x, names)
        elif isinstance(x, (list, tuple)):
            if len(x) <= MANY:
                self.lists.append((x, tuple(x)))
                for value in x:
                    self.walk(value, names)
        elif hasattr(x, "__dict__"):
            self.walk_object(x, names)

    def walk_dict(self, x: dict, names) -> None:
        if len(x) <= MANY:
            self.dicts.append((x, tuple(x.values())))
            for value in tuple(x.values()):
                self.walk(value, names)

    def walk_function(self, f) -> None:
        names = names_in(f.__code__)
        for cell in f.__closure__ or ():
            self.cells.append((cell, content(cell)))
            self.walk(content(cell), names)
        self.walk(f.__defaults__, names)
        if of_the_engine(f.__code__.co_filename):
            return
        for name in names & f.__globals__.keys():
            value = f.__globals__[name]
            if not isinstance(value, (ModuleType, type)):
                self.names[id(f.__globals__), name] = f.__globals__, name, value
                self.walk(value, names)

    def walk_object(self, x, names) -> None:
        if type(x).__module__.startswith("minigrad."):  # another jitted function, a custom_vjp: what it calls
            for value in tuple(vars(x).values()):
                if callable(value):
                    self.walk(value, names)
            return
        names = self.through(type(x), names | {"__call__"})
        for name in names & vars(x).keys():
            self.names[id(vars(x)), name] = vars(x), name, vars(x)[name]
            self.walk(vars(x)[name], names)

    def through(self, owner: type, names: frozenset) -> frozenset:
        """The names, and those in the methods of `owner` that they name, and so on."""
        found, unseen = set(names), list(names)
        while unseen:
            method = inspect.getattr_static(owner, unseen.pop(), None)
            method = method.fget if isinstance(method, property) else method
            method = inspect.unwrap(method) if callable(method) else None
            if inspect.isfunction(method):
                self.walk(method, names)
                new = names_in(method.__code__) - found
                found |= new
                unseen += new
        return frozenset(found)


def same(now, then) -> bool:
    return now is then or (type(now) is type(then) and type(now) in (int, float, str) and now == then)


def content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions that are written in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def names_in(code: CodeType) -> frozenset:
    """Globals and attributes that a function names."""
    return frozenset(name for part in codes(code) for name in part.co_names)
