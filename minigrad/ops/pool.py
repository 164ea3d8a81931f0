"""Pooling of images, in PyTorch's layout: (N, channels, height, width)."""

import numpy as np

from minigrad.ops.conv import pair_of, require_float
from minigrad.ops.index import take_along_axis
from minigrad.ops.shape import reshape
from minigrad.ops.table import Spec, composite, op

INT64 = np.dtype("int64")


def _pool_geometry(x: Spec, kernel_size, stride, padding):
    """Kernel, stride and padding, two numbers each, and the two sides of the result."""
    require_float(x)
    if x.ndim != 4:
        raise ValueError("wanted (N, channels, height, width)")
    kernel, padding = pair_of(kernel_size, "kernel_size", 1), pair_of(padding, "padding", 0)
    stride = kernel if stride is None else pair_of(stride, "stride", 1)
    if any(2 * p > k for p, k in zip(padding, kernel)):
        raise ValueError(f"padding={padding}, wanted at most half of kernel_size={kernel}")
    if any(n + 2 * p < k for n, p, k in zip(x.shape[2:], padding, kernel)):
        raise ValueError(f"kernel_size={kernel} is more than the padded input")
    sides = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[2:], padding, kernel, stride)]
    return kernel, stride, padding, sides


def _pool_shape(x: Spec, kernel_size, stride=None, padding=0) -> tuple[int, ...]:
    return (*x.shape[:2], *_pool_geometry(x, kernel_size, stride, padding)[3])


def _seen(i: int, outputs: int, stride: int) -> slice:
    """Where the i-th place of each window lies."""
    return slice(i, i + (outputs - 1) * stride + 1, stride)


def _padded(x: np.ndarray, padding, value) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *[(p, p) for p in padding]), constant_values=value) if any(padding) else x


def _pool_sample(d):
    stride, padding = d.choice([None, 1, (2, 1)]), d.choice([0, 1, (1, 0)])
    return d.array((2, 2, 5, 4)), {"kernel_size": d.choice([2, (2, 3)]), "stride": stride, "padding": padding}


@op(
    shape=lambda x, kernel_size, stride, padding: Spec(_pool_shape(x, kernel_size, stride, padding), INT64),
    sample=_pool_sample,
    method=False,
)
def max_pool2d_indices(x, /, kernel_size, stride=None, padding=0):
    """Where the largest element of each window lies, counted over x's last two axes; the first of several, or a NaN.

    No gradient.
    """
    kernel, stride, padding, sides = _pool_geometry(x, kernel_size, stride, padding)
    width = x.shape[3]
    top, left = [np.arange(n) * s - p for n, s, p in zip(sides, stride, padding)]
    index = np.empty((*x.shape[:2], *sides), np.int64)
    index[...] = np.maximum(top, 0)[:, None] * width + np.maximum(left, 0)
    largest = np.full(index.shape, -np.inf, x.dtype)
    padded = _padded(x, padding, -np.inf)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            value = padded[:, :, _seen(i, sides[0], stride[0]), _seen(j, sides[1], stride[1])]
            better = (value > largest) | (value != value)
            np.copyto(largest, value, where=better)
            np.copyto(index, (top + i)[:, None] * width + (left + j), where=better)
    return index


@composite(sample=_pool_sample, method=False)
def max_pool2d(x, /, kernel_size, stride=None, padding=0):
    """The largest element of each window, as torch.nn.functional.max_pool2d: (N, channels, height', width').

    kernel_size, padding (by -inf, at most half of the kernel), stride (None: the kernel's size): an integer or two. At
    a tie the gradient goes to the first.
    """
    index = max_pool2d_indices(x, kernel_size, stride, padding)
    flat = reshape(x, (*x.shape[:2], x.shape[2] * x.shape[3]))
    taken = take_along_axis(flat, reshape(index, (*index.shape[:2], index.shape[2] * index.shape[3])), -1)
    return reshape(taken, index.shape)


def _pool_spread_shape(g: Spec, size, kernel_size, stride=None, padding=0) -> tuple[int, ...]:
    x = Spec((*g.shape[:2], *size), g.dtype)
    wanted = _pool_shape(x, kernel_size, stride, padding)
    if g.shape != wanted:
        raise ValueError(f"wanted a cotangent of shape {wanted}")
    return x.shape


@op(
    shape=lambda x, kernel_size, stride, padding: _pool_shape(x, kernel_size, stride, padding),
    sample=_pool_sample,
    x=lambda g, x_shape, kernel_size, stride, padding: pool_spread(g, x_shape[2:], kernel_size, stride, padding),
    method=False,
)
def pool_sum(x, /, kernel_size, stride=None, padding=0):
    """Sum of each window of the last two axes: along the columns, then along the rows."""
    kernel, stride, padding, sides = _pool_geometry(x, kernel_size, stride, padding)
    padded = _padded(x, padding, 0)
    y = np.zeros((*padded.shape[:3], sides[1]), x.dtype)
    for j in range(kernel[1]):
        y += padded[..., _seen(j, sides[1], stride[1])]
    z = np.zeros((*x.shape[:2], *sides), x.dtype)
    for i in range(kernel[0]):
        z += y[:, :, _seen(i, sides[0], stride[0])]
    return z


@op(
    shape=_pool_spread_shape,
    sample=lambda d: (
        d.array((2, 1, 2, 4)),
        {"size": (5, 4), "kernel_size": (2, 3), "stride": (2, 1), "padding": (0, 1)},
    ),
    g=lambda cotangent, kernel_size, stride, padding: pool_sum(cotangent, kernel_size, stride, padding),
    method=False,
    public=False,
)
def pool_spread(g, /, size, kernel_size, stride=None, padding=0):
    """The transpose of pool_sum: each number goes to every place of its window. `size`: of the last two axes."""
    x = Spec(_pool_spread_shape(g, size, kernel_size, stride, padding), g.dtype)
    kernel, stride, (above, left), sides = _pool_geometry(x, kernel_size, stride, padding)
    y = np.zeros((*x.shape[:2], size[0] + 2 * above, sides[1]), g.dtype)
    for i in range(kernel[0]):
        y[:, :, _seen(i, sides[0], stride[0])] += g
    padded = np.zeros((*y.shape[:3], size[1] + 2 * left), g.dtype)
    for j in range(kernel[1]):
        padded[..., _seen(j, sides[1], stride[1])] += y
    return padded[:, :, above : above + size[0], left : left + size[1]]


@composite(sample=_pool_sample, method=False)
def avg_pool2d(x, /, kernel_size, stride=None, padding=0, count_include_pad: bool = True):
    """The mean of each window, as torch.nn.functional.avg_pool2d: (N, channels, height', width').

    kernel_size, padding (by 0, at most half of the kernel), stride (None: the kernel's size): an integer or two.
    count_include_pad: whether the mean counts the padding.
    """
    total = pool_sum(x, kernel_size, stride, padding)
    if count_include_pad:
        kernel = pair_of(kernel_size, "kernel_size", 1)
        return total / (kernel[0] * kernel[1])
    return total / pool_sum.op.forward(np.ones((1, 1, *x.shape[2:]), x.dtype), kernel_size, stride, padding)
