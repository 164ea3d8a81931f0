"""A module of PyTorch as a module of ours: its calls are nodes of our tape."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from minigrad import tree
from minigrad.interop.recorded import named
from minigrad.interop.torch_memory import Shared, plain
from minigrad.modes import RAW, recording, thread, tracing
from minigrad.mutations import mutations
from minigrad.nn.module import Buffer, Module, Parameter
from minigrad.ops.table import on_tape
from minigrad.tensor import Tensor, as_tensor


class Foreign(Module):
    """A module of PyTorch, or a function of its tensors, as one of ours. f: that."""

    def __init__(self, f: Callable):
        self.__name__ = named(f)
        self.f = f
        self.shared: list[Shared] = []
        if isinstance(f, torch.nn.Module):
            known: dict[int, Any] = {}
            parameters = f.named_parameters(remove_duplicate=False)
            for name, theirs in (*parameters, *f.named_buffers(remove_duplicate=False)):
                if id(theirs) not in known:
                    kind = Parameter if isinstance(theirs, torch.nn.Parameter) else Buffer
                    ours: Any = object.__new__(kind)
                    known[id(theirs)] = ours
                    ours._data, ours._node = plain(theirs), None
                    path, _, last = name.rpartition(".")
                    self.shared.append(Shared(f.get_submodule(path), last, ours))
                vars(self)[name] = known[id(theirs)]

    @property
    def training(self) -> bool:  # type: ignore[override]
        return getattr(self.f, "training", True)

    @training.setter
    def training(self, mode: bool) -> None:
        if isinstance(self.f, torch.nn.Module):
            self.f.train(mode)

    def forward(self, *args, **kwargs):
        if tracing():
            raise RuntimeError(
                f"interop.torch.function: {self.__name__} is PyTorch's code, which nobody can trace in a jitted "
                "function or under vmap; call it outside, and pass what it returns"
            )
        if thread.generators is not None:  # a checkpoint asks who draws
            thread.generators.setdefault(id(draws), (draws, draws.state))
        leaves, structure = tree.flatten((args, kwargs))
        places = [k for k, x in enumerate(leaves) if isinstance(x, (Tensor, np.ndarray))]
        for one in self.shared:
            one.meet()
        ours = [as_tensor(leaves[k]) for k in places] + [one.ours for one in self.shared]
        nodes = [x._node if recording() else None for x in ours]
        theirs = [lent(x, node is not None) for x, node in zip(ours[: len(places)], nodes)]
        inputs = theirs + [one.home for one in self.shared]
        for k, x in zip(places, theirs):
            leaves[k] = x
        args, kwargs = tree.unflatten(structure, leaves)
        versions = [t._version for t in inputs]
        with torch.enable_grad() if any(nodes) else torch.no_grad():
            results, structure = tree.flatten(self.f(*args, **kwargs))
        for x, t, version in zip(ours, inputs, versions):
            if t._version != version:
                mutations.note(x._data)
        outs = [k for k, x in enumerate(results) if isinstance(x, torch.Tensor)]
        made = as_ours(f"interop.torch.function of {self.__name__}", inputs, nodes, [x._data for x in ours],
                       [results[k] for k in outs])  # fmt: skip
        for k, x in zip(outs, made):
            results[k] = x
        return tree.unflatten(structure, results)


def lent(x: Tensor, needs: bool) -> torch.Tensor:
    """x as a leaf of PyTorch's tape, in the same memory."""
    array = x._data if x._data.flags.writeable else x._data.copy()
    return torch.from_numpy(array).requires_grad_(needs)


def as_ours(name: str, inputs: list, nodes: list, arrays: list, results: list[torch.Tensor]) -> list[Tensor]:
    """PyTorch's results as tensors of ours, those that have a gradient on our tape. inputs: what they were computed of,
    nodes: where that is on our tape, arrays: its memory."""
    taken = {t.untyped_storage().data_ptr() for t in inputs}
    made = []
    for t in results:
        address = t.untyped_storage().data_ptr()
        made.append(Tensor(plain(t).copy() if address in taken else plain(t)))
        taken.add(address)
    kept = [k for k, t in enumerate(results) if t.requires_grad]
    if kept and any(nodes):
        saved = (*arrays, *[x._data for x in made]), (inputs, [results[k] for k in kept])
        for k, x in zip(kept, on_tape(ForeignCall(name), nodes, {}, saved, [made[k]._data for k in kept])):
            made[k] = x
    return made


class ForeignCall:
    """The op of a call of PyTorch's code. Its node saves the arrays of its inputs and results, in case they are changed
    in place, and these as tensors of PyTorch."""

    def __init__(self, name: str):
        self.name = name

    def pull(self, node, g, useful=None) -> list:
        arrays, (inputs, results) = node.saved
        if tracing():
            raise RuntimeError(f"backward of {self.name} inside of a jitted function; call it outside")
        raw = thread.mode is RAW
        wanted = [k for k, n in enumerate(node.inputs) if n is not None and (useful is None or n in useful)]
        given = [(t, Tensor(np.asarray(one)) if raw else one) for t, one in zip(results, g) if one is not None]
        cotangents = [lent(one, one._node is not None) for _, one in given]
        found = torch.autograd.grad(
            [t for t, _ in given], [inputs[k] for k in wanted], cotangents,
            retain_graph=True, create_graph=not raw, allow_unused=True,
        )  # fmt: skip
        places = [k for k, t in zip(wanted, found) if t is not None]
        sent = [t for t in found if t is not None]
        if raw:
            made: list = [plain(t) for t in sent]
        else:
            nodes = [*node.inputs, *[one._node for _, one in given]]
            memory = [*arrays[: len(inputs)], *[one._data for _, one in given]]
            made = as_ours(self.name, [*inputs, *cotangents], nodes, memory, sent)
        gradients = dict(zip(places, made))
        return [gradients.get(k) for k in range(len(node.inputs))]


class Draws:
    """PyTorch's generator, with the names by which a checkpoint asks one of NumPy for its state."""

    bit_generator = property(lambda self: self)
    state = property(lambda self: torch.get_rng_state(), lambda self, state: torch.set_rng_state(state))


draws = Draws()
