"""In loops, ops that have a kernel of their own become the ops that a loop's kernel is made of.

    before                       after
    p = softmax(a)               m = max(a);  e = exp(a - m);  s = sum(e);  p = e / s

Outside of loops they stay what they are: one sweep over the rows each.
"""

import math

import numpy as np

from minigrad.compile.passes.clean import place
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import order_of, rewrite
from minigrad.ir.trace import Number, Value
from minigrad.ops.shape import axes_of


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
    rule = RULES.get(getattr(value.op, "name", ""))
    return rule(Ops(program), value, *inputs, **value.params) if rule else None


class Ops:
    """The ops of the table, on values of a program, by name."""

    def __init__(self, program):
        self.program = program

    def __getattr__(self, name):
        return lambda *inputs, **params: self.program.apply(name, *inputs, **params)

    def total(self, x, axis, kind="sum"):
        return self.program.apply(kind, x, axis=axes_of(axis, x.ndim), keepdims=True)


def softmax(o, value, x, axis):
    e = o.exp(o.sub(x, o.total(x, axis, "max")))
    return o.div(e, o.total(e, axis))


def softmax_pull(o, value, g, p, axis):
    return o.mul(p, o.sub(g, o.total(o.mul(g, p), axis)))


def log_softmax(o, value, x, axis):
    d = o.sub(x, o.total(x, axis, "max"))
    return o.sub(d, o.log(o.total(o.exp(d), axis)))


def log_softmax_pull(o, value, g, log_p, axis):
    return o.sub(g, o.mul(o.exp(log_p), o.total(g, axis)))


def logsumexp(o, value, x, axis, keepdims=False):
    top = o.total(x, axis, "max")
    top = o.where(o.isfinite(top), top, 0.0)
    y = o.add(o.log(o.total(o.exp(o.sub(x, top)), axis)), top)
    return o.reshape(y, shape=value.shape)


def centred(o, x, axis, eps):
    """x less its mean, and 1 / its standard deviation."""
    n = math.prod([x.shape[a] for a in axes_of(axis, x.ndim)])
    d = o.sub(x, o.mul(o.total(x, axis), 1 / n))
    return d, o.rsqrt(o.add(o.mul(o.total(o.mul(d, d), axis), 1 / n), eps)), 1 / n


def standardize(o, value, x, axis, eps):
    d, scale, _ = centred(o, x, axis, eps)
    return o.mul(d, scale)


def standardize_pull(o, value, g, x, z, axis, eps):
    _, scale, per = centred(o, x, axis, eps)
    of_g, of_gz = o.mul(o.total(g, axis), per), o.mul(o.total(o.mul(g, z), axis), per)
    return o.mul(scale, o.sub(o.sub(g, of_g), o.mul(z, of_gz)))


def conv2d(o, value, x, w, bias=None, **params):
    if bias is None:
        return None
    return o.add(o.conv2d(x, w, None, **params), o.reshape(bias, shape=(1, bias.size, 1, 1)))


def astype(o, value, x, dtype):
    if x.dtype != bool or np.dtype(dtype).kind != "f":
        return None
    return o.where(x, Number(1.0, dtype), Number(0.0, dtype))


def unindex(o, value, g, shape, index):
    """Zeros around g, where the index is made of integers and slices without steps."""
    bounds = [(p.start, p.stop) if isinstance(p, slice) else (p, p + 1) for p in index]
    if any(isinstance(p, slice) and p.step != 1 for p in index):
        return None
    if any(a == b for a, b in bounds):
        return None
    y = o.reshape(g, shape=tuple([b - a for a, b in bounds]))
    for axis, ((start, stop), n) in enumerate(zip(bounds, shape)):
        parts = [y]
        for size, before in ((start, True), (n - stop, False)):
            if size:
                one = o.getitem(y, index=(*[slice(None)] * axis, slice(0, 1)))
                zeros = o.where(o.isnan(one), *[Number(0.0, one.dtype)] * 2)
                zeros = o.broadcast_to(zeros, shape=(*y.shape[:axis], size, *y.shape[axis + 1 :]))
                parts = [zeros, *parts] if before else [*parts, zeros]
        y = o.concatenate(*parts, axis=axis) if len(parts) > 1 else y
    return y


RULES = {
    f.__name__: f
    for f in (
        softmax,
        softmax_pull,
        log_softmax,
        log_softmax_pull,
        logsumexp,
        standardize,
        standardize_pull,
        conv2d,
        astype,
        unindex,
    )
}
