"""The loop of the tangents of a loop: what forward mode (minigrad/ir/forward.py) makes of it.

It goes in the same direction. A step reads what the step of the first loop has computed, as that of a backward does,
and carries the tangents of the carries.

    loop over x_t, carry h:              loop over x_t, dx_t and the kept h_t, h_(t+1), carry dh:
        h = tanh(x_t + h)                    dh = (dx_t + dh) * (1 - h_(t+1) * h_(t+1))

Where a carry has a tangent at some steps only, another one tells whether it is there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.ir.forward import Tangent, push_forward
from minigrad.modes import TRACED, recording, thread
from minigrad.tape import Leaf, between, tape_of
from minigrad.tensor import Tensor


class Along:
    """A loop whose inputs have these tangents.

    call: the loop on the tape (minigrad/ir/loop.py). moving: leaves of its step that have a tangent at some step;
    steady: those that have one at every step.
    """

    def __init__(self, call, given: Sequence[Tangent | None]):
        self.call, self.given = call, given
        self.places = [k for k, root in enumerate(call.roots) if root is not None]
        self.roots = [call.roots[k] for k in self.places]
        pairs = [(leaf, t) for leaf, t in zip(call.leaves, given) if leaf is not None and t is not None]
        order = tape_of(self.roots, min([leaf.seq for leaf in call.leaves if leaf is not None], default=0))
        carries = [(leaf, root) for leaf, root in zip(call.carry_leaves, call.roots) if leaf is not None]
        self.moving = {leaf for leaf, _ in pairs}
        while more := self.returned(carries, between(order, self.moving)) - self.moving:
            self.moving |= more
        self.steady = {leaf for leaf, t in pairs if t.there is None}
        while fewer := {leaf for leaf, _ in carries} & self.steady - self.returned(
            carries, between(order, self.steady)
        ):
            self.steady -= fewer

    @staticmethod
    def returned(carries: Sequence, reached: set) -> set:
        """The carries whose next value is among the nodes that are reached."""
        return {leaf for leaf, root in carries if root in reached}

    def loop(
        self, body, finish: Callable, others: Callable = list, count: Tensor | None = None, go: Callable | None = None
    ) -> list[Tangent | None]:
        """For each result of the loop its tangent. body: the program of a step. finish: as in minigrad/ir/loop.py.
        Called in the step: others, for more carries, as finish takes them, with what they become; go, for whether
        another step follows."""
        call, outer = self.call, thread.program
        inits, entering = self.entering(body)
        thread.program = body
        try:
            pushed = push_forward(self.roots, entering, differentiable=recording())
            carried, sums, ys = self.of_step(body, pushed)
            more, follows = others(), None if go is None else go()
        finally:
            thread.program = outer
        loop, count = call.loop, call.trips if count is None else count
        made = finish(
            body, loop.length, loop.reverse, inits + [start for start, _ in more],
            carried + [after for _, after in more], list(sums.values()), list(ys.values()), loop.chunked,
            count, follows,
        )  # fmt: skip
        first, rest = iter(made), made[len(inits) + len(more) :]
        results: list = [None] * len(call.roots)
        for k, leaf in enumerate(call.carry_leaves):
            if leaf in self.moving:
                results[k] = Tangent(next(first), None if leaf in self.steady else next(first))
                after = pushed.get(call.roots[k])
                if count is None and after is not None and after.there is None:  # at its last step
                    results[k] = Tangent(results[k].value)
        for k, x in zip([*sums, *ys], rest):
            results[k] = Tangent(x)
        return results

    def entering(self, body) -> tuple[list, dict]:
        """The carries of the new loop, as finish takes them, and the tangents of what its step reads."""
        call, outer, inits = self.call, thread.program, []
        first = len(call.loop.consts)
        after = first + len(call.loop.carries)

        def carry(start) -> Tensor:
            start = Tensor(*outer.enter(start))
            leaf = Leaf(start.shape, start.dtype) if thread.mode is TRACED and start.dtype.kind == "f" else None
            inits.append((body.input(start), leaf, start))
            return Tensor(*inits[-1][:2])

        entering = {}
        for k, (leaf, t) in enumerate(zip(call.leaves, self.given)):
            if leaf not in self.moving:
                continue
            value: Any = outer.filled(leaf.shape, leaf.dtype) if t is None else t.value
            there: Any = None if t is None else t.there
            if first <= k < after:
                value = carry(value)
                if leaf not in self.steady:
                    there = carry(outer.constant(np.array(t is not None)) if there is None else there)
            else:
                value = Tensor(*body.placed(Tensor(*outer.enter(value)), k >= after))
                there = None if there is None else Tensor(*body.enter(there))
            entering[leaf] = Tangent(value, there)
        return inits, entering

    def of_step(self, body, pushed: dict) -> tuple[list, dict, dict]:
        """What a step makes: the carries of the new loop; by their numbers sums and slices of stacks."""
        call, carried = self.call, []
        n, m = len(call.loop.carry_outs), len(call.loop.carry_outs) + len(call.loop.sums)
        for leaf, root in zip(call.carry_leaves, call.roots):
            if leaf in self.moving:
                t = pushed.get(root)
                value = body.filled(leaf.shape, leaf.dtype) if t is None else t.value
                carried.append(Tensor(*body.enter(value)))
                if leaf not in self.steady:
                    there = None if t is None else t.there
                    there = body.constant(np.array(t is not None)) if there is None else there
                    carried.append(Tensor(*body.enter(there)))
        found = [(k, pushed[root].value) for k, root in zip(self.places, self.roots) if root in pushed]
        made = {k: Tensor(*body.enter(x)) for k, x in found}
        return carried, {k: made[k] for k in made if n <= k < m}, {k: made[k] for k in made if k >= m}
