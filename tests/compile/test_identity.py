"""Which calls share a program: values by type and value, what may hold tensors by its identity."""

import copy
import enum
import functools
import gc
import itertools
import sys
import types
import weakref
from collections import defaultdict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import draw

import minigrad as mg
from minigrad import nn
from minigrad.compile import names

pytestmark = pytest.mark.usefixtures("quick_kernels")


class Equal:
    """All objects of it are equal, and say the same of themselves."""

    def __init__(self, scale):
        self.weight = nn.Parameter(np.full(2, scale))

    def __eq__(self, other):
        return type(other) is type(self)

    def __hash__(self):
        return 0

    def __repr__(self):
        return "equal"

    def times(self, x):
        return x * self.weight

    @mg.jit
    def jitted(self, x):
        return x * self.weight

    __call__ = times


class EqualModule(Equal, nn.Module):
    forward = Equal.times


class EqualSlots:
    __slots__ = ("__weakref__", "weight")
    __init__, __eq__, __hash__, __repr__ = Equal.__init__, Equal.__eq__, Equal.__hash__, Equal.__repr__
    times, jitted = Equal.times, mg.jit(Equal.times)


@dataclass(frozen=True)
class Frozen:
    scale: float
    weight: Any = field(compare=False)

    def times(self, x):
        return x * self.weight


@dataclass(frozen=True)
class FrozenByValue:
    """Equal if what it holds is."""

    owner: Equal

    def times(self, x):
        return self.owner.times(x)

    weight = property(lambda self: self.owner.weight)


@dataclass
class Unhashable:
    owner: Equal

    def times(self, x):
        return self.owner.times(x)

    weight = property(lambda self: self.owner.weight)


class Kind(enum.Enum):
    """Members that are equal and print the same."""

    one, two = Equal(1.0), (Equal(2.0),)

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __repr__(self):
        return "kind"

    @property
    def owner(self):
        return self.value[0] if isinstance(self.value, tuple) else self.value

    def times(self, x):
        return self.owner.times(x)

    weight = property(lambda self: self.owner.weight)


HOLDERS = {
    "object": Equal,
    "module": EqualModule,
    "object with slots": EqualSlots,
    "frozen dataclass": lambda scale: Frozen(1.0, nn.Parameter(np.full(2, scale))),
    "frozen dataclass of equal objects": lambda scale: FrozenByValue(Equal(scale)),
    "dataclass": lambda scale: Unhashable(Equal(scale)),
    "enum member": lambda scale: Kind.one if scale == 1 else Kind.two,
}


def of(given, f):
    """A function of x that calls f, jitted once for all, with what `given` makes of an owner."""
    return functools.partial(lambda jitted, owner: lambda x: jitted(given(owner), x), mg.jit(f))


apply = mg.jit(lambda owner, x: owner.times(x))
REACHED = {
    "argument": lambda owner: lambda x: apply(owner, x),
    "keyword": lambda owner: lambda x: apply(owner=owner, x=x),
    "in a list": of(lambda owner: [owner], lambda a, x: a[0].times(x)),
    "in a dict": of(lambda owner: {"a": owner}, lambda a, x: a["a"].times(x)),
    "key of a dict": of(lambda owner: {owner: 1}, lambda a, x: next(iter(a)).times(x)),
    "in a frozenset": of(lambda owner: frozenset([owner]), lambda a, x: next(iter(a)).times(x)),
    "in a partial": of(lambda owner: functools.partial(type(owner).times, owner), lambda g, x: g(x)),
    "bound method": of(lambda owner: owner.times, lambda g, x: g(x)),
    "default of a function": of(lambda owner: lambda x, o=owner: o.times(x), lambda g, x: g(x)),
    "self": lambda owner: owner.jitted,
}


@pytest.mark.parametrize("reached", REACHED)
@pytest.mark.parametrize("holder", HOLDERS)
def test_results_and_gradients_go_to_the_object_given(holder, reached):
    one, two = [HOLDERS[holder](scale) for scale in (1.0, 2.0)]
    if reached == "self" and not hasattr(one, "jitted"):
        pytest.skip("it has no jitted method")
    if reached in ("key of a dict", "in a frozenset") and type(one).__hash__ is None:
        pytest.skip("it has no hash")
    calls = [(owner, REACHED[reached](owner)) for owner in (one, two)]
    for owner, f in calls * 2:
        owner.weight.grad = None
        y = f(mg.tensor(np.ones(2)))
        assert y.tolist() == owner.weight.tolist()
        y.sum().backward()
        assert owner.weight.grad.tolist() == [1.0, 1.0]


Point, Other = [namedtuple("Point", "a b") for _ in range(2)]
values = st.recursive(
    st.sampled_from([
        0, 1, -1, 2, True, False, 0.0, -0.0, 1.0, 1 + 0j, complex(0.0, -0.0), float("nan"), "1", "a", b"a", None, ...,
        np.float32(1), np.float64(1), np.float64(-0.0), np.float64(0.0), np.int64(1), np.bool_(True), np.str_("a"),
        np.dtype("f4"), np.dtype("f8"), range(2), range(0, 2, 1), slice(1), slice(0, 1), slice(1.0), len, int, np.sin,
    ]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.lists(inner, max_size=2).map(tuple), st.builds(Point, inner, inner),
        st.builds(Other, inner, inner),
        st.dictionaries(st.sampled_from([1, True, 1.0, "1", (1,), (1.0,)]), inner, max_size=2),
    ),
    max_leaves=4,
)  # fmt: skip


def told(x):
    """Text that tells apart all that a function can tell apart."""
    if isinstance(x, dict):
        return f"dict({', '.join(f'{told(k)}: {told(v)}' for k, v in x.items())})"
    if isinstance(x, slice):
        return f"slice({told([x.start, x.stop, x.step])})"
    if isinstance(x, (list, tuple)):
        return f"{id(type(x))}({', '.join(map(told, x))})"
    return f"{type(x)}({x!r})"


described = mg.jit(lambda x, value: (x * 2.0, told(value)))


@given(values, values)
def test_values_that_can_be_told_apart_are(one, two):
    """1 == True == 1.0, 0.0 == -0.0: a result that says what it was given is right whatever was given before."""
    x = mg.tensor([1.0])
    for value in (one, two):
        assert described(x, value)[1] == told(value)
    traces = described.traces
    assert described(x, copy.deepcopy(one))[1] == told(one) and described.traces == traces


class Odd:
    """Equal to all of its kind; there are no weak references to it."""

    __slots__ = ("number",)

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


def with_more(scale):
    made = FrozenByValue(1.0)
    object.__setattr__(made, "scale", scale)
    return made


ALMOST_EQUAL = {
    "steps of slices": (lambda v: v.step or 1, slice(0, 4), slice(0, 4, 2)),
    "units of time": (
        lambda v: 1.0 if v < np.timedelta64(1, "h") else 2.0,
        np.timedelta64(1, "m"),
        np.timedelta64(1, "D"),
    ),
    "defaults of dicts": (lambda v: v.default_factory(), defaultdict(int), defaultdict(float)),
    "objects without weak references": (lambda v: v.number, Odd(1.0), Odd(2.0)),
    "what is not a field of a frozen dataclass": (lambda v: v.scale, with_more(1.0), with_more(2.0)),
}


@pytest.mark.parametrize("name", ALMOST_EQUAL)
def test_what_differs_in_one_part_is_another_argument(name):
    read, one, two = ALMOST_EQUAL[name]
    f = mg.jit(lambda x, value: (x * read(value), repr(read(value))))
    for value in (one, two, one):
        y, kind = f(mg.tensor([1.0]), value)
        assert y.tolist() == [read(value)] and kind == repr(read(value))


def test_what_is_known_of_all_sizes_goes_with_the_object():
    f = mg.jit(lambda owner, x: owner.times(x))
    owner = Equal(2.0)
    for n in (3, 4, 5, 6):
        f(owner, mg.tensor(np.ones((n, 2))))
    assert f.known.families
    del owner
    gc.collect()
    assert not f.known.families and not f.known


def test_equal_values_share_a_program():
    @dataclass(frozen=True)
    class Config:
        scale: float
        sizes: tuple = (1, 2)
        act: Any = mg.tanh

    f = mg.jit(lambda c, x: c.act(x) * c.scale)
    x = draw(0, 2)
    for scale, traces in ((2.0, 1), (2.0, 1), (3.0, 2), (2.0, 2)):
        f(Config(scale), x), f(Config(scale, (1, 2)), x)
        assert f.traces == traces
    f(Config(2.0, (1, 2.0)), x)
    assert f.traces == 3
    f(Config(2.0, act=mg.sin), x)
    assert f.traces == 4


def test_numbers_of_a_users_own_type_are_not_taken_for_equal_ones():
    class Unit(int):
        pass

    one, other = Unit(1), Unit(1)
    one.name, other.name = "one", "other"
    f = mg.jit(lambda x, unit: (x * 2, unit.name))
    assert [f(draw(0, 2), unit)[1] for unit in (one, other, one)] == ["one", "other", "one"]
    held = one
    g = mg.jit(lambda x: (x * 2, held.name))
    assert g(draw(0, 2))[1] == "one"
    held = other
    assert g(draw(0, 2))[1] == "other"
    other.name = "new"
    assert g(draw(0, 2))[1] == "new"


def test_defaults_that_are_replaced():
    def f(x, scale=2.0, *, more=1.0):
        return x * scale + more

    jitted = mg.jit(f)
    x = mg.tensor([1.0])
    assert jitted(x).tolist() == [3.0]
    f.__defaults__ = (4.0,)
    assert jitted(x).tolist() == [5.0]
    f.__kwdefaults__ = {"more": 3.0}
    assert jitted(x).tolist() == [7.0]
    f.__code__ = (lambda x, scale=2.0, *, more=1.0: x * scale - more).__code__
    assert jitted(x).tolist() == [1.0]


@pytest.mark.parametrize("holder", ["object", "module", "dataclass"])
@pytest.mark.parametrize("reached", ["argument", "in a dict", "in a frozenset", "bound method"])
def test_what_a_key_names_is_not_kept_alive(holder, reached):
    owner = HOLDERS[holder](1.0)
    if reached == "in a frozenset" and type(owner).__hash__ is None:
        pytest.skip("it has no hash")
    f = REACHED[reached](owner)
    known = apply.known if reached == "argument" else REACHED[reached].args[0].known
    known.clear()
    gc.collect()
    before = len(known)
    f(mg.tensor(np.ones(2)))
    assert len(known) == before + 1
    gone = weakref.ref(owner)
    del owner, f
    gc.collect()
    assert gone() is None and len(known) == before


@pytest.mark.parametrize("made", [
    lambda: iter([2.0, 3.0]), lambda: (k for k in (2.0, 3.0)), lambda: itertools.count(2.0), lambda: map(float, [2, 3]),
    lambda: zip([2.0], [3.0]), lambda: reversed([2.0, 3.0]), lambda: itertools.cycle([2.0, 3.0]),
])  # fmt: skip
def test_iterators_as_arguments_are_refused(made):
    with pytest.raises(TypeError, match=r"gives its values once.*pass a list"):
        mg.jit(lambda x, values: x * next(values))(mg.tensor([1.0]), made())


def test_masked_arrays_are_read_with_their_masks():
    weights, masked = np.ma.array([1.0, 2.0], mask=[False, True]), np.ma.masked
    f = mg.jit(lambda x: x * float(weights.sum()) if masked is np.ma.masked else x)
    x = mg.tensor([1.0])
    assert (f(x).tolist(), f(x).tolist(), f.traces) == ([1.0], [1.0], 1)
    weights.mask = [False, False]
    assert f(x).tolist() == [3.0]


def test_packages_of_another_environment_are_installed(monkeypatch):
    for place, wanted in (
        ("/elsewhere/lib/python3.11/site-packages/p", True), ("/usr/lib/python3/dist-packages/p", True),
        ("/home/me/p", False),
    ):  # fmt: skip
        name = f"package_{wanted}_{len(place)}"
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(__file__=f"{place}/__init__.py"))
        assert names.installed(f"{name}.part") is wanted
