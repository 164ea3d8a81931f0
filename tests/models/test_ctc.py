import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.models import ctc_beam, ctc_greedy, ctc_loss
from minigrad.models.ctc import collapse
from minigrad.testing import gradcheck, seeds

pytestmark = pytest.mark.eager_only("there is no layer in it; these tests jit the loss themselves")
both = pytest.mark.parametrize("call", [lambda f: f, mg.jit], ids=["eager", "jit"])


def log_softmax(logits):
    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def probabilities(log_probs, blank):
    """Of every labelling, from all paths one by one: {labelling: probability}."""
    found: dict = {}
    T, C = log_probs.shape
    for path in itertools.product(range(C), repeat=T):
        labels = tuple(k for k, _ in itertools.groupby(path) if k != blank)
        found[labels] = found.get(labels, 0) + np.exp(sum(log_probs[t, k] for t, k in enumerate(path)))
    return found


@st.composite
def batches(draw):
    """(logits, targets, lengths of both, blank): few classes, so that labels repeat; some targets do not fit."""
    T, B, C, S = draw(st.integers(1, 9)), draw(st.integers(2, 4)), draw(st.integers(2, 4)), draw(st.integers(1, 5))
    rng, blank = draw(seeds()), draw(st.integers(0, C - 1))
    labels = st.sampled_from([k for k in range(C) if k != blank])
    targets = draw(st.lists(st.lists(labels, min_size=S, max_size=S), min_size=B, max_size=B))
    frames = draw(st.lists(st.integers(0, T), min_size=B, max_size=B))
    counts = draw(st.lists(st.integers(0, S), min_size=B, max_size=B))
    return rng.normal(size=(T, B, C)) * 2, np.array(targets), np.array(frames), np.array(counts), blank


@both
@given(batch=batches(), reduction=st.sampled_from(["none", "mean", "sum"]), rng=seeds())
def test_values_and_gradients_are_those_of_torch(torch, call, batch, reduction, rng):
    logits, *integers, blank = batch
    weight = rng.normal(size=logits.shape[1]) if reduction == "none" else np.array(1.0)

    def loss(logits, *integers, zero):
        return ctc_loss(mg.log_softmax(logits), *integers, blank, reduction, zero_infinity=zero)

    x = mg.tensor(logits, requires_grad=True)
    z = torch.tensor(logits, requires_grad=True)
    for zero in (False, True):
        y = call(lambda *args, zero=zero: loss(*args, zero=zero))(x, *map(mg.tensor, integers))
        wanted = torch.nn.functional.ctc_loss(
            z.log_softmax(-1), *map(torch.tensor, integers), blank=blank, reduction=reduction, zero_infinity=zero
        )
        np.testing.assert_allclose(y.numpy(), wanted.detach().numpy(), rtol=1e-9, atol=1e-9)
    (y * mg.tensor(weight)).sum().backward()
    (wanted * torch.tensor(weight)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-9, atol=1e-9)


@both
@given(T=st.integers(0, 5), C=st.integers(2, 3), blank=st.integers(0, 1), rng=seeds())
def test_the_loss_sums_over_all_paths(call, T, C, blank, rng):
    """Of all labellings in one batch, among them the empty one and such as do not fit; they exhaust the probability."""
    log_probs = log_softmax(rng.normal(size=(T, 1, C)))
    classes = [k for k in range(C) if k != blank]
    labellings = [x for n in range(T + 2) for x in itertools.product(classes, repeat=n)]
    targets = np.array([[*x, *[-7] * (T + 1 - len(x))] for x in labellings])
    counts = [len(x) for x in labellings]
    spread = np.repeat(log_probs, len(labellings), axis=1)
    losses = call(lambda x: ctc_loss(x, targets, None, np.array(counts), blank, "none"))(mg.tensor(spread)).numpy()
    known = probabilities(log_probs[:, 0], blank)
    np.testing.assert_allclose(np.exp(-losses), [known.get(x, 0) for x in labellings], rtol=1e-12)
    assert np.exp(-losses).sum() == pytest.approx(1, rel=1e-12)


def test_no_labels_at_all():
    log_probs = log_softmax(np.random.default_rng(0).normal(size=(4, 2, 3)))
    losses = ctc_loss(log_probs, np.zeros((2, 0), int), reduction="none")
    np.testing.assert_allclose(losses.numpy(), -log_probs[:, :, 0].sum(axis=0), rtol=1e-12)


@both
def test_gradcheck(call):
    rng = np.random.default_rng(1)
    targets, frames, counts = np.array([[1, 1, 2], [2, 1, 0]]), np.array([5, 3]), np.array([3, 1])
    f = call(lambda x: ctc_loss(mg.log_softmax(x), targets, frames, counts))
    assert gradcheck(f, [rng.normal(size=(5, 2, 3))], second_order=True)


@both
def test_what_does_not_fit_is_infinite_and_has_no_gradient(call):
    x = mg.tensor(np.random.default_rng(2).normal(size=(2, 3, 3)), requires_grad=True)
    targets = np.array([[1, 1], [1, 2], [2, 2]])  # a repeat needs three frames
    for zero, hidden in ((False, np.inf), (True, 0)):
        x.grad = None
        losses = call(lambda x, zero=zero: ctc_loss(mg.log_softmax(x), targets, None, None, 0, "none", zero))(x)
        assert losses.numpy()[[0, 2]].tolist() == [hidden, hidden] and np.isfinite(losses.numpy()[1])
        losses.sum().backward()
        assert not x.grad.numpy()[:, [0, 2]].any() and x.grad.numpy()[:, 1].all()


@both
def test_padding_changes_nothing(call):
    rng = np.random.default_rng(3)
    log_probs = log_softmax(rng.normal(size=(4, 1, 3)))
    alone = ctc_loss(log_probs, np.array([[1, 2]])).item()
    padded = mg.tensor(np.concatenate([log_probs, np.full((3, 1, 3), np.nan)]), requires_grad=True)
    loss = call(lambda x: ctc_loss(x, np.array([[1, 2, -100]]), np.array([4]), np.array([2])))(padded)
    assert loss.item() == alone
    loss.backward()
    assert padded.grad.numpy()[:4].any() and not padded.grad.numpy()[4:].any()


def test_jitted_the_loops_are_kernels():
    x = mg.tensor(np.zeros((5, 2, 3)), requires_grad=True)
    report = mg.jit(lambda x: ctc_loss(x, np.array([[1, 2], [2, 1]]))).explain(x)
    assert [loop.why_not for loop in report.loops] == [None, None]


# Decoding


@given(path=st.lists(st.integers(0, 2), max_size=12), blank=st.integers(0, 2))
def test_collapse(path, blank):
    assert collapse(path, blank) == [k for k, _ in itertools.groupby(path) if k != blank]


@given(T=st.integers(1, 6), B=st.integers(1, 3), C=st.integers(2, 4), data=st.data(), rng=seeds())
def test_greedy_takes_the_likeliest_path(T, B, C, data, rng):
    log_probs = log_softmax(rng.normal(size=(T, B, C)))
    lengths = data.draw(st.lists(st.integers(0, T), min_size=B, max_size=B))
    blank = data.draw(st.integers(0, C - 1))
    for b, labels in enumerate(ctc_greedy(mg.tensor(log_probs), lengths, blank)):
        paths = list(itertools.product(range(C), repeat=lengths[b]))
        best = max(paths, key=lambda path: sum(log_probs[t, b, k] for t, k in enumerate(path)))
        assert labels == collapse(best, blank)


@given(T=st.integers(0, 5), C=st.integers(2, 3), blank=st.integers(0, 1), width=st.integers(1, 6), rng=seeds())
def test_a_beam_that_holds_all_is_exact_and_a_narrower_one_bounds_it(T, C, blank, width, rng):
    log_probs = log_softmax(rng.normal(size=(T, 1, C)))
    known = probabilities(log_probs[:, 0], blank)
    [all_of_them] = ctc_beam(log_probs, width=10**6, blank=blank)
    found = {tuple(labels): np.exp(log_p) for labels, log_p in all_of_them}
    assert found.keys() == known.keys()
    np.testing.assert_allclose([found[x] for x in known], list(known.values()), rtol=1e-12)
    assert known[tuple(all_of_them[0][0])] == pytest.approx(max(known.values()), rel=1e-12)
    [narrow] = ctc_beam(log_probs, width=width, blank=blank)
    scores = [log_p for _, log_p in narrow]
    assert len(narrow) == min(width, len(all_of_them)) and scores == sorted(scores, reverse=True)
    assert all(np.exp(log_p) <= known.get(tuple(labels), 0) + 1e-12 for labels, log_p in narrow)


def test_the_likeliest_labelling_is_not_that_of_the_likeliest_path():
    """Figure 7.5 of Graves 2012: blank, blank is the likeliest path; but A has three paths."""
    log_probs = np.log([[[0.6, 0.4]], [[0.6, 0.4]]])
    assert ctc_greedy(log_probs) == [[]]
    [[(labels, log_p), *_]] = ctc_beam(log_probs, width=2)
    assert labels == [1] and np.exp(log_p) == pytest.approx(0.64)


def test_beams_stop_at_their_lengths():
    log_probs = log_softmax(np.random.default_rng(4).normal(size=(6, 2, 3)))
    long, short = ctc_beam(log_probs, [6, 2], width=4)
    assert long == ctc_beam(log_probs[:, :1], width=4)[0] and short == ctc_beam(log_probs[:2, 1:], width=4)[0]


X, Y = np.zeros((4, 2, 3)), np.ones((2, 2), int)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ctc_loss(X[0], Y), "ctc_loss: got log_probs (2, 3) and targets (2, 2), wanted (T, B, C) and (B, S)"),
        (lambda: ctc_loss(X, Y[:1]), "got log_probs (4, 2, 3) and targets (1, 2)"),
        (lambda: ctc_loss(X, Y * 1.0), "got float64 and float64, wanted float log_probs, integer targets"),
        (lambda: ctc_loss(X, Y, blank=3), "got blank=3, wanted one of the 3 classes, 0 to 2"),
        (lambda: ctc_loss(X, Y, reduction="all"), "got reduction='all'"),
        (lambda: ctc_loss(X, Y, [4, 5]), "ctc_loss: got input_lengths [4, 5], wanted each from 0 to 4"),
        (lambda: ctc_loss(X, Y, [4]), "ctc_loss: got input_lengths of shape (1,), wanted (2,), one for each sequence"),
        (lambda: ctc_loss(X, Y, [4, 4], [1.0, 2.0]), "ctc_loss: got target_lengths of float32, wanted integers"),
        (lambda: ctc_loss(X, Y, blank=1), "got targets [1, 1, 1, 1], wanted classes from 0 to 2 without the blank, 1"),
        (lambda: ctc_loss(X, 3 * Y), "got targets [3, 3, 3, 3]"),
        (lambda: ctc_greedy(X[0]), "ctc_greedy: got log_probs of shape (2, 3), wanted (T, B, C)"),
        (lambda: ctc_beam(X, width=0), "ctc_beam: got width=0, wanted an integer of at least 1"),
        (lambda: ctc_beam(X, blank=-1), "ctc_beam: got blank=-1"),
    ],
)
def test_errors(call, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=re.escape(message)):
        call()
