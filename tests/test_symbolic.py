"""Sizes that are not fixed: what is computed of them, and what is noted of them, holds for every value."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.symbolic import (
    Size,
    Sizes,
    broadcast_shapes,
    evaluator,
    has_sizes,
    key_of,
    slice_bounds,
    slice_length,
    symbol,
)


def sizes_of(**hints):
    sizes = Sizes(hints)
    return sizes, *[symbol(sizes, name) for name in hints]


BINARY = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "//": lambda a, b: a // b if b else a, "%": lambda a, b: a % b if b else a,
    "min": min, "max": max, "/": lambda a, b: a / b if b else b,
    "<": lambda a, b: a if a < b else b + 1, "<=": lambda a, b: a if a <= b else b + 1,
    "==": lambda a, b: a if a == b else b + 1, "!=": lambda a, b: a * 2 if a != b else b,
    "divmod": lambda a, b: sum(divmod(a, b)) if b else a, "bool": lambda a, b: a if b else b + 5,
}  # fmt: skip
UNARY = {
    "-": lambda a: -a, "abs": abs, "int": int, "len": lambda a: len(range(a)) if abs(a) < 100 else a, "hash": hash,
    "** 2": lambda a: a**2 if abs(a) < 1e4 else a, "list": lambda a: len([0] * a) if abs(a) < 100 else a,
    "text": lambda a: len(f"{a}"), "sum": lambda a: sum([a, 1, a]), "prod": lambda a: math.prod((a, 2, a)),
    "array": lambda a: int(np.array([a, 1]).sum()), ">> 1": lambda a: a >> 1 if isinstance(a, int) else a,
}  # fmt: skip


@st.composite
def functions(draw):
    """A function of n and m: each step computes one more number of two that are there."""
    steps = []
    for k in range(draw(st.integers(1, 8))):
        of = st.integers(0, 4 + k)
        if draw(st.integers(0, 3)):
            steps.append((BINARY[draw(st.sampled_from(sorted(BINARY)))], draw(of), draw(of)))
        else:
            steps.append((UNARY[draw(st.sampled_from(sorted(UNARY)))], draw(of)))

    def f(n, m):
        values = [n, m, 1, 2, 3]
        for op, *places in steps:
            operands = [values[k] for k in places]
            values.append(operands[0] if any(isinstance(x, float) or abs(x) > 1e6 for x in operands) else op(*operands))
        return values[2:]

    return f


@settings(max_examples=400)
@given(functions(), st.lists(st.tuples(st.integers(2, 12), st.integers(2, 12)), min_size=2, max_size=12))
def test_what_a_function_computes_of_sizes_holds_for_all_that_its_guards_allow(f, calls):
    sizes, n, m = sizes_of(n=calls[0][0], m=calls[0][1])
    result = f(n, m)
    assert sizes.hold({"n": calls[0][0], "m": calls[0][1]})
    for a, b in calls:
        if sizes.hold({"n": a, "m": b}):
            assert evaluator(sizes, {"n": a, "m": b})(result) == f(a, b)


def test_arithmetic_has_a_normal_form_and_takes_no_guards():
    sizes, n, m = sizes_of(n=5, m=7)
    assert n + m - n is not m and (n + m - n == m) and n - n == 0 and type(n - n) is int
    assert key_of((n * m, 3)) == key_of((m * n, 3)) != key_of((n + m, 3))
    assert (n * m * 6) // (m * 2) == 3 * n and (n * m) % m == 0 and (n * 4 + 8) // 4 == n + 2
    assert (n + m) * (n - m) == n * n - m**2
    assert not sizes.guards


def test_what_follows_from_sizes_of_2_and_more_takes_no_guard():
    sizes, n, m = sizes_of(n=5, m=7)
    assert n != 0 and n > 1 and n * m > n and n * m - n >= 2 and (n + 1) // 2 >= 1 and not n < 0 and bool(n)
    assert n % 3 >= 0 and max(n, 1) is n and min(n * m, n) is n
    assert not sizes.guards


@pytest.mark.parametrize(
    ("ask", "others"),
    [
        (lambda n, m: n > 4, {(5, 9): True, (4, 9): False}),
        (lambda n, m: n == m, {(5, 6): True, (6, 6): False}),
        (lambda n, m: list(range(n)), {(5, 9): True, (6, 7): False}),
        (lambda n, m: {n: 1}, {(5, 9): True, (6, 7): False}),
        (lambda n, m: f"{n}", {(5, 9): True, (6, 7): False}),
        (lambda n, m: np.zeros((n, 2)), {(5, 9): True, (6, 7): False}),
        (lambda n, m: np.arange(12) * n, {(5, 9): True, (6, 7): False}),
        (lambda n, m: np.float32(2) * n, {(5, 9): True, (6, 7): False}),
        (lambda n, m: math.sqrt(n), {(5, 9): True, (6, 7): False}),
        (lambda n, m: 1 / n > 0.1, {(6, 9): True, (11, 7): False}),
        (lambda n, m: float(n / 2), {(5, 9): True, (6, 7): False}),
        (lambda n, m: "x" * n, {(5, 9): True, (6, 7): False}),
        (lambda n, m: n + m == 12, {(4, 8): True, (5, 8): False}),
    ],
)
def test_a_question_is_a_guard(ask, others):
    sizes, n, m = sizes_of(n=5, m=7)
    ask(n, m)
    assert sizes.guards and sizes.hold({"n": 5, "m": 7})
    for (a, b), holds in others.items():
        assert sizes.hold({"n": a, "m": b}) == holds


def test_a_symbol_stands_for_no_size_below_2():
    sizes, _ = sizes_of(n=5)
    assert [sizes.hold({"n": k}) for k in (0, 1, 2, 3)] == [False, False, True, True]


def test_what_a_guard_tells_is_known_from_then_on():
    sizes, n, m = sizes_of(n=5, m=5)
    assert n == m
    count = len(sizes.guards)
    assert n * 3 == m * 3 and n - m == 0 and not n * 2 < m
    assert len(sizes.guards) == count
    assert m == 5 and not sizes.fixed and type(n + 1) is int


def test_a_symbol_is_fixed_where_its_number_was_wanted():
    sizes, n, m = sizes_of(n=5, m=7)
    assert m == 7 and not sizes.fixed
    range(n)
    assert sizes.fixed == {"n"}


def test_sizes_are_ints_to_python():
    sizes, n, _ = sizes_of(n=5, m=7)
    assert isinstance(n, int) and not isinstance(n, float) and isinstance(n / 2, float) and type(n) is Size
    assert copy.deepcopy(n) is n and n is copy.copy(n)
    assert not sizes.guards


def test_a_size_that_outlives_the_trace_is_the_number_that_it_was():
    sizes, n, _ = sizes_of(n=5, m=7)
    sizes.closed = True
    assert n + 1 == 6 and type(n + 1) is int and n > 3 and int(n) == 5 and 1 / n == 0.2 and f"{n}" == "5"
    assert not sizes.guards


@given(
    st.integers(2, 9),
    *[st.none() | st.integers(-12, 12)] * 2,
    st.none() | st.sampled_from([-3, -2, -1, 1, 2, 3]),
    st.lists(st.integers(2, 9), max_size=5),
)
def test_slices_of_an_axis_that_is_not_fixed_are_those_of_python(n, start, stop, step, others):
    sizes, size = sizes_of(n=n)
    bounds = slice_bounds(slice(start, stop, step), size)
    length = slice_length(*bounds)
    for other in [n, *others]:
        if sizes.hold({"n": other}):
            at, indices = evaluator(sizes, {"n": other}), slice(start, stop, step).indices(other)
            assert list(range(*at(bounds))) == list(range(*indices)) and at(length) == len(range(*indices))


@pytest.mark.parametrize("shapes", [((5, 1), (7,)), ((5, 7), (1, 7), (7,)), ((), (5,)), ((3, 1, 1), (5, 7))])
def test_shapes_broadcast_as_numpys(shapes):
    sizes, n, m = sizes_of(n=5, m=7)
    of = {5: n, 7: m}
    made = broadcast_shapes(*[tuple([of.get(k, k) for k in shape]) for shape in shapes])
    assert evaluator(sizes, {"n": 5, "m": 7})(made) == np.broadcast_shapes(*shapes)
    assert has_sizes(made) and not sizes.guards


def test_shapes_that_do_not_broadcast_are_refused():
    sizes, n, m = sizes_of(n=5, m=7)
    with pytest.raises(ValueError, match="do not broadcast"):
        broadcast_shapes((n, 3), (m, 1))
    assert not sizes.hold({"n": 5, "m": 5})
