"""An op of one step applied to all steps at once: what hoisting and sinking move a value with.

before (in a loop over t)      after (outside, X of shape (T, B, I))
p = x @ W                      P = X @ W
q = concatenate([p, p], -1)    Q = concatenate([P, P], -1)
"""

import math

from minigrad.compile.passes.rewrite import apply, is_elementwise, swapped
from minigrad.compile.trace import Value
from minigrad.ops.index import is_basic
from minigrad.ops.shape import axes_of, axis_of
from minigrad.ops.table import Spec


def over_time(program, value: Value, inputs: tuple, stacked: list[bool], length: int):
    """The op of `value` on inputs of which some have a leading axis of steps; None if there is no rule for it.

    Results of an op that has several come as a list.
    """
    op, params = value.op, value.params

    def aligned(x, is_stacked, ndim):
        """A stacked input with as many axes behind that of the steps as the result has."""
        if not is_stacked or x.ndim - 1 == ndim:
            return x
        return apply(program, "reshape", x, shape=(length, *[1] * (ndim - x.ndim + 1), *x.shape[1:]))

    if is_elementwise(value):
        operands = [aligned(x, s, value.ndim) if isinstance(x, Value) else x for x, s in zip(inputs, stacked)]
        return program.record(op, operands, {}, Spec((length, *value.shape), value.dtype))
    name = op.name
    if name == "matmul":
        (a, b), (on_a, on_b) = inputs, stacked
        if on_a and not on_b and b.ndim <= 2:
            return apply(program, "matmul", a, b)
        if on_b and not on_a and a.ndim == 2 and b.ndim == 2:  # W @ x for a column x
            return apply(program, "matmul", b, swapped(program, a))
        return None
    if name in ("embedding", "take") and not stacked[0] and (name == "embedding" or params["axis"] in (0, None)):
        return apply(program, name, *inputs, **params)
    if name in ("conv2d", "conv_transpose2d") and stacked[0] and not any(stacked[1:]):
        x = inputs[0]
        y = apply(program, name, apply(program, "reshape", x, shape=merged(x)), *inputs[1:], **params)
        return apply(program, "reshape", y, shape=(length, *value.shape))
    if not all(stacked):
        return None
    x = inputs[0]
    if name == "swapaxes":
        n = value.ndim
        return apply(program, name, x, axis1=axis_of(params["axis1"], n) + 1, axis2=axis_of(params["axis2"], n) + 1)
    if name == "transpose":
        axes = params["axes"]
        order = range(value.ndim)[::-1] if axes is None else axes_of(axes, value.ndim)
        return apply(program, name, x, axes=(0, *[a + 1 for a in order]))
    if name == "reshape":
        return apply(program, name, x, shape=(length, *value.shape))
    if name == "broadcast_to":
        return apply(program, name, aligned(x, True, value.ndim), shape=(length, *value.shape))
    if name == "astype":
        return apply(program, name, x, **params)
    if name == "concatenate":
        return program.record(
            op, inputs, {"axis": axis_of(params["axis"], value.ndim) + 1}, Spec((length, *value.shape), value.dtype)
        )
    if name == "split":
        return apply(program, name, x, sections=params["sections"], axis=axis_of(params["axis"], x.ndim - 1) + 1)
    if name == "getitem" and is_basic(params["index"]):
        index = params["index"] if isinstance(params["index"], tuple) else (params["index"],)
        return apply(program, name, x, index=(slice(None), *index))
    if name in ("sum", "max", "min") and params:
        axes = tuple([a + 1 for a in axes_of(params["axis"], x.ndim - 1)])
        return apply(program, name, x, **{**params, "axis": axes})
    return None


def merged(x) -> tuple:
    """Shape of stacked images with steps and samples as one axis."""
    return (math.prod(x.shape[:2]), *x.shape[2:])
