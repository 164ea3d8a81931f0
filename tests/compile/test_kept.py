"""copy_, in a jitted function, of a tensor from outside: running statistics."""

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

pytestmark = pytest.mark.usefixtures("quick_kernels")


class Mean(nn.Module):
    """x without its running mean, which is what it becomes with this x."""

    def __init__(self):
        self.mean, self.calls = nn.Buffer(np.zeros(2)), nn.Buffer(np.array(0))
        self.w = nn.Parameter(np.array([2.0, 3.0]))

    def forward(self, x):
        with mg.no_grad():
            self.mean.copy_(self.mean * 0.5 + x.mean(axis=0) * 0.5)
            self.calls.copy_(self.calls + 1)
        return (x - self.mean) * self.w


def same(a, b):
    for key, value in a.state_dict().items():
        np.testing.assert_allclose(b.state_dict()[key], value, rtol=1e-12)


def test_a_jitted_module_changes_what_an_eager_one_does():
    """At every call, of several batch sizes; and the backward waits outside."""
    eager, module = Mean(), Mean()
    jitted, rng = mg.jit(module), np.random.default_rng(0)
    for n in (3, 4, 5, 6, 3):
        x = rng.normal(size=(n, 2))
        losses = [(f(x) ** 2).sum() for f in (eager, jitted)]
        for loss in losses:
            loss.backward()
        np.testing.assert_allclose(losses[1].item(), losses[0].item(), rtol=1e-12)
        np.testing.assert_allclose(module.w.grad.numpy(), eager.w.grad.numpy(), rtol=1e-12)
        same(eager, module)
    assert module.calls.item() == 5 and type(module.mean) is nn.Buffer


def test_what_is_read_after_it_is_new_by_whatever_name():
    c = mg.tensor(np.array([1.0, 2.0]))

    @mg.jit
    def f(x):
        before, other = c * 1.0, c.detach()
        c.copy_(c + x)
        c.copy_(c * 2.0)
        return before, c + 0.0, other + 0.0

    assert [y.tolist() for y in f(1.0)] == [[1, 2], [4, 6], [4, 6]] and c.tolist() == [4, 6]
    assert [y.tolist() for y in f(1.0)] == [[4, 6], [10, 14], [10, 14]] and c.tolist() == [10, 14]


def test_another_tensor_in_its_place_is_the_one_that_changes():
    module = mg.jit(Mean())
    x, old = np.ones((3, 2)), module.mean
    module(x)
    module.mean = mg.tensor(np.zeros(2))
    module(x)
    assert old.tolist() == module.mean.tolist() == [0.5, 0.5]
    twin = copy.deepcopy(module)
    twin(x)
    assert twin.mean.tolist() == [0.75, 0.75] and module.mean.tolist() == [0.5, 0.5]


def test_in_a_training_step():
    eager, module = Mean(), Mean()

    def step(module, opt, x):
        opt.zero_grad()
        loss = (module(x) ** 2).sum()
        loss.backward()
        opt.step()
        return loss

    jitted = mg.jit(lambda x: step(module, mine, x))
    mine, theirs = [mg.optim.SGD(m.parameters(), lr=0.01) for m in (module, eager)]
    for x in np.random.default_rng(0).normal(size=(3, 4, 2)):
        np.testing.assert_allclose(jitted(x).item(), step(eager, theirs, x).item(), rtol=1e-12)
        same(eager, module)


def test_a_backward_of_some_results_runs_again_on_what_was_there():
    module, x = Mean(), np.random.default_rng(0).normal(size=(3, 2))
    jitted = mg.jit(lambda x: (module(x), module(x) ** 2))
    for k in (0, 1, 0, 1):
        eager = copy.deepcopy(module)
        module.zero_grad()
        jitted(x)[k].sum().backward()
        (eager(x), eager(x) ** 2)[k].sum().backward()
        np.testing.assert_allclose(module.w.grad.numpy(), eager.w.grad.numpy(), rtol=1e-12)
        same(eager, module)


def test_second_derivatives_change_it_once_in_one_function_and_are_refused_through_a_call():
    eager, module = Mean(), Mean()
    x = mg.tensor(np.random.default_rng(0).normal(size=(3, 2)))

    def second(f):
        g = mg.grad(lambda x: (f(x) ** 3).sum())
        return mg.grad(lambda x: (g(x) ** 2).sum())

    np.testing.assert_allclose(mg.jit(second(module))(x).numpy(), second(eager)(x).numpy(), rtol=1e-10)
    same(eager, module)
    with pytest.raises(RuntimeError, match="something that it reads was changed after the call"):
        second(mg.jit(module))(x)


def test_what_is_refused():
    c = mg.tensor(np.zeros(2))

    def step(carry, x):
        c.copy_(c + x)
        return carry, x

    for f in (lambda x: mg.scan(step, 0.0, x), mg.vmap(lambda x: step(0.0, x)[1]), lambda x: c[:1].copy_(x[:1])):
        with pytest.raises(RuntimeError, match="an in-place change inside a jitted function"):
            mg.jit(f)(np.ones(2))

    def looks(x):
        c.copy_(x)
        return x * c.numpy()[0]

    with pytest.raises(RuntimeError, match=r"asks for the numbers of float64\[2\], which copy_ has changed"):
        mg.jit(looks)(np.ones(2))
    w = nn.Parameter(np.zeros(2))
    with pytest.raises(RuntimeError, match="an in-place change inside a jitted function"):
        mg.jit(lambda x: c.copy_(w * x))(np.ones(2))
    assert c.tolist() == [0, 0]


def test_other_ways_to_the_memory_of_what_is_changed_are_refused():
    a = mg.tensor(np.array([1.0, 2.0]))
    held = {"view": a[:1], "rows": mg.reshape(a, (2, 1))}

    def view_before(x):
        view = a[:1]
        a.copy_(a * 2 + x)
        return view * 1

    def other_tensor(x):
        a.copy_(a * 2 + x)
        return held["view"] * x[:1]

    def read_before(x):
        y = held["rows"] * 2
        a.copy_(a * 2 + x)
        return y

    def returned(x):
        view = a[1:]
        a.copy_(x)
        return view

    def changes(x):
        a.copy_(a + 1)
        return x * 1

    x = mg.tensor(np.ones(2))
    for f in (view_before, other_tensor, read_before, returned):
        with pytest.raises(RuntimeError, match="lies in the memory of a tensor that copy_ changes here"):
            mg.jit(f)(x)
    with pytest.raises(RuntimeError, match="an argument of changes lies in the memory of a tensor that copy_ changes"):
        mg.jit(changes)(held["view"])
    assert a.tolist() == [1, 2]

    def allowed(x):
        half = a[:1] * 2
        a.copy_(a * 2 + x)
        later = a[1:] * 3
        b = a * 1
        a.copy_(b + 1)
        return half, later, b[:1], a[:1] * 1

    start = a.numpy().copy()
    got = [y.tolist() for y in mg.jit(allowed)(x)]
    kept = a.tolist()
    a.copy_(start)
    assert got == [y.tolist() for y in allowed(x)] and kept == a.tolist()
