"""Grid LSTM (Kalchbrenner, Danihelka & Graves 2015, arXiv:1507.01526): memory along every dimension, depth too."""

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Count, Generator, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import uniform_parameter, watch


class GridLSTMBlock(nn.Module):
    """A block of N dimensions, which takes and gives N hidden and N memory vectors.

    With the hidden vectors side by side, s = [h_1; ...; h_N], each dimension k makes an LSTM's update of its own:
    i, f, g, o = σ, σ, tanh, σ of s W_k^T + b_k; m_k' = f ⊙ m_k + i ⊙ g; h_k' = o ⊙ tanh(m_k').

    output_inside: True takes h_k' = tanh(o ⊙ m_k'), as the paper prints it; else as its implementations.

    hidden, memory: N tensors (..., H) each -> lists of the next. weight (4NH, NH), bias (4NH,), dimension by dimension,
    in each i f g o; U(±1/√H). 4NH(NH + 1) numbers.

    Examples
    --------
    >>> block = models.GridLSTMBlock(4, dimensions=2)
    >>> hidden, memory = block([mg.zeros((2, 4))] * 2, [mg.zeros((2, 4))] * 2)
    >>> len(hidden), memory[0].shape
    (2, (2, 4))
    """

    @checked
    def __init__(
        self, hidden_size: Count, dimensions: Size, *, output_inside: bool = False, generator: Generator = None
    ):
        self.hidden_size, self.dimensions, self.output_inside = hidden_size, dimensions, output_inside
        H, N = hidden_size, dimensions
        self.weight = uniform_parameter((4 * N * H, N * H), H, generator)
        self.bias = uniform_parameter((4 * N * H,), H, generator)

    def forward(self, hidden, memory):
        a = mg.concatenate(list(hidden), axis=-1) @ self.weight.T + self.bias
        hidden, memory, old = [], [], memory
        for a_k, m in zip(mg.split(a, self.dimensions, axis=-1), old):
            i, f, g, o = mg.split(a_k, 4, axis=-1)
            i, f, g, o = mg.sigmoid(i), mg.sigmoid(f), mg.tanh(g), mg.sigmoid(o)
            watch(i=i, f=f, g=g, o=o)
            m = f * m + i * dropped("candidate", g)
            memory.append(m)
            hidden.append(mg.tanh(o * m) if self.output_inside else o * mg.tanh(m))
        return hidden, memory


class GridLSTM1d(nn.Module):
    """The grid of one dimension, depth: a feed-forward network whose layers are joined by an LSTM's memory.

    h and m of the first layer are x W^T + b; each of `depth` layers is a block. tied: all layers are one, so it is an
    LSTM that runs over depth (the paper's network for parity).

    x (..., I) -> (..., H). project, an `nn.Linear` (2H, I); blocks. 2H(I + 1) numbers and 4H(H + 1) for each block.

    Examples
    --------
    >>> models.GridLSTM1d(3, 4, depth=5)(mg.zeros((2, 3))).shape
    (2, 4)
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, depth: Size, tied: bool = False, *, output_inside: bool = False,
        generator: Generator = None,
    ):  # fmt: skip
        self.input_size, self.hidden_size = input_size, hidden_size
        self.project = nn.Linear(input_size, 2 * hidden_size, generator=generator)
        self.blocks = blocks(hidden_size, 1, depth, tied, output_inside=output_inside, generator=generator)

    def forward(self, x):
        h, m = mg.split(self.project(x), 2, axis=-1)
        hidden, memory = [h], [m]
        for block in self.blocks:
            hidden, memory = block(hidden, memory)
        return hidden[0]


class GridLSTMCell(Cell):
    """One step in time of the grid of two dimensions, time and depth: a stacked LSTM with memory along the depth, too.

    At each step h and m of the depth are x W^T + b below the first layer; each of `depth` layers is a block, which
    takes h and m of the layer below and its own of the step before. tied: all layers are one.

    x (..., I), state ((h, m), ...) of the time, layer by layer, each (..., H) -> h of the depth above the last layer,
    which is the output, and the next state. project, an `nn.Linear` (2H, I); blocks. 2H(I + 1) numbers and 8H(2H + 1)
    for each block.

    Examples
    --------
    >>> layer = nn.Recurrent(models.GridLSTMCell(3, 4, depth=2))
    >>> layer(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 4)
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, depth: Size = 1, tied: bool = False, *,
        output_inside: bool = False, generator: Generator = None,
    ):  # fmt: skip
        self.input_size, self.hidden_size = input_size, hidden_size
        self.project = nn.Linear(input_size, 2 * hidden_size, generator=generator)
        self.blocks = blocks(hidden_size, 2, depth, tied, output_inside=output_inside, generator=generator)
        self.state_shape = (("hidden_size", "hidden_size"),) * depth

    def forward(self, x, state):
        h, m = mg.split(self.project(x), 2, axis=-1)
        new = []
        for block, (h_time, m_time) in zip(self.blocks, state):
            (h_time, h), (m_time, m) = block((dropped("hidden", h_time), h), (m_time, m))
            new.append((h_time, m_time))
        return h, tuple(new)


def blocks(hidden_size: int, dimensions: int, depth: int, tied: bool, **options) -> list[GridLSTMBlock]:
    """A block for each layer; tied, the same one every time."""
    made = [GridLSTMBlock(hidden_size, dimensions, **options) for _ in range(1 if tied else depth)]
    return made * depth if tied else made
