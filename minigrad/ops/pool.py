"""Pooling, in PyTorch's layout: (N, channels, height, width), of sequences one axis less, of volumes one more.

Kernels pool images. A window of a volume is one of each image, and then one of the column of what these gave.
"""

import math

import numpy as np

from minigrad.kernels import pool
from minigrad.kernels.entry import in_order
from minigrad.kernels.pool import Windows
from minigrad.ops.along import take_along_axis, untake_along_axis
from minigrad.ops.conv import require_float, several
from minigrad.ops.declare import composite, op
from minigrad.ops.elementwise import maximum
from minigrad.ops.shape import reshape
from minigrad.ops.table import Spec, filled

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

    Examples
    --------
    >>> mg.max_pool2d_indices([[[[1.0, 2.0], [4.0, 3.0]]]], 2).tolist()
    [[[[2]]]]
    """
    windows = _pool_geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    index = np.empty((*x.shape[:2], *windows.sides), np.int64)
    pool.run("largest", index, in_order(x), windows)
    return index


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
    """Sum of each window of the last two axes.

    Examples
    --------
    >>> mg.pool_sum([[[[1.0, 2.0], [4.0, 3.0]]]], 2).tolist()
    [[[[10.0]]]]
    """
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


def _windows(count: int, kernel_size, stride, padding, dilation=1) -> list[tuple[int, ...]]:
    """(size, stride, padding, dilation) of the windows along each axis."""
    kernel = several(kernel_size, "kernel_size", 1, count)
    stride = kernel if stride is None else several(stride, "stride", 1, count)
    return list(
        zip(kernel, stride, several(padding, "padding", 0, count), several(dilation, "dilation", 1, count), strict=True)
    )


def _require_axes(x, count: int) -> None:
    sizes = ("length", "height, width", "depth, height, width")[count - 1]
    if x.ndim != count + 2:
        raise ValueError(f"got x of shape {x.shape}, wanted (N, channels, {sizes})")


def _as_images(x):
    """x (N, channels, ...) as images: a sequence has a height of 1, a volume is an image for each depth."""
    size = (1, *x.shape[2:])[-2:]
    return reshape(x, (x.shape[0], math.prod(x.shape[1:-2]) if x.ndim > 3 else x.shape[1], *size))


def _as_columns(y, x):
    """What was made of the images of a volume x as images again, in which what lies behind one another is a column."""
    return reshape(y, (*x.shape[:3], y.shape[2] * y.shape[3]))


IMAGE = (1, 1, 0, 1)  # along an axis that is left as it is


def _largest(x, windows, ceil_mode):
    """Where the largest element of each window lies, counted over all axes but the first two: (N, channels, ...)."""
    places = max_pool2d_indices(_as_images(x), *zip(*[IMAGE, *windows][-2:]), ceil_mode)
    if len(windows) < 3:
        return reshape(places, (*x.shape[:2], *places.shape[4 - len(windows) :]))
    size = places.shape[2:]
    columns = _as_columns(_taken(_as_images(x), places), x)
    planes = max_pool2d_indices(columns, *zip(windows[0], IMAGE), ceil_mode)
    within = _taken(_as_columns(places, x), planes)
    return reshape(planes // math.prod(size) * math.prod(x.shape[3:]) + within, (*planes.shape[:3], *size))


def _taken(x, places):
    """The elements of x at these places, counted over all axes but the first two."""
    lined = [reshape(y, (*y.shape[:2], math.prod(y.shape[2:]))) for y in (x, places)]
    return reshape(take_along_axis(*lined, -1), places.shape)


def _max_pool(count, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    _require_axes(x, count)
    places = _largest(x, _windows(count, kernel_size, stride, padding, dilation), ceil_mode)
    values = _taken(x, places)
    return (values, places) if return_indices else values


def _sample1d(d):
    params = {"kernel_size": 2, "stride": d.choice([None, 1]), "padding": d.choice([0, 1]), "ceil_mode": d.boolean()}
    return d.array((2, 2, 5)), params


def _sample3d(d):
    kernel, padding = d.choice([2, (2, 1, 2)]), d.choice([0, (1, 0, 1)])
    params = {"kernel_size": kernel, "stride": d.choice([None, 1]), "padding": padding, "ceil_mode": d.boolean()}
    return d.array((1, 2, 3, 2, 3)), params


@composite(sample=_sample1d, method=False)
def max_pool1d(
    x, /, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False, return_indices: bool = False
):
    """The largest element of each window of a sequence, (N, channels, length'); all else as `max_pool2d`.

    Examples
    --------
    >>> mg.max_pool1d([[[1.0, 3.0, 2.0, 0.0]]], 2).tolist()
    [[[3.0, 2.0]]]
    """
    return _max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite(sample=_max_pool_sample, method=False)
def max_pool2d(
    x, /, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False, return_indices: bool = False
):
    """The largest element of each window, as torch.nn.functional.max_pool2d: (N, channels, height', width').

    kernel_size, padding (by -inf, at most half of the kernel), stride (None: the kernel's size), dilation: an integer
    or two. ceil_mode: whether a window that reaches beyond the edge counts, if it begins before it. return_indices:
    True returns (values, indices): where they lie, counted over x's last two axes. At a tie the gradient goes to the
    first.

    Examples
    --------
    >>> mg.max_pool2d([[[[1.0, 2.0], [4.0, 3.0]]]], 2).tolist()
    [[[[4.0]]]]
    """
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite(sample=_sample3d, method=False)
def max_pool3d(
    x, /, kernel_size, stride=None, padding=0, dilation=1, ceil_mode: bool = False, return_indices: bool = False
):
    """The largest element of each window of a volume, in PyTorch's layout; all else as `max_pool2d`.

    Examples
    --------
    >>> mg.max_pool3d(mg.ones((1, 1, 2, 4, 4)), 2).shape
    (1, 1, 1, 2, 2)
    """
    return _max_pool(3, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_unpool(count, x, indices, kernel_size, stride, padding, output_size):
    _require_axes(x, count)
    if indices.shape != x.shape:
        raise ValueError(f"got x {x.shape} and indices {indices.shape}, wanted equal shapes")
    windows = zip(x.shape[2:], _windows(count, kernel_size, stride, padding))
    size = tuple([(n - 1) * s - 2 * p + k for n, (k, s, p, _) in windows])
    if output_size is not None:
        size = several(tuple(output_size)[-count:], "output_size", 1, count)
    places, lined = [reshape(y, (*x.shape[:2], math.prod(x.shape[2:]))) for y in (indices, x)]
    shape = (*x.shape[:2], math.prod(size))
    total, often = [untake_along_axis(y, places, shape, -1) for y in (lined, filled(lined.shape, x.dtype, 1))]
    return reshape(total / maximum(often, 1), (*x.shape[:2], *size))


def _unpool_sample(count):
    def sample(d):
        x = d.array((2, 1, *[2] * count))
        return x, d.indices(x.shape, 3**count), {"kernel_size": 2, "stride": 1}

    return sample


@composite(sample=_unpool_sample(1), method=False)
def max_unpool1d(x, indices, /, kernel_size, stride=None, padding=0, output_size=None):
    """The inverse of max_pool1d as far as there is one; see `max_unpool2d`.

    Examples
    --------
    >>> mg.max_unpool1d([[[7.0]]], [[[1]]], 2).tolist()
    [[[0.0, 7.0]]]
    """
    return _max_unpool(1, x, indices, kernel_size, stride, padding, output_size)


@composite(sample=_unpool_sample(2), method=False)
def max_unpool2d(x, indices, /, kernel_size, stride=None, padding=0, output_size=None):
    """Zeros with each element of x where the index says, as torch.nn.functional.max_unpool2d.

    indices: as max_pool2d's with return_indices, counted over the axes that result. output_size: these axes' sizes, of
    those that pool to x's; None: the smallest. Where several elements have one index, their mean.

    Examples
    --------
    >>> mg.max_unpool2d([[[[7.0]]]], [[[[2]]]], 2).tolist()
    [[[[0.0, 0.0], [7.0, 0.0]]]]
    """
    return _max_unpool(2, x, indices, kernel_size, stride, padding, output_size)


@composite(sample=_unpool_sample(3), method=False)
def max_unpool3d(x, indices, /, kernel_size, stride=None, padding=0, output_size=None):
    """The inverse of max_pool3d as far as there is one; see `max_unpool2d`.

    Examples
    --------
    >>> mg.max_unpool3d(mg.ones((1, 1, 1, 1, 1)), mg.zeros((1, 1, 1, 1, 1), "int64"), 2).shape
    (1, 1, 2, 2, 2)
    """
    return _max_unpool(3, x, indices, kernel_size, stride, padding, output_size)


def _avg_pool(count, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    _require_axes(x, count)
    windows = _windows(count, kernel_size, stride, padding)
    total = pool_sum(_as_images(x), *[*zip(*[IMAGE, *windows][-2:])][:3], ceil_mode)
    if count == 3:
        size = total.shape[2:]
        total = pool_sum(_as_columns(total, x), *[*zip(windows[0], IMAGE)][:3], ceil_mode)
        total = reshape(total, (*total.shape[:3], *size))
    total = reshape(total, (*x.shape[:2], *total.shape[total.ndim - count :]))
    if divisor_override is not None:
        return total / divisor_override
    counts = np.ones((), x.dtype)
    for n, (k, s, p, _), outputs in zip(x.shape[2:], windows, total.shape[2:]):
        start, margin = np.arange(outputs) * s - p, p if count_include_pad else 0
        seen = np.minimum(start + k, n + margin) - np.maximum(start, -margin)
        counts = np.multiply.outer(counts, seen.astype(x.dtype))
    return total / counts


@composite(sample=_sample1d, method=False)
def avg_pool1d(x, /, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True):
    """The mean of each window of a sequence, (N, channels, length'); all else as `avg_pool2d`.

    Examples
    --------
    >>> mg.avg_pool1d([[[1.0, 3.0, 2.0, 0.0]]], 2).tolist()
    [[[2.0, 1.0]]]
    """
    return _avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@composite(sample=_pool_sample, method=False)
def avg_pool2d(
    x, /, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
):  # fmt: skip
    """The mean of each window, as torch.nn.functional.avg_pool2d: (N, channels, height', width').

    kernel_size, padding (by 0, at most half of the kernel), stride (None: the kernel's size): an integer or two.
    ceil_mode: as max_pool2d's. count_include_pad: whether the mean counts the padding; what a window covers behind it
    is never counted. divisor_override: what the sum is divided by in place of that.

    Examples
    --------
    >>> mg.avg_pool2d([[[[1.0, 2.0], [4.0, 3.0]]]], 2).tolist()
    [[[[2.5]]]]
    """
    return _avg_pool(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


@composite(sample=_sample3d, method=False)
def avg_pool3d(
    x, /, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
):  # fmt: skip
    """The mean of each window of a volume, (N, channels, depth', height', width'); all else as `avg_pool2d`.

    Examples
    --------
    >>> mg.avg_pool3d(mg.ones((1, 1, 2, 4, 4)), 2).shape
    (1, 1, 1, 2, 2)
    """
    return _avg_pool(3, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
