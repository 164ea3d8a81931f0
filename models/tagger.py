"""A tagger: a bidirectional LSTM reads a sentence, and a softmax a word, or a CRF over the sentence, tells the tags."""

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Generator, Probability, Size, checked
from minigrad.models.crf import CRF
from minigrad.models.lengths import valid_steps
from minigrad.models.lstm import LSTM, LSTMCell
from minigrad.nn.recurrent import Recurrent


class SpelledWords(nn.Module):
    """A word's embedding beside what a bidirectional LSTM makes of its characters (Lample et al. 2016,
    arXiv:1603.01360, section 4.1): words that were never seen are known by their endings.

    Takes (words (T, B) integers, spelling (T, B, L) integers, 0 behind the last character); gives (T, B,
    embedding_dim), embedding_dim = word_size + 2 character_hidden. With C = character_size and H = character_hidden:
    words·word_size + characters·C + 8(H(C + H) + 2H) numbers.

    Examples
    --------
    >>> embedding = models.SpelledWords(50, 30, 8, 4, 5)
    >>> embedding.embedding_dim
    18
    """

    @checked
    def __init__(
        self, words: Size, characters: Size, word_size: Size, character_size: Size, character_hidden: Size, *,
        generator: Generator = None,
    ):  # fmt: skip
        self.embedding_dim = word_size + 2 * character_hidden
        self.words = nn.Embedding(words, word_size, generator=generator)
        self.characters = nn.Embedding(characters, character_size, generator=generator)
        self.speller = LSTM(character_size, character_hidden, bidirectional=True, generator=generator)

    @checked
    def forward(self, inputs):
        words, spelling = inputs
        T, B, L = spelling.shape
        spelling = spelling.reshape(T * B, L).T  # each word is a sequence of its own
        _, (h, _) = self.speller(self.characters(spelling), mask=spelling != 0)
        forward, backward = mg.unstack(h.reshape(2, T, B, -1))
        return mg.concatenate([self.words(words), forward, backward], axis=-1)


class Tagger(nn.Module):
    """BiLSTM and BiLSTM-CRF of Huang, Xu & Yu 2015 (arXiv:1508.01991).

    embedding: a module that makes (T, B, E) of the words, with its width E in `embedding_dim`: nn.Embedding,
    SpelledWords. crf: a CRF over the tags; without one each tag is told by itself. dropout: on the embeddings and on
    the states of each layer, while training. cell: another one than LSTM's. With H = hidden, besides those of embedding
    and crf: 8(H(E + H) + 2H) + K(2H + 1) numbers in a layer of LSTM, K = num_tags.

    words: what embedding takes. tags: (T, B) integers. lengths: B integers from 1 to T, by default T; what is padding
    changes nothing.

    Examples
    --------
    >>> model = models.Tagger(nn.Embedding(50, 8), 6, num_tags=4, crf=models.CRF(4))
    >>> model.decode(np.full((7, 2), 3), [7, 4]).shape
    (7, 2)
    """

    @checked
    def __init__(
        self, embedding, hidden: Size, num_tags: Size, crf: CRF | None = None, dropout: Probability = 0.0,
        cell=LSTMCell, num_layers: Size = 1, *, generator: Generator = None,
    ):  # fmt: skip
        self.embedding = embedding
        self.reader = Recurrent(
            cell, embedding.embedding_dim, hidden, num_layers=num_layers, bidirectional=True, dropout=dropout,
            generator=generator,
        )  # fmt: skip
        self.output = nn.Linear(2 * hidden, num_tags, generator=generator)
        self.crf = crf
        self.drop = nn.Dropout(dropout, generator=generator)

    @checked
    def forward(self, words, lengths=None):
        """Scores of the tags, (T, B, K): logits of the softmax, emissions of the CRF."""
        x = self.drop(self.embedding(words))
        states, _ = self.reader(x, mask=valid_steps("Tagger", lengths, *x.shape[:2], least=1))
        return self.output(self.drop(states))

    @checked
    def loss(self, words, tags, lengths=None):
        """-log p(tags), nats a tag."""
        scores = self(words, lengths)
        T, B, K = scores.shape
        valid = valid_steps("Tagger", lengths, T, B, least=1)
        if self.crf is not None:
            total = -self.crf(scores, tags, lengths).sum()
        else:
            tags = mg.where(valid, tags, -100)  # what cross_entropy ignores
            total = mg.cross_entropy(scores.reshape(T * B, K), tags.reshape(T * B), reduction="sum")
        return total / valid.sum().astype(total.dtype)

    @checked
    def decode(self, words, lengths=None):
        """The likeliest tags, (T, B), 0 in padding: of each word by itself, with a CRF of the whole sentence."""
        scores = self(words, lengths)
        if self.crf is not None:
            return self.crf.decode(scores, lengths)[0]
        return mg.where(valid_steps("Tagger", lengths, *scores.shape[:2], least=1), scores.argmax(axis=-1), 0)
