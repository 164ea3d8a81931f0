"""Watching the engine at work: an `Observer` sees every kernel that runs, every node, every step back through one.

Nothing in the engine asks whether it is watched, so watching costs nothing when nobody does. While an observer is
entered, the few attributes through which the engine calls are replaced by functions that tell the observer; when it is
left they are put back. Profiler, anomaly detector and viewer are observers.
"""

import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import Any

from minigrad import custom
from minigrad.compile import execute
from minigrad.compile.call import Call
from minigrad.compile.native import Kernel
from minigrad.deferred import DeferredProduct
from minigrad.kernels import pieces
from minigrad.ops.pointwise import Elementwise, _Kernels
from minigrad.ops.table import Op, table
from minigrad.tensor import Tensor
from minigrad.views import Argument, View

__all__ = ["Observer"]
_replacements: dict = {}  # (owner, name) -> [whether it is the owner's own, the attribute, wraps]
_lock = threading.Lock()


@contextmanager
def replaced(owner, name: str, wrap):
    """Within, the attribute is wrap(attribute). Threads may enter and leave theirs in any order."""
    with _lock:
        if (owner, name) not in _replacements:
            _replacements[owner, name] = [name in vars(owner), getattr(owner, name), []]
        _replacements[owner, name][2].append(wrap)
        _replace(owner, name)
    try:
        yield
    finally:
        with _lock:
            _replacements[owner, name][2].remove(wrap)
            _replace(owner, name)


def _replace(owner, name: str) -> None:
    own, attribute, wraps = _replacements[owner, name]
    for wrap in wraps:
        attribute = wrap(attribute)
    if own or wraps:
        setattr(owner, name, attribute)
    else:
        delattr(owner, name)
    if not wraps:
        del _replacements[owner, name]


class Observer:
    """Base of what watches this thread: `with MyObserver() as o:`. Each method may be overridden; one that sees `run`
    calls it, and returns what it returned. Those that are not overridden cost nothing.

    Examples
    --------
    >>> from minigrad.observe import Observer
    >>> class Count(Observer):
    ...     calls = 0
    ...     def kernel(self, op, run, arrays):
    ...         self.calls += 1
    ...         return run()
    >>> with Count() as count:
    ...     y = mg.tanh(mg.ones(2)) + 1
    >>> count.calls
    5
    """

    def kernel(self, op: Op, run, arrays):
        """A kernel of an op is about to run, run(): forward, or inside of a vjp, which is then inside of `pull`."""

    def pull(self, node: Any, run: Callable, cotangent: Any) -> Any:
        """The way back through a node, run(): a list of cotangents of the node's inputs, arrays or None."""

    def loop(self, kernel: Kernel, run, arrays):
        """The kernel of a compiled loop is about to run, run(): a list of arrays."""

    def recorded(self, tensor: Tensor):
        """A tensor that is on the tape was made: its value and its node."""

    def step(self, f, t: int, run):
        """Step t of an eager `scan` of f is about to run, run(): (carry, y)."""

    def __enter__(self) -> Any:
        self.thread, self.replacements = threading.get_ident(), ExitStack()
        for method, replace in REPLACEMENTS.items():
            if getattr(type(self), method) is not getattr(Observer, method):
                for owner, name, wrap in replace(self):
                    self.replacements.enter_context(replaced(owner, name, wrap))
        return self

    def __exit__(self, *_: Any) -> None:
        self.replacements.close()

    @property
    def here(self) -> bool:
        return threading.get_ident() == self.thread


def kernels(o: Observer):
    """Where kernels are called: an op's forward, an elementwise op's compiled loops, sums of products put off."""

    def of_op(op):
        return lambda forward: lambda *a, **p: o.kernel(op, lambda: forward(*a, **p), a) if o.here else forward(*a, **p)

    def of_loops(get):
        def watched(loops, dtype):
            kernel = get(loops, dtype)
            return Watched(o, loops.this, kernel) if o.here else kernel

        return watched

    def of_split(split):
        def watched(kernel, *a, out=None):
            if type(kernel) is Watched:
                return kernel.observer.kernel(kernel.op, lambda: watched(kernel.kernel, *a, out=out), a)
            return split(kernel, *a, out=out)

        return watched

    def of_product(value):
        return lambda product: o.kernel(table["matmul"], lambda: value(product), ()) if o.here else value(product)

    def of_compiled_product(product):
        return lambda *a: o.kernel(table["matmul"], lambda: product(*a), a) if o.here else product(*a)

    for op in table.values():
        if not isinstance(op, Elementwise):
            yield op, "forward", of_op(op)
    yield _Kernels, "__getitem__", of_loops
    yield pieces, "split", of_split
    yield DeferredProduct, "value", of_product
    yield execute, "product", of_compiled_product


class Watched:
    """A kernel that tells an observer when it runs."""

    def __init__(self, observer: Observer, op: Op, kernel):
        self.observer, self.op, self.kernel = observer, op, kernel

    def __call__(self, *a, **named):
        return self.observer.kernel(self.op, lambda: self.kernel(*a, **named), a)


def pulls(o: Observer):
    """Where the tape is played back: each class of what may be on it has a `pull`, its own or its base's."""
    visited = None

    def wrap(pull):
        def watched(op, node, g, useful=None):
            nonlocal visited
            if visited is node or not o.here:  # an elementwise op has asked its base
                return pull(op, node, g, useful)
            before, visited = visited, node
            try:
                return o.pull(node, lambda: pull(op, node, g, useful), g)
            finally:
                visited = before

        return watched

    for kind in (Op, Elementwise, custom._CustomCall, custom._CheckpointedCall, Call):
        yield kind, "pull", wrap


def loops(o: Observer):
    def wrap(run):
        return lambda kernel, a: o.loop(kernel, lambda: run(kernel, a), a) if o.here else run(kernel, a)

    yield Kernel, "run", wrap


def records(o: Observer):
    def wrap(init):
        def watched(tensor, data, node=None, *of):
            init(tensor, data, node, *of)
            if (
                node is not None and o.here and type(tensor) is not Argument
            ):  # which stands for one that was made before
                o.recorded(tensor)

        return watched

    yield Tensor, "__init__", wrap
    yield View, "__init__", wrap


def steps(o: Observer):
    def wrap(take):
        return lambda f, c, x, t=0: o.step(f, t, lambda: take(f, c, x, t)) if o.here else take(f, c, x, t)

    yield sys.modules["minigrad.scan"], "take_step", wrap


REPLACEMENTS = {"kernel": kernels, "pull": pulls, "loop": loops, "recorded": records, "step": steps}
