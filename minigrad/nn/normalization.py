"""Normalisation, with PyTorch's parameters and buffers."""

from typing import Any

import numpy as np

from minigrad.arguments import Finite, Probability, Size, checked
from minigrad.nn.module import Module, Parameter
from minigrad.ops import normalization
from minigrad.tensor import Tensor


def ones(shape) -> Parameter:
    return Parameter(np.ones(shape, "float32"))


def zeros(shape) -> Parameter:
    return Parameter(np.zeros(shape, "float32"))


class LayerNorm(Module):
    """Layer normalisation over the last axes, of the given shape (Ba et al. 2016, arXiv:1607.06450).

    weight (ones) and bias (zeros) have that shape.

    Examples
    --------
    >>> y = nn.LayerNorm(2)(mg.tensor([[1.0, 3.0]]))
    >>> y.round().tolist()
    [[-1.0, 1.0]]
    """

    @checked
    def __init__(self, normalized_shape: Size | tuple[Size, ...], eps: Finite = 1e-5, bias: bool = True):
        self.normalized_shape = tuple(np.atleast_1d(normalized_shape).tolist())
        self.eps = eps
        self.weight = ones(self.normalized_shape)
        self.bias = zeros(self.normalized_shape) if bias else None

    def forward(self, x: Any) -> Tensor:
        last = tuple(range(-len(self.normalized_shape), 0))
        return normalization.layer_norm(x, self.weight, self.bias, axis=last, eps=self.eps)


class RMSNorm(Module):
    """x / sqrt(mean of x² + eps) over the last axes, of the given shape (Zhang & Sennrich 2019, arXiv:1910.07467).

    weight (ones) has that shape. eps: None is the distance of 1 to the next number of x's dtype.

    Examples
    --------
    >>> nn.RMSNorm(2)(mg.tensor([[3.0, 3.0]])).round(decimals=3).tolist()
    [[1.0, 1.0]]
    """

    @checked
    def __init__(
        self, normalized_shape: Size | tuple[Size, ...], eps: Finite | None = None, elementwise_affine: bool = True
    ):
        self.normalized_shape = tuple(np.atleast_1d(normalized_shape).tolist())
        self.eps = eps
        self.weight = ones(self.normalized_shape) if elementwise_affine else None

    def forward(self, x: Any) -> Tensor:
        last = tuple(range(-len(self.normalized_shape), 0))
        return normalization.rms_norm(x, self.weight, axis=last, eps=self.eps)


class GroupNorm(Module):
    """Each group of channels of each sample normalised, x (N, num_channels, ...) (Wu & He 2018, arXiv:1803.08494).

    weight (ones) and bias (zeros): (num_channels,).

    Examples
    --------
    >>> nn.GroupNorm(2, 4)(mg.zeros((3, 4, 5))).shape
    (3, 4, 5)
    """

    @checked
    def __init__(self, num_groups: Size, num_channels: Size, eps: Finite = 1e-5, affine: bool = True):
        if num_channels % num_groups:
            raise ValueError(f"num_groups={num_groups} has to divide {num_channels} channels")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = ones(num_channels) if affine else None
        self.bias = zeros(num_channels) if affine else None

    def forward(self, x: Any) -> Tensor:
        return normalization.group_norm(x, self.weight, self.bias, num_groups=self.num_groups, eps=self.eps)


class Running(Module):
    """What normalises channels, and may follow their statistics. ndims: how many axes x may have."""

    ndims: tuple[int, ...]

    @checked
    def __init__(
        self, num_features: Size, eps: Finite, momentum: Probability | None, affine: bool, track_running_stats: bool
    ):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.track_running_stats = track_running_stats
        self.weight = ones(num_features) if affine else None
        self.bias = zeros(num_features) if affine else None
        self.running_mean = self.running_var = self.num_batches_tracked = None
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(num_features, "float32"))
            self.register_buffer("running_var", np.ones(num_features, "float32"))
            self.register_buffer("num_batches_tracked", np.array(0))

    def check(self, x) -> None:
        if x.ndim not in self.ndims or x.shape[1] != self.num_features:
            axes = " or ".join([str(n) for n in self.ndims])
            raise ValueError(
                f"{type(self).__name__}: got x of shape {x.shape}, wanted {axes} axes, (N, {self.num_features}, ...)"
            )


class BatchNorm(Running):
    """Each channel normalised over all samples and places, x (N, num_features, ...) (Ioffe & Szegedy 2015,
    arXiv:1502.03167): in training by the statistics of x, which running_mean and running_var follow, else by these.

    momentum: how much of them a batch makes up; None: the mean over all batches. weight (ones), bias (zeros) and the
    buffers running_mean, running_var: (num_features,). A jitted function changes the buffers as an eager one does; not
    so the step of a loop in it.

    Examples
    --------
    >>> layer = nn.BatchNorm1d(1)
    >>> layer(mg.tensor([[1.0], [3.0]])).round(decimals=3).tolist()
    [[-1.0], [1.0]]
    >>> layer.eval()(mg.zeros((5, 1))).shape
    (5, 1)
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True,
    ):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Any) -> Tensor:
        self.check(x)
        training, momentum = self.training or not self.track_running_stats, self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.copy_(self.num_batches_tracked + 1)
            momentum = 1 / self.num_batches_tracked.astype("float32") if momentum is None else momentum
        return normalization.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, momentum, self.eps
        )


class BatchNorm1d(BatchNorm):
    __doc__ = BatchNorm.__doc__
    ndims = 2, 3


class BatchNorm2d(BatchNorm):
    __doc__ = BatchNorm.__doc__
    ndims = (4,)


class BatchNorm3d(BatchNorm):
    __doc__ = BatchNorm.__doc__
    ndims = (5,)


class InstanceNorm(Running):
    """Each channel of each sample normalised over its places, x (N, num_features, ...) (Ulyanov et al. 2016,
    arXiv:1607.08022). As in PyTorch, without weight and bias, and without running statistics, unless they are asked
    for, which a momentum of None leaves as they are; all else as `BatchNorm2d`.

    Examples
    --------
    >>> nn.InstanceNorm1d(1)(mg.tensor([[[1.0, 3.0]]])).round(decimals=3).tolist()
    [[[-1.0, 1.0]]]
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = False,
        track_running_stats: bool = False,
    ):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Any) -> Tensor:
        self.check(x)
        own = self.training or not self.track_running_stats
        return normalization.instance_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, own, self.momentum or 0.0, self.eps
        )


class InstanceNorm1d(InstanceNorm):
    __doc__ = InstanceNorm.__doc__
    ndims = (3,)


class InstanceNorm2d(InstanceNorm):
    __doc__ = InstanceNorm.__doc__
    ndims = (4,)


class InstanceNorm3d(InstanceNorm):
    __doc__ = InstanceNorm.__doc__
    ndims = (5,)
