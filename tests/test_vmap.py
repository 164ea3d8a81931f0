"""vmap is the stack of the function's results for the samples one by one: values, gradients, eager and jitted."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import models, nn, tree
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import order_of


def draw(seed, *shape, dtype="float64", grad=False):
    return mg.tensor(np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype), requires_grad=grad)


def one_by_one(f, in_axes, out_axes=0):
    """vmap, by its definition. in_axes: one for each argument, an integer or None."""

    def mapped(*args):
        size = next(x.shape[axis] for x, axis in zip(args, in_axes) if axis is not None)
        results = [
            f(*[x if axis is None else x[(*[slice(None)] * (axis % x.ndim), k)] for x, axis in zip(args, in_axes)])
            for k in range(size)
        ]
        leaves, structure = zip(*map(tree.flatten, results))
        return tree.unflatten(structure[0], [mg.stack(each, axis=out_axes) for each in zip(*leaves)])

    return mapped


def outcome(f, args, wanted, order=1):
    """Arrays of the results of f, and of the gradients of functionals of them up to this order."""
    found = []
    roots = tree.flatten(f(*args))[0]
    for k in range(order + 1):
        found += [x.detach().numpy() for x in roots]
        total = sum([(x * np.cos(np.arange(x.size) + n).reshape(x.shape)).sum() for n, x in enumerate(roots)
                     if x.requires_grad], mg.tensor(0.0, dtype="float64", requires_grad=True))  # fmt: skip
        if k < order:
            for x in wanted:
                x.grad = None
            total.backward(retain_graph=True, create_graph=k + 1 < order)
            roots = [mg.zeros_like(x) if x.grad is None else x.grad for x in wanted]
    return found


def check(f, args, in_axes, out_axes=0, closed=(), order=2, rtol=1e-9, ways=None):
    """Every way to say it gives what the calls one by one give."""
    wanted = [*[x for x in args if x.requires_grad], *closed]
    expected = outcome(one_by_one(f, in_axes, out_axes), args, wanted, order)
    mapped = mg.vmap(f, in_axes=tuple(in_axes), out_axes=out_axes)
    for way in ways or (mapped, mg.jit(mapped), mg.vmap(mg.jit(f), in_axes=tuple(in_axes), out_axes=out_axes)):
        got = outcome(way, args, wanted, order)
        for a, b in zip(got, expected, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


W, V = draw(100, 3, 3, grad=True), draw(101, 3, grad=True)
pairs = {
    "elementwise": lambda x, y: mg.tanh(x) * y + W[0] * x,
    "products": lambda x, y: mg.tanh(x @ W) * (W @ y) + (x @ y) * V,
    "a reduction": lambda x, y: (x.max() * y.sum(), mg.softmax(x * V), {"norm": (y * y).sum() ** 0.5}),
    "indices": lambda x, y: x[[2, 0]] * y[1:] + mg.take(V, mg.argsort(x))[:2],
    "an index of each sample": lambda x, y: y[mg.argmax(x)] * mg.one_hot(mg.argmax(y), 3).astype("float64") * W,
    "in place": lambda x, y: written(x * y, y),
    "made inside": lambda x, y: made_inside(x, y),
    "stopped": lambda x, y: x * mg.stop_gradient(x) * y.detach(),
    "custom": lambda x, y: twice(x * V, y) * x,
    "grad": lambda x, y: mg.grad(lambda q: (mg.sin(q * V) * y * q).sum())(x),
    "grad of what is shared": lambda x, y: mg.grad(lambda w: (mg.tanh(w @ x) * y).sum())(W),
    "jvp": lambda x, y: mg.jvp(lambda q: mg.sin(q @ W) * y, (x,), (y,))[1],
    "hessian": lambda x, y: mg.hessian(lambda q: (mg.sin(q * y) * V).sum())(x) @ V,
    "hvp": lambda x, y: mg.hvp(lambda q: (mg.sin(q) ** 2 * V).sum(), (x,), (y,))[0],
    "jacobian": lambda x, y: mg.jacobian(lambda q: mg.tanh(W @ q) * y)(x),
    "checkpoint": lambda x, y: mg.checkpoint(lambda q: mg.tanh(q @ W) * y)(x) * x,
    "scan": lambda x, y: mg.scan(lambda h, s: (mg.tanh(h @ W + s), h * y), x, mg.stack([x, y, V])),
    "scan of what is shared": lambda x, y: mg.scan(lambda h, s: (h * 0.5 + s, h), V, W)[1] * x,
    "scan back, counting": lambda x, y: mg.scan(
        lambda c, s: ((c[0] + 1, mg.sin(c[1] * V + s) * c[0]), c[1]), (0, mg.zeros(3, dtype="float64")), W * x,
        reverse=True,
    )[0][1],
    "grad of scan": lambda x, y: mg.grad(
        lambda w: (mg.scan(lambda h, s: (mg.tanh(w @ h + s), h), x, mg.stack([y, x]))[0] * y).sum()
    )(W),
    "cond": lambda x, y: mg.cond(x.sum() > 0, lambda x: mg.sqrt(x * x * V * V) * y, lambda x: (x @ W) * V, x),
    "cond of infinite slope": lambda x, y: mg.cond(y.min() > 0.2, lambda x: mg.sqrt(x * 0 + (y - 0.2)), mg.sin, x),
    "cond of what is shared": lambda x, y: mg.cond(V.sum() > 0, lambda x: x * V, lambda x: y @ W, x),
    "switch": lambda x, y: mg.switch(mg.argmax(x), [mg.sin, lambda x: x * y, lambda x: mg.tanh(W @ x)], x),
    "while": lambda x, y: mg.while_loop(
        lambda c: (c[0] * c[0]).sum() < 3, lambda c: (c[0] * (1.5 + V * V) + 0.1 * y, c[1] + 1), (x, 0), bound=6
    ),
    "cond in scan": lambda x, y: mg.scan(
        lambda h, s: (mg.cond(h.sum() > s, lambda h: h * V, lambda h: mg.sin(h) + x, h), h * s), x, y
    ),
    "grad of while": lambda x, y: mg.grad(
        lambda w: mg.while_loop(lambda h: (h * h).sum() < 3, lambda h: h * (1.2 + w * w), x, bound=6).sum()
    )(V),
    "nested": lambda x, y: mg.vmap(lambda row, e: mg.tanh(row * x) * e + y, in_axes=(0, 0))(W, x),
    "nested, grad between": lambda x, y: mg.vmap(mg.grad(lambda e, row: mg.sin(row @ x * e)))(y, W),
    "vmap in scan": lambda x, y: mg.scan(lambda h, s: (mg.vmap(lambda e: mg.sin(e) * s)(h), h), x, y),
    "grad of vmap": lambda x, y: mg.grad(lambda q: (mg.vmap(lambda r: mg.tanh(r @ q) * q)(W)).sum())(x),
}  # fmt: skip


def made_inside(x, y):
    """Tensors that the function makes, and writes into."""
    buffer, copy = mg.zeros(3, dtype="float64"), mg.tensor(x)
    buffer[0] = x[0] * 2
    buffer[1:] = mg.ones(2, dtype="float64") * y[1:]
    copy[1] = y[0]
    buffer += x
    return buffer * V, copy, mg.full_like(x, 2.0) * y, mg.eye(3, dtype="float64") @ x


def written(made, y):
    made[0] = y[1]
    view = made[1:]
    view *= V[:2]
    made[made > 0.1] = 0.25
    return made


twice = mg.custom_vjp(lambda a, b: mg.sin(a) * b)
twice.defvjp(lambda a, b: (mg.sin(a) * b, (a, b)), lambda kept, g: (3 * mg.cos(kept[0]) * kept[1] * g, None))


@pytest.mark.parametrize("name", pairs)
def test_it_is_the_stack_of_the_samples(name):
    """Results, gradients of what is mapped, shared or closed over, and their gradients."""
    f, x, y = pairs[name], draw(0, 2, 3, grad=True), draw(1, 3, 2, grad=True)
    check(f, (x, y), (0, 1), closed=(W, V))
    check(f, (x, draw(2, 3, grad=True)), (-2, None), closed=(W, V), order=1)


@given(st.data())
@settings(max_examples=25)
def test_any_axes_sizes_and_dtypes(data):
    size, dtype = data.draw(st.sampled_from([1, 2, 3])), data.draw(st.sampled_from(["float32", "float64"]))
    given, axes = [], []
    for k in range(3):
        axis = data.draw(st.sampled_from([None, 0, 1, 2, -1, -3] if k else [0, 1, 2, -1]))
        shape = [2, 4]
        if axis is not None:
            shape.insert(axis % 3, size)
        given.append(draw(k, *shape, dtype=dtype, grad=True))
        axes.append(axis)
    out = data.draw(st.sampled_from([0, 1, 2, -1, -2, -3]))
    rough = 2e-5 if dtype == "float32" else 1e-10

    def f(x, y, z):
        return mg.tanh(x * y) + z[:, :2] @ x * z[0], (mg.sum(x, axis=0, keepdims=True) * z, y[..., 1:] + x[1:, 1:])

    check(lambda x, y, z: f(x, y, z)[1], given, axes, out, order=1, rtol=rough)
    several = mg.vmap(f, in_axes=axes, out_axes=(0, out))(*given)  # a list of axes; for each result an axis
    for got, axis, k in zip(several, (0, out), (0, 1)):
        wanted = one_by_one(lambda *args, k=k: f(*args)[k], axes, axis)(*given)
        for a, b in zip(tree.flatten(got)[0], tree.flatten(wanted)[0], strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=rough, atol=rough)


def test_trees_of_axes():
    given = {"a": draw(0, 2, 3), "b": [draw(1, 3, 2), draw(2, 3)]}
    f = lambda d, y: {"sum": d["a"] * d["b"][0] + d["b"][1], "shared": (d["b"][1], y)}  # noqa: E731
    got = mg.vmap(f, in_axes=({"a": 0, "b": [1, None]}, None), out_axes={"sum": 1, "shared": (None, 0)})(given, 2.0)
    wanted = given["a"].numpy() * given["b"][0].numpy().T + given["b"][1].numpy()
    np.testing.assert_allclose(got["sum"].numpy(), wanted.T)
    assert got["shared"][0].shape == (3,) and got["shared"][1].tolist() == [2.0, 2.0]
    got = mg.vmap(lambda p, *, scale: p["a"] * scale, in_axes=0)({"a": given["a"], "n": None}, scale=mg.tensor([1, 2]))
    np.testing.assert_allclose(got.numpy(), given["a"].numpy() * [[1], [2]])


@pytest.mark.parametrize("jitted", [False, True])
def test_results_are_apart(jitted):
    """What f returns twice, or returns of what it is given or closes over, may be written into."""
    w, x = draw(0, 3), draw(1, 2, 3)
    before = w.numpy().copy(), x.numpy().copy()
    f = mg.vmap(lambda x: [y := x * 2, y, x, x.T, w, w[:2], mg.vmap(lambda e: e)(w)])
    results = (mg.jit(f) if jitted else f)(x)
    copies = [y.numpy().copy() for y in results]
    for k, y in enumerate(results):
        y += 1
        for other, copy in zip(results[k + 1 :], copies[k + 1 :]):
            np.testing.assert_array_equal(other.numpy(), copy)
    np.testing.assert_array_equal(w.numpy(), before[0])
    np.testing.assert_array_equal(x.numpy(), before[1])


def test_no_sample_at_all():
    x, w = mg.zeros((0, 3), requires_grad=True), draw(0, 3, 3, dtype="float32", grad=True)
    for wrap in (lambda f: f, mg.jit):
        y = wrap(mg.vmap(lambda x: mg.tanh(x @ w).sum()))(x)
        assert y.shape == (0,)
        y.sum().backward()
        assert x.grad.shape == (0, 3) and w.grad.shape == (3, 3) and not w.grad.numpy().any()
        g = wrap(mg.vmap(mg.grad(lambda x: (mg.sin(x) * x).sum())))(x)
        assert g.shape == (0, 3)
        x.grad = w.grad = None


# Modules and layers


LAYERS = {
    "LSTM": lambda: models.LSTM(2, 3, num_layers=2, bidirectional=True),
    "GRU": lambda: models.GRU(2, 3),
    "recurrent dropout, off": lambda: models.Recurrent(
        models.LayerNormLSTMCell, 2, 3, dropout=0.5, num_layers=2
    ).eval(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_each_sample_of_a_recurrent_layer(name):
    """In one jitted call: of the parameters as an argument. Their sum is that of the mapped loss, which closes over
    them."""
    layer = LAYERS[name]().astype("float64")
    x, y = draw(0, 3, 4, 2), draw(1, 3)
    parameters = dict(layer.named_parameters())

    def loss(values, x, y):
        out, _ = nn.functional_call(layer, values, x.reshape(4, 1, 2))
        return ((out - y) ** 2).sum()

    wanted = []
    for k in range(3):
        layer.zero_grad()
        ((layer(x[k].reshape(4, 1, 2))[0] - y[k]) ** 2).sum().backward()
        wanted.append({name: p.grad.numpy() for name, p in parameters.items()})
    of_each = mg.vmap(mg.grad(loss), in_axes=(None, 0, 0))
    for f in (of_each, mg.jit(of_each)):
        got = f(parameters, x, y)
        for name in parameters:
            each = np.stack([w[name] for w in wanted])
            np.testing.assert_allclose(got[name].detach().numpy(), each, rtol=1e-9, atol=1e-12)
    for f in (mg.vmap(loss, in_axes=(None, 0, 0)), mg.vmap(lambda _, *xy: loss({}, *xy), in_axes=(None, 0, 0))):
        for way in (f, mg.jit(f)):
            layer.zero_grad()
            way(parameters, x, y).sum().backward()
            for name, p in parameters.items():
                np.testing.assert_allclose(p.grad.numpy(), sum(w[name] for w in wanted), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rows", [False, True])
def test_a_shared_weight_has_no_gradient_for_each_sample_on_the_way(rows):
    """Under jit its gradient is one product over the samples, in loops and outside. rows: of samples of one row."""
    w, u, size = draw(0, 5, 6, grad=True), draw(1, 6, 6, grad=True), 7

    def f(x):
        def cell(h, s):
            return mg.tanh(s @ w + (h @ u if rows else u @ h)), None

        h, _ = mg.scan(cell, mg.zeros((1, 6) if rows else 6, dtype="float64"), x.reshape(4, 1, 5) if rows else x)
        return (mg.sin(h @ u) * 2).sum()

    jitted, x = mg.jit(mg.vmap(f)), draw(2, size, 4, 5)
    jitted(x).sum().backward()
    got = w.grad.numpy(), u.grad.numpy()
    w.grad = u.grad = None
    mg.stack([f(row) for row in x]).sum().backward()
    for a, b in zip(got, (w, u)):
        np.testing.assert_allclose(a, b.grad.numpy(), rtol=1e-9)
    ((compiled,),) = jitted.known.values()
    values = order_of(compiled.backward.outputs)
    steps = [v for loop in values if isinstance(loop.op, Loop) for v in order_of(loop.op.outputs)]
    assert steps and not [v for v in [*values, *steps] if tuple(v.shape) in ((size, 5, 6), (size, 6, 6))]


@pytest.mark.parametrize("steps", [1, 3])
def test_eager_a_shared_weight_has_no_gradient_for_each_sample_on_the_way(steps):
    """Of its memory, 36 MB would be those."""
    w, x = draw(0, 300, 300, grad=True), draw(1, 50, 300)

    def f(x):
        for _ in range(steps):
            x = mg.tanh(w @ x)
        return x.sum()

    y = mg.vmap(f)(x)
    y.sum().backward(retain_graph=True)
    got, w.grad = w.grad.numpy(), None
    tracemalloc.start()
    y.sum().backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6
    w.grad = None
    sum(f(row) for row in x).backward()
    np.testing.assert_allclose(got, w.grad.numpy(), rtol=1e-9, atol=1e-9)


def test_a_module_is_mapped_like_any_function():
    layer = nn.Linear(3, 2)
    x = draw(0, 5, 4, 3, dtype="float32")
    for f in (layer, mg.jit(layer), mg.checkpoint(layer)):
        np.testing.assert_allclose(mg.vmap(f)(x).detach().numpy(), layer(x).detach().numpy(), rtol=1e-5)


# PyTorch


@pytest.mark.parametrize("in_axes, out_axes", [((0, 0), 0), ((1, 0), 1), ((None, 1), 0), ((2, None), -1)])
def test_as_torch(torch, in_axes, out_axes):
    shapes = [[3, 4], [4]]
    for shape, axis in zip(shapes, in_axes):
        if axis is not None:
            shape.insert(axis, 2)
    arrays = [draw(k, *shape).numpy() for k, shape in enumerate(shapes)]

    def f(lib, x, y):
        return lib.tanh(x @ y) * x.sum(-1), (x * y).sum(0)

    got = mg.vmap(lambda x, y: f(mg, x, y), in_axes, out_axes)(*[mg.tensor(a) for a in arrays])
    wanted = torch.func.vmap(lambda x, y: f(torch, x, y), in_axes, out_axes)(*[torch.tensor(a) for a in arrays])
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
    of = lambda lib: lambda x, y: (lib.sin(x @ y) ** 2).sum()  # noqa: E731
    got = mg.vmap(mg.grad(of(mg), (0, 1)), in_axes)(*[mg.tensor(a) for a in arrays])
    wanted = torch.func.vmap(torch.func.grad(of(torch), (0, 1)), in_axes)(*[torch.tensor(a) for a in arrays])
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


# What is refused


X, ROW = np.ones((4, 3)), np.ones(3)
REFUSED = [
    (lambda: mg.vmap(lambda x: x, 0.5), TypeError, "in_axes=0.5, wanted an integer, None, or a tree"),
    (lambda: mg.vmap(lambda x: x, True), TypeError, "in_axes=True, wanted an integer"),
    (lambda: mg.vmap(lambda x: x, out_axes="0"), TypeError, "out_axes='0', wanted an integer"),
    (lambda: mg.vmap(lambda x, y: x, (0,))(X, X), ValueError, r"in_axes=\(0,\) for 2 positional arguments"),
    (lambda: mg.vmap(lambda x, y: x, None)(X, X), ValueError, "nothing is mapped; wanted at least one argument"),
    (lambda: mg.vmap(lambda: ROW)(), ValueError, "nothing is mapped"),
    (lambda: mg.vmap(lambda x, y: x)(X, [ROW]), ValueError, r"argument 0 has 4, argument 1\[0\] has 3"),
    (lambda: mg.vmap(lambda x: x, 2)(X), ValueError, r"argument 0, float64\[4, 3\], has 2 axes, .* no axis 2"),
    (lambda: mg.vmap(lambda x: x, -3)(X), ValueError, "has 2 axes, so there is no axis -3"),
    (lambda: mg.vmap(lambda x, n: x)(X, 2), ValueError, "argument 1 is one number .* None in in_axes"),
    (lambda: mg.vmap(lambda x, n: x)(X, "a"), TypeError, "argument 1 is a str, wanted a tensor; .* None in in_axes"),
    (lambda: mg.vmap(lambda x, *, scale: x)(X, scale=2.0), ValueError, "scale is one number"),
    (lambda: mg.vmap(lambda d: d["a"], ({"b": 0},))({"a": X}), ValueError, r"in_axes of argument 0: wanted a dict"),
    (lambda: mg.vmap(lambda d: d, ((0, 1),))(X), ValueError, "in_axes of argument 0: wanted one value"),
    (lambda: mg.vmap(lambda x: x, out_axes=2)(X), ValueError, "the result, with its samples, has 2 axes"),
    (lambda: mg.vmap(lambda x: (x, x), out_axes=(0, 0, 0))(X), ValueError, "out_axes: wanted a tuple of 2"),
    (lambda: mg.vmap(lambda x: (ROW, x), out_axes=None)(X), ValueError, r"result\[1\] differs from sample to sample"),
    (lambda: mg.vmap(lambda x: {"a": "b"})(X), TypeError, r"the result\['a'\] is a str, wanted a tensor"),
    (lambda: mg.vmap(lambda x: x if x.sum() > 0 else -x)(X), TypeError, "vmap: Python asked .* differ from sample"),
    (lambda: mg.vmap(lambda x: mg.tensor(float(x[0])))(X), TypeError, "vmap: Python asked for the numbers"),
    (lambda: mg.vmap(lambda x: x * x.numpy())(X), TypeError, "vmap: Python asked for the numbers"),
    (lambda: mg.vmap(lambda x: ROW[mg.argmax(x).item()])(X), TypeError, "vmap: Python asked for the numbers"),
    (lambda: mg.vmap(lambda x: x.copy_(x))(X), RuntimeError, "in-place change .* of an argument"),
    (lambda: mg.vmap(lambda x: closed.copy_(x))(X), RuntimeError, "copy_: an in-place change .* from outside"),
    (lambda: mg.vmap(lambda x: mg.dropout(x, 0.5, generator))(X), RuntimeError, r"vmap: random .* module.eval\(\)"),
    (lambda: mg.vmap(lambda x: x + mg.random.normal((3,)))(X), RuntimeError, "vmap: random numbers .* draw those of"),
]  # fmt: skip
closed, generator = mg.tensor(ROW), np.random.default_rng(0)


@pytest.mark.parametrize("call, error, text", REFUSED)
def test_what_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize(
    "f", [lambda x: x if x.sum() > 0 else -x, lambda x: closed.copy_(x), lambda x: mg.dropout(x, 0.5, generator)]
)
def test_what_is_refused_in_a_jitted_function(f):
    with pytest.raises((TypeError, RuntimeError), match=r"vmap|copy_"):
        mg.jit(mg.vmap(f))(X)
    with pytest.raises((TypeError, RuntimeError), match=r"vmap|copy_"):
        mg.jit(mg.vmap(lambda x: mg.scan(lambda h, s: (h + s.sum(), f(h)), x, x)[0]))(X)


def test_what_is_the_same_for_all_samples_may_be_looked_at():
    x, w = draw(0, 4, 3), mg.tensor([2.0, 1.0], dtype="float64")
    f = mg.vmap(lambda x: x * 2 if (w * 2).sum() > 5 else x[: int(w[0])])
    np.testing.assert_allclose(f(x).numpy(), 2 * x.numpy())
    with pytest.raises(TypeError, match="jit: Python asked for the numbers"):
        mg.jit(f)(x)


def test_a_tensor_that_was_left_behind_is_refused():
    kept = []
    mg.vmap(lambda x: kept.append((x * 2).sum()) or x)(X)
    for use in (lambda: kept[0] + 1, lambda: kept[0].item(), lambda: mg.vmap(lambda x: x + kept[0])(X)):
        with pytest.raises((TypeError, RuntimeError), match="vmap"):
            use()


def test_what_a_backward_needs_may_not_be_changed_before_it():
    """The user's arrays, whatever sample; what was written inside."""
    w, x = draw(0, 3, grad=True), draw(1, 4, 3)
    y = mg.vmap(lambda x: (mg.sin(x[1:] * w[1:]) * x[:2]).sum())(x)
    x[3, 0] = 5.0
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()
    y = mg.vmap(lambda x: (x * w).sum())(x)
    with mg.no_grad():
        w += 1
    y.sum().backward()  # which needs x alone
    np.testing.assert_allclose(w.grad.numpy(), x.numpy().sum(0))

    def overwritten(x):
        t = x * w
        s = (t * t).sum()
        t += 1
        return s + t.sum()

    with pytest.raises(RuntimeError, match="changed in place"):
        mg.vmap(overwritten)(x).sum().backward()


def test_a_graph_is_freed_by_its_backward():
    w = draw(0, 3, grad=True)
    y, u = mg.vmap(lambda x: mg.tanh(x * w))(draw(1, 4, 3)), draw(2, 4, 3)
    y.backward(u, retain_graph=True)
    y.backward(u)
    with pytest.raises(RuntimeError, match="vmap of <lambda> a second time"):
        y.backward(u)


def test_it_records_nothing_without_gradients():
    x = draw(0, 4, 3, grad=True)
    with mg.no_grad():
        assert not mg.vmap(lambda x: x * W)(x).requires_grad
        got = mg.vmap(mg.grad(lambda x: (mg.sin(x) * V).sum()))(x)
    assert not got.requires_grad
    np.testing.assert_allclose(got.numpy(), np.cos(x.detach().numpy()) * V.detach().numpy())
    assert not mg.vmap(lambda x: mg.argmax(x))(x).requires_grad
    inside = mg.vmap(lambda x: mg.no_grad()(lambda x: x * W)(x) + 1)(x)
    assert not inside.requires_grad
