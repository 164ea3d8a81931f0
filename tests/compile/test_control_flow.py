"""Python that wants to know a traced value, or changes one in place: errors that name the line."""

import inspect

import numpy as np
import pytest
from programs import T, draw, same

import minigrad as mg
from minigrad import nn, optim

pytestmark = pytest.mark.usefixtures("quick_kernels")


def error_of(f, *args, kind=TypeError) -> str:
    with pytest.raises(kind) as caught:
        mg.jit(f)(*args)
    return str(caught.value)


def line(f, text) -> str:
    """Where the text stands in this file, as messages name it."""
    lines, start = inspect.getsourcelines(f)
    return f"{__file__}:{start + next(k for k, x in enumerate(lines) if text in x)}"


def test_python_asks_for_numbers():
    def branch(x):
        if x.sum() > 0:
            return x
        return -x

    def loop(x):
        while (x * x).sum() > 1:
            x = x / 2
        return x

    def numbers(x):
        return float(x[0])

    def item(x):
        return x * x[1].item()

    def array(x):
        return np.asarray(x)

    def count(x):
        return [x for _ in range(x.argmax())]

    x = draw(0, 3, grad=False)
    for f, where in [
        (branch, "if x"), (loop, "while"), (numbers, "float("), (item, "item()"), (array, "asarray"), (count, "range("),
    ]:  # fmt: skip
        message = error_of(f, x)
        assert line(f, where) in message and "mg.where" in message and "mg.scan" in message, message
        f(x)  # eagerly there is nothing against it
    assert "the numbers of bool[]" in error_of(branch, x)


def test_python_asks_inside_a_loop():
    def step(h, x):
        h = h + x
        return (h, h) if h.sum() > 0 else (-h, h)

    message = error_of(lambda xs: mg.scan(step, xs[0], xs), draw(0, T, 3))
    assert line(step, "if h.sum()") in message


def test_what_is_known_while_tracing_may_be_asked():
    def f(x):
        rows = [row * k for k, row in enumerate(x)]  # as many as the shape says
        return mg.stack(rows) if len(x) > 1 and x.dtype == np.float64 and x.requires_grad else x

    same(f, [x := draw(0, 3, 2)], x)


def test_changes_in_place():
    w = mg.tensor(np.zeros(3))

    def set_item(x):
        x[0] = 1.0
        return x

    def zero(x):
        w.zero_()
        return x

    def add_to_argument(x):
        x += 1
        return x

    def add_to_part(x):
        y = x[1:].reshape(1, -1)
        y *= 2
        return x

    for f in (set_item, zero, add_to_argument, add_to_part):
        message = error_of(f, draw(0, 3, grad=False), kind=RuntimeError)
        assert "in-place change inside a jitted function" in message and "mg.where" in message

    def augmented(x):
        y = x * 1.0
        y += x
        y *= 2
        return y

    x = draw(0, 3)
    before = x.numpy().copy()
    same(augmented, [x], x)
    np.testing.assert_array_equal(x.numpy(), before)
    parameter = draw(1, 3)

    def step(x):
        adam = optim.SGD([parameter], lr=0.1)
        parameter.grad = x
        adam.step()
        return x

    assert "SGD is made inside a jitted function" in error_of(step, x, kind=RuntimeError)


def test_changes_in_place_of_what_it_closes_over():
    held = {"w": mg.tensor(np.zeros(3))}
    x = draw(0, 3, grad=False)

    def alias(x):
        w = held["w"]
        w += 1
        return w * x

    assert "of a tensor from outside" in error_of(alias, x, kind=RuntimeError)
    np.testing.assert_array_equal(held["w"].numpy(), np.zeros(3))

    def of_its_own(x):
        total = mg.tensor(np.zeros(3))
        for k in range(3):
            total += x * k
        product = x * 1.0
        product *= x
        return total, product

    same(of_its_own, [], x)
    same(of_its_own, [y := draw(1, 3)], y)


class Stateful(nn.Module):
    def __init__(self):
        self.state = mg.tensor(np.zeros(3))

    def forward(self, x):
        self.state = self.state + x
        return self.state * 2.0


def test_a_traced_tensor_that_is_left_in_an_attribute():
    message = error_of(Stateful(), draw(0, 3), kind=RuntimeError)
    assert "Stateful.state was left with a traced tensor (float64[3], the result of add at" in message
    assert line(Stateful.forward, "self.state + x") in message and "return it" in message


def test_printing_and_copying():
    import copy

    texts = []

    def f(x):
        texts.append((repr(x), str(x * 2), f"{x}"))
        print(x)
        return copy.deepcopy(x) + copy.copy(x)

    same(f, [], draw(0, 3, grad=False))
    assert texts[-1] == ("tensor(float64[3], traced)",) * 3

    def numpys(x):
        return np.asarray_chkfinite(x)  # Python code of NumPy asks

    assert line(numpys, "np.asarray_chkfinite") in error_of(numpys, draw(0, 3, grad=False))


def test_results_of_other_types():
    for result in (object(), {1, 2}, lambda: 1):
        message = error_of(lambda x: (x, result), draw(0, 3))
        assert f"among the results is one of type {type(result).__name__}; wanted tensors, numbers" in message


def test_errors_of_ops_are_those_of_eager_code():
    w = draw(0, 5, 2)
    for f in (lambda x: x @ w, lambda x: mg.concatenate([x, w], axis=1), lambda x: x.reshape(5), lambda x: x[7]):
        with pytest.raises((ValueError, IndexError)) as eager:
            f(draw(1, 3, 4))
        kind = type(eager.value)
        assert error_of(f, draw(1, 3, 4), kind=kind).split(":")[0] == str(eager.value).split(":")[0]


def test_after_an_error_all_is_as_before():
    def f(x, bad):
        if bad:
            raise ArithmeticError("no")
        return mg.sin(x)

    jitted = mg.jit(f)
    x = draw(0, 3)
    for bad in (True, False, True, False):
        if bad:
            with pytest.raises(ArithmeticError):
                jitted(x, bad)
        else:
            jitted(x, bad).sum().backward()
    assert (x * 2).requires_grad


def test_a_traced_tensor_that_escapes():
    kept = []

    def f(x):
        kept.append(x * 2)
        return x

    made = line(f, "x * 2")
    message = error_of(f, draw(0, 3), kind=RuntimeError)
    assert "kept[0] was left with a traced tensor" in message and made in message
    for use in (lambda: kept[0] + 1, lambda: kept[0].tolist(), lambda: kept[0].numpy(), lambda: bool(kept[0].sum())):
        with pytest.raises(TypeError) as caught:
            use()
        assert "a jitted function left behind" in str(caught.value) and made in str(caught.value)

    def g(x):
        return x + kept[0]

    message = error_of(g, draw(0, 3), kind=RuntimeError)
    assert "used outside of it; return it instead (float64[3], the result of mul at" in message
    assert made in message and line(g, "return x + kept") in message

    def leaks(xs):
        held = []
        mg.scan(lambda h, x: (h + x, held.append(h * 3)), xs[0], xs)
        return held[0] * 2

    message = error_of(leaks, draw(0, T, 3), kind=RuntimeError)
    assert "used outside of it; return it instead" in message
    assert line(leaks, "held.append") in message and line(leaks, "held[0] * 2") in message
