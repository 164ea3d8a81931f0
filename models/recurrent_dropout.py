"""Dropout in the recurrence that leaves the memory whole, for any cell that says where: `dropped`.

    Recurrent(lambda *sizes, **options: VariationalDropout(LSTMCell(*sizes, **options), 0.2, 0.3), 10, 20, num_layers=2)

Dropout of what a cell carries on from step to step would wipe it out. So both papers drop a value on its way *into* the
step's products or sums, and the cell names it there: h' = (1 - z) ⊙ n + z ⊙ h keeps an h that nothing has touched.
"""

import threading
from collections.abc import Callable

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Generator, Probability, checked
from minigrad.nn.cell import Cell, initial_state, output_of


class _Dropping(threading.local):
    how: dict[str, Callable] = {}


dropping = _Dropping()


def dropped(name: str, x):
    """What dropout leaves of a value inside a cell's step; x itself where no wrapper drops what has this name:

    "hidden"     h as the products see it, `dropped("hidden", h) @ W.T`: `VariationalDropout`
    "candidate"  the values to be added to the memory, `f * c + i * dropped("candidate", g)`: `RecurrentDropout`

    Examples
    --------
    >>> models.dropped("candidate", mg.ones(2)).tolist()
    [1.0, 1.0]
    """
    return dropping.how[name](x) if name in dropping.how else x


def step_dropping(cell, name: str, drop: Callable, *inputs, **context):
    """cell(*inputs), with `drop` for what it names so. Raises ValueError if it names nothing so."""
    found = False

    def drop_it(x):
        nonlocal found
        found = True
        return drop(x)

    outer = dropping.how
    dropping.how = outer | {name: drop_it}
    try:
        returned = cell(*inputs, **context)
    finally:
        dropping.how = outer
    if not found:
        raise ValueError(
            f"{type(cell).__name__} has no {name} value to drop; if it should have one, write dropped({name!r}, ...) "
            "around it in the cell's step"
        )
    return returned


class Wrapper(Cell):
    """A cell around a cell: what it does not have itself is the inner one's."""

    @checked
    def __init__(self, cell: nn.Module):
        self.cell = cell

    def __getattr__(self, name: str):
        if name == "cell":  # not there yet, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self.cell, name)

    def initial_state(self, x):
        return initial_state(self.cell, x[None])


class VariationalDropout(Wrapper):
    """Dropout with the same mask at every step, of the input and of the hidden state (Gal & Ghahramani 2016,
    arXiv:1512.05287, section 4, with tied weights: one mask for all gates):

    each step sees x_t ⊙ m_x and, in its products, h_{t-1} ⊙ m_h; m ~ Bernoulli(1 - rate) / (1 - rate) while training,
    drawn for each sequence of the batch at each call of `Recurrent`; afterwards m = 1.

    input_rate, hidden_rate: the probabilities of 0. In a stack each layer has masks of its own; a cell of several
    layers has one m_h. generator: of m; default, that of nn.init. Everything else is the cell's. For any cell with an h
    in its products: not for MinGRUCell and MinLSTMCell, unless hidden_rate is 0.

    Raises ValueError for a cell that names no hidden state.

    Examples
    --------
    >>> cell = models.VariationalDropout(models.GRUCell(3, 4), 0.25, 0.25)
    >>> nn.Recurrent(cell)(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 4)
    """

    @checked
    def __init__(
        self, cell: nn.Module, input_rate: Probability, hidden_rate: Probability, *, generator: Generator = None
    ):
        super().__init__(cell)
        self.drop_x, self.drop_h = [nn.Dropout(rate, generator=generator) for rate in (input_rate, hidden_rate)]

    def shared(self, x):
        """The masks (m_x, m_h) of a batch, from a step's input; None where nothing is dropped."""
        h = output_of(self.cell, initial_state(self.cell, x[None]))
        return tuple(
            drop(mg.ones(like.shape, like.dtype)) if self.training and drop.p else None
            for drop, like in ((self.drop_x, x), (self.drop_h, h))
        )

    def forward(self, x, state, masks=None, **context):
        m_x, m_h = self.shared(x) if masks is None else masks
        if m_x is not None:
            x = x * m_x
        if m_h is None:
            return self.cell(x, state, **context)
        return step_dropping(self.cell, "hidden", lambda h: h * m_h, x, state, **context)


class RecurrentDropout(Wrapper):
    """Dropout of the candidate alone, so that a memory is at worst not added to (Semeniuta, Severyn & Barth 2016,
    arXiv:1603.05118, section 3), drawn anew at every step:

    LSTM: c' = f ⊙ c + i ⊙ d(g). GRU: h' = (1 - z) ⊙ d(n) + z ⊙ h.

    rate: the probability of 0; d divides the rest by 1 - rate while training, and changes nothing afterwards.
    generator: of d; default, that of nn.init. Everything else is the cell's. For any cell with a candidate: not for
    RNNCell, IRNNCell and ClockworkCell.

    Raises ValueError for a cell that names no candidate.

    Examples
    --------
    >>> cell = models.RecurrentDropout(models.LSTMCell(3, 4), 0.25)
    >>> nn.Recurrent(cell)(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 4)
    """

    @checked
    def __init__(self, cell: nn.Module, rate: Probability, *, generator: Generator = None):
        super().__init__(cell)
        self.drop = nn.Dropout(rate, generator=generator)

    def forward(self, x, state, *shared, **context):
        return step_dropping(self.cell, "candidate", self.drop, x, state, *shared, **context)
