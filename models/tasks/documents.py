"""Documents: tell whether a review, which may turn, is for or against, from its sentences and their words.

A review judges aspects of a place, one a sentence. Three of four turn: after "but ..." the rest judges the other way
round, and decides; after "admittedly ..." as well, but what came before decides. The same sentences in another order
say the opposite. Each sentence may judge something that does not count ("the weather was ..."), and turn its own words
round: the same words in another order say the opposite, too. No review of the test is ever trained on. One recurrent
layer over words and one over sentences (Tang, Qin & Liu 2015, EMNLP); beside it are logistic regression on the counts
of all words, and what the model makes of the test when the words in each sentence, or the sentences, are shuffled.
"""

import numpy as np

import minigrad as mg
from minigrad.models import DocumentClassifier
from minigrad.models.tasks import reviews
from minigrad.models.tasks.cells import CELLS, cell_named
from minigrad.models.tasks.reviews import ASPECTS, OTHERS, one_of
from minigrad.models.tasks.training import Annotated, Option, Row, Task
from minigrad.training import pad

LINKS = ["and", "but", "but", "admittedly"]  # how what follows stands to what came before
MORE = ["that is not all", "there is more to say", "we came again on monday"]
WORDS = reviews.numbered(*LINKS, *MORE)
VERDICTS = [-1, 1]


class Documents(Task):
    steps, lr, batch, every = 1000, 5e-3, 32, 100
    figure, loss_unit, unit = "accuracy", "nats", "reviews"
    higher_is_better = True
    known = "above bag_of_words"
    family = "sequences"
    rows = [Row(promise="bag_of_words")]

    cell: Annotated[str, Option(help=f"Over words: {', '.join(CELLS)} or path/to/file.py:Class.")] = "lstm"
    hidden: Annotated[int, Option(min=1, max=2**20, help="Hidden units.")] = 48
    embedding: Annotated[int, Option(min=1, max=2**20, help="Size of a word's embedding.")] = 32

    def build(self):
        cell = cell_named(self.cell, self.embedding, self.hidden)
        self.model = DocumentClassifier(len(WORDS) + 1, self.embedding, self.hidden, 2, cell)
        self.held_out = [composed(self.test_draws) for _ in range(1000)]
        self.texts = {tuple(sentences) for sentences, _ in self.held_out}
        self.test = encoded(self.held_out)
        self.in_other_order = {
            "words_shuffled": encoded([([shuffled(s, self.test_draws) for s in x], y) for x, y in self.held_out]),
            "sentences_shuffled": encoded([(self.test_draws.permutation(x), y) for x, y in self.held_out]),
        }
        self.baseline = reviews.regression(
            *[(reviews.counts(x, len(WORDS) + 1), y) for x, _, y in (self.draw(self.test_draws, 10_000), self.test)]
        )

    def draw(self, generator, count):
        documents = []
        while len(documents) < count:
            sentences, verdict = composed(generator)
            if tuple(sentences) not in self.texts:
                documents.append((sentences, verdict))
        return encoded(documents)

    def loss(self, words, lengths, label):
        return mg.cross_entropy(self.model(words, lengths), label)

    def evaluate(self):
        def told(words, lengths, label):
            return self.model(mg.tensor(words), lengths).numpy().argmax(axis=-1)

        self.told = told(*self.test)
        figures = {"held_out_loss": self.loss_of(*self.test).item(), "bag_of_words": self.baseline}
        for name, batch in {"accuracy": self.test, **self.in_other_order}.items():
            figures[name] = float((told(*batch) == batch[-1]).mean())
        return figures

    def shown(self, step):
        sentences, _ = self.held_out[0]
        return "  " + " . ".join(sentences) + f" | {'for' if self.told[0] else 'against'}"


def composed(generator) -> tuple[list[str], int]:
    """The sentences of a review, and its verdict, 1 or -1."""
    before, link = one_of(VERDICTS, generator), one_of(LINKS, generator)
    after = before if link == "and" else -before
    first, second = [[judgement(sign, generator) for _ in range(generator.integers(1, 4))] for sign in (before, after)]
    sentences = [*first, f"{link} {one_of(MORE, generator)}", *second]
    for _ in range(generator.integers(3)):
        nothing = reviews.clause(one_of(ASPECTS, generator), 0, generator)
        sentences.insert(generator.integers(len(sentences) + 1), nothing)
    return sentences, before if link == "admittedly" else after


def judgement(sign: int, generator) -> str:
    """A sentence on an aspect; half of them judge something else as well, before it or behind."""
    subjects = [(one_of(ASPECTS, generator), sign)]
    if generator.random() < 0.5:
        other = one_of(OTHERS, generator), one_of([1, -1], generator)
        subjects.insert(generator.integers(2), other)
    return reviews.sentence(subjects, generator)


def shuffled(sentence: str, generator) -> str:
    return " ".join(generator.permutation(sentence.split()))


def encoded(documents):
    """(words (T, S, B), lengths (S, B), label (B,)), 0 behind the last word and the last sentence."""
    S = max(len(sentences) for sentences, _ in documents)
    rows = [
        [WORDS[word] for word in text.split()]
        for s in range(S)
        for text in [sentences[s] if s < len(sentences) else "" for sentences, _ in documents]
    ]
    words, lengths = pad(rows)
    label = np.array([VERDICTS.index(verdict) for _, verdict in documents])
    return words.reshape(-1, S, len(documents)), lengths.reshape(S, -1), label
