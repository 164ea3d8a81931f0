"""The direct convolution against sums of products in float64."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.kernels import conv, convolution, loops, threads
from minigrad.kernels.tiles import SHAPE, Shape
from minigrad.ops.conv import conv2d_weight

pytestmark = pytest.mark.skipif(loops.INTERPRETED, reason="compiled kernels only")

SMALL = Shape(16, 2, 4, (4, 2))  # any CPU has these registers
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def normal(*shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def padded(x, padding):
    """x, in float64, with rows and columns of zeros added or, where padding is negative, taken away."""
    for axis, (before, after) in zip((2, 3), padding):
        x = np.take(x, range(max(0, -before), x.shape[axis] - max(0, -after)), axis)
    return np.pad(x.astype("float64"), ((0, 0), (0, 0), *[(max(0, p), max(0, q)) for p, q in padding]))


class Problem(NamedTuple):
    """x: (N, groups * I, H, W). w: (O, I, kh, kw)."""

    x: tuple
    w: tuple
    padding: tuple
    stride: tuple = (1, 1)
    dilation: tuple = (1, 1)
    groups: int = 1

    @property
    def how(self):
        return self.padding, self.stride, self.dilation, self.groups


def windows(x, of: Problem):
    """(N, groups, I, OH, OW, kh, kw)"""
    extents = [d * (k - 1) + 1 for d, k in zip(of.dilation, of.w[2:])]
    seen = np.lib.stride_tricks.sliding_window_view(padded(x, of.padding), extents, axis=(2, 3))
    seen = seen[:, :, :: of.stride[0], :: of.stride[1], :: of.dilation[0], :: of.dilation[1]]
    return seen.reshape(len(x), of.groups, of.w[1], *seen.shape[2:])


def convolved(x, w, of: Problem):
    w = w.astype("float64").reshape(of.groups, -1, *w.shape[1:])
    y = np.einsum("ngipqab,goiab->ngopq", windows(x, of), w, optimize=True)
    return y.reshape(len(x), -1, *y.shape[3:])


def weight_gradient(x, g, of: Problem):
    g = g.astype("float64").reshape(len(g), of.groups, -1, *g.shape[2:])
    return np.einsum("ngipqab,ngopq->goiab", windows(x, of), g, optimize=True).reshape(of.w)


def image_gradient(g, w, of: Problem):
    """Every y spread over what it was made of, then the padding taken off."""
    sides = [n + before + after for n, (before, after) in zip(of.x[2:], of.padding)]
    result = np.zeros((of.x[0], of.groups, of.w[1], *sides))
    g = g.astype("float64").reshape(len(g), of.groups, -1, *g.shape[2:])
    w = w.astype("float64").reshape(of.groups, -1, *w.shape[1:])
    for a, b in np.ndindex(of.w[2:]):
        where = [slice(d * k, d * k + (n - 1) * s + 1, s)
                 for k, n, s, d in zip((a, b), g.shape[3:], of.stride, of.dilation)]  # fmt: skip
        result[:, :, :, *where] += np.einsum("ngopq,goi->ngipq", g, w[:, :, :, a, b])
    return padded(result.reshape(of.x[0], -1, *sides), [(-before, -after) for before, after in of.padding])


def assert_close(actual, form, first, second, terms):
    """Within Higham's bound (ch. 3) for a sum of `terms` products in any order: gamma_n times that of |products|."""
    unit = np.finfo(actual.dtype).eps / 2
    bound = 2 * (terms + 1) * unit * form(abs(first), abs(second))
    exact = form(first, second)
    assert actual.shape == exact.shape
    assert (abs(actual - exact) <= bound).all()


@st.composite
def problems(draw):
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    padding = draw(st.tuples(*[st.tuples(st.integers(-1, 5), st.integers(-1, 5))] * 2))
    plain = draw(st.booleans())
    stride, dilation = [(1, 1) if plain else draw(st.tuples(*[st.integers(1, 3)] * 2)) for _ in range(2)]
    extents = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    least = [max(k - before - after, 3) for k, (before, after) in zip(extents, padding)]
    sides = [draw(st.integers(low, low + more)) for low, more in zip(least, (8, 40))]
    groups = 1 if plain else draw(st.integers(1, 3))
    n, channels, out = draw(st.integers(1, 3)), draw(st.integers(1, 14)), draw(st.integers(1, 40 // groups))
    return Problem((n, channels * groups, *sides), (out * groups, channels, *kernel), padding, stride, dilation, groups)


PROBLEMS = problems()
SHAPES = st.sampled_from([SHAPE, SMALL])
KINDS = st.sampled_from(["float32", "float64"])
WIDE = Problem((2, 3, 3, 40), (5, 3, 2, 3), ((1, 0), (3, 2)))
FLAT = Problem((1, 2, 5, 20), (17, 2, 3, 3), ((1, 1), (1, 1)))  # rows that would waste a third of their vectors
POINTWISE = Problem((2, 4, 5, 7), (6, 4, 1, 1), ((0, 0), (0, 0)))
MUCH_PADDING = Problem((1, 2, 3, 3), (3, 2, 2, 2), ((5, 4), (5, 3)))
LSTM = Problem((1, 64, 16, 16), (256, 64, 5, 5), ((2, 2), (2, 2)))
STRIDED = Problem((2, 6, 9, 40), (4, 3, 3, 4), ((1, 2), (2, 1)), (2, 3), (1, 2), 2)
SPARSE = Problem((1, 4, 7, 9), (8, 4, 1, 1), ((0, 0), (0, 0)), (3, 2))  # most pixels are not seen
DEPTHWISE = Problem((3, 5, 12, 12), (5, 1, 3, 3), ((1, 1), (1, 1)), groups=5)


@given(PROBLEMS, KINDS, SHAPES)
@example(WIDE, "float32", SHAPE)
@example(FLAT, "float32", SHAPE)
@example(POINTWISE, "float64", SHAPE)
@example(MUCH_PADDING, "float32", SHAPE)
@example(LSTM, "float32", SHAPE)
@example(STRIDED, "float32", SHAPE)
@example(SPARSE, "float64", SHAPE)
@example(DEPTHWISE, "float32", SHAPE)
def test_conv2d(of, dtype, shape):
    x, w = normal(*of.x, dtype=dtype), normal(*of.w, seed=1, dtype=dtype)
    y = convolution.conv2d(x, w, *of.how, shape=shape)
    assert y.dtype == dtype
    assert_close(y, lambda x, w: convolved(x, w, of), x, w, w[0].size)


@given(PROBLEMS, KINDS, SHAPES)
@example(LSTM, "float32", SHAPE)
@example(STRIDED, "float32", SHAPE)
@example(SPARSE, "float64", SHAPE)
@example(DEPTHWISE, "float32", SHAPE)
def test_conv_transpose2d(of, dtype, shape):
    w = normal(*of.w, seed=1, dtype=dtype)
    g = normal(*convolved(normal(*of.x), w, of).shape, seed=2, dtype=dtype)
    sizes = zip(of.x[2:], g.shape[2:], of.w[2:], *of.how[:3])
    extra = [n + before + after - (m - 1) * s - d * (k - 1) - 1 for n, m, k, (before, after), s, d in sizes]
    x = convolution.conv_transpose2d(g, w, *of.how, extra, shape=shape)
    assert_close(x, lambda g, w: image_gradient(g, w, of), g, w, w[:, 0].size)


@given(PROBLEMS, KINDS, SHAPES)
@example(WIDE, "float32", SHAPE)
@example(LSTM, "float32", SHAPE)
@example(STRIDED, "float32", SHAPE)
@example(SPARSE, "float64", SHAPE)
@example(DEPTHWISE, "float32", SHAPE)
def test_conv2d_weight(of, dtype, shape):
    x = normal(*of.x, dtype=dtype)
    g = normal(*convolved(x, np.ones(of.w), of).shape, seed=2, dtype=dtype)
    w = convolution.conv2d_weight(x, g, of.w[2:], *of.how, shape=shape)
    assert_close(w, lambda x, g: weight_gradient(x, g, of), x, g, g[:, 0].size)


@given(PROBLEMS, SHAPES, st.data())
def test_a_nan_spoils_what_sees_it_alone(of, shape, data):
    x = normal(*of.x, dtype="float32")
    x[tuple([data.draw(st.integers(0, n - 1)) for n in of.x])] = np.nan
    w = normal(*of.w, seed=1, dtype="float32")
    np.testing.assert_array_equal(
        np.isnan(convolution.conv2d(x, w, *of.how, shape=shape)), np.isnan(convolved(x, np.ones(of.w), of))
    )


@given(PROBLEMS, KINDS, SHAPES, st.integers(0, 5), st.integers(0, 5))
@example(FLAT, "float32", SHAPE, 1, 0)
@example(MUCH_PADDING, "float32", SHAPE, 0, 1)
@example(STRIDED, "float32", SHAPE, 0, 1)
def test_nothing_else_is_written_and_nothing_old_is_read(of, dtype, shape, x_gap, y_gap):
    n, (O, OH, OW) = of.x[0], convolved(normal(*of.x), np.ones(of.w), of).shape[1:]
    image, result = math.prod(of.x[1:]), O * OH * OW
    x_stride, y_stride = image + x_gap, result + y_gap
    x = np.full(n * x_stride, np.nan, dtype)
    images = x.reshape(n, x_stride)[:, :image]
    images[:] = normal(*images.shape)
    w = normal(*of.w, seed=1, dtype=dtype)
    found = conv.compiled(np.dtype(dtype), shape)
    packed = np.full(w.size + 2, 7, dtype)
    strides, begin = convolution.filters(w.shape, [n // w.itemsize for n in w.strides], of.groups, False)
    assert begin == 0
    found.pack(w.ctypes.data, *strides, packed[1:].ctypes.data)
    assert packed[0] == packed[-1] == 7
    geometry = convolution.geometry_of(of.x, of.w, (OH, OW), of.stride, of.padding, of.dilation, of.groups)
    size = conv.workspace_size(geometry, dtype, shape)
    workspace = conv.aligned(size + 64, dtype)
    results = []
    for rubbish in (np.nan, 1e30):
        workspace[:] = rubbish
        y = np.full(n * y_stride + 64, 7, dtype)
        at = x.ctypes.data, n, x_stride, packed[1:].ctypes.data, y[32:].ctypes.data, y_stride, workspace.ctypes.data
        found.conv(*at, *geometry)
        np.testing.assert_array_equal(workspace[size:], np.full(64, rubbish, dtype))
        assert (y[:32] == 7).all()
        assert (y[32 + n * y_stride :] == 7).all()
        samples = y[32 : 32 + n * y_stride].reshape(n, y_stride)
        assert (samples[:, result:] == 7).all()
        results.append(samples[:, :result].reshape(n, O, OH, OW))
    np.testing.assert_array_equal(*results)
    x = np.ascontiguousarray(images).reshape(of.x)
    assert_close(results[0], lambda x, w: convolved(x, w, of), x, w, w[0].size)


@given(PROBLEMS, KINDS, SHAPES)
@example(FLAT, "float32", SHAPE)
@example(MUCH_PADDING, "float64", SMALL)
@example(LSTM, "float32", SHAPE)
@example(STRIDED, "float32", SHAPE)
@example(DEPTHWISE, "float32", SHAPE)
def test_rooms_are_large_enough(of, dtype, shape):
    x, w = normal(*of.x, dtype=dtype), normal(*of.w, seed=1, dtype=dtype)
    rooms, room = [], conv.room

    def guarded(nbytes):
        memory, address = room(nbytes + 1024)
        memory[:] = 255  # NaN
        rooms.append(memory[address - memory.ctypes.data + nbytes :])
        return memory, address

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "room", guarded)
        y = convolution.conv2d(x, w, *of.how, shape=shape)
        results = [y, convolution.conv_transpose2d(y, w, *of.how, shape=shape)]
        results.append(convolution.conv2d_weight(x, y, of.w[2:], *of.how, shape=shape))
    assert len(rooms) >= 4
    assert all((rest == 255).all() for rest in rooms)
    assert all(np.isfinite(result).all() for result in results)


@DTYPES
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("n", "out", "groups"), [(7, 5, 1), (2, 40, 1), (1, 13, 1), (1, 1, 1), (1, 12, 4), (7, 6, 3)])
def test_threads(monkeypatch, dtype, count, n, out, groups):
    of = Problem((n, 3 * groups, 9, 20), (out, 3, 3, 2), ((1, 2), (0, 1)), (1, 2), (2, 1), groups)
    x, w = normal(*of.x, dtype=dtype), normal(*of.w, seed=1, dtype=dtype)
    y = convolution.conv2d(x, w, *of.how)
    g = normal(*y.shape, seed=2, dtype=dtype)
    monkeypatch.setattr(convolution, "LARGE", 0)
    monkeypatch.setattr(threads, "count", count)
    for _ in range(2):
        np.testing.assert_array_equal(convolution.conv2d(x, w, *of.how), y)
    gradient = convolution.conv2d_weight(x, g, (3, 2), *of.how)
    np.testing.assert_array_equal(convolution.conv2d_weight(x, g, (3, 2), *of.how), gradient)
    assert_close(gradient, lambda x, g: weight_gradient(x, g, of), x, g, g[:, 0].size)
    back = convolution.conv_transpose2d(g, w, *of.how)
    assert_close(
        back, lambda g, w: image_gradient(g, w, of)[:, :, : back.shape[2], : back.shape[3]], g, w, w[:, 0].size
    )


@DTYPES
def test_operands_that_are_strided(dtype):
    x, w = normal(3, 5, 9, 8, dtype=dtype), normal(5, 6, 2, 3, seed=1, dtype=dtype)
    padding = (1, 1), (0, 2)
    x, w = x.transpose(0, 1, 3, 2)[::2, ::-1], w.swapaxes(0, 1)[:, :, ::-1]
    y = convolution.conv2d(x, w, padding)
    np.testing.assert_array_equal(y, convolution.conv2d(x.copy(), w.copy(), padding))
    g = np.broadcast_to(normal(y.shape[3], dtype=dtype), y.shape)
    np.testing.assert_array_equal(
        convolution.conv2d_weight(x, g, (2, 3), padding), convolution.conv2d_weight(x.copy(), g.copy(), (2, 3), padding)
    )


def test_the_ops_take_it(monkeypatch):
    """What they cannot give to it they compute themselves."""
    calls = []
    for name in ("conv2d", "conv_transpose2d", "conv2d_weight"):
        kernel = getattr(convolution, name)
        monkeypatch.setattr(convolution, name, lambda *a, name=name, kernel=kernel: [calls.append(name), kernel(*a)][1])
    x, w = normal(2, 4, 6, 6, dtype="float32"), normal(4, 4, 3, 3, seed=1, dtype="float32")
    for params in ({}, {"padding": (np.int64(1), 2)}, {"stride": 2}, {"dilation": (1, 2)}, {"groups": 2}):
        weight = w[:, : 4 // params.get("groups", 1)]
        y = mg.conv2d(x, weight, **params)
        mg.conv_transpose2d(x, weight, **params)
        conv2d_weight(x, y.numpy(), (3, 3), **params)
        assert calls == ["conv2d", "conv_transpose2d", "conv2d_weight"]
        calls.clear()
    mg.conv2d(x[:0], w)
    assert not calls
