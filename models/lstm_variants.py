"""The LSTM with peepholes, without a gate, with coupled gates, ...: one cell and its options, by name in VARIANTS:

Recurrent(LSTMVariantCell, 10, 20, **VARIANTS["cifg"], num_layers=2)
"""

from typing import Any

import minigrad as mg
from minigrad.arguments import Count, Generator, checked
from minigrad.models.recurrent_dropout import dropped
from minigrad.nn.cell import Cell
from minigrad.nn.recurrent import uniform_parameter, watch

# What each variant changes. NIG to FGR are the names of Greff et al.; they can be combined.
VARIANTS: dict[str, dict[str, Any]] = {
    "peephole": {},
    "nig": {"input_gate": False},
    "nfg": {"forget_gate": False},
    "nog": {"output_gate": False},
    "niaf": {"input_activation": False},
    "noaf": {"output_activation": False},
    "cifg": {"coupled": True},
    "np": {"peepholes": False},
    "fgr": {"full_gate_recurrence": True},
    "lstm1997": {"forget_gate": False, "peepholes": False},
}


class LSTMVariantCell(Cell):
    """The LSTM with peepholes, "vanilla" in Greff et al. 2015 (arXiv:1503.04069), and what is left without a part:

    i, f = σ(x W_x*^T + h W_h*^T + w_c* ⊙ c + b_*); g = tanh(x W_xg^T + h W_hg^T + b_g); c' = f ⊙ c + i ⊙ g;
    o = σ(x W_xo^T + h W_ho^T + w_co ⊙ c' + b_o); h' = o ⊙ tanh(c').

    input_gate, forget_gate, output_gate: False puts 1 in its place (NIG, NFG, NOG).
    input_activation, output_activation: False leaves out the tanh of g, or that of c' (NIAF, NOAF).
    coupled: f = 1 - i (CIFG). peepholes: False leaves them out (NP), and the cell is `LSTMCell`; without a forget gate,
    too, it is the LSTM of Hochreiter & Schmidhuber 1997, Neural Computation 9(8), but for the ranges of its tanh.
    full_gate_recurrence: i, f and o of this step are added to their sums at the next, through a matrix (FGR).
    output_sees_old: o sees c, not c', as in the drawing of Olah 2015, "Understanding LSTM networks".

    x (..., I), state (h, c), each (..., H) -> (h', c'); with full_gate_recurrence the state is (h, c, [i; f; o]).
    weight_ih (nH, I), weight_hh (nH, H), bias (nH,), in the order i f g o; weight_ci, weight_cf, weight_co (H,);
    weight_gates (mH, mH), to and from i f o; all U(±1/√H). Of n blocks, m = n - 1 are gates; what a variant lacks is
    not among them. n(H(I + H) + H) numbers, mH for peepholes, (mH)² for full_gate_recurrence.

    Examples
    --------
    >>> layer = nn.Recurrent(models.LSTMVariantCell, 3, 4, coupled=True)
    >>> layer(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 4)
    """

    @checked
    def __init__(
        self, input_size: Count, hidden_size: Count, *, input_gate: bool = True, forget_gate: bool = True,
        output_gate: bool = True, input_activation: bool = True, output_activation: bool = True, coupled: bool = False,
        peepholes: bool = True, full_gate_recurrence: bool = False, output_sees_old: bool = False,
        generator: Generator = None,
    ):  # fmt: skip
        if coupled and not (input_gate and forget_gate):
            raise ValueError("LSTMVariantCell: coupled makes f of i, so leave input_gate and forget_gate True")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input_activation, self.output_activation = input_activation, output_activation
        self.coupled, self.full_gate_recurrence, self.output_sees_old = coupled, full_gate_recurrence, output_sees_old
        has = {"i": input_gate, "f": forget_gate and not coupled, "g": True, "o": output_gate}
        self.blocks = "".join(name for name in has if has[name])
        self.gates = self.blocks.replace("g", "")
        H, n, m = hidden_size, len(self.blocks), len(self.gates)
        self.state_shape = ("hidden_size", "hidden_size", *([f"{m * H}"] if full_gate_recurrence else []))
        self.weight_ih = uniform_parameter((n * H, input_size), H, generator)
        self.weight_hh = uniform_parameter((n * H, H), H, generator)
        self.bias = uniform_parameter((n * H,), H, generator)
        self.weight_ci, self.weight_cf, self.weight_co = [
            uniform_parameter((H,), H, generator) if peepholes and has[gate] else None for gate in "ifo"
        ]
        self.weight_gates = uniform_parameter((m * H, m * H), H, generator) if full_gate_recurrence else None

    def forward(self, x, state):
        h, c, *before = state
        a = x @ self.weight_ih.T + dropped("hidden", h) @ self.weight_hh.T + self.bias
        sums = dict(zip(self.blocks, mg.split(a, len(self.blocks), axis=-1)))
        if self.full_gate_recurrence:
            fed_back = mg.split(before[0] @ self.weight_gates.T, len(self.gates), axis=-1)
            sums |= {gate: sums[gate] + r for gate, r in zip(self.gates, fed_back)}

        def gate(name, weight, c):
            if name not in sums:
                return 1
            return mg.sigmoid(sums[name] if weight is None else sums[name] + weight * c)

        i = gate("i", self.weight_ci, c)
        f = 1 - i if self.coupled else gate("f", self.weight_cf, c)
        g = mg.tanh(sums["g"]) if self.input_activation else sums["g"]
        c_new = f * c + i * dropped("candidate", g)
        o = gate("o", self.weight_co, c if self.output_sees_old else c_new)
        h = o * (mg.tanh(c_new) if self.output_activation else c_new)
        gates = {name: value for name, value in zip("ifo", (i, f, o)) if name in self.gates}
        watch(g=g, **gates)
        return (h, c_new, mg.concatenate(list(gates.values()), axis=-1)) if self.full_gate_recurrence else (h, c_new)
