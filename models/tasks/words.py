"""Word model: two recurrent layers tell the next word, beside what counting three words at a time can do.

Text is cut into words, in small letters, marks of punctuation and ends of lines. Those that come once in the first nine
tenths, which are trained on, and all but the 10,000 most frequent, are one unknown word, which is told like any other.
Dropout is on all connections but those through time (Zaremba, Sutskever & Vinyals 2014, arXiv:1409.2329). If
--embedding is --hidden, as it is by default, a word is one vector as an input and as an output (Press & Wolf 2017,
arXiv:1608.05859). Training begins at the unigram model: its log probabilities are the first biases of the output.

The figure is the perplexity of the last tenth, exp(nats a word); beside it are those of a unigram and a trigram model
of the same words, with interpolated Kneser-Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999, Computer Speech &
Language 13). The default text is Python's own language reference, of which each paragraph is taken once.
"""

import math
import re
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.models.tasks.charlm import UNKNOWN, CharacterTask, generate, held_out_loss, read_text
from minigrad.models.tasks.training import Annotated, Option, Row

VOCABULARY = 10_000


class WordTask(CharacterTask):
    steps, lr, batch, every, hidden, layers = 1000, 4e-3, 32, 200, 128, 2
    figure, unit, loss_unit = "perplexity", "words", "nats a word"
    known = "under the trigram's"
    family = "sequences"
    rows = [Row("--text tinyshakespeare/input.txt", "trigram")]

    text: Annotated[Path | None, Option(help="UTF-8 text.  [default: Python's language reference]")] = None
    embedding: Annotated[int, Option(min=1, max=2**20, help="Size of a word's embedding; see above.")] = 128
    dropout: Annotated[float, Option(min=0, max=0.95, help="Dropout below, between and above layers.")] = 0.3
    length: Annotated[int, Option(min=1, max=100_000, help="Words a step.")] = 35

    def build(self):
        super().build()
        if self.embedding == self.hidden:
            self.model.embedding.weight = self.model.output.weight
        learnt, V = self.training.T.ravel().tolist(), len(self.vocabulary)
        models = {"trigram": KneserNey(learnt, 3, V), "unigram": KneserNey(learnt, 1, V)}
        self.beside = {name: perplexity(model, self.held_out) for name, model in models.items()}
        with mg.no_grad():  # Adam would take thousands of steps to move the biases of rare words so far
            self.model.output.bias.copy_(np.log([models["unigram"]((), word) for word in range(V)], dtype=np.float32))

    def read(self):
        return read_text(self.text, language_reference)

    def symbols(self, text):
        return words_of(text)

    def vocabulary_of(self, symbols, split):
        return vocabulary_of(symbols[:split])

    def evaluate(self):
        nats = held_out_loss(self.model, self.held_out, self.length, len(self.vocabulary))
        return {"held_out_loss": nats, "perplexity": math.exp(nats), **self.beside}

    def shown(self, step):
        words = generate(self.model, self.vocabulary, "", 60, 0.8, np.random.default_rng([self.seed, step]))
        return textwrap.indent(re.sub(r" ?\n ?", "\n", " ".join(words)), "  | ", lambda line: True)


class KneserNey:
    """Interpolated Kneser-Ney: `p = model(context, word)`, of words that are integers below `vocabulary`.

        p(w | h) = max(c(h w) - D, 0) / c(h) + D n(h) / c(h) p(w | h')

    For the longest context h, c counts in the text; for a shorter one, c(h w) is how many different words come before
    h w. n(h): how many different words follow h. h': h without its first word; below the empty one, all words are
    equal. D = n₁ / (n₁ + 2 n₂), of the numbers of n-grams that come once and twice. For a context that never came, the
    shorter one tells all.
    """

    def __init__(self, words: list[int], order: int, vocabulary: int):
        self.vocabulary = vocabulary
        self.levels: list[tuple] = []  # by the length of the context
        counts = Counter(zip(*(words[k:] for k in range(order))))
        for _ in range(order):
            once, twice = (sum(count == k for count in counts.values()) for k in (1, 2))
            total: Counter = Counter()
            for gram, count in counts.items():
                total[gram[:-1]] += count
            followers = Counter(gram[:-1] for gram in counts)
            discount = once / (once + 2 * twice) if once else 0.5
            self.levels.insert(0, (counts, total, followers, discount))
            counts = Counter(gram[1:] for gram in counts)

    def __call__(self, context: tuple[int, ...], word: int) -> float:
        p = 1 / self.vocabulary
        for n, (counts, total, followers, discount) in enumerate(self.levels[: len(context) + 1]):
            h = context[len(context) - n :]
            if h in total:
                p = (max(counts[*h, word] - discount, 0) + discount * followers[h] * p) / total[h]
        return p


def perplexity(model: KneserNey, streams: np.ndarray) -> float:
    """Of each word of the streams (T, B) but the first, from those before."""
    before = len(model.levels) - 1
    nats = [
        -math.log(model(tuple(words[max(0, t - before) : t]), words[t]))
        for words in streams.T.tolist()
        for t in range(1, len(words))
    ]
    return math.exp(np.mean(nats))


def words_of(text: str) -> list[str]:
    return [found.group() for found in re.finditer(r"\w+(?:['’-]\w+)*|([^\w\s])\1*|\n", text.lower())]


def vocabulary_of(words: list[str]) -> list[str]:
    """The most frequent words, but for those that come once, and UNKNOWN; sorted."""
    common = [word for word, count in Counter(words).most_common(VOCABULARY) if count > 1]
    return sorted({*common, UNKNOWN})


def language_reference() -> str:
    """What help() knows of the language; topics repeat each other, and what is held out should be new."""
    from pydoc_data.topics import topics

    return "\n\n".join(dict.fromkeys(re.split(r"\n{2,}", "\n\n".join(topics.values()))))
