"""The direct convolution against sums of products in float64."""

import ctypes

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.kernels import conv, loops, threads
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


def windows(x, kernel, padding):
    return np.lib.stride_tricks.sliding_window_view(padded(x, padding), kernel, axis=(2, 3))


def convolved(x, w, padding):
    return np.einsum("nipqab,oiab->nopq", windows(x, w.shape[2:], padding), w.astype("float64"), optimize=True)


def weight_gradient(x, g, kernel, padding):
    return np.einsum("nipqab,nopq->oiab", windows(x, kernel, padding), g.astype("float64"), optimize=True)


def assert_close(actual, form, first, second, terms):
    """Within Higham's bound (ch. 3) for a sum of `terms` products in any order: gamma_n times that of |products|."""
    unit = np.finfo(actual.dtype).eps / 2
    bound = 2 * (terms + 1) * unit * form(abs(first), abs(second))
    exact = form(first, second)
    assert actual.shape == exact.shape
    assert (abs(actual - exact) <= bound).all()


@st.composite
def problems(draw):
    """Shapes of x and the weight, and a padding."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    padding = draw(st.tuples(*[st.tuples(st.integers(-1, 5), st.integers(-1, 5))] * 2))
    least = [max(k - before - after, 3) for k, (before, after) in zip(kernel, padding)]
    sides = [draw(st.integers(low, low + more)) for low, more in zip(least, (8, 40))]
    n, channels, out = draw(st.integers(1, 3)), draw(st.integers(1, 14)), draw(st.integers(1, 40))
    return (n, channels, *sides), (out, channels, *kernel), padding


PROBLEMS = problems()
SHAPES = st.sampled_from([SHAPE, SMALL])
KINDS = st.sampled_from(["float32", "float64"])
WIDE = ((2, 3, 3, 40), (5, 3, 2, 3), ((1, 0), (3, 2)))
FLAT = ((1, 2, 5, 20), (17, 2, 3, 3), ((1, 1), (1, 1)))  # rows that would waste a third of their vectors
POINTWISE = ((2, 4, 5, 7), (6, 4, 1, 1), ((0, 0), (0, 0)))
MUCH_PADDING = ((1, 2, 3, 3), (3, 2, 2, 2), ((5, 4), (5, 3)))
LSTM = ((1, 64, 16, 16), (256, 64, 5, 5), ((2, 2), (2, 2)))


@given(PROBLEMS, KINDS, SHAPES)
@example(WIDE, "float32", SHAPE)
@example(FLAT, "float32", SHAPE)
@example(POINTWISE, "float64", SHAPE)
@example(MUCH_PADDING, "float32", SHAPE)
@example(LSTM, "float32", SHAPE)
def test_conv2d(problem, dtype, shape):
    x_shape, w_shape, padding = problem
    x, w = normal(*x_shape, dtype=dtype), normal(*w_shape, seed=1, dtype=dtype)
    y = conv.conv2d(x, w, padding, shape)
    assert y.dtype == dtype
    assert_close(y, lambda x, w: convolved(x, w, padding), x, w, w[0].size)


@given(PROBLEMS, KINDS, SHAPES)
@example(LSTM, "float32", SHAPE)
def test_conv_transpose2d(problem, dtype, shape):
    x_shape, w_shape, padding = problem
    x, w = normal(*x_shape), normal(*w_shape, seed=1, dtype=dtype)
    g = normal(*convolved(x, w, padding).shape, seed=2, dtype=dtype)

    def form(g, w):
        """Every y spread over what it was made of, then the padding taken off."""
        kh, kw = w.shape[2:]
        result = np.zeros((x_shape[0], x_shape[1], g.shape[2] + kh - 1, g.shape[3] + kw - 1))
        for a in range(kh):
            for b in range(kw):
                spread = np.einsum("nopq,oi->nipq", g.astype("float64"), w[:, :, a, b].astype("float64"))
                result[:, :, a : a + g.shape[2], b : b + g.shape[3]] += spread
        return padded(result, [(-before, -after) for before, after in padding])

    assert_close(conv.conv_transpose2d(g, w, padding, shape), form, g, w, w[:, 0].size)


@given(PROBLEMS, KINDS, SHAPES)
@example(WIDE, "float32", SHAPE)
@example(LSTM, "float32", SHAPE)
def test_conv2d_weight(problem, dtype, shape):
    x_shape, w_shape, padding = problem
    x, kernel = normal(*x_shape, dtype=dtype), w_shape[2:]
    g = normal(*convolved(x, np.ones(w_shape), padding).shape, seed=2, dtype=dtype)
    w = conv.conv2d_weight(x, g, kernel, padding, shape)
    assert_close(w, lambda x, g: weight_gradient(x, g, kernel, padding), x, g, g[:, 0].size)


@given(PROBLEMS, SHAPES, st.data())
def test_a_nan_spoils_what_sees_it_alone(problem, shape, data):
    x_shape, w_shape, padding = problem
    x = normal(*x_shape, dtype="float32")
    x[tuple([data.draw(st.integers(0, n - 1)) for n in x_shape])] = np.nan
    w = normal(*w_shape, seed=1, dtype="float32")
    np.testing.assert_array_equal(
        np.isnan(conv.conv2d(x, w, padding, shape)), np.isnan(convolved(x, np.ones(w_shape), padding))
    )


def function(address, count):
    return ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * count)(address)


@given(PROBLEMS, KINDS, SHAPES, st.integers(0, 5), st.integers(0, 5))
@example(FLAT, "float32", SHAPE, 1, 0)
@example(MUCH_PADDING, "float32", SHAPE, 0, 1)
def test_nothing_else_is_written_and_nothing_old_is_read(problem, dtype, shape, x_gap, y_gap):
    x_shape, w_shape, padding = problem
    (n, I, H, W), (O, _, kh, kw) = x_shape, w_shape
    (top, below), (left, right) = padding
    OH, OW = H + top + below - kh + 1, W + left + right - kw + 1
    x_stride, y_stride = I * H * W + x_gap, O * OH * OW + y_gap
    x = np.full(n * x_stride, np.nan, dtype)
    images = x.reshape(n, x_stride)[:, : I * H * W]
    images[:] = normal(*images.shape)
    w = normal(*w_shape, seed=1, dtype=dtype)
    found = conv.addresses(np.dtype(dtype), shape)
    packed = np.full(w.size + 2, 7, dtype)
    strides = [stride // w.itemsize for stride in w.strides]
    function(found.pack, 10)(w.ctypes.data, *strides, *w.shape, packed[1:].ctypes.data)
    assert packed[0] == packed[-1] == 7
    size = conv.workspace_size(I, H, W, kh, kw, top, left, OH, OW, O, dtype, shape)
    workspace = conv.aligned(size + 64, dtype)
    geometry = packed[1:].ctypes.data, O, kh, kw, top, left, OH, OW
    results = []
    for rubbish in (np.nan, 1e30):
        workspace[:] = rubbish
        y = np.full(n * y_stride + 64, 7, dtype)
        function(found.conv, 17)(
            x.ctypes.data, n, I, H, W, x_stride, *geometry, y[32:].ctypes.data, y_stride, workspace.ctypes.data
        )
        np.testing.assert_array_equal(workspace[size:], np.full(64, rubbish, dtype))
        assert (y[:32] == 7).all()
        assert (y[32 + n * y_stride :] == 7).all()
        samples = y[32 : 32 + n * y_stride].reshape(n, y_stride)
        assert (samples[:, O * OH * OW :] == 7).all()
        results.append(samples[:, : O * OH * OW].reshape(n, O, OH, OW))
    np.testing.assert_array_equal(*results)
    x = np.ascontiguousarray(images).reshape(x_shape)
    assert_close(results[0], lambda x, w: convolved(x, w, padding), x, w, w[0].size)


@given(PROBLEMS, KINDS, SHAPES)
@example(FLAT, "float32", SHAPE)
@example(MUCH_PADDING, "float64", SMALL)
@example(LSTM, "float32", SHAPE)
def test_rooms_are_large_enough(problem, dtype, shape):
    x_shape, w_shape, padding = problem
    x, w = normal(*x_shape, dtype=dtype), normal(*w_shape, seed=1, dtype=dtype)
    rooms, room = [], conv._room

    def guarded(nbytes):
        memory, address = room(nbytes + 1024)
        memory[:] = 255  # NaN
        rooms.append(memory[address - memory.ctypes.data + nbytes :])
        return memory, address

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv, "_room", guarded)
        y = conv.conv2d(x, w, padding, shape)
        results = [y, conv.conv_transpose2d(y, w, padding, shape)]
        results.append(conv.conv2d_weight(x, y, w_shape[2:], padding, shape))
    assert len(rooms) >= 4
    assert all((rest == 255).all() for rest in rooms)
    assert all(np.isfinite(result).all() for result in results)


@DTYPES
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("n", "out"), [(7, 5), (2, 40), (1, 13), (1, 1)])
def test_threads(monkeypatch, dtype, count, n, out):
    x, w = normal(n, 3, 9, 20, dtype=dtype), normal(out, 3, 3, 2, seed=1, dtype=dtype)
    padding = (1, 2), (0, 1)
    y = conv.conv2d(x, w, padding)
    g = normal(*y.shape, seed=2, dtype=dtype)
    monkeypatch.setattr(conv, "LARGE", 0)
    monkeypatch.setattr(threads, "count", count)
    for _ in range(2):
        np.testing.assert_array_equal(conv.conv2d(x, w, padding), y)
    gradient = conv.conv2d_weight(x, g, (3, 2), padding)
    np.testing.assert_array_equal(conv.conv2d_weight(x, g, (3, 2), padding), gradient)
    assert_close(gradient, lambda x, g: weight_gradient(x, g, (3, 2), padding), x, g, g[:, 0].size)


@DTYPES
def test_operands_that_are_strided(dtype):
    x, w = normal(3, 5, 9, 8, dtype=dtype), normal(5, 6, 2, 3, seed=1, dtype=dtype)
    padding = (1, 1), (0, 2)
    x, w = x.transpose(0, 1, 3, 2)[::2, ::-1], w.swapaxes(0, 1)[:, :, ::-1]
    y = conv.conv2d(x, w, padding)
    np.testing.assert_array_equal(y, conv.conv2d(x.copy(), w.copy(), padding))
    g = np.broadcast_to(normal(y.shape[3], dtype=dtype), y.shape)
    np.testing.assert_array_equal(
        conv.conv2d_weight(x, g, (2, 3), padding), conv.conv2d_weight(x.copy(), g.copy(), (2, 3), padding)
    )


def test_the_ops_take_it(monkeypatch):
    """With stride 1, dilation 1 and one group; what they cannot give to it they compute themselves."""
    calls = []
    for name in ("conv2d", "conv_transpose2d", "conv2d_weight"):
        kernel = getattr(conv, name)
        monkeypatch.setattr(conv, name, lambda *a, name=name, kernel=kernel: [calls.append(name), kernel(*a)][1])
    x, w = normal(2, 4, 6, 6, dtype="float32"), normal(4, 4, 3, 3, seed=1, dtype="float32")
    for simple, params in [
        (True, {}), (True, {"padding": (np.int64(1), 2)}),
        (False, {"stride": 2}), (False, {"dilation": (1, 2)}), (False, {"groups": 2}),
    ]:  # fmt: skip
        weight = w[:, : 4 // params.get("groups", 1)]
        y = mg.conv2d(x, weight, **params)
        mg.conv_transpose2d(x, weight, **params)
        conv2d_weight(x, y.numpy(), (3, 3), **params)
        assert calls == ["conv2d", "conv_transpose2d", "conv2d", "conv2d_weight"] * simple
        calls.clear()
    mg.conv2d(x[:0], w)
    assert not calls
