"""Pooling of images, in PyTorch's layout: (N, channels, height, width)."""

import numpy as np

from minigrad.kernels import pool
from minigrad.kernels.entry import in_order
from minigrad.kernels.pool import Windows
from minigrad.ops.along import take_along_axis
from minigrad.ops.conv import several, require_float
from minigrad.ops.declare import composite, op
from minigrad.ops.shape import reshape
from minigrad.ops.table import Spec

INT64 = np.dtype("int64")


def _pool_geometry(x: Spec, kernel_size, stride, padding, dilation=1, ceil_mode=False) -> Windows:
    require_float(x)
    if x.ndim != 4:
        raise ValueError("wanted (N, channels, height, width)")
    kernel, padding = several(kernel_size, "kernel_size", 1), several(padding, "padding", 0)
    stride = kernel if stride is None else several(stride, "stride", 1)
    dilation = several(dilation, "dilation", 1)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    if any(2 * p > extent for p, extent in zip(padding, extents)):
        raise ValueError(f"padding={padding}, wanted at most half of what the kernel covers, {tuple(extents)}")
    rooms = [n + 2 * p - extent for n, p, extent in zip(x.shape[2:], padding, extents)]
    if any(room < 0 for room in rooms):
        raise ValueError(f"the kernel covers {tuple(extents)}, more than the padded input")
    sides = [room // s + 1 for room, s in zip(rooms, stride)]
    if ceil_mode:  # one more window for the rest, if it begins before the padding behind x
        for k, (room, s, n, p) in enumerate(zip(rooms, stride, x.shape[2:], padding)):
            sides[k] += room % s > 0 and sides[k] * s < n + p
    return Windows(kernel, stride, padding, dilation, tuple(sides))


def _pool_shape(x: Spec, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False) -> tuple[int, ...]:
    return (*x.shape[:2], *_pool_geometry(x, kernel_size, stride, padding, dilation, ceil_mode).sides)


def _pool_sample(d):
    stride, padding, ceil_mode = d.choice([None, 1, (2, 1), 3]), d.choice([0, 1, (1, 0)]), d.boolean()
    params = {"kernel_size": d.choice([2, (2, 3)]), "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    return d.array((2, 2, 5, 4)), params


def _max_pool_sample(d):
    x, params = _pool_sample(d)
    return x, {**params, "dilation": d.choice([1, (2, 1)])}


@op(
    shape=lambda x, *geometry, **params: Spec(_pool_shape(x, *geometry, **params), INT64),
    sample=_max_pool_sample,
    method=False,
)
def max_pool2d_indices(x, /, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False):
    """Where the largest element of each window lies, counted over x's last two axes; the first of several, or a NaN.

    No gradient.
    """
    windows = _pool_geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    index = np.empty((*x.shape[:2], *windows.sides), np.int64)
    pool.run("largest", index, in_order(x), windows)
    return index


@composite(sample=_max_pool_sample, method=False)
def max_pool2d(x, /, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False):
    """The largest element of each window, as torch.nn.functional.max_pool2d: (N, channels, height', width').

    kernel_size, padding (by -inf, at most half of the kernel), stride (None: the kernel's size), dilation: an integer
    or two. ceil_mode: whether a window that reaches beyond the edge counts, if it begins before it. At a tie the
    gradient goes to the first; `max_pool2d_indices` says where it lies.
    """
    index = max_pool2d_indices(x, kernel_size, stride, padding, dilation, ceil_mode)
    flat = reshape(x, (*x.shape[:2], x.shape[2] * x.shape[3]))
    taken = take_along_axis(flat, reshape(index, (*index.shape[:2], index.shape[2] * index.shape[3])), -1)
    return reshape(taken, index.shape)


def _pool_spread_shape(g: Spec, size, kernel_size, stride=None, padding=0, ceil_mode=False) -> tuple[int, ...]:
    x = Spec((*g.shape[:2], *size), g.dtype)
    wanted = _pool_shape(x, kernel_size, stride, padding, 1, ceil_mode)
    if g.shape != wanted:
        raise ValueError(f"wanted a cotangent of shape {wanted}")
    return x.shape


@op(
    shape=lambda x, kernel_size, stride, padding, ceil_mode: _pool_shape(x, kernel_size, stride, padding, 1, ceil_mode),
    sample=_pool_sample,
    x=lambda g, x_shape, kernel_size, stride, padding, ceil_mode: pool_spread(
        g, x_shape[2:], kernel_size, stride, padding, ceil_mode
    ),
    method=False,
)
def pool_sum(x, /, kernel_size, stride=None, padding=0, ceil_mode: bool = False):
    """Sum of each window of the last two axes."""
    windows = _pool_geometry(x, kernel_size, stride, padding, 1, ceil_mode)
    y = np.empty((*x.shape[:2], *windows.sides), x.dtype)
    pool.run("total", y, in_order(x), windows)
    return y


@op(
    shape=_pool_spread_shape,
    sample=lambda d: (
        d.array((2, 1, 2, 4)),
        {"size": (5, 4), "kernel_size": (2, 3), "stride": (2, 1), "padding": (0, 1)},
    ),
    g=lambda cotangent, kernel_size, stride, padding, ceil_mode: pool_sum(
        cotangent, kernel_size, stride, padding, ceil_mode
    ),
    method=False,
    public=False,
)
def pool_spread(g, /, size, kernel_size, stride=None, padding=0, ceil_mode=False):
    """The transpose of pool_sum: each number goes to every place of its window. `size`: of the last two axes."""
    x = Spec(_pool_spread_shape(g, size, kernel_size, stride, padding, ceil_mode), g.dtype)
    windows = _pool_geometry(x, kernel_size, stride, padding, 1, ceil_mode)
    y = np.empty(x.shape, g.dtype)
    pool.run("spread", in_order(g), y, windows)
    return y


@composite(sample=_pool_sample, method=False)
def avg_pool2d(x, /, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True):
    """The mean of each window, as torch.nn.functional.avg_pool2d: (N, channels, height', width').

    kernel_size, padding (by 0, at most half of the kernel), stride (None: the kernel's size): an integer or two.
    ceil_mode: as max_pool2d's. count_include_pad: whether the mean counts the padding; what a window covers behind it
    is never counted.
    """
    total = pool_sum(x, kernel_size, stride, padding, ceil_mode)
    kernel, stride, padding, _, sides = _pool_geometry(x, kernel_size, stride, padding, 1, ceil_mode)
    counts = []
    for n, k, s, p, outputs in zip(x.shape[2:], kernel, stride, padding, sides):
        start, margin = np.arange(outputs) * s - p, p if count_include_pad else 0
        counts.append(np.minimum(start + k, n + margin) - np.maximum(start, -margin))
    return total / np.multiply.outer(*counts).astype(x.dtype)
