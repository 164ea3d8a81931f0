"""Forward-mode differentiation: the tangents of nodes of the tape from those of the nodes that they were computed of.

`push_forward` visits the tape in the order of creation, `pull_back` (minigrad/tape.py) in the reverse one. What a node
does to tangents follows from what its op has declared already:

    elementwise    a derivative, written with the cotangent g, is the vjp; with a tangent in place of g it is the jvp
    linear         the op itself (`additive` and `linear` of its rule, minigrad/ir/rules)
    a loop         a loop of the tangents, in the same direction (minigrad/ir/loop.py)
    any other      the vjp is linear in the cotangent, and the vjp of that is the jvp (Townsend 2017, "A new trick for
                   calculating Jacobian vector products")

Absent is not zero, as on the way back. In a loop a carry may have no tangent at the first step and one at the others.
Then zeros stand for what is absent, and a scalar, `there`, tells at which steps; what a node makes of zeros that stand
for nothing becomes zeros, too, where its derivative may be infinite.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad import modes
from minigrad.ir.absent import passes_zeros
from minigrad.ir.rules import rule_of
from minigrad.modes import ON, RAW, TRACED, recording, thread, tracing
from minigrad.mutations import mutations
from minigrad.ops.elementwise import logical_or, where
from minigrad.ops.table import Op, filled
from minigrad.tape import Leaf, Node, Pick, between, freed, pull_back, tape_of
from minigrad.tensor import Tensor


class Tangent(NamedTuple):
    """there: a boolean scalar, whether there is one; None: there is."""

    value: Any
    there: Any = None


@np.errstate(all="ignore")
def push_forward(roots: Sequence[Node], given: Mapping[Node, Tangent], differentiable=False) -> dict[Node, Tangent]:
    """Tangents of the roots that depend on the nodes for which one is given. They are arrays; if `differentiable`,
    tensors, and recorded (while tracing they are tensors in any case)."""
    order = tape_of(roots, min([node.seq for node in given], default=0))
    moving = between(order, given)
    pushed: dict[Node, Any] = dict(given)
    caller, outer = thread.mode, thread.pulled
    thread.mode = modes.of_backward(differentiable)
    try:
        for node in order:
            if node in pushed or node not in moving:
                continue
            tangents = [pushed.get(n) for n in node.inputs]
            if type(node) is Pick:
                made = tangents[0][node.params] if tangents[0] is not None else None
            elif any(x is not None for x in tangents):
                made = pushed_through(node, tangents)
            else:
                made = None
            if made is not None:
                pushed[node] = through_hooks(node, made) if node.hooks else made
    finally:
        thread.mode, thread.pulled = caller, outer
    return {node: pushed[node] for node in roots if node in pushed}


def pushed_through(node: Node, tangents: list) -> Any:
    """The Tangent of a node, or a list with one, or None, for each of its results."""
    if node.saved is None:
        raise freed(node)
    if node.seq < mutations.latest:
        mutations.refuse(node)
    if thread.mode is not RAW:
        thread.pulled = node.site
    if hasattr(node.op, "push_tangents"):  # it looks itself at where they are
        return node.op.push_tangents(node, tangents)
    total: Any = None
    for there in {id(x.there): x.there for x in tangents if x is not None}.values():
        part = push(node, [x.value if x is not None and x.there is there else None for x in tangents])
        if there is not None and not passes_zeros(node):
            part = each(lambda x, there=there: where(there, x, 0.0), part)
        part = each(lambda x, there=there: Tangent(x, there), part)
        total = part if total is None else both(total, part)
    return total


def each(f, part):
    """f of what a node makes: of one result, or of each of several."""
    return [None if x is None else f(x) for x in part] if type(part) is list else None if part is None else f(part)


def both(a, b):
    if type(a) is list:
        return [both(x, y) for x, y in zip(a, b)]
    if a is None or b is None:
        return b if a is None else a
    there = None if a.there is None or b.there is None else logical_or(a.there, b.there)
    return Tangent(a.value + b.value, there)


def push(node: Node, tangents: Sequence) -> Any:
    """What the tangents of inputs make that of a node, or a list of those of its results."""
    made = node.op.push(node, tangents) if hasattr(node.op, "push") else linear(node, tangents)
    return transposed(node, tangents) if made is None else made


def linear(node: Node, tangents: Sequence) -> Any:
    """Of an op that is linear in those of its inputs that have tangents, the op on these; None for others."""
    op = node.op
    if not isinstance(op, Op):
        return None
    rule = rule_of(op)
    places = [k for k, t in enumerate(tangents) if t is not None]
    if rule.additive and op.variadic:
        if None in node.inputs:
            return None
        return op.call([Op.zeros(n) if t is None else t for n, t in zip(node.inputs, tangents)], **node.params)
    if rule.additive and len(op.inputs) == 1:
        return op.call(tangents[0], **node.params)
    if not isinstance(rule.linear, tuple) or not set(places) <= set(rule.linear):
        return None
    saved = dict(zip(op.saves, node.saved if thread.mode is RAW else op.saved_tensors(node)))
    total = None
    for k in places:
        if not saved.keys() >= set(op.inputs) - {op.inputs[k]}:
            return None
        part = op.call(*[tangents[k] if i == k else saved[name] for i, name in enumerate(op.inputs)], **node.params)
        total = part if total is None else total + part
    return total


def transposed(node: Node, tangents: Sequence) -> Any:
    """By the vjp of the vjp."""
    specs = node.shape if isinstance(node.shape, list) else [node]
    leaves = [Leaf(s.shape, s.dtype) if s.dtype.kind == "f" else None for s in specs]
    mode, differentiable = thread.mode, recording()
    thread.mode = TRACED if tracing() else ON
    try:
        g = [None if leaf is None else Tensor(zeros_like(leaf)._data, leaf) for leaf in leaves]
        useful = {n for n, t in zip(node.inputs, tangents) if t is not None}
        sent = node.op.pull(node, g if isinstance(node.shape, list) else g[0], useful)
        pairs = [(x, t) for x, t in zip(sent, tangents) if x is not None and t is not None and x._node is not None]
        pairs = [(x, t if t.dtype == x.dtype else t.astype(x.dtype)) for x, t in pairs]
    finally:
        thread.mode = mode
    pulled = pull_back(
        [x._node for x, _ in pairs], [t for _, t in pairs],
        wanted={leaf for leaf in leaves if leaf is not None}, keep=True, differentiable=differentiable,
    )  # fmt: skip
    made = [pulled.get(leaf) for leaf in leaves]
    return made if isinstance(node.shape, list) else made[0]


def zeros_like(spec) -> Tensor:
    zeros = filled(spec.shape, spec.dtype)
    return zeros if isinstance(zeros, Tensor) else Tensor(thread.program.enter(zeros)[0] if tracing() else zeros)


def through_hooks(node: Node, tangent: Tangent) -> Tangent | None:
    """Hooks change cotangents; of tangents they make what the vjp of that does."""
    hooked = Node(Hooks(node), (node,), {}, (), node.shape, node.dtype, node.site)
    value = transposed(hooked, [tangent.value])
    return None if value is None else Tangent(value, tangent.there)


class Hooks:
    """The hooks of a node as an op."""

    name = "hooks"

    def __init__(self, node: Node):
        self.of = node

    def pull(self, node: Node, g, useful=None) -> list:
        for hook in list((self.of.hooks or {}).values()):
            g = hook(self.of, g)
        return [g]
