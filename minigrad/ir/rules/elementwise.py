"""Elementwise ops: all of them alike, but for what is nothing and what costs next to nothing."""

from dataclasses import replace

from minigrad.ir.number import Number
from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.rule import Rule


def neutral(left, right):
    """An identity of two operands: the number that changes nothing as the left one, and as the right one; or None."""

    def identity(value, inputs):
        for number, x, other in zip((left, right), inputs, inputs[::-1]):
            if number is not None and type(x) is Number and x == Number(number, x.dtype) and type(other) is not Number:
                return other if (other.shape, other.dtype) == (value.shape, value.dtype) else None
        return None

    return identity


def of_one_value(value) -> bool:
    """Whether all operands but one are numbers."""
    return sum([type(x) is not Number for x in value.inputs]) == 1


ELEMENTWISE = Rule(batch=batch.elementwise, partition=partition.elementwise)
RULES = {
    # the sum of -0.0 and 0.0 is 0.0, so that 0.0 is not neutral
    "add": replace(ELEMENTWISE, identity=neutral(-0.0, -0.0), cheap=of_one_value),
    "sub": replace(ELEMENTWISE, identity=neutral(None, 0.0), cheap=of_one_value),
    "mul": replace(ELEMENTWISE, identity=neutral(1, 1), cheap=of_one_value),
    "div": replace(ELEMENTWISE, identity=neutral(None, 1)),
    "neg": replace(ELEMENTWISE, cheap=True),
}
