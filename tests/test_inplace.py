"""In-place changes mean the same in every mode, and what they mean in PyTorch: values, gradients, views."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import minigrad as mg

SHAPE = (2, 3)
X = np.random.default_rng(0).uniform(0.5, 1.5, SHAPE)


class Torch:
    sin, tanh, no_grad = torch.sin, torch.tanh, torch.no_grad

    @staticmethod
    def constant(array):
        return torch.tensor(array)

    @staticmethod
    def where(*args):
        return torch.where(*args)


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
@settings(max_examples=30)
@given(drawn=programs)
def test_drawn_programs_are_those_of_pytorch(mode, drawn):
    check(mode, drawn)


@settings(max_examples=4)
@given(drawn=programs)
def test_drawn_programs_in_a_loop_that_is_jitted(drawn):
    check("jit of scan", drawn)


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=300)
@given(drawn=st.lists(step, min_size=4, max_size=14))
def test_many_drawn_programs_are_those_of_pytorch(mode, drawn):
    check(mode, drawn)
