"""The derivatives of a `while_loop` without a bound, while tracing.

What each step keeps for the way back would need memory for as many steps as there will be, which nobody knows. So there
is no way back: its cotangents are values that raise when they are computed. Forward mode needs none of it: the loop is
made again, and carries the tangents along. `jvp` asks for that by the derivative of the way back, which is linear in
its cotangents (minigrad/transforms.py); the way back itself is never computed then.
"""

from collections.abc import Sequence

import numpy as np

from minigrad.ir.loop import Body, LoopCall, finish
from minigrad.ir.trace import Value
from minigrad.modes import TRACED, TRACED_OFF, thread
from minigrad.ops.table import Spec, on_tape
from minigrad.sites import line_of_site
from minigrad.tape import Leaf, Node, pull_back
from minigrad.tensor import Tensor


class Refusal:
    """The op of a cotangent that there is not: it raises when the program runs."""

    name = "the reverse of while_loop"
    variadic = False

    def __init__(self, why: str, spec: Spec):
        self.why, self.spec = why, spec

    def specs(self) -> Spec:
        return self.spec

    def forward(self):
        raise RuntimeError(self.why)


class Again(Body):
    """A step that computes once more what the step of another loop does, and then something with it."""

    def __init__(self, parent, forward: LoopCall, outside: Sequence[Tensor]):
        super().__init__(parent, forward)
        loop = forward.loop
        self.outside = dict(zip(loop.inputs, outside))
        self.started = [(self.input(v), None, Tensor(*parent.enter(self.outside[v]))) for v in loop.carries]
        self.steps = loop.body
        self.own = {v: value for v, (value, _, _) in zip(loop.carries, self.started)}

    def capture(self, x: Tensor):
        value = x._data
        if isinstance(value, Value) and value.program is self.steps:
            if value not in self.own:
                if value.op is None:
                    self.own[value] = self.placed(Tensor(*self.parent.enter(self.outside[value])), False)[0]
                else:
                    self.own[value] = self.copied(value)
            return self.own[value], None
        return super().capture(x)


class UnboundedCall(LoopCall):
    """The op, on the tape, of a loop that takes as many steps as it takes."""

    def pull(self, node: Node, g: Sequence, useful=None) -> list:
        places = [k for k, n in enumerate(node.inputs) if n is not None and (useful is None or n in useful)]
        made = [self.refused(node, node.inputs[k]) for k in places]
        given = [x if isinstance(x, Tensor) else None for x in g]
        parents = [x._node if x is not None else None for x in given]
        tensors = [Tensor(v) for v in made]
        if thread.mode is TRACED and any(parents):
            outside = [Tensor(thread.program.enter(Tensor(v))[0]) for v in self.value.inputs]
            tensors = on_tape(Pushed(self, node, places, parents, outside), [*parents, *node.inputs], {}, (), made)
        result: list = [None] * len(node.inputs)
        for k, x in zip(places, tensors):
            result[k] = x
        return result

    def refused(self, node: Node, like: Node) -> Value:
        spec = Spec(like.shape, like.dtype)
        why = (
            f"backward of while_loop ({line_of_site(node.site)}): a jitted loop has a reverse mode with a bound alone; "
            "say of how many steps at most, while_loop(cond, body, init, bound=...), or differentiate with mg.jvp"
        )
        return thread.program.record(Refusal(why, spec), (), {}, spec)


class Pushed:
    """The op of the way back: its own vjp takes tangents of the loop's inputs, and is the derivative along them."""

    name = "while_loop, reversed"

    def __init__(self, call: UnboundedCall, node: Node, places: Sequence[int], parents: Sequence, outside: Sequence):
        self.call, self.node, self.places, self.parents = call, node, places, parents
        self.outside = outside  # what enters the loop, as the program that the way back is in has it

    def pull(self, node: Node, g: Sequence, useful=None) -> list:
        tangents = dict(zip(self.places, g))
        parents = [x._node for x in tangents.values() if x is not None] + list(self.node.inputs)
        mode, thread.mode = thread.mode, TRACED_OFF
        try:
            results = self.along({k: t for k, t in tangents.items() if t is not None})
        finally:
            thread.mode = mode
        if mode is TRACED:  # of the derivative along tangents there is no other one
            results = on_tape(NoFurther(self.call), parents, {}, (), [x._data for x in results])
        of_inputs = [
            Tensor(self.call.refused(self.node, n)) if n is not None and (useful is None or n in useful) else None
            for n in self.node.inputs
        ]
        return [x if parent is not None else None for x, parent in zip(results, self.parents)] + of_inputs

    def along(self, tangents: dict) -> list[Tensor]:
        """The loop with its tangents: those of its results."""
        call = self.call
        loop, outer = call.loop, thread.program
        body = Again(outer, call, self.outside)
        first = len(loop.consts)
        moving, inits = {}, list(body.started)
        for k, leaf in enumerate(call.leaves):
            if leaf is None:
                continue
            if k >= first:
                start = tangents.get(k)
                start = Tensor(np.zeros(leaf.shape, leaf.dtype)) if start is None else start
                moving[leaf] = body.input(leaf)
                inits.append((moving[leaf], None, Tensor(*outer.enter(start))))
            elif k in tangents:
                moving[leaf] = body.placed(Tensor(*outer.enter(tangents[k])), False)[0]
        thread.program = body
        try:
            carried = [Tensor(*body.enter(v)) for v in loop.carry_outs]
            pushed = self.pushed(body, moving)
            carried += [x for x, leaf in zip(pushed, call.carry_leaves) if leaf is not None]
            go = Tensor(*body.enter(loop.go))
        finally:
            thread.program = outer
        assert loop.count is not None
        count = Tensor(*outer.enter(body.outside[loop.count]))
        made = iter(finish(body, loop.length, False, inits, carried, [], [], count=count, go=go)[len(loop.carries) :])
        return [Tensor(np.zeros(v.shape, v.dtype)) if leaf is None else next(made)
                for v, leaf in zip(loop.carries, call.carry_leaves)]  # fmt: skip

    def pushed(self, body: Body, moving: dict) -> list[Tensor]:
        """The tangents of a step's carries, from those of what it reads: the vjp of its vjp."""
        call = self.call
        zeros = [Tensor(body.constant(np.zeros(v.shape, v.dtype))) for v in call.loop.carries]
        ends = [None if leaf is None else Leaf(leaf.shape, leaf.dtype) for leaf in call.carry_leaves]
        places = [k for k, end in enumerate(ends) if end is not None]
        thread.mode = TRACED
        try:
            pulled = pull_back(
                [call.roots[k] for k in places], [Tensor(zeros[k]._data, ends[k]) for k in places],
                wanted=set(moving), keep=True, differentiable=True,
            )  # fmt: skip
        finally:
            thread.mode = TRACED_OFF
        roots = [(x._node, moving[leaf]) for leaf, x in pulled.items() if x._node is not None]
        found = pull_back(
            [n for n, _ in roots], [Tensor(v) for _, v in roots], wanted={e for e in ends if e is not None}, keep=True
        )
        return [found.get(end, zero) for end, zero in zip(ends, zeros)]


class NoFurther:
    """The op of a derivative along tangents: it is not differentiated again."""

    name = "the tangents of while_loop"

    def __init__(self, call: UnboundedCall):
        self.call = call

    def pull(self, node: Node, g: Sequence, useful=None) -> list:
        wanted = [n is not None and (useful is None or n in useful) for n in node.inputs]
        return [Tensor(self.call.refused(self.call.node, n)) if yes else None for n, yes in zip(node.inputs, wanted)]
