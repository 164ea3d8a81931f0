"""The function that says whether arguments are of a kind, against the key, which decides."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import tree
from minigrad.compile.signature import Programs, never


class Pair(NamedTuple):
    a: object
    b: object


class Other(NamedTuple):
    a: object
    b: object


def leaves():
    tensors = st.tuples(st.sampled_from([(2,), (2, 3), ()]), st.sampled_from(["float32", "float64"]), st.booleans())
    values = st.sampled_from([0, False, 1, True, 2, "a", "b", b"a", 1.0, 0.0, -0.0, len, slice(1)])
    return tensors.map(lambda t: mg.tensor(np.ones(t[0], t[1]), requires_grad=t[2])) | values | st.none()


def structures():
    return st.recursive(
        leaves(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.sampled_from("ab"), inner)
            | st.builds(defaultdict, st.sampled_from([int, float]), st.dictionaries(st.sampled_from("ab"), inner))
            | st.dictionaries(st.integers(0, 1), inner, max_size=1)
            | st.tuples(inner, inner).map(lambda p: Pair(*p))
            | st.tuples(inner, inner).map(lambda p: Other(*p))
        ),
        max_leaves=4,
    )


def given_to():
    return st.tuples(
        st.lists(structures(), max_size=2).map(tuple), st.dictionaries(st.sampled_from("xy"), structures())
    )


@given(given_to(), given_to())
def test_arguments_that_match_are_of_the_kind(first, second):
    jitted = mg.jit(lambda *args, **kwargs: 0)

    def kind_of(given):
        leaves, structure = tree.flatten(given)
        return *jitted.kind_of(leaves, structure, True), leaves, structure

    kind, tensors, leaves, structure = kind_of(first)
    match = Programs(kind, structure).match
    simple = all(isinstance(x, mg.Tensor) or type(x) in (int, bool, float, str, bytes) for x in leaves)
    simple = simple and not any(type(d) is defaultdict or {*map(type, d)} - {str} for d in dicts_in(structure))
    assert (match is never) == (not simple)
    if simple:
        found = match(*first)
        assert all(x is y for mine, theirs in zip(found, (leaves, tensors)) for x, y in zip(mine, theirs, strict=True))
    if match(*second) is not None:
        assert kind_of(second)[0] == kind


def dicts_in(structure):
    if isinstance(structure, dict):
        yield structure
    for inner in (tree.children(structure) or ((), ()))[1] if structure is not ... else ():
        yield from dicts_in(inner)


@pytest.mark.parametrize("change", [
    lambda x, h: (x, [h]), lambda x, h: (x, (h, h)), lambda x, h: (x, h), lambda x, h: (x, {"h": h}),
    lambda x, h: (x, (mg.tensor(np.ones((3, 2))),)), lambda x, h: (mg.tensor(np.ones(2, "float32")), (h,)),
    lambda x, h: (x, (mg.tensor(np.ones(3), requires_grad=True),)), lambda x, h: (x.numpy(), (h,)),
])  # fmt: skip
def test_another_kind_between_two_calls_of_one_kind(change):
    """Results are those of eager code, whichever program ran last."""

    def f(x, state):
        state = list(state.values()) if isinstance(state, dict) else state
        return mg.tanh(x) * 2 + sum([h.sum() for h in (state if isinstance(state, (tuple, list)) else [state])])

    jitted = mg.jit(f)
    x, h = mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0, 5.0])
    for args in [(x, (h,)), change(x, h), (x, (h,)), (x, (h,)), change(x, h)]:
        y, wanted = jitted(*args), f(*args)
        assert y.dtype == wanted.dtype and y.requires_grad == wanted.requires_grad
        np.testing.assert_allclose(y.detach().numpy(), wanted.detach().numpy(), rtol=1e-6)
