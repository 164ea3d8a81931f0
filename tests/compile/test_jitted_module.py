"""`mg.jit(module)` and `mg.checkpoint(module)` are the module in all but how it is called."""

import copy
import functools
import gc
import pickle
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
from programs import draw

import minigrad as mg
from minigrad import nn, optim
from minigrad.models import GRU, LSTM, LSTMCell, Recurrent

pytestmark = pytest.mark.usefixtures("quick_kernels")

WAYS = {
    "jit": mg.jit,
    "jit, saving few carries": functools.partial(mg.jit, checkpoint=2),
    "checkpoint": mg.checkpoint,
    "jit of checkpoint": lambda module: mg.jit(mg.checkpoint(module)),
    "checkpoint of jit": lambda module: mg.checkpoint(mg.jit(module)),
    "jit of jit": lambda module: mg.jit(mg.jit(module)),
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


class Gate(nn.Module):
    """A module with all kinds of places for what it holds, and names that jit has as well."""

    unit = 1.0
    __slots__ = ("power",)

    def __init__(self):
        self.weight = nn.Parameter(np.ones(3))
        self.linear = nn.Linear(3, 3)
        self.more = [nn.Linear(3, 3), {"deep": nn.Parameter(np.ones(3))}]
        self.drop = nn.Dropout(0.5)
        self.scale, self.power = 2.0, 1
        self.f, self.known = "mine", "mine"
        self.parent = self

    @property
    def twice(self):
        return 2 * self.scale

    @twice.setter
    def twice(self, value):
        self.scale = value / 2

    def traces(self):
        return "mine"

    def forward(self, x):
        return self.drop(self.more[0](self.linear(x)) * self.weight * self.more[1]["deep"] * self.scale) ** self.power


def gate():
    return Gate().astype("float64").eval()


def agree(f, g, *args):
    for a, b in zip(mg.tree.flatten(f(*args))[0], mg.tree.flatten(g(*args))[0], strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)


def test_it_is_a_module_with_the_names_of_the_module(way):
    layer = gate()
    f = way(layer)
    assert isinstance(f, nn.Module) and isinstance(f, Gate) and f is not layer
    assert dict(f.named_parameters()) == dict(layer.named_parameters())
    assert list(f.state_dict()) == list(layer.state_dict())
    assert [name for name, _ in f.named_modules()] == [name for name, _ in layer.named_modules()]
    assert list(f.children())[1:] == list(layer.children())[1:]
    assert repr(f) == repr(layer) and f._repr_html_() == layer._repr_html_()
    assert f.f == f.known == f.traces() == "mine" and f.twice == 4.0 and f.power == 1
    agree(f, layer, draw(0, 2, 3))


def test_what_is_set_on_it_is_set_on_the_module_and_heeded(way):
    layer = gate()
    f = way(layer)
    x = draw(0, 2, 3)
    new = nn.Parameter(np.arange(3.0))
    changes = [
        ("scale", 3.0), ("weight", new), ("twice", 8.0), ("power", 2), ("drop", nn.Dropout(0.0)), ("training", True),
        ("linear", nn.Linear(3, 3).astype("float64")), ("note", "new"), ("unit", 5.0),
    ]  # fmt: skip
    agree(f, layer, x)
    for name, value in changes:
        setattr(f, name, value)
        of_layer, of_f = getattr(layer, name), getattr(f, name)
        assert of_layer is of_f or of_layer == of_f == value
        agree(f, layer, x)
        agree(f, layer.forward, x)
    f(x).sum().backward()
    assert new.grad is not None
    for name in ("scale", "note", "unit", "training", "power"):
        delattr(f, name)
        assert hasattr(layer, name) == hasattr(f, name) == (name in ("unit", "training"))
    f.scale = f.power = 1
    layer.weight = nn.Parameter(np.ones(3))  # and the other way round
    assert f.weight is layer.weight
    agree(f, layer, x)


def test_modes_gradients_and_dtypes_are_those_of_the_module(way):
    layer = gate()
    f = way(layer)
    assert f.train() is f and layer.training and layer.drop.training
    assert f.eval() is f and not layer.training and not layer.drop.training
    f(draw(0, 2, 3)).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    f.zero_grad()
    assert all(p.grad is None for p in layer.parameters())
    f.astype("float32")
    assert layer.weight.dtype == np.float32 and f(draw(0, 2, 3, dtype="float32")).dtype == np.float32
    f.load_state_dict({name: np.full(p.shape, 0.5) for name, p in layer.named_parameters()})
    assert (layer.linear.weight.numpy() == 0.5).all()


@pytest.mark.parametrize("place", ["attribute", "list", "tuple", "dict", "Sequential"])
def test_in_a_module_it_is_trained_saved_and_switched(way, place, tmp_path):
    """Users write `self.rnn = mg.jit(LSTM(...))`."""

    class Model(nn.Module):
        def __init__(self, wrap):
            part = wrap(nn.Linear(3, 3, generator=np.random.default_rng(0)).astype("float64"))
            self.part = {
                "attribute": part, "list": [part], "tuple": (part,), "dict": {"a": part},
                "Sequential": nn.Sequential(part),
            }[place]  # fmt: skip

        def forward(self, x):
            part = {"list": lambda p: p[0], "tuple": lambda p: p[0], "dict": lambda p: p["a"]}.get(place, lambda p: p)
            return part(self.part)(x)

    def train(wrap):
        model = Model(wrap)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        for k in range(3):
            optimizer.zero_grad()
            (model(draw(k, 2, 3)) ** 2).sum().backward()
            optim.clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()
        return model

    model, wanted = train(way), train(lambda layer: layer)
    assert list(model.state_dict()) == list(wanted.state_dict())
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, wanted.state_dict()[name], rtol=1e-10)
    mg.io.save(tmp_path / "a.safetensors", model.state_dict())
    other = Model(way)
    other.load_state_dict(mg.io.load(tmp_path / "a.safetensors")[0])
    agree(other, model, draw(5, 2, 3))
    model.eval()
    assert not any(part.training for part in model.modules())
    agree(copy.deepcopy(model), model, draw(5, 2, 3))
    agree(mg.jit(model), model, draw(5, 2, 3))


@pytest.mark.parametrize("called", [False, True])
def test_a_copy_has_parameters_of_its_own_and_compiles_for_itself(way, called):
    f, x = way(gate()), draw(0, 2, 3)
    if called:
        f(x).sum().backward()
    g = copy.deepcopy(f)
    assert type(g) is type(f) and g.parent is not f and isinstance(g.parent, Gate)
    assert not {id(p) for p in f.parameters()} & {id(p) for p in g.parameters()}
    agree(f, g, x)
    g.scale = 7.0
    with mg.no_grad():
        g.weight.copy_(np.full(3, 4.0))
    assert f.scale == 2.0 and (f.weight.numpy() == 1.0).all()
    agree(g, g.forward, x)
    agree(f, f.forward, x)
    g(x).sum().backward()
    assert g.weight.grad is not None
    shallow = copy.copy(f)
    shallow.scale = 9.0
    assert f.scale == 2.0 and shallow.weight is f.weight
    agree(shallow, shallow.forward, x)


def test_copies_keep_what_is_shared(way):
    """A model that holds a layer and the jitted layer has one layer, and so has its copy."""
    layer = gate()
    model = nn.Sequential(layer, way(layer))
    assert len(list(model.modules())) == len(list(nn.Sequential(layer).modules()))
    again = copy.deepcopy(model)
    first, second = again.children()
    assert first.weight is second.weight and first.weight is not layer.weight
    first.scale = 5.0
    assert second.scale == 5.0


def test_a_jitted_function_of_a_module_is_copied_with_it():
    class Model(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.ones(3))
            self.loss = mg.jit(self.error)

        def error(self, x):
            return (x * self.weight).sum()

    model, x = Model(), draw(0, 3)
    model.loss(x)
    again = copy.deepcopy(model)
    with mg.no_grad():
        again.weight.copy_(np.full(3, 2.0))
    again.loss(x).backward()
    np.testing.assert_allclose(again.loss(x).item(), 2 * model.loss(x).item())
    assert again.weight.grad is not None and model.weight.grad is None


def test_what_is_set_on_a_jitted_object_is_set_on_the_object():
    """Of any class whose objects are called."""

    class Scale:
        def __init__(self):
            self.scale = 2.0

        def __call__(self, x):
            return x * self.scale

    one = Scale()
    f = mg.jit(one)
    for value in (3.0, 4.0):
        f.scale = value
        assert one.scale == value
        agree(f, one, draw(0, 2))
    del f.scale
    assert not hasattr(one, "scale")


def test_the_classes_of_users_may_be_anything(way):
    """Told of subclasses, compared by value, unhashable, with attributes from elsewhere."""
    told = []

    @dataclass
    class Data(nn.Module):
        size: int

        def __init_subclass__(cls, *, must, **named):
            told.append(must)

        def __post_init__(self):
            self.weight = nn.Parameter(np.ones(self.size))

        def __getattr__(self, name):
            if name == "found":
                return 3.0
            raise AttributeError(name)

        def __call__(self, x):
            return super().__call__(x) * self.found

        def forward(self, x):
            return x * self.weight

    layer = Data(2)
    f = way(layer)
    assert not told and f.found == 3.0 and not hasattr(f, "missing") and f.size == 2
    agree(f, layer, draw(0, 2))
    assert [type(part).__name__ for part in nn.Sequential(f, way(Data(2))).modules()] == ["Sequential", "Data", "Data"]


def test_modules_that_are_equal_are_still_two():
    class Equal(nn.Linear):
        def __eq__(self, other):
            return isinstance(other, Equal)

        def __hash__(self):
            return 0

    model = nn.Sequential(Equal(2, 2), Equal(2, 2))
    assert len(list(model.parameters())) == len(model.state_dict()) == 4 and len(list(model.modules())) == 3
    model.eval()
    assert not any(part.training for part in model.modules())


def test_the_workbench_takes_it_for_the_module(capsys):
    layer = LSTM(3, 5, num_layers=2)
    x = np.ones((4, 2, 3), np.float32)

    def shown(model):
        mg.debug.summary(model, x)
        return capsys.readouterr().out

    assert shown(mg.jit(layer)) == shown(layer)
    assert shown(nn.Sequential(mg.jit(layer))) == shown(nn.Sequential(layer))
    assert mg.testing.gradcheck(mg.jit(GRU(2, 3)), np.ones((2, 1, 2)))
    cell = LSTMCell(3, 4)
    agree(Recurrent(mg.jit(cell)), Recurrent(cell).forward, mg.tensor(np.ones((2, 1, 3), np.float32)))
    assert len(mg.viz.trace(mg.jit(layer), x)) == len(mg.viz.trace(layer, x)) > 10


def test_it_explains_and_counts():
    f = mg.jit(LSTM(2, 3))
    x = draw(0, 4, 1, 2, dtype="float32")
    assert f.traces == 0
    f(x), f(x)
    assert f.traces == 1 and f.explain(x).name == "LSTM"


def test_it_goes_when_nobody_holds_it(way):
    f = way(gate())
    f(draw(0, 2, 3)).sum().backward()
    f.parent = None
    gone = [weakref.ref(f), weakref.ref(f.weight)]
    del f
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_it_can_be_pickled():
    layer = LSTM(3, 4)
    for way in (mg.jit, mg.checkpoint):
        f, x = way(layer), draw(0, 5, 2, 3).astype("float32")
        f(x)
        again = pickle.loads(pickle.dumps(f))
        assert type(again) is type(f) and type(again.forward(x)) is tuple
        assert not {id(p) for p in f.parameters()} & {id(p) for p in again.parameters()}
        agree(again, f, x)


@mg.jit
def doubled(x):
    return x * 2.0


def test_jitted_functions_are_pickled_by_name_and_optimizers_with_their_parameters():
    assert pickle.loads(pickle.dumps(doubled)) is doubled
    f = pickle.loads(pickle.dumps(mg.jit(np.negative)))
    assert f(mg.tensor([1.0])).tolist() == [-1.0]
    layer = nn.Linear(2, 1)
    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    layer(mg.tensor([[1.0, 2.0]])).sum().backward()
    optimizer.step()
    again, its = pickle.loads(pickle.dumps((layer, optimizer)))
    for module, o in ((layer, optimizer), (again, its)):
        o.zero_grad()
        module(mg.tensor([[3.0, 1.0]])).sum().backward()
        o.step()
    assert [p.tolist() for p in again.parameters()] == [p.tolist() for p in layer.parameters()]
