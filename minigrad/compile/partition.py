"""How threads may divide a loop's batch: which values have it as their leading axis, and which ops mix it."""

from minigrad.ir.loop import Loop
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.partition import REPLICATE, SHARD
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.trace import Pick, Value


def partition(loop: Loop, order: list[Value]) -> dict[Value, str]:
    """How each value is divided, the batch being divided between threads. Raises Unsupported if some op mixes it."""
    leading = loop.carries or loop.ys
    sizes = {c.shape[0] for c in leading if c.ndim > 0}
    if len(sizes) != 1:
        raise Unsupported("no batch")
    (batch,) = sizes
    kinds: dict = {}
    for v in order:
        if v.op is None:
            per_row = v not in loop.consts and v.ndim > 0 and v.shape[0] == batch
            kinds[v] = SHARD if per_row else REPLICATE
        else:
            kinds[v] = kind_of(v, kinds)
            if kinds[v] == SHARD and v.dtype is not None and v.shape[0] != batch:
                raise Unsupported(f"{v.op.name} of a batch of one with a larger one")
    for carry, out in zip(loop.carries, loop.carry_outs):
        if kinds.get(carry, SHARD) != kinds[out] and not (kinds.get(carry) == SHARD and kinds[out] == REPLICATE):
            raise Unsupported("a carry that mixes the batch")
        if carry not in kinds:
            kinds[carry] = kinds[out]
    for y in loop.ys:
        if kinds[y] not in (SHARD, REPLICATE):
            raise Unsupported("an output that mixes the batch")
    if any(kinds[s] == REPLICATE for s in loop.sums):
        raise Unsupported("a sum that has no part in any row")  # every thread would add all of it
    return kinds


def kind_of(v: Value, kinds: dict) -> str:
    given = [kinds[x] if isinstance(x, Value) else None for x in v.inputs]
    if all(k in (REPLICATE, None) for k in given):
        return REPLICATE
    if v.op is Pick:
        return kinds[v.inputs[0]]
    rule = rule_of(v.op).partition
    made = None if rule is None else rule(v, *given)
    if made is None:
        raise Unsupported(f"{v.op.name} mixes the batch")
    return made
