"""Every op of the table, inside of a jitted function and inside of a compiled loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import interpreted
from programs import calls_of_python
from test_jit import same

import minigrad as mg
from minigrad.ops.along import untake
from minigrad.ops.table import composites, table
from minigrad.testing import Draw

PUBLIC = {op.name: op for op in table.values() if op.public}
NAMES = [*PUBLIC, *composites]
UNKNOWN = {"draw"}
WITHOUT_KERNELS = {"svd", "eigh", "qr", "pinv"}
OF_FLOAT32 = {"matmul_bfloat16"}  # what passes make of products of that type alone


def sampled(d, name, dtype="float64"):
    """(function of the float operands, those operands): one call of the op on what its declaration samples."""
    if name in composites:
        call, sample = composites[name], composites[name].sample
    else:
        call, sample = table[name].call, table[name].sample
    *inputs, params = sample(d) if sample else elementwise(d, table[name])
    several = bool(inputs) and isinstance(inputs[0], list)
    inputs = inputs[0] if several else inputs
    operands = [x if x is None else np.asarray(x) for x in inputs]
    operands = [x.astype(dtype) if x is not None and x.dtype.kind == "f" else x for x in operands]
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


def total(result, dtype="float64"):
    return sum(y.astype(dtype).sum() for y in mg.tree.flatten(result)[0])


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


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [*table, *composites])
@settings(max_examples=1)
@given(st.data())
def test_a_loop_is_a_kernel_that_does_not_call_python(dtype, name, data):
    """Forward and backward, whatever op is in it; compiled from the text, since an op may have one kernel a type."""
    f, floats = sampled(Draw(data), name, dtype)
    h = mg.tensor(np.array(0.3, dtype), requires_grad=True)

    def g(h, *floats):
        def step(h, x):
            y = f(*[(a + 0.01 * (h + x)).astype(dtype) for a in floats])
            return mg.tanh(0.5 * h + total(y, dtype) + total(f(*floats), dtype)), y

        return mg.scan(step, h, np.array([0.1, 0.3, 0.2], dtype))

    with interpreted():
        for loop in mg.jit(g).explain(h, *floats).loops:
            assert loop.why_not is None
            assert calls_of_python(loop) <= WITHOUT_KERNELS | (OF_FLOAT32 if dtype == "float64" else set())


TWICE = {
    "conv2d": lambda x: mg.conv2d(x, x[:2, :, :3, :2] * 0.5, None, stride=(2, 1), padding=1, dilation=(1, 2)),
    "conv2d, groups": lambda x: mg.conv2d(x, mg.tanh(x[:, :1, :2, :2]), x[0, 0, 0, :2], groups=2, padding=(0, 1)),
    "conv_transpose2d": lambda x: mg.conv_transpose2d(x, x[:, :1, :2, :3], None, stride=2, output_padding=1, groups=2),
    "max_pool2d": lambda x: mg.max_pool2d(x, 2, stride=1, padding=1) ** 2,
    "avg_pool2d": lambda x: mg.avg_pool2d(x, (2, 3), stride=(1, 2), padding=(0, 1), ceil_mode=True) ** 2,
    "inv": lambda x: mg.inv(x + 3 * np.eye(4)),
    "solve": lambda x: mg.solve(x + 3 * np.eye(4), x[..., :2] * 2),
    "cholesky": lambda x: mg.cholesky(x @ mg.swapaxes(x, -1, -2) + np.eye(4)),
    "det": lambda x: mg.det(x + 3 * np.eye(4)),
    "slogdet": lambda x: mg.slogdet(x + 3 * np.eye(4))[1],
    "cross_entropy": lambda x: mg.cross_entropy(x.reshape(4, 16), np.array([0, 3, 15, 2])),
}


@pytest.mark.parametrize("name", TWICE)
def test_the_second_derivative_of_a_loop_is_made_of_kernels(name):
    """That of the loop's result is taken in the jitted function, and pulled back through."""
    x = mg.tensor(np.random.default_rng(0).uniform(-1, 1, (2, 2, 4, 4)))
    x = mg.concatenate([x, x * 0.5], axis=1) if name.startswith("conv2d") and "groups" not in name else x
    x = x.detach().requires_grad_()

    def value(x):
        def step(h, t):
            y = mg.tanh(x + h * t)
            return mg.tanh(h + 0.1 * TWICE[name](y).sum()), None

        return mg.scan(step, mg.tensor(np.float64(0.3)), np.array([0.5, 1.0, -0.5]))[0]

    def f(x):
        return mg.grad(lambda x: (mg.grad(value)(x) ** 2).sum())(x)

    for loop in mg.jit(f).explain(x).loops:
        assert loop.why_not is None
        assert not calls_of_python(loop)
    with interpreted():
        same(mg.jit(f), [x], x, rtol=1e-8)


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


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]
ON_INTEGERS = {
    "arithmetic": lambda n, k: n * 3 + k - n // 2 + n % 5 - (-k),
    "quotients by anything": lambda n, k: (n // (k - 4), n % (k - 4)),
    "functions": lambda n, k: (abs(n), mg.sign(n), n**3, n**0, mg.floor(n), mg.relu(n), mg.clip(n, 1, 5)),
    "choices": lambda n, k: (mg.where(n > k, n, k - n), mg.maximum(n, k), n == k, n < 3, (n > 2) & (k != 1)),
    "sums": lambda n, k: (n.sum(), n.sum(axis=-1), mg.prod(n, axis=0), n.max(axis=0), n.min(), mg.any(n, axis=1)),
    "along an axis": lambda n, k: (mg.sort(n, axis=-1), mg.argsort(n, axis=0), mg.cumsum(n, axis=-1), n.argmax(axis=1)),
    "places": lambda n, k: (n[:, ::-1], mg.concatenate([n, k], axis=-1), n.T.reshape(2, 6), mg.roll(n, 1, axis=0)),
    "picks": lambda n, k: (mg.take(n, k[0] % 3, axis=0), mg.take_along_axis(n, k % 4, axis=1), mg.one_hot(k % 3, 3)),
    "casts": lambda n, k: (n.astype("float32"), n.astype("float64") / 7, n.astype(bool), n.astype("int16"), k * 0.5),
}


@pytest.mark.filterwarnings("error")  # of calls of Python
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("kind", ON_INTEGERS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_of_every_width_are_numpys(dtype, kind):
    """Overflow wraps, sums are of 64 bits; no kernel calls Python for them."""
    f, rng = ON_INTEGERS[kind], np.random.default_rng(0)
    n = rng.integers(0, 100, (3, 4)).astype(dtype)
    ks = rng.integers(0, 9, (6, 3, 4)).astype(dtype)

    def step(n, k):
        return n * 3 + k, f(n, k)

    def both(n, ks):
        return mg.scan(step, n, ks)

    with np.errstate(all="ignore"):
        wanted = mg.tree.flatten(both(mg.tensor(n), mg.tensor(ks)))[0]
        got = mg.tree.flatten(mg.jit(both)(mg.tensor(n), mg.tensor(ks)))[0]
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_quotients_of_the_least_integer():
    least = np.full(2, np.iinfo("int64").min)
    f = lambda n, ks: mg.scan(lambda n, k: (n, (n // k, n % k)), n, ks)  # noqa: E731
    with np.errstate(all="ignore"):
        _, parts = mg.jit(f)(mg.tensor(least), mg.tensor(np.array([-1, 1, 0, 3])))
        for ours, op in zip(parts, (np.floor_divide, np.remainder)):
            np.testing.assert_array_equal(ours.numpy(), [op(least, k) for k in (-1, 1, 0, 3)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(data=st.data())
def test_quotients_rounded_down_and_remainders_are_numpys(dtype, data):
    numbers = st.floats(width=32 if dtype == "float32" else 64) | st.integers(-9, 9).map(float)
    a, b = [np.array(data.draw(st.lists(numbers, min_size=9, max_size=9)), dtype) for _ in range(2)]

    def f(a, b):
        return mg.scan(lambda c, ab: (c, (ab[0] % ab[1], ab[0] // ab[1])), 0.0, (a, b))[1]

    with np.errstate(all="ignore"):
        wanted = np.remainder(a, b), np.floor_divide(a, b)
        for made in (f(mg.tensor(a), mg.tensor(b)), mg.jit(f)(mg.tensor(a), mg.tensor(b))):
            for ours, theirs in zip(made, wanted):
                np.testing.assert_array_equal(ours.numpy(), theirs)
                known = ~np.isnan(theirs)
                np.testing.assert_array_equal(np.signbit(ours.numpy())[known], np.signbit(theirs)[known])


@pytest.mark.filterwarnings("error")  # of calls of Python
@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("name", ["max", "min", "any", "all", "sum", "prod", "argmax", "argmin", "cumsum", "argsort"])
def test_reductions_of_masks(name, axis):
    def step(h, _):
        mask = h > 0.1
        found = getattr(mg, name)(mask, axis=axis)
        return mg.tanh(mg.where(found.astype("float64").sum() > 1.0, h, 1.5 * h)), found

    h = mg.tensor(np.random.default_rng(0).normal(size=(3, 4)))

    def f(h):
        return mg.scan(step, h, None, length=3)

    wanted, got = f(h), mg.jit(f)(h)
    assert got[1].dtype == wanted[1].dtype
    np.testing.assert_array_equal(got[1].numpy(), wanted[1].numpy())
    np.testing.assert_allclose(got[0].numpy(), wanted[0].numpy(), rtol=1e-12)


def test_a_size_may_be_an_integer_of_numpy():
    """A kernel is told it as any other."""

    def f(h, xs):
        def step(h, x):
            y = untake(mg.ones((3, 2)) * x, np.array([0, 3, 3]), (np.int64(5), 2), 0)
            return h + y[1:].sum(), y[1:].sum()

        return mg.scan(step, h, xs)

    assert mg.jit(f)(np.zeros(()), np.array([1.0, 2.0]))[1].tolist() == [4, 8]
