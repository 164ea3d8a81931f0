"""Video: a convolutional network sees each frame, a recurrent one remembers what it saw."""

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Generator, Size, checked
from minigrad.models.lengths import valid_steps
from minigrad.models.lstm import LSTMCell
from minigrad.nn.recurrent import Recurrent, keep


class FrameClassifier(nn.Module):
    """A label for each frame of a video, from that frame and those before it: the LRCN of Donahue et al. 2015 (CVPR,
    arXiv:1411.4389, section 4): y_t = W h_t + b, h_t = LSTM(φ(x_t), h_{t-1}), with one encoder φ for all frames.

    encoder: a module, (N, *image) to (N, ...), of which all but the first axis are the features of an image. features:
    how many these are. cell: made as cell(input_size, hidden_size, generator=...); None: each frame is told by itself,
    y_t = W relu(V φ(x_t) + a) + b, which is what the recurrence is to be compared with.

    video: (T, B, *image). lengths: B integers from 0 to T; what is behind a video's end changes nothing before it.
    Returns logits (T, B, classes). With F = features and H = hidden, besides those of the encoder: those of a cell with
    F inputs (4(H(F + H) + 2H) of an LSTM; of V and a, H(F + 1)) and classes(H + 1) numbers.

    Examples
    --------
    >>> encoder = nn.Sequential(models.convolutions(1, 4), lambda y: y.reshape(len(y), -1))
    >>> model = models.FrameClassifier(encoder, 64, 6, classes=3)
    >>> model(mg.zeros((5, 2, 1, 8, 8))).shape
    (5, 2, 3)
    """

    @checked
    def __init__(
        self, encoder, features: Size, hidden: Size, classes: Size, cell=LSTMCell, *, generator: Generator = None
    ):
        self.encoder = encoder
        self.recurrent = None if cell is None else Recurrent(cell, features, hidden, generator=generator)
        self.alone = nn.Linear(features, hidden, generator=generator) if cell is None else None
        self.output = nn.Linear(hidden, classes, generator=generator)

    @checked
    def forward(self, video, lengths=None):
        T, B = video.shape[:2]
        video = keep(valid_steps("FrameClassifier", lengths, T, B), video, 0)
        seen = self.encoder(video.reshape(T * B, *video.shape[2:])).reshape(T, B, -1)
        h = mg.relu(self.alone(seen)) if self.alone else self.recurrent(seen)[0]
        return self.output(h)
