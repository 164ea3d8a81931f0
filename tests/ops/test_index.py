"""Indexing: NumPy's rules, gradients where an index repeats, PyTorch's gather and scatter_add, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import basic_indices, integer_array_indices

import minigrad as mg
from minigrad.ops import along, index
from minigrad.testing import gradcheck

X = np.arange(60.0).reshape(3, 4, 5)


def adjoint(shape, index, g):
    """What an element-by-element loop brings back."""
    result = np.zeros(shape)
    np.add.at(result, index, g)
    return result


def check_index(index, unwrapped=None):
    unwrapped = index if unwrapped is None else unwrapped
    x = mg.tensor(X, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.detach().numpy(), X[unwrapped])
    g = np.cos(np.arange(y.size)).reshape(y.shape)
    y.backward(g)
    np.testing.assert_allclose(x.grad.numpy(), adjoint(X.shape, unwrapped, g), rtol=1e-14, atol=1e-14)


@given(basic_indices(X.shape, allow_newaxis=True, max_dims=5))
def test_basic(index):
    check_index(index)


@given(st.integers(1, 3).flatmap(lambda n: integer_array_indices(X.shape[:n])))
def test_integer_arrays(index):
    check_index(index)
    check_index(tuple(mg.tensor(i) for i in index), index)


@pytest.mark.parametrize(
    "index",
    [
        [0, 0, -1], [[0, 2], [2, 2]], (slice(None), [1, 1, 3]), ([0, 0], slice(1, 3), [4, -1]), (..., [0, 0]),
        (None, [2, 2], None), (1, [1, 1]), ([], ), X > 30, (slice(None), X[0] > 7), X[:, 0, 0] > 10,
        (X[:, 0, 0] > 10, [1, 1]), ([True, False, True], slice(None), [2, 2]), True, False, (np.int64(1), None, 2),
        (np.array(1), ...), (slice(None), np.zeros((0, 2), int)),
    ],
)  # fmt: skip
def test_kinds_of_index(index):
    check_index(index)


def test_tensors_as_indices():
    check_index(mg.tensor([[0, 2], [0, 0]]), np.array([[0, 2], [0, 0]]))
    check_index(mg.tensor(1), 1)
    check_index(mg.tensor(X) > 30, X > 30)
    check_index((slice(None), mg.tensor([1, 1]), 0), (slice(None), [1, 1], 0))


def test_basic_index_is_a_view():
    x = mg.tensor(X)
    assert np.shares_memory(x[1:, :, 2]._data, x._data)


def test_row_that_is_named_twice_gets_both_gradients_at_second_order_too():
    index = np.array([1, 1, 0])
    gradcheck(lambda x: x[index] * x[index], np.array([0.5, 2.0, -1.0]), second_order=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_embedding_adds_rows_in_order(dtype):
    rng = np.random.default_rng(0)
    weight = mg.tensor(rng.standard_normal((7, 5)).astype(dtype), requires_grad=True)
    indices = rng.integers(0, 7, (4, 6))
    g = rng.standard_normal((4, 6, 5)).astype(dtype)
    y = mg.embedding(weight, indices)
    np.testing.assert_array_equal(y.detach().numpy(), weight.detach().numpy()[indices])
    y.backward(g)
    wanted = np.zeros((7, 5), dtype)
    np.add.at(wanted, indices, g)
    np.testing.assert_array_equal(weight.grad.numpy(), wanted)


@given(st.data())
def test_gather_and_scatter_add_are_pytorchs(torch, data):
    shape = (3, 4, 2)
    axis = data.draw(st.integers(-3, 2))
    sizes = tuple(data.draw(st.integers(0, n if k != axis % 3 else 6)) for k, n in enumerate(shape))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x, src = rng.standard_normal(shape), rng.standard_normal(tuple(n + data.draw(st.integers(0, 1)) for n in sizes))
    index = rng.integers(0, shape[axis], sizes)
    ours = [mg.tensor(a, requires_grad=True) for a in (x, src)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, src)]
    corner = tuple(slice(n) for n in sizes)  # PyTorch has no gradient for a src larger than the index
    pairs = [
        (mg.gather(ours[0], axis, index), torch.gather(theirs[0], axis, torch.tensor(index))),
        (mg.scatter_add(ours[0], axis, mg.tensor(index), ours[1]),
         torch.scatter_add(theirs[0], axis, torch.tensor(index), theirs[1][corner])),
    ]  # fmt: skip
    for y, z in pairs:
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-13)
        g = np.cos(np.arange(y.size)).reshape(y.shape)
        y.backward(g)
        z.backward(torch.tensor(g))
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-13, atol=1e-13)


INDICES = np.array([[2, 0, 2, 2, 1], [0, 0, 1, 2, 1], [1, 1, 1, 1, 0]])

NUMPY_CALLS = {
    "take": lambda t: np.take(t, INDICES, 1),
    "take of all": lambda t: np.take(t, [3, -1, 3]),
    "take one": lambda t: np.take(t, 2, axis=-1),
    "take_along_axis": lambda t: np.take_along_axis(t, INDICES[:, None, :], 1),
    "take_along_axis, broadcast": lambda t: np.take_along_axis(t[:, :1], np.stack([INDICES] * 4, 1) % 3, axis=0),
    "take_along_axis of all": lambda t: np.take_along_axis(t, np.array([5, 5]), axis=None),
    "sort": lambda t: np.sort(-t, axis=1),
    "sort of all": lambda t: np.sort(-t, axis=None),
    "tril": lambda t: np.tril(t, k=-1),
    "triu": lambda t: np.triu(t, 1),
    "pad": lambda t: np.pad(t, ((0, 1), (2, 0), (1, 1)), constant_values=7),
    "pad a number": lambda t: np.pad(t, 2, "reflect"),
    "pad edges": lambda t: np.pad(t, (1, 2), mode="edge"),
    "pad in a circle": lambda t: np.pad(t, ((7, 7), (0, 0), (1, 0)), mode="wrap"),
    "pad symmetrically": lambda t: np.pad(t, 4, mode="symmetric"),
}


@pytest.mark.parametrize("name", NUMPY_CALLS)
def test_numpy_calls(name):
    f = NUMPY_CALLS[name]
    x = mg.tensor(X, requires_grad=True)
    y, wanted = f(x), f(X)
    np.testing.assert_array_equal(y.detach().numpy(), wanted)
    v = np.cos(np.arange(wanted.size)).reshape(wanted.shape)
    y.backward(v)
    # Linear near X, and steps of 1/4 change no order.
    units = [4 * np.sum(v * (f(X + e.reshape(X.shape)) - wanted)) for e in np.eye(X.size) / 4]
    np.testing.assert_allclose(x.grad.numpy().ravel(), units, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("values", [-0.0, 0.0, (-0.0, 0.0), ((0.0, 0.0), (1.0, -0.0)), np.nan, -np.inf], ids=str)
def test_pad_keeps_the_bits_of_what_it_fills_in(values, jitted):
    x = np.array([[-0.0, 1.0], [0.0, -0.0]])
    f = lambda x: mg.pad(x, ((1, 2), (2, 1)), constant_values=values)  # noqa: E731
    found = (mg.jit(f) if jitted else f)(mg.tensor(x)).numpy()
    assert found.tobytes() == np.pad(x, ((1, 2), (2, 1)), constant_values=values).tobytes()


@given(st.integers(0, 5), st.sampled_from([0, 1, -1]), st.booleans(), st.integers(0, 99))
def test_topk_is_pytorchs(torch, k, axis, largest, seed):
    x = np.random.default_rng(seed).permutation(np.arange(30.0)).reshape(5, 6)
    ours, theirs = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    values, indices = mg.topk(ours, k, axis, largest)
    wanted, places = torch.topk(theirs, k, axis, largest)
    np.testing.assert_array_equal(values.detach().numpy(), wanted.detach().numpy())
    np.testing.assert_array_equal(indices.numpy(), places.numpy())
    assert not indices.requires_grad
    (values * values).sum().backward()
    (wanted * wanted).sum().backward()
    np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())


def test_topk_takes_the_first_of_equals_and_nan_as_largest():
    assert mg.topk(mg.tensor([2.0, 5.0, 5.0, 1.0, 5.0]), 2)[1].tolist() == [1, 2]
    assert mg.topk(mg.tensor([2.0, np.nan, 5.0]), 2)[1].tolist() == [1, 2]
    assert mg.topk(mg.tensor(np.array([3, 0, 7], "uint8")), 2)[0].tolist() == [7, 3]


@settings(max_examples=20)
@given(st.integers(0, 2), st.booleans(), st.integers(0, 2**32 - 1))
def test_descending_sorts_and_running_extremes_are_pytorchs(torch, axis, jitted, seed):
    """With ties, NaN and infinities; of integers, too."""

    def f(a):
        return mg.sort(a, axis, True), mg.argsort(a, axis, True), mg.cummax(a, axis), mg.cummin(a, axis)

    x = np.random.default_rng(seed).choice([-np.inf, -1, 0, 1, 2, np.inf, np.nan], size=(2, 3, 4))
    for a in (x, np.nan_to_num(x, posinf=5, neginf=-5).astype(int)):
        t = torch.tensor(a)
        values, places, most, least = (mg.jit(f) if jitted else f)(a)
        wanted = torch.sort(t, dim=axis, descending=True, stable=True), torch.cummax(t, axis), torch.cummin(t, axis)
        for pair, two in zip(((values, places), most, least), wanted):
            np.testing.assert_array_equal(pair[1].numpy(), two[1].numpy())
            np.testing.assert_array_equal(pair[0].numpy(), two[0].numpy())


def test_one_hot():
    y = mg.one_hot([[0, 2], [1, 1]], 3)
    assert y.dtype == np.float32 and y.shape == (2, 2, 3)
    np.testing.assert_array_equal(y.numpy(), np.eye(3)[[[0, 2], [1, 1]]])


def test_triangles_keep_the_dtype_and_stop_nan():
    mask = mg.tril(mg.tensor(np.ones((3, 3), bool)))
    assert mask.dtype == bool and mask.numpy().sum() == 6
    assert mg.tril(mg.tensor([[1.0, np.nan], [2.0, 3.0]])).tolist() == [[1, 0], [2, 3]]


def test_gather_and_scatter_add_take_lists():
    x = mg.tensor(np.zeros((2, 3)), requires_grad=True)
    src = mg.tensor(np.arange(1.0, 5.0).reshape(2, 2), requires_grad=True)
    assert mg.gather(x + [0.0, 1.0, 2.0], axis=1, index=[[2, 0]]).tolist() == [[2, 0]]
    assert mg.scatter_add(x, 1, [[0, 2]], [[1.0, 2.0]]).tolist() == [[1, 0, 2], [0, 0, 0]]
    y = mg.scatter_add(x, axis=0, index=[[1], [1]], src=src)  # src may be larger than the index
    assert y.tolist() == [[0, 0, 0], [4, 0, 0]]
    y.sum().backward()
    assert x.grad.numpy().all() and src.grad.tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: x[3], IndexError, r"getitem\(float64\[3, 4, 5\]\): index 3 is out of bounds for axis 0 with size 3"),
        (lambda x: x[:, [4]], IndexError, "getitem.*index 4 is out of bounds for axis 1"),
        (lambda x: x[0, 0, 0, 0], IndexError, "getitem.*too many indices"),
        (lambda x: x[0.5], IndexError, "getitem.*valid indices"),
        (lambda x: x[mg.tensor([0.5])], IndexError, "getitem.*must be of integer"),
        (lambda x: x[np.ones(4, bool)], IndexError, "getitem.*boolean index did not match"),
        (lambda x: mg.take(x, [3], 0), IndexError, r"take\(float64\[3, 4, 5\], int64\[1\]\): index 3 is out of bounds"),
        (lambda x: mg.take(x, [0.5], 0), TypeError, "take.*indices must be integers, got float64"),
        (lambda x: mg.take(x, [True], 0), TypeError, "take.*indices must be integers, got bool"),
        (lambda x: mg.take(x[:0], [0], 0), IndexError, "take.*axis 0 is empty"),
        (lambda x: mg.embedding(x[0], [4]), IndexError, "embedding.*index 4 is out of bounds"),
        (lambda x: mg.embedding(x[0], [-1]), IndexError, "embedding.*index -1 is negative"),
        (lambda x: mg.embedding(x, [0]), ValueError, "embedding.*wanted a weight of shape"),
        (lambda x: mg.take_along_axis(x, [0], 0), ValueError, "take_along_axis.*indices must have 3 dimensions"),
        (lambda x: mg.gather(x, 0, [0]), ValueError, r"gather: index has shape \(1,\): wanted 3 dimensions"),
        (lambda x: mg.gather(x, 0, np.zeros((1, 5, 5), int)), ValueError, "gather: .*does not fit into"),
        (lambda x: mg.one_hot([3], 3), IndexError, "one_hot.*indices from 3 to 3: wanted them in"),
        (lambda x: mg.tril(x[0, 0]), ValueError, r"tril: wanted a matrix"),
        (lambda x: mg.topk(x, 6), ValueError, "topk: k is 6: wanted 0 to 5, the size of axis 2"),
        (lambda x: mg.pad(x, -1), ValueError, "pad: pad_width -1: a margin cannot be negative"),
        (lambda x: mg.pad(x, 1, "mean"), ValueError, "pad: mode 'mean': wanted constant, edge"),
        (lambda x: index.unindex(x, (3, 3), 0), ValueError, r"unindex.*this index selects the shape \(3,\)"),
        (lambda x: along.untake(x, [0, 1], (3, 9, 5), 1), ValueError, r"untake.*take the shape \(3, 2, 5\)"),
    ],
)
def test_errors_say_what_was_wanted(call, error, message):
    with pytest.raises(error, match=message):
        call(mg.tensor(X))
