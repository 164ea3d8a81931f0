"""The depth-gated LSTM (Yao et al. 2015, arXiv:1508.03790)."""

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import uniform_parameter, watch


class DepthGatedLSTMCell(Cell):
    """A stack of LSTMs with peepholes, whose memories a depth gate joins.

    In layer L + 1, whose input x is h' of layer L: d = σ(x W_xd^T + w_cd ⊙ c^{L+1} + w_ld ⊙ c'^L + b_d);
    c'^{L+1} = d ⊙ c'^L + f ⊙ c^{L+1} + i ⊙ g; the rest, and all of the first layer, as in `LSTMVariantCell`.

    x (..., I), state ((h, c), ...), a pair for each of `depth` layers, each (..., H) -> the next; the output is the
    last layer's h'. A layer is a `DepthGatedLayer`: 4(H(I + H) + H) + 3H numbers in the first; the same in each other,
    where I = H, and H² + 3H for its depth gate.

    Examples
    --------
    >>> layer = nn.Recurrent(models.DepthGatedLSTMCell(3, 4, depth=3))
    >>> layer(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 4)
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, depth: Size = 2, *, generator: Generator = None):
        self.input_size, self.hidden_size = input_size, hidden_size
        sizes = [input_size] + [hidden_size] * (depth - 1)
        self.layers = [DepthGatedLayer(size, hidden_size, k > 0, generator=generator) for k, size in enumerate(sizes)]
        self.state_shape = (("hidden_size", "hidden_size"),) * depth

    def forward(self, x, state):
        new: list = []
        for layer, (h, c) in zip(self.layers, state):
            x, below = layer(x, h, c, new[-1][1] if new else None)
            new.append((x, below))
        return tuple(new)

    def output(self, state):
        return state[-1][0]


class DepthGatedLayer(nn.Module):
    """One layer of `DepthGatedLSTMCell`: h', c' = layer(x, h, c, c' of the layer below); the first has none below.

    weight_ih (5H, I) in the order i f g o d, weight_hh (4H, H), bias (5H,), peepholes weight_ci, weight_cf, weight_co,
    weight_cd and weight_ld (H,); the first layer has no d.
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, gated: bool, *, generator: Generator = None):
        H, n = hidden_size, 5 if gated else 4
        self.weight_ih = uniform_parameter((n * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((4 * H, H), H, generator)
        self.bias = uniform_parameter((n * H,), H, generator)
        self.weight_ci, self.weight_cf, self.weight_co = [uniform_parameter((H,), H, generator) for _ in range(3)]
        self.weight_cd, self.weight_ld = [uniform_parameter((H,), H, generator) if gated else None for _ in range(2)]

    def forward(self, x, h, c, below):
        x_i, x_f, x_g, x_o, *x_d = mg.split(x @ self.weight_ih.T + self.bias, 4 if below is None else 5, axis=-1)
        h_i, h_f, h_g, h_o = mg.split(dropped("hidden", h) @ self.weight_hh.T, 4, axis=-1)
        i = mg.sigmoid(x_i + h_i + self.weight_ci * c)
        f = mg.sigmoid(x_f + h_f + self.weight_cf * c)
        g = mg.tanh(x_g + h_g)
        watch(i=i, f=f, g=g)
        c_new = f * c + i * dropped("candidate", g)
        if below is not None:
            d = mg.sigmoid(x_d[0] + self.weight_cd * c + self.weight_ld * below)
            watch(d=d)
            c_new = d * below + c_new
        o = mg.sigmoid(x_o + h_o + self.weight_co * c_new)
        watch(o=o)
        return o * mg.tanh(c_new), c_new
