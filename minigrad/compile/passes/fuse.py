"""Runs of elementwise ops outside of loops become one kernel each: a loop of one step.

    before                       after
    a = x * y                    c = kernel(x, y)        (one pass over the memory, by all threads)
    b = tanh(a)
    c = a + b

Where arrays are small, a call of the kernel would cost more than it saves, and they stay as they are.
"""

from minigrad.ir.loop import Body, Loop
from minigrad.ir.rewrite import is_elementwise, order_of, same
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.trace import Value
from minigrad.symbolic import key_of

LARGE = 1 << 14  # elements from which fusing two ops pays


def fuse(program, roots: list) -> list:
    """The roots, rebuilt; outside of loops only."""
    order, groups = runs(program, roots)
    users: dict = {}
    for v in order:
        for x in v.inputs:
            users.setdefault(x, []).append(v)
    inside = {v: group for group in groups for v in group}
    became: dict = {}
    for value in order:
        group = inside.get(value)
        if group is None:
            became[value] = same(value, tuple([became[x] if isinstance(x, Value) else x for x in value.inputs]))
        elif value is group[-1]:
            needed = [v for v in group if v in roots or any(inside.get(u) is not group for u in users.get(v, []))]
            became.update(zip(needed, as_loop(program, group, needed, became)))
    return [became[r] if isinstance(r, Value) else r for r in roots]


def runs(program, roots) -> tuple[list[Value], list[list[Value]]]:
    """All values in an order in which those of a group can be computed at once; and the groups, of one shape and dtype.

    What waits for a cotangent is in no group with what does not.
    """
    depth: dict = {}
    keys: dict = {}
    late = set(program.cotangents)
    groups: dict = {}
    for v in order_of(roots):
        if any(x in late for x in v.inputs):
            late.add(v)
        keys[v] = kind(v), v in late
        level = 0
        for x in v.inputs:
            if isinstance(x, Value):
                together = keys[v] == keys[x] and keys[v][0] is not None
                level = max(level, depth[x] + (0 if together else 1))
        depth[v] = level
        if keys[v][0] is not None:
            groups.setdefault((level, *keys[v]), []).append(v)
    order = sorted(depth, key=lambda v: (depth[v], v.seq))
    return order, [group for group in groups.values() if len(group) > 1]


def kind(v: Value):
    """Shape and float dtype of an elementwise value that is worth it; None of others."""
    if not is_elementwise(v) or v.size < LARGE:
        return None
    dtypes = {x.dtype for x in (v, *v.inputs) if isinstance(x, Value)}
    floats = [d for d in dtypes if d.kind == "f"]
    return (key_of(v.shape), floats[0]) if len(floats) == 1 and all(d.kind in "fb" for d in dtypes) else None


def as_loop(program, group, needed, became) -> list[Value]:
    """The needed values of a group, from a loop of one step."""
    body = Body(program)
    inner: dict = {}
    outside, streams = [], []
    for v in group:
        for x in v.inputs:
            if isinstance(x, Value) and x not in inner and x not in group:
                inner[x] = body.input(x)
                streams.append(inner[x])
                outside.append(ops_of(program).reshape(became[x], shape=(1, *x.shape)))
        inner[v] = v.of([inner[x] if isinstance(x, Value) else x for x in v.inputs], body)
    loop = Loop(body, 1, False, [], [], streams, [], [], [inner[v] for v in needed])
    stacks = program.record(loop, outside, {}, loop.specs())
    return [ops_of(program).reshape(stack, shape=v.shape) for stack, v in zip(stacks, needed)]
