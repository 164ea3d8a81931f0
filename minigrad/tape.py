"""The tape: what was computed, and how to go back through it.

Every operation on a tensor that needs a gradient leaves a `Node`: the op, the nodes of its inputs, the parameters of
the call, and the few arrays that its derivative needs. Nodes point at the nodes that they came from, so the tape is
held by its last tensor and vanishes with it.

`pull_back` is reverse-mode differentiation, all of it. It visits the nodes that the output depends on in the reverse
order of their creation. Why this order? A node's cotangent (the derivative of the output with respect to its value) is
the sum of what *all* its consumers send back, so all of them must have been visited first; and a consumer is always
created after what it consumes. Creation order is a topological order that costs one counter.
"""

import inspect
import itertools
import math
import os
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import ContextDecorator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.deferred import DeferredProduct

OFF, ON, RAW = "off", "on", "raw"
TRACED, TRACED_OFF = "traced", "traced, off"


class _Mode(threading.local):
    """What an op does in this thread.

    ON: it records a node if an input has one. OFF: it records nothing (`no_grad`). RAW: it takes and returns plain
    arrays; so the vjps run when nobody will differentiate their result. TRACED and TRACED_OFF are ON and OFF while a
    compiler watches: tensors hold nodes of `program` in place of arrays (minigrad/compile).
    """

    mode = ON
    program: Any = None
    generators: dict | None = None  # the random generators drawn from, with their states before, if a checkpoint asks
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
    """Whether `jit` is tracing a function in this thread, so that tensors have shapes but no numbers yet."""
    return thread.mode is TRACED or thread.mode is TRACED_OFF


class Node:
    """One operation that was recorded.

    op: its declaration in the op table. inputs: the nodes of its inputs, None for a constant. params: the keyword
    arguments of the call. saved: what the op's vjps name (arrays, shapes, parameters). shape, dtype: of the result.
    seq: time of creation; between two others where a view was made anew (views.py). site: (code, instruction) of the
    line that called the op. hooks: what to call with the cotangent, by time of registration, or None.
    """

    __slots__ = ("__weakref__", "dtype", "hooks", "inputs", "op", "params", "saved", "seq", "shape", "site")

    def __init__(self, op, inputs, params, saved, shape, dtype, site):
        self.op = op
        self.inputs = inputs
        self.params = params
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.seq = next(clock)
        self.site = site
        self.hooks = None

    @property
    def line(self) -> str:
        """File and line that recorded this node, with its text."""
        return line_of_site(self.site)

    def __repr__(self):
        return f"<{self.op.name if self.op else 'leaf'} {self.dtype}{list(self.shape)} #{self.seq}>"


class Leaf(Node):
    """Where a tensor that requires a gradient enters the tape. It holds the gradient, so that the tensor need not."""

    __slots__ = ("grad",)

    def __init__(self, shape, dtype):
        super().__init__(None, (), {}, (), shape, dtype, None)
        self.grad = None

    def add(self, g) -> None:
        """Add a gradient to what is there, whatever other threads do to it meanwhile."""
        while True:
            before = self.grad
            after = g if before is None else before + g  # not under the lock: an op may compile, and wait for others
            with lock:
                if self.grad is before:
                    self.grad = after
                    return


class Pick(Node):
    """One result of an op that has several: `params` is its index among them."""

    __slots__ = ()


def tape_of(roots: Sequence[Node], since: int = 0) -> list[Node]:
    """Every node, not older than `since`, that the roots depend on, in order of creation."""
    found = list(dict.fromkeys(roots))
    seen = {None, *found}
    for node in found:  # which grows as we go
        for parent in node.inputs:
            if parent not in seen and parent.seq >= since:
                seen.add(parent)
                found.append(parent)
    found.sort(key=attrgetter("seq"))
    return found


def between(order: Sequence[Node], wanted) -> set[Node]:
    """The wanted nodes and those of a tape that depend on them: only they need a cotangent."""
    useful = set(wanted)
    for node in order:
        if any(parent in useful for parent in node.inputs):
            useful.add(node)
    return useful


@np.errstate(all="ignore")  # a vjp may well compute inf - inf; the result shows what came of it
def pull_back(
    roots: Sequence[Node], cotangents: Sequence, wanted=None, keep=False, differentiable=False, guard=None
) -> dict:
    """Cotangents of the leaves (or of the nodes in `wanted`), given those of the roots.

    Cotangents are arrays; if `differentiable`, tensors, and the way back is itself recorded (while tracing they are
    tensors in any case). Unless the graph is kept, each node lets go of its arrays and its inputs as soon as it has
    been visited. guard: from a node and the cotangents of its inputs to those that are to be used.
    """
    order = tape_of(roots, min((node.seq for node in wanted), default=0) if wanted else 0)
    useful = None if wanted is None else between(order, wanted)
    pending: dict = {}
    for root, g in zip(roots, cotangents):
        pending[root] = g if root not in pending else pending[root] + g
    ours: set = set()  # nodes whose pending cotangent is an array that we made here, and may add to in place
    results = {}
    caller, outer = thread.mode, thread.pulled
    if tracing():
        thread.mode = TRACED if differentiable else TRACED_OFF
    else:
        thread.mode = ON if differentiable else RAW
    raw = thread.mode is RAW
    try:
        while order:
            node = order.pop()
            g = pending.pop(node, None)
            if g is None or (useful is not None and node not in useful):
                continue
            if type(g) is DeferredProduct:
                looked_at = node.hooks or (wanted and node in wanted)
                if looked_at or not getattr(node.op, "passes_products", False):
                    g = g.value()
                    ours.add(node)
            if node.hooks:
                g = call_hooks(node, g)
                ours.discard(node)
            if type(node) is Leaf if wanted is None else node in wanted:
                # another leaf may have been sent the same array
                results[node] = g if not raw or node in ours else g.copy(order="K")
            if type(node) is Leaf:
                continue
            if node.saved is None:
                raise freed(node)
            if type(node) is Pick:
                (parent,) = node.inputs
                if guard is not None:
                    (g,) = guard(node, [g])
                pending.setdefault(parent, [None] * len(parent.shape))[node.params] = g
            else:
                if node.seq < mutations.latest:
                    mutations.refuse(node)
                if not raw:
                    thread.pulled = node.site
                sent = node.op.pull(node, g, useful)
                for parent, pulled in zip(node.inputs, sent if guard is None else guard(node, sent)):
                    if pulled is not None and parent is not None:
                        accumulate(pending, ours, parent, pulled)
            if node.saved is None:  # another thread freed the node while it was read
                raise freed(node)
            if not keep:
                node.saved = node.hooks = None
                node.inputs = ()
    except (TypeError, AttributeError, ValueError, IndexError) as error:
        if node.saved is None:  # another thread freed the node while it was read
            raise freed(node) from error
        raise
    finally:
        thread.mode, thread.pulled = caller, outer
    return results


def freed(node: Node) -> RuntimeError:
    return RuntimeError(
        f"backward through {node.op.name} a second time: its graph was freed by the first "
        f"(recorded at {node.line}). If a tensor was carried over from the step before (a recurrent state, "
        "say), detach() it before it is used again; else pass retain_graph=True to the first backward"
    )


def accumulate(pending: dict, ours: set, parent: Node, pulled) -> None:
    """Add what one consumer of `parent` sends back to what the others have sent."""
    if pulled.shape != parent.shape:  # the input was broadcast: undo it
        from minigrad.ops.reduce import sum_to

        pulled = sum_to(pulled, parent.shape)
    if pulled.dtype is not parent.dtype:
        pulled = value_of(pulled).astype(parent.dtype)
    if parent not in pending:
        pending[parent] = pulled
    elif type(pulled) is DeferredProduct is type(pending[parent]):
        pending[parent].add(pulled)
    elif parent in ours:
        np.add(pending[parent], value_of(pulled), out=pending[parent])
    else:
        pending[parent] = total = value_of(pending[parent]) + value_of(pulled)
        if type(total) is np.ndarray:
            ours.add(parent)


def value_of(cotangent):
    return cotangent.value() if type(cotangent) is DeferredProduct else cotangent


def call_hooks(node: Node, g):
    """The cotangent that comes of a node's hooks: each sees a read-only one, and may return another in its place."""
    from minigrad.tensor import Tensor, as_tensor

    raw = thread.mode is RAW
    caller, thread.mode = thread.mode, OFF if raw else TRACED if tracing() else ON
    try:
        for hook in list(node.hooks.values()):
            given = g
            if raw:
                given = Tensor(np.asarray(g).view())
                given._data.flags.writeable = False
            replaced = hook(given)
            if replaced is None:
                continue
            replaced = as_tensor(replaced)
            if replaced.shape != node.shape:
                raise ValueError(f"a hook on {node!r} returned shape {replaced.shape}, wanted {node.shape}")
            g = replaced._data.astype(node.dtype) if raw else replaced
    finally:
        thread.mode = caller
    return g


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
    """Record nothing in this thread: `with no_grad():`, or `@no_grad()` on a function."""

    mode = OFF


class enable_grad(_SetMode):
    """Record again inside a `no_grad`."""

    mode = ON


class Mutations:
    """When arrays were last changed in place, for those that were.

    A node remembers its time of creation and nothing else; a change is rare, so the change does the bookkeeping. At
    backward one comparison clears every node that is younger than the latest change.
    """

    def __init__(self):
        self.latest = 0
        self.times: dict[int, tuple] = {}  # id of the array that owns the memory -> (weak reference to it, its parts)

    def note(self, array: np.ndarray, time: int | None = None) -> None:
        """The numbers of this array have been changed."""
        owner = memory_of(array)
        key = id(owner)
        if key not in self.times:
            self.times[key] = weakref.ref(owner, lambda _: self.times.pop(key, None)), {}
        parts = self.times[key][1]
        if array.size == owner.size or len(parts) > 10_000:
            array = owner
            parts.clear()
        part = Part(array)
        parts.pop(part, None)  # the parts keep the order in which they were changed
        parts[part] = time = next(clock) if time is None else time
        self.latest = max(self.latest, time)

    def changed(self, node: Node, after: int, before: float = math.inf) -> np.ndarray | None:
        """An array that the node's vjp needs and that was last changed between two times; None if there is none."""
        needed = getattr(node.op, "needed", None)
        array: Any
        for value in node.saved if needed is None else needed(node):
            for array in value if type(value) is tuple else (value,):
                if isinstance(array, Node):  # while tracing, a value
                    array = array.program.memory_if_changed(array)  # type: ignore[attr-defined]
                if isinstance(array, np.ndarray) and after < self.time(array) < before:
                    return array
        return None

    def time(self, array: np.ndarray) -> int:
        """When the array was last changed in place; 0 if it never was."""
        found = self.times.get(id(memory_of(array)))
        if found is None:
            return 0
        return next((time for part, time in reversed(found[1].items()) if part.meets(array)), 0)

    def refuse(self, node: Node) -> None:
        """Raise if an array that the node's vjp needs has been changed since it was recorded."""
        array = self.changed(node, after=node.seq)
        if array is not None:
            raise RuntimeError(
                f"backward of {node.op.name}: an array {array.dtype}{list(array.shape)} that it needs was "
                f"changed in place after {node.line} recorded it; change a copy, or call backward first"
            )


class Part(tuple):
    """Where an array lies in memory, without keeping it: (address, shape, strides, type)."""

    __slots__ = ()

    def __new__(cls, array: np.ndarray):
        return super().__new__(cls, (array.ctypes.data, array.shape, array.strides, array.dtype.str))

    def meets(self, array: np.ndarray) -> bool:
        """Whether an array in the same memory has an element in common with it."""
        try:
            return np.shares_memory(np.asarray(self), array, max_work=1000)  # type: ignore[arg-type]
        except np.exceptions.TooHardError:
            return True

    @property
    def __array_interface__(self) -> dict:
        address, shape, strides, kind = self
        return {"data": (address, False), "shape": shape, "strides": strides, "typestr": kind, "version": 3}


def memory_of(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory that `array` is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


mutations = Mutations()


class _Engine(dict):
    """Whether a file belongs to the engine, or to NumPy that calls it: a recorded line should be the user's (cells in
    models/ are users too)."""

    home = Path(__file__).parent
    numpy = Path(np.__file__).parent

    def __missing__(self, file):
        path = Path(file)
        inside = self.home in path.parents and self.home / "models" not in path.parents
        inside = inside or self.numpy in path.parents
        self[file] = inside
        return inside


_engine = _Engine()
of_the_engine = _engine.__getitem__


def line_number(site) -> int:
    """The line of a call site, (code, instruction)."""
    code, instruction = site
    return next(itertools.islice(code.co_positions(), instruction // 2, None), (0,))[0] or code.co_firstlineno


def line_of_site(site) -> str:
    """File, line and text of a call site."""
    import linecache

    code, number = site[0], line_number(site)
    text = linecache.getline(code.co_filename, number).strip()
    return f'{code.co_filename}:{number}: "{text}"' if text else f"{code.co_filename}:{number}"


def where() -> str:
    """The innermost line outside the engine, a cell's say, and up to two of the user's that led there."""
    sites: list = []
    frame = sys._getframe(1)
    while frame.f_back is not None and len(sites) < 3:
        ours = frame.f_globals.get("__name__", "").partition(".")[0] == "minigrad"
        if not _engine[frame.f_code.co_filename] and not (sites and ours):
            sites.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    sites = sites or [(frame.f_code, frame.f_lasti)]
    return "at " + "\nfrom ".join(map(line_of_site, sites))


def call_site():
    """(code, instruction) of the innermost frame outside the engine. Cheap: the line number is worked out on demand."""
    frame = sys._getframe(2)
    while _engine[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti
