"""In loops, ops that have a kernel of their own become the ops that a loop's kernel is made of.

    before                       after
    p = softmax(a)               m = max(a);  e = exp(a - m);  s = sum(e);  p = e / s

Outside of loops they stay what they are: one sweep over the rows each.
"""

from minigrad.ir.loop import within_loops
from minigrad.ir.rewrite import rebuilt
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.trace import Value


def lower(program, roots: list) -> list:
    """The roots, rebuilt, with the bodies of all loops lowered."""

    def within(loop):
        return rebuilt(lower(loop.body, loop.outputs), lambda v, inputs: lowered(loop.body, v, inputs))

    return within_loops(roots, within)


def lowered(program, value: Value, inputs: tuple):
    rule = rule_of(value.op).lower
    return rule(ops_of(program), value, *inputs, **value.params) if rule else None
