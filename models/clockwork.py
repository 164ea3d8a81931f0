"""The clockwork RNN (Koutník et al. 2014, arXiv:1402.3511)."""

import numpy as np

import minigrad as mg
from minigrad.arguments import Count, Generator, Size, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import uniform_parameter


class ClockworkCell(Cell):
    """H units in g modules of equal size; a module with period T is updated at steps t = 0, T, 2T, ..., or else copied:

    h' = tanh(x W_ih^T + h W_hh^T + b) where t mod T = 0, h elsewhere. A module reads from those whose period is at
    least its own: with periods in ascending order, W_hh is block upper triangular.

    periods: of the modules, one each.

    x (..., I), state (h, t), h (..., H), t (...) the number of steps taken, of h's dtype -> (h', t + 1). weight_ih
    (H, I), bias (H,); weight_hh, a list: of module k the blocks that are not zero, (n, (g - k)n), n = H/g; U(±1/√H).
    HI + n² g(g + 1)/2 + H numbers.

    Raises ValueError for periods that do not ascend from 1 or more, or whose number does not divide H.

    Examples
    --------
    >>> layer = nn.Recurrent(models.ClockworkCell, 3, 8, periods=(1, 2, 4, 8))
    >>> layer(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 8)
    """

    state_shape = "hidden_size", ""  # h, t

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, periods: tuple[Size, ...] = (1, 2, 4, 8), *,
        generator: Generator = None,
    ):  # fmt: skip
        if not periods or list(periods) != sorted(set(periods)):
            raise ValueError(f"ClockworkCell: got periods {periods}, wanted some in ascending order")
        if hidden_size % len(periods):
            raise ValueError(
                f"ClockworkCell: got hidden_size={hidden_size}, wanted a multiple of {len(periods)}, one part a period"
            )
        self.input_size, self.hidden_size, self.periods = input_size, hidden_size, tuple(periods)
        H, n = hidden_size, hidden_size // len(periods)
        self.weight_ih = uniform_parameter((H, input_size), H, generator)
        self.weight_hh = [uniform_parameter((n, H - k * n), H, generator) for k in range(len(periods))]
        self.bias = uniform_parameter((H,), H, generator)

    def forward(self, x, state):
        h, t = state
        H = self.hidden_size
        periods = np.repeat(np.array(self.periods, h.dtype), H // len(self.periods))
        ticks = t.reshape((*t.shape, 1)) / mg.tensor(periods)  # whole at a multiple of the period
        seen = dropped("hidden", h)
        from_slower = [seen[..., H - W.shape[1] :] @ W.T for W in self.weight_hh]
        new = mg.tanh(x @ self.weight_ih.T + mg.concatenate(from_slower, axis=-1) + self.bias)
        return mg.where(ticks == mg.floor(ticks), new, h), t + 1
