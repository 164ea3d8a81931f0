"""What LLVM made of a kernel: planted loops of each kind are told apart."""

import math
from pathlib import Path

import numba
import numpy as np
import pytest

import minigrad as mg
from minigrad.models import LSTMCell, Recurrent


@numba.njit
def recurrence(x, y):
    total = 0.0
    for i in range(x.size):
        total = total * 0.5 + x[i]
        y[i] = total


@numba.njit
def early_end(x, y):
    for i in range(x.size):
        if x[i] > 3.0:
            break
        y[i] = math.floor(x[i]) + y[i - 1]


@numba.njit(fastmath=True)
def dot(x, y):
    total = np.float32(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@numba.njit
def with_calls(x, y):
    for i in range(x.size):
        y[i] = math.tanh(x[i])


@numba.njit
def caller(x, y):
    with_calls(x, y)
    return dot(x, y)


X = np.ones(100, np.float32)


def test_a_loop_that_cannot_be_vectorised_is_told_with_the_reason():
    for f, word in ((recurrence, "reduction"), (early_end, "")):
        report = mg.inspect_kernel(f, X, X.copy())
        (loop,) = report.loops
        assert (loop.function, loop.width) == (f.__name__, 1)
        assert word in loop.reason and loop.reason != "LLVM gives no reason"
        assert f"not vectorised: {loop.reason}" in str(report)
        assert Path(__file__).read_text().splitlines()[loop.line - 1].strip() == loop.text


def test_a_loop_that_is_vectorised_is_told_with_its_width():
    report = mg.inspect_kernel(dot, X, X)
    (loop,) = report.loops
    assert loop.width >= 4 and not loop.reason
    assert f"<{loop.width} x float>" in report.llvm
    assert "vectorised, " in str(report)
    assert "def dot" in report.source and "\tret" in report.assembly and "!dbg" not in report.llvm


def test_calls_of_a_library_are_told():
    report = mg.inspect_kernel(with_calls, X, X)
    assert [name for name in report.calls if "tanh" in name]
    assert "an element at a time" in str(report)
    assert not mg.inspect_kernel(dot, X, X).calls


def test_loops_of_the_functions_that_are_called_are_among_them():
    report = mg.inspect_kernel(caller, X, X)
    assert {loop.function for loop in report.loops} == {"with_calls", "dot"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementwise_ops_are_vectorised(dtype):
    report = mg.inspect_kernel(mg.tanh, dtype)
    (inner,) = [loop for loop in report.loops if loop.function == "apart_contiguous"]
    assert inner.width >= 16 // np.dtype(dtype).itemsize
    assert not report.calls


def test_kernels_of_a_profile_can_be_inspected(tmp_path):
    layer = mg.jit(Recurrent(LSTMCell(3, 4)))
    x = mg.tensor(np.ones((5, 2, 3), np.float32))
    with mg.profile() as p:
        layer(x)[0].sum().backward()
    assert {"loop1", "loop2"} <= set(p.kernels)
    report = p.inspect("loop1")
    assert any(loop.function.startswith("apart_") and loop.width > 1 for loop in report.loops)
    report.save(tmp_path / "kernels")
    assert (tmp_path / "kernels" / "loop1.py").read_text() == report.source
    with pytest.raises(KeyError, match="loop1, loop2"):
        p.inspect("loop9")


def test_what_cannot_be_inspected_is_refused():
    with pytest.raises(TypeError, match=r"numba\.njit"):
        mg.inspect_kernel(lambda x: x, X)
