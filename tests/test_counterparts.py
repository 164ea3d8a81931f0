"""What an error advises in place of a NumPy function is that function; and operators that ask the other operand."""

import math
import operator

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.counterparts import WRITTEN, instead_of
from minigrad.ops.table import composites, table

X, Y = np.array([[1.5, 2.0], [0.25, 3.0]]), np.array([[2.0, 1.0], [0.5, -4.0]])
ARGUMENTS = {  # where those of most functions, one or two matrices, do not do
    "kron": ([1.0, 2.0], [3.0, 4.0, 5.0]),
    "column_stack": ([1.0, 2.0], [3.0, 4.0]),
    "diff": ([1.0, 4.0, 9.0],),
    "trapezoid": ([1.0, 4.0, 9.0],),
    "nan_to_num": ([1.0, math.nan],), "nanmax": ([1.0, math.nan],), "nanmin": ([1.0, math.nan],),
    "nansum": ([1.0, math.nan],), "nanprod": ([2.0, math.nan],), "nanmean": ([1.0, math.nan, 5.0],),
    "isinf": ([1.0, math.inf, -math.inf],),
}  # fmt: skip
KEYWORDS = {"cumulative_sum": {"axis": 0}, "cumulative_prod": {"axis": 0}}
TWO = {"append", "divmod", "fmod", "hypot", "hstack", "inner", "logaddexp", "logaddexp2", "true_divide", "vdot",
       "vstack"}  # fmt: skip
LISTS = {"column_stack", "hstack", "vstack"}  # which take their arrays in one list


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_advised_is_what_numpy_computes(name):
    arrays = [np.asarray(a) for a in ARGUMENTS.get(name, (X, Y) if name in TWO else (X,))]
    function = getattr(np, name)
    wanted = function(arrays) if name in LISTS else function(*arrays, **KEYWORDS.get(name, {}))
    got = eval(WRITTEN[name], {"mg": mg, "math": math}, dict(zip("xyz", map(mg.tensor, arrays))))
    for ours, theirs in zip(got, wanted) if isinstance(got, tuple) else [(got, wanted)]:
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12)


def test_a_function_is_advised_only_under_its_own_name():
    numpys = [getattr(module, n) for module in (np, np.linalg) for n in dir(module) if callable(getattr(module, n))]
    for function in numpys:
        if hasattr(function, "__name__") and not isinstance(function, type):
            text = instead_of(function)
            if text.startswith("use minigrad."):
                assert text == f"use minigrad.{function.__name__}"
                assert function.__name__ in {*table, *composites}


@pytest.mark.parametrize(
    "call, text",
    [
        (
            lambda t: np.linalg.cond(t),
            "np.linalg.cond has no rule for tensors; it has no counterpart; write it with",
        ),
        (
            lambda t: np.log10(t),
            "np.log10 has no rule for tensors; it has no counterpart; write it as mg.log(x) /",
        ),
        (lambda t: np.nansum(t), "it has no counterpart; write it as mg.sum(mg.where(mg.isnan(x), 0.0, x))"),
    ],
)
def test_the_errors_name_no_other_function(call, text):
    with pytest.raises(TypeError) as error:
        call(mg.tensor(X))
    assert text in str(error.value)


# Operators


class Other:
    """A type that knows what to do with a tensor."""

    def answer(self, other):
        assert isinstance(other, mg.Tensor)
        return "the other operand's"

    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = __rmatmul__ = __rand__ = __ror__ = __rxor__ = answer
    __add__ = __sub__ = __mul__ = __truediv__ = __pow__ = __matmul__ = __and__ = __or__ = __xor__ = answer
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = answer
    __hash__ = object.__hash__


class Stranger:
    """A type that knows nothing of tensors."""


ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul]
LOGIC = [operator.and_, operator.or_, operator.xor]
ORDER = [operator.lt, operator.le, operator.gt, operator.ge]
EQUALITY = [operator.eq, operator.ne]


@pytest.mark.parametrize("op", ARITHMETIC + LOGIC + ORDER + EQUALITY)
def test_an_operator_asks_an_operand_of_another_type(op):
    t = mg.tensor([1.0, 2.0]) > 0 if op in LOGIC else mg.tensor([1.0, 2.0])
    assert op(t, Other()) == op(Other(), t) == "the other operand's"
    for unknown in (Stranger(), None, {1: 2}, len):
        if op in EQUALITY:
            assert op(t, unknown) is (op is operator.ne) and op(unknown, t) is (op is operator.ne)
        else:
            with pytest.raises(TypeError, match="(unsupported operand|not supported between).*Tensor"):
                op(t, unknown)
            with pytest.raises(TypeError, match="(unsupported operand|not supported between).*Tensor"):
                op(unknown, t)


def test_an_operator_takes_arrays_numbers_and_lists():
    t = mg.tensor([1.0, 2.0])
    for other in (3, 3.0, np.float32(3), np.array([3.0, 3.0]), [3.0, 3.0], (3.0, 3.0)):
        np.testing.assert_array_equal((t * other).numpy(), [3, 6])
        np.testing.assert_array_equal((other * t).numpy(), [3, 6])


def test_a_tensor_is_approximately_a_number():
    assert mg.tensor(2.0) == pytest.approx(2.0)
    assert pytest.approx(2.0) == mg.tensor(2.0)
    assert mg.tensor(2.1) != pytest.approx(2.0)
    assert mg.tensor([1.0, 2.0]) == pytest.approx([1.0, 2.0])


def test_a_second_backward_over_a_carried_state_is_told_to_detach():
    w = mg.tensor([0.5], requires_grad=True)
    h = mg.tensor([1.0])
    h = mg.tanh(h * w)
    h.sum().backward()
    h = mg.tanh(h * w)
    with pytest.raises(RuntimeError, match=r"detach\(\) it before it is used again; else pass retain_graph=True"):
        h.sum().backward()
