import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import AspectClassifier, BahdanauAttention, LuongAttention
from minigrad.testing import gradcheck, seeds

KINDS = ["additive", "dot", "general", "concat"]
kinds, sizes = st.sampled_from(KINDS), st.integers(1, 4)
both = pytest.mark.parametrize("call", [lambda f: f, mg.jit], ids=["eager", "jit"])
without_layer = pytest.mark.eager_only("there is no layer in it; the test jits the attention itself")


def made(kind, Q, M, rng, A=3):
    if kind == "additive":
        return BahdanauAttention(Q, M, A, generator=rng)
    return LuongAttention(Q, Q if kind == "dot" else M, kind, generator=rng)


def plain(attention, query, memory):
    """One query (Q,) and the steps of one memory (T, M), one at a time: (context, weights)."""
    p = {name: parameter.numpy() for name, parameter in attention.named_parameters()}

    def score(h):
        if isinstance(attention, BahdanauAttention):
            return p["v.weight"][0] @ np.tanh(p["W.weight"] @ query + p["U.weight"] @ h)
        if attention.kind == "concat":
            return p["v.weight"][0] @ np.tanh(p["W.weight"] @ np.concatenate([query, h]))
        return query @ (p["W.weight"] @ h if attention.kind == "general" else h)

    e = np.exp([score(h) for h in memory])
    return sum(a * h for a, h in zip(e / e.sum(), memory)), e / e.sum()


@without_layer
@both
@given(kind=kinds, T=sizes, B=sizes, Q=sizes, M=sizes, more=st.sampled_from([(), (2,)]), data=st.data(), rng=seeds())
def test_each_query_gets_the_weighted_mean_of_what_is_not_masked(call, kind, T, B, Q, M, more, data, rng):
    """A mask with holes; what stands there (NaN) has no part in values or gradients."""
    attention = made(kind, Q, M, rng).astype("float64")
    mask = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=B, max_size=B), min_size=T, max_size=T)))
    array = rng.normal(size=(T, B, Q if kind == "dot" else M))
    query = mg.tensor(rng.normal(size=(*more, B, Q)), requires_grad=True)
    memory = mg.tensor(np.where(mask[..., None], array, np.nan), requires_grad=True)
    context, weights = call(attention)(query, memory, mg.tensor(mask))
    assert context.shape == (*more, B, array.shape[-1]) and weights.shape == (*more, T, B)
    for k in np.ndindex(*more, B):
        of_b = mask[:, k[-1]]
        got = weights.numpy()[(*k[:-1], slice(None), k[-1])]
        assert not got[~of_b].any()
        if not of_b.any():
            assert not context.numpy()[k].any()
            continue
        wanted = plain(attention, query.numpy()[k], array[of_b, k[-1]])
        np.testing.assert_allclose(context.numpy()[k], wanted[0], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(got[of_b], wanted[1], rtol=1e-11)
    (context * context).sum().backward()
    assert not memory.grad.numpy()[~mask].any()
    for p in [query, memory, *attention.parameters()]:
        assert np.isfinite(p.grad.numpy()).all()


@without_layer
@given(T=sizes, B=sizes, Q=sizes, M=sizes, kind=st.sampled_from(["dot", "general"]), rng=seeds())
def test_products_are_those_of_pytorch_with_its_scale(torch, T, B, Q, M, kind, rng):
    scale, mask = float(rng.uniform(0.1, 3)), rng.random((T, B)) < 0.7
    mask[0] = True
    attention = LuongAttention(Q, Q if kind == "dot" else M, kind, scale=scale, generator=rng).astype("float64")
    query, memory = rng.normal(size=(B, Q)), rng.normal(size=(T, B, Q if kind == "dot" else M))
    context, _ = attention(mg.tensor(query), mg.tensor(memory), mask)
    keys = memory @ attention.W.weight.numpy().T if kind == "general" else memory
    of_torch = torch.nn.functional.scaled_dot_product_attention(
        torch.tensor(query)[:, None], *[torch.tensor(x).transpose(0, 1) for x in (keys, memory)],
        attn_mask=torch.tensor(mask.T)[:, None], scale=scale,
    )  # fmt: skip
    np.testing.assert_allclose(context.numpy(), of_torch[:, 0].numpy(), rtol=1e-10, atol=1e-12)


@without_layer
@pytest.mark.parametrize("score", ["dot", "general", "concat"])
def test_scale_multiplies_the_logarithms_of_the_weights(score):
    rng = np.random.default_rng(3)
    one, scaled = [LuongAttention(3, 3, score, scale=scale, generator=rng).astype("float64") for scale in (1, 0.3)]
    scaled.load_state_dict(one.state_dict())
    query, memory = mg.tensor(rng.normal(size=(2, 3))), mg.tensor(rng.normal(size=(5, 2, 3)))
    ratios = [np.diff(np.log(attention(query, memory)[1].numpy()), axis=0) for attention in (one, scaled)]
    np.testing.assert_allclose(ratios[1], 0.3 * ratios[0], rtol=1e-10, atol=1e-13)


@without_layer
@pytest.mark.parametrize("kind", KINDS)
def test_no_mask_is_a_mask_without_padding(kind):
    rng = np.random.default_rng(0)
    attention = made(kind, 3, 2, rng)
    query, memory = rng.normal(size=(4, 3)), rng.normal(size=(5, 4, 3 if kind == "dot" else 2))
    given = mg.tensor(query.astype("float32")), mg.tensor(memory.astype("float32"))
    for a, b in zip(attention(*given), attention(*given, np.ones((5, 4), bool))):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@without_layer
@pytest.mark.parametrize("kind", KINDS)
def test_keys_may_be_computed_before(kind):
    rng = np.random.default_rng(2)
    attention, mask = made(kind, 3, 2, rng).astype("float64"), rng.random((5, 4)) < 0.7
    query = mg.tensor(rng.normal(size=(4, 3)))
    memory = mg.tensor(rng.normal(size=(5, 4, 3 if kind == "dot" else 2)))
    keys = attention.keys(memory)
    for a, b in zip(attention(query, memory, mask), attention(query, memory, mask, keys)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
    other = attention(query, memory, mask, keys + mg.tensor(rng.normal(size=keys.shape)))[1]
    assert not np.allclose(other.numpy(), attention(query, memory, mask)[1].numpy())


@without_layer
@both
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(call, kind):
    rng = np.random.default_rng(1)
    attention, mask = made(kind, 2, 3, rng), rng.random((3, 2)) < [1, 0.5]

    class Masked(nn.Module):
        def __init__(self):
            self.attention = attention
            self.call = call(lambda query, memory: attention(query, memory, mask))

        def forward(self, query, memory):
            return self.call(query, memory)

    memory = rng.normal(size=(3, 2, 2 if kind == "dot" else 3))
    assert gradcheck(Masked(), (rng.normal(size=(2, 2)), memory), second_order=kind == "additive")


@without_layer
@pytest.mark.parametrize("Q, M, A", [(1, 1, 1), (5, 3, 4)])
def test_parameter_count(Q, M, A):
    wanted = {"additive": A * (Q + M + 1), "dot": 0, "general": Q * M, "concat": Q * (Q + M + 1)}
    for kind in KINDS:
        assert sum(p.size for p in made(kind, Q, M, None, A).parameters()) == wanted[kind]


# Sentences and their aspects


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def classified(model, words, aspect):
    """Wang et al.'s equations for one sentence: (logits, weights)."""
    p = {name: parameter.numpy() for name, parameter in model.named_parameters()}
    v_a = p["aspects.weight"][aspect]
    h = c = np.zeros(p["lstm.weight_hh_l0"].shape[1])
    H = []
    for word in words:
        x = p["words.weight"][word]
        x = np.concatenate([x, v_a]) if model.append else x
        a = p["lstm.weight_ih_l0"] @ x + p["lstm.bias_ih_l0"] + p["lstm.weight_hh_l0"] @ h + p["lstm.bias_hh_l0"]
        i, f, g, o = np.split(a, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        H.append(h)
    M = [np.tanh(np.concatenate([p["W_h.weight"] @ h, p["W_v.weight"] @ v_a])) for h in H]
    e = np.exp([p["w.weight"][0] @ m for m in M])
    r = sum(a * h for a, h in zip(e / e.sum(), H))
    final = np.tanh(p["W_p.weight"] @ r + p["W_x.weight"] @ H[-1])
    return p["W_s.weight"] @ final + p["W_s.bias"], e / e.sum()


@given(append=st.booleans(), A=sizes, lengths=st.lists(st.integers(1, 5), min_size=2, max_size=3), rng=seeds())
def test_classifier_is_that_of_the_equations(append, A, lengths, rng):
    model = AspectClassifier(7, 3, 4, 2, 3, A, append, generator=rng).astype("float64")
    words, aspect = rng.integers(0, 7, (max(lengths) + 1, len(lengths))), rng.integers(0, 3, len(lengths))
    logits, weights = model(mg.tensor(words), mg.tensor(aspect), lengths)
    for b, length in enumerate(lengths):
        wanted = classified(model, words[:length, b], aspect[b])
        np.testing.assert_allclose(logits.numpy()[b], wanted[0], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(weights.numpy()[:length, b], wanted[1], rtol=1e-11)
        assert not weights.numpy()[length:, b].any()


@without_layer
@both
@pytest.mark.parametrize("append", [True, False])
def test_classifier_padding_changes_neither_values_nor_gradients(call, append):
    model = AspectClassifier(7, 3, 4, 2, 3, append=append, generator=np.random.default_rng(4)).astype("float64")
    fast = call(model)

    @given(lengths=st.lists(st.integers(1, 3), min_size=1, max_size=3), more=st.integers(0, 2), rng=seeds())
    def check(lengths, more, rng):
        B = len(lengths)
        words, aspect, weight = rng.integers(0, 7, (3, B)), rng.integers(0, 3, B), rng.normal(size=(B, 4))
        results = []
        for T in (3, 3 + more):
            padded = rng.integers(0, 7, (T, B))
            padded[:3] = np.where(np.arange(3)[:, None] < lengths, words, padded[:3])
            model.zero_grad()
            logits, weights = fast(mg.tensor(padded), mg.tensor(aspect), mg.tensor(lengths))
            (logits * weight).sum().backward()
            results.append([logits.numpy(), weights.numpy()[:3], *[p.grad.numpy() for p in model.parameters()]])
        for a, b in zip(*results):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)

    check()


def test_only_appended_does_the_aspect_change_where_it_looks():
    rng = np.random.default_rng(2)
    words = mg.tensor(rng.integers(0, 7, (5, 1)))
    for append in (True, False):
        model = AspectClassifier(7, 2, 3, 4, 4, append=append, generator=rng).astype("float64")
        (logits, weights), (others, same) = [model(words, mg.tensor([aspect])) for aspect in (0, 1)]
        assert np.allclose(weights.numpy(), same.numpy(), rtol=1e-12) is not append
        assert np.allclose(logits.numpy(), others.numpy()) is not append  # AT-LSTM cannot tell aspects apart at all


def test_classifier_gradcheck():
    rng = np.random.default_rng(3)
    model = AspectClassifier(4, 2, 2, 2, 2, generator=rng)

    class Given(nn.Module):
        def __init__(self):
            self.model = model

        def forward(self):
            return self.model(mg.tensor([[0, 1], [3, 2], [1, 0]]), mg.tensor([1, 0]), [3, 2])

    assert gradcheck(Given(), ())


@pytest.mark.parametrize("append", [True, False])
def test_classifier_parameter_count(append):
    W, N, K, E, H, A = 11, 3, 5, 4, 6, 2
    wanted = E * W + A * N + 4 * (H * (E + A + H) + 2 * H) + H * H + A * A + H + A + 2 * H * H + K * (H + 1)
    model = AspectClassifier(W, N, K, E, H, A, append)
    assert sum(p.size for p in model.parameters()) == wanted - (0 if append else 4 * H * A)


QUERY, MEMORY = mg.tensor(np.zeros((3, 2), "float32")), mg.tensor(np.zeros((5, 3, 2), "float32"))


@without_layer
@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda a: a(QUERY[:2], MEMORY),
            "LuongAttention: got a query (2, 2) and a memory (5, 3, 2), wanted (..., B, q",
        ),
        (lambda a: a(QUERY, MEMORY[0]), "got a query (3, 2) and a memory (3, 2)"),
        (lambda a: a(QUERY, MEMORY, np.ones((5, 3))), "LuongAttention: got a mask of float64, wanted bool"),
        (lambda a: a(QUERY, MEMORY, np.ones((3, 5), bool)), "got a mask (3, 5), wanted the memory's (T, B), (5, 3)"),
        (lambda a: LuongAttention(2, 3, "dot"), "got sizes 2 and 3, wanted equal ones for 'dot'; use 'general'"),
        (lambda a: LuongAttention(2, 2, "cosine"), "got score='cosine', wanted 'dot', 'general' or 'concat'"),
        (
            lambda a: AspectClassifier(2, 2, 2, 2, 2)(mg.tensor([[0]]), mg.tensor([0]), [0]),
            "AspectClassifier: got lengths [0], wanted each from 1 to 1",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        call(LuongAttention(2, 2))
