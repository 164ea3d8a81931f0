"""Absent is not zero: which cotangents there are, where one program serves cases that differ in it.

Eager code visits a node on the way back if something was sent to it. A traced backward is one program for all steps of
a loop, and often for several sets of results that are used. If nobody uses the last value of a carry, there is no
cotangent for it at the last step, and at the steps before there is what the later ones send back. Zeros stand in the
place of absent cotangents. They do no harm until they meet an infinite derivative: 0 times infinity is NaN, or a hook,
which may return anything. So what is computed from absent cotangents alone must not be added to those that are there.

Which cotangents are there follows from the tape: those of the nodes that a root with a cotangent leads to. `Reach`
finds that. `Steps` follows it through the steps of a loop. An array of bools says for which steps of the loops around.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from minigrad.ops.elementwise import where
from minigrad.ops.table import Op
from minigrad.tape import Node, Pick, between, tape_of
from minigrad.tensor import Tensor


class Reach:
    """What the roots of a backward reach: cotangents, by the numbers of the roots that they depend on.

    origins: for each node, the roots that send it a cotangent. parts: the same for each of several results, by (node,
    which). edges: (node, one of its inputs, the roots) where what the node sends may be other than zeros when none of
    these roots has a cotangent. loops: the loops that were pulled back, with their Steps, and on what the cotangents of
    their results depend; rows: of a stack that a loop keeps for its backward, by (node, which), the loops whose steps
    send something to its slices, with the roots of theirs that do. masks: nodes of a first
    derivative that let through what they are sent at some steps only: at which ones. What they send counts as a root of
    its own, numbered after the others; masked: for each, what it depends on and at which steps.
    """

    needed: frozenset = frozenset()  # nodes whose cotangent is read at every step, whether it is there or not

    def __init__(self, roots: Sequence[Node], wanted, masks: Mapping = MappingProxyType({})):
        self.count = len(roots)
        self.masked: list[tuple] = []
        self.origins: dict[Node, frozenset] = {}
        self.parts: dict[tuple, frozenset] = {}
        self.edges: list[tuple] = []
        self.loops: list[tuple] = []
        self.rows: dict[tuple, list] = {}
        order = tape_of(roots, min((node.seq for node in wanted), default=0))
        useful = between(order, wanted)
        for k, root in enumerate(roots):
            self.origins[root] = self.origins.get(root, frozenset()) | {k}
        loose = set()  # nodes that may be sent other than zeros when they are sent nothing
        for node in reversed(order):
            here = self.origins.get(node)
            if here is None or node not in useful:
                continue
            if not passes_zeros(node):
                loose.add(node)
            if type(node) is Pick:
                self.parts[node.inputs[0], node.params] = here
            if node in masks:
                self.masked.append((here, masks[node]))
                here = frozenset([self.count + len(self.masked) - 1])
            for parent, sent in zip(node.inputs, self.sent(node, here)):
                if sent and parent in useful:
                    self.origins[parent] = self.origins.get(parent, frozenset()) | sent
                    if node in loose:
                        loose.add(parent)
                        self.edges.append((node, parent, sent))

    def sent(self, node: Node, here: frozenset) -> list[frozenset]:
        """For each input of a node, the roots that what the node sends it depends on."""
        if type(node) is Pick or not hasattr(node.op, "steps"):
            return [here] * len(node.inputs)
        steps = node.op.steps()
        given = self.given(node, steps)
        through = steps.through(node.op.leaves, node.op.carry_leaves)
        return [frozenset().union(*[given[k] for k in roots]) for roots in through]

    def given(self, node: Node, steps: "Steps") -> list[frozenset]:
        """For each root of a loop, on which of these its cotangent depends."""
        return [self.parts.get((node, k), frozenset()) for k in steps.places]

    def close(self) -> None:
        """Keep what `exact` needs and let go of the tape."""
        self.crossings = {
            (sent, None if parent in self.needed else self.origins[parent]) for _, parent, sent in self.edges
        }
        del self.origins, self.parts, self.edges, self.rows
        self.needed = frozenset()

    def exact(self, fewer: Sequence, more: Sequence) -> bool:
        """Whether a backward made for the presence `more` of the roots' cotangents is right for `fewer`, with zeros in
        place of the others."""
        for sent, read in self.crossings:
            wrong = ~there(fewer, sent) & there(more, sent)
            if np.any(wrong if read is None else wrong & there(fewer, read)):
                return False
        done: list = []  # for each loop, the presence in its steps
        for given, rows, steps in self.loops:
            done.append([
                steps.follow([there(present, k) for k in given], at_rows(rows, [pair[which] for pair in done]))
                for which, present in enumerate((fewer, more))
            ])  # fmt: skip
            if not steps.exact(*done[-1]):
                return False
        return True


class Steps(Reach):
    """What the roots of a loop's step reach, over all its steps.

    places: the numbers of the roots among the loop's results. carries: by the number of a root, the leaf through which
    its cotangent comes from the later step. wanted: leaves of the step, all of them read at every step.
    """

    def __init__(self, roots, places: Sequence[int], carries: dict, wanted, length: int, reverse: bool, masks: Mapping):
        self.places, self.length, self.reverse = list(places), length, reverse
        super().__init__(roots, wanted, masks)
        self.needed = frozenset(wanted)
        self.returned = {k: self.origins.get(leaf, frozenset()) for k, leaf in carries.items()}

    def through(self, leaves: Sequence, carries: Sequence) -> list[frozenset]:
        """For each of the leaves, the roots whose cotangents at the end of the loop it depends on when all steps have
        been pulled back: of carries what the first step sends, of the others what any does."""
        state = [frozenset([k]) for k in range(self.count)]
        of: dict = {leaf: frozenset() for leaf in leaves}
        for _ in range(self.length):
            every = list(state)
            for here, _ in self.masked:
                every.append(union(every, here))
            before = of
            of = {leaf: union(every, self.origins.get(leaf, frozenset())) for leaf in leaves}
            of |= {leaf: of[leaf] | before[leaf] for leaf in leaves if leaf not in carries}
            after = [union(every, self.returned.get(k, frozenset([k]))) for k in range(self.count)]
            if after == state:
                break
            state = after
        return [of[leaf] for leaf in leaves]

    def follow(self, given: Sequence, rows: Mapping = MappingProxyType({})) -> list[np.ndarray]:
        """From the presence of the roots' cotangents at the end of the loop, that at each step: a last axis, in the
        order of time. rows: that at each step, for the roots of which it is known."""
        times = range(self.length) if self.reverse else range(self.length)[::-1]
        state: list = list(np.broadcast_arrays(*given))
        states: list = []
        for t in times:
            every = [rows[k][..., t] if k in rows else state[k] for k in range(self.count)]
            for here, known in self.masked:
                every.append(there(every, here) & known[..., t])
            states.append(every)
            after = [there(every, self.returned[k]) if k in self.returned else state[k] for k in range(self.count)]
            after = [np.broadcast_to(a, b.shape) for a, b in zip(after, state)]
            if not self.masked and not rows and all(map(np.array_equal, after, state)):
                states += [after] * (self.length - len(states))
                break
            state = after
        order = slice(None) if self.reverse else slice(None, None, -1)
        return [np.stack(s, axis=-1)[..., order] for s in zip(*states)]


def union(sets: Sequence[frozenset], which) -> frozenset:
    return frozenset().union(*[sets[k] for k in which])


def at_rows(rows: Mapping, done: Sequence) -> dict:
    """At which steps the roots that are stacks have cotangents, from the presence in the steps that send them."""
    return {k: np.logical_or.reduce([there(done[n], origins) for n, origins in parts]) for k, parts in rows.items()}


def there(present: Sequence, origins: frozenset) -> np.ndarray | np.bool_:
    """Where a cotangent is there that depends on these roots."""
    return np.logical_or.reduce([present[k] for k in origins]) if origins else np.False_


def passes_zeros(node: Node) -> bool:
    """Whether zeros pulled back through a node are zeros, whatever the numbers: its vjp multiplies with none."""
    if node.hooks:
        return False
    if type(node) is Pick or not node.inputs:
        return True
    if not isinstance(node.op, Op):
        return False
    saved = [x for value in node.saved for x in (value if isinstance(value, tuple) else (value,))]
    return not any(isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f" for x in saved)


def guard(steps: Steps, present: Sequence, flag: Callable, masks: dict) -> Callable | None:
    """What pull_back shall do to the cotangents that a node sends in a step of a loop; None if there is nothing to do.

    They become zeros at the steps where the node is sent nothing and its input something. flag: from an array over the
    steps to the tensor that a step sees of it. masks: where to note the nodes that do it, for the next derivative.
    """
    doubtful = {}
    for node, parent, sent in steps.edges:
        known = there(present, sent)
        read = True if parent in steps.needed else there(present, steps.origins[parent])
        if np.any(~known & read):
            doubtful[node, parent] = known
    if not doubtful:
        return None
    flags: dict[bytes, Tensor] = {}

    def only_where_present(node, cotangents):
        made = []
        for parent, g in zip(node.inputs, cotangents):
            known = doubtful.get((node, parent))
            if g is not None and known is not None:
                key = known.tobytes()
                flags[key] = flags[key] if key in flags else flag(known)
                g = where(flags[key], g, 0.0)
                if g._node is not None:
                    masks[g._node] = known
            made.append(g)
        return made

    return only_where_present
