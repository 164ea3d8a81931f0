"""The convolutional LSTM (Shi et al. 2015, arXiv:1506.04214)."""

from itertools import pairwise
from typing import Literal

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Probability, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import Recurrent, uniform_parameter, watch

CONVOLUTIONS = mg.conv1d, mg.conv2d, mg.conv3d
Axes = Size | tuple[Size, ...]


class ConvLSTMCell(Cell):
    """An LSTM whose products are convolutions, eq. 3 of Shi et al. 2015, with or without peepholes w:

    i, f = σ(W_x* * x + W_h* * h + w_c* ⊙ c + b); g = tanh(W_xg * x + W_hg * h + b); c' = f ⊙ c + i ⊙ g;
    o = σ(W_xo * x + W_ho * h + w_co ⊙ c' + b); h' = o ⊙ tanh(c').

    x (B, I, rows, columns), state (h, c), each (B, H, rows', columns') -> (h', c'). kernel_size: an integer; or one for
    each axis, which says how many axes there are: (k,) for sequences, (k, k, k) for volumes. stride, padding, dilation:
    of the convolutions of x, as conv2d's, "valid" among them; h always keeps its size. peepholes: None, or (rows',
    columns'), which the peephole weights must know. unit_forget_bias: True begins with biases 1 of the forget gate.
    hard_sigmoid: True takes min(max(a / 5 + 1/2, 0), 1) for σ(a).
    Keras' ConvLSTM1D, 2D and 3D have the same order of gates, no peepholes, a unit forget bias, "valid" by default and,
    before version 3, this hard sigmoid; channels come last there, and kernels (k, k, I, 4H) are our weights'
    transpose(2, 3, 1, 0).
    weight_ih (4H, I, k, k), weight_hh (4H, H, k, k), bias (4H,), gates in the order i f g o, and weight_ci, weight_cf,
    weight_co (H, rows', columns'); all U(±1/√H). 4H(k²(I + H) + 1) numbers, and 3H · rows' · columns' for peepholes.

    Examples
    --------
    >>> cell = models.ConvLSTMCell(3, 4, kernel_size=3, peepholes=(6, 6))
    >>> x = mg.zeros((2, 3, 6, 6))
    >>> h, c = cell(x, cell.initial_state(x))
    >>> h.shape
    (2, 4, 6, 6)
    """

    feature_ndim = 3

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, kernel_size: Axes, bias: bool = True,
        peepholes: tuple[Size, ...] | None = None, *, stride: Axes = 1,
        padding: Count | tuple[Count, ...] | Literal["same", "valid"] = "same", dilation: Axes = 1,
        unit_forget_bias: bool = False, hard_sigmoid: bool = False, generator: Generator = None,
    ):  # fmt: skip
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(kernel) not in (1, 2, 3):
            raise ValueError(f"got kernel_size={kernel_size}, wanted an integer, or one for each of up to three axes")
        self.input_size, self.hidden_size, self.kernel_size = input_size, hidden_size, kernel
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.feature_ndim, self.peepholes, self.hard_sigmoid = len(kernel) + 1, peepholes, hard_sigmoid
        H = hidden_size
        self.weight_ih = uniform_parameter((4 * H, input_size, *kernel), H, generator)
        self.weight_hh = uniform_parameter((4 * H, H, *kernel), H, generator)
        self.bias = uniform_parameter((4 * H,), H, generator) if bias else None
        if unit_forget_bias and self.bias is not None:
            with mg.no_grad():
                self.bias[H : 2 * H] = 1.0
        self.weight_ci, self.weight_cf, self.weight_co = [
            uniform_parameter((H, *peepholes), H, generator) if peepholes else None for _ in range(3)
        ]

    def forward(self, x, state):
        h, c = state
        h = dropped("hidden", h)
        conv = CONVOLUTIONS[self.feature_ndim - 2]
        a = conv(x, self.weight_ih, self.bias, self.stride, self.padding, self.dilation)
        a = a + conv(h, self.weight_hh, padding="same")
        i, f, g, o = mg.split(a, 4, axis=1)
        if self.peepholes:
            i, f = i + self.weight_ci * c, f + self.weight_cf * c
        i, f, g = self.sigmoid(i), self.sigmoid(f), mg.tanh(g)
        c = f * c + i * dropped("candidate", g)
        o = self.sigmoid(o + self.weight_co * c if self.peepholes else o)
        h = o * mg.tanh(c)
        watch(i=i, f=f, g=g, o=o)
        return h, c

    def sigmoid(self, a):
        return mg.clip(a / 5 + 0.5, 0, 1) if self.hard_sigmoid else mg.sigmoid(a)

    def initial_state(self, x):
        axes = len(self.kernel_size)
        zero = mg.zeros((*x.shape[: -axes - 1], self.hidden_size, *self.image_size(x.shape[-axes:])), x.dtype)
        return zero, zero

    def image_size(self, size):
        """Of the state: what a convolution leaves of x's."""
        if self.padding == "same":
            return size
        padding = 0 if self.padding == "valid" else self.padding
        s, p, d = [v if isinstance(v, tuple) else (v,) * len(size) for v in (self.stride, padding, self.dilation)]
        return [(size[k] + 2 * p[k] - d[k] * (n - 1) - 1) // s[k] + 1 for k, n in enumerate(self.kernel_size)]


class ConvLSTM(Recurrent):
    """Layers of `ConvLSTMCell`: `output, (h_n, c_n) = convlstm(x, (h_0, c_0))`, x (T, B, I, rows, columns), or of as
    many axes as the kernel has.

    See `Recurrent` for lengths and masks.

    Examples
    --------
    >>> output, (h_n, c_n) = models.ConvLSTM(3, 4, kernel_size=3)(mg.zeros((5, 2, 3, 6, 6)))
    >>> output.shape, c_n.shape
    ((5, 2, 4, 6, 6), (1, 2, 4, 6, 6))
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, kernel_size: Axes, num_layers: Size = 1, bias: bool = True,
        batch_first: bool = False, dropout: Probability = 0.0, bidirectional: bool = False, *,
        peepholes: tuple[Size, ...] | None = None, stride: Axes = 1,
        padding: Count | tuple[Count, ...] | Literal["same", "valid"] = "same", dilation: Axes = 1,
        unit_forget_bias: bool = False, hard_sigmoid: bool = False, generator: Generator = None,
    ):  # fmt: skip
        super().__init__(
            ConvLSTMCell, input_size, hidden_size, kernel_size, bias=bias, peepholes=peepholes, stride=stride,
            padding=padding, dilation=dilation, unit_forget_bias=unit_forget_bias, hard_sigmoid=hard_sigmoid,
            num_layers=num_layers, batch_first=batch_first, dropout=dropout, bidirectional=bidirectional,
            generator=generator,
        )  # fmt: skip


class EncoderForecaster(nn.Module):
    """Frames to come, from frames seen: two stacks of ConvLSTMs (Shi et al. 2015, section 3.2).

    The encoder reads the frames; then each layer of the forecaster starts from the states in which the encoder's left
    off. The forecaster gets no input (zeros of one channel), and a convolution of 1x1 reads the frames out of the
    outputs of all its layers.

    x (T, B, I, rows, columns), steps -> (steps, B, I, rows, columns), without a squashing function. hidden_sizes: of
    the layers, the lowest first; in the paper (128, 64, 64). peepholes: as of `ConvLSTMCell`.
    encoder and forecaster, lists of `ConvLSTM`; read_out, an `nn.Conv2d` of I(ΣH + 1) numbers.

    Examples
    --------
    >>> model = models.EncoderForecaster(1, (4,), kernel_size=3)
    >>> model(mg.zeros((5, 2, 1, 8, 8)), 3).shape
    (3, 2, 1, 8, 8)
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_sizes: tuple[Size, ...], kernel_size: Size,
        peepholes: tuple[Size, Size] | None = None, *, generator: Generator = None,
    ):  # fmt: skip
        def stack(size):
            sizes = [(size, hidden_sizes[0]), *pairwise(hidden_sizes)]
            return [ConvLSTM(I, H, kernel_size, peepholes=peepholes, generator=generator) for I, H in sizes]

        self.encoder, self.forecaster = stack(input_size), stack(1)
        self.read_out = nn.Conv2d(sum(hidden_sizes), input_size, 1, generator=generator)

    @checked
    def forward(self, x, steps: Count):
        states = []
        for layer in self.encoder:
            x, state = layer(x)
            states.append(state)
        y = mg.zeros((steps, x.shape[1], 1, *x.shape[-2:]), x.dtype)
        outputs = []
        for layer, state in zip(self.forecaster, states):
            y, _ = layer(y, state)
            outputs.append(y)
        hidden = mg.concatenate(outputs, axis=2)
        frames = self.read_out(hidden.reshape(-1, *hidden.shape[2:]))
        return frames.reshape(steps, -1, *frames.shape[1:])


class FramePredictor(nn.Module):
    """Frames to come, each from those before it: a stack of ConvLSTM cells reads a frame and tells the next, and reads
    on in its own words where the frames that were seen end.

    A convolution of 1x1 reads the logits of a frame out of the outputs of all cells; what is read in its place is their
    chances, so that frames are of pixels from 0 to 1. x (T, B, I, rows, columns), steps -> (T - 1 + steps, B, I, rows,
    columns), logits of the frames from the second on. truth (steps - 1, B, I, rows, columns) and given, booleans (steps
    - 1, B): where given, the true frame is read in the place of its own; scheduled sampling, if these become fewer in
    the course of training (Bengio et al. 2015, arXiv:1506.03099).

    hidden_sizes: of the cells, the lowest first. peepholes: as of `ConvLSTMCell`.
    cells, a list of `ConvLSTMCell`; read_out, an `nn.Conv2d` of I(ΣH + 1) numbers.

    Examples
    --------
    >>> model = models.FramePredictor(1, (4,), kernel_size=3)
    >>> model(mg.zeros((5, 2, 1, 8, 8)), 3).shape
    (7, 2, 1, 8, 8)
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_sizes: tuple[Size, ...], kernel_size: Size,
        peepholes: tuple[Size, Size] | None = None, *, generator: Generator = None,
    ):  # fmt: skip
        self.cells = [
            ConvLSTMCell(I, H, kernel_size, peepholes=peepholes, unit_forget_bias=True, generator=generator)
            for I, H in pairwise((input_size, *hidden_sizes))
        ]
        self.read_out = nn.Conv2d(sum(hidden_sizes), input_size, 1, generator=generator)

    @checked
    def forward(self, x, steps: Size, truth=None, given=None):
        def read(states, x):
            after = []
            for cell, state in zip(self.cells, states):
                x, c = cell(x, state)
                after.append((x, c))
            return after, self.read_out(mg.concatenate([h for h, _ in after], axis=1))

        def read_own(carry, instead):
            states, told = carry
            frame = mg.sigmoid(told)
            if instead is not None:
                true_frame, given = instead
                frame = mg.where(given[:, None, None, None], true_frame, frame)
            states, told = read(states, frame)
            return (states, told), told

        states, told = mg.scan(read, [cell.initial_state(x[0]) for cell in self.cells], x)
        instead = None if truth is None else (truth, given)
        _, on = mg.scan(read_own, (states, told[-1]), instead, length=steps - 1)
        return mg.concatenate([told, on])
