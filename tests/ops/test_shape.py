"""Shape ops: NumPy's calling conventions, PyTorch's chunk, errors, casts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg

X = np.arange(24.0).reshape(2, 3, 4)

NUMPY_CALLS = {
    "reshape": lambda t: np.reshape(t, (4, -1)),
    "reshape by name": lambda t: np.reshape(t, shape=(6, 4)),
    "transpose": lambda t: np.transpose(t, (2, 0, 1)),
    "transpose from the end": lambda t: np.transpose(t, (-1, 0, -2)),
    "swapaxes": lambda t: np.swapaxes(t, 0, -1),
    "moveaxis": lambda t: np.moveaxis(t, [0, 1], [-1, 0]),
    "squeeze": lambda t: np.squeeze(t[:, :1], axis=1),
    "expand_dims": lambda t: np.expand_dims(t, (0, -1)),
    "concatenate": lambda t: np.concatenate([t, 2 * t, X], axis=-1),
    "stack": lambda t: np.stack([t, t], axis=2),
    "flip": lambda t: np.flip(t),
    "flip an axis": lambda t: np.flip(t, -1),
    "roll": lambda t: np.roll(t, 5),
    "roll axes": lambda t: np.roll(t, (1, -2), axis=(0, 2)),
    "roll an axis twice": lambda t: np.roll(t, (1, 1), axis=2),
    "tile": lambda t: np.tile(t, (2, 1, 3, 1)),
    "tile few": lambda t: np.tile(t, 2),
    "repeat": lambda t: np.repeat(t, 2),
    "repeat each": lambda t: np.repeat(t, [0, 2, 1], axis=1),
    "broadcast_to": lambda t: np.broadcast_to(t, (5, 2, 3, 4)),
    "copy": lambda t: np.copy(t),
}


@pytest.mark.parametrize("name", NUMPY_CALLS)
def test_numpy_calls(name):
    f = NUMPY_CALLS[name]
    x = mg.tensor(X, requires_grad=True)
    y, wanted = f(x), f(X)
    np.testing.assert_array_equal(y.detach().numpy(), wanted)
    v = np.cos(np.arange(wanted.size)).reshape(wanted.shape)
    y.backward(v)
    # These maps are linear, so <v, f(e)> for each unit vector e is the gradient.
    units = [np.sum(v * (f(X + e.reshape(X.shape)) - wanted)) for e in np.eye(X.size)]
    np.testing.assert_allclose(x.grad.numpy().ravel(), units, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cuts", [2, [1], [1, 3], [0, 2, 2, 9], [-1], []])
def test_numpy_split_takes_the_places_of_the_cuts(cuts):
    for ours, theirs in zip(np.split(mg.tensor(X), cuts, axis=2), np.split(X, cuts, axis=2), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_split_takes_sizes():
    assert [p.shape for p in mg.split(mg.tensor(X), (1, 0, 3), axis=-1)] == [(2, 3, 1), (2, 3, 0), (2, 3, 3)]
    assert [p.shape for p in mg.split(mg.tensor(X), 2, axis=-1)] == [(2, 3, 2)] * 2


def test_piece_without_a_cotangent_gets_zeros():
    x = mg.tensor(X, requires_grad=True)
    mg.split(x, 3, axis=1)[1].sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros_like(X) + np.array([0, 1, 0])[:, None])


@given(st.integers(0, 12), st.integers(1, 14))
def test_chunk_is_pytorchs(torch, n, chunks):
    ours, theirs = mg.chunk(mg.tensor(np.arange(n)), chunks), torch.chunk(torch.arange(n), chunks)
    assert [p.tolist() for p in ours] == [p.tolist() for p in theirs]


def test_iteration_gives_tensors_on_the_tape():
    x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    a, b, _ = x
    assert a.shape == () and type(a._data) is np.ndarray
    (a * b).backward()
    assert x.grad.tolist() == [2, 1, 0]
    with pytest.raises(TypeError, match="0-d"):
        list(mg.tensor(1.0))


def test_methods_take_varargs():
    x = mg.tensor(X)
    assert x.reshape(4, 6).shape == x.reshape((4, 6)).shape == x.reshape([4, -1]).shape == (4, 6)
    assert x.reshape(-1).shape == (24,)
    assert x.transpose(1, 0, 2).shape == x.transpose((1, 0, 2)).shape == (3, 2, 4)
    assert x.T.shape == x.transpose().shape == (4, 3, 2)


def test_cast_brings_the_gradient_back_in_the_inputs_dtype():
    x = mg.tensor(np.array([1.5, -2.5], "float32"), requires_grad=True)
    y = x.astype("float64")
    assert y.dtype == np.float64
    (y * np.array([1.0, 3.0])).sum().backward()
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [1, 3]
    assert x.astype(int).tolist() == [1, -2] and not x.astype(int).requires_grad
    assert x.astype(bool).dtype == bool
    assert np.astype(x, "float64").requires_grad
    for dtype in ("complex64", "float16", "U3"):
        with pytest.raises(TypeError, match=r"astype\(float32\[2\]\): no tensor has dtype"):
            x.astype(dtype)


def test_copy_has_memory_of_its_own():
    x = mg.tensor(X)
    assert not np.shares_memory(x.copy()._data, x._data)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: x.reshape(5, 5), r"reshape\(float64\[2, 3, 4\]\): cannot give 24 elements the shape \(5, 5\)"),
        (lambda x: x.reshape(-2, -12), "cannot give 24 elements"),
        (lambda x: x.reshape(-1, 0), "cannot give 24 elements"),
        (lambda x: mg.broadcast_to(x, (2, 3, 5)), r"cannot broadcast to \(2, 3, 5\)"),
        (lambda x: x.transpose(0, 1), r"transpose.*axes \(0, 1\) are no permutation of the 3 axes"),
        (lambda x: x.transpose(0, 1, 5), "axis 5 does not fit 3 dimensions"),
        (lambda x: x.squeeze(1), r"squeeze: axis 1 of shape \(2, 3, 4\): only axes of size 1 can go"),
        (lambda x: x.expand_dims(5), "expand_dims: axis 5 does not fit 4 dimensions"),
        (lambda x: x.moveaxis((0, 1), 0), "moveaxis: 2 axes cannot move to 1 places"),
        (lambda x: mg.concatenate([x, x[0]]), "concatenate.*shapes must agree but on axis 0"),
        (lambda x: mg.concatenate([]), "wanted at least one tensor"),
        (lambda x: mg.concatenate([x], axis=None), "an axis must be an integer, got None"),
        (lambda x: mg.stack([x, x], axis=4), "stack.*axis 4 does not fit 4 dimensions"),
        (lambda x: mg.split(x, 3, axis=2), "cannot split 4 into 3 equal pieces; give their sizes, or use chunk"),
        (lambda x: mg.split(x, (1, 2), axis=2), r"pieces of sizes \[1, 2\] do not add up to 4"),
        (lambda x: mg.chunk(x, 0), "chunk: got chunks=0, wanted an integer of at least 1"),
        (lambda x: mg.roll(x, (1, 2), (0, 1, 2)), "2 shifts for 3 axes"),
    ],
)
def test_errors_say_what_was_wanted(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(mg.tensor(X))
