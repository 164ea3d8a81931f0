"""An op of one step applied to all steps at once: what hoisting and sinking move a value with.

before (in a loop over t)      after (outside, X of shape (T, B, I))
p = x @ W                      P = X @ W
q = concatenate([p, p], -1)    Q = concatenate([P, P], -1)
"""

import math

from minigrad.ir.rewrite import is_elementwise, swapped
from minigrad.ir.trace import Value
from minigrad.ops.table import Spec


def over_time(program, value: Value, inputs: tuple, stacked: list[bool], length: int):
    """The op of `value` on inputs of which some have a leading axis of steps; None if there is no rule for it."""
    op, params = value.op, value.params

    def aligned(x, is_stacked, ndim):
        """A stacked input with as many axes behind that of the steps as the result has."""
        if not is_stacked or x.ndim - 1 == ndim:
            return x
        return program.apply("reshape", x, shape=(length, *[1] * (ndim - x.ndim + 1), *x.shape[1:]))

    if is_elementwise(value):
        operands = [aligned(x, s, value.ndim) if isinstance(x, Value) else x for x, s in zip(inputs, stacked)]
        return program.record(op, operands, {}, Spec((length, *value.shape), value.dtype))
    name = op.name
    if name == "matmul":
        (a, b), (on_a, on_b) = inputs, stacked
        if on_a and not on_b and b.ndim <= 2:
            return program.apply("matmul", a, b)
        if on_b and not on_a and a.ndim == 2 and b.ndim == 2:  # W @ x for a column x
            return program.apply("matmul", b, swapped(program, a))
        return None
    if name in ("embedding", "take") and not stacked[0] and (name == "embedding" or params["axis"] == 0):
        return program.apply(name, *inputs, **params)
    if name in ("conv2d", "conv_transpose2d") and stacked[0] and not any(stacked[1:]):
        x = inputs[0]
        y = program.apply(name, program.apply("reshape", x, shape=merged(x)), *inputs[1:], **params)
        return program.apply("reshape", y, shape=(length, *value.shape))
    if not all(stacked):
        return None
    x = inputs[0]
    if name == "transpose":
        return program.apply(name, x, axes=(0, *[a + 1 for a in params["axes"]]))
    if name == "reshape":
        return program.apply(name, x, shape=(length, *value.shape))
    if name == "broadcast_to":
        return program.apply(name, aligned(x, True, value.ndim), shape=(length, *value.shape))
    if name == "astype":
        return program.apply(name, x, **params)
    if name == "concatenate":
        return program.apply(name, *inputs, axis=params["axis"] + 1)
    if name == "getitem":
        return program.apply(name, x, index=(slice(None), *params["index"]))
    if name in ("sum", "max", "min"):
        axes = tuple([a + 1 for a in params["axis"]])
        return program.apply(name, x, **{**params, "axis": axes})
    return None


def merged(x) -> tuple:
    """Shape of stacked images with steps and samples as one axis."""
    return (math.prod(x.shape[:2]), *x.shape[2:])
