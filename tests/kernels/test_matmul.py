"""Products of matrices: the packed kernels at every shape, stride and register size; then products of NumPy arrays."""

import ctypes
import os
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigrad.kernels import build, loops, matmul, threads

compiled = pytest.mark.skipif(loops.INTERPRETED, reason="the JIT is off: nothing is compiled")

SHAPES = [matmul.Shape(64, 2, 12, (4, 4, 2)), matmul.Shape(32, 2, 6, (4, 2)), matmul.Shape(16, 2, 4, (4, 2))]
DTYPES = [np.float32, np.float64]
LAYOUTS = ["rows", "columns", "reversed", "sliced", "repeated", "apart"]
SENTINEL = -12345.0


def function(address, arguments):
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)(address)


def place(x, layout):
    """x with other strides, and NaN wherever its memory holds something else."""
    M, N = x.shape
    if layout == "repeated":
        return np.broadcast_to(x[:1], x.shape) if M else x
    if layout == "apart":  # rows a multiple of a page apart
        room = np.full((M, 8192 // x.itemsize + N // 512 * 512), np.nan, x.dtype)
        view = room[:, 3 : 3 + N]
    elif layout == "columns":
        view = np.full((N + 2, M + 3), np.nan, x.dtype)[1:-1, 2:-1].T
    elif layout == "sliced":
        view = np.full((2 * M + 1, 3 * N + 1), np.nan, x.dtype)[1::2, 1::3]
    elif layout == "reversed":
        view = np.full((M + 2, N + 2), np.nan, x.dtype)[1:-1, 1:-1][::-1, ::-1]
    else:
        view = np.full((M + 2, N + 3), np.nan, x.dtype)[1:-1, 1:-2]
    view[...] = x
    return view


def arrays(M, K, N, dtype, layout_a="rows", layout_b="rows", seed=0):
    rng = np.random.default_rng(seed)
    a, b = [rng.standard_normal(shape).astype(dtype) for shape in [(M, K), (K, N)]]
    return place(a, layout_a), place(b, layout_b)


def assert_product(c, a, b, before=0):
    """Within the rounding of a sum of K + 1 terms in any order."""
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble) + before
    bound = np.abs(a).astype(np.longdouble) @ np.abs(b).astype(np.longdouble) + np.abs(before)
    assert (np.abs(c - exact) <= bound * (a.shape[1] + 1) * np.finfo(c.dtype).eps).all()


def strides(x):
    return [s // x.itemsize for s in x.strides]


def packed(b, shape):
    K, N = b.shape
    buffer = matmul.packed_buffer(K, N, b.dtype, shape)
    buffer[...] = np.nan
    function(matmul.addresses(b.dtype, shape).pack, 6)(b.ctypes.data, *strides(b), K, N, buffer.ctypes.data)
    return buffer


def check_product(M, K, N, dtype, shape, layout_a, layout_b, accumulate):
    a, b = arrays(M, K, N, dtype, layout_a, layout_b)
    room = np.full((M + 2, N + 9), SENTINEL, dtype)
    c = room[1:-1, 4:-5]
    c[...] = before = np.random.default_rng(1).standard_normal((M, N)).astype(dtype)
    panels = packed(b, shape)
    product = function(matmul.addresses(a.dtype, shape).product, 10)
    product(a.ctypes.data, *strides(a), M, panels.ctypes.data, K, N, c.ctypes.data, strides(c)[0], accumulate)
    assert_product(c, a, b, before if accumulate else 0)
    c[...] = SENTINEL
    assert (room == SENTINEL).all()  # nothing was written beside C


SIZES = st.one_of(st.integers(0, 40), st.sampled_from([1, 16, 31, 32, 33, 48, 64, 100, 129]))


@compiled
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape.width))
@pytest.mark.parametrize("dtype", DTYPES)
@given(
    SIZES, st.one_of(SIZES, st.sampled_from([255, 257, 600])), SIZES, st.sampled_from(LAYOUTS),
    st.sampled_from(LAYOUTS), st.integers(0, 1),
)  # fmt: skip
@example(13, 0, 33, "rows", "rows", 0)
@example(13, 0, 33, "rows", "rows", 1)
@example(100, 300, 129, "apart", "columns", 1)
@example(3, 5000, 40, "rows", "rows", 1)  # deeper than the part of B that stays in the cache
@example(5, 40, 1100, "columns", "columns", 0)  # wider
@settings(max_examples=40)
def test_product_is_the_product_whatever_the_strides(dtype, shape, M, K, N, layout_a, layout_b, accumulate):
    check_product(M, K, N, dtype, shape, layout_a, layout_b, accumulate)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_rows_that_share_lines_of_the_cache(dtype, transposed):
    M, K, N = 60, 530, 140
    whole, (_, b) = np.random.default_rng(1).random((K if transposed else M, 1024), dtype), arrays(M, K, N, dtype)
    assert whole.strides[0] % 4096 == 0
    a = whole[:, :M].T if transposed else whole[:, :K]
    c = np.empty((M, N), dtype)
    product = function(matmul.addresses(a.dtype).product, 10)
    panels = packed(b, matmul.SHAPE)
    product(a.ctypes.data, *strides(a), M, panels.ctypes.data, K, N, c.ctypes.data, N, 0)
    assert_product(c, a, b)


@compiled
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape.width))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@given(SIZES, SIZES)
def test_pack_fills_panels_and_pads_them_with_zeros(dtype, shape, layout, K, N):
    b = place(np.arange(1, K * N + 1, dtype=dtype).reshape(K, N), layout)
    panel = shape.vectors * shape.width // b.itemsize
    count = -(-N // panel)
    padded = np.zeros((K, count * panel), dtype)
    padded[:, :N] = b
    panels = packed(b, shape)
    assert panels.size == 0 or panels.ctypes.data % 64 == 0
    assert panels.size == matmul.packed_size(K, N, dtype, shape)
    np.testing.assert_array_equal(panels.reshape(count, K, panel), padded.reshape(K, count, panel).swapaxes(0, 1))


@compiled
def test_a_generated_kernel_calls_it_by_its_address():
    text = (
        "def steps(product, h, M, packed, K, out, T):\n"
        "    for t in range(T):\n"
        "        call(product, h, K, 1, M, packed, K, K, out, K, np.int32(t > 0))\n"
    )
    (h, w), out = arrays(3, 20, 20, np.float64), np.full((3, 20), np.nan)
    run = function(build.address(text, "steps", ", ".join(["intp"] * 7)), 7)
    h, panels = h.copy(), packed(w, matmul.SHAPE)
    run(matmul.addresses(h.dtype).product, h.ctypes.data, 3, panels.ctypes.data, 20, out.ctypes.data, 4)
    np.testing.assert_allclose(out, 4 * (h @ w), rtol=1e-12, atol=1e-12)


# matmul


@pytest.fixture
def any_size_is_large(monkeypatch):
    monkeypatch.setattr(matmul, "SMALL", -1)
    monkeypatch.setattr(matmul, "LARGE", 1)
    monkeypatch.setattr(threads, "count", 3)


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    SIZES, st.one_of(SIZES, st.just(600)), SIZES, st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS),
    st.sampled_from([None, "rows", "reversed rows", "itself"]),
)  # fmt: skip
@example(24, 300, 600, "rows", "rows", None)  # B where it lies
@example(70, 300, 600, "rows", "rows", None)
@example(0, 0, 0, "rows", "rows", None)
@settings(max_examples=60)
def test_matmul_is_numpys(dtype, M, K, N, layout_a, layout_b, out):
    a, b = arrays(M, K, N, dtype, layout_a, layout_b)
    to = None if out is None else place(np.zeros((M, N), dtype), "rows")
    if out == "reversed rows":
        to = to[::-1]
    if out == "itself" and K >= N and a.strides[1] == a.itemsize and layout_a != "repeated":
        to = a[:, :N]
    a_before = a.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matmul, "SMALL", -1)
        c = matmul.matmul(a, b, out=to)
    assert to is None or c is to
    assert c.dtype == dtype and c.shape == (M, N)
    assert_product(c, a_before, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("M, K, N", [(400, 30, 50), (40, 30, 900), (700, 300, 800), (9, 5000, 20), (30, 40, 50)])
@pytest.mark.parametrize("transposed", [False, True])
def test_threads_give_the_same_bits_each_time(any_size_is_large, dtype, M, K, N, transposed):
    a, b = arrays(M, K, N, dtype, "columns" if transposed else "rows", "columns")
    c = matmul.matmul(a, b)
    assert_product(c, a, b)
    for _ in range(3):
        assert matmul.matmul(a, b).tobytes() == c.tobytes()


@given(st.integers(1, 5000), st.integers(1, 100_000), st.integers(1, 5000), st.integers(1, 9))
@settings(max_examples=200)
def test_a_division_covers_its_axis_in_order(M, K, N, count):
    axis, edges = matmul.division(M, K, N, count)
    assert edges[0] == 0 and edges[-1] == (M, N, K)[axis]
    assert all(first < last for first, last in pairwise(edges))
    if M * K * N >= matmul.LARGE:
        assert len(edges) > count


@compiled
def test_every_axis_is_divided_between_threads(monkeypatch):
    axes = [matmul.division(M, K, N, 2)[0] for M, K, N in [(8192, 32, 128), (128, 2048, 1024), (16, 81920, 64)]]
    assert axes == [0, 1, 2]


@compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_fork_multiplies(any_size_is_large):
    a, b = arrays(300, 70, 400, np.float32)
    before = matmul.matmul(a, b)
    child = os.fork()
    if child == 0:
        os._exit(0 if matmul.matmul(a, b).tobytes() == before.tobytes() else 1)
    assert os.waitpid(child, 0)[1] == 0


@compiled
def test_several_threads_multiply_at_once(any_size_is_large):
    problems = [arrays(200 + i, 90, 300, np.float32, seed=i) for i in range(6)]
    expected = [matmul.matmul(a, b).tobytes() for a, b in problems]
    wrong = []

    def work(i):
        for _ in range(20):
            if matmul.matmul(*problems[i]).tobytes() != expected[i]:
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_memory_at_odd_addresses():
    raw = np.zeros(8 * 900 + 1, np.uint8)[1:]
    a, b = raw[: 8 * 400].view(np.float64).reshape(20, 20), raw[8 * 400 : 8 * 800].view(np.float64).reshape(20, 20)
    a[...], b[...] = arrays(20, 20, 20, np.float64)
    assert not a.flags.aligned
    out = np.zeros(8 * 400 + 1, np.uint8)[1:].view(np.float64).reshape(20, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matmul, "SMALL", -1)
        assert_product(matmul.matmul(a, b, out=out), a, b)


@pytest.mark.parametrize(
    "a, b, out, error, message",
    [
        (np.ones((2, 3)), np.ones((2, 3)), None, ValueError, r"\(2, 3\) and \(2, 3\), wanted \(M, K\) and \(K, N\)"),
        (np.ones(3), np.ones((3, 2)), None, ValueError, r"\(3,\) and \(3, 2\)"),
        (np.ones((2, 2)), np.ones((2, 2), "f"), None, TypeError, "float64 and float32, wanted float32 twice"),
        (np.ones((2, 2), int), np.ones((2, 2), int), None, TypeError, "int64 and int64"),
        (np.ones((2, 2), ">f4"), np.ones((2, 2), ">f4"), None, TypeError, ">f4"),
        (np.ones((2, 3)), np.ones((3, 4)), np.ones((4, 2)), ValueError, r"out \(4, 2\) float64"),
        (np.ones((2, 3)), np.ones((3, 4)), np.ones((4, 2)).T, ValueError, "contiguous columns"),
        (np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 4), "f"), ValueError, "float32"),
    ],
)
def test_errors_say_what_was_wanted(a, b, out, error, message):
    with pytest.raises(error, match=message):
        matmul.matmul(a, b, out=out)
