"""Convolution, in PyTorch's layouts.

A convolution is one trilinear form of an input x, a weight w and a cotangent g,

    sum of  g[n, o, p]  w[o, c, k]  x[n, c, stride p + dilation k - padding]  over all indices,

and each of the three ops below is its derivative with respect to one of them: `conv2d` to g, `conv_transpose2d` to x,
`conv2d_weight` to w. Hence each one's vjps are the other two, and derivatives of any order follow.

How they are computed: the input is unfolded along its width, channels and kernel columns first, rows before samples:
(channels, kw, rows, N, columns). Then what kernel row i sees is a slice of the rows, which is one matrix as it lies in
memory, (channels kw, rows N columns): kh large products, and kh times less copying than the usual unfolding takes.
That is with the JIT off, and of two dtypes; else kernels/convolution.py computes them directly.
"""

import numpy as np

from minigrad.arguments import Size
from minigrad.dtypes import common_dtype
from minigrad.kernels import convolution as kernels
from minigrad.kernels import loops
from minigrad.ops.declare import op
from minigrad.ops.index import getitem
from minigrad.ops.reduce import sum
from minigrad.ops.shape import is_integer
from minigrad.ops.table import Spec


def several(value, name: str, least: int, count: int = 2) -> tuple[int, ...]:
    """So many integers, of one or of a sequence."""
    given = tuple(value) if np.ndim(value) else (value,)
    given = given * count if len(given) == 1 else given
    more = ("", " or two", " or three")[count - 1]
    if not all(is_integer(n) for n in given):
        raise TypeError(f"{name}={value!r}, wanted an integer{more}")
    if len(given) != count or any(n < least for n in given):
        raise ValueError(f"{name}={value!r}, wanted an integer of at least {least}{more and ','}{more}")
    return given


def geometry(kernel, stride, padding, dilation):
    """Stride, padding ((before, after), ...) and dilation, a number or a pair for each axis of the kernel."""
    count = len(kernel)
    stride, dilation = several(stride, "stride", 1, count), several(dilation, "dilation", 1, count)
    if padding == "same" and set(stride) == {1}:
        totals = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return stride, tuple([(total // 2, total - total // 2) for total in totals]), dilation
    if isinstance(padding, str) and padding != "valid":
        raise ValueError(f"padding={padding!r}, wanted integers, 'valid', or 'same' with stride 1")
    margins = several(0 if padding == "valid" else padding, "padding", 0, count)
    return stride, tuple([(p, p) for p in margins]), dilation


def _overlap(outputs: int, inputs: int, offset: int, stride: int) -> tuple[slice, slice]:
    """The outputs p whose input, stride p + offset, exists; and these inputs."""
    first = max(0, -(offset // stride))
    count = max(0, min(outputs, (inputs - 1 - offset) // stride + 1) - first)
    start = first * stride + offset
    return slice(first, first + count), slice(start, start + (count - 1) * stride + 1, stride) if count else slice(0)


def _rows(unfolded: np.ndarray, i: int, rows: int, stride: int, dilation: int) -> np.ndarray:
    """What kernel row i sees of the unfolded input."""
    return unfolded[:, :, :, i * dilation : i * dilation + (rows - 1) * stride + 1 : stride]


def _unfold(x: np.ndarray, kw: int, columns: int, stride, padding, dilation, groups: int) -> np.ndarray:
    """x, padded, at every column that kernel column j sees: (groups, channels, kw, padded rows, N, columns)."""
    n, channels, height, width = x.shape
    (above, below), (left, _) = padding
    result = np.zeros((groups, channels // groups, kw, above + height + below, n, columns), x.dtype)
    source = x.reshape(n, groups, channels // groups, height, width).transpose(1, 2, 3, 0, 4)
    for j in range(kw):
        to, at = _overlap(columns, width, j * dilation[1] - left, stride[1])
        result[:, :, j, above : above + height, :, to] = source[..., at]
    return result


def _fold(unfolded: np.ndarray, size: tuple[int, int], stride, padding, dilation) -> np.ndarray:
    """The transpose of _unfold: sums of what came from one place. Shape (N, groups * channels, *size)."""
    groups, channels, kw, _, n, columns = unfolded.shape
    above, left = padding[0][0], padding[1][0]
    result = np.zeros((n, groups, channels, *size), unfolded.dtype)
    target = result.transpose(1, 2, 3, 0, 4)
    for j in range(kw):
        to, at = _overlap(columns, size[1], j * dilation[1] - left, stride[1])
        target[..., at] += unfolded[:, :, j, above : above + size[0], :, to]
    return result.reshape(n, groups * channels, *size)


def _channels_first(y: np.ndarray, groups: int) -> np.ndarray:
    """(N, groups * channels, rows, columns) as matrices (groups, channels, rows N columns)."""
    n, channels, rows, columns = y.shape
    return y.transpose(1, 2, 0, 3).reshape(groups, channels // groups, rows * n * columns)


def _direct(*arrays: np.ndarray) -> bool:
    """Whether kernels/convolution.py takes these."""
    return all(a.size for a in arrays) and arrays[0].dtype == arrays[1].dtype and not loops.INTERPRETED


def require_float(*specs: Spec) -> None:
    if common_dtype(specs).kind != "f":
        raise TypeError("wanted float32 or float64; use x.astype")


def _with_bias(bias: Spec | None, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"wanted a bias of shape ({channels},), one number for each channel that comes out")


def fit_channels(x, weight, bias, groups) -> None:
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise ValueError(
            f"with groups={groups}, x has {x.shape[1]} channels and the weight {weight.shape[1]} for each of "
            f"{weight.shape[0]} out; wanted x's channels = groups * weight.shape[1], and out a multiple of groups"
        )
    _with_bias(bias, weight.shape[0])


def _conv2d_shape(x: Spec, weight: Spec, bias: Spec | None, stride, padding, dilation, groups) -> tuple[int, ...]:
    require_float(x, weight)
    if x.ndim != 4 or weight.ndim != 4:
        raise ValueError("wanted x (N, channels, height, width) and a weight (out, channels / groups, kh, kw)")
    fit_channels(x, weight, bias, groups)
    kernel = weight.shape[2:]
    stride, padding, dilation = geometry(kernel, stride, padding, dilation)
    extents = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    rooms = [n + before + after for n, (before, after) in zip(x.shape[2:], padding)]
    if 0 in kernel or any(room < extent for room, extent in zip(rooms, extents)):
        raise ValueError(f"the kernel covers {tuple(extents)}, more than the padded input's {tuple(rooms)}")
    sides = [(room - extent) // s + 1 for room, extent, s in zip(rooms, extents, stride)]
    return (x.shape[0], weight.shape[0], *sides)


def _input_of(g, weight, x_shape, stride, padding, dilation, groups):
    """Cotangent of the x of shape x_shape that gave y, of which g is the cotangent."""
    extra = _extra(x_shape, g.shape, weight.shape, stride, padding, dilation)
    return conv_transpose2d(
        g, weight, None, stride=stride, padding=padding, output_padding=extra, groups=groups, dilation=dilation
    )


def _conv2d_sample(d):
    groups = d.choice([1, 2])
    kernel = d.choice([(1, 1), (2, 3), (3, 2)])
    x = d.array((2, 2 * groups, 5, 5))
    bias = d.choice([None, d.array((2 * groups,))])
    params = {
        "stride": d.choice([1, (2, 1), 3]),
        "padding": d.choice([0, (1, 2), 2]),
        "dilation": d.choice([1, (1, 2)]),
        "groups": groups,
    }
    return x, d.array((2 * groups, 2, *kernel)), bias, params


@op(
    shape=_conv2d_shape,
    sample=_conv2d_sample,
    x=lambda g, weight, x_shape, stride, padding, dilation, groups: _input_of(
        g, weight, x_shape, stride, padding, dilation, groups
    ),
    weight=lambda g, x, weight_shape, stride, padding, dilation, groups: conv2d_weight(
        x, g, kernel=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    bias=lambda g: sum(g, axis=(0, 2, 3)),
    method=False,
)
def conv2d(x, weight, bias=None, /, stride=1, padding=0, dilation=1, groups: Size = 1):
    """Cross-correlation of images with kernels, as torch.nn.functional.conv2d.

    x: (N, channels, height, width). weight: (out, channels / groups, kh, kw). bias: (out,) or None. stride, dilation:
    an integer or two. padding: zeros on both sides of each axis, an integer or two, "valid" (0), or "same" (with
    stride 1: the result has x's size). Returns (N, out, height', width'),
    height' = (height + 2 padding - dilation (kh - 1) - 1) // stride + 1.

    Raises ValueError for shapes that do not fit.

    Examples
    --------
    >>> mg.conv2d(mg.ones((1, 1, 3, 3)), mg.ones((1, 1, 2, 2))).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    n, out, rows, columns = _conv2d_shape(x, weight, bias, stride, padding, dilation, groups)
    kernel = weight.shape[2:]
    stride, padding, dilation = geometry(kernel, stride, padding, dilation)
    if _direct(x, weight):
        return _plus(kernels.conv2d(x, weight, padding, stride, dilation, groups), bias)
    unfolded = _unfold(x, kernel[1], columns, stride, padding, dilation, groups)
    inner = weight.shape[1] * kernel[1]
    y = None
    for i in range(kernel[0]):
        product = np.matmul(
            weight[:, :, i].reshape(groups, out // groups, inner),
            _rows(unfolded, i, rows, stride[0], dilation[0]).reshape(groups, inner, rows * n * columns),
        )
        y = product if y is None else np.add(y, product, out=y)
    return _plus(np.ascontiguousarray(y.reshape(out, rows, n, columns).transpose(2, 0, 1, 3)), bias)


def _plus(y: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    return y if bias is None else np.add(y, bias.reshape(-1, 1, 1), out=y)


def _transposed_sides(x_shape, weight_shape, stride, padding, dilation, extra=(0, 0)) -> tuple[int, ...]:
    kernel = weight_shape[2:]
    stride, padding, dilation = geometry(kernel, stride, padding, dilation)
    return tuple([
        (n - 1) * s - before - after + d * (k - 1) + 1 + more
        for n, s, (before, after), d, k, more in zip(x_shape[2:], stride, padding, dilation, kernel, extra)
    ])  # fmt: skip


def _extra(x_shape, g_shape, weight_shape, stride, padding, dilation) -> tuple[int, ...]:
    """The output padding with which conv_transpose2d gives a g of g_shape the shape x_shape."""
    least = _transposed_sides(g_shape, weight_shape, stride, padding, dilation)
    return tuple([n - m for n, m in zip(x_shape[2:], least)])


def _conv_transpose2d_shape(
    x: Spec, weight: Spec, bias: Spec | None, stride, padding, output_padding, groups, dilation
) -> tuple[int, ...]:
    require_float(x, weight)
    if x.ndim != 4 or weight.ndim != 4:
        raise ValueError("wanted x (N, channels, height, width) and a weight (channels, out / groups, kh, kw)")
    return transposed_shape(x, weight, bias, stride, padding, output_padding, groups, dilation)


def transposed_shape(x, weight, bias, stride, padding, output_padding, groups, dilation) -> tuple[int, ...]:
    """Of the result of a transposed convolution, of any number of axes."""
    if groups < 1 or x.shape[1] != weight.shape[0] or weight.shape[0] % groups:
        raise ValueError(
            f"with groups={groups}, x has {x.shape[1]} channels and the weight takes {weight.shape[0]}; "
            "wanted equal ones, a multiple of groups"
        )
    _with_bias(bias, weight.shape[1] * groups)
    count = weight.ndim - 2
    extra = several(output_padding, "output_padding", 0, count)
    limits = [max(s, d) for s, d in zip(several(stride, "stride", 1, count), several(dilation, "dilation", 1, count))]
    if any(more >= limit for more, limit in zip(extra, limits)):
        raise ValueError(f"output_padding={output_padding}, wanted less than the larger of stride and dilation")
    sides = _transposed_sides(x.shape, weight.shape, stride, padding, dilation, extra)
    if min(sides) < 1:
        raise ValueError(f"the result would have the size {sides}; wanted less padding")
    return (x.shape[0], weight.shape[1] * groups, *sides)


def _cropped(y, shape):
    """An output padding as large as the stride makes room for outputs that were not there."""
    return y if y.shape == shape else getitem(y, index=(slice(None), slice(None), slice(shape[2]), slice(shape[3])))


def _conv_transpose2d_sample(d):
    groups = d.choice([1, 2])
    x = d.array((2, 2 * groups, 3, 2))
    bias = d.choice([None, d.array((groups,))])
    stride, dilation, extra = d.choice([(1, 1, 0), ((2, 3), 1, (1, 2)), (1, 2, 1), (2, (1, 3), (0, 2))])
    params = {
        "stride": stride,
        "padding": d.choice([0, 1]),
        "output_padding": extra,
        "groups": groups,
        "dilation": dilation,
    }
    return x, d.array((2 * groups, 1, 3, 2)), bias, params


@op(
    shape=_conv_transpose2d_shape,
    sample=_conv_transpose2d_sample,
    x=lambda g, weight, x_shape, stride, padding, dilation, groups: _cropped(
        conv2d(g, weight, None, stride=stride, padding=padding, dilation=dilation, groups=groups), x_shape
    ),
    weight=lambda g, x, weight_shape, stride, padding, dilation, groups: conv2d_weight(
        g, x, kernel=weight_shape[2:], stride=stride, padding=padding, dilation=dilation, groups=groups
    ),
    bias=lambda g: sum(g, axis=(0, 2, 3)),
    method=False,
)
def conv_transpose2d(x, weight, bias=None, /, stride=1, padding=0, output_padding=0, groups: Size = 1, dilation=1):
    """The transpose of conv2d (its gradient with respect to the input), as torch.nn.functional.conv_transpose2d.

    x: (N, channels, height, width). weight: (channels, out / groups, kh, kw). bias: (out,) or None. Returns
    (N, out, height', width'), height' = (height - 1) stride - 2 padding + dilation (kh - 1) + 1 + output_padding.

    Raises ValueError for shapes that do not fit.

    Examples
    --------
    >>> mg.conv_transpose2d(mg.ones((1, 1, 2, 2)), mg.ones((1, 1, 2, 2))).tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]
    """
    n, out, *size = _conv_transpose2d_shape(x, weight, bias, stride, padding, output_padding, groups, dilation)
    _, channels, rows, columns = x.shape
    kernel = weight.shape[2:]
    stride, padding, dilation = geometry(kernel, stride, padding, dilation)
    if _direct(x, weight):
        extra = several(output_padding, "output_padding", 0)
        return _plus(kernels.conv_transpose2d(x, weight, padding, stride, dilation, groups, extra), bias)
    height = max(padding[0][0] + size[0], (rows - 1) * stride[0] + dilation[0] * (kernel[0] - 1) + 1)
    unfolded = np.zeros((groups, out // groups, kernel[1], height, n, columns), x.dtype)
    g = _channels_first(x, groups)
    for i in range(kernel[0]):
        w = weight[:, :, i].reshape(groups, channels // groups, out // groups * kernel[1])
        seen = _rows(unfolded, i, rows, stride[0], dilation[0])
        seen += np.matmul(w.swapaxes(1, 2), g).reshape(seen.shape)
    return _plus(_fold(unfolded, tuple(size), stride, padding, dilation), bias)


def _conv2d_weight_shape(x: Spec, g: Spec, kernel, stride, padding, dilation, groups) -> tuple[int, ...]:
    if x.ndim != 4 or g.ndim != 4:
        raise ValueError("wanted x (N, channels, height, width) and a cotangent (N, out, height', width')")
    weight = Spec((g.shape[1], x.shape[1] // max(groups, 1), *kernel), x.dtype)
    extra = _extra(x.shape, g.shape, weight.shape, stride, padding, dilation)
    if _conv_transpose2d_shape(g, weight, None, stride, padding, extra, groups, dilation) != x.shape:
        raise ValueError(f"wanted numbers of channels that groups={groups} divides, and as many samples in each")
    return weight.shape


def _conv2d_weight_sample(d):
    params = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": 1, "groups": d.choice([1, 2])}
    return d.array((2, 4, 5, 4)), d.array((2, 2, 3, 3)), params


@op(
    shape=_conv2d_weight_shape,
    sample=_conv2d_weight_sample,
    x=lambda weight, g, x_shape, stride, padding, dilation, groups: _input_of(
        g, weight, x_shape, stride, padding, dilation, groups
    ),
    g=lambda weight, x, g_shape, stride, padding, dilation, groups: _cropped(
        conv2d(x, weight, None, stride=stride, padding=padding, dilation=dilation, groups=groups), g_shape
    ),
    method=False,
    public=False,
)
def conv2d_weight(x, g, /, kernel, stride=1, padding=0, dilation=1, groups: Size = 1):
    """The gradient of conv2d with respect to its weight, (out, channels / groups, *kernel), g that of its result."""
    shape = _conv2d_weight_shape(x, g, kernel, stride, padding, dilation, groups)
    out, channels = shape[0] // groups, shape[1]
    stride, padding, dilation = geometry(kernel, stride, padding, dilation)
    if _direct(x, g):
        return kernels.conv2d_weight(x, g, kernel, padding, stride, dilation, groups)
    unfolded = _unfold(x, kernel[1], g.shape[3], stride, padding, dilation, groups)
    g_matrices = _channels_first(g, groups)
    result = np.empty((groups, out, channels, *kernel), x.dtype)
    for i in range(kernel[0]):
        seen = _rows(unfolded, i, g.shape[2], stride[0], dilation[0])
        seen = seen.reshape(groups, channels * kernel[1], g_matrices.shape[2])
        result[:, :, :, i] = np.matmul(g_matrices, seen.swapaxes(1, 2)).reshape(groups, out, channels, kernel[1])
    return result.reshape(shape)
