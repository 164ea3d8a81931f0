"""A loop in the step of a loop: a part of its kernel, to any depth.

Its tasks stand in a `for` of their own. What it reads lies where the step around has it; of a stack it takes a slice at
each of its steps, and writes one of a stack that it gives. A carry has two places, that of the step before and that of
this one. What it sums up is added to a total after some steps, as in the loop around.
"""

import math

from minigrad.compile.tasks import Buffer, Repeat, View
from minigrad.ir.loop import UNBOUNDED, Loop
from minigrad.ir.rewrite import order_of, rewrite
from minigrad.ir.rules.partition import axis_of

SETTLE = """
@njit(error_model="numpy")
def settle_{dtype}(part, total, to, start, end):
    for i in range(start, end):
        store_any(to, i, np.{dtype}(load_any(total, i, np.float64) + load_any(part, i, np.{dtype})))
        store_any(part, i, np.{dtype}(0))
        store_any(total, i, np.float64(0))
"""


def apart(loop: Loop, seen: set | None = None) -> Loop:
    """The same loop, in which no two loops share the values of their steps: in a kernel each value has its place."""
    seen = set() if seen is None else seen

    def rule(v, inputs):
        if not isinstance(v.op, Loop):
            return None
        op = v.op if seen.isdisjoint(order_of(v.op.outputs)) and seen.isdisjoint(v.op.inputs) else cloned(v.op)
        seen.update([*order_of(op.outputs), *op.inputs])
        return v.of(inputs, op=apart(op, seen))

    became = rewrite(loop.outputs, rule)
    return loop.with_outputs([became[v] for v in loop.outputs])


def cloned(loop: Loop) -> Loop:
    """The same with values of its own."""
    inputs = {v: v.program.input(v) for v in loop.inputs}
    became = rewrite(loop.outputs, lambda v, given: inputs.get(v) or v.of(given))
    parts = {name: [inputs[v] for v in getattr(loop, name)] for name in ("consts", "carries", "streams")}
    return loop.with_outputs([became.get(v) or inputs[v] for v in loop.outputs]).replace(**parts)


def lines(e, task: Repeat) -> list[str]:
    """The statements of a loop in the step."""
    plan, loop = task.schedule, task.schedule.loop
    name, step = f"step{plan.number}", plan.step
    steps = e.number(loop.length, "steps") if loop.length != UNBOUNDED else str(UNBOUNDED)
    before: list[str] = []
    swaps: list[str] = []
    for b in plan.carried:
        before += [f"{b.name}_in = {b.name}", f"{b.name}_out = {b.name} + {e.number(size_of(b), 'b')}"]
        swaps.append(f"{b.name}_in, {b.name}_out = {b.name}_out, {b.name}_in")
    for one in plan.entry:
        before += e.part(one)
    if loop.count is not None:
        taken = f"load_any({e.base(plan.home(loop.count))}, 0, np.int64)"
        before.append(f"steps_of{plan.number} = min({steps}, {taken})")
        steps = f"steps_of{plan.number}"
    body = [f"{step} = {steps} - 1 - {name}" if loop.reverse else f"{step} = {name}"]
    for one in plan.tasks:
        body += e.part(one)
    body += swaps
    flushes = [e.flush(b, b.name, plan.totals[b].name) for b in plan.parts]
    if flushes:
        body += [f"if {name} % every == every - 1:", *[f"    {line}" for line in flushes]]
    if loop.go is None:
        head = [f"for {name} in range({steps}):"]
    else:
        head = [f"{name} = 0", f"while {name} < {steps}:"]
        goes_on = f"load_any({e.base(plan.goes_on)}, 0, np.bool_)"
        body += [f"{name} = {name} + 1", f"if not {goes_on}:", f"    {steps} = {name}"]
    after = [line for b, to in plan.settled for line in settled(e, plan, b, to)]
    return [*before, *head, *[f"    {line}" for line in body], *after]


def settled(e, plan, b: Buffer, to: View) -> list[str]:
    """The statements that put a sum where it is read; a thread has that over its own rows."""
    call = f"settle_{b.dtype.name}({b.name}, {plan.totals[b].name}, {e.base(to)}"
    axis = axis_of(plan.kinds[plan.loop.sums[b.index]])
    if not plan.rows or axis is None:
        return [f"{call}, 0, {e.number(math.prod(b.shape))})"]
    size, leading = e.number(math.prod(b.shape[axis + 1 :])), math.prod(b.shape[:axis])
    if axis == 0:
        return [f"{call}, first * {size}, last * {size})"]
    batch = e.number(b.shape[axis])
    return [
        f"for lead in range({e.number(leading)}):",
        f"    {call}, (lead * {batch} + first) * {size}, (lead * {batch} + last) * {size})",
    ]


def size_of(b: Buffer) -> int:
    """Bytes of one place of a carry."""
    return math.prod(b.shape) * b.dtype.itemsize
