"""How threads may divide a loop's batch: which values have it as their leading axis, and which ops mix it."""

from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import is_product, order_of
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.partition import PARTIAL, REPLICATE, SHARD, axis_of, stacked
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.trace import Pick, Value
from minigrad.symbolic import key_of

LARGE = 1e7  # flops of a loop in a step, from which threads divide it by themselves


def partition(loop: Loop, order: list[Value], called=frozenset()) -> dict[Value, str]:
    """How each value is divided, the batch being divided between threads; those of loops in the step too, but for what
    is called. Raises Unsupported if some op mixes the batch."""
    sizes = {key_of(c.shape[0]): c.shape[0] for c in leading(loop) if c.ndim > 0}
    if len(sizes) != 1 or loop.is_cluster:  # all that this reads is the same for all threads
        raise Unsupported("no batch")
    (batch,) = sizes.values()
    kinds: dict = {}
    depth = depths(order, called)
    for v in order:
        if v.op is None:
            axis = depth.get(v, 0)
            per_row = v not in loop.consts and v.ndim > axis and key_of(v.shape[axis]) == key_of(batch)
            kinds[v] = stacked(SHARD, axis) if per_row else REPLICATE
        else:
            divide(v, kinds, batch, called)
    for carry, out in zip(loop.carries, loop.carry_outs):
        if kinds.get(carry, SHARD) != kinds[out] and not (kinds.get(carry) == SHARD and kinds[out] == REPLICATE):
            raise Unsupported("a carry that mixes the batch")
        if carry not in kinds:
            kinds[carry] = kinds[out]
    for y in loop.ys:
        if axis_of(kinds[y]) is None and kinds[y] != REPLICATE:
            raise Unsupported("an output that mixes the batch")
    if any(kinds[s] == REPLICATE for s in loop.sums):
        raise Unsupported("a sum that has no part in any row")  # every thread would add all of it
    return kinds


def leading(loop: Loop) -> list[Value]:
    """What has the batch as its leading axis: the carries, those of loops in the step if there are no others."""
    if loop.carries:
        return loop.carries
    inner = [c for v in order_of(loop.outputs) if isinstance(v.op, Loop) for c in leading(v.op)]
    return inner or loop.ys


def depths(order: list[Value], called) -> dict[Value, int]:
    """For what loops in the step take slices of, and for what that is made of: how many loops, one in the other, do."""
    found: dict = {}
    for v in reversed(order):
        if v in found:
            for x in v.inputs:
                if isinstance(x, Value) and x.ndim == v.ndim and x.shape[: found[v] + 1] == v.shape[: found[v] + 1]:
                    found[x] = max(found.get(x, 0), found[v])
        if isinstance(v.op, Loop) and v not in called:
            within = depths(order_of(v.op.outputs), called)
            streams = v.inputs[len(v.op.consts) + len(v.op.carries) :]
            for x, inner in zip(streams, v.op.streams):
                found[x] = max(found.get(x, 0), 1 + within.get(inner, 0))
    return found


def divide(v: Value, kinds: dict, batch: int, called) -> None:
    """Note how a value is divided; of a loop, all that is in it."""
    if isinstance(v.op, Loop) and v not in called:
        divide_loop(v, kinds, batch, called)
        return
    nested = v.op is Pick and isinstance(v.inputs[0].op, Loop) and v.inputs[0] not in called
    made = kind_of_result(v, kinds) if nested else kind_of(v, kinds)
    kinds[v], axis = made, axis_of(made)
    if v.dtype is not None and axis is not None and v.shape[axis] != batch:
        raise Unsupported(f"{v.op.name} of a batch of one with a larger one")


def kind_of(v: Value, kinds: dict) -> str:
    given = [kinds[x] if isinstance(x, Value) else None for x in v.inputs]
    if all(k in (REPLICATE, None) for k in given):
        return REPLICATE
    if v.op is Pick:
        return kinds[v.inputs[0]]
    rule = rule_of(v.op)
    is_stack = any(k is not None and axis_of(k) for k in given)
    made = None if is_stack or rule.partition is None else rule.partition(v, *given)
    if made is None:
        made = kind_of_stack(v, given, rule)
    if made is None:
        raise Unsupported(f"{v.op.name} mixes the batch")
    return made


def kind_of_stack(v: Value, given: list, rule) -> str | None:
    kinds = {k for k in given if k not in (None, REPLICATE)}
    axis = axis_of(next(iter(kinds)))
    if len(kinds) > 1 or axis is None or rule.stacked is None:
        return None
    (kind,) = kinds
    made = rule.stacked(v, axis, *[k == kind for k in given])
    return stacked(kind, made - axis) if isinstance(made, int) else made


def kind_of_result(v: Value, kinds: dict) -> str:
    """How a result of a loop in the step is divided."""
    loop, k = v.inputs[0].op, v.params
    if k < len(loop.carries):
        return kinds[loop.carries[k]]
    made = kinds[loop.results[k]]
    return made if k < len(loop.carries) + len(loop.sums) else stacked(made) or PARTIAL


def divide_loop(v: Value, kinds: dict, batch: int, called) -> None:
    """Note how all is divided in a loop in the step."""
    loop = v.op
    for inner, outside in zip(loop.inputs, v.inputs):
        kind: str | None = kinds[outside]
        if inner in loop.streams:
            kind = stacked(kinds[outside], -1)
        if kind is None or (axis_of(kind) is None and kind != REPLICATE):
            raise Unsupported("a loop over the batch, or over a sum of it")
        kinds[inner] = kind
    order = order_of(loop.outputs)
    while True:
        for u in order:
            if u.op is not None:
                divide(u, kinds, batch, called)
        joined = False
        for carry, out in zip(loop.carries, loop.carry_outs):
            if kinds[carry] == kinds[out] or (kinds[out] == REPLICATE and axis_of(kinds[carry]) is not None):
                continue
            if kinds[carry] != REPLICATE or axis_of(kinds[out]) is None:
                raise Unsupported("a carry that mixes the batch")
            kinds[carry], joined = kinds[out], True
        if not joined:
            break
    plain = [axis_of(kinds[u]) is not None or kinds[u] == REPLICATE for u in loop.ys]
    if not all(plain) or any(axis_of(kinds[s]) is None and kinds[s] not in (REPLICATE, PARTIAL) for s in loop.sums):
        raise Unsupported("an output that mixes the batch")
    if any(u is not None and kinds[u] != REPLICATE for u in (loop.count, loop.go)):
        raise Unsupported("rows that decide how many steps there are")
    kinds[v] = SHARD


def is_large(loop: Loop, called) -> bool:
    """Whether a loop is worth a kernel of its own within one that is not divided: threads divide its rows, and a call
    of it costs little beside what they save."""
    order = order_of(loop.outputs)
    if loop.length * sum([flops_of(v, called) for v in order]) < LARGE:
        return False
    try:
        partition(loop, order, called)
    except Unsupported:
        return False
    return True


def flops_of(v: Value, called) -> float:
    """Roughly, of a step."""
    if isinstance(v.op, Loop):
        return v.op.length * sum([flops_of(u, called) for u in order_of(v.op.outputs)])
    if v.dtype is None:
        return 0.0
    return v.size * (2.0 * v.inputs[0].shape[-1] if is_product(v) else 1.0)
