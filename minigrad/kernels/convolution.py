"""Convolutions of NumPy arrays, and the gradient with respect to the weight, by the kernels of conv.py."""

import functools

import numpy as np

from minigrad.kernels import conv, matmul, threads
from minigrad.kernels.conv import Geometry
from minigrad.kernels.entry import FLOATS, in_order, refuse
from minigrad.kernels.sums import add_reduce
from minigrad.kernels.tiles import SHAPE, Shape

# Multiplications from which a second thread pays: waking one costs some 100 us.
LARGE = 1 << 24

RUN = 512  # pixels that are added one after another
Pair = tuple[int, int]
Pairs = tuple[Pair, Pair]
ONE = (1, 1)


def geometry_of(
    x_shape, weight_shape, size, stride: Pair, padding: Pairs, dilation: Pair, groups: int, transposed: bool = False
) -> Geometry:
    """What conv.py wants to know of conv2d of images of x_shape with a weight (O, I, kh, kw), I of one group. size: of
    the result, (height, width). transposed: of its transpose, conv_transpose2d, with (I, O, kh, kw), O of one group."""
    first, second, *kernel = weight_shape
    (top, _), (left, _) = padding
    if transposed:
        top, left = [d * (k - 1) - before for d, k, before in zip(dilation, kernel, (top, left))]
        return Geometry(
            groups, first // groups, *x_shape[2:], second, *kernel, top, left, *ONE, *dilation, *stride, *size
        )
    return Geometry(groups, second, *x_shape[2:], first // groups, *kernel, top, left, *stride, *dilation, *ONE, *size)


def filters(weight_shape, strides, groups: int, transposed: bool) -> tuple[list, int]:
    """Of a weight with these strides, in elements: what `pack` takes of it, and the element where it begins. The weight
    of a transposed convolution is flipped, and its channels exchanged."""
    first, second, kh, kw = weight_shape
    o, i, h, w = strides
    each = first // groups
    if transposed:
        return [i, o, -h, -w, second, each, kh, kw, groups, each * o], (kh - 1) * h + (kw - 1) * w
    return [o, i, h, w, each, second, kh, kw, groups, each * o], 0


def conv2d(
    x: np.ndarray, weight: np.ndarray, padding: Pairs, stride: Pair = ONE, dilation: Pair = ONE, groups: int = 1,
    shape: Shape = SHAPE,
) -> np.ndarray:  # fmt: skip
    """Cross-correlation of x (N, groups * I, H, W) with weight (O, I, kh, kw), of one dtype, float32 or float64.

    padding: zeros ((above, below), (left, right)); a negative number takes rows or columns away.
    """
    O, I, kh, kw = weight.shape if weight.ndim == 4 else (0,) * 4
    size = _sides(x, (kh, kw), padding, stride, dilation)
    if I * O == 0 or min(size) < 1 or O % groups or x.shape[1] != I * groups or not _alike(x, weight):
        refuse("conv2d", f"images (N, I, H, W) and a weight (O, I, kh, kw) of one dtype, {padding=}", x, weight)
    of = geometry_of(x.shape, weight.shape, size, stride, padding, dilation, groups)
    return _convolved(x, weight, of, False, shape)


def conv_transpose2d(
    x: np.ndarray, weight: np.ndarray, padding: Pairs, stride: Pair = ONE, dilation: Pair = ONE, groups: int = 1,
    extra: Pair = (0, 0), shape: Shape = SHAPE,
) -> np.ndarray:  # fmt: skip
    """The transpose of conv2d: to x (N, O, OH, OW) and weight (O, I, kh, kw) the (N, I, H, W) that gives such an x,
    with `extra` rows and columns that it does not see."""
    fits = x.ndim == weight.ndim == 4 and x.shape[1] == len(weight) and len(weight) % groups == 0 and _alike(x, weight)
    if not fits or 0 in weight.shape:
        refuse("conv_transpose2d", f"images (N, O, OH, OW) and a weight (O, I, kh, kw) of one dtype, {padding=}",
               x, weight)  # fmt: skip
    lengths = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, extra)
    size = [(n - 1) * s - before - after + d * (k - 1) + 1 + e for n, k, s, (before, after), d, e in lengths]
    of = geometry_of(x.shape, weight.shape, size, stride, padding, dilation, groups, True)
    return _convolved(x, weight, of, True, shape)


def _alike(x: np.ndarray, y: np.ndarray) -> bool:
    return x.dtype == y.dtype and x.dtype in FLOATS


def _sides(x: np.ndarray, kernel: Pair, padding: Pairs, stride: Pair, dilation: Pair) -> tuple[int, ...]:
    """Rows and columns of what comes out of a convolution; zeros if x is no images, or the kernel covers nothing."""
    if x.ndim != 4 or min(kernel) < 1:
        return 0, 0
    sides = zip(x.shape[2:], kernel, padding, stride, dilation)
    return tuple([(n + before + after - d * (k - 1) - 1) // s + 1 for n, k, (before, after), s, d in sides])


def _convolved(x: np.ndarray, weight: np.ndarray, of: Geometry, transposed: bool, shape: Shape) -> np.ndarray:
    x, weight = in_order(x), weight if weight.flags.aligned else weight.copy()
    n, groups, out, images = len(x), of.groups, of.O * of.groups, x.size // len(x)
    y = np.empty((n, out, of.OH, of.OW), x.dtype)
    kernels, size = conv.compiled(x.dtype, shape), x.itemsize
    at_x, at_w, at_y = x.ctypes.data, weight.ctypes.data, y.ctypes.data
    terms = of.I * of.kh * of.kw
    strides, begin = filters(weight.shape, [stride // size for stride in weight.strides], groups, transposed)

    def convolve(samples, channels, packed=None):
        """A range of samples, a range of channels that come out, of a group or of whole ones; packed: the address of
        their weights."""
        k, (first, last) = samples[0], channels
        part = of._replace(groups=(last - first) // of.O if groups > 1 else 1, O=of.O if groups > 1 else last - first)
        nbytes = conv.workspace_size(part, x.dtype, shape) * size
        _memory, workspace = conv.room(nbytes + (last - first) * terms * size + 64)  # kept until the end
        if packed is None:
            packed = workspace + nbytes + 63 & ~63
            start = at_w + (begin + (first // of.O * strides[9] if groups > 1 else first * strides[0])) * size
            kernels.pack(start, *strides[:4], part.O, of.I, of.kh, of.kw, part.groups, strides[9], packed)
        before = first // of.O * of.I * of.H * of.W if groups > 1 else 0  # of the image
        kernels.conv(
            at_x + (k * images + before) * size, samples[1] - k, images, packed,
            at_y + (k * out + first) * of.OH * of.OW * size, out * of.OH * of.OW, workspace, *part,
        )  # fmt: skip

    # More pieces than threads: one that another process keeps from its work leaves more of it to the others.
    if threads.count == 1 or y.size * terms < LARGE:
        convolve((0, n), (0, out))
    elif n < threads.count or weight.size > x.size:  # each piece packs its own weights, and pads all images
        unit = of.O if groups > 1 else 1
        pieces = [(first * unit, last * unit) for first, last in _pieces(out // unit, 2 * threads.count)]
        threads.share([functools.partial(convolve, (0, n), piece) for piece in pieces])
    else:
        _memory, packed = conv.room(weight.size * size)
        kernels.pack(at_w + begin * size, *strides, packed)
        threads.share([functools.partial(convolve, piece, (0, out), packed) for piece in _pieces(n, 4 * threads.count)])
    return y


def conv2d_weight(
    x: np.ndarray, g: np.ndarray, kernel: Pair, padding: Pairs, stride: Pair = ONE, dilation: Pair = ONE,
    groups: int = 1, shape: Shape = SHAPE,
) -> np.ndarray:  # fmt: skip
    """The gradient of conv2d with respect to its weight (O, I, *kernel), g (N, O, OH, OW) that of its result, or of its
    first rows and columns.

    Sums over more than RUN pixels are sums of those over fewer, so that their rounding error does not grow with them.
    """
    fits = (
        x.ndim == g.ndim == 4 and len(x) == len(g) and _alike(x, g) and x.size and g.size and g.shape[1] % groups == 0
    )
    sides = _sides(x, kernel, padding, stride, dilation)
    if not fits or any(n > side for n, side in zip(g.shape[2:], sides)):
        refuse("conv2d_weight", f"images and cotangents (N, O, OH, OW) of one dtype, {kernel=}, {padding=}", x, g)
    O, OH, OW = g.shape[1:]
    if OH > 1 and OH * OW > 2 * RUN and x.dtype == np.float32:
        return add_reduce(_by_lines(x, g, kernel, padding, stride, dilation, groups, shape), (0,))
    x, g = in_order(x), in_order(g)
    of = geometry_of(x.shape, (O, x.shape[1] // groups, *kernel), (OH, OW), stride, padding, dilation, groups)
    kernels, item = conv.compiled(x.dtype, shape), x.itemsize
    pack_panels = matmul.addresses(x.dtype, shape).pack
    n, terms, (room, size) = len(x), of.I * of.kh * of.kw, conv.weight_sizes(of, x.dtype, shape)
    images, cotangents = x.size // n, g.size // n
    at_x, at_g = x.ctypes.data, g.ctypes.data
    pieces = _pieces(n, threads.count if g.size * terms >= LARGE else 1)
    partial = [zeros(size, x.dtype) for _ in pieces]
    run = max(1, RUN // (OH * OW)) if x.dtype == np.float32 else n

    def gradient(first, last, sums):
        _memory, workspace = conv.room(room * item)
        add(first, min(first + run, last), sums, workspace)
        part = zeros(size, x.dtype) if last - first > run else sums
        for k in range(first + run, last, run):
            add(k, min(k + run, last), part, workspace)
            np.add(sums, part, out=sums)

    def add(k, end, sums, workspace):
        kernels.weight(
            at_x + k * images * item, end - k, images, at_g + k * cotangents * item, cotangents, sums.ctypes.data,
            workspace, pack_panels, *of,
        )  # fmt: skip

    tasks = [functools.partial(gradient, *piece, sums) for piece, sums in zip(pieces, partial)]
    threads.run(tasks) if len(tasks) > 1 else tasks[0]()
    for sums in partial[1:]:
        partial[0] += sums
    result = np.empty((O, of.I, *kernel), x.dtype)
    kernels.unpack(partial[0].ctypes.data, result.ctypes.data, 0, groups, of.O, terms)
    return result


def zeros(size: int, dtype) -> np.ndarray:
    made = conv.aligned(size, dtype)
    made[:] = 0
    return made


def _by_lines(x, g, kernel, padding: Pairs, stride: Pair, dilation: Pair, groups: int, shape: Shape) -> np.ndarray:
    """The gradients of bands of output lines, stacked."""
    H, OH, OW = x.shape[2], *g.shape[2:]
    (top, _), sides = padding
    lines, found = max(1, RUN // OW), []
    for p in range(0, OH, lines):
        end = min(p + lines, OH)
        first = p * stride[0] - top  # lines of the image that the band sees
        last = (end - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1 - top
        seen = x[:, :, max(0, first) : max(0, min(last, H))]
        if seen.shape[2]:
            rows = (max(0, -first), max(0, last - H))
            found.append(conv2d_weight(seen, g[:, :, p:end], kernel, (rows, sides), stride, dilation, groups, shape))
    return np.stack(found)


def _pieces(n: int, most: int) -> list[tuple[int, int]]:
    count = min(n, most)
    return [(n * k // count, n * (k + 1) // count) for k in range(count)]
