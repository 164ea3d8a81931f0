"""Captions: look at a scene of handwritten digits, and say what is where, with attention.

"three top left and seven bottom right": scenes of 20x20 pixels are composed of 1 to 3 of the digits of 8x8 that
scikit-learn carries, in different quarters and not quite in their middle; a fifth of the digits, drawn at random, is in
the scenes of the test alone. --decoder attend is Show, Attend and Tell (Xu et al. 2015, arXiv:1502.03044), tell is Show
and Tell (Vinyals et al. 2014, arXiv:1411.4555). Theirs see with convolutions that had learnt to tell objects before;
here they learn it beside, as detectors of words: which words are in the caption, a region that shows each must tell
(Fang et al. 2014, arXiv:1411.4952). Without, attention learns to avoid the digits, which mean nothing yet, and never
sees one. attention.png shows where it looked at each word. The figure is how many captions are right word by word;
beside it are their BLEU and how many did not come to an end.
"""

from functools import partial

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.badinput import BadInput
from minigrad.models import Captioner, Seq2Seq, ShowAndTell, ShowAttendTell, convolutions, doubly_stochastic
from minigrad.models.latent import Bernoulli
from minigrad.models.tasks import files
from minigrad.models.tasks.cells import OF_VECTORS, vector_cell_named
from minigrad.models.tasks.training import Annotated, Option, Row, SymbolTask
from minigrad.models.tasks.translation import bleu

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PLACES = [("top", "left"), ("top", "right"), ("bottom", "left"), ("bottom", "right")]
WORDS = ["<start>", "<end>", "and", "top", "bottom", "left", "right", *DIGITS]
END = WORDS.index("<end>")
LONGEST = 3 * 3 + 2 + 1  # three digits, each with its place, two "and" between them, the end
QUARTER, DIGIT = 10, 8
DECODERS = {"attend": ShowAttendTell, "tell": ShowAndTell}


class Regions(nn.Module):
    """Images (B, 1, rows, columns) to maps (B, 2 channels, rows / 4, columns / 4): convolutions of the pixels and of
    their places (row and column from -1 to 1; Liu et al. 2018, arXiv:1807.03247). What comes of a region is normalised:
    else it grows until the tanh and gates that read it learn no more."""

    def __init__(self, channels: int):
        self.convolutions = convolutions(3, channels, 2 * channels)
        self.norm = nn.LayerNorm(2 * channels)

    def forward(self, images):
        B, _, *sides = images.shape
        places = np.stack(np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in sides], indexing="ij"))
        maps = self.convolutions(mg.concatenate([images, mg.broadcast_to(places, (B, *places.shape))], axis=1))
        return mg.moveaxis(self.norm(mg.moveaxis(maps, 1, -1)), -1, 1)


class Captions(SymbolTask):
    steps, lr, batch, every = 3000, 3e-3, 32, 300
    figure, unit = "exact", "scenes"
    higher_is_better = True
    known = "one caption told of every scene 0.008"
    family = "images"
    rows = [Row(promise=0.9), Row("--decoder tell --steps 6000", 0.008)]  # as many minutes

    decoder: Annotated[str, Option(help="attend or tell.")] = "attend"
    cell: Annotated[str, Option(help=f"Of the decoder: {', '.join(OF_VECTORS)} or path/to/file.py:Class.")] = "lstm"
    channels: Annotated[
        int, Option(min=1, max=2**20, help="Channels of the first convolution, half of the second's.")
    ] = 16
    detection: Annotated[float, Option(min=0, max=1e6, help="Weight of telling each word from a region alone.")] = 1.0
    penalty: Annotated[float, Option(min=0, max=1e6, help="On regions of too little or too much attention.")] = 0.1

    def build(self):
        from sklearn.datasets import load_digits

        if self.decoder not in DECODERS:
            raise BadInput(f"--decoder {self.decoder}: wanted {' or '.join(DECODERS)}")
        self.model = Captioner(
            Regions(self.channels), (1, 2 * QUARTER, 2 * QUARTER), len(WORDS), self.embedding, self.hidden,
            DECODERS[self.decoder], vector_cell_named(self.cell, self.embedding, self.hidden),
        )  # fmt: skip
        self.model.detector = nn.Linear(2 * self.channels, len(WORDS))
        digits = load_digits()
        test, rest = np.split(self.test_draws.permutation(len(digits.target)), [len(digits.target) // 5])
        images = digits.images.astype(np.float32) / 4  # a scene's deviation is then about 1
        self.digits = [(images[part], digits.target[part]) for part in (rest, test)]
        self.test = scenes(*self.digits[1], 1000, self.test_draws)
        self.greedy = mg.jit(lambda images: self.model.greedy(images, max_length=LONGEST))

    def draw(self, generator, count):
        return scenes(*self.digits[0], count, generator)

    def terms(self, images, captions):
        raise BadInput("captions: its loss is a sum of means over words and over scenes, which ranks cannot divide")

    def loss(self, images, captions):
        regions = self.model.see(images)
        logits, weights = Seq2Seq.forward(self.model, regions, captions)
        words = mg.concatenate([np.ones((1, captions.shape[1]), bool), captions[:-1] != END])  # the first <end> is one
        nats = mg.cross_entropy(logits.reshape(-1, len(WORDS)), captions.reshape(-1), reduction="none")
        loss = mg.where(words.reshape(-1), nats, 0).sum() / words.sum()
        said = (captions[:, :, None] == np.arange(len(WORDS))).any(axis=0).astype(regions.dtype)
        seen = Bernoulli(self.model.detector(regions).max(axis=0))  # of each word, in the region that shows it best
        loss = loss - self.detection * seen.log_prob(said).mean() / len(WORDS)
        return loss if weights is None else loss + self.penalty * doubly_stochastic(weights, words)

    def served(self):
        return partial(self.model.greedy, max_length=LONGEST), self.draw(self.test_draws, 2)[:1], {}

    def evaluate(self):
        images, captions = self.test
        told, _, weights = self.greedy(images)
        self.told = [caption_of(column) for column in told.numpy().T]
        if weights is not None:
            draw_attention(images[0, 0], self.told[0], weights.numpy()[:, :, 0], self.out / "attention.png")
        return {
            "held_out_loss": self.loss_of(images, captions).item(),
            "exact": float((told.numpy() == captions).all(axis=0).mean()),
            "bleu": bleu(self.told, [caption_of(column) for column in captions.T]),
            "unfinished": float((told.numpy() != END).all(axis=0).mean()),
        }

    def shown(self, step):
        return "\n".join(f"  {caption_of(self.test[1][:, k])} -> {self.told[k]}" for k in range(3))


def scenes(images: np.ndarray, digits: np.ndarray, count: int, generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, 1, 20, 20) of 1 to 3 digits, and their captions (LONGEST, count), padded with <end>."""
    scene = np.zeros((count, 1, 2 * QUARTER, 2 * QUARTER), np.float32)
    captions = np.full((LONGEST, count), END)
    for k in range(count):
        words: list[str] = []
        for place in sorted(generator.choice(4, generator.integers(1, 4), replace=False)):
            chosen = generator.integers(len(digits))
            row, column = np.array(divmod(place, 2)) * QUARTER + generator.integers(QUARTER - DIGIT + 1, size=2)
            scene[k, 0, row : row + DIGIT, column : column + DIGIT] = images[chosen]
            words += ["and"] * bool(words) + [DIGITS[digits[chosen]], *PLACES[place]]
        captions[: len(words), k] = [WORDS.index(word) for word in words]
    return scene, captions


def caption_of(column: np.ndarray) -> str:
    return " ".join(WORDS[word] for word in column).partition(" <end>")[0]


def draw_attention(image: np.ndarray, caption: str, weights: np.ndarray, path) -> None:
    """Where a model looked at each word of a caption: weights (LONGEST, regions) over the image, as a PNG."""
    from matplotlib.figure import Figure

    words = caption.split()
    side = int(weights.shape[1] ** 0.5)
    figure = Figure(figsize=(1.2 * len(words) + 0.2, 1.7), layout="constrained")
    for axes, word, weight in zip(figure.subplots(1, len(words), squeeze=False)[0], words, weights):
        axes.imshow(image, cmap="gray_r")
        bright = np.kron(weight.reshape(side, side) / weight.max(), np.ones([n // side for n in image.shape]))
        axes.imshow(bright, cmap="Oranges", alpha=0.6, vmin=0, vmax=1)
        axes.set_title(word)
        axes.axis("off")
    files.save_figure(figure, path)
