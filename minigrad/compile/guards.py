"""What a function reads besides its arguments, so that a later call can tell whether the trace still holds.

Looked at are the variables that the function closes over and the globals that it names; from there attributes of
minigrad's modules, containers and functions, as far as they lead; of other objects, of classes and of Python's modules,
the attributes that the code names. What is installed (minigrad, NumPy, the standard library) does not change.
"""

import dis
import functools
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from operator import is_
from pathlib import Path
from types import CodeType, MemberDescriptorType, ModuleType

import numpy as np

from minigrad.compile.trace import Program, Value, numbers
from minigrad.nn.module import Module
from minigrad.sharing import unshared
from minigrad.tensor import Tensor

MANY = 100  # values of a container beyond which it is taken for data that the function does not depend on
CALLED = {"__call__", "__wrapped__", "__getattr__", "__getitem__", "__iter__", "__len__"}  # without being named
SIMPLE = frozenset({int, float, complex, bool, str, bytes, type(None), type(...)})  # types of what is compared by value
PACKAGES = {"site-packages", "dist-packages"}
INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class Guards:
    """What f and the leaves of its arguments read now. `hold()`: whether they would still read the same.

    program: the trace. Raises RuntimeError where something has been left with a tensor of it.
    """

    def __init__(self, f: Callable, leaves, program: Program):
        self.operands = {id(x._data) for [(_, _, x)] in program.captured.values()}  # which are read at every call
        self.arrays = dict(program.looked)  # id -> (array, its numbers)
        self.reads: dict = {}  # id of a container -> function that reads all its values
        self.named: dict = {}  # id of an object -> (its namespace, the names that are read in it)
        self.seen: dict = {}  # id of an object -> (it, the names for which it has been walked)
        code = getattr(f, "__code__", None)
        self.walk(f, frozenset(), "the function")
        for x in leaves:
            self.walk(x, attributes_in(code) if code else frozenset(), "an argument")
        reads = [*self.reads.values(), *[functools.partial(under, *where) for where in self.named.values()]]
        self.read = [(read, tuple(read())) for read in reads]
        del self.operands, self.reads, self.named, self.seen

    def hold(self) -> bool:
        for read, then in self.read:
            now = read()
            if len(now) != len(then) or not (all(map(is_, now, then)) or all(map(same, now, then))):
                return False
        return all(numbers(array) == then for array, then in self.arrays.values())

    def walk(self, x, names: frozenset, what: str) -> None:
        """names: attributes that the code which reads x names. what: x, for errors."""
        if is_simple(x):
            return
        if isinstance(x, Tensor):
            self.refuse(x, what)
        elif isinstance(x, np.ndarray):
            if x.size <= MANY and id(x) not in self.operands:  # then NumPy may have computed with it
                self.arrays.setdefault(id(x), (x, numbers(x)))
        elif isinstance(x, Module):
            for module in x.modules():
                self.walk_object(unshared(module), names)
        elif type(x).__module__.startswith("minigrad."):  # another jitted function, a custom_vjp: what it calls
            for value in tuple(vars(x).values()) if hasattr(x, "__dict__") and not self.done(x) else ():
                if callable(value):
                    self.walk(value, names, what)
        elif isinstance(x, functools.partial):
            for part in (x.func, x.args, x.keywords):
                self.walk(part, names, what)
        elif inspect.ismethod(x):
            self.walk(x.__self__, names | {x.__name__}, what)
        elif inspect.isfunction(x):
            self.walk_function(x)
        elif isinstance(x, dict):
            self.walk_all(x, functools.partial(items, x), [*[what] * len(x), *[f"{what}[{k!r}]" for k in x]], names)
        elif isinstance(x, (tuple, frozenset)):  # which hold for ever what they hold
            if len(x) <= MANY and not self.done(x, names):
                for k, value in enumerate(x):
                    self.walk(value, names, f"{what}[{k}]")
        elif isinstance(x, (list, set)):
            self.walk_all(x, functools.partial(tuple, x), [f"{what}[{k}]" for k in range(len(x))], names)
        elif isinstance(x, ModuleType):
            if not installed(x.__name__):
                self.walk_names(x, vars(x), names, names, x.__name__)
        elif isinstance(x, type):
            self.through(x, names)
        else:
            self.walk_object(x, names)

    def refuse(self, x: Tensor, what: str) -> None:
        if isinstance(x._data, Value):
            raise RuntimeError(
                f"jit: {what} was left with a traced tensor ({x._data}); return it, and keep what the call gives"
            )

    def done(self, x, names: frozenset = frozenset()) -> bool:
        """Whether x has been walked for these names; from now on it has."""
        _, before = self.seen.get(id(x), (x, None))
        if before is not None and names <= before:
            return True
        self.seen[id(x)] = x, names | (before or frozenset())
        return False

    def walk_all(self, x, read: Callable, what: list[str], names: frozenset) -> None:
        """All values of a container."""
        if len(what) <= MANY and not self.done(x, names):
            self.reads[id(x)] = read
            for value, name in zip(tuple(read()), what):
                self.walk(value, names, name)

    def walk_names(self, x, where: Mapping, read: frozenset, names, what: str, later=frozenset()) -> None:
        """What is read in the namespace of x: what there is under these names. later: where something may yet come."""
        present = read & where.keys()
        self.named.setdefault(id(x), (where, set()))[1].update(present, read & later)
        for name in present:
            value = where[name]
            value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            self.walk(value, names, f"{what}.{name}")

    def walk_function(self, f) -> None:
        if self.done(f):
            return
        names = attributes_in(f.__code__)
        for cell, name in zip(f.__closure__ or (), f.__code__.co_freevars):
            self.walk_all(cell, functools.partial(content, cell), [name], names)
        defaults = functools.partial(defaults_of, f)
        self.walk_all(defaults, defaults, [f"a default of {f.__name__}"] * len(defaults()), names)
        if not installed(f.__module__):
            self.walk_names(f.__globals__, f.__globals__, globals_in(f.__code__), names, f.__module__)

    def walk_object(self, x, names) -> None:
        """The attributes that the code names, also in the methods that it names; all of a Module."""
        names = names | CALLED
        if self.done(x, names):
            return
        names = self.through(type(x), names)
        title = type(x).__name__
        if isinstance(x, Module):
            self.walk_all(vars(x), vars(x).values, [f"{title}.{name}" for name in vars(x)], names)
        elif hasattr(x, "__dict__"):
            self.walk_names(x, vars(x), names, names, title, in_classes(type(x)))
        for name in names:
            slot = inspect.getattr_static(type(x), name, None)
            if isinstance(slot, MemberDescriptorType) and isinstance(x, slot.__objclass__):
                self.walk_all((x, name), functools.partial(in_slot, slot, x), [f"{title}.{name}"], names)

    def through(self, owner: type, names: frozenset) -> frozenset:
        """The names, and those in the methods of `owner` that they name, and so on. Its classes are walked for them."""
        found, unseen = set(names), list(names)
        while unseen:
            method = inspect.getattr_static(owner, unseen.pop(), None)
            method = method.fget if isinstance(method, property) else getattr(method, "__func__", method)
            method = inspect.unwrap(method) if callable(method) else None
            if inspect.isfunction(method):
                new = attributes_in(method.__code__) - found
                found |= new
                unseen += new
        names = frozenset(found)
        for base in owner.__mro__:
            if not installed(base.__module__) and not self.done(base, names):
                self.walk_names(base, vars(base), names, names, base.__name__, in_classes(owner))
        return names


MISSING = object()


def under(where: Mapping, names) -> list:
    return [where.get(name, MISSING) for name in names]


def items(x: dict) -> list:
    return [*x, *x.values()]


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


def same(now, then) -> bool:
    """Whether two values are; numbers by their text, as -0.0 is not 0.0 and NaN is NaN."""
    return now is then or (type(now) is type(then) and is_simple(now) and repr(now) == repr(then))


def is_simple(x) -> bool:
    """Whether nothing but its value can matter: no subclass of a user's, whose objects may hold more."""
    return type(x) in SIMPLE or isinstance(x, np.generic)


def in_classes(owner: type) -> frozenset:
    """What instances of a class have without having it themselves."""
    return frozenset(name for base in owner.__mro__ if not installed(base.__module__) for name in vars(base))


@functools.cache
def installed(module: str | None) -> bool:
    """Whether a module is part of Python or of an installed package, by its name."""
    package = (module or "").partition(".")[0]
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    if package == "minigrad" or package in sys.stdlib_module_names or file.startswith(INSTALLED):
        return True
    return not PACKAGES.isdisjoint(Path(file).parts)  # of another environment, that is on the path too


def codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions that are written in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@functools.lru_cache(1024)
def attributes_in(code: CodeType) -> frozenset:
    """Attributes that a function names; where it calls getattr, its strings may be names too."""
    parts = list(codes(code))
    names = {name for part in parts for name in part.co_names}
    if "getattr" in names:
        names.update(text for part in parts for text in part.co_consts if isinstance(text, str))
    return frozenset(names)


@functools.lru_cache(1024)
def globals_in(code: CodeType) -> frozenset:
    """Globals that a function reads."""
    read = ("LOAD_GLOBAL", "LOAD_NAME")
    return frozenset(i.argval for part in codes(code) for i in dis.get_instructions(part) if i.opname in read)
