"""Losses: a number for each row of logits."""

from minigrad.ir.number import Number
from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import INT64
from minigrad.ir.rules.reduce import total
from minigrad.ir.rules.rule import Rule

# In loops: what kernels are made of


def places_of(o, targets, n):
    """Where the targets' classes lie in their rows; a negative one is none."""
    places = o.astype(targets, dtype=INT64) if targets.dtype != INT64 else targets
    places = o.where(o.less(places, Number(0, INT64)), Number(n, INT64), places)
    return o.reshape(places, shape=(*targets.shape, 1))


def softmax_cross_entropy_lowered(o, value, logits, targets):
    last = logits.ndim - 1
    d = o.sub(logits, total(o, logits, last, "max"))
    picked = o.take_along_axis(d, places_of(o, targets, logits.shape[-1]), axis=last)
    return o.reshape(o.sub(o.log(total(o, o.exp(d), last)), picked), shape=value.shape)


def softmax_error_lowered(o, value, g, logits, targets):
    last = logits.ndim - 1
    column = o.reshape(g, shape=(*g.shape, 1))
    x = o.where(o.not_equal(column, Number(0.0, g.dtype)), logits, Number(0.0, g.dtype))
    e = o.exp(o.sub(x, total(o, x, last, "max")))
    share = o.mul(o.div(column, total(o, e, last)), e)
    places = places_of(o, targets, logits.shape[-1])
    return o.sub(share, o.untake_along_axis(column, places, shape=value.shape, axis=last))


RULES = {
    "softmax_cross_entropy": Rule(
        batch=batch.leading, partition=partition.leading, lower=softmax_cross_entropy_lowered
    ),
    "softmax_error": Rule(batch=batch.leading, partition=partition.leading, lower=softmax_error_lowered),
}
