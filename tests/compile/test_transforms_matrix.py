"""Every transform within every other one, with what is closed over on the outer tape: against PyTorch's.

A transform here makes of a function (x, ws) -> y, with x and y of shape (N,), another such function; so they nest to
any depth. ws are what the user's functions close over: a parameter and a result of the outer tape. They are used before
a transform, inside of it and after it.
"""

import contextlib
import itertools

import numpy as np
import pytest
from programs import draw, results_and_gradients, same

import minigrad as mg
from minigrad import nn

with contextlib.suppress(ImportError):  # without it the tests that need it are skipped by their fixture
    import torch

pytestmark = pytest.mark.usefixtures("quick_kernels")

N = 2
ALONG, WEIGHTS, STEPS = np.array([0.7, -0.4]), np.array([1.3, 0.6]), np.array([[0.5, 0.9], [-0.3, 0.4]])


class Minigrad:
    """The transforms, each as users would write it: with functions that close over ws."""

    sin, tensor = staticmethod(mg.sin), staticmethod(mg.tensor)

    @staticmethod
    def grad(f):
        return lambda x, ws: mg.grad(lambda q: (f(q, ws) * WEIGHTS * ws[0]).sum())(x)

    @staticmethod
    def value_and_grad(f):
        def of(x, ws):
            (value, aux), g = mg.value_and_grad(lambda q: ((f(q, ws) * WEIGHTS).sum(), q * ws[1]), has_aux=True)(x)
            return value * g + aux

        return of

    @staticmethod
    def vjp(f):
        def of(x, ws):
            y, pull = mg.vjp(lambda q: f(q, ws), x)
            return y * ws[0] + pull(y * ws[1])[0]

        return of

    @staticmethod
    def jvp(f):
        def of(x, ws):
            y, tangent = mg.jvp(lambda q: f(q, ws), (x,), (ALONG * ws[0],))
            return y + tangent

        return of

    @staticmethod
    def jacobian(f):
        return lambda x, ws: mg.jacobian(lambda q: f(q * ws[1], ws))(x) @ ws[0]

    @staticmethod
    def hessian(f):
        return lambda x, ws: mg.hessian(lambda q: (f(q, ws) * ws[0]).sum())(x) @ ws[1]

    @staticmethod
    def hvp(f):
        return lambda x, ws: mg.hvp(lambda q: (f(q, ws) * ws[0]).sum(), (x,), (ws[1] + ALONG,))[0]

    @staticmethod
    def checkpoint(f):
        return lambda x, ws: mg.checkpoint(lambda q: f(q, ws) * ws[0])(x)

    @staticmethod
    def custom_vjp(f):  # only arguments get gradients, so ws is one
        of = mg.custom_vjp(lambda x, ws: f(x, ws))
        of.defvjp(lambda x, ws: (f(x, ws), (x, ws)), lambda kept, g: mg.vjp(f, *kept)[1](g))
        return lambda x, ws: of(x, ws) * ws[0]

    @staticmethod
    def jit(f):
        return lambda x, ws: mg.jit(lambda q: f(q, ws) * ws[0])(x)

    @staticmethod
    def jit_of_arguments(f):
        return mg.jit(lambda x, ws: f(x, ws) * ws[0])

    @staticmethod
    def scan(f):
        def of(x, ws):
            last, ys = mg.scan(lambda h, s: (0.5 * h + f(h * s, ws), h * ws[1]), x, mg.tensor(STEPS) * ws[0])
            return last + ys.sum(0)

        return of

    @staticmethod
    def cond(f):
        def of(x, ws):
            branches = lambda q: f(q * ws[0], ws), lambda q: f(q, ws) * ws[1]
            return mg.cond((x * x).sum() > 0, *branches, x) + mg.cond((x * x).sum() > 1e9, *branches, x)

        return of

    @staticmethod
    def while_loop(f):
        def of(x, ws):
            def step(carry):
                return f(carry[0], ws) * ws[1] + 0.5 * carry[0], carry[1] + 1

            return mg.while_loop(lambda carry: carry[1] < 2 + 0 * carry[0].sum(), step, (x, 0), bound=3)[0]

        return of

    @staticmethod
    def vmap(f):
        def of(x, ws):
            samples = mg.stack([x, x * ws[0]], axis=1)
            return mg.vmap(lambda q, s: f(q * s, ws), in_axes=(1, None), out_axes=1)(samples, ws[1]).sum(1)

        return of


class Torch:
    """The same functions."""

    @staticmethod
    def sin(x):
        return torch.sin(x)

    @staticmethod
    def tensor(array):
        return torch.tensor(array)

    @staticmethod
    def grad(f):
        return lambda x, ws: torch.func.grad(lambda q: (f(q, ws) * torch.tensor(WEIGHTS) * ws[0]).sum())(x)

    @staticmethod
    def value_and_grad(f):
        def of(x, ws):
            g, value = torch.func.grad_and_value(lambda q: (f(q, ws) * torch.tensor(WEIGHTS)).sum())(x)
            return value * g + x * ws[1]

        return of

    @staticmethod
    def vjp(f):
        def of(x, ws):
            y, pull = torch.func.vjp(lambda q: f(q, ws), x)
            return y * ws[0] + pull(y * ws[1])[0]

        return of

    @staticmethod
    def jvp(f):
        def of(x, ws):
            return f(x, ws) + torch.func.jacrev(lambda q: f(q, ws))(x) @ (torch.tensor(ALONG) * ws[0])

        return of

    @staticmethod
    def jacobian(f):
        return lambda x, ws: torch.func.jacrev(lambda q: f(q * ws[1], ws))(x) @ ws[0]

    @staticmethod
    def hessian(f):
        return lambda x, ws: torch.func.jacrev(torch.func.grad(lambda q: (f(q, ws) * ws[0]).sum()))(x) @ ws[1]

    @staticmethod
    def hvp(f):
        return lambda x, ws: (
            torch.func.jacrev(torch.func.grad(lambda q: (f(q, ws) * ws[0]).sum()))(x) @ (ws[1] + torch.tensor(ALONG))
        )

    @staticmethod
    def checkpoint(f):
        return lambda x, ws: f(x, ws) * ws[0]

    custom_vjp = jit = jit_of_arguments = checkpoint

    @staticmethod
    def scan(f):
        def of(x, ws):
            total = 0.0
            for s in torch.tensor(STEPS) * ws[0]:
                x, total = 0.5 * x + f(x * s, ws), total + x * ws[1]
            return x + total

        return of

    @staticmethod
    def cond(f):
        return lambda x, ws: f(x * ws[0], ws) + f(x, ws) * ws[1]

    @staticmethod
    def while_loop(f):
        def of(x, ws):
            for _ in range(2):
                x = f(x, ws) * ws[1] + 0.5 * x
            return x

        return of

    @staticmethod
    def vmap(f):
        return lambda x, ws: f(x * ws[1], ws) + f(x * ws[0] * ws[1], ws)


NAMES = [name for name in vars(Minigrad) if name not in ("sin", "tensor") and not name.startswith("_")]


def nested(lib, names):
    def f(x, ws):
        return lib.sin(x) * ws[0] + x * x * x * ws[1]

    for name in reversed(names):
        f = getattr(lib, name)(f)
    return f


def value_and_gradients(lib, names, before, x, w, v):
    """Of a functional of the nested function: as arrays, with its gradients of what requires one of x, w and v."""
    ws = (w, lib.sin(v))
    y = nested(lib, names)(x * w if before else x, ws) * ws[1] + w
    (y * lib.tensor(WEIGHTS)).sum().backward()
    return [y.detach().numpy(), *[a.grad.numpy() for a in (x, w, v) if a.requires_grad]]


def check(names):
    """With all of x, w and v on the outer tape, and with one of them: a transform of what is not on the outer tape
    finds only by what it closes over that its result is."""
    arrays = np.array([0.4, -0.7]), np.array([0.8, 1.1]), np.array([-0.6, 0.9])
    for on, before in [((True,) * 3, True), ((True,) * 3, False), *[(on, False) for on in np.eye(3, dtype=bool)]]:
        given = [torch.tensor(a, requires_grad=bool(need)) for a, need in zip(arrays, on)]
        wanted = value_and_gradients(Torch, names, before, *given)
        x, w, v = [mg.tensor(a, requires_grad=bool(need)) for a, need in zip(arrays, on)]
        got = value_and_gradients(Minigrad, names, before, x, nn.Parameter(w) if on[1] else w, v)
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=f"{names}, {on}, {before}")


@pytest.mark.parametrize("outer", NAMES)
def test_pairs(torch, outer):
    for inner in NAMES:
        check([outer, inner])


@pytest.mark.heavy
@pytest.mark.parametrize("outer", NAMES)
def test_three_deep(torch, outer):
    for middle, inner in itertools.product(NAMES, repeat=2):
        check([outer, middle, inner])


USES = [uses for n in (1, 2, 3) for uses in itertools.combinations(("before", "inside", "after"), n)]


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_used_before_a_transform_inside_of_it_and_after_it(name):
    """In a jitted function, which reads the parameter for the first time there, and in the step of a loop in one."""
    x, w = mg.tensor([0.4, -0.7], dtype="float64"), nn.Parameter(np.array([0.8, 1.1]))
    constants = mg.tensor([0.3, 1.4], dtype="float64"), mg.tensor([1.2, -0.5], dtype="float64")

    def f(x, uses):
        x = x * w if "before" in uses else x
        ws = (w, constants[1]) if "inside" in uses else constants
        y = getattr(Minigrad, name)(lambda x, ws: mg.sin(x) * ws[0] + x * x * x * ws[1])(x, ws)
        return y * w if "after" in uses else y

    for uses in USES:
        same(lambda x: f(x, uses), [w], x)
    for uses in USES[-1:]:
        same(lambda x: mg.scan(lambda h, s: (0.5 * h + f(h * s, uses), h), x, STEPS), [w], x)


def test_what_a_jitted_function_reads_first_inside_a_transform():
    """Each stands on the outer tape; the transform's own argument does not."""
    w, x = draw(0, 2), draw(1, 2, grad=False)
    layer = nn.Linear(2, 2).astype("float64")

    def energy(q, *closed):
        return sum((mg.sin(q) * c * c).sum() for c in closed)

    def in_two(x):
        made = mg.tensor([1.0, 2.0], dtype="float64").requires_grad_()
        return mg.grad(lambda q: mg.grad(energy)(x, q, w).sum())(made)

    for f, args in (
        (lambda x: mg.grad(energy)(x, w), (x,)),
        (lambda x: mg.grad(lambda q: energy(layer(q), q))(x) + mg.grad(lambda q: energy(q, layer(x)))(x), (x,)),
        (lambda x, kept: mg.grad(energy)(x, kept["w"]), (x, {"w": w})),
        (lambda x, kept: mg.grad(energy)(kept["x"], kept["w"]) + mg.grad(energy)(x, kept["x"]), (x, {"w": w, "x": x})),
        (lambda x: mg.jit(lambda x: mg.grad(energy)(x, w))(x) * w, (x,)),
        (in_two, (x,)),
        (lambda x: mg.grad(lambda q: (energy(q, x), (q * w, w)), has_aux=True)(x), (x,)),
        (lambda x: (w, mg.grad(energy)(x, w), x), (x,)),
    ):
        same(f, [w, *layer.parameters()], *args)

    def in_two_traces():
        earlier = mg.jit(lambda x: mg.sin(x) * w)(x)
        return mg.jit(lambda x: mg.grad(energy)(x, earlier))(x)

    got = results_and_gradients(in_two_traces, [w])
    with mg.disable_jit():
        np.testing.assert_allclose(got, results_and_gradients(in_two_traces, [w]))


def test_what_a_vjp_in_a_loop_reads_first_inside_a_transform():
    """The vjp of a step takes the gradient of what it kept of that step, with respect to something else."""
    w, x, point = draw(0, 2), draw(1, 2, grad=False), draw(2, 2, grad=False)
    f = mg.custom_vjp(lambda a, b, c: mg.sin(a) * b)

    def bwd(kept, g):
        a, b, c = kept
        return mg.cos(a) * b * g, mg.sin(a) * g, mg.grad(lambda q: (mg.sin(q) * c).sum())(point) * g

    f.defvjp(lambda a, b, c: (mg.sin(a) * b, (a, b, c)), bwd)

    def of_a_loop(x):
        return (mg.scan(lambda h, s: (f(h, w * s, h * h) * h, h), x, STEPS)[0] ** 2).sum()

    same(mg.grad(of_a_loop), [w], x)
