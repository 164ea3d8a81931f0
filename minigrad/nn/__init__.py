"""Modules, layers and initial values."""

from minigrad.nn import init
from minigrad.nn.init import default_generator, manual_seed
from minigrad.nn.layers import Conv2d, Dropout, Embedding, LayerNorm, Linear, Sequential
from minigrad.nn.module import Module, Parameter

__all__ = [
    "Conv2d",
    "Dropout",
    "Embedding",
    "LayerNorm",
    "Linear",
    "Module",
    "Parameter",
    "Sequential",
    "default_generator",
    "init",
    "manual_seed",
]
