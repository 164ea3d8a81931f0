"""Rules: what the compiler knows of each op of the table (minigrad/ir/rules)."""

import ast
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad import Tensor
from minigrad.compile.execute import Sequence
from minigrad.compile.partition import kind_of
from minigrad.ir.loop import Body
from minigrad.ir.rewrite import order_of
from minigrad.ir.rules import batched, rule_of
from minigrad.ir.rules.batch import ON_TENSORS, ops_of
from minigrad.ir.rules.partition import PARTIAL, REPLICATE, SHARD, axis_of, stacked
from minigrad.ir.rules.rule import Unsupported, nothing
from minigrad.ir.trace import Program
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import Spec, table
from minigrad.testing import Draw, broadcastable_shapes

N = 3
EACH_OP = pytest.mark.parametrize("name", sorted(table))


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
    return (inputs[0] if op.variadic else inputs), params


def samples_of(x, name):
    """N operands like x: other numbers, in the same range; of matrices, multiples, which are as well conditioned."""
    if x.dtype.kind == "f" and name in ("inv", "solve", "cholesky", "cofactor", "det", "slogdet"):
        return np.stack([x * (1 + k / 4) for k in range(N)])
    return np.stack([np.roll(x, k) for k in range(N)])


def one_by_one(op, inputs, params):
    result = op.forward(list(inputs), **params) if op.variadic else op.forward(*inputs, **params)
    return [np.asarray(r) for r in result] if isinstance(result, list) else [np.asarray(result)]


def compare(results, wanted):
    for got, *parts in zip(results, *wanted, strict=True):
        assert got.dtype == parts[0].dtype and got.shape == (N, *parts[0].shape)
        for a, b in zip(got, parts):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def run(program, roots, arrays):
    captured = [(value, tensor._data) for [(value, _, tensor)] in program.captured.values()]
    given = [*program.inputs, *[value for value, _ in captured]]
    return Sequence(given, roots)([*arrays, *[array for _, array in captured]])


@EACH_OP
@given(data=st.data())
def test_a_batching_rule_gives_the_calls_of_the_samples_one_by_one(name, data):
    op, (inputs, params) = table[name], sample(name, Draw(data))
    inputs = [x if x is None else np.asarray(x) for x in inputs]
    there = [x is not None for x in inputs]
    for on in itertools.product([False, True], repeat=len(inputs)):
        if not any(on) or any(flag and not is_there for flag, is_there in zip(on, there)):
            continue
        operands = [samples_of(x, name) if flag else x for x, flag in zip(inputs, on)]
        wanted = [one_by_one(op, [x[k] if flag else x for x, flag in zip(operands, on)], params) for k in range(N)]
        tensors = [None if x is None else Tensor(x) for x in operands]
        results = batched(ON_TENSORS, name, N, tensors, on, params)
        compare([x.numpy() for x in (results if isinstance(results, list) else [results])], wanted)

        program = Program()
        values = [None if x is None else program.input(Spec(x.shape, x.dtype)) for x in operands]
        program.inputs = [v for v in values if v is not None]
        roots = batched(ops_of(program), name, N, values, on, params)
        roots = roots if isinstance(roots, list) else [roots]
        compare(run(program, roots, [x for x in operands if x is not None]), wanted)


@EACH_OP
@given(data=st.data())
def test_a_partition_rule_says_what_each_row_depends_on(name, data):
    """Of a sharded result a row stays what it is when all rows of the sharded operands become like it; a partial one
    is the sum of what the rows give that some threads have, and of what the others give. The rows may be the second
    axis, as in the stacks of a loop in the step."""
    draw = Draw(data)
    inputs, params = sample(name, draw)
    arrays = [np.asarray(x) for x in inputs if x is not None]
    at = draw.choice([0, 0, 1])
    batch = draw.choice([x.shape[at] for x in arrays if x.ndim > at] or [0])
    sharded = [x.ndim > at and x.shape[at] == batch and draw.boolean() for x in arrays]
    program = Program()
    program.inputs = [program.input(x) for x in arrays]
    values = iter(program.inputs)
    made = program.apply(name, *[None if x is None else next(values) for x in inputs], **params)
    roots = made if isinstance(made, list) else [made]
    kinds = {v: stacked(SHARD, at) if flag else REPLICATE for v, flag in zip(program.inputs, sharded)}
    try:
        for v in order_of(roots):
            kinds.setdefault(v, REPLICATE if v.op is None else kind_of(v, kinds))
    except Unsupported:
        return
    whole = run(program, roots, arrays)

    def changed(function):
        return run(program, roots, [function(x) if flag else x for x, flag in zip(arrays, sharded)])

    row = draw.integer(0, max(0, batch - 1))
    has = np.arange(batch) <= row
    for k, root in enumerate(roots):
        axis = axis_of(kinds.get(root, REPLICATE))
        if axis is not None and root.shape[axis] == batch and batch:
            alike = changed(lambda x: np.repeat(np.take(x, [row], at), batch, at))[k]
            np.testing.assert_allclose(np.take(alike, row, axis), np.take(whole[k], row, axis), rtol=1e-9, atol=1e-12)
        if kinds.get(root) == PARTIAL:
            parts = [
                changed(lambda x, mask=mask: np.where(mask.reshape(-1, *[1] * (x.ndim - 1 - at)), x, np.zeros_like(x)))[
                    k
                ]
                for mask in (has, ~has)
            ]
            np.testing.assert_allclose(parts[0] + parts[1], whole[k], rtol=1e-9, atol=1e-12)


def floats(inputs) -> list:
    return [np.asarray(x).astype("float64") if np.asarray(x).dtype.kind == "f" else np.asarray(x) for x in inputs]


@pytest.mark.parametrize("name", [name for name, op in sorted(table.items()) if rule_of(op).additive])
@given(data=st.data())
def test_the_sum_of_an_additive_op_is_that_of_its_operands(name, data):
    inputs, params = sample(name, Draw(data))
    stacks = [samples_of(x, name) for x in floats(inputs)]
    wanted = sum([one_by_one(table[name], [x[k] for x in stacks], params)[0] for k in range(N)])
    (got,) = one_by_one(table[name], [x.sum(0) for x in stacks], params)
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


LINEAR = [
    (name, k) for name, op in sorted(table.items()) if type(rule_of(op).linear) is tuple for k in rule_of(op).linear
]


@pytest.mark.parametrize("name, k", LINEAR)
@given(data=st.data())
def test_an_op_is_linear_in_the_operands_that_its_rule_names(name, k, data):
    inputs, params = sample(name, Draw(data))
    inputs = floats(inputs)
    stack = samples_of(inputs[k], name)

    def result(x):
        return one_by_one(table[name], [*inputs[:k], x, *inputs[k + 1 :]], params)[0]

    np.testing.assert_allclose(result(stack.sum(0)), sum([result(x) for x in stack]), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, op in sorted(table.items()) if rule_of(op).over_steps is not nothing])
@given(data=st.data())
def test_the_sum_over_the_steps_is_one_op_on_what_all_steps_have(name, data):
    draw = Draw(data)
    inputs, params = sample(name, draw)
    if name == "matmul":
        rows, n, m = [draw.integer(1, 4) for _ in range(3)]
        inputs = [draw.array((rows, n)), draw.array((rows, m))]
    program, inputs = Program(), floats(inputs)
    program.inputs = [program.input(x) for x in inputs]
    a, b = program.inputs
    operands = (program.apply("transpose", a, axes=(1, 0)), b) if name == "matmul" else (a, b)
    value = program.apply(name, *operands, **params)
    found = rule_of(value.op).over_steps(value)
    if found is None:
        return
    assert list(found[0]) == program.inputs
    stacks = [samples_of(x, name) for x in inputs]
    wanted = sum([run(program, [value], [x[k] for x in stacks])[0] for k in range(N)])
    got = found[1](ON_TENSORS, *[Tensor(x) for x in stacks])
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-9, atol=1e-12)


FACTORISATIONS = {"svd", "eigh", "qr", "pinv"}  # which LAPACK computes, in loops too


@EACH_OP
@given(data=st.data())
def test_every_op_has_a_rule(name, data):
    """Under batching; and if it remains in its canonical form, under partition, and what becomes of it in a loop."""
    rule = rule_of(table[name])
    assert rule.batch is not None, f"declare {name} in minigrad/ir/rules"
    if rule.partition is None or not (rule.kernel or rule.lower or rule.view or name in FACTORISATIONS):
        assert rule.canonical is not None
        inputs, params = sample(name, Draw(data))
        program = Body(Program())  # of a loop: outside, the op may stay one call
        values = [None if x is None else program.input(np.asarray(x)) for x in inputs]
        made = program.apply(name, *values, **params)
        assert all(v.op is not table[name] for v in order_of(made if isinstance(made, list) else [made]))


def test_passes_and_kernels_know_ops_by_their_rules():
    """Names of ops as text, in what is no rule: those that are left are words of other things too, as `sum`."""
    home = Path(minigrad.__file__).parent
    files = [f for folder in ("ir", "compile") for f in (home / folder).rglob("*.py") if "rules" not in f.parts]
    found = [
        f"{f.name}:{node.lineno}: {node.value}"
        for f in files
        for node in ast.walk(ast.parse(f.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in table
    ]
    assert len(found) < 20, "\n".join(found)


def test_what_is_applied_has_all_its_parameters():
    """So that passes may read them."""
    program = Program()
    x = program.input(Spec((2, 3), np.dtype("float64")))
    assert program.apply("sum", x, axis=(0,)).params == {"axis": (0,), "keepdims": False}
    assert program.apply("concatenate", x, x).params == {"axis": 0}
