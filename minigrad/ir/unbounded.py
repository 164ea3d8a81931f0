"""The derivatives of a `while_loop` without a bound, while tracing.

What each step keeps for the way back would need memory for as many steps as there will be, which nobody knows. So there
is no way back: its cotangents are values that raise when they are computed. Forward mode needs none of it: the loop is
made again, and carries the tangents along.
"""

from collections.abc import Sequence

from minigrad.ir.forward import Tangent
from minigrad.ir.loop import Body, LoopCall, finish
from minigrad.ir.tangents import Along
from minigrad.ir.trace import Value
from minigrad.modes import TRACED, TRACED_OFF, thread
from minigrad.ops.table import Spec, on_tape
from minigrad.sites import line_of_site
from minigrad.tape import Node
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
                    self.own[value] = self.copied(Tensor(value))[0]
            return self.own[value], None
        return super().capture(x)


class UnboundedCall(LoopCall):
    """The op, on the tape, of a loop that takes as many steps as it takes."""

    def push_tangents(self, node: Node, given: Sequence) -> list:
        outer, loop = thread.program, self.loop
        body = Again(outer, self, [Tensor(outer.enter(Tensor(v))[0]) for v in self.value.inputs])
        assert loop.count is not None

        def once_more() -> list:
            return [(start, Tensor(*body.enter(v))) for start, v in zip(body.started, loop.carry_outs)]

        mode, thread.mode = thread.mode, TRACED_OFF
        try:
            count = Tensor(*outer.enter(body.outside[loop.count]))
            made = Along(self, given).loop(
                body, finish, once_more, count=count, go=lambda: Tensor(*body.enter(loop.go))
            )
        finally:
            thread.mode = mode
        if mode is TRACED:  # of the derivative along tangents there is no other one
            parents = [t.value._node for t in given if t is not None] + list(node.inputs)
            found = {k: t for k, t in enumerate(made) if t is not None}
            tensors = on_tape(NoFurther(self, node), parents, {}, (), [t.value._data for t in found.values()])
            for (k, t), x in zip(found.items(), tensors):
                made[k] = Tangent(x, t.there)
        return made

    def pull(self, node: Node, g: Sequence, useful=None) -> list:
        return self.refuse(node, g, node.inputs, useful)

    def refuse(self, node: Node, g: Sequence, inputs: Sequence, useful) -> list:
        """Cotangents of these inputs, which raise when they are computed, as do their derivatives."""
        places = [k for k, n in enumerate(inputs) if n is not None and (useful is None or n in useful)]
        made = [self.refused(node, inputs[k]) for k in places]
        tensors = [Tensor(v) for v in made]
        if thread.mode is TRACED:
            parents = [x._node if isinstance(x, Tensor) else None for x in g] + list(inputs)
            tensors = on_tape(NoFurther(self, node), parents, {}, (), made)
        result: list = [None] * len(inputs)
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


class NoFurther:
    """The op of what is not differentiated again: tangents, and cotangents that there are not. node: of the loop."""

    name = "a derivative of while_loop"

    def __init__(self, call: UnboundedCall, node: Node):
        self.call, self.node = call, node

    def pull(self, node: Node, g: Sequence, useful=None) -> list:
        return self.call.refuse(self.node, g, node.inputs, useful)
