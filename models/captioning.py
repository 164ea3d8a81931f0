"""Captions of images: a convolutional network sees, a recurrent one tells."""

from itertools import pairwise

import numpy as np

import minigrad as mg
from minigrad import nn, tree
from minigrad.arguments import Count, Generator, Size, checked
from minigrad.models.attention import BahdanauAttention
from minigrad.models.lstm import LSTMCell
from minigrad.models.seq2seq import Decoder, Seq2Seq
from minigrad.nn.cell import initial_state, output_of, take_step


@checked
def convolutions(*channels: Size, generator: Generator = None) -> nn.Sequential:
    """Images (B, channels[0], rows, columns) to (B, channels[-1], rows / 2^n, columns / 2^n): n times a "same"
    convolution of 3 x 3, relu, and the maximum of each 2 x 2.

    Examples
    --------
    >>> models.convolutions(3, 8, 16)(mg.zeros((2, 3, 32, 32))).shape
    (2, 16, 8, 8)
    """
    layers: list = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1, generator=generator), mg.relu, lambda x: mg.max_pool2d(x, 2)]
    return nn.Sequential(*layers)


class ShowAndTell(Decoder):
    """The image is the first input, once, and the words follow (Vinyals et al. 2014, arXiv:1411.4555, eqs. 10 to 12):

    x_{-1} = W_I [a_1; ...; a_L] + b;  x_t = W_e S_t;  p_{t+1} = softmax(W h_t + b).

    With V words, E = embedding, H = hidden, L regions of D features: those of a cell with E inputs, and
    V E + E(L D + 1) + V(H + 1) numbers.

    Examples
    --------
    >>> encoder = models.convolutions(3, 8)
    >>> model = models.Captioner(encoder, (3, 8, 8), 20, 8, 16, decoder=models.ShowAndTell)
    >>> model(mg.zeros((2, 3, 8, 8)), np.full((5, 2), 4))[0].shape
    (5, 2, 20)
    """

    @checked
    def __init__(
        self, vocabulary: Size, embedding: Size, hidden: Size, regions: Size, features: Size, cell, *,
        generator: Generator = None,
    ):  # fmt: skip
        super().__init__(vocabulary, embedding, hidden, cell, generator=generator)
        self.image = nn.Linear(regions * features, embedding, generator=generator)

    def start(self, state):
        image = self.image(mg.moveaxis(state, 0, 1).reshape(state.shape[1], -1))
        return take_step(self.cell, image, initial_state(self.cell, image[None]))[1]


class ShowAttendTell(Decoder):
    """At each word the state looks at a region (Xu et al. 2015, arXiv:1502.03044, soft attention, section 4.2):

    z_t = β_t Σ_i α_ti a_i, α_t additive attention to the regions a_i by h_{t-1}, β_t = σ(f_β(h_{t-1})), one number;
    h_t = f([E y_{t-1}; z_t], h_{t-1});  p(y_t) = softmax(L_o (E y_{t-1} + L_h h_t + L_z z_t) + b)       eq. 7

    and each part of the state begins with tanh of a linear layer of the mean of all a_i.

    With V words, E = embedding, H = hidden, D features and S parts of the state (an LSTM's 2): those of a cell with
    E + D inputs, and V E + H(H + D + 1) + (H + 1) + S H(D + 1) + E(H + D) + V(E + 1) numbers.

    Examples
    --------
    >>> encoder = models.convolutions(3, 8)
    >>> model = models.Captioner(encoder, (3, 8, 8), 20, 8, 16, decoder=models.ShowAttendTell)
    >>> model(mg.zeros((2, 3, 8, 8)), np.full((5, 2), 4))[0].shape
    (5, 2, 20)
    """

    @checked
    def __init__(
        self, vocabulary: Size, embedding: Size, hidden: Size, regions: Size, features: Size, cell, *,
        generator: Generator = None,
    ):  # fmt: skip
        self.embedding = nn.Embedding(vocabulary, embedding, generator=generator)
        self.cell = cell(embedding + features, hidden, generator=generator)
        self.attention = BahdanauAttention(hidden, features, hidden, generator=generator)
        self.beta = nn.Linear(hidden, 1, generator=generator)
        zero = initial_state(self.cell, mg.zeros((1, 1, embedding + features), np.float32))
        self.first = tree.map(lambda s: nn.Linear(features, s.shape[-1], generator=generator), zero)
        self.L_h, self.L_z = [nn.Linear(n, embedding, bias=False, generator=generator) for n in (hidden, features)]
        self.output = nn.Linear(embedding, vocabulary, generator=generator)

    def start(self, state):
        mean = state.mean(axis=0)
        return tree.map(lambda layer: mg.tanh(layer(mean)), self.first)

    def prepare(self, memory):
        return memory, self.attention.keys(memory)

    def forward(self, y, state, memory, mask):
        h, y, (memory, keys) = output_of(self.cell, state), self.embedding(y), memory
        context, weights = self.attention(h, memory, mask, keys)
        z = mg.sigmoid(self.beta(h)) * context
        h, state = take_step(self.cell, mg.concatenate([y, z], axis=-1), state)
        return self.output(y + self.L_h(h) + self.L_z(z)), state, weights


class Captioner(Seq2Seq):
    """Images to words: `Seq2Seq`, whose source are the regions of an image.

    encoder: a module, (B, *image) to maps (B, D, rows, columns), of which each place is a region: L regions of D
    features. image: the shape of one. decoder: ShowAndTell or ShowAttendTell. cell: made as cell(input_size,
    hidden_size, generator=...). start, end: the words that begin and end a caption.

    Call it with images (B, *image) and captions (S, B), integers: logits (S, B, V) of each word given the true ones
    before it, and the weights of the attention (S, L, B), None without. `greedy` and `beam` take images and write.

    Examples
    --------
    >>> model = models.Captioner(models.convolutions(3, 8), (3, 8, 8), 20, 8, 16)
    >>> model(mg.zeros((2, 3, 8, 8)), np.full((5, 2), 4))[0].shape
    (5, 2, 20)
    """

    @checked
    def __init__(
        self, encoder, image: tuple[Size, ...], vocabulary: Size, embedding: Size, hidden: Size, decoder=ShowAttendTell,
        cell=LSTMCell, start: Count = 0, end: Count = 1, *, generator: Generator = None,
    ):  # fmt: skip
        self.encoder, self.image, self.targets, self.start, self.end = encoder, image, vocabulary, start, end
        with mg.no_grad():
            regions, _, features = self.see(mg.zeros((1, *image), np.float32)).shape
        self.decoder = decoder(vocabulary, embedding, hidden, regions, features, cell, generator=generator)

    @checked
    def see(self, images):
        """The regions of images (B, *image): (L, B, D). Raises ValueError for another shape."""
        if images.shape[1:] != self.image:
            raise ValueError(
                f"Captioner: got images of shape {images.shape}, wanted (B, {', '.join(map(str, self.image))})"
            )
        maps = self.encoder(images)
        return mg.moveaxis(maps.reshape(*maps.shape[:2], -1), 2, 0)

    def encode(self, source, lengths=None):
        return self.decoder.start(source), source, mg.ones(source.shape[:2], bool)

    def forward(self, images, captions):
        return super().forward(self.see(images), captions)

    @checked
    def greedy(self, images, **options):
        return super().greedy(self.see(images), **options)

    @checked
    def beam(self, images, **options):
        return super().beam(self.see(images), **options)


@checked
def doubly_stochastic(weights, mask=None):
    """Σ_l (1 - Σ_t α_tl)², mean over images: attention should come to every region once (Xu et al. 2015, eq. 14).

    weights: (S, L, B). mask: bool (S, B), True where a caption has a word.

    Examples
    --------
    >>> models.doubly_stochastic(mg.full((4, 2, 3), 0.25)).item()
    0.0
    """
    weights = weights if mask is None else mg.where(mask[:, None], weights, 0)
    return (1 - weights.sum(axis=0)).square().sum(axis=0).mean()
