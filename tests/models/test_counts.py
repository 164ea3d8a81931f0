"""How many numbers each cell has: formulas of the papers, with I inputs and H units."""

import pytest
from steps import count

from minigrad.models import (
    LSTM,
    ChildSumTreeLSTM,
    ClockworkCell,
    ConvGRUCell,
    ConvLSTMCell,
    DepthGatedLSTMCell,
    EncoderForecaster,
    FramePredictor,
    GridLSTM1d,
    GridLSTMBlock,
    GridLSTMCell,
    GRUCell,
    LSTMCell,
    LSTMVariantCell,
    NaryTreeLSTM,
    RNNCell,
)
from minigrad.models.tasks.cells import CELLS

pytestmark = pytest.mark.eager_only("nothing is run")


def blocks(n):
    """n gates and candidates, each a product of x, one of h and a bias."""
    return lambda I, H: n * (H * (I + H) + H)


def clockwork(I, H, g=4):
    """Of g modules of H / g units the blocks of W_hh on the diagonal and above."""
    return H * I + (H // g) ** 2 * g * (g + 1) // 2 + H


def depth_gated(I, H, depth=2):
    """Above the first layer I = H, and each has a depth gate: a product of x, a bias, two peepholes."""
    layers = [blocks(4)(size, H) + 3 * H for size in [I] + [H] * (depth - 1)]
    return sum(layers) + (depth - 1) * (H * H + H + 2 * H)


def grid(dimensions, layers):
    """A projection of x to h and m, and in each layer an LSTM for every dimension, which reads all hidden vectors."""
    return lambda I, H: 2 * H * (I + 1) + layers * dimensions * 4 * H * (dimensions * H + 1)


def conv(n, k=3):
    return lambda I, H: n * H * (k * k * (I + H) + 1)


def projection(I, H):
    """Of x, where the cell adds it to h."""
    return H * I if I != H else 0


FORMULAS = {
    "rnn": lambda I, H: H * (I + H) + 2 * H,
    "irnn": lambda I, H: H * (I + H) + 2 * H,
    "lstm": lambda I, H: 4 * (H * (I + H) + 2 * H),
    "lstm1": lambda I, H: 4 * (H * (I + H) + 2 * H),
    "peephole": lambda I, H: blocks(4)(I, H) + 3 * H,
    "nig": lambda I, H: blocks(3)(I, H) + 2 * H,
    "nfg": lambda I, H: blocks(3)(I, H) + 2 * H,
    "nog": lambda I, H: blocks(3)(I, H) + 2 * H,
    "niaf": lambda I, H: blocks(4)(I, H) + 3 * H,
    "noaf": lambda I, H: blocks(4)(I, H) + 3 * H,
    "cifg": lambda I, H: blocks(3)(I, H) + 2 * H,
    "np": blocks(4),
    "fgr": lambda I, H: blocks(4)(I, H) + 3 * H + 9 * H * H,
    "lstm1997": blocks(3),
    "lnlstm": lambda I, H: 4 * H * (I + H) + 2 * (4 * H + 4 * H) + 2 * H,
    "depthgated": depth_gated,
    "gridlstm": grid(2, 1),
    "gru": lambda I, H: 3 * (H * (I + H) + 2 * H),
    "gru2014": blocks(3),
    "mgu": blocks(2),
    "mut1": lambda I, H: 2 * H * (I + H) + 3 * H + projection(I, H),
    "mut2": lambda I, H: H * (2 * I + 3 * H) + 3 * H + projection(I, H),
    "mut3": blocks(3),
    "mingru": lambda I, H: 2 * (H * I + H),
    "minlstm": lambda I, H: 3 * (H * I + H),
    "clockwork": clockwork,
    "gatedrnn": blocks(3),
    "convlstm": conv(4),
    "convgru": conv(3),
}  # fmt: skip
OPTIONS = {
    "rnn, Keras": (lambda I, H: RNNCell(I, H, two_biases=False), blocks(1)),
    "rnn, no bias": (lambda I, H: RNNCell(I, H, bias=False), lambda I, H: H * (I + H)),
    "lstm, Keras": (lambda I, H: LSTMCell(I, H, two_biases=False, unit_forget_bias=True), blocks(4)),
    "lstm, no bias": (lambda I, H: LSTMCell(I, H, bias=False), lambda I, H: 4 * H * (I + H)),
    "gru, no bias": (lambda I, H: GRUCell(I, H, bias=False), lambda I, H: 3 * H * (I + H)),
    "lstm layers": (
        lambda I, H: LSTM(I, H, num_layers=2, bidirectional=True),
        lambda I, H: 2 * FORMULAS["lstm"](I, H) + 2 * FORMULAS["lstm"](2 * H, H),
    ),
    "nfg fgr": (
        lambda I, H: LSTMVariantCell(I, H, forget_gate=False, full_gate_recurrence=True),
        lambda I, H: blocks(3)(I, H) + 2 * H + 4 * H * H,
    ),
    "clockwork of one": (lambda I, H: ClockworkCell(I, H, (3,)), lambda I, H: clockwork(I, H, 1)),
    "clockwork of two": (lambda I, H: ClockworkCell(I, H, (1, 3)), lambda I, H: clockwork(I, H, 2)),
    "depth 1": (lambda I, H: DepthGatedLSTMCell(I, H, 1), lambda I, H: depth_gated(I, H, 1)),
    "depth 3": (lambda I, H: DepthGatedLSTMCell(I, H, 3), lambda I, H: depth_gated(I, H, 3)),
    "grid block": (lambda I, H: GridLSTMBlock(H, 3), lambda I, H: 4 * 3 * H * (3 * H + 1)),
    "grid 1d": (lambda I, H: GridLSTM1d(I, H, 3), grid(1, 3)),
    "grid 1d, tied": (lambda I, H: GridLSTM1d(I, H, 3, tied=True), grid(1, 1)),
    "grid 2d": (lambda I, H: GridLSTMCell(I, H, 3), grid(2, 3)),
    "grid 2d, tied": (lambda I, H: GridLSTMCell(I, H, 3, tied=True), grid(2, 1)),
    "convlstm, 5x5": (lambda I, H: ConvLSTMCell(I, H, 5), conv(4, 5)),
    "convlstm, no bias": (lambda I, H: ConvLSTMCell(I, H, 3, bias=False), lambda I, H: 4 * H * 9 * (I + H)),
    "convlstm, peepholes": (
        lambda I, H: ConvLSTMCell(I, H, 3, peepholes=(6, 7)),
        lambda I, H: conv(4)(I, H) + 3 * H * 6 * 7,
    ),
    "convgru, 5x5": (lambda I, H: ConvGRUCell(I, H, 5), conv(3, 5)),
    "convgru, no bias": (lambda I, H: ConvGRUCell(I, H, 3, bias=False), lambda I, H: 3 * H * 9 * (I + H)),
    "child-sum tree": (ChildSumTreeLSTM, blocks(4)),
    "tree of 1": (lambda I, H: NaryTreeLSTM(I, H, 1), blocks(4)),
    "tree of 3": (lambda I, H: NaryTreeLSTM(I, H, 3), lambda I, H: 4 * (H * I + H) + (3 + 3) * 3 * H * H),
}


@pytest.mark.parametrize("I, H", [(1, 4), (80, 12), (5, 8), (8, 8)])
def test_cells(I, H):
    assert {name: count(cell(I, H)) for name, cell in CELLS.items()} == {n: FORMULAS[n](I, H) for n in CELLS}
    wanted = {name: formula(I, H) for name, (_, formula) in OPTIONS.items()}
    assert {name: count(make(I, H)) for name, (make, _) in OPTIONS.items()} == wanted


def test_known_counts():
    """The LSTM of 80 inputs and 12 units; the forecaster of Shi et al. 2015, 128, 64 and 64 channels, 5x5, 4x4 patches,
    where the second stack sees one empty channel."""
    assert count(LSTMCell(80, 12, two_biases=False)) == count(LSTMVariantCell(80, 12, peepholes=False)) == 4464
    model = EncoderForecaster(16, (128, 64, 64), 5)
    above = 4 * 64 * (25 * (128 + 64) + 1) + 4 * 64 * (25 * (64 + 64) + 1)
    lowest = [4 * 128 * (25 * (channels + 128) + 1) for channels in (16, 1)]
    assert count(model) == sum(lowest) + 2 * above + 16 * (128 + 64 + 64 + 1)
    assert count(FramePredictor(16, (128, 64, 64), 5)) == lowest[0] + above + 16 * (128 + 64 + 64 + 1)
