"""Functions that kernels share are compiled once; what a text means must not depend on the texts before it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigrad.kernels import frontend, loops

pytestmark = pytest.mark.skipif(loops.INTERPRETED, reason="the JIT is off: nothing is compiled")

NAMES = st.sampled_from("abcd")
TERMS = st.one_of(NAMES, NAMES.map("{}()".format), st.integers(0, 2).map(str))
SUMS = st.lists(TERMS, min_size=1, max_size=2).map(" + ".join)
STATEMENTS = st.one_of(
    st.builds("def {}(x=0):\n    return {}".format, NAMES, SUMS),
    st.builds("{} = {}".format, NAMES, st.integers(0, 2)),
    st.builds("if {}:\n    def {}(): return {}".format, st.booleans(), NAMES, SUMS),
    st.builds("{} = lambda: {}".format, NAMES, SUMS),
)
TEXTS = st.lists(STATEMENTS, max_size=6).map("\n".join)


def values(namespace):
    """What every name stands for: a function for what it returns, or the kind of error that it raises."""
    found = {}
    for name in "abcd":
        value = namespace.get(name)
        try:
            found[name] = value() if callable(value) else value
        except (NameError, TypeError, RecursionError) as error:
            found[name] = type(error)
    return {name: "function" if callable(value) else value for name, value in found.items()}


@given(st.lists(TEXTS, min_size=2, max_size=5))
@example(["def a(): return b\nb = 1", "def a(): return b\nb = 2"])
@example(["b = 1\ndef a(): return b\nb = 2", "b = 1\ndef a(): return b"])
@example([f"b = {i}\nif False:\n    def b(): return 0\ndef a(): return b" for i in (1, 2)])
@settings(max_examples=200)
def test_a_text_means_what_it_means_alone(texts):
    frontend.shared.clear()
    for text in texts:
        alone: dict = {}
        exec(text, alone)
        assert values(frontend.definitions(text, "text")) == values(alone)


def test_equal_functions_are_one_object_and_others_are_not():
    text = "unit = {unit}\ndef one():\n    return unit\ndef two():\n    return one() + one()\n"
    first, same, other = [frontend.definitions(text.format(unit=unit), "text") for unit in (1, 1, 2)]
    assert first["two"] is same["two"] is not other["two"]
    assert (first["two"](), other["two"]()) == (2, 4)


def test_kernels_share_the_scalar_functions_that_both_call(monkeypatch):
    monkeypatch.setattr(frontend, "shared", {})
    head = loops.source_of("intrinsics") + "from numba import njit\ninline = njit(forceinline=True)\n"
    sources = [head + loops.loop_source(["x"], [e], ["float32"] * 2, "float32") for e in ("tanh(x)", "tanh(x) * x")]
    first, second = [frontend.definitions(source, "kernel") for source in sources]
    assert first["tanh"] is second["tanh"]
    assert first["apart_contiguous"] is not second["apart_contiguous"]
