"""Recurrent cells and layers as ordinary code: nothing here uses more of minigrad than its users can.

Where implementations differ, an option chooses (the first is the default):

    RNNCell, LSTMCell    two biases as PyTorch, or two_biases=False, one as Keras
    LSTMCell, ConvLSTM   bias of the forget gate as the others, or unit_forget_bias=True, 1 as Keras
    GRUCell              reset after the product as PyTorch, Keras, cuDNN, or reset_after=False as Cho et al. 2014;
                         z keeps the old, or z_keeps=False, it lets in the new as Chung et al. 2014
    LSTMVariantCell      peepholes of Gers et al. 2002, output_sees_old=True of Olah 2015, or peepholes=False;
                         the variants of Greff et al. 2015 by name in VARIANTS
    LayerNormLSTMCell    c' is carried as it is, or normalize_memory=True, as PyTorch's benchmark
    ConvLSTM             no peepholes as Keras, or peepholes=(rows, columns) as Shi et al. 2015; hard_sigmoid
    GridLSTMCell         layers of their own, or tied=True; output_inside as the paper prints it
    tree LSTMs           ChildSumTreeLSTM or NaryTreeLSTM
    attention            BahdanauAttention, or LuongAttention with score="general", "dot" or "concat"
    dropout in time      Zoneout, VariationalDropout (Gal & Ghahramani 2016), RecurrentDropout (Semeniuta et al. 2016)

Gates are stacked as in PyTorch: i f g o, which is Keras' i f c o, and r z n, where Keras has z r n.
"""

from minigrad.models.attention import AspectClassifier, BahdanauAttention, LuongAttention
from minigrad.models.captioning import Captioner, ShowAndTell, ShowAttendTell, convolutions, doubly_stochastic
from minigrad.models.clockwork import ClockworkCell
from minigrad.models.convgru import ConvGRU, ConvGRUCell
from minigrad.models.convlstm import ConvLSTM, ConvLSTMCell, EncoderForecaster, FramePredictor
from minigrad.models.crf import CRF, bio_forbidden
from minigrad.models.ctc import ctc_beam, ctc_greedy, ctc_loss
from minigrad.models.depth_gated import DepthGatedLSTMCell
from minigrad.models.documents import DocumentClassifier, GatedRNNCell
from minigrad.models.draw import DRAW
from minigrad.models.gated import MGUCell, MinGRUCell, MinLSTMCell, MUT1Cell, MUT2Cell, MUT3Cell
from minigrad.models.gradient_flow import draw_flow, gradient_flow
from minigrad.models.grid_lstm import GridLSTM1d, GridLSTMBlock, GridLSTMCell
from minigrad.models.gru import GRU, GRUCell
from minigrad.models.layer_norm_lstm import LayerNormLSTMCell
from minigrad.models.lstm import LSTM, LSTMCell
from minigrad.models.lstm_variants import VARIANTS, LSTMVariantCell
from minigrad.models.recurrent_dropout import RecurrentDropout, VariationalDropout, dropped
from minigrad.models.rnn import RNN, IRNNCell, RNNCell
from minigrad.models.seq2seq import BahdanauDecoder, Decoder, LuongDecoder, Seq2Seq
from minigrad.models.storn import STORN
from minigrad.models.tagger import SpelledWords, Tagger
from minigrad.models.tree_lstm import ChildSumTreeLSTM, Forest, NaryTreeLSTM, forest
from minigrad.models.video import FrameClassifier
from minigrad.models.vrnn import VRNN
from minigrad.models.zoneout import Zoneout
from minigrad.nn import Cell, Recurrent, Steps, watch

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
    "Cell",
    "ChildSumTreeLSTM",
    "ClockworkCell",
    "ConvGRU",
    "ConvGRUCell",
    "ConvLSTM",
    "ConvLSTMCell",
    "Decoder",
    "DepthGatedLSTMCell",
    "DocumentClassifier",
    "EncoderForecaster",
    "Forest",
    "FrameClassifier",
    "FramePredictor",
    "GRUCell",
    "GatedRNNCell",
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
    "RecurrentDropout",
    "Seq2Seq",
    "ShowAndTell",
    "ShowAttendTell",
    "SpelledWords",
    "Steps",
    "Tagger",
    "VariationalDropout",
    "Zoneout",
    "bio_forbidden",
    "convolutions",
    "ctc_beam",
    "ctc_greedy",
    "ctc_loss",
    "doubly_stochastic",
    "draw_flow",
    "dropped",
    "forest",
    "gradient_flow",
    "watch",
]
