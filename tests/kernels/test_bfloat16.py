"""Products of operands rounded to bfloat16: the rounding, and the kernels at every shape, stride and register size."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_matmul import LAYOUTS, SENTINEL, SIZES, arrays, function, strides

from minigrad.kernels import bfloat16, build, loops, matmul, threads

FEATURES = {bfloat16.VECTORS: {"+avx512bf16"}, bfloat16.TILES: {"+avx512bf16", "+amx-bf16", "+amx-tile"}}
FLOATS = st.integers(0, 2**32 - 1).map(lambda bits: np.uint32(bits).view(np.float32))


def has(shape) -> bool:
    wanted = FEATURES[shape] <= set(build.CPU_FEATURES.split(","))
    return wanted and not loops.INTERPRETED and (shape == bfloat16.VECTORS or bfloat16.may_use_tiles())


each_shape = pytest.mark.parametrize(
    "shape",
    [
        pytest.param(shape, marks=pytest.mark.skipif(not has(shape), reason="a CPU that has it"), id=str(shape.rows))
        for shape in FEATURES
    ],
)


def assert_product(c, a, b, before=0):
    """Within the rounding of a float32 sum of K + 1 terms in any order, each of them exact."""
    a, b = [bfloat16.rounded(x).astype(np.float64) for x in (a, b)]
    bound = (np.abs(a) @ np.abs(b) + np.abs(before)) * (a.shape[1] + 1) * np.finfo(np.float32).eps
    assert (np.abs(c - (a @ b + before)) <= bound).all()


@given(st.lists(FLOATS, max_size=9))
@example([np.float32(x) for x in (1.00390625, 1.01171875, 3.4e38, np.inf, -np.inf, np.nan, 1e-38, -1e-40, -0.0)])
def test_rounding_is_to_the_nearest_of_the_numbers_with_16_bits(numbers):
    x = np.array(numbers, np.float32)
    y = bfloat16.rounded(x)
    assert not (y.view(np.uint32) & 0xFFFF).any()
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    np.testing.assert_array_equal(np.signbit(y), np.signbit(x))
    np.testing.assert_array_equal(y[np.isinf(x)], x[np.isinf(x)])
    for one, its in zip(x.astype(np.float64), y):
        if not np.isfinite(one):
            continue
        if abs(one) < np.finfo(np.float32).tiny:
            assert its == 0
            continue
        low = np.array([one], np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        candidates = np.concatenate([low, low + np.uint32(0x10000)]).view(np.float32).astype(np.float64)
        errors = np.abs(np.where(np.isinf(candidates), 2.0**128 * np.sign(one), candidates) - one)
        even = 0 if low[0] >> 16 & 1 == 0 else 1
        wanted = candidates[even if errors[0] == errors[1] else errors.argmin()]
        assert its == np.float32(wanted)


@given(st.lists(FLOATS, min_size=1, max_size=40))
def test_kernels_round_as_numpy_does(numbers):
    x = np.array(numbers, np.float32)
    if not loops.INTERPRETED:
        ufunc = loops.elementwise("round to bfloat16", ["x"], ["bfloat16(x)"], "float32")
        np.testing.assert_array_equal(ufunc(x), bfloat16.rounded(x))


def product(a, b, c, shape, accumulate):
    f = matmul.addresses(matmul.BFLOAT16, shape)
    (M, K), N = a.shape, b.shape[1]
    packed = matmul.packed_buffer(K, N, matmul.BFLOAT16)
    packed[...] = 0x7FC0  # NaN
    function(f.pack, 6)(b.ctypes.data, *strides(b), K, N, packed.ctypes.data)
    at = c.ctypes.data, strides(c)[0]
    function(f.product, 10)(a.ctypes.data, *strides(a), M, packed.ctypes.data, K, N, *at, accumulate)


@each_shape
@given(
    SIZES, st.one_of(SIZES, st.sampled_from([255, 257, 600])), SIZES, st.sampled_from(LAYOUTS),
    st.sampled_from(LAYOUTS), st.integers(0, 1),
)  # fmt: skip
@example(13, 0, 33, "rows", "rows", 0)
@example(13, 0, 33, "rows", "rows", 1)
@example(100, 300, 129, "columns", "rows", 1)
@example(3, 5000, 40, "rows", "rows", 1)  # deeper than the part of B that stays in the cache
@example(17, 40, 1100, "columns", "columns", 0)  # wider
@settings(max_examples=40)
def test_product_is_that_of_the_rounded_operands_whatever_the_strides(shape, M, K, N, layout_a, layout_b, accumulate):
    a, b = arrays(M, K, N, np.float32, layout_a, layout_b)
    room = np.full((M + 2, N + 9), SENTINEL, np.float32)
    c = room[1:-1, 4:-5]
    c[...] = before = np.random.default_rng(1).standard_normal((M, N)).astype(np.float32)
    product(a, b, c, shape, accumulate)
    assert_product(c, a, b, before if accumulate else 0)
    c[...] = SENTINEL
    assert (room == SENTINEL).all()  # nothing was written beside C


@each_shape
@given(st.lists(FLOATS.filter(np.isfinite), min_size=1, max_size=40))
def test_the_cpu_rounds_as_numpy_does(shape, numbers):
    x = np.array([numbers], np.float32)
    c = np.empty_like(x)
    product(x, np.eye(x.size, dtype=np.float32), c, shape, 0)
    with np.errstate(over="ignore"):
        wanted = bfloat16.rounded(x)
    where = np.isfinite(wanted).all()  # or infinity times zero is added to the others
    np.testing.assert_array_equal(c[:, where], wanted[:, where])


@pytest.mark.parametrize("M, K, N", [(5, 70, 40), (300, 200, 170), (64, 40000, 20), (1, 300, 900), (900, 300, 1)])
def test_matmul_of_arrays_by_any_number_of_threads(M, K, N, monkeypatch):
    a, b = arrays(M, K, N, np.float32, "rows", "columns")
    for count in (1, 2):
        monkeypatch.setattr(threads, "count", count)
        monkeypatch.setattr(matmul, "LARGE", 1 << 16)
        out = np.empty((M, N), np.float32)
        assert matmul.matmul(a, b, out, matmul.BFLOAT16) is out
        assert_product(out, a, b)
