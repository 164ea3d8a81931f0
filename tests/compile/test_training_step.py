"""A whole training step in one jitted function: the same losses, parameters, gradients and state as eager code."""

import functools
import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, optim
from minigrad.models import LSTM

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.02),
    "AdamW": lambda p: optim.AdamW(p, lr=0.02),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.05, lr_decay=0.1),
}
SCHEDULES = {
    "none": None,
    "inside": optim.exponential(0.9),
    "outside": optim.warmup(3, optim.cosine(10)),
}


class Net(nn.Module):
    def __init__(self):
        rng = np.random.default_rng(0)
        self.w = nn.Parameter(rng.normal(size=(3, 4)))
        self.b = nn.Parameter(rng.normal(size=4))
        self.u = nn.Parameter(rng.normal(size=(4, 2)))
        self.unused = nn.Parameter(np.ones(2))

    def __call__(self, x):
        return mg.tanh(x @ self.w + self.b) @ self.u


class Run:
    """A net in training. statements: what its step does, in order; k: which of the batches of the call it is about."""

    def __init__(self, optimizer, schedule, statements):
        self.net = Net()
        self.optimizer = OPTIMIZERS[optimizer](self.net.parameters())
        factor = SCHEDULES[schedule]
        self.schedule = factor and optim.Schedule(self.optimizer, factor)
        self.inside, self.statements = schedule == "inside", statements

    def step(self, xs, ys):
        net, optimizer, told = self.net, self.optimizer, []
        for what, k in self.statements:
            if what == "zero":
                optimizer.zero_grad()
            elif what == "backward":
                loss = ((net(xs[k]) - ys[k]) ** 2).mean()
                loss.backward()
                told.append(loss)
            elif what == "norm":
                told.append(optim.clip_grad_norm(net.parameters(), 0.5))
            elif what == "value":
                optim.clip_grad_value(net.parameters(), 0.05)
            elif what == "scale":
                for p in net.parameters():
                    if p.grad is not None:
                        p.grad = p.grad * 0.5
            elif what == "sum":
                told += [p.grad.sum() for p in (net.w, net.u) if p.grad is not None]
            elif what == "read":
                told.append((net.w * 2).sum())
            elif what == "step":
                optimizer.step()
        if self.schedule and self.inside:
            self.schedule.step()
        return told

    def between(self, call):
        """What happens outside from call to call."""
        if self.schedule and not self.inside:
            self.schedule.step()
        if call == 2:
            self.net.b.requires_grad_(False)
        if call == 4:
            self.net.b.requires_grad_()


def numbers(told):
    return [float(x) for x in told]


def agree(eager: Run, jitted: Run):
    for name, p in eager.net.named_parameters():
        q = dict(jitted.net.named_parameters())[name]
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=1e-8, atol=1e-11, err_msg=name)
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-8, atol=1e-11, err_msg=name)
            assert not q.grad.requires_grad
    states = [run.optimizer.state_dict() for run in (eager, jitted)]
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        np.testing.assert_allclose(states[1][name], states[0][name], rtol=1e-8, atol=1e-11, err_msg=name)


STATEMENTS = st.tuples(
    st.sampled_from(["zero", "backward", "backward", "norm", "value", "scale", "sum", "read", "step", "step"]),
    st.integers(0, 1),
)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(OPTIMIZERS)), st.sampled_from(sorted(SCHEDULES)),
    st.lists(STATEMENTS, min_size=1, max_size=7), st.booleans(),
)  # fmt: skip
def test_what_a_step_does_it_does_jitted(optimizer, schedule, statements, zeroed):
    statements = [("zero", 0)] * zeroed + statements
    eager, jitted = [Run(optimizer, schedule, statements) for _ in range(2)]
    fast = mg.jit(jitted.step)
    rng = np.random.default_rng(1)
    for call in range(6):
        xs, ys = mg.tensor(rng.normal(size=(2, 5, 3))), mg.tensor(rng.normal(size=(2, 5, 2)))
        np.testing.assert_allclose(numbers(fast(xs, ys)), numbers(eager.step(xs, ys)), rtol=1e-8)
        agree(eager, jitted)
        eager.between(call)
        jitted.between(call)
    assert fast.traces <= 5  # gradients there or not, and b frozen or not


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_a_usual_step_is_traced_once(optimizer):
    usual = [("zero", 0), ("backward", 0), ("norm", 0), ("step", 0)]
    eager, jitted = [Run(optimizer, "outside", usual) for _ in range(2)]
    fast = mg.jit(jitted.step)
    rng = np.random.default_rng(1)
    for _ in range(4):
        xs, ys = mg.tensor(rng.normal(size=(2, 5, 3))), mg.tensor(rng.normal(size=(2, 5, 2)))
        np.testing.assert_allclose(numbers(fast(xs, ys)), numbers(eager.step(xs, ys)), rtol=1e-8)
        agree(eager, jitted)
        eager.schedule.step()
        jitted.schedule.step()
    assert fast.traces == 1


def leaf(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def same_jitted(make, *calls, traces=1, **options):
    """make(): a step and a function that tells what it changes. Jitted it gives and changes the same."""
    told = []
    for jit in (lambda step: step, functools.partial(mg.jit, **options)):
        mg.random.manual_seed(0)
        step, changed = make()
        step = jit(step)
        told.append([[float(step(*args)), *[x.numpy().copy() for x in changed()]] for args in calls])
    for eager, jitted in zip(*told):
        for a, b in zip(eager, jitted):
            np.testing.assert_allclose(b, a, rtol=1e-5 if np.asarray(a).dtype == np.float32 else 1e-8, atol=1e-7)
    assert step.traces == traces


def test_two_optimizers_that_take_turns():
    def make():
        g, d, z = leaf(3, 3, seed=1), leaf(3, 1, seed=2), mg.tensor(np.ones((2, 3)))
        of_g, of_d = optim.Adam([g], lr=0.1), optim.Adam([d], lr=0.1)

        def step():
            fake = mg.tanh(z @ g)
            of_d.zero_grad()
            loss = (fake.detach() @ d).mean() - (z @ d).mean()
            loss.backward()
            of_d.step()
            of_g.zero_grad()
            other = -(fake @ d).mean()
            other.backward()
            of_g.step()
            return loss + other

        return step, lambda: (g, d, g.grad, d.grad)

    same_jitted(make, (), (), ())


def test_a_penalty_of_the_gradient():
    def make():
        w, x = leaf(3), mg.tensor(np.ones((4, 3)))
        opt = optim.SGD([w], lr=0.1)

        def step():
            opt.zero_grad()
            mg.tanh(x @ w).sum().backward(create_graph=True)
            g = w.grad
            w.grad = None
            loss = (g * g).sum()
            loss.backward()
            opt.step()
            return loss

        return step, lambda: (w, w.grad)

    same_jitted(make, (), (), ())


@pytest.mark.parametrize("checkpoint", [None, 2])
def test_loops_dropout_and_sizes_that_vary(checkpoint):
    def make():
        layer, head, drop = LSTM(3, 4), nn.Linear(4, 2), nn.Dropout(0.3)
        weights = [*layer.parameters(), *head.parameters()]
        opt = optim.AdamW(weights, lr=0.01)

        def step(x):
            opt.zero_grad()
            loss = (head(drop(layer(x)[0])) ** 2).mean()
            loss.backward()
            optim.clip_grad_norm(weights, 0.1)
            opt.step()
            return loss

        return step, lambda: weights

    xs = [mg.tensor(np.random.default_rng(n).normal(size=(n, 2, 3)).astype("f")) for n in (5, 5, 7, 6)]
    same_jitted(make, *[(x,) for x in xs], traces=3 if checkpoint else 2, checkpoint=checkpoint)


def test_the_bits_do_not_depend_on_the_sizes_before():
    """Training that goes on after a break has those of training without one."""
    found = []
    for order in ([40, 40, 17, 23, 6], [6, 23, 17, 40]):
        run = Run("Adam", "none", [("zero", 0), ("backward", 0), ("norm", 0), ("step", 0)])
        step, start = mg.jit(run.step), (run.net.state_dict(), run.optimizer.state_dict())
        found.append({})
        for n in order:
            run.net.load_state_dict(start[0])
            run.optimizer.load_state_dict(start[1])
            rng = np.random.default_rng(n)
            step(mg.tensor(rng.normal(size=(1, n, 3))), mg.tensor(rng.normal(size=(1, n, 2))))
            found[-1][n] = [p.numpy().tobytes() for p in run.net.parameters()]
        assert step.traces < len(set(order))
    assert found[0] == found[1]


def test_gradients_that_are_one_value_are_apart():
    def make():
        a, b = leaf(3), leaf(3, seed=1)

        def step():
            a.grad = b.grad = None
            loss = ((a + b) ** 2).sum()
            loss.backward()
            kept = a.grad.copy()
            optim.clip_grad_value([a], 0.1)
            b.grad[0] = 7.0
            return loss + kept.sum() + b.grad.sum()

        return step, lambda: (a.grad, b.grad)

    same_jitted(make, (), ())


def test_within_a_function_that_is_jitted_itself():
    def make():
        w = leaf(3)
        opt = optim.SGD([w], lr=0.1)

        @mg.jit
        def step(x):
            opt.zero_grad()
            loss = ((w * x) ** 2).sum()
            loss.backward()
            opt.step()
            return loss

        return lambda x: step(x) + step(x + 1) + w.sum(), lambda: (w, w.grad)

    x = mg.tensor(np.ones(3))
    same_jitted(make, (x,), (x,))


def test_another_parameter_and_another_rate():
    """A parameter that takes the place of one that the optimizer has is not the optimizer's, as in eager code."""
    told = []
    for jit in (lambda f: f, mg.jit):
        net = Net()
        opt = optim.SGD(net.parameters(), lr=0.1)

        def step(x, net=net, opt=opt):
            opt.zero_grad()
            loss = (net(x) ** 2).mean() * opt.lr
            loss.backward()
            opt.step()
            return loss

        step, x = jit(step), mg.tensor(np.ones((2, 3)))
        found = [float(step(x))]
        net.w = nn.Parameter(np.full((3, 4), 0.1))
        found += [float(step(x)), float(step(x))]
        opt.lr = 0.5
        found += [float(step(x)), net.w.grad.numpy().sum(), net.u.numpy().sum()]
        told.append(found)
    np.testing.assert_allclose(told[1], told[0], rtol=1e-8)


def test_another_tensor_in_a_variable_is_not_the_one_that_has_had_the_gradient():
    told = []
    for jit in (lambda f: f, mg.jit):
        held = {"w": leaf(3)}

        def step(held=held):
            held["w"].grad = None
            loss = (held["w"] ** 2).sum()
            loss.backward()
            return loss

        step, first = jit(step), held["w"]
        step()
        held["w"] = leaf(3, seed=1)
        told.append([float(step()), held["w"].grad.numpy().sum(), first.grad.numpy().sum()])
    np.testing.assert_allclose(told[1], told[0], rtol=1e-8)


class Counting(optim.Optimizer):
    """A user's own: the steps that it has done are no reason to trace anew."""

    rule = {"p": "p - lr * g / count"}

    def coefficients(self, step):
        return {"lr": self.lr, "count": max(self.steps)}


def test_an_optimizer_of_the_users_own():
    def make():
        w = leaf(3)
        opt = Counting([w], lr=0.1)

        def step():
            opt.zero_grad()
            loss = (w**2).sum()
            loss.backward()
            opt.step()
            return loss

        return step, lambda: (w, w.grad)

    same_jitted(make, (), (), ())


def test_an_error_leaves_the_parameters_as_they_were():
    w = mg.tensor(np.array([np.inf, 1.0]), requires_grad=True)
    opt = optim.SGD([w], lr=0.1)

    @mg.jit
    def step():
        opt.zero_grad()
        (w * w).sum().backward()
        optim.clip_grad_norm([w], 1.0, error_if_nonfinite=True)
        opt.step()

    for _ in range(2):
        with pytest.raises(RuntimeError, match="the norm of the gradients is inf"):
            step()
        assert w.numpy()[1] == 1.0 and w.grad.numpy()[1] == 2.0


def refused(step, message, *args):
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            mg.jit(step)(*args)


def test_what_is_refused():
    w, x, y = leaf(3), mg.tensor(np.ones(3)), leaf(3)
    opt = optim.SGD([w], lr=0.1)
    before, made = w.numpy().copy(), y * 2

    def in_a_loop(x):
        def body(c, _):
            (w * c).sum().backward()
            opt.step()
            return c, None

        return mg.scan(body, x, None, length=3)[0]

    def steps_in_a_loop(x):
        return mg.scan(lambda c, _: (opt.step(), (c, None))[1], x, None, length=3)[0]

    def of_an_argument(x):
        (w * x).sum().backward()

    def old(x):
        loss = (w * w * x).sum()
        loss.backward(retain_graph=True)
        opt.step()
        loss.backward()

    def rate_after(x):
        (w * x).sum().backward()
        opt.step()
        return x * opt.lr

    refused(in_a_loop, "jit: backward inside a step of scan", x)
    refused(steps_in_a_loop, "jit: (grad|SGD.step) inside a step of scan", x)
    refused(of_an_argument, "reaches float64\\[3\\], an argument that is on the tape", y)
    refused(lambda x: (w * made).sum().backward(), "a tensor from outside that is on the tape", x)
    refused(lambda x: x.grad, "the gradient of an argument", y)
    refused(old, "as it was before SGD.step .* changed it", x)
    refused(rate_after, "SGD.step .* may change what is read after it", x)
    refused(lambda x: optim.Adam([w]), "Adam is made inside a jitted function", x)
    refused(lambda x: opt.load_state_dict({}), "SGD.load_state_dict inside a jitted function", x)
    remove = w.register_hook(lambda g: g * 2)
    refused(lambda x: (w * x).sum().backward(), "a tensor with a hook", x)
    remove()
    np.testing.assert_array_equal(w.numpy(), before)


def test_other_ways_to_the_memory_of_what_a_step_changes_are_refused():
    w, u = [nn.Parameter(np.arange(4.0).reshape(2, 2)) for _ in range(2)]
    alias, opt = w.detach(), optim.SGD([w], lr=0.5)

    def stepped(view, x):
        opt.zero_grad()
        (w * x).sum().backward()
        opt.step()
        return view

    x = mg.tensor(np.ones((2, 2)))
    for f in (
        lambda x: x @ stepped(mg.transpose(w), x).detach(), lambda x: stepped(w.detach()[:1], x) * 1,
        lambda x: stepped(mg.transpose(alias), x) * 1, lambda x: stepped(alias[:1], x),
    ):  # fmt: skip
        refused(f, "a view of what SGD.step .* changes, is read after that and was made before", x)

    def one_for_two(x):
        stepped(None, x)
        u.grad = w.grad

    def changed(x):
        w.grad = n
        n.copy_(n * 2)

    n = mg.tensor(np.ones((2, 2)))
    refused(one_for_two, "two tensors have one gradient", x)
    refused(changed, "copy_ of a tensor that is a gradient", x)

    def allowed(x):
        before = mg.transpose(w) * 2
        stepped(None, x)
        w.grad, u.grad = u.grad, w.grad
        return before, mg.transpose(w) * 2, alias * 1

    start, found = w.numpy().copy(), []
    for f in (allowed, mg.jit(allowed)):
        with mg.no_grad():
            w.copy_(start)
        w.grad = u.grad = None
        found.append([y.tolist() for y in f(x)] + [w.tolist(), w.grad, u.grad.tolist()])
    assert found[0] == found[1]


def test_results_have_no_backward_outside():
    w, v = leaf(3), leaf(3, seed=1)

    @mg.jit
    def step():
        w.grad = None
        loss = (w * w).sum()
        loss.backward()
        whole = w.grad
        optim.clip_grad_norm([w], 100.0)
        return loss, w * 2, whole, w.grad

    loss, twice, *gradients = step()
    assert loss.requires_grad and twice.requires_grad and not gradients[1].requires_grad
    with pytest.raises(RuntimeError, match="has taken its gradients when it returns"):
        (twice * v).sum().backward()
    for gradient in gradients:
        gradient[0] = 100.0
        assert w.grad.numpy()[0] != 100.0


def test_a_step_of_gradients_from_outside_and_one_that_keeps_nothing_alive():
    @mg.jit
    def step(net, opt):
        optim.clip_grad_norm(net.parameters(), 0.1)
        opt.step()

    net = Net()
    opt = optim.SGD(net.parameters(), lr=1.0)
    before = net.w.numpy().copy()
    for _ in range(2):
        net.w.grad = mg.tensor(np.ones((3, 4)))
        step(net, opt)
    np.testing.assert_allclose(before - net.w.numpy(), np.full((3, 4), 0.2 / np.sqrt(12)), rtol=1e-5)
    assert step.traces == 1 and net.unused.grad is None
    gone = [weakref.ref(net), weakref.ref(opt), weakref.ref(net.w)]
    del net, opt
    gc.collect()
    assert [x() for x in gone] == [None] * 3
