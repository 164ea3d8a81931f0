"""Zoneout (Krueger et al. 2016, arXiv:1606.01305), for any cell."""

import minigrad as mg
from minigrad import nn
from minigrad.arguments import Generator, Probability, checked
from minigrad.models.recurrent_dropout import Wrapper
from minigrad.nn.cell import has_output


class Zoneout(Wrapper):
    """A cell whose state, element by element and step by step, keeps its old value with a given probability:

    s' = d ⊙ s + (1 - d) ⊙ cell(x, s), d ~ Bernoulli(rate) while training; afterwards d is its mean, the rate.

        Recurrent(lambda *sizes, **options: Zoneout(LSTMCell(*sizes, **options), 0.05, 0.5), 10, 20, num_layers=2)

    rates: of each tensor of the cell's state; in the paper 0.05 for h and 0.5 for c. generator: of d; default, that of
    nn.init. Everything else is the cell's.

    Examples
    --------
    >>> cell = models.Zoneout(models.LSTMCell(3, 4), 0.1, 0.5)
    >>> nn.Recurrent(cell)(mg.zeros((5, 2, 3)))[0].shape
    (5, 2, 4)
    """

    @checked
    def __init__(self, cell: nn.Module, *rates: Probability, generator: Generator = None):
        super().__init__(cell)
        self.drops = [nn.Dropout(rate, generator=generator) for rate in rates]

    def forward(self, x, state, *shared, **context):
        returned = self.cell(x, state, *shared, **context)
        pair = has_output(returned, state)
        old, structure = mg.tree.flatten(state)
        new, _ = mg.tree.flatten(returned[1] if pair else returned)
        if len(new) != len(self.drops):
            raise ValueError(f"Zoneout: got {len(self.drops)} rates for a state of {len(new)} tensors, wanted one each")
        # dropout divides what it keeps by 1 - rate, and in evaluation keeps all
        state = mg.tree.unflatten(
            structure, [a + (1 - drop.p) * drop(b - a) for a, b, drop in zip(old, new, self.drops)]
        )
        return (returned[0], state) if pair else state
