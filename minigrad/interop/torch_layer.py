"""A module of ours as a module of PyTorch: its calls are nodes of PyTorch's tape."""

import functools
import inspect
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from minigrad import tree
from minigrad.interop.recorded import Recorded, Swapped, named, own_memory, record
from minigrad.interop.torch_memory import NARROW, Shared, plain
from minigrad.nn.module import Buffer, Module
from minigrad.nn.sequences import PackedSequence
from minigrad.tape import Leaf
from minigrad.tensor import Tensor, as_tensor


class Part(torch.nn.Module):
    """PyTorch's view of a module of ours, or of a dict or list in one: what holds its parameters."""

    def __init__(self, of: Module | None):
        super().__init__()
        self.of = of
        if of is not None:
            self.training = of.training

    def train(self, mode: bool = True):
        if self.of is not None:
            self.of.train(mode)
        return super().train(mode)

    def extra_repr(self) -> str:
        return "" if self.of is None else repr(self.of).partition("\n")[0]


class Layer(Part):
    """A module of ours as one of PyTorch's. of: ours, or what holds a function's parameters; call: what is called."""

    def __new__(cls, *_):
        keep_out_of_graphs()
        return super().__new__(cls)

    def __init__(self, of: Module, call: Callable):
        super().__init__(of)
        self.call = call
        self.shared: list[Shared] = []
        inner = dict(of.named_modules())
        known: dict[int, Any] = {}
        for name in inner:
            self.part(name, inner)
        for name, ours in of._by_name().items():
            path, _, last = name.rpartition(".")
            owner = self.part(path, inner)
            if id(ours) not in known:
                memory = torch.from_numpy(ours._data)
                known[id(ours)] = memory if isinstance(ours, Buffer) else torch.nn.Parameter(memory, ours.requires_grad)
            (owner.register_buffer if isinstance(ours, Buffer) else owner.register_parameter)(last, known[id(ours)])
            if not any(one.ours is ours for one in self.shared):
                self.shared.append(Shared(owner, last, ours))
        self.register_load_state_dict_post_hook(settle)

    def part(self, path: str, inner: dict[str, Module]) -> Part:
        """The one with this name, and those above it, made if need be."""
        found: Any = self
        above = ""
        for name in path.split(".") if path else ():
            above = f"{above}.{name}" if above else name
            if name not in found._modules:
                found.add_module(name, Part(inner.get(above)))
            found = found._modules[name]
        return found

    def _apply(self, *args, **kwargs):
        super()._apply(*args, **kwargs)
        settle(self)
        return self

    def __setstate__(self, state):
        super().__setstate__(state)
        settle(self)

    def forward(self, *args, **kwargs):
        leaves, structure = tree.flatten((tuple(map(unpacked, args)), kwargs))
        places = [k for k, x in enumerate(leaves) if isinstance(x, torch.Tensor)]
        narrow = torch.is_autocast_enabled("cpu")
        given = [x.float() if narrow and x.dtype in NARROW else x for x in (leaves[k] for k in places)]
        theirs: list[torch.Tensor] = []
        memory: list[np.ndarray] = []
        away = []
        for one in self.shared:
            t = getattr(one.owner, one.name)
            theirs.append(t)
            if t is one.home:
                one.meet()
                memory.append(one.ours._data)
            else:
                memory.append(plain(t))
                away.append(
                    (one.ours, memory[-1], Leaf(memory[-1].shape, memory[-1].dtype) if t.requires_grad else None)
                )

        def f(*tensors):
            filled = list(leaves)
            for k, x in zip(places, tensors):
                filled[k] = x
            args, kwargs = tree.unflatten(structure, filled)
            return self.call(*args, **kwargs)

        run = Run(named(self.call), f, self.shared, memory, Swapped(away))
        tensors = (*given, *theirs)
        if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            made = Call.apply(run, *tensors)
        else:
            arrays = run.arrays(tensors)
            made = map(torch.from_numpy, own_memory(run(arrays, [False] * len(given), False).results, arrays))
        return run.filled(made)


@functools.cache
def keep_out_of_graphs() -> None:
    """`torch.compile` leaves the call of a layer to Python. Not done when this file is imported, as it loads PyTorch's
    compiler (and so does the first optimizer)."""
    Layer.forward = torch.compiler.disable(Layer.forward)  # type: ignore[method-assign]


def settle(layer: Layer, *_) -> None:
    """PyTorch has given the layer other tensors: ours get their memory."""
    for one in layer.shared:
        one.settle()


class Run:
    """One call of f, whose last arrays are those of what is shared, its memory; what it makes besides tensors is kept.

    recorded: the call, when it has been made."""

    recorded: Recorded

    def __init__(self, name: str, f: Callable, shared: Sequence[Shared], memory: list[np.ndarray], swapped: Swapped):
        self.name, self.f, self.shared, self.memory, self.swapped = name, f, shared, memory, swapped

    def arrays(self, tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
        return [plain(t) for t in tensors[: len(tensors) - len(self.memory)]] + self.memory

    def __call__(self, arrays: list, needs: Sequence[bool], recording: bool = True) -> Recorded:
        count = len(arrays) - len(self.shared)
        with self.swapped:
            entries, self.leaves, self.structure = record(self.f, arrays[:count], needs, recording)
            entries += [one.ours._node for one in self.shared]
        self.places = [k for k, x in enumerate(self.leaves) if isinstance(x, (Tensor, np.ndarray))]
        return Recorded(self.name, entries, [as_tensor(self.leaves[k]) for k in self.places], self.swapped)

    def filled(self, results):
        """What f returned, with PyTorch's tensors."""
        for k, x in zip(self.places, results):
            self.leaves[k] = x
        made = tree.unflatten(self.structure, self.leaves)
        return tuple(map(packed, made)) if type(made) is tuple else packed(made)


def unpacked(x):
    """PyTorch's packed sequence as ours, which says the order of its sequences in any case."""
    if not isinstance(x, torch.nn.utils.rnn.PackedSequence):
        return x
    order = torch.arange(int(x.batch_sizes[0]))
    return PackedSequence(*x[:2], *[order if indices is None else indices for indices in x[2:]])


def packed(x):
    return torch.nn.utils.rnn.PackedSequence(*x) if isinstance(x, PackedSequence) else x


class Pull:
    """The gradients of a call as a call: of what that was given and the cotangents of its results at some places."""

    recorded: Recorded

    def __init__(self, recorded: Recorded, present: Sequence[int]):
        self.before, self.present = recorded, present

    def arrays(self, tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
        return [plain(t) for t in tensors]

    def __call__(self, arrays: list, needs: Sequence[bool]) -> Recorded:
        before, count = self.before, len(self.before.entries)
        leaves = [Leaf(x.shape, x.dtype) if need else None for x, need in zip(arrays[count:], needs[count:])]
        cotangents: list = [None] * len(before.results)
        for k, x, leaf in zip(self.present, arrays[count:], leaves):
            cotangents[k] = Tensor(x, leaf)
        found = before.pull(cotangents, differentiable=True)
        self.places = [k for k, g in enumerate(found) if g is not None]
        return Recorded(before.name, [*before.entries, *leaves], [found[k] for k in self.places], before.around)


class Call(torch.autograd.Function):
    """A call of a Run or a Pull as a node of PyTorch's tape."""

    @staticmethod
    def forward(run: Run | Pull, *tensors):
        arrays = run.arrays(tensors)
        run.recorded = run(arrays, [t.requires_grad for t in tensors])
        return tuple([torch.from_numpy(x) for x in own_memory(run.recorded.results, arrays)])

    @staticmethod
    def setup_context(ctx, inputs, output):
        run, *tensors = inputs
        ctx.mark_non_differentiable(*[t for t, x in zip(output, run.recorded.results) if x._node is None])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *output, kept(run.recorded))  # results: they may be what the backward reads
        ctx.count = len(tensors)

    @staticmethod
    def backward(ctx, *cotangents):
        *saved, number = ctx.saved_tensors
        recorded = recorded_under(number)
        present = [k for k, g in enumerate(cotangents) if g is not None]
        if not torch.is_grad_enabled():
            given = [None if g is None else plain(g) for g in cotangents]
            found = [None if g is None else torch.from_numpy(np.require(g, requirements="W"))
                     for g in recorded.pull(given)]  # fmt: skip
            return None, *found
        run = Pull(recorded, present)
        made = Call.apply(run, *saved[: ctx.count], *[cotangents[k] for k in present])
        gradients = dict(zip(run.places, made))
        return None, *[gradients.get(k) for k in range(ctx.count)]


setattr(Call.forward, "__signature__", inspect.signature(Call.forward))  # noqa: B010 (PyTorch asks at every call)

# PyTorch lets go of what a node saved when it has been pulled back. So that our tape goes with it, it hangs on the
# memory of a tensor that the node saves: a number, under which it is found.


class Number(np.ndarray):
    recorded: Recorded


numbers: Iterator[int] = itertools.count()
alive: weakref.WeakValueDictionary[int, Number] = weakref.WeakValueDictionary()


def kept(recorded: Recorded) -> torch.Tensor:
    number = next(numbers)
    array = np.array([number]).view(Number)
    array.recorded = recorded
    alive[number] = array
    return torch.from_numpy(array)


def recorded_under(number: torch.Tensor) -> Recorded:
    array = alive.get(int(number))
    if array is None:
        raise RuntimeError(
            "interop.torch: the tape of this call is gone: a saved-tensor hook has put a copy in the place of what it "
            "saved; keep the call of the layer out of its block"
        )
    return array.recorded
