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
from typing import Any, NamedTuple

import numpy as np

from minigrad.modes import thread
from minigrad.ops.elementwise import where
from minigrad.ops.table import Op
from minigrad.symbolic import Size
from minigrad.tape import Node, Pick, between, tape_of
from minigrad.tensor import Tensor

EMPTY: Mapping = MappingProxyType({})


class Slices(NamedTuple):
    """Of a stack that a loop keeps: at which of its steps the slice is sent something. inner: where a slice is the
    stack of a loop in the step, the same of its slices, for each step around; None where it is sent something as a
    whole."""

    at: Any
    inner: Any = None

    def classes(self) -> list[int]:
        """For each slice, the first one that is sent something at the same steps around."""
        known: dict[bytes, int] = {}
        return [known.setdefault(self.at[..., t].tobytes(), t) for t in range(self.at.shape[-1])]


class Sent(NamedTuple):
    """What a loop sends to the slices of a stack. loop: its number among those that were pulled back; origins: the
    roots of its step that it depends on; inner: for a slice that is itself a stack, what the loops in the step send it.
    """

    loop: int
    origins: frozenset
    inner: tuple = ()


class Presence(NamedTuple):
    """Which cotangents are there. roots: for each root, at which steps. stacks: by the numbers of the roots that are
    kept stacks, their slices. loops: the same of the steps of each loop that was pulled back."""

    roots: Mapping
    stacks: Mapping[int, Slices]
    loops: list["Presence"]

    def slices(self, sent: Sequence) -> Slices:
        """Of a stack, from what it is sent: by loops (Sent), or through a root (its number) of which it is a slice."""
        found = []
        for one in sent:
            if isinstance(one, Sent):
                loop = self.loops[one.loop]
                inner = loop.slices(one.inner) if one.inner else None
                found.append(Slices(there(loop.roots, one.origins), inner))
            else:
                found.append(self.stacks[one].inner)
        return united(found)


def united(found: Sequence[Slices]) -> Slices:
    inner = [one.inner for one in found if one.inner is not None]
    at = np.logical_or.reduce([one.at for one in found])
    return Slices(at, united(inner) if len(inner) == len(found) else None)


class Varies(Exception):
    """What is present in the steps of a loop of unknown length follows no pattern that holds for all lengths."""


class Reach:
    """What the roots of a backward reach: cotangents, by the numbers of the roots that they depend on.

    origins: for each node, the roots that send it a cotangent. parts: the same for each of several results, by (node,
    which). edges: (node, one of its inputs, its place among them, the roots) where what the node sends may be other
    than zeros when none of these roots has a cotangent. loops: the loops that were pulled back, as (on what the
    cotangents of their results depend, what their stacks are sent, Steps). stacks: what sends something to the slices
    of a stack that a loop keeps for its backward, by (node, which), or of a wanted leaf that stands for such a stack
    (see Presence.slices). masks: nodes of a first derivative that let through what they are sent at some steps only: at
    which ones. What they send counts as a root of its own, numbered after the others; masked: for each, what it depends
    on and at which steps. classes: for roots that are stacks of another loop, Slices.classes; then (root, class) in the
    place of the root tells more.
    """

    needed: frozenset = frozenset()  # nodes whose cotangent is read at every step, whether it is there or not

    def __init__(self, roots: Sequence[Node], wanted, masks: Mapping = EMPTY, classes: Mapping = EMPTY):
        self.count, self.classes = len(roots), classes
        self.masked: list[tuple] = []
        self.origins: dict[Node, frozenset] = {}
        self.parts: dict[tuple, frozenset] = {}
        self.edges: list[tuple] = []
        self.loops: list[tuple] = []
        self.stacks: dict[tuple | Node, list] = {}
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
            for place, (parent, sent) in enumerate(zip(node.inputs, self.sent(node, here))):
                if sent and parent in useful:
                    self.origins[parent] = self.origins.get(parent, frozenset()) | sent
                    if node in loose:
                        loose.add(parent)
                        self.edges.append((node, parent, place, sent))

    def sent(self, node: Node, here: frozenset) -> list[frozenset]:
        """For each input of a node, the roots that what the node sends it depends on."""
        if type(node) is not Pick and hasattr(node.op, "through"):  # it knows which of its results are sent to what
            parts = [[self.parts.get((node, k), frozenset()) for k in places] for places in node.op.through(node)]
            return [frozenset().union(*origins) for origins in parts]
        if type(node) is Pick or not hasattr(node.op, "steps"):
            return [here] * len(node.inputs)
        steps = node.op.steps()
        given = dict(enumerate(self.given(node, steps)))
        classes = {}
        for k, (n, *others) in [(k, origins) for k, origins in given.items() if origins]:
            if n in self.classes and not others and not steps.counted:
                classes[k] = self.classes[n]
                given |= {(k, c): frozenset([(n, c)]) for c in self.classes[n]}
        through = steps.through(node.op.leaves, node.op.carry_leaves, classes)
        return [union(given, roots) for roots in through]

    def given(self, node: Node, steps: "Steps") -> list[frozenset]:
        """For each root of a loop, on which of these its cotangent depends."""
        return [self.parts.get((node, k), frozenset()) for k in steps.places]

    def close(self) -> None:
        """Keep what `exact` needs and let go of the tape."""
        self.crossings = {
            (sent, None if parent in self.needed else self.origins[parent]) for _, parent, _, sent in self.edges
        }
        del self.origins, self.parts, self.edges, self.stacks
        self.needed = frozenset()

    def exact(self, fewer: Presence, more: Presence) -> bool:
        """Whether a backward made for the presence `more` is right for `fewer`, with zeros in place of the other
        cotangents. Both come with that of the roots, and get that in the loops."""
        for sent, read in self.crossings:
            wrong = ~there(fewer.roots, sent) & there(more.roots, sent)
            if np.any(wrong if read is None else wrong & there(fewer.roots, read)):
                return False
        for given, sent_to, steps in self.loops:
            for presence in (fewer, more):
                ends = [there(presence.roots, k) for k in given]
                presence.loops.append(steps.follow(ends, {k: presence.slices(sent) for k, sent in sent_to.items()}))
            if not steps.exact(fewer.loops[-1], more.loops[-1]):
                return False
        for n, classes in self.classes.items():
            for presence in (fewer, more):
                at = presence.stacks[n].inner.at
                if not np.array_equal(at, at[..., classes]):
                    return False
        return True


class Steps(Reach):
    """What the roots of a loop's step reach, over all its steps.

    A loop whose length is not fixed is followed as one of some steps at either end and one in the middle, which stands
    for all between the ends, whatever their number.

    places: the numbers of the roots among the loop's results. carries: by the number of a root, the leaf through which
    its cotangent comes from the later step. wanted: leaves of the step, all of them read at every step. counted:
    whether it may take fewer steps than `length`. Then what is found is of one that takes them all, counted from its
    end; what is known of single steps is not used, since it is not known which these are.
    """

    def __init__(
        self, roots, places: Sequence[int], carries: dict, wanted, length: int, reverse: bool, masks: Mapping,
        classes: Mapping = EMPTY, counted: bool = False,
    ):  # fmt: skip
        self.places, self.length, self.reverse, self.counted = list(places), length, reverse, counted
        self.ends = length.sizes.ends if isinstance(length, Size) else 0  # 0: its length is known
        super().__init__(roots, wanted, masks, classes)
        self.needed = frozenset(wanted)
        self.entry = {leaf: k for k, leaf in carries.items() if leaf is not None}
        self.returned = {k: self.origins.get(leaf, frozenset()) for k, leaf in carries.items()}

    @property
    def times(self) -> range:
        """The steps in the order in which they are pulled back."""
        turns = range(2 * self.ends + 1 if self.ends else self.length)
        return turns if self.reverse else turns[::-1]

    def through(self, leaves: Sequence, carries: Sequence, classes: Mapping = EMPTY) -> list[frozenset]:
        """For each of the leaves, the roots whose cotangents at the end of the loop it depends on when all steps have
        been pulled back: of carries what the first step sends, of the others what any does. classes: of the slices of
        roots that are stacks; the results name (root, class) of those."""
        state = {k: frozenset([k]) for k in range(self.count)}
        of: dict = {leaf: frozenset() for leaf in leaves}
        if self.counted:  # and may take no step
            of |= {leaf: state[k] for leaf, k in self.entry.items()}
        for t in self.times:
            every: dict = state | {k: frozenset([(k, known[t])]) for k, known in classes.items()}
            for here, _ in self.masked:
                every[len(every)] = union(every, here)
            before = of
            of = {leaf: union(every, self.origins.get(leaf, frozenset())) for leaf in leaves}
            of |= {leaf: of[leaf] | before[leaf] for leaf in leaves if self.counted or leaf not in carries}
            after = {k: union(every, self.returned.get(k, frozenset([k]))) for k in state}
            if after == state and not classes:
                break
            state = after
        else:
            if self.ends:
                raise Varies("what leads to a result of a loop depends on its length")
        return [of[leaf] for leaf in leaves]

    def follow(self, given: Sequence, stacks: Mapping[int, Slices] = EMPTY) -> Presence:
        """From the presence of the roots' cotangents at the end of the loop, that at each step: a last axis, in the
        order of time. stacks: of the roots that are stacks, that of their slices, where it is known."""
        state = dict(enumerate(np.broadcast_arrays(*given)))
        states: list = []
        before: list = []
        for t in self.times:
            before.append(state)
            every: dict = state | {k: slices.at[..., t] for k, slices in stacks.items()}
            for here, known in self.masked:
                every[len(every)] = there(every, here) & known[..., t]
            for n, classes in self.classes.items():
                every |= {(n, c): stacks[n].inner.at[..., t, c] for c in classes}
            states.append(every)
            after: dict = {k: there(every, self.returned[k]) if k in self.returned else state[k] for k in state}
            after = {k: np.broadcast_to(a, state[k].shape) for k, a in after.items()}
            if not self.masked and not stacks and all(np.array_equal(after[k], state[k]) for k in state):
                states += [after] * (len(self.times) - len(states))
                break
            state = after
        if self.ends and len(before) > self.ends:
            self.require_steady(*[*before[self.ends :], state][:2])
        order = slice(None) if self.reverse else slice(None, None, -1)
        return Presence({k: np.stack([s[k] for s in states], axis=-1)[..., order] for k in states[0]}, stacks, [])

    def require_steady(self, before: Mapping, after: Mapping) -> None:
        """Raise Varies unless one more step in the middle of a loop would make no difference."""
        steady = not self.classes and all(np.array_equal(before[k], after[k]) for k in before)
        if not steady or self.length < 2 * self.ends:
            raise Varies(f"the steps of a loop of {self.length} differ in what they are sent")


def union(sets: Mapping, which) -> frozenset:
    return frozenset().union(*[sets[k] for k in which])


def there(present: Mapping, origins: frozenset) -> np.ndarray | np.bool_:
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


def follow(call, node: Node, given: Sequence, wanted) -> tuple[Steps, Presence]:
    """Of a loop on the tape that is pulled back: the Steps of the roots that are sent a cotangent at some step, and at
    which steps each of them is. given: the cotangents of its results."""
    around = thread.program.around
    places = [
        k
        for k, (root, g) in enumerate(zip(call.roots, given))
        if root is not None and (g is not None or k < len(call.carry_leaves))
    ]
    if around is None or not any((node, k) in around[0].parts for k in places):
        reach, presence = None, Presence({}, {}, [])
    else:
        reach, presence = around
    ends: list
    while True:
        sent = {}
        if reach is not None and not call.counted:
            sent = {n: reach.stacks[node, k] for n, k in enumerate(places) if (node, k) in reach.stacks}
        stacks = {n: presence.slices(one) for n, one in sent.items()}
        inner = {n: slices.inner for n, slices in stacks.items() if is_kept(call.roots[places[n]])}
        steps = call.steps(places, wanted, {n: one.classes() for n, one in inner.items() if one is not None})
        if reach is None:
            ends = [np.bool_(given[k] is not None) for k in places]
        else:
            ends = [there(presence.roots, origins) for origins in reach.given(node, steps)]
        present = steps.follow(ends, stacks)
        ever = [k for n, k in enumerate(places) if present.roots[n].any()]
        if ever == places:
            break
        places = ever
    if reach is not None and places:
        reach.loops.append((reach.given(node, steps), sent, steps))
        presence.loops.append(present)
    for n in steps.classes:
        root = call.roots[places[n]]
        steps.stacks.setdefault((root.inputs[0], root.params), []).append(n)
    return steps, present


def note_stacks(call, node: Node, steps: Steps) -> None:
    """Note which slices of the stacks that another loop keeps for this one are sent something."""
    around = thread.program.around
    if steps.counted or around is None or not around[0].loops or around[0].loops[-1][-1] is not steps:
        return
    reach = around[0]
    for k, (leaf, parent) in enumerate(zip(call.leaves, node.inputs)):
        if leaf in steps.origins:
            sent = Sent(len(reach.loops) - 1, steps.origins[leaf], tuple(steps.stacks.get(leaf, ())))
            if is_kept(parent):
                reach.stacks.setdefault((parent.inputs[0], parent.params), []).append(sent)
            elif parent in reach.needed and k >= len(call.leaves) - len(call.loop.streams):
                reach.stacks.setdefault(parent, []).append(sent)


def is_kept(node) -> bool:
    """Whether a node stands for a stack that a loop keeps for its backward."""
    return type(node) is Pick and hasattr(node.op, "steps") and node.params >= node.op.results


def over_steps(program, known: np.ndarray, length):
    """A value of the presence at each step, from that at the steps that stand for them (Steps)."""
    if not isinstance(length, Size):
        return program.constant(known)
    ends = length.sizes.ends
    middle = program.apply("broadcast_to", program.constant(known[ends]), shape=(length - 2 * ends,))
    first, last = [program.constant(known[part].copy()) for part in (slice(0, ends), slice(-ends, None))]
    return program.apply("concatenate", first, middle, last, axis=0)


def guard(steps: Steps, present: Presence, flag: Callable, masks: dict) -> Callable | None:
    """What pull_back shall do to the cotangents that a node sends in a step of a loop; None if there is nothing to do.

    They become zeros at the steps where the node is sent nothing and its input something. flag: from an array over the
    steps to the tensor that a step sees of it. masks: where to note the nodes that do it, for the next derivative.
    """
    doubtful = {}
    for node, parent, place, sent in steps.edges:
        known = there(present.roots, sent)
        read = True if parent in steps.needed else there(present.roots, steps.origins[parent])
        if np.any(~known & read):
            doubtful[node, place] = known
    if not doubtful:
        return None
    flags: dict[bytes, Tensor] = {}

    def only_where_present(node, cotangents):
        made = []
        for place, g in enumerate(cotangents):
            known = doubtful.get((node, place))
            if g is not None and known is not None:
                key = known.tobytes()
                flags[key] = flags[key] if key in flags else flag(known)
                g = where(flags[key], g, 0.0)
                if g._node is not None:
                    masks[g._node] = known
            made.append(g)
        return made

    return only_where_present
