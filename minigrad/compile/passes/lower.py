"""In loops, ops that have a kernel of their own become the ops that a loop's kernel is made of.

    before                       after
    p = softmax(a)               m = max(a);  e = exp(a - m);  s = sum(e);  p = e / s

Outside of loops they stay what they are: one sweep over the rows each.
"""

from minigrad.compile.passes.clean import place
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import order_of, rewrite
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.trace import Value


def lower(program, roots: list) -> list:
    """Lower the bodies of all loops."""
    for value in order_of(roots):
        if isinstance(value.op, Loop):
            loop = value.op
            lower(loop.body, loop.outputs)
            became = rewrite(loop.outputs, lambda v, inputs: lowered(loop.body, v, inputs))
            place(loop, [became[r] for r in loop.outputs])
    return roots


def lowered(program, value: Value, inputs: tuple):
    rule = rule_of(value.op).lower
    return rule(ops_of(program), value, *inputs, **value.params) if rule else None
