"""The convolutional LSTM (Shi et al. 2015, arXiv:1506.04214)."""

from itertools import pairwise

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Probability, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import Recurrent, uniform_parameter, watch


class ConvLSTMCell(Cell):
    """An LSTM whose products are "same" convolutions, eq. 3 of Shi et al. 2015, with or without peepholes w:

    i, f = σ(W_x* * x + W_h* * h + w_c* ⊙ c + b); g = tanh(W_xg * x + W_hg * h + b); c' = f ⊙ c + i ⊙ g;
    o = σ(W_xo * x + W_ho * h + w_co ⊙ c' + b); h' = o ⊙ tanh(c').

    x (B, I, rows, columns), state (h, c), each (B, H, rows, columns) -> (h', c'). peepholes: None, or (rows, columns),
    which the peephole weights must know. unit_forget_bias: True begins with biases 1 of the forget gate. hard_sigmoid:
    True takes min(max(a / 5 + 1/2, 0), 1) for σ(a).
    Keras' ConvLSTM2D has the same order of gates, no peepholes, a unit forget bias and, before version 3, this hard
    sigmoid; channels come last there, and its kernels (k, k, I, 4H) are weight.transpose(2, 3, 1, 0).
    weight_ih (4H, I, k, k), weight_hh (4H, H, k, k), bias (4H,), gates in the order i f g o, and weight_ci, weight_cf,
    weight_co (H, rows, columns); all U(±1/√H). 4H(k²(I + H) + 1) numbers, and 3H · rows · columns for peepholes.
    """

    feature_ndim = 3
    state_shape = "hidden_size ...", "hidden_size ..."

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Size, kernel_size: Size, bias: bool = True,
        peepholes: tuple[Size, Size] | None = None, *, unit_forget_bias: bool = False, hard_sigmoid: bool = False,
        generator: Generator = None,
    ):  # fmt: skip
        self.input_size, self.hidden_size, self.kernel_size = input_size, hidden_size, kernel_size
        self.peepholes, self.hard_sigmoid = peepholes, hard_sigmoid
        H, k = hidden_size, kernel_size
        self.weight_ih = uniform_parameter((4 * H, input_size, k, k), H, generator)
        self.weight_hh = uniform_parameter((4 * H, H, k, k), H, generator)
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
        a = mg.conv2d(x, self.weight_ih, self.bias, padding="same") + mg.conv2d(h, self.weight_hh, padding="same")
        i, f, g, o = mg.split(a, 4, axis=-3)
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


class ConvLSTM(Recurrent):
    """Layers of `ConvLSTMCell`: `output, (h_n, c_n) = convlstm(x, (h_0, c_0))`, x (T, B, I, rows, columns).

    See `Recurrent` for lengths and masks.
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Size, kernel_size: Size, num_layers: Size = 1, bias: bool = True,
        batch_first: bool = False, dropout: Probability = 0.0, bidirectional: bool = False, *,
        peepholes: tuple[Size, Size] | None = None, unit_forget_bias: bool = False, hard_sigmoid: bool = False,
        generator: Generator = None,
    ):  # fmt: skip
        super().__init__(
            ConvLSTMCell, input_size, hidden_size, kernel_size, bias=bias, peepholes=peepholes,
            unit_forget_bias=unit_forget_bias, hard_sigmoid=hard_sigmoid, num_layers=num_layers,
            batch_first=batch_first, dropout=dropout, bidirectional=bidirectional, generator=generator,
        )  # fmt: skip


class EncoderForecaster(nn.Module):
    """Frames to come, from frames seen: two stacks of ConvLSTMs (Shi et al. 2015, section 3.2).

    The encoder reads the frames; then each layer of the forecaster starts from the states in which the encoder's left
    off. The forecaster gets no input (zeros of one channel), and a convolution of 1x1 reads the frames out of the
    outputs of all its layers.

    x (T, B, I, rows, columns), steps -> (steps, B, I, rows, columns), without a squashing function. hidden_sizes: of
    the layers, the lowest first; in the paper (128, 64, 64). peepholes: as of `ConvLSTMCell`.
    encoder and forecaster, lists of `ConvLSTM`; read_out, an `nn.Conv2d` of I(ΣH + 1) numbers.
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
