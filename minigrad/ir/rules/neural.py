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


# With a weight and a bias. In loops these are what they consist of, so that every pass sees it.


def affine(p, x, weight, bias, axis, eps):
    return None if p.parent is None else affine_composed(batch.ops_of(p), x, weight, bias, axis, eps)


def affine_composed(o, x, weight, bias, axis, eps):
    return o.add(o.mul(o.standardize(x, axis=axis, eps=eps), weight), bias)


def affine_pull(p, g, x, weight, axis, eps):
    return None if p.parent is None else affine_pull_composed(batch.ops_of(p), g, x, weight, axis, eps)


def affine_pull_composed(o, g, x, weight, axis, eps):
    z = o.standardize(x, axis=axis, eps=eps)
    sums = [summed(o, y, weight.shape) for y in (o.mul(g, z), g)]
    return [o.standardize_pull(o.mul(g, weight), x, z, axis=axis, eps=eps), *sums]


def summed(o, y, shape, kept: int = 0):
    """The sum to a shape that broadcasts to that of y, but for the leading axes that are kept."""
    ndim = y.ndim - kept
    wide = (1,) * (ndim - len(shape)) + tuple(shape)
    axes = tuple([kept + k for k, n in enumerate(wide) if k < ndim - len(shape) or (n == 1 and y.shape[kept + k] != 1)])
    y = o.sum(y, axis=axes, keepdims=False) if axes else y
    return y if len(y.shape) == kept + len(shape) else o.reshape(y, shape=(*y.shape[:kept], *shape))


def affine_batched(b, x, weight, bias, axis, eps):
    x, ndim = b.whole(0), len(b.shape(0))
    axes = tuple([k + 1 for k in axes_of(axis, ndim)])
    if not any(b.on[1:]):
        return b.apply(x, weight, bias, axis=axes, eps=eps)
    return b.o.add(b.o.mul(b.o.standardize(x, axis=axes, eps=eps), b.padded(1, ndim)), b.padded(2, ndim))


def affine_pull_batched(b, g, x, weight, axis, eps):
    g, x, ndim = b.whole(0), b.whole(1), len(b.shape(0))
    axes = tuple([k + 1 for k in axes_of(axis, ndim)])
    z = b.o.standardize(x, axis=axes, eps=eps)
    sums = [summed(b.o, y, b.shape(2), 1) for y in (b.o.mul(g, z), g)]
    return [b.o.standardize_pull(b.o.mul(g, b.padded(2, ndim)), x, z, axis=axes, eps=eps), *sums]


@partition.of_rows
def affine_partition(v, *by_row):
    return by_row == (True, False, False) and 0 not in axes_of(v.params["axis"], v.ndim)


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
RULES |= {
    "standardize_affine": Rule(
        canonical=affine, batch=affine_batched, partition=affine_partition
    ),
    "standardize_affine_pull": Rule(
        canonical=affine_pull, batch=affine_pull_batched, partition=partition.mixes
    ),
}  # fmt: skip
RULES["stop_gradient"] = Rule(canonical=stop_gradient, batch=stop_gradient_batched, flops=no_flops)
