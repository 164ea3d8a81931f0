"""Losses. `reduction` is "mean", "sum" or "none", as in PyTorch."""

from typing import Literal

import numpy as np

from minigrad.arguments import Finite
from minigrad.kernels import rows
from minigrad.kernels.entry import in_order
from minigrad.ops.declare import composite, op
from minigrad.ops.elementwise import not_equal, square, where
from minigrad.ops.neural import softmax
from minigrad.ops.pointwise import elementwise
from minigrad.ops.reduce import sum
from minigrad.ops.shape import astype, reshape, transpose
from minigrad.ops.table import Spec, filled

Reduction = Literal["mean", "sum", "none"]


def _reduced(losses, reduction, count=None):
    """The losses, their sum, or that over their number."""
    if reduction == "none":
        return losses
    total = sum(losses)
    return total / (losses.size if count is None else count) if reduction == "mean" else total


# Regression


def _require_equal(x, target) -> None:
    """PyTorch broadcasts, warning that this is rarely meant; here it is an error."""
    if x.shape != target.shape:
        raise ValueError(f"got shapes {x.shape} and {target.shape}, wanted equal ones")


def _pair_sample(d):
    shape = d.shape()
    return d.array(shape), d.array(shape), {"reduction": d.choice(["mean", "sum", "none"])}


@composite(sample=_pair_sample, method=False)
def mse(x, target, /, reduction: Reduction = "mean"):
    """Squared error, (x - target)²."""
    _require_equal(x, target)
    return _reduced(square(x - target), reduction)


_huber = elementwise(
    "huber_penalty(x, delta)", "where(abs(x) <= delta, 0.5 * x * x, delta * (abs(x) - 0.5 * delta))",
    x="g * where(x >= delta, delta, where(x <= -delta, -delta, x))",
    delta="where(abs(x) < delta, 0, g) * where(abs(x) < delta, 0, abs(x) - delta)",
    domain={"x": (-3, 3), "delta": (0.2, 2)}, kinks={"x": ()}, method=False, public=False,
    doc="x² / 2 up to |x| = delta, delta (|x| - delta / 2) beyond (Huber 1964).",
)  # fmt: skip


@composite(
    sample=lambda d: (d.array((2, 3)), d.array((2, 3)), {"reduction": d.choice(["mean", "sum", "none"]), "delta": 0.7}),
    method=False,
)
def huber(x, target, /, reduction: Reduction = "mean", delta: Finite = 1.0):
    """Half the squared error up to delta > 0, delta times the absolute error beyond, less delta² / 2 (Huber 1964)."""
    if not delta > 0:
        raise ValueError(f"delta={delta}, wanted more than 0")
    _require_equal(x, target)
    return _reduced(_huber(x - target, delta), reduction)


# Classification

_logistic = elementwise(
    "logistic_loss(x, target)", "target * softplus(-x) + (1 - target) * softplus(x)", x="g * (sigmoid(x) - target)",
    target="-g * x", domain={"x": (-3, 3), "target": (0, 1)}, method=False, public=False,
    doc="-log of the probability that sigmoid(x) gives the target.",
)  # fmt: skip


@composite(sample=_pair_sample, method=False)
def binary_cross_entropy_with_logits(x, target, /, reduction: Reduction = "mean"):
    """-(target log(sigmoid(x)) + (1 - target) log(1 - sigmoid(x))), without overflow for any finite logit x."""
    _require_equal(x, target)
    return _reduced(_logistic(x, target), reduction)


def _rows_shape(logits: Spec, targets: Spec) -> Spec:
    if logits.dtype.kind != "f" or targets.dtype.kind not in "iu":
        raise TypeError("wanted float logits and integer targets")
    if logits.shape[:-1] != targets.shape or logits.ndim == 0:
        raise ValueError("wanted logits (..., classes) and targets (...)")
    return Spec(targets.shape, logits.dtype)


def _rows_sample(d):
    shape = d.shape(1)
    return d.array(shape), d.indices(shape[:-1], shape[-1])


@op(
    shape=_rows_shape,
    sample=lambda d: (*_rows_sample(d), {}),
    logits=lambda g, logits, targets: softmax_error(g, logits, targets),
    method=False,
)
def softmax_cross_entropy(logits, targets, /):
    """-log_softmax(logits)[target] along the last axis. logits: (..., classes). targets: (...) integers."""
    _rows_shape(logits, targets)
    losses = np.empty(targets.shape, logits.dtype)
    return rows.run("cross_entropy", logits.shape[-1], losses, *_as_rows(logits, targets))


def _as_rows(logits, targets):
    return in_order(np.asarray(logits)), in_order(np.asarray(targets, np.int64))


def _error_shape(g: Spec, logits: Spec, targets: Spec) -> tuple[int, ...]:
    _rows_shape(logits, targets)
    if g.shape != targets.shape:
        raise ValueError("wanted a cotangent of the targets' shape")
    return logits.shape


def _error_g(cotangent, logits, targets):
    ones = filled(targets.shape, logits.dtype, 1)
    return sum(cotangent * softmax_error(ones, logits, targets), axis=-1)


def _error_logits(cotangent, g, logits):
    y = softmax(where(reshape(not_equal(g, 0), (*g.shape, 1)), logits, 0))
    product = cotangent * y
    return reshape(g, (*g.shape, 1)) * (product - y * sum(product, axis=-1, keepdims=True))


@op(
    shape=_error_shape,
    sample=lambda d: (lambda logits, targets: (d.array(targets.shape), logits, targets, {}))(*_rows_sample(d)),
    g=_error_g,
    logits=_error_logits,
    method=False,
    public=False,
)
def softmax_error(g, logits, targets, /):
    """g (softmax(logits) - one_hot(targets)): how softmax_cross_entropy pulls back g, (...). 0 where g is 0, whatever
    the logits are: those of an ignored target may be NaN."""
    _error_shape(g, logits, targets)
    operands = in_order(np.asarray(g)), *_as_rows(logits, targets)
    return rows.run("cross_entropy_pull", logits.shape[-1], np.empty(logits.shape, logits.dtype), *operands)


def _cross_entropy_sample(d):
    shape = d.choice([(3,), (2, 3), (2, 3, 2), (2, 3, 2, 1)])
    targets = d.indices(shape[:1] + shape[2:] if len(shape) > 1 else (), 3)
    return (
        d.array(shape),
        targets,
        {"reduction": d.choice(["mean", "sum", "none"]), "ignore_index": d.choice([-100, 7])},
    )


@composite(sample=_cross_entropy_sample, method=False)
def cross_entropy(logits, targets, /, reduction: Reduction = "mean", ignore_index: int = -100):
    """-log of the probability that softmax(logits) gives the targets.

    logits: (classes,), (N, classes) or (N, classes, d1, ...): classes along axis 1, as in PyTorch; reshape a
    sequence's, (T, N, classes), to (T * N, classes). targets: integers, of the shape without classes. Where a target is
    ignore_index the loss and its gradient are 0, whatever the logits are (NaN, too), and the mean does not count it (it
    is NaN if nothing is left).

    Raises IndexError for a target that is no class, ValueError for shapes that do not fit, TypeError for float targets.
    """
    if logits.ndim == 0:
        raise ValueError("got logits without an axis, wanted (classes,), (N, classes) or (N, classes, d1, ...)")
    wanted = logits.shape[:1] + logits.shape[2:] if logits.ndim > 1 else ()
    if targets.shape != wanted:
        raise ValueError(f"got logits {logits.shape} and targets {targets.shape}, wanted targets {wanted}")
    if targets.dtype.kind not in "iu":
        raise TypeError(f"got targets of {targets.dtype}, wanted integer classes; use targets.argmax(axis=1)")
    if logits.ndim > 2:
        logits = transpose(logits, (0, *range(2, logits.ndim), 1))
    kept = not_equal(targets, ignore_index)
    losses = where(kept, softmax_cross_entropy(logits, where(kept, targets, 0)), 0)
    return _reduced(losses, reduction, astype(sum(kept), losses.dtype))
