"""What the compiler knows of the ops, a file a family as in minigrad/ops: for each op one Rule (rules/rule.py).

The canonical forms are those in which structural ops enter a program. The first pass brings a trace into these forms,
and `Program.apply`, by which passes make values, makes no others; so every pass sees few of them:

    swapaxes, T, transpose()    transpose with all its axes; of a transpose, one
    split, unstack, flip        getitem, an integer or a slice for each axis, counted from the front
    stack, roll                 concatenate
    sum_to                      sum and reshape
    diagonal                    getitem of a reshape
    einsum                      transpose, matmul or mul, sum
    x[array], embedding         take along one axis
"""

from collections.abc import Sequence
from typing import Any

from minigrad.ir.rules import along, conv, elementwise, index, linalg, loss, neural, pool, product, reduce, shape
from minigrad.ir.rules.batch import Batch, Ops
from minigrad.ir.rules.rule import NOTHING, Rule
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table

RULES = {
    name: rule
    for family in (along, conv, elementwise, index, linalg, loss, neural, pool, product, reduce, shape)
    for name, rule in family.RULES.items()
}


known: dict = {}  # rules by op


def rule_of(op) -> Rule:
    """The rule of an op; NOTHING of what is no op of the table, such as a loop."""
    rule = known.get(op)
    if rule is None:
        name = getattr(op, "name", "")
        if table.get(name) is not op or op is None:
            return NOTHING
        rule = known[op] = RULES.get(name, elementwise.ELEMENTWISE if isinstance(op, Elementwise) else NOTHING)
    return rule


def canonical_form(program, op, inputs, params):
    """The value, or the values, that stand for a call of an op; None where the call is in its canonical form."""
    canonical = rule_of(op).canonical
    return None if canonical is None else canonical(program, *inputs, **params)


def batched(o: Ops, name: str, size: int, inputs: Sequence, on: Sequence[bool], params: dict) -> Any:
    """The result, or the list of results, of an op of which the operands that are `on` have an axis of samples."""
    batch = rule_of(table[name]).batch
    if batch is None:
        raise NotImplementedError(f"{name} has no batching rule; declare one in minigrad/ir/rules")
    return batch(Batch(o, name, size, inputs, on), *inputs, **params)
