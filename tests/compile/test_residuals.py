"""What a loop keeps for its backward, and what its backward computes again."""

import numpy as np
import pytest

import minigrad as mg

T, B, H = 5, 3, 4


def outer(p, S, x):
    S = mg.exp(p[0])[:, None] * S + 0.5 * (x[:, :, None] * (x * p[1])[:, None])
    return S, mg.sum(S * x[:, None], axis=-1)


def scaled_outer(p, S, x):
    i = mg.sigmoid(x @ mg.stack([p[0]] * H))[:, :1, None]
    return S + i * (x[:, :, None] @ (x * p[1])[:, None]), i[:, 0]


def written_as_einsum(p, S, x):
    i = mg.sigmoid(x @ mg.stack([p[0]] * H))[:, :1, None]
    return S + i * mg.einsum("bi,bj->bij", x, x * p[1]), i[:, 0]


def mixed_input(p, h, x):
    h = mg.tanh(p[0] * (x + p[1] * (h - x)))
    return h, h


def inner_steps(p, h, x):
    for _ in range(2):
        f = mg.sigmoid(h * p[0])
        h = (h + f * p[1] * x) / (1 + f)
    return h, h


CASES = [  # step, shape of the carry, numbers that a row keeps at each step
    (outer, (B, H, H), H * H + H),  # the carry, and y
    (scaled_outer, (B, H, H), H + 2),  # the sigmoid, the part of it that is read, and y
    (written_as_einsum, (B, H, H), H + 2),
    (mixed_input, (B, H), H),
    (inner_steps, (B, H), 3 * H),  # the carry, and both f
]


@pytest.mark.parametrize("step, shape, kept", CASES, ids=[case[0].__name__ for case in CASES])
def test_what_follows_from_less_is_not_kept(step, shape, kept):
    rng = np.random.default_rng(0)
    p = mg.tensor(rng.uniform(0.1, 0.9, (2, H)), requires_grad=True)
    xs, h = mg.tensor(rng.normal(size=(T, B, H)), requires_grad=True), mg.tensor(rng.normal(size=shape))

    def layer(p, xs):
        h_n, ys = mg.scan(lambda h, x: step(p, h, x), h, xs)
        return mg.sum(h_n * h_n) + mg.sum(ys * ys)

    def gradients(f):
        p.grad = xs.grad = None
        f(p, xs).backward()
        return p.grad, xs.grad

    fast = mg.jit(layer)
    forward = fast.explain(p, xs).loops[0]
    assert forward.saved == 8 * B * kept
    for got, want in zip(gradients(fast), gradients(layer), strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9, atol=1e-12)
