"""Every cell and every system of minigrad.models as ONNX, run with other lengths and batches than were exported."""

from functools import partial

import numpy as np
import pytest
from onnx_running import NoKernel, close, eager, run, session_of

import minigrad as mg
from minigrad import models, nn
from minigrad.models import Recurrent
from minigrad.models.tasks.cells import CELLS

I, H, V = 2, 4, 5
EVERY = CELLS | {
    "peephole convlstm": partial(models.ConvLSTMCell, kernel_size=3, peepholes=(2, 3)),
    "grid of 3": partial(models.GridLSTMCell, depth=3, tied=True),
    "zoneout": lambda i, h: models.Zoneout(models.LSTMCell(i, h), 0.1, 0.2),
    "variational dropout": lambda i, h: models.VariationalDropout(models.LSTMCell(i, h), 0.1, 0.2),
    "recurrent dropout": lambda i, h: models.RecurrentDropout(models.GRUCell(i, h), 0.1),
}
SIZES = (7, 3), (1, 1)  # T and B; what is exported is (5, 4)


def check(f, example, others, tmp_path, fed=lambda inputs: inputs, **options):
    """f, exported at an example, at others."""
    model = mg.export(f, example, tmp_path / "model.onnx", **options)
    session = session_of(model)
    for inputs in (example, *others):
        leaves = mg.tree.flatten(inputs)[0]
        close(run(session, *leaves), eager(f, *mg.tree.map(mg.tensor, inputs)), scale=64.0)
    return model


@pytest.mark.parametrize("name", EVERY)
def test_a_cell(name, tmp_path):
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        cell = EVERY[name](I, H)
        layer = Recurrent(cell).astype(dtype)
        layer.eval()
        image = (2, 3) if getattr(cell, "feature_ndim", 1) == 3 else ()

        def inputs(T, B):
            return rng.normal(size=(T, B, I, *image)).astype(dtype), rng.integers(0, T + 1, B)

        def padded(x, lengths):
            return layer(x, lengths=lengths)

        try:
            model = check(padded, inputs(5, 4), [inputs(*size) for size in SIZES], tmp_path)
        except NoKernel:
            assert dtype == "float64" and image  # of float64 onnxruntime has no convolutions
            continue
        stored = {x.name for x in model.graph.initializer}
        assert {f"layer.{name}" for name, _ in layer.named_parameters()} <= stored


def symbols(rng, *shape):
    return rng.integers(0, V, shape)


def normal(rng, *shape):
    return rng.normal(size=shape).astype("float32")


def encoder():
    return nn.Sequential(nn.Conv2d(1, 3, 2), mg.relu)


def of_forest(rng, T, B):
    trees = [[-1, *[int(rng.integers(0, k)) for k in range(1, T + 1)]] for _ in range(B)]
    trees = models.forest(trees)
    return normal(rng, len(trees.place), I), tuple(trees)


def in_forest(layer):
    return lambda x, trees: layer(x, models.Forest(*trees))


def seq2seq(decoder, **options):
    return models.Seq2Seq(V, V, 3, H, decoder, **options)


def captioner(decoder):
    return models.Captioner(encoder(), (1, 3, 4), V, 3, H, decoder)


def tagger(**options):
    return models.Tagger(nn.Embedding(V, 3), H, 4, **options)


def lengths(rng, T, B):
    return rng.integers(1, T + 1, B)


def sequence(rng, T, B):
    return normal(rng, T, B, I), normal(rng, T, B, 3)


def source_and_target(rng, T, B):
    return symbols(rng, T, B), symbols(rng, T + 1, B), lengths(rng, T, B)


def source(rng, T, B):
    return symbols(rng, T, B), lengths(rng, T, B)


def images(rng, T, B):
    return (normal(rng, B, 1, 3, 4),)


def film(rng, T, B):
    return (normal(rng, T, B, 1, 3, 4),)


def evidence(model):
    return lambda x, noise: tuple(model(x, noise))


def beam(model):
    return lambda source, lengths: model.beam(source, lengths, width=2, max_length=4)


def greedy(model):
    return lambda *inputs: model.greedy(*inputs, max_length=4)


def spelled():
    return tagger_of(models.SpelledWords(V, V, 3, 2, 2))


def tagger_of(embedding):
    model = models.Tagger(embedding, H, 4)
    return lambda words, spelling, lengths: model((words, spelling), lengths)


SYSTEMS = {
    "lstm of two layers, both ways": (
        lambda: models.LSTM(I, H, 2, bidirectional=True), lambda r, T, B: sequence(r, T, B)[:1]
    ),
    "gru, batch first": (lambda: models.GRU(I, H, batch_first=True), lambda r, T, B: (normal(r, B, T, I),)),
    "rnn with a state": (lambda: models.RNN(I, H), lambda r, T, B: (normal(r, T, B, I), normal(r, 1, B, H))),
    "convlstm": (lambda: models.ConvLSTM(1, 2, 3, 2), film),
    "convgru": (lambda: models.ConvGRU(1, 2, 3), film),
    "encoder and forecaster": (
        lambda: partial(models.EncoderForecaster(1, (2, 3), 3), steps=4), film
    ),
    "predictor of frames": (lambda: partial(models.FramePredictor(1, (2, 3), 3), steps=4), film),
    "frames": (
        lambda: models.FrameClassifier(nn.Sequential(encoder(), lambda y: y.mean(axis=(2, 3))), 3, H, 4),
        lambda r, T, B: (normal(r, T, B, 1, 3, 4), lengths(r, T, B)),
    ),
    "grid": (lambda: models.GridLSTM1d(I, H, 2), lambda r, T, B: (normal(r, B, I),)),
    "documents": (
        lambda: models.DocumentClassifier(V, 3, H, 2),
        lambda r, T, B: (symbols(r, T, 3, B), r.integers(0, T + 1, (3, B))),
    ),
    "documents without lengths": (
        lambda: models.DocumentClassifier(V, 3, H, 2), lambda r, T, B: (symbols(r, T, 3, B),)
    ),
    "aspects": (
        lambda: models.AspectClassifier(V, 3, 2, 3, H),
        lambda r, T, B: (symbols(r, T, B), r.integers(0, 3, B), lengths(r, T, B)),
    ),
    "sutskever": (lambda: seq2seq(models.Decoder), source_and_target),
    "bahdanau": (lambda: seq2seq(models.BahdanauDecoder), source_and_target),
    "luong": (lambda: seq2seq(models.LuongDecoder, score="concat"), source_and_target),
    "greedy": (lambda: greedy(seq2seq(models.BahdanauDecoder)), source),
    "beam": (lambda: beam(seq2seq(models.LuongDecoder)), source),
    "show and tell": (
        lambda: captioner(models.ShowAndTell), lambda r, T, B: (*images(r, T, B), symbols(r, T + 1, B))
    ),
    "show, attend and tell": (lambda: greedy(captioner(models.ShowAttendTell)), images),
    "tagger": (lambda: tagger(num_layers=2, dropout=0.3), source),
    "tagger of spelled words": (spelled, lambda r, T, B: (symbols(r, T, B), symbols(r, T, B, 3), lengths(r, T, B))),
    "viterbi": (lambda: tagger(crf=models.CRF(4, [(0, 1)])).decode, source),
    "marginals of a crf": (
        lambda: models.CRF(4).marginals, lambda r, T, B: (normal(r, T + 1, B, 4), lengths(r, T, B))
    ),
    "crf": (
        lambda: models.CRF(V), lambda r, T, B: (normal(r, T + 1, B, V), symbols(r, T + 1, B), lengths(r, T, B))
    ),
    "ctc": (
        lambda: lambda x, y, t, u: models.ctc_loss(mg.log_softmax(x), y, t, u, reduction="none"),
        lambda r, T, B: (
            normal(r, T + 9, B, V), r.integers(1, V, (B, 3)), r.integers(8, T + 9, B), r.integers(1, 4, B)
        ),
    ),
    "vrnn": (lambda: evidence(models.VRNN(I, 3, H)), sequence),
    "storn": (lambda: evidence(models.STORN(I, 3, H, "bernoulli")), sequence),
    "samples of a vrnn": (
        lambda: (lambda m: lambda z, x: m.sample(z, x)[0])(models.VRNN(I, 3, H)),
        lambda r, T, B: sequence(r, T, B)[::-1],
    ),
    "draw": (
        lambda: evidence(models.DRAW(3, 4, 3, H, 2, 2)),
        lambda r, T, B: (r.random((B, 3, 4)).astype("float32"), normal(r, T, B, 3)),
    ),
    "strokes of draw": (lambda: models.DRAW(3, 4, 3, H).sample, lambda r, T, B: (normal(r, T, B, 3),)),
    "child-sum trees": (lambda: in_forest(models.ChildSumTreeLSTM(I, H)), of_forest),
    "n-ary trees": (lambda: in_forest(models.NaryTreeLSTM(I, H, 9)), of_forest),
}  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system(name, tmp_path):
    make, inputs = SYSTEMS[name]
    rng = np.random.default_rng(1)
    nn.manual_seed(0)
    f = make()
    for module in (f, getattr(f, "__self__", f)):
        if isinstance(module, nn.Module):
            module.eval()
    check(f, inputs(rng, 5, 4), [inputs(rng, *size) for size in SIZES], tmp_path)
