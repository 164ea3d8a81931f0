"""Convolutions along sequences and of volumes: those of images, with an axis of size 1, or with what the kernel sees of
the depth as channels."""

import numpy as np

from minigrad.arguments import Size
from minigrad.ops.along import take, untake
from minigrad.ops.conv import conv2d, conv_transpose2d, fit_channels, geometry, several, transposed_shape
from minigrad.ops.declare import composite
from minigrad.ops.index import pad
from minigrad.ops.shape import expand_dims, reshape, squeeze, transpose


def _require_axes(x, weight, ndim: int) -> None:
    if x.ndim != ndim or weight.ndim != ndim:
        size, kernel = [("length", "depth, height, width")[ndim == 5], ("k", "kd, kh, kw")[ndim == 5]]
        raise ValueError(
            f"got x {x.shape} and weight {weight.shape}, wanted x (N, channels, {size}) and a weight (.., .., {kernel})"
        )


def _along(value, name: str, least: int):
    """A setting of the one axis, for those of images of height 1."""
    return value if isinstance(value, str) else (least, *several(value, name, least, 1))


def _sample1d(d):
    params = {"stride": d.choice([1, 2]), "padding": d.choice([0, 1]), "dilation": d.choice([1, 2]), "groups": 2}
    return d.array((2, 4, 5)), d.array((4, 2, 2)), d.choice([None, d.array((4,))]), params


@composite(sample=_sample1d, method=False)
def conv1d(x, weight, bias=None, /, stride=1, padding=0, dilation=1, groups: Size = 1):
    """Cross-correlation along a sequence, as torch.nn.functional.conv1d: a conv2d of height 1.

    x: (N, channels, length). weight: (out, channels / groups, k). bias: (out,) or None. stride, dilation: integers.
    padding: an integer, "valid" or "same". Returns (N, out, (length + 2 padding - dilation (k - 1) - 1) // stride + 1).

    Examples
    --------
    >>> mg.conv1d([[[1.0, 2.0, 3.0]]], [[[1.0, 1.0]]]).tolist()
    [[[3.0, 5.0]]]
    """
    _require_axes(x, weight, 3)
    y = conv2d(
        expand_dims(x, 2), expand_dims(weight, 2), bias, stride=_along(stride, "stride", 1),
        padding=_along(padding, "padding", 0), dilation=_along(dilation, "dilation", 1), groups=groups,
    )  # fmt: skip
    return squeeze(y, 2)


@composite(sample=_sample1d, method=False)
def conv_transpose1d(x, weight, bias=None, /, stride=1, padding=0, output_padding=0, groups: Size = 1, dilation=1):
    """The transpose of conv1d, as torch.nn.functional.conv_transpose1d: a conv_transpose2d of height 1.

    x: (N, channels, length). weight: (channels, out / groups, k). bias: (out,) or None.

    Examples
    --------
    >>> mg.conv_transpose1d([[[1.0, 2.0]]], [[[1.0, 1.0]]]).tolist()
    [[[1.0, 3.0, 2.0]]]
    """
    _require_axes(x, weight, 3)
    y = conv_transpose2d(
        expand_dims(x, 2), expand_dims(weight, 2), bias, stride=_along(stride, "stride", 1),
        padding=_along(padding, "padding", 0), output_padding=_along(output_padding, "output_padding", 0),
        groups=groups, dilation=_along(dilation, "dilation", 1),
    )  # fmt: skip
    return squeeze(y, 2)


def _seen(outputs: int, kernel: int, stride: int, dilation: int) -> np.ndarray:
    """Where in the padded depth lies what kernel slice i sees for output p: (kernel, outputs)."""
    return np.arange(kernel)[:, None] * dilation + np.arange(outputs) * stride


def _sample3d(d):
    groups = d.choice([1, 2])
    params = {"stride": d.choice([1, (2, 1, 2)]), "padding": d.choice([0, (1, 0, 0)]), "groups": groups}
    x = d.array((1, 2 * groups, 3, 1, 2))
    return x, d.array((2 * groups, 2, 2, 1, 1)), d.choice([None, d.array((2 * groups,))]), params


@composite(sample=_sample3d, method=False)
def conv3d(x, weight, bias=None, /, stride=1, padding=0, dilation=1, groups: Size = 1):
    """Cross-correlation of volumes with kernels, as torch.nn.functional.conv3d.

    x: (N, channels, depth, height, width). weight: (out, channels / groups, kd, kh, kw). bias: (out,) or None. stride,
    dilation: an integer or three. padding: as conv2d's. Returns (N, out, depth', height', width').

    Examples
    --------
    >>> mg.conv3d(mg.ones((1, 1, 2, 3, 3)), mg.ones((4, 1, 2, 2, 2))).shape
    (1, 4, 1, 2, 2)
    """
    _require_axes(x, weight, 5)
    fit_channels(x, weight, bias, groups)
    n, channels, depth, *size = x.shape
    out, each, k, *kernel = weight.shape
    (s, *stride), ((before, after), *margins), (d, *dilation) = geometry((k, *kernel), stride, padding, dilation)
    extent, room = d * (k - 1) + 1, before + depth + after
    if not 0 < extent <= room:
        raise ValueError(f"the kernel covers a depth of {extent}, more than the padded input's {room}")
    depth = (room - extent) // s + 1
    x = pad(x, [(0, 0), (0, 0), (before, after), (0, 0), (0, 0)]) if before + after else x
    x = transpose(take(x, _seen(depth, k, s, d), 2), (0, 3, 1, 2, 4, 5))  # (N, depth', channels, kd, height, width)
    y = conv2d(
        reshape(x, (n * depth, channels * k, *size)), reshape(weight, (out, each * k, *kernel)), bias, stride=stride,
        padding=padding if isinstance(padding, str) else [m for m, _ in margins], dilation=dilation, groups=groups,
    )  # fmt: skip
    return transpose(reshape(y, (n, depth, *y.shape[1:])), (0, 2, 1, 3, 4))


@composite(sample=_sample3d, method=False)
def conv_transpose3d(x, weight, bias=None, /, stride=1, padding=0, output_padding=0, groups: Size = 1, dilation=1):
    """The transpose of conv3d, as torch.nn.functional.conv_transpose3d.

    x: (N, channels, depth, height, width). weight: (channels, out / groups, kd, kh, kw). bias: (out,) or None.

    Examples
    --------
    >>> mg.conv_transpose3d(mg.ones((1, 4, 1, 2, 2)), mg.ones((4, 1, 2, 2, 2))).shape
    (1, 1, 2, 3, 3)
    """
    _require_axes(x, weight, 5)
    result = transposed_shape(x, weight, bias, stride, padding, output_padding, groups, dilation)
    n, channels, depth, *size = x.shape
    _, each, k, *kernel = weight.shape
    (s, *stride), ((before, _), *margins), (d, *dilation) = geometry((k, *kernel), stride, padding, dilation)
    y = conv_transpose2d(
        reshape(transpose(x, (0, 2, 1, 3, 4)), (n * depth, channels, *size)),
        reshape(weight, (channels, each * k, *kernel)), None, stride=stride,
        padding=padding if isinstance(padding, str) else [m for m, _ in margins],
        output_padding=several(output_padding, "output_padding", 0, 3)[1:], groups=groups, dilation=dilation,
    )  # fmt: skip
    y = transpose(reshape(y, (n, depth, result[1], k, *result[3:])), (0, 2, 3, 1, 4, 5))
    places = _seen(depth, k, s, d)
    whole = max(before + result[2], places.max().item() + 1)
    y = untake(y, places, (n, result[1], whole, *result[3:]), 2)[:, :, before : before + result[2]]
    return y if bias is None else y + reshape(bias, (-1, 1, 1, 1))
