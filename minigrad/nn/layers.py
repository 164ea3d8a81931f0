"""Layers with PyTorch's parameters (names, shapes, initial distributions), a few lines each, written with ops."""

import math
from collections.abc import Callable
from typing import Any, Literal

from minigrad import tree
from minigrad.arguments import Count, Generator, Probability, Size, checked
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.nn.recurrent import keep
from minigrad.ops import along, conv, convnd, elementwise, neural
from minigrad.tensor import Tensor, as_tensor

Axes = Size | tuple[Size, ...]
Padding = Count | tuple[Count, ...] | Literal["same", "valid"]


class Sequential(Module):
    """Layers and functions, each applied to the result of the one before; parameters are "0.weight" and so on.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 4), mg.relu, nn.Linear(4, 2))
    >>> model(mg.zeros((5, 3))).shape, len(model)
    ((5, 2), 3)
    """

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

    Examples
    --------
    >>> layer = nn.Linear(3, 4)
    >>> layer(mg.zeros((5, 3))).shape, layer.weight.shape
    ((5, 4), (4, 3))
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

    weight: (num_embeddings, embedding_dim), N(0, 1). padding_idx: the entry of what is no word (negative: from the
    end). It begins with zeros and gets no gradient, so that it stays what it is.

    Examples
    --------
    >>> nn.Embedding(50, 8)(mg.tensor([[1, 2, 3]])).shape
    (1, 3, 8)
    """

    @checked
    def __init__(
        self, num_embeddings: Count, embedding_dim: Count, padding_idx: int | None = None, *,
        generator: Generator = None,
    ):  # fmt: skip
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: got padding_idx={padding_idx}, wanted one of the {num_embeddings} entries")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(init.normal((num_embeddings, embedding_dim), generator=generator))
        if padding_idx is not None:
            self.weight._data[padding_idx] = 0

    def forward(self, indices: Any) -> Tensor:
        vectors = along.embedding(self.weight, indices)
        if self.padding_idx is None:
            return vectors
        is_word = elementwise.not_equal(indices, self.padding_idx)[..., None]
        return elementwise.where(is_word, vectors, neural.stop_gradient(vectors))


class TimeDistributed(Module):
    """A layer at every step of a sequence: x (T, B, ...), or (B, T, ...), is one batch of T * B to it.

    layer: a Module or function of a batch. mask: bool, of x's first two axes, True where there is a step. What is
    padding reaches the layer as 0; its output there is 0, and no gradient comes from it.

    Raises ValueError for an x of fewer than two axes and a mask of another shape, TypeError for one that is not bool.

    Examples
    --------
    >>> nn.TimeDistributed(nn.Conv2d(3, 8, kernel_size=3))(mg.zeros((5, 2, 3, 8, 8))).shape
    (5, 2, 8, 6, 6)
    """

    @checked
    def __init__(self, layer: Callable):
        self.layer = layer

    def forward(self, x: Any, mask: Any = None) -> Any:
        x = as_tensor(x)
        shape = x.shape[:2]
        if x.ndim < 2:
            raise ValueError(f"TimeDistributed: got x of shape {x.shape}, wanted (T, B, ...) or (B, T, ...)")
        if mask is not None:
            mask = as_tensor(mask)
            if mask.dtype != bool:
                raise TypeError(f"TimeDistributed: got a mask of {mask.dtype}, wanted bool, True where there is a step")
            if mask.shape != shape:
                raise ValueError(f"TimeDistributed: got a mask of shape {mask.shape}, wanted {shape}")
            x = keep(mask, x, 0)
        y = self.layer(x.reshape((shape[0] * shape[1], *x.shape[2:])))
        y = tree.map(lambda part: part.reshape((*shape, *part.shape[1:])), y)
        return y if mask is None else tree.map(lambda part: keep(mask, part, 0), y)


class Convolution(Module):
    """Of as many axes as `convolution` has; subclasses say which."""

    axes: int
    convolution: Callable

    @checked
    def __init__(
        self, in_channels: Size, out_channels: Size, kernel_size: Axes, stride: Axes = 1, padding: Padding = 0,
        dilation: Axes = 1, groups: Size = 1, bias: bool = True, *, generator: Generator = None,
    ):  # fmt: skip
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"groups={groups} has to divide {in_channels} and {out_channels} channels")
        self.kernel_size = conv.several(kernel_size, "kernel_size", 1, self.axes)
        conv.geometry(self.kernel_size, stride, padding, dilation)  # which refuses what does not fit
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        bound = 1 / math.sqrt(init.fans(shape)[0])
        self.weight = Parameter(init.uniform(shape, bound, generator=generator))
        self.bias = Parameter(init.uniform((out_channels,), bound, generator=generator)) if bias else None

    def forward(self, x: Any) -> Tensor:
        return type(self).convolution(
            x, self.weight, self.bias,
            stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups,
        )  # fmt: skip


class Conv1d(Convolution):
    """1-d convolution: (N, in_channels, L) to (N, out_channels, L'). All else as `Conv2d`.

    Examples
    --------
    >>> nn.Conv1d(3, 8, kernel_size=3)(mg.zeros((2, 3, 10))).shape
    (2, 8, 8)
    """

    axes, convolution = 1, convnd.conv1d


class Conv2d(Convolution):
    """2-d convolution: (N, in_channels, H, W) to (N, out_channels, H', W').

    weight: (out_channels, in_channels / groups, kernel height, width), bias: (out_channels,), both U(±1/sqrt(fan in)).
    kernel_size, stride, padding and dilation: an int, or one for each axis; padding may be "same" or "valid".

    Examples
    --------
    >>> nn.Conv2d(3, 8, kernel_size=3, padding="same")(mg.zeros((2, 3, 10, 10))).shape
    (2, 8, 10, 10)
    """

    axes, convolution = 2, conv.conv2d


class Conv3d(Convolution):
    """3-d convolution: (N, in_channels, D, H, W) to (N, out_channels, D', H', W'). All else as `Conv2d`.

    Examples
    --------
    >>> nn.Conv3d(3, 8, kernel_size=3)(mg.zeros((2, 3, 4, 10, 10))).shape
    (2, 8, 2, 8, 8)
    """

    axes, convolution = 3, convnd.conv3d


class Dropout(Module):
    """While training, sets elements to 0 with probability p and multiplies the others by 1 / (1 - p) (Srivastava et al.
    2014); otherwise passes everything through.

    generator: a numpy.random.Generator, by default `init.default_generator`.

    Examples
    --------
    >>> layer = nn.Dropout(0.5).eval()
    >>> layer(mg.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    @checked
    def __init__(self, p: Probability = 0.5, *, generator: Generator = None):
        self.p = p
        self.generator = generator

    def forward(self, x: Any) -> Tensor:
        if not self.training or not self.p:
            return x
        return neural.dropout(x, p=self.p, generator=self.generator or init.default_generator)
