"""Properties that every row of the op table has, each drawn from the row's own sample."""

import copy
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad.ops
from minigrad import Tensor, no_grad, tensor
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import Op, Spec, composites, numpy_rules, table
from minigrad.testing import Draw, broadcastable_shapes, gradcheck, shapes

MODULES = [importlib.import_module(f"minigrad.ops.{m.name}") for m in pkgutil.iter_modules(minigrad.ops.__path__)]
FUNCTIONS = {  # but those that NumPy's functions call: they speak of np.clip, say
    f.op.name: f
    for module in MODULES
    for name, f in vars(module).items()
    if isinstance(getattr(f, "op", None), Op) and not name.startswith("_numpy_")
}
EACH = pytest.mark.parametrize("name", sorted({**table, **composites}))
EACH_OP = pytest.mark.parametrize("name", sorted(table))
EACH_DIFFERENTIABLE = pytest.mark.parametrize(
    "name", sorted([*[name for name, op in table.items() if op.vjps], *composites])
)


def kinks_of(op, name):
    kinks = op.kinks.get(name, ()) if isinstance(op.kinks, dict) else op.kinks
    return () if isinstance(kinks, str) else kinks  # "a == b": the values of one Draw never tie


def drawn(name, draw, dtype="float64"):
    """(inputs, params) of a call that the op's tests are meant for. `arrays` ops have one input, a list."""
    op = table.get(name)
    if isinstance(op, Elementwise):
        sizes = draw.draw(broadcastable_shapes(len(op.inputs), max_side=3))
        inputs = [
            draw.mask(shape) if n in op.booleans else draw.array(shape, *op.domain[n], away=(0, *kinks_of(op, n)))
            for n, shape in zip(op.inputs, sizes)
        ]
        params = {}
    else:
        *inputs, params = (op or composites[name]).sample(draw)
    return [each(x, lambda a: a.astype(dtype) if is_float(a) else a) for x in inputs], params


def is_float(a):
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def each(x, function):
    """function of an array, or of each array in a list; what is neither stays."""
    if isinstance(x, list):
        return [function(a) for a in x]
    return function(x) if isinstance(x, np.ndarray) else x


def has_gradient(name, k, x):
    """Whether input k is float and has a vjp."""
    floats = any(is_float(a) for a in x) if isinstance(x, list) else is_float(x)
    return floats and (name in composites or table[name].inputs[k] in table[name].vjps)


def call(name, inputs, params):
    function = composites.get(name) or FUNCTIONS[name]
    return function(*inputs, **copy.deepcopy(params))  # a copy: a generator among them starts afresh


def listed(results):
    return list(results) if isinstance(results, (list, tuple)) else [results]


def on_tape(name, inputs):
    """The inputs as tensors; those that have a vjp require a gradient."""
    return as_they_are([each(x, np.copy) for x in inputs], name)


def leaves_of(tensors):
    found = [t for x in tensors for t in (x if isinstance(x, list) else [x])]
    return [t for t in found if isinstance(t, Tensor) and t.requires_grad]


def cotangents(results):
    """Odd numbers for each result: no two elements have the same."""
    return [np.asarray(np.sin(1.0 + np.arange(r.size)).reshape(r.shape), r.dtype) for r in results]


def as_they_are(inputs, name=None):
    """The inputs as tensors around the very arrays: `tensor` would copy them, and lose their strides."""
    return [
        each(x, lambda a, k=k, x=x: Tensor(a).requires_grad_(bool(name) and is_float(a) and has_gradient(name, k, x)))
        for k, x in enumerate(inputs)
    ]


def gradients(name, inputs, params, create_graph=False, wrap=None):
    """Gradients of the inputs that have a vjp, given fixed cotangents of all float results."""
    tensors = wrap(inputs, name) if wrap else on_tape(name, inputs)
    results = [r for r in listed(call(name, tensors, params)) if r.requires_grad]
    for r, g in zip(results, cotangents(results)):
        r.backward(g, retain_graph=True, create_graph=create_graph)
    return [x.grad for x in leaves_of(tensors)]


def specs_of(inputs):
    flat = [a for x in inputs for a in (x if isinstance(x, list) else [x])]
    return [None if a is None else Spec(a.shape, a.dtype) for a in flat]


def described(specs):
    return [(s.shape, s.dtype) for s in listed(specs)]


def check_vjp(name, draw, second_order=False):
    """The vjps against central differences, and against the jvp by duality."""
    inputs, params = drawn(name, draw)
    where = [k for k, x in enumerate(inputs) if has_gradient(name, k, x)]

    def f(*xs):
        arguments = list(inputs)
        for k, x in zip(where, xs):
            arguments[k] = x
        return [r for r in listed(call(name, arguments, params)) if r.dtype.kind == "f"]

    gradcheck(f, [inputs[k] for k in where], second_order=second_order)


@EACH
def test_has_every_part(name):
    op = table.get(name)
    doc = (op.doc if op else composites[name].__doc__) or ""
    assert doc.partition("Examples\n")[0].strip().endswith("."), "a docstring in whole sentences"
    if op is None:
        assert composites[name].sample is not None
        return
    assert callable(op.forward) and callable(op.shape)
    assert isinstance(op, Elementwise) or op.sample is not None, "a sample for the tests"
    assert set(op.vjps) <= set(op.inputs)
    assert op.vjps or "no gradient" in doc.lower(), "vjps, or a docstring that says that there is no gradient"
    assert name in FUNCTIONS, "a public function"
    if isinstance(op, Elementwise):
        assert set(op.domain) == set(op.inputs)
        assert not isinstance(op.kinks, dict) or set(op.kinks) <= set(op.inputs)


@EACH_OP
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
def test_shape_rule_is_what_forward_gives(name, dtype, data):
    inputs, params = drawn(name, Draw(data), dtype)
    results = listed(call(name, inputs, params))
    assert described(results) == described(table[name].specs(*specs_of(inputs), **params))
    if any(is_float(a) for x in inputs for a in (x if isinstance(x, list) else [x])) and name != "astype":
        assert all(r.dtype == dtype for r in results if r.dtype.kind == "f")


@EACH
@given(data=st.data())
def test_shape_rule_accepts_what_forward_accepts(name, data):
    """Inputs of any shapes, empty and 0-d ones too: either both take them, and backward as well, or both refuse."""
    draw = Draw(data)
    inputs, params = drawn(name, draw)

    def reshaped(a):
        if draw.boolean():
            return np.zeros_like(a) if a.dtype.kind == "i" else a
        shape = draw.draw(shapes(min_side=0, max_side=3))
        if a.dtype == bool:
            return draw.mask(shape)
        return draw.array(shape, 0.3, 0.9) if is_float(a) else draw.indices(shape, 1)

    inputs = [each(x, reshaped) for x in inputs]
    wanted = None
    if name in table:
        try:
            wanted = described(table[name].specs(*specs_of(inputs), **params))
        except (ValueError, TypeError, IndexError) as error:
            wanted = error
    try:
        results = listed(call(name, on_tape(name, inputs), params))
    except np.linalg.LinAlgError:
        return  # the values' fault
    except (ValueError, TypeError, IndexError) as error:
        if (
            type(error) is IndexError
            and isinstance(wanted, list)
            and 0 in [n for x in specs_of(inputs) if x for n in x.shape]
        ):
            return  # no index into nothing is right
        assert not isinstance(wanted, list), f"the shape rule gives {wanted}, but the op raises {error!r}"
        assert re.match(rf"{name}[(:]", str(error)), "an error names the op and what it got"
        return
    assert not isinstance(wanted, Exception), f"the result is {described(results)}, the shape rule raises {wanted!r}"
    assert wanted in (None, described(results))
    for x, gradient in zip(leaves_of(on_tape(name, inputs)), gradients(name, inputs, params)):
        assert gradient is None or (gradient.shape, gradient.dtype) == (x.shape, x.dtype)


@EACH_DIFFERENTIABLE
@given(data=st.data())
def test_vjp(name, data):
    check_vjp(name, Draw(data))


@EACH_DIFFERENTIABLE
@given(data=st.data())
def test_second_derivatives(name, data):
    check_vjp(name, Draw(data), second_order=True)


@EACH_DIFFERENTIABLE
@given(data=st.data())
def test_backward_on_arrays_is_backward_on_tensors(name, data):
    inputs, params = drawn(name, Draw(data))
    plain = gradients(name, inputs, params)
    recorded = gradients(name, inputs, params, create_graph=True)
    for a, b in zip(plain, recorded, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-13, atol=1e-14)


@EACH_DIFFERENTIABLE
@given(data=st.data())
def test_backward_changes_nothing_that_it_was_given(name, data):
    inputs, params = drawn(name, Draw(data))
    tensors = on_tape(name, inputs)
    results = [r for r in listed(call(name, tensors, params)) if r.requires_grad]
    leaves, upstream = leaves_of(tensors), cotangents(results)
    given_arrays = [*upstream, *[x.numpy() for x in [*results, *leaves]]]
    copies = [a.copy() for a in given_arrays]
    for r, g in zip(results, upstream):
        r.backward(g, retain_graph=True)
    for a, before in zip(given_arrays, copies):
        np.testing.assert_array_equal(a, before)
    grads = [x.grad.numpy() for x in leaves]
    for k, g in enumerate(grads):
        for other in [*grads[:k], *given_arrays]:
            assert not np.shares_memory(g, other), "a gradient is memory of its own"


LAYOUTS = {
    "strided": lambda a: np.repeat(a, 2, -1)[..., ::2] if a.ndim else a,
    "reversed": lambda a: np.flip(np.flip(a).copy()) if a.ndim else a,
    "fortran": lambda a: np.array(a, order="F"),
    "read-only": lambda a: np.broadcast_to(a, (1, *a.shape))[0, ...],
}


@EACH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data(), layout=st.sampled_from(sorted(LAYOUTS)))
def test_memory_layout_does_not_matter(name, dtype, data, layout):
    inputs, params = drawn(name, Draw(data), dtype)
    laid_out = [each(x, LAYOUTS[layout]) for x in inputs]
    close = {"rtol": 1e-12, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-6}
    results = listed(call(name, inputs, params)), listed(call(name, as_they_are(laid_out), params))
    pairs = list(zip(*results, strict=True))
    if any(has_gradient(name, k, x) for k, x in enumerate(inputs)):
        pairs += zip(gradients(name, inputs, params), gradients(name, laid_out, params, wrap=as_they_are), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), **close)


@EACH
@given(data=st.data())
def test_float32_is_float64_rounded(name, data):
    inputs, params = drawn(name, Draw(data))
    narrow = [each(x, lambda a: a.astype("float32") if is_float(a) else a) for x in inputs]
    pairs = list(zip(listed(call(name, inputs, params)), listed(call(name, narrow, params)), strict=True))
    if any(has_gradient(name, k, x) for k, x in enumerate(inputs)):
        grads = gradients(name, inputs, params), gradients(name, narrow, params)
        pairs += zip(*grads, strict=True)
        assert all(g.dtype == np.float32 for g in grads[1])
    for wide, single in pairs:
        scale = max(1.0, np.abs(wide.numpy()).max(initial=0))
        np.testing.assert_allclose(single.numpy(), wide.numpy(), rtol=1e-4, atol=2e-5 * scale)


@EACH_OP
@given(data=st.data())
def test_integers(name, data):
    """Integer and bool operands give what the shape rule says, or an error that names the op."""
    draw = Draw(data)
    inputs, params = drawn(name, draw)
    kind = draw.choice(["int64", "int32", "uint8", "bool"])
    inputs = [each(x, lambda a: np.abs(a * 2).astype(kind) if is_float(a) else a) for x in inputs]
    with np.errstate(all="ignore"):
        try:
            results = listed(call(name, inputs, params))
        except np.linalg.LinAlgError:
            return
        except (TypeError, ValueError) as error:
            assert str(error).startswith(f"{name}("), error
            return
    assert described(results) == described(table[name].specs(*specs_of(inputs), **params))


@EACH
@given(data=st.data())
def test_no_grad_records_nothing(name, data):
    inputs, params = drawn(name, Draw(data))
    tensors = on_tape(name, inputs)
    with no_grad():
        quiet = listed(call(name, tensors, params))
    loud = listed(call(name, tensors, params))
    wanted = any(has_gradient(name, k, x) for k, x in enumerate(inputs))
    for a, b in zip(quiet, loud, strict=True):
        assert isinstance(a, Tensor) and not a.requires_grad
        assert b.requires_grad == (wanted and b.dtype.kind == "f")
        np.testing.assert_array_equal(a.numpy(), b.detach().numpy())


RULES = {f"{f.__name__}-{rule.__name__}": (f, rule.__name__) for f, rule in numpy_rules.items()}
WRITTEN_OUT = {  # rules that translate NumPy's parameters into others of ours
    "split-_cut": lambda x: np.split(x, [1, 3], axis=1),
    "diagonal-diagonal": lambda x: np.diagonal(x, 1),
    "diagonal-_last_diagonal": lambda x: np.linalg.diagonal(x, offset=1),
    "trace-_last_trace": lambda x: np.linalg.trace(x, offset=1),
    "diag-diag": lambda x: np.diag(x, k=-1),
    "astype-astype": lambda x: np.astype(x, np.float32),
    "einsum-einsum": lambda x: np.einsum("ij,kj->ik", x, x),
}


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_numpy_functions_of_tensors_are_ops(rule, data):
    function, name = RULES[rule]
    if rule in WRITTEN_OUT:
        inputs, params, function, wanted = [Draw(data).array((3, 4))], {}, WRITTEN_OUT[rule], True
        tensors = [tensor(inputs[0], requires_grad=True)]
    else:
        inputs, params = drawn(name, Draw(data))
        params.pop("descending", None)  # which NumPy's have not
        tensors = on_tape(name, inputs)
        wanted = any(has_gradient(name, k, x) for k, x in enumerate(inputs))
    for a, b in zip(listed(function(*tensors, **params)), listed(function(*inputs, **params)), strict=True):
        assert isinstance(a, Tensor) and a.requires_grad == (wanted and a.dtype.kind == "f")
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-12, atol=1e-14)


def test_what_only_vjps_call_is_not_public():
    internal = {name for name, op in table.items() if not op.public}
    assert {"unindex", "softmax_pull", "huber_penalty", "conv2d_weight"} <= internal
    assert not internal & set(minigrad.ops.__all__)


def test_a_broken_vjp_is_noticed():
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import mutation

    assert mutation.survivors() == []
