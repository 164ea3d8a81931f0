"""Gradients that a compiled loop adds up over many steps, or many rows, are as exact as float32 is."""

import numpy as np
import pytest
from interpreter import interpreted

import minigrad as mg

EPS = float(np.finfo("float32").eps)


def gradients(step, shape, carry, dtype, seed=None):
    """Gradients of a weight, a bias and a scale that every step of a jitted loop uses."""
    draw = np.full(shape, 0.1) if seed is None else np.random.default_rng(seed).random(shape)
    xs = draw.astype("float32").astype(dtype)
    n = shape[-1]
    weight, bias, scale = [
        mg.tensor(np.full(s, 0.1, "float32").astype(dtype), requires_grad=True) for s in ((n, 3), (3,), ())
    ]
    start = mg.tensor(np.zeros(carry, dtype))

    def loss(weight, bias, scale):
        _, ys = mg.scan(lambda c, x: step(c, x, weight, bias, scale), start, xs)
        return ys.sum()

    mg.jit(loss)(weight, bias, scale).backward()
    return [p.grad.numpy() for p in (weight, bias, scale)]


def leaky(c, x, weight, bias, scale):
    c = c * 0.5 + (x @ weight + bias) * scale
    return c, c.sum(-1)


def by_outer_product(c, x, weight, bias, scale):
    """A weight that is used with the carry elementwise: its gradient is no product, and stays in the loop."""
    c = c * 0.5 + (x[:, :, None] * (weight + 0.01 * c[:, None, :])).sum(1) * scale + bias
    return c, c.sum(-1)


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("step", [leaky, by_outer_product])
@pytest.mark.parametrize("steps, rows", [(30_000, 1), (1_000, 37), (2, 20_000)])
def test_gradients_over_many_terms(step, steps, rows, seed):
    shape = (steps, rows, 2)
    narrow = gradients(step, shape, (rows, 3), "float32", seed)
    for found, exact in zip(narrow, gradients(step, shape, (rows, 3), "float64", seed)):
        assert np.abs(found - exact).max() < 16 * EPS * np.abs(exact).max()


def test_a_long_axis_within_a_step():
    """A sum and a standardisation of 200,000 elements, forward and backward."""

    def f(x, scale):
        def step(c, _):
            y = mg.standardize(x + c)
            return c + 0.1 * (scale * x).sum(-1, keepdims=True) / x.shape[-1], (y * x).sum(-1)

        c, ys = mg.scan(step, mg.tensor(np.zeros((2, 1), x.dtype)), None, length=2)
        return (c.sum() + ys.sum() / x.shape[-1]).sum()

    numbers = np.random.default_rng(0).random((2, 200_000), dtype="float32")
    results = {}
    for dtype in ("float32", "float64"):
        x = mg.tensor(numbers.astype(dtype))
        scale = mg.tensor(np.ones(200_000, dtype), requires_grad=True)
        total = mg.tensor(np.ones((), dtype), requires_grad=True)
        loss = mg.jit(lambda scale, total, x=x: f(x, scale * total))(scale, total)
        loss.backward()
        results[dtype] = loss.numpy(), total.grad.numpy()
    for found, exact in zip(results["float32"], results["float64"]):
        assert abs(found - exact) < 8 * EPS * abs(exact)


@pytest.mark.parametrize("step", [leaky, by_outer_product])
@pytest.mark.parametrize("steps, rows", [(70, 1), (2, 130)])
def test_sums_in_a_loop_read_what_was_written(step, steps, rows):
    """In memory that holds NaN before: totals are cleared, and what only a product of the step reads is stored."""
    shape, carry = (steps, rows, 2), (rows, 3)
    with interpreted():
        jitted = gradients(step, shape, carry, "float64", 0)
    with mg.disable_jit():
        eager = gradients(step, shape, carry, "float64", 0)
    for a, b in zip(jitted, eager):
        np.testing.assert_allclose(a, b, rtol=1e-10)
