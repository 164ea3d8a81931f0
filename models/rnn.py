"""The simple recurrent network of Elman 1990, Cognitive Science 14(2)."""

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Probability, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import Recurrent, uniform_parameter


class RNNCell(Cell):
    """h' = φ(x W_ih^T + b_ih + h W_hh^T + b_hh) (Elman 1990), φ = tanh or relu.

    x (..., I), h (..., H) -> (..., H). weight_ih (H, I), weight_hh (H, H), bias_ih and bias_hh (H,): names, shapes and
    initial distribution are those of torch.nn.RNNCell. H(I + H) + 2H numbers; with two_biases=False, as in Keras, there
    is no bias_hh, and H fewer.

    Examples
    --------
    >>> cell = models.RNNCell(3, 4, nonlinearity="relu")
    >>> cell(mg.zeros((2, 3)), mg.zeros((2, 4))).shape
    (2, 4)
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, bias: bool = True, nonlinearity: str = "tanh", *,
        two_biases: bool = True, generator: Generator = None,
    ):  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: got nonlinearity {nonlinearity!r}, wanted 'tanh' or 'relu'")
        self.input_size, self.hidden_size, self.nonlinearity = input_size, hidden_size, nonlinearity
        H = hidden_size
        self.weight_ih = uniform_parameter((H, input_size), H, generator)
        self.weight_hh = uniform_parameter((H, H), H, generator)
        self.bias_ih = uniform_parameter((H,), H, generator) if bias else 0
        self.bias_hh = uniform_parameter((H,), H, generator) if bias and two_biases else 0

    def forward(self, x, h):
        a = x @ self.weight_ih.T + self.bias_ih + dropped("hidden", h) @ self.weight_hh.T + self.bias_hh
        return mg.tanh(a) if self.nonlinearity == "tanh" else mg.relu(a)


class IRNNCell(RNNCell):
    """`RNNCell` with relu that begins as the identity (Le, Jaitly & Hinton 2015, arXiv:1504.00941): W_hh = 1, biases 0,
    W_ih ~ N(0, 0.001²). So at first h is carried on as it is, and its gradient, too.

    Examples
    --------
    >>> models.IRNNCell(3, 2).weight_hh.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, *, generator: Generator = None):
        super().__init__(input_size, hidden_size, nonlinearity="relu", generator=generator)
        self.weight_ih = nn.Parameter(nn.init.normal((hidden_size, input_size), 0.001, generator=generator))
        self.weight_hh = nn.Parameter(np.eye(hidden_size, dtype="float32"))
        self.bias_ih, self.bias_hh = [nn.Parameter(np.zeros(hidden_size, "float32")) for _ in range(2)]


class RNN(Recurrent):
    """Layers of `RNNCell`: `output, h_n = rnn(x, h_0)`, with the arguments and the state dict of torch.nn.RNN.

    See `Recurrent` for shapes, lengths and masks.

    Examples
    --------
    >>> output, h_n = models.RNN(3, 4, nonlinearity="relu")(mg.zeros((5, 2, 3)))
    >>> output.shape, h_n.shape
    ((5, 2, 4), (1, 2, 4))
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, num_layers: Size = 1, nonlinearity: str = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: Probability = 0.0, bidirectional: bool = False, *,
        two_biases: bool = True, generator: Generator = None,
    ):  # fmt: skip
        super().__init__(
            RNNCell, input_size, hidden_size, bias=bias, nonlinearity=nonlinearity, two_biases=two_biases,
            num_layers=num_layers, batch_first=batch_first, dropout=dropout, bidirectional=bidirectional,
            generator=generator,
        )  # fmt: skip
