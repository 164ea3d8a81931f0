"""The kernel of a loop whose steps are counted while it runs: it is the only step of a loop around it."""

from collections.abc import Callable, Sequence

from minigrad.compile.native import Kernel
from minigrad.compile.tasks import Buffer
from minigrad.ir.loop import Body, Loop
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.trace import Program
from minigrad.ops.table import Spec


class CountedKernel(Kernel):
    """Raises Unsupported where the loop cannot be a part of a kernel, and for a branch: it is one step, whose ops do
    better by themselves, each with all threads."""

    def __init__(self, loop: Loop, call_of: Callable):
        if loop.length == 1:
            raise Unsupported("a branch outside of loops")

        def inner_call(value):
            if isinstance(value.op, Loop) and value.op.body is loop.body:
                raise Unsupported("a loop that cannot be a part of a kernel")
            return call_of(value)

        self.count = len(loop.consts)
        n, m = len(loop.carries), len(loop.sums)
        super().__init__(around(loop), inner_call)
        # the step around gives sums, carries, stacks
        self.order = [*range(m, m + n), *range(m), *range(m + n, len(loop.results))]
        self.sums = m

    def run(self, given: Sequence) -> list:
        made = super().run([*given[: self.count], *[x[None, ...] for x in given[self.count :]]])
        return [made[k] if k < self.sums else made[k][0, ...] for k in self.order]

    def buffer_of(self, k: int) -> Buffer:
        return self.results[self.order[k]][0]


def around(loop: Loop) -> Loop:
    """A loop of one step, which is this loop."""
    n, m = len(loop.carries), len(loop.sums)
    body = Body(Program())
    consts = [body.input(v) for v in loop.consts]
    streams = [body.input(v) for v in loop.carries]
    streams += [body.input(Spec((loop.length, *v.shape), v.dtype)) for v in loop.streams]
    made = body.record(loop, [*consts, *streams], {}, loop.specs())
    return Loop(body, 1, False, consts, [], streams, [], made[n : n + m], made[:n] + made[n + m :])
