"""What an error advises in place of a NumPy function is that function; and operators that ask the other operand."""

import operator

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.counterparts import TORCH, instead_of
from minigrad.ops.numpycall import name_of
from minigrad.ops.table import composites, table

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

X = np.array([[1.5, 2.0], [0.25, 3.0]])
TORCH_ARGUMENTS = {
    "unsqueeze": ("axis=1", (1,)), "permute": ("axes=(1, 0)", (1, 0)), "view": ("shape=(4,)", (4,)),
    "view_as": ("other=mg.zeros((4,))", (torch.zeros(4),)), "expand": ("shape=(3, 2, 2)", (3, 2, 2)),
    "expand_as": ("other=mg.zeros((3, 2, 2))", (torch.zeros(3, 2, 2),)), "clamp": ("low=1, high=2", (1, 2)),
    "masked_fill": ("mask=t > 1, value=9.0", (torch.tensor(X) > 1, 9.0)),
    "index_select": ("index=[1, 0], axis=0", (0, torch.tensor([1, 0]))),
    "repeat_interleave": ("repeats=2, axis=0", (2, 0)), "type": ("dtype='float32'", (torch.float32,)),
    "to": ("dtype='float32'", (torch.float32,)),
} | {name: ("other=t + 1", (torch.tensor(X) + 1,)) for name in ("mm",)} | {
    "bmm": ("other=t[None], t=t[None]", (torch.tensor(X)[None],)), "mv": ("other=t[0]", (torch.tensor(X)[0],)),
}  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_pytorchs_methods_are_what_the_error_says(name):
    t = mg.tensor(X)
    with pytest.raises(AttributeError, match=f"no attribute {name!r}; PyTorch's t.{name} is ") as error:
        getattr(t, name)
    assert TORCH[name] in str(error.value) and not hasattr(t, name)
    ours, theirs = TORCH_ARGUMENTS.get(name, ("", ()))
    given = eval(f"dict({ours})", {"mg": mg, "t": t})
    got = eval(TORCH[name].partition(":")[0].partition(", which")[0], {"mg": mg, "t": t, **given})
    wanted = getattr(torch.tensor(X)[None] if name == "bmm" else torch.tensor(X), name)(*theirs)
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted))


def test_another_attribute_is_missing_as_of_any_object():
    with pytest.raises(AttributeError, match="^'Tensor' object has no attribute 'unsqeeze'$"):
        mg.tensor(X).unsqeeze  # noqa: B018


def test_a_function_is_advised_only_under_its_own_name():
    numpys = [getattr(module, n) for module in (np, np.linalg) for n in dir(module) if callable(getattr(module, n))]
    for function in numpys:
        if hasattr(function, "__name__") and not isinstance(function, type):
            text = instead_of(function, name_of(function))
            if text.startswith("use minigrad."):
                assert text == f"use minigrad.{function.__name__}"
                assert function.__name__ in {*table, *composites}


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda t: np.spacing(t), "np.spacing has no rule for tensors; it has no counterpart; write it with"),
        (lambda t: np.fft.fft(t), "np.fft.fft has no rule for tensors; there are no complex tensors"),
        (lambda t: np.linalg.eig(t), "no complex tensors; take t.detach().numpy() if no gradient is wanted; of symm"),
        (lambda t: np.put(t, 0, 1.0), "np.put has no rule for tensors; tensors are changed by t[index] = values"),
        (lambda t: np.sum(t, out=X), "np.sum of tensors takes no out="),
        (lambda t: np.exp(t, where=X > 1), "np.exp of tensors takes no where="),
        (lambda t: np.quantile(t, 0.5, method="hazen"), "np.quantile: takes no method='hazen' of tensors"),
        (lambda t: np.interp(t, [0.0, 1.0], [2.0, 3.0], period=2), "np.interp: takes no period=2 of tensors"),
        (lambda t: np.cov(t, aweights=[1.0, 2.0]), "np.cov of tensors takes no aweights=[1.0, 2.0]"),
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
