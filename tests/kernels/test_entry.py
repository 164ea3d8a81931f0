"""Kernels refuse arrays that they were not made for, before they read them."""

import re

import numpy as np
import pytest

from minigrad.kernels import columns, convolution, loops, matmul, rows, segments, sequential

X = np.random.default_rng(0).normal(size=(3, 4))
TARGETS = np.array([0, 3, 1])


def operands(signature: str) -> list:
    kinds = {"m": X, "c": X[0], "r": X[:, 0], "b": X[:1], "t": TARGETS, "s": np.array([1e-5])}
    kinds |= {"w": X[:, :2], "p": X[:, :2], "i": np.array([3, 2])}
    return [kinds[kind].copy() for kind in signature]


def others(x: np.ndarray) -> list:
    """Arrays that are no good in place of x."""
    strided = np.repeat(x, 2, axis=-1)[..., ::2]
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    return [x[:-1], x[..., :-1].copy(), x.astype("float32" if x.dtype == float else "int32"), strided, unaligned]


@pytest.mark.parametrize("name", rows.SIGNATURES)
def test_rows(name):
    signature = rows.SIGNATURES[name]
    good = operands(signature)
    rows.run(name, 4, *good)
    for k, x in enumerate(good):
        for other in others(x) if x.size > 1 else [x.astype("float32"), x[:0]]:
            with pytest.raises(
                ValueError, match=rf"kernel {name}: got .*{re.escape(str(list(other.shape)))}.*; wanted "
            ):
                rows.run(name, 4, *good[:k], other, *good[k + 1 :])
    with pytest.raises(ValueError, match=f"kernel {name}: got"):
        rows.run(name, 4, *good[:-1])


@pytest.mark.parametrize("sizes", [[0, 2], [3, 0], [-3, -2], [2, 3], [3, 3]])
@pytest.mark.parametrize("name", [name for name, signature in rows.SIGNATURES.items() if signature[-1] == "i"])
def test_groups_and_channels(name, sizes):
    *good, _ = operands(rows.SIGNATURES[name])
    with pytest.raises(ValueError, match=f"kernel {name}: got"):
        rows.run(name, 4, *good, np.array(sizes))


@pytest.mark.skipif(loops.INTERPRETED, reason="the JIT is off: rows.py does it")
@pytest.mark.parametrize("name", columns.KERNELS)
def test_columns(name):
    good = [X[None].copy() for kind in rows.SIGNATURES[name] if kind == "m"]
    columns.run(name, *good)
    for k, x in enumerate(good):
        for other in [*others(x), x[0]]:
            with pytest.raises(ValueError, match=f"kernel {name} of columns: got .*; wanted floats"):
                columns.run(name, *good[:k], other, *good[k + 1 :])
    with pytest.raises(ValueError, match=f"kernel {name} of columns: got"):
        columns.run(name, *good[:-1])


@pytest.mark.parametrize("name", [name for name, signature in rows.SIGNATURES.items() if signature[-1] == "t"])
@pytest.mark.parametrize("target", [-1, 4, 2**40])
def test_targets(name, target):
    good = operands(rows.SIGNATURES[name])
    good[-1][1] = target
    with pytest.raises(IndexError, match="targets from .*, wanted classes from 0 to 3"):
        rows.run(name, 4, *good)


def test_add_rows():
    def run(result=(5, 4), index=TARGETS, given=X, dtype="float64"):
        result = np.zeros(result, dtype) if isinstance(result, tuple) else result
        sequential.add_rows(result, index, given)
        return result

    np.testing.assert_array_equal(run()[[0, 3, 1]], X)
    wrong = [dict(result=(5, 3)), dict(result=(5,)), dict(dtype="float32"), dict(index=TARGETS[:2]),
             dict(given=X[:, :3]), dict(index=TARGETS * 1.0), dict(index=TARGETS[None]), dict(given=TARGETS),
             dict(result=np.zeros((4, 5)).T), dict(result=np.zeros((5, 8))[:, ::2])]  # fmt: skip
    for options in wrong:
        with pytest.raises(ValueError, match=r"kernel add_rows: got .*; wanted \(n, width\)"):
            run(**options)
    for index in (-1, 5, 2**40):
        for dtype in ("float64", "int64"):
            with pytest.raises(IndexError, match="kernel add_rows: indices from .* to .*, wanted rows from 0 to 4"):
                run(index=np.array([0, index, 1]), given=X.astype(dtype), dtype=dtype)


def test_add_up():
    for index, x in ((TARGETS[:2], X), (TARGETS * 1.0, X), (TARGETS[None], X), (TARGETS, X[0])):
        with pytest.raises(ValueError, match="kernel add_up: got .*; wanted rows"):
            segments.add_up(x, index, 5)
    for index in (-1, 5, 2**40):
        with pytest.raises(IndexError, match="kernel add_up: indices from .* to .*, wanted rows from 0 to 4"):
            segments.add_up(X, np.array([0, index, 1]), 5)


def test_linear_recurrence():
    sequential.linear_recurrence(X, X, 0, False)
    for b, a, axis in ((X, X[:2], 0), (X, X[:, :3], 1), (X, X.astype("float32"), 0), (X, X, 2), (X, X, -1),
                       (TARGETS, TARGETS, 0)):  # fmt: skip
        with pytest.raises(ValueError, match="kernel linear_recurrence: got .*; wanted two of one shape"):
            sequential.linear_recurrence(b, a, axis, True)


def test_products():
    for a, b in ((X, X), (X, X[0]), (X[None], X.T)):
        with pytest.raises(ValueError, match="matmul: got shapes"):
            matmul.matmul(a, b)
    for a, b in ((X, X.T.astype("float32")), (X.astype(int), X.T.astype(int))):
        with pytest.raises(TypeError, match="matmul: got"):
            matmul.matmul(a, b)
    for out in (np.empty((3, 4)), np.empty((3, 3), "float32"), np.empty((3, 6))[:, ::2]):
        with pytest.raises(ValueError, match="matmul: got out"):
            matmul.matmul(X, X.T.copy(), out)


IMAGES, WEIGHT = np.ones((2, 3, 5, 6)), np.ones((4, 3, 2, 3))
PADDING = (0, 1), (1, 1)


def test_convolutions():
    y = convolution.conv2d(IMAGES, WEIGHT, PADDING)
    convolution.conv2d_weight(IMAGES, y, (2, 3), PADDING)
    for x, w, padding in (
        (IMAGES[0], WEIGHT, PADDING), (IMAGES, WEIGHT[0], PADDING), (IMAGES[:, :2], WEIGHT, PADDING),
        (IMAGES.astype("float32"), WEIGHT, PADDING), (IMAGES.astype(int), WEIGHT.astype(int), PADDING),
        (IMAGES, WEIGHT, ((-2, -2), (0, 0))), (IMAGES, WEIGHT[:, :, :0], PADDING),
        (IMAGES[:, :0], WEIGHT[:, :0], PADDING),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="kernel conv2d: got .*; wanted images"):
            convolution.conv2d(x, w, padding)
    for x, g, kernel in (
        (IMAGES[:1], y, (2, 3)), (IMAGES, np.ones((2, 4, 6, 6)), (2, 3)), (IMAGES, y, (3, 3)), (IMAGES, y[0], (2, 3)),
        (IMAGES, y.astype("float32"), (2, 3)), (IMAGES[:0], y[:0], (2, 3)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="kernel conv2d_weight: got .*; wanted images"):
            convolution.conv2d_weight(x, g, kernel, PADDING)


def test_convolutions_of_records():
    """Memory whose strides are no multiple of the elements' size gives the same numbers."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=IMAGES.shape), rng.normal(size=WEIGHT.shape)

    def in_records(array):
        records = np.zeros(array.shape[:-1], np.dtype([("before", "u4"), ("numbers", "f8", array.shape[-1:])]))
        records["numbers"] = array
        return records["numbers"]

    y = convolution.conv2d(x, w, PADDING)
    np.testing.assert_array_equal(convolution.conv2d(in_records(x), in_records(w), PADDING), y)
    np.testing.assert_array_equal(
        convolution.conv2d_weight(in_records(x), in_records(y), (2, 3), PADDING),
        convolution.conv2d_weight(x, y, (2, 3), PADDING),
    )
