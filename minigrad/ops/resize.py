"""Sequences, images and volumes in another size: along one axis after another, each element of a few weighed ones."""

import math
from functools import reduce
from operator import add
from typing import Literal

import numpy as np

from minigrad.arguments import is_number
from minigrad.ops.along import take
from minigrad.ops.conv import require_float, several
from minigrad.ops.declare import composite

Mode = Literal["nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic"]
AXES = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
SHARPNESS = -0.75  # of the cubic, as PyTorch's (Keys 1981 has -0.5)


def _scales(x, size, scale_factor) -> list[tuple[int, float]]:
    """(elements that result, distance between them in elements of x) of each axis but the first two."""
    count = x.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("wanted either size or scale_factor")
    if size is not None:
        return [(m, n / m) for m, n in zip(several(size, "size", 1, count), x.shape[2:])]
    factors = tuple(scale_factor) if np.ndim(scale_factor) else (scale_factor,) * count
    if len(factors) != count or not all(is_number(f) and 0 < f < math.inf for f in factors):
        raise ValueError(f"scale_factor={scale_factor!r}, wanted a positive number, or {count}")
    sizes = several([math.floor(n * f) for n, f in zip(x.shape[2:], factors)], "size", 1, count)
    return [(m, 1 / f) for m, f in zip(sizes, factors)]


def _cubic(t):
    """Weights of the elements before and after the nearest two, of which the first is t away."""
    a = SHARPNESS
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (t + 1, 2 - t)]
    return [far[0], *near, far[1]]


def _weighed(mode: str, n: int, size: int, scale, align_corners: bool, dtype):
    """(places in an axis of n elements, (taps, size); their weights, alike, or None if there is one tap)"""
    steps = np.arange(size, dtype=dtype)
    scale = dtype.type(scale if not align_corners else (n - 1) / (size - 1) if size > 1 else 0)
    if mode in ("nearest", "nearest-exact"):
        at = np.floor((steps + dtype.type(0.5 if mode == "nearest-exact" else 0)) * scale)
        return np.minimum(at.astype(np.intp), n - 1)[None], None
    at = steps * scale if align_corners else (steps + dtype.type(0.5)) * scale - dtype.type(0.5)
    at = at if mode == "bicubic" else np.maximum(at, 0)
    first = np.floor(at)
    t = at - first
    weights, before = (_cubic(t), 1) if mode == "bicubic" else ([1 - t, t], 0)
    places = first.astype(np.intp) + np.arange(-before, len(weights) - before)[:, None]
    return np.clip(places, 0, n - 1), np.array(weights, dtype)


@composite(
    sample=lambda d: (
        d.array((2, 1, 3, 4)),
        {"size": d.choice([(5, 3), (2, 4)]), "mode": d.choice(["nearest", "bilinear", "bicubic"])},
    ),
    method=False,
)
def interpolate(x, /, size=None, scale_factor=None, mode: Mode = "nearest", align_corners: bool | None = None):
    """x (N, channels, ...) in another size, as torch.nn.functional.interpolate.

    size: of all axes but the first two, an integer or one for each; or else scale_factor: what to multiply their sizes
    by. mode: "nearest" and "nearest-exact" for any number of axes; "linear" for one, "bilinear" and "bicubic" for two,
    "trilinear" for three. align_corners: True puts the first and the last elements on one another, not the edges of
    what each stands for; not of the nearest.

    Examples
    --------
    >>> mg.interpolate([[[1.0, 2.0]]], scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    require_float(x)
    if x.ndim < 3 or AXES.get(mode, x.ndim - 2) != x.ndim - 2:
        raise ValueError(f"got x of shape {x.shape} and mode={mode!r}, which is for another number of axes")
    if mode not in AXES and align_corners is not None:
        raise ValueError(f"align_corners={align_corners}, wanted None, which mode={mode!r} has")
    for axis, (m, scale) in enumerate(_scales(x, size, scale_factor), 2):
        places, weights = _weighed(mode, x.shape[axis], m, scale, bool(align_corners), x.dtype)
        taken = [take(x, row, axis) for row in places]
        if weights is not None:
            taken = [y * w.reshape(-1, *[1] * (x.ndim - axis - 1)) for y, w in zip(taken, weights)]
        x = reduce(add, taken)
    return x
