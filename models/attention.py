"""Attention: a query asks a memory, and gets the mean of what fits it. And a classifier made with it.

A memory is (T, B, M), as a recurrent layer gives it; a query (..., B, Q). All return the context (..., B, M), which is
Σ_j α_j h_j, and the weights α (..., T, B), a softmax of scores over the T steps of the memory that are not masked.
"""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Generator, Size, checked
from minigrad.models.lengths import valid_steps
from minigrad.models.lstm import LSTM
from minigrad.nn.recurrent import keep


def attend(scores, memory, mask=None):
    """(context, weights) of scores (..., T, B) for the steps of a memory (T, B, M).

    mask: bool (T, B), True where there is a step. The others get no weight; if there are only others, the context is 0.
    """
    if mask is None:
        weights = mg.softmax(scores, axis=-2)
    else:
        lowest = float(np.finfo(scores.dtype).min)  # -inf would make NaN of a memory without any step
        weights = mg.where(mask, mg.softmax(mg.where(mask, scores, lowest), axis=-2), 0)
    return (weights[..., None] * memory).sum(axis=-3), weights


class Attention(nn.Module):
    """What all have in common. A subclass has `score(query, keys)`: (..., B, Q) and (T, B, K) to (..., T, B), with
    `keys(memory)`, of its (T, B, M), where these are not the memory itself."""

    @checked
    def forward(self, query, memory, mask=None, keys=None):
        """(context, weights). mask: bool (T, B), True where there is a step; what the memory holds elsewhere changes
        nothing and gets no gradient, and a memory without any step gives the context 0. keys: self.keys(memory), for
        who asks one memory many times and computes them once; the memory is then finite everywhere.

        Raises ValueError for shapes that do not fit, TypeError for a mask that is not bool.
        """
        name = type(self).__name__
        if memory.ndim != 3 or query.ndim < 2 or memory.shape[1] != query.shape[-2]:
            raise ValueError(
                f"{name}: got a query {query.shape} and a memory {memory.shape}, "
                "wanted (..., B, query_size) and (T, B, memory_size)"
            )
        if mask is not None:
            mask = mask if isinstance(mask, mg.Tensor) else mg.tensor(mask)
            if mask.dtype != bool:
                raise TypeError(f"{name}: got a mask of {mask.dtype}, wanted bool, True where there is a step")
            if mask.shape != memory.shape[:2]:
                raise ValueError(f"{name}: got a mask {mask.shape}, wanted the memory's (T, B), {memory.shape[:2]}")
            memory = keep(mask, memory, 0)
        return attend(self.score(query, self.keys(memory) if keys is None else keys), memory, mask)

    def keys(self, memory):
        """What of the score does not depend on the query."""
        return memory

    def score(self, query, keys):
        raise NotImplementedError(f"{type(self).__name__} has no score method")


class BahdanauAttention(Attention):
    """Additive: e_j = v^T tanh(W s + U h_j) (Bahdanau, Cho & Bengio 2014, arXiv:1409.0473, appendix A.1.2).

    W (A, Q), U (A, M), v (1, A), A = hidden_size: A(Q + M + 1) numbers.

    Examples
    --------
    >>> attention = models.BahdanauAttention(4, 6, 5)
    >>> context, weights = attention(mg.zeros((2, 4)), mg.zeros((7, 2, 6)))
    >>> context.shape, weights.sum(axis=0).round().tolist()
    ((2, 6), [1.0, 1.0])
    """

    @checked
    def __init__(self, query_size: Size, memory_size: Size, hidden_size: Size, *, generator: Generator = None):
        self.W = nn.Linear(query_size, hidden_size, bias=False, generator=generator)
        self.U = nn.Linear(memory_size, hidden_size, bias=False, generator=generator)
        self.v = nn.Linear(hidden_size, 1, bias=False, generator=generator)

    def keys(self, memory):
        return self.U(memory)

    def score(self, query, keys):
        return self.v(mg.tanh(self.W(query)[..., None, :, :] + keys))[..., 0]


class LuongAttention(Attention):
    """The three scores of Luong, Pham & Manning 2015 (arXiv:1508.04025, section 3.1):

    "dot"       s^T h_j               wants Q = M; no numbers
    "general"   s^T W h_j             W (Q, M)
    "concat"    v^T tanh(W [s; h_j])  W (Q, Q + M), v (1, Q): Q(Q + M + 1) numbers

    scale: what scores are multiplied by; the paper has 1. Where there are many units and an optimizer moves all numbers
    of W by about as much, as Adam does, scores soon saturate the softmax, which then passes hardly any gradient; 1/√Q
    prevents that (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1, for "dot").

    Examples
    --------
    >>> attention = models.LuongAttention(4, 6, score="general")
    >>> context, weights = attention(mg.zeros((2, 4)), mg.zeros((7, 2, 6)))
    >>> context.shape
    (2, 6)
    """

    @checked
    def __init__(
        self, query_size: Size, memory_size: Size, score: str = "general", *, scale: float = 1.0,
        generator: Generator = None,
    ):  # fmt: skip
        if score not in ("dot", "general", "concat"):
            raise ValueError(f"LuongAttention: got score={score!r}, wanted 'dot', 'general' or 'concat'")
        if score == "dot" and query_size != memory_size:
            raise ValueError(
                f"LuongAttention: got sizes {query_size} and {memory_size}, wanted equal ones for 'dot'; use 'general'"
            )
        self.kind, self.scale = score, scale
        if score == "general":
            self.W = nn.Linear(memory_size, query_size, bias=False, generator=generator)
        if score == "concat":
            self.W = nn.Linear(query_size + memory_size, query_size, bias=False, generator=generator)
            self.v = nn.Linear(query_size, 1, bias=False, generator=generator)

    def keys(self, memory):
        return self.W(memory) if self.kind == "general" else memory

    def score(self, query, keys):
        query = query[..., None, :, :]
        if self.kind == "concat":
            shape = (*query.shape[:-3], *keys.shape[:-1])
            pair = [mg.broadcast_to(x, (*shape, x.shape[-1])) for x in (query, keys)]
            return self.scale * self.v(mg.tanh(self.W(mg.concatenate(pair, axis=-1))))[..., 0]
        return self.scale * (query * keys).sum(axis=-1)


class AspectClassifier(nn.Module):
    """What a sentence says about an aspect of its subject: ATAE-LSTM (Wang, Huang, Zhao & Zhu 2016, EMNLP).

        M = tanh([W_h H; W_v v_a ⊗ e_N]) ;  α = softmax(w^T M) ;  r = H α^T        equations 7 to 9
        h* = tanh(W_p r + W_x h_N) ;  y = W_s h* + b_s                             equations 10 and 11, as logits

    H are the states of an LSTM over the words, v_a the aspect's embedding, which is appended to each word's as well
    (append=False: AT-LSTM, where it is not). In AT-LSTM the weights cannot depend on the aspect: its part of w^T M is
    the same number at each step, and a softmax does not see it.

    words: (T, B) integers; aspect: (B,) integers; lengths: (B,) integers from 1 to T. Returns logits (B, classes) and
    the weights (T, B). With E = embedding, A = aspect_size (E by default), H = hidden:
    E·words + A·aspects + 4(H(E + A + H) + 2H) + H² + A² + (H + A) + 2H² + classes(H + 1) numbers, 4HA fewer without
    append.

    Examples
    --------
    >>> model = models.AspectClassifier(50, 4, 3, embedding=8, hidden=6)
    >>> model(np.full((7, 2), 3), np.zeros(2, int), np.array([7, 4]))[0].shape
    (2, 3)
    """

    @checked
    def __init__(
        self, words: Size, aspects: Size, classes: Size, embedding: Size, hidden: Size, aspect_size: Size | None = None,
        append: bool = True, *, generator: Generator = None,
    ):  # fmt: skip
        A = embedding if aspect_size is None else aspect_size
        self.append = append
        self.words = nn.Embedding(words, embedding, generator=generator)
        self.aspects = nn.Embedding(aspects, A, generator=generator)
        self.lstm = LSTM(embedding + A if append else embedding, hidden, generator=generator)
        self.W_h, self.W_p, self.W_x = [nn.Linear(hidden, hidden, bias=False, generator=generator) for _ in range(3)]
        self.W_v = nn.Linear(A, A, bias=False, generator=generator)
        self.w = nn.Linear(hidden + A, 1, bias=False, generator=generator)
        self.W_s = nn.Linear(hidden, classes, generator=generator)

    @checked
    def forward(self, words, aspect, lengths=None):
        T, B = words.shape
        valid = valid_steps("AspectClassifier", lengths, T, B, least=1)
        v_a = self.aspects(aspect)
        v_a = mg.broadcast_to(v_a, (T, *v_a.shape))
        x = self.words(words)
        H, (h_N, _) = self.lstm(mg.concatenate([x, v_a], axis=-1) if self.append else x, mask=valid)
        M = mg.tanh(mg.concatenate([self.W_h(H), self.W_v(v_a)], axis=-1))
        r, weights = attend(self.w(M)[..., 0], H, valid)
        return self.W_s(mg.tanh(self.W_p(r) + self.W_x(h_N[0]))), weights
