"""Elementwise ops: all of them alike, but for what is nothing and what costs next to nothing."""

import ast
import functools
from dataclasses import replace

from minigrad.ir.number import Number
from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import BOOL, FLOAT64, INT64, Scalar, dtypes_of
from minigrad.ir.rules.product import outer_over_steps
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


@functools.cache
def of_operators(op, but: tuple = (ast.Pow,)) -> bool:
    """Whether the expression of an op has operators (none of those in `but`) and `where` alone, which mean the same for
    numbers of every type."""
    calls = [node for node in ast.walk(ast.parse(op.expression)) if isinstance(node, (ast.Call, *but))]
    return all(isinstance(node, ast.Call) and ast.unparse(node.func) == "where" for node in calls)


def takes(v, main) -> bool:
    """Functions are of the main type; with numbers of float32 they are taken in float64, but not the other way."""
    kinds = dtypes_of(v) - {BOOL}
    if kinds == {INT64}:
        return of_operators(v.op, (ast.Pow, ast.Div))
    return len(kinds) < 2 and (kinds <= {main} or of_operators(v.op) or main == FLOAT64)


def masks(v) -> tuple[int, ...]:
    """`where` of a value and 0 is linear in the value."""
    other = v.inputs[2]
    return (1,) if type(other) is Number and other.value == 0 else ()


def of_integers(make) -> Rule:
    """Of a function that kernels have of floats alone. make: (o, *inputs) -> the same of integers, by operators."""

    def lower(o, value, *inputs):
        if value.dtype.kind not in "iu":
            return None
        return make(o, *[x if type(x) is Number else o.astype(x, dtype=value.dtype) for x in inputs])

    return replace(ELEMENTWISE, lower=lower)


def abs_of_integers(o, x):
    return o.where(o.less(x, 0), o.neg(x), x)


def sign_of_integers(o, x):
    above, below = o.greater(x, 0), o.less(x, 0)
    return o.sub(o.astype(above, dtype=x.dtype), o.astype(below, dtype=x.dtype))


def power_of_integers(o, a, b):
    """With a constant exponent, by squaring."""
    if type(b) is not Number or b.value < 0:
        return None
    result, square, n = o.add(o.mul(a, 0), 1), a, int(b.value)
    while n:
        result = o.mul(result, square) if n % 2 else result
        square, n = o.mul(square, square), n // 2
    return result


def of_booleans(text: str) -> Rule:
    return replace(ELEMENTWISE, kernel=Scalar(takes, booleans=text))


def aligned(o, value, *inputs):
    """With all axes of the value for an operand that has several, but fewer: its rows are then on the same axis as the
    value's, and threads may divide them. (B, M) with (T, B, M) is (1, B, M) with it."""

    def short(x) -> bool:
        return type(x) is not Number and 1 < x.ndim < value.ndim

    if not any(map(short, inputs)):
        return None
    wide = [o.reshape(x, shape=(*[1] * (value.ndim - x.ndim), *x.shape)) if short(x) else x for x in inputs]
    return getattr(o, value.op.name)(*wide)


ELEMENTWISE = Rule(
    batch=batch.elementwise, partition=partition.elementwise, stacked=partition.elementwise_stacked,
    kernel=Scalar(takes), light=lambda v: of_operators(v.op), lower=aligned,
)  # fmt: skip
NONZERO = Scalar(takes, booleans="({y}) != 0")  # in a kernel the sum, or product, of two booleans is an integer
RULES = {
    # the sum of -0.0 and 0.0 is 0.0, so that 0.0 is not neutral
    "add": replace(ELEMENTWISE, identity=neutral(-0.0, -0.0), cheap=of_one_value, kernel=NONZERO, additive=True),
    "sub": replace(ELEMENTWISE, identity=neutral(None, 0.0), cheap=of_one_value),
    "mul": replace(
        ELEMENTWISE,
        identity=neutral(1, 1),
        cheap=of_one_value,
        kernel=NONZERO,
        linear=(0, 1),
        over_steps=outer_over_steps,
    ),
    "div": replace(ELEMENTWISE, identity=neutral(None, 1), linear=(0,)),
    "abs": of_integers(abs_of_integers),
    "sign": of_integers(sign_of_integers),
    "pow": of_integers(power_of_integers),
    **dict.fromkeys(["floor", "ceil", "round"], of_integers(lambda o, x: x)),
    "neg": replace(ELEMENTWISE, cheap=True, additive=True, linear=(0,)),
    "equal": of_booleans("{y}"),
    "not_equal": of_booleans("{y}"),
    "where": replace(of_booleans("{y}"), linear=masks),
    "logical_and": of_booleans("{a} & {b}"),
    "logical_or": of_booleans("{a} | {b}"),
    "logical_xor": of_booleans("{a} ^ {b}"),
    "logical_not": of_booleans("not {x}"),
}
