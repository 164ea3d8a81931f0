"""Products of what is looked up in a table with fewer rows than are looked up, against eager code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_jit import same

import minigrad as mg

pytestmark = pytest.mark.usefixtures("quick_kernels")

LOOKUPS = {
    "embedding": lambda table, i: mg.embedding(table, i),
    "take": lambda table, i: mg.take(table, i - 2, axis=0),  # negative ones count from the end
    "index": lambda table, i: table[i],
}


def operands(seed, n, shape, dtype="float64"):
    rng = np.random.default_rng(seed)
    table, w, h = [rng.standard_normal(s).astype(dtype) for s in [(n, 3), (3, 4), (4, 4)]]
    return table, w, h, rng.integers(0, n, shape)


@settings(max_examples=6)
@given(
    st.integers(0, 99), st.sampled_from(sorted(LOOKUPS)), st.integers(2, 9), st.sampled_from([(4, 2), (7,), (2, 3, 2)])
)
def test_jit_is_eager(seed, name, n, shape):
    table, w, _, i = operands(seed, n, shape)
    i = np.maximum(i, 1)  # one row is not looked up

    def f(table, w):
        return mg.tanh(LOOKUPS[name](table, mg.tensor(i)) @ w)

    tensors = [mg.tensor(x, requires_grad=True) for x in (table, w)]
    same(f, tensors, *tensors)


def results(f, *arrays):
    tensors = [mg.tensor(x, requires_grad=True) for x in arrays]
    y = f(*tensors)
    y.backward(mg.ones_like(y) * 0.5)
    return [y.detach().numpy(), *[np.asarray(x.grad) for x in tensors]]


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_rows_that_are_not_looked_up_have_no_part(bad):
    table, w, h, _ = operands(0, 5, (6, 2))
    table[3] = bad
    i = np.array([[0, 1], [2, 4], [0, 0], [1, 1], [2, 2], [4, 4]])

    def f(table, w, h):
        def step(state, x):
            state = mg.tanh(x @ w + state @ h)
            return state, state

        return mg.scan(step, mg.zeros((2, 4), dtype="float64"), mg.embedding(table, i))[1]

    found, wanted = results(mg.jit(f), table, w, h), results(f, table, w, h)
    for a, b in zip(found, wanted, strict=True):
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_weights_that_are_not_finite_reach_what_they_reach_in_eager_code():
    table, w, *_ = operands(0, 5, (6,))
    w[1, 2] = np.inf
    i = np.array([0, 1, 2, 4, 0, 0])
    f = lambda table, w: mg.embedding(table, i) @ w  # noqa: E731
    with np.errstate(invalid="ignore"):
        for a, b in zip(results(mg.jit(f), table, w), results(f, table, w), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_an_index_outside_is_refused_as_before():
    table, w, *_ = operands(0, 3, (6,))
    f = mg.jit(lambda i: mg.embedding(mg.tensor(table), i) @ mg.tensor(w))
    f(mg.tensor(np.zeros(6, int)))
    for wrong in (3, -1):
        with pytest.raises(IndexError, match="index"):
            f(mg.tensor(np.full(6, wrong)))


def test_which_is_more_is_a_guard_where_sizes_are_symbols():
    table, w, *_ = operands(0, 10, (2,))
    f = mg.jit(lambda i: mg.embedding(mg.tensor(table), i) @ mg.tensor(w))
    for size in (3, 4, 5, 6, 20, 30, 40, 7, 50):
        i = np.arange(size) % 10
        np.testing.assert_allclose(f(mg.tensor(i)).numpy(), table[i] @ w, rtol=1e-12)
    assert f.traces == 3  # of the first sizes; of few rows of any number; of many
