"""Dtypes and shapes in compiled programs: each value has its own, and no kernel takes an array of another."""

import itertools

import numpy as np
import pytest
from interpreter import interpreted
from programs import draw, leaves, same

import minigrad as mg
from minigrad.compile import native
from minigrad.compile.schedule import Schedule
from minigrad.ir.number import Number
from minigrad.ir.trace import Program, Value
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import Spec, table

BOTH = pytest.mark.parametrize("dtype", ["float32", "float64"])

# Masks


def nested(mask):
    """An outer loop that makes a mask of its carry, and an inner one that reads it."""

    def f(h, xs):
        def outer(h, x):
            m = mask(h)
            h, ys = mg.scan(lambda h, z: (mg.tanh(h * m + z), h * z), h, mg.stack([x, -x, x]))
            return h, (m, ys)

        return mg.scan(outer, h, xs)

    return f


@BOTH
@pytest.mark.parametrize("mask", [
    lambda h: mg.astype(h >= 0, h.dtype), lambda h: mg.where(h >= 0, 1.0, 0.0).astype(h.dtype),
    lambda h: mg.where(h >= 0, 1, 0).astype(h.dtype), lambda h: (h >= 0) * h, lambda h: (h > 0) & (h < 0.5),
    lambda h: mg.logical_or(h >= 0, False), lambda h: mg.pad(h[:, 1:3], ((0, 0), (1, 1))),
])  # fmt: skip
@pytest.mark.parametrize("kernels", ["interpreted", "compiled"])
def test_a_mask_of_the_carry_has_its_dtype_in_nested_loops(mask, dtype, kernels):
    h, xs = draw(0, 3, 4, dtype=dtype), draw(1, 5, 3, 4, dtype=dtype)
    tolerance = 1e-10 if dtype == "float64" else 1e-4
    if kernels == "interpreted":
        with interpreted():
            same(nested(mask), [h, xs], h, xs, rtol=tolerance)
    else:
        same(nested(mask), [h, xs], h, xs, rtol=tolerance)


def operands(kinds, h):
    values = {"bool": h > 0.5, "float": h, "True": True, "2": 2, "0.5": 0.5, "-1": -1}
    return [values[kind] for kind in kinds]


def calls(h) -> list:
    """(op, kinds of its operands) for all that an elementwise op takes: tensors of bools, of floats, Python numbers."""
    found = []
    for _, op in sorted(table.items()):
        if isinstance(op, Elementwise):
            kinds = (
                ["bool", "float", "True", "2", "0.5", "-1"] if len(op.inputs) < 3 else ["bool", "float", "True", "0.5"]
            )
            for combination in itertools.product(kinds, repeat=len(op.inputs)):
                if {"bool", "float"} & set(combination):
                    try:
                        op.call(*operands(combination, h))
                    except (TypeError, ValueError):  # no arithmetic of that kind
                        continue
                    found.append((op, combination))
    return found


def check_calls(dtype, chosen) -> None:
    xs = mg.tensor(np.random.default_rng(0).uniform(0.1, 0.9, (4, 3, 5)).astype(dtype))
    chosen = [(op, kinds) for op, kinds in calls(xs[0]) if chosen(op, kinds)]
    assert chosen

    def f(xs):
        return mg.scan(lambda h, x: (mg.tanh(h) + 0.1 * x, [op.call(*operands(k, h)) for op, k in chosen]), xs[0], xs)

    wanted, got = leaves(f(xs)), leaves(mg.jit(f)(xs))
    for what, a, b in zip([None, *chosen], got, wanted, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape, what
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=1e-6, err_msg=str(what))


def test_python_numbers_and_bools_in_compiled_loops():
    """Of ops that take bools as numbers, or Python numbers as bools, every combination."""
    names = ("logical_or", "logical_not", "abs", "add", "where", "less", "pow")
    check_calls("float32", lambda op, kinds: op.name in names)


@pytest.mark.heavy
@BOTH
@pytest.mark.parametrize("name", sorted(n for n, op in table.items() if isinstance(op, Elementwise)))
def test_all_operands_of_all_elementwise_ops_in_compiled_loops(name, dtype):
    check_calls(dtype, lambda op, kinds: op.name == name)


# Numbers in programs


def test_a_program_takes_no_number_without_a_dtype():
    program = Program()
    x = program.input(Spec((3,), np.dtype("float64")))
    for number in (1.0, np.float64(1.0), True):
        with pytest.raises(TypeError, match="add: a program has an input of type .*, wanted a Value or a Number"):
            Value(program, table["add"], (x, number), {}, (3,), x.dtype)


def test_numbers_are_told_apart_by_bits():
    numbers = [Number(x, d) for x in (0.0, -0.0, 1.0, np.nan) for d in ("float32", "float64")] + [Number(1, bool)]
    assert len(set(numbers)) == len(numbers)
    assert all(n == Number(n.value, n.dtype) for n in numbers)


def test_a_python_number_that_does_not_fit_is_refused():
    for f in (lambda x: x + 10**30, lambda x: x * -(10**30)):
        with pytest.raises(OverflowError, match=r"(add|mul): .*10"):
            mg.jit(f)(mg.tensor([1, 2]))


# What runs a program checks what it makes, and kernels what they are given


def test_an_op_that_gives_something_else_is_caught(monkeypatch):
    x = draw(0, 3, 4, grad=False)
    for name, wrong in (("sum", lambda x, **_: np.zeros((), "float32")), ("cumsum", lambda x, **_: np.zeros((3, 5)))):
        f = mg.jit(lambda x: (mg.sum(x), mg.cumsum(x, 0)))
        with monkeypatch.context() as patch:
            patch.setattr(table[name], "forward", wrong)
            with pytest.raises(RuntimeError, match=rf"jit: got .* for float64\[.*\], the result of {name} at "):
                f(x)


def kernel_and_inputs():
    found = []
    run = native.Kernel.run

    def watched(self, given):
        found.append((self, list(given)))
        return run(self, given)

    w, h, xs = draw(0, 4, 4), draw(1, 3, 4), draw(2, 5, 3, 4)
    with pytest.MonkeyPatch.context() as patch, mg.no_grad():
        patch.setattr(native.Kernel, "run", watched)
        mg.jit(lambda h, xs: mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x) * (x > 0)), h), h, xs))(h, xs)
    return found[0]


def test_a_kernel_refuses_arrays_that_it_was_not_made_for():
    kernel, given = kernel_and_inputs()
    kernel.run(given)
    for k, x in enumerate(given):
        for other in (x.astype("float32"), x.astype(bool), x[1:], x[..., 1:], x[None], x[..., 0]):
            wrong = [*given[:k], other, *given[k + 1 :]]
            with pytest.raises(RuntimeError, match=r"the kernel of the loop of .*, wanted float64\[") as e:
                kernel.run(wrong)
            assert str(Spec(other.shape, other.dtype)) in str(e.value) and __file__ in str(e.value)
    with pytest.raises(RuntimeError, match=rf"got {len(given) - 1} arrays, wanted {len(given)}"):
        kernel.run(given[:-1])


@pytest.mark.parametrize("wrong", [
    lambda v: v.like(v.offset + 1, v.shape, v.strides), lambda v: v.like(v.offset - 1, v.shape, v.strides),
    lambda v: v.like(v.offset, (*v.shape[:-1], v.shape[-1] + 1), v.strides),
    lambda v: v.like(v.offset, v.shape, (*v.strides[:-1], 2)),
    lambda v: v.like(v.offset, v.shape, (*v.strides[:-1], -1)),
])  # fmt: skip
@pytest.mark.parametrize("name", ["tanh", "matmul"])
def test_a_kernel_that_would_read_past_an_array_is_not_made(wrong, name, monkeypatch):
    home = Schedule.home
    w, h = draw(0, 4, 4), draw(1, 3, 4)

    def step(h, x):
        h = mg.tanh(h @ w) * 1.5
        return h / (2 + h.sum(axis=-1, keepdims=True)), None

    def misplaced(self, v):
        view = home(self, v)
        return wrong(view) if getattr(v.op, "name", "") == name else view

    f = mg.jit(lambda h: mg.scan(step, h, None, length=3)[0])
    f(h)
    monkeypatch.setattr(Schedule, "home", misplaced)
    with pytest.raises(RuntimeError, match=r"a kernel would read elements -?\d+ to -?\d+ of \w+, of shape"):
        mg.jit(lambda h: mg.scan(step, h, None, length=3)[0])(h)


def in_records(array):
    """The same numbers, each row behind four bytes of something else: no stride is a multiple of their size."""
    records = np.zeros(array.shape[:-1], np.dtype([("before", "u4"), ("numbers", array.dtype, array.shape[-1:])]))
    records["numbers"] = array
    return records["numbers"]


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[...] = array
    return memory


@pytest.mark.parametrize("laid", [in_records, unaligned])
def test_kernels_read_memory_however_it_lies(laid):
    kernel, given = kernel_and_inputs()
    wanted = [y.copy() for y in kernel.run(given)]
    for k in range(len(given)):
        for _ in range(2):
            got = kernel.run([*given[:k], laid(given[k]), *given[k + 1 :]])
            for a, b in zip(got, wanted, strict=True):
                np.testing.assert_array_equal(a, b)
        for a, b in zip(kernel.run(given), wanted, strict=True):  # nothing of it is left
            np.testing.assert_array_equal(a, b)
