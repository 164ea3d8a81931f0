"""Every public function against wrong arguments: it works, or raises TypeError, ValueError or IndexError by its name.

The functions come from the public namespace, so one that is added is in the table; where how it is called cannot be
known from its sample or its parameters, CALLS (public_calls.py) has to say it. From a call that works, each argument in
turn is replaced by each of WRONG.
"""

import importlib
import math
import tempfile
import types
import warnings
from functools import cache

import numpy as np
import pytest
from public_calls import BIG, CALLS, METHODS, NOT_FUNCTIONS, of_class, of_op

import minigrad as mg
from minigrad import nn
from minigrad.kernels import threads
from minigrad.ops.table import composites, table


def masked():
    return np.ma.masked_array(BIG.copy(), mask=BIG > 2)


@cache
def mapped():
    file = tempfile.TemporaryFile()  # noqa: SIM115
    memory = np.memmap(file, "float64", "w+", shape=(2, 3))
    memory[:] = BIG
    return memory


def read_only():
    array = BIG.copy()
    array.flags.writeable = False
    return array


class Unknown:
    """Of a type that no function knows."""


WRONG = {
    "None": lambda: None,
    "a string": lambda: "abc",
    "bytes": lambda: b"abc",
    "an object": Unknown,
    "a type": lambda: int,
    "a function": lambda: len,
    "an empty list": list,
    "a dict": lambda: {"a": 1},
    "a set": lambda: {1, 2},
    "an iterator": lambda: iter([1, 2]),
    "a ragged list": lambda: [[1.0, 2.0], [3.0]],
    "a list of None": lambda: [None],
    "0": lambda: 0,
    "-1": lambda: -1,
    "-7": lambda: -7,
    "7": lambda: 7,
    "1.5": lambda: 1.5,
    "NaN": lambda: math.nan,
    "-inf": lambda: -math.inf,
    "True": lambda: True,
    "10**30": lambda: 10**30,
    "-10**30": lambda: -(10**30),
    "2**63": lambda: 2**63,
    "10**400": lambda: 10**400,
    "a complex number": lambda: 1j,
    "(1, -1)": lambda: (1, -1),
    "(10**30,)": lambda: (10**30,),
    "('a', 1)": lambda: ("a", 1),
    "...": lambda: ...,
    "a slice": lambda: slice(0, 1),
    "a float array": lambda: BIG.copy(),
    "another shape": lambda: np.ones((5, 1, 7)),
    "a scalar array": lambda: np.ones(()),
    "no elements": lambda: np.ones((0, 3)),
    "integers": lambda: np.arange(6).reshape(2, 3),
    "bools": lambda: BIG > 2,
    "complex": lambda: BIG + 1j,
    "float16": lambda: BIG.astype("float16"),
    "longdouble": lambda: BIG.astype("longdouble"),
    "big-endian": lambda: BIG.astype(">f8"),
    "uint64": lambda: BIG.astype("uint64"),
    "read-only": read_only,
    "masked": masked,
    "memory-mapped": mapped,
    "objects": lambda: np.array([[1, None], [3, 4]], object),
    "strings": lambda: np.array(["a", "b"]),
    "dates": lambda: np.array(["2020-01-01"], "datetime64[D]"),
    "records": lambda: np.zeros(2, [("a", float)]),
    "a tensor": lambda: mg.tensor(BIG),
    "a parameter": lambda: nn.Parameter(BIG),
    "an integer tensor": lambda: mg.tensor([0, 1]),
    "a module": lambda: nn.Linear(2, 2),
    "a generator": lambda: np.random.default_rng(0),
}


FEW = ["None", "a string", "an object", "a ragged list", "-7", "1.5", "10**400", "(1, -1)", "a float array", "float16",
       "masked", "objects", "an integer tensor", "a module"]  # fmt: skip


PUBLIC = [
    "minigrad",
    "minigrad.nn",
    "minigrad.nn.functional",
    "minigrad.nn.init",
    "minigrad.optim",
    "minigrad.random",
    "minigrad.io",
    "minigrad.tree",
    "minigrad.testing",
    "minigrad.training",
    "minigrad.distributed",
    "minigrad.viz",
    "minigrad.debug",
    "minigrad.profiling",
    "minigrad.kernels.inspection",
    "minigrad.models",
]


def names_of(path, module):
    """Its __all__; without one what has no underscore, and of others than minigrad itself what they define."""
    if hasattr(module, "__all__"):
        return module.__all__
    names = [n for n in dir(module) if not n.startswith("_")]
    return names if module is mg else [n for n in names if getattr(getattr(module, n), "__module__", "") == path]


def public():
    """(where, name, function) of all that is public, each function once."""
    seen = set()
    for path in PUBLIC:
        module = importlib.import_module(path)
        for name in names_of(path, module):
            f = getattr(module, name)
            ours = (getattr(f, "__module__", None) or "minigrad").startswith("minigrad")
            if callable(f) and ours and not isinstance(f, types.ModuleType) and id(f) not in seen:
                seen.add(id(f))
                yield path.removeprefix("minigrad.").replace("minigrad", "mg"), name, f


def how_to_call(where, name, f):
    """From CALLS, by the full name or the last one; from an op's sample or a class's parameters; None if unknown."""
    if known := CALLS.get(f"{where}.{name}") or CALLS.get(name):
        return known
    if name in table or name in composites:
        return lambda: of_op(name)
    return (lambda: of_class(f)) if isinstance(f, type) or where == "models" else None


OUTSIDE = [
    f"{where}.{name}" for where, name, f in public() if not how_to_call(where, name, f) and name not in NOT_FUNCTIONS
]
FUNCTIONS = {
    f"{where}.{name}": (name, f, how_to_call(where, name, f))
    for where, name, f in public()
    if name not in NOT_FUNCTIONS and how_to_call(where, name, f)
}


def test_all_that_is_public_is_in_the_table_or_left_out_for_a_reason():
    assert not OUTSIDE, "say in CALLS how to call it, or in NOT_FUNCTIONS why not"
    assert not NOT_FUNCTIONS.keys() - {name for _, name, _ in public()}


class Made:
    """A function that makes the object of METHODS anew for each call."""

    def __init__(self, make):
        self.make = make

    def __call__(self, *args, **kwargs):
        return self.make()(*args, **kwargs)


FUNCTIONS |= {label: (name, Made(make), how) for label, (name, make, how) in METHODS.items()}


def fault(name, f, how, place, wrong):
    """What is wrong with how f takes a wrong argument in a place; None if nothing is."""
    args, kwargs = how()
    args, kwargs = list(args), dict(kwargs)
    given = args if isinstance(place, int) else kwargs
    before, bad = given[place], WRONG[wrong]()
    if callable(before) and callable(bad):
        return None  # a function of another kind; its errors are its own
    given[place] = bad
    try:
        with np.errstate(all="ignore"):
            f(*args, **kwargs)
    except (TypeError, ValueError, IndexError) as error:
        if name in str(error).partition("\nat ")[0] or from_a_callback(error):
            return None
        return f"{type(error).__name__} does not name {name}: {error}"
    except Exception as error:
        no_file = isinstance(error, OSError) and isinstance(bad, (str, bytes)) and error.filename == bad
        return None if no_file or from_a_callback(error) else f"{type(error).__name__}: {error}"
    if wrong == "masked" and isinstance(before, (mg.Tensor, np.ndarray)):
        return "took a masked array"
    return None


def from_a_callback(error):
    """Whether an error was raised in a function that the table gave to f: then it is the user's."""
    trace = error.__traceback__.tb_next
    names = []
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return "loss" in names or "added" in names


def faults(label, wrongs):
    name, f, how = FUNCTIONS[label]
    args, kwargs = how()
    f(*args, **kwargs)  # as it should be called, it works
    pairs = [(place, wrong) for place in [*range(len(args)), *kwargs] for wrong in wrongs]
    found = {pair: fault(name, f, how, *pair) for pair in pairs}
    return {pair: text for pair, text in found.items() if text}


@pytest.mark.parametrize("label", FUNCTIONS)
@pytest.mark.parametrize(
    "wrongs", [pytest.param(FEW, id="few"), pytest.param(WRONG, id="all", marks=pytest.mark.heavy)]
)
def test_wrong_arguments_are_refused_by_name(label, wrongs, tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "count", threads.count)  # set_num_threads is among them
    monkeypatch.chdir(tmp_path)  # a string is the name of a file, for those that write one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, about values
        found = faults(label, wrongs)
    lines = [f"{place!r} = {wrong}: {text}" for (place, wrong), text in found.items()]
    assert not found, "\n".join([f"{len(found)} calls", *lines[:10]])


# What is taken: the numbers of any array of numbers, wherever and however they lie


LAYOUTS = {
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.broadcast_to(a, a.shape),
    "memory-mapped": lambda a: in_a_file(a),
}


LOSSY = [np.ma.masked_array, *[lambda a, to=to: a.astype(to) for to in ("complex128", "longdouble")]]


def in_a_file(array):
    if not array.size:
        return array
    memory = np.memmap(tempfile.TemporaryFile(), array.dtype, "w+", shape=array.shape)  # noqa: SIM115
    memory[...] = array
    return memory


def each_array(x, change):
    if isinstance(x, list):
        return [each_array(a, change) for a in x]
    return change(x) if isinstance(x, np.ndarray) else x


def call_of(name):
    return composites.get(name) or table[name].call


def results(name, change):
    inputs, params = of_op(name)
    results = call_of(name)(*each_array(inputs, change), **params)
    return [r.numpy() for r in (results if isinstance(results, (list, tuple)) else [results])]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", sorted({*composites, *(name for name, op in table.items() if op.public)}))
def test_an_array_is_taken_however_it_lies(name, layout):
    for plain, laid_out in zip(results(name, lambda a: a), results(name, LAYOUTS[layout]), strict=True):
        assert plain.dtype == laid_out.dtype and laid_out.dtype.isnative
        np.testing.assert_array_equal(plain, laid_out)


@pytest.mark.parametrize("name", sorted({*composites, *(name for name, op in table.items() if op.public)}))
def test_what_would_lose_something_is_refused(name):
    """A mask, the imaginary part, range and precision: wider floats are refused, not converted."""
    for change in LOSSY:
        inputs, params = of_op(name)
        if any(a.dtype.kind == "f" for x in inputs for a in (x if isinstance(x, list) else [x]) if a is not None):
            changed = each_array(inputs, lambda a: change(a) if a.dtype.kind == "f" else a)
            with pytest.raises(TypeError, match=name):
                call_of(name)(*changed, **params)


WITH_LENGTHS = [label for label, (_, _, how) in METHODS.items() if np.shape(how()[1].get("lengths")) == (2,)]


@pytest.mark.parametrize("label", WITH_LENGTHS)
def test_lengths_are_integers_within_the_sequence_in_any_order(label):
    name, f, how = FUNCTIONS[label]
    args, kwargs = how()
    for order in ([2, 4], [4, 2], np.array([1, 1], "uint8"), mg.tensor([3, 3])):
        f(*args, **{**kwargs, "lengths": order})
    for wrong in ([5, 2], [-1, 2], [2.0, 1.0], [True, False], [2], [[2, 1]], 2, [10**30, 1]):
        with pytest.raises((TypeError, ValueError), match=f"{name}|Recurrent: got lengths"):
            f(*args, **{**kwargs, "lengths": wrong})


@pytest.mark.parametrize("label", ["GRU(mask)", "BahdanauAttention()"])
def test_a_mask_is_bool_and_of_its_shape(label):
    name, f, how = FUNCTIONS[label]
    args, kwargs = how()
    right = np.asarray(kwargs["mask"])
    for wrong in (right.astype(int), right.astype(float), right[:1], right.T, right[..., None], right[0], True):
        with pytest.raises((TypeError, ValueError), match=f"{name}: got a mask"):
            f(*args, **{**kwargs, "mask": wrong})
