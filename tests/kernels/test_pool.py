"""Windows of images: what each kernel says, element by element, at edges, ties and NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.kernels import pieces, pool
from minigrad.ops.pool import _pool_geometry

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def places(windows, shape, p, q):
    """The places of the image that a window sees, in order."""
    kernel, stride, padding, dilation, _ = windows
    rows, columns = [
        [k * s - before + d * i for i in range(n)]
        for k, n, s, before, d in zip((p, q), kernel, stride, padding, dilation)
    ]
    return [(i, j) for i in rows for j in columns if 0 <= i < shape[0] and 0 <= j < shape[1]]


@given(pairs, pairs, st.tuples(st.integers(0, 1), st.integers(0, 1)), pairs, st.booleans(), st.integers(0, 99))
def test_windows(kernel, stride, padding, dilation, ceil_mode, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (2, 2, 7, 8)).astype(rng.choice(["float32", "float64"]))
    x[rng.random(x.shape) < 0.05] = np.nan
    padding = tuple([min(p, k // 2) for p, k in zip(padding, kernel)])
    for d, name in ((dilation, "largest"), ((1, 1), "total"), ((1, 1), "spread")):
        windows = _pool_geometry(x, kernel, stride, padding, d, ceil_mode)
        by_window = np.empty((2, 2, *windows.sides), np.int64 if name == "largest" else x.dtype)
        given_images = x.copy() if name != "spread" else np.empty_like(x)
        if name == "spread":
            by_window[...] = rng.integers(-3, 4, by_window.shape)
        pool.run(name, by_window, given_images, windows)
        spread = np.zeros_like(x)
        for at in np.ndindex(by_window.shape):
            seen = places(windows, x.shape[2:], *at[2:])
            values = [x[(*at[:2], *place)] for place in seen]
            if name == "spread":
                for place in seen:
                    spread[(*at[:2], *place)] += by_window[at]
            elif name == "total":
                np.testing.assert_allclose(by_window[at], sum(values), rtol=1e-6)
            elif seen:
                nans = [k for k, v in enumerate(values) if v != v]
                i, j = seen[nans[-1] if nans else values.index(max(values))]
                assert by_window[at] == i * x.shape[3] + j
        if name == "spread":
            np.testing.assert_array_equal(given_images, spread)


def test_threads_share_the_images(monkeypatch):
    x = np.random.default_rng(0).normal(size=(5, 3, 6, 6))
    windows = _pool_geometry(x, 2, None, 0)
    alone, shared = [np.empty((5, 3, 3, 3), np.int64) for _ in range(2)]
    pool.run("largest", alone, x, windows)
    monkeypatch.setattr(pieces, "SHARED", 1)
    monkeypatch.setattr(pieces, "PIECE", 1)
    monkeypatch.setattr(pieces.threads, "count", 3)
    pool.run("largest", shared, x, windows)
    np.testing.assert_array_equal(alone, shared)


def test_it_refuses_other_arrays():
    x = np.zeros((2, 3, 4, 4))
    windows = _pool_geometry(x, 2, None, 0)
    y = np.empty((2, 3, 2, 2))
    pool.run("total", y, x, windows)
    for by_window, images in (
        (y[:1], x), (y.astype("float32"), x), (y, x[:, :, ::-1]), (y.astype(int), x), (y, x[0]), (y[..., ::-1], x),
        (y.astype(int), x.astype(int)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="kernel total: got .*; wanted windows"):
            pool.run("total", by_window, images, windows)
