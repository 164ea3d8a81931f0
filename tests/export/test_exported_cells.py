"""Cells that Hypothesis writes, and those of benchmarks/zoo, are in onnxruntime what they are here."""

import contextlib

import numpy as np
import pytest
from cells import Cell
from hypothesis import given, note, settings
from hypothesis import strategies as st
from onnx_running import NoKernel, close, eager, run, session_of

import minigrad as mg
from minigrad.testing import Draw


def check(f, example, path, others=()):
    with contextlib.suppress(NoKernel):
        session = session_of(mg.export(f, example, path))
        for given in (example, *others):
            got = run(session, *mg.tree.flatten(given)[0])
            close(got, eager(f, *mg.tree.map(mg.tensor, given)), scale=1e4)


@pytest.mark.parametrize("lines", [8, pytest.param(16, marks=pytest.mark.heavy)])
@settings(max_examples=6 * settings.default.max_examples // 12)
@given(data=st.data())
def test_a_drawn_cell_and_its_gradient(data, lines, tmp_path_factory):
    drawn = Cell(Draw(data), lines)
    if "generator" in drawn.text:
        return
    note(drawn.text)
    cell, _, init, xs, _ = drawn.loaded("float64")

    def f(init, xs):
        return mg.scan(cell, init, xs, length=drawn.steps, reverse=drawn.reverse)

    def total(init, xs):
        return sum((y.astype("float64") * (0.3 + k)).sum() for k, y in enumerate(mg.tree.flatten(f(init, xs))[0]))

    path = tmp_path_factory.mktemp("onnx") / "cell.onnx"
    example = mg.tree.map(lambda t: t.detach().numpy(), (init, xs))
    check(f, example, path)
    check(mg.grad(total), example, path)


@pytest.mark.heavy
def test_published_cells(tmp_path):
    import test_zoo

    for name, cell in test_zoo.zoo.CELLS.items():
        layer = test_zoo.layer_of(cell)

        def inputs(T, B, parameters=None):
            numbers = cell.numbers(T, B, 16, 16, dtype="float32")
            return parameters or numbers.parameters, numbers.x, numbers.state

        example = inputs(5, 3)
        sizes = [(7, 3), (2, 3)]  # some ask Python for the number of rows
        try:
            check(layer, example, tmp_path / "cell.onnx", [inputs(*size, example[0]) for size in sizes])
        except Exception as error:
            raise AssertionError(f"{name}: {error}") from error


def test_what_is_passed_on_and_multiplied_is_not_lost(tmp_path):
    """onnxruntime makes one node of a product with a transposed weight and a bias."""

    def f(x, W, b):
        y = mg.tanh(x) * x
        return y, y @ W.T + b

    def loop(x, W, b):
        return mg.scan(lambda h, x: f(h + x, W, b), x[0], x)

    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=size).astype("float32") for size in ((5, 3, 4), (4, 4), (4,))]
    check(lambda x, W, b: f(x[0], W, b), inputs, tmp_path / "model.onnx")
    check(loop, inputs, tmp_path / "model.onnx")
