"""cond, switch and while_loop in jitted functions give what eager code gives, with its gradients.

Eager code is plain Python on the tape (tests/test_control.py holds it against difference quotients).
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import T, draw, results_and_gradients

import minigrad as mg
from minigrad import nn
from minigrad.models import Recurrent
from minigrad.ops.table import table

pytestmark = pytest.mark.usefixtures("quick_kernels")
B, H = 3, 4
SIGNS = [np.full((B, H), s) for s in (0.7, -0.7)]


def same(f, wanted, *args, rtol=1e-10):
    """jit(f), which gives what f gives; zeros where eager code, which takes one branch, has no gradient."""
    jitted = f if hasattr(f, "explain") else mg.jit(f)
    with mg.disable_jit():
        values, gradients = results_and_gradients(f, wanted, *args)
    for _ in range(2):  # traced, then found
        got, pulled = results_and_gradients(jitted, wanted, *args)
        for a, b in zip(got + pulled, values + gradients, strict=True):
            b = np.zeros_like(a) if b is None else b
            assert a is None or (a.dtype == b.dtype and a.shape == b.shape)
            np.testing.assert_allclose(0.0 if a is None else a, b, rtol=rtol, atol=rtol)


def both(f, x, *others):
    """jit(f) is f for x of either sign, compiled once."""
    jitted = mg.jit(f)
    for sign in (1.0, -1.0):
        with mg.no_grad():
            x.copy_(np.abs(x.numpy()) * sign)
        same(jitted, [x, *others], x)
    assert jitted.traces == 1


def test_cond():
    x, w = draw(0, B, H), draw(1, H, H)

    def f(x):
        y, n = mg.cond(x.sum() > 0, lambda x: (mg.sqrt(x) @ w, 1), lambda x: (mg.tanh(x @ w), 2), x)
        return y, n, mg.cond(n, lambda x: x, lambda x: -x, x)

    both(f, x, w)


def test_a_branch_without_gradient_beside_one_with():
    x = draw(0, B, H)
    constant = mg.tensor(np.ones((B, H)))
    both(lambda x: mg.cond(x.sum() > 0, lambda x: x * x, lambda x: constant, x) + 0 * x, x)
    both(lambda x: mg.cond(x.sum() < 0, lambda x: x * x, lambda x: constant, x) + 0 * x, x)
    both(lambda x: mg.cond(x.sum() > 0, lambda x: x, lambda x: x, x), x)


def test_the_other_branch_sends_no_nan():
    x = draw(0, B, H)
    f = mg.jit(lambda x: mg.cond(x.sum() > 0, lambda x: mg.log(x), lambda x: mg.sqrt(-x) + 1 / x, x))
    for sign in (1.0, -1.0):
        x = mg.tensor(np.full((B, H), sign), requires_grad=True)
        f(x).sum().backward()
        assert np.isfinite(x.grad.numpy()).all()


def test_the_other_branch_is_not_computed(monkeypatch):
    calls = []
    op = table["cholesky"]
    forward = op.forward
    monkeypatch.setattr(op, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    f = mg.jit(lambda p, x: mg.cond(p, mg.cholesky, lambda x: x, x))
    bad = mg.tensor(-np.eye(3))
    np.testing.assert_array_equal(f(mg.tensor(False), bad).numpy(), bad.numpy())
    assert not calls
    with pytest.raises(np.linalg.LinAlgError):
        f(mg.tensor(True), bad)


@settings(max_examples=10)
@given(st.integers(1, 4), st.data())
def test_switch(count, data):
    x, w = draw(0, B, H), draw(1, H)
    pool = [
        lambda x: x * w,
        lambda x: mg.tanh(x) * 2,
        lambda x: mg.sin(x @ mg.eye(H, dtype="float64")),
        lambda x: x - w,
    ]
    f = mg.jit(lambda k, x: mg.switch(k, pool[:count], x))
    for k in (-2, 0, count - 1, count, data.draw(st.integers(0, 5))):
        same(f, [x, w], mg.tensor(k), x)
    assert f.traces == 1


@settings(max_examples=10)
@given(st.floats(0.1, 30), st.sampled_from([1, 2, 7]))
def test_while_loop(limit, bound):
    """It takes from 0 to `bound` steps, as many as eager code."""
    x, w = draw(0, B, H), draw(1, H, H)

    def f(x):
        def body(c):
            h, n = c
            return 1.5 * h + mg.tanh(h @ w) * 0.1, n + 1

        return mg.while_loop(lambda c: mg.abs(c[0]).sum() < limit, body, (x, 0), bound=bound)

    same(f, [x, w], x)


def newton(a, bound=None):
    """The square root."""
    return mg.while_loop(lambda x: mg.abs(x * x - a).max() > 1e-9, lambda x: 0.5 * (x + a / x), a, bound=bound)


def test_while_loop_without_a_bound():
    a = mg.tensor(np.array([2.0, 9.0, 0.3]))
    np.testing.assert_allclose(mg.jit(newton)(a).numpy(), np.sqrt(a.numpy()), rtol=1e-12)
    a.requires_grad_()
    y = mg.jit(newton)(a)
    with pytest.raises(RuntimeError, match=r"while_loop.*bound=") as error:
        y.sum().backward()
    assert "test_cond.py" in str(error.value)
    y = mg.jit(lambda a: (newton(a), a * 2))(a)[1]  # what is not used raises nothing
    y.sum().backward()
    assert a.grad.tolist() == [2, 2, 2]


def test_forward_mode_needs_no_bound():
    a, w, v = draw(0, 3), draw(1, 3), draw(2, 3, grad=False)

    def root(a, w):
        x, _ = mg.while_loop(lambda c: c[1] < 5 + w.sum() * 0, lambda c: (mg.sin(c[0] * w) + a, c[1] + 1), (a, 0))
        return x * w

    def in_a_scan(a, w):
        return mg.scan(lambda h, x: (root(h, w) * x, h), a, w)[0]

    for f in (root, in_a_scan, lambda a, w: mg.cond(a.sum() > -9, root, lambda a, w: a, a, w)):
        with mg.no_grad():
            wanted = mg.jvp(f, (a, w), (v, 2 * v))
            got = mg.jit(lambda a, w, f=f: mg.jvp(f, (a, w), (v, 2 * v)))(a, w)
        for x, y in zip(got, wanted):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-10)
    tangent = mg.jit(lambda a: mg.jvp(lambda a: root(a, w), (a,), (v,))[1])(a)
    with pytest.raises(RuntimeError, match="bound="):  # of a tangent there is no other derivative
        tangent.sum().backward()


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f, a, v: mg.grad(f)(a),
        lambda f, a, v: mg.hvp(f, (a,), (v,)),
        lambda f, a, v: mg.jvp(mg.grad(f), (a,), (v,)),
        lambda f, a, v: mg.jvp(lambda a: mg.jvp(f, (a,), (v,))[1], (a,), (v,)),
        lambda f, a, v: mg.hessian(f)(a),
    ],
    ids=["grad", "hvp", "jvp of grad", "jvp of jvp", "hessian"],
)
def test_what_a_loop_without_a_bound_has_no_derivative_of_is_refused_not_zero(derivative):
    a, v = draw(0, 3, grad=False), draw(2, 3, grad=False)

    def f(a):
        return mg.while_loop(lambda x: (x * x).sum() < 50, lambda x: mg.exp(x) * 1.5, a).sum()

    for way in (lambda: derivative(mg.jit(f), a, v), lambda: mg.jit(lambda a, v: derivative(f, a, v))(a, v)):
        with pytest.raises(RuntimeError, match="bound="):
            way()


def transforms(f):
    yield lambda x: mg.grad(lambda x: f(x).sum())(x)
    yield lambda x: mg.vjp(f, x)[1](x)[0]
    yield lambda x: mg.jvp(f, (x,), (x * 0.5,))
    yield lambda x: mg.jacobian(f)(x)
    yield lambda x: mg.hessian(lambda x: (f(x) * f(x)).sum())(x)
    yield lambda x: mg.checkpoint(f)(x)
    yield lambda x: mg.jit(f)(x)
    yield lambda x: mg.scan(lambda h, z: (f(h * z), h), x, mg.tensor(np.array([0.9, -0.4])))


def test_transforms():
    w = draw(1, 2)
    cases = [
        lambda x: mg.cond(x.sum() > 0, lambda x: mg.sin(x * w), lambda x: x * x * w, x),
        lambda x: mg.switch(mg.argmax(x * w), [lambda x: mg.sin(x * w), lambda x: x * x], x),
        lambda x: mg.while_loop(lambda c: c[1] < 2, lambda c: (mg.sin(c[0] * w) + c[0], c[1] + 1), (x, 0), bound=3)[0],
    ]
    for f in cases:
        for g in transforms(f):
            for values in ([0.4, 0.3], [-0.7, 0.2]):
                x = mg.tensor(np.array(values), requires_grad=True)
                same(g, [x, w], x)


def branching(w, t, h):
    """Either branch bends."""
    return mg.cond(h.sum() > t, lambda h: h * h * w, lambda h: mg.sin(h * w) + h, h)


def stopping(w, t, h):
    """Up to five steps of a map that bends."""
    step = lambda c: (c[0] * 1.4 + 0.1 * mg.sin(w * c[0]), c[1] + 1)  # noqa: E731
    return mg.while_loop(lambda c: c[0].sum() < 2 - t, step, (h, 0), bound=5)[0] * 0.3 * w


@pytest.mark.parametrize("every", [None, 2])
@pytest.mark.parametrize("inner", [branching, stopping])
def test_derivatives_up_to_the_third_order_in_a_loop_over_time(inner, every):
    """The backward of the backward of a loop with counted steps reads how many steps there were, too."""
    x, w = draw(0, 3), draw(1, 3)

    def f(x):
        h, ys = mg.scan(lambda h, t: (inner(w, t, h), h * t), x, mg.arange(3, dtype="float64"))
        return (h * h).sum() + ys.sum()

    second = lambda x: (mg.grad(f)(x) * w).sum()  # noqa: E731
    third = lambda x: (mg.grad(second)(x) * mg.cos(w)).sum()  # noqa: E731
    for g in (second, third):
        same(mg.jit(g, checkpoint=every), [x, w], x, rtol=1e-8)


def test_results_that_differ_are_named():
    def message(f, g, *operands):
        with pytest.raises(ValueError) as error:
            mg.jit(lambda p: mg.cond(p, f, g, *operands))(mg.tensor(True))
        return str(error.value)

    x = mg.tensor(np.ones(3))
    text = message(lambda x: {"a": x}, lambda x: {"a": x[:2]}, x)
    assert "cond: the result['a'] is float64[2] at" in text and "it is float64[3]" in text and "test_cond.py" in text
    assert "is int64[3] at" in message(lambda x: x, lambda x: x.astype("int64"), x)
    assert "wanted a tuple of 2, got one value (Tensor)" in message(lambda x: (x, x), lambda x: x, x)
    assert "is None at" in message(lambda x: [x], lambda x: [None], x)
    with pytest.raises(ValueError, match=r"p is bool\[3\].*mg.where"):
        mg.jit(lambda x: mg.cond(x > 0, lambda x: x, lambda x: -x, x))(x)
    with pytest.raises(ValueError, match=r"while_loop: the carry was float64\[3\] and became float64\[1\]"):
        mg.jit(lambda x: mg.while_loop(lambda x: x.sum() > 0, lambda x: x[:1], x))(x)


def test_random_numbers_of_a_step_that_perhaps_is_not_taken_are_refused():
    dropout = nn.Dropout(0.5)
    with pytest.raises(RuntimeError, match="random numbers are drawn in a step that perhaps is not taken"):
        mg.jit(lambda x: mg.cond(x.sum() > 0, dropout, lambda x: x, x))(mg.tensor(np.ones(3)))


def test_absent_cotangents_of_a_loop_that_ends_early():
    """The last value of b is not used: at the last step that is taken, not the last possible one, nothing goes through
    the square root of 0."""
    x = mg.tensor(np.array([0.5, 0.25]), requires_grad=True)

    def f(x):
        def body(c):
            a, b, n = c
            return a + b, mg.sqrt(mg.maximum(2.0 - n, 0.0)) * mg.sqrt(b * (2.0 - n)), n + 1

        return mg.while_loop(lambda c: c[2] < 3, body, (x, x * 2, 0), bound=6)[0]

    same(f, [x], x)
    assert np.isfinite(x.grad.numpy()).all()


class ACTCell(nn.Module):
    """Adaptive computation time (Graves 2016, arXiv:1603.08983): a step ponders until each row has decided to halt."""

    def __init__(self, input_size, hidden_size, most=5, epsilon=0.01, generator=None):
        self.input_size, self.hidden_size, self.most, self.epsilon = input_size, hidden_size, most, epsilon
        self.new = nn.Linear(input_size + 1 + hidden_size, hidden_size, generator=generator)
        self.halt = nn.Linear(hidden_size, 1, generator=generator)

    def forward(self, x, h):
        def ponder(c):
            s, mean, total, n = c
            first = mg.where(n == 0, 1.0, 0.0).astype(x.dtype) * mg.ones_like(total)
            s = mg.tanh(self.new(mg.concatenate([x, first, s], axis=-1)))
            p = mg.sigmoid(self.halt(s))
            running = (total < 1 - self.epsilon).astype(x.dtype)
            ends = mg.logical_or(total + p >= 1 - self.epsilon, n == self.most - 1)
            weight = mg.where(ends, 1 - total, p) * running
            return s, mean + weight * s, total + weight, n + 1

        zero = 0 * h[:, :1]
        _, mean, _, _ = mg.while_loop(
            lambda c: (c[2] < 1 - self.epsilon).any(), ponder, (h, 0 * h, zero, 0), bound=self.most
        )
        return mean


def test_adaptive_computation_time():
    layer = Recurrent(ACTCell, 2, 3, generator=np.random.default_rng(0)).astype("float64")
    x = draw(3, T, B, 2)
    same(layer, [x, *layer.parameters()], x, rtol=1e-9)


def test_early_stopping_in_a_loop_over_time():
    """A loop over time whose rest is skipped once the state has settled."""
    w, x = draw(0, H, H), draw(1, T, B, H)

    def f(x):
        def step(c, x):
            h, done = c
            new = mg.cond(done, lambda h: h, lambda h: mg.tanh(h @ w + x), h)
            return (new, mg.logical_or(done, mg.abs(new).sum() > 3)), new

        return mg.scan(step, (x[0], False), x)

    same(f, [x, w], x)
