"""jit: what is traced and when, what a call sees, how it mixes with everything else."""

import gc
import inspect
import multiprocessing
import threading
import weakref
from collections import namedtuple

import numpy as np
import pytest
from interpreter import interpreted

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels import build, loops
from minigrad.models import GRU, LSTM, RNN, Recurrent
from minigrad.testing import gradcheck

Pair = namedtuple("Pair", "a b")
T, B, H = 5, 3, 4

@pytest.fixture(autouse=True)
def _kernels(request):
    """Loops run as the text of their kernels, which is quicker than to compile them; but where a test is `compiled`."""
    if "compiled" in request.fixturenames or loops.INTERPRETED:
        yield
    else:
        with interpreted():
            yield

@pytest.fixture
def compiled():
    if loops.INTERPRETED:
        pytest.skip("the JIT is off: nothing is compiled")

def draw(seed, *shape, dtype="float64", grad=True):
    return mg.tensor(np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype), requires_grad=grad)

def leaves(tree):
    return [x for x in mg.tree.flatten(tree)[0] if isinstance(x, mg.Tensor)]

def results_and_gradients(f, wanted, *args, **kwargs):
    """Arrays of the results of f and of the gradients of a random functional of them."""
    for x in wanted:
        x.grad = None
    results = leaves(f(*args, **kwargs))
    rng = np.random.default_rng(0)
    terms = [(y * rng.uniform(0.5, 1.5, y.shape).astype(y.dtype)).sum() for y in results if y.requires_grad]
    if terms:
        sum(terms).backward()
    gradients = [None if x.grad is None else x.grad.numpy() for x in wanted]
    return [y.detach().numpy() for y in results], gradients

def same(f, wanted, *args, rtol=1e-10, **kwargs):
    """jit(f), after a check that it gives what f gives, with the same gradients of `wanted`."""
    jitted = f if isinstance(f, mg.jit) else mg.jit(f)
    with mg.disable_jit():
        values, gradients = results_and_gradients(f, wanted, *args, **kwargs)
    for _ in range(2):  # traced, then found
        got, pulled = results_and_gradients(jitted, wanted, *args, **kwargs)
        for a, b in zip(got + pulled, values + gradients, strict=True):
            assert (a is None) == (b is None)
            if b is not None:
                assert a.dtype == b.dtype and a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
    return jitted

def cell(h, x):
    h = mg.tanh(0.5 * h + x)
    return h, h * h

def looped(h, xs):
    return mg.scan(cell, h, xs)

# What is traced, and when

def test_traces_once_for_each_kind_of_arguments():
    f = mg.jit(lambda x, *rest, **named: x * 2)
    x = draw(0, 3)
    calls = [
        lambda: f(x),
        lambda: f(draw(0, 4)),  # another shape
        lambda: f(draw(0, 3, dtype="float32")),  # another dtype
        lambda: f(draw(0, 3, grad=False)),  # needs no gradient
        lambda: f(x, 1),
        lambda: f(x, 2),  # another Python value
        lambda: f(x, True),  # of another type than 1, to which it is equal
        lambda: f(x, 1.0),
        lambda: f(x, "a"),
        lambda: f(x, None),
        lambda: f(x, (x, x)),  # another structure
        lambda: f(x, [x, x]),
        lambda: f(x, {"a": x}),
        lambda: f(x, {"b": x}),
        lambda: f(x, flag=True),
        lambda: f(x, flag=False),
    ]
    for count, call in enumerate(calls, start=1):
        for _ in range(2):
            call()
            assert f.traces == count
    for call in calls:
        call()
    assert f.traces == len(calls)
    f(draw(1, 3))  # other numbers
    assert f.traces == len(calls)
    with mg.no_grad():
        f(x)
        f(x)
    assert f.traces == len(calls) + 1

def test_python_runs_while_it_is_traced_and_not_again():
    seen = []

    @mg.jit
    def f(x):
        seen.append(type(x))
        return x + 1

    assert f(draw(0, 2)).shape == f(draw(1, 2)).shape == (2,)
    assert seen == [mg.Tensor]

class Switched(nn.Module):
    def __init__(self):
        self.scale = 2.0
        self.weight = nn.Parameter(np.ones(3))
        self.drop = nn.Dropout(0.5, generator=np.random.default_rng(0))
        self.flip = False

    def forward(self, x):
        x = self.drop(x * self.weight * self.scale)
        return -x if self.flip else x

@pytest.mark.parametrize("bound", ["module", "method", "closure", "argument", "global", "partial", "default"])
def test_attributes_of_modules_are_part_of_the_key(bound):
    """Whichever way a function reaches a module: its training flag, settings and parameters are looked at each time."""
    import functools

    model = Switched().eval()
    x = draw(0, 3)
    if bound == "global":
        globals()["a_global_model"] = model
    f = {
        "module": lambda: mg.jit(model),
        "method": lambda: mg.jit(model.forward),
        "closure": lambda: mg.jit(lambda x: model(x)),
        "argument": lambda: functools.partial(mg.jit(lambda m, x: m(x)), model),
        "global": lambda: mg.jit(lambda x: a_global_model(x)),  # noqa: F821
        "partial": lambda: mg.jit(functools.partial(lambda m, x: m(x), model)),
        "default": lambda: mg.jit(lambda x, m=model: m(x)),
    }[bound]()

    def agrees():
        np.testing.assert_array_equal(f(x).detach().numpy(), model(x).detach().numpy())

    agrees()
    model.scale = 3.0
    agrees()
    model.flip = True
    agrees()
    model.weight = nn.Parameter(np.arange(3.0))  # a parameter replaced
    agrees()
    f(x).sum().backward()
    assert model.weight.grad is not None
    model.train()
    assert (f(x).numpy() == 0).any() or (f(x).numpy() == 0).any()
    model.eval()
    agrees()

def test_going_back_to_what_was_traced_traces_nothing():
    model = Switched().eval()
    f = mg.jit(model)
    x = draw(0, 3)
    for _ in range(3):
        model.eval()
        f(x)
        model.train()
        f(x)
    assert f.traces == 2
    for _ in range(5):
        model.scale = float("2.0")  # an equal number, of another identity
        f(x)
    assert f.traces == 2

def test_astype_of_a_module():
    model = nn.Linear(3, 2)
    f = mg.jit(model)
    assert f(draw(0, 4, 3, dtype="float32")).dtype == np.float32
    model.astype("float64")
    assert f(draw(0, 4, 3)).dtype == np.float64
    model.astype("float32")
    assert f(draw(0, 4, 3, dtype="float32")).dtype == np.float32
    assert f.traces <= 3

def test_freezing_a_parameter():
    layer = nn.Linear(3, 2).astype("float64")
    f = mg.jit(layer)
    x = draw(0, 4, 3)
    f(x).sum().backward()
    assert layer.weight.grad is not None
    layer.zero_grad()
    layer.weight.requires_grad_(False)
    f(x).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is not None

# What it closes over

def test_updates_of_captured_tensors_are_seen():
    weight, constant = draw(0, 3), mg.tensor(np.zeros(3))
    f = mg.jit(lambda x: x * weight + constant)
    x = draw(1, 3)
    for k in range(3):
        with mg.no_grad():
            weight.copy_(np.full(3, float(k)))
        constant[0] = 10.0 * k
        np.testing.assert_allclose(f(x).detach().numpy(), x.numpy() * k + [10.0 * k, 0, 0])
    assert f.traces == 1

def test_updates_are_seen_inside_a_loop():
    weight = draw(0, H, H)
    f = mg.jit(lambda xs: mg.scan(lambda h, x: ((h := mg.tanh(x + h @ weight)), h), xs[0], xs))
    xs = draw(1, T, B, H)
    for k in range(3):
        with mg.no_grad():
            weight.copy_(np.random.default_rng(k).normal(size=(H, H)))
        same(f, [weight, xs], xs)
    assert f.traces == 1

def test_a_captured_tensor_that_is_no_parameter_gets_its_gradient():
    w = draw(0, 3)
    same(lambda x: (x * w, w), [w], draw(1, 3))
    same(lambda x: w * 2.0, [w], draw(1, 3, grad=False))
    deep = w * 3.0  # itself a result
    w.grad = None
    mg.jit(lambda x: (mg.sin(deep) * x).sum())(draw(1, 3)).backward()
    np.testing.assert_allclose(w.grad.numpy(), 3 * np.cos(3 * w.numpy()) * draw(1, 3).numpy())

def test_training_is_as_without():
    """Adam, clipping and a schedule around a jitted loss; three kinds of mixing."""
    rng = np.random.default_rng(0)
    xs, target = rng.normal(size=(T, B, 3)), mg.tensor(rng.normal(size=(T, B, H)))

    def train(wrap):
        model = GRU(3, H, num_layers=2, generator=np.random.default_rng(1)).astype("float64")
        head = nn.Linear(H, H).astype("float64")
        head.load_state_dict({name: np.full(p.shape, 0.1) for name, p in head.named_parameters()})
        adam = optim.Adam([*model.parameters(), *head.parameters()], lr=0.1)
        layer, loss = wrap(model), wrap(lambda y: mg.mse(head(y), target))
        losses = []
        for _ in range(5):
            adam.zero_grad()
            value = loss(mg.tanh(layer(mg.tensor(xs))[0]))
            value.backward()
            optim.clip_grad_norm(list(model.parameters()), 0.5)
            adam.step()
            losses.append(value.item())
        return losses, [p.numpy() for p in model.parameters()]

    (losses, parameters), (wanted, wanted_parameters) = train(mg.jit), train(lambda f: f)
    np.testing.assert_allclose(losses, wanted, rtol=1e-8)
    assert losses[-1] < losses[0]
    for p, q in zip(parameters, wanted_parameters):
        np.testing.assert_allclose(p, q, rtol=1e-6, atol=1e-9)

def test_jit_in_jit_in_scan():
    w = draw(0, H)
    inner = mg.jit(lambda h, x: mg.tanh(h * w + x))
    f = mg.jit(lambda h, xs: mg.scan(lambda h, x: ((h := inner(h, x)), h), inner(h, xs[0]), xs))
    h, xs = draw(1, B, H), draw(2, T, B, H)
    same(f, [w, h, xs], h, xs)
    same(lambda h, xs: inner(inner(h, xs[0]), f(h, xs)[1][2]), [w, h, xs], h, xs)

def test_an_in_place_change_before_backward_is_an_error():
    w = draw(0, 3)
    f = mg.jit(lambda x: mg.sin(x * w))
    y = f(draw(1, 3)).sum()
    with mg.no_grad():
        w.copy_(np.zeros(3))
    with pytest.raises(RuntimeError, match="backward of jit of .*changed in place"):
        y.backward()

def test_backward_twice():
    x = draw(0, 3)
    y = mg.jit(lambda x: mg.sin(x))(x).sum()
    y.backward(retain_graph=True)
    first = x.grad.numpy()
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * first)
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()

def test_some_results_without_a_cotangent():
    f = mg.jit(lambda x: (mg.sin(x), mg.cos(x), looped(x, mg.stack([x, x]))))
    x = draw(0, 3)
    a, b, (h, ys) = f(x)
    b.sum().backward(retain_graph=True)
    np.testing.assert_allclose(x.grad.numpy(), -np.sin(x.numpy()))
    x.grad = None
    (ys[1] * 2).sum().backward()
    gradient, x.grad = x.grad.numpy(), None
    (looped(x, mg.stack([x, x]))[1][1] * 2).sum().backward()
    np.testing.assert_allclose(gradient, x.grad.numpy())

# What it takes and returns

def test_nested_arguments_and_results():
    def f(a, *rest, k, pair=None):
        return {"x": a["u"] * k, "y": [rest[0] + 1, Pair(rest[1], pair.b)], "z": pair}

    a, b, c = draw(0, 2), draw(1, 2), draw(2, 2)
    result = same(f, [a, b, c], {"u": a}, b, c, k=2.0, pair=Pair(a, c))({"u": a}, b, c, k=2.0, pair=Pair(a, c))
    assert type(result["z"]) is Pair and type(result["y"][1]) is Pair

def test_results_that_are_no_tensors():
    f = mg.jit(lambda x: (x.sum(), None, "name", x.shape, x.ndim, {"flag": True, "size": 1.5}))
    x = draw(0, 2, 3)
    for _ in range(2):
        result = f(x)
        assert result[1:] == (None, "name", (2, 3), 2, {"flag": True, "size": 1.5})
    assert mg.jit(lambda: None)() is None

def test_arrays_numbers_integers_and_bools():
    f = mg.jit(lambda x, i, m: mg.where(m, x[i], 0.5))
    x, i, m = np.arange(3.0), np.array([2, 0]), np.array([True, False])
    assert f(x, i, m).tolist() == f(mg.tensor(x), mg.tensor(i), m).tolist() == [2.0, 0.5]
    assert f.traces == 1
    assert mg.jit(lambda x: x + 1)(3) == 4  # a Python value
    assert mg.jit(lambda x: (x > 0, mg.argmax(x)))(draw(0, 3))[0].dtype == bool

def test_results_that_are_arguments_or_captured():
    w = draw(1, 3)
    x = draw(0, 3)
    same(lambda x: (x, x, w, x + 0), [x, w], x)
    same(lambda x: x, [x], x)
    same(lambda x: x[1:], [x], x)

def test_one_tensor_twice():
    x = draw(0, 3)
    same(lambda a, b: a * mg.sin(b), [x], x, x)

def test_dtypes_of_gradients():
    x = draw(0, 3, dtype="float32")
    same(lambda x: (x.astype("float64") * np.arange(3.0), x * 2), [x], x, rtol=1e-6)

def test_kwargs_in_another_order_are_the_same():
    f = mg.jit(lambda a, b: a - b)
    x, y = draw(0, 2), draw(1, 2)
    np.testing.assert_array_equal(f(a=x, b=y).detach().numpy(), f(b=y, a=x).detach().numpy())

def test_a_method_and_what_is_reached_through_jit():
    class Scaled:
        def __init__(self, s):
            self.s = s

        @mg.jit
        def times(self, x):
            """Times s."""
            return x * self.s

    x = draw(0, 2)
    two, three = Scaled(2.0), Scaled(3.0)
    np.testing.assert_array_equal(two.times(x).detach().numpy(), 2 * x.numpy())
    np.testing.assert_array_equal(three.times(x).detach().numpy(), 3 * x.numpy())
    assert Scaled.times.__doc__ == "Times s." and Scaled.times.__name__ == "times"
    layer = LSTM(2, 3)
    jitted = mg.jit(layer)
    assert list(jitted.parameters()) == list(layer.parameters()) and jitted.hidden_size == 3
    assert jitted.eval() is layer and not layer.training

def test_what_cannot_be_an_argument():
    with pytest.raises(TypeError, match="an argument is a set; wanted tensors, arrays and hashable Python values"):
        mg.jit(lambda x: x)({1, 2})
    with pytest.raises(TypeError, match="wanted a function or a Module, got int"):
        mg.jit(3)

def test_nothing_is_kept_alive():
    """Arguments and results go when nobody holds them, with the tape."""
    f = mg.jit(lambda x: looped(x, mg.stack([x, x])))
    x = draw(0, 3)
    for _ in range(2):
        y = f(x)[1]
    data = weakref.ref(y._data)
    gc.disable()
    try:
        del y
        assert data() is None
    finally:
        gc.enable()

# Control flow

def error_of(f, *args, kind=TypeError) -> str:
    with pytest.raises(kind) as caught:
        mg.jit(f)(*args)
    return str(caught.value)

def line(f, text) -> str:
    """Where the text stands in this file, as messages name it."""
    lines, start = inspect.getsourcelines(f)
    return f"{__file__}:{start + next(k for k, x in enumerate(lines) if text in x)}"

def test_python_asks_for_numbers():
    def branch(x):
        if x.sum() > 0:
            return x
        return -x

    def loop(x):
        while (x * x).sum() > 1:
            x = x / 2
        return x

    def numbers(x):
        return float(x[0])

    def item(x):
        return x * x[1].item()

    def array(x):
        return np.asarray(x)

    def count(x):
        return [x for _ in range(x.argmax())]

    x = draw(0, 3, grad=False)
    for f, where in [
        (branch, "if x"), (loop, "while"), (numbers, "float("), (item, "item()"), (array, "asarray"), (count, "range("),
    ]:  # fmt: skip
        message = error_of(f, x)
        assert line(f, where) in message and "mg.where" in message and "mg.scan" in message, message
        f(x)  # eagerly there is nothing against it
    assert "the numbers of bool[]" in error_of(branch, x)

def test_python_asks_inside_a_loop():
    def step(h, x):
        h = h + x
        return (h, h) if h.sum() > 0 else (-h, h)

    message = error_of(lambda xs: mg.scan(step, xs[0], xs), draw(0, T, 3))
    assert line(step, "if h.sum()") in message

def test_what_is_known_while_tracing_may_be_asked():
    def f(x):
        rows = [row * k for k, row in enumerate(x)]  # as many as the shape says
        return mg.stack(rows) if len(x) > 1 and x.dtype == np.float64 and x.requires_grad else x

    same(f, [x := draw(0, 3, 2)], x)

def test_changes_in_place():
    w = mg.tensor(np.zeros(3))

    def set_item(x):
        x[0] = 1.0
        return x

    def copy(x):
        w.copy_(x)
        return x

    def zero(x):
        w.zero_()
        return x

    for f in (set_item, copy, zero):
        message = error_of(f, draw(0, 3, grad=False), kind=RuntimeError)
        assert "in-place change inside a jitted function" in message and "mg.where" in message

    def augmented(x):
        y = x * 1.0
        y += x
        y *= 2
        return y

    x = draw(0, 3)
    before = x.numpy().copy()
    same(augmented, [x], x)
    np.testing.assert_array_equal(x.numpy(), before)
    parameter = draw(1, 3)

    def step(x):
        adam = optim.SGD([parameter], lr=0.1)
        parameter.grad = x
        adam.step()
        return x

    assert "jit: " in error_of(step, x)

def test_backward_inside():
    def f(x):
        (x * x).sum().backward()
        return x

    message = error_of(f, draw(0, 3), kind=RuntimeError)
    assert "backward inside a jitted function; use mg.grad" in message

def test_errors_of_ops_are_those_of_eager_code():
    w = draw(0, 5, 2)
    for f in (lambda x: x @ w, lambda x: mg.concatenate([x, w], axis=1), lambda x: x.reshape(5), lambda x: x[7]):
        with pytest.raises((ValueError, IndexError)) as eager:
            f(draw(1, 3, 4))
        kind = type(eager.value)
        assert error_of(f, draw(1, 3, 4), kind=kind).split(":")[0] == str(eager.value).split(":")[0]

def test_after_an_error_all_is_as_before():
    def f(x, bad):
        if bad:
            raise ArithmeticError("no")
        return mg.sin(x)

    jitted = mg.jit(f)
    x = draw(0, 3)
    for bad in (True, False, True, False):
        if bad:
            with pytest.raises(ArithmeticError):
                jitted(x, bad)
        else:
            jitted(x, bad).sum().backward()
    assert (x * 2).requires_grad

def test_a_traced_tensor_that_escapes():
    kept = []

    def f(x):
        kept.append(x * 2)
        return x

    mg.jit(f)(draw(0, 3))
    with pytest.raises((RuntimeError, TypeError), match="jit"):
        kept[0] + 1
    g = mg.jit(lambda x: x + kept[0])
    with pytest.raises(RuntimeError, match="used outside of it; return it instead"):
        g(draw(0, 3))

    def leaks(xs):
        held = []
        mg.scan(lambda h, x: (h + x, held.append(h)), xs[0], xs)
        return held[0] * 2

    with pytest.raises(RuntimeError, match="used outside of it; return it instead"):
        mg.jit(leaks)(draw(0, T, 3))

# disable_jit

def test_disable_jit():
    calls = []

    @mg.jit
    def f(x):
        calls.append(1)
        return x * 2

    x = draw(0, 2)
    with mg.disable_jit():
        f(x)
        with mg.disable_jit():
            f(x)
        f(x)
    assert len(calls) == 3 and f.traces == 0
    f(x), f(x)
    assert len(calls) == 4 and f.traces == 1

    @mg.disable_jit()
    def plainly(x):
        return f(x)

    plainly(x)
    assert len(calls) == 5
    with pytest.raises(ArithmeticError), mg.disable_jit():
        raise ArithmeticError
    f(x)
    assert len(calls) == 5
    other = threading.Thread(target=lambda: f(x))
    with mg.disable_jit():  # in this thread alone
        other.start()
        other.join()
    assert len(calls) == 5
    with mg.disable_jit():
        assert f(mg.tensor([1.0]) if x.sum().item() > 9 else x).shape == (2,)

# Derivatives of any order

def recurrent_loss(x, layer=None):
    return (layer(x)[0] ** 2).sum()

def test_second_derivatives_through_a_jitted_function():
    f = mg.jit(lambda x: (mg.sin(x) * x).sum() + looped(x, mg.stack([x, x * x]))[1].sum())
    x = draw(0, 3)

    def eagerly(g):
        with mg.disable_jit():
            return g()

    for g in (
        lambda: mg.hessian(f)(x),
        lambda: mg.grad(lambda x: (mg.grad(f)(x) ** 2).sum())(x),
        lambda: mg.grad(mg.grad(mg.grad(lambda a: f(a * x))))(mg.tensor(0.5, dtype="float64")),
        lambda: mg.hvp(f, (x,), (mg.tensor(np.arange(3.0)),))[0],
        lambda: mg.jvp(f, (x,), (mg.tensor(np.arange(3.0)),))[1],
        lambda: mg.jacobian(mg.jit(lambda x: looped(x, mg.stack([x, x]))[1]))(x),
    ):
        np.testing.assert_allclose(g().detach().numpy(), eagerly(g).detach().numpy(), rtol=1e-9, atol=1e-12)

def test_create_graph():
    layer = LSTM(2, 3, generator=np.random.default_rng(0)).astype("float64")
    jitted = mg.jit(layer)

    def penalty(f):
        layer.zero_grad()
        x = draw(0, T, B, 2)
        f(x)[0].sum().backward(create_graph=True)
        penalty = (x.grad**2).sum()
        layer.zero_grad()
        penalty.backward()
        gradients = [p.grad.numpy() for p in layer.parameters()]
        layer.zero_grad()
        x.grad = None
        return gradients

    for a, b in zip(penalty(jitted), penalty(layer)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)

@pytest.mark.parametrize("layer", [LSTM, GRU, RNN])
def test_gradcheck_to_second_order(layer):
    layer = layer(1, 2, generator=np.random.default_rng(0))

    class Jitted(nn.Module):
        def __init__(self):
            self.layer = layer
            self.f = mg.jit(layer)

        def forward(self, x):
            return self.f(x)

    assert gradcheck(Jitted(), (np.random.default_rng(1).normal(size=(2, 1, 1)),), second_order=True)

def test_a_parameter_is_a_result_and_differentiated_twice():
    w, x = draw(0, 3), draw(1, 3)
    f = mg.jit(lambda x: (x * w, w, x))

    def twice():
        a, b, c = f(x)
        (g,) = mg.vjp(lambda x: (f(x)[0] * b * c * c).sum(), x)[1](mg.tensor(1.0, dtype="float64"))
        w.grad = x.grad = None
        (g**2).sum().backward()
        return [w.grad.numpy(), x.grad.numpy()]

    got = twice()
    with mg.disable_jit():
        wanted = twice()
    np.testing.assert_allclose(got, wanted, rtol=1e-12)

def test_transforms_inside():
    w = draw(0, 3)

    def f(x):
        return (mg.sin(x) * w).sum() + looped(x, mg.stack([x, w]))[1].sum()

    x = draw(1, 3)
    u = mg.tensor(np.arange(3.0))
    for g in (
        mg.grad(f),
        mg.value_and_grad(f),
        mg.hessian(f),
        lambda x: mg.grad(lambda x: (mg.grad(f)(x) ** 2).sum())(x),
        lambda x: mg.jvp(f, (x,), (u,)),
        lambda x: mg.vjp(mg.sin, x)[1](u),
        lambda x: mg.hvp(f, (x,), (u,)),
        lambda x: mg.jacobian(lambda x: mg.sin(x) * x.sum())(x),
    ):
        same(g, [x, w], x)
    got = mg.jit(mg.value_and_grad(lambda x: (f(x), {"aux": x * 2, "n": 3}), has_aux=True))(x)
    assert got[0][1]["n"] == 3
    np.testing.assert_allclose(got[0][1]["aux"].detach().numpy(), 2 * x.numpy())

def test_transforms_inside_a_loop():
    """Of values of the step, of what the loop closes over, of numbers made on the way."""
    w, h, xs = draw(0, 3), draw(1, 3), draw(2, T, 3)
    u = mg.tensor(np.arange(3.0))

    def energy(h, x):
        return (mg.sin(h) * w * x).sum()

    for step in (
        lambda h, x: mg.grad(energy)(h, x) * 0.3 + x,
        lambda h, x: mg.grad(energy, argnums=1)(h, x) * 0.3,
        lambda h, x: mg.tanh(mg.jvp(mg.sin, (h,), (u,))[1] + x),
        lambda h, x: mg.tanh(mg.grad(lambda w: (mg.sin(w) * h * x).sum())(w)),
        lambda h, x: mg.tanh(mg.grad(lambda u: (mg.sin(u) * h * x).sum())(u) + h),
        lambda h, x: mg.tanh(mg.hvp(lambda h: energy(h, x * h), (h,), (x,))[0]),
        lambda h, x: mg.grad(lambda h: (mg.scan(lambda g, z: (mg.sin(g) * z * w, g), h, xs)[1] ** 2).sum())(h) * 0.1 + x,
        lambda h, x: mg.tanh(mg.grad(lambda z: (mg.scan(lambda g, z: (mg.sin(g) * z * w, g), h, z)[1] ** 2).sum())(xs)[1]),
    ):  # fmt: skip
        same(lambda h, xs: mg.scan(lambda h, x: (step(h, x), h * x), h, xs), [w, h, xs], h, xs)


def test_per_sample_gradients_of_a_recurrent_layer():
    """Each way: jit in the loop over the samples, the loop in jit, a gradient in jit."""
    layer = LSTM(2, 3, generator=np.random.default_rng(0)).astype("float64")
    xs = draw(0, B, T, 2, grad=False)
    names = [name for name, _ in layer.named_parameters()]
    by_hand = []
    for x in xs:
        layer.zero_grad()
        recurrent_loss(x, layer).backward()
        by_hand.append([p.grad.numpy() for p in layer.parameters()])
    layer.zero_grad()

    def loss(weights, x):
        w_ih, w_hh, b_ih, b_hh = weights

        def step(state, x):
            h, c = state
            i, f, g, o = mg.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, axis=-1)
            c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
            h = mg.sigmoid(o) * mg.tanh(c)
            return (h, c), h

        zero = mg.tensor(np.zeros(3))
        return (mg.scan(step, (zero, zero), x)[1] ** 2).sum()

    weights = [dict(layer.named_parameters())[name].detach() for name in names]
    one = mg.jit(mg.grad(loss))
    jitted_loss = mg.jit(loss)
    ways = [
        lambda: [one(weights, x) for x in xs],
        lambda: [mg.grad(jitted_loss)(weights, x) for x in xs],
        lambda: mg.jit(lambda weights, xs: [mg.grad(loss)(weights, x) for x in xs])(weights, xs),
    ]
    for way in ways:
        for got, wanted in zip(way(), by_hand, strict=True):
            for a, b in zip(got, wanted, strict=True):
                np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-12)
    assert one.traces == 1
    jitted = mg.jit(layer)
    for x, wanted in zip(xs, by_hand):
        layer.zero_grad()
        (jitted(x)[0] ** 2).sum().backward()
        for p, b in zip(layer.parameters(), wanted):
            np.testing.assert_allclose(p.grad.numpy(), b, rtol=1e-9, atol=1e-12)

def test_a_training_step_in_one():
    """jit(value_and_grad) over parameters given as arguments, and an update of them outside."""
    weights = {"w": draw(0, H, H, grad=False), "b": draw(1, H, grad=False)}
    xs = draw(2, T, B, H, grad=False)

    def loss(weights, xs):
        h, ys = mg.scan(lambda h, x: ((h := mg.tanh(x + h @ weights["w"] + weights["b"])), h), xs[0] * 0, xs)
        return (ys**2).mean() + h.sum()

    both = mg.jit(mg.value_and_grad(loss))
    for _ in range(3):
        value, gradient = both(weights, xs)
        with mg.disable_jit():
            wanted, wanted_gradient = both(weights, xs)
        np.testing.assert_allclose(value.item(), wanted.item(), rtol=1e-12)
        for name in weights:
            np.testing.assert_allclose(gradient[name].numpy(), wanted_gradient[name].numpy(), rtol=1e-9, atol=1e-12)
        weights = mg.tree.map(lambda w, g: w - 0.1 * g, weights, gradient)
    assert both.traces == 1

def test_custom_vjp_inside():
    @mg.custom_vjp
    def clipped(x, y):
        return x * y

    clipped.defvjp(lambda x, y: (x * y, (x, y)), lambda kept, g: (mg.clip(g * kept[1], -0.1, 0.1), None))
    x, y, xs = draw(0, 3), draw(1, 3), draw(2, T, 3)
    same(lambda x, y: clipped(x, y) * 2.0, [x, y], x, y)
    same(lambda h, xs: mg.scan(lambda h, x: (clipped(mg.sin(h), x), h), h, xs), [x, xs], x, xs)
    x0 = draw(0, 3)
    same(lambda x: mg.grad(lambda x: (clipped(x, y) ** 2).sum())(x), [x0], x0)
    w = draw(3, 3)
    same(lambda x: clipped(w, x) * 2.0, [w, y], y)  # of what it closes over
    same(lambda h, xs: mg.scan(lambda h, x: (clipped(w, mg.sin(h)) + x, h), h, xs), [w, x, xs], x, xs)

def test_checkpoint_inside():
    w = draw(0, 3, 3)
    f = mg.checkpoint(lambda h, x: mg.tanh(h @ w + x))
    h, xs = draw(1, B, 3), draw(2, T, B, 3)
    same(lambda h, x: f(f(h, x), x), [w, h], h, xs[0].detach())
    same(lambda h, xs: mg.scan(lambda h, x: ((h := f(h, x)), h), h, xs), [w, h, xs], h, xs)
    same(mg.checkpoint(lambda h, xs: mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x)), h), h, xs)), [w, h, xs], h, xs)
    jitted = mg.jit(lambda h, xs: mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x)), h), h, xs))
    same(mg.checkpoint(jitted), [w, h, xs], h, xs)  # and jit inside of one

@pytest.mark.parametrize("every", [1, 2, 3, 7, 50])
def test_checkpoints_every_few_steps(every):
    layer = LSTM(2, 3, num_layers=2, bidirectional=True).astype("float64")
    x = draw(0, 7, B, 2)
    same(mg.jit(layer, checkpoint=every), [x, *layer.parameters()], x)
    same(mg.jit(lambda x: layer(x, lengths=[7, 0, 2]), checkpoint=every), [x, *layer.parameters()], x)

def test_gradients_that_are_stopped():
    w, x = draw(0, 3), draw(1, 3)

    def inside(x):
        with mg.no_grad():
            a = mg.sin(x * w)
        with mg.enable_grad():
            b = mg.cos(x)
        return a * x + b * w.detach() + mg.stop_gradient(x * w) * x + mg.straight_through(mg.round(x), x)

    same(inside, [w, x], x)
    xs = draw(2, T, 3)
    same(lambda h, xs: mg.scan(lambda h, x: ((h := inside(h) * 0.3 + x.detach()), h), h, xs), [w, x, xs], x, xs)
    same(lambda h, xs: mg.scan(lambda h, x: (mg.stop_gradient(h) * 0.3 + x, h * h), h, xs), [x, xs], x, xs)
    f = mg.jit(lambda x: mg.no_grad()(mg.sin)(x))
    assert not f(x).requires_grad
    with mg.no_grad():
        assert not mg.jit(inside)(x).requires_grad
        g = mg.jit(mg.enable_grad()(lambda x: mg.sin(x)))
        assert not g(x).requires_grad or g(x)._node is not None

def test_under_no_grad_and_then_with_it():
    layer = GRU(2, 3).astype("float64")
    f = mg.jit(layer)
    x = draw(0, T, B, 2)
    with mg.no_grad():
        y = f(x)[0]
        assert not y.requires_grad
    same(f, [x, *layer.parameters()], x)
    np.testing.assert_allclose(f(x)[0].detach().numpy(), y.numpy(), rtol=1e-12)

def test_hooks():
    seen = []
    w, x = draw(0, 3), draw(1, 3)
    remove = w.register_hook(lambda g: seen.append(g.numpy().copy()) or g * 2)
    f = mg.jit(lambda x: mg.sin(x * w))
    f(x).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * x.numpy() * np.cos(x.numpy() * w.numpy()))
    assert len(seen) == 1
    remove()
    y = f(x)
    y.register_hook(lambda g: g * 3)  # on a result
    x.grad = None
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * w.numpy() * np.cos(x.numpy() * w.numpy()))

    def inside(x):
        y = x * w
        y.register_hook(lambda g: mg.clip(g, -0.1, 0.1))
        return mg.sin(y)

    same(inside, [x, w], x)

    def in_a_loop(h, xs):
        def step(h, x):
            h = mg.sin(h + x)
            h.register_hook(lambda g: mg.clip(g, -0.5, 0.5))
            return h, h * w

        return mg.scan(step, h, xs)

    xs = draw(2, T, 3)
    same(in_a_loop, [x, xs, w], x, xs)

# Random numbers

def drawn_alike(make, *args, wanted=()):
    """make(generator) -> a function; jitted it draws what it draws eagerly, call after call, and leaves the generator
    where it would be."""
    eager, jitted = [np.random.default_rng(7) for _ in range(2)]
    f, g = make(eager), mg.jit(make(jitted))
    for _ in range(3):
        a, b = [results_and_gradients(h, wanted, *args) for h in (f, g)]
        for x, y in zip(a[0] + a[1], b[0] + b[1], strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)
        assert eager.bit_generator.state == jitted.bit_generator.state
    assert g.traces == 1

def test_dropout_draws_what_it_draws_eagerly():
    x = draw(0, 4, 5)
    drawn_alike(lambda g: lambda x: mg.dropout(x, 0.5, g) * x, x, wanted=[x])
    drawn_alike(lambda g: lambda x: mg.dropout(mg.dropout(x, 0.5, g), 0.3, g), x, wanted=[x])
    drawn_alike(lambda g: lambda x: (mg.dropout(x, 0.5, g), x)[1], x, wanted=[x])  # drawn and not used

@pytest.mark.parametrize("reverse", [False, True])
def test_draws_in_a_loop(reverse):
    h, xs = draw(0, B, H), draw(1, T, B, H)

    def make(step):
        return lambda g: lambda h, xs: mg.scan(lambda h, x: step(g, h, x), h, xs, reverse=reverse)

    drawn_alike(make(lambda g, h, x: (mg.tanh(mg.dropout(h, 0.5, g) + x), h)), h, xs, wanted=[h, xs])
    drawn_alike(
        make(lambda g, h, x: ((h := mg.tanh(mg.dropout(h, 0.5, g) + mg.dropout(x, 0.2, g))), mg.dropout(h, 0.1, g))),
        h, xs, wanted=[h, xs],
    )  # fmt: skip
    drawn_alike(make(lambda g, h, x: (h + x, (mg.dropout(x, 0.5, g), None)[1])), h, xs, wanted=[h, xs])

    def before_and_after(g):
        def f(h, xs):
            h = mg.dropout(h, 0.5, g)
            h, ys = mg.scan(lambda h, x: (mg.dropout(h, 0.5, g) + x, h), h, mg.dropout(xs, 0.5, g), reverse=reverse)
            return mg.dropout(h, 0.5, g), ys

        return f

    drawn_alike(before_and_after, h, xs, wanted=[h, xs])

    def nested(g):
        def step(h, x):
            h, _ = mg.scan(lambda h, z: (mg.dropout(h, 0.5, g) + z, None), mg.dropout(h, 0.2, g), mg.stack([x, h]))
            return mg.dropout(h, 0.3, g), h

        return lambda h, xs: mg.scan(step, h, xs, reverse=reverse)

    drawn_alike(nested, h, xs, wanted=[h, xs])

def test_draws_with_a_checkpoint():
    h, xs = draw(0, B, H), draw(1, T, B, H)

    def make(g):
        step = mg.checkpoint(lambda h, x: mg.tanh(mg.dropout(h, 0.5, g) + x))
        return lambda h, xs: mg.scan(lambda h, x: ((h := step(h, x)), h), h, xs)

    drawn_alike(make, h, xs, wanted=[h, xs])

    def around(g):
        f = mg.jit(lambda h, xs: mg.scan(lambda h, x: ((h := mg.dropout(h, 0.5, g) + x), h), h, xs))
        return mg.checkpoint(lambda h, xs: f(h, xs))

    drawn_alike(around, h, xs, wanted=[h, xs])
    generator = np.random.default_rng(3)
    f = mg.checkpoint(mg.jit(lambda x: mg.dropout(x, 0.5, generator) * x))  # jit inside a checkpoint: repeated alike
    x = draw(2, 50)
    y = f(x)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(y.detach().numpy() == 0, 0, 4 * x.numpy()))

def test_second_derivatives_of_what_draws():
    """The second run, for the second derivative, must draw what the first one drew, and leave the generator alone."""
    generator = np.random.default_rng(3)
    f = mg.jit(lambda x: (mg.dropout(x, 0.5, generator) ** 2 * x).sum())
    x = draw(2, 50)
    y = f(x)
    state = generator.bit_generator.state
    y.backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.sum().backward()
    kept = first.detach().numpy() != 0  # of 4 x^3: 12 x^2, then 24 x
    np.testing.assert_allclose(first.detach().numpy(), np.where(kept, 12 * x.numpy() ** 2, 0))
    np.testing.assert_allclose(x.grad.numpy(), np.where(kept, 24 * x.numpy(), 0))
    assert generator.bit_generator.state == state
    x.grad = None

def test_a_seed_sets_what_is_drawn():
    layer = GRU(2, 3, num_layers=2, dropout=0.5)
    f = mg.jit(layer)
    x = draw(0, T, B, 2, dtype="float32")
    values = []
    for run in (f, layer, f):
        nn.manual_seed(5)
        values.append(run(x)[0].detach().numpy())
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(values[0], values[2])
    assert abs(f(x)[0].detach().numpy() - values[0]).max() > 1e-3
    layer.eval()
    np.testing.assert_array_equal(f(x)[0].detach().numpy(), f(x)[0].detach().numpy())

def test_two_generators():
    h, xs = draw(0, B, H), draw(1, T, B, H)
    pairs = [[np.random.default_rng(k) for k in (1, 2)] for _ in range(2)]

    def make(a, b):
        return lambda h, xs: mg.scan(lambda h, x: (mg.dropout(h, 0.5, a) + mg.dropout(x, 0.5, b), h), h, xs)

    f, g = make(*pairs[0]), mg.jit(make(*pairs[1]))
    for _ in range(2):
        for a, b in zip(results_and_gradients(f, [h, xs], h, xs), results_and_gradients(g, [h, xs], h, xs)):
            for x, y in zip(a, b):
                np.testing.assert_allclose(x, y, rtol=1e-10)
    assert [g.bit_generator.state for g in pairs[0]] == [g.bit_generator.state for g in pairs[1]]

# Loops

def test_lengths_and_batches_compile_nothing_new(compiled, monkeypatch):
    """50 lengths and 5 batch sizes in turn, forward and backward, with and without a gradient."""
    layer = LSTM(2, 3)
    f = mg.jit(layer)

    def step(length, batch):
        x = draw(0, length, batch, 2, dtype="float32")
        y, (h, c) = f(x)
        (y.sum() + h.sum() + c.sum()).backward()
        with mg.no_grad():
            f(x)

    step(4, 2)
    made = []
    compile_object = build.compile_object
    monkeypatch.setattr(build, "compile_object", lambda *args: made.append(args) or compile_object(*args))
    for length in range(1, 51):
        step(length, [1, 2, 3, 5, 8][length % 5])
    assert not made

def test_lengths_and_batches_of_other_loops_compile_nothing_new(compiled, monkeypatch):
    embedding = nn.Embedding(7, 3)
    layer = GRU(3, 3, num_layers=2, bidirectional=True)
    f = mg.jit(lambda tokens, lengths: layer(embedding(tokens), mask=lengths))

    def step(length, batch):
        tokens = np.random.default_rng(length).integers(0, 7, (length, batch))
        y, h = f(tokens, np.arange(length)[:, None] < np.arange(batch))
        (y.sum() + h.sum()).backward()

    step(5, 4)
    made = []
    compile_object = build.compile_object
    monkeypatch.setattr(build, "compile_object", lambda *args: made.append(args) or compile_object(*args))
    for length, batch in [(2, 2), (3, 1), (9, 7), (1, 3), (17, 4)]:
        step(length, batch)
    assert not made

def test_nested_loops():
    """A sum over pairs, a loop in a loop, both with carries that come from outside."""
    w = draw(0, 3)

    def f(h, xs):
        def outer(h, x):
            def inner(g, z):
                g = mg.tanh(g * w + z * x + h)
                return g, g * z

            g, ys = mg.scan(inner, h, xs)
            return g, ys.sum(axis=0)

        return mg.scan(outer, h, xs, reverse=True)

    h, xs = draw(1, 3), draw(2, T, 3)
    same(f, [w, h, xs], h, xs)

def test_stacked_loops_and_a_loop_over_results():
    w = draw(0, 3, 3)

    def layer(xs, reverse):
        return mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x)), h), xs[0] * 0, xs, reverse=reverse)

    def f(xs):
        h, ys = layer(xs, False)
        g, zs = layer(ys, True)
        return h, g, layer(mg.concatenate([ys, zs]), False)[1]

    same(f, [w, xs := draw(1, T, B, 3)], xs)

@pytest.mark.parametrize("layer", [LSTM, GRU, RNN])
@pytest.mark.parametrize("options", [{"lengths": [5, 0, 2]}, {"mask": np.arange(T)[:, None] != [1, 4, 9]}])
def test_padding(layer, options):
    layer = layer(2, 3, bidirectional=True).astype("float64")
    x = draw(0, T, B, 2)
    same(lambda x: layer(x, **options), [x, *layer.parameters()], x)

def test_lengths_as_an_argument_of_jit():
    layer = GRU(2, 3).astype("float64")
    x = draw(0, T, B, 2)
    mask = np.arange(T)[:, None] < [5, 0, 2]
    f = same(mg.jit(layer), [x, *layer.parameters()], x, mask=mask)
    f(x, mask=~mask)
    assert f.traces == 1

def test_loops_of_no_and_of_one_step():
    for length in (0, 1):
        h, xs = draw(0, B, H), draw(1, length, B, H)
        same(looped, [h, xs] if length else [h], h, xs)
        same(lambda h: mg.scan(lambda h, x: (mg.tanh(h), h), h, None, length=length), [h], h)

def test_a_loop_without_inputs_and_without_outputs():
    h = draw(0, B, H)
    same(lambda h: mg.scan(lambda h, x: (mg.sin(h) + 1, None), h, None, length=4), [h], h)
    same(lambda h: mg.scan(lambda h, x: (h, mg.sin(h)), h, None, length=4), [h], h)
    same(lambda h: mg.scan(lambda h, x: (h, None), h, None, length=4)[0], [h], h)
    xs = draw(1, T, B, H)
    same(lambda xs: mg.scan(lambda _, x: (None, mg.tanh(x)), None, xs)[1], [xs], xs)
    same(lambda xs: mg.scan(lambda n, x: (n + 1, mg.tanh(x) * n), 0, xs), [xs], xs)  # an integer carry

def changing(new, init) -> str:
    def step(carry, x):
        return new(carry), x

    with pytest.raises(ValueError) as error:
        mg.jit(lambda init, xs: mg.scan(step, init, xs))(init, mg.tensor([0.0, 1.0, 2.0]))
    message = str(error.value)
    assert f"changing.<locals>.step ({__file__}:{inspect.getsourcelines(step)[1]})" in message and "\n" not in message
    return message

def test_a_carry_that_changes_is_one_sentence():
    one = mg.tensor(np.zeros(2))
    message = changing(lambda c: (c[0], mg.tensor(np.zeros(3))), (one, one))
    assert "the carry[1] was float64[2] and became float64[3]" in message and "start it so (init), or cast" in message
    message = changing(lambda c: {"h": c["h"].astype("float32")}, {"h": one})
    assert "the carry['h'] was float64[2] and became float32[2]" in message
    assert "the carry: wanted a tuple of 2, got a list of 2" in changing(list, (one, one))
    assert "the carry.b was float64[2] and became None" in changing(lambda c: Pair(one, None), Pair(one, one))
    assert "the carry was float64[2] and became float64[]" in changing(lambda c: c.sum(), one)
    with pytest.raises(TypeError, match=r"wanted \(carry, y\) from .*test_jit.py:\d+\), got one value"):
        mg.jit(lambda xs: mg.scan(lambda c, x: c, one, xs))(mg.tensor([0.0, 1.0]))

def test_lengths_that_do_not_fit():
    f = mg.jit(lambda a, b: mg.scan(lambda c, x: (c, None), 0.0, {"a": a, "b": [b]}))
    with pytest.raises(ValueError, match=r"xs\['a'\] has 3, xs\['b'\]\[0\] has 4"):
        f(np.zeros((3, 2)), np.zeros((4, 2)))

def test_strided_and_broadcast_inputs():
    """Arrays as they come: swapped axes, every second row, one row many times, read-only, of Fortran's order."""
    w = draw(0, H, H)

    def f(h, xs):
        return mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x)), h), h, xs)

    base = np.random.default_rng(1).normal(size=(2 * T, 2 * B, 2 * H))
    for xs in (
        base[::2, ::2, ::2], base[:T, :B, :H][::-1], base[:T, :B, ::-2], np.broadcast_to(base[0, :B, :H], (T, B, H)),
        np.asfortranarray(base[:T, :B, :H]), base[:B, :T, :H].swapaxes(0, 1), base[:H, :B, :T].T,
        np.broadcast_to(base[:T, :1, :1], (T, B, H)),
    ):  # fmt: skip
        h = np.broadcast_to(base[0, 0, :H], (B, H))
        same(f, [w], h, xs)
        view = mg.Tensor(xs)
        same(f, [w], mg.Tensor(h.T.copy().T), view)

def test_an_input_that_is_also_a_weight():
    x = draw(0, H, H)
    same(lambda x: mg.scan(lambda h, row: (mg.tanh(h @ x + row), h), x, x), [x], x)

def test_results_are_not_overwritten_by_the_next_call():
    """Buffers are used again; results are not among them."""
    layer = LSTM(2, 3).astype("float64")
    f = mg.jit(layer)
    x, z = draw(0, T, B, 2), draw(1, T, B, 2)
    first = f(x)
    values = [y.detach().numpy().copy() for y in leaves(first)]
    second = f(z)
    for y, value in zip(leaves(first), values):
        np.testing.assert_array_equal(y.detach().numpy(), value)
    total = sum(y.sum() for y in leaves(first))
    other = sum(y.sum() for y in leaves(second))
    other.backward()  # in another order than they were made
    total.backward()
    gradient = x.grad.numpy().copy()
    x.grad = None
    sum(y.sum() for y in leaves(layer(x))).backward()
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-10)

# Processes, threads, bits

def jobs():
    layer = LSTM(3, 4, num_layers=2, generator=np.random.default_rng(0))
    f = mg.jit(layer)

    def job(seed):
        x = draw(seed, 6, 5, 3, dtype="float32")
        y = f(x)[0]
        (gradient,) = mg.vjp(lambda x: f(x)[0], x)[1](y.detach())
        return y.detach().numpy(), gradient.numpy()

    return f, job

def test_several_threads_call_one_jitted_function(compiled):
    f, job = jobs()
    wanted = {seed: job(seed) for seed in range(8)}
    f.known.clear()  # so that they trace it at the same time as well
    wrong = []

    def work(seeds):
        for _ in range(10):
            for seed in seeds:
                for a, b in zip(job(seed), wanted[seed]):
                    if not np.array_equal(a, b):
                        wrong.append(seed)

    workers = [threading.Thread(target=work, args=(np.roll(range(8), k),)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong

def in_child(job, queue):
    queue.put(job(3))

@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_after_fork(compiled):
    _, job = jobs()
    wanted = job(3)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=in_child, args=(job, queue)) for _ in range(2)]
    for child in children:
        child.start()
    for _ in children:
        for a, b in zip(queue.get(timeout=120), wanted):
            np.testing.assert_array_equal(a, b)
    for child in children:
        child.join(60)
        assert child.exitcode == 0

def test_the_same_bits_each_time(compiled):
    """Large enough for two threads."""
    layer = GRU(32, 64, generator=np.random.default_rng(0))
    x = draw(0, 20, 16, 32, dtype="float32")
    f = mg.jit(layer)

    def step():
        layer.zero_grad()
        x.grad = None
        y, h = f(x)
        ((y * y).sum() + h.sum()).backward()
        return [y.detach().numpy(), h.detach().numpy(), x.grad.numpy(), *[p.grad.numpy() for p in layer.parameters()]]

    first = [a.copy() for a in step()]
    for _ in range(5):
        for a, b in zip(step(), first):
            np.testing.assert_array_equal(a, b)
