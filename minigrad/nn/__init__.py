"""Modules, layers, initial values; cells and the layers that run them over time."""

from minigrad.nn import init
from minigrad.nn.cell import Cell, take_step
from minigrad.nn.functional import functional_call
from minigrad.nn.layers import Conv1d, Conv2d, Conv3d, Dropout, Embedding, Linear, Sequential, TimeDistributed
from minigrad.nn.module import Buffer, Module, Parameter
from minigrad.nn.normalization import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
)
from minigrad.nn.recurrent import Recurrent, Steps, watch
from minigrad.nn.sequences import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)
from minigrad.nn.stream import Stream
from minigrad.random import default_generator, manual_seed

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Buffer",
    "Cell",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "Dropout",
    "Embedding",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "Linear",
    "Module",
    "PackedSequence",
    "Parameter",
    "RMSNorm",
    "Recurrent",
    "Sequential",
    "Steps",
    "Stream",
    "TimeDistributed",
    "default_generator",
    "functional_call",
    "init",
    "manual_seed",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "take_step",
    "unpack_sequence",
    "unpad_sequence",
    "watch",
]
