"""Softmax, normalisation, dropout, and ops whose gradient is not their derivative."""

import math

import numpy as np

from minigrad.arguments import Finite, Probability, checked
from minigrad.dtypes import common_dtype
from minigrad.kernels import columns, loops, rows
from minigrad.kernels.entry import in_order
from minigrad.kernels.sums import add_reduce
from minigrad.modes import thread, tracing
from minigrad.ops.declare import composite, op
from minigrad.ops.elementwise import exp, greater_equal, rsqrt, where
from minigrad.ops.reduce import axes_of, mean, sum, sum_to, var
from minigrad.ops.table import Spec
from minigrad.tensor import as_array

# Softmax and standardisation: ops along an axis, and what pulls their cotangents back as an op of its own, so that each
# is one sweep over the rows. An op `..._pull` is written out with other ops in its vjps, for higher derivatives.


def _along(x: Spec, axis) -> tuple[int, ...]:
    """Shape of an op that works along an axis, or several, of a float tensor."""
    if x.dtype.kind != "f":
        raise TypeError("wanted float32 or float64; use x.astype")
    axes_of(axis, x.ndim)
    return x.shape


def _pulled_along(g: Spec, *others: Spec, axis=-1) -> tuple[int, ...]:
    if any(x.shape != g.shape for x in others):
        raise ValueError("wanted operands of one shape")
    if common_dtype([g, *others]).kind != "f":
        raise TypeError("wanted float32 or float64; use x.astype")
    axes_of(axis, g.ndim)
    return g.shape


def _sweep(kernel: str, axis, *operands: np.ndarray, eps: float | None = None) -> np.ndarray:
    """Run a kernel of rows.py along axes of operands of one shape."""
    shape, ndim = operands[0].shape, operands[0].ndim
    axes = axes_of(axis, ndim)
    last = tuple(range(ndim - len(axes), ndim))
    laid = _as_columns(shape, axes) if axes != last else None
    if laid is not None:
        operands = [in_order(np.asarray(x)).reshape(laid) for x in operands]
        return columns.run(kernel, np.empty(laid, operands[0].dtype), *operands, eps=eps or 0.0).reshape(shape)
    parts, n = _parts(shape, axes) if axes != last else (1, math.prod(shape[ndim - len(axes) :]))
    in_place = axes == last or n >= SHORT
    if not in_place:
        operands = [np.moveaxis(x, axes, last) for x in operands]
        parts, n = 1, math.prod([shape[a] for a in axes])
    operands = [in_order(np.asarray(x)) for x in operands]
    scalars = () if eps is None else (np.array([eps]),)
    result = rows.run(kernel, n, np.empty(operands[0].shape, operands[0].dtype), *operands, *scalars, parts=parts)
    return result if in_place else np.asarray(np.moveaxis(result, last, axes), order="C")


SHORT = 8  # elements of a part of a row, or columns, below which rows are rather copied into one piece each


def _as_columns(shape: tuple[int, ...], axes) -> tuple[int, int, int] | None:
    """(blocks, n, columns) if these axes of an array of this shape are the middle one of that; else None."""
    gone = [k for k in axes if shape[k] != 1]
    if not gone or loops.INTERPRETED:
        return None
    first, end = min(gone), max(gone) + 1
    laid = math.prod(shape[:first]), math.prod(shape[first:end]), math.prod(shape[end:])
    return laid if laid[2] >= SHORT and laid[1] == math.prod([shape[k] for k in gone]) else None


def _parts(shape: tuple[int, ...], axes) -> tuple[int, int]:
    """(parts, n) if an array of this shape, (parts, rows, n), has these axes in the first and the last of these; else
    (1, 0)."""
    kept = [k for k, size in enumerate(shape) if k not in axes and size != 1]
    first, end = (kept[0], kept[-1] + 1) if kept else (0, 0)
    if any(k in axes and shape[k] != 1 for k in range(first, end)):
        return 1, 0
    return math.prod(shape[:first]), math.prod(shape[end:])


def _sample(d):
    x = d.array(d.shape(1))
    return x, {"axis": d.choice([None, d.axis(x.ndim), d.axes(x.ndim)])}


def _pull_sample(d):
    x, params = _sample(d)
    return d.array(x.shape), x, params


@op(shape=lambda x, axis: _along(x, axis), sample=_sample, x=lambda g, y, axis: softmax_pull(g, y, axis))
def softmax(x, /, axis=-1):
    """exp(x) / sum(exp(x)) over an axis (or several), from the differences to the maximum, so that nothing overflows.

    -inf among the x gives 0; nothing but -inf gives NaN, as in PyTorch.

    Examples
    --------
    >>> mg.softmax([0.0, np.log(3.0)]).round(decimals=4)
    tensor([0.25, 0.75], dtype=float64)
    """
    _along(x, axis)
    return _sweep("softmax", axis, x)


def _softmax_pull_p(c, g, p, axis):
    return c * (g - sum(g * p, axis=axis, keepdims=True)) - g * sum(c * p, axis=axis, keepdims=True)


@op(
    shape=lambda g, p, axis: _pulled_along(g, p, axis=axis),
    sample=_pull_sample,
    g=lambda c, p, axis: softmax_pull(c, p, axis),
    p=_softmax_pull_p,
    method=False,
    public=False,
)
def softmax_pull(g, p, /, axis=-1):
    """p (g - sum(g p)): how softmax, of result p, pulls back g."""
    _pulled_along(g, p, axis=axis)
    return _sweep("softmax_pull", axis, g, p)


@op(shape=lambda x, axis: _along(x, axis), sample=_sample, x=lambda g, y, axis: log_softmax_pull(g, y, axis))
def log_softmax(x, /, axis=-1):
    """log(softmax(x)), without the loss of small probabilities: x - log(sum(exp(x))).

    Examples
    --------
    >>> mg.log_softmax([0.0, 0.0]).round(decimals=4)
    tensor([-0.6931, -0.6931], dtype=float32)
    """
    _along(x, axis)
    return _sweep("log_softmax", axis, x)


@op(
    shape=lambda g, log_p, axis: _pulled_along(g, log_p, axis=axis),
    sample=_pull_sample,
    g=lambda c, log_p, axis: c - sum(c * exp(log_p), axis=axis, keepdims=True),
    log_p=lambda c, g, log_p, axis: -(c * exp(log_p)) * sum(g, axis=axis, keepdims=True),
    method=False,
    public=False,
)
def log_softmax_pull(g, log_p, /, axis=-1):
    """g - exp(log_p) sum(g): how log_softmax, of result log_p, pulls back g."""
    _pulled_along(g, log_p, axis=axis)
    return _sweep("log_softmax_pull", axis, g, log_p)


@op(
    shape=lambda x, axis, eps: _along(x, axis),
    sample=lambda d: (lambda x, params: (x, {**params, "eps": d.choice([1e-3, 0.5])}))(*_sample(d)),
    x=lambda g, x, y, axis, eps: standardize_pull(g, x, y, axis, eps),
    method=False,
)
def standardize(x, /, axis=-1, eps: Finite = 1e-5):
    """(x - mean) / sqrt(variance + eps) over an axis, or several; the variance is the mean of the squares.

    Examples
    --------
    >>> mg.standardize([1.0, 3.0]).round(decimals=3)
    tensor([-1.,  1.], dtype=float32)
    """
    _along(x, axis)
    return _sweep("standardize", axis, x, eps=eps)


def _scale_of(x, axis, eps):
    return rsqrt(var(x, axis=axis, keepdims=True) + eps)


def _standardize_pull_x(c, x, y, axis, eps):
    return -(standardize(x, axis, eps) * (_scale_of(x, axis, eps) * mean(c * y, axis=axis, keepdims=True)))


def _standardize_pull_z(c, g, x, z, axis, eps):
    of_g, of_c = mean(g * z, axis=axis, keepdims=True), mean(c * z, axis=axis, keepdims=True)
    return -(_scale_of(x, axis, eps) * (c * of_g + g * of_c))


@op(
    shape=lambda g, x, z, axis, eps: _pulled_along(g, x, z, axis=axis),
    sample=lambda d: (d.array((2, 3)), d.array((2, 3)), d.array((2, 3)), {"axis": d.choice([0, -1, None]), "eps": 0.1}),
    g=lambda c, x, z, axis, eps: standardize_pull(c, x, z, axis, eps),
    x=_standardize_pull_x,
    z=_standardize_pull_z,
    method=False,
    public=False,
)
def standardize_pull(g, x, z, /, axis=-1, eps: Finite = 1e-5):
    """(g - mean(g) - z mean(g z)) / sqrt(variance of x + eps): how standardize(x), of result z, pulls back g."""
    _pulled_along(g, x, z, axis=axis)
    return _sweep("standardize_pull", axis, g, x, z, eps=eps)


# The same with a weight and a bias, of one shape that broadcasts to that of x.


def _affine(x: Spec, weight: Spec, bias: Spec, axis, eps) -> tuple[int, ...]:
    _along(Spec(x.shape, common_dtype([x, weight, bias])), axis)
    behind = x.shape[x.ndim - weight.ndim :]
    fits = weight.ndim <= x.ndim and all(n in (1, m) for n, m in zip(weight.shape, behind))
    if not fits or bias.shape != weight.shape:
        raise ValueError(f"wanted a weight and a bias of one shape that broadcasts to {x.shape}")
    return x.shape


def _affine_pulled(g: Spec, x: Spec, weight: Spec, axis, eps) -> list[Spec]:
    if g.shape != x.shape:
        raise ValueError("wanted operands of one shape")
    dtype = common_dtype([g, x, weight])
    return [Spec(shape, dtype) for shape in (_affine(x, weight, weight, axis, eps), weight.shape, weight.shape)]


def _channels(shape: tuple[int, ...], of_weight: tuple[int, ...], axes) -> tuple[int, int, int, int] | None:
    """(parts, groups, channels, size) if an array of this shape, (samples, groups, channels, size), is standardized
    over channels and size, in as many parts as there are samples or in one, and the weight has a number for each
    channel of each group; else None."""
    wide = (1,) * (len(shape) - len(of_weight)) + of_weight
    own = [k for k, n in enumerate(wide) if n != 1]
    first, end = (own[0], own[-1] + 1) if own else (0, 0)
    gone = [k in axes for k in range(len(shape))]
    before, inner, behind = ([gone[k] for k in part if shape[k] != 1] for part in (
        range(first), range(first, end), range(end, len(shape))))  # fmt: skip
    groups = inner.count(False)
    apart = wide[first:end] != shape[first:end] or any(inner[:groups])
    if 0 in shape or apart or len(set(before)) > 1 or not all(behind):
        return None
    each = math.prod([n for n, over in zip(shape[first:end], gone[first:end]) if not over])
    size = math.prod(shape[end:])
    return (math.prod(shape[:first]) if any(before) else 1, each, math.prod(of_weight) // max(each, 1), size)


def _kernel(x, weight, axis) -> tuple | None:
    """(kernel, elements of a part of a row, parts, rows of partial sums of its pull, operands of its own); None if no
    kernel works on numbers that lie so."""
    shape, axes = x.shape, tuple(sorted(axes_of(axis, x.ndim)))
    ndim = x.ndim - len(axes)
    if axes == tuple(range(ndim, x.ndim)) and shape[ndim:] == weight.shape:
        n = weight.size
        return "standardize_affine", n, 1, -(-x.size // max(n, 1) // rows.RUN), ()
    laid = _channels(shape, weight.shape, axes)
    if laid is None or laid[-1] < SHORT:
        return None
    parts, groups, channels, size = laid
    n = channels * size
    return "standardize_channels", n, parts, x.size // (n * parts * groups), (np.array([groups, channels]),)


def _affine_sample(d):
    shape = d.choice([(3, 4), (2, 3, 4), (2, 2, 1, 3, 2)])
    x, ndim = d.array(shape), len(shape)
    axes, of_weight = d.choice([
        ((ndim - 1,), shape[-1:]), ((0, *range(2, ndim)), (shape[1], *[1] * (ndim - 2))),
        (tuple(range(2, ndim)) or (1,), (shape[1], *[1] * (ndim - 2))), ((0, ndim - 1), (shape[-2], shape[-1])),
    ])  # fmt: skip
    return x, d.array(of_weight), d.array(of_weight), {"axis": axes, "eps": d.choice([1e-3, 0.5])}


@op(
    shape=_affine,
    sample=_affine_sample,
    together=lambda g, x, weight, axis, eps: standardize_affine_pull(g, x, weight, axis, eps),
    method=False,
    public=False,
)
def standardize_affine(x, weight, bias, /, axis, eps: Finite):
    """standardize(x) * weight + bias."""
    _affine(x, weight, bias, axis, eps)
    found = _kernel(x, weight, axis)
    if found is None:
        return _sweep("standardize", axis, x, eps=eps) * weight + bias
    kernel, n, parts, _, own = found
    operands = *[in_order(a) for a in (x, weight, bias)], np.array([eps]), *own
    return rows.run(kernel, n, np.empty(x.shape, x.dtype), *operands, parts=parts)


def _pulled_back(c, x, axis, eps):
    return standardize_pull(c, x, standardize(x, axis, eps), axis, eps)


def _affine_pull_x(c, g, x, weight, axis, eps):
    of_x, of_weight, _ = c
    pulled, z = g * weight, standardize(x, axis, eps)
    direct = _standardize_pull_x(of_x, x, standardize_pull(pulled, x, z, axis, eps), axis, eps)
    of_z = _standardize_pull_z(of_x, pulled, x, z, axis, eps) + of_weight * g
    return direct + standardize_pull(of_z, x, z, axis, eps)


def _affine_pull_g(c, x, weight, axis, eps):
    return _pulled_back(c[0], x, axis, eps) * weight + c[1] * standardize(x, axis, eps) + c[2]


@op(
    shape=_affine_pulled,
    sample=lambda d: (lambda x, w, _, params: (d.array(x.shape), x, w, params))(*_affine_sample(d)),
    g=_affine_pull_g,
    x=_affine_pull_x,
    weight=lambda c, g, x, weight_shape, axis, eps: sum_to(g * _pulled_back(c[0], x, axis, eps), shape=weight_shape),
    method=False,
    public=False,
)
def standardize_affine_pull(g, x, weight, /, axis, eps: Finite):
    """How standardize_affine pulls back g to x, the weight and the bias: standardize_pull of g * weight, and the sums,
    in the weight's shape, of g * standardize(x) and of g."""
    _affine_pulled(g, x, weight, axis, eps)
    found = _kernel(x, weight, axis)
    if found is None:
        z = _sweep("standardize", axis, x, eps=eps)
        of_x = _sweep("standardize_pull", axis, g * weight, x, z, eps=eps)
        return [of_x, *[np.asarray(sum_to.op.forward(y, shape=weight.shape)) for y in (g * z, g)]]
    kernel, n, parts, runs, own = found
    result, sums = np.empty(x.shape, x.dtype), np.zeros((2, runs, weight.size), x.dtype)
    operands = *[in_order(a) for a in (g, x, weight)], np.array([eps]), *own
    rows.run(f"{kernel}_pull", n, result, *sums, *operands, parts=parts)
    of_weight, of_bias = add_reduce(sums, (1,))
    return [result, of_weight.reshape(weight.shape), of_bias.reshape(weight.shape)]


# Dropout

FLOAT32 = np.dtype("float32")


def draw(generator: np.random.Generator, shape, kind: str = "random", dtype=FLOAT32) -> np.ndarray:
    """Random numbers. kind: "random" (uniform from [0, 1)), "standard_normal" or "standard_exponential".

    A checkpoint that will run this again is told the generator's state.
    """
    if not isinstance(generator, np.random.Generator):
        raise TypeError(
            f"wanted a numpy.random.Generator (np.random.default_rng(seed)), got {type(generator).__name__}"
        )
    if tracing():
        return thread.program.draw(generator, shape, kind, dtype)
    if thread.generators is not None:
        thread.generators.setdefault(id(generator), (generator, generator.bit_generator.state))
    if thread.drawing is not None:
        return thread.drawing(generator, tuple(shape), kind, dtype)
    return np.asarray(getattr(generator, kind)(shape, dtype=dtype))


@composite(
    # A generator changes as it draws, so the p of the generic tests are those with which no draw matters.
    sample=lambda d: (d.array(d.shape()), {"p": d.choice([0.0, 1.0]), "generator": np.random.default_rng(0)}),
    method=False,
)
def dropout(x, /, p: Probability, generator: np.random.Generator):
    """Zero each element with probability p and divide the others by 1 - p (Srivastava et al. 2014).

    generator: the numpy.random.Generator to draw from.

    Raises ValueError for a p outside [0, 1].

    Examples
    --------
    >>> mg.dropout(mg.ones(3), 0.0, np.random.default_rng(0))
    tensor([1., 1., 1.], dtype=float32)
    """
    if x.dtype.kind != "f":
        raise TypeError(f"wanted float32 or float64, got {x.dtype}; use x.astype")
    scale = np.asarray(0 if p == 1 else 1 / (1 - p), x.dtype)
    return x * where(greater_equal(draw(generator, x.shape), p), scale, np.zeros((), x.dtype))


# Gradients that are not the derivative


@op(shape=lambda x: x.shape, sample=lambda d: (d.array(d.shape()), {}), method=False, view=True)
def stop_gradient(x, /):
    """x as a constant. No gradient passes.

    Examples
    --------
    >>> mg.grad(lambda x: x * mg.stop_gradient(x))(mg.tensor(3.0))
    tensor(3., dtype=float32)
    """
    return x


@checked
def straight_through(hard, soft):
    """The value of hard with the gradient of soft, of one shape (Bengio et al. 2013, arXiv:1308.3432).

    Raises ValueError for two shapes.

    Examples
    --------
    >>> mg.grad(lambda x: mg.straight_through(mg.round(x), x))(mg.tensor(0.7))
    tensor(1., dtype=float32)
    """
    if as_array(hard).shape != as_array(soft).shape:
        raise ValueError(f"straight_through({as_array(hard).shape}, {as_array(soft).shape}): wanted two of one shape")
    return stop_gradient(hard) + (soft - stop_gradient(soft))  # what is in brackets is 0, exactly
