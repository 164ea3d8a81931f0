"""scan: against the loop that it stands for, against JAX's documented meaning, and what it says when it cannot."""

import functools
import inspect
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import gradcheck

State = namedtuple("State", "h c")


def draw(seed, *shape):
    return mg.tensor(np.random.default_rng(seed).uniform(-1, 1, shape))


def cell(carry, x):
    h, c = carry["h"], carry["c"]
    c = mg.tanh(c * 0.5 + x["a"])
    h = h * c + x["b"][0]
    return {"h": h, "c": c}, (h, [c * 2])


def by_hand(f, init, a, b, steps):
    carry, ys = init, {}
    for t in steps:
        carry, ys[t] = f(carry, {"a": a[t], "b": (b[t],)})
    return carry, [ys[t] for t in sorted(ys)]


@given(st.integers(1, 6), st.booleans(), st.integers(0, 99))
def test_is_the_loop(length, reverse, seed):
    a, b = draw(seed, length, 3), draw(seed + 1, length, 3)
    init = {"h": draw(seed + 2, 3), "c": draw(seed + 3, 3)}
    inputs = [a.requires_grad_(), b.requires_grad_(), init["h"].requires_grad_(), init["c"].requires_grad_()]
    steps = reversed(range(length)) if reverse else range(length)
    wanted, rows = by_hand(cell, init, a, b, steps)
    carry, (hs, (cs,)) = mg.scan(cell, init, {"a": a, "b": (b,)}, reverse=reverse)
    assert list(carry) == ["h", "c"]
    np.testing.assert_array_equal(hs._data, np.stack([h._data for h, _ in rows]))
    np.testing.assert_array_equal(cs._data, np.stack([c._data for _, (c,) in rows]))
    np.testing.assert_array_equal(carry["h"]._data, wanted["h"]._data)
    weights = draw(seed + 4, length, 3)
    (carry["h"].sum() + (weights * hs).sum() + (cs * cs).sum()).backward()
    gradients = [x.grad._data for x in inputs]
    for x in inputs:
        x.grad = None
    loss = wanted["h"].sum()
    for t, (h, (c,)) in enumerate(rows):
        loss = loss + (weights[t] * h).sum() + (c * c).sum()
    loss.backward()
    for x, gradient in zip(inputs, gradients):
        np.testing.assert_allclose(gradient, x.grad._data, rtol=1e-13, atol=1e-15)


def test_gradients_against_differences():
    w = draw(0, 3, 3)

    def f(w, init, xs):
        carry, ys = mg.scan(lambda h, x: ((h := mg.tanh(h @ w + x)), h * x), init, xs)
        return carry.sum() + (ys * ys).sum()

    gradcheck(f, (w, draw(1, 3), draw(2, 4, 3)))


def test_transforms_go_through():
    xs = draw(0, 4)

    def f(h):
        return mg.scan(lambda h, x: (mg.sin(h) * x, None), h, xs)[0]

    def unrolled(h):
        for x in xs:
            h = mg.sin(h) * x
        return h

    h = mg.tensor(np.float64(0.3))
    assert mg.hessian(f)(h).item() == pytest.approx(mg.hessian(unrolled)(h).item(), rel=1e-14)
    assert mg.grad(mg.checkpoint(f))(h).item() == pytest.approx(mg.grad(unrolled)(h).item(), rel=1e-14)


def test_cumulative_sum_and_reverse():
    def step(carry, x):
        return carry + x, carry

    xs = mg.tensor(np.arange(1.0, 5.0))
    carry, ys = mg.scan(step, 0.0 * xs[0], xs)
    assert carry.item() == 10 and ys.tolist() == [0, 1, 3, 6]
    carry, ys = mg.scan(step, 0.0 * xs[0], xs, reverse=True)
    assert carry.item() == 10 and ys.tolist() == [9, 7, 4, 0]


def test_without_xs_or_ys():
    carry, ys = mg.scan(lambda c, x: (c * 2, x), mg.tensor(1.0), None, length=5)
    assert carry.item() == 32 and ys is None
    carry, ys = mg.scan(lambda c, x: (c * 2, {"y": c, "none": None}), mg.tensor(1.0), None, length=3)
    assert ys["y"].tolist() == [1, 2, 4] and ys["none"] is None


def test_takes_arrays_and_numbers():
    carry, ys = mg.scan(lambda c, x: (c + x, 1.5), 0.0, np.ones(3, np.float32))
    assert carry.dtype == np.float32 and carry.item() == 3
    assert ys.tolist() == [1.5] * 3


def test_named_tuples_stay_named_tuples():
    carry, _ = mg.scan(
        lambda s, x: (State(s.h + x, s.c), None), State(mg.tensor(0.0), mg.tensor(1.0)), mg.tensor([1.0, 2])
    )
    assert type(carry) is State and carry.h.item() == 3


def test_dicts_are_matched_by_key_not_by_order():
    def swapped(carry, x):
        return {"b": carry["b"] + x, "a": carry["a"]}, {"p": x, "q": -x} if x.item() > 1 else {"q": -x, "p": x}

    carry, ys = mg.scan(swapped, {"a": mg.tensor(0.0), "b": mg.tensor(10.0)}, mg.tensor([1.0, 2.0]))
    assert carry["a"].item() == 0 and carry["b"].item() == 13
    assert ys["p"].tolist() == [1, 2] and ys["q"].tolist() == [-1, -2]


@pytest.mark.parametrize("reverse", [False, True])
def test_length_0(reverse):
    def step(carry, x):
        assert not (w * 2).requires_grad  # off the tape
        return carry, {"y": mg.concatenate([carry, x]), "n": None}

    w = draw(0, 2).requires_grad_()

    init = mg.tensor(np.ones(2), requires_grad=True)
    carry, ys = mg.scan(step, init, mg.tensor(np.zeros((0, 3))), reverse=reverse)
    assert ys["y"].shape == (0, 5) and ys["y"].dtype == np.float64 and ys["n"] is None
    assert not ys["y"].requires_grad
    carry.sum().backward()
    assert init.grad.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"the carry was float64\[2\] and became float64\[3\]"):
        mg.scan(lambda c, x: (x, None), init, mg.tensor(np.zeros((0, 3))))


def test_lengths_that_do_not_fit():
    step = lambda c, x: (c, None)  # noqa: E731
    a, b = mg.tensor(np.zeros((3, 2))), mg.tensor(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"xs\['a'\] has 3, xs\['b'\]\[0\] has 4"):
        mg.scan(step, 0.0, {"a": a, "b": [b]})
    with pytest.raises(ValueError, match="xs has 3, length=5"):
        mg.scan(step, 0.0, a, length=5)
    with pytest.raises(ValueError, match="must be said: length="):
        mg.scan(step, 0.0, None)
    with pytest.raises(ValueError, match=r"xs\[1\] is a scalar"):
        mg.scan(step, 0.0, (a, mg.tensor(1.0)))
    with pytest.raises(ValueError, match="length=-1"):
        mg.scan(step, 0.0, None, length=-1)


def changing(new, init):
    """The message of a scan whose carry becomes `new` at step 2; the line that it names must be the function's."""

    def step(carry, x):
        return new(carry) if x.item() == 2 else carry, x

    with pytest.raises(ValueError) as error:
        mg.scan(step, init, mg.tensor([0.0, 1.0, 2.0]))
    message = str(error.value)
    line = inspect.getsourcelines(step)[1]
    assert f"at step 2 of changing.<locals>.step ({__file__}:{line})" in message and "\n" not in message
    return message


def test_a_carry_that_changes_is_one_sentence():
    one = mg.tensor(np.zeros(2))
    assert "the carry[1] was float64[2] and became float64[3]" in changing(
        lambda c: (c[0], mg.tensor(np.zeros(3))), (one, one)
    )
    assert "the carry['h'] was float64[2] and became float32[2]" in changing(
        lambda c: {"h": mg.tensor(np.zeros(2, np.float32))}, {"h": one}
    )
    assert "the carry: wanted a tuple of 2, got a list of 2" in changing(list, (one, one))
    assert "the carry: wanted a tuple of 2, got a tuple of 3" in changing(lambda c: (*c, one), (one, one))
    assert "the carry: wanted one value, got a tuple of 1" in changing(lambda c: (c,), one)
    assert "the carry[0]: wanted a dict with keys ['h'], got one value (Tensor)" in changing(
        lambda c: [one], [{"h": one}]
    )
    assert "the carry.c was float64[2] and became None" in changing(lambda c: State(one, None), State(one, one))
    assert "wanted None, got one value (Tensor)" in changing(lambda c: (one, one), (one, None))


def test_a_y_that_changes():
    with pytest.raises(
        ValueError, match=r"y\['a'\] was float32\[1\] and became float32\[2\] at step 1 of .*test_scan.py:"
    ):
        mg.scan(lambda c, x: (c + 1, {"a": mg.tensor(np.zeros(int(c.item()), np.float32))}), 1, None, length=2)
    with pytest.raises(ValueError, match="y: wanted None, got one value"):
        mg.scan(lambda c, x: (c + 1, c if c.item() else None), 0, None, length=2)


def test_a_cell_that_returns_no_pair():
    class Cell:
        def __call__(self, carry, x):
            return carry

    line = inspect.getsourcelines(Cell.__call__)[1]
    with pytest.raises(TypeError, match=rf"wanted \(carry, y\) from .*Cell \(.*test_scan.py:{line}\), got one value"):
        mg.scan(Cell(), 0.0, None, length=1)
    with pytest.raises(TypeError, match=rf"Cell.__call__ \(.*test_scan.py:{line}\)"):
        mg.scan(functools.partial(Cell().__call__), 0.0, None, length=1)
    with pytest.raises(TypeError, match="from max, got"):
        mg.scan(max, 0.0, mg.tensor([1.0]))
