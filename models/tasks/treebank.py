"""Treebank: tell how good or bad a sentence is, and each of its phrases, with a Tree-LSTM that climbs its parse.

--data is a folder with train.txt, dev.txt and test.txt of the Stanford Sentiment Treebank (Socher et al. 2013, EMNLP;
trainDevTestTrees_PTB.zip on nlp.stanford.edu/sentiment), a parse a line, (3 (2 It) (4 (2 's) (4 good))), with labels
from 0, very negative, to 4, very positive. Every model begins with the same random vectors of words, and is taught the
label of every phrase. --layer tree is the N-ary Tree-LSTM (Tai, Socher & Manning 2015, arXiv:1503.00075); the others
read phrases as sequences: lstm and bilstm by their last states, attention by a weighted mean of all states of a bilstm
(Yang et al. 2016, NAACL, equations 5 to 7). A word that comes once in training stands, half of the time, for all that
do not come at all.

accuracy is of the test's whole sentences, with --binary of those that are not neutral and of two labels. The weights
kept are those with the fewest wrong sentences of dev. Beside it are the commonest label, and logistic regression on the
counts of words. tree.png has every phrase of a sentence in which a "not" turns something good: within, what the model
tells; the ring, what people told. `minigrad sample RUN --prompt "not very good"` tells of a text and its phrases, each
word joined to all that follow; brackets, "((not very) good)", join them otherwise.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models import LSTM, BahdanauAttention, NaryTreeLSTM, forest
from minigrad.models.lengths import valid_steps
from minigrad.models.tasks import files, parses, reviews
from minigrad.models.tasks.parses import Parse
from minigrad.models.tasks.training import ALL, Annotated, BadInput, Option, Row, SymbolTask
from minigrad.training import pad

FIVE, TWO = ["very negative", "negative", "neutral", "positive", "very positive"], ["negative", "positive"]
NO_WORD, UNKNOWN = 0, 1
HIDDEN = "\N{REPLACEMENT CHARACTER}"  # a word that is in no treebank
IGNORED = -100  # a label that cross_entropy leaves out
PHRASES = 37  # of a sentence, on average


class TreeReader(nn.Module):
    """Words (nodes,), NO_WORD above the leaves, and their forest to logits of every node, (nodes, classes)."""

    def __init__(self, embedding, hidden: int, classes: int, dropout: float):
        self.embedding, self.drop = embedding, nn.Dropout(dropout)
        self.layer = NaryTreeLSTM(embedding.embedding_dim, hidden, arity=2)
        self.output = nn.Linear(hidden, classes)

    def forward(self, words, trees):
        h, _ = self.layer(self.drop(self.embedding(words)), trees)
        return self.output(self.drop(h))


class PhraseReader(nn.Module):
    """Words (T, B) and lengths (B,) of phrases to logits, (B, classes): of the last states, or of what an attention
    that is always asked the same makes of all."""

    def __init__(self, embedding, hidden: int, classes: int, dropout: float, bidirectional=False, attention=False):
        self.embedding, self.drop = embedding, nn.Dropout(dropout)
        self.layer = LSTM(embedding.embedding_dim, hidden, bidirectional=bidirectional)
        width = hidden * (1 + bidirectional)
        self.attention = BahdanauAttention(1, width, hidden) if attention else None
        self.output = nn.Linear(width, classes)

    def forward(self, words, lengths):
        valid = valid_steps("PhraseReader", lengths, *words.shape, least=1)
        states, (h, _) = self.layer(self.drop(self.embedding(words)), mask=valid)
        if self.attention is None:
            phrase = mg.concatenate(mg.unstack(h), axis=-1)
        else:
            phrase, _ = self.attention(mg.ones((words.shape[1], 1), states.dtype), states, valid)
        return self.output(self.drop(phrase))


LAYERS: dict[str, Callable] = {
    "tree": TreeReader,
    "lstm": PhraseReader,
    "bilstm": partial(PhraseReader, bidirectional=True),
    "attention": partial(PhraseReader, bidirectional=True, attention=True),
}


class Classifier:
    """What the settings of a run tell: its model, of parses."""

    def __init__(self, settings: dict):
        self.numbers = {word: k for k, word in enumerate(settings["vocabulary"], UNKNOWN + 1)}
        self.labels, self.climbs = TWO if settings["binary"] else FIVE, settings["layer"] == "tree"
        words = nn.Embedding(len(self.numbers) + 2, settings["embedding"])
        words.weight = nn.Parameter(nn.init.uniform(words.weight.shape, 0.05))
        self.model = LAYERS[settings["layer"]](words, settings["hidden"], len(self.labels), settings["dropout"])
        self.jitted = mg.jit(self.model)

    def number(self, word: str) -> int:
        return self.numbers.get(word, UNKNOWN) if word else NO_WORD

    def trees(self, given: Sequence[Parse]) -> tuple:
        """(words (nodes,), forest) of parses."""
        words = [self.number(word) for parse in given for word in parse.words]
        return np.array(words), forest([parse.parents for parse in given], [parse.positions for parse in given])

    def sequences(self, given: Iterable[Sequence[str]]) -> tuple:
        """(words (T, B), lengths (B,)) of phrases."""
        return pad([[self.number(word) for word in phrase] for phrase in given])

    def counts(self, given: Sequence[Parse]):
        """How often each word is in each parse, (parses, words), sparse."""
        from scipy.sparse import csr_array

        places = [(b, self.number(word)) for b, parse in enumerate(given) for word in parse.words if word]
        return csr_array((np.ones(len(places)), tuple(zip(*places))), (len(given), len(self.numbers) + 2))

    def of_roots(self, given: list[Parse]) -> np.ndarray:
        """Logits of whole sentences, (sentences, classes)."""
        told = []
        for first in range(0, len(given), 100):
            part = given[first : first + 100]
            if self.climbs:
                words, trees = self.trees(part)
                roots = np.cumsum([0, *(len(parse.words) for parse in part[:-1])])
                told.append(self.jitted(mg.tensor(words), trees).numpy()[roots])
            else:
                told.append(self.jitted(*map(mg.tensor, self.sequences(parses.phrases(p)[0] for p in part))).numpy())
        return np.concatenate(told)

    def of_nodes(self, parse: Parse) -> np.ndarray:
        """Probabilities of the labels of every phrase, (nodes, classes)."""
        inputs = self.trees([parse]) if self.climbs else self.sequences(parses.phrases(parse))
        with mg.no_grad():
            return mg.softmax(self.model(*mg.tree.map(mg.tensor, inputs)), axis=-1).numpy()


class Treebank(SymbolTask):
    steps, lr, batch, every, hidden, embedding = 2500, 2e-3, 25, 250, 150, 100
    figure, best_on, loss_unit, unit = "accuracy", "dev_wrong", "nats a phrase", "sentences"
    higher_is_better = True
    known = "random vectors, tree 0.439, --binary 0.820 (Tai et al. 2015, arXiv:1503.00075, table 2)"
    family = "trees"
    rows = [
        Row("--data sst-trees", 0.439),
        Row("--data sst-trees --binary", 0.82),
        Row("--data sst-trees --layer lstm", "bag_of_words", "GloVe's vectors 0.464, binary 0.849 (the same table)"),
        Row("--data sst-trees --layer bilstm", "bag_of_words", "GloVe's vectors 0.491, binary 0.875 (the same table)"),
        Row("--data sst-trees --layer bilstm --binary", "bag_of_words", "GloVe's vectors 0.875 (the same table)"),
        Row("--data sst-trees --layer attention", "bag_of_words"),
    ]

    data: Annotated[Path | None, Option(help="Folder of train.txt, dev.txt and test.txt.  [required]")] = None
    layer: Annotated[str, Option(help=f"{', '.join(LAYERS)}.")] = "tree"
    binary: Annotated[bool, Option("--binary/--fine", help="Two labels, or five.")] = False
    dropout: Annotated[float, Option(min=0, max=0.95, help="On the words' vectors, and below the labels.")] = 0.5

    def build(self):
        if self.layer not in LAYERS:
            raise BadInput(f"--layer {self.layer}: wanted {', '.join(LAYERS)}")
        self.training, self.dev, self.test = [self.part(name) for name in ("train", "dev", "test")]
        counts = Counter(word for parse in self.training for word in parse.words if word)
        self.settings.setdefault("vocabulary", sorted(counts))
        self.classifier = Classifier(self.settings)
        self.model = self.classifier.model
        self.once = {word for word, count in counts.items() if count == 1}
        labelled = {pair for parse in self.training for pair in zip(parses.phrases(parse), parse.labels.tolist())}
        self.phrases = sorted((p for p in labelled if p[1] != IGNORED), key=lambda pair: (len(pair[0]), pair))
        middle = (len(self.classifier.labels) - 1) / 2
        self.shown_parse = next((parse for parse in self.test if parses.is_turned(parse, middle)), self.test[0])
        labels, test_labels = (np.array([p.labels[0] for p in part]) for part in (self.training, self.test))
        self.beside = {
            "bag_of_words": reviews.regression(
                (self.classifier.counts(self.training), labels), (self.classifier.counts(self.test), test_labels)
            ),
            "commonest_label": float((test_labels == np.bincount(labels).argmax()).mean()),
        }
        self.about = f"{len(self.training):,} sentences, {len(self.phrases):,} different phrases, {len(counts):,} words"

    def part(self, name: str) -> list[Parse]:
        """The sentences of a file, flat ones first: neighbours are climbed in about as many steps."""
        read = parses.read(self.data, name)
        if self.binary:
            read = [signs(parse) for parse in read if parse.labels[0] != FIVE.index("neutral")]
        return sorted(read, key=lambda parse: (max(parses.depths(parse)), len(parse.words)))

    def samples(self, generator, count: int) -> list:
        """Parses that are neighbours by depth, or as many phrases as they have nodes, neighbours by length; what comes
        once is hidden now and then."""
        pool, count = (self.training, count) if self.classifier.climbs else (self.phrases, count * PHRASES)
        first = generator.integers(max(1, len(pool) - count + 1))

        def hidden(words):
            return [HIDDEN if word in self.once and generator.random() < 0.5 else word for word in words]

        if self.classifier.climbs:
            return [parse._replace(words=hidden(parse.words)) for parse in pool[first : first + count]]
        return [(hidden(phrase), label) for phrase, label in pool[first : first + count]]

    def laid_out(self, samples: list) -> tuple:
        if self.classifier.climbs:
            return *self.classifier.trees(samples), np.concatenate([parse.labels for parse in samples])
        phrases, labels = zip(*samples)
        return *self.classifier.sequences(phrases), np.array(labels)

    def draw(self, generator, count):
        return self.laid_out(self.samples(generator, count))

    def batch_at(self, step, rows=ALL):
        """All samples are drawn, and those wanted are laid out."""
        return mg.tree.map(mg.tensor, self.laid_out(self.samples(self.draws, self.batch)[rows]))

    @property
    def examples(self):
        return len(self.samples(np.random.default_rng(0), self.batch))

    def terms(self, words, beside, labels):
        return (labels != IGNORED).sum()

    def loss(self, words, beside, labels):
        return mg.cross_entropy(self.model(words, beside), labels)

    def evaluate(self):
        (of_dev, dev), (of_test, test) = (
            (self.classifier.of_roots(part), np.array([parse.labels[0] for parse in part]))
            for part in (self.dev, self.test)
        )
        self.draw_tree()
        return {
            "held_out_loss": mg.cross_entropy(mg.tensor(of_dev), mg.tensor(dev)).item(),
            "dev_wrong": float((of_dev.argmax(axis=-1) != dev).mean()),
            "accuracy": float((of_test.argmax(axis=-1) == test).mean()),
            **self.beside,
        }

    def draw_tree(self) -> None:
        """A parse, each of its phrases filled with what it is told to be, and within an edge of what it is."""
        from matplotlib.figure import Figure

        parse, classes = self.shown_parse, len(self.classifier.labels)
        mean = self.classifier.of_nodes(parse) @ np.linspace(0, 1, classes)
        true = np.where(parse.labels == IGNORED, 0.5, parse.labels / (classes - 1))
        x, height = np.zeros((2, len(parse.words)))
        x[[bool(word) for word in parse.words]] = np.arange(sum(map(bool, parse.words)))
        for node in range(len(x) - 1, 0, -1):  # what is below a node stands behind it
            above = parse.parents[node]
            x[above] += x[node] / 2
            height[above] = max(height[above], height[node] + 1)
        figure = Figure(figsize=(0.75 * x.max() + 2, 0.42 * height[0] + 1.5), layout="constrained")
        axes = figure.subplots()
        for node, above in enumerate(parse.parents[1:], 1):
            axes.plot(x[[node, above]], height[[node, above]], color="0.7", zorder=1)
        axes.scatter(x, height, s=260, c=true, zorder=2, cmap="RdYlBu", vmin=0, vmax=1)
        dots = axes.scatter(x, height, s=110, c=mean, zorder=3, cmap="RdYlBu", vmin=0, vmax=1, edgecolors="white")
        for at, word in zip(x, parse.words):
            if word:
                axes.text(at, -0.35, word, rotation=45, ha="right", va="top")
        bar = figure.colorbar(dots, ticks=np.linspace(0, 1, classes), shrink=0.8)
        bar.ax.set_yticklabels(self.classifier.labels)
        axes.set_axis_off()
        files.save_figure(figure, self.out / "tree.png")


def signs(parse: Parse) -> Parse:
    """A parse with the labels 0 and 1, of what is negative and positive."""
    neutral = FIVE.index("neutral")
    return parse._replace(labels=np.select([parse.labels < neutral, parse.labels > neutral], [0, 1], IGNORED))


def sample(folder: Path, prompt: str) -> Iterator[str]:
    """What the model of a run says of a text: of each phrase a line, what is within a phrase below it, farther in."""
    arrays, options = files.read_weights(folder)
    options = Treebank.checked(options, folder)
    try:
        parse = parses.of_prompt(prompt)
    except (ValueError, RecursionError) as error:
        raise BadInput(f'--prompt: {error}; wanted words, or a binary parse of them, "(not (very good))"') from error
    classifier = Classifier(options)
    classifier.model.eval()
    files.load_weights(classifier.model, arrays, folder)
    told = zip(parses.depths(parse), classifier.of_nodes(parse), parses.phrases(parse))
    yield "\n".join(
        f"{'  ' * depth}{' '.join(phrase)}: {classifier.labels[p.argmax()]} {p.max():.2f}" for depth, p, phrase in told
    )
