"""What draws random numbers draws the same ones jitted."""

import numpy as np
import pytest
from programs import B, H, T, draw, results_and_gradients

import minigrad as mg
from minigrad import nn
from minigrad.models import GRU

pytestmark = pytest.mark.usefixtures("quick_kernels")


def drawn_alike(make, *args, wanted=()):
    """make(generator) -> a function; jitted it draws what it draws eagerly, call after call, and leaves the generator
    where it would be."""
    eager, jitted = [np.random.default_rng(7) for _ in range(2)]
    f, g = make(eager), mg.jit(make(jitted))
    for _ in range(3):
        a, b = [results_and_gradients(h, wanted, *args) for h in (f, g)]
        for x, y in zip(a[0] + a[1], b[0] + b[1], strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)
        assert eager.bit_generator.state == jitted.bit_generator.state
    assert g.traces == 1


def test_dropout_draws_what_it_draws_eagerly():
    x = draw(0, 4, 5)
    drawn_alike(lambda g: lambda x: mg.dropout(x, 0.5, g) * x, x, wanted=[x])
    drawn_alike(lambda g: lambda x: mg.dropout(mg.dropout(x, 0.5, g), 0.3, g), x, wanted=[x])
    drawn_alike(lambda g: lambda x: (mg.dropout(x, 0.5, g), x)[1], x, wanted=[x])  # drawn and not used


@pytest.mark.parametrize("reverse", [False, True])
def test_draws_in_a_loop(reverse):
    h, xs = draw(0, B, H), draw(1, T, B, H)

    def make(step):
        return lambda g: lambda h, xs: mg.scan(lambda h, x: step(g, h, x), h, xs, reverse=reverse)

    drawn_alike(make(lambda g, h, x: (mg.tanh(mg.dropout(h, 0.5, g) + x), h)), h, xs, wanted=[h, xs])
    drawn_alike(
        make(lambda g, h, x: ((h := mg.tanh(mg.dropout(h, 0.5, g) + mg.dropout(x, 0.2, g))), mg.dropout(h, 0.1, g))),
        h, xs, wanted=[h, xs],
    )  # fmt: skip
    drawn_alike(make(lambda g, h, x: (h + x, (mg.dropout(x, 0.5, g), None)[1])), h, xs, wanted=[h, xs])

    def before_and_after(g):
        def f(h, xs):
            h = mg.dropout(h, 0.5, g)
            h, ys = mg.scan(lambda h, x: (mg.dropout(h, 0.5, g) + x, h), h, mg.dropout(xs, 0.5, g), reverse=reverse)
            return mg.dropout(h, 0.5, g), ys

        return f

    drawn_alike(before_and_after, h, xs, wanted=[h, xs])

    def nested(g):
        def step(h, x):
            h, _ = mg.scan(lambda h, z: (mg.dropout(h, 0.5, g) + z, None), mg.dropout(h, 0.2, g), mg.stack([x, h]))
            return mg.dropout(h, 0.3, g), h

        return lambda h, xs: mg.scan(step, h, xs, reverse=reverse)

    drawn_alike(nested, h, xs, wanted=[h, xs])


def test_draws_with_a_checkpoint():
    h, xs = draw(0, B, H), draw(1, T, B, H)

    def make(g):
        step = mg.checkpoint(lambda h, x: mg.tanh(mg.dropout(h, 0.5, g) + x))
        return lambda h, xs: mg.scan(lambda h, x: ((h := step(h, x)), h), h, xs)

    drawn_alike(make, h, xs, wanted=[h, xs])

    def around(g):
        f = mg.jit(lambda h, xs: mg.scan(lambda h, x: ((h := mg.dropout(h, 0.5, g) + x), h), h, xs))
        return mg.checkpoint(lambda h, xs: f(h, xs))

    drawn_alike(around, h, xs, wanted=[h, xs])
    generator = np.random.default_rng(3)
    f = mg.checkpoint(mg.jit(lambda x: mg.dropout(x, 0.5, generator) * x))  # jit inside a checkpoint: repeated alike
    x = draw(2, 50)
    y = f(x)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(y.detach().numpy() == 0, 0, 4 * x.numpy()))


def test_second_derivatives_of_what_draws():
    """The second run, for the second derivative, must draw what the first one drew, and leave the generator alone."""
    generator = np.random.default_rng(3)
    f = mg.jit(lambda x: (mg.dropout(x, 0.5, generator) ** 2 * x).sum())
    x = draw(2, 50)
    y = f(x)
    state = generator.bit_generator.state
    y.backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.sum().backward()
    kept = first.detach().numpy() != 0  # of 4 x^3: 12 x^2, then 24 x
    np.testing.assert_allclose(first.detach().numpy(), np.where(kept, 12 * x.numpy() ** 2, 0))
    np.testing.assert_allclose(x.grad.numpy(), np.where(kept, 24 * x.numpy(), 0))
    assert generator.bit_generator.state == state
    x.grad = None


def test_a_seed_sets_what_is_drawn():
    layer = GRU(2, 3, num_layers=2, dropout=0.5)
    f = mg.jit(layer)
    x = draw(0, T, B, 2, dtype="float32")
    values = []
    for run in (f, layer, f):
        nn.manual_seed(5)
        values.append(run(x)[0].detach().numpy())
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(values[0], values[2])
    assert abs(f(x)[0].detach().numpy() - values[0]).max() > 1e-3
    layer.eval()
    np.testing.assert_array_equal(f(x)[0].detach().numpy(), f(x)[0].detach().numpy())


def test_two_generators():
    h, xs = draw(0, B, H), draw(1, T, B, H)
    pairs = [[np.random.default_rng(k) for k in (1, 2)] for _ in range(2)]

    def make(a, b):
        return lambda h, xs: mg.scan(lambda h, x: (mg.dropout(h, 0.5, a) + mg.dropout(x, 0.5, b), h), h, xs)

    f, g = make(*pairs[0]), mg.jit(make(*pairs[1]))
    for _ in range(2):
        for a, b in zip(results_and_gradients(f, [h, xs], h, xs), results_and_gradients(g, [h, xs], h, xs)):
            for x, y in zip(a, b):
                np.testing.assert_allclose(x, y, rtol=1e-10)
    assert [g.bit_generator.state for g in pairs[0]] == [g.bit_generator.state for g in pairs[1]]


def test_what_a_checkpoint_draws_is_drawn_once():
    x = draw(0, 40)

    def make(generator):
        return lambda x: mg.checkpoint(lambda x: mg.sin(mg.dropout(x, p=0.5, generator=generator)))(x)

    drawn_alike(make, x, wanted=[x])
