import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.models import BahdanauDecoder, Decoder, GRUCell, LSTMCell, LuongDecoder, Seq2Seq
from minigrad.models.seq2seq import greatest
from minigrad.testing import gradcheck, seeds

DECODERS = [Decoder, BahdanauDecoder, LuongDecoder]
CELLS = {Decoder: LSTMCell, BahdanauDecoder: GRUCell, LuongDecoder: LSTMCell}
both = pytest.mark.parametrize("call", [lambda f: f, mg.jit], ids=["eager", "jit"])
whole = pytest.mark.eager_only("the test jits the whole model, its layer within")
decoders = st.sampled_from(DECODERS)
sources = st.lists(st.integers(1, 4), min_size=2, max_size=3)  # lengths
END = 1


def made(decoder, rng, cell=GRUCell, targets=4, **options):
    """A model in float64 with weights so large that what it writes differs from source to source."""
    model = Seq2Seq(5, targets, 2, 3, decoder, cell, generator=rng, **options).astype("float64")
    with mg.no_grad():
        for p in model.parameters():
            p.copy_(2.5 * p)
    return model


def source_of(rng, lengths, padding=1):
    return mg.tensor(rng.integers(0, 5, (max(lengths) + padding, len(lengths))))


def log_probabilities(model, source, lengths, symbols):
    """Of symbols (S, B) up to the first end, by teacher forcing."""
    log_p = mg.log_softmax(model(source, mg.tensor(symbols), lengths)[0]).numpy()
    chosen = np.take_along_axis(log_p, symbols[..., None], axis=2)[..., 0]
    before_end = np.cumsum(symbols == END, axis=0) - (symbols == END) == 0
    return (chosen * before_end).sum(axis=0), before_end.sum(axis=0)


# Against the equations


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(p, prefix, suffix, x, h):
    W_x, W_h, b_x, b_h = [p[f"{prefix}.{n}{suffix}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(W_x @ x + b_x, 3), np.split(W_h @ h + b_h, 3)
    z = sigmoid(x_z + h_z)
    return (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h


def attend(scores, memory):
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ memory, weights


def plain(model, source, target):
    """Logits and weights for one source and one target, as the papers of the three decoders have them."""
    p = {name: parameter.numpy() for name, parameter in model.named_parameters()}

    def read(words, suffix):
        h, states = np.zeros(3), []
        for word in words:
            h = gru(p, "encoder", suffix, p["embedding.weight"][word], h)
            states.append(h)
        return states

    kind = type(model.decoder)
    if kind is BahdanauDecoder:
        behind = read(source[::-1], "_l0_reverse")[::-1]
        memory = np.concatenate([read(source, "_l0"), behind], axis=1)
        s = behind[0]
    else:
        memory = np.array(read(source[::-1] if kind is Decoder else source, "_l0"))
        s = memory[-1]
    fed, logits, weights = np.zeros(3), [], []
    for word in [0, *target[:-1]]:
        y, W_o, b_o = p["decoder.embedding.weight"][word], p["decoder.output.weight"], p["decoder.output.bias"]
        if kind is Decoder:
            s = gru(p, "decoder.cell", "", y, s)
            logits.append(W_o @ s + b_o)
        elif kind is BahdanauDecoder:
            W, U, v = [p[f"decoder.attention.{name}.weight"] for name in "WUv"]
            c, alpha = attend(np.array([v[0] @ np.tanh(W @ s + U @ h) for h in memory]), memory)
            s = gru(p, "decoder.cell", "", np.concatenate([y, c]), s)
            t = np.concatenate([s, c, y])
            if model.decoder.readout is not None:
                t = p["decoder.readout.weight"] @ t + p["decoder.readout.bias"]
                t = np.maximum(t[0::2], t[1::2])
            logits.append(W_o @ t + b_o)
            weights.append(alpha)
        else:
            s, scale = gru(p, "decoder.cell", "", np.concatenate([y, fed]), s), model.decoder.attention.scale
            c, alpha = attend(scale * np.array([s @ p["decoder.attention.W.weight"] @ h for h in memory]), memory)
            fed = np.tanh(p["decoder.combine.weight"] @ np.concatenate([c, s]))
            logits.append(W_o @ fed + b_o)
            weights.append(alpha)
    return np.array(logits), np.array(weights)


kinds = st.one_of(
    decoders.map(lambda decoder: (decoder, {})),
    st.sampled_from([(BahdanauDecoder, {"readout": 2}), (LuongDecoder, {"scale": 0.3})]),
)


@given(kind=kinds, lengths=sources, S=st.integers(1, 4), rng=seeds())
def test_teacher_forcing_is_that_of_the_equations(kind, lengths, S, rng):
    decoder, options = kind
    model, source = made(decoder, rng, **options), source_of(rng, lengths)
    target = rng.integers(1, 4, (S, len(lengths)))
    logits, weights = model(source, mg.tensor(target), lengths)
    for b, length in enumerate(lengths):
        wanted = plain(model, source.numpy()[:length, b], target[:, b])
        np.testing.assert_allclose(logits.numpy()[:, b], wanted[0], rtol=1e-10, atol=1e-12)
        if decoder is Decoder:
            assert weights is None
        else:
            np.testing.assert_allclose(weights.numpy()[:, :length, b], wanted[1], rtol=1e-10, atol=1e-12)
            assert not weights.numpy()[:, length:, b].any()


@whole
@both
@pytest.mark.parametrize("decoder", DECODERS)
def test_gradcheck(call, decoder):
    rng = np.random.default_rng(0)
    model = Seq2Seq(3, 3, 2, 2, decoder, CELLS[decoder], generator=rng)
    source, target = rng.integers(0, 3, (3, 2)), rng.integers(0, 3, (2, 2))

    class Forced(nn.Module):
        def __init__(self):
            self.model = model
            self.call = call(lambda: model(mg.tensor(source), mg.tensor(target), [3, 2]))

        def forward(self):
            return self.call()

    assert gradcheck(Forced(), ())


@whole
@pytest.mark.parametrize("decoder", DECODERS)
def test_jitted_the_loops_are_kernels(decoder):
    model = Seq2Seq(5, 4, 2, 2, decoder, CELLS[decoder]).astype("float64")
    f = mg.jit(lambda *args: model(*args)[0])
    report = f.explain(mg.tensor(np.zeros((3, 2), int)), mg.tensor(np.zeros((2, 2), int)), np.array([3, 2]))
    assert len(report.loops) >= 4 and not any(loop.why_not for loop in report.loops)


# Search


@whole
@both
@mg.no_grad()
@given(decoder=decoders, lengths=sources, max_length=st.integers(1, 6), rng=seeds())
def test_a_beam_of_width_one_is_greedy(call, decoder, lengths, max_length, rng):
    model, source = made(decoder, rng, CELLS[decoder]), source_of(rng, lengths)
    symbols, counts, weights = call(lambda *args: model.greedy(*args, max_length=max_length))(source, lengths)
    beam, of_beam, score = call(lambda *args: model.beam(*args, width=1, max_length=max_length))(source, lengths)
    np.testing.assert_array_equal(beam.numpy()[:, :, 0], symbols.numpy())
    np.testing.assert_array_equal(of_beam.numpy()[:, 0], counts.numpy())
    wanted, number = log_probabilities(model, source, lengths, symbols.numpy())
    np.testing.assert_array_equal(counts.numpy(), number)
    np.testing.assert_allclose(score.numpy()[:, 0], wanted, rtol=1e-10)
    if weights is not None:
        assert weights.shape == (max_length, *source.shape)
    forced = model(source, symbols, lengths)[0].numpy().argmax(axis=-1)  # what it wrote is what it would write
    for b, count in enumerate(counts.numpy()):
        np.testing.assert_array_equal(forced[:count, b], symbols.numpy()[:count, b])
        assert (symbols.numpy()[count:, b] == END).all()


@whole
@both
@mg.no_grad()
@given(
    decoder=decoders, lengths=sources, max_length=st.integers(1, 3), penalty=st.sampled_from([0.0, 0.7, 2]), rng=seeds()
)
def test_a_beam_of_full_width_is_exhaustive_search(call, decoder, lengths, max_length, penalty, rng):
    model, source = made(decoder, rng, CELLS[decoder], targets=3), source_of(rng, lengths)
    candidates = [
        (*body, *[END] * (max_length - len(body)))
        for n in range(max_length + 1)
        for body in itertools.product([0, 2], repeat=n)
    ]
    symbols, counts, scores = call(
        lambda *args: model.beam(*args, width=3**max_length, max_length=max_length, length_penalty=penalty)
    )(source, lengths)
    for b, length in enumerate(lengths):
        of_b = np.repeat(source.numpy()[:length, b : b + 1], len(candidates), axis=1)
        log_p, number = log_probabilities(model, mg.tensor(of_b), None, np.array(candidates).T)
        assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-10)
        order = np.argsort(-log_p / number**penalty)
        found = len(candidates)
        np.testing.assert_allclose(scores.numpy()[b, :found], log_p[order], rtol=1e-10)
        np.testing.assert_array_equal(symbols.numpy()[:, b, :found].T, np.array(candidates)[order])
        np.testing.assert_array_equal(counts.numpy()[b, :found], number[order])
        assert (scores.numpy()[b, found:] == -np.inf).all()


@whole
@mg.no_grad()
@given(decoder=decoders, lengths=sources, width=st.integers(1, 5), max_length=st.integers(2, 5), rng=seeds())
def test_any_beam_gives_different_continuations_with_their_probabilities(decoder, lengths, width, max_length, rng):
    model, source = made(decoder, rng), source_of(rng, lengths)
    symbols, counts, scores = [x.numpy() for x in model.beam(source, lengths, width=width, max_length=max_length)]
    assert (np.diff(scores, axis=1) <= 0).all()
    for k in range(width):
        wanted, number = log_probabilities(model, source, lengths, symbols[:, :, k])
        np.testing.assert_allclose(scores[:, k], wanted, rtol=1e-10)
        np.testing.assert_array_equal(counts[:, k], number)
    for b in range(len(lengths)):
        assert len({tuple(x) for x in symbols[:, b].T}) == width


@given(rows=st.integers(1, 3), n=st.integers(1, 8), data=st.data(), rng=seeds())
def test_the_greatest_are_those_of_topk(rows, n, data, rng):
    scores, k = mg.tensor(rng.integers(0, 4, (rows, n)).astype(float)), data.draw(st.integers(1, n))
    for got, wanted in zip(greatest(scores, k), mg.topk(scores, k)):
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())


@whole
@pytest.mark.parametrize("decoder", DECODERS)
def test_dropout_is_while_training_and_the_same_jitted(decoder):
    model, source = made(decoder, np.random.default_rng(0), CELLS[decoder], dropout=0.5), mg.tensor([[2, 3], [4, 1]])
    call = lambda f: f(source, mg.tensor([[2, 3], [1, 1]]))[0].numpy()  # noqa: E731
    state = model.decoder.drop.generator.bit_generator.state
    first, second = call(model), call(model)
    assert not np.allclose(first, second)
    model.decoder.drop.generator.bit_generator.state = state
    np.testing.assert_allclose(call(mg.jit(model)), first, rtol=1e-10)
    model.eval()
    without = made(decoder, np.random.default_rng(1), CELLS[decoder])
    without.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(call(model), call(without))


# Padding and sizes


@given(decoder=decoders, lengths=sources, padding=st.integers(0, 2), rng=seeds())
def test_padding_of_the_source_changes_nothing(decoder, lengths, padding, rng):
    model, source = made(decoder, rng, CELLS[decoder]), source_of(rng, lengths, padding)
    target = rng.integers(1, 4, (3, len(lengths)))
    logits, _ = model(source, mg.tensor(target), lengths)
    weight = rng.normal(size=logits.shape)
    (logits * weight).sum().backward()
    got = {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for b, length in enumerate(lengths):
        alone, _ = model(source[:length, b : b + 1], mg.tensor(target[:, b : b + 1]))
        np.testing.assert_allclose(logits.numpy()[:, b], alone.numpy()[:, 0], rtol=1e-10, atol=1e-12)
        (alone * weight[:, b : b + 1]).sum().backward()
    for name, p in model.named_parameters():
        np.testing.assert_allclose(got[name], p.grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("decoder", [*DECODERS, "with a readout"])
def test_parameter_count(decoder):
    N, V, E, H, R = 7, 5, 3, 4, 6
    gru = lambda size: 3 * (H * (size + H) + 2 * H)  # noqa: E731
    wanted = {
        Decoder: gru(E) + gru(E) + V * (H + 1),
        BahdanauDecoder: 2 * gru(E) + H * (H + 2 * H + 1) + gru(E + 2 * H) + V * (3 * H + E + 1),
        LuongDecoder: gru(E) + H * H + gru(E + H) + H * 2 * H + V * (H + 1),
        "with a readout": 2 * gru(E) + H * (H + 2 * H + 1) + gru(E + 2 * H) + 2 * R * (3 * H + E + 1) + V * (R + 1),
    }[decoder]
    model = Seq2Seq(N, V, E, H, decoder) if decoder in DECODERS else Seq2Seq(N, V, E, H, readout=R)
    assert sum(p.size for p in model.parameters()) == (N + V) * E + wanted


def test_luong_scores_are_an_option():
    rng = np.random.default_rng(1)
    for score in ("dot", "general", "concat"):
        model = made(LuongDecoder, rng, score=score)
        logits, _ = model(source_of(rng, [3]), mg.tensor([[2], [END]]))
        assert logits.shape == (2, 1, 4) and model.decoder.attention.kind == score


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Seq2Seq(3, 3, 2, 2, end=3), "Seq2Seq: got start=0 and end=3, wanted two of the 3 target symbols"),
        (lambda: made(Decoder, None).greedy(mg.tensor([1, 2]), max_length=2), "got a source of shape (2,), wanted (T"),
        (lambda: made(Decoder, None).greedy(mg.tensor([[1]]), [2], max_length=2), "got lengths [2], wanted each from"),
        (lambda: made(Decoder, None).beam(mg.tensor([[1]]), width=0, max_length=2), "got width=0, wanted an integer"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
