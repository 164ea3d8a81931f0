"""Reductions: values at kinks and infinities, NumPy's calling conventions, PyTorch's gradients."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minigrad as mg
from minigrad.kernels import pieces
from minigrad.ops import reduce
from minigrad.testing import gradcheck


def leaf(values, dtype="float64"):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def gradient(f, values):
    x = leaf(values)
    f(x).sum().backward()
    return x.grad.numpy()


def second(f, values):
    """Sums of the rows of the Hessian of f at these values."""
    x = leaf(values)
    f(x).sum().backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.sum().backward()
    return np.zeros(x.shape) if x.grad is None else x.grad.numpy()


few = st.sampled_from([-1.0, 0.0, 0.0, 2.0, 3.0])
with_ties = arrays("float64", st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=few)


@given(with_ties)
def test_largest_and_smallest_share_among_ties(x):
    for f, best in ((mg.max, x.max(1)), (mg.min, x.min(1))):
        hits = x == best[:, None]
        np.testing.assert_array_equal(gradient(lambda t, f=f: f(t, axis=1), x), hits / hits.sum(1, keepdims=True))


@given(with_ties)
def test_product_is_exact_at_zeros_at_every_order(x):
    x = x[0]
    others = [np.prod(np.delete(x, k)) for k in range(len(x))]
    np.testing.assert_allclose(gradient(mg.prod, x), others, rtol=1e-13)
    hessian = [
        [np.prod(np.delete(x, [i, j])) if i != j else 0.0 for j in range(len(x))] for i in range(len(x))
    ]  # fmt: skip
    np.testing.assert_allclose(second(mg.prod, x), np.sum(hessian, 1), rtol=1e-13)
    running = sum(np.array([np.prod(np.delete(x[:k], i)) if i < k else 0.0 for i in range(len(x))])
                  for k in range(1, len(x) + 1))  # fmt: skip
    np.testing.assert_allclose(gradient(mg.cumprod, x), running, rtol=1e-13)
    hessian = sum(
        np.array([
            [np.prod(np.delete(x[:k], [i, j])) if i < k and j < k and i != j else 0.0 for j in range(len(x))]
            for i in range(len(x))
        ])
        for k in range(1, len(x) + 1)
    )  # fmt: skip
    np.testing.assert_allclose(second(mg.cumprod, x), np.sum(hessian, 1), rtol=1e-13)


def test_product_third_derivative_at_two_zeros():
    x = leaf([0.0, 0.0, 5.0])
    g = mg.prod(x)
    for k in range(3):  # d³(xyz)/dx dy dz = 1, all others 0
        x.grad = None
        g.backward(create_graph=True)
        g = x.grad[k]
    assert g.item() == 1


def test_largest_of_nan_is_nan():
    for f in (mg.max, mg.min):
        assert math.isnan(f(leaf([1.0, math.nan, 3.0])).item())
        np.testing.assert_array_equal(gradient(f, [1.0, math.nan, 3.0]), [0, 1, 0])


def test_no_largest_of_nothing():
    with pytest.raises(ValueError, match=r"max\(float32\[0, 3\]\): there is no largest or smallest of no elements"):
        mg.max(mg.tensor(np.zeros((0, 3), "f")), axis=0)
    assert mg.max(mg.tensor(np.zeros((0, 3), "f")), axis=1).shape == (0,)
    assert mg.sum(mg.tensor(np.zeros((0, 3), "f")), axis=0).tolist() == [0, 0, 0]
    assert mg.prod(mg.tensor(np.zeros((0, 3), "f")), axis=0).tolist() == [1, 1, 1]
    assert mg.logsumexp(mg.tensor(np.zeros((0, 2), "f")), axis=0).tolist() == [-math.inf, -math.inf]
    assert math.isnan(mg.mean(mg.tensor(np.zeros(0, "f"))).item())


@pytest.mark.parametrize(
    "f", [mg.std, lambda x: mg.std(x, ddof=1), mg.norm, lambda x: mg.norm(x, 3), lambda x: mg.norm(x, 1.5)]
)
def test_roots_of_zero_have_gradient_zero(f):
    values = np.zeros(3)
    assert f(leaf(values)).item() == 0
    np.testing.assert_array_equal(gradient(f, values), 0)
    np.testing.assert_array_equal(second(f, values), 0)


def test_norm_of_infinite_order_shares_among_ties():
    np.testing.assert_array_equal(gradient(lambda x: mg.norm(x, math.inf), [-2.0, 2.0, 1.0]), [-0.5, 0.5, 0])
    np.testing.assert_array_equal(gradient(lambda x: mg.norm(x, 1), [-2.0, 0.0, 1.0]), [-1, 0, 1])
    assert mg.norm(leaf([0.0, 3.0, -1.0]), 0).item() == 2


def test_logsumexp_neither_overflows_nor_makes_nan():
    inf = math.inf
    x = leaf([[1000.0, 1000.0], [-inf, -inf], [-inf, 3.0], [inf, 0.0]])
    y = mg.logsumexp(x, axis=1)
    np.testing.assert_allclose(y.detach().numpy(), [1000 + math.log(2), -inf, 3, inf])
    x = leaf(x.detach().numpy()[:3])
    with np.errstate(all="raise"):
        mg.logsumexp(x, axis=1).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0.5, 0.5], [0, 0], [0, 1]])


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_linear_recurrence_is_its_loop(transposed, axis, dtype):
    rng = np.random.default_rng(0)
    b, a = rng.standard_normal((2, 3, 4, 5)).astype(dtype)
    y = reduce.linear_recurrence(b, a, axis=axis, transposed=transposed).numpy()
    steps, b, a = (np.moveaxis(v, axis, 0) for v in (y, b, a))
    order = range(len(b))[::-1] if transposed else range(len(b))
    state = np.zeros_like(b[0])
    for t in order:
        near = t + 1 if transposed else t
        state = b[t] + (a[near] * state if t != order[0] else 0)
        np.testing.assert_allclose(steps[t], state, rtol=1e-5 if dtype == "float32" else 1e-13)
    assert y.dtype == dtype


def test_first_factor_of_a_recurrence_is_not_used():
    assert reduce.linear_recurrence([1.0, 2.0], [math.nan, 3.0]).tolist() == [1, 5]
    assert reduce.linear_recurrence([1.0, 2.0], [math.inf, 3.0], transposed=True).tolist() == [7, 2]


NUMPY_CALLS = {
    "sum": lambda t: np.sum(t, axis=(0, 2), keepdims=True),
    "mean": lambda t: np.mean(t, axis=0),
    "max": lambda t: np.max(t, -1),
    "amin": lambda t: np.amin(t, axis=(0, 1)),
    "prod": lambda t: np.prod(t, axis=1),
    "var": lambda t: np.var(t, axis=0, ddof=1),
    "std": lambda t: np.std(t),
    "argmax": lambda t: np.argmax(t, axis=1, keepdims=True),
    "argmin": lambda t: np.argmin(t),
    "any": lambda t: np.any(t, axis=(0, 1)),
    "all": lambda t: np.all(t),
    "cumsum": lambda t: np.cumsum(t),
    "cumprod": lambda t: np.cumprod(t, axis=-1),
    "norm": lambda t: np.linalg.norm(t),
    "vector norm": lambda t: np.linalg.vector_norm(t, axis=1, ord=3),
    "norm along": lambda t: np.linalg.norm(t, 1, 0),
}


@pytest.mark.parametrize("name", NUMPY_CALLS)
def test_numpy_calls(name):
    f, x = NUMPY_CALLS[name], np.random.default_rng(0).standard_normal((2, 3, 4))
    ours = f(mg.tensor(x))
    assert isinstance(ours, mg.Tensor)
    np.testing.assert_allclose(ours.numpy(), f(x), rtol=1e-13)
    assert ours.dtype == f(x).dtype


def test_numpys_norm_of_a_matrix_is_one():
    x = np.random.default_rng(0).normal(size=(3, 4))
    for ord in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        np.testing.assert_allclose(np.linalg.norm(mg.tensor(x), ord).numpy(), np.linalg.norm(x, ord), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64"])
def test_integers_sum_as_numpy(dtype):
    x = np.array([[0, 1], [1, 1]], dtype)
    for f in (np.sum, np.prod, np.cumsum, np.cumprod, np.max, np.argmax):
        assert f(mg.tensor(x)).dtype == f(x).dtype
        np.testing.assert_array_equal(f(mg.tensor(x)).numpy(), f(x))
    assert mg.mean(x).dtype == mg.std(x).dtype == mg.norm(x).dtype == mg.logsumexp(x).dtype == np.float32


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: mg.sum(x, axis=2), r"sum\(float64\[2, 3\]\): axis 2 does not fit 2 dim.*, wanted one from -2 to 1"),
        (lambda x: mg.mean(x, axis=(0, -2)), r"mean: sum\(float64\[2, 3\]\): axis \(0, -2\) names one axis twice"),
        (lambda x: mg.sum(x, axis=0.5), r"sum\(float64\[2, 3\]\): an axis must be an integer, got 0.5"),
        (
            lambda x: mg.norm(x, "fro"),
            "norm: got ord='fro', wanted a number; the Frobenius norm is ord=2",
        ),
        (lambda x: mg.norm(x, None), "norm: got ord=None, wanted a number"),
        (
            lambda x: reduce.sum_to(x, (2, 2)),
            r"sum_to\(float64\[2, 3\]\): a tensor of shape \(2, 2\) does not broadcast",
        ),
        (lambda x: reduce.linear_recurrence(x, x[0]), "linear_recurrence.*wanted float a and b of one shape"),
    ],
)
def test_errors_say_what_was_wanted(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(leaf(np.ones((2, 3))))


def test_second_derivatives_of_norms():
    x = np.array([[0.5, -1.2, 2.0], [1.5, 0.3, -0.7]])
    for ord in (1, 2, 3, 1.5, 4, 0.5, -2):
        gradcheck(lambda t, ord=ord: mg.norm(t, ord, axis=1), x, second_order=True)


PYTORCH = {
    "std": (lambda x: mg.std(x, axis=1, ddof=1), lambda torch, x: torch.std(x, dim=1)),
    "var": (lambda x: mg.var(x), lambda torch, x: torch.var(x, correction=0)),
    "max": (lambda x: mg.max(x, axis=(0, 1)), lambda torch, x: torch.amax(x, (0, 1))),
    "min": (lambda x: mg.min(x), lambda torch, x: torch.amin(x)),
    "prod": (lambda x: mg.prod(x), lambda torch, x: torch.prod(x)),
    "cumprod": (lambda x: mg.cumprod(x, 1), lambda torch, x: torch.cumprod(x, 1)),
    "norm 2": (lambda x: mg.norm(x, axis=1), lambda torch, x: torch.linalg.vector_norm(x, dim=1)),
    "norm 1": (lambda x: mg.norm(x, 1), lambda torch, x: torch.linalg.vector_norm(x, 1)),
    "norm 3": (lambda x: mg.norm(x, 3, 0), lambda torch, x: torch.linalg.vector_norm(x, 3, 0)),
    "norm 1.5": (lambda x: mg.norm(x, 1.5, 1), lambda torch, x: torch.linalg.vector_norm(x, 1.5, 1)),
    "norm inf": (lambda x: mg.norm(x, math.inf, 1), lambda torch, x: torch.linalg.vector_norm(x, math.inf, 1)),
    "logsumexp": (lambda x: mg.logsumexp(x, 1), lambda torch, x: torch.logsumexp(x, 1)),
}


@pytest.mark.parametrize("name", PYTORCH)
@given(with_ties)
def test_values_and_gradients_are_pytorchs(torch, name, values):
    ours, theirs = PYTORCH[name]
    if name == "std":
        values = np.concatenate([values, values[:, :1]], 1)  # of one value it is NaN
    x, t = leaf(values), torch.tensor(values, requires_grad=True)
    y, z = ours(x), theirs(torch, t)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12, atol=1e-14)
    v = np.cos(np.arange(y.size)).reshape(y.shape)
    y.backward(v)
    z.backward(torch.tensor(v))
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("f, wanted", [(mg.max, np.max), (mg.min, np.min)])
def test_extremes_of_long_rows(f, wanted, dtype):
    """The ends of rows, infinities, and a NaN anywhere: by a kernel, as NumPy has them."""
    rng = np.random.default_rng(0)
    for shape, axis in (((7, 33), -1), ((3, 2, 5, 13), (2, 3)), ((1, 1000), 1), ((40, 31), 1), ((40, 3), 0)):
        x = rng.normal(size=shape).astype(dtype)
        for value in (None, np.inf, -np.inf, np.nan, np.nan):
            if value is not None:
                x.flat[rng.integers(x.size)] = value
            np.testing.assert_array_equal(f(x, axis).numpy(), wanted(x, axis))
            np.testing.assert_array_equal(f(x, axis, True).numpy(), wanted(x, axis, keepdims=True))
        np.testing.assert_array_equal(f(np.full(shape, -np.inf, dtype), axis).numpy(), -np.inf)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 20])
def test_running_sums_of_rows_are_those_of_each_row_alone(rows, dtype, monkeypatch):
    x = np.random.default_rng(0).normal(size=(rows, 50)).astype(dtype)
    for f, wanted in ((mg.cumsum, np.cumsum), (mg.cumprod, np.cumprod)):
        exact = wanted(x.astype("float64"), 1)
        alone = f(x, 1).numpy()
        np.testing.assert_allclose(alone, exact, rtol=np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
        np.testing.assert_array_equal(alone[-1:], f(x[-1:], 1).numpy())
        with monkeypatch.context() as m:
            m.setattr(pieces, "SHARED", 1)
            m.setattr(pieces, "PIECE", 1)
            m.setattr(pieces.threads, "count", 3)
            np.testing.assert_array_equal(f(x, 1).numpy(), alone)
