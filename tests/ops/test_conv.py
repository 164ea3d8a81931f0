"""Convolution and pooling against PyTorch, over the ranges of their parameters."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops.conv import conv2d_weight
from minigrad.testing import gradcheck


def normal(*shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def compare(ours, theirs, *arrays):
    """Value and gradients of ours(*tensors) and theirs(*torch tensors)."""
    import torch

    a = [mg.tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, z = ours(*a), theirs(*b)
    close = {"rtol": 1e-10, "atol": 1e-11} if arrays[0].dtype == np.float64 else {"rtol": 1e-4, "atol": 1e-4}
    assert (y.shape, y.dtype) == (tuple(z.shape), arrays[0].dtype)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), **close)
    g = normal(*y.shape, seed=9, dtype=y.dtype)
    y.backward(g)
    z.backward(torch.tensor(g))
    for p, q in zip(a, b):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), **close)


def pairs(low, high):
    one = st.integers(low, high)
    return one | st.tuples(one, one)


SIZES = st.tuples(st.integers(1, 7), st.integers(1, 7))


CHANNELS = st.sampled_from([(1, 2, 4), (2, 4, 2), (2, 2, 4)])  # groups, in, out


@given(SIZES, SIZES, pairs(1, 3), pairs(0, 3), pairs(1, 3), CHANNELS, st.booleans())
def test_conv2d_is_pytorchs(torch, size, kernel, stride, padding, dilation, channels, bias):
    groups, inputs, outputs = channels
    both = [np.broadcast_to(p, 2) for p in (padding, dilation)]
    assume(all(n + 2 * p >= d * (k - 1) + 1 for n, p, d, k in zip(size, *both, kernel)))
    params = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    arrays = [normal(2, inputs, *size), normal(outputs, inputs // groups, *kernel, seed=1), normal(outputs, seed=2)]
    compare(
        lambda *xs: mg.conv2d(*xs, **params), lambda *xs: torch.nn.functional.conv2d(*xs, **params), *arrays[: 2 + bias]
    )


@given(SIZES, SIZES, pairs(1, 3), pairs(0, 2), pairs(0, 2), pairs(1, 3), CHANNELS, st.booleans())
def test_conv_transpose2d_is_pytorchs(torch, size, kernel, stride, padding, extra, dilation, channels, bias):
    groups, inputs, outputs = channels
    s, p, e, d = [np.broadcast_to(q, 2) for q in (stride, padding, extra, dilation)]
    assume(all(e < np.maximum(s, d)))
    assume(all((np.array(size) - 1) * s - 2 * p + d * (np.array(kernel) - 1) + 1 + e > 0))
    params = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
    arrays = [normal(2, inputs, *size), normal(inputs, outputs // groups, *kernel, seed=1), normal(outputs, seed=2)]
    compare(
        lambda *xs: mg.conv_transpose2d(*xs, **params),
        lambda *xs: torch.nn.functional.conv_transpose2d(*xs, **params), *arrays[: 2 + bias],
    )  # fmt: skip


def settings_of(data, ndim):
    """Stride, padding and dilation: an integer, or one for each axis."""
    return [
        data.draw(st.integers(low, high) | st.tuples(*[st.integers(low, high)] * ndim))
        for low, high in ((1, 3), (0, 2), (1, 2))
    ]


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
@pytest.mark.parametrize("ndim", [1, 3])
@given(st.data())
def test_convolutions_of_one_axis_and_of_three_are_pytorchs(torch, ndim, data):
    size, kernel = [tuple(data.draw(st.integers(1, n)) for _ in range(ndim)) for n in (5, 3)]
    stride, padding, dilation = settings_of(data, ndim)
    if data.draw(st.booleans()):
        stride, padding = 1, data.draw(st.sampled_from(["same", "valid"]))
    wide = 0 if padding == "valid" else 4 if padding == "same" else 2 * np.asarray(padding)
    assume(all(np.array(size) + wide >= dilation * (np.array(kernel) - 1) + 1))
    params = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 2}
    ours, theirs = getattr(mg, f"conv{ndim}d"), getattr(torch.nn.functional, f"conv{ndim}d")
    compare(
        lambda *xs: ours(*xs, **params), lambda *xs: theirs(*xs, **params),
        normal(2, 4, *size), normal(2, 2, *kernel, seed=1), normal(2, seed=2),
    )  # fmt: skip


@pytest.mark.parametrize("ndim", [1, 3])
@given(st.data())
def test_transposed_convolutions_of_one_axis_and_of_three_are_pytorchs(torch, ndim, data):
    size, kernel = [tuple(data.draw(st.integers(1, 3)) for _ in range(ndim)) for _ in range(2)]
    stride, padding, dilation = settings_of(data, ndim)
    extra = data.draw(st.integers(0, 2))
    s, p, d, k = [np.broadcast_to(v, ndim) for v in (stride, padding, dilation, kernel)]
    assume(all(extra < np.maximum(s, d)) and all((np.array(size) - 1) * s - 2 * p + d * (k - 1) + 1 + extra > 0))
    params = {"stride": stride, "padding": padding, "output_padding": extra, "groups": 2, "dilation": dilation}
    ours, theirs = getattr(mg, f"conv_transpose{ndim}d"), getattr(torch.nn.functional, f"conv_transpose{ndim}d")
    compare(
        lambda *xs: ours(*xs, **params), lambda *xs: theirs(*xs, **params),
        normal(2, 4, *size), normal(4, 1, *kernel, seed=1), normal(2, seed=2),
    )  # fmt: skip


@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_padding_same_keeps_the_size(torch, kernel, dtype):
    arrays = normal(2, 3, 6, 5, dtype=dtype), normal(4, 3, *kernel, seed=1, dtype=dtype)
    params = {"padding": "same", "dilation": (2, 1)}
    assert mg.conv2d(*arrays, **params).shape == (2, 4, 6, 5)
    compare(lambda *xs: mg.conv2d(*xs, **params), lambda *xs: torch.nn.functional.conv2d(*xs, **params), *arrays)


def test_second_derivatives_of_an_output_padding_beyond_the_stride():
    def f(x, w):
        return mg.conv_transpose2d(x, w, stride=1, dilation=3, output_padding=(2, 1))

    gradcheck(f, (normal(1, 2, 3, 2), normal(2, 1, 2, 2, seed=1)), second_order=True)


def test_the_three_ops_are_derivatives_of_one_form():
    x, w, g = normal(2, 4, 6, 5), normal(6, 2, 3, 2, seed=1), normal(2, 6, 3, 5, seed=2)
    params = {"stride": (2, 1), "padding": (1, 1), "dilation": (1, 2), "groups": 2}
    form = (mg.conv2d(x, w, **params) * g).sum().item()
    transposed = mg.conv_transpose2d(g, w, output_padding=(1, 0), **params)
    assert transposed.shape == x.shape
    np.testing.assert_allclose((transposed * x).sum().item(), form)
    np.testing.assert_allclose((conv2d_weight(x, g, (3, 2), **params) * w).sum().item(), form)


def test_an_empty_batch():
    x = mg.tensor(np.zeros((0, 2, 4, 4)), requires_grad=True)
    w = mg.tensor(np.ones((3, 2, 3, 3)), requires_grad=True)
    y = mg.conv2d(x, w)
    y.backward(np.zeros(y.shape))
    assert (y.shape, x.grad.shape) == ((0, 3, 2, 2), (0, 2, 4, 4))
    assert not w.grad.numpy().any()


ONES = np.ones((1, 4, 5, 5))


@pytest.mark.parametrize(
    ("weight", "params", "words"),
    [((2, 3, 3, 3), {}, "x has 4 channels and the weight 3"), ((3, 2, 3, 3), {"groups": 2}, "out a multiple of groups"),
     ((2, 4, 6, 1), {}, r"the kernel covers \(6, 1\), more than"), ((2, 4, 3), {}, r"wanted x \(N, channels"),
     ((2, 4, 3, 3), {"stride": 0}, "stride=0, wanted an integer of at least 1"),
     ((2, 4, 3, 3), {"stride": 2, "padding": "same"}, "='same', wanted integers, 'valid', or 'same' with stride 1"),
     ((2, 4, 3, 3), {"bias": np.ones(3)}, r"wanted a bias of shape \(2,\)")],
)  # fmt: skip
def test_conv2d_says_what_is_wrong(weight, params, words):
    with pytest.raises(ValueError, match=rf"^conv2d\(float64\[1, 4, 5, 5\], .*{words}"):
        mg.conv2d(ONES, np.ones(weight), **params)


@pytest.mark.parametrize("wrong", [{"stride": None}, {"padding": (1, "a")}, {"dilation": 1.5}])
def test_a_setting_that_is_no_integer(wrong):
    with pytest.raises(TypeError, match=rf"^conv2d\(.*{next(iter(wrong))}=.*, wanted an integer or two"):
        mg.conv2d(ONES, np.ones((2, 4, 3, 3)), **wrong)


def test_conv1d_takes_lists_and_names():
    x, w, b = [[[1.0, 2.0, 3.0]]], [[[1.0, -1.0]]], [10.0]
    assert mg.conv1d(x, weight=w, bias=b).tolist() == [[[9, 9]]]


def test_others_say_what_is_wrong():
    with pytest.raises(TypeError, match=r"^conv2d\(int64.*wanted float32 or float64"):
        mg.conv2d(ONES.astype(int), np.ones((1, 4, 1, 1), int))
    with pytest.raises(ValueError, match=r"^conv1d: got x \(3, 4\)"):
        mg.conv1d(np.ones((3, 4)), np.ones((1, 3, 2)))
    with pytest.raises(ValueError, match=r"^conv_transpose1d: .*padding=\(1, 2\), wanted an integer of at least 0\n"):
        mg.conv_transpose1d(ONES[0], np.ones((4, 3, 2)), padding=(1, 2))
    volumes = np.ones((2, 4, 3, 3, 3))
    with pytest.raises(ValueError, match=r"^conv3d: with groups=1, x has 4 channels and the weight 3"):
        mg.conv3d(volumes, np.ones((2, 3, 1, 1, 1)))
    with pytest.raises(ValueError, match=r"^conv3d: the kernel covers a depth of 5, more than"):
        mg.conv3d(volumes, np.ones((2, 4, 3, 1, 1)), dilation=2)
    with pytest.raises(ValueError, match=r"^conv3d: stride=\(1, 2\), wanted an integer of at least 1, or three"):
        mg.conv3d(volumes, np.ones((2, 4, 1, 1, 1)), stride=(1, 2))
    with pytest.raises(ValueError, match=r"^conv_transpose2d\(.*output_padding=1, wanted less"):
        mg.conv_transpose2d(ONES, np.ones((4, 1, 3, 3)), output_padding=1)
    with pytest.raises(ValueError, match=r"^conv_transpose2d\(.*wanted less padding"):
        mg.conv_transpose2d(ONES, np.ones((4, 1, 1, 1)), padding=3)
    with pytest.raises(ValueError, match=r"^max_pool2d: .*at most half of what the kernel covers"):
        mg.max_pool2d(ONES, 2, padding=2)
    with pytest.raises(ValueError, match=r"^avg_pool2d: .*the kernel covers \(6, 6\), more than"):
        mg.avg_pool2d(ONES, 6)


@given(SIZES, pairs(1, 4), st.none() | pairs(1, 3), pairs(0, 2), st.booleans())
def test_pooling_is_pytorchs(torch, size, kernel, stride, padding, counted):
    k, p = np.broadcast_to(kernel, 2), np.broadcast_to(padding, 2)
    assume(all(2 * p <= k) and all(np.array(size) + 2 * p >= k))
    functional = torch.nn.functional
    x = np.round(normal(2, 3, *size))  # many ties
    window = kernel, stride, padding
    compare(lambda x: mg.max_pool2d(x, *window), lambda x: functional.max_pool2d(x, *window), x)
    compare(
        lambda x: mg.avg_pool2d(x, *window, count_include_pad=counted),
        lambda x: functional.avg_pool2d(x, *window, count_include_pad=counted),
        x,
    )


@pytest.mark.parametrize("ndim", [1, 3])
@settings(max_examples=8)
@given(st.data())
def test_pooling_of_one_axis_and_of_three_is_pytorchs(torch, ndim, data):
    """Ties, NaN, indices; and unpooling takes the values back to where they were."""
    size, k, s, p = [
        tuple(data.draw(st.integers(low, high)) for _ in range(ndim)) for low, high in ((2, 5), (1, 3), (1, 3), (0, 1))
    ]
    ceil_mode = data.draw(st.booleans())
    assume(all(2 * b <= a <= n for n, a, b in zip(size, k, p)))  # wider ones PyTorch refuses of three axes
    x = np.round(normal(2, 3, *size))
    f = torch.nn.functional
    ours, theirs = [[getattr(m, f"{name}_pool{ndim}d") for name in ("max", "avg")] for m in (mg, f)]
    compare(lambda x: ours[1](x, k, s, p, ceil_mode), lambda x: theirs[1](x, k, s, p, ceil_mode), x)
    compare(lambda x: ours[0](x, k, s, p, 1, ceil_mode), lambda x: theirs[0](x, k, s, p, 1, ceil_mode), x)
    x[x > 1] = np.nan
    values, indices = ours[0](x, k, s, p, 1, ceil_mode, return_indices=True)
    wanted, places = theirs[0](torch.tensor(x), k, s, p, 1, ceil_mode, return_indices=True)
    np.testing.assert_array_equal(values.numpy(), wanted.numpy())
    np.testing.assert_array_equal(indices.numpy(), places.numpy())
    back = getattr(mg, f"max_unpool{ndim}d")(values, indices, k, s, p, output_size=size).numpy().reshape(2, 3, -1)
    flat = [a.numpy().reshape(2, 3, -1) for a in (indices, values)]
    np.testing.assert_array_equal(np.take_along_axis(back, flat[0], -1), flat[1])
    assert np.count_nonzero(back) <= np.count_nonzero(flat[1])


def test_pooling_and_unpooling_say_what_is_wrong():
    x = np.ones((1, 2, 4, 4))
    with pytest.raises(ValueError, match=r"^max_pool3d: got x of shape \(1, 2, 4, 4\), wanted \(N, channels, depth"):
        mg.max_pool3d(x, 2)
    with pytest.raises(ValueError, match=r"^max_unpool2d: got x .* and indices \(1, 2, 2, 2\), wanted equal shapes"):
        mg.max_unpool2d(x, np.zeros((1, 2, 2, 2), int), 2)
    with pytest.raises(IndexError):
        mg.max_unpool2d(x, np.full(x.shape, 64), 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(st.data())
def test_interpolation_is_pytorchs(torch, dtype, data):
    mode = data.draw(st.sampled_from(["nearest", "nearest-exact", "bilinear", "bicubic"]))
    size, to = [tuple(data.draw(st.integers(1, 6)) for _ in range(2)) for _ in range(2)]
    options = {"mode": mode} | ({"align_corners": data.draw(st.booleans())} if mode[0] == "b" else {})
    options |= {"size": to} if data.draw(st.booleans()) else {"scale_factor": tuple(n / m for n, m in zip(to, size))}
    assume(all(int(n * f) for n, f in zip(size, options.get("scale_factor", (1, 1)))))
    compare(
        lambda x: mg.interpolate(x, **options), lambda x: torch.nn.functional.interpolate(x, **options),
        normal(2, 1, *size, dtype=dtype),
    )  # fmt: skip


def test_interpolate_says_what_is_wrong():
    for options, words in (
        ({}, "either size or scale_factor"), ({"size": 2, "mode": "linear"}, "another number of axes"),
        ({"scale_factor": 0}, "scale_factor=0, wanted a positive number"),
        ({"size": 3, "align_corners": True}, "align_corners=True, wanted None"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"^interpolate: .*{words}"):
            mg.interpolate(np.ones((1, 1, 2, 2)), **options)


def test_max_pool_of_infinities_and_nan():
    x = np.full((1, 1, 2, 4), -np.inf)
    x[0, 0, 1, 3] = np.nan
    y = mg.max_pool2d(x, 2).numpy()
    assert y[0, 0, 0, 0] == -np.inf
    assert np.isnan(y[0, 0, 0, 1])
