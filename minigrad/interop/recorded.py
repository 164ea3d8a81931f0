"""A call of a function of ours on a tape of its own, for a framework that has another tape."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.compile.names import codes
from minigrad.modes import enable_grad, no_grad
from minigrad.mutations import memory_of
from minigrad.nn.module import Module, _parts
from minigrad.tape import Leaf, Node, pull_back
from minigrad.tensor import Tensor
from minigrad.views import Argument


class Recorded:
    """A call. entries: of each array that was given, where it is on the tape, or None. results: tensors. around: the
    context that it was made in, in which its derivatives are, too."""

    def __init__(self, name: str, entries: Sequence[Node | None], results: Sequence[Tensor], around: Any):
        self.name, self.entries, self.results, self.around = name, list(entries), list(results), around

    def pull(self, cotangents: Sequence, differentiable: bool = False) -> list:
        """The gradient of each array that was given, or None; from a cotangent of each result, or None: arrays, or
        tensors, to be recorded. It can be pulled again."""
        pairs = [(x._node, g) for x, g in zip(self.results, cotangents) if g is not None and x._node is not None]
        roots, given = [node for node, _ in pairs], [g for _, g in pairs]
        with self.around:
            found = pull_back(roots, given, keep=True, differentiable=differentiable)
        for stranger in found.keys() - {*self.entries}:
            raise RuntimeError(
                f"{self.name}: its result depends on a tensor {stranger.dtype}{list(stranger.shape)} that requires a "
                "gradient and is not among what it was given, so that its gradient would be lost; make it a "
                "nn.Parameter in an attribute of the module, pass it as an argument, or detach() it"
            )
        return [None if node is None else found.get(node) for node in self.entries]


swapping = threading.RLock()


class Swapped:
    """Within, tensors have other arrays, at other places of the tape: (tensor, array, node) each."""

    def __init__(self, values: list[tuple[Tensor, np.ndarray, Node | None]]):
        self.values = values

    def __enter__(self):
        if self.values:
            swapping.acquire()
        self.before = [(x, x._data, x._node) for x, _, _ in self.values]
        self.put(self.values)

    def __exit__(self, *_):
        self.put(self.before)
        if self.values:
            swapping.release()

    @staticmethod
    def put(values) -> None:
        for x, data, node in values:
            x._data, x._node = data, node


def record(f: Callable, arrays: Sequence, needs: Sequence[bool], recording: bool = True) -> tuple:
    """(entries, results, structure) of f(*arguments): of arrays arguments that are not to be changed, leaves of a tape
    where there is a need; the results flat."""
    entries = [Leaf(x.shape, x.dtype) if need and x.dtype.kind == "f" else None for x, need in zip(arrays, needs)]
    with enable_grad() if recording else no_grad():
        results, structure = tree.flatten(f(*[Argument(x, node) for x, node in zip(arrays, entries)]))
    return entries, results, structure


def own_memory(results: Iterable[Tensor], given: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Arrays of the results, each in memory of its own, which its owner may write into."""
    taken = {id(memory_of(x)) for x in given}
    arrays = []
    for x in results:
        array = np.asarray(x._data)
        if not array.flags.writeable or x._node is None or id(memory_of(array)) in taken:
            array = array.copy()  # what is not on the tape, too: it may be a constant of the function's
        taken.add(id(memory_of(array)))
        arrays.append(array)
    return arrays


def named(f) -> str:
    return getattr(f, "__name__", type(f).__name__)


def module_of(f: Callable) -> Module:
    """f, if it is a module; else one whose attributes are the modules and parameters that the code of f names."""
    if isinstance(f, Module):
        return f
    inner: Any = f
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    owner = getattr(inner, "__self__", None)
    variables = {"self": owner} if isinstance(owner, Module) else {}
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None)
    if code is not None:
        names = {name for part in codes(code) for name in part.co_names}
        variables |= {name: x for name, x in inner.__globals__.items() if name in names}
        cells = zip(code.co_freevars, inner.__closure__ or ())
        variables |= {name: cell.cell_contents for name, cell in cells}
    made = Module()
    vars(made).update({name: x for name, x in variables.items() if any(True for _ in _parts({name: x}, ""))})
    return made
