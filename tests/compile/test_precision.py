"""`mg.jit(f, precision="bfloat16")`: the operands of products are rounded, and nothing else is."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from interpreter import interpreted

import minigrad as mg
from minigrad import nn
from minigrad.kernels import bfloat16
from minigrad.models import LSTM

pytestmark = pytest.mark.skipif(bfloat16.host_shape() is None, reason="this CPU has no AVX512-BF16")


def jitted(f):
    return mg.jit(f, precision="bfloat16")


class Reference:
    """A product that rounds its operands, and those of its backward; it remembers how near they were to a tie, where
    another order of the sums before could round them otherwise."""

    def __init__(self):
        self.nearest = 1.0

    def rounded(self, x):
        x = np.asarray(x)
        steps = x.astype(np.float64) / np.exp2(np.floor(np.log2(np.abs(np.where(x == 0, 1, x)))) - 7)
        self.nearest = min(self.nearest, np.abs(np.abs(steps - np.floor(steps)) - 0.5).min(initial=1.0))
        return bfloat16.rounded(x)

    def __call__(self, a, b):
        return self.product(a, b)

    @property
    def product(self):
        @mg.custom_vjp
        def product(a, b):
            return mg.tensor(self.rounded(a.numpy()) @ self.rounded(b.numpy()))

        def fwd(a, b):
            return product(a, b), (a, b)

        def bwd(saved, g):
            a, b, g = [self.rounded(x.detach().numpy()) for x in (*saved, g)]
            return mg.tensor(g @ b.T), mg.tensor(a.T @ g)

        product.defvjp(fwd, bwd)
        return product


def layer(product):
    """A recurrent layer whose step has two products of what is carried, one of them with a sum of gates."""

    def run(xs, h, w, u, v):
        def step(h, x):
            gate = mg.sigmoid(product(x, w) + product(h, u))
            h = gate * h + (1 - gate) * mg.tanh(product(gate * h, v))
            return h, h

        return mg.scan(step, h, xs)[1]

    return run


def operands(seed, T, B, I, H):
    rng = np.random.default_rng(seed)
    shapes = (T, B, I), (B, H), (I, H), (H, H), (H, H)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def results(f, arrays):
    tensors = [mg.tensor(x, requires_grad=True) for x in arrays]
    y = f(*tensors)
    (y * y).sum().backward()
    return [y.detach().numpy(), *[np.asarray(x.grad) for x in tensors]]


def assert_close(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6 * np.abs(b).max())


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(2, 6))
def test_a_loop_is_float32_with_operands_rounded_beforehand(seed, T, B, I, H):
    arrays, product = operands(seed, T, B, I, H), Reference()
    wanted = results(layer(product), arrays)
    assume(product.nearest > 2e-4)
    with interpreted():
        assert_close(results(jitted(layer(mg.matmul)), arrays), wanted)


def test_a_large_loop_is_so_too():
    """With weights packed before the loop, and rows for every thread."""
    seed, product = 3, Reference()
    arrays = operands(seed, 2, 40, 3, 24)
    wanted = results(layer(product), arrays)
    found = results(jitted(layer(mg.matmul)), arrays)
    for a, b in zip(found, wanted, strict=True):  # but for the few that are near a tie
        assert (np.abs(a - b) > 2e-5 * (np.abs(b) + 0.1 * np.abs(b).max())).mean() < 0.02
        np.testing.assert_allclose(a, b, rtol=0, atol=2**-8 * np.abs(b).max())


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from([(3, 4), (7, 5), (16, 16)]))
def test_products_of_each_sample_in_a_loop_are_so_too(seed, B, shape):
    """Read where they lie, and rounded as they are read; packed at every step."""
    rng = np.random.default_rng(seed)
    xs, s = [rng.standard_normal(n).astype(np.float32) for n in [(3, B, *shape[::-1]), (B, *shape)]]
    q = np.ones((B, shape[1]), np.float32)

    def f(xs, s, q):
        return mg.scan(lambda q, x: (q * mg.sign((s @ q[:, :, None])[:, :1, 0]), (s @ q[:, :, None], s @ x)), q, xs)

    def exact(a, b):
        return bfloat16.rounded(a).astype(np.float64) @ bfloat16.rounded(b)

    fast = jitted(f)
    with interpreted():
        _, (of_q, of_x) = fast(*map(mg.tensor, (xs, s, q)))
        assert "bfloat16(load(" in fast.explain(*map(mg.tensor, (xs, s, q))).loops[0].source
    for t in range(3):
        np.testing.assert_allclose(of_q.numpy()[t], exact(s, q[:, :, None]), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(of_x.numpy()[t], exact(s, xs[t]), rtol=1e-5, atol=1e-5)
        q = q * np.sign(exact(s, q[:, :, None])[:, :1, 0]).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.sampled_from([((5,), (5, 3)), ((4, 5), (5,)), ((5,), (5,)), ((4, 5), (5, 3)),
                                                   ((70, 90), (90, 80)), ((2, 3, 40), (40, 50)),
                                                   ((2, 3, 4), (2, 4, 5)), ((20, 1), (1, 30))]))  # fmt: skip
@settings(max_examples=16)
def test_products_outside_of_loops_are_rounded(seed, shapes):
    rng = np.random.default_rng(seed)
    a, b = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    exact = np.matmul(*[bfloat16.rounded(x).astype(np.float64) for x in (a, b)])
    y = jitted(lambda a, b: a @ b)(mg.tensor(a), mg.tensor(b))
    np.testing.assert_allclose(y.numpy(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("B, H", [(5, 20), (40, 70), (33, 128)])
def test_what_rounding_leaves_as_it_is_gives_the_same_bits(B, H):
    """Small integers, at sizes at which every part of the kernels is in use."""
    rng = np.random.default_rng(B)
    turn = np.eye(H, dtype=np.float32)[rng.permutation(H)] * rng.choice([-1, 1], H).astype(np.float32)
    x, h = [rng.integers(-2, 3, shape).astype(np.float32) for shape in [(6, B, H), (B, H)]]

    def f(xs, h, w, u):
        return mg.scan(lambda h, x: (mg.maximum(x @ w + h @ u, -1.0),) * 2, h, xs)[1]

    def gradients(f):
        tensors = [mg.tensor(a, requires_grad=True) for a in (x, h, turn, turn[::-1].copy())]
        y = f(*tensors)
        y.backward(mg.tensor(np.sign(x)))
        return [y.detach().numpy(), *[np.asarray(t.grad) for t in tensors]]

    for a, b in zip(gradients(jitted(f)), gradients(mg.jit(f)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("quick_kernels")
def test_float64_stays_float64():
    arrays = [x.astype(np.float64) for x in operands(0, 3, 2, 3, 4)]
    for a, b in zip(results(jitted(layer(mg.matmul)), arrays), results(mg.jit(layer(mg.matmul)), arrays)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("quick_kernels")
def test_a_product_of_float64_among_those_of_float32_is_not_rounded():
    def f(h, w, u):
        def step(h, _):
            return mg.tanh(h @ w), (h.astype("float64") @ u).sum()

        return mg.scan(step, h, mg.zeros(3))[1]

    rng = np.random.default_rng(0)
    h, w = [rng.standard_normal(shape).astype(np.float32) for shape in [(2, 4), (4, 4)]]
    u = rng.standard_normal((4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Python is called for one of them
        found, wanted = [g(*map(mg.tensor, (h, w, u))).numpy() for g in (jitted(f), mg.jit(f))]
    assert found.dtype == wanted.dtype == np.float64
    assert found[0] == wanted[0] and (found[1:] != wanted[1:]).all()  # h is rounded only from then on


@pytest.mark.usefixtures("quick_kernels")
def test_a_derivative_has_the_precision_of_its_function():
    def f(x, w):
        return mg.tanh(x @ w).sum()

    x, w = [mg.tensor(a) for a in operands(1, 2, 3, 4, 4)[1:3]]
    for transformed in (mg.grad, mg.hessian):
        found, same, other = [
            np.concatenate([g.numpy().ravel() for g in mg.tree.flatten(transformed(g)(x, w))[0]])
            for g in (jitted(f), mg.jit(f), f)
        ]
        assert np.abs(same - other).max() < 1e-5 < np.abs(found - other).max() < 0.1


@pytest.mark.usefixtures("quick_kernels")
def test_a_part_of_another_program_cannot_have_its_own_precision():
    inner = jitted(lambda x: x @ x)
    x = mg.tensor(np.float32([[1.001, 2], [3, 4]]), requires_grad=True)
    with pytest.raises(RuntimeError, match="precision='bfloat16' is called in a function that was not"):
        mg.jit(lambda x: inner(x) + 1)(x)
    y = inner(x)
    np.testing.assert_array_equal(jitted(lambda x: inner(x))(x).numpy(), y.numpy())
    plain = mg.jit(lambda x: x @ x)
    np.testing.assert_array_equal(jitted(lambda x: plain(x))(x).numpy(), y.numpy())
    assert (plain(x).numpy() != y.numpy()).any()


@pytest.mark.usefixtures("quick_kernels")
def test_copies_of_a_module_keep_the_precision():
    x = mg.tensor(operands(0, 3, 2, 3, 4)[0])
    lstm = LSTM(3, 4)
    fast = jitted(lstm)
    y = fast(x)[0].numpy()
    assert (y != mg.jit(lstm)(x)[0].numpy()).any()
    for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert isinstance(other, nn.Module)
        np.testing.assert_array_equal(other(x)[0].numpy(), y)


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="got precision='float16', wanted 'bfloat16' or None"):
        mg.jit(lambda x: x, precision="float16")


@pytest.mark.usefixtures("quick_kernels")
def test_elsewhere_it_is_float32_with_a_warning(monkeypatch):
    a = mg.tensor(np.float32([[1.001, 2], [3, 4]]))
    monkeypatch.setattr(bfloat16, "host_shape", lambda: None)
    with pytest.warns(UserWarning, match="no AVX512-BF16; products are computed in float32") as caught:
        f = jitted(lambda a: a @ a)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(f(a).numpy(), mg.jit(lambda a: a @ a)(a).numpy())


def test_what_is_made_of_products_is_printed():
    f = jitted(lambda x, w: mg.tanh(x @ w))
    arrays = [mg.tensor(x) for x in operands(0, 1, 2, 3, 4)[1:4:2]]
    assert "matmul_bfloat16(" in f.explain(arrays[0], arrays[1]).full()
