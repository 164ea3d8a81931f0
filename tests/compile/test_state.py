"""What a jitted function reads besides its arguments: after a change the next call is right, or the first raised."""

import array
import collections
import contextvars
import functools
import gc
import glob
import inspect
import io
import itertools
import json
import logging
import operator
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import types
import warnings
import weakref
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from programs import draw

import minigrad as mg
from minigrad import nn, tree
from minigrad.compile import names, walk
from minigrad.models import LSTM, LSTMCell

pytestmark = pytest.mark.usefixtures("quick_kernels")


class Holder:
    """An object with something in it."""

    def __init__(self, value):
        self.value = value

    @property
    def shown(self):
        return self.value

    @functools.cached_property
    def kept(self):
        return self.value

    def __getitem__(self, key):
        return self.value

    def __iter__(self):
        yield self.value

    def __contains__(self, value):
        return value == self.value

    def __len__(self):
        return 1

    def __add__(self, other):
        return other + self.value

    def __enter__(self):
        return self.value

    def __exit__(self, *_):
        pass

    def __call__(self):
        return self.value


class Described:
    """Reads what another attribute has."""

    class Double:
        def __get__(self, owner, kind=None):
            return 2 * owner.hidden

    double = Double()

    def __init__(self, hidden):
        self.hidden = hidden


class AttributesOfADict(dict):
    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


class DictWithMore(dict):
    pass


class Layers(nn.Module):
    """Many parameters, and names that are computed."""

    def __init__(self, count=60):
        for k in range(count):
            setattr(self, f"w{k}", nn.Parameter(np.full(2, float(k))))
        self.many = [nn.Parameter(np.full(2, float(k))) for k in range(3 * count)]
        self.count = count

    def forward(self, x):
        for k in range(self.count):
            x = x + getattr(self, f"w{k}")
        for w in self.many:
            x = x + w
        return x


variable = contextvars.ContextVar("variable")
local = threading.local()
SETTING = 2.0


def states():
    """(name, function of x, what it reads, a change of that), of numbers; each change is in place."""
    holder, described, settings, space = (
        Holder(2.0),
        Described(2.0),
        AttributesOfADict(a=2.0),
        types.SimpleNamespace(a=2.0),
    )
    deque, ordered = collections.deque([2.0, 3.0]), collections.OrderedDict(a=2.0)
    default, counter = collections.defaultdict(float, a=2.0), collections.Counter(a=2)
    chain, user_dict, user_list = (
        collections.ChainMap({"a": 2.0}),
        collections.UserDict(a=2.0),
        collections.UserList([2.0]),
    )
    below = {"a": 2.0}
    proxy, numbers, raw = types.MappingProxyType(below), array.array("d", [2.0]), bytearray(b"\x02")
    many, table = [float(k) for k in range(500)], {k: float(k) for k in range(500)}
    view, reference, more = memoryview(raw), weakref.ref(holder), DictWithMore()
    more.a = 2.0
    variable.set(2.0)
    local.a = 2.0
    name = "value"
    objects = np.array([2.0, "a"], dtype=object)
    weak = weakref.WeakValueDictionary(a=holder)
    deep = collections.deque([{"a": [2.0]}])

    def put(owner, key, value):
        return lambda: operator.setitem(owner, key, value)

    return [
        ("deque", lambda x: x * deque[1], put(deque, 1, 5.0)),
        ("deque, popped", lambda x: x * len(deque), lambda: deque.append(1.0)),
        ("in a deque", lambda x: x * deep[0]["a"][0], put(deep[0]["a"], 0, 5.0)),
        ("MappingProxyType", lambda x: x * proxy["a"], put(below, "a", 5.0)),
        ("ContextVar", lambda x: x * variable.get(), lambda: variable.set(5.0)),
        ("thread's own", lambda x: x * local.a, lambda: setattr(local, "a", 5.0)),
        ("computed name", lambda x: x * getattr(holder, name), lambda: setattr(holder, "value", 5.0)),
        ("name put together", lambda x: x * getattr(holder, "va" + "lue" * len(name[:1])),
         lambda: setattr(holder, "value", 6.0)),
        ("vars", lambda x: x * vars(holder)[name], lambda: setattr(holder, "value", 7.0)),
        ("__dict__", lambda x: x * holder.__dict__[name], lambda: setattr(holder, "value", 8.0)),
        ("attrgetter", lambda x: x * operator.attrgetter(name)(holder), lambda: setattr(holder, "value", 9.0)),
        ("hasattr", lambda x: x * 2 if hasattr(holder, "flag") else x * 3, lambda: setattr(holder, "flag", 1)),
        ("getattr with a default", lambda x: x * getattr(space, "b", 2.0), lambda: setattr(space, "b", 5.0)),
        ("property", lambda x: x * holder.shown, lambda: setattr(holder, "value", 10.0)),
        ("cached_property", lambda x: x * holder.kept,
         lambda: (vars(holder).pop("kept"), setattr(holder, "value", 11.0))),
        ("__getitem__", lambda x: x * holder[0], lambda: setattr(holder, "value", 12.0)),
        ("__iter__", lambda x: x * sum(holder), lambda: setattr(holder, "value", 13.0)),
        ("__contains__", lambda x: x * 2 if 14.0 in holder else x, lambda: setattr(holder, "value", 14.0)),
        ("an operator", lambda x: x * (holder + 1.0), lambda: setattr(holder, "value", 15.0)),
        ("__call__", lambda x: x * holder(), lambda: setattr(holder, "value", 16.0)),
        ("bound method", functools.partial(lambda read, x: x * read(), holder.__call__),
         lambda: setattr(holder, "value", 17.0)),
        ("weakref", lambda x: x * reference().value, lambda: setattr(holder, "value", 18.0)),
        ("WeakValueDictionary", lambda x: x * weak["a"].value, lambda: setattr(holder, "value", 19.0)),
        ("descriptor", lambda x: x * described.double, lambda: setattr(described, "hidden", 5.0)),
        ("attributes of a dict", lambda x: x * settings.a, lambda: setattr(settings, "a", 5.0)),
        ("a dict with attributes", lambda x: x * more.a, lambda: setattr(more, "a", 5.0)),
        ("SimpleNamespace", lambda x: x * space.a, lambda: setattr(space, "a", 5.0)),
        ("OrderedDict", lambda x: x * ordered["a"], put(ordered, "a", 5.0)),
        ("defaultdict", lambda x: x * default["a"], put(default, "a", 5.0)),
        ("Counter", lambda x: x * counter["a"], put(counter, "a", 5)),
        ("ChainMap", lambda x: x * chain["a"], put(chain, "a", 5.0)),
        ("UserDict", lambda x: x * user_dict["a"], put(user_dict, "a", 5.0)),
        ("UserList", lambda x: x * user_list[0], put(user_list, 0, 5.0)),
        ("array", lambda x: x * numbers[0], put(numbers, 0, 5.0)),
        ("bytearray", lambda x: x * raw[0], put(raw, 0, 5)),
        ("memoryview", lambda x: x * view[0], put(view, 0, 6)),
        ("array of objects", lambda x: x * objects[0], put(objects, 0, 5.0)),
        ("long list", lambda x: x * many[400], put(many, 400, 5.0)),
        ("large dict", lambda x: x * table[400], put(table, 400, 5.0)),
        ("keys of a dict", functools.partial(lambda keys, x: x * len(keys), table.keys()), put(table, -1, 5.0)),
        ("environment", lambda x: x * float(os.environ.get("MINIGRAD_A_TEST", "2")),
         put(os.environ, "MINIGRAD_A_TEST", "5")),
        ("getenv", lambda x: x * float(os.getenv("MINIGRAD_A_TEST", "2")), put(os.environ, "MINIGRAD_A_TEST", "6")),
    ]  # fmt: skip


STATES = [name for name, *_ in states()]


@pytest.fixture(scope="module")
def all_states():
    yield {name: rest for name, *rest in states()}
    os.environ.pop("MINIGRAD_A_TEST", None)


@pytest.mark.parametrize("name", STATES)
def test_a_change_of_what_it_reads_is_seen(all_states, name):
    f, change = all_states[name]
    jitted, x = mg.jit(f), draw(0, 2)
    for k in range(2):
        for _ in range(2):
            np.testing.assert_array_equal(jitted(x).detach().numpy(), f(x).detach().numpy())
        before = jitted.traces
        if k == 0:
            change()
    assert before == jitted.traces == 2


@pytest.mark.parametrize("place", ["w7", "many"])
def test_one_of_many_parameters_is_replaced(place):
    layers = Layers()
    f, x = mg.jit(layers), draw(0, 2)
    f(x)
    new = nn.Parameter(np.full(2, 1e3))
    if place == "many":
        layers.many[150] = new
    else:
        layers.w7 = new
    y = f(x)
    np.testing.assert_array_equal(y.detach().numpy(), layers(x).detach().numpy())
    y.sum().backward()
    assert new.grad is not None


N = 300


@pytest.mark.parametrize("f", [
    lambda x, a: x * (np.arange(N) < a.sum()), lambda x, a: x * float(a[-1]), lambda x, a: x * 2 if a[-1] > 1 else x,
    lambda x, a: x * a.max(), lambda x, a: x[np.flatnonzero(a)], lambda x, a: x * a * a.sum(),
    lambda x, a: x * a * a[-1],
    lambda x, a: x * a if (a > 1).any() else x * a * 3, lambda x, a: x * np.exp(a), lambda x, a: x * a.tolist()[-1],
    lambda x, a: mg.where(a > 1, x, 0.0), lambda x, a: x * len(set(a.tolist())), lambda x, a: x * (2 * a),
])  # fmt: skip
@pytest.mark.parametrize("held", ["closure", "attribute", "list", "view"])
def test_what_numpy_computes_of_arrays_is_computed_anew(f, held):
    a = np.zeros(N)
    b, holder, values = a[:], Holder(a), [a]
    g = {
        "closure": lambda x: f(x, a), "attribute": lambda x: f(x, holder.value), "list": lambda x: f(x, values[0]),
        "view": lambda x: f(x, b),
    }[held]  # fmt: skip
    jitted, x = mg.jit(g), draw(0, N)
    for value in (0.0, 1.0, 2.0, 2.0):
        a[-1] = value
        np.testing.assert_allclose(jitted(x).detach().numpy(), g(x).detach().numpy())
    assert jitted.traces <= 3


def test_state_that_is_replaced_at_every_call_is_traced_once():
    """A tensor of the same kind in the same place takes the other one's part; gradients go to the new one."""

    class Stateful(nn.Module):
        def __init__(self, kind):
            self.cell = LSTMCell(2, 3).astype("float64")
            zeros = mg.tensor(np.zeros((1, 3)))
            self.state = kind(zeros, zeros * 1.0)

        def forward(self, x):
            return self.cell(x, tuple(self.state))

    Pair = collections.namedtuple("Pair", "h c")
    for kind in (lambda *s: s, lambda *s: [*s], Pair):
        net, wanted = Stateful(kind), []
        step = mg.jit(net)
        for way in (net, step):
            net.state = kind(*[mg.tensor(np.zeros((1, 3))) for _ in range(2)])
            net.zero_grad()
            for k in range(5):
                h, c = way(draw(k, 1, 2, grad=False))
                (h * c).sum().backward()
                net.state = kind(h.detach(), c.detach())
            wanted.append([h.detach().numpy(), *[p.grad.numpy() for p in net.parameters()]])
        assert step.traces == 1
        for a, b in zip(*wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


@pytest.mark.parametrize(
    "place", ["attribute", "closure", "list", "dict", "deque", "slot", "global", "object in a list"]
)
def test_gradients_go_to_what_is_in_the_place_now(place):
    class Slotted:
        __slots__ = ("w",)

    holder, slotted, values, table = Holder(None), Slotted(), [None], {}
    deque, objects, w = collections.deque([None]), [Holder(None)], None
    places = {
        "attribute": (lambda new: setattr(holder, "value", new), lambda x: x * holder.value),
        "list": (functools.partial(operator.setitem, values, 0), lambda x: x * values[0]),
        "dict": (functools.partial(operator.setitem, table, "a"), lambda x: x * table["a"]),
        "deque": (functools.partial(operator.setitem, deque, 0), lambda x: x * deque[0]),
        "slot": (lambda new: setattr(slotted, "w", new), lambda x: x * slotted.w),
        "global": (lambda new: globals().update(A_WEIGHT=new), lambda x: x * A_WEIGHT),  # noqa: F821
        "object in a list": (lambda new: setattr(objects[0], "value", new), lambda x: x * objects[0].value),
    }
    put, f = places.get(place, (None, lambda x: x * w))
    jitted = mg.jit(f)
    for k in range(3):
        new = draw(k, 2)
        if put:
            put(new)
        else:
            w = new
        jitted(mg.tensor([2.0, 3.0], dtype="float64")).sum().backward()
        np.testing.assert_array_equal(new.grad.numpy(), [2.0, 3.0])
    new = mg.tensor([1.0, 2.0, 3.0, 4.0], dtype="float64")  # of another shape: traced anew
    if put:
        put(new)
    else:
        w = new
    assert jitted(mg.tensor([2.0], dtype="float64")).tolist() == [2.0, 4.0, 6.0, 8.0]


def test_tensors_in_two_places_stay_what_they_are():
    """One that is reached in two ways, and of which one way leads to another one now; two that change places."""
    one, two, three = [mg.tensor([float(k)]) for k in (1, 2, 3)]
    holder, pair = Holder(one), [one, two]
    f = mg.jit(lambda x: x * holder.value + 10.0 * pair[0] + 100.0 * pair[1])
    x = mg.tensor([1.0])
    assert f(x).tolist() == [211.0]
    holder.value = three
    assert f(x).tolist() == [213.0]
    pair[0] = three
    assert f(x).tolist() == [233.0]
    pair.reverse()
    assert f(x).tolist() == [323.0]
    holder.value, pair[:] = one, [one, two]
    assert f(x).tolist() == [211.0]
    fixed = functools.partial(lambda w, x: x * w + holder.value * 10.0, one)
    g = mg.jit(fixed)
    assert g(x).tolist() == [11.0]
    holder.value = two
    assert g(x).tolist() == [21.0]


def test_globals_of_main_are_watched_where_an_installed_package_has_been_started(monkeypatch):
    main = types.ModuleType("__main__")
    main.__file__ = np.__file__  # as under `python -m pytest`
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(names, "installed", names.installed.__wrapped__)
    monkeypatch.setattr(walk, "installed", names.installed)
    space = {"__name__": "__main__", "mg": mg, "w": mg.tensor([2.0]), "k": 3}
    exec("def f(x):\n    return x * w * k", space)
    f, x = mg.jit(space["f"]), mg.tensor([5.0])
    assert f(x).item() == 30
    space["w"], space["k"] = mg.tensor([4.0]), 7
    assert f(x).item() == 140


def test_attributes_that_come_in_another_order_are_not_mistaken():
    class Two(nn.Module):
        def __init__(self):
            self.a, self.b = mg.tensor([1.0]), mg.tensor([2.0])

        def forward(self, x):
            return x * self.a + 10.0 * self.b

    net = Two()
    f, x = mg.jit(net), mg.tensor([1.0])
    assert f(x).tolist() == [21.0]
    del net.a
    net.a = mg.tensor([3.0])
    assert f(x).tolist() == [23.0]


def test_a_tensor_whose_numbers_were_asked_for_is_not_replaced_unseen():
    holder = Holder(mg.tensor([1.0]))
    f = mg.jit(lambda x: x * holder.value * holder.value.item())
    for k in (1.0, 2.0, 3.0):
        holder.value = mg.tensor([k])
        assert f(mg.tensor([1.0])).tolist() == [k * k]


def test_second_derivatives_of_a_state_that_was_replaced_are_refused():
    """They run the function again, and it would read the new one."""
    holder, x = Holder(draw(0, 2)), draw(1, 2)
    f = mg.jit(lambda x: (x**3 * holder.value).sum())
    f(x)
    holder.value = draw(2, 2)
    y = f(x)
    first = mg.grad(lambda x: (mg.grad(f)(x) ** 2).sum())
    np.testing.assert_allclose(first(x).numpy(), (36 * x * x * x * holder.value * holder.value).detach().numpy())
    holder.value = draw(3, 2)
    with pytest.raises(RuntimeError, match="was changed after the call"):
        y.backward(create_graph=True)


# What gives something else at every call

rng = np.random.default_rng(0)


def own_generator():
    generator = np.random.default_rng(0)
    return lambda x: x * generator.normal()


@pytest.mark.parametrize("f", [
    lambda x: x * np.random.rand(2), lambda x: x * np.random.normal(), lambda x: x * random.random(),
    lambda x: x * random.choice([1.0, 2.0]), lambda x: x * rng.normal(size=2), lambda x: x * rng.permutation(2),
    lambda x: x * np.random.default_rng().normal(), own_generator(), lambda x: nn.Linear(2, 2)(x),
    lambda x: mg.scan(lambda h, a: (h * rng.normal(), None), x[0], x)[0],
])  # fmt: skip
def test_random_numbers_that_would_stand_still_are_refused(f):
    x = draw(0, 2, 2, dtype="float32")
    states = rng.bit_generator.state, np.random.get_state()[1].tolist(), random.getstate()
    with pytest.raises(RuntimeError, match=r'jit: .*test_state.py:\d+: ".*pass the result as an argument') as error:
        mg.jit(f)(x)
    assert "x" in str(error.value)
    assert (rng.bit_generator.state, np.random.get_state()[1].tolist(), random.getstate()) == states
    with mg.disable_jit():
        f(x)


def test_the_line_that_draws_is_named():
    def f(x):
        y = x * 2.0
        noise = rng.normal()
        return y * noise

    with pytest.raises(RuntimeError, match=r'"noise = rng.normal\(\)" takes from .*rng'):
        mg.jit(f)(draw(0, 2))


def test_draws_of_another_thread_are_not_the_functions():
    ended = threading.Event()

    def other():
        for k in itertools.count():
            random.random()
            if k % 100 == 0:
                np.random.rand()
            if ended.wait(5e-3):
                return

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for k in range(30):
            mg.jit(lambda x: mg.scan(lambda h, a: (mg.tanh(h + a) * k, None), x[0], x)[0])(draw(0, 3, 2))
            with pytest.raises(RuntimeError, match="takes from"):
                mg.jit(lambda x: x * random.random())(draw(0, 2))
    finally:
        ended.set()
        thread.join()


def test_draws_of_ops_and_seeded_generators_of_its_own_are_not_refused():
    drop = nn.Dropout(0.5, generator=np.random.default_rng(0))
    f = mg.jit(lambda x: drop(x) * np.random.default_rng(1).normal())
    assert len({tuple(f(mg.tensor(np.ones(20))).tolist()) for _ in range(3)}) == 3


@pytest.mark.parametrize("f", [
    lambda x: x * time.time(), lambda x: x * time.perf_counter(), lambda x: x * time.monotonic_ns(),
    lambda x: x * datetime.now().microsecond, lambda x: x * float(open(__file__).read()[:0] or 1),  # noqa: SIM115
    lambda x: x * len(Path(__file__).read_text()), lambda x: x * len(Path(__file__).read_bytes()),
    lambda x: x * len(os.urandom(3)),
])  # fmt: skip
def test_clocks_and_files_are_refused(f):
    with pytest.raises(RuntimeError, match=r"jit: .*test_state.py:\d+: .*pass the result as an argument"):
        mg.jit(f)(draw(0, 2))


def of_numpy(call):
    """A function that reads an array from a file."""

    def f(x, path):
        return x * np.asarray(call(path)).ravel()[0]

    return f


FROM_OUTSIDE = {
    "np.load": of_numpy(np.load),
    "np.load, mapped": of_numpy(lambda path: np.load(path, mmap_mode="r")),
    "np.fromfile": of_numpy(lambda path: np.fromfile(path, "uint8")),
    "np.memmap": of_numpy(lambda path: np.memmap(path, "uint8", "r")),
    "np.genfromtxt": of_numpy(lambda path: np.genfromtxt(path, invalid_raise=False)),
    "io.open_code": lambda x, path: x * len(io.open_code(path).read()),  # noqa: SIM115
    "os.open": lambda x, path: x * len(os.read(os.open(path, os.O_RDONLY), 1)),
    "os.stat": lambda x, path: x * os.stat(path).st_size,
    "os.path.exists": lambda x, path: x * os.path.exists(path),
    "Path.exists": lambda x, path: x * Path(path).exists(),
    "os.listdir": lambda x, path: x * len(os.listdir(os.path.dirname(path))),
    "glob": lambda x, path: x * len(glob.glob(path)),
    "sqlite": lambda x, path: x * sqlite3.connect(":memory:").execute("select 1").fetchone()[0],
    "a process": lambda x, path: x * len(subprocess.check_output(["echo", "1"])),
    "a socket": lambda x, path: x * len(socket.socketpair()[0].getsockname()),
    "clock_gettime": lambda x, path: x * time.clock_gettime(0),
    "strftime": lambda x, path: x * float(time.strftime("%S")),
    "os.times": lambda x, path: x * os.times().elapsed,
    "random.Random()": lambda x, path: x * random.Random().random(),
    "os.getrandom": lambda x, path: x * os.getrandom(1)[0],
}


@pytest.mark.parametrize("kind", FROM_OUTSIDE)
def test_what_c_code_reads_from_outside_is_refused(kind, tmp_path):
    f, path = FROM_OUTSIDE[kind], str(tmp_path / "a.npy")
    np.save(path, np.ones(2))
    with pytest.raises(RuntimeError, match=r"jit: .*test_state.py:\d+: .*pass the result as an argument"):
        mg.jit(lambda x: f(x, path))(draw(0, 2))


def test_what_python_reads_of_the_program_itself_is_not_refused(capsys, caplog):
    def f(x):
        import this

        warnings.warn("a warning shows its line", stacklevel=1)
        logging.getLogger().warning("a record has the time")
        inspect.getsource(f)
        Pair = collections.namedtuple("Pair", "a b")
        return x * Pair(2.0, random.Random(3).random()).a * float(io.StringIO("1.0\n").getvalue() or len(this.s))

    sys.modules.pop("this", None)
    with warnings.catch_warnings(record=True):
        assert mg.jit(f)(mg.tensor([1.0])).tolist() == [2.0]


def custom(bwd):
    f = mg.custom_vjp(lambda x: x * 2.0)
    f.defvjp(lambda x: (x * 2.0, None), bwd)
    return f


def hooked(hook):
    def f(x):
        y = x * 2.0
        y.register_hook(hook)
        return y * 1.0

    return f


@pytest.mark.parametrize("f", [custom(lambda _, g: (g * rng.normal(),)), hooked(lambda g: g * rng.normal()),
                               custom(lambda _, g: (g * np.random.rand(),)), hooked(lambda g: g * np.random.rand()),
                               custom(lambda _, g: (g * time.time(),)), hooked(lambda g: g * time.time())])  # fmt: skip
def test_what_would_stand_still_in_the_backward_is_refused(f):
    before = rng.bit_generator.state, np.random.get_state()[1].tolist()
    with pytest.raises(RuntimeError, match=r"jit: .*test_state.py:\d+: .*pass the result as an argument"):
        mg.jit(lambda x: f(x))(draw(0, 2).requires_grad_())
    assert (rng.bit_generator.state, np.random.get_state()[1].tolist()) == before


def test_a_refusal_that_the_function_catches_is_raised_all_the_same():
    def f(x):
        try:
            return x * time.time()
        except RuntimeError:
            return x

    with pytest.raises(RuntimeError, match="reads the clock"):
        mg.jit(f)(draw(0, 2))


@pytest.mark.parametrize("made", [
    lambda: iter([2.0, 3.0]), lambda: (k for k in (2.0, 3.0)), lambda: itertools.count(2.0), lambda: map(float, [2, 3]),
    lambda: itertools.cycle([2.0, 3.0]), lambda: enumerate([2.0, 3.0]),
])  # fmt: skip
@pytest.mark.parametrize("held", ["closure", "attribute", "list"])
def test_iterators_that_it_reads_are_refused(made, held):
    it = made()
    holder, values = Holder(it), [it]
    f = {
        "closure": lambda x: x * next(it), "attribute": lambda x: x * next(holder.value),
        "list": lambda x: x * next(values[0]),
    }[held]  # fmt: skip
    with pytest.raises(RuntimeError, match="takes values from .*gives each of them once.*pass it as an argument"):
        mg.jit(f)(draw(0, 2))


def test_a_file_that_it_reads_from_is_refused(tmp_path):
    (tmp_path / "a").write_text("2\n3\n")
    with open(tmp_path / "a") as file:
        for f in (lambda x: x * float(file.readline()), lambda x: x * float(next(file))):
            with pytest.raises(RuntimeError, match="a file|TextIOWrapper"):
                mg.jit(f)(draw(0, 2))


@pytest.mark.parametrize("kind", ["attribute", "closure", "global", "slot"])
def test_a_count_that_it_keeps_is_refused(kind):
    class Slotted:
        __slots__ = ("value",)

    holder = Slotted() if kind == "slot" else Holder(0)
    holder.value = count = 0

    def in_attribute(x):
        holder.value += 1
        return x * holder.value

    def in_closure(x):
        nonlocal count
        count += 1
        return x * count

    def in_global(x):
        global SETTING
        SETTING += 1.0
        return x * SETTING

    f = {"closure": in_closure, "global": in_global}.get(kind, in_attribute)
    with pytest.raises(RuntimeError, match=r"the function changes .* \(from .* to .*\).*change it outside"):
        mg.jit(f)(draw(0, 2))


def test_what_it_makes_once_may_be_kept():
    class Lazy(nn.Module):
        def __init__(self):
            self.mask, self.ready = None, False

        def forward(self, x):
            if not self.ready:
                self.mask, self.ready = np.arange(x.shape[0]) % 2, True
            return x * self.mask

    net = Lazy()
    f = mg.jit(net)
    for _ in range(3):
        assert f(mg.tensor([1.0, 2.0])).tolist() == [0.0, 2.0]
    assert f.traces == 1


@pytest.mark.parametrize("f", [
    lambda x: x * globals()["SETTING"], lambda x: x * eval("SETTING"), lambda x: exec("pass") or x,
])  # fmt: skip
def test_what_nobody_can_foresee_is_refused(f):
    with pytest.raises(RuntimeError, match=r"test_state.py.* calls \w+\(\): nobody can tell"):
        mg.jit(f)(draw(0, 2))


@pytest.mark.parametrize("within", [lambda w: w, lambda w: [w], lambda w: [0, [w]], lambda w: {"w": [w]}])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_tensor_from_where_nobody_watches_is_refused(monkeypatch, frozen, within):
    """Where another could take its place and the program would not know. Of objects that gc.freeze() has set aside gc
    does not tell whom they hold."""
    monkeypatch.setattr(json, "hidden", within(mg.tensor([2.0])), raising=False)
    if frozen:
        gc.freeze()

    def f(x):
        y = x + 1.0
        [w] = [w for w in mg.tree.flatten(sys.modules["json"].hidden)[0] if isinstance(w, mg.Tensor)]
        return y * w

    with pytest.raises(RuntimeError, match=r'used at .*"return y \* w", was found where nobody can watch'):
        mg.jit(f)(mg.tensor([1.0]))


def test_what_a_cache_keeps_is_not_refused():
    @functools.lru_cache
    def eye(n):
        return {"eye": [mg.tensor(np.eye(n))]}

    f = mg.jit(lambda x: x @ eye(2)["eye"][0] + mg.tensor([1.0, 2.0], dtype="float64"))
    eye(2)
    for _ in range(2):
        assert f(mg.tensor(np.ones((1, 2)))).tolist() == [[2.0, 3.0]]
    assert f.traces == 1


def test_tensors_that_the_trace_has_made_are_not_looked_for_among_all_objects(monkeypatch):
    """Which takes as long as there are objects: a tenth of a second where there are millions."""
    monkeypatch.setattr(gc, "get_referrers", lambda *_: pytest.fail("all objects were looked at"))
    x = mg.tensor(np.ones((5, 2, 3)))
    mg.jit(LSTM(3, 4, num_layers=2, bidirectional=True).astype("float64"))(x)
    power = mg.grad(lambda x: (x**2.5 + mg.full(3, 2.0) * mg.random.uniform(3, 0.0, 2.0)).sum())
    mg.jit(mg.grad(lambda x: power(x).sum()))(mg.tensor(np.ones(3)))


def test_a_tensor_in_the_place_of_another_may_be_of_another_kind():
    """Of another shape or dtype, and with or without a gradient: what is traced is traced for its kind."""
    holder = Holder(mg.tensor([1.0, 2.0]))
    f = mg.jit(lambda x: (x * holder.value).sum())
    for value in (
        mg.tensor([3.0, 4.0]), mg.tensor([[1.0], [2.0], [3.0]]), mg.tensor([1.0, 2.0], dtype="float64"),
        mg.tensor([1, 2]), mg.tensor([5.0, 6.0], requires_grad=True), mg.tensor([7.0, 8.0]),
        mg.tensor([5.0, 6.0], requires_grad=True) * 2.0,
    ):  # fmt: skip
        holder.value = value
        x = mg.tensor([1.0, 10.0], requires_grad=True)
        y = f(x)
        wanted = (x * value).sum()
        assert y.item() == wanted.item() and y.dtype == wanted.dtype
        y.backward()
        assert x.grad.tolist() == mg.grad(lambda x, value=value: (x * value).sum())(x).tolist()
        if value.requires_grad and value.grad is not None:  # of a leaf
            assert value.grad.tolist() == [1.0, 10.0]


def test_the_keywords_of_a_partial_are_read():
    holder = Holder(2.0)
    f = mg.jit(functools.partial(lambda x, by: x * by.value, by=holder))
    assert f(mg.tensor([1.0])).tolist() == [2.0]
    holder.value = 3.0
    assert f(mg.tensor([1.0])).tolist() == [3.0]


def kinds_of_objects():
    """An object of each class that what is imported here holds, their classes, and the classes of those."""
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in {"numpy", "scipy", "collections", "functools", "types", "weakref", "re", "enum"}:
            found.update((type(x), x) for x in vars(module).values())
    return [*found.values(), *found, *{type(kind): None for kind in found}]


def test_a_function_may_hold_whatever_there_is():
    """Not every class says its module, has a name or a dict that can be read: Cython's metaclass does not."""
    kinds = kinds_of_objects()
    assert any(held is type(type(np.random.seed)) for held in kinds) and len(kinds) > 100
    for held in kinds:
        walk.Walk(lambda x, held=held: x + 1 if held is None else held, [], tree.flatten(())[1])
    assert mg.jit(lambda x: x + len(kinds))(mg.zeros(2)).numpy().tolist() == [len(kinds)] * 2
