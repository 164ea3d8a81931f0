"""Long sums in float32 are as exact as float32 is, along whichever axis and in whichever layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.kernels import pieces
from minigrad.kernels.sums import add_reduce

EPS = float(np.finfo("float32").eps)
N = 200_000


def error(x, truth):
    assert x.dtype == np.float32 and x.shape == truth.shape
    return np.abs(x.astype("float64") - truth).max() / np.abs(truth).max()


@st.composite
def laid_out(draw):
    """Positive float32 numbers in any layout: transposed, sliced, reversed, broadcast; with some axes long."""
    shape = draw(st.lists(st.sampled_from([1, 2, 3, 20, 40, 130]), max_size=4))
    shape = [n if np.prod(shape[:k]) * n < 200_000 else 1 for k, n in enumerate(shape)]
    x = np.random.default_rng(draw(st.integers(0, 9))).uniform(0.1, 1, shape).astype("float32")
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    x = x[tuple([slice(None, None, draw(st.sampled_from([1, 1, 2, -1]))) for _ in shape])]
    if draw(st.booleans()):
        x = np.broadcast_to(x, (draw(st.sampled_from([3, 700])), *x.shape)) if x.size < 10_000 else x
    return x, tuple([k for k in range(x.ndim) if draw(st.booleans())])


@given(laid_out(), st.booleans())
def test_a_sum_is_exact_along_any_axes_of_any_layout(drawn, keepdims):
    x, axes = drawn
    truth = np.add.reduce(x.astype("float64"), axis=axes, keepdims=keepdims)
    y = add_reduce(x, axes, keepdims)
    assert y.shape == truth.shape and y.dtype == np.float32
    np.testing.assert_allclose(y, truth, rtol=4 * EPS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_do_not_change_the_sum_of_a_run_of_memory(dtype, monkeypatch):
    x = np.random.default_rng(0).normal(size=(21, 4001)).astype(dtype)
    alone = add_reduce(x, (0, 1))
    monkeypatch.setattr(pieces, "SHARED", 1)
    monkeypatch.setattr(pieces, "PIECE", 1)
    monkeypatch.setattr(pieces.threads, "count", 3)
    assert add_reduce(x, (0, 1)) == alone == add_reduce(x.T, (0, 1))
    np.testing.assert_allclose(alone, x.sum(dtype="float64"), rtol=10 * np.finfo(dtype).eps)


def test_sums_of_integers_and_of_nothing_are_numpys():
    for x in (np.ones((100, 3), np.uint8), np.zeros((0, 100), "float32"), np.zeros((100, 0), "float32")):
        y, wanted = add_reduce(x, (0,)), np.add.reduce(x, axis=0)
        assert y.dtype == wanted.dtype
        np.testing.assert_array_equal(y, wanted)


def values(kind):
    if kind == "equal":  # whose rounding errors all go one way
        return np.full((N, 4), 0.1, "float32")
    return np.random.default_rng(0).random((N, 4), dtype="float32")


def gradient(f, x, *others):
    leaf = mg.tensor(x, requires_grad=True)
    f(leaf, *others).backward()
    return leaf.grad


# (of a float32 tensor (N, 4), of the float64 array of its numbers)
REDUCTIONS = {
    "sum": (lambda x: x.sum(0), lambda x: x.sum(0)),
    "sum of the transposed": (lambda x: x.T.sum(1), lambda x: x.sum(0)),
    "sum over all but the middle": (both := lambda x: x.reshape(-1, 2, 2).sum((0, 2)), both),
    "sum of a slice": (lambda x: x[:, 1:3].sum(), lambda x: x[:, 1:3].sum()),
    "mean": (lambda x: x.mean(0), lambda x: x.mean(0)),
    "norm": (lambda x: mg.norm(x, 2, 0), lambda x: np.sqrt((x * x).sum(0))),
    "norm of order 3": (lambda x: mg.norm(x, 3, 0), lambda x: np.cbrt((x**3).sum(0))),
    "logsumexp": (lambda x: mg.logsumexp(x, 0), lambda x: np.log(np.exp(x).sum(0))),
    "cumsum": (lambda x: mg.cumsum(x, 0), lambda x: np.cumsum(x, 0)),
    "cumprod": (
        lambda x: mg.cumprod(1 + x * 1e-5, 0),
        lambda x: np.cumprod((1 + x.astype("f") * np.float32(1e-5)).astype(float), 0),
    ),
    "log_softmax": (lambda x: mg.log_softmax(x, 0), lambda x: x - np.log(np.exp(x).sum(0))),
    "softmax": (lambda x: mg.softmax(x.reshape(-1)), lambda x: np.exp(x.reshape(-1)) / np.exp(x).sum()),
    "einsum of one": (lambda x: mg.einsum("ij->j", x), lambda x: x.sum(0)),
    "einsum of two": (lambda x: mg.einsum("ij,ij->j", x, x), lambda x: (x * x).sum(0)),
    "einsum, of axes of one operand": (lambda x: mg.einsum("ij,k->k", x, x[0]), lambda x: x.sum() * x[0]),
    "mse": (lambda x: mg.mse(x, 0 * x), lambda x: (x * x).mean()),
    "gradient of a bias": (
        lambda x: gradient(lambda b: ((x + b) * x).sum(), np.zeros(4, "f")),
        lambda x: x.sum(0),
    ),
    "gradient of cumsum": (
        lambda x: gradient(lambda y: (mg.cumsum(y, 0) * x).sum(), x.numpy()),
        lambda x: np.cumsum(x[::-1], 0)[::-1],
    ),
    "gradient of a convolution's bias": (
        lambda x: gradient(
            lambda b, x: (mg.conv2d(x, np.zeros((1, 1, 1, 1), "f"), b) * x).sum(),
            np.zeros(1, "f"),
            x.reshape(-1, 1, 2, 2),
        ),
        lambda x: x.sum(keepdims=True).reshape(1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["equal", "random"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_long_reductions(name, kind):
    ours, truth = REDUCTIONS[name]
    x = values(kind)
    assert error(ours(mg.tensor(x)).numpy(), np.asarray(truth(x.astype("float64")))) < 4 * EPS


@pytest.mark.parametrize("name", ["var", "std"])
def test_long_variances(name):
    x = values("random")
    assert error(getattr(mg, name)(mg.tensor(x), 0).numpy(), getattr(np, name)(x.astype("float64"), 0)) < 4 * EPS


def test_long_rows_are_standardized_exactly():
    x = values("random").reshape(1, -1) + np.float32(3)
    wide = x.astype("float64")
    truth = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-5)
    assert error(mg.layer_norm(mg.tensor(x)).numpy(), truth) < 4 * EPS
    assert error(mg.standardize(mg.tensor(x.T), 0).numpy(), truth.T) < 4 * EPS


@pytest.mark.parametrize("kind", ["equal", "random"])
def test_long_products(kind):
    x = np.tile(values(kind), (5, 1))
    wide = x.astype("float64")
    y = mg.tensor(x)
    weight = mg.tensor(np.ones((4, 3), "float32"), requires_grad=True)
    (y @ weight).sum().backward()
    pairs = [
        (y.T @ y, wide.T @ wide),
        (y.T @ y[:, 0], wide.T @ wide[:, 0]),
        (y[:, 0] @ y[:, 0], wide[:, 0] @ wide[:, 0]),
        (weight.grad, wide.T @ np.ones((5 * N, 3))),
    ]
    for found, truth in pairs:
        assert error(found.numpy(), truth) < 32 * EPS  # blocks of 256 terms are exact to so much


def test_products_of_integers_keep_their_dtype():
    x = mg.tensor(np.ones((40_000, 2), "int32"))
    assert (x.T @ x).dtype == np.int32 and (x.T @ x).tolist() == [[40_000] * 2] * 2


INDEX = np.zeros(N, int)
SCATTERS = {
    "embedding": lambda w, g: (mg.embedding(w, INDEX) * g).sum(),
    "take": lambda w, g: (mg.take(w, INDEX, axis=0) * g).sum(),
    "take_along_axis": lambda w, g: (mg.take_along_axis(w, INDEX[:, None].repeat(4, 1), axis=0) * g).sum(),
    "getitem": lambda w, g: (w[INDEX] * g).sum(),
}


@pytest.mark.parametrize("rows", [3, 40_000])  # as many as are added up in float64, and a table of which few are
@pytest.mark.parametrize("name", SCATTERS)
def test_what_is_added_to_one_row_again_and_again(name, rows):
    g = values("equal")
    got = gradient(SCATTERS[name], np.ones((rows, 4), "float32"), g).numpy()
    assert error(got[0], g.sum(0, dtype="float64")) < 4 * EPS and not got[1:].any()


def test_scatter_add_to_rows_that_are_not_zero():
    g, x = values("equal"), np.full((40_000, 4), 0.5, "float32")
    y = mg.scatter_add(mg.tensor(x), 0, INDEX[:, None].repeat(4, 1), mg.tensor(g)).numpy()
    assert error(y[0], 0.5 + g.sum(0, dtype="float64")) < 4 * EPS and (y[1:] == 0.5).all()


@pytest.mark.parametrize("subscripts", ["ij,ij->", "ij,ji->", "ij,i,j->", "ij,ij,ij->", "ii,i->", "ii,j->"])
def test_an_einsum_that_is_a_number(subscripts):
    sizes = {"i": 450, "j": 450}
    terms = subscripts[:-2].split(",")
    arrays = [np.full([sizes[c] for c in term], 0.1, "float32") for term in terms]
    truth = np.einsum(subscripts, *[a.astype("float64") for a in arrays], optimize=True)
    assert error(mg.einsum(subscripts, *arrays).numpy(), truth) < 8 * EPS


@pytest.mark.parametrize(
    ("images", "kernel", "padding"),
    [((16, 2, 100, 100), (3, 3), (1, 1)), ((1, 1, 3000, 60), (1, 1), (0, 0)), ((2000, 2, 8, 8), (3, 2), (2, 0)),
     ((2, 3, 70, 90), (5, 4), (9, 2)), ((3, 2, 60, 60), (1, 3), (40, 0))],
)  # fmt: skip
def test_the_gradient_of_a_convolutions_weight(images, kernel, padding):
    x = np.random.default_rng(0).uniform(0.05, 0.15, images).astype("float32")
    w = np.ones((2, images[1], *kernel), "float32")
    got, truth = [
        gradient(lambda w, x: (mg.conv2d(x, w, padding=padding) * 0.1).sum(), w.astype(kind), x.astype(kind)).numpy()
        for kind in ("float32", "float64")
    ]
    np.testing.assert_allclose(got, truth, rtol=40 * EPS, atol=EPS * truth.max())
