"""Ways in which a function holds its parameters: each is traced once, is right after another parameter has taken the
place, with gradients, and is not refused."""

import collections
import dataclasses
import functools
import gc
import operator
import typing
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, tanh
from minigrad.models.tasks.training import Task

pytestmark = pytest.mark.usefixtures("quick_kernels")
X = mg.tensor(np.random.default_rng(0).normal(size=(3, 4)))
shared = None


def weight(seed=1):
    return nn.Parameter(np.random.default_rng(seed).normal(size=(4, 4)))


class Layer(nn.Module):
    def __init__(self):
        self.w = weight()

    def forward(self, x):
        return x @ self.w


class Layers(nn.Module):
    def __init__(self):
        self.inner = [Layer(), Layer()]

    def __iter__(self):
        return iter(self.inner)

    def __getitem__(self, k):
        return self.inner[k]

    def __len__(self):
        return len(self.inner)

    def forward(self, x):
        for layer in self:
            x = layer(x)
        return self[-1](x)


class Model:
    """Of no class of minigrad's."""

    of_class = weight()

    def __init__(self):
        self.layer, self.w, self.layers = Layer(), weight(), [Layer(), Layer()]

    def calls(self, x):
        return self.layer(x)

    def multiplies(self, x):
        return x @ self.w

    def of_the_class(self, x):
        return x @ self.of_class

    @classmethod
    def by_class(cls, x):
        return x @ cls.of_class

    @staticmethod
    def static(x):
        return x @ Model.of_class

    @property
    def shown(self):
        return self.layer

    def through_property(self, x):
        return self.shown(x)

    @functools.cached_property
    def kept(self):
        return self.layers[0]

    def through_cached_property(self, x):
        return self.kept(x)

    @functools.lru_cache  # noqa: B019
    def get(self):
        return self.layer

    def through_cached_method(self, x):
        return self.get()(x)

    def each(self):
        yield from self.layers

    def through_generator(self, x):
        for layer in self.each():
            x = layer(x)
        return x


class Heir(Model):
    def multiplies(self, x):
        return 2 * super().multiplies(x)


class OurLoss(Task):
    """Its code is of this file; that which reads `model` may be of the library."""

    def __init__(self):
        self.model = Layer()

    def loss(self, x):
        return self.model(x)


OurLoss.loss.__module__ = "minigrad.models.tasks.training"  # as if it stood there


class OfTheUser(OurLoss):
    pass


@dataclasses.dataclass
class Data:
    w: object
    scale: float = 2.0

    def __call__(self, x):
        return x @ self.w * self.scale


@dataclasses.dataclass(slots=True)
class Slotted:
    w: object

    def __call__(self, x):
        return x @ self.w


class Named(typing.NamedTuple):
    layer: object

    def go(self, x):
        return self.layer(x)


Pair = collections.namedtuple("Pair", "w b")


def of_model(method, place=lambda model: model, make=Model):
    """A method of a model, in which place(model) has the parameter."""

    def way():
        model = make()
        return getattr(model, method), lambda p: setattr(place(model), "w", p)

    return way


def of_layer(make):
    """make(layer): the function."""

    def way():
        layer = Layer()
        return make(layer), lambda p: setattr(layer, "w", p)

    return way


def of_entry(make, holder, key):
    """make(holder): the function; the parameter is an entry of the holder."""

    def way():
        one = holder()
        return make(one), lambda p: operator.setitem(one, key, p)

    return way


def a_global():
    global shared
    shared = weight()
    return (lambda x: x @ shared), lambda p: globals().update(shared=p)


def a_class_attribute(method):
    return lambda: (getattr(Model(), method), lambda p: setattr(Model, "of_class", p))


def a_nonlocal():
    w = weight()

    def replace(p):
        nonlocal w
        w = p

    def f(x):
        def inner(x):
            def innermost(x):
                return x @ w

            return innermost(x)

        return inner(x)

    return f, replace


def a_cache():
    @functools.cache
    def layers(n, name):
        return [Layer() for _ in range(n)]

    return (lambda x: layers(2, "a")[1](x)), lambda p: setattr(layers(2, "a")[1], "w", p)


def a_named_tuple_in_a_list():
    held = [Pair(weight(), 1.0)]
    return (lambda x: x @ held[0].w + held[0].b), lambda p: operator.setitem(held, 0, Pair(p, 1.0))


def executed(definition, make):
    """Code of a definition that is run from text: of a notebook, of `python -c`."""

    def way():
        names: dict = {"Layer": Layer}
        exec(definition, names)
        one = names["Model"]()
        return make(one), lambda p: setattr(one.model, "w", p)

    return way


def recursive(layer):
    def f(x, n=2):
        return x if n == 0 else f(layer(x), n - 1)

    return f


def with_default(layer):
    def f(x, layer=layer, *, more={"layer": layer}):  # noqa: B006
        return more["layer"](layer(x))

    return f


def decorated(layer):
    def twice(f):
        @functools.wraps(f)
        def g(x):
            return f(f(x))

        return g

    return twice(lambda x: layer(x))


class Cyclic:
    """Holds itself, so that it is not gone when nobody holds it."""

    def __init__(self):
        self.me, self.w = self, mg.Tensor(np.full((4, 4), 0.5))


def with_a_cycle(layer):
    def f(x):
        one = Cyclic()

        def again(x, n):
            return x if n == 0 else again(x @ one.w, n - 1)

        return layer(again(x, 2))

    return f


MODEL = "class Model:\n    def __init__(self): self.model = Layer()\n    def loss(self, x): return self.model(x)\n"
WAYS = {
    "closure": of_layer(lambda layer: lambda x: layer(x)),
    "module": of_layer(lambda layer: layer),
    "partial": of_layer(lambda layer: functools.partial(lambda layer, x: layer(x), layer)),
    "bound method that calls": of_model("calls", lambda m: m.layer),
    "bound method that multiplies": of_model("multiplies"),
    "inherited method": of_model("multiplies", make=Heir),
    "inherited method of the library": of_model("loss", lambda m: m.model, OfTheUser),
    "property": of_model("through_property", lambda m: m.layer),
    "cached property": of_model("through_cached_property", lambda m: m.layers[0]),
    "cached method": of_model("through_cached_method", lambda m: m.layer),
    "generator of layers": of_model("through_generator", lambda m: m.layers[1]),
    "class attribute": a_class_attribute("of_the_class"),
    "class method": a_class_attribute("by_class"),
    "static method": a_class_attribute("static"),
    "dataclass": of_model("__call__", make=lambda: Data(weight())),
    "dataclass with slots": of_model("__call__", make=lambda: Slotted(weight())),
    "named tuple with methods": of_model("go", lambda m: m.layer, lambda: Named(Layer())),
    "named tuple in a list": a_named_tuple_in_a_list,
    "dict": of_entry(lambda d: lambda x: x @ d["w"], lambda: {"w": weight()}, "w"),
    "UserDict": of_entry(lambda d: lambda x: x @ d["w"], lambda: collections.UserDict(w=weight()), "w"),
    "list of functions": of_entry(lambda d: lambda x: [lambda x: x @ d[0]][0](x), lambda: [weight()], 0),
    "itemgetter": of_entry(lambda d: lambda x: x @ operator.itemgetter("w")(d), lambda: {"w": weight()}, "w"),
    "list of lambdas": of_layer(lambda layer: functools.partial(
        lambda fs, x: functools.reduce(lambda x, f: f(x), fs, x), [lambda x: layer(x), lambda x, m=layer: m(x)])),
    "global": a_global,
    "nonlocal": a_nonlocal,
    "default argument": of_layer(with_default),
    "decorated": of_layer(decorated),
    "recursive": of_layer(recursive),
    "module of modules": lambda: (lambda m: (nn.Sequential(m, Layer()), lambda p: setattr(m[1], "w", p)))(Layers()),
    "parameters()": of_layer(lambda layer: lambda x: x @ next(iter(layer.parameters()))),
    "jitted module": of_layer(lambda layer: (lambda f: lambda x: f(x))(mg.jit(layer))),
    "jitted in jitted": of_layer(lambda layer: (lambda f: mg.jit(lambda x: f(x)))(mg.jit(lambda x: layer(x)))),
    "checkpoint": of_layer(lambda layer: lambda x: mg.checkpoint(layer)(x)),
    "scan": of_layer(lambda layer: lambda x: mg.scan(lambda c, _: (mg.tanh(layer(c)), None), x, None, 3)[0]),
    "grad": of_layer(lambda layer: mg.grad(lambda x: (layer(x) ** 2).sum())),
    "cache": a_cache,
    "weak proxy": of_layer(lambda layer: functools.partial(lambda p, _, x: p(x), weakref.proxy(layer), layer)),
    "weak reference": of_layer(lambda layer: functools.partial(lambda r, _, x: r()(x), weakref.ref(layer), layer)),
    "executed text": executed(MODEL, lambda model: model.loss),
    "object with a cycle, made inside": of_layer(with_a_cycle),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_a_parameter_is_found_wherever_it_is_held(name):
    f, replace = WAYS[name]()
    jitted = mg.jit(f)
    np.testing.assert_allclose(jitted(X).numpy(), f(X).numpy())
    for seed in (2, 3):
        p = weight(seed)
        replace(p)
        wanted, found = f(X), jitted(X)
        np.testing.assert_allclose(found.numpy(), wanted.numpy())
        gradients = []
        for y in (wanted, found):
            p.grad = None
            y.sum().backward()
            gradients.append(p.grad.numpy())
        np.testing.assert_allclose(*gradients)
    with mg.no_grad():
        p[0] = 1.0
    np.testing.assert_allclose(jitted(X).numpy(), f(X).numpy())
    assert jitted.traces == 1


def test_an_array_that_only_ops_see_is_read_at_every_call():
    array = np.ones(4)
    f = mg.jit(lambda x: tanh(x * array))  # a name of the library's own function
    for k in range(3):
        array[0] = k
        np.testing.assert_allclose(f(X).numpy(), np.tanh(X.numpy() * array))
    assert f.traces == 1


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("refer", [weakref.proxy, weakref.ref])
def test_what_a_function_reads_weakly_lives_as_long_as_the_tape_of_a_call(refer, order):
    """The backward may have to run the function again: of some of its results, and for a second derivative."""
    layer = Layer()
    gone, weak = weakref.ref(layer), refer(layer)

    @mg.jit
    def f(x):
        w = (weak if refer is weakref.proxy else weak()).w
        return mg.log(w[0] * x), w[0] * x * x  # an infinite derivative of the first at 0, which must not reach x

    x = mg.tensor([0.0, 1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    unused, y = f(x)
    w = layer.w
    wanted = 2 * w.detach().numpy()[0] * x.detach().numpy()
    gc.disable()
    try:
        del layer
        y.sum().backward(create_graph=order == 2)
        np.testing.assert_allclose(x.grad.detach().numpy(), wanted)
        x.grad = w.grad = None  # which hold the tape of the backward, and it what f reads
        del unused, y
        assert gone() is None  # no cycle has kept it
    finally:
        gc.enable()


def test_a_dead_proxy_that_it_does_not_use_is_no_matter():
    layer = Layer()
    proxies = {"dead": weakref.proxy(layer), "other": weight()}
    del layer
    f = mg.jit(lambda x: x @ proxies["other"])
    np.testing.assert_allclose(f(X).numpy(), (X @ proxies["other"]).numpy())
    layer = Layer()
    proxies["dead"] = weakref.proxy(layer)
    np.testing.assert_allclose(f(X).numpy(), (X @ proxies["other"]).numpy())
