"""Forward mode is the vjp of the vjp, eager and jitted, whatever is in the function, and makes up no tangents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import tree
from minigrad.ir.forward import transposed
from minigrad.ops.table import table


def draw(seed, *shape, dtype="float64"):
    return mg.tensor(np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype))


def floats(results):
    return [x for x in tree.flatten(results)[0] if x is not None and x.dtype.kind == "f"]


def twice_reversed(f, primals, tangents):
    """The tangents of the float results by the vjp of the vjp."""
    results, pull = mg.vjp(lambda *args: floats(f(*args)), *primals)
    _, push = mg.vjp(lambda *u: pull(list(u)), *[mg.zeros_like(x) for x in results])
    return list(push(tangents))


def same(got, wanted, rtol=1e-9):
    for a, b in zip(floats(got), floats(wanted), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=rtol, atol=rtol)


W, V = draw(100, 3, 3), draw(101, 3)


@mg.custom_vjp
def cubed(x, y):
    return x * x * x * y


cubed.defvjp(lambda x, y: (x * x * x * y, (x, y)), lambda r, g: (g * 3 * r[0] * r[0] * r[1], g * r[0] * r[0] * r[0]))


def hooked(x):
    y = mg.sin(x)
    if y.requires_grad:
        y.register_hook(lambda g: g * 3.0)
    return y


def written(x, y):
    z = x * y
    z[1:] = y[:2] * 3.0
    z *= x
    return z


functions = {
    "elementwise": lambda x, y: mg.tanh(x) * y + mg.exp(x / (2 + y)) - mg.where(x > 0, x * y, y),
    "broadcast": lambda x, y: (x + y[0]) * mg.reshape(y, (3, 1)) + x[1],
    "mixed dtypes": lambda x, y: x.astype("float32") * y + mg.sin(x.astype("float32")),
    "products": lambda x, y: ((x @ W) @ y, mg.outer(x, y) @ W @ x, W @ W @ x),
    "einsum": lambda x, y: mg.einsum("i,ij,j->i", x, mg.outer(x, y), y),
    "reductions": lambda x, y: (x.max(), (x * y).mean(), mg.softmax(x * y), mg.cumsum(x * y), (x * y).std()),
    "indices": lambda x, y: (x[[2, 0, 0]] * y, mg.take(y, mg.argsort(x)), mg.sort(x * y), mg.argmax(y)),
    "joined": lambda x, y: mg.concatenate([mg.stack([x, V])[0], y, V]) * mg.concatenate([V, x * x, x]),
    "parts": lambda x, y: mg.split(mg.concatenate([x, y]), 2)[1] * mg.unstack(mg.stack([x, y, x * y]))[2],
    "linear algebra": lambda x, y: mg.solve(W + 3 * mg.eye(3, dtype="float64") + mg.outer(x, y), x * y),
    "in place": written,
    "stopped": lambda x, y: x * mg.stop_gradient(x) * y.detach() + y,
    "custom": lambda x, y: cubed(x * y, y) * x,
    "hooked": lambda x, y: hooked(x * y) * x,
    "checkpoint": lambda x, y: mg.checkpoint(lambda q: mg.tanh(q @ W) * y)(x) * x,
    "grad": lambda x, y: mg.grad(lambda q: (mg.sin(q * y) * y * q).sum())(x),
    "jvp": lambda x, y: mg.jvp(lambda q: mg.sin(q @ W) * y, (x,), (y,)),
    "jacobian": lambda x, y: mg.jacobian(lambda q: mg.tanh(W @ q) * y)(x),
    "vmap": lambda x, y: mg.vmap(lambda e, row: mg.sin(row @ x * e) * y)(y, W),
    "vmap of jvp": lambda x, y: mg.vmap(lambda e: mg.jvp(lambda q: mg.sin(q * x), (e,), (e * y,))[1])(mg.outer(x, y)),
    "scan": lambda x, y: mg.scan(lambda h, s: (mg.tanh(W @ h + s * y), h * s), x, mg.outer(x, y)),
    "scan from constants": lambda x, y: mg.scan(lambda h, s: (mg.sin(h * x + s), h * s), V, mg.stack([x, y, V])),
    "scan back": lambda x, y: mg.scan(lambda h, s: (mg.sin(h * x + s), (h, 1)), y, W * x, reverse=True),
    "scan that moves on": lambda x, y: mg.scan(
        lambda c, s: ((c[1] * 1.0, c[2] * s, V, c[3] + 1), c[0]), (x, V, y, 0), mg.ones((2, 3), dtype="float64") * V
    ),
    "scan in scan": lambda x, y: mg.scan(
        lambda h, s: mg.scan(lambda k, r: (mg.sin(k * r) + s, k), h * V, mg.stack([x, y])), x, mg.outer(y, x)
    ),
    "grad of scan": lambda x, y: mg.grad(
        lambda w: (mg.scan(lambda h, s: (mg.tanh(w @ h + s), h), x, mg.stack([y, x]))[1] ** 3).sum()
    )(mg.outer(x, y)),
    "vmap of scan": lambda x, y: mg.vmap(lambda e: mg.scan(lambda h, s: (mg.sin(h * s + y), h), e, x))(mg.outer(x, y)),
    "vmap in scan": lambda x, y: mg.scan(lambda h, s: (mg.vmap(lambda e, v: mg.sin(e * v) * s)(h, y), h), x, y),
    "cond": lambda x, y: mg.cond(x.sum() > 0, lambda x: mg.sqrt(x * x) * y, lambda x: (x @ W) * V, x),
    "cond in scan": lambda x, y: mg.scan(
        lambda h, s: (mg.cond(h.sum() > s, lambda h: h * V, lambda h: mg.sin(h) + x, h), h * s), V, y
    ),
    "while": lambda x, y: mg.while_loop(
        lambda c: (c[0] * c[0]).sum() < 3, lambda c: (c[0] * (1.5 + V * V) + 0.1 * y, c[1] + 1), (x, 0), bound=6
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", functions)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 99), which=st.sampled_from([(True, True), (True, False), (False, True)]))
def test_it_is_the_vjp_of_the_vjp(name, seed, which):
    f, primals = functions[name], (draw(seed, 3), draw(seed + 1, 3))
    tangents = tuple(draw(seed + 2 + k, 3) if there else None for k, there in enumerate(which))
    wanted = twice_reversed(f, primals, tangents)
    rtol = 1e-5 if name == "mixed dtypes" else 1e-9
    same(mg.jvp(f, primals, tangents)[1], wanted, rtol)
    with np.errstate(all="ignore"):
        same(mg.jit(lambda p, t: mg.jvp(f, p, t)[1])(primals, tangents), wanted, rtol)
    if name != "hooked":  # hooks of what a jitted function makes are of its trace
        same(mg.jvp(mg.jit(f), primals, tangents), (mg.jit(f)(*primals), wanted), rtol)
        same(mg.jvp(lambda *args: mg.jit(f)(*args), primals, tangents)[1], wanted, rtol)


@pytest.mark.parametrize("name", [n for n in functions if n not in ("hooked", "mixed dtypes")])
def test_it_nests_in_reverse_mode_and_in_itself(name):
    f, primals, u, v = functions[name], (draw(1, 3), draw(2, 3)), (draw(3, 3), draw(4, 3)), (draw(5, 3), draw(6, 3))

    def total(*args, g=f):
        return sum(
            ((mg.sin(r * (k + 1.0)) * r).sum() for k, r in enumerate(floats(g(*args)))), mg.tensor(0.0, "float64")
        )

    wanted = twice_reversed(mg.grad(total, (0, 1)), primals, u)
    ways = {
        "jvp of grad": lambda p: mg.jvp(mg.grad(total, (0, 1)), p, u)[1],
        "grad of jvp": lambda p: mg.grad(lambda *args: mg.jvp(total, args, u)[1], (0, 1))(*p),
        "jvp of grad of jit": lambda p: mg.jvp(mg.grad(lambda *a: total(*a, g=mg.jit(f)), (0, 1)), p, u)[1],
        "grad of jvp of jit": lambda p: mg.grad(lambda *a: mg.jvp(lambda *b: total(*b, g=mg.jit(f)), a, u)[1], (0, 1))(
            *p
        ),
    }
    for way in ways.values():
        same(way(primals), wanted)
    for way in list(ways.values())[:2]:
        same(mg.jit(way)(primals), wanted)
    along = mg.jvp(lambda *a: mg.jvp(total, a, u)[1], primals, v)[1]
    np.testing.assert_allclose(along.numpy(), sum((a * b).sum().numpy() for a, b in zip(wanted, v)))


def test_what_a_step_makes_of_an_absent_tangent_is_not_there():
    """The root of 0 has an infinite derivative, which the first carry, a constant, must not meet."""

    def f(x):
        return mg.scan(lambda h, s: (mg.sqrt(h) + s, h), mg.zeros(2, dtype="float64"), x)

    x, v = mg.tensor(np.ones((4, 2))), draw(1, 4, 2)
    wanted = mg.jvp(f, (x,), (v,))[1]
    assert all(np.isfinite(t.numpy()).all() for t in floats(wanted))
    for g in (f, mg.jit(f)):
        same(mg.jvp(g, (x,), (v,))[1], wanted)
    same(mg.jit(lambda x: mg.jvp(f, (x,), (v,))[1])(x), wanted)


def test_a_carry_that_is_absent_at_the_end_is_passed_on_as_absent():
    """Of a chain of three the first tangent has left when the third step has been taken; of two it has not."""

    def f(x, length):
        (a, b, c), _ = mg.scan(lambda c, _: ((V * 0.0, c[0], c[1]), None), (x, V, V), None, length=length)
        return mg.sqrt(a) * 1.0, mg.sqrt(b * 0.0), c

    x, v = draw(1, 3), draw(2, 3)
    for length in (1, 2, 3, 4):
        wanted = mg.jvp(lambda x, n=length: f(x, n), (x,), (v,))[1]
        same(mg.jit(lambda x, n=length: mg.jvp(lambda x: f(x, n), (x,), (v,))[1])(x), wanted)


def test_one_trace_serves_all_lengths():
    def f(w, x):
        return mg.scan(lambda h, s: (mg.tanh(h @ w + s), h), mg.zeros_like(x[0]), x)

    jitted = mg.jit(f)
    for length in range(2, 7):
        args = draw(1, 3, 3), draw(2, length, 2, 3)
        tangents = draw(3, 3, 3), draw(4, length, 2, 3)
        same(mg.jvp(lambda *a: jitted(*a), args, tangents), mg.jvp(f, args, tangents))
    assert jitted.traces == jitted.derivatives.forward.traces == 2


@pytest.mark.parametrize(
    "name", ["tanh", "add", "matmul", "transpose", "getitem", "sum", "concatenate", "broadcast_to"]
)
def test_what_follows_from_a_declaration_needs_no_way_back(name, monkeypatch):
    monkeypatch.setattr("minigrad.ir.forward.transposed", None)
    op = table[name].call
    x = {"concatenate": [draw(1, 2, 2), draw(2, 2, 2)]}.get(name, draw(1, 2, 2))
    params = {"getitem": {"index": 0}, "broadcast_to": {"shape": (3, 2, 2)}}.get(name, {})

    def f(x):
        return op(x, x * 1.0) if name in ("add", "matmul") else op(x, **params) * 2.0

    v = tree.map(lambda x: x * 0.5, x)
    got = mg.jvp(f, (x,), (v,))[1]
    monkeypatch.setattr("minigrad.ir.forward.transposed", transposed)
    same([got], twice_reversed(lambda x: [f(x)], (x,), (v,)))
