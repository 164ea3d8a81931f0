"""Tagging: tell the part of speech of each word of a sentence, with a softmax a word or a CRF over the sentence.

--data is a folder with two files of a Universal Dependencies treebank, *-ud-train.conllu (or, for a small task,
*-ud-dev.conllu) to train on and *-ud-test.conllu. A bidirectional layer reads words and their spelling; with --crf, a
conditional random field knows which tags follow each other (Huang, Xu & Yu 2015, arXiv:1508.01991; Lample et al. 2016,
arXiv:1603.01360). Beside its accuracy is the baseline's, that gives each word the tag that it most often has. On
the Wall Street Journal, with vectors of words from other texts, Huang et al. have 0.974 with a softmax and 0.9755 with
a CRF (table 2).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.models import CRF, SpelledWords, Tagger
from minigrad.models.tasks import files
from minigrad.models.tasks.cells import vector_cell_named
from minigrad.models.tasks.conll import Sentence, conllu, read
from minigrad.models.tasks.training import Annotated, BadInput, CellTask, Option, Row

UNKNOWN = 1  # number of a word or character that training has not seen; 0 is padding
SPELLED = 16  # last characters of a word that are read
STEP = 8  # sentences are padded to multiples of it, so that batches have few different shapes


class Annotator:
    """What the settings of a run tell: numbers of words, characters and tags, and the model that reads them."""

    def __init__(self, settings: dict, forbidden: Callable):
        self.words, self.characters = numbered(settings["words"]), numbered(settings["characters"])
        self.tags, hidden = settings["tags"], settings["hidden"]
        words = SpelledWords(len(self.words) + 2, len(self.characters) + 2, 48, 24, 24)
        cell = vector_cell_named(settings["cell"], words.embedding_dim, hidden)
        crf = CRF(len(self.tags), forbidden(self.tags)) if settings["crf"] else None
        self.model = Tagger(words, hidden, len(self.tags), crf, settings["dropout"], cell, settings["layers"])
        self.decode = mg.jit(self.model.decode)

    def tagged(self, words, lengths) -> list[list[str]]:
        """The tags of sentences, from what `numbers` makes of them."""
        rows = self.decode(words, lengths).numpy().T
        return [[self.tags[k] for k in row[:length]] for row, length in zip(rows, lengths)]

    def numbers(self, sentences: list[Sentence]):
        """((words (T, B), spelling (T, B, SPELLED)), tags (T, B), lengths (B,)), T a multiple of STEP."""
        lengths = np.array([len(sentence.words) for sentence in sentences])
        T, B = -(-lengths.max() // STEP) * STEP, len(sentences)
        words, tags = np.zeros((2, T, B), np.int64)
        spelling = np.zeros((T, B, SPELLED), np.int64)
        for b, sentence in enumerate(sentences):
            for t, (word, tag) in enumerate(zip(*sentence)):
                words[t, b] = self.words.get(word.lower(), UNKNOWN)
                tags[t, b] = self.tags.index(tag) if tag in self.tags else 0
                characters = word[-SPELLED:]
                spelling[t, b, : len(characters)] = [self.characters.get(c, UNKNOWN) for c in characters]
        return (words, spelling), tags, lengths


class Tagging(CellTask):
    steps, lr, batch, every, hidden = 800, 5e-3, 32, 100, 64
    figure, loss_unit, unit = "accuracy", "nats a word", "sentences"
    higher_is_better = True
    formats = {"*{}.conllu": conllu}  # of the files that --data may have
    known = "0.03 above most_frequent_tag wanted"
    family = "structured"
    rows = [Row("--data ud-ewt --softmax", 0.842), Row("--data ud-ewt --crf", 0.842)]

    data: Annotated[Path | None, Option(help="Folder of the .conllu files.")] = None
    crf: Annotated[bool, Option("--crf/--softmax", help="A CRF over the sentence, or a softmax a word.")] = False
    dropout: Annotated[float, Option(min=0, max=0.95, help="On embeddings and states.")] = 0.4
    hide: Annotated[float, Option(min=0, max=1, help="Words, in training, of which the spelling alone is read.")] = 0.0

    def build(self):
        training, self.test = self.sentences("train", "dev"), self.sentences("test")
        counts = Counter(word.lower() for sentence in training for word in sentence.words)
        names = {
            "words": {word for word, n in counts.items() if n > 1},  # the rest teach what an unknown word is
            "characters": {character for sentence in training for word in sentence.words for character in word},
            "tags": {tag for sentence in training for tag in sentence.tags},
        }
        for kind, found in names.items():
            self.settings.setdefault(kind, sorted(found))
        self.training, self.test = [sorted(part, key=lambda s: len(s.words)) for part in (training, self.test)]
        self.baseline = self.figures_of(most_frequent_tags(training, self.test))[self.figure]
        self.annotator = Annotator(self.settings, self.forbidden)
        self.model, self.tags = self.annotator.model, self.annotator.tags
        size, held_out = [sum(len(sentence.words) for sentence in part) for part in (training, self.test)]
        self.about = f"{size:,} words to train on and {held_out:,} held out, {len(self.tags)} tags"

    def draw(self, generator, count):
        """Sentences that are neighbours by length, so that little is padding."""
        first = generator.integers(max(1, len(self.training) - count + 1))
        (words, spelling), tags, lengths = self.annotator.numbers(self.training[first : first + count])
        hidden = (words != 0) & (generator.random(words.shape) < self.hide)
        return (np.where(hidden, UNKNOWN, words), spelling), tags, lengths

    def terms(self, words, tags, lengths):
        return lengths.sum()

    def loss(self, words, tags, lengths):
        return self.model.loss(words, tags, lengths)

    @property
    def examples(self):
        return min(self.batch, len(self.training))

    def served(self):
        words, _, lengths = self.draw(self.test_draws, 2)
        return self.model.decode, (words, lengths), {}

    def sentences(self, *parts: str) -> list[Sentence]:
        """Those of the first of the parts that --data has."""
        return read(self.data, self.formats, *parts)

    @staticmethod
    def forbidden(tags: list[str]) -> Iterable[tuple[int | None, int | None]]:
        """Pairs of tags that the CRF may not decode."""
        return ()

    def figures_of(self, told: list[list[str]]) -> dict[str, float]:
        """What is measured of the tags that the test's sentences are told to have."""
        return {"accuracy": accuracy(told, self.test)}

    def evaluate(self):
        loss, total, self.told = 0.0, 0, []
        for first in range(0, len(self.test), 100):
            words, tags, lengths = self.annotator.numbers(self.test[first : first + 100])
            loss += self.loss_of(words, tags, lengths).item() * lengths.sum()
            total += lengths.sum()
            self.told += self.annotator.tagged(words, lengths)
        return {"held_out_loss": float(loss / total), **self.figures_of(self.told), "most_frequent_tag": self.baseline}

    def shown(self, step):
        return "  " + joined(self.test[-1].words[:12], self.told[-1])


def numbered(names) -> dict[str, int]:
    """A number for each name, from 2 on."""
    return {name: k for k, name in enumerate(sorted(set(names)), UNKNOWN + 1)}


def sample(folder: Path, prompt: str, task: type[Tagging] = Tagging) -> Iterator[str]:
    """The words of the prompt, which spaces part, with the tags that the model of a run tells them to have."""
    arrays, options = files.read_weights(folder)
    annotator = Annotator(task.checked(options, folder), task.forbidden)
    annotator.model.eval()
    files.load_weights(annotator.model, arrays, folder)
    words = prompt.split()
    if not words:
        raise BadInput('--prompt is empty: wanted the words of a sentence, with spaces between, "It is good ."')
    inputs, _, lengths = annotator.numbers([Sentence(words, [""] * len(words))])
    yield joined(words, annotator.tagged(inputs, lengths)[0])


def joined(words: list[str], tags: list[str]) -> str:
    return " ".join(f"{word}/{tag}" for word, tag in zip(words, tags))


def most_frequent_tags(training: list[Sentence], test: list[Sentence]) -> list[list[str]]:
    """Of each word of the test, the tag that it has most often in training; of a new word, the commonest of all."""
    seen: defaultdict = defaultdict(Counter)
    for sentence in training:
        for word, tag in zip(*sentence):
            seen[word][tag] += 1
    (commonest, _), *_ = sum(seen.values(), Counter()).most_common()
    told = {word: tags.most_common(1)[0][0] for word, tags in seen.items()}
    return [[told.get(word, commonest) for word in sentence.words] for sentence in test]


def accuracy(told: list[list[str]], test: list[Sentence]) -> float:
    right = [a == b for tags, sentence in zip(told, test) for a, b in zip(tags, sentence.tags)]
    return sum(right) / len(right)
