"""Convolutions: of many samples' images with one weight, one batch of images; with a weight each, groups."""

import math

from minigrad.ir.rules.kernel import Convolution, WeightGradient
from minigrad.ir.rules.partition import mixes, of_rows
from minigrad.ir.rules.rule import Rule
from minigrad.kernels.convolution import geometry_of
from minigrad.ops.conv import geometry

# Under one more leading axis


def convolution_batched(b, x, weight, bias=None, **params):
    shared = b.on[0] and not b.on[1]
    if b.on[2]:  # a sample's own bias is added behind
        y = b.o.reshape(bias, shape=(b.size, 1, b.shape(2)[0], 1, 1))
        return b.o.add(convolved(b, shared, None, params), y)
    return convolved(b, shared, bias, params)


def convolved(b, shared: bool, bias, params: dict):
    x, weight = b.inputs[:2]
    if not b.on[0] and not b.on[1]:
        y = b.apply(x, weight, bias, **params)
        return b.o.reshape(y, shape=(1, *y.shape))
    n = b.shape(0)[0]
    if shared:
        y = b.apply(b.o.reshape(x, shape=(b.size * n, *b.shape(0)[1:])), weight, bias, **params)
        return b.o.reshape(y, shape=(b.size, n, *y.shape[1:]))
    weight = b.o.reshape(weight, shape=(b.size * b.shape(1)[0], *b.shape(1)[1:]))
    y = b.apply(channels_of(b, 0), weight, None, **in_groups(b, params))
    y = samples_of(b, y)
    return y if bias is None else b.o.add(y, b.o.reshape(bias, shape=(b.shape(2)[0], 1, 1)))


def in_groups(b, params: dict) -> dict:
    """Each sample a group of its own."""
    return {**params, "groups": b.size * params.get("groups", 1)}


def channels_of(b, k: int):
    """The images of all samples side by side: (N, samples * channels, height, width)."""
    n, channels, *size = b.shape(k)
    x = b.o.transpose(b.whole(k), axes=(1, 0, 2, 3, 4))
    return b.o.reshape(x, shape=(n, b.size * channels, *size))


def samples_of(b, y):
    """The other way round."""
    n, channels, *size = y.shape
    return b.o.transpose(b.o.reshape(y, shape=(n, b.size, channels // b.size, *size)), axes=(1, 0, 2, 3, 4))


def conv2d_weight_batched(b, x, g, **params):
    made = b.apply(channels_of(b, 0), channels_of(b, 1), **in_groups(b, params))
    return b.reshaped(made, made.shape[0] // b.size, *made.shape[1:])


def without_bias(o, value, x, w, bias=None, **params):
    if bias is None:
        return None
    return o.add(o.make(value.op.name, x, w, None, **params), o.reshape(bias, shape=(1, bias.size, 1, 1)))


# Flops: two a multiplication


def conv2d_flops(shapes, results) -> float:
    return 2.0 * math.prod(results[0]) * math.prod(shapes[1]) / max(1, shapes[1][0])


def transposed_flops(shapes, results) -> float:
    return 2.0 * math.prod(shapes[0]) * math.prod(shapes[1]) / max(1, shapes[1][0])


def weight_flops(shapes, results) -> float:
    """Of each element of g a product with as many of x as the result has a channel."""
    return 2.0 * math.prod(shapes[1]) * math.prod(results[0]) / max(1, results[0][0])


# All steps at once


def convolution_hoist(v, x, weight, bias=False) -> bool:
    return x and not weight and not bias


def weight_over_steps(v):
    def merged(o, x):
        return o.reshape(x, shape=(math.prod(x.shape[:2]), *x.shape[2:]))

    return v.inputs, lambda o, x, g: o.conv2d_weight(merged(o, x), merged(o, g), **v.params)


def convolution_geometry(v):
    x, w, *_ = v.inputs
    return geometry_of(x.shape, w.shape, v.shape[2:], *how(v, w.shape))


def transposed_geometry(v):
    x, w, *_ = v.inputs
    return geometry_of(x.shape, w.shape, v.shape[2:], *how(v, w.shape), transposed=True)


def weight_geometry(v):
    x, g = v.inputs
    return geometry_of(x.shape, v.shape, g.shape[2:], *how(v, v.shape))


def how(v, weight_shape) -> tuple:
    """Stride, padding, dilation and groups."""
    given = [v.params[name] for name in ("stride", "padding", "dilation")]
    return *geometry(weight_shape[2:], *given), v.params["groups"]


@of_rows
def convolution_partition(v, x, weight, bias=None):
    return x and not weight and not bias


RULES = {
    "conv2d": Rule(
        batch=convolution_batched,
        partition=convolution_partition,
        lower=without_bias,
        kernel=Convolution(convolution_geometry),
        flops=conv2d_flops,
        hoist=convolution_hoist,
        sinks=True,
    ),
    "conv_transpose2d": Rule(
        batch=convolution_batched,
        partition=convolution_partition,
        lower=without_bias,
        kernel=Convolution(transposed_geometry, transposed=True),
        flops=transposed_flops,
        hoist=convolution_hoist,
        sinks=True,
    ),
    "conv2d_weight": Rule(
        batch=conv2d_weight_batched,
        partition=mixes,
        kernel=WeightGradient(weight_geometry),
        flops=weight_flops,
        hoist=lambda v, *on: False,
        sinks=True,
        over_steps=weight_over_steps,
    ),
}
