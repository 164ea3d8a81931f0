"""A traced `scan`: one value of the program whose op holds the program of a step; and its vjp, which is another one."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.ir.absent import EMPTY, Steps, Varies, follow, guard, note_stacks, over_steps, there
from minigrad.ir.draws import drawn_specs
from minigrad.ir.number import Number
from minigrad.ir.residuals import Residuals
from minigrad.ir.rewrite import is_layout, rebuilt
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.tangents import Along
from minigrad.ir.trace import Program, Value, stand_in
from minigrad.modes import TRACED, thread
from minigrad.ops.table import Op, Spec, on_tape
from minigrad.symbolic import has_sizes
from minigrad.tape import Leaf, Node, Pick, pull_back
from minigrad.tensor import Tensor

UNBOUNDED = 1 << 62  # steps of a loop that takes as many as it takes


class Body(Program):
    """The program of one step. What it reads of the enclosing program enters as a constant; of the loop that it is the
    backward of, as a residual: one slice a step of a stack that the forward loop keeps."""

    def __init__(self, parent: Program, forward: "LoopCall | None" = None):
        super().__init__()
        self.parent, self.forward = parent, forward
        self.every = None  # chunks are of the outermost loop
        self.precision = parent.precision
        self.consts: list[tuple] = []  # (value here, leaf here, tensor outside)
        self.streams: list[tuple] = []
        self.items: list = []
        self.drawn: list[Value] = []
        self.alive: list = []
        self.masks: dict = {}  # of the backward of a loop: node of the tape -> at which steps it lets something through

    def enter(self, x, convert=None):
        if convert is not None and not isinstance(x, (Tensor, Value)):
            return self.constant(convert()), None
        return super().enter(x)

    def capture(self, x):
        key = (id(x._data), x._node)
        if key not in self.captured:
            self.alive.append(x._data)  # an in-place change gives x another value, and then this id could be reused
            forward = self.forward
            if forward is not None and key in forward.loop.body.captured:  # which read it from where this one cannot
                x = Tensor(*forward.loop.body.captured[key][:2])
            if self.again(x):
                self.captured[key] = (*self.copied(x), x)
            elif forward is not None and isinstance(x._data, Value) and x._data.program is forward.loop.body:
                self.captured[key] = (*self.placed(*forward.kept(x), x._node), x)
            else:
                self.captured[key] = (*self.placed(Tensor(*self.parent.enter(x)), False), x)
        value, leaf, _ = self.captured[key]
        return value, leaf

    def constant(self, array):
        return self.placed(Tensor(self.parent.constant(array)), False)[0]

    def scalar(self, x, dtype):
        key = x.text, np.dtype(dtype)
        if key not in self.scalars:
            self.scalars[key] = self.placed(Tensor(self.parent.scalar(x, dtype)), False)[0], x
        return self.scalars[key][0]

    def again(self, x: Tensor) -> bool:
        """Whether a value of the forward loop is computed again here, rather than kept for each step."""
        value = x._data
        forward = self.forward
        if (
            forward is None
            or not isinstance(value, Value)
            or value.op is None
            or value.program is not forward.loop.body
        ):
            return False
        residuals = forward.residuals
        if x._node is None or thread.mode is not TRACED:
            return value.recompute or residuals.are_computed_again(value)
        there = is_layout(value) or residuals.is_invariant(value)  # a stack of it would be of the same numbers
        return there and value.op is x._node.op and isinstance(value.op, Op)

    def copied(self, x: Tensor) -> tuple[Value, Node | None]:
        value, node = x._data, x._node if thread.mode is TRACED else None
        nodes = [None] * len(value.inputs) if node is None else node.inputs
        entered = [self.enter(Tensor(v, n)) if isinstance(v, Value) else (v, None) for v, n in zip(value.inputs, nodes)]
        copy = value.of([v for v, _ in entered], self)
        copy.recompute = False
        if node is None:
            return copy, None
        op, inputs = value.op, [np.asarray(v.value) if isinstance(v, Number) else v for v, _ in entered]
        saved = op.save(copy, inputs, **value.params) if op.variadic else op.save(copy, *inputs, **value.params)
        return copy, on_tape(op, [n for _, n in entered], node.params, saved, copy)._node

    def placed(self, outside: Tensor, per_step: bool, original: Node | None = None) -> tuple[Value, Leaf | None]:
        """original: the node, of the step of the forward loop, that `outside` has the values of."""
        spec = Spec(outside.shape[1:] if per_step else outside.shape, outside.dtype)
        leaf = stand_in(outside._node, spec)
        if leaf is not None and original is not None:
            leaf.seq = original.seq
        value = self.input(spec)
        self.lay_out_as(value, outside, per_step)
        (self.streams if per_step else self.consts).append((value, leaf, outside))
        return value, leaf

    def flag(self, known: np.ndarray, axes: int | None = None) -> Tensor:
        """What a step sees of an array over the steps of the loops around it, the outermost first."""
        axes = axes or known.ndim
        parent, forward = self.parent, self.forward
        length = forward.loop.length if forward else None
        if known.ndim > 1 and has_sizes(length):
            raise Varies("the steps of a loop in a loop differ in what they are sent")
        outside = Tensor(over_steps(parent, known, length)) if axes == 1 else parent.flag(known, axes - 1)
        if forward and forward.trips is not None and not forward.loop.reverse and forward.loop.length > 1:
            # what is known is of a loop that takes all its steps; this one ends earlier
            o, length, trips = ops_of(parent), forward.loop.length, parent.enter(forward.trips)[0]
            places = o.minimum(o.sub(o.constant(np.arange(length, 2 * length)), trips), length - 1)
            outside = Tensor(o.take(outside._data, places, axis=0))
        return Tensor(*self.placed(outside, True))

    def draws(self, item):
        self.items.append(item)
        values = [self.input(spec) for spec in drawn_specs(item)]
        self.drawn += values
        return values


class Loop:
    """The op of a loop.

    body: the program of a step. Its inputs are those of consts (the same at each step), carries, and streams (one slice
    of the leading axis a step); its results are the last carries, the sums over all steps and the ys (stacked).
    chunked: a step is a chunk of steps, made to save memory; then nothing is kept for all of them at once. Passes make
    other loops and change none; only while its backward is traced a loop gets more ys (LoopCall.kept).

    count: the one of consts that says how many of the `length` steps are taken, the first ones in order of time; None:
    all. go: what the body computes to say whether another step follows, a boolean scalar. Then the slices of ys for the
    other steps are not written, and nobody reads them.
    """

    name = "scan"

    def __init__(self, body, length, reverse, consts, carries, streams, carry_outs, sums, ys):
        self.body, self.length, self.reverse = body, length, reverse
        self.consts, self.carries, self.streams = list(consts), list(carries), list(streams)
        self.carry_outs, self.sums, self.ys = list(carry_outs), list(sums), list(ys)
        self.count: Value | None = None
        self.go: Value | None = None
        self.chunked = False

    def replace(self, **parts) -> "Loop":
        """Another one with other parts."""
        made = copy.copy(self)
        for name, part in parts.items():
            setattr(made, name, part)
        return made

    def with_outputs(self, outputs: Sequence[Value]) -> "Loop":
        """Another one, with other values in the place of its outputs."""
        n, m, k = len(self.carry_outs), len(self.sums), len(self.results)
        rest = iter(outputs[k:])
        count, go = [None if v is None else next(rest) for v in (self.count, self.go)]
        carry_outs, sums, ys = list(outputs[:n]), list(outputs[n : n + m]), list(outputs[n + m : k])
        return self.replace(carry_outs=carry_outs, sums=sums, ys=ys, count=count, go=go)

    @property
    def steps(self) -> int | str:
        """How many steps it takes, for people."""
        if self.count is None:
            return self.length
        return "any number of" if self.length == UNBOUNDED else f"at most {self.length}"

    @property
    def is_cluster(self) -> bool:
        """Whether it is no loop: ops outside of loops, one kernel."""
        return self.length == 1 and self.count is None and not self.carries and not self.streams

    @property
    def results(self) -> list[Value]:
        return [*self.carry_outs, *self.sums, *self.ys]

    @property
    def outputs(self) -> list[Value]:
        """What its results depend on: these, and what decides how many steps there are."""
        return [*self.results, *[v for v in (self.count, self.go) if v is not None]]

    @property
    def inputs(self) -> list[Value]:
        return [*self.consts, *self.carries, *self.streams]

    def specs(self) -> list[Spec]:
        whole = [Spec(x.shape, x.dtype) for x in (*self.carry_outs, *self.sums)]
        return whole + [Spec((self.length, *y.shape), y.dtype) for y in self.ys]


def within_loops(roots: list, transform: Callable) -> list:
    """The roots, rebuilt, where each loop has the outputs that transform(loop) gives."""

    def rule(value, inputs):
        if not isinstance(value.op, Loop):
            return None
        outputs = transform(value.op)
        same = all(a is b for a, b in zip(outputs, value.op.outputs, strict=True))
        return None if same else value.of(inputs, op=value.op.with_outputs(outputs))

    return rebuilt(roots, rule)


class LoopCall:
    """The op, on the tape, of a loop that was traced: its vjp is a loop the other way round."""

    name = "scan"

    def __init__(self, loop: Loop, value: Value, leaves: Sequence, roots: Sequence):
        self.loop, self.value = loop, value
        self.leaves = leaves  # of the body's consts, carries and streams
        self.roots = list(roots)  # tape nodes of the body's carry_outs, sums and ys
        self.results = len(self.roots)  # others, for the backward, come later
        self.node: Any = None  # on the tape
        self.stacks: dict = {}
        self.residuals = Residuals(loop)
        self.trips: Tensor | None = None  # of a loop whose steps are counted: how many it has taken

    def kept(self, x: Tensor) -> tuple[Tensor, bool]:
        """A value of the body as the backward sees it from outside: (tensor, whether it has a slice for each step)."""
        value, loop = x._data, self.loop
        inputs = loop.inputs
        if value in inputs:
            k = inputs.index(value)
            if value not in loop.carries:
                return Tensor(self.value.inputs[k], self.node.inputs[k] if x._node is not None else None), k >= len(
                    loop.consts
                ) + len(loop.carries)
        key = (value, x._node)
        if key not in self.stacks:
            place = len(loop.results)
            spec = Spec((loop.length, *value.shape), value.dtype)
            loop.ys.append(value)
            self.value.shape.append(spec)
            stack = self.value.program.pick(self.value, place)
            node = None
            self.roots.append(x._node)
            if self.node is not None:
                self.node.shape.append(spec)
                if x._node is not None:
                    node = Pick(self, (self.node,), place, (), spec.shape, spec.dtype, self.node.site)
            self.stacks[key] = Tensor(stack, node)
        return self.stacks[key], True

    @property
    def counted(self) -> bool:
        return self.loop.count is not None

    @property
    def carry_leaves(self) -> list:
        first = len(self.loop.consts)
        return list(self.leaves[first : first + len(self.loop.carries)])

    def steps(self, places=None, wanted=None, classes: Mapping = EMPTY) -> Steps:
        """What the roots of a step, or those at these places, reach of its leaves, or of those that are wanted."""
        loop = self.loop
        if places is None:
            places = [k for k, root in enumerate(self.roots) if root is not None]
        if wanted is None:
            wanted = {leaf for leaf in self.leaves if leaf is not None}
        carries = {n: self.carry_leaves[k] for n, k in enumerate(places) if k < len(loop.carries)}
        roots, masks, around = [self.roots[k] for k in places], loop.body.masks, loop.body
        while around is not None:  # which steps are meant is not known where they are counted
            masks, around = {} if around.counted else masks, around.parent
        return Steps(roots, places, carries, wanted, loop.length, loop.reverse, masks, classes, self.counted)

    def starts(self, body: Body, given: Sequence, steps: Steps) -> dict:
        """By its number, the cotangent of a carry as one of the backward: (value in the step, leaf, its start)."""
        made = {}
        for k, carry in enumerate(self.loop.carries):
            if k in steps.places or self.carry_leaves[k] in steps.origins:
                start = given[k]
                if start is None:
                    start = Tensor(body.parent.filled(carry.shape, carry.dtype))
                leaf = Leaf(carry.shape, carry.dtype) if thread.mode is TRACED else None
                made[k] = body.input(carry), leaf, Tensor(*body.parent.enter(start))
        return made

    def push_tangents(self, node: Node, given: Sequence) -> list:
        return Along(self, given).loop(Body(thread.program, self), finish)

    def pull(self, node, g, useful=None):
        loop, nc = self.loop, len(self.loop.consts)
        after = nc + len(loop.carries)
        given = list(g) + [None] * (len(self.roots) - len(g))
        wanted = {
            leaf
            for k, (leaf, parent) in enumerate(zip(self.leaves, node.inputs))
            if leaf is not None and (nc <= k < after or useful is None or parent in useful)
        }
        result: list = [None] * len(node.inputs)
        steps, present = follow(self, node, given, wanted)
        if not steps.places:
            return result
        body = Body(thread.program, self)
        body.around = steps, present
        starts = self.starts(body, given, steps)
        cotangents = []
        for k in steps.places:
            if k in starts:
                value, leaf, _ = starts[k]
            elif k >= len(loop.carry_outs) + len(loop.sums):
                value, leaf = body.placed(Tensor(*body.parent.enter(given[k])), True)
            else:  # of a sum over the steps, each step gets the whole
                value, leaf = body.enter(given[k])
            cotangents.append(Tensor(value, leaf))
        outer, thread.program = thread.program, body
        try:
            pulled = pull_back(
                [self.roots[k] for k in steps.places], cotangents, wanted=wanted, keep=True,
                differentiable=thread.mode is TRACED, guard=guard(steps, present, body.flag, body.masks),
            )  # fmt: skip
            found = [Tensor(*body.enter(pulled[leaf])) if leaf in pulled else None for leaf in self.leaves]
            carried = []
            for k, (value, _, _) in starts.items():
                c = found[nc + k]
                carried.append(c if c is not None else Tensor(body.filled(value.shape, value.dtype)))
        finally:
            thread.program = outer
        ys = [k for k, c in enumerate(found) if k >= after and c is not None]
        sums = [k for k, c in enumerate(found[:nc]) if c is not None]
        made = finish(
            body, loop.length, not loop.reverse, list(starts.values()), carried,
            [found[k] for k in sums], [found[k] for k in ys], loop.chunked, self.trips,
        )  # fmt: skip
        first = {k: p[..., -1 if loop.reverse else 0] for k, p in present.roots.items()}
        for k, c in zip(starts, made):
            if steps.counted or np.any(there(first, steps.origins.get(self.leaves[nc + k], frozenset()))):
                result[nc + k] = c
        for k, c in zip(sums + ys, made[len(carried) :]):
            result[k] = c
        note_stacks(self, node, steps)
        steps.close()
        return result


def finish(
    body: Body, length, reverse, inits, carried, sums, ys, chunked=False, count: Tensor | None = None,
    go: Tensor | None = None, kind: type | None = None,
) -> list[Tensor]:  # fmt: skip
    """The loop of a body that has been traced, as a value of the enclosing program; its results.

    count: outside, how many steps it takes at most, if not all; go: in the body, whether another one follows. With both
    the last of the carries counts the steps. kind: of the loop's op on the tape, if not LoopCall.
    """
    parent = body.parent
    body.counted = count is not None
    counts = body.placed(Tensor(*parent.enter(count)), False)[0] if count is not None else None
    if body.counted and body.items:
        raise RuntimeError(
            "jit: random numbers are drawn in a step that perhaps is not taken (a branch of cond or switch, the body "
            "of while_loop); how many there are must be known before. Draw them outside, and let the function take them"
        )
    if body.items:
        stacks = parent.draws(("loop", length, reverse, body.items))
        body.streams += [(inner, None, Tensor(stack)) for inner, stack in zip(body.drawn, stacks)]
    entries = [*body.consts, *inits, *body.streams]
    parts = [[value for value, _, _ in part] for part in (body.consts, inits, body.streams)]
    loop = Loop(body, length, reverse, *parts, *[[x._data for x in part] for part in (carried, sums, ys)])
    loop.count, loop.go, loop.chunked = counts, None if go is None else go._data, chunked
    outside = [parent.enter(tensor) for _, _, tensor in entries]
    results = parent.record(loop, [value for value, _ in outside], {}, loop.specs())
    parents = [node for _, node in outside]
    if thread.mode is not TRACED or not any(parents):
        return [Tensor(r) for r in results]
    if not results:
        return []
    roots = [x._node for x in (*carried, *sums, *ys)]
    if count is not None:  # a loop that takes no step passes on what a carry was before
        ends = [Leaf(v.shape, v.dtype) if leaf is not None else None for v, leaf, _ in inits]
        roots[: len(inits)] = [root or end for root, end in zip(roots, ends)]
    call = (kind or LoopCall)(loop, results[0].inputs[0], [leaf for _, leaf, _ in entries], roots)
    if go is not None:
        call.trips = Tensor(results[len(inits) - 1])
    elif count is not None:
        call.trips = Tensor(parent.enter(count)[0])  # as a value of the program that the loop is in
    tensors = on_tape(call, parents, {}, (), results)
    call.node = next((t._node.inputs[0] for t in tensors if t._node is not None), None)
    return [Tensor(t._data) if root is None else t for t, root in zip(tensors, call.roots)]
