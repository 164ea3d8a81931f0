"""The tape: what was computed, and how to go back through it.

Every operation on a tensor that needs a gradient leaves a `Node`: the op, the nodes of its inputs, the parameters of
the call, and the few arrays that its derivative needs. Nodes point at the nodes that they came from, so the tape is
held by its last tensor and vanishes with it.

`pull_back` is reverse-mode differentiation, all of it. It visits the nodes that the output depends on in the reverse
order of their creation. Why this order? A node's cotangent (the derivative of the output with respect to its value) is
the sum of what *all* its consumers send back, so all of them must have been visited first; and a consumer is always
created after what it consumes. Creation order is a topological order that costs one counter.

How an op turns the cotangent of its result into those of its inputs, it says itself (`op.pull`; minigrad/ops). Beside
this file: modes.py, whether ops record; mutations.py, in-place changes since; sites.py, the line that called the op.
"""

from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from minigrad import modes
from minigrad.deferred import DeferredProduct, value_of
from minigrad.modes import RAW, clock, thread
from minigrad.mutations import held_once, mutations
from minigrad.sites import line_of_site


class Node:
    """One operation that was recorded.

    op: its declaration in the op table. inputs: the nodes of its inputs, None for a constant. params: the keyword
    arguments of the call. saved: what the op's vjps name (arrays, shapes, parameters). shape, dtype: of the result.
    seq: time of creation; between two others where a view was made anew (views.py). site: (code, instruction) of the
    line that called the op. hooks: functions from (node, its cotangent) to the cotangent that takes its place,
    by time of registration, or None."""

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
            with modes.lock:
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
    return sorted(found, key=attrgetter("seq"))


def between(order: Sequence[Node], wanted) -> set[Node]:
    """The wanted nodes and those of a tape that depend on them: only they need a cotangent."""
    useful = set(wanted)
    for node in order:
        if any(parent in useful for parent in node.inputs):
            useful.add(node)
    return useful


@np.errstate(all="ignore")  # a vjp may well compute inf - inf; the result shows what came of it
def pull_back(roots: Sequence, cotangents, wanted=None, keep=False, differentiable=False, guard=None) -> dict:
    """Cotangents of the leaves (or of the nodes in `wanted`), given those of the roots.

    Cotangents are arrays; if `differentiable`, tensors, and the way back is itself recorded (while tracing they are
    tensors in any case). Unless the graph is kept, each node lets go of its arrays and its inputs as soon as it has
    been visited. guard: from a node and the cotangents of its inputs to those that are to be used.
    """
    order = tape_of(roots, min((node.seq for node in wanted), default=0) if wanted else 0)
    pending: dict = {}
    for root, g in zip(roots, cotangents):
        pending[root] = g if root not in pending else pending[root] + g
    caller, outer = thread.mode, thread.pulled
    thread.mode = modes.of_backward(differentiable)
    try:
        return visit(order, pending, wanted, keep, guard)
    finally:
        thread.mode, thread.pulled = caller, outer


def visit(order: list[Node], pending: dict, wanted, keep: bool, guard) -> dict:
    """From the youngest node to the oldest: each sends its inputs their share. pending: by node, what it was sent."""
    useful = None if wanted is None else between(order, wanted)
    ours: set = set()  # nodes whose pending cotangent is an array that we made here, and may add to in place
    results, raw = {}, thread.mode is RAW
    try:
        while order:
            node = order.pop()
            g = pending.pop(node, None)
            if g is None or (useful is not None and node not in useful):
                continue
            asked = type(node) is Leaf if wanted is None else node in wanted
            if type(g) is DeferredProduct and (asked or node.hooks or not getattr(node.op, "passes_products", False)):
                g = g.value()
                ours.add(node)
            if node.hooks:
                for hook in list(node.hooks.values()):
                    g = hook(node, g)
                ours.discard(node)
            if asked:  # another leaf may have been sent the same array
                results[node] = g if not raw or node in ours or held_once(g) else g.copy(order="K")
            if type(node) is Leaf:
                continue
            if node.saved is None:
                raise freed(node)
            if type(node) is Pick:
                (parent,) = node.inputs
                if guard is not None:
                    (g,) = guard(node, [g])
                parts, k = pending.setdefault(parent, [None] * len(parent.shape)), node.params
                parts[k] = g if parts[k] is None else parts[k] + g
            else:
                if node.seq < mutations.latest:
                    mutations.refuse(node)
                if not raw:
                    thread.pulled = node.site
                sent = node.op.pull(node, g, useful)
                for parent, pulled in zip(node.inputs, sent if guard is None else guard(node, sent)):
                    if pulled is not None and parent is not None:
                        accumulate(pending, ours, parent, pulled)
                sent = pulled = None  # or nothing that was sent would be one variable's alone
            if node.saved is None:  # another thread has freed it meanwhile
                raise freed(node)
            if not keep:
                node.saved = node.hooks = None
                node.inputs = ()
    except (TypeError, AttributeError, ValueError, IndexError) as error:
        if node.saved is None:  # another thread has freed it while it was read
            raise freed(node) from error
        raise
    return results


def freed(node: Node) -> RuntimeError:
    return RuntimeError(
        f"backward through {node.op.name} a second time: its graph was freed by the first "
        f"(recorded at {node.line}). If a tensor was carried over from the step before (a recurrent state, "
        "say), detach() it before it is used again; else pass retain_graph=True to the first backward"
    )


def accumulate(pending: dict, ours: set, parent: Node, pulled) -> None:
    """Add what one consumer of `parent` sends back to what the others have sent."""
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
