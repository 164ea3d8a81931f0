"""Every op of the table, inside of a jitted function and inside of a compiled loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import interpreted
from test_jit import same

import minigrad as mg
from minigrad.ops.table import composites, table
from minigrad.testing import Draw

PUBLIC = {op.name: op for op in table.values() if op.public}
NAMES = [*PUBLIC, *composites]
UNKNOWN = {"draw"}


def sampled(d, name):
    """(function of the float operands, those operands): one call of the op on what its declaration samples."""
    if name in composites:
        call, sample = composites[name], composites[name].sample
    else:
        call, sample = PUBLIC[name].call, PUBLIC[name].sample
    *inputs, params = sample(d) if sample else elementwise(d, PUBLIC[name])
    several = bool(inputs) and isinstance(inputs[0], list)
    inputs = inputs[0] if several else inputs
    operands = [x if x is None else np.asarray(x) for x in inputs]
    where = [k for k, x in enumerate(operands) if x is not None and x.dtype.kind == "f"]

    def f(*floats):
        given = list(operands)
        for k, x in zip(where, floats):
            given[k] = x
        return call(given, **params) if several else call(*given, **params)

    return f, [mg.tensor(operands[k], requires_grad=True) for k in where]


def elementwise(d, op):
    shape = d.shape(0, 3)
    operands = []
    for name in op.inputs:
        low, high = op.domain.get(name, (-2, 2))
        operands.append(d.mask(shape) if name in op.booleans else d.array(shape, low, high))
    return (*operands, {})


def total(result):
    return sum(y.astype("float64").sum() for y in mg.tree.flatten(result)[0])


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=3)
@given(st.data())
def test_jitted(name, data):
    f, floats = sampled(Draw(data), name)
    same(f, floats, *floats)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=3)
@given(st.data())
def test_in_a_loop(name, data):
    """Of a value that changes from step to step, and of one that the loop closes over."""
    f, floats = sampled(Draw(data), name)
    h = mg.tensor(np.float64(0.3), requires_grad=True)

    def step(h, x):
        y = f(*[a + 0.01 * (h + x) for a in floats]) if floats else f()
        return mg.tanh(0.5 * h + total(y) + total(f(*floats))), y

    def g(h, *floats):
        return mg.scan(step, h, np.array([0.1, 0.3, 0.2]))

    with interpreted():
        same(g, [h, *floats], h)


WITHOUT_AXES = {  # where NumPy returns a number of its own in place of an array
    **{f"einsum {s}": lambda x, s=s: mg.einsum(s, x) for s in ("ii->", "ij->", "ii")},
    "einsum i->": lambda x: mg.einsum("i->", x[0]),
    "einsum i,i": lambda x: mg.einsum("i,i", x[0], x[1]),
    "unstack": lambda x: mg.unstack(x[0])[1],
    "split": lambda x: mg.split(x.reshape(-1), 4)[0].reshape(()),
    "getitem": lambda x: x[0, 1],
    "slogdet": lambda x: mg.slogdet(x)[1],
    "sorted": lambda x: mg.sort(x.reshape(-1))[0],
    **{name: lambda x, f=f: f(x) for name, f in {
        "sum": mg.sum, "mean": mg.mean, "max": mg.max, "prod": mg.prod, "logsumexp": mg.logsumexp, "det": mg.det,
        "argmax": mg.argmax, "any": mg.any, "trace": mg.trace, "norm": mg.norm, "var": mg.var,
    }.items()},
    "dot": lambda x: mg.dot(x[0], x[1]),
    "matmul": lambda x: x[0] @ x[1],
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_AXES)
def test_a_result_without_axes_is_an_array(name):
    f = WITHOUT_AXES[name]
    x = mg.tensor(np.array([[2.0, 1.0], [0.5, 3.0]]), requires_grad=True)
    wanted = f(x).detach().numpy()
    y = mg.jit(f)(x).detach().numpy()
    assert type(y) is np.ndarray and y.shape == ()
    np.testing.assert_allclose(y, wanted, rtol=1e-12)
    _, ys = mg.jit(lambda x: mg.scan(lambda c, a: (c + f(a).astype("float64"), f(a)), np.zeros(()), x))(
        mg.stack([x, x])
    )
    assert type(ys.detach().numpy()) is np.ndarray
    np.testing.assert_allclose(ys.detach().numpy(), [wanted, wanted], rtol=1e-12)


def test_a_product_of_nothing_is_zero():
    y = mg.jit(mg.matmul)(mg.tensor(np.ones((2, 3, 0), "float32")), mg.tensor(np.ones((0, 4), "float32")))
    np.testing.assert_array_equal(y.numpy(), np.zeros((2, 3, 4)))
