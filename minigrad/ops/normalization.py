"""Layer, group, instance, batch and RMS normalisation: `standardize` over some axes, then a weight and a bias."""

import math

import numpy as np

from minigrad.arguments import Finite, Size
from minigrad.modes import no_grad
from minigrad.ops.declare import composite
from minigrad.ops.elementwise import rsqrt, square
from minigrad.ops.neural import standardize, standardize_affine, stop_gradient
from minigrad.ops.reduce import axes_of, mean, sum
from minigrad.ops.shape import reshape
from minigrad.ops.table import filled


def _require_shape(shape, **arrays) -> None:
    for name, p in arrays.items():
        if p is not None and p.shape != shape:
            raise ValueError(f"{name} is {p.shape}, wanted {shape}")


def _scaled(y, weight, bias, axes):
    """y * weight + bias, of the shape of y's axes that are named, or None."""
    _require_shape(tuple([y.shape[k] for k in axes]), weight=weight, bias=bias)
    inner = tuple([n if k in axes else 1 for k, n in enumerate(y.shape)])
    y = y if weight is None else y * reshape(weight, inner)
    return y if bias is None else y + reshape(bias, inner)


def _standardized(x, axes, weight, bias, shape, eps):
    """standardize(x) * weight + bias, which are in this shape, or None."""
    if weight is None:
        y = standardize(x, axes, eps)
        return y if bias is None else y + reshape(bias, shape)
    bias = filled(weight.shape, weight.dtype) if bias is None else bias
    weight, bias = (p if p.shape == shape else reshape(p, shape) for p in (weight, bias))
    return standardize_affine(x, weight, bias, axis=axes, eps=eps)


@composite(sample=lambda d: (d.array((2, 3, 4)), d.array((4,)), d.array((4,)), {"axis": -1, "eps": 1e-5}), method=False)
def layer_norm(x, weight=None, bias=None, /, axis=-1, eps: Finite = 1e-5):
    """Layer normalisation (Ba et al. 2016, arXiv:1607.06450): standardize(x) * weight + bias.

    axis: the axis, or the axes, that are normalised together. weight, bias: of these axes' sizes, or None.

    Raises ValueError if weight or bias have another shape.

    Examples
    --------
    >>> mg.layer_norm([[1.0, 3.0]]).round(decimals=3).tolist()
    [[-1.0, 1.0]]
    """
    axes = axes_of(axis, x.ndim)
    _require_shape(tuple([x.shape[k] for k in axes]), weight=weight, bias=bias)
    if axes != tuple(range(x.ndim - len(axes), x.ndim)):
        return _scaled(standardize(x, axis=axis, eps=eps), weight, bias, axes)
    return _standardized(x, axes, weight, bias, tuple([x.shape[k] for k in axes]), eps)


@composite(
    sample=lambda d: (d.array((2, 3, 4)), d.choice([None, d.array((4,))]), {"eps": d.choice([None, 0.1])}), method=False
)
def rms_norm(x, weight=None, /, axis=-1, eps: Finite | None = None):
    """x / sqrt(mean of x² + eps) * weight (Zhang & Sennrich 2019, arXiv:1910.07467), as torch.nn.functional.rms_norm.

    axis: the axis, or the axes, that are normalised together. weight: of these axes' sizes, or None. eps: None is the
    distance of 1 to the next number of x's dtype.

    Examples
    --------
    >>> mg.rms_norm([[3.0, 3.0]]).round(decimals=3).tolist()
    [[1.0, 1.0]]
    """
    if x.dtype.kind != "f":
        raise TypeError("wanted float32 or float64; use x.astype")
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    return _scaled(x * rsqrt(mean(square(x), axis, keepdims=True) + eps), weight, None, axes_of(axis, x.ndim))


def _require_channels(x) -> None:
    if x.ndim < 2:
        raise ValueError(f"got x of shape {x.shape}, wanted (N, channels, ...)")


def _affine_sample(d, **params):
    x = d.array(d.choice([(2, 4), (2, 4, 3), (2, 4, 2, 2)]))
    return x, *[d.choice([None, d.array((4,))]) for _ in range(2)], params


@composite(sample=lambda d: _affine_sample(d, num_groups=2, eps=0.1), method=False)
def group_norm(x, weight=None, bias=None, /, num_groups: Size = 1, eps: Finite = 1e-5):
    """Each group of channels of each sample normalised (Wu & He 2018, arXiv:1803.08494).

    x: (N, channels, ...). weight, bias: (channels,), or None.

    Raises ValueError if num_groups does not divide the channels.

    Examples
    --------
    >>> mg.group_norm([[[1.0], [3.0]]], None, None, 1).round(decimals=3).tolist()
    [[[-1.0], [1.0]]]
    """
    _require_channels(x)
    n, channels, *size = x.shape
    if channels % num_groups:
        raise ValueError(f"num_groups={num_groups}, wanted a divisor of {channels} channels")
    _require_shape((channels,), weight=weight, bias=bias)
    each = channels // num_groups
    y = reshape(x, (n, num_groups, each, math.prod(size)))
    return reshape(_standardized(y, (2, 3), weight, bias, (num_groups, each, 1), eps), x.shape)


def _normalized(x, axes, running_mean, running_var, weight, bias, from_input, momentum, eps):
    """x normalised over axes, which are all but that of the channels and perhaps that of the samples; by the running
    statistics unless it is to be by its own, which these then follow."""
    _require_channels(x)
    shape = (1, x.shape[1], *[1] * (x.ndim - 2))
    _require_shape(x.shape[1:2], running_mean=running_mean, running_var=running_var)
    if not from_input:
        if running_mean is None or running_var is None:
            raise ValueError("wanted running_mean and running_var, or the statistics of x itself")
        scale = rsqrt(running_var + eps)
        return _scaled(x - reshape(running_mean, shape), scale if weight is None else scale * weight, bias, (1,))
    count = math.prod([x.shape[k] for k in axes])
    if count == 1:
        raise ValueError(f"got x of shape {x.shape}, wanted more than one value to normalise, which have a variance")
    if running_mean is not None or running_var is not None:
        with no_grad():
            known = stop_gradient(x)
            center = mean(known, axes, keepdims=True)
            spread = sum(square(known - center), axes, keepdims=True) / (count - 1)
            for running, statistic in ((running_mean, center), (running_var, spread)):
                if running is not None:
                    of_channels = reshape(mean(statistic, 0), x.shape[1:2])
                    running.copy_(running * (1 - momentum) + of_channels * momentum)
    _require_shape(x.shape[1:2], weight=weight, bias=bias)
    return _standardized(x, axes, weight, bias, shape[1:], eps)


def _running_sample(d):
    x, weight, bias, _ = _affine_sample(d)
    return x, d.array((4,)), d.array((4,), 0.1, 2), weight, bias, {"eps": 0.1}


@composite(sample=_running_sample, method=False)
def batch_norm(
    x, running_mean=None, running_var=None, weight=None, bias=None, /, training: bool = False, momentum=0.1,
    eps: Finite = 1e-5,
):  # fmt: skip
    """Each channel normalised over all samples and places (Ioffe & Szegedy 2015, arXiv:1502.03167).

    x: (N, channels, ...). weight, bias: (channels,), or None. training: True normalises by the mean and the variance of
    x, and changes running_mean and running_var, unless they are None, in place: 1 - momentum of what they were and
    momentum of those, the variance being the unbiased one. False normalises by running_mean and running_var.

    Raises ValueError for one value a channel in training.

    Examples
    --------
    >>> mg.batch_norm([[1.0], [3.0]], None, None, training=True).round(decimals=3).tolist()
    [[-1.0], [1.0]]
    """
    axes = (0, *range(2, x.ndim))
    return _normalized(x, axes, running_mean, running_var, weight, bias, training, momentum, eps)


@composite(sample=lambda d: (d.array((2, 3, 4)), None, None, d.array((3,)), d.array((3,)), {"eps": 0.1}), method=False)
def instance_norm(
    x, running_mean=None, running_var=None, weight=None, bias=None, /, use_input_stats: bool = True,
    momentum=0.1, eps: Finite = 1e-5,
):  # fmt: skip
    """Each channel of each sample normalised over its places (Ulyanov et al. 2016, arXiv:1607.08022).

    x: (N, channels, ...). All else as `batch_norm`; use_input_stats is its training. The running statistics follow the
    means over the samples.

    Examples
    --------
    >>> mg.instance_norm(mg.ones((2, 4, 3))).shape
    (2, 4, 3)
    """
    axes = tuple(range(2, x.ndim))
    return _normalized(x, axes, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
