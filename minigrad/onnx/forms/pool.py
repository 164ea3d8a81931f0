"""Pooling of images. Sums are convolutions of each channel with ones."""

import math
import operator

import numpy as np

from minigrad.onnx.forms.index import part
from minigrad.onnx.forms.shape import reshaped
from minigrad.ops.pool import Windows, _pool_geometry
from minigrad.ops.table import Spec


def windows(shape, dtype, kernel_size, stride, padding, dilation, ceil_mode) -> tuple[Windows, list[int]]:
    """Where the windows lie, and the padding behind the image: with ceil_mode as far as the last ones reach, which
    asks for the image's size, and then it is fixed."""
    *images, height, width = shape
    sides = [operator.index(n) for n in (height, width)] if ceil_mode else [height, width]
    of = _pool_geometry(Spec((*images, *sides), dtype), kernel_size, stride, padding, dilation, ceil_mode)
    if not ceil_mode:
        return of, list(of.padding)
    return of, [max(0, end - n - p) for end, n, p in zip(covered(of), sides, of.padding)]


def covered(of: Windows) -> list:
    """Of each axis, how much all windows cover."""
    return [(m - 1) * s + d * (k - 1) + 1 for m, s, d, k in zip(of.sides, of.stride, of.dilation, of.kernel)]


def largest(g, v, x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """MaxPool counts places over all images."""
    image = v.inputs[0]
    of, behind = windows(image.shape, image.dtype, kernel_size, stride, padding, dilation, ceil_mode)
    _, places = g.nodes_of(
        "MaxPool", x, results=2, kernel_shape=list(of.kernel), strides=list(of.stride), dilations=list(of.dilation),
        pads=[*of.padding, *behind],
    )  # fmt: skip
    return g.node("Mod", places, g.scalar(math.prod(image.shape[2:])))


def ones(g, v, of) -> str:
    return g.constant(np.ones((1, 1, *of.kernel), v.dtype))


def pool_sum(g, v, x, kernel_size, stride=None, padding=0, ceil_mode=False):
    image = v.inputs[0]
    (n, channels, *sides) = image.shape
    of, behind = windows(image.shape, image.dtype, kernel_size, stride, padding, 1, ceil_mode)
    flat = reshaped(g, x, (n * channels, 1, *sides))
    made = g.node("Conv", flat, ones(g, v, of), strides=list(of.stride), pads=[*of.padding, *behind])
    return reshaped(g, made, v.shape)


def pool_spread(g, v, x, size, kernel_size, stride=None, padding=0, ceil_mode=False):
    """What the windows cover, without the padding before the image, and zeros behind, where no window reaches."""
    n, channels, *sides = v.shape
    sides = [operator.index(m) for m in sides]
    of, _ = windows((n, channels, *sides), v.dtype, kernel_size, stride, padding, 1, ceil_mode)
    made = g.node(
        "ConvTranspose", reshaped(g, x, (n * channels, 1, *of.sides)), ones(g, v, of), strides=list(of.stride)
    )
    ends = [p + m for p, m in zip(of.padding, sides)]
    behind = [max(0, end - m) for end, m in zip(ends, covered(of))]
    if any(behind):
        made = g.node("Pad", made, g.sizes([0] * 6 + behind))
    shape = (n * channels, 1, *[m + b for m, b in zip(covered(of), behind)])
    inside = [slice(p, end, 1) for p, end in zip(of.padding, ends)]
    return reshaped(g, part(g, made, (slice(0, shape[0], 1), slice(0, 1, 1), *inside), shape), v.shape)


FORMS = {"max_pool2d_indices": largest, "pool_sum": pool_sum, "pool_spread": pool_spread}
