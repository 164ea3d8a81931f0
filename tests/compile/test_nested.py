"""Loops in the step of a loop become a part of its kernel, forward and backward, to any depth."""

import numpy as np
import pytest
from interpreter import divided_batches
from programs import draw, same

import minigrad as mg
from minigrad import models
from minigrad.compile import partition, schedule

pytestmark = pytest.mark.usefixtures("quick_kernels")
T, B, H, L = 5, 4, 3, 3
W, U = draw(0, H, H), draw(1, H, H)
OUTSIDE = draw(2, L, B, H)


def repeated(h, x):
    """A step that repeats a part of itself."""
    return mg.scan(lambda s, _: (mg.tanh(s @ W + x), None), h, None, length=L)[0], h * 1.0


def over_its_own(h, x):
    """An inner loop over what the step has made, which gives something at each of its steps."""
    h, ys = mg.scan(lambda s, z: (mg.tanh(s @ W + z * x), s * 2), h, mg.stack([x, h, x * h]))
    return h, ys.sum(0) + ys[1] * ys[-1]


def over_what_is_outside(h, x):
    """An inner loop over a stack from outside, backwards, with a third loop in its step."""

    def inner(s, z):
        k, ks = mg.scan(lambda k, _: (mg.sin(k @ U + s), k), s * z, None, length=2)
        return mg.tanh(k @ W + x), ks * 0.5

    h, ks = mg.scan(inner, h, OUTSIDE, reverse=True)
    return h, mg.tanh(ks).sum(axis=(0, 1))


def with_products_of_its_stack(h, x):
    """Products with the stack that an inner loop gives: rows of several matrices."""
    h, ys = mg.scan(lambda s, z: (mg.tanh(s @ W + z), s), h, OUTSIDE)
    return h + x, mg.tanh(ys @ U).sum(0)


def with_a_sum_over_rows(h, x):
    """A bias whose gradient is a sum over rows and inner steps."""
    return mg.scan(lambda s, z: (mg.tanh(s + z * W[0]) + U[1] * x, None), h, OUTSIDE)[0], h


def stopping(h, x):
    """An inner loop that ends when its condition says so, before its bound."""
    h, n = mg.while_loop(
        lambda c: (c[0] * c[0]).sum() < 9, lambda c: (c[0] * 1.3 + x * U[0], c[1] + 1), (h, 0), bound=9
    )
    return mg.tanh(h), n


def branching(h, x):
    """Branches with loops in them, and loops with branches in them."""
    p = (h * x).sum() > 0

    def f(h):
        return mg.scan(lambda s, z: (mg.cond((s * z).sum() > 0, lambda s: s @ W, mg.sin, s), None), h, OUTSIDE)[0]

    return mg.cond(p, f, lambda h: mg.tanh(h @ U), h), p.astype("int64")


CELLS = {
    repeated: [W], over_its_own: [W], over_what_is_outside: [W, U, OUTSIDE], stopping: [U], branching: [W, U, OUTSIDE],
    with_products_of_its_stack: [W, U, OUTSIDE], with_a_sum_over_rows: [W, U, OUTSIDE],
}  # fmt: skip


def layer(step):
    return lambda h, xs: mg.scan(step, h, xs)


@pytest.mark.parametrize("step", CELLS)
def test_a_loop_in_a_loop(step):
    h, xs = draw(4, B, H), draw(5, T, B, H)
    loops = same(layer(step), [h, xs, *CELLS[step]], h, xs).explain(h, xs).loops
    assert len(loops) == 2
    for loop in loops:
        assert loop.source is not None, loop.why_not
        assert "call(python" not in loop.source, "Python is called for something"
        assert loop.divided == (step not in (stopping, branching))  # where all rows decide together


@pytest.mark.parametrize("step", [repeated, over_what_is_outside, stopping])
def test_a_loop_in_a_loop_as_machine_code(step, compiled):
    h, xs = draw(4, B, H), draw(5, T, B, H)
    with divided_batches():
        same(layer(step), [h, xs, *CELLS[step]], h, xs)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_with_checkpoints(every):
    h, xs = draw(4, B, H), draw(5, T, B, H)
    for step in (repeated, over_its_own):
        same(mg.jit(layer(step), checkpoint=every), [W, h, xs], h, xs)
        same(layer(mg.checkpoint(step)), [W, h, xs], h, xs)


@pytest.mark.parametrize("batch, every", [(4, 3), (4, 4), (3, 5), (1, 4)])
@pytest.mark.parametrize("cell", [models.LSTMCell, models.GRUCell])
def test_a_loop_with_checkpoints_is_one_kernel_each_way_and_threads_divide_it(cell, batch, every, compiled):
    """The steps of a chunk are a loop in the step. What is hoisted out of it, and sunk below it, are products with
    stacks, whose rows are their second axis."""
    layer = models.Recurrent(cell, 3, 4).astype("float64")
    xs = draw(5, 3 * every + 1, batch, 3)
    f = mg.jit(layer, checkpoint=every)
    with divided_batches():
        same(f, [xs, *layer.parameters()], xs)
    for loop in f.explain(xs).loops:
        assert loop.source is not None and "call(python" not in loop.source
        assert loop.divided


def test_a_large_loop_in_one_that_is_not_divided_keeps_its_threads(monkeypatch):
    """A loop over epochs whose carry has no rows: the loop in it has a kernel of its own, divided between threads."""
    xs = draw(5, T, B, H)

    def epoch(w, _):
        h = mg.scan(lambda h, x: (mg.tanh(h @ w + x), None), 0 * xs[0], xs)[0]
        return w - 0.1 * (h.T @ h), None

    def f(w):
        return mg.scan(epoch, w, None, length=2)[0]

    assert all("call(python" not in loop.source for loop in same(f, [W], W).explain(W).loops)
    monkeypatch.setattr(partition, "LARGE", 1)
    assert all("call(python" in loop.source for loop in same(f, [W], W).explain(W).loops)


def test_a_while_loop_outside_of_loops_is_a_kernel():
    h, x = draw(4, B, H), draw(5, B, H)

    def f(h):
        return mg.while_loop(lambda c: c[1] < 3, lambda c: (mg.tanh(c[0] @ W + x), c[1] + 1), (h, 0), bound=5)[0]

    loops = same(f, [h, x, W], h).explain(h).loops
    assert len(loops) == 2 and all(loop.source is not None and loop.divided for loop in loops)
    np.testing.assert_allclose(mg.jit(f)(h).numpy(), f(h).numpy(), rtol=1e-12)


@pytest.mark.parametrize("together", [False, True])
def test_weight_gradients_of_a_loop_that_ends_early_are_added_up_in_one_place(monkeypatch, together):
    """Each step adds a packed product to the sum over the steps of both loops. together: all rows decide when to end,
    and threads do not divide them."""
    monkeypatch.setattr(schedule, "PACKED", 1)

    def step(h, x):
        def goes_on(carry):
            return (carry[0].sum() < 99) & (carry[1] < 3) if together else carry[1] < 3

        return mg.while_loop(goes_on, lambda c: (mg.tanh(c[0] @ W + x), c[1] + 1), (h, 0), bound=5)[0], h

    h, xs = draw(4, B, H), draw(5, T, B, H)
    backward = same(layer(step), [h, xs, W], h, xs).explain(h, xs).loops[1]
    lines = backward.source.split("def loop(")[1]
    assert "call(pack, " in lines and "call(python" not in lines
    assert lines.count("settle_") == 1, "of x alone, which every outer step has its own sum of"


def test_the_profiler_and_explain_know_loops_that_are_counted_and_loops_in_loops(compiled):
    h, xs = draw(4, B, H), draw(5, T, B, H)

    def f(h, bound=4):
        return mg.while_loop(lambda c: c[1] < 3, lambda c: (mg.tanh(c[0] @ W), c[1] + 1), (h, 0), bound=bound)[0]

    with mg.profile(tasks=True):
        same(mg.jit(f), [h, W], h)
        same(layer(repeated), [h, xs, W], h, xs)
    assert "at most 4 steps" in str(mg.jit(f).explain(h))
    with mg.no_grad():
        report = mg.jit(lambda h: f(h, None)).explain(h)
    assert "any number of steps" in str(report) and report.flops < 1e6
