"""Products and matrices: NumPy's values, PyTorch's gradients, and what is refused."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.deferred import DeferredProduct
from minigrad.modes import RAW, thread
from minigrad.ops import product
from minigrad.testing import gradcheck


def matrices(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def gradient(f, x):
    x = mg.tensor(x, requires_grad=True)
    f(x).backward()
    return x.grad.numpy()


@pytest.mark.parametrize(
    "shapes",
    [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 2, 3), (3, 5)), ((4, 2, 3), (4, 3, 1)), ((0, 3), (3, 2)),
     ((2, 4, 0), (0, 3)), ((5, 1, 2, 3), (4, 3, 2))],
)  # fmt: skip
def test_matmul_is_numpys_with_gradients_of_the_operands_shapes(shapes):
    a, b = [mg.tensor(matrices(*s, seed=k), requires_grad=True) for k, s in enumerate(shapes)]
    y = a @ b
    np.testing.assert_allclose(y.detach().numpy(), np.matmul(a.detach().numpy(), b.detach().numpy()), rtol=1e-12)
    y.sum().backward()
    assert (a.grad.shape, b.grad.shape) == shapes


def test_matmul_of_a_batch_in_fortran_order():
    a, b = np.asfortranarray(matrices(4, 2, 3)), matrices(3, 5).T.copy().T
    np.testing.assert_allclose(mg.matmul(a, b).numpy(), np.matmul(a, b), rtol=1e-12)


def test_an_array_on_the_left_of_a_tensor():
    a, b = matrices(2, 3), mg.tensor(matrices(3, 2), requires_grad=True)
    (a @ b).sum().backward()
    np.testing.assert_allclose(b.grad.numpy(), np.repeat(a.sum(0)[:, None], 2, 1))


@pytest.mark.parametrize(
    "shapes", [((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3, 2)), ((2, 1, 3), (5, 3, 2))]
)
def test_dot_and_outer_are_numpys(shapes):
    a, b = [matrices(*s, seed=k) for k, s in enumerate(shapes)]
    np.testing.assert_allclose(mg.dot(a, b).numpy(), np.dot(a, b), rtol=1e-12)
    np.testing.assert_allclose(mg.outer(a, b).numpy(), np.outer(a, b), rtol=1e-12)


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ba", (2, 3)), ("ii", (3, 3)), ("ii->i", (3, 3)),
    ("iij->j", (2, 2, 3)), ("ijij->ij", (2, 3, 2, 3)), ("iii->i", (2, 2, 2)), ("ij->", (2, 3)), ("ij->j", (2, 3)),
    ("...ij,...jk->...ik", (5, 1, 2, 3), (4, 3, 2)), ("i...,i", (2, 3, 4), (2,)), ("...,...", (2, 3), (3,)),
    ("i,j,k->ijk", (2,), (3,), (4,)), (" i j , j k -> k i ", (2, 3), (3, 4)), ("ij,ij,ij->i", (2, 3), (2, 3), (2, 3)),
    ("ij,jk->ik", (2, 1), (3, 4)), ("...i->...", (2, 3)), (",ij->ji", (), (2, 3)), ("ij,kl->il", (2, 3), (4, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("subscripts", "shapes"), [(s, shapes) for s, *shapes in EINSUMS])
def test_einsum(subscripts, shapes):
    operands = [matrices(*s, seed=k) for k, s in enumerate(shapes)]
    result = mg.einsum(subscripts, *operands)
    np.testing.assert_allclose(result.numpy(), np.einsum(subscripts, *operands), rtol=1e-10, atol=1e-12)
    gradcheck(lambda *xs: mg.square(mg.einsum(subscripts, *xs)), operands)


def test_einsum_of_sizes_0_and_1():
    a, b = np.ones((0, 1)), np.ones((1, 3))
    for subscripts in ("ij,ij->ij", "...i,...i->...i"):
        assert mg.einsum(subscripts, a, b).shape == product._einsum_shape(a, b, subscripts=subscripts) == (0, 3)


def test_dot_and_outer_take_lists_and_names():
    assert mg.dot([1.0, 2.0], b=[3.0, 4.0]).item() == 11
    assert mg.outer(a=[1.0, 2.0], b=[3.0]).tolist() == [[3], [6]]


def test_a_product_is_deferred_where_its_factors_are_smaller(monkeypatch):
    monkeypatch.setattr(thread, "mode", RAW)
    a, g = np.ones((2, 8)), np.ones((2, 9))
    assert type(product._matmul_b(g, a, (8, 9))) is DeferredProduct
    a, g = np.ones((8, 2)), np.ones((8, 9))
    np.testing.assert_array_equal(product._matmul_b(g, a, (2, 9)), a.T @ g)


def test_einsum_is_numpys_too():
    a = mg.tensor(matrices(2, 3), requires_grad=True)
    np.einsum("ij->i", a).sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("subscripts", "shapes", "words"),
    [("ij,jk", [(2, 3), (4, 2)], "differ in size"), ("ij", [(2, 3), (2,)], "names 1 operands, and there are 2"),
     ("ijk", [(2, 3)], "does not fit an operand of 2"), ("ij->k", [(2, 3)], "result's indices"),
     ("ij->ii", [(2, 3)], "result's indices"), ("i1", [(2, 3)], "wanted letters"), ("ii", [(2, 3)], "differ in size"),
     ("...i->i", [(2, 3)], "wants an ellipsis")],
)  # fmt: skip
def test_einsum_says_what_is_wrong(subscripts, shapes, words):
    with pytest.raises(ValueError, match=rf"^einsum\(.*{words}"):
        mg.einsum(subscripts, *[np.ones(s) for s in shapes])


def test_diagonals():
    x = matrices(3, 4)
    for k in (-3, -1, 0, 2, 5):
        np.testing.assert_array_equal(mg.diagonal(x, k).numpy(), np.diagonal(x, k))
        np.testing.assert_array_equal(mg.diag(x, k).numpy(), np.diag(x, k))
        np.testing.assert_array_equal(mg.diag(x[0], k).numpy(), np.diag(x[0], k))
        np.testing.assert_allclose(mg.trace(x, k).numpy(), np.trace(x, k))
    assert (gradient(lambda x: mg.trace(x, 1), x) == np.eye(3, 4, 1)).all()
    with pytest.raises(ValueError, match="diag.*wanted a vector or a matrix"):
        mg.diag(np.ones((2, 2, 2)))


@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "cholesky"])
@pytest.mark.parametrize("batch", [(), (2,), (3, 2), (0,)])
def test_gradients_are_pytorchs(torch, name, batch):
    x = matrices(*batch, 3, 3)
    x = x @ x.swapaxes(-1, -2) + 3 * np.eye(3) if name == "cholesky" else x + 3 * np.eye(3)
    ours, theirs = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = getattr(mg, name)(ours), getattr(torch.linalg, name)(theirs)
    if name == "slogdet":
        np.testing.assert_array_equal(y[0].detach().numpy(), z[0].detach().numpy())
        y, z = y[1], z[1]
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
    y.backward(np.cos(y.detach().numpy()))
    z.backward(z.detach().cos())
    g = ours.grad.numpy()
    if name == "cholesky":  # PyTorch's spreads over both triangles
        g = (g + g.swapaxes(-1, -2)) / 2
    np.testing.assert_allclose(g, theirs.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "shapes", [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (2, 3, 1)), ((2, 1, 3, 3), (4, 3, 2))]
)
def test_solve(shapes):
    a, b = matrices(*shapes[0]) + 4 * np.eye(3), matrices(*shapes[1], seed=1)
    np.testing.assert_allclose(mg.solve(a, b).numpy(), np.linalg.solve(a, b), rtol=1e-12)
    gradcheck(mg.solve, (a, b))


def test_the_gradient_of_the_determinant_of_a_singular_matrix_is_its_cofactors():
    assert gradient(mg.det, [[0.0]]) == 1
    np.testing.assert_allclose(gradient(mg.det, [[1.0, 2.0], [2.0, 4.0]]), [[4, -2], [-2, 1]], atol=1e-6)
    np.testing.assert_allclose(gradient(mg.det, np.zeros((3, 3))), 0, atol=1e-12)


def test_cholesky_reads_the_lower_triangle():
    x = np.array([[4.0, 99.0], [1.0, 3.0]])
    np.testing.assert_array_equal(mg.cholesky(mg.tensor(x)).numpy(), np.linalg.cholesky(x))
    g = gradient(lambda x: mg.cholesky(x)[1, 0], x)
    np.testing.assert_allclose(g, [[-1 / 16, 0], [1 / 2, 0]], atol=1e-12)  # of x10 / sqrt(x00)


def test_the_gradient_of_cholesky_is_pytorchs_through_what_is_symmetric(torch):
    a = np.random.default_rng(0).normal(size=(2, 3, 3))
    g = gradient(lambda a: (mg.cholesky(a @ a.mT + np.eye(3)) ** 2).sum(), a)
    leaf = torch.tensor(a, requires_grad=True)
    (torch.linalg.cholesky(leaf @ leaf.mT + torch.eye(3)) ** 2).sum().backward()
    np.testing.assert_allclose(g, leaf.grad.numpy(), rtol=1e-10, atol=1e-12)


SINGULAR = np.ones((2, 3, 3))


@pytest.mark.parametrize("call", [mg.inv, lambda x: mg.solve(x, np.ones(3))])
def test_a_singular_matrix_is_refused_by_name(call):
    with pytest.raises(ValueError, match=r"^(inv|solve)\(float64\[2, 3, 3\].*singular"):
        call(SINGULAR)
    with pytest.raises(ValueError, match=r"^cholesky\(.*not positive definite"):
        mg.cholesky(-SINGULAR)


def test_slogdet_of_a_singular_matrix():
    x = mg.tensor(np.zeros((2, 2)), requires_grad=True)
    sign, logarithm = mg.slogdet(x)
    assert (sign.item(), logarithm.item()) == (0, -np.inf)
    with pytest.raises(ValueError, match="singular"):
        logarithm.backward()


@pytest.mark.parametrize("name", ["inv", "det", "slogdet", "cholesky"])
def test_what_is_no_square_float_matrix_is_refused(name):
    with pytest.raises(ValueError, match=rf"^{name}\(float64\[2, 3\]\): wanted square matrices"):
        getattr(mg, name)(np.ones((2, 3)))
    with pytest.raises(TypeError, match=rf"^{name}\(int64\[2, 2\]\): wanted float32 or float64"):
        getattr(mg, name)(np.eye(2, dtype=int))


def test_numpy_linalg_of_a_tensor_is_on_the_tape():
    x = mg.tensor(matrices(2, 2) + 3 * np.eye(2), requires_grad=True)
    for function in (np.linalg.inv, np.linalg.det, np.trace, np.diagonal):
        assert function(x).requires_grad
    assert np.linalg.slogdet(x)[1].requires_grad
    assert np.linalg.solve(x, np.ones(2)).requires_grad


# Factorisations


def test_equal_singular_values_and_eigenvalues():
    """Values have a gradient, as has what does not depend on the choice of vectors; what does gets NaN."""
    eye = mg.tensor(np.eye(3), requires_grad=True)
    np.testing.assert_allclose(mg.grad(lambda x: mg.svd(x)[1].sum())(eye).numpy(), np.eye(3), atol=1e-15)
    np.testing.assert_allclose(mg.grad(lambda x: mg.eigh(x)[0].sum())(eye).numpy(), np.eye(3), atol=1e-15)
    projected = mg.grad(lambda x: (mg.eigh(x)[1] @ mg.eigh(x)[1].mT).sum())(eye).numpy()
    np.testing.assert_allclose(projected, np.zeros((3, 3)), atol=1e-14)
    weights = np.arange(9.0).reshape(3, 3)
    assert np.isnan(mg.grad(lambda x: (mg.svd(x)[0] * weights).sum())(eye).numpy()).any()
    assert np.isnan(mg.grad(lambda x: (mg.eigh(x)[1] * weights).sum())(eye).numpy()).any()
    np.testing.assert_allclose(mg.grad(lambda x: mg.pinv(x).sum())(eye).numpy(), -np.ones((3, 3)), atol=1e-14)


def test_factorisations_have_pytorchs_gradients(torch):
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    for ours, theirs in (
        (lambda x: mg.svd(x)[0] ** 2 @ mg.svd(x)[2], lambda x: torch.linalg.svd(x, full_matrices=False)[0] ** 2
         @ torch.linalg.svd(x, full_matrices=False)[2]),
        (lambda x: mg.svd(x.mT)[2] ** 2, lambda x: torch.linalg.svd(x.mT, full_matrices=False)[2] ** 2),
        (lambda x: mg.qr(x)[0] ** 2, lambda x: torch.linalg.qr(x)[0] ** 2),
        (lambda x: mg.pinv(x), lambda x: torch.linalg.pinv(x)),
        (lambda x: mg.eigh(x.mT @ x)[1] ** 2, lambda x: torch.linalg.eigh(x.mT @ x)[1] ** 2),
    ):  # fmt: skip
        t, u = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        weights = np.random.default_rng(1).normal(size=ours(t).shape)
        (ours(t) * weights).sum().backward()
        (theirs(u) * torch.tensor(weights)).sum().backward()
        np.testing.assert_allclose(t.grad.numpy(), u.grad.numpy(), rtol=1e-8, atol=1e-10)


def test_factorisations_of_deficient_matrices():
    flat = mg.tensor(np.ones((3, 2)), requires_grad=True)
    with pytest.raises(ValueError, match="singular"):
        mg.grad(lambda x: mg.qr(x)[0].sum())(mg.tensor([[1.0, 0.0], [1.0, 0.0]]))
    found = mg.grad(lambda x: mg.svd(x)[1].max())(flat).numpy()
    np.testing.assert_allclose(found, np.full((3, 2), 6**-0.5), rtol=1e-12)
    with pytest.raises(ValueError, match="no more columns than rows"):
        mg.qr(mg.tensor(np.ones((2, 3))))
