"""Scaled dot product attention beside PyTorch's, and what it does where nothing may be looked at."""

import numpy as np
import pytest

import minigrad as mg

MASK = np.array([[True, False, True, True], [False] * 4, [True] * 4])
CASES = {
    "plain": {},
    "a mask of bools": {"attn_mask": MASK},
    "a mask of floats": {"attn_mask": np.where(MASK, np.linspace(-1, 1, 4), -np.inf)},
    "a mask for each of the batch": {"attn_mask": np.stack([MASK, ~MASK])[:, None]},
    "causal": {"is_causal": True},
    "a scale": {"scale": 0.3},
}


def inputs(E=5, V=2):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(2, 3, *shape)) for shape in ((3, E), (4, E), (4, V))]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("jitted", [False, True])
def test_it_is_pytorchs(torch, case, jitted):
    options = CASES[case]
    theirs = [torch.tensor(x, requires_grad=True) for x in inputs()]
    given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    wanted = torch.nn.functional.scaled_dot_product_attention(*theirs, **given)
    wanted.square().sum().backward()

    def attention(*x):
        return mg.scaled_dot_product_attention(*x, **options)

    ours = [mg.tensor(x, requires_grad=True) for x in inputs()]
    got = (mg.jit(attention) if jitted else attention)(*ours)
    got.square().sum().backward()
    np.testing.assert_allclose(got.numpy(), wanted.detach().numpy(), rtol=1e-9, atol=1e-12)
    for x, z in zip(ours, theirs):
        np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_a_trace_serves_every_length():
    fast = mg.jit(lambda q, k, v: mg.scaled_dot_product_attention(q, k, v, is_causal=True))
    rng = np.random.default_rng(1)
    for L, S in ((7, 5), (9, 6), (8, 9)):
        q, k, v = [mg.tensor(rng.normal(size=(2, n, 3))) for n in (L, S, S)]
        wanted = mg.scaled_dot_product_attention(q, k, v, mg.tensor(np.tri(L, S, dtype=bool)))
        np.testing.assert_allclose(fast(q, k, v).numpy(), wanted.numpy(), rtol=1e-12)
    assert fast.traces == 2


def test_dropout_of_the_weights():
    q, k, v = inputs()
    v = np.eye(4)[None, None]  # what comes out are the weights
    weights = mg.scaled_dot_product_attention(q, k, v).numpy()
    for p in (0.5, 1.0):
        dropped = mg.scaled_dot_product_attention(q, k, v, dropout_p=p, generator=np.random.default_rng(0)).numpy()
        kept = dropped != 0
        np.testing.assert_allclose(dropped[kept], weights[kept] / (1 - p) if p < 1 else [], rtol=1e-12)
        assert not kept.all() and kept.any() == (p < 1)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"key": np.ones((4, 3))}, "got query .2, 3, 3, 5., key .4, 3., value"),
        ({"attn_mask": MASK, "is_causal": True}, "got attn_mask and is_causal, wanted one of them"),
        ({"attn_mask": MASK.astype(int)}, "got attn_mask of int64, wanted bool or float"),
        ({"dropout_p": 0.5}, "got dropout_p=0.5, wanted a generator with it"),
        ({"dropout_p": 1.5}, "got dropout_p=1.5, wanted a number from 0 to 1"),
    ],
)
def test_what_does_not_fit(change, message):
    q, k, v = inputs()
    given = {"query": q, "key": k, "value": v, **change}
    with pytest.raises((ValueError, TypeError), match=f"scaled_dot_product_attention: {message}"):
        mg.scaled_dot_product_attention(**given)


@pytest.mark.parametrize("call", [mg.matvec, mg.vecmat])
def test_vectors_and_matrices_do_not_take_less(call):
    with pytest.raises(ValueError, match=f"{call.__name__}: wanted"):
        call(np.ones(3), np.ones(3))


def test_matvec_in_a_loop_is_a_product_and_divided_between_threads():
    rng = np.random.default_rng(2)
    W, memory = mg.tensor(rng.normal(size=(16, 16)), requires_grad=True), mg.tensor(rng.normal(size=(8, 16, 16)))

    def step(h, x):
        h = mg.tanh(mg.matvec(W, h) + mg.matvec(memory, x) + mg.vecmat(h, memory))
        return h, h

    def f(xs, h):
        return mg.scan(step, h, xs)[1].square().sum()

    xs, h = mg.tensor(rng.normal(size=(5, 8, 16))), mg.tensor(np.zeros((8, 16)))
    fast = mg.jit(f)
    np.testing.assert_allclose(fast(xs, h).item(), f(xs, h).item(), rtol=1e-10)
    text = str(fast.explain(xs, h))
    assert text.count("batch divided between threads") == 2 and "product [8, 16] @ [16, 16]" in text
