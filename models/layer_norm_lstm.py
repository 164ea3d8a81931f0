"""The layer-normalised LSTM (Ba, Kiros & Hinton 2016, arXiv:1607.06450)."""

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import uniform_parameter, watch


class LayerNormLSTMCell(Cell):
    """An LSTM whose two products and whose memory are normalised (Ba et al. 2016):

    i, f, g, o = σ, σ, tanh, σ of LN(x W_ih^T) + LN(h W_hh^T); c' = f ⊙ c + i ⊙ g; h' = o ⊙ tanh(LN(c')).
    Each LN has a gain and a bias of its own, so the sum needs no other.

    normalize_memory: True carries LN(c') to the next step, as PyTorch's benchmarks/fastrnns does; False, the paper, c'.

    x (..., I), state (h, c), each (..., H) -> (h', c'). weight_ih (4H, I), weight_hh (4H, H), gates in the order
    i f g o, U(±1/√H); norm_x and norm_h, `nn.LayerNorm` over all 4H sums, norm_c over H. 4H(I + H) + 18H numbers.

    Examples
    --------
    >>> layer = nn.Recurrent(models.LayerNormLSTMCell, 3, 4)
    >>> output, (h, c) = layer(mg.zeros((5, 2, 3)))
    >>> c.shape
    (1, 2, 4)
    """

    state_shape = "hidden_size", "hidden_size"

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Size, *, normalize_memory: bool = False, generator: Generator = None
    ):
        self.input_size, self.hidden_size, self.normalize_memory = input_size, hidden_size, normalize_memory
        H = hidden_size
        self.weight_ih = uniform_parameter((4 * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((4 * H, H), H, generator)
        self.norm_x, self.norm_h, self.norm_c = nn.LayerNorm(4 * H), nn.LayerNorm(4 * H), nn.LayerNorm(H)

    def forward(self, x, state):
        h, c = state
        a = self.norm_x(x @ self.weight_ih.T) + self.norm_h(dropped("hidden", h) @ self.weight_hh.T)
        i, f, g, o = mg.split(a, 4, axis=-1)
        i, f, g, o = mg.sigmoid(i), mg.sigmoid(f), mg.tanh(g), mg.sigmoid(o)
        watch(i=i, f=f, g=g, o=o)
        c = f * c + i * dropped("candidate", g)
        normed = self.norm_c(c)
        return o * mg.tanh(normed), normed if self.normalize_memory else c
