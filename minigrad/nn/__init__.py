"""Modules, layers, initial values; cells and the layers that run them over time."""

from minigrad.nn import init
from minigrad.nn.cell import Cell, take_step
from minigrad.nn.functional import functional_call
from minigrad.nn.layers import Conv2d, Dropout, Embedding, LayerNorm, Linear, Sequential, TimeDistributed
from minigrad.nn.module import Buffer, Module, Parameter
from minigrad.nn.recurrent import Recurrent, Steps, watch
from minigrad.nn.stream import Stream
from minigrad.random import default_generator, manual_seed

__all__ = [
    "Buffer",
    "Cell",
    "Conv2d",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Linear",
    "Module",
    "Parameter",
    "Recurrent",
    "Sequential",
    "Steps",
    "Stream",
    "TimeDistributed",
    "default_generator",
    "functional_call",
    "init",
    "manual_seed",
    "take_step",
    "watch",
]
