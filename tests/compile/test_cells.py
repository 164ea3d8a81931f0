"""Cells that Hypothesis writes: compiled, they give what they give eagerly; their gradients are difference quotients.

Most of them run as the text of their kernels (interpreter.py): no compilation, and memory is watched. Some compile.
"""

from contextlib import contextmanager

import numpy as np
import pytest
from cells import Cell
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from interpreter import divided_batches, interpreted, poisoned

import minigrad as mg
from minigrad.testing import Draw


@contextmanager
def compiled():
    with divided_batches(), poisoned():
        yield


def floats(tree) -> list:
    return [x for x in mg.tree.flatten(tree)[0] if isinstance(x, mg.Tensor) and x.dtype.kind == "f"]


class Run:
    """A cell with arrays of one dtype, and a scalar that depends on some of its results."""

    def __init__(self, drawn: Cell, dtype: str, used: list[bool], seed: int):
        self.cell, weights, self.init, self.xs, self.generator = drawn.loaded(dtype)
        self.drawn, self.used, self.seed = drawn, used, seed
        self.leaves = [*weights, *floats((self.init, self.xs))]

    def start(self) -> None:
        """Dropout draws the same in each scan."""
        self.generator.bit_generator.state = np.random.default_rng(3).bit_generator.state

    def scan(self, init, xs):
        return mg.scan(self.cell, init, xs, length=self.drawn.steps, reverse=self.drawn.reverse)

    def total(self, results):
        """A random functional of the results in use; None if none of them is on the tape."""
        rng = np.random.default_rng(self.seed)
        chosen = [
            (y, rng.uniform(0.5, 1.5, y.shape).astype(y.dtype))
            for y, wanted in zip(floats(results), self.used * 9)
            if wanted and y.requires_grad
        ]
        return sum((y * w).sum() for y, w in chosen) if chosen else None

    def gradients(self, results) -> list:
        for x in self.leaves:
            x.grad = None
        total = self.total(results)
        if total is None:
            return [np.zeros(x.shape) for x in self.leaves]
        total.backward(retain_graph=True)
        return [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in self.leaves]

    def values(self, results) -> list:
        return [y.detach().numpy() for y in mg.tree.flatten(results)[0]]


def check(data, lines: int, around) -> None:
    d = Draw(data)
    drawn = Cell(d, lines)
    note(drawn.text)
    used = [d.choice([True, True, False]) for _ in range(4)]
    seed, every = d.integer(0, 99), d.choice([None, None, 1, 2, 3])
    exact, single = [Run(drawn, dtype, used, seed) for dtype in ("float64", "float32")]
    exact.start()
    wanted = exact.scan(exact.init, exact.xs)
    values, gradients = exact.values(wanted), exact.gradients(wanted)
    against_differences(exact, gradients, np.random.default_rng(seed))
    single.start()
    rough = single.scan(single.init, single.xs)
    with around():
        for run in (exact, single):
            jitted = mg.jit(run.scan, checkpoint=every)
            run.start()
            got = jitted(run.init, run.xs)
            assert [y.dtype for y in mg.tree.flatten(got)[0]] == [
                y.dtype for y in mg.tree.flatten(rough if run is single else wanted)[0]
            ]
            assert mg.tree.flatten(got)[1] == mg.tree.flatten(wanted)[1]
            near(run.values(got), values, run is exact, "result")
            near(run.gradients(got), gradients, run is exact, "gradient")
            np.testing.assert_equal([y.requires_grad for y in floats(got)], [y.requires_grad for y in floats(wanted)])
            run.start()
            with mg.no_grad():
                near(run.values(jitted(run.init, run.xs)), values, run is exact, "result under no_grad")


def near(got, wanted, exact: bool, what: str) -> None:
    tolerance = 1e-9 if exact else 3e-4
    for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
        assert a.shape == b.shape
        scale = max(1.0, abs(b).max(initial=0)) if b.dtype.kind == "f" else 1
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=f"{what} {k}")


def against_differences(run: Run, gradients, rng, eps=1e-6) -> None:
    """Along a random direction for each leaf."""
    for k, (x, gradient) in enumerate(zip(run.leaves, gradients)):
        u = rng.uniform(-1, 1, x.shape)
        ends = []
        before = x.numpy().copy()
        for sign in (1, -1):
            with mg.no_grad():
                x.copy_(before + sign * eps * u)
            run.start()
            total = run.total(run.scan(run.init, run.xs))
            ends.append(0.0 if total is None else total.item())
        with mg.no_grad():
            x.copy_(before)
        quotient = (ends[0] - ends[1]) / (2 * eps)
        np.testing.assert_allclose((gradient * u).sum(), quotient, rtol=1e-4, atol=1e-5, err_msg=f"leaf {k}")


@settings(max_examples=40)
@given(st.data())
def test_interpreted(data):
    check(data, 12, interpreted)


@settings(max_examples=8)
@given(st.data())
def test_compiled(data):
    check(data, 14, compiled)


@pytest.mark.heavy
@settings(max_examples=3000, phases=[Phase.generate, Phase.shrink])
@given(st.data())
def test_interpreted_heavily(data):
    check(data, 12, interpreted)


@pytest.mark.heavy
@settings(max_examples=300, phases=[Phase.generate, Phase.shrink])
@given(st.data())
def test_compiled_heavily(data):
    check(data, 25, compiled)


def test_a_sum_that_is_the_same_for_every_row_is_added_once():
    rng = np.random.default_rng(0)
    w, h = [mg.tensor(rng.normal(size=shape), requires_grad=True) for shape in ((3,), (4,))]
    xs = mg.tensor(rng.normal(size=(2, 3)))

    def scan(h, xs):  # the state has four rows for threads to divide; what w is used for has none
        return mg.scan(lambda h, x: (mg.tanh(h + 0.3), (x * w).sum()), h, xs)

    def gradients(f):
        w.grad = h.grad = None
        last, ys = f(h, xs)
        (last.sum() + (ys * ys).sum()).backward()
        return w.grad.numpy(), h.grad.numpy()

    wanted = gradients(scan)
    with divided_batches():
        for got, exact in zip(gradients(mg.jit(scan)), wanted):
            np.testing.assert_allclose(got, exact, rtol=1e-12)
