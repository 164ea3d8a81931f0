"""jit: what is traced and when, what a call takes and gives."""

import gc
import sys
import threading
import types
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from programs import B, H, Pair, T, draw, looped, same

import minigrad as mg
from minigrad import nn, optim
from minigrad.models import GRU, LSTM

# What is traced, and when

pytestmark = pytest.mark.usefixtures("quick_kernels")


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
        seen.append(isinstance(x, mg.Tensor))
        return x + 1

    assert f(draw(0, 2)).shape == f(draw(1, 2)).shape == (2,)
    assert seen == [True]


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


A_SCALE, A_WEIGHT = 2.0, mg.tensor([1.0, 2.0, 3.0])


def test_variables_that_it_reads_are_part_of_the_key(monkeypatch):
    """Closed over or global, also in functions that it calls or holds: numbers and tensors may be bound anew."""
    scale, weight, sizes = 2.0, mg.tensor([1.0, 1.0, 1.0]), [1.0]

    def helper(x):
        return x * scale * A_SCALE + sum(sizes)

    def f(x):
        return mg.scan(lambda h, x: (helper(h) * weight + x * A_WEIGHT, None), x[0], x)[0]

    jitted = mg.jit(f)
    x = draw(0, 2, 3, dtype="float32")

    def agrees():
        np.testing.assert_allclose(jitted(x).detach().numpy(), f(x).detach().numpy(), rtol=1e-5)

    agrees()
    scale = 3.0
    agrees()
    weight = mg.tensor([2.0, 3.0, 4.0])
    agrees()
    sizes.append(5.0)
    agrees()
    monkeypatch.setitem(globals(), "A_SCALE", 7.0)
    agrees()
    monkeypatch.setitem(globals(), "A_WEIGHT", mg.tensor([0.0, 0.0, 1.0]))
    agrees()
    assert jitted.traces == 4  # another tensor of the same kind takes the place of the old one
    agrees()
    assert jitted.traces == 4


class Trainer:
    """An object that is no module."""

    def __init__(self):
        self.model, self.scale, self.count = Switched().eval(), 2.0, 0

    def scaled(self, x):
        return x * self.scale

    def loss(self, x):
        return self.scaled(self.model(x))

    @mg.jit
    def jitted(self, x):
        return self.loss(x)


@pytest.mark.parametrize("bound", ["method", "decorated", "closure"])
def test_attributes_of_objects_are_part_of_the_key(bound):
    trainer = Trainer()
    x = draw(0, 3)
    jitted = {"method": mg.jit(trainer.loss), "closure": mg.jit(lambda x: trainer.loss(x))}.get(bound, trainer.jitted)

    def agrees():
        np.testing.assert_array_equal(jitted(x).detach().numpy(), trainer.loss(x).detach().numpy())

    agrees()
    trainer.scale = 3.0
    agrees()
    trainer.model.scale = 4.0
    agrees()
    trainer.model = Switched().eval()
    agrees()
    trainer.model.scale = 5.0
    agrees()
    if bound == "method":
        traces = jitted.traces
        trainer.count += 1  # which nobody reads
        agrees()
        assert jitted.traces == traces


def test_modules_that_join_later_are_looked_at():
    class Layers(nn.Module):
        def __init__(self):
            self.first, self.more = Switched(), [Switched()]

        def forward(self, x):
            for layer in (self.first, *self.more):
                x = layer(x)
            return x

    model = Layers().eval()
    f = mg.jit(model)
    x = draw(0, 3)

    def agrees():
        np.testing.assert_array_equal(f(x).detach().numpy(), model(x).detach().numpy())

    agrees()
    model.first = Switched().eval()
    agrees()
    model.first.scale = 5.0
    agrees()
    model.more.append(Switched().eval())
    agrees()
    model.more[1].flip = True
    agrees()


class Config:
    scale = 2.0
    table = {"a": 1.0}

    @staticmethod
    def act(x):
        return x * 1.0

    @property
    def twice(self):
        return 2 * self.scale


class Slotted:
    __slots__ = ("scale",)

    def __init__(self):
        self.scale = 2.0


class Scaled(nn.Module):
    scale = 2.0

    def forward(self, x):
        return x * self.scale


def changes_of_what_is_read():
    """(name, function, changes of what it reads): each function is traced once for each change, and is right."""
    cfg, settings, slotted = types.ModuleType("cfg"), Config(), Slotted()
    cfg.scale, cfg.helper = 2.0, lambda x: x * cfg.scale
    inner = types.SimpleNamespace(values={"z": 2.0}, keys={1})
    sets, many = {1}, np.ones(2)
    w = mg.tensor([1.0, 2.0])

    class Net(Scaled):
        pass

    net = Net()

    def write(tensor, value):
        with mg.no_grad():
            tensor.copy_(np.full(2, value))

    return [
        ("class", lambda x: x * Config.scale, [lambda: setattr(Config, "scale", 3.0)]),
        ("class of an object", lambda x: x * settings.scale,
         [lambda: setattr(Config, "scale", 4.0), lambda: setattr(settings, "scale", 5.0)]),
        ("property", lambda x: x * settings.twice, [lambda: setattr(settings, "scale", 6.0)]),
        ("in a class", lambda x: x * Config.table["a"], [lambda: Config.table.update(a=2.0)]),
        ("static method", lambda x: settings.act(x), [lambda: setattr(Config, "act", lambda self, x: x * 7.0)]),
        ("Python's module", lambda x: x * cfg.scale, [lambda: setattr(cfg, "scale", 3.0)]),
        ("what it calls", lambda x: cfg.helper(x),
         [lambda: setattr(cfg, "scale", 4.0), lambda: setattr(cfg, "helper", lambda x: x * 9.0)]),
        ("getattr", lambda x: x * getattr(settings, "scale"), [lambda: setattr(settings, "scale", 8.0)]),  # noqa: B009
        ("nested", lambda x: x * inner.values["z"], [lambda: inner.values.update(z=3.0)]),
        ("keys", lambda x: x * len([k for k in inner.values if k == "z"]),
         [lambda: (inner.values.update(y=inner.values.pop("z")))]),
        ("slots", lambda x: x * slotted.scale, [lambda: setattr(slotted, "scale", 3.0)]),
        ("set", lambda x: x * len(sets), [lambda: sets.add(2)]),
        ("signed zero", lambda x: x * np.copysign(1.0, cfg.zero), [lambda: setattr(cfg, "zero", -0.0)]),
        ("class of a Module", lambda x: net(x),
         [lambda: setattr(Scaled, "scale", 4.0), lambda: setattr(Net, "scale", 5.0),
          lambda: setattr(Net, "forward", lambda self, x: x * 11.0)]),
        ("array, by NumPy", lambda x: x * float(np.sum(many)), [lambda: many.fill(2.0)]),
        ("array, made a tensor", lambda x: x * mg.tensor([many, many], dtype="float64")[0], [lambda: many.fill(3.0)]),
        ("array, of another dtype", lambda x: x * mg.tensor(many, dtype="int64"), [lambda: many.fill(4.0)]),
        ("numpy", lambda x: x * w.numpy()[0], [lambda: write(w, 3.0)]),
        ("list", lambda x: x * w.tolist()[0], [lambda: write(w, 4.0)]),
        ("truth", lambda x: x * 2 if 5.0 in w else x * 3, [lambda: write(w, 5.0)]),
        ("array of", lambda x: x * np.asarray(w).sum(), [lambda: write(w, 6.0)]),
        ("tensor of tensors", lambda x: x * mg.tensor([w, w], dtype="float64")[0], [lambda: write(w, 7.0)]),
        ("index", lambda x: x[places], [lambda: places.fill(1)]),
    ]  # fmt: skip


places = np.array([0, 0])


def test_changes_of_what_it_reads(monkeypatch):
    for owner, name in ((Config, "scale"), (Config, "act"), (Scaled, "scale")):
        monkeypatch.setattr(owner, name, vars(owner)[name])  # put back in the end
    for name, f, changes in changes_of_what_is_read():
        if name == "signed zero":
            f.__closure__[0].cell_contents.zero = 0.0
        jitted = mg.jit(f)
        x = draw(0, 2)
        for traces, change in enumerate([lambda: None, *changes], start=1):
            change()
            for _ in range(2):
                np.testing.assert_array_equal(jitted(x).detach().numpy(), f(x).detach().numpy(), err_msg=name)
                assert jitted.traces == traces, name


def test_arrays_that_meet_tensors_are_read_at_every_call():
    a = np.ones(2)
    for f in (lambda x: x * a, lambda x: x * mg.tensor(a)):
        jitted = mg.jit(f)
        for k in range(3):
            a[:] = k
            np.testing.assert_array_equal(jitted(mg.tensor(np.ones(2))).numpy(), a)
        assert jitted.traces == 1


def test_what_is_made_while_tracing_may_be_asked():
    f = mg.jit(lambda x: x * mg.tensor(np.arange(3.0)).numpy().sum() * mg.tensor(2.0).item())
    for _ in range(3):
        np.testing.assert_array_equal(f(mg.tensor(np.ones(2))).numpy(), [6.0, 6.0])
    assert f.traces == 1


def test_a_name_that_is_both_an_attribute_and_a_global(monkeypatch):
    """A training loop in a script binds `loss` at every step; that `self.loss` is called does not concern it."""
    f = mg.jit(lambda x: types.SimpleNamespace(a_loss=x).a_loss * 2.0)
    for k in range(3):
        monkeypatch.setitem(globals(), "a_loss", float(k))
        f(mg.tensor(np.ones(2)))
    assert f.traces == 1


def test_signed_zeros_and_nan_as_arguments():
    f = mg.jit(lambda x, a: x * np.copysign(1.0, a))
    x = mg.tensor(np.ones(2))
    assert f(x, 0.0).tolist() == [1.0, 1.0] and f(x, -0.0).tolist() == [-1.0, -1.0]
    assert f(x, np.float64(0.0)).tolist() == [1.0, 1.0] and f(x, np.float64(-0.0)).tolist() == [-1.0, -1.0]
    traces = f.traces
    for _ in range(3):
        f(x, float("nan"))
    assert f.traces == traces + 1


def test_kinds_of_arguments_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(sys.modules[mg.jit.__module__], "KINDS", 64)
    f = mg.jit(lambda x, k: x * k)
    x = mg.tensor(np.ones(2))
    for k in range(100):
        f(x, k)
        f(x, -1)  # used all the time, it stays
    assert f.traces == 101 and len(f.known) == 64
    f(x, 99)
    assert f.traces == 101
    f(x, 0)
    assert f.traces == 102


class Plain:
    def __init__(self, scale):
        self.scale, self.weight = scale, mg.tensor(np.ones(2))

    @mg.jit
    def times(self, x):
        return x * self.scale * self.weight


@dataclass
class Data:
    scale: float

    @mg.jit
    def times(self, x):
        return x * self.scale


@pytest.mark.parametrize("owner", [Plain, Data])
def test_an_object_as_an_argument(owner):
    """By its identity, of which its attributes are looked at; it is not kept alive, nor is what is known of it."""
    x = draw(0, 2)
    a, b = owner(2.0), owner(2.0)
    known = owner.times.known
    for scale in (2.0, 3.0):
        a.scale = scale
        for _ in range(2):
            np.testing.assert_array_equal(a.times(x).detach().numpy(), x.numpy() * scale)
            np.testing.assert_array_equal(b.times(x).detach().numpy(), x.numpy() * 2.0)
    before, traces = len(known), owner.times.traces
    gone = weakref.ref(a)
    y = b.times(x)
    del a
    gc.collect()
    assert gone() is None and len(known) == before - 1
    y.sum().backward()
    assert b.times(x).shape == (2,) and owner.times.traces == traces


def test_traces_that_no_longer_hold_do_not_pile_up():
    weight = mg.tensor([1.0, 2.0])
    f = mg.jit(lambda x: x * weight)
    for k in range(30):
        weight = mg.tensor([1.0, float(k)])
        assert f(mg.tensor([1.0, 1.0])).tolist() == [1.0, k]
    assert sum(map(len, f.known.values())) < 10


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
    _, b, (_, ys) = f(x)
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
    assert jitted.eval() is jitted and not layer.training


def test_what_cannot_be_an_argument():
    with pytest.raises(TypeError, match="an argument is a set; wanted tensors, arrays, hashable Python values"):
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


def test_backward_lets_go_of_the_arguments():
    hidden = draw(0, 3) * 2
    data, node = weakref.ref(hidden._data), weakref.ref(hidden._node)
    y = mg.jit(mg.tanh)(hidden)
    del hidden
    y.sum().backward()
    assert data() is None and node() is None


# disable_jit


def test_disable_jit(capsys):
    printed = []

    @mg.jit
    def f(x):
        print("runs")
        return x * 2

    def so_far():
        printed.append(capsys.readouterr().out)
        return "".join(printed).count("runs")

    x = draw(0, 2)
    with mg.disable_jit():
        f(x)
        with mg.disable_jit():
            f(x)
        f(x)
    assert so_far() == 3 and f.traces == 0
    f(x), f(x)
    assert so_far() == 4 and f.traces == 1

    @mg.disable_jit()
    def plainly(x):
        return f(x)

    plainly(x)
    assert so_far() == 5
    with pytest.raises(ArithmeticError), mg.disable_jit():
        raise ArithmeticError
    f(x)
    assert so_far() == 5
    other = threading.Thread(target=lambda: f(x))
    with mg.disable_jit():  # in this thread alone
        other.start()
        other.join()
    assert so_far() == 5
