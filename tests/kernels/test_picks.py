"""What integers pick from rows, and where it is added back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.kernels import loops, picks, pieces, segments

pytestmark = pytest.mark.skipif(loops.INTERPRETED, reason="the JIT is off: NumPy does it")


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 9), st.sampled_from(["float32", "float64"]))
def test_against_numpy(rows, m, n, dtype):
    rng = np.random.default_rng(rows * m * n)
    x, index = rng.normal(size=(rows, n)).astype(dtype), rng.integers(-n, n, (rows, m)).astype(rng.choice(["i4", "i8"]))
    y = picks.take_along(x, index)
    np.testing.assert_array_equal(y, np.take_along_axis(x, index, 1))
    wanted = np.zeros((rows, n))
    np.add.at(wanted, (np.arange(rows)[:, None], index), y.astype("float64"))
    np.testing.assert_allclose(picks.add_along(y, index, n), wanted, rtol=1e-6, atol=1e-7)


@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, -1.0, np.inf, -np.inf, np.nan]), min_size=1, max_size=12),
    st.integers(0, 12), st.booleans(), st.sampled_from(["float32", "float64", "int64", "bool"]),
)  # fmt: skip
def test_the_greatest_are_what_a_stable_sort_puts_first(numbers, k, largest, dtype):
    row = np.nan_to_num(numbers, posinf=9, neginf=-9).astype(dtype) if dtype[0] in "ib" else np.array(numbers, dtype)
    x, k = np.stack([row, row[::-1], np.ones_like(row)]), min(k, len(row))
    np.testing.assert_array_equal(picks.greatest(x, k, 1, largest), picks.order(x, 1, largest)[:, :k])
    np.testing.assert_array_equal(picks.greatest(x.T, k, 0, largest), picks.order(x.T, 0, largest)[:k])


@given(
    st.lists(st.integers(0, 6), max_size=30), st.sampled_from([1, 3, 16, 33, 600]), st.sampled_from([np.float32, float])
)
def test_rows_are_added_where_integers_say(index, width, dtype):
    x, index = np.random.default_rng(0).normal(size=(len(index), width)).astype(dtype), np.array(index, np.int16)
    wanted = np.zeros((7, width))
    np.add.at(wanted, index, x)
    with pytest.MonkeyPatch.context() as patch:
        for count in (1, 3):
            patch.setattr(pieces, "SHARED", 1)
            patch.setattr(pieces, "PIECE", 1)
            patch.setattr(pieces.threads, "count", count)
            sums = segments.add_up(x, index, 7)
            np.testing.assert_allclose(sums, wanted, rtol=1e-6, atol=1e-6)
            assert sums.dtype == dtype


def test_many_equal_terms_are_added_exactly():
    y = picks.add_along(np.full((1, 1 << 20), 0.1, "float32"), np.zeros((1, 1 << 20), int), 1)
    assert abs(y[0, 0] / (np.float32(0.1).astype(float) * (1 << 20)) - 1) < 1e-7


def test_threads_share_the_rows(monkeypatch):
    rng = np.random.default_rng(0)
    x, index = rng.normal(size=(17, 5)), rng.integers(0, 5, (17, 3))
    alone = picks.take_along(x, index), picks.add_along(x[:, :3].copy(), index, 5)
    monkeypatch.setattr(pieces, "SHARED", 1)
    monkeypatch.setattr(pieces, "PIECE", 1)
    monkeypatch.setattr(pieces.threads, "count", 3)
    for a, b in zip(alone, (picks.take_along(x, index), picks.add_along(x[:, :3].copy(), index, 5))):
        np.testing.assert_array_equal(a, b)
    index[16, 2] = 5
    with pytest.raises(IndexError):
        picks.take_along(x, index)


@pytest.mark.parametrize("place", [-4, 3, 2**40, -(2**40)])
def test_an_index_outside(place):
    x, index = np.ones((2, 3)), np.array([[0, 1], [place, 0]])
    with pytest.raises(IndexError, match=f"indices from .*{abs(place)}|to {place}, wanted -3 to 2"):
        picks.take_along(x, index)
    with pytest.raises(IndexError, match="wanted -3 to 2"):
        picks.add_along(x[:, :2], index, 3)


def test_it_refuses_other_arrays():
    x, index = np.ones((2, 3)), np.zeros((2, 4), int)
    for a, b in ((x[0], index), (x[:1], index), (x.astype(int), index), (x, index * 1.0), (x, index.astype("u8"))):
        with pytest.raises(ValueError, match="kernel take_along: got .*; wanted floats"):
            picks.take_along(a, b)
    for a, b, n in ((x, index, 3), (x[:, :0], index[:, :0], 3), (index * 1.0, index, picks.MOST + 1)):
        with pytest.raises(ValueError, match="kernel add_along: got .*; wanted floats"):
            picks.add_along(a, b, n)
