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
