"""Elementwise ops: values and derivatives against mpmath, kinks and edges against PyTorch, dtypes against NumPy."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import numpy_rules, table
from minigrad.testing import Draw, broadcastable_shapes

OPS = {name: op for name, op in table.items() if isinstance(op, Elementwise)}
DIFFERENTIABLE = sorted(name for name, op in OPS.items() if op.derivatives)
CONDITIONS = sorted(name for name, op in OPS.items() if not op.derivatives)
PAIRS = sorted(name for name, op in OPS.items() if len(op.inputs) == 2 and op.derivatives)

EXACT = {
    **{
        f: getattr(mpmath, f)
        for f in [
            "exp",
            "expm1",
            "log",
            "log1p",
            "sqrt",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
            "erf",
            "floor",
            "ceil",
            "sign",
        ]
    },
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "pow": mpmath.power,
    "abs": mpmath.fabs,
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "arctan2": mpmath.atan2,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "round": mpmath.nint,
    "where": lambda condition, a, b: a if condition else b,
    "remainder": lambda a, b: a - b * mpmath.floor(a / b),
    "floor_divide": lambda a, b: mpmath.floor(a / b),
}


def points(op, draw, shape=(4,)):
    """An array for each input, from the domain on which the op is tested."""
    kinks = {n: op.kinks.get(n, ()) if isinstance(op.kinks, dict) else op.kinks for n in op.inputs}
    return [
        draw.mask(shape)
        if n in op.booleans
        else draw.array(shape, *op.domain[n], away=() if isinstance(kinks[n], str) else kinks[n])
        for n in op.inputs
    ]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_value_and_derivatives_are_the_exact_ones(name, data):
    """The expression in 50 digits, differentiated by mpmath, against the kernels of value and derivatives."""
    op = OPS[name]
    arrays = points(op, Draw(data))
    tensors = [mg.tensor(a, requires_grad=n in op.vjps) for n, a in zip(op.inputs, arrays)]
    y = Elementwise.namespace[name](*tensors)
    y.sum().backward()
    expression = op.expression.replace("a // b", "floor(a / b)")  # mpmath has no //
    exact = eval(f"lambda {', '.join(op.inputs)}: {expression}", dict(EXACT))
    for k, numbers in enumerate(zip(*arrays)):
        with mpmath.workdps(50):
            numbers = [bool(x) if x.dtype == bool else mpmath.mpf(float(x)) for x in numbers]
            value = exact(*numbers)
            slopes = {
                n: mpmath.diff(lambda x, i=i: exact(*numbers[:i], x, *numbers[i + 1 :]), numbers[i])
                for i, n in enumerate(op.inputs)
                if n in op.vjps
            }
        np.testing.assert_allclose(y.numpy()[k], float(value), rtol=4e-15, atol=1e-16)
        for n, x in zip(op.inputs, tensors):
            if n in op.vjps:
                np.testing.assert_allclose(x.grad.numpy()[k], float(slopes[n]), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@given(data=st.data())
def test_broadcasting_is_numpys_and_gradients_are_summed_back(name, data):
    op, draw = OPS[name], Draw(data)
    shapes = data.draw(broadcastable_shapes(len(op.inputs), min_side=0, max_side=3))
    arrays = [points(op, draw, shape)[k] for k, shape in enumerate(shapes)]
    tensors = [mg.tensor(a, requires_grad=n in op.vjps) for n, a in zip(op.inputs, arrays)]
    full = [mg.tensor(a, requires_grad=n in op.vjps) for n, a in zip(op.inputs, np.broadcast_arrays(*arrays))]
    y, z = Elementwise.namespace[name](*tensors), Elementwise.namespace[name](*full)
    np.testing.assert_array_equal(y.numpy(), z.numpy())
    y.sum().backward()
    z.sum().backward()
    for small, large in zip(tensors, full):
        if small.requires_grad:
            lead = large.ndim - small.ndim
            kept = large.grad.numpy().sum(tuple(range(lead)))
            axes = tuple(k for k, n in enumerate(small.shape) if n == 1 and kept.shape[k] != 1)
            np.testing.assert_allclose(small.grad.numpy(), kept.sum(axes, keepdims=True), rtol=1e-13, atol=1e-13)


# (op, operands, gradient of each operand, for a cotangent of 1): what PyTorch returns.
inf = float("inf")
KINKS = [
    ("abs", [0.0], [0.0]),
    ("sign", [0.0], [0.0]),
    ("relu", [0.0], [0.0]),
    ("leaky_relu", [0.0, 0.1], [0.1, 0.0]),
    ("elu", [0.0], [1.0]),
    ("maximum", [2.0, 2.0], [0.5, 0.5]),
    ("minimum", [2.0, 2.0], [0.5, 0.5]),
    ("clip", [-1.0, -1.0, 1.0], [1.0, 0.0, 0.0]),
    ("clip", [1.0, -1.0, 1.0], [1.0, 0.0, 0.0]),
    ("clip", [0.0, 2.0, 1.0], [0.0, 0.0, 1.0]),
    ("clip", [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]),
    ("hard_tanh", [-1.0], [0.0]),
    ("hard_tanh", [1.0], [0.0]),
    ("hard_sigmoid", [-3.0], [0.0]),
    ("hard_sigmoid", [3.0], [0.0]),
    ("sqrt", [0.0], [inf]),
    ("pow", [0.0, 0.0], [0.0, 0.0]),
    ("pow", [0.0, 2.0], [0.0, 0.0]),
    ("floor", [1.0], [0.0]),
    ("ceil", [1.0], [0.0]),
    ("round", [0.5], [0.0]),
]


def in_torch(torch, name):
    functional = torch.nn.functional
    return {
        "leaky_relu": lambda x, slope: torch.where(x > 0, x, slope * x),
        "elu": functional.elu,
        "hard_tanh": functional.hardtanh,
        "hard_sigmoid": functional.hardsigmoid,
    }.get(name) or getattr(torch, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name, operands, wanted", KINKS)
def test_kinks(name, operands, wanted, dtype):
    xs = [mg.tensor(x, dtype=dtype, requires_grad=True) for x in operands]
    Elementwise.namespace[name](*xs).backward(retain_graph=True)
    assert [x.grad.item() for x in xs] == np.array(wanted, dtype).tolist()
    for x in xs:
        x.grad = None
    Elementwise.namespace[name](*xs).backward(create_graph=True)
    assert [x.grad.item() for x in xs] == np.array(wanted, dtype).tolist()


@pytest.mark.parametrize("name, operands, wanted", KINKS)
def test_kinks_are_pytorchs(torch, name, operands, wanted):
    xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in operands]
    in_torch(torch, name)(*xs).backward()
    gradients = [0.0 if x.grad is None else x.grad.item() for x in xs]
    if name == "leaky_relu":  # the slope is a number there: its place in the table is the definition's
        gradients, wanted = gradients[:1], wanted[:1]
    assert gradients == wanted


@pytest.mark.parametrize("b, wanted", [(2.0, [2, 0, 0, 0]), (3.0, [0, 0, 0, 0])])
def test_second_derivatives_of_pow_at_zero(b, wanted):
    b = mg.tensor(b)
    by_a, by_b = [mg.grad(mg.pow, argnums=k) for k in (0, 1)]
    second = [mg.grad(f, argnums=(0, 1))(mg.tensor(0.0), b) for f in (by_a, by_b)]
    assert [x.item() for pair in second for x in pair] == wanted


def test_where_lets_the_nan_of_the_other_branch_through():
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    mg.where(x > 0, mg.sqrt(x), 0.0).sum().backward()
    assert np.isnan(x.grad.numpy()[0]) and x.grad.numpy()[1] == 0.25


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_python_numbers_are_weak(name, dtype):
    f = Elementwise.namespace[name]
    x = mg.tensor(np.array([0.5, 1.5], dtype), requires_grad=True)
    for y in (f(x, 0.7), f(0.7, x), f(x, 2), f(2, x)):
        assert y.dtype == dtype
        y.sum().backward()
        assert x.grad.dtype == dtype
    strong = f(x, np.float64(0.7))
    assert strong.dtype == np.float64
    whole = mg.tensor(np.array([1, 2]))
    assert f(whole, 0.5).dtype == np.float32
    assert f(whole, x).dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("jitted", [False, True])
def test_clip_of_nan_and_with_nan_is_numpys(dtype, jitted):
    values = [-2.0, 0.0, 2.0, inf, -inf, float("nan")]
    x, low, high = [a.ravel().astype(dtype) for a in np.meshgrid(values, values, values)]
    clip = mg.jit(mg.clip) if jitted else mg.clip
    np.testing.assert_array_equal(clip(*map(mg.tensor, (x, low, high))).numpy(), np.clip(x, low, high))
    for bound in (float("nan"), 1.0):
        np.testing.assert_array_equal(clip(mg.tensor(x), bound, 2.0).numpy(), np.clip(x, bound, 2.0))
        np.testing.assert_array_equal(clip(mg.tensor(x), 0.0, bound).numpy(), np.clip(x, 0.0, bound))


@pytest.mark.parametrize("ufunc", [np.float_power, np.fabs, np.rint])
@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32", "float64"])
def test_ufuncs_that_make_floats_make_the_same_floats(ufunc, dtype):
    arrays = [np.array([1, 2, 3], dtype)] * (2 if ufunc is np.float_power else 1)
    y, wanted = ufunc(*map(mg.tensor, arrays)), ufunc(*arrays)
    assert y.dtype == (wanted.dtype if wanted.dtype != np.float16 else np.float64)
    np.testing.assert_array_equal(y.numpy(), wanted)


def test_numpys_reciprocal_of_integers_is_refused():
    with pytest.raises(TypeError, match="np.reciprocal of int64 divides integers"):
        np.reciprocal(mg.tensor(np.array([1, 2])))


def test_where_and_clip_take_weak_numbers():
    x = mg.tensor(np.array([1.0, -2.0], "float32"), requires_grad=True)
    assert mg.where(x > 0, x, 0.0).dtype == np.float32
    assert mg.where(x > 0, 0, x).dtype == np.float32
    assert mg.clip(x, -1, 1).dtype == np.float32


RULES = {f"{f.__name__}-{rule.__name__}": (f, rule.op) for f, rule in numpy_rules.items() if rule.__name__ in OPS}


@pytest.mark.parametrize("rule", sorted(RULES))
@given(data=st.data())
def test_numpy_ufuncs_give_the_same_on_tensors(rule, data):
    ufunc, op = RULES[rule]
    arrays = points(op, Draw(data))
    y = ufunc(*[mg.tensor(a) for a in arrays])
    assert isinstance(y, mg.Tensor)
    wanted = ufunc(*arrays)
    assert y.dtype == wanted.dtype
    np.testing.assert_allclose(y.numpy(), wanted, rtol=4e-15, atol=1e-16)


@pytest.mark.parametrize("name", sorted(n for n, op in OPS.items() if op.integers and len(op.inputs) <= 2))
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integers_stay_what_numpy_makes_of_them(name, dtype):
    op = OPS[name]
    arrays = [np.array([1, 5, 3], dtype), np.array([2, 1, 3], dtype)][: len(op.inputs)]
    y, wanted = Elementwise.namespace[name](*[mg.tensor(a) for a in arrays]), op.integers(*arrays)
    assert y.dtype == wanted.dtype
    np.testing.assert_array_equal(y.numpy(), wanted)


EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-40, -1e-40, 30.0, -30.0, 1e3, -1e3, inf, -inf, float("nan")]
REFERENCES = {
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "log_sigmoid": lambda x: -np.logaddexp(-x, 0),
    "relu": lambda x: np.where(x < 0, 0, x),
}
BY_UFUNC = {op.name: f for f, op in RULES.values() if isinstance(f, np.ufunc) and f is not np.float_power}


@pytest.mark.parametrize("name", sorted(set(BY_UFUNC) | set(REFERENCES)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinities_nan_signed_zero_and_subnormals_are_ieees(name, dtype):
    op, reference = OPS[name], BY_UFUNC.get(name) or REFERENCES[name]
    edges = np.array(EDGES, dtype)
    operands = [edges] if len(op.inputs) == 1 else [a.ravel() for a in np.meshgrid(edges, edges)]
    with np.errstate(all="ignore"):
        wanted = np.asarray(reference(*operands))
        y = Elementwise.namespace[name](*[mg.tensor(x) for x in operands]).numpy()
    tiny = float(np.finfo(dtype).smallest_subnormal)
    np.testing.assert_allclose(y, wanted, rtol=4 * np.finfo(dtype).eps, atol=2 * tiny if wanted.dtype != bool else 0)
    zeros = (wanted == 0) & (y == 0)
    if wanted.dtype != bool and name not in ("maximum", "minimum"):  # which of two zeros, NumPy leaves open
        np.testing.assert_array_equal(np.signbit(y[zeros]), np.signbit(wanted[zeros]))


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_are_bool_and_off_the_tape(name):
    xs = [mg.tensor([0.0, 1.0, 2.0], requires_grad=True), mg.tensor([0.0, 2.0, 1.0])][: len(OPS[name].inputs)]
    y = Elementwise.namespace[name](*xs)
    assert y.dtype == bool and not y.requires_grad


@pytest.mark.parametrize("name", sorted(n for n, op in OPS.items() if len(op.inputs) == 2))
def test_shapes_that_do_not_broadcast_are_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"^{name}\(float32\[2\], float64\[3\]\): .*broadcast"):
        Elementwise.namespace[name](mg.tensor([1.0, 2.0]), mg.tensor(np.ones(3)))


def test_a_condition_that_is_not_bool_is_refused():
    with pytest.raises(TypeError, match=r"^where\(.*condition must be bool, got float32; write a comparison"):
        mg.where(mg.tensor([1.0]), 1.0, 2.0)


def test_threads_give_what_one_thread_gives():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 400_000))
    np.testing.assert_array_equal(mg.tanh(mg.tensor(a)).numpy()[:, ::7], mg.tanh(mg.tensor(a[:, ::7])).numpy())
    x = mg.tensor(a, requires_grad=True)
    mg.tanh(x).backward(a)
    few = mg.tensor(a[:, ::7].copy(), requires_grad=True)
    mg.tanh(few).backward(a[:, ::7])
    np.testing.assert_array_equal(x.grad.numpy()[:, ::7], few.grad.numpy())
