"""Derivatives of order 1 to 4 at 0, at ±1 and ±2, at kinks, at infinities: PyTorch's, wherever it has a number.

Where PyTorch's is NaN (atan2 at the origin, say) ours may be a number. Powers are compared with their closed form, too.
"""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import composites, table

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity
F = torch.nn.functional
inf = math.inf

OPS = {name: op for name, op in table.items() if isinstance(op, Elementwise) and op.derivatives}
POINTS = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, inf, -inf]
COUNTERPARTS = {  # those that PyTorch has under another name, or differentiates but once
    "div": torch.div, "floor_divide": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "cbrt": lambda x: x.sign() * x.abs() ** (1 / 3),
    "arctan2": torch.atan2, "clip": torch.clamp, "elu": F.elu, "gelu": F.gelu, "silu": F.silu,
    "leaky_relu": lambda x, slope: torch.where(x > 0, x, slope * x), "log_sigmoid": F.logsigmoid,
    "hard_sigmoid": lambda x: F.hardtanh(x / 6, -0.5, 0.5) + 0.5, "hard_tanh": F.hardtanh,
    "softplus": lambda x: F.softplus(x, threshold=1e9),
    "huber_penalty": lambda x, delta: torch.where(abs(x) < delta, 0.5 * x * x, delta * (abs(x) - 0.5 * delta)),
    "logistic_loss": lambda x, target: F.binary_cross_entropy_with_logits(x, target, reduction="none"),
}  # fmt: skip
POSITIVE = {"huber_penalty": "delta"}


def their_derivatives(f, arrays, order, weights=1.0):
    """PyTorch's derivatives of the sum of f, with respect to one input after another (by index)."""
    xs = [torch.tensor(a, requires_grad=a.dtype != bool) for a in arrays]
    y, found = f(*xs), []
    for k in order:
        g = torch.autograd.grad(y.sum(), xs[k], create_graph=True, allow_unused=True)[0] if y.requires_grad else None
        y = torch.zeros_like(xs[k].detach()) if g is None else g * torch.as_tensor(weights)
        found.append(y.detach().numpy(force=True))
    return found


def our_derivatives(f, arrays, order, weights=1.0):
    found = []
    for k in order:
        f = mg.grad(lambda *xs, f=f: f(*xs).sum(), argnums=k)
        f = f if isinstance(weights, float) else lambda *xs, f=f: f(*xs) * weights
        found.append(f(*[mg.tensor(a) for a in arrays]).numpy())
    return found


def assert_theirs(ours, theirs, arrays, order):
    for n, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        wrong = ~(np.isclose(a, b, rtol=1e-9, atol=1e-12) | np.isnan(b))
        at = [tuple(float(x[i]) for x in arrays) for i in np.flatnonzero(wrong)[:5]]
        assert not wrong.any(), f"derivative {order[: n + 1]} at {at}: {a[wrong][:5]}, PyTorch {b[wrong][:5]}"


def points_of(op):
    few = POINTS if len(op.inputs) < 3 else POINTS[:6]
    chosen = [
        [True, False] if n in op.booleans else [p for p in few if p > 0] if n == POSITIVE.get(op.name) else few
        for n in op.inputs
    ]
    return [np.array(column) for column in zip(*itertools.product(*chosen))]


def elementwise_edges(name, order):
    op = OPS[name]
    arrays = points_of(op)
    places = [k for k, n in enumerate(op.inputs) if n in op.vjps]
    theirs = COUNTERPARTS.get(name) or getattr(torch, name)
    for sequence in itertools.product(places, repeat=order):
        wanted = their_derivatives(theirs, arrays, sequence)
        if name == "pow":  # mixed ones of theirs are 0, and wrong, where an exponent has become 0
            mixed = [len(set(sequence[: n + 1])) == 2 for n in range(order)]
            known = ~np.isin(arrays[1], range(order))
            if order > 2:  # at a base of 0 they are sums of infinite terms of both signs
                known &= arrays[0] != 0
            wanted = [np.where(known, w, np.nan) if m else w for w, m in zip(wanted, mixed)]
        assert_theirs(our_derivatives(op.call, arrays, sequence), wanted, arrays, sequence)


@pytest.mark.parametrize("name", OPS)
def test_second_derivatives_of_elementwise_ops(name):
    elementwise_edges(name, 2)


@pytest.mark.heavy
@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize("name", OPS)
def test_higher_derivatives_of_elementwise_ops(name, order):
    elementwise_edges(name, order)


@pytest.mark.parametrize("name", OPS)
def test_an_infinite_cotangent_of_a_step_or_a_closed_gate_is_zero(name):
    """What is constant, or not selected, takes no part: where PyTorch gives 0 for it, no NaN comes of 0 times inf."""
    op = OPS[name]
    arrays = points_of(op)
    xs = [torch.tensor(a, requires_grad=a.dtype != bool) for a in arrays]
    y = (COUNTERPARTS.get(name) or getattr(torch, name))(*xs)
    y.backward(torch.full_like(y, inf))
    leaves = [mg.tensor(a, requires_grad=n in op.vjps) for n, a in zip(op.inputs, arrays)]
    op.call(*leaves).backward(np.full(y.shape, inf))
    for n, ours, theirs in zip(op.inputs, leaves, xs):
        if n in op.vjps and theirs.grad is not None:
            gradient = ours.grad.numpy()
            wrong = (theirs.grad.numpy() == 0) & (gradient != 0)
            if (
                name == "pow"
            ):  # 0 for any x ** 0 there: ours keeps the mixed derivative, 1 / a, and has 0 at 0 ** 0 alone
                wrong &= arrays[0] == 0
            assert not wrong.any(), (n, [a[wrong] for a in arrays], gradient[wrong])


# Powers


def power_derivative(a, b, order):
    """The derivative of a ** b with respect to a, of some order."""
    factor = math.prod([b - k for k in range(order)])
    if factor == 0:
        return 0.0
    with np.errstate(all="ignore"):
        return float(factor * np.float64(a) ** np.float64(b - order))


BASES = np.array([0.0, 1.0, -1.0, 2.0, -0.5])
EXPONENTS = [0, 1, 2, 3, 0.0, 1.0, 2.0, 3.0, 4.0, -1, -2.0, 0.5, 1.5, 2.5, -0.5]


def nth(f, order, argnums=0):
    for _ in range(order):
        f = mg.grad(lambda *xs, f=f: f(*xs).sum(), argnums=argnums)
    return f


def as_given(how, dtype, b):
    """(function of x, its operands): a power whose exponent is a number, a tensor, or a parameter."""
    if how == "number":
        return (lambda x: x**b), ()
    exponent = mg.tensor(np.full(BASES.shape, b, dtype), requires_grad=how == "parameter")
    return (lambda x, e: x**e), (exponent,)


def expected(b, order):
    bases = BASES if b == int(b) else BASES[BASES >= 0]
    return bases, np.array([power_derivative(a, b, order) for a in bases])


@pytest.mark.parametrize("b", EXPONENTS, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", ["number", "tensor", "parameter"])
def test_derivatives_of_powers(how, dtype, b):
    f, others = as_given(how, dtype, b)
    for order in range(1, 5):
        bases, wanted = expected(b, order)
        others_here = [mg.tensor(e.numpy()[: len(bases)], requires_grad=e.requires_grad) for e in others]
        derivative = nth(f, order)
        for way in (derivative, mg.jit(derivative)):
            found = way(mg.tensor(bases.astype(dtype)), *others_here).numpy()
            np.testing.assert_allclose(found, wanted, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(
    "dtype, how, orders",
    [("float64", "number", [2]), pytest.param("float32", "number", [1, 2, 3], marks=pytest.mark.heavy)]
    + [pytest.param("float64", "parameter", [1, 2, 3], marks=pytest.mark.heavy)],
)
def test_derivatives_of_powers_in_a_compiled_loop(dtype, how, orders):
    exponents = [0, 1, 2.0] if orders == [2] else [0, 1, 2.0, 3, 4.0]
    x, given = mg.tensor(BASES.astype(dtype)), exponents
    if how == "parameter":
        given = [mg.tensor(np.full(BASES.shape, b, dtype), requires_grad=True) for b in exponents]

    def f(x, *exponents):
        def step(total, _):
            return total + sum(x**b for b in exponents), None

        return mg.scan(step, mg.tensor(np.zeros(len(BASES), dtype)), None, 2)[0]

    for order in orders:
        found = mg.jit(nth(f, order))(x, *given).numpy()
        wanted = sum(2 * expected(b, order)[1] for b in exponents)
        np.testing.assert_allclose(found, wanted, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_mixed_derivatives_of_powers():
    """d/da d/db a ** b = a ** (b - 1) (1 + b log(a)), at exponents of 0 as well."""
    a, b = [x.ravel() for x in np.meshgrid([0.5, 1.0, 2.0], [0.0, 1.0, 2.0, -1.0, 0.5])]
    wanted = a ** (b - 1) * (1 + b * np.log(a))
    for order in ((0, 1), (1, 0)):
        np.testing.assert_allclose(our_derivatives(mg.pow, [a, b], order)[1], wanted, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_hessian_of_a_polynomial_at_the_origin(order):
    found = nth(lambda x: 3 + 5 * x**1 + 7 * x**2.0 + 11 * x**3 + 13 * x**4, order)(mg.tensor(np.zeros(1)))
    assert found.tolist() == [{1: 5.0, 2: 14.0, 3: 66.0, 4: 312.0}[order]]


# The other ops

ROWS = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, -1.0], [2.0, 0.0, 0.0], [-1.0, 0.5, 0.0]])
CLASSES = np.array([0, 2, 1, 0, 1])
SQUARE = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def standardized(x):
    """Written out: the fourth derivative of PyTorch's layer_norm depends on the mean."""
    return (x - x.mean(1, keepdim=True)) / torch.sqrt(x.var(1, correction=0, keepdim=True) + 1e-5)


CURVED = {  # name: (ours, PyTorch's, operand): of one float tensor
    "prod": (lambda x: mg.prod(x, 1), lambda x: torch.prod(x, 1), ROWS),
    "cumprod": (lambda x: mg.cumprod(x, 1), lambda x: torch.cumprod(x, 1), ROWS),
    "logsumexp": (lambda x: mg.logsumexp(x, 1), lambda x: torch.logsumexp(x, 1), ROWS),
    "max": (lambda x: mg.max(x, 1), lambda x: torch.amax(x, 1), ROWS),
    "min": (lambda x: mg.min(x, 1), lambda x: torch.amin(x, 1), ROWS),
    "softmax": (lambda x: mg.softmax(x, 1), lambda x: torch.softmax(x, 1), ROWS),
    "log_softmax": (lambda x: mg.log_softmax(x, 1), lambda x: torch.log_softmax(x, 1), ROWS),
    "standardize": (lambda x: mg.standardize(x, 1), standardized, ROWS),
    "softmax_cross_entropy": (
        lambda x: mg.softmax_cross_entropy(x, CLASSES),
        lambda x: F.cross_entropy(x, torch.tensor(CLASSES), reduction="none"), ROWS,
    ),
    "inv": (mg.inv, torch.linalg.inv, SQUARE),
    "det": (mg.det, torch.linalg.det, SQUARE),
    "slogdet": (lambda x: mg.slogdet(x)[1], lambda x: torch.linalg.slogdet(x)[1], SQUARE),
    "cholesky": (
        lambda x: mg.cholesky((x + x.mT) / 2), lambda x: torch.linalg.cholesky((x + x.mT) / 2), SQUARE
    ),
    "solve": (lambda x: mg.solve(x, np.ones(3)), lambda x: torch.linalg.solve(x, torch.ones(3, dtype=x.dtype)), SQUARE),
    "var": (lambda x: mg.var(x, 1), lambda x: torch.var(x, 1, correction=0), ROWS),
    "mse": (lambda x: mg.mse(x, 0 * ROWS), lambda x: F.mse_loss(x, torch.zeros_like(x)), ROWS),
    "huber": (lambda x: mg.huber(x, 0 * ROWS), lambda x: F.huber_loss(x, torch.zeros_like(x)), ROWS),
    "binary_cross_entropy_with_logits": (
        lambda x: mg.binary_cross_entropy_with_logits(x, ROWS * 0),
        lambda x: F.binary_cross_entropy_with_logits(x, torch.zeros_like(x)), ROWS,
    ),
    "cross_entropy": (
        lambda x: mg.cross_entropy(x, CLASSES), lambda x: F.cross_entropy(x, torch.tensor(CLASSES)), ROWS
    ),
    "layer_norm": (
        lambda x: mg.layer_norm(x, ROWS[2], ROWS[3]),
        lambda x: standardized(x) * torch.tensor(ROWS[2]) + torch.tensor(ROWS[3]), ROWS,
    ),
    **{
        f"norm of order {p}": (
            lambda x, p=p: mg.norm(x, p, 1), lambda x, p=p: torch.linalg.vector_norm(x, p, 1), ROWS[1:]
        )
        for p in (1, 2, 3, inf, -inf)
    },
    "norm of order 4": (lambda x: mg.norm(x, 4, 1), lambda x: (x**4).sum(1) ** 0.25, ROWS[1:]),
}  # fmt: skip
# The derivatives of these are polynomials of other ops' values, or other ops of this list.
SMOOTH = {
    "matmul", "einsum", "conv2d", "conv_transpose2d", "conv2d_weight", "linear_recurrence", "cofactor", "softmax_pull",
    "log_softmax_pull", "standardize_pull", "standardize_affine", "standardize_affine_pull", "softmax_error",
}  # fmt: skip
FACTORISATIONS = {"svd", "eigh", "qr", "pinv"}  # test_linalg.py has their edges, equal values and deficient ranks


def test_every_op_that_is_not_linear_is_listed():
    arrays = {"y"}
    for name, op in table.items():
        saved = arrays | set(op.inputs)
        linear = not (saved & set(op.saves)) or all(op.where_saved(s).endswith("_shape") for s in saved & set(op.saves))
        indices = {n for n in op.inputs if n not in op.vjps}  # of gather and its kin
        linear = linear or not ((saved - indices) & set(op.saves))
        assert linear or isinstance(op, Elementwise) or name in SMOOTH | FACTORISATIONS or name in CURVED, name
    assert {n for n in CURVED if not n.startswith("norm of")} <= set(table) | set(composites)


@pytest.mark.parametrize("name", CURVED)
@pytest.mark.parametrize(
    "order", [2, pytest.param(3, marks=pytest.mark.heavy), pytest.param(4, marks=pytest.mark.heavy)]
)
def test_derivatives_of_the_other_ops(name, order):
    ours, theirs, x = CURVED[name]
    of_results = np.cos(np.arange(np.size(theirs(torch.tensor(x)).numpy()))).reshape(theirs(torch.tensor(x)).shape)
    weights = np.sin(1 + np.arange(x.size)).reshape(x.shape)
    found = our_derivatives(lambda t: ours(t) * of_results, [x], (0,) * order, weights)
    wanted = their_derivatives(lambda t: theirs(t) * torch.as_tensor(of_results), [x], (0,) * order, weights)
    for n, (a, b) in enumerate(zip(found, wanted)):
        known = ~np.isnan(b)
        scale = max(1.0, np.abs(b[known]).max(initial=0))
        np.testing.assert_allclose(a[known], b[known], rtol=1e-7, atol=1e-10 * scale, err_msg=f"order {n + 1}")
        assert not np.isnan(a).any()
