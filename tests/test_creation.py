"""Tensors made of a shape, and random ones: NumPy's numbers, the same eager, jitted and in loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg

DTYPES = st.sampled_from(["float32", "float64", "int64", "bool"])
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


def both(f, *args):
    """f eager and jitted, which have to agree."""
    eager, jitted = f(*args), mg.jit(f)(*args)
    assert (eager.shape, eager.dtype) == (jitted.shape, jitted.dtype)
    np.testing.assert_array_equal(eager.detach().numpy(), jitted.detach().numpy())
    return eager.detach().numpy()


@given(SHAPES, DTYPES)
@settings(max_examples=30)
def test_filled_tensors_are_numpys(shape, dtype):
    for name, f in {"zeros": lambda x: mg.zeros(shape, dtype), "ones": lambda x: mg.ones(shape, dtype)}.items():
        np.testing.assert_array_equal(both(f, 0), getattr(np, name)(shape, dtype), strict=True)
    x = np.ones(shape, dtype)
    for name in ("zeros_like", "ones_like"):
        np.testing.assert_array_equal(both(getattr(mg, name), mg.tensor(x)), getattr(np, name)(x), strict=True)
    np.testing.assert_array_equal(both(lambda t: mg.full_like(t, 3), mg.tensor(x)), np.full_like(x, 3), strict=True)


@given(st.integers(-5, 9), st.integers(-5, 9), st.sampled_from([1, 2, 3, -1, -2, 0.5, -0.25]))
@settings(max_examples=60)
def test_ranges_are_numpys(start, stop, step):
    wanted = np.arange(start, stop, step)
    wanted = wanted.astype("float32") if wanted.dtype.kind == "f" else wanted
    np.testing.assert_array_equal(both(lambda x: mg.arange(start, stop, step), 0), wanted, strict=True)
    if step == 1:
        np.testing.assert_array_equal(both(lambda x: mg.arange(max(stop, 0)), 0), np.arange(stop), strict=True)


@given(st.integers(0, 4), st.none() | st.integers(0, 4), st.integers(-5, 5), DTYPES)
@settings(max_examples=30)
def test_eye_is_numpys(n, m, k, dtype):
    np.testing.assert_array_equal(both(lambda x: mg.eye(n, m, k, dtype), 0), np.eye(n, m, k, dtype), strict=True)


def test_a_filled_tensor_has_memory_of_its_own_and_keeps_the_values_gradient():
    x = mg.tensor(2.0, requires_grad=True)
    y = mg.full((2, 3), x)
    y[0] += 1.0
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().numpy(), [[3, 3, 3], [2, 2, 2]])
    assert x.grad.item() == 6
    w = mg.zeros((2,), requires_grad=True)
    assert w.is_leaf
    assert w.requires_grad


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: mg.zeros(-1), "zeros: got shape=-1"),
        (lambda: mg.zeros("a"), "zeros: got shape='a'"),
        (lambda: mg.zeros(2, "complex128"), "zeros: wanted float32, float64, an integer type or bool"),
        (lambda: mg.full(2, [1.0, 2.0]), r"full: got a value of shape \(2,\)"),
        (lambda: mg.arange(1, 2, 0), "arange: got step=0"),
        (lambda: mg.random.normal(2, dtype="int64"), "normal: wanted float32 or float64, got int64"),
        (lambda: mg.random.uniform(2, generator=3), "uniform: got generator=3"),
        (lambda: mg.random.integers(3, 3), "integers: got low=3, high=3"),
    ],
)
def test_what_is_refused(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()


def every_kind(generator, x):
    return [
        mg.random.normal(x.shape, x, 2.0, generator),
        mg.random.normal(None, x, x, generator, "float64"),
        mg.random.uniform(3, -1.0, x.sum(), generator),
        mg.random.exponential((2,), 0.5, generator),
        mg.random.gumbel((2, 2), generator, "float64"),
        mg.random.bernoulli(x, None, generator),
        mg.random.categorical(mg.stack([x, x * 2]), 0, generator),
        mg.random.integers(-3, 9, (2, 2), generator),
        mg.random.permutation(5, generator),
    ]


def test_draws_are_the_same_eager_and_jitted_at_every_call():
    x, (one, two) = mg.tensor([0.2, 0.7]), [np.random.default_rng(3) for _ in range(2)]
    jitted = mg.jit(lambda x: every_kind(two, x))
    calls = [(every_kind(one, x), jitted(x)) for _ in range(3)]
    for eager, compiled in calls:
        for a, b in zip(eager, compiled):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert not np.array_equal(calls[0][0][0].numpy(), calls[1][0][0].numpy())


@pytest.mark.parametrize("reverse", [False, True])
def test_draws_in_a_loop_are_the_same_eager_and_jitted_with_their_gradients(reverse):
    def loss(scale, xs, generator):
        def step(h, x):
            h = h + mg.random.normal(None, x, scale, generator) * mg.random.bernoulli(
                mg.full_like(h, 0.5), None, generator
            )
            return h, mg.random.uniform(h.shape, 0.0, h, generator)

        h, ys = mg.scan(step, mg.zeros_like(xs[0]), xs, reverse=reverse)
        return (h * h).sum() + ys.sum()

    xs = mg.tensor(np.linspace(-1, 1, 12).reshape(4, 3))
    scale = mg.tensor([0.5, 1.0, 2.0]).astype("float64")
    one, two = [np.random.default_rng(7) for _ in range(2)]
    eager = mg.value_and_grad(lambda s, x: loss(s, x, one), argnums=(0, 1))
    jitted = mg.value_and_grad(mg.jit(lambda s, x: loss(s, x, two)), argnums=(0, 1))
    for _ in range(2):
        for a, b in zip(mg.tree.flatten(eager(scale, xs))[0], mg.tree.flatten(jitted(scale, xs))[0]):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10)


def test_samples_have_their_distribution():
    g, n = np.random.default_rng(0), 200_000
    draws = {
        "normal": (mg.random.normal(n, 1.0, 2.0, g), 1.0, 2.0),
        "uniform": (mg.random.uniform(n, -1.0, 2.0, g), 0.5, 3 / 12**0.5),
        "exponential": (mg.random.exponential(n, 3.0, g), 3.0, 3.0),
        "gumbel": (mg.random.gumbel(n, g), 0.5772, np.pi / 6**0.5),
        "bernoulli": (mg.random.bernoulli(0.3, n, g), 0.3, 0.21**0.5),
        "integers": (mg.astype(mg.random.integers(0, 10, n, g), "float64"), 4.5, (99 / 12) ** 0.5),
    }
    for name, (sample, mean, std) in draws.items():
        assert abs(sample.numpy().mean() - mean) < 5 * std / n**0.5, name
        assert abs(sample.numpy().std() / std - 1) < 0.02, name
    logits = mg.tensor(np.log([[0.1, 0.2, 0.7]]))
    counts = np.bincount(mg.random.categorical(mg.broadcast_to(logits, (n, 3)), generator=g).numpy(), minlength=3) / n
    np.testing.assert_allclose(counts, [0.1, 0.2, 0.7], atol=0.01)
    assert sorted(mg.random.permutation(100, g).tolist()) == list(range(100))


@pytest.mark.filterwarnings("error")
def test_a_cast_that_is_traced_does_not_warn_about_numbers_that_are_not_there():
    x = mg.tensor([1.0, 2.0])
    assert mg.jit(lambda x: mg.astype(x * 2.5, "int64") + 1)(x).tolist() == [3, 6]


def test_the_default_generator_starts_anew_from_a_seed():
    mg.random.manual_seed(5)
    first = mg.random.normal(3).numpy()
    mg.random.manual_seed(5)
    np.testing.assert_array_equal(mg.random.normal(3).numpy(), first)
