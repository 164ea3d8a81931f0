"""Sequence to sequence: an encoder reads, a decoder writes what it is told to, or what it finds likeliest.

A decoder is one step: from the symbol before, its state, and what its `prepare` gives of the memory (T, B, M) that the
encoder wrote, to logits of the next symbol, its next state, and the weights of its attention (T, B), None if it has
none.
"""

from functools import partial
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, tree
from minigrad.arguments import Count, Generator, Probability, Size, checked
from minigrad.models.attention import BahdanauAttention, LuongAttention
from minigrad.models.gru import GRUCell
from minigrad.models.lengths import valid_steps
from minigrad.nn.cell import output_of, take_step
from minigrad.nn.recurrent import Recurrent


class Decoder(nn.Module):
    """Without attention: all that it knows is its first state (Sutskever, Vinyals & Le 2014, arXiv:1409.3215).

    Examples
    --------
    >>> model = models.Seq2Seq(20, 30, 8, 16, decoder=models.Decoder)
    >>> model(np.full((7, 2), 3), np.full((5, 2), 4))[0].shape
    (5, 2, 30)
    """

    reading: dict[str, Any] = {"reverse": True}  # how the encoder reads for it: here from the end, as in the paper

    @checked
    def __init__(
        self, vocabulary: Size, embedding: Size, hidden: Size, cell, *, dropout: Probability = 0.0,
        generator: Generator = None,
    ):  # fmt: skip
        self.embedding = nn.Embedding(vocabulary, embedding, generator=generator)
        self.drop = nn.Dropout(dropout, generator=generator)
        self.cell = cell(embedding, hidden)
        self.output = nn.Linear(hidden, vocabulary, generator=generator)

    def start(self, state):
        """Its state before the first symbol, from the last one of the encoder."""
        return state

    def prepare(self, memory):
        """What its steps read of the memory: tensors (T, B, ...) that depend on no step."""
        return memory

    def forward(self, y, state, memory, mask):
        s, state = take_step(self.cell, self.drop(self.embedding(y)), state)
        return self.output(self.drop(s)), state, None


class BahdanauDecoder(Decoder):
    """s_i = f(s_{i-1}, y_{i-1}, c_i), with c_i the context that s_{i-1} asks for: RNNsearch (Bahdanau, Cho & Bengio
    2014, arXiv:1409.0473, section 3.1). Logits are linear in [s_i; c_i; y_{i-1}], or, with `readout` units, in those of
    the paper's appendix A.2.2: each is the greater of two that are linear in these.

    Examples
    --------
    >>> model = models.Seq2Seq(20, 30, 8, 16, decoder=models.BahdanauDecoder)
    >>> model(np.full((7, 2), 3), np.full((5, 2), 4))[0].shape
    (5, 2, 30)
    """

    reading = {"bidirectional": True}

    @checked
    def __init__(
        self, vocabulary: Size, embedding: Size, hidden: Size, cell, readout: Size | None = None, *,
        dropout: Probability = 0.0, generator: Generator = None,
    ):  # fmt: skip
        self.embedding = nn.Embedding(vocabulary, embedding, generator=generator)
        self.drop = nn.Dropout(dropout, generator=generator)
        self.attention = BahdanauAttention(hidden, 2 * hidden, hidden, generator=generator)
        self.cell = cell(embedding + 2 * hidden, hidden)
        known = 3 * hidden + embedding
        self.readout = None if readout is None else nn.Linear(known, 2 * readout, generator=generator)
        self.output = nn.Linear(known if readout is None else readout, vocabulary, generator=generator)

    def prepare(self, memory):
        return memory, self.attention.keys(memory)

    def forward(self, y, state, memory, mask):
        y, (memory, keys) = self.drop(self.embedding(y)), memory
        context, weights = self.attention(output_of(self.cell, state), memory, mask, keys)
        s, state = take_step(self.cell, mg.concatenate([y, context], axis=-1), state)
        known = mg.concatenate([s, context, y], axis=-1)
        if self.readout is not None:
            pairs = self.readout(known)
            known = pairs.reshape(*pairs.shape[:-1], -1, 2).max(axis=-1)
        return self.output(self.drop(known)), state, weights


class LuongDecoder(Decoder):
    """h~ = tanh(W_c [c; s]), with c the context that the new state s asks for; h~ is fed to the next step (Luong, Pham
    & Manning 2015, arXiv:1508.04025, sections 3.1 and 3.3). score, scale: `LuongAttention`'s.

    Examples
    --------
    >>> model = models.Seq2Seq(20, 30, 8, 16, decoder=models.LuongDecoder, cell=models.LSTMCell)
    >>> model(np.full((7, 2), 3), np.full((5, 2), 4))[0].shape
    (5, 2, 30)
    """

    reading = {}

    @checked
    def __init__(
        self, vocabulary: Size, embedding: Size, hidden: Size, cell, score: str = "general", *, scale: float = 1.0,
        dropout: Probability = 0.0, generator: Generator = None,
    ):  # fmt: skip
        self.embedding = nn.Embedding(vocabulary, embedding, generator=generator)
        self.drop = nn.Dropout(dropout, generator=generator)
        self.attention = LuongAttention(hidden, hidden, score, scale=scale, generator=generator)
        self.cell = cell(embedding + hidden, hidden)
        self.combine = nn.Linear(2 * hidden, hidden, bias=False, generator=generator)
        self.output = nn.Linear(hidden, vocabulary, generator=generator)

    def start(self, state):
        s = output_of(self.cell, state)
        return state, mg.zeros(s.shape, s.dtype)

    def prepare(self, memory):
        return memory, self.attention.keys(memory)

    def forward(self, y, state, memory, mask):
        (state, fed), (memory, keys) = state, memory
        s, state = take_step(self.cell, mg.concatenate([self.drop(self.embedding(y)), fed], axis=-1), state)
        context, weights = self.attention(s, memory, mask, keys)
        fed = mg.tanh(self.combine(mg.concatenate([context, s], axis=-1)))
        return self.output(self.drop(fed)), (state, fed), weights


class Seq2Seq(nn.Module):
    """An encoder of `sources` symbols and a decoder of `targets`, over cells of any kind.

    decoder: the class of one; with `options` to it. The encoder's last state (of a bidirectional one, that of the
    backward direction, which has just read the first symbol) is the decoder's first. cell: the class of those of both,
    called as cell(input_size, hidden_size), with `generator` if one is given. start: the symbol that the decoder is
    given first. end: the one that ends what it writes. dropout: on embeddings and on what logits are linear in, not on
    what is carried through time, while training.

    source: (T, B) integers; lengths: B integers from 1 to T, by default T. What is padding changes nothing.

    Examples
    --------
    >>> model = models.Seq2Seq(20, 30, 8, 16)
    >>> model(np.full((7, 2), 3), np.full((5, 2), 4))[0].shape
    (5, 2, 30)
    """

    @checked
    def __init__(
        self, sources: Size, targets: Size, embedding: Size, hidden: Size, decoder=BahdanauDecoder, cell=GRUCell,
        start: Count = 0, end: Count = 1, *, dropout: Probability = 0.0, generator: Generator = None, **options,
    ):  # fmt: skip
        if not (0 <= start < targets and 0 <= end < targets):
            raise ValueError(f"Seq2Seq: got start={start} and end={end}, wanted two of the {targets} target symbols")
        self.targets, self.start, self.end = targets, start, end
        if generator is not None:
            cell = partial(cell, generator=generator)
        self.embedding = nn.Embedding(sources, embedding, generator=generator)
        self.drop = nn.Dropout(dropout, generator=generator)
        self.encoder = Recurrent(cell, embedding, hidden, **decoder.reading)
        self.decoder = decoder(targets, embedding, hidden, cell, dropout=dropout, generator=generator, **options)

    @checked
    def encode(self, source, lengths=None):
        """(the decoder's first state, memory (T, B, M), mask (T, B)) of the source."""
        if source.ndim != 2:
            raise ValueError(f"Seq2Seq: got a source of shape {source.shape}, wanted (T, B)")
        mask = valid_steps("Seq2Seq", lengths, *source.shape, least=1)
        memory, state = self.encoder(self.drop(self.embedding(source)), mask=mask)
        return self.decoder.start(tree.map(lambda s: s[-1], state)), memory, mask

    @checked
    def forward(self, source, target, lengths=None):
        """Logits of each target symbol given the true ones before it (teacher forcing), (S, B, targets), and the
        weights of the attention, (S, T, B) or None. target: (S, B) integers, the end symbol among them."""
        state, memory, mask = self.encode(source, lengths)
        memory = self.decoder.prepare(memory)
        start = mg.full((1, source.shape[1]), self.start)

        def step(state, y):
            logits, state, weights = self.decoder(y, state, memory, mask)
            return state, (logits, weights)

        _, (logits, weights) = mg.scan(step, state, mg.concatenate([start, target[:-1]]))
        return logits, weights

    @checked
    def greedy(self, source, lengths=None, *, max_length: Size):
        """The likeliest symbol at each step: (symbols (max_length, B), their number (B,), weights of the attention).

        The number counts the end symbol; behind it there are only end symbols. A sequence that does not end has
        max_length symbols.
        """
        state, memory, mask = self.encode(source, lengths)
        memory, B = self.decoder.prepare(memory), source.shape[1]

        def step(carry, _):
            state, y, ended = carry
            logits, state, weights = self.decoder(y, state, memory, mask)
            y = mg.where(ended, self.end, logits.argmax(axis=-1))
            return (state, y, ended | (y == self.end)), (y, ~ended, weights)

        begin = state, mg.full(B, self.start), mg.zeros(B, bool)
        _, (symbols, counted, weights) = mg.scan(step, begin, None, length=max_length)
        return symbols, counted.sum(axis=0), weights

    @checked
    def beam(self, source, lengths=None, *, width: Size, max_length: Size, length_penalty: float = 0.0):
        """The `width` likeliest continuations that beam search finds (Sutskever et al. 2014, section 3.2):
        (symbols (max_length, B, width), their numbers (B, width), log probabilities (B, width)), as `greedy` has them.

        At each step the `width` best of all continuations of the `width` before are kept; one that has ended stays as
        it is. The best comes first, by log probability / number^length_penalty (Wu et al. 2016, arXiv:1609.08144, use a
        kindred form). Where there are fewer than `width` continuations at all, the last have the log probability -inf.
        """
        state, memory, mask = self.encode(source, lengths)
        B, V, dtype = source.shape[1], self.targets, memory.dtype
        state = tree.map(lambda s: mg.repeat(s, width, axis=0), state)  # rows: all beams of the first source, and so on
        memory, mask = tree.map(lambda m: mg.repeat(m, width, axis=1), (self.decoder.prepare(memory), mask))
        parent_of, symbol_of = mg.tensor(np.repeat(np.arange(width), V)), mg.tensor(np.tile(np.arange(V), width))
        first_row = mg.arange(B)[:, None] * width
        as_it_is = mg.tensor(np.where(np.arange(V) == self.end, 0, -np.inf).astype(dtype))

        def step(carry, _):
            state, y, score, ended, count = carry
            logits, state, _ = self.decoder(y.reshape(-1), state, memory, mask)
            log_p = mg.log_softmax(logits).reshape(B, width, V)
            log_p = mg.where(ended[:, :, None], as_it_is, log_p)
            score, best = greatest((score[:, :, None] + log_p).reshape(B, width * V), width)
            parent, y = mg.take(parent_of, best), mg.take(symbol_of, best)
            rows = (first_row + parent).reshape(-1)
            state = tree.map(lambda s: mg.take(s, rows, axis=0), state)
            ended, count = mg.take_along_axis(ended, parent), mg.take_along_axis(count, parent)
            return (state, y, score, ended | (y == self.end), mg.where(ended, count, count + 1)), (y, parent)

        def back(k, chosen):
            y, parent = chosen
            return mg.take_along_axis(parent, k), mg.take_along_axis(y, k)

        alone = np.where(np.arange(width) == 0, 0, -np.inf).astype(dtype)  # at first there is one beam
        begin = (
            state, mg.full((B, width), self.start), mg.broadcast_to(alone, (B, width)),
            mg.zeros((B, width), bool), mg.zeros((B, width), np.int64),
        )  # fmt: skip
        (_, _, score, _, count), chosen = mg.scan(step, begin, None, length=max_length)
        order = mg.argsort(-score / count.astype(score.dtype) ** length_penalty)
        _, symbols = mg.scan(back, order, chosen, reverse=True)
        return symbols, mg.take_along_axis(count, order), mg.take_along_axis(score, order)


def greatest(scores, k: int):
    """(values, places) of the k greatest of each row, as `topk` gives them but for -inf: k searches of thousands of
    scores, where a sort takes five times as long."""
    found = []
    for _ in range(k):
        place = scores.argmax(axis=-1)[:, None]
        found.append((mg.take_along_axis(scores, place), place))
        scores = mg.where(mg.arange(scores.shape[-1]) == place, -np.inf, scores)
    return [mg.concatenate(parts, axis=1) for parts in zip(*found)]
