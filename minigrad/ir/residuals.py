"""Residuals: what the backward of a loop reads of the steps of its forward, and what it rather computes again.

A value that is kept is written to memory at each step, and read from there by the backward, too far away to be in a
cache. So what follows by light arithmetic from less than it holds is computed again:

    A = i * (v * k)             v: (B, N, D, 1), k: (B, N, 1, D), A: (B, N, D, D); v and k are kept, v * k is not
    y = tanh(x + m * (h - x))   the backward of tanh reads y; x and h, a stream and a carry, are there in any case
"""

from minigrad.ir.rewrite import is_layout, is_view
from minigrad.ir.rules import rule_of
from minigrad.ir.trace import Pick, Value


class Residuals:
    """Of a loop. invariant: by value, whether it is the same at every step. prices: by value, see `price`."""

    def __init__(self, loop):
        self.loop = loop
        self.invariant: dict[Value, bool] = {}
        self.prices: dict[Value, int] = {}

    def are_computed_again(self, value: Value) -> bool:
        """Whether it follows from what is less to keep. The next carries of all steps are there in any case."""
        rule = rule_of(value.op)
        if is_layout(value) or self.is_invariant(value):
            return True
        if value in self.loop.carry_outs:
            return False
        return rule.is_cheap(value) or (
            rule.is_light(value) and sum([self.price(x) for x in {*operands(value)}]) < value.size
        )

    def is_invariant(self, value: Value) -> bool:
        """Whether it is the same at every step: it rests on constants alone. The backward computes it, outside of its
        loop then, rather than reading a copy for each step."""

        def rests(v: Value, given: list[Value]) -> bool:
            if v.op is None or v.op is Pick or v.dtype is None:
                return v in self.loop.consts
            return all(self.invariant[x] for x in given)

        return worked_out(value, self.invariant, rests)

    def price(self, value: Value):
        """How many numbers a step must keep for the backward to have this value; 0 if it has it in any case."""

        def price(v: Value, given: list[Value]):
            if v.op is None or v in self.loop.carry_outs or self.is_invariant(v):
                return 0
            rule = rule_of(v.op)
            follows = v.dtype is None or is_view(v) or rule.is_light(v) or rule.is_cheap(v)
            if "y" in getattr(v.op, "saves", ()) and not follows:
                return 0
            of_operands = sum([self.prices[x] for x in {*given}])
            return of_operands if follows and (v.dtype is None or of_operands < v.size) else v.size

        return worked_out(value, self.prices, price)


def operands(v: Value) -> list[Value]:
    return [x for x in v.inputs if isinstance(x, Value)]


def worked_out(value: Value, known: dict, rule):
    """rule(v, its operands) of a value, after that of all its operands; noted in `known`."""
    stack = [value]
    while stack:
        v = stack[-1]
        given = operands(v)
        missing = [x for x in given if x not in known and v.op is not None]
        if v not in known and not missing:
            known[v] = rule(v, given)
        if v in known:
            stack.pop()
        else:
            stack += missing
    return known[value]
