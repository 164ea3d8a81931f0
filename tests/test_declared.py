"""`check_cell` of straight-through estimators, and of gradients that are 0 but for rounding: no false alarms."""

import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.testing import cells

DERIVATIVES = ("vjp, central differences", "vjp, complex step", "second derivatives")
PROPERTIES = {checked.name: checked for checked in cells.PROPERTIES}


def result(cell, name):
    return cells.refute(PROPERTIES[name], cell, cells.sizes_of(cell, 2, 3), seed=0)


class Base(nn.Module):
    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.a, self.b = [nn.Linear(input_size + hidden_size, hidden_size) for _ in range(2)]

    def forward(self, x, h):
        s = mg.concatenate([x, h], axis=-1)
        return 0.5 * h + self.gate(mg.sigmoid(self.a(s))) * mg.tanh(self.b(s))


class Rounded(Base):
    def gate(self, z):
        return mg.straight_through(mg.round(z), z)


class ByDetach(Base):
    def gate(self, z):
        return z + (mg.round(z) - z).detach()


class ByComparison(Base):
    def gate(self, z):
        return mg.straight_through(mg.astype(z > 0.5, z.dtype), z)


class ByWhere(Base):
    def gate(self, z):
        return z + mg.stop_gradient(mg.where(z > 0.5, 1.0, 0.0) - z)


@mg.custom_vjp
def sign(x):
    return mg.sign(x)


sign.defvjp(lambda x: (mg.sign(x), x), lambda x, g: (g * (1 - mg.tanh(x) ** 2),))


class ByCustomVjp(Base):
    def gate(self, z):
        return mg.tanh(0.5 + sign(z - 0.5))


STRAIGHT_THROUGH = [Rounded, ByDetach, ByComparison, ByWhere, ByCustomVjp]


@pytest.mark.parametrize("cell", STRAIGHT_THROUGH)
@pytest.mark.parametrize("name", DERIVATIVES)
def test_a_declared_derivative_is_said_to_be_one(cell, name):
    found = result(cell, name)
    assert found.ok, str(found)
    said = found.note or found.skipped
    assert re.search(r"declared for a step function, at .*test_declared.py:\d+: |has no complex form", said), said
    assert said in str(found) or "test_declared.py" in str(found)


@mg.custom_vjp
def double(x):
    return 2 * x


double.defvjp(lambda x: (2 * x, None), lambda _, g: (1.9 * g,))


@mg.custom_vjp
def scaled(x):
    return mg.sign(x) * 0 + x * x


scaled.defvjp(lambda x: (x * x, x), lambda x, g: (g * x,))


@pytest.mark.parametrize("right", STRAIGHT_THROUGH)
@pytest.mark.parametrize("name", ["vjp, central differences"])
def test_what_is_wrong_beside_a_declared_derivative_is_found(right, name):
    class Wrong(right):
        def forward(self, x, h):
            return super().forward(double(x), h)

    found = result(Wrong, name)
    assert not found.ok and "the derivative with respect to x" in found.what


class Detached(Base):
    def gate(self, z):
        return z * z.detach()


class WrongVjp(Base):
    def gate(self, z):
        return scaled(z)


@pytest.mark.parametrize("cell", [Detached, WrongVjp])
def test_a_derivative_that_is_wrong_of_a_smooth_function_is_found(cell):
    found = result(cell, "vjp, central differences")
    assert not found.ok


class Memory(nn.Module):
    """A relational memory: attention over its slots, whose softmax does not see the bias of the keys."""

    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.new = nn.Linear(input_size, hidden_size)
        self.q, self.k, self.v = [nn.Linear(hidden_size, hidden_size) for _ in range(3)]

    def initial_state(self, x):
        slots = np.broadcast_to(np.arange(2, dtype=x.dtype)[:, None], (*x.shape[:-1], 2, self.hidden_size))
        return mg.tensor(slots)

    def forward(self, x, memory):
        all_slots = mg.concatenate([memory, self.new(x)[..., None, :]], axis=-2)
        weights = mg.softmax(self.q(memory) @ self.k(all_slots).mT, axis=-1)
        return mg.tanh(memory + weights @ self.v(all_slots))


class MatrixLSTM(nn.Module):
    """The mLSTM of Beck et al. 2024 (arXiv:2405.04517), with its stabiliser: h does not see the scale of C and n."""

    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.q, self.k, self.v = [nn.Linear(input_size, hidden_size) for _ in range(3)]
        self.i, self.f = [nn.Linear(input_size, 1) for _ in range(2)]

    def initial_state(self, x):
        H = self.hidden_size
        return tuple(mg.tensor(np.zeros((*x.shape[:-1], *shape), x.dtype)) for shape in [(H,), (H, H), (H,), (1,)])

    def forward(self, x, state):
        _, C, n, m = state
        q, k, v = self.q(x), self.k(x) / self.hidden_size**0.5, self.v(x)
        i, f = self.i(x), mg.log_sigmoid(self.f(x))
        new_m = mg.maximum(f + m, i)
        i, f = mg.exp(i - new_m), mg.exp(f + m - new_m)
        C = f[..., None] * C + i[..., None] * v[..., :, None] * k[..., None, :]
        n = f * n + i * k
        scale = mg.maximum(mg.abs((n * q).sum(axis=-1, keepdims=True)), mg.exp(-new_m))
        return (C @ q[..., None])[..., 0] / scale, C, n, new_m


@pytest.mark.parametrize("cell", [Memory, MatrixLSTM])
@pytest.mark.parametrize("name", ["padding invariance", "batch independence"])
def test_a_gradient_that_cancels_is_no_alarm(cell, name):
    for seed in range(4):
        found = cells.refute(PROPERTIES[name], cell, cells.sizes_of(cell, None, None), seed)
        assert found.ok, str(found)


def test_a_gradient_that_cancels_is_no_alarm_compiled():
    found = result(Memory, "eager against jit")
    assert found.ok, str(found)


def test_a_small_gradient_that_is_wrong_is_an_alarm():
    from minigrad.testing.runs import difference

    large, small = np.ones(3), np.full(3, 1e-6)
    assert "b, element" in difference(["a", "b"], [large, small], [large, small + 1e-16], 1e-12)
    assert difference(["a", "b"], [large, small], [large, small + 1e-16], 1e-12, [0.0, 1e-15]) is None
    assert "b, element" in difference(["a", "b"], [large, small], [large, small * 1.001], 1e-5, [0.0, 1e-15])
