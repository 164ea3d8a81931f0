"""Recurrent cells and layers as ordinary code: nothing here uses more of minigrad than its users can."""

from minigrad.models.convlstm import ConvLSTM, ConvLSTMCell
from minigrad.models.gru import GRU, GRUCell
from minigrad.models.lstm import LSTM, LSTMCell
from minigrad.models.recurrent import Recurrent, Steps, watch
from minigrad.models.rnn import RNN, RNNCell

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "ConvLSTM",
    "ConvLSTMCell",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "Recurrent",
    "Steps",
    "watch",
]
