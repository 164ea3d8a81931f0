"""Softmax, layer normalisation, dropout and ops whose gradient is not their derivative."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import modes
from minigrad.kernels import pieces
from minigrad.ops.neural import _kernel as kernel_of
from minigrad.ops.neural import standardize, standardize_affine
from minigrad.testing import arrays, gradcheck, shapes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(st.data())
def test_softmax_sums_to_one_and_log_softmax_is_its_logarithm(dtype, data):
    x = data.draw(arrays(shapes(min_dims=1), dtype=dtype, low=-30, high=30))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    y = mg.softmax(x, axis).numpy()
    assert y.dtype == dtype
    np.testing.assert_allclose(y.sum(axis), 1, rtol=1e-6 if dtype == "float32" else 1e-14)
    np.testing.assert_allclose(mg.log_softmax(x, axis).numpy(), np.log(y), atol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("n", [1, 7, 16, 65, 300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_longer_than_a_vector(n, dtype):
    x = np.random.default_rng(n).normal(size=(5, n)).astype(dtype)
    e = np.exp(x.astype("float64"))
    rtol = 3e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(mg.softmax(x).numpy(), e / e.sum(-1, keepdims=True), rtol=rtol)
    wanted = (x - x.mean(-1, keepdims=True, dtype="float64")) / np.sqrt(x.var(-1, keepdims=True, dtype="float64") + 0.1)
    np.testing.assert_allclose(mg.standardize(x, eps=0.1).numpy(), wanted, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("times", [1, 5])
def test_huge_and_masked_logits(times):
    """As rows; and, from 8 on side by side, as columns."""
    x = np.array([[1e30, 0, -1e30], [-np.inf, 2, 2], [np.nan, 0, 0], [-np.inf] * 3])
    y = mg.softmax(np.tile(x, (times, 1)).T, 0).numpy().T[-4:]
    np.testing.assert_array_equal(y[:2], [[1, 0, 0], [0, 0.5, 0.5]])
    assert np.isnan(y[2:]).all()
    x = mg.tensor([[-np.inf, 2.0, 2.0]], requires_grad=True)
    y = mg.log_softmax(x)
    assert y.detach().numpy()[0, 0] == -np.inf
    y[0, 1].backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0.5, -0.5]], atol=1e-7)


def test_threads_give_the_same_rows(monkeypatch):
    x = np.random.default_rng(0).normal(size=(33, 9)).astype("float32")
    alone = mg.softmax(x).numpy()
    monkeypatch.setattr(pieces, "SHARED", 1)
    monkeypatch.setattr(pieces, "PIECE", 1)
    monkeypatch.setattr(pieces.threads, "count", 3)
    np.testing.assert_array_equal(mg.softmax(x).numpy(), alone)


SPREAD = [  # in parts, and as columns
    ((3, 5, 9), (0, 2)), ((2, 1, 3, 4, 1, 8), (0, 5)), ((4, 3, 1100), (2, 0)),
    ((7, 300), (0,)), ((2, 3, 1, 4, 9), (1, 3)), ((3, 4, 100, 2), (0, 1)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape, axes", SPREAD)
def test_rows_that_are_spread(monkeypatch, shape, axes, dtype):
    """As rows in one piece, to the rounding of another order of sums; with threads the same bits."""
    rng, copied = np.random.default_rng(0), lambda *given: np.ascontiguousarray(np.moveaxis(*given))
    x, g = [rng.normal(3, 2, shape).astype(dtype) for _ in range(2)]
    last, rtol = tuple(range(-len(axes), 0)), 5e-6 if dtype == "float32" else 1e-13
    functions = [mg.softmax, mg.log_softmax, lambda x, axis: mg.standardize(x, axis, 0.1)]

    def results(x, g, axes):
        made = [mg.vjp(lambda x, f=f: f(x, axes), x) for f in functions]
        return [(y.numpy(), pull(g)[0].numpy()) for y, pull in made]

    alone = results(x, g, axes)
    for got, wanted in zip(alone, results(copied(x, axes, last), copied(g, axes, last), last)):
        for a, b in zip(got, wanted):
            np.testing.assert_allclose(a, copied(b, last, axes), rtol=rtol, atol=rtol)
    monkeypatch.setattr(pieces, "SHARED", 1)
    monkeypatch.setattr(pieces, "PIECE", 1)
    monkeypatch.setattr(pieces.threads, "count", 3)
    np.testing.assert_equal(results(x, g, axes), alone)


@pytest.mark.parametrize("n", [1, 64, 65, 200])
def test_threads_share_the_rows_of_layer_norm(monkeypatch, n):
    """The weight's gradient is a sum over rows, of 64 at a time."""
    rng = np.random.default_rng(n)
    g, *arrays = [rng.normal(size=shape).astype("float32") for shape in [(n, 7), (n, 7), (7,), (7,)]]

    def gradients():
        tensors = [mg.tensor(a, requires_grad=True) for a in arrays]
        y = mg.layer_norm(*tensors)
        y.backward(g)
        return [y.detach().numpy(), *[t.grad.numpy() for t in tensors]]

    alone = gradients()
    monkeypatch.setattr(pieces, "SHARED", 1)
    monkeypatch.setattr(pieces, "PIECE", 1)
    monkeypatch.setattr(pieces.threads, "count", 3)
    for a, b in zip(alone, gradients()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("axes", [(2,), (1, 2)])
def test_layer_norm_is_pytorchs(torch, axes):
    rng = np.random.default_rng(0)
    shape = tuple([(4, 3, 5)[k] for k in axes])
    arrays = rng.normal(size=(4, 3, 5)), rng.normal(size=shape), rng.normal(size=shape)
    ours = [mg.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = mg.layer_norm(*ours, axis=axes)
    z = torch.nn.functional.layer_norm(theirs[0], shape, *theirs[1:])
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-11, atol=1e-12)
    y.backward(np.cos(arrays[0]))
    z.backward(torch.tensor(np.cos(arrays[0])))
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-11)


def test_layer_norm_over_an_axis_in_the_middle():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    weight = np.array([1.0, 2.0, 3.0])
    y = mg.layer_norm(x, weight, axis=1).numpy()
    wanted = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * weight[:, None]
    np.testing.assert_allclose(y, wanted, rtol=1e-12)
    with pytest.raises(ValueError, match="layer_norm: weight is .4,., wanted .3,."):
        mg.layer_norm(x, np.ones(4), axis=1)


def test_layer_norm_with_a_bias_alone():
    y = mg.layer_norm([[1.0, 3.0]], bias=[10.0, 20.0], eps=0.0)
    np.testing.assert_allclose(y.numpy(), [[9, 21]])


def test_softmax_of_integers_and_of_a_missing_axis():
    with pytest.raises(TypeError, match=r"^softmax\(int64\[3\]\): wanted float32 or float64"):
        mg.softmax(np.arange(3))
    with pytest.raises(ValueError, match=r"^softmax\(float64\[3\]\): axis 1 "):
        mg.softmax(np.ones(3), 1)


def test_dropout_keeps_the_mean_and_its_gradient_is_the_mask():
    x = mg.tensor(np.ones(100_000), requires_grad=True)
    y = mg.dropout(x, 0.25, np.random.default_rng(0))
    assert set(np.unique(y.detach().numpy())) == {0, 1 / 0.75}
    assert abs(y.detach().numpy().mean() - 1) < 0.01
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_dropout_draws_from_its_generator_alone():
    x = np.ones(50)
    a, b = [mg.dropout(x, 0.5, np.random.default_rng(7)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(a, b)
    generator = np.random.default_rng(7)
    mg.dropout(x, 0.5, generator)
    assert (mg.dropout(x, 0.5, generator).numpy() != a).any(), "a generator moves on"


def test_dropout_tells_a_checkpoint_of_its_generator():
    generator = np.random.default_rng(3)
    before = generator.bit_generator.state
    modes.thread.generators = {}
    try:
        mg.dropout(np.ones(4), 0.5, generator)
        mg.dropout(np.ones(4), 0.5, generator)
        ((told, state),) = modes.thread.generators.values()
    finally:
        modes.thread.generators = None
    assert told is generator
    assert state == before


def test_dropout_refuses():
    with pytest.raises(ValueError, match="dropout: got p=1.5, wanted a number from 0 to 1"):
        mg.dropout(np.ones(2), 1.5, np.random.default_rng(0))
    with pytest.raises(TypeError, match="dropout: got generator=0, wanted a numpy.random.Generator"):
        mg.dropout(np.ones(2), 0.5, 0)
    with pytest.raises(TypeError, match="dropout: wanted float32 or float64, got int64"):
        mg.dropout(np.arange(2), 0.5, np.random.default_rng(0))


def test_straight_through_is_the_first_and_differentiates_as_the_second():
    x = mg.tensor([0.2, 0.7, 1e-30], requires_grad=True)
    hard = mg.round(x)
    y = mg.straight_through(hard, x * 3)
    np.testing.assert_array_equal(y.detach().numpy(), hard.detach().numpy())
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 3, 3])
    with pytest.raises(ValueError, match="wanted two of one shape"):
        mg.straight_through(x, x[:2])


def test_stop_gradient():
    x = mg.tensor([2.0, 3.0], requires_grad=True)
    (x * mg.stop_gradient(x)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 3])
    assert not mg.stop_gradient(x).requires_grad


def test_higher_derivatives_of_softmax():
    gradcheck(lambda x: mg.hessian(lambda x: mg.square(mg.softmax(x)).sum())(x), np.array([0.3, -1.0, 0.7]))


CHANNELS = [  # shape of x, axes, shape of the weight: groups, batches, instances; one sample; long ones
    ((5, 3, 2, 9), (2, 3), (3, 2, 1)), ((4, 3, 3, 4), (0, 2, 3), (3, 1, 1)), ((4, 3, 9), (2,), (3, 1)),
    ((1, 3, 2, 9), (2, 3), (3, 2, 1)), ((4, 3, 2, 9), (0, 2, 3), (3, 2, 1)), ((2, 3, 1200), (2,), (3, 1)),
    ((1100, 2, 8), (0, 2), (2, 1)), ((3, 2, 2, 5), (1, 2, 3), (2, 2, 1)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape, axes, of_weight", CHANNELS)
def test_standardisation_with_a_weight_of_channels(shape, axes, of_weight, dtype, monkeypatch):
    """As its parts, forward and backward; the same bits whatever number of threads."""
    rng = np.random.default_rng(0)
    x, g = (mg.tensor(rng.normal(3, 2, shape).astype(dtype), requires_grad=True) for _ in range(2))
    w, b = (mg.tensor(rng.normal(size=of_weight).astype(dtype), requires_grad=True) for _ in range(2))

    def composed(x, w, b):
        return standardize(x, axes, 0.1) * w + b

    def run(f):
        y, pull = mg.vjp(f, x, w, b)
        return [r.numpy() for r in (y, *pull(g.detach()))]

    alone = run(lambda x, w, b: standardize_affine(x, w, b, axes, 0.1))
    scale = np.sqrt(x.size / w.size)
    for y, wanted in zip(alone, run(composed), strict=True):
        np.testing.assert_allclose(y, wanted, atol=(3e-6 if dtype == "float32" else 1e-14) * scale, rtol=1e-5)
    monkeypatch.setattr(pieces, "SHARED", 1)
    monkeypatch.setattr(pieces, "PIECE", 1)
    monkeypatch.setattr(pieces.threads, "count", 3)
    for y, wanted in zip(run(lambda x, w, b: standardize_affine(x, w, b, axes, 0.1)), alone):
        np.testing.assert_array_equal(y, wanted)


def test_layouts_of_channels_have_a_kernel():
    for shape, axes, of_weight in CHANNELS[:-1]:
        x, w = np.zeros(shape), np.zeros(of_weight)
        assert kernel_of(x, w, axes)[0] == "standardize_channels"
    assert kernel_of(np.zeros((3, 2, 2, 5)), np.zeros((2, 2, 1)), (1, 2, 3)) is None
