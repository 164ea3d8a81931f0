"""In-place changes mean the same in every mode, and what they mean in PyTorch: values, gradients, views."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import minigrad as mg
from minigrad.ops.table import table
from minigrad.testing.strategies import Draw

SHAPE = (2, 3)
X = np.random.default_rng(0).uniform(0.5, 1.5, SHAPE)


try:
    import torch
except ImportError:  # the tests that need it are skipped by their fixture
    pass
else:

    class Torch:
        sin, tanh, no_grad, where = torch.sin, torch.tanh, torch.no_grad, torch.where
        constant = staticmethod(torch.tensor)


class Mini:
    sin, tanh, no_grad, where = mg.sin, mg.tanh, mg.no_grad, mg.where
    constant = staticmethod(mg.tensor)


# Drawn programs: each step reads or changes some of the variables, of which the first are a result and a constant.

VIEWS = [
    lambda v: v[0], lambda v: v[-1:], lambda v: v[..., 1], lambda v: v.T, lambda v: v.reshape(-1), lambda v: v[None],
    lambda v: v[::2], lambda v: v.reshape(1, -1)[0], lambda v: v.detach(), lambda v: v[...],
]  # fmt: skip
INDICES = [0, -1, slice(0, 1), (slice(None), 1), ..., [1], [1, 0], (1, 2), "mask"]
OPERATORS = {
    "+": lambda a, b: a.__iadd__(b), "-": lambda a, b: a.__isub__(b), "*": lambda a, b: a.__imul__(b),
    "/": lambda a, b: a.__itruediv__(b),
}  # fmt: skip


def take(lib, step, variables):
    """Carry out one step; what it makes is a new variable."""
    kind, k, i, other = step
    v = variables[i % len(variables)]
    w = other if isinstance(other, float) else variables[other % len(variables)]
    if kind == "view":
        variables.append(VIEWS[k % len(VIEWS)](v))
    elif kind == "compute":
        variables.append([lambda: v * w, lambda: v + w, lambda: lib.tanh(v), lambda: lib.sin(v) * w][k % 4]())
    elif kind == "change":
        OPERATORS["+-*/"[k % 4]](v, w)
    elif kind == "change off the tape":
        with lib.no_grad():
            OPERATORS["+-"[k % 2]](v, 0.5)
    elif kind == "copy":
        v.copy_(w) if not isinstance(w, float) else v.zero_()
    else:
        index = INDICES[k % len(INDICES)]
        if index == "mask":
            v[v > 1.0] = w if isinstance(w, float) else w.reshape(-1)[0]
        else:
            v[index] = w


def result(variables):
    total = 0.0
    for k, v in enumerate(variables):
        total = total + (v * (0.3 + 0.1 * k)).sum()
    return total


def run(lib, steps, x, buffer):
    variables = [x * 1.5, buffer]
    for step in steps:
        take(lib, step, variables)
    return result(variables)


number = st.integers(0, 30)
step = st.tuples(
    st.sampled_from(["view", "view", "compute", "change", "change", "set", "set", "copy", "change off the tape"]),
    number, number, st.one_of(number, st.sampled_from([0.5, 2.0])),
)  # fmt: skip


def in_torch(drawn):
    """The steps that PyTorch takes, the value, and the gradient, None where the way back is refused."""
    x = torch.tensor(X, requires_grad=True)
    variables, steps = [x * 1.5, torch.zeros(SHAPE, dtype=torch.float64)], []
    for one in drawn:
        try:
            take(Torch, one, variables)
        except (RuntimeError, IndexError, TypeError):
            continue
        steps.append(one)
    y = result(variables)
    try:
        y.backward()
    except RuntimeError:
        return steps, y.item(), None
    return steps, y.item(), np.zeros(SHAPE) if x.grad is None else x.grad.numpy()


def zeros():
    return mg.tensor(np.zeros(SHAPE))


def eager(f):
    def call():
        x = mg.tensor(X, requires_grad=True)
        y = f(x)
        if y.requires_grad:  # not under jit, if all has been overwritten
            y.backward()
        return y, zeros() if x.grad is None else x.grad

    return call


MODES = {
    "eager": lambda f: eager(lambda x: f(x, zeros())),
    "jit": lambda f: eager(mg.jit(lambda x: f(x, zeros()))),
    "grad": lambda f: lambda: mg.value_and_grad(lambda x: f(x, zeros()))(mg.tensor(X)),
    "jit of grad": lambda f: lambda: mg.jit(mg.value_and_grad(lambda x: f(x, zeros())))(mg.tensor(X)),
    "grad of jit": lambda f: lambda: mg.value_and_grad(mg.jit(lambda x: f(x, zeros())))(mg.tensor(X)),
    "checkpoint": lambda f: eager(mg.checkpoint(lambda x: f(x, zeros()))),
    "scan": lambda f: eager(lambda x: mg.scan(lambda c, row: (c, f(row, zeros())), 0.0, x[None])[1].sum()),
    "jit of scan": lambda f: eager(mg.jit(lambda x: mg.scan(lambda c, r: (c, f(r, zeros())), 0.0, x[None])[1].sum())),
    "no_grad": lambda f: lambda: (mg.no_grad()(lambda: f(mg.tensor(X), zeros()))(), None),
    "off the tape": lambda f: lambda: (f(mg.tensor(X), zeros()), None),
    "jit under no_grad": lambda f: lambda: (mg.no_grad()(mg.jit(lambda: f(mg.tensor(X), zeros())))(), None),
}  # fmt: skip


def check(mode, drawn):
    steps, value, gradient = in_torch(drawn)
    try:
        y, g = MODES[mode](lambda x, buffer: run(Mini, steps, x, buffer))()
    except RuntimeError as error:
        assert gradient is None and "changed in place" in str(error)
        return
    np.testing.assert_allclose(y.item(), value, rtol=1e-10, atol=1e-12)
    if g is not None and gradient is not None:  # of what was overwritten PyTorch's is 0, and 0 times infinity is NaN
        known = np.isfinite(gradient)
        np.testing.assert_allclose(g.numpy()[known], gradient[known], rtol=1e-10, atol=1e-12)


programs = st.lists(step, min_size=2, max_size=7)


@pytest.mark.parametrize("mode", [m for m in MODES if m != "jit of scan"])
@settings(max_examples=12)
@given(drawn=programs)
def test_drawn_programs_are_those_of_pytorch(torch, mode, drawn):
    check(mode, drawn)


@settings(max_examples=4)
@given(drawn=programs)
def test_drawn_programs_in_a_loop_that_is_jitted(torch, drawn):
    check("jit of scan", drawn)


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=300)
@given(drawn=st.lists(step, min_size=4, max_size=14))
def test_many_drawn_programs_are_those_of_pytorch(torch, mode, drawn):
    check(mode, drawn)


# Programs that somebody wrote


def augmented(operator, view):
    def program(lib, x, buffer):
        h, other = x * 1.5, x * x
        part = h if view is None else view(h)
        operand = other if view is None else view(other)
        operator(part, operand)
        return (h * h).sum() + part.sum()

    return program


def plus(a, b):
    a += b


def alias(lib, x, buffer):
    s = x * 1.0
    t = s
    t += x
    return s.sum()


def part(lib, x, buffer):
    a = x * 1.0
    b = a[:1]
    b += 10
    return (a * a).sum()


def rows(lib, x, buffer):
    for k in range(2):
        buffer[k] = lib.tanh(x[k] + (buffer[k - 1] if k else 0.0))
        buffer[k, 0] += x[0, 1]
    buffer.T[1] *= 3
    return (buffer * buffer).sum()


def swapped(lib, x, buffer):
    h = x * 2.0
    h[0], h[1] = h[1].detach() * 1, h[0]
    h[0, 0], h[1, 0] = h[1, 0], h[0, 0]
    return (h * x).sum()


def masked(lib, x, buffer):
    h = x * 1.0
    h[h > 1.0] = x[0, 0]
    h[x < 0.8] = 2.0
    h[[1, 0]] = x * 3
    h[[1], 1:] = x[0, :1]
    return (h * h).sum()


def overwritten(lib, x, buffer):
    h = 1.5 * x
    v, w = h.reshape(-1), h[1]
    h.zero_()
    h.copy_(x[0])
    v[0] = x[1, 1]
    w -= x[0]
    return (h * v.reshape(2, 3)).sum()


def zero_dimensional(lib, x, buffer):
    b = x * 1.0
    b[1, 1].copy_(7.0 * x[0, 0])
    b[0, 0].zero_()
    c = b[0, 2]
    c += b[1, 1] * 2
    return (b * b).sum()


def of_its_result(lib, x, buffer):
    h = lib.sin(x)
    h /= x + 1
    h *= 2.0
    h += buffer
    return h.sum()


def product(lib, x, buffer):
    h = x * 1.0
    before = h
    h @= x.T * 2  # as in PyTorch not in place: it has another shape
    return h.sum() + before.sum()


def attribute_and_item(lib, x, buffer):
    class Holder:
        h = x * 1.0

    held, several = Holder(), [x * 2.0]
    before = held.h, several[0]
    held.h += x
    several[0] *= x
    return sum((v * v).sum() for v in before)


def off_and_on_again(lib, x, buffer):
    h = x * 1.0
    with lib.no_grad():
        h += 1.0
        buffer.copy_(h)
    view = buffer[0]
    buffer += h
    return (view * 2.0).sum() + buffer.sum()


def detached(lib, x, buffer):
    h = x * 3.0
    d = h.detach()
    d += 1.0
    d[0] = 5.0
    return h.sum() + (d * x).sum()


PROGRAMS = [
    alias, part, rows, swapped, masked, overwritten, zero_dimensional, of_its_result, product, attribute_and_item,
    off_and_on_again, detached,
]  # fmt: skip
AUGMENTED = {
    "add": plus, "sub": lambda a, b: a.__isub__(b), "mul": lambda a, b: a.__imul__(b),
    "truediv": lambda a, b: a.__itruediv__(b), "pow": lambda a, b: a.__ipow__(2), "pow of a float": lambda a, b:
    a.__ipow__(1.5), "pow of a tensor": lambda a, b: a.__ipow__(b), "add a number": lambda a, b: a.__iadd__(2),
    "itself": lambda a, b: a.__iadd__(a),
}  # fmt: skip
PARTS = {"all": None, "rows": lambda v: v[1:], "columns": lambda v: v.T[1:], "flat": lambda v: v.reshape(-1)}
QUICK = [m for m in MODES if m not in ("jit of scan", "scan", "jit of grad", "grad of jit", "jit under no_grad")]


def agree(mode, program, rtol=1e-10):
    x = torch.tensor(X, requires_grad=True)
    y = program(Torch, x, torch.zeros(SHAPE, dtype=torch.float64))
    y.backward()
    value, g = MODES[mode](lambda x, buffer: program(Mini, x, buffer))()
    np.testing.assert_allclose(value.item(), y.item(), rtol=rtol)
    if g is not None:
        np.testing.assert_allclose(g.numpy(), x.grad.numpy(), rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("mode", [m for m in MODES if m != "jit of scan"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_are_those_of_pytorch(torch, program, mode):
    agree(mode, program)


@pytest.mark.parametrize("mode", QUICK)
@pytest.mark.parametrize("operator", AUGMENTED)
def test_augmented_assignment(torch, operator, mode):
    for view in PARTS.values():
        agree(mode, augmented(AUGMENTED[operator], view))


@pytest.mark.parametrize("jit", [lambda f: f, mg.jit])
@pytest.mark.parametrize("tape", [mg.enable_grad, mg.no_grad])
def test_logic_and_integers(jit, tape):
    def f(x):
        keep, odd, n = x > 1.0, x < 0.7, mg.astype(x * 10, "int64")
        view, row = keep[0], n[1]
        keep &= x < 1.3
        keep |= odd
        keep ^= odd
        n += 3
        n *= n
        row -= 1
        n[0, 0] = True
        return keep, view, n, row

    with tape():
        keep, view, n, row = jit(f)(mg.tensor(X))
    wanted = (X * 10).astype("int64") + 3
    wanted *= wanted
    wanted[1] -= 1
    wanted[0, 0] = 1
    mask = ((X > 1.0) & (X < 1.3)) | (X < 0.7)
    mask ^= X < 0.7
    np.testing.assert_array_equal(keep.numpy(), mask)
    np.testing.assert_array_equal(view.numpy(), mask[0])
    np.testing.assert_array_equal(n.numpy(), wanted)
    np.testing.assert_array_equal(row.numpy(), wanted[1])


@pytest.mark.parametrize("jit", [lambda f: f, mg.jit])
def test_what_does_not_fit_is_refused(jit):
    def changing(change, dtype="float32"):
        def f(x):
            t = mg.astype(x * 1.0, dtype)
            change(t, x)
            return t

        return lambda: jit(f)(mg.tensor(np.ones((2, 1), np.float32), requires_grad=True))

    for change, dtype, error, text in (
        (lambda t, x: t.__iadd__(1.5), "int64", TypeError, "float32 and cannot be written into int64"),
        (lambda t, x: t.__itruediv__(2), "int64", TypeError, "float32 and cannot be written into int64"),
        (lambda t, x: t.__iadd__(1), "bool", TypeError, "int64 and cannot be written into bool"),
        (lambda t, x: t.__setitem__(0, 0.5), "int64", TypeError, "setitem.* float32 and cannot be written into int64"),
        (lambda t, x: t.copy_(x), "int64", TypeError, "copy_.* float32 and cannot be written into int64"),
        (lambda t, x: t.__iadd__(np.ones((2, 3))), "float32", ValueError, r"shape \(2, 3\).*written into \(2, 1\)"),
        (lambda t, x: t.__setitem__(0, np.ones(4)), "float32", ValueError, r"setitem of .*\[4\] into float32\[2, 1\]"),
        (lambda t, x: t.__setitem__(5, 1.0), "float32", IndexError, "setitem of .*out of bounds"),
        (lambda t, x: mg.broadcast_to(t, (2, 3)).zero_(), "float32", ValueError, "read-only"),
        (lambda t, x: mg.broadcast_to(t, (2, 3))[0].__iadd__(x[0]), "float32", ValueError, "read-only"),
    ):
        with pytest.raises(error, match=text):
            changing(change, dtype)()
    y = changing(lambda t, x: t.__iadd__(np.full((2, 1), 0.1)))()  # float64 into float32: as in PyTorch
    assert y.dtype == np.float32
    assert changing(lambda t, x: t.__setitem__((0, 0), np.float64(0.25)))()[0, 0].item() == 0.25


CALLED = {
    "jit": lambda f, x: mg.jit(f)(x), "grad": lambda f, x: mg.grad(f)(x), "vjp": lambda f, x: mg.vjp(f, x),
    "checkpoint": lambda f, x: mg.checkpoint(f)(x), "scan": lambda f, x: mg.scan(lambda c, r: (c, f(r)), 0.0, x[None]),
    "carry": lambda f, x: mg.scan(lambda c, r: (c, f(c)), x, None, length=1),
    "jit in jit": lambda f, x: mg.jit(lambda x: mg.jit(f)(x * 1.0))(x),
    "checkpoint in jit": lambda f, x: mg.jit(lambda x: mg.checkpoint(f)(x * 1.0))(x),
    "scan in jit": lambda f, x: mg.jit(lambda x: mg.scan(lambda c, r: (c, f(r)), 0.0, x[None]))(x),
    "carry in jit": lambda f, x: mg.jit(lambda x: mg.scan(lambda c, r: (c, f(c)), x, None, length=1))(x),
    "custom_vjp": lambda f, x: custom(f)(x), "hessian": lambda f, x: mg.hessian(f)(x),
}  # fmt: skip


def custom(f):
    g = mg.custom_vjp(lambda x: f(x))
    g.defvjp(lambda x: (f(x), None), lambda _, g: (g,))
    return g


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("called", CALLED)
def test_an_argument_may_not_be_changed_but_a_copy_may(called, recorded):
    for change in (
        lambda x: x.__iadd__(1), lambda x: x[0].zero_(), lambda x: x.T.__setitem__(0, 1.0),
        lambda x: x.detach().zero_(), lambda x: x.reshape(-1)[1:].__imul__(x[0, 0]),
    ):  # fmt: skip
        x = mg.tensor(X, requires_grad=recorded)
        with pytest.raises(RuntimeError, match=r"an in-place change inside a .*of an argument of it; .*x\.copy\(\)"):
            CALLED[called](lambda x, change=change: (change(x), x.sum())[1], x)
        np.testing.assert_array_equal(x.numpy(), X)

        def f(x, change=change):
            change(y := x.copy())
            return y.sum()

        CALLED[called](f, mg.tensor(X, requires_grad=recorded))


def test_what_a_function_returns_of_its_argument_is_the_callers():
    for f in (lambda x: x, lambda x: x[0], lambda x: x.detach()):
        for call in (mg.checkpoint(f), lambda x, f=f: mg.vjp(f, x)[0], custom(f), mg.jit(f)):
            for recorded in (False, True):
                x = mg.tensor(X, requires_grad=recorded)
                y = call(x)
                y += 1.0
                np.testing.assert_array_equal(x.numpy(), X)
                np.testing.assert_array_equal(y.numpy(), f(x).numpy() + 1)
    carry, _ = mg.scan(lambda c, r: (c, r), x, x)
    carry += 1.0
    np.testing.assert_array_equal(x.numpy(), X)


def test_an_index_that_names_an_element_twice():
    """The last value stays, and it alone has a gradient."""
    for wrap in (lambda f: f, mg.jit):
        x = mg.tensor(X, requires_grad=True)

        def f(x):
            h = x * 0.0
            h[[0, 0, 1]] = mg.stack([x[0], x[1], x[0] * 2])
            h[mg.tensor([[1], [1]]), [0, 1]] = x[:, :2]
            return h

        assert mg.testing.gradcheck(wrap(f), [mg.tensor(X)])
        wrap(f)(x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), [[0, 0, 2], [2, 2, 1]])


def test_second_derivatives():
    def f(x):
        h, out = x * x, mg.tensor(np.zeros((3, *SHAPE)))
        out[0] = mg.sin(h * 1.0)
        out[1:] = h
        out[:, 1] *= x[0] ** 2
        h -= mg.tanh(x)
        return (out * out).sum() + (h**3).sum()

    def without(x):
        last = mg.stack([mg.sin(x * x)[1], (x * x)[1], (x * x)[1]]) * x[0] ** 2
        first = mg.stack([mg.sin(x * x)[0], (x * x)[0], (x * x)[0]])
        return (first**2).sum() + (last**2).sum() + ((x * x - mg.tanh(x)) ** 3).sum()

    x = mg.tensor(X)
    for g in (f, mg.jit(f), mg.checkpoint(f)):
        np.testing.assert_allclose(mg.hessian(g)(x).numpy(), mg.hessian(without)(x).numpy(), rtol=1e-9, atol=1e-9)


def test_what_was_saved_is_refused_at_backward_in_every_mode():
    def f(x, buffer):
        h = x * 1.0
        y = h * h
        h[0] += 1.0
        return (y + h).sum()

    def elsewhere(x, buffer):
        buffer[0] = x[0]
        buffer[1] = buffer[0] * buffer[0]  # of which the way back needs the first row alone
        return buffer.sum()

    for mode in QUICK:
        if mode not in ("no_grad", "off the tape"):
            with pytest.raises(RuntimeError, match="backward of mul: .* it needs was changed in place after .*h \\* h"):
                MODES[mode](f)()
            assert np.array_equal(MODES[mode](elsewhere)()[1].numpy()[0], 1 + 2 * X[0])


def test_a_view_made_under_no_grad():
    x, buffer = mg.tensor(X, requires_grad=True), zeros()
    with mg.no_grad():
        view = buffer[0]
        view += 1.0
    with pytest.raises(RuntimeError, match="view that was made under no_grad"):
        view += x[0]
    assert buffer.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_a_checkpoint_changes_nothing_outside():
    total, x = zeros(), mg.tensor(X, requires_grad=True)
    state = mg.tensor(X) * 1.0

    def f(x, what):
        h = x * 2
        h += 1
        part = h[0]
        part *= x[0]
        what += h
        return part

    for what in (total, state):
        with pytest.raises(RuntimeError, match=r'checkpoint of f: it changed .* from outside .*"what \+= h"'):
            mg.checkpoint(lambda x, f=f, w=what: f(x, w)).__wrapped__ and mg.checkpoint(named(f, what))(x)
    part = mg.checkpoint(lambda x: f(x, x * 1.0))(x)
    part.sum().backward()
    np.testing.assert_allclose(x.grad.numpy()[0], 4 * X[0] + 1)


def named(f, what):
    def g(x):
        return f(x, what)

    g.__name__ = f.__name__
    return g


def test_of_a_tensor_from_outside_in_a_jitted_function():
    buffer = zeros()

    class Count(mg.nn.Module):
        def __init__(self):
            self.count = mg.tensor(0.0)

        def forward(self, x):
            self.count += 1
            return x * self.count

    for f in (
        lambda x: (plus(buffer, x), x)[1], lambda x: (buffer.T[0].zero_(), x)[1],
        lambda x: (buffer.detach().__setitem__(0, x[0]), x)[1], Count(),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="inside a jitted function, or a step of scan in one, of a tensor from"):
            mg.jit(f)(mg.tensor(X, requires_grad=True))
    made = lambda x: mg.scan(lambda c, r: (c, plus(c0 := buffer, r)), 0.0, x)  # noqa: E731, F841
    with pytest.raises(RuntimeError, match="of a tensor from outside"):
        mg.jit(made)(mg.tensor(X))
    np.testing.assert_array_equal(buffer.numpy(), np.zeros(SHAPE))


def test_numpy_arrays_take_no_tensor_of_the_tape():
    x, array = mg.tensor(X, requires_grad=True), np.zeros(3)
    for change in (lambda: array.__setitem__(slice(2), x[0, :2]), lambda: array.__setitem__([0], x[0, 0])):
        with pytest.raises(TypeError, match="lose its gradient"):
            change()
    with pytest.raises(ValueError) as error:
        array[0] = x[0, 0]
    assert "would lose the gradient" in str(error.value.__cause__)
    with pytest.raises(TypeError, match="do not write into arrays"):
        np.add(x, x, out=array)
    assert array.tolist() == [0, 0, 0]
    array[0] = float(x[0, 0])
    with mg.no_grad():
        array[1] = x[0, 1]
    assert array[:2].tolist() == X[0, :2].tolist()


def identity(x, *_):
    return x


TAKERS = {
    "fill": lambda array, s: array.fill(s),
    "fill, of an expression": lambda array, s: array.fill(identity(s, [1, *array.shape])[None][0] * 1.0),
    "fill, of a choice": lambda array, s: array.fill(s if array.size else 0.0),
    "fill, of a condition": lambda array, s: array.fill(array.size and s),
    "fill, of arguments": lambda array, s: array.fill(*[s]),
    "fill, at an index": lambda array, s: [array][0].fill(s if array.size else 1.0),
    "fill, of integers": lambda array, s: array.view("int64").fill(s),
    "a name": lambda array, s: (lambda fill: fill(s if array.size else 0.0))(array.fill),
    "sum, from arguments": lambda array, s: array.sum(**{"initial": s}),
    "reduce": lambda array, s: np.add.reduce(array, initial=s),
    "__setitem__": lambda array, s: array.__setitem__(0, s),
    "sum, from": lambda array, s: array.sum(initial=s),
    "prod, along an axis, from": lambda array, s: array.prod(axis=0, initial=s),
    "fromiter": lambda array, s: np.fromiter([s, s], "float64"),
    "put": lambda array, s: array.put([0], s),
    "full": lambda array, s: np.full(3, s),
    "copyto": lambda array, s: np.copyto(array, s),
    "np.put": lambda array, s: np.put(array, [0], s),
    "place": lambda array, s: np.place(array, array < 1, s),
    "putmask": lambda array, s: np.putmask(array, array < 1, s),
    "fill_diagonal": lambda array, s: np.fill_diagonal(array.reshape(1, 3), s),
    "a list": lambda array, s: np.array([s, s]),
    "clip": lambda array, s: array.clip(s, s),
}


@pytest.mark.parametrize("name", TAKERS)
def test_what_keeps_a_number_in_an_array_takes_no_tensor_of_the_tape(name):
    s, array = mg.tensor(2.0, requires_grad=True), np.zeros(3)
    with pytest.raises((TypeError, ValueError)) as error:
        TAKERS[name](array, s)
    assert array.tolist() == [0, 0, 0]
    errors = [error.value]
    while errors[-1].__cause__ or errors[-1].__context__:  # NumPy says in its own words that it got no number
        errors.append(errors[-1].__cause__ or errors[-1].__context__)
    assert any(text in str(e) for text in ("lose", "no rule for tensors") for e in errors)


def test_a_number_of_a_tensor_of_the_tape_is_given_where_it_is_asked_for():
    s = mg.tensor(2.0, requires_grad=True)
    assert float(s) == s.item() == math.sqrt(s * s) == float(identity(s) * 1.0) and f"{s:.1f}" == "2.0"
    assert float(s if s.size else 0.0) == float(*[s]) == int(s) == float(s.sum()) == [float(x) for x in [s]][-1]
    assert complex(s) == np.float64(s) == max(float(s), 0.0) == np.asarray(s.detach()) == np.zeros(3).sum() + s.item()
    array = np.zeros(3)
    with mg.no_grad():
        array.fill(s)
    assert array.tolist() == [2, 2, 2]


def test_a_view_that_a_checkpoint_or_transform_reads_first():
    """Its node is as old as the change, not as the reading."""
    for read in (mg.checkpoint, mg.jit, lambda f: lambda x: mg.vjp(f, x)[0]):
        x = mg.tensor(X, requires_grad=True)
        h = x * 2
        view = h[0][1:]
        h *= x
        y = read(lambda x, view=view: (x[0, 1:] * view).sum())(x)
        y.backward()
        np.testing.assert_allclose(x.grad.numpy(), [[0, *(6 * X[0, 1:] ** 2)], [0, 0, 0]])


def test_hooks_and_a_graph_that_is_kept():
    x, seen = mg.tensor(X, requires_grad=True), []
    h = x * 2
    h.register_hook(lambda g: seen.append(("before", g.tolist()[0])))
    row = h[0]
    row *= 3
    h.register_hook(lambda g: seen.append(("after", g.tolist()[0])))
    for _ in range(2):
        h.sum().backward(retain_graph=True)
    assert seen == [("after", [1, 1, 1]), ("before", [3, 3, 3])] * 2
    np.testing.assert_array_equal(x.grad.numpy(), [[12, 12, 12], [4, 4, 4]])


def test_copies_of_a_tensor_and_of_a_view():
    import copy

    x = mg.tensor(X, requires_grad=True)
    h = x * 2
    same, view = copy.copy(h), h[0]
    same += x
    np.testing.assert_array_equal(h.numpy(), 3 * X)
    apart = copy.deepcopy(view.detach()[1:])
    apart += 1
    (h.sum() + view.sum()).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[6, 6, 6], [3, 3, 3]])


@pytest.mark.parametrize("name", [name for name, op in table.items() if op.sample is not None])
@settings(max_examples=8)
@given(data=st.data())
def test_an_op_says_whether_results_are_views(name, data):
    """One whose result shares memory with an input, and does not say so, would hide a change from the tape."""
    *inputs, params = table[name].sample(Draw(data))
    results = table[name].forward(*inputs, **params)
    arrays = [x for x in (inputs[0] if table[name].variadic else inputs) if isinstance(x, np.ndarray)]
    for y in results if isinstance(results, list) else [results]:
        if isinstance(y, np.ndarray) and not table[name].view:
            assert not any(np.may_share_memory(x, y) for x in arrays)


@pytest.mark.parametrize("index", [..., 0, (slice(None), 1), np.array([1, 0])])
@pytest.mark.parametrize("looped", [False, True])
def test_what_is_written_under_jit_keeps_its_gradient_where_it_comes_from_outside(index, looped):
    w = mg.tensor(0.3, dtype="float64", requires_grad=True)
    q = mg.tanh(w)

    def step(h, _=None):
        h = h * 1.5
        h[index] = q
        return mg.sin(h), h * h

    def f(x):
        return mg.scan(step, x, None, length=2) if looped else step(x)

    found = []
    for g in (f, mg.jit(f)):
        w.grad = None
        x = mg.tensor(X, requires_grad=True)
        sum(y.sum() for y in g(x)).backward(retain_graph=True)
        found.append([w.grad.numpy(), 0 * X if x.grad is None else x.grad.numpy()])
    for eager, jitted in zip(*found, strict=True):
        np.testing.assert_allclose(jitted, eager, rtol=1e-12)


OUT_OF_ORDER = {
    "elementwise, of a transpose": lambda x: mg.exp(x.T) * 1.0,
    "picked by an index at the end": lambda x: x[..., np.array([0, 1, 1])] * 1.0,
    "picked by a mask": lambda x: x[:, np.array([True, False, True])] * 1.0,
    "concatenate": lambda x: mg.concatenate([x.T, x.T], axis=0),
    "where": lambda x: mg.where(x.T > 0, x.T, 0.0),
    "einsum": lambda x: mg.einsum("ij,k->kji", x, np.ones(2)) + 1.0,
    "roll": lambda x: mg.roll(x.T, 1, axis=0),
    "with what lies in order": lambda x: x.T + np.ones((3, 2)),
    "elementwise": lambda x: x * 1.0,
    "in three axes": lambda x: mg.tanh(mg.stack([x, x]).transpose(2, 0, 1)),
    "a cast": lambda x: x.T.astype("float32"),
    "a sum": lambda x: x.T.sum(axis=0, keepdims=True) + x.T,
    "copy": lambda x: x.T.copy(),
    "matmul": lambda x: x.T @ x,
    "matmul of transposes": lambda x: x.T @ (x.T.copy() + 1.0).T,
    "matmul of a stack": lambda x: mg.stack([x, x, x]).swapaxes(0, 1) @ x.T,
    "sort": lambda x: mg.sort(x.T, axis=0),
}


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_a_reshape_is_a_view_under_jit_where_it_is_one_off_it(name):
    """It is a copy where the memory does not lie in order, which a write through it shows."""

    def f(x):
        made = OUT_OF_ORDER[name](x)
        flat = made.reshape(-1)
        flat[0] = 50.0
        return made, flat

    x = mg.tensor(np.arange(1.0, 7.0).reshape(2, 3))
    jitted = mg.jit(f)
    for argument in (x, mg.tensor(np.asfortranarray(x.numpy())), x.T.copy().T, x):  # whose order counts
        for ours, eager in zip(jitted(argument), f(argument)):
            np.testing.assert_array_equal(ours.numpy(), eager.numpy())


def test_the_order_of_what_a_jitted_function_closes_over_counts():
    rows = mg.tensor(np.arange(6.0).reshape(2, 3))
    held = [rows]

    def f(x):
        made = held[0] * x
        made.reshape(-1)[0] = 50.0
        return made

    jitted, one = mg.jit(f), mg.tensor(1.0)
    for held[0] in (rows, rows.T.copy().T, rows):
        np.testing.assert_array_equal(jitted(one).numpy(), f(one).numpy())


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_a_result_lies_in_memory_as_that_of_eager_code(name):
    f = OUT_OF_ORDER[name]
    x = mg.tensor(np.arange(1.0, 7.0).reshape(2, 3))
    jitted = mg.jit(f)
    for argument in (x, mg.tensor(np.asfortranarray(x.numpy())), x.T.copy().T):
        ours, eager = jitted(argument), f(argument)
        assert ours.numpy().strides == eager.numpy().strides
        for y in (ours, eager):
            y.reshape(-1)[0] = 50.0
        np.testing.assert_array_equal(ours.numpy(), eager.numpy())


def test_the_order_of_a_carry_is_the_same_at_every_step():
    def step(h, x):
        h = (h * 1.0).T
        h.reshape(-1)[0] = x
        return h, (h, h.T)

    def while_step(carry):
        h, k = carry
        return step(h, k * 2.0)[0], k + 1.0

    start, xs = mg.tensor(np.arange(4.0).reshape(2, 2)), mg.tensor(np.array([10.0, 20.0, 30.0, 40.0]))
    loops = {
        "scan": lambda h, xs: mg.scan(step, h, xs),
        "while_loop": lambda h, xs: mg.while_loop(lambda carry: carry[1] < 4.0, while_step, (h, xs[0] * 0.0)),
    }
    for f in loops.values():
        for init in (start, start.T):
            found = [mg.tree.flatten(g(init, xs))[0] for g in (f, mg.jit(f))]
            for eager, jitted in zip(*found, strict=True):
                np.testing.assert_array_equal(jitted.numpy(), eager.numpy())
                assert jitted.numpy().flags.c_contiguous and eager.numpy().flags.c_contiguous


def test_the_order_of_what_a_loop_reads_counts():
    def step(carry, x):
        made, other = carry * 1.0, x + 1.0
        made.reshape(-1)[0] = 50.0
        other.reshape(-1)[0] = 20.0
        return made, (made, other)

    rng = np.random.default_rng(0)
    start, xs = mg.tensor(rng.normal(size=(3, 2))).T, mg.tensor(rng.normal(size=(4, 3, 2))).transpose(0, 2, 1)
    for init, over in ((start, xs), (start.copy(), xs), (start, xs.copy())):
        found = [f(init, over) for f in (lambda a, b: mg.scan(step, a, b), mg.jit(lambda a, b: mg.scan(step, a, b)))]
        for eager, jitted in zip(*[mg.tree.flatten(x)[0] for x in found]):
            np.testing.assert_array_equal(jitted.numpy(), eager.numpy())
