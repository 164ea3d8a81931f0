"""Every op of the table as ONNX: what onnxruntime computes is what the op does; or it says why it has no form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_running import NoKernel, close, eager, run, session_of

import minigrad as mg
from minigrad.ir.rules import rule_of
from minigrad.onnx.forms import FORMS, Without, form_of
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import Op, table
from minigrad.testing import Draw, broadcastable_shapes

WITHOUT = sorted(name for name, form in FORMS.items() if isinstance(form, Without))
WITH = sorted(table.keys() - set(WITHOUT))
# Of what onnxruntime (1.32) has no kernels of these dtypes; the models are right by ONNX's own description.
NO_KERNEL = {"conv2d", "conv_transpose2d", "pool_sum", "pool_spread", "det"}


def sample(name, draw):
    """(inputs, one by one, and params) of a call that the op's tests are meant for."""
    op = table[name]
    if isinstance(op, Elementwise):
        shapes = draw.draw(broadcastable_shapes(len(op.inputs), max_side=3))
        inputs = [
            draw.mask(shape) if n in op.booleans else draw.array(shape, *op.domain[n])
            for n, shape in zip(op.inputs, shapes)
        ]
        return inputs, {}
    *inputs, params = op.sample(draw)
    return (list(inputs[0]) if op.variadic else inputs), params


def call(op, params):
    return lambda *x: op.call(list(x), **params) if op.variadic else op.call(*x, **params)


def test_every_op_has_a_form_or_a_reason():
    known = [name for name, op in table.items() if form_of(op) is not None or rule_of(op).canonical]
    assert set(known) == set(table)
    assert set(FORMS) <= set(table)


def test_an_op_without_a_form_is_missed(monkeypatch):
    monkeypatch.setitem(table, "new", op := object.__new__(Op))
    op.name = "new"
    assert form_of(op) is None


@pytest.mark.parametrize("name", WITH)
@settings(max_examples=3)
@given(data=st.data(), dtype=st.sampled_from(["float32", "float64"]))
def test_an_op_is_what_onnxruntime_computes(name, data, dtype, tmp_path_factory):
    inputs, params = sample(name, Draw(data))
    inputs = [None if x is None else np.asarray(x, dtype if x.dtype.kind == "f" else None) for x in inputs]
    f = call(table[name], params)
    given = [x for x in inputs if x is not None]

    def exported(*x):
        rest = iter(x)
        return f(*[None if x is None else next(rest) for x in inputs])

    path = tmp_path_factory.mktemp("onnx") / "op.onnx"
    model = mg.export(exported, given, path)
    try:
        session = session_of(model)
    except NoKernel:
        assert dtype == "float64" and (name in NO_KERNEL or isinstance(table[name], Elementwise))
        return
    close(run(session, *given), eager(exported, *map(mg.tensor, given)), scale=64.0)
