"""Sums along axes of a step are taken where their terms are computed."""

import itertools

import numpy as np
import pytest

import minigrad as mg

T, B = 4, 6
SHAPE = (B, 3, 5, 7)
AXES = [axes for n in (1, 2, 3) for axes in itertools.combinations((1, 2, 3), n)]


def layer(axes, keepdims=False):
    def step(h, x):
        z = mg.tanh(h * x)
        s = mg.sum(z * z, axis=axes, keepdims=True)
        y = mg.sum(z, axis=axes, keepdims=keepdims)
        return h * 0.5 + z / (1 + s), (y, s)

    return lambda xs, h: mg.scan(step, h, xs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", AXES)
def test_sums_along_any_axes(axes, dtype):
    rng = np.random.default_rng(0)
    xs = mg.tensor(rng.normal(size=(T, *SHAPE)).astype(dtype), requires_grad=True)
    h = mg.tensor(rng.normal(size=SHAPE).astype(dtype))
    fast = mg.jit(layer(axes))

    def results(f):
        xs.grad = None
        carry, (y, s) = f(xs, h)
        (mg.sum(carry * carry) + mg.sum(y * y) + mg.sum(s)).backward()
        return carry, y, s, xs.grad

    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for got, want in zip(results(fast), results(layer(axes)), strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=tolerance, atol=tolerance)
    forward = fast.explain(xs, h).loops[0]
    assert not any(task.startswith("sum over") for task in forward.tasks)
    assert any("2 summed" in task for task in forward.tasks)


def test_what_only_a_sum_reads_is_not_written():
    def step(h, x):
        return h, mg.sum(h * x, axis=-1)

    fast = mg.jit(lambda xs, h: mg.scan(step, h, xs)[1])
    report = fast.explain(mg.zeros((T, B, 9)), mg.zeros((B, 9)))
    assert any("1 ops (mul), 0 written, 1 summed" in task for task in report.loops[0].tasks)


def test_memory_is_written_before_it_is_read(quick_kernels):
    for axes in AXES:
        xs, h = mg.tensor(np.ones((2, 4, 2, 2, 2))), mg.tensor(np.ones((4, 2, 2, 2)))
        (got, of_got), (wanted, of_wanted) = mg.jit(layer(axes, True))(xs, h), layer(axes, True)(xs, h)
        for a, b in zip((got, *of_got), (wanted, *of_wanted), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
