"""Long short-term memory (Hochreiter & Schmidhuber 1997, Neural Computation 9(8))."""

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Probability, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import Recurrent, uniform_parameter, watch


class LSTMCell(Cell):
    """LSTM with a forget gate (Gers, Schmidhuber & Cummins 2000, Neural Computation 12(10)).

    i, f, o = σ(x W_i*^T + b_i* + h W_h*^T + b_h*), g = tanh(...) likewise; c' = f ⊙ c + i ⊙ g; h' = o ⊙ tanh(c').

    x (..., I), state (h, c), each (..., H) -> (h', c'). weight_ih (4H, I), weight_hh (4H, H), bias_ih and bias_hh
    (4H,), gates in the order i f g o: names, shapes and initial distribution are those of torch.nn.LSTMCell.
    4(H(I + H) + 2H) numbers.

    proj_size: P > 0 makes h smaller than c (Sak, Senior & Beaufays 2014, arXiv:1402.1128): h' = W_hr (o ⊙ tanh(c')),
    with weight_hr (P, H), h (..., P) and weight_hh (4H, P); 4H(I + P + 2) + P H numbers.
    two_biases: False, as in Keras, leaves out bias_hh, 4H numbers. unit_forget_bias: True, as in Keras, begins with
    biases of the forget gate that add up to 1, by which it remembers (Jozefowicz, Zaremba & Sutskever 2015, ICML).

    Examples
    --------
    >>> cell = models.LSTMCell(3, 4)
    >>> h, c = cell(mg.zeros((2, 3)), (mg.zeros((2, 4)), mg.zeros((2, 4))))
    >>> h.shape, cell.weight_ih.shape
    ((2, 4), (16, 3))
    """

    state_shape = "output_size", "hidden_size"

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, bias: bool = True, *, proj_size: Count = 0,
        two_biases: bool = True, unit_forget_bias: bool = False, generator: Generator = None,
    ):  # fmt: skip
        if proj_size and proj_size >= hidden_size:
            raise ValueError(f"LSTMCell: got proj_size={proj_size}, wanted it below hidden_size={hidden_size}")
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, proj_size or hidden_size
        H, P = hidden_size, self.output_size
        self.weight_ih = uniform_parameter((4 * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((4 * H, P), H, generator)
        self.bias_ih = uniform_parameter((4 * H,), H, generator) if bias else 0
        self.bias_hh = uniform_parameter((4 * H,), H, generator) if bias and two_biases else 0
        self.weight_hr = uniform_parameter((P, H), H, generator) if proj_size else None
        if unit_forget_bias:
            with mg.no_grad():
                for b, start in ((self.bias_ih, 1.0), (self.bias_hh, 0.0)):
                    if isinstance(b, nn.Parameter):
                        b[H : 2 * H] = start

    def forward(self, x, state):
        h, c = state
        a = x @ self.weight_ih.T + self.bias_ih + dropped("hidden", h) @ self.weight_hh.T + self.bias_hh
        i, f, g, o = mg.split(a, 4, axis=-1)
        i, f, g, o = mg.sigmoid(i), mg.sigmoid(f), mg.tanh(g), mg.sigmoid(o)
        watch(i=i, f=f, g=g, o=o)
        c = f * c + i * dropped("candidate", g)
        h = o * mg.tanh(c)
        return h if self.weight_hr is None else h @ self.weight_hr.T, c


class LSTM(Recurrent):
    """Layers of `LSTMCell`: `output, (h_n, c_n) = lstm(x, (h_0, c_0))`, with the arguments and the state dict of
    torch.nn.LSTM.

    See `Recurrent` for shapes, lengths and masks.

    Examples
    --------
    >>> output, (h_n, c_n) = models.LSTM(3, 4, bidirectional=True)(mg.zeros((5, 2, 3)))
    >>> output.shape, c_n.shape
    ((5, 2, 8), (2, 2, 4))
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, num_layers: Size = 1, bias: bool = True, batch_first: bool = False,
        dropout: Probability = 0.0, bidirectional: bool = False, proj_size: Count = 0, *, two_biases: bool = True,
        unit_forget_bias: bool = False, generator: Generator = None,
    ):  # fmt: skip
        super().__init__(
            LSTMCell, input_size, hidden_size, bias=bias, proj_size=proj_size, two_biases=two_biases,
            unit_forget_bias=unit_forget_bias, num_layers=num_layers, batch_first=batch_first, dropout=dropout,
            bidirectional=bidirectional, generator=generator,
        )  # fmt: skip
