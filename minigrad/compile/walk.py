"""The walk through what a function can reach: which containers, namespaces and arrays it reads."""

import array
import collections
import contextlib
import functools
import gc
import inspect
import io
import mmap
import os
import random
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from types import (
    BuiltinFunctionType,
    CodeType,
    DynamicClassAttribute,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)

import numpy as np

from minigrad.compile.keys import is_iterator
from minigrad.compile.names import ALL, attributes_in, globals_in, in_packages, installed, module_of, of_the_user
from minigrad.compile.reads import (
    CONTENT,
    Read,
    content,
    content_of_buffer,
    defaults_of,
    in_context,
    in_slot,
    is_gone,
    items,
    listed,
    size_of,
    under,
)
from minigrad.nn.module import Module
from minigrad.ops.table import Op
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.schedules import Schedule
from minigrad.sharing import unshared
from minigrad.tensor import Tensor
from minigrad.tree import children

MANY = 100  # values of a container that is looked through though no code names it
SIMPLE = frozenset({int, float, complex, bool, str, bytes, type(None), type(...)})  # types of what is compared by value
FIXED = (
    range,
    slice,
    np.dtype,
    np.ufunc,
    type(np.sum),
    property,
    MemberDescriptorType,
    CodeType,
)  # which hold nothing that changes
BUFFERS = (bytearray, memoryview, array.array, mmap.mmap)
PROXIES = (weakref.ProxyType, weakref.CallableProxyType)
GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)
MADE = frozenset({"__init__", "__new__", "__post_init__"})  # when the code calls a class
CALLED = frozenset({"__call__", "__wrapped__"})  # without being named
NEVER = frozenset({  # methods of objects that are there already, which no expression calls
    "__init__", "__new__", "__init_subclass__", "__set_name__", "__del__", "__repr__", "__copy__", "__deepcopy__",
    "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__",
})  # fmt: skip


class Walk:
    """What f can reach, and the leaves and the keys (of dicts) of its arguments.

    reads: Read by key. values: what they gave. tensors: (tensor, what it is) by id. fixed: ids of tensors that were
    found where no other can take their place. places: by id, how often a tensor, list or dict is among the values.
    arrays, consumed (generators, files and iterators, with what they are), weak (references to what is held weakly): by
    id. codes: of the functions that may be called, and whether they may look at the numbers of arrays (ops do not).
    names: attributes that these read; of an object that is no module of ours no others are looked at.
    """

    def __init__(self, f: Callable, leaves, structure, names: frozenset = CALLED):
        self.names = names
        roots = [x for x in (*leaves, *keys_in(structure)) if not isinstance(x, (Tensor, np.ndarray))]
        while True:  # with more names more is reached, and with more code more is named
            self.start()
            self.walk(f, "the function")
            for x in roots:
                self.walk(x, "an argument")
            while self.waiting:
                self.visit(*self.waiting.pop())
            names = self.names.union(*map(attributes_in, self.codes))
            if names == self.names:
                break
            self.names = names
        for key, (where, wanted, what) in self.named.items():
            present = tuple(wanted)
            self.reads[key, "named"] = Read(
                functools.partial(under, where, present), [f"{what}.{n}" for n in present], True
            )
        self.values = {key: tuple(read.now()) for key, read in self.reads.items()}
        self.places: collections.Counter = collections.Counter()
        for values in self.values.values():
            self.places.update(map(id, replaceable(values)))
        del self.seen, self.named

    def start(self) -> None:
        self.waiting: list = []  # what is yet to be visited
        self.reads: dict = {}
        self.tensors: dict = {}
        self.fixed: set[int] = set()
        self.arrays: dict = {}
        self.consumed: dict = {}
        self.weak: dict = {}
        self.codes: dict = {}
        self.named: dict = {}  # id of an object -> (its namespace, the names that are read in it, what it is)
        self.seen: dict = {}  # key of an object -> it

    def walk(self, x, what: str, placed: bool = False) -> None:
        """what: x, for errors. placed: whether it was found where another may take its place."""
        self.waiting.append((x, what, placed))

    def visit(self, x, what: str, placed: bool) -> None:
        if type(x) in PROXIES:  # asked first: isinstance takes a proxy for what is behind it
            with contextlib.suppress(ReferenceError):  # that is gone
                behind = x.__repr__.__self__
                self.weak[id(behind)] = weakref.ref(behind)
                self.walk(behind, what)
            return
        if is_simple(x) or isinstance(x, FIXED) or x is sys.modules:
            return
        if isinstance(x, Tensor):
            self.tensors.setdefault(id(x), (x, what))
            if not placed:
                self.fixed.add(id(x))
        elif isinstance(x, np.ndarray):
            if x.dtype.hasobject:
                self.walk_all(x, functools.partial(listed, x), what)
            else:
                self.arrays.setdefault(id(x), x)
        elif isinstance(x, Module):
            for module in x.modules():
                self.walk_object(unshared(module))
        elif isinstance(x, GENERATORS):
            self.consumed.setdefault(id(x), (x, what))
        elif isinstance(x, (Optimizer, Schedule)):  # whose numbers are read when they act (ir/actions.py)
            if "parameters" in self.names:
                self.walk(getattr(x, "parameters", None), f"{what}.parameters")
        elif module_of(type(x)).startswith("minigrad."):  # another jitted function, a custom_vjp, an optimizer
            self.walk_ours(x, what)
        elif isinstance(x, (functools.partial, functools.partialmethod)):
            for part in (x.func, *x.args):
                self.walk(part, what)
            self.walk(x.keywords, what)
        elif inspect.ismethod(x):
            if inspect.isfunction(x.__func__):
                self.codes[x.__func__.__code__] = True
            self.walk(x.__func__, what)
            self.walk(x.__self__, what)
        elif isinstance(x, BuiltinFunctionType):
            if not isinstance(x.__self__, (ModuleType, type)):
                self.walk(x.__self__, what)
        elif inspect.isfunction(x):
            self.walk_function(x)
        elif isinstance(x, ModuleType):
            self.walk_module(x)
        elif isinstance(x, type):
            self.walk_class(x, MADE)
        else:
            self.walk_container(x, what, placed)

    def walk_container(self, x, what: str, placed: bool) -> None:
        if isinstance(x, (tuple, frozenset)):  # which hold for ever what they hold
            if not self.done(x, "placed" if placed else "not placed"):
                for k, value in enumerate(x):
                    self.walk(value, f"{what}[{k}]", placed and isinstance(x, tuple))
        elif isinstance(x, (dict, MappingProxyType)):
            self.walk_all(x, functools.partial(items, x), what)
        elif isinstance(x, (list, set, collections.deque)):
            self.walk_all(x, functools.partial(tuple, x), what)
        elif isinstance(x, ContextVar):
            self.walk_all(x, functools.partial(in_context, x), what)
        elif isinstance(x, weakref.ref):
            self.weak[id(x)] = x
            self.reads[id(x), CONTENT] = Read(functools.partial(is_gone, x), [])
            self.walk(x(), what)
        elif isinstance(x, BUFFERS):
            self.walk_all(x, functools.partial(content_of_buffer, x), what)
        elif isinstance(x, threading.local):
            self.walk_all(x, lambda: items(vars(x)), what)
        elif isinstance(x, io.IOBase):
            self.consumed.setdefault(id(x), (x, what))
        elif isinstance(x, functools._lru_cache_wrapper):  # what it keeps, it keeps
            for one in cached(x):
                self.walk(one, what)
            self.walk(x.__wrapped__, what)
        elif is_iterator(x):
            self.consumed.setdefault(id(x), (x, what))
        elif not has_dict(x) and not slots_of(type(x)):  # written in C: what it holds
            self.walk_all(x, functools.partial(gc.get_referents, x), what)
        if has_dict(x) or slots_of(type(x)):
            self.walk_object(x)

    def done(self, x, part: str) -> bool:
        """Whether x (a part of it) has been walked; from now on it has."""
        if (id(x), part) in self.seen:
            return True
        self.seen[id(x), part] = x
        return False

    def walk_all(self, x, read: Callable, what: str, variable: str = "") -> None:
        """All values of a container. variable: the name of its only value, which is a variable or an attribute."""
        part = variable or CONTENT
        if self.done(x, part):
            return
        values = tuple(read())
        self.reads[id(x), part] = Read(read, [variable], bool(variable))
        for k, value in enumerate(values):
            self.walk(value, variable or f"{what}[{k}]", placed=True)

    def walk_names(self, x, where: Mapping, what: str, wanted: frozenset) -> None:
        """What is read in the namespace of x: what is under the names that are wanted."""
        self.named.setdefault(id(x), (where, {}, what))[1].update(dict.fromkeys(wanted))
        for name in wanted & where.keys():
            self.walk(underlying(where[name]), f"{what}.{name}", placed=True)

    def among(self, names, owner: type) -> frozenset:
        """Those that the code reads of an object of this class."""
        return (
            frozenset(names)
            if ALL in self.names and not installed(module_of(owner))
            else self.names.intersection(names)
        )

    def walk_module(self, x: ModuleType) -> None:
        where = vars(x)
        if not self.done(x, "names"):
            if x is os and "getenv" in self.names:
                self.walk(os.environ, "os.environ")
            own = not installed(x.__name__)
            if own or not x.__name__.startswith("minigrad"):
                wanted = self.names & where.keys() if own else data_in(where, self.names)
                self.walk_names(x, where, x.__name__, wanted)

    def walk_function(self, f) -> None:
        if self.done(f, "code"):
            return
        if f is os.getenv:
            self.walk(os.environ, "os.environ")
        own = not installed(module_of(f))
        self.codes.setdefault(f.__code__, own)
        for cell, name in zip(f.__closure__ or (), f.__code__.co_freevars):
            self.walk_all(cell, functools.partial(content, cell), name, name)
        defaults = functools.partial(defaults_of, f)
        self.walk_all(f, defaults, f"a default of {f.__name__}")
        wanted = globals_in(f.__code__)
        if own or (in_packages(f.__code__.co_filename) and of_the_user(f.__code__.co_filename)):
            wanted = wanted if own else data_in(f.__globals__, wanted)
            self.walk_names(f.__globals__, f.__globals__, module_of(f) or "globals", wanted)

    def walk_ours(self, x, what: str) -> None:
        if not has_dict(x) or isinstance(x, Op) or self.done(x, "ours"):
            return
        for name, value in tuple(vars(x).items()):
            if callable(value) or (name in self.names and type(value) in (list, tuple, dict, Tensor)):
                self.walk(value, f"{what}.{name}")

    def walk_object(self, x) -> None:
        """The attributes that the code names; all of a Module, and of a container that a library wrote in Python."""
        if self.done(x, "object"):
            return
        kind = type(x)
        title, where = kind.__name__, vars(x) if has_dict(x) else {}
        self.walk_class(kind, frozenset())
        if isinstance(x, Module):
            self.reads[id(where), CONTENT] = Read(
                functools.partial(items, where), [*[title] * len(where), *[f"{title}.{name}" for name in where]], True
            )
            for name, value in tuple(where.items()):
                if self.among({name}, kind) or not (isinstance(value, np.ndarray) or is_data(value)):
                    self.walk(value, f"{title}.{name}", placed=True)
        elif where and installed(module_of(kind)) and any(hasattr(kind, n) for n in ("__getitem__", "__iter__")):
            self.walk_all(where, functools.partial(items, where), title)
        elif has_dict(x):
            self.walk_names(x, where, title, self.among(where.keys() | in_classes(kind), kind))
            self.reads[id(where), "size"] = Read(functools.partial(size_of, where), [])  # one more may come
        for name, slot in slots_of(kind).items():
            if self.among({name}, kind):
                self.walk_all(x, functools.partial(in_slot, slot, x), title, f"{title}.{name}")

    def walk_class(self, owner: type, more: frozenset) -> None:
        """What the code names of a class and its bases, what operators call, and what is in `more`."""
        if self.done(owner, f"class {sorted(more)}"):
            return
        members = {name: value for base in reversed(owner.__mro__) for name, value in vars(base).items()}
        implicit = {name for name, value in members.items() if name[:2] == "__" and inspect.isfunction(value)} - NEVER
        wanted = self.among(members, owner) | (implicit & members.keys()) | (more & members.keys())
        for name in wanted:
            for code in code_behind(members[name]):
                self.codes[code] = True
        for base in owner.__mro__:
            if not installed(module_of(base)):
                self.walk_names(base, vars(base), base.__name__, wanted & in_classes(owner))


def is_simple(x) -> bool:
    """Whether nothing but its value can matter: no subclass of a user's, whose objects may hold more."""
    return type(x) in SIMPLE or issubclass(type(x), np.generic)


def data_in(where: Mapping, names: frozenset) -> frozenset:
    """The names of what is neither code nor a module: of installed packages nothing else may change."""
    return frozenset(
        name for name in names & where.keys() if not callable(where[name]) and not isinstance(where[name], ModuleType)
    )


def is_data(x) -> bool:
    """Whether x is a large container of nothing but numbers and strings."""
    if not isinstance(x, (list, dict, set, collections.deque)) or len(x) <= MANY:
        return False
    return all(map(is_simple, x)) and (not isinstance(x, dict) or all(map(is_simple, x.values())))


def replaceable(values) -> Iterator:
    """The tensors, lists and dicts among values, and in tuples among them."""
    for x in values:
        if issubclass(type(x), Tensor) or type(x) in (list, dict):  # isinstance would ask a proxy, which may be dead
            yield x
        elif issubclass(type(x), tuple):
            yield from replaceable(x)


def cached(x) -> Iterator:
    """What a cache of functools keeps: results, and arguments."""
    seen, unseen = {id(x.__wrapped__), id(vars(x))}, gc.get_referents(x)
    memory = {id(one) for one in unseen if type(one) is dict}
    while unseen:
        one = unseen.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if id(one) in memory or type(one).__name__ == "_lru_list_elem":
            unseen += gc.get_referents(one)
        elif not isinstance(one, type):
            yield one


def keys_in(structure) -> Iterator:
    """The keys of the dicts in a structure of arguments, besides strings."""
    if structure is not None and structure is not ...:
        if isinstance(structure, dict):
            yield from (key for key in structure if type(key) is not str)
        for inner in children(structure)[1]:
            yield from keys_in(inner)


def underlying(value):
    """What is behind a property, a method or the like."""
    if isinstance(value, (property, DynamicClassAttribute)):
        return value.fget
    if isinstance(value, functools.cached_property):
        return value.func
    return value.__func__ if isinstance(value, (staticmethod, classmethod, MethodType)) else value


def has_dict(x) -> bool:
    """Asked of the type: an object may answer anything."""
    return type(x).__dictoffset__ != 0


def code_behind(member) -> list:
    """The code that runs when this attribute of a class is read or called on an object."""
    method = underlying(member)
    if not callable(method) and not hasattr(type(method), "__get__"):
        return []
    method, get = inspect.unwrap(method) if callable(method) else None, getattr(type(method), "__get__", None)
    return [f.__code__ for f in (method, get) if inspect.isfunction(f)]


def slots_of(owner: type) -> dict:
    found: dict = {}
    for base in reversed(owner.__mro__):
        if base is not object and "__slots__" in vars(base):
            found |= {name: slot for name, slot in vars(base).items() if isinstance(slot, MemberDescriptorType)}
    return found


def in_classes(owner: type) -> frozenset:
    """What instances of a class have without having it themselves."""
    return frozenset(name for base in owner.__mro__ if not installed(module_of(base)) for name in vars(base))
