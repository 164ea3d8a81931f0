"""The convolutional GRU (Ballas et al. 2015, arXiv:1511.06432)."""

import minigrad as mg
from minigrad.arguments import Count, Generator, Probability, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import Recurrent, uniform_parameter, watch


class ConvGRUCell(Cell):
    """A GRU whose products are "same" convolutions (Ballas et al. 2015), with a bias:

    r, z = σ(W_* * x + U_* * h + b_*); n = tanh(W_n * x + U_n * (r ⊙ h) + b_n); h' = (1 - z) ⊙ h + z ⊙ n.
    As there, z lets the new in; in `GRUCell` it keeps the old.

    x (B, I, rows, columns), h (B, H, rows, columns) -> the next h. weight_ih (3H, I, k, k), weight_hh (3H, H, k, k),
    bias (3H,), in the order r z n, U(±1/√H). 3H(k²(I + H) + 1) numbers.

    Examples
    --------
    >>> cell = models.ConvGRUCell(3, 4, kernel_size=3)
    >>> x = mg.zeros((2, 3, 6, 6))
    >>> cell(x, cell.initial_state(x)).shape
    (2, 4, 6, 6)
    """

    feature_ndim = 3
    state_shape = "hidden_size ..."

    @checked
    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        kernel_size: Size,
        bias: bool = True,
        *,
        generator: Generator = None,
    ):
        self.input_size, self.hidden_size, self.kernel_size = input_size, hidden_size, kernel_size
        H, k = hidden_size, kernel_size
        self.weight_ih = uniform_parameter((3 * H, input_size, k, k), H, generator)
        self.weight_hh = uniform_parameter((3 * H, H, k, k), H, generator)
        self.bias = uniform_parameter((3 * H,), H, generator) if bias else None

    def forward(self, x, h):
        H = self.hidden_size
        old, h = h, dropped("hidden", h)
        x_r, x_z, x_n = mg.split(mg.conv2d(x, self.weight_ih, self.bias, padding="same"), 3, axis=-3)
        h_r, h_z = mg.split(mg.conv2d(h, self.weight_hh[: 2 * H], padding="same"), 2, axis=-3)
        r, z = mg.sigmoid(x_r + h_r), mg.sigmoid(x_z + h_z)
        n = mg.tanh(x_n + mg.conv2d(r * h, self.weight_hh[2 * H :], padding="same"))
        watch(r=r, z=z, n=n)
        return (1 - z) * old + z * dropped("candidate", n)


class ConvGRU(Recurrent):
    """Layers of `ConvGRUCell`: `output, h_n = convgru(x, h_0)`, x (T, B, I, rows, columns).

    See `Recurrent` for lengths and masks.

    Examples
    --------
    >>> output, h_n = models.ConvGRU(3, 4, kernel_size=3)(mg.zeros((5, 2, 3, 6, 6)))
    >>> output.shape
    (5, 2, 4, 6, 6)
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, kernel_size: Size, num_layers: Size = 1, bias: bool = True,
        batch_first: bool = False, dropout: Probability = 0.0, bidirectional: bool = False, *,
        generator: Generator = None,
    ):  # fmt: skip
        super().__init__(
            ConvGRUCell, input_size, hidden_size, kernel_size, bias=bias, num_layers=num_layers,
            batch_first=batch_first, dropout=dropout, bidirectional=bidirectional, generator=generator,
        )  # fmt: skip
