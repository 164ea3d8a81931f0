"""Pooling of images: one image of one channel after another."""

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import Blocks
from minigrad.ir.rules.rule import Rule
from minigrad.ops.pool import _pool_geometry
from minigrad.ops.table import Spec

# The first of several, as the largest is looked for; or the last NaN. Of a window that sees nothing its first place.
LARGEST = """
for p in range(oh):
    top = p * sh - ph
    for q in range(ow):
        left = q * sw - pw
        first_row, first_column = top, left
        while first_row < 0:
            first_row += dh
        while first_column < 0:
            first_column += dw
        at, best = first_row * w + first_column, Float(-np.inf)
        for i in range(first_row, min(h, top + kh * dh), dh):
            for j in range(first_column, min(w, left + kw * dw), dw):
                value = x[i, j]
                if value > best or value != value:
                    best, at = value, i * w + j
        y[p, q] = at
"""
SUM = """
for p in range(oh):
    top = p * sh - ph
    for q in range(ow):
        left = q * sw - pw
        total = Float(0)
        for i in range(max(0, top), min(h, top + kh)):
            for j in range(max(0, left), min(w, left + kw)):
                total += x[i, j]
        y[p, q] = total
"""
SPREAD = """
for i in range(h):
    for j in range(w):
        y[i, j] = Float(0)
for p in range(oh):
    top = p * sh - ph
    for q in range(ow):
        left, value = q * sw - pw, x[p, q]
        for i in range(max(0, top), min(h, top + kh)):
            for j in range(max(0, left), min(w, left + kw)):
                y[i, j] += value
"""


def sizes_of(v, image, dilation=1) -> dict:
    p = v.params
    of = _pool_geometry(image, p["kernel_size"], p["stride"], p["padding"], dilation, p["ceil_mode"])
    pairs = {"": image.shape[2:], "k": of.kernel, "s": of.stride, "p": of.padding, "d": of.dilation, "o": of.sides}
    return {f"{name}{axis}": n for name, pair in pairs.items() for axis, n in zip("hw", pair)}


def of_largest(v) -> dict:
    return sizes_of(v, v.inputs[0], v.params["dilation"])


def of_sum(v) -> dict:
    return sizes_of(v, v.inputs[0])


def of_spread(v) -> dict:
    return sizes_of(v, Spec(v.shape, v.dtype))


def flops_of(kh, kw, oh, ow, **sizes) -> int:
    return kh * kw * oh * ow


IMAGE, RESULT = {"x": 2}, {"y": 2}
KERNELS = {
    "max_pool2d_indices": Blocks(IMAGE, RESULT, LARGEST, of_largest, flops_of),
    "pool_sum": Blocks(IMAGE, RESULT, SUM, of_sum, flops_of),
    "pool_spread": Blocks(IMAGE, RESULT, SPREAD, of_spread, flops_of),
}
RULES = {name: Rule(batch=batch.images, partition=partition.leading, kernel=kernel) for name, kernel in KERNELS.items()}
