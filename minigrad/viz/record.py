"""What one run of a function did, forward and backward: its tape, with statistics of every value and cotangent."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.deferred import value_of
from minigrad.html import statistics
from minigrad.modes import enable_grad, tracing
from minigrad.observe import Observer
from minigrad.ops.pointwise import Elementwise
from minigrad.tape import Leaf, Node, Pick, pull_back, tape_of
from minigrad.tensor import Tensor

OUTSIDE = (-1, -1)


class Recorder(Observer):
    """values, cotangents: statistics, by node. saturated: share of places at which an elementwise op of one input sends
    back less than a tenth of its cotangent (σ beyond 0.11 and 0.89, tanh beyond ±0.95, relu below 0). order: the nodes
    as they were pulled back. places: (loop, step) of a node. carries: (loop, which part) of the nodes that a step hands
    to the next one."""

    def __init__(self):
        self.values: dict[Node, tuple] = {}
        self.cotangents: dict[Node, tuple] = {}
        self.saturated: dict[Node, float] = {}
        self.order: list[Node] = []
        self.places: dict[Node, tuple[int, int]] = {}
        self.carries: dict[Node, tuple[int, int]] = {}
        self.parts: dict[tuple, tuple] = {}  # (node with several results, which) -> statistics of its cotangent
        self.place = OUTSIDE
        self.loops: list[tuple[Any, set]] = []  # of each loop its function and the steps that were seen
        self.reverse: list[bool] = []

    def recorded(self, tensor):
        node = tensor._node
        if node in self.values or isinstance(tensor._data, Node):
            return
        self.values[node] = statistics(tensor._data)
        self.places[node] = self.place
        if type(node) is Pick:
            self.places.setdefault(node.inputs[0], self.place)

    def step(self, f, t, run):
        before = self.place
        loop = next((k for k, (g, seen) in reversed([*enumerate(self.loops)]) if g is f and t not in seen), None)
        if loop is None:
            loop = len(self.loops)
            self.loops.append((f, set()))
        seen = self.loops[loop][1]
        self.reverse += [False] * (loop + 1 - len(self.reverse))
        self.reverse[loop] = bool(seen) and t < max(seen)
        seen.add(t)
        self.place = loop, t
        try:
            carry, y = run()
        finally:
            self.place = before
        for part, leaf in enumerate(tree.flatten(carry)[0]):
            if isinstance(leaf, Tensor) and leaf._node is not None:
                self.carries.setdefault(leaf._node, (loop, part))
        return carry, y

    def pull(self, node, run, cotangent):
        pulled = run()
        if tracing():  # inside of jit: there are no numbers
            return pulled
        self.order.append(node)
        if type(cotangent) is list:
            for k, one in enumerate(cotangent):
                if one is not None:
                    self.parts[node, k] = statistics(value_of(one))
        else:
            self.cotangents[node] = statistics(value_of(cotangent))
            if isinstance(node.op, Elementwise) and len(node.op.inputs) == 1 and pulled[0] is not None:
                given = np.abs(cotangent)
                if given.any():
                    self.saturated[node] = float(np.mean((np.abs(pulled[0]) < 0.1 * given)[given != 0]))
        return pulled


class Record:
    """One run. nodes: the tape, in order of creation. index: of a node. order: indices in the order in which
    `pull_back` visits them, leaves and parts of several results too. names: by index, of
    parameters, inputs, gates, states. places: (loop, step) by index, (-1, -1) outside of loops."""

    def __init__(self, roots: Sequence[Node], recorder: Recorder, leaves: dict[Node, tuple[str, Tensor]]):
        self.recorder = recorder
        self.nodes = tape_of(roots)
        self.index = {node: k for k, node in enumerate(self.nodes)}
        self.names: dict[int, str] = {}
        for node, (name, tensor) in leaves.items():
            if node in self.index:
                self.names[self.index[node]] = name
                recorder.values[node] = statistics(tensor._data)
        self.places = [recorder.places.get(node, OUTSIDE) for node in self.nodes]
        users: dict[int, set] = {}
        for k, node in enumerate(self.nodes):
            if type(node) is Pick and (node.inputs[0], node.params) in recorder.parts:
                recorder.cotangents[node] = recorder.parts[node.inputs[0], node.params]
            for parent in self.parents(k):
                users.setdefault(parent, set()).add(self.places[k])
        for k, node in enumerate(self.nodes):  # what one step alone takes of a stack is a part of that step
            if type(node) is Pick and self.places[k] == OUTSIDE and len(users.get(k, ())) == 1:
                self.places[k] = next(iter(users[k]))
        self.order = [
            k for k in reversed(range(len(self.nodes))) if self.nodes[k] in recorder.cotangents or self.several(k)
        ]

    def several(self, k: int) -> bool:
        """Whether it is a node of several results, visited on the way back."""
        return any((self.nodes[k], part) in self.recorder.parts for part in range(len(self.nodes[k].shape)))

    def parents(self, k: int) -> list[int]:
        return [self.index[p] for p in self.nodes[k].inputs if p is not None and p in self.index]

    def name(self, tensor: Tensor, name: str) -> None:
        """Name what a stack of all steps was made of, or the tensor itself."""
        nodes = tensor._node.inputs if tensor._node is not None and tensor._node.inputs else ()
        for node in nodes:
            if node in self.index:
                self.names.setdefault(self.index[node], name)


def record(f: Callable, args: Sequence, leaves: dict[Node, tuple[str, Tensor]]) -> tuple[Record, Any]:
    """Run f(*args), which returns (a scalar tensor, anything else), and go back; returns (record, that else).

    leaves: (name, tensor) of the leaves that are known, by node. No gradient is kept. Raises ValueError if the result
    is no scalar or rests on nothing that requires a gradient.
    """
    recorder = Recorder()
    with enable_grad(), recorder:
        loss, more = f(*args)
        if not isinstance(loss, Tensor) or loss.size != 1:
            raise ValueError(f"wanted a scalar to go back from, got {tree.describe(loss)}")
        if loss._node is None:
            raise ValueError("the result rests on nothing that requires a gradient, so there is no tape to show")
        gradients = pull_back([loss._node], [np.ones(loss.shape, loss.dtype)], keep=True)
    for node, gradient in gradients.items():
        recorder.cotangents[node] = statistics(gradient)
    return Record([loss._node], recorder, leaves), more


def leaves_of(**named) -> dict[Node, tuple[str, Tensor]]:
    """(name, tensor) of what requires a gradient, by node: the tensors, and the modules' parameters."""
    found: dict[Node, tuple[str, Tensor]] = {}
    for name, x in named.items():
        parameters = dict(x.named_parameters()).items() if hasattr(x, "named_parameters") else [(name, x)]
        for label, tensor in parameters:
            if isinstance(tensor, Tensor) and type(tensor._node) is Leaf:
                found.setdefault(tensor._node, (label, tensor))
    return found


def state_names(count: int) -> list[str]:
    """What the parts of a state are called: the first is the output."""
    return {1: ["h"], 2: ["h", "c"]}.get(count, [f"part {k}" for k in range(count)])
