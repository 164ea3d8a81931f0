"""Inside a JAX program: a function of ours under `jax.jit`, `jax.grad` and `jax.vmap`.

    rnn = minigrad.interop.jax.function(mg.jit(Recurrent(MyCell, 10, 20)))
    output, state = rnn(parameters, x)          # parameters: arrays by name, an argument as others

XLA calls Python, and Python our kernels; the gradient is such a call as well.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from minigrad import tree
from minigrad.interop.recorded import Recorded, Swapped, named, record, swapping
from minigrad.nn.functional import functional_call
from minigrad.nn.module import Module
from minigrad.tape import Leaf
from minigrad.tensor import Tensor, as_tensor

__all__ = ["function"]
TAPES = 64  # of calls whose backward is yet to come; that of an older one computes its forward again
NUMBER = jax.ShapeDtypeStruct((), np.int32)


def function(f: Callable) -> Callable:
    """A function of ours, jitted or not, as a function of JAX's arrays, in nested tuples, lists and dicts.

    Of a layer it is a function of its parameters, arrays by name, and of the layer's arguments:
    function(layer)(parameters, *args). What any other function closes over is constant: parameters that are to be
    differentiated are arguments (`nn.functional_call`).

    It works under `jax.jit`, and under `jax.grad` and its kin in reverse mode, to any order. `jax.vmap` calls it for
    one sample after another; `mg.vmap` inside of f does better. Forward mode (`jax.jvp`) is refused by JAX. To learn
    the shapes of its results f is called once with zeros for each set of shapes. f should have no effects: JAX may call
    it again or not at all.

    Raises TypeError for what is no function; at the backward RuntimeError, where the result depends on a tensor that
    requires a gradient and is no argument.
    """
    if not callable(f):
        raise TypeError(f"function: wanted a layer or a function, got {type(f).__name__}")
    hosts: dict[Any, Forward] = {}

    def call(*args, **kwargs):
        leaves, structure = jax.tree.flatten((args, kwargs))
        host = hosts.get(structure) or hosts.setdefault(structure, Forward(f, structure))
        arrays = [jax.numpy.asarray(x) for x in leaves]
        results = host.call(np.int32(0), *arrays)
        return tree.unflatten(host.learnt(arrays)[1], results)

    return call


class Tapes:
    """Calls that have been recorded, by number: those whose backward is yet to come, and the last one that has been
    pulled back (for one row of a Jacobian after another)."""

    def __init__(self):
        self.waiting: OrderedDict[int, Recorded] = OrderedDict()
        self.last: tuple[int, Recorded | None] = 0, None
        self.numbers = itertools.count()
        self.lock = threading.Lock()

    def put(self, recorded: Recorded) -> int:
        number = 1 + next(self.numbers) % (2**31 - 1)
        with self.lock:
            self.waiting[number] = recorded
            while len(self.waiting) > TAPES:
                self.waiting.popitem(last=False)
        return number

    def get(self, number: int) -> Recorded | None:
        with self.lock:
            if number in self.waiting:
                self.last = number, self.waiting.pop(number)
            return self.last[1] if self.last[0] == number else None


tapes = Tapes()


class Host:
    """A function of arrays, on the host and, as `call`, JAX's. Its first argument is the number of a tape: of the call
    that it is the backward of, if it is one."""

    name: str

    def __init__(self):
        self.call = jax.custom_vjp(self.primal)
        self.call.defvjp(lambda number, *arrays: self.forward(*arrays), lambda kept, g: (None, *self.backward(kept, g)))
        self.recorded = jax.custom_vjp(self.primal_recorded)  # its gradient is that of the results
        self.recorded.defvjp(self.forward_recorded, lambda kept, g: self.backward(kept, g[1:]))
        self.pulled: dict[int, Backward] = {}  # by the number of arrays

    def record(self, arrays: Sequence[np.ndarray]) -> Recorded:
        """A call on a tape."""
        raise NotImplementedError

    def results(self, number: int, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Of a call that need not be recorded."""
        raise NotImplementedError

    def specs(self, arrays: Sequence) -> list[jax.ShapeDtypeStruct]:
        """Shapes and dtypes of the results."""
        raise NotImplementedError

    def primal(self, number, *arrays):
        return jax.pure_callback(self.run, self.specs(arrays), number, *arrays, vmap_method="sequential")

    def primal_recorded(self, *arrays):
        """The number of the tape, and the results."""
        wanted = [NUMBER, *self.specs(arrays)]
        return jax.pure_callback(self.keep, wanted, *arrays, vmap_method="sequential")

    def forward(self, *arrays):
        number, *results = self.recorded(*arrays)
        return results, (number, arrays)

    def forward_recorded(self, *arrays):
        results = self.recorded(*arrays)
        return results, (results[0], arrays)

    def backward(self, kept, cotangents):
        number, arrays = kept
        floats = [g for g, spec in zip(cotangents, self.specs(arrays)) if is_float(spec)]
        count = len(arrays)
        pulled = self.pulled.get(count) or self.pulled.setdefault(count, Backward(self, count))
        found = iter(pulled.call(number, *arrays, *floats))
        return tuple([next(found) if is_float(x) else None for x in arrays])

    # What JAX calls. What is kept is copied: the memory is JAX's, for the time of the call.

    def run(self, number, *arrays):
        return self.returned(self.results(int(number), [np.asarray(x) for x in arrays]), arrays)

    def keep(self, *arrays):
        recorded = self.record([np.array(x) for x in arrays])
        return [np.int32(tapes.put(recorded)), *self.returned([x._data for x in recorded.results], arrays)]

    def returned(self, results: list, arrays) -> list:
        return [np.asarray(x, spec.dtype) for x, spec in zip(results, self.specs(arrays))]


class Forward(Host):
    """f, of the leaves of arguments of a structure. made: shapes and dtypes of the results, and their structure, by
    those of the leaves."""

    def __init__(self, f: Callable, structure):
        super().__init__()
        self.f, self.structure, self.name = f, structure, named(f)
        self.made: dict[tuple, tuple[list, Any]] = {}

    def structured(self, arrays: Sequence[np.ndarray], recording: bool) -> tuple[Recorded, Any]:
        """A call, and the structure of its results."""
        swapped = Swapped([])

        def f(*tensors):
            args, kwargs = jax.tree.unflatten(self.structure, tensors)
            if not isinstance(self.f, Module):
                return self.f(*args, **kwargs)
            own = self.f._by_name()
            swapped.values = [(own[name], x._data, x._node) for name, x in args[0].items() if name in own]
            with swapping:
                return functional_call(self.f, *args, **kwargs)

        entries, results, structure = record(f, arrays, [True] * len(arrays), recording)
        return Recorded(self.name, entries, [as_tensor(x) for x in results], swapped), structure

    def record(self, arrays):
        return self.structured(arrays, True)[0]

    def results(self, number, arrays):
        return [np.asarray(x._data) for x in self.structured(arrays, False)[0].results]

    def learnt(self, arrays) -> tuple[list, Any]:
        key = tuple([(x.shape, np.dtype(x.dtype)) for x in arrays])
        if key not in self.made:
            recorded, structure = self.structured([np.zeros(*each) for each in key], True)
            dtypes = [jax.dtypes.canonicalize_dtype(x.dtype) for x in recorded.results]
            specs = [jax.ShapeDtypeStruct(x.shape, dtype) for x, dtype in zip(recorded.results, dtypes)]
            self.made[key] = specs, structure
        return self.made[key]

    def specs(self, arrays):
        return self.learnt(arrays)[0]


class Backward(Host):
    """The gradients of the float arrays that a call was given: of all that it was given, `count` arrays, and the
    cotangents of its float results."""

    def __init__(self, of: Host, count: int):
        super().__init__()
        self.of, self.count, self.name = of, count, of.name

    def specs(self, arrays):
        return [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays[: self.count] if is_float(x)]

    def record(self, arrays):
        before = self.of.record(arrays[: self.count])
        given = [Tensor(g, Leaf(g.shape, g.dtype)) for g in arrays[self.count :]]
        found = self.pull(before, arrays, given, differentiable=True)
        return Recorded(self.name, [*before.entries, *[g._node for g in given]], found, before.around)

    def results(self, number, arrays):
        before = tapes.get(number) or self.of.record([np.array(x) for x in arrays[: self.count]])
        return self.pull(before, arrays, arrays[self.count :])

    def pull(self, before: Recorded, arrays, given: Sequence, differentiable=False) -> list:
        """The gradients, zeros where there are none. given: the cotangents."""
        rest = iter(given)
        cotangents = [next(rest).astype(x.dtype) if is_float(x) else None for x in before.results]
        found = before.pull(cotangents, differentiable)
        floats = [(x, g) for x, g in zip(arrays, found) if is_float(x)]
        return [(as_tensor if differentiable else np.asarray)(np.zeros_like(x) if g is None else g) for x, g in floats]


def is_float(x) -> bool:
    return np.issubdtype(x.dtype, np.floating)
