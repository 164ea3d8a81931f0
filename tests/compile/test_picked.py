"""An index with integers that are not known while a function is traced: NumPy's meaning, eager, jitted and in loops."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import Draw

SHAPE = (3, 4, 2, 5)


def entry(d, n: int):
    kind = d.choice(["slice", "none", "integer", "scalar", "row", "matrix"])
    if kind == "slice":
        return slice(d.choice([None, 0, 1]), d.choice([None, n, n - 1]))
    if kind == "integer":
        return d.integer(-n, n - 1)
    if kind == "none":
        return None
    shape = {"scalar": (), "row": (3,), "matrix": (2, 3)}[kind]
    return np.array(d.indices(shape, n)) - d.choice([0, n])


def drawn(data):
    """(an index of an array of SHAPE, the places in it of the arrays that a jitted function is given)"""
    d = Draw(data)
    index: list = []
    axis = 0
    while axis < len(SHAPE) and d.integer(0, 9):
        index.append(entry(d, SHAPE[axis]))
        axis += index[-1] is not None
    if d.integer(0, 2) == 0:
        index.insert(d.integer(0, len(index)), ...)
    return tuple(index), [k for k, part in enumerate(index) if isinstance(part, np.ndarray) and d.integer(0, 2)]


def with_given(index, places, tensors):
    whole = list(index)
    for k, t in zip(places, tensors):
        whole[k] = t
    return tuple(whole)


@given(st.data())
def test_any_index_reads_and_writes_what_numpys_does(data):
    index, places = drawn(data)
    assume(places)
    rng = np.random.default_rng(0)
    x = rng.normal(size=SHAPE)
    try:
        wanted = x[index]
    except IndexError:  # the arrays do not broadcast
        assume(False)
    values = rng.normal(size=wanted.shape)
    tensors = [mg.tensor(index[k]) for k in places]

    def read(x, v, *tensors):
        return x[with_given(index, places, tensors)] * v

    def write(x, v, *tensors):
        y = x * 1.0
        y[with_given(index, places, tensors)] = v
        return y * x

    written = x.copy()
    written[index] = values
    for f, expected in ((read, wanted * values), (write, written * x)):
        found = []
        for g in (f, mg.jit(f)):
            leaves = [mg.tensor(a, requires_grad=True) for a in (x, values)]
            y = g(*leaves, *tensors)
            np.testing.assert_array_equal(y.detach().numpy(), expected)
            y.sum().backward()
            found.append([leaf.grad.numpy() for leaf in leaves])
        for ours, eager in zip(*found):
            np.testing.assert_allclose(ours, eager, rtol=1e-12)


def ring(m, t, x):
    """Written at a counter, read at another one."""
    m = m * 1.0
    m[:, t % 3] = mg.tanh(x + m[:, (t + 1) % 3])
    return m


def slots(m, i, x):
    """Each row writes to a slot of its own."""
    m = m * 1.0
    rows = np.arange(m.shape[0])
    m[rows, i] = m[rows, i - 1] * x
    return m


@pytest.mark.filterwarnings("error")  # of calls of Python
@pytest.mark.parametrize("f, at", [(ring, np.arange(7)), (slots, np.random.default_rng(1).integers(0, 3, (7, 2)))])
def test_memories_in_a_loop(f, at):
    rng = np.random.default_rng(0)
    start, xs = [mg.tensor(rng.normal(size=s), requires_grad=True) for s in ((2, 3, 4), (7, 2, 4))]
    at = mg.tensor(at)

    def total(start, xs):
        return (mg.scan(lambda m, ix: (f(m, *ix),) * 2, start, (at, xs))[1] ** 2).sum()

    mg.testing.gradcheck(total, [start, xs])
    values, gradients = mg.value_and_grad(total, (0, 1))(start, xs)
    jitted = mg.jit(total)
    np.testing.assert_allclose(jitted(start, xs).item(), values.item(), rtol=1e-12)
    for ours, eager in zip(mg.grad(jitted, (0, 1))(start, xs), gradients):
        np.testing.assert_allclose(ours.numpy(), eager.numpy(), rtol=1e-10)


def test_mapped():
    rng = np.random.default_rng(0)
    x, i = mg.tensor(rng.normal(size=(5, 3, 4))), mg.tensor(rng.integers(0, 4, 5))
    for f in (lambda x, i: x[:, i], lambda x, i: x[i - 1, i], lambda x, i: x[1:, None, i]):
        wanted = np.stack([f(x.numpy()[k], int(i.numpy()[k])) for k in range(5)])
        for g in (mg.vmap(f), mg.jit(mg.vmap(f))):
            np.testing.assert_array_equal(g(x, i).numpy(), wanted)


@pytest.mark.parametrize("bad", [4, -5])
def test_what_is_not_there_is_said(bad):
    x = mg.tensor(np.zeros((2, 4, 3)))
    for f in (lambda x, i: x[:, i], lambda x, i: x[0, i, 1], lambda x, i: x[i - i, i]):
        with pytest.raises(IndexError, match=r"out of bounds|no place|does not fit"):
            mg.jit(f)(x, mg.tensor(bad))

    def put(x, i):
        y = x * 1.0
        y[:, i] = 1.0
        return y

    with pytest.raises(IndexError, match="out of bounds"):
        mg.jit(put)(x, mg.tensor(bad))


def test_too_many_entries_and_values_that_do_not_fit():
    x = mg.tensor(np.zeros((2, 4)))
    with pytest.raises(IndexError, match="3 entries"):
        mg.jit(lambda x, i: x[:, i, 0])(x, mg.tensor(1))

    def put(x, i):
        y = x * 1.0
        y[:, i] = np.ones(3)
        return y

    with pytest.raises(ValueError, match=r"setitem of float64\[3\] into float64\[2, 4\]"):
        mg.jit(put)(x, mg.tensor(1))
