"""Sentiment: tell what a sentence says about one aspect, good, bad or nothing, with attention to its words.

"unlike the wine the food was far from good while nobody would call the view dull": sentences are composed of clauses
about two or three aspects and, half of them, about something else; opinions are drawn for each by itself, and turned
round beside the word or from afar. No sentence of the test is ever trained on. The attention-based LSTM of Wang et al.
2016 (EMNLP), or with --attention none their LSTM with aspect embedding, which has its last state alone. Beside it:
logistic regression on the counts of the words, with weights of its own for each aspect. attention.png shows at which
states it looked for each aspect of a sentence: not always at its opinion, which later states remember.
"""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models import LSTM, AspectClassifier
from minigrad.models.lengths import valid_steps
from minigrad.models.tasks import files, reviews
from minigrad.models.tasks.reviews import ASPECTS, OTHERS
from minigrad.models.tasks.training import Annotated, BadInput, Option, Row, Task
from minigrad.training import pad

SIGNS = [1, -1, 0]  # of the three classes
NAMES = ["good", "bad", "nothing"]
WORDS = reviews.numbered()


class LastState(nn.Module):
    """AE-LSTM of the same paper (section 3.2): the aspect's embedding beside each word's, logits of the last state.

    words (T, B), aspect (B,), lengths (B,), as AspectClassifier's; returns logits (B, classes), and no weights.
    """

    def __init__(self, words: int, aspects: int, classes: int, embedding: int, hidden: int):
        self.words, self.aspects = nn.Embedding(words, embedding), nn.Embedding(aspects, embedding)
        self.lstm = LSTM(2 * embedding, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, words, aspect, lengths):
        x = self.words(words)
        x = mg.concatenate([x, mg.broadcast_to(self.aspects(aspect), x.shape)], axis=-1)
        _, (h, _) = self.lstm(x, mask=valid_steps("LastState", lengths, *words.shape))
        return self.output(h[0]), None


MODELS = {"words": AspectClassifier, "none": LastState}


class Sentiment(Task):
    steps, lr, batch, every = 5000, 5e-3, 32, 500
    figure, loss_unit, unit = "accuracy", "nats", "sentences"
    higher_is_better = True
    known = "above bag_of_words"
    family = "attention"
    rows = [Row(promise="bag_of_words"), Row("--attention none", "bag_of_words")]

    attention: Annotated[str, Option(help="words, or none: the last state alone.")] = "words"
    hidden: Annotated[int, Option(min=1, max=2**20, help="Hidden units.")] = 64
    embedding: Annotated[int, Option(min=1, max=2**20, help="Size of the embeddings of words and aspects.")] = 32

    def build(self):
        if self.attention not in MODELS:
            raise BadInput(f"--attention {self.attention}: wanted {' or '.join(MODELS)}")
        self.model = MODELS[self.attention](len(WORDS) + 1, len(ASPECTS), len(SIGNS), self.embedding, self.hidden)
        self.held_out = [composed(self.test_draws) for _ in range(1000)]
        self.texts = {text for text, _ in self.held_out}
        self.test = asked(self.held_out, self.test_draws)
        self.baseline = reviews.regression(bag_of_words(*self.draw(self.test_draws, 10_000)), bag_of_words(*self.test))

    def draw(self, generator, count):
        sentences = []
        while len(sentences) < count:
            text, signs = composed(generator)
            if text not in self.texts:
                sentences.append((text, signs))
        return asked(sentences, generator)

    def loss(self, words, lengths, aspect, label):
        return mg.cross_entropy(self.model(words, aspect, lengths)[0], label)

    def evaluate(self):
        words, lengths, aspect, label = self.test
        logits, weights = self.model(mg.tensor(words), mg.tensor(aspect), lengths)
        told = logits.numpy().argmax(axis=-1)
        self.told = [NAMES[k] for k in told]
        if weights is not None:
            self.draw_attention()
        loss = mg.cross_entropy(logits, mg.tensor(label)).item()
        return {"held_out_loss": loss, "accuracy": float((told == label).mean()), "bag_of_words": self.baseline}

    def shown(self, step):
        lines = zip(self.held_out, self.test[2], self.told)
        return "\n".join(f"  {text} | {ASPECTS[aspect]}: {told}" for (text, _), aspect, told in list(lines)[:3])

    def draw_attention(self) -> None:
        """The weights of the words of a sentence with three aspects, for each of them."""
        from matplotlib.figure import Figure

        text, signs = next(pair for pair in self.held_out if len(pair[1]) == 3)
        aspects = list(signs)
        words, lengths = encoded([text] * len(aspects))
        logits, weights = self.model(mg.tensor(words), mg.tensor([ASPECTS.index(name) for name in aspects]), lengths)
        told = [NAMES[k] for k in logits.numpy().argmax(axis=-1)]
        figure = Figure(figsize=(0.3 * len(words) + 1.5, 2), layout="constrained")
        axes = figure.subplots()
        axes.imshow(weights.numpy().T, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(words)), text.split(), rotation=90)
        axes.set_yticks(range(len(aspects)), [f"{name}: {told}" for name, told in zip(aspects, told)])
        files.save_figure(figure, self.out / "attention.png")


def composed(generator) -> tuple[str, dict[str, int]]:
    """A sentence, and the sign of what it says of each of its aspects."""
    aspects = generator.choice(ASPECTS, generator.integers(2, 4), replace=False).tolist()
    signs = {aspect: int(reviews.one_of(SIGNS, generator)) for aspect in aspects}
    subjects = list(signs.items())
    if generator.random() < 0.5:
        other = reviews.one_of(OTHERS, generator), int(reviews.one_of([1, -1], generator))
        subjects.insert(generator.integers(len(subjects) + 1), other)
    return reviews.sentence(subjects, generator), signs


def encoded(texts: list[str]):
    return pad([[WORDS[word] for word in text.split()] for text in texts])


def asked(sentences, generator):
    """(words (T, B), lengths (B,), aspect (B,), label (B,)): one of the aspects of each sentence, whichever."""
    aspects = [reviews.one_of(list(signs), generator) for _, signs in sentences]
    labels = [SIGNS.index(signs[aspect]) for (_, signs), aspect in zip(sentences, aspects)]
    numbers = np.array([ASPECTS.index(aspect) for aspect in aspects])
    return *encoded([text for text, _ in sentences]), numbers, np.array(labels)


def bag_of_words(words, lengths, aspect, label):
    """(features, labels) for a regression: the counts of the words, apart for each aspect."""
    counts = reviews.counts(words, len(WORDS) + 1)
    return (np.eye(len(ASPECTS))[aspect][:, :, None] * counts[:, None]).reshape(len(counts), -1), label
