"""Softmax and its kin: over axes counted from the front."""

from functools import partial

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.rule import Rule
from minigrad.ops.shape import axes_of


def over_axes(name: str, p, x, *others, axis, **params):
    axes = tuple(sorted(axes_of(axis, x.ndim)))
    return None if axis == axes else p.apply(name, x, *others, axis=axes, **params)


def stop_gradient(p, x):
    return x  # the tape has seen it


def stop_gradient_batched(b, x):
    return b.o.stop_gradient(x)


NAMES = ("softmax", "softmax_pull", "log_softmax", "log_softmax_pull", "standardize", "standardize_pull")
RULES = {
    name: Rule(canonical=partial(over_axes, name), batch=batch.over_axes, partition=partition.along_axes)
    for name in NAMES
}
RULES["stop_gradient"] = Rule(canonical=stop_gradient, batch=stop_gradient_batched)
