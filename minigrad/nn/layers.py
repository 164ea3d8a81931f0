"""Layers with PyTorch's parameters (names, shapes, initial distributions), a few lines each, written with ops."""

import math
from typing import Any, Literal

import numpy as np

from minigrad.arguments import Count, Finite, Generator, Probability, Size, checked
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.ops import along, conv, neural, normalization
from minigrad.tensor import Tensor

Pair = Size | tuple[Size, Size]
Padding = Count | tuple[Count, Count] | Literal["same"]


class Sequential(Module):
    """Layers and functions, each applied to the result of the one before; parameters are "0.weight" and so on."""

    def __init__(self, *layers) -> None:
        vars(self).update({str(k): layer for k, layer in enumerate(layers)})

    @property
    def layers(self) -> list:
        return [layer for name, layer in vars(self).items() if name.isdigit()]

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Any:
        return self.layers[index]

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


class Linear(Module):
    """x @ weight.T + bias: (..., in_features) to (..., out_features).

    weight: (out_features, in_features), bias: (out_features,), both U(±1/sqrt(in_features)).
    """

    @checked
    def __init__(self, in_features: Count, out_features: Count, bias: bool = True, *, generator: Generator = None):
        self.in_features = in_features
        self.out_features = out_features
        bound = 1 / math.sqrt(in_features) if in_features else 0.0
        self.weight = Parameter(init.uniform((out_features, in_features), bound, generator=generator))
        self.bias = Parameter(init.uniform((out_features,), bound, generator=generator)) if bias else None

    def forward(self, x: Any) -> Tensor:
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias


class Embedding(Module):
    """A vector for each integer below num_embeddings: indices of shape (...) to (..., embedding_dim).

    weight: (num_embeddings, embedding_dim), N(0, 1).
    """

    @checked
    def __init__(self, num_embeddings: Count, embedding_dim: Count, *, generator: Generator = None):
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.weight = Parameter(init.normal((num_embeddings, embedding_dim), generator=generator))

    def forward(self, indices: Any) -> Tensor:
        return along.embedding(self.weight, indices)


class Conv2d(Module):
    """2-d convolution: (N, in_channels, H, W) to (N, out_channels, H', W').

    weight: (out_channels, in_channels / groups, kernel height, width), bias: (out_channels,), both U(±1/sqrt(fan in)).
    kernel_size, stride, padding and dilation: an int, or one for each of the two axes.
    """

    @checked
    def __init__(
        self, in_channels: Size, out_channels: Size, kernel_size: Pair, stride: Pair = 1, padding: Padding = 0,
        dilation: Pair = 1, groups: Size = 1, bias: bool = True, *, generator: Generator = None,
    ):  # fmt: skip
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"Conv2d: groups={groups} has to divide {in_channels} and {out_channels} channels")
        self.kernel_size = tuple(kernel_size) if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        bound = 1 / math.sqrt(init.fans(shape)[0])
        self.weight = Parameter(init.uniform(shape, bound, generator=generator))
        self.bias = Parameter(init.uniform((out_channels,), bound, generator=generator)) if bias else None

    def forward(self, x: Any) -> Tensor:
        return conv.conv2d(
            x, self.weight, self.bias,
            stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups,
        )  # fmt: skip


class LayerNorm(Module):
    """Layer normalisation over the last axes, of the given shape (Ba et al. 2016, arXiv:1607.06450).

    weight (ones) and bias (zeros) have that shape.
    """

    @checked
    def __init__(self, normalized_shape: Size | tuple[Size, ...], eps: Finite = 1e-5, bias: bool = True):
        self.normalized_shape = tuple(np.atleast_1d(normalized_shape).tolist())
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape, "float32"))
        self.bias = Parameter(np.zeros(self.normalized_shape, "float32")) if bias else None

    def forward(self, x: Any) -> Tensor:
        last = tuple(range(-len(self.normalized_shape), 0))
        return normalization.layer_norm(x, self.weight, self.bias, axis=last, eps=self.eps)


class Dropout(Module):
    """While training, sets elements to 0 with probability p and multiplies the others by 1 / (1 - p) (Srivastava et al.
    2014); otherwise passes everything through.

    generator: a numpy.random.Generator, by default `init.default_generator`.
    """

    @checked
    def __init__(self, p: Probability = 0.5, *, generator: Generator = None):
        self.p = p
        self.generator = generator

    def forward(self, x: Any) -> Tensor:
        if not self.training or not self.p:
            return x
        return neural.dropout(x, p=self.p, generator=self.generator or init.default_generator)
