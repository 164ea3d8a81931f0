"""The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078)."""

import minigrad as mg
from minigrad.arguments import Count, Generator, Probability, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import Recurrent, uniform_parameter, watch


class GRUCell(Cell):
    """r, z = σ(x W_i*^T + b_i* + h W_h*^T + b_h*); h' = (1 - z) ⊙ n + z ⊙ h. Where r resets h is an option:

    reset_after=True, after the product, as PyTorch, Keras and cuDNN: n = tanh(x W_in^T + b_in + r ⊙ (h W_hn^T + b_hn)).
    reset_after=False, before it, as Cho et al.: n = tanh(x W_in^T + b_in + (r ⊙ h) W_hn^T), and there is no bias_hh.

    z_keeps: False lets z change places with 1 - z, h' = (1 - z) ⊙ h + z ⊙ n, as in Chung et al. 2014 (arXiv:1412.3555)
    and Olah 2015, "Understanding LSTM networks".

    x (..., I), h (..., H) -> (..., H). weight_ih (3H, I), weight_hh (3H, H), bias_ih and bias_hh (3H,), gates in the
    order r z n: names, shapes and initial distribution are those of torch.nn.GRUCell. 3(H(I + H) + 2H) numbers, with
    one bias 3(H(I + H) + H).

    Examples
    --------
    >>> cell = models.GRUCell(3, 4)
    >>> cell(mg.zeros((2, 3)), mg.zeros((2, 4))).shape
    (2, 4)
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, bias: bool = True, reset_after: bool = True, *,
        z_keeps: bool = True, generator: Generator = None,
    ):  # fmt: skip
        self.input_size, self.hidden_size = input_size, hidden_size
        self.reset_after, self.z_keeps = reset_after, z_keeps
        H = hidden_size
        self.weight_ih = uniform_parameter((3 * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((3 * H, H), H, generator)
        self.bias_ih = uniform_parameter((3 * H,), H, generator) if bias else 0
        self.bias_hh = uniform_parameter((3 * H,), H, generator) if bias and reset_after else 0

    def forward(self, x, h):
        x_r, x_z, x_n = mg.split(x @ self.weight_ih.T + self.bias_ih, 3, axis=-1)
        old, h = h, dropped("hidden", h)
        if self.reset_after:
            h_r, h_z, h_n = mg.split(h @ self.weight_hh.T + self.bias_hh, 3, axis=-1)
            r, z = mg.sigmoid(x_r + h_r), mg.sigmoid(x_z + h_z)
            n = mg.tanh(x_n + r * h_n)
        else:
            W_hr, W_hz, W_hn = mg.split(self.weight_hh, 3)
            r, z = mg.sigmoid(x_r + h @ W_hr.T), mg.sigmoid(x_z + h @ W_hz.T)
            n = mg.tanh(x_n + (r * h) @ W_hn.T)
        watch(r=r, z=z, n=n)
        n = dropped("candidate", n)
        return (1 - z) * n + z * old if self.z_keeps else (1 - z) * old + z * n


class GRU(Recurrent):
    """Layers of `GRUCell`: `output, h_n = gru(x, h_0)`, with the arguments and the state dict of torch.nn.GRU.

    See `Recurrent` for shapes, lengths and masks.

    Examples
    --------
    >>> output, h_n = models.GRU(3, 4, num_layers=2)(mg.zeros((5, 2, 3)))
    >>> output.shape, h_n.shape
    ((5, 2, 4), (2, 2, 4))
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, num_layers: Size = 1, bias: bool = True, batch_first: bool = False,
        dropout: Probability = 0.0, bidirectional: bool = False, *, reset_after: bool = True, z_keeps: bool = True,
        generator: Generator = None,
    ):  # fmt: skip
        super().__init__(
            GRUCell, input_size, hidden_size, bias=bias, reset_after=reset_after, z_keeps=z_keeps,
            num_layers=num_layers, batch_first=batch_first, dropout=dropout, bidirectional=bidirectional,
            generator=generator,
        )  # fmt: skip
