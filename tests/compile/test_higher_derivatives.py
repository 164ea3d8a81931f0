"""Derivatives of jitted functions run compiled, to any order, and are those of the function."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.compile.compiled import Compiled


def draw(seed, *shape, grad=False):
    return mg.tensor(np.random.default_rng(seed).uniform(-1, 1, shape), requires_grad=grad)


def recurrent(w, x):
    """Two results, of which the first is not linear in the states, and the second one is."""

    def step(h, x):
        h = mg.tanh(h @ w + x)
        return h, h * h

    h, ys = mg.scan(step, mg.zeros_like(x[0]), x)
    return mg.exp(h), ys


def functional(*results):
    return sum(((mg.sin(r * (k + 1)) * r).sum() for k, r in enumerate(results)), mg.tensor(0.0, dtype="float64"))


def gradient_of_order(f, order):
    """From arguments to the gradients of this order, each of a functional of those before."""
    for _ in range(order):
        f = mg.grad(lambda *args, f=f: functional(*(lambda r: r if isinstance(r, tuple) else (r,))(f(*args))), (0, 1))
    return f


def close(a, b):
    for one, other in zip(mg.tree.flatten(a)[0], mg.tree.flatten(b)[0], strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-9, atol=1e-10)


@pytest.fixture
def uncompiled(monkeypatch):
    """Refuses that a jitted function runs f itself when it is differentiated."""

    def refuse(*_):
        raise AssertionError("a derivative ran uncompiled")

    monkeypatch.setattr("minigrad.compile.call.Call.pull_uncompiled", refuse)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_gradients_of_every_order_run_compiled(uncompiled, order):
    args = draw(1, 3, 3), draw(2, 4, 2, 3)
    close(gradient_of_order(mg.jit(recurrent), order)(*args), gradient_of_order(recurrent, order)(*args))


def test_what_is_closed_over_gets_gradients_of_the_second_order(uncompiled):
    w, x = draw(3, 3, 3, grad=True), draw(4, 5, 2, 3, grad=True)
    found = []
    for f in (lambda x: recurrent(w, x), mg.jit(lambda x: recurrent(w, x))):
        w.grad = x.grad = None
        functional(*f(x)).backward(create_graph=True)
        first = w.grad, x.grad
        w.grad = x.grad = None
        functional(*first).backward()
        found.append([*first, w.grad, x.grad])
    close(*found)


@pytest.mark.parametrize("used", [0, 1])
def test_what_is_not_used_sends_nothing_to_the_second_order(uncompiled, used):
    """An infinite derivative of a result that nobody uses reaches nothing."""

    def f(x):
        return (mg.sqrt(x), x * x * x)[used], (x * x * x, mg.sqrt(x))[used]

    x = mg.tensor([0.0, 1.0], dtype="float64")
    for g in (f, mg.jit(f)):
        gradient = mg.grad(lambda x, g=g: mg.grad(lambda x: g(x)[1 - used].sum())(x).sum())(x)
        np.testing.assert_allclose(gradient.numpy(), 6 * x.numpy())


def test_derivatives_are_traced_once_for_each_kind_of_arguments():
    jitted = mg.jit(recurrent)
    second = gradient_of_order(jitted, 2)
    for seed in range(3):
        second(draw(seed, 3, 3), draw(seed + 9, 4, 2, 3))
    assert jitted.traces == jitted.derivatives.backward.traces == 1
    for length in range(5, 9):
        args = draw(length, 3, 3), draw(length + 9, length, 2, 3)
        close(second(*args), gradient_of_order(recurrent, 2)(*args))
    assert jitted.traces == jitted.derivatives.backward.traces == 2  # the second one for all lengths


def test_a_second_derivative_draws_what_the_call_has_drawn(uncompiled):
    generator = np.random.default_rng(0)

    def f(x):
        return (mg.random.normal((3,), generator=generator) * x * x * x).sum()

    found, x = [], draw(7, 3, grad=True)
    for g in (f, mg.jit(f)):
        generator.bit_generator.state = np.random.default_rng(5).bit_generator.state
        (first,) = mg.vjp(g, x)[1](mg.tensor(1.0, dtype="float64"))
        x.grad = None
        first.sum().backward()
        found.append([first, x.grad, generator.normal()])
        np.testing.assert_allclose((first * 2).detach().numpy(), (x.grad * x).detach().numpy())
    close(found[0][:2], found[1][:2])
    assert found[0][2] == found[1][2]


@pytest.mark.parametrize("order", [2, 3])
def test_a_loop_over_time_with_vmap_in_its_step(order):
    """The step's own backward is recorded in the loop that is its backward."""

    def f(x, y):
        h, ys = mg.scan(lambda h, s: (mg.vmap(lambda e, v: mg.sin(e * v) * s)(h, y), h), x, y)
        return h * ys.sum(axis=0)

    args = draw(8, 3), draw(9, 3)
    close(gradient_of_order(mg.jit(f), order)(*args), gradient_of_order(f, order)(*args))


def loss(w, x):
    h, ys = recurrent(w, x)
    return (h * h).sum() + ys.mean()


transforms = {
    "hvp": lambda f: lambda w, x: mg.hvp(f, (w, x), (w * 2, None)),
    "jvp": lambda f: lambda w, x: mg.jvp(f, (w, x), (None, x * x)),
    "jacobian": lambda f: lambda w, x: mg.jacobian(lambda w, x: f(w, x) * w[0])(w, x),
    "jacobian of it": lambda f: lambda w, x: mg.jacobian(f, (1, 0))(w, x),
    "hessian": lambda f: lambda w, x: mg.hessian(f)(w, x),
    "grad of grad": lambda f: mg.grad(lambda w, x: (mg.grad(f)(w, x) ** 3).sum(), (0, 1)),
    "jacobian of grad": lambda f: mg.jacobian(mg.grad(f), 1),
    "jvp of grad": lambda f: lambda w, x: mg.jvp(mg.value_and_grad(f, 1), (w, x), (w, x)),
    "vmap": lambda f: mg.vmap(f, in_axes=(None, 1)),
    "vmap of grad": lambda f: mg.vmap(mg.grad(f, (0, 1)), in_axes=(None, 1)),
    "vmap of hessian": lambda f: mg.vmap(mg.hessian(f), in_axes=(None, 1), out_axes=-1),
    "grad of vmap": lambda f: mg.grad(lambda w, x: (mg.vmap(f, in_axes=(None, 1))(w, x) ** 2).sum(), (0, 1)),
}


@pytest.mark.parametrize("name", transforms)
def test_a_transform_of_a_jitted_function_is_that_of_the_function(uncompiled, name):
    jitted = mg.jit(loss)
    for length in (3, 3, 4, 5):
        args = draw(1, 2, 2), draw(2, length, 2, 2)
        close(transforms[name](jitted)(*args), transforms[name](loss)(*args))


@pytest.mark.parametrize("name", transforms)
def test_it_is_compiled_once_however_often_it_is_asked_for(name, monkeypatch):
    made, args = [], (draw(1, 2, 2), draw(2, 3, 2, 2))
    init = Compiled.__init__
    monkeypatch.setattr(
        Compiled, "__init__", lambda self, *given, **more: (made.append(1), init(self, *given, **more))[1]
    )
    jitted = mg.jit(loss)
    transforms[name](jitted)(*args)
    before = len(made)
    for seed in range(3):
        transforms[name](jitted)(draw(seed, 2, 2), draw(seed, 3, 2, 2))
    assert len(made) == before <= 4


def test_what_is_given_to_a_transform_of_a_jitted_function_may_be_numbers_and_arrays():
    f = mg.jit(lambda x, scale: mg.sin(x) * x * scale)
    for scale in (2.0, 3.0):
        g = mg.jit(lambda x, scale=scale: f(x, scale))
        assert mg.jvp(g, (1.0,), (0.5,))[1].item() == pytest.approx(scale * 0.5 * (np.sin(1) + np.cos(1)), rel=1e-6)
        row = np.array([1.0, 2.0])
        wanted = scale * np.diag(np.sin(row) + row * np.cos(row))
        np.testing.assert_allclose(mg.jacobian(f)(row, scale).numpy(), wanted)
        np.testing.assert_allclose(mg.jacobian(f)(mg.tensor(row), scale=scale).numpy(), wanted)


def test_transforms_of_a_jitted_module():
    layer = mg.nn.Linear(3, 2)
    jitted = mg.jit(layer)
    x = mg.tensor(np.ones((4, 3), "f4"))
    np.testing.assert_allclose(mg.vmap(jitted)(x).detach().numpy(), layer(x).detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(mg.jacobian(jitted)(x[0]).detach().numpy(), layer.weight.detach().numpy(), rtol=1e-6)
    mg.jacobian(jitted)(x[0]).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), np.ones((2, 3)))


def test_the_rows_of_a_jacobian_are_one_part_of_a_program():
    stages = mg.jit(mg.jacobian(lambda v: recurrent(draw(1, 3, 3), draw(2, 4, 2, 3) * v)[0])).explain(draw(3, 3)).loops
    assert len(stages) <= 3
