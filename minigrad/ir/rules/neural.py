"""Softmax and its kin: over axes counted from the front."""

import math
from functools import partial

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.reduce import total
from minigrad.ir.rules.rule import Rule, no_flops
from minigrad.ops.shape import axes_of


def over_axes(name: str, p, x, *others, axis, **params):
    axes = tuple(sorted(axes_of(axis, x.ndim)))
    return None if axis == axes else p.apply(name, x, *others, axis=axes, **params)


def stop_gradient(p, x):
    return x  # the tape has seen it


# In loops: what kernels are made of


def softmax_lowered(o, value, x, axis):
    e = o.exp(o.sub(x, total(o, x, axis, "max")))
    return o.div(e, total(o, e, axis))


def softmax_pull_lowered(o, value, g, p, axis):
    return o.mul(p, o.sub(g, total(o, o.mul(g, p), axis)))


def log_softmax_lowered(o, value, x, axis):
    d = o.sub(x, total(o, x, axis, "max"))
    return o.sub(d, o.log(total(o, o.exp(d), axis)))


def log_softmax_pull_lowered(o, value, g, log_p, axis):
    return o.sub(g, o.mul(o.exp(log_p), total(o, g, axis)))


def centred(o, x, axis, eps):
    """x less its mean, and 1 / its standard deviation."""
    n = math.prod([x.shape[a] for a in axes_of(axis, x.ndim)])
    d = o.sub(x, o.mul(total(o, x, axis), 1 / n))
    return d, o.rsqrt(o.add(o.mul(total(o, o.mul(d, d), axis), 1 / n), eps)), 1 / n


def standardize_lowered(o, value, x, axis, eps):
    d, scale, _ = centred(o, x, axis, eps)
    return o.mul(d, scale)


def standardize_pull_lowered(o, value, g, x, z, axis, eps):
    _, scale, per = centred(o, x, axis, eps)
    of_g, of_gz = o.mul(total(o, g, axis), per), o.mul(total(o, o.mul(g, z), axis), per)
    return o.mul(scale, o.sub(o.sub(g, of_g), o.mul(z, of_gz)))


def stop_gradient_batched(b, x):
    return b.o.stop_gradient(x)


def along(name: str, lower) -> Rule:
    return Rule(canonical=partial(over_axes, name), batch=batch.over_axes, partition=partition.along_axes, lower=lower)


RULES = {
    "softmax": along("softmax", softmax_lowered),
    "softmax_pull": along("softmax_pull", softmax_pull_lowered),
    "log_softmax": along("log_softmax", log_softmax_lowered),
    "log_softmax_pull": along("log_softmax_pull", log_softmax_pull_lowered),
    "standardize": along("standardize", standardize_lowered),
    "standardize_pull": along("standardize_pull", standardize_pull_lowered),
}
RULES["stop_gradient"] = Rule(canonical=stop_gradient, batch=stop_gradient_batched, flops=no_flops)
