"""An op of one step applied to all steps at once: what hoisting and sinking move a value with.

before (in a loop over t)      after (outside, X of shape (T, B, I))
p = x @ W                      P = X @ W
q = concatenate([p, p], -1)    Q = concatenate([P, P], -1)
"""

from minigrad.ir.rules import rule_of
from minigrad.ir.rules.batch import Batch, ops_of
from minigrad.ir.trace import Value


def over_time(program, value: Value, inputs: tuple, stacked: list[bool], length: int):
    """The op of `value` on inputs of which some have a leading axis of steps; None if it stays in the loop: it is no op
    of the table, or a product that would be many products outside, too."""
    rule = rule_of(value.op)
    if rule.batch is None or value.dtype is None or not any(stacked):
        return None
    if rule.hoist is not None and not rule.hoist(value, *stacked):
        return None
    return rule.batch(Batch(ops_of(program), value.op.name, length, inputs, stacked), *inputs, **value.params)
