"""Long short-term memory (Hochreiter & Schmidhuber 1997, Neural Computation 9(8))."""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.models.recurrent import Recurrent, pair, uniform_parameter, watch


class LSTMCell(nn.Module):
    """LSTM with a forget gate (Gers, Schmidhuber & Cummins 2000, Neural Computation 12(10)).

    i, f, o = σ(x W_i*^T + b_i* + h W_h*^T + b_h*), g = tanh(...) likewise; c' = f ⊙ c + i ⊙ g; h' = o ⊙ tanh(c').

    x (..., I), state (h, c), each (..., H) -> (h', c'). weight_ih (4H, I), weight_hh (4H, H), bias_ih and bias_hh
    (4H,), gates in the order i f g o: names, shapes and initial distribution are those of torch.nn.LSTMCell.
    4(H(I + H) + 2H) numbers.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, generator=None):
        self.input_size, self.hidden_size = input_size, hidden_size
        H = hidden_size
        self.weight_ih = uniform_parameter((4 * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((4 * H, H), H, generator)
        self.bias_ih = uniform_parameter((4 * H,), H, generator) if bias else 0
        self.bias_hh = uniform_parameter((4 * H,), H, generator) if bias else 0

    def forward(self, x, state):
        h, c = pair(state)
        a = x @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T + self.bias_hh
        i, f, g, o = mg.split(a, 4, axis=-1)
        i, f, g, o = mg.sigmoid(i), mg.sigmoid(f), mg.tanh(g), mg.sigmoid(o)
        watch(i=i, f=f, g=g, o=o)
        c = f * c + i * g
        h = o * mg.tanh(c)
        return h, c

    def initial_state(self, x):
        zero = mg.tensor(np.zeros((*x.shape[:-1], self.hidden_size), x.dtype))
        return zero, zero


class LSTM(Recurrent):
    """Layers of `LSTMCell`: `output, (h_n, c_n) = lstm(x, (h_0, c_0))`, with the arguments and the state dict of
    torch.nn.LSTM.

    See `Recurrent` for shapes, lengths and masks.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, *, generator=None,
    ):  # fmt: skip
        super().__init__(
            LSTMCell, input_size, hidden_size, bias=bias, num_layers=num_layers, batch_first=batch_first,
            dropout=dropout, bidirectional=bidirectional, generator=generator,
        )  # fmt: skip
