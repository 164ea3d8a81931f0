"""Recurrent cells and layers as ordinary code: nothing here uses more of minigrad than its users can."""

from minigrad.models.attention import AspectClassifier, BahdanauAttention, LuongAttention
from minigrad.models.captioning import Captioner, ShowAndTell, ShowAttendTell, convolutions, doubly_stochastic
from minigrad.models.clockwork import ClockworkCell
from minigrad.models.convgru import ConvGRU, ConvGRUCell
from minigrad.models.convlstm import ConvLSTM, ConvLSTMCell, EncoderForecaster
from minigrad.models.crf import CRF, bio_forbidden
from minigrad.models.ctc import ctc_beam, ctc_greedy, ctc_loss
from minigrad.models.depth_gated import DepthGatedLSTMCell
from minigrad.models.draw import DRAW
from minigrad.models.gated import MGUCell, MinGRUCell, MinLSTMCell, MUT1Cell, MUT2Cell, MUT3Cell
from minigrad.models.gradient_flow import draw_flow, gradient_flow
from minigrad.models.grid_lstm import GridLSTM1d, GridLSTMBlock, GridLSTMCell
from minigrad.models.gru import GRU, GRUCell
from minigrad.models.layer_norm_lstm import LayerNormLSTMCell
from minigrad.models.lstm import LSTM, LSTMCell
from minigrad.models.lstm_variants import VARIANTS, LSTMVariantCell
from minigrad.models.recurrent import Recurrent, Steps, watch
from minigrad.models.rnn import RNN, IRNNCell, RNNCell
from minigrad.models.seq2seq import BahdanauDecoder, Decoder, LuongDecoder, Seq2Seq
from minigrad.models.storn import STORN
from minigrad.models.tagger import SpelledWords, Tagger
from minigrad.models.tree_lstm import ChildSumTreeLSTM, Forest, NaryTreeLSTM, forest
from minigrad.models.vrnn import VRNN
from minigrad.models.zoneout import Zoneout

__all__ = [
    "CRF",
    "DRAW",
    "GRU",
    "LSTM",
    "RNN",
    "STORN",
    "VARIANTS",
    "VRNN",
    "AspectClassifier",
    "BahdanauAttention",
    "BahdanauDecoder",
    "Captioner",
    "ChildSumTreeLSTM",
    "ClockworkCell",
    "ConvGRU",
    "ConvGRUCell",
    "ConvLSTM",
    "ConvLSTMCell",
    "Decoder",
    "DepthGatedLSTMCell",
    "EncoderForecaster",
    "Forest",
    "GRUCell",
    "GridLSTM1d",
    "GridLSTMBlock",
    "GridLSTMCell",
    "IRNNCell",
    "LSTMCell",
    "LSTMVariantCell",
    "LayerNormLSTMCell",
    "LuongAttention",
    "LuongDecoder",
    "MGUCell",
    "MUT1Cell",
    "MUT2Cell",
    "MUT3Cell",
    "MinGRUCell",
    "MinLSTMCell",
    "NaryTreeLSTM",
    "RNNCell",
    "Recurrent",
    "Seq2Seq",
    "ShowAndTell",
    "ShowAttendTell",
    "SpelledWords",
    "Steps",
    "Tagger",
    "Zoneout",
    "bio_forbidden",
    "convolutions",
    "ctc_beam",
    "ctc_greedy",
    "ctc_loss",
    "doubly_stochastic",
    "draw_flow",
    "forest",
    "gradient_flow",
    "watch",
]
