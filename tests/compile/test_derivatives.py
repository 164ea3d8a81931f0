"""Derivatives of any order, through jitted functions and inside them."""

import numpy as np
import pytest
from programs import B, H, T, draw, looped, same

import minigrad as mg
from minigrad import nn
from minigrad.models import GRU, LSTM, RNN
from minigrad.testing import gradcheck

pytestmark = pytest.mark.usefixtures("quick_kernels")


def recurrent_loss(x, layer=None):
    return (layer(x)[0] ** 2).sum()


def test_second_derivatives_through_a_jitted_function():
    f = mg.jit(lambda x: (mg.sin(x) * x).sum() + looped(x, mg.stack([x, x * x]))[1].sum())
    x = draw(0, 3)

    def eagerly(g):
        with mg.disable_jit():
            return g()

    for g in (
        lambda: mg.hessian(f)(x),
        lambda: mg.grad(lambda x: (mg.grad(f)(x) ** 2).sum())(x),
        lambda: mg.grad(mg.grad(mg.grad(lambda a: f(a * x))))(mg.tensor(0.5, dtype="float64")),
        lambda: mg.hvp(f, (x,), (mg.tensor(np.arange(3.0)),))[0],
        lambda: mg.jvp(f, (x,), (mg.tensor(np.arange(3.0)),))[1],
        lambda: mg.jacobian(mg.jit(lambda x: looped(x, mg.stack([x, x]))[1]))(x),
    ):
        np.testing.assert_allclose(g().detach().numpy(), eagerly(g).detach().numpy(), rtol=1e-9, atol=1e-12)


def test_create_graph():
    layer = LSTM(2, 3, generator=np.random.default_rng(0)).astype("float64")
    jitted = mg.jit(layer)

    def penalty(f):
        layer.zero_grad()
        x = draw(0, T, B, 2)
        f(x)[0].sum().backward(create_graph=True)
        penalty = (x.grad**2).sum()
        layer.zero_grad()
        penalty.backward()
        gradients = [p.grad.numpy() for p in layer.parameters()]
        layer.zero_grad()
        x.grad = None
        return gradients

    for a, b in zip(penalty(jitted), penalty(layer)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layer", [LSTM, GRU, RNN])
def test_gradcheck_to_second_order(layer):
    layer = layer(1, 2, generator=np.random.default_rng(0))

    class Jitted(nn.Module):
        def __init__(self):
            self.layer = layer
            self.f = mg.jit(layer)

        def forward(self, x):
            return self.f(x)

    assert gradcheck(Jitted(), (np.random.default_rng(1).normal(size=(2, 1, 1)),), second_order=True)


def test_a_parameter_is_a_result_and_differentiated_twice():
    w, x = draw(0, 3), draw(1, 3)
    f = mg.jit(lambda x: (x * w, w, x))

    def twice():
        _, b, c = f(x)
        (g,) = mg.vjp(lambda x: (f(x)[0] * b * c * c).sum(), x)[1](mg.tensor(1.0, dtype="float64"))
        w.grad = x.grad = None
        (g**2).sum().backward()
        return [w.grad.numpy(), x.grad.numpy()]

    got = twice()
    with mg.disable_jit():
        wanted = twice()
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_transforms_inside():
    w = draw(0, 3)

    def f(x):
        return (mg.sin(x) * w).sum() + looped(x, mg.stack([x, w]))[1].sum()

    x = draw(1, 3)
    u = mg.tensor(np.arange(3.0))
    for g in (
        mg.grad(f),
        mg.value_and_grad(f),
        mg.hessian(f),
        lambda x: mg.grad(lambda x: (mg.grad(f)(x) ** 2).sum())(x),
        lambda x: mg.jvp(f, (x,), (u,)),
        lambda x: mg.vjp(mg.sin, x)[1](u),
        lambda x: mg.hvp(f, (x,), (u,)),
        lambda x: mg.jacobian(lambda x: mg.sin(x) * x.sum())(x),
    ):
        same(g, [x, w], x)
    got = mg.jit(mg.value_and_grad(lambda x: (f(x), {"aux": x * 2, "n": 3}), has_aux=True))(x)
    assert got[0][1]["n"] == 3
    np.testing.assert_allclose(got[0][1]["aux"].detach().numpy(), 2 * x.numpy())


def test_transforms_inside_a_loop():
    """Of values of the step, of what the loop closes over, of numbers made on the way."""
    w, h, xs = draw(0, 3), draw(1, 3), draw(2, T, 3)
    u = mg.tensor(np.arange(3.0))

    def energy(h, x):
        return (mg.sin(h) * w * x).sum()

    def of_a_scan(h, xs):
        return (mg.scan(lambda g, z: (mg.sin(g) * z * w, g), h, xs)[1] ** 2).sum()

    for step in (
        lambda h, x: mg.grad(energy)(h, x) * 0.3 + x,
        lambda h, x: mg.grad(energy, argnums=1)(h, x) * 0.3,
        lambda h, x: mg.tanh(mg.jvp(mg.sin, (h,), (u,))[1] + x),
        lambda h, x: mg.tanh(mg.grad(lambda w: (mg.sin(w) * h * x).sum())(w)),
        lambda h, x: mg.tanh(mg.grad(lambda u: (mg.sin(u) * h * x).sum())(u) + h),
        lambda h, x: mg.tanh(mg.hvp(lambda h: energy(h, x * h), (h,), (x,))[0]),
        lambda h, x: mg.grad(lambda h: of_a_scan(h, xs))(h) * 0.1 + x,
        lambda h, x: mg.tanh(mg.grad(lambda z: of_a_scan(h, z))(xs)[1]),
    ):  # fmt: skip
        same(lambda h, xs: mg.scan(lambda h, x: (step(h, x), h * x), h, xs), [w, h, xs], h, xs)


def test_per_sample_gradients_of_a_recurrent_layer():
    """Each way: jit in the loop over the samples, the loop in jit, a gradient in jit."""
    layer = LSTM(2, 3, generator=np.random.default_rng(0)).astype("float64")
    xs = draw(0, B, T, 2, grad=False)
    names = [name for name, _ in layer.named_parameters()]
    by_hand = []
    for x in xs:
        layer.zero_grad()
        recurrent_loss(x, layer).backward()
        by_hand.append([p.grad.numpy() for p in layer.parameters()])
    layer.zero_grad()

    def loss(weights, x):
        w_ih, w_hh, b_ih, b_hh = weights

        def step(state, x):
            h, c = state
            i, f, g, o = mg.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, axis=-1)
            c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
            h = mg.sigmoid(o) * mg.tanh(c)
            return (h, c), h

        zero = mg.tensor(np.zeros(3))
        return (mg.scan(step, (zero, zero), x)[1] ** 2).sum()

    weights = [dict(layer.named_parameters())[name].detach() for name in names]
    one = mg.jit(mg.grad(loss))
    jitted_loss = mg.jit(loss)
    ways = [
        lambda: [one(weights, x) for x in xs],
        lambda: [mg.grad(jitted_loss)(weights, x) for x in xs],
        lambda: mg.jit(lambda weights, xs: [mg.grad(loss)(weights, x) for x in xs])(weights, xs),
    ]
    for way in ways:
        for got, wanted in zip(way(), by_hand, strict=True):
            for a, b in zip(got, wanted, strict=True):
                np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-12)
    assert one.traces == 1
    jitted = mg.jit(layer)
    for x, wanted in zip(xs, by_hand):
        layer.zero_grad()
        (jitted(x)[0] ** 2).sum().backward()
        for p, b in zip(layer.parameters(), wanted):
            np.testing.assert_allclose(p.grad.numpy(), b, rtol=1e-9, atol=1e-12)


def test_a_training_step_in_one():
    """jit(value_and_grad) over parameters given as arguments, and an update of them outside."""
    weights = {"w": draw(0, H, H, grad=False), "b": draw(1, H, grad=False)}
    xs = draw(2, T, B, H, grad=False)

    def loss(weights, xs):
        h, ys = mg.scan(lambda h, x: ((h := mg.tanh(x + h @ weights["w"] + weights["b"])), h), xs[0] * 0, xs)
        return (ys**2).mean() + h.sum()

    both = mg.jit(mg.value_and_grad(loss))
    for _ in range(3):
        value, gradient = both(weights, xs)
        with mg.disable_jit():
            wanted, wanted_gradient = both(weights, xs)
        np.testing.assert_allclose(value.item(), wanted.item(), rtol=1e-12)
        for name in weights:
            np.testing.assert_allclose(gradient[name].numpy(), wanted_gradient[name].numpy(), rtol=1e-9, atol=1e-12)
        weights = mg.tree.map(lambda w, g: w - 0.1 * g, weights, gradient)
    assert both.traces == 1


def test_custom_vjp_inside():
    @mg.custom_vjp
    def clipped(x, y):
        return x * y

    clipped.defvjp(lambda x, y: (x * y, (x, y)), lambda kept, g: (mg.clip(g * kept[1], -0.1, 0.1), None))
    x, y, xs = draw(0, 3), draw(1, 3), draw(2, T, 3)
    same(lambda x, y: clipped(x, y) * 2.0, [x, y], x, y)
    same(lambda h, xs: mg.scan(lambda h, x: (clipped(mg.sin(h), x), h), h, xs), [x, xs], x, xs)
    x0 = draw(0, 3)
    same(lambda x: mg.grad(lambda x: (clipped(x, y) ** 2).sum())(x), [x0], x0)
    w = draw(3, 3)
    same(lambda x: clipped(w, x) * 2.0, [w, y], y)  # of what it closes over
    same(lambda h, xs: mg.scan(lambda h, x: (clipped(w, mg.sin(h)) + x, h), h, xs), [w, x, xs], x, xs)


def test_checkpoint_inside():
    w = draw(0, 3, 3)
    f = mg.checkpoint(lambda h, x: mg.tanh(h @ w + x))
    h, xs = draw(1, B, 3), draw(2, T, B, 3)
    same(lambda h, x: f(f(h, x), x), [w, h], h, xs[0].detach())
    same(lambda h, xs: mg.scan(lambda h, x: ((h := f(h, x)), h), h, xs), [w, h, xs], h, xs)
    same(mg.checkpoint(lambda h, xs: mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x)), h), h, xs)), [w, h, xs], h, xs)
    jitted = mg.jit(lambda h, xs: mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x)), h), h, xs))
    same(mg.checkpoint(jitted), [w, h, xs], h, xs)  # and jit inside of one


@pytest.mark.parametrize("every", [1, 2, 3, 7, 50])
def test_checkpoints_every_few_steps(every):
    layer = LSTM(2, 3, num_layers=2, bidirectional=True).astype("float64")
    x = draw(0, 7, B, 2)
    same(mg.jit(layer, checkpoint=every), [x, *layer.parameters()], x)
    same(mg.jit(lambda x: layer(x, lengths=[7, 0, 2]), checkpoint=every), [x, *layer.parameters()], x)


def test_gradients_that_are_stopped():
    w, x = draw(0, 3), draw(1, 3)

    def inside(x):
        with mg.no_grad():
            a = mg.sin(x * w)
        with mg.enable_grad():
            b = mg.cos(x)
        return a * x + b * w.detach() + mg.stop_gradient(x * w) * x + mg.straight_through(mg.round(x), x)

    same(inside, [w, x], x)
    xs = draw(2, T, 3)
    same(lambda h, xs: mg.scan(lambda h, x: ((h := inside(h) * 0.3 + x.detach()), h), h, xs), [w, x, xs], x, xs)
    same(lambda h, xs: mg.scan(lambda h, x: (mg.stop_gradient(h) * 0.3 + x, h * h), h, xs), [x, xs], x, xs)
    f = mg.jit(lambda x: mg.no_grad()(mg.sin)(x))
    assert not f(x).requires_grad
    with mg.no_grad():
        assert not mg.jit(inside)(x).requires_grad
        g = mg.jit(mg.enable_grad()(lambda x: mg.sin(x)))
        assert g(x).requires_grad
    same(g, [x], x)


def test_enable_grad_inside_of_no_grad():
    w, x = draw(0, 3), draw(1, 3)

    def f(x):
        with mg.enable_grad():
            y = mg.sin(x) * w
        return y, x * w, x

    def gradients(f):
        x.grad = w.grad = None
        with mg.no_grad():
            y, z, same = f(x)
        assert y.requires_grad and not z.requires_grad and same.requires_grad
        (g,) = mg.vjp(lambda x: mg.no_grad()(f)(x)[0].sum(), x)[1](mg.tensor(1.0, dtype="float64"))
        (y.sum() + (g**2).sum()).backward()
        return [x.grad.numpy(), w.grad.numpy()]

    for got, wanted in zip(gradients(mg.jit(f)), gradients(f)):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("change", ["captured", "argument", "closure", "array"])
def test_second_derivatives_after_a_change(change):
    """They run the function again, and it would not be what it was; the first order needs the result alone."""
    w, k, a = draw(0, 3), [2.0], np.ones(3)
    hidden = draw(1, 3) * 1.0
    y = mg.jit(lambda x: mg.tanh(x + w) * k[0] * a)(hidden).sum()
    y.backward(retain_graph=True, create_graph=True)
    if change == "closure":
        k[0] = 100.0
    elif change == "array":
        a[:] = 100.0
    else:
        with mg.no_grad():
            (w if change == "captured" else hidden).copy_(np.zeros(3))
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="backward of jit of .*was changed after the call"):
        y.backward(create_graph=True)


def test_arrays_written_into_before_the_backward():
    """As in eager code, gradients are those of the values that the call saw."""
    a = np.ones(3)
    for f, args in (
        (lambda x: mg.sin(x * a), ()),
        (lambda x: x * mg.tensor(a), ()),
        (lambda x, a: mg.sin(x * a), (a,)),
    ):
        x, f = draw(0, 3), mg.jit(f)
        for k in range(2):
            x.grad = None
            a[:] = k + 1.0
            y = f(x, *args).sum()
            with mg.disable_jit():
                (wanted,) = mg.vjp(lambda x: f(x, *args).sum(), x)[1](mg.tensor(1.0, dtype="float64"))
            a[:] = 0.0
            y.backward()
            np.testing.assert_allclose(x.grad.numpy(), wanted.numpy())


def test_under_no_grad_and_then_with_it():
    layer = GRU(2, 3).astype("float64")
    f = mg.jit(layer)
    x = draw(0, T, B, 2)
    with mg.no_grad():
        y = f(x)[0]
        assert not y.requires_grad
    same(f, [x, *layer.parameters()], x)
    np.testing.assert_allclose(f(x)[0].detach().numpy(), y.numpy(), rtol=1e-12)


def test_hooks():
    seen = []
    w, x = draw(0, 3), draw(1, 3)
    remove = w.register_hook(lambda g: seen.append(g.numpy().copy()) or g * 2)
    f = mg.jit(lambda x: mg.sin(x * w))
    f(x).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * x.numpy() * np.cos(x.numpy() * w.numpy()))
    assert len(seen) == 1
    remove()
    y = f(x)
    y.register_hook(lambda g: g * 3)  # on a result
    x.grad = None
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * w.numpy() * np.cos(x.numpy() * w.numpy()))

    def inside(x):
        y = x * w
        y.register_hook(lambda g: mg.clip(g, -0.1, 0.1))
        return mg.sin(y)

    same(inside, [x, w], x)

    def in_a_loop(h, xs):
        def step(h, x):
            h = mg.sin(h + x)
            h.register_hook(lambda g: mg.clip(g, -0.5, 0.5))
            return h, h * w

        return mg.scan(step, h, xs)

    xs = draw(2, T, 3)
    same(in_a_loop, [x, xs, w], x, xs)


@pytest.mark.parametrize("wrap", [mg.checkpoint, lambda f: mg.jit(lambda x: mg.checkpoint(f)(x)),
                                  lambda f: mg.checkpoint(lambda x: mg.checkpoint(f)(x))])  # fmt: skip
def test_parameters_of_a_jitted_function_in_a_checkpoint_keep_their_gradients_with_create_graph(wrap):
    w, x = draw(0, H, H), draw(1, B, H)
    first = {}
    for name, f in (("eager", lambda x: mg.tanh(x @ w)), ("jitted", mg.jit(lambda x: mg.tanh(x @ w)))):
        w.grad = x.grad = None
        wrap(f)(x).sum().backward(create_graph=True)
        first[name], penalty = [w.grad.detach().numpy(), x.grad.detach().numpy()], (w.grad**2).sum() + (x.grad**2).sum()
        w.grad = x.grad = None
        penalty.backward()
        first[name] += [w.grad.numpy(), x.grad.numpy()]
        w.grad = x.grad = None
    for got, wanted in zip(first["jitted"], first["eager"]):
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)
