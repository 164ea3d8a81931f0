"""cond, switch and while_loop in eager code: Python's `if` and `while`; what they say of arguments that do not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import gradcheck


def draw(seed, *shape):
    return mg.tensor(np.random.default_rng(seed).uniform(-1, 1, shape), requires_grad=True)


@given(st.booleans(), st.sampled_from([bool, np.bool_, int, float, mg.tensor, np.asarray]))
def test_cond_is_if(p, kind):
    x, called = draw(0, 3), []
    branches = [lambda x, d, k=k: called.append(k) or {"y": mg.sin(x) * d["w"] + k, "n": k} for k in (0, 1)]
    result = mg.cond(kind(p), *branches, x, {"w": 2.0})
    assert called == [0 if p else 1] and result["n"].item() == called[0]
    np.testing.assert_allclose(result["y"].numpy(), np.sin(x.numpy()) * 2 + called[0], rtol=1e-14)


@given(st.integers(-4, 6))
def test_switch_clamps_its_index(k):
    branches = [lambda x, n=n: x * n for n in (2, 3, 4)]
    wanted = min(max(k, 0), 2) + 2
    for index in (k, np.int32(k), mg.tensor(k)):
        assert mg.switch(index, branches, mg.tensor(1.0)).item() == wanted


@given(st.integers(0, 6), st.one_of(st.none(), st.integers(0, 8)))
def test_while_loop_is_while(steps, bound):
    x = draw(0, 2)
    wanted, n = x, 0
    while n < steps and n != bound:
        wanted, n = mg.tanh(wanted * 1.5), n + 1
    last, count = mg.while_loop(lambda c: c[1] < steps, lambda c: (mg.tanh(c[0] * 1.5), c[1] + 1), (x, 0), bound=bound)
    np.testing.assert_array_equal(last.numpy(), wanted.numpy())
    assert count.item() == n and last is not x


def test_gradients_of_what_is_taken():
    w = draw(1, 3)

    def f(x, w):
        y = mg.cond(x.sum() > 0, lambda x: mg.sqrt(mg.abs(x)) * w, lambda x: mg.log(mg.abs(x)), x)
        z, _ = mg.while_loop(lambda c: c[1] < 3, lambda c: (mg.tanh(c[0] * w), c[1] + 1), (y, 0))
        return mg.switch(1, [mg.log, lambda z: z * z], z).sum()

    for sign in (1, -1):
        x = mg.tensor(sign * np.array([0.3, 0.8, 0.5]))
        gradcheck(f, (x, w))
        assert np.isfinite(mg.hessian(lambda x: f(x, w))(x).numpy()).all()


def test_a_branch_that_is_not_taken_sends_no_gradient():
    x = mg.tensor([0.0, -1.0], requires_grad=True)
    mg.cond(False, lambda x: mg.log(x), lambda x: x * 2, x).sum().backward()
    assert x.grad.tolist() == [2, 2]


REFUSED = [
    (lambda f: mg.cond(mg.tensor([True, False]), f, f, 1.0), ValueError, r"cond: p is bool\[2\].*mg.where"),
    (lambda f: mg.cond("yes", f, f, 1.0), TypeError, "cond: p is a str, wanted a bool, or a number"),
    (lambda f: mg.cond(None, f, f, 1.0), TypeError, "cond: p is a NoneType"),
    (lambda f: mg.cond(True, 1.0, f, 1.0), TypeError, "cond: got f=1.0"),
    (lambda f: mg.switch(mg.tensor(1.0), [f, f], 1.0), TypeError, r"switch: index is float32\[\], wanted an integer"),
    (lambda f: mg.switch(True, [f, f], 1.0), TypeError, r"switch: index is bool\[\], wanted an integer"),
    (lambda f: mg.switch(mg.tensor([1, 0]), [f, f], 1.0), ValueError, r"switch: index is int64\[2\].*mg.where"),
    (lambda f: mg.switch(0, [], 1.0), ValueError, "switch: got no branches"),
    (lambda f: mg.switch(0, [f, 3], 1.0), TypeError, "switch: got branches="),
    (lambda f: mg.while_loop(lambda c: c > 0, f, mg.tensor([1.0, 2.0])), ValueError,
     r"while_loop: what .*<lambda> \(.*test_control.py:\d+\) returned is bool\[2\].*any"),
    (lambda f: mg.while_loop(lambda c: True, lambda c: c[:1], mg.tensor([1.0, 2.0])), ValueError,
     r"while_loop: the carry was float32\[2\] and became float32\[1\] at step 0"),
    (lambda f: mg.while_loop(lambda c: True, lambda c: (c, c), mg.tensor(1.0)), ValueError,
     "while_loop: the carry: wanted one value, got a tuple of 2 at step 0"),
    (lambda f: mg.while_loop(f, f, 1.0, bound=-1), ValueError, "while_loop: got bound=-1"),
    (lambda f: mg.while_loop(f, f, 1.0, bound=2.5), TypeError, "while_loop: got bound=2.5"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_what_does_not_fit(call, kind, message):
    with pytest.raises(kind, match=message):
        call(lambda x: x)


def test_arguments_may_not_be_changed_in_place():
    x = mg.tensor([1.0, 2.0])

    def change(x):
        x += 1
        return x

    for call in (
        lambda: mg.cond(True, change, change, x), lambda: mg.switch(0, [change], x),
        lambda: mg.while_loop(lambda c: True, change, x),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="in place|in-place"):
            call()
    assert x.tolist() == [1, 2]
