import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models import CRF, bio_forbidden
from minigrad.testing import gradcheck, seeds

pytestmark = pytest.mark.eager_only("there is no layer in it; these tests jit the CRF themselves")
both = pytest.mark.parametrize("call", [lambda f: f, mg.jit], ids=["eager", "jit"])


@st.composite
def problems(draw):
    """(CRF, emissions, lengths, rng); some transitions are forbidden, but from, to and between the tag 0."""
    T, B, K = draw(st.integers(1, 5)), draw(st.integers(2, 3)), draw(st.integers(1, 3))
    rng = draw(seeds())
    pairs = [(i, j) for i in [None, *range(K)] for j in [*range(K), None] if (i or 0, j or 0) != (0, 0)]
    forbidden = draw(st.lists(st.sampled_from(pairs), max_size=3)) if pairs else []
    crf = CRF(K, forbidden, generator=rng).astype("float64")
    with mg.no_grad():
        for p in crf.parameters():
            p.copy_(rng.normal(size=p.shape))
    lengths = draw(st.lists(st.integers(1, T), min_size=B, max_size=B))
    return crf, rng.normal(size=(T, B, K)) * 2, np.array(lengths), rng


def paths(crf, emissions, b, length):
    """Every path of one sequence with its score, by the definition: {tags: score}."""
    never, K = crf.forbidden, crf.num_tags
    A, start, end = (p.numpy() for p in (crf.transitions, crf.start_transitions, crf.end_transitions))
    scores = {}
    for y in itertools.product(range(K), repeat=length):
        score = start[y[0]] + end[y[-1]] + sum(emissions[t, b, k] for t, k in enumerate(y))
        score += sum(A[i, j] for i, j in itertools.pairwise(y))
        steps = itertools.pairwise([K, *y, K])
        scores[y] = -np.inf if any(never[i, j] for i, j in steps) else score
    return scores


@both
@given(problem=problems())
def test_partition_likelihood_and_marginals_are_sums_over_all_paths(call, problem):
    crf, emissions, lengths, rng = problem
    T, B, K = emissions.shape
    tags = rng.integers(0, K, (T, B))
    x, L = mg.tensor(emissions), mg.tensor(lengths)
    log_Z = call(crf.log_partition)(x, L).numpy()
    log_p = call(crf.forward)(x, mg.tensor(tags), L).numpy()
    marginals = call(crf.marginals)(x, L).numpy()
    for b, length in enumerate(lengths):
        scores = paths(crf, emissions, b, length)
        Z = sum(np.exp(list(scores.values())))
        assert log_Z[b] == pytest.approx(np.log(Z), rel=1e-12)
        np.testing.assert_allclose(log_p[b], scores[tuple(tags[:length, b])] - np.log(Z), rtol=1e-11, atol=1e-12)
        wanted = np.zeros((T, K))
        for y, score in scores.items():
            wanted[range(length), y] += np.exp(score) / Z
        np.testing.assert_allclose(marginals[:, b], wanted, rtol=1e-10, atol=1e-14)


@both
@given(problem=problems())
def test_viterbi_finds_the_best_of_all_paths(call, problem):
    crf, emissions, lengths, _ = problem
    tags, best = call(crf.decode)(mg.tensor(emissions), mg.tensor(lengths))
    for b, length in enumerate(lengths):
        scores = paths(crf, emissions, b, length)
        path = tuple(tags.numpy()[:length, b])
        assert path == max(scores, key=scores.__getitem__) and best.numpy()[b] == pytest.approx(scores[path], rel=1e-12)
        assert not tags.numpy()[length:, b].any()


@both
@given(problem=problems())
def test_the_gradient_of_log_z_counts_transitions(call, problem):
    """With respect to A[i, j]: how often j is expected to follow i."""
    crf, emissions, lengths, _ = problem
    call(crf.log_partition)(mg.tensor(emissions), mg.tensor(lengths)).sum().backward()
    wanted = [np.zeros(p.shape) for p in (crf.transitions, crf.start_transitions, crf.end_transitions)]
    for b, length in enumerate(lengths):
        scores = paths(crf, emissions, b, length)
        Z = sum(np.exp(list(scores.values())))
        for y, score in scores.items():
            p = np.exp(score) / Z
            wanted[1][y[0]] += p
            wanted[2][y[-1]] += p
            for i, j in itertools.pairwise(y):
                wanted[0][i, j] += p
    for p, w in zip((crf.transitions, crf.start_transitions, crf.end_transitions), wanted):
        got = np.zeros(p.shape) if p.grad is None else p.grad.numpy()
        np.testing.assert_allclose(got, w, rtol=1e-10, atol=1e-14)


@given(T=st.integers(1, 30), K=st.integers(1, 6), rng=seeds())
def test_marginals_are_those_of_forward_and_backward(T, K, rng):
    """α and β in probabilities, scaled at each step (Rabiner 1989), where there are too many paths to list."""
    crf = CRF(K, generator=rng).astype("float64")
    emissions = rng.normal(size=(T, K))
    psi = np.exp(emissions)
    A, start, end = (np.exp(p.numpy()) for p in (crf.transitions, crf.start_transitions, crf.end_transitions))
    alpha, beta = np.zeros((T, K)), np.zeros((T, K))
    alpha[0], beta[-1] = start * psi[0], end
    for t in range(1, T):
        alpha[t] = alpha[t - 1] / alpha[t - 1].sum() @ A * psi[t]
        beta[T - 1 - t] = A @ (psi[T - t] * beta[T - t] / beta[T - t].sum())
    wanted = alpha * beta / (alpha * beta).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(crf.marginals(mg.tensor(emissions[:, None])).numpy()[:, 0], wanted, rtol=1e-10)


@both
def test_gradcheck(call):
    rng = np.random.default_rng(0)
    crf = CRF(3, [(1, 2), (None, 2)], generator=rng)
    tags, lengths = np.array([[0, 1], [1, 0], [1, 2]]), np.array([3, 1])

    class Likelihood(mg.nn.Module):
        def __init__(self):
            self.crf = crf
            self.call = call(lambda x: crf(x, tags, lengths))

        def forward(self, x):
            return self.call(x)

    assert gradcheck(Likelihood(), [rng.normal(size=(3, 2, 3))], second_order=True)


@both
def test_forbidden_tags_have_no_probability_and_learn_nothing(call):
    crf = CRF(3, [(0, 1), (None, 2)], generator=np.random.default_rng(1)).astype("float64")
    x = mg.tensor(np.random.default_rng(2).normal(size=(2, 2, 3)))
    log_p = call(crf)(x, mg.tensor([[0, 2], [1, 0]]))
    assert log_p.numpy().tolist() == [-np.inf, -np.inf]
    call(crf)(x, mg.tensor([[0, 1], [2, 1]])).sum().backward()
    assert crf.transitions.grad.numpy()[0, 1] == 0 == crf.start_transitions.grad.numpy()[2]
    assert np.isfinite(crf.transitions.grad.numpy()).all() and crf.transitions.grad.numpy()[0, 2] != 0


@given(rng=seeds(), T=st.integers(1, 8))
def test_what_bio_forbids_is_never_decoded(rng, T):
    names = ["O", "B-per", "I-per", "B-org", "I-org"]
    crf = CRF(5, bio_forbidden(names), generator=rng)
    tags, _ = crf.decode(mg.tensor(rng.normal(size=(T, 20, 5)).astype("float32") * 5))
    for path in tags.numpy().T:
        for before, tag in itertools.pairwise(["O", *[names[k] for k in path]]):
            assert not tag.startswith("I-") or before[1:] == tag[1:]


def test_bio_forbidden():
    assert sorted(bio_forbidden(["O", "B-x", "I-x", "I-y"]), key=str) == sorted(
        [(0, 2), (None, 2), (3, 2), (0, 3), (None, 3), (1, 3), (2, 3)], key=str
    )


@both
def test_padding_changes_nothing(call):
    rng = np.random.default_rng(3)
    crf = CRF(4, generator=rng).astype("float64")
    emissions, tags = rng.normal(size=(5, 2, 4)), rng.integers(0, 4, (5, 2))
    emissions[2:, 1], tags[2:, 1] = np.nan, -100
    x = mg.tensor(emissions, requires_grad=True)
    log_p = call(crf)(x, mg.tensor(tags), mg.tensor([5, 2]))
    alone = crf(mg.tensor(emissions[:2, 1:]), mg.tensor(tags[:2, 1:]))
    np.testing.assert_allclose(log_p.numpy()[1], alone.numpy()[0], rtol=1e-13)
    log_p.sum().backward()
    assert not x.grad.numpy()[2:, 1].any() and x.grad.numpy()[:2].all()


def test_jitted_the_loops_are_kernels():
    crf = CRF(3, [(0, 1)]).astype("float64")
    x, tags = mg.tensor(np.zeros((5, 2, 3)), requires_grad=True), np.zeros((5, 2), int)
    assert [loop.why_not for loop in mg.jit(crf).explain(x, tags, np.array([5, 2])).loops] == [None] * 4


@pytest.mark.parametrize("K", [1, 5])
def test_parameter_count(K):
    assert sum(p.size for p in CRF(K).parameters()) == K * K + 2 * K


X, Y = mg.tensor(np.zeros((4, 2, 3), "float32")), np.zeros((4, 2), int)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: CRF(2)(X, Y), "CRF: got emissions (4, 2, 3), wanted (T, B, 2) with T at least 1"),
        (lambda: CRF(3)(X[:0], Y[:0]), "CRF: got emissions (0, 2, 3)"),
        (lambda: CRF(3)(X, Y[:2]), "CRF: got tags (2, 2), wanted one for each step, (4, 2)"),
        (lambda: CRF(3)(X, Y * 1.0), "CRF: got tags of float64, wanted integers"),
        (lambda: CRF(3)(X, Y + 3), "wanted them from 0 to 2"),
        (lambda: CRF(3).decode(X, [4, 0]), "CRF: got lengths [4, 0], wanted each from 1 to 4"),
        (lambda: CRF(3, [(0, 3)]), "CRF: got a forbidden transition (0, 3), wanted tags from 0 to 2, or None"),
        (lambda: bio_forbidden(["O", "PER"]), "bio_forbidden: got the tags PER, wanted 'O', 'B-...' and 'I-...'"),
    ],
)
def test_errors(call, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=re.escape(message)):
        call()
