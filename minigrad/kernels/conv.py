"""Direct convolution by the kernels that conv_tiles.py writes: their addresses, and the sizes of what they work in."""

import ctypes
import functools
from typing import NamedTuple

import numpy as np

from minigrad.kernels import build, matmul
from minigrad.kernels.conv_tiles import FEW, source
from minigrad.kernels.tiles import SHAPE, Shape


class Geometry(NamedTuple):
    """What kernels want to know of a convolution. I, O: channels of one group. top, left: zeros before the first pixel.
    sh, sw: the stride. dh, dw: the dilation. ah, aw: how far apart the image's pixels are, with zeros between them."""

    groups: int
    I: int
    H: int
    W: int
    O: int
    kh: int
    kw: int
    top: int
    left: int
    sh: int
    sw: int
    dh: int
    dw: int
    ah: int
    aw: int
    OH: int
    OW: int


class Addresses(NamedTuple):
    pack: int
    conv: int
    weight: int
    unpack: int


COUNTS = Addresses(pack=12, conv=7 + len(Geometry._fields), weight=8 + len(Geometry._fields), unpack=6)


@functools.cache
def addresses(dtype: np.dtype, shape: Shape = SHAPE) -> Addresses:
    """C functions, for generated kernels too. They take int64: addresses, sizes, and strides in elements.

    pack(w, o_stride, i_stride, h_stride, w_stride, O, I, kh, kw, groups, group_stride, packed): a weight as `conv`
    reads it, O and I of one group.
    conv(x, samples, x_sample_stride, packed, y, y_sample_stride, workspace, *geometry): y[n, o, p, q] = sum of
    X[n, i, p sh + a dh, q sw + b dw] w[o, i, a, b], X the padded image; a sample is contiguous.
    weight(x, samples, x_sample_stride, g, g_sample_stride, sums, workspace, matmul's pack, *geometry): the gradient
    with respect to w, of which g is y's cotangent, LANES output channels side by side;
    unpack(sums, w, adds, groups, O, I kh kw) puts them in their places, or adds them to what is there.
    """
    text = source(np.dtype(dtype).name, shape)
    types = [", ".join(["intp"] * count) for count in COUNTS]
    return Addresses(*build.addresses(text, dict(zip(Addresses._fields, types))))


@functools.cache
def compiled(dtype: np.dtype, shape: Shape = SHAPE) -> Addresses:
    """The same, for calls from Python."""
    prototypes = [ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * count) for count in COUNTS]
    return Addresses(*[prototype(address) for prototype, address in zip(prototypes, addresses(dtype, shape))])


def aligned(size: int, dtype) -> np.ndarray:
    """Uninitialised, on a cache line."""
    nbytes = size * np.dtype(dtype).itemsize
    memory, _ = room(nbytes)
    start = -memory.ctypes.data % 64
    return memory[start : start + nbytes].view(dtype)


def room(nbytes: int) -> tuple[np.ndarray, int]:
    """Memory, and the address of a cache line in it after which there are as many bytes."""
    memory = np.empty(nbytes + 64, np.uint8)
    return memory, memory.ctypes.data + 63 & ~63


def packed_buffer(O: int, I: int, kh: int, kw: int, dtype) -> np.ndarray:
    """Uninitialised room for a packed weight."""
    return aligned(O * I * kh * kw, dtype)


def _table_size(entries: int, dtype) -> int:
    return -(-entries * 8 // 64) * 64 // np.dtype(dtype).itemsize


def _plane_size(of: Geometry) -> tuple[int, int]:
    """Elements of a channel of a padded image, and in a row of it, however it is sorted."""
    planes = min(of.sh, (of.kh - 1) * of.dh + 1) * min(of.sw, (of.kw - 1) * of.dw + 1)
    columns = of.OW + (of.kw - 1) * of.dw // of.sw
    return planes * (of.OH + (of.kh - 1) * of.dh // of.sh) * columns, columns


def workspace_size(of: Geometry, dtype, shape: Shape = SHAPE) -> int:
    """Elements of workspace that `conv` needs: a table of offsets, a padded image, a tile's rows of y."""
    lanes = shape.width // np.dtype(dtype).itemsize
    plane, columns = _plane_size(of)
    image = of.I * plane + lanes + (of.kw - 1) * of.dw + 1
    return _table_size(of.kh * of.kw, dtype) + image + shape.rows * max(of.OH * columns, lanes) + lanes


def weight_sizes(of: Geometry, dtype, shape: Shape = SHAPE) -> tuple[int, int]:
    """Elements of the workspace that `weight` needs, and of its sums."""
    lanes = shape.width // np.dtype(dtype).itemsize
    sums = of.groups * -(-of.O // lanes) * lanes * of.I * of.kh * of.kw
    if lanes >= FEW * of.O:
        plane, columns = _plane_size(of)
        return _table_size(of.kh * of.kw, dtype) + of.I * plane + of.O * of.OH * columns + lanes, sums
    rows, columns = (of.OH - 1) * of.sh + (of.kh - 1) * of.dh + 1, (of.OW - 1) * of.sw + (of.kw - 1) * of.dw + 1
    image = of.I * rows * columns + lanes  # where they are fewer than a kernel's columns
    return _table_size(of.OW, dtype) + image + matmul.packed_size(of.OH * of.OW, of.O, dtype, shape) + lanes, sums
