"""Kin of the GRU: the minimal gated unit, the three mutants that a search found, and cells whose gates see x alone."""

import minigrad as mg
from minigrad.arguments import Count, Generator, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import uniform_parameter, watch


class MGUCell(Cell):
    """The minimal gated unit, one gate (Zhou et al. 2016, arXiv:1603.09420):

    f = σ(x W_f^T + h U_f^T + b_f); n = tanh(x W_n^T + (f ⊙ h) U_n^T + b_n); h' = (1 - f) ⊙ h + f ⊙ n.

    x (..., I), h (..., H) -> (..., H). weight_ih (2H, I), weight_hh (2H, H), bias (2H,), in the order f n, U(±1/√H).
    2(H(I + H) + H) numbers.

    Examples
    --------
    >>> cell = models.MGUCell(3, 4)
    >>> cell(mg.zeros((2, 3)), mg.zeros((2, 4))).shape
    (2, 4)
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, *, generator: Generator = None):
        self.input_size, self.hidden_size = input_size, hidden_size
        H = hidden_size
        self.weight_ih = uniform_parameter((2 * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((2 * H, H), H, generator)
        self.bias = uniform_parameter((2 * H,), H, generator)

    def forward(self, x, h):
        x_f, x_n = mg.split(x @ self.weight_ih.T + self.bias, 2, axis=-1)
        U_f, U_n = mg.split(self.weight_hh, 2)
        old, h = h, dropped("hidden", h)
        f = mg.sigmoid(x_f + h @ U_f.T)
        n = mg.tanh(x_n + (f * h) @ U_n.T)
        watch(f=f, n=n)
        return (1 - f) * old + f * dropped("candidate", n)


class MUT1Cell(Cell):
    """The first mutant of Jozefowicz, Zaremba & Sutskever 2015 (ICML), best on most of their tasks:

    z = σ(x W_xz^T + b_z); r = σ(x W_xr^T + h W_hr^T + b_r); n = tanh((r ⊙ h) W_hh^T + tanh(x) + b_h);
    h' = n ⊙ z + h ⊙ (1 - z).
    Where tanh(x) wants I = H and they differ, it is tanh(x W_x^T).

    x (..., I), h (..., H) -> (..., H). weight_ih (2H, I) in the order z r, weight_hh (2H, H) in the order r h, bias
    (3H,) in the order z r h, weight_x (H, I) if I and H differ; U(±1/√H). 2H(I + H) + 3H numbers, and HI for weight_x.

    Examples
    --------
    >>> nn.Recurrent(models.MUT1Cell, 3, 4, reverse=True)(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 4)
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, *, generator: Generator = None):
        self.input_size, self.hidden_size = input_size, hidden_size
        H = hidden_size
        self.weight_ih = uniform_parameter((2 * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((2 * H, H), H, generator)
        self.bias = uniform_parameter((3 * H,), H, generator)
        self.weight_x = uniform_parameter((H, input_size), H, generator) if input_size != H else None

    def forward(self, x, h):
        x_z, x_r = mg.split(x @ self.weight_ih.T, 2, axis=-1)
        x = x if self.weight_x is None else x @ self.weight_x.T
        W_hr, W_hh = mg.split(self.weight_hh, 2)
        old, h = h, dropped("hidden", h)
        b_z, b_r, b_h = mg.split(self.bias, 3)
        z = mg.sigmoid(x_z + b_z)
        r = mg.sigmoid(x_r + h @ W_hr.T + b_r)
        n = mg.tanh((r * h) @ W_hh.T + mg.tanh(x) + b_h)
        watch(r=r, z=z, n=n)
        return dropped("candidate", n) * z + old * (1 - z)


class MUT2Cell(Cell):
    """The second mutant of Jozefowicz, Zaremba & Sutskever 2015 (ICML), whose reset gate sees x as it is:

    z = σ(x W_xz^T + h W_hz^T + b_z); r = σ(x + h W_hr^T + b_r); n = tanh((r ⊙ h) W_hh^T + x W_xh^T + b_h);
    h' = n ⊙ z + h ⊙ (1 - z).
    Where the x alone wants I = H and they differ, it is x W_x^T.

    x (..., I), h (..., H) -> (..., H). weight_ih (2H, I) in the order z h, weight_hh (3H, H) and bias (3H,) in the
    order z r h, weight_x (H, I) if I and H differ; U(±1/√H). H(2I + 3H) + 3H numbers, and HI for weight_x.

    Examples
    --------
    >>> nn.Recurrent(models.MUT2Cell, 3, 4, num_layers=2)(mg.zeros((5, 2, 3)))[1].shape
    (2, 2, 4)
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, *, generator: Generator = None):
        self.input_size, self.hidden_size = input_size, hidden_size
        H = hidden_size
        self.weight_ih = uniform_parameter((2 * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((3 * H, H), H, generator)
        self.bias = uniform_parameter((3 * H,), H, generator)
        self.weight_x = uniform_parameter((H, input_size), H, generator) if input_size != H else None

    def forward(self, x, h):
        x_z, x_h = mg.split(x @ self.weight_ih.T, 2, axis=-1)
        x = x if self.weight_x is None else x @ self.weight_x.T
        W_hz, W_hr, W_hh = mg.split(self.weight_hh, 3)
        old, h = h, dropped("hidden", h)
        b_z, b_r, b_h = mg.split(self.bias, 3)
        z = mg.sigmoid(x_z + h @ W_hz.T + b_z)
        r = mg.sigmoid(x + h @ W_hr.T + b_r)
        n = mg.tanh((r * h) @ W_hh.T + x_h + b_h)
        watch(r=r, z=z, n=n)
        return dropped("candidate", n) * z + old * (1 - z)


class MUT3Cell(Cell):
    """The third mutant of Jozefowicz, Zaremba & Sutskever 2015 (ICML), a GRU whose update gate sees tanh(h):

    z = σ(x W_xz^T + tanh(h) W_hz^T + b_z); r = σ(x W_xr^T + h W_hr^T + b_r);
    n = tanh((r ⊙ h) W_hh^T + x W_xh^T + b_h); h' = n ⊙ z + h ⊙ (1 - z).

    x (..., I), h (..., H) -> (..., H). weight_ih (3H, I), weight_hh (3H, H), bias (3H,), in the order z r h, U(±1/√H).
    3(H(I + H) + H) numbers.

    Examples
    --------
    >>> nn.Recurrent(models.MUT3Cell, 3, 4, bidirectional=True)(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 8)
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, *, generator: Generator = None):
        self.input_size, self.hidden_size = input_size, hidden_size
        H = hidden_size
        self.weight_ih = uniform_parameter((3 * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((3 * H, H), H, generator)
        self.bias = uniform_parameter((3 * H,), H, generator)

    def forward(self, x, h):
        x_z, x_r, x_h = mg.split(x @ self.weight_ih.T + self.bias, 3, axis=-1)
        W_hz, W_hr, W_hh = mg.split(self.weight_hh, 3)
        old, h = h, dropped("hidden", h)
        z = mg.sigmoid(x_z + mg.tanh(h) @ W_hz.T)
        r = mg.sigmoid(x_r + h @ W_hr.T)
        n = mg.tanh((r * h) @ W_hh.T + x_h)
        watch(r=r, z=z, n=n)
        return dropped("candidate", n) * z + old * (1 - z)


class MinGRUCell(Cell):
    """A GRU whose gate and candidate see x alone, so that h' is linear in h (Feng et al. 2024, arXiv:2410.01201):

    z = σ(x W_z^T + b_z); n = x W_n^T + b_n; h' = (1 - z) ⊙ h + z ⊙ n.

    x (..., I), h (..., H) -> (..., H). weight_ih (2H, I), bias (2H,), in the order z n, U(±1/√H). 2(HI + H) numbers.

    Examples
    --------
    >>> fast = mg.jit(nn.Recurrent(models.MinGRUCell, 3, 4))
    >>> fast(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 4)
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, *, generator: Generator = None):
        self.input_size, self.hidden_size = input_size, hidden_size
        H = hidden_size
        self.weight_ih = uniform_parameter((2 * H, input_size), H, generator)
        self.bias = uniform_parameter((2 * H,), H, generator)

    def forward(self, x, h):
        z, n = mg.split(x @ self.weight_ih.T + self.bias, 2, axis=-1)
        z = mg.sigmoid(z)
        watch(z=z, n=n)
        return (1 - z) * h + z * dropped("candidate", n)


class MinLSTMCell(Cell):
    """An LSTM whose gates see x alone and sum to 1, without an output gate (Feng et al. 2024, arXiv:2410.01201):

    i = σ(x W_i^T + b_i); f = σ(x W_f^T + b_f); n = x W_n^T + b_n; h' = (f ⊙ h + i ⊙ n) / (f + i).

    x (..., I), h (..., H) -> (..., H). weight_ih (3H, I), bias (3H,), in the order i f n, U(±1/√H). 3(HI + H) numbers.

    Examples
    --------
    >>> nn.Recurrent(models.MinLSTMCell, 3, 4)(mg.zeros((5, 2, 3)), lengths=[5, 3])[0].shape
    (5, 2, 4)
    """

    @checked
    def __init__(self, input_size: Count, hidden_size: Count, *, generator: Generator = None):
        self.input_size, self.hidden_size = input_size, hidden_size
        H = hidden_size
        self.weight_ih = uniform_parameter((3 * H, input_size), H, generator)
        self.bias = uniform_parameter((3 * H,), H, generator)

    def forward(self, x, h):
        i, f, n = mg.split(x @ self.weight_ih.T + self.bias, 3, axis=-1)
        i, f = mg.sigmoid(i), mg.sigmoid(f)
        watch(i=i / (f + i), f=f / (f + i), n=n)
        return (f * h + i * dropped("candidate", n)) / (f + i)
