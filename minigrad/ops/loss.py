"""Losses. `reduction` is "mean", "sum" or "none", as in PyTorch."""

from typing import Literal

import numpy as np

from minigrad.arguments import Finite, Probability
from minigrad.kernels import rows
from minigrad.kernels.entry import in_order
from minigrad.ops.along import take, take_along_axis
from minigrad.ops.declare import composite, op
from minigrad.ops.elementwise import not_equal, softplus, square, where
from minigrad.ops.neural import log_softmax, softmax
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
    """Squared error, (x - target)².

    Examples
    --------
    >>> mg.mse([1.0, 2.0], [1.0, 4.0])
    tensor(2., dtype=float32)
    """
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
    """Half the squared error up to delta > 0, delta times the absolute error beyond, less delta² / 2 (Huber 1964).

    Examples
    --------
    >>> mg.huber([0.0, 0.0], [0.5, 3.0], reduction="none")
    tensor([0.125, 2.5  ], dtype=float32)
    """
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


def _logits_sample(d):
    shape = d.shape()
    weights = [d.choice([None, np.abs(d.array(shape[-1:])) + 0.1]) for _ in range(2)]
    return d.array(shape), d.array(shape, 0, 1), *weights, {"reduction": d.choice(["mean", "sum", "none"])}


@composite(sample=_logits_sample, method=False)
def binary_cross_entropy_with_logits(x, target, weight=None, pos_weight=None, /, reduction: Reduction = "mean"):
    """-(target log(sigmoid(x)) + (1 - target) log(1 - sigmoid(x))), without overflow for any finite logit x.

    weight: a factor of each loss. pos_weight: one of its part with the target. Both may be broadcast. As in PyTorch,
    the mean is over all losses, whatever their weights.

    Examples
    --------
    >>> mg.binary_cross_entropy_with_logits([0.0, 100.0], [1.0, 1.0]).round(decimals=4)
    tensor(0.3466, dtype=float32)
    """
    _require_equal(x, target)
    if pos_weight is None:
        losses = _logistic(x, target)
    else:
        losses = pos_weight * target * softplus(-x) + (1 - target) * softplus(x)
    return _reduced(losses if weight is None else losses * weight, reduction)


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
    """-log_softmax(logits)[target] along the last axis. logits: (..., classes). targets: (...) integers.

    Examples
    --------
    >>> mg.softmax_cross_entropy([[0.0, 0.0]], [1]).round(decimals=4)
    tensor([0.6931], dtype=float32)
    """
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


def _classes_last(x, targets):
    """x (classes,), (N, classes) or (N, classes, d1, ...) with the classes along its last axis, and targets of classes,
    or of a probability for each, alike."""
    if x.ndim == 0:
        raise ValueError("got an x without an axis, wanted (classes,), (N, classes) or (N, classes, d1, ...)")
    classes = targets.dtype.kind in "iu"
    wanted = x.shape[:1] * (x.ndim > 1) + x.shape[2:] if classes else x.shape
    if targets.shape != wanted:
        raise ValueError(f"got x {x.shape} and targets of {targets.dtype} {targets.shape}, wanted targets {wanted}")
    if targets.dtype.kind not in "iuf":
        raise TypeError(f"got targets of {targets.dtype}, wanted integer classes, or a probability for each class")
    if x.ndim > 2:
        order = (0, *range(2, x.ndim), 1)
        return transpose(x, order), targets if classes else transpose(targets, order)
    return x, targets


def _class_weight(weight, x):
    if weight.shape != x.shape[-1:]:
        raise ValueError(f"got a weight of shape {weight.shape}, wanted one number for each class, {x.shape[-1:]}")
    return weight


def _of_rows(losses, classes, kept, weight):
    """The losses times the weights of their classes, 0 where they are not kept; what a mean divides their sum by."""
    losses = where(kept, losses, 0)
    if weight is None:
        return losses, astype(sum(kept), losses.dtype)
    weights = where(kept, take(weight, classes, 0), 0)
    return losses * weights, sum(weights)


def _classes_sample(d):
    shape = d.choice([(3,), (2, 3), (2, 3, 2), (2, 3, 2, 1)])
    params = {"reduction": d.choice(["mean", "sum", "none"]), "ignore_index": d.choice([-100, 7])}
    weight = d.choice([None, np.abs(d.array((3,))) + 0.1])
    return d.array(shape), d.indices(shape[:1] * (len(shape) > 1) + shape[2:], 3), weight, params


def _cross_entropy_sample(d):
    logits, targets, weight, params = _classes_sample(d)
    targets = d.choice([targets, d.array(logits.shape, 0, 1)])
    return logits, targets, weight, {**params, "label_smoothing": d.choice([0.0, 0.1])}


@composite(sample=_classes_sample, method=False)
def nll_loss(x, targets, weight=None, /, reduction: Reduction = "mean", ignore_index: int = -100):
    """-x of the targets' classes, where x are logarithms of probabilities; all else as in `cross_entropy`.

    Examples
    --------
    >>> mg.nll_loss([[-0.5, -1.0]], [1])
    tensor(1., dtype=float32)
    """
    x, targets = _classes_last(x, targets)
    if targets.dtype.kind == "f":
        raise TypeError("got float targets, wanted integer classes; use targets.argmax(axis=1)")
    kept = not_equal(targets, ignore_index)
    classes = where(kept, targets, 0)
    at = reshape(where(classes < 0, x.shape[-1], classes), (*targets.shape, 1))  # a negative one is none
    losses = -reshape(take_along_axis(x, at, -1), targets.shape)
    losses, count = _of_rows(losses, classes, kept, None if weight is None else _class_weight(weight, x))
    return _reduced(losses, reduction, count)


@composite(sample=_cross_entropy_sample, method=False)
def cross_entropy(
    logits, targets, weight=None, /, reduction: Reduction = "mean", ignore_index: int = -100,
    label_smoothing: Probability = 0.0,
):  # fmt: skip
    """-log of the probability that softmax(logits) gives the targets.

    logits: (classes,), (N, classes) or (N, classes, d1, ...): classes along axis 1, as in PyTorch; reshape a
    sequence's, (T, N, classes), to (T * N, classes). targets: integers, of the shape without classes; or floats, of the
    logits' shape, a probability for each class. weight: a factor for each class; the mean is then the weighted one, as
    in PyTorch, but for probabilities the mean over all rows. Where an integer target is ignore_index the loss and its
    gradient are 0, whatever the logits are (NaN, too), and the mean does not count it (it is NaN if nothing is left).
    label_smoothing: that part of each target is shared by all classes alike (Szegedy et al. 2016, arXiv:1512.00567).

    Raises IndexError for a target that is no class, ValueError for shapes that do not fit.

    Examples
    --------
    >>> mg.cross_entropy([[0.0, 0.0], [100.0, 0.0]], [1, 0]).round(decimals=4)
    tensor(0.3466, dtype=float32)
    """
    logits, targets = _classes_last(logits, targets)
    n = logits.shape[-1]
    weight = None if weight is None else _class_weight(weight, logits)
    if targets.dtype.kind == "f":
        targets = targets * (1 - label_smoothing) + label_smoothing / n if label_smoothing else targets
        terms = log_softmax(logits, -1) * targets
        losses = -sum(terms if weight is None else terms * weight, axis=-1)
        return _reduced(losses, reduction)
    kept = not_equal(targets, ignore_index)
    classes = where(kept, targets, 0)
    losses, count = _of_rows(softmax_cross_entropy(logits, classes), classes, kept, weight)
    if label_smoothing:
        log_p = log_softmax(where(reshape(kept, (*kept.shape, 1)), logits, 0), -1)
        shared = -sum(log_p if weight is None else log_p * weight, axis=-1)
        losses = losses * (1 - label_smoothing) + where(kept, shared, 0) * (label_smoothing / n)
    return _reduced(losses, reduction, count)
