"""Where a step may have no cotangent, the terms of a parameter's gradient are masked where they begin, not at the end.

    before                                   after
    loop back over x_t, dz_t, there_t:       loop back over x_t, dz_t, there_t:
        d = (x_t.T @ dz_t).T                     a = where(there_t, x_t, 0)
        s = where(there_t, d, 0);  sum s         b = where(there_t, dz_t, 0)
                                                 d = (a.T @ b).T;  sum d

A sum of products is then one large product below the loop, and a sum over the rows of the batch is the last thing that
is done with them, so that threads may divide these.
"""

from minigrad.compile.passes.sink import after_sums_over_rows, is_mask, linear_operand
from minigrad.ir.loop import Loop, within_loops
from minigrad.ir.number import Number
from minigrad.ir.rewrite import is_sum, is_view
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.batch import ops_of
from minigrad.ir.trace import Value


def mask(program, roots: list) -> list:
    """The roots, rebuilt, with the loops that they depend on changed."""

    def within(loop):
        loop = loop.with_outputs(mask(loop.body, loop.outputs))
        rest = loop.outputs[len(loop.carry_outs) + len(loop.sums) :]
        return [*loop.carry_outs, *_Masking(loop).sums(), *rest]

    return within_loops(roots, within)


class _Masking:
    def __init__(self, loop: Loop):
        self.loop, self.summed_rows = loop, after_sums_over_rows(loop)

    def sums(self) -> list:
        return [self.moved(v) for v in self.loop.sums]

    def moved(self, v):
        """A term of a sum over the steps, the masks in it moved."""
        if is_mask(v, self.loop):
            return self.masked(v.inputs[0], self.moved(v.inputs[1]))
        if rule_of(v.op).additive and all(isinstance(x, Value) for x in v.inputs):
            became = {x: self.moved(x) for x in v.inputs}
            return self.of(v, became) if any(x is not y for x, y in became.items()) else v
        return v

    def masked(self, flag: Value, x: Value) -> Value:
        """where(flag, x, 0), which goes into a sum over the steps, with the mask as near to the operands as it may be.

        Where a sum over rows is multiplied by what is constant, this is done below the loop: no masked 0 meets it.
        """
        rule = rule_of(x.op)
        whole = all(isinstance(y, Value) for y in x.inputs)
        if rule.additive and whole and (len(x.inputs) == 1 or all(y.dtype == x.dtype for y in x.inputs)):
            return self.of(x, {y: self.masked(flag, y) for y in x.inputs})
        if (y := linear_operand(x, self.loop.consts)) in self.summed_rows:
            return self.of(x, {y: self.masked(flag, y)})
        if is_sum(x):
            return self.of(x, {y: self.only(flag, y) for y in x.inputs})
        over_steps = rule.over_steps(x)
        if over_steps is not None:  # all operands: 0 times infinity is not 0
            floats = [y for y in over_steps[0] if y.dtype.kind == "f"]
            return self.of(x, {y: self.only(flag, y) for y in floats})
        return self.only(flag, x)

    def of(self, x: Value, became: dict) -> Value:
        """The same of other operands, which may lie behind views."""

        def new(y):
            if y in became or not isinstance(y, Value) or not is_view(y):
                return became.get(y, y)
            return self.of(y, became)

        return x.of([new(y) for y in x.inputs], self.loop.body)

    def only(self, flag: Value, x: Value) -> Value:
        return ops_of(self.loop.body).where(flag, x, Number(0.0, x.dtype))
