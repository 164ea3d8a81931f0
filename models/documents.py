"""Documents: one recurrent layer reads the words of each sentence, a second one reads the sentences."""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Size, checked
from minigrad.models.lengths import valid_steps
from minigrad.models.lstm import LSTMCell
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell, output_of
from minigrad.nn.recurrent import Recurrent, uniform_parameter, watch


class GatedRNNCell(Cell):
    """The gated recurrence over sentences of Tang, Qin & Liu 2015 (EMNLP, section 2.2), an LSTM's without output gate:

    i, f = σ(W_i [x; h] + b_i), σ(W_f [x; h] + b_f);  g = tanh(W_r [x; h] + b_r);  h' = tanh(i ⊙ g + f ⊙ h).

    x (..., I), h (..., H) -> (..., H). weight_ih (3H, I), weight_hh (3H, H), bias (3H,), in the order i f g, U(±1/√H).
    3(H(I + H) + H) numbers.

    Examples
    --------
    >>> cell = models.GatedRNNCell(3, 4)
    >>> cell(mg.zeros((2, 3)), mg.zeros((2, 4))).shape
    (2, 4)
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, *, generator: Generator = None):
        self.input_size, self.hidden_size = input_size, hidden_size
        H = hidden_size
        self.weight_ih = uniform_parameter((3 * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((3 * H, H), H, generator)
        self.bias = uniform_parameter((3 * H,), H, generator)

    def forward(self, x, h):
        i, f, g = mg.split(x @ self.weight_ih.T + dropped("hidden", h) @ self.weight_hh.T + self.bias, 3, axis=-1)
        i, f, g = mg.sigmoid(i), mg.sigmoid(f), mg.tanh(g)
        watch(i=i, f=f, g=g)
        return mg.tanh(i * dropped("candidate", g) + f * h)


class DocumentClassifier(nn.Module):
    """LSTM-GRNN of Tang, Qin & Liu 2015 (EMNLP): "Document modeling with gated recurrent neural network for sentiment
    classification", the variant that averages.

    The last state of a layer over a sentence's words is the sentence's vector; a layer reads these in both directions;
    the mean of its states over the sentences is the document's vector; a linear layer makes logits of it.

    sentence, document: the cells of the two layers, made as cell(input_size, hidden_size, generator=...).

    words: (T, S, B) integers, T words in each of S sentences of each of B documents. lengths: (S, B) integers from 0 to
    T, the words of each sentence, 0 where there is no sentence; without lengths, all are T. What is behind the end of a
    sentence or of a document changes nothing, and a document without any sentence has the vector 0. Returns logits
    (B, classes). Raises ValueError for other shapes and for lengths out of range, TypeError if they are no integers.

    With E = embedding, H = hidden: E·vocabulary + 4(H(E + H) + 2H) + 6(2H² + H) + classes(2H + 1) numbers.

    Examples
    --------
    >>> model = models.DocumentClassifier(50, 8, 6, classes=5)
    >>> documents = np.full((7, 3, 2), 4)  # words, sentences, documents
    >>> model(documents).shape
    (2, 5)
    """

    @checked
    def __init__(
        self, vocabulary: Size, embedding: Size, hidden: Size, classes: Size, sentence=LSTMCell, document=GatedRNNCell,
        *, generator: Generator = None,
    ):  # fmt: skip
        self.embedding = nn.Embedding(vocabulary, embedding, generator=generator)
        self.over_words = Recurrent(sentence, embedding, hidden, generator=generator)
        self.over_sentences = Recurrent(document, hidden, hidden, bidirectional=True, generator=generator)
        self.output = nn.Linear(2 * hidden, classes, generator=generator)

    @checked
    def forward(self, words, lengths=None):
        if words.ndim != 3:
            raise ValueError(f"DocumentClassifier: got words of shape {words.shape}, wanted (words, sentences, batch)")
        T, S, B = words.shape
        lengths = mg.ones((S, B), np.int64) * T if lengths is None else mg.tensor(lengths)
        if lengths.shape != (S, B):
            raise ValueError(
                f"DocumentClassifier: got lengths of shape {lengths.shape}, wanted {(S, B)}, one for each sentence"
            )
        valid = valid_steps("DocumentClassifier", lengths.reshape(S * B), T, S * B)
        _, state = self.over_words(self.embedding(words.reshape(T, S * B)), mask=valid)  # a batch of sentences
        h = output_of(self.over_words.cells[0], state)[0]
        sentences = h.reshape(S, B, h.shape[-1])
        there = lengths > 0
        states, _ = self.over_sentences(sentences, mask=there)
        count = mg.maximum(there.sum(axis=0), 1).astype(states.dtype)
        return self.output(states.sum(axis=0) / count[:, None])
