"""Modules, layers and initial values."""

from minigrad.nn import init
from minigrad.nn.layers import Conv2d, Dropout, Embedding, LayerNorm, Linear, Sequential
from minigrad.nn.module import Module, Parameter
from minigrad.random import default_generator, manual_seed

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
