"""Reductions over any axes, and running sums and products.

`axis` is an integer, several in a tuple, or None for all; with keepdims the reduced axes stay, of size 1.
"""

import builtins
import math

import numpy as np

from minigrad.arguments import described, is_number
from minigrad.dtypes import common_dtype
from minigrad.kernels import rows, sequential
from minigrad.kernels.entry import in_order
from minigrad.kernels.sums import add_reduce
from minigrad.ops.declare import composite, op
from minigrad.ops.elementwise import abs, exp, log, pow, sign, sqrt, square, where
from minigrad.ops.join import concatenate
from minigrad.ops.shape import astype, axes_of, axis_of, broadcast_to, flip, reshape, transpose
from minigrad.ops.table import FLOAT32, Spec, filled


def reduced(x: Spec, axis=None, keepdims=False) -> tuple[int, ...]:
    """Shape of a reduction of x."""
    axes = axes_of(axis, x.ndim)
    return tuple([1 if k in axes else n for k, n in enumerate(x.shape) if keepdims or k not in axes])


def _summed(x: Spec, axis=None, keepdims=False) -> Spec:
    """Sums and products of small integers are int64, as NumPy's."""
    return Spec(reduced(x, axis, keepdims), np.add.reduce(np.empty(0, x.dtype)).dtype)


def _extreme(x: Spec, axis=None, keepdims=False) -> tuple[int, ...]:
    if builtins.any(x.shape[a] == 0 for a in axes_of(axis, x.ndim)):
        raise ValueError(f"there is no largest or smallest of no elements (axis {axis} of shape {x.shape})")
    return reduced(x, axis, keepdims)


def _truth(x: Spec, axis=None, keepdims=False) -> Spec:
    return Spec(reduced(x, axis, keepdims), np.dtype(bool))


def expand(g, shape, axis):
    """A reduction's result or cotangent, with its reduced axes back as axes of size 1."""
    axes = axes_of(axis, len(shape))
    return reshape(g, tuple([1 if k in axes else n for k, n in enumerate(shape)]))


def _sample(d):
    x = d.array(d.shape())
    return x, dict(axis=d.axes(x.ndim), keepdims=d.boolean())


def _as_float(x):
    return x if x.dtype.kind == "f" else astype(x, FLOAT32)


# Sums


@op(
    shape=_summed,
    sample=_sample,
    x=lambda g, x_shape, axis: broadcast_to(expand(g, x_shape, axis), x_shape),
    numpy=np.sum,
)
def sum(x, /, axis=None, keepdims: bool = False):
    """Sum. Of integers and booleans: int64.

    Examples
    --------
    >>> mg.sum([[1, 2], [3, 4]], axis=0)
    tensor([4, 6], dtype=int64)
    """
    return add_reduce(x, axes_of(axis, x.ndim), keepdims)


def _summed_to(x: Spec, shape) -> tuple[int, ...]:
    lead = x.ndim - len(shape)
    if lead < 0 or not builtins.all(n in (1, m) for n, m in zip(shape, x.shape[lead:])):
        raise ValueError(f"a tensor of shape {tuple(shape)} does not broadcast to this")
    return tuple(shape)


@op(
    shape=_summed_to,
    sample=lambda d: (x := d.array(d.shape()), dict(shape=tuple(1 if d.boolean() else n for n in x.shape))),
    x=lambda g, x_shape: broadcast_to(g, x_shape),
    method=False,
    public=False,
    view=True,
)
def sum_to(x, /, shape):
    """Sum over the axes along which `shape` would be stretched to broadcast to x: the transpose of broadcasting."""
    _summed_to(x, shape)
    if x.size == math.prod(shape):
        return x.reshape(shape)
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple([lead + k for k, n in enumerate(shape) if n == 1 and x.shape[lead + k] != 1])
    total = add_reduce(x, axes) if x.dtype.kind == "f" else np.add.reduce(x, axis=axes, dtype=x.dtype)
    return total.reshape(shape)


@composite(sample=_sample, numpy=np.mean)
def mean(x, /, axis=None, keepdims: bool = False):
    """Arithmetic mean; NaN of no elements. Integers become float32.

    Examples
    --------
    >>> mg.mean([[1.0, 2.0], [3.0, 4.0]], axis=1)
    tensor([1.5, 3.5], dtype=float32)
    """
    return sum(_as_float(x), axis, keepdims) / _count(x, axis)


def _count(x, axis) -> int:
    """Number of elements in each sum over these axes."""
    return math.prod([x.shape[a] for a in axes_of(axis, x.ndim)])


@composite(
    sample=lambda d: (
        d.array((3, 4)),
        dict(axis=d.choice([None, 0, -1, (0, 1)]), ddof=d.choice([0, 1]), keepdims=d.boolean()),
    ),
    numpy=np.var,
)
def var(x, /, axis=None, ddof: float = 0, keepdims: bool = False):
    """Variance: squared deviations from the mean, summed and divided by n - ddof.

    The default is NumPy's, ddof=0. PyTorch's default, the unbiased estimate, is ddof=1.
    """
    x = _as_float(x)
    squares = square(x - mean(x, axis, keepdims=True))
    return sum(squares, axis, keepdims) / builtins.max(_count(x, axis) - ddof, 0)


@composite(sample=var.sample, numpy=np.std)
def std(x, /, axis=None, ddof: float = 0, keepdims: bool = False):
    """Standard deviation, the root of `var`: ddof=0 by default, as in NumPy; ddof=1 is PyTorch's default.

    Of equal values it is 0, and so is its gradient.
    """
    return _root(var(x, axis, ddof, keepdims))


def _root(x):
    """Square root, with the subgradient 0 at 0: the root there is taken of a 1, or inf times 0 would give NaN."""
    zero = x == 0
    return where(zero, 0.0, sqrt(where(zero, 1.0, x)))


def _ordinals(d):
    ord = d.choice([2, 1, 3, 1.5, 4, -1, math.inf, -math.inf])
    return d.array((3, 4)), dict(ord=ord, axis=d.choice([None, 0, -1, (0, 1)]))


@composite(sample=_ordinals, numpy=np.linalg.vector_norm)
def norm(x, /, ord=2, axis=None, keepdims: bool = False):
    """Vector norm, (sum of |x| to the power ord) to the power 1 / ord, over the given axes (all by default).

    ord: a number (the Frobenius norm is 2 over both axes); inf is the largest |x|, -inf the smallest, 0 the number of
    elements that are not 0. Where the norm is 0 so is its gradient; elements equal to 0 get none for ord below 2; ties
    of the largest |x| share alike (inf).

    Examples
    --------
    >>> mg.norm([3.0, 4.0])
    tensor(5., dtype=float32)
    """
    if not is_number(ord):
        raise TypeError(f"got ord={described(ord)}, wanted a number; the Frobenius norm is ord=2 over both axes")
    x = _as_float(x)
    if ord == math.inf:
        return max(abs(x), axis, keepdims)
    if ord == -math.inf:
        return min(abs(x), axis, keepdims)
    if ord == 1:
        return sum(abs(x), axis, keepdims)
    if ord == 0:
        return sum(abs(sign(x)), axis, keepdims)
    if ord == 2:
        return _root(sum(square(x), axis, keepdims))
    if ord % 2 == 0:  # smooth at 0, as |x| is not
        powers = pow(x, ord)
    elif 0 < ord < 2:  # infinitely steep at 0, in some derivative
        powers = where(x == 0, 0.0, pow(where(x == 0, 1.0, abs(x)), ord))
    else:
        powers = pow(abs(x), ord)
    total = sum(powers, axis, keepdims)
    zero = total == 0
    return where(zero, 0.0, pow(where(zero, 1.0, total), 1 / ord))


@op(
    shape=lambda x, axis, keepdims: Spec(reduced(x, axis, keepdims), x.dtype if x.dtype.kind == "f" else FLOAT32),
    sample=_sample,
    x=lambda g, x, y, axis: expand(g, x.shape, axis) * exp(x - expand(where(y == -math.inf, 0.0, y), x.shape, axis)),
)
def logsumexp(x, /, axis=None, keepdims: bool = False):
    """log(sum(exp(x))), by way of the largest x so that nothing overflows. Its gradient is the softmax.

    Where every x is -inf the result is -inf, and the gradient 0. Integers become float32.

    Examples
    --------
    >>> mg.logsumexp([1000.0, 1000.0]).round(decimals=4)
    tensor(1000.6932, dtype=float32)
    """
    x = x if x.dtype.kind == "f" else x.astype(FLOAT32)
    axes, shape = axes_of(axis, x.ndim), reduced(x, axis, keepdims)
    if x.size and builtins.min(axes, default=-1) == (last := x.ndim - len(axes)):
        return rows.run("logsumexp", math.prod(x.shape[last:]), np.empty(shape, x.dtype), in_order(x))
    top = np.maximum.reduce(x, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, x.dtype.type(0))
    y = log.op.forward_any(add_reduce(exp.op.forward_any(x - top), axes, True)) + top
    return y.reshape(shape)


# The largest and the smallest. A NaN among the elements is the result.


def _to_extremes(g, x, y, axis):
    """g handed to the elements that equal the result, in equal shares."""
    hit = astype((x == expand(y, x.shape, axis)) | (x != x), g.dtype)
    return expand(g, x.shape, axis) * (hit / sum(hit, axis, True))


@op(shape=_extreme, sample=_sample, x=_to_extremes, numpy=(np.max, np.amax))
def max(x, /, axis=None, keepdims: bool = False):
    """The largest element, NaN if there is one. Elements that tie for it share the gradient alike.

    Examples
    --------
    >>> mg.max([[1, 5], [4, 2]], axis=1)
    tensor([5, 4], dtype=int64)
    """
    return rows.extreme(np.maximum, x, axes_of(axis, x.ndim), keepdims)


@op(shape=_extreme, sample=_sample, x=_to_extremes, numpy=(np.min, np.amin))
def min(x, /, axis=None, keepdims: bool = False):
    """The smallest element, NaN if there is one. Elements that tie for it share the gradient alike."""
    return rows.extreme(np.minimum, x, axes_of(axis, x.ndim), keepdims)


def _place(x: Spec, axis=None, keepdims=False) -> Spec:
    return Spec(_extreme(x, axis if axis is None else axis_of(axis, x.ndim), keepdims), np.dtype(np.intp))


def _sample_one_axis(d):
    x = d.array(d.shape(1))
    return x, dict(axis=d.choice([None, d.axis(x.ndim)]), keepdims=d.boolean())


@op(shape=_place, sample=_sample_one_axis, numpy=np.argmax)
def argmax(x, /, axis=None, keepdims: bool = False):
    """Place of the largest element (the first of several) along an axis, or in the flattened x. No gradient.

    Examples
    --------
    >>> mg.argmax([[1, 5], [4, 2]], axis=1)
    tensor([1, 0], dtype=int64)
    """
    return np.argmax(x, axis if axis is None else axis_of(axis, x.ndim), keepdims=keepdims)


@op(shape=_place, sample=_sample_one_axis, numpy=np.argmin)
def argmin(x, /, axis=None, keepdims: bool = False):
    """Place of the smallest element (the first of several) along an axis, or in the flattened x. No gradient."""
    return np.argmin(x, axis if axis is None else axis_of(axis, x.ndim), keepdims=keepdims)


@op(shape=_truth, sample=_sample, numpy=np.any)
def any(x, /, axis=None, keepdims: bool = False):
    """Whether an element is true, that is, not 0. No gradient.

    Examples
    --------
    >>> mg.any([[False, True], [False, False]], axis=1)
    tensor([ True, False], dtype=bool)
    """
    return np.logical_or.reduce(x, axis=axes_of(axis, x.ndim), keepdims=keepdims)


@op(shape=_truth, sample=_sample, numpy=np.all)
def all(x, /, axis=None, keepdims: bool = False):
    """Whether every element is true, that is, not 0. No gradient.

    Examples
    --------
    >>> mg.all([[True, True], [True, False]], axis=1)
    tensor([ True, False], dtype=bool)
    """
    return np.logical_and.reduce(x, axis=axes_of(axis, x.ndim), keepdims=keepdims)


# Running sums, and products. The derivative of a product is the product of the *other* factors, which a division by
# one's own would lose at 0; so nothing here divides, and every derivative is exact whatever the factors are.


def _running(x: Spec, axis=None) -> Spec:
    if axis is not None:
        axis_of(axis, x.ndim)
    return Spec((x.size,) if axis is None else x.shape, np.add.reduce(np.empty(0, x.dtype)).dtype)


def _sample_running(d):
    x = d.array(d.shape(1))
    return x, dict(axis=d.choice([None, d.axis(x.ndim)]))


def _run(x, axis, product=False):
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis_of(axis, x.ndim))
    return sequential.running(x, axis, product)


@op(
    shape=_running,
    sample=_sample_running,
    x=lambda g, x_shape, axis: reshape(flip(cumsum(flip(g, axis), axis), axis), x_shape),
    numpy=np.cumsum,
)
def cumsum(x, /, axis=None):
    """Sums of the elements so far along an axis; None: of the flattened x. Of integers and booleans: int64.

    Examples
    --------
    >>> mg.cumsum([1, 2, 3])
    tensor([1, 3, 6], dtype=int64)
    """
    return _run(x, axis)


def _recurrence(b: Spec, a: Spec, axis=-1, transposed=False) -> Spec:
    axis_of(axis, b.ndim)
    if b.shape != a.shape or common_dtype([b, a]).kind != "f":
        raise ValueError("wanted float a and b of one shape")
    return Spec(b.shape, common_dtype([b, a]))


@op(
    shape=_recurrence,
    sample=lambda d: (d.array((2, 4)), d.array((2, 4)), dict(axis=d.choice([0, -1]), transposed=d.boolean())),
    b=lambda g, a, axis, transposed: linear_recurrence(g, a, axis, not transposed),
    a=lambda g, y, a, axis, transposed: _recurrence_a(g, y, a, axis, transposed),
    method=False,
    public=False,
)
def linear_recurrence(b, a, /, axis=-1, transposed: bool = False):
    """y[t] = b[t] + a[t] y[t - 1] along an axis, from y[0] = b[0].

    Transposed, it is the same linear map of b the other way: y[t] = b[t] + a[t + 1] y[t + 1].
    """
    _recurrence(b, a, axis)
    return sequential.linear_recurrence(b, a, axis_of(axis, b.ndim), transposed)


def _recurrence_a(g, y, a, axis, transposed):
    pulled = linear_recurrence(g, a, axis, not transposed)
    earlier, later = (pulled, y) if transposed else (y, pulled)
    return _before(earlier, axis, 0) * later


def _before(x, axis, first):
    """x moved one place on along an axis, with `first` in front."""
    axis = axis % x.ndim
    n = x.shape[axis]
    front = filled((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype, first)
    return concatenate([front, x], axis)[(slice(None),) * axis + (slice(0, n),)]


def _cumprod_x(g, x, y, axis):
    if axis is None:
        return reshape(_cumprod_x(g, reshape(x, (-1,)), y, 0), x.shape)
    return _before(y, axis, 1) * linear_recurrence(g, x, axis, True)


@op(shape=_running, sample=_sample_running, x=_cumprod_x, numpy=np.cumprod)
def cumprod(x, /, axis=None):
    """Products of the elements so far along an axis; None: of the flattened x. Of integers and booleans: int64."""
    return _run(x, axis, product=True)


def _prod_x(g, x, axis):
    axes = axes_of(axis, x.ndim)
    order = (*[k for k in range(x.ndim) if k not in axes], *axes)
    last = transpose(x, order)
    lined = reshape(last, (*last.shape[: x.ndim - len(axes)], math.prod([x.shape[a] for a in axes])))
    before = _before(cumprod(lined, -1), -1, 1)
    after = flip(_before(cumprod(flip(lined, -1), -1), -1, 1), -1)
    others = transpose(reshape(before * after, last.shape), tuple([order.index(k) for k in range(x.ndim)]))
    return expand(g, x.shape, axis) * others


@op(shape=_summed, sample=_sample, x=_prod_x, numpy=np.prod)
def prod(x, /, axis=None, keepdims: bool = False):
    """Product. Of integers and booleans: int64. Derivatives are exact at zeros, too."""
    return np.multiply.reduce(x, axis=axes_of(axis, x.ndim), keepdims=keepdims)
