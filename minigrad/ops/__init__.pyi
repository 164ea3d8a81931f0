# Written by `python tests/stubs.py` from the package itself; do not edit.

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minigrad.tensor import Tensor

TensorLike: TypeAlias = Tensor | ArrayLike
Axes: TypeAlias = int | Sequence[int]

__all__ = [
    'abs',
    'add',
    'all',
    'any',
    'arccos',
    'arcsin',
    'arcsinh',
    'arctan',
    'arctan2',
    'argmax',
    'argmin',
    'argsort',
    'astype',
    'avg_pool1d',
    'avg_pool2d',
    'avg_pool3d',
    'batch_norm',
    'binary_cross_entropy_with_logits',
    'broadcast_to',
    'cbrt',
    'ceil',
    'cholesky',
    'chunk',
    'clip',
    'concatenate',
    'conv1d',
    'conv2d',
    'conv3d',
    'conv_transpose1d',
    'conv_transpose2d',
    'conv_transpose3d',
    'copy',
    'cos',
    'cosh',
    'cross_entropy',
    'cummax',
    'cummin',
    'cumprod',
    'cumsum',
    'det',
    'diag',
    'diagonal',
    'div',
    'dot',
    'dropout',
    'eigh',
    'einsum',
    'elu',
    'embedding',
    'equal',
    'erf',
    'exp',
    'expand_dims',
    'expm1',
    'flip',
    'floor',
    'floor_divide',
    'gather',
    'gelu',
    'getitem',
    'greater',
    'greater_equal',
    'group_norm',
    'hard_sigmoid',
    'hard_tanh',
    'huber',
    'instance_norm',
    'interpolate',
    'inv',
    'isfinite',
    'isnan',
    'layer_norm',
    'leaky_relu',
    'less',
    'less_equal',
    'log',
    'log1p',
    'log_sigmoid',
    'log_softmax',
    'logaddexp',
    'logical_and',
    'logical_not',
    'logical_or',
    'logical_xor',
    'logsumexp',
    'matmul',
    'matvec',
    'max',
    'max_pool1d',
    'max_pool2d',
    'max_pool2d_indices',
    'max_pool3d',
    'max_unpool1d',
    'max_unpool2d',
    'max_unpool3d',
    'maximum',
    'mean',
    'min',
    'minimum',
    'moveaxis',
    'mse',
    'mul',
    'neg',
    'nll_loss',
    'norm',
    'not_equal',
    'one_hot',
    'outer',
    'pad',
    'pinv',
    'pool_sum',
    'pow',
    'prod',
    'qr',
    'reciprocal',
    'relu',
    'remainder',
    'repeat',
    'reshape',
    'rms_norm',
    'roll',
    'round',
    'rsqrt',
    'scaled_dot_product_attention',
    'scatter_add',
    'sigmoid',
    'sign',
    'silu',
    'sin',
    'sinh',
    'slogdet',
    'softmax',
    'softmax_cross_entropy',
    'softplus',
    'solve',
    'sort',
    'split',
    'sqrt',
    'square',
    'squeeze',
    'stack',
    'standardize',
    'std',
    'stop_gradient',
    'straight_through',
    'sub',
    'sum',
    'svd',
    'swapaxes',
    'take',
    'take_along_axis',
    'tan',
    'tanh',
    'tile',
    'topk',
    'trace',
    'transpose',
    'tril',
    'triu',
    'unstack',
    'var',
    'vecmat',
    'where',
]

def abs(x: TensorLike) -> Tensor:
    """Absolute value. Subgradient at 0: 0.

    abs(x) = abs(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.abs([-3, 0, 2])
    tensor([3, 0, 2], dtype=int64)
    """

def add(a: TensorLike, b: TensorLike) -> Tensor:
    """Sum.

    add(a, b) = a + b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.add([1.0, 2.0], 3.0)
    tensor([4., 5.], dtype=float32)
    """

def all(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Whether every element is true, that is, not 0. No gradient.

    Examples
    --------
    >>> mg.all([[True, True], [True, False]], axis=1)
    tensor([ True, False], dtype=bool)
    """

def any(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Whether an element is true, that is, not 0. No gradient.

    Examples
    --------
    >>> mg.any([[False, True], [False, False]], axis=1)
    tensor([ True, False], dtype=bool)
    """

def arccos(x: TensorLike) -> Tensor:
    """Arc cosine, in radians.

    arccos(x) = arccos(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.arccos([1.0, -1.0]).round(decimals=4)
    tensor([0.    , 3.1416], dtype=float32)
    """

def arcsin(x: TensorLike) -> Tensor:
    """Arc sine, in radians.

    arcsin(x) = arcsin(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.arcsin([0.0, 1.0]).round(decimals=4)
    tensor([0.    , 1.5708], dtype=float32)
    """

def arcsinh(x: TensorLike) -> Tensor:
    """Inverse hyperbolic sine.

    arcsinh(x) = where(x == 0, x, sign(x) * where(abs(x) < 1e8, log1p(abs(x) + x * x / (1 + sqrt(1 + x * x))), log(abs(x)) + 0.6931471805599453)), elementwise and broadcasting.

    Examples
    --------
    >>> mg.arcsinh([0.0, -2.0]).round(decimals=4)
    tensor([ 0.    , -1.4436], dtype=float32)
    """

def arctan(x: TensorLike) -> Tensor:
    """Arc tangent, in radians.

    arctan(x) = arctan(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.arctan([0.0, np.inf]).round(decimals=4)
    tensor([0.    , 1.5708], dtype=float32)
    """

def arctan2(a: TensorLike, b: TensorLike) -> Tensor:
    """Angle of the point (b, a), in radians. Subgradients at (0, 0): 0.

    arctan2(a, b) = arctan2(a, b), elementwise and broadcasting.

    Examples
    --------
    >>> mg.arctan2([1.0, -1.0], [0.0, 0.0]).round(decimals=4)
    tensor([ 1.5708, -1.5708], dtype=float32)
    """

def argmax(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Place of the largest element (the first of several) along an axis, or in the flattened x. No gradient.

    Examples
    --------
    >>> mg.argmax([[1, 5], [4, 2]], axis=1)
    tensor([1, 0], dtype=int64)
    """

def argmin(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Place of the smallest element (the first of several) along an axis, or in the flattened x. No gradient."""

def argsort(x: TensorLike, axis: Axes | None = -1, descending: bool = False) -> Tensor:
    """Indices that sort x along an axis, in ascending or descending order; equal elements keep theirs. No gradient.

    None: of the flattened x. NaN comes last, in descending order first.

    Examples
    --------
    >>> mg.argsort([30, 10, 20])
    tensor([1, 2, 0], dtype=int64)
    """

def astype(x: TensorLike, dtype: DTypeLike) -> Tensor:
    """The values in another dtype, rounded; no copy if it is x's own. The gradient comes back in x's dtype.

    A cast to integers or bool is off the tape.

    Examples
    --------
    >>> mg.astype([0.5, 2.5], "int64")
    tensor([0, 2], dtype=int64)
    """

def avg_pool1d(x: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    """The mean of each window of a sequence, (N, channels, length'); all else as `avg_pool2d`.

    Examples
    --------
    >>> mg.avg_pool1d([[[1.0, 3.0, 2.0, 0.0]]], 2).tolist()
    [[[2.0, 1.0]]]
    """

def avg_pool2d(x: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window, as torch.nn.functional.avg_pool2d: (N, channels, height', width').

    kernel_size, padding (by 0, at most half of the kernel), stride (None: the kernel's size): an integer or two.
    ceil_mode: as max_pool2d's. count_include_pad: whether the mean counts the padding; what a window covers behind it
    is never counted. divisor_override: what the sum is divided by in place of that.

    Examples
    --------
    >>> mg.avg_pool2d([[[[1.0, 2.0], [4.0, 3.0]]]], 2).tolist()
    [[[[2.5]]]]
    """

def avg_pool3d(x: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of each window of a volume, (N, channels, depth', height', width'); all else as `avg_pool2d`.

    Examples
    --------
    >>> mg.avg_pool3d(mg.ones((1, 1, 2, 4, 4)), 2).shape
    (1, 1, 1, 2, 2)
    """

def batch_norm(x: TensorLike, running_mean: TensorLike | None = None, running_var: TensorLike | None = None, weight: TensorLike | None = None, bias: TensorLike | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-05) -> Tensor:
    """Each channel normalised over all samples and places (Ioffe & Szegedy 2015, arXiv:1502.03167).

    x: (N, channels, ...). weight, bias: (channels,), or None. training: True normalises by the mean and the variance of
    x, and changes running_mean and running_var, unless they are None, in place: 1 - momentum of what they were and
    momentum of those, the variance being the unbiased one. False normalises by running_mean and running_var.

    Raises ValueError for one value a channel in training.

    Examples
    --------
    >>> mg.batch_norm([[1.0], [3.0]], None, None, training=True).round(decimals=3).tolist()
    [[-1.0], [1.0]]
    """

def binary_cross_entropy_with_logits(x: TensorLike, target: TensorLike, weight: TensorLike | None = None, pos_weight: TensorLike | None = None, reduction: Literal['mean', 'sum', 'none'] = 'mean') -> Tensor:
    """-(target log(sigmoid(x)) + (1 - target) log(1 - sigmoid(x))), without overflow for any finite logit x.

    weight: a factor of each loss. pos_weight: one of its part with the target. Both may be broadcast. As in PyTorch,
    the mean is over all losses, whatever their weights.

    Examples
    --------
    >>> mg.binary_cross_entropy_with_logits([0.0, 100.0], [1.0, 1.0]).round(decimals=4)
    tensor(0.3466, dtype=float32)
    """

def broadcast_to(x: TensorLike, shape: Axes) -> Tensor:
    """x repeated, without a copy, along new leading axes and along axes of size 1.

    Examples
    --------
    >>> mg.broadcast_to([1, 2], (2, 2))
    tensor([[1, 2],
            [1, 2]], dtype=int64)
    """

def cbrt(x: TensorLike) -> Tensor:
    """Cube root, of negative numbers too. Derivative at 0: inf.

    cbrt(x) = where((x == 0) | (x - x != 0), x, sign(x) * pow(abs(x), 0.3333333333333333) - (sign(x) * pow(abs(x), 0.3333333333333333) - x / ((sign(x) * pow(abs(x), 0.3333333333333333)) * (sign(x) * pow(abs(x), 0.3333333333333333)))) / 3), elementwise and broadcasting.

    Examples
    --------
    >>> mg.cbrt([-8.0, 27.0]).round(decimals=4)
    tensor([-2.,  3.], dtype=float32)
    """

def ceil(x: TensorLike) -> Tensor:
    """Smallest integer above.

    ceil(x) = ceil(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.ceil([1.2, -1.7])
    tensor([ 2., -1.], dtype=float32)
    """

def cholesky(x: TensorLike) -> Tensor:
    """Lower triangular y with y @ y.mT = x, for symmetric positive definite x. Its lower triangle alone is read.

    So is the gradient: that of the lower triangle, 0 above (Murray 2016, arXiv:1602.07527, eq. 8). PyTorch's spreads it
    over both triangles; that of what x was made from, such as a in a @ a.mT, is the same.

    Raises LinAlgError, a ValueError, for an x that is not positive definite.

    Examples
    --------
    >>> mg.cholesky([[4.0, 0.0], [0.0, 9.0]]).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """

def chunk(x: TensorLike, chunks: int, axis: Axes | None = 0) -> list[Tensor]:
    """A list of pieces of equal size along an axis, the last one smaller where it must be, `chunks` of them at most.

    As torch.chunk: the size is n / chunks rounded up, so that there may be fewer.

    Examples
    --------
    >>> [x.tolist() for x in mg.chunk([1, 2, 3, 4, 5], 2)]
    [[1, 2, 3], [4, 5]]
    """

def clip(x: TensorLike, low: TensorLike | None = None, high: TensorLike | None = None, *, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """x limited to [low, high], either of which may be None: see the op of this name. min, max: NumPy's and PyTorch's
    names of the bounds.

    Examples
    --------
    >>> mg.clip([-2.0, 0.5, 9.0], 0.0, 1.0)
    tensor([0. , 0.5, 1. ], dtype=float32)
    """

def concatenate(arrays: Tensor | np.ndarray[Any, Any] | Sequence[TensorLike], axis: Axes | None = 0) -> Tensor:
    """A sequence of tensors, one after another along an axis that they have.

    Examples
    --------
    >>> mg.concatenate([[1, 2], [3]])
    tensor([1, 2, 3], dtype=int64)
    """

def conv1d(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None, stride: Axes | None = 1, padding: Axes | Literal['same', 'valid'] = 0, dilation: Axes = 1, groups: int = 1) -> Tensor:
    """Cross-correlation along a sequence, as torch.nn.functional.conv1d: a conv2d of height 1.

    x: (N, channels, length). weight: (out, channels / groups, k). bias: (out,) or None. stride, dilation: integers.
    padding: an integer, "valid" or "same". Returns (N, out, (length + 2 padding - dilation (k - 1) - 1) // stride + 1).

    Examples
    --------
    >>> mg.conv1d([[[1.0, 2.0, 3.0]]], [[[1.0, 1.0]]]).tolist()
    [[[3.0, 5.0]]]
    """

def conv2d(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None, stride: Axes | None = 1, padding: Axes | Literal['same', 'valid'] = 0, dilation: Axes = 1, groups: int = 1) -> Tensor:
    """Cross-correlation of images with kernels, as torch.nn.functional.conv2d.

    x: (N, channels, height, width). weight: (out, channels / groups, kh, kw). bias: (out,) or None. stride, dilation:
    an integer or two. padding: zeros on both sides of each axis, an integer or two, "valid" (0), or "same" (with
    stride 1: the result has x's size). Returns (N, out, height', width'),
    height' = (height + 2 padding - dilation (kh - 1) - 1) // stride + 1.

    Raises ValueError for shapes that do not fit.

    Examples
    --------
    >>> mg.conv2d(mg.ones((1, 1, 3, 3)), mg.ones((1, 1, 2, 2))).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """

def conv3d(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None, stride: Axes | None = 1, padding: Axes | Literal['same', 'valid'] = 0, dilation: Axes = 1, groups: int = 1) -> Tensor:
    """Cross-correlation of volumes with kernels, as torch.nn.functional.conv3d.

    x: (N, channels, depth, height, width). weight: (out, channels / groups, kd, kh, kw). bias: (out,) or None. stride,
    dilation: an integer or three. padding: as conv2d's. Returns (N, out, depth', height', width').

    Examples
    --------
    >>> mg.conv3d(mg.ones((1, 1, 2, 3, 3)), mg.ones((4, 1, 2, 2, 2))).shape
    (1, 4, 1, 2, 2)
    """

def conv_transpose1d(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None, stride: Axes | None = 1, padding: Axes | Literal['same', 'valid'] = 0, output_padding: Axes = 0, groups: int = 1, dilation: Axes = 1) -> Tensor:
    """The transpose of conv1d, as torch.nn.functional.conv_transpose1d: a conv_transpose2d of height 1.

    x: (N, channels, length). weight: (channels, out / groups, k). bias: (out,) or None.

    Examples
    --------
    >>> mg.conv_transpose1d([[[1.0, 2.0]]], [[[1.0, 1.0]]]).tolist()
    [[[1.0, 3.0, 2.0]]]
    """

def conv_transpose2d(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None, stride: Axes | None = 1, padding: Axes | Literal['same', 'valid'] = 0, output_padding: Axes = 0, groups: int = 1, dilation: Axes = 1) -> Tensor:
    """The transpose of conv2d (its gradient with respect to the input), as torch.nn.functional.conv_transpose2d.

    x: (N, channels, height, width). weight: (channels, out / groups, kh, kw). bias: (out,) or None. Returns
    (N, out, height', width'), height' = (height - 1) stride - 2 padding + dilation (kh - 1) + 1 + output_padding.

    Raises ValueError for shapes that do not fit.

    Examples
    --------
    >>> mg.conv_transpose2d(mg.ones((1, 1, 2, 2)), mg.ones((1, 1, 2, 2))).tolist()
    [[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]
    """

def conv_transpose3d(x: TensorLike, weight: TensorLike, bias: TensorLike | None = None, stride: Axes | None = 1, padding: Axes | Literal['same', 'valid'] = 0, output_padding: Axes = 0, groups: int = 1, dilation: Axes = 1) -> Tensor:
    """The transpose of conv3d, as torch.nn.functional.conv_transpose3d.

    x: (N, channels, depth, height, width). weight: (channels, out / groups, kd, kh, kw). bias: (out,) or None.

    Examples
    --------
    >>> mg.conv_transpose3d(mg.ones((1, 4, 1, 2, 2)), mg.ones((4, 1, 2, 2, 2))).shape
    (1, 1, 2, 3, 3)
    """

def copy(x: TensorLike) -> Tensor:
    """The same values in memory of their own.

    Examples
    --------
    >>> mg.copy([1, 2])
    tensor([1, 2], dtype=int64)
    """

def cos(x: TensorLike) -> Tensor:
    """Cosine, of radians.

    cos(x) = cos(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.cos([0.0, np.pi]).round(decimals=4)
    tensor([ 1., -1.], dtype=float32)
    """

def cosh(x: TensorLike) -> Tensor:
    """Hyperbolic cosine.

    cosh(x) = cosh(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.cosh([0.0, 1.0]).round(decimals=4)
    tensor([1.    , 1.5431], dtype=float32)
    """

def cross_entropy(logits: TensorLike, targets: TensorLike, weight: TensorLike | None = None, reduction: Literal['mean', 'sum', 'none'] = 'mean', ignore_index: int = -100, label_smoothing: float = 0.0) -> Tensor:
    """-log of the probability that softmax(logits) gives the targets.

    logits: (classes,), (N, classes) or (N, classes, d1, ...): classes along axis 1, as in PyTorch; reshape a
    sequence's, (T, N, classes), to (T * N, classes). targets: integers, of the shape without classes; or floats, of the
    logits' shape, a probability for each class. weight: a factor for each class; the mean is then the weighted one, as
    in PyTorch, but for probabilities the mean over all rows. Where an integer target is ignore_index the loss and its
    gradient are 0, whatever the logits are (NaN, too), and the mean does not count it (it is NaN if nothing is left).
    label_smoothing: that part of each target is shared by all classes alike (Szegedy et al. 2016, arXiv:1512.00567).

    Raises IndexError for a target that is no class, ValueError for shapes that do not fit.

    Examples
    --------
    >>> mg.cross_entropy([[0.0, 0.0], [100.0, 0.0]], [1, 0]).round(decimals=4)
    tensor(0.3466, dtype=float32)
    """

def cummax(x: TensorLike, axis: Axes | None = -1) -> tuple[Tensor, Tensor]:
    """(values, indices) of the largest element so far along an axis, as torch.cummax. Of equal ones, and of NaN, the
    last counts, and has the gradient.

    Examples
    --------
    >>> mg.cummax([1, 3, 2, 4], 0)[0]
    tensor([1, 3, 3, 4], dtype=int64)
    """

def cummin(x: TensorLike, axis: Axes | None = -1) -> tuple[Tensor, Tensor]:
    """(values, indices) of the smallest element so far along an axis; all else as `cummax`.

    Examples
    --------
    >>> mg.cummin([3, 1, 2, 0], 0)[0]
    tensor([3, 1, 1, 0], dtype=int64)
    """

def cumprod(x: TensorLike, axis: Axes | None = None) -> Tensor:
    """Products of the elements so far along an axis; None: of the flattened x. Of integers and booleans: int64."""

def cumsum(x: TensorLike, axis: Axes | None = None) -> Tensor:
    """Sums of the elements so far along an axis; None: of the flattened x. Of integers and booleans: int64.

    Examples
    --------
    >>> mg.cumsum([1, 2, 3])
    tensor([1, 3, 6], dtype=int64)
    """

def det(x: TensorLike) -> Tensor:
    """Determinants of square matrices. Singular ones have a gradient too; a second derivative wants an inverse.

    Examples
    --------
    >>> mg.det([[2.0, 1.0], [0.0, 3.0]]).round(decimals=4)
    tensor(6., dtype=float32)
    """

def diag(x: TensorLike, k: int = 0) -> Tensor:
    """The k-th diagonal of a matrix, as a vector; of a vector, the matrix that has it as its k-th diagonal.

    Examples
    --------
    >>> mg.diag([1, 2]).tolist()
    [[1, 0], [0, 2]]
    """

def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Elements i, i + offset of two axes, as the last axis. A read-only view.

    Examples
    --------
    >>> mg.diagonal([[1, 2], [3, 4]])
    tensor([1, 4], dtype=int64)
    """

def div(a: TensorLike, b: TensorLike) -> Tensor:
    """Quotient; integers become float32.

    div(a, b) = a / b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.div([1, 3], 2)
    tensor([0.5, 1.5], dtype=float32)
    """

def dot(a: TensorLike, b: TensorLike) -> Tensor:
    """Product over the last axis of a and the second to last of b (its only one, of a vector), as NumPy's dot.

    Of vectors their inner product, of matrices the matrix product; where both have more axes, every row of a meets
    every column of b: shape (*a.shape[:-1], *b.shape[:-2], b.shape[-1]). A 0-d operand multiplies.

    Raises ValueError where the two axes differ.

    Examples
    --------
    >>> mg.dot([1, 2, 3], [4, 5, 6])
    tensor(32, dtype=int64)
    """

def dropout(x: TensorLike, p: float, generator: np.random.Generator) -> Tensor:
    """Zero each element with probability p and divide the others by 1 - p (Srivastava et al. 2014).

    generator: the numpy.random.Generator to draw from.

    Raises ValueError for a p outside [0, 1].

    Examples
    --------
    >>> mg.dropout(mg.ones(3), 0.0, np.random.default_rng(0))
    tensor([1., 1., 1.], dtype=float32)
    """

def eigh(x: TensorLike) -> list[Tensor]:
    """[eigenvalues, in ascending order, and eigenvectors, in columns] of symmetric x, of which the lower triangle is
    read. So is the gradient: that of the lower triangle, 0 above.

    Where two eigenvalues are equal, what depends on the choice of their vectors has a gradient of NaN; the values' own
    gradient is defined there.

    Examples
    --------
    >>> mg.eigh([[2.0, 0.0], [0.0, 1.0]])[0].round(decimals=4)
    tensor([1., 2.], dtype=float32)
    """

def einsum(subscripts: str, *operands: TensorLike) -> Tensor:
    """Einstein's summation: einsum("bij,bjk->bik", a, b).

    subscripts: a letter for each axis of each operand, as NumPy. An index that the result lacks is summed over; one
    that an operand has twice takes its diagonal; `...` stands for axes that broadcast; without `->` the result has the
    indices that occur once, in alphabetical order. Sizes of 1 broadcast. The order of the products is the one that
    costs least (`np.einsum_path`).

    Raises ValueError where the subscripts do not fit the operands.

    Examples
    --------
    >>> mg.einsum("ij,j->i", [[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    tensor([3., 7.], dtype=float32)
    """

def elu(x: TensorLike) -> Tensor:
    """x above 0, exp(x) - 1 below (Clevert et al. 2015, arXiv:1511.07289).

    elu(x) = where(x > 0, x, expm1(x)), elementwise and broadcasting.

    Examples
    --------
    >>> mg.elu([-1.0, 2.0]).round(decimals=4)
    tensor([-0.6321,  2.    ], dtype=float32)
    """

def embedding(weight: TensorLike, indices: TensorLike) -> Tensor:
    """Rows of `weight` (entries, width) looked up: integers of any shape give that shape and the width.

    Raises IndexError for an index that is negative, or no less than the number of entries.

    Examples
    --------
    >>> mg.embedding([[0.0, 1.0], [2.0, 3.0]], [1, 1, 0]).tolist()
    [[2.0, 3.0], [2.0, 3.0], [0.0, 1.0]]
    """

def equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Where the two are equal. No gradient.

    equal(a, b) = a == b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.equal([1, 2], [1, 3])
    tensor([ True, False], dtype=bool)
    """

def erf(x: TensorLike) -> Tensor:
    """Error function.

    erf(x) = erf(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.erf([0.0, 0.5]).round(decimals=4)
    tensor([0.    , 0.5205], dtype=float32)
    """

def exp(x: TensorLike) -> Tensor:
    """Exponential.

    exp(x) = exp(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.exp([0.0, 1.0]).round(decimals=4)
    tensor([1.    , 2.7183], dtype=float32)
    """

def expand_dims(x: TensorLike, axis: Axes | None) -> Tensor:
    """New axes of size 1; `axis`, an integer or several, says where they are in the result.

    Examples
    --------
    >>> mg.expand_dims([1, 2], 1).shape
    (2, 1)
    """

def expm1(x: TensorLike) -> Tensor:
    """exp(x) - 1, exact near 0.

    expm1(x) = expm1(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.expm1([0.0, 1.0]).round(decimals=4)
    tensor([0.    , 1.7183], dtype=float32)
    """

def flip(x: TensorLike, axis: Axes | None = None) -> Tensor:
    """The order of the elements reversed along an axis, several, or all (None).

    Examples
    --------
    >>> mg.flip([1, 2, 3])
    tensor([3, 2, 1], dtype=int64)
    """

def floor(x: TensorLike) -> Tensor:
    """Largest integer below.

    floor(x) = floor(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.floor([1.7, -1.2])
    tensor([ 1., -2.], dtype=float32)
    """

def floor_divide(a: TensorLike, b: TensorLike) -> Tensor:
    """floor(a / b), also of integers. Its derivatives are 0 everywhere.

    floor_divide(a, b) = a // b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.floor_divide([7, -7], 3)
    tensor([ 2, -3], dtype=int64)
    """

def gather(x: TensorLike, axis: Axes | None, index: Any) -> Tensor:
    """As torch.gather: of the shape of `index`, with result[i][j] = x[i][index[i][j]] for axis 1.

    index: integers, of as many dimensions as x, and no larger but along the axis.

    Examples
    --------
    >>> mg.gather([[1, 2], [3, 4]], 1, [[1], [0]]).tolist()
    [[2], [3]]
    """

def gelu(x: TensorLike) -> Tensor:
    """x times the normal distribution function (Hendrycks & Gimpel 2016, arXiv:1606.08415).

    gelu(x) = 0.5 * x * (1 + erf(x * 0.7071067811865476)), elementwise and broadcasting.

    Examples
    --------
    >>> mg.gelu([-1.0, 0.0, 1.0]).round(decimals=4)
    tensor([-0.1587,  0.    ,  0.8413], dtype=float32)
    """

def getitem(x: TensorLike, index: Any) -> Tensor:
    """x[index], as NumPy: integers, slices, None, Ellipsis, integer arrays, boolean masks.

    Examples
    --------
    >>> mg.getitem([[1, 2], [3, 4]], (slice(None), 0))
    tensor([1, 3], dtype=int64)
    """

def greater(a: TensorLike, b: TensorLike) -> Tensor:
    """Where a > b. No gradient.

    greater(a, b) = a > b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.greater([1, 2, 3], 2)
    tensor([False, False,  True], dtype=bool)
    """

def greater_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Where a >= b. No gradient.

    greater_equal(a, b) = a >= b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.greater_equal([1, 2, 3], 2)
    tensor([False,  True,  True], dtype=bool)
    """

def group_norm(x: TensorLike, weight: TensorLike | None = None, bias: TensorLike | None = None, num_groups: int = 1, eps: float = 1e-05) -> Tensor:
    """Each group of channels of each sample normalised (Wu & He 2018, arXiv:1803.08494).

    x: (N, channels, ...). weight, bias: (channels,), or None.

    Raises ValueError if num_groups does not divide the channels.

    Examples
    --------
    >>> mg.group_norm([[[1.0], [3.0]]], None, None, 1).round(decimals=3).tolist()
    [[[-1.0], [1.0]]]
    """

def hard_sigmoid(x: TensorLike) -> Tensor:
    """x / 6 + 1/2 between 0 and 1. Subgradient at -3 and 3: 0.

    hard_sigmoid(x) = where(x <= -3, 0, where(x >= 3, 1, x / 6 + 0.5)), elementwise and broadcasting.

    Examples
    --------
    >>> mg.hard_sigmoid([-4.0, 0.0, 1.5, 4.0])
    tensor([0.  , 0.5 , 0.75, 1.  ], dtype=float32)
    """

def hard_tanh(x: TensorLike) -> Tensor:
    """x between -1 and 1. Subgradient at -1 and 1: 0.

    hard_tanh(x) = where(x <= -1, -1, where(x >= 1, 1, x)), elementwise and broadcasting.

    Examples
    --------
    >>> mg.hard_tanh([-4.0, 0.5, 4.0])
    tensor([-1. ,  0.5,  1. ], dtype=float32)
    """

def huber(x: TensorLike, target: TensorLike, reduction: Literal['mean', 'sum', 'none'] = 'mean', delta: float = 1.0) -> Tensor:
    """Half the squared error up to delta > 0, delta times the absolute error beyond, less delta² / 2 (Huber 1964).

    Examples
    --------
    >>> mg.huber([0.0, 0.0], [0.5, 3.0], reduction="none")
    tensor([0.125, 2.5  ], dtype=float32)
    """

def instance_norm(x: TensorLike, running_mean: TensorLike | None = None, running_var: TensorLike | None = None, weight: TensorLike | None = None, bias: TensorLike | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-05) -> Tensor:
    """Each channel of each sample normalised over its places (Ulyanov et al. 2016, arXiv:1607.08022).

    x: (N, channels, ...). All else as `batch_norm`; use_input_stats is its training. The running statistics follow the
    means over the samples.

    Examples
    --------
    >>> mg.instance_norm(mg.ones((2, 4, 3))).shape
    (2, 4, 3)
    """

def interpolate(x: TensorLike, size: Axes | None = None, scale_factor: float | Sequence[float] | None = None, mode: Literal['nearest', 'nearest-exact', 'linear', 'bilinear', 'trilinear', 'bicubic'] = 'nearest', align_corners: bool | None = None) -> Tensor:
    """x (N, channels, ...) in another size, as torch.nn.functional.interpolate.

    size: of all axes but the first two, an integer or one for each; or else scale_factor: what to multiply their sizes
    by. mode: "nearest" and "nearest-exact" for any number of axes; "linear" for one, "bilinear" and "bicubic" for two,
    "trilinear" for three. align_corners: True puts the first and the last elements on one another, not the edges of
    what each stands for; not of the nearest.

    Examples
    --------
    >>> mg.interpolate([[[1.0, 2.0]]], scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """

def inv(x: TensorLike) -> Tensor:
    """Inverse of square matrices, in the last two axes. Raises LinAlgError, a ValueError, for a singular one.

    Examples
    --------
    >>> mg.inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """

def isfinite(x: TensorLike) -> Tensor:
    """Where x is neither infinite nor NaN. No gradient.

    isfinite(x) = x - x == 0, elementwise and broadcasting.

    Examples
    --------
    >>> mg.isfinite([1.0, np.inf, np.nan])
    tensor([ True, False, False], dtype=bool)
    """

def isnan(x: TensorLike) -> Tensor:
    """Where x is not a number. No gradient.

    isnan(x) = x != x, elementwise and broadcasting.

    Examples
    --------
    >>> mg.isnan([1.0, np.nan])
    tensor([False,  True], dtype=bool)
    """

def layer_norm(x: TensorLike, weight: TensorLike | None = None, bias: TensorLike | None = None, axis: Axes | None = -1, eps: float = 1e-05) -> Tensor:
    """Layer normalisation (Ba et al. 2016, arXiv:1607.06450): standardize(x) * weight + bias.

    axis: the axis, or the axes, that are normalised together. weight, bias: of these axes' sizes, or None.

    Raises ValueError if weight or bias have another shape.

    Examples
    --------
    >>> mg.layer_norm([[1.0, 3.0]]).round(decimals=3).tolist()
    [[-1.0, 1.0]]
    """

def leaky_relu(x: TensorLike, slope: TensorLike = 0.01) -> Tensor:
    """x above 0, slope * x below. Subgradient at 0: the slope.

    leaky_relu(x, slope=0.01) = where(x > 0, x, slope * x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.leaky_relu([-2.0, 3.0], slope=0.1).round(decimals=4)
    tensor([-0.2,  3. ], dtype=float32)
    """

def less(a: TensorLike, b: TensorLike) -> Tensor:
    """Where a < b. No gradient.

    less(a, b) = a < b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.less([1, 2, 3], 2)
    tensor([ True, False, False], dtype=bool)
    """

def less_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Where a <= b. No gradient.

    less_equal(a, b) = a <= b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.less_equal([1, 2, 3], 2)
    tensor([ True,  True, False], dtype=bool)
    """

def log(x: TensorLike) -> Tensor:
    """Natural logarithm.

    log(x) = log(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.log([1.0, 10.0]).round(decimals=4)
    tensor([0.    , 2.3026], dtype=float32)
    """

def log1p(x: TensorLike) -> Tensor:
    """log(1 + x), exact near 0.

    log1p(x) = log1p(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.log1p([0.0, 1.0]).round(decimals=4)
    tensor([0.    , 0.6931], dtype=float32)
    """

def log_sigmoid(x: TensorLike) -> Tensor:
    """log(sigmoid(x)).

    log_sigmoid(x) = log_sigmoid(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.log_sigmoid([-1000.0, 0.0]).round(decimals=4)
    tensor([-1.000e+03, -6.931e-01], dtype=float32)
    """

def log_softmax(x: TensorLike, axis: Axes | None = -1) -> Tensor:
    """log(softmax(x)), without the loss of small probabilities: x - log(sum(exp(x))).

    Examples
    --------
    >>> mg.log_softmax([0.0, 0.0]).round(decimals=4)
    tensor([-0.6931, -0.6931], dtype=float32)
    """

def logaddexp(a: TensorLike, b: TensorLike) -> Tensor:
    """log(exp(a) + exp(b)), without overflow. Derivatives where both are the same infinity: NaN.

    logaddexp(a, b) = where(a >= b, a, where(a < b, b, a + b)) + log1p(exp(-abs(where((a == b) & (a - a != 0), 0, a - b)))), elementwise and broadcasting.

    Examples
    --------
    >>> mg.logaddexp([0.0, 2.0], [0.0, -1000.0]).round(decimals=4)
    tensor([0.6931, 2.    ], dtype=float32)
    """

def logical_and(a: TensorLike, b: TensorLike) -> Tensor:
    """Where both are true. No gradient.

    logical_and(a, b) = (a != 0) & (b != 0), elementwise and broadcasting.

    Examples
    --------
    >>> mg.logical_and([True, True], [True, False])
    tensor([ True, False], dtype=bool)
    """

def logical_not(x: TensorLike) -> Tensor:
    """Where x is false. No gradient.

    logical_not(x) = x == 0, elementwise and broadcasting.

    Examples
    --------
    >>> mg.logical_not([True, False])
    tensor([False,  True], dtype=bool)
    """

def logical_or(a: TensorLike, b: TensorLike) -> Tensor:
    """Where one is true. No gradient.

    logical_or(a, b) = (a != 0) | (b != 0), elementwise and broadcasting.

    Examples
    --------
    >>> mg.logical_or([False, False], [True, False])
    tensor([ True, False], dtype=bool)
    """

def logical_xor(a: TensorLike, b: TensorLike) -> Tensor:
    """Where exactly one is true. No gradient.

    logical_xor(a, b) = (a != 0) ^ (b != 0), elementwise and broadcasting.

    Examples
    --------
    >>> mg.logical_xor([True, True], [True, False])
    tensor([False,  True], dtype=bool)
    """

def logsumexp(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))), by way of the largest x so that nothing overflows. Its gradient is the softmax.

    Where every x is -inf the result is -inf, and the gradient 0. Integers become float32.

    Examples
    --------
    >>> mg.logsumexp([1000.0, 1000.0]).round(decimals=4)
    tensor(1000.6932, dtype=float32)
    """

def matmul(a: TensorLike, b: TensorLike) -> Tensor:
    """Matrix product over the last two axes, with batch axes that broadcast; a vector is a row on the left, a column
    on the right.

    Examples
    --------
    >>> mg.matmul([[1, 2], [3, 4]], [1, 1])
    tensor([3, 7], dtype=int64)
    """

def matvec(a: TensorLike, v: TensorLike) -> Tensor:
    """Matrices (..., m, n) times vectors (..., n): (..., m), with leading axes that broadcast. W h of a paper, for
    every row h of a batch, is mg.matvec(W, h).

    Examples
    --------
    >>> mg.matvec([[1, 2], [3, 4]], [1, 1])
    tensor([3, 7], dtype=int64)
    """

def max(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The largest element, NaN if there is one. Elements that tie for it share the gradient alike.

    Examples
    --------
    >>> mg.max([[1, 5], [4, 2]], axis=1)
    tensor([5, 4], dtype=int64)
    """

def max_pool1d(x: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, dilation: Axes = 1, ceil_mode: bool = False, return_indices: bool = False) -> Tensor:
    """The largest element of each window of a sequence, (N, channels, length'); all else as `max_pool2d`.

    Examples
    --------
    >>> mg.max_pool1d([[[1.0, 3.0, 2.0, 0.0]]], 2).tolist()
    [[[3.0, 2.0]]]
    """

def max_pool2d(x: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, dilation: Axes = 1, ceil_mode: bool = False, return_indices: bool = False) -> Tensor:
    """The largest element of each window, as torch.nn.functional.max_pool2d: (N, channels, height', width').

    kernel_size, padding (by -inf, at most half of the kernel), stride (None: the kernel's size), dilation: an integer
    or two. ceil_mode: whether a window that reaches beyond the edge counts, if it begins before it. return_indices:
    True returns (values, indices): where they lie, counted over x's last two axes. At a tie the gradient goes to the
    first.

    Examples
    --------
    >>> mg.max_pool2d([[[[1.0, 2.0], [4.0, 3.0]]]], 2).tolist()
    [[[[4.0]]]]
    """

def max_pool2d_indices(x: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, dilation: Axes = 1, ceil_mode: bool = False) -> Tensor:
    """Where the largest element of each window lies, counted over x's last two axes; the first of several, or a NaN.

    No gradient.

    Examples
    --------
    >>> mg.max_pool2d_indices([[[[1.0, 2.0], [4.0, 3.0]]]], 2).tolist()
    [[[[2]]]]
    """

def max_pool3d(x: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, dilation: Axes = 1, ceil_mode: bool = False, return_indices: bool = False) -> Tensor:
    """The largest element of each window of a volume, in PyTorch's layout; all else as `max_pool2d`.

    Examples
    --------
    >>> mg.max_pool3d(mg.ones((1, 1, 2, 4, 4)), 2).shape
    (1, 1, 1, 2, 2)
    """

def max_unpool1d(x: TensorLike, indices: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, output_size: Axes | None = None) -> Tensor:
    """The inverse of max_pool1d as far as there is one; see `max_unpool2d`.

    Examples
    --------
    >>> mg.max_unpool1d([[[7.0]]], [[[1]]], 2).tolist()
    [[[0.0, 7.0]]]
    """

def max_unpool2d(x: TensorLike, indices: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, output_size: Axes | None = None) -> Tensor:
    """Zeros with each element of x where the index says, as torch.nn.functional.max_unpool2d.

    indices: as max_pool2d's with return_indices, counted over the axes that result. output_size: these axes' sizes, of
    those that pool to x's; None: the smallest. Where several elements have one index, their mean.

    Examples
    --------
    >>> mg.max_unpool2d([[[[7.0]]]], [[[[2]]]], 2).tolist()
    [[[[0.0, 0.0], [7.0, 0.0]]]]
    """

def max_unpool3d(x: TensorLike, indices: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, output_size: Axes | None = None) -> Tensor:
    """The inverse of max_pool3d as far as there is one; see `max_unpool2d`.

    Examples
    --------
    >>> mg.max_unpool3d(mg.ones((1, 1, 1, 1, 1)), mg.zeros((1, 1, 1, 1, 1), "int64"), 2).shape
    (1, 1, 2, 2, 2)
    """

def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """The larger of two. At a tie each gets half of the gradient.

    maximum(a, b) = where((a >= b) | (a != a), a, b), elementwise and broadcasting.

    Examples
    --------
    >>> mg.maximum([1, 5, 3], 2)
    tensor([2, 5, 3], dtype=int64)
    """

def mean(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean; NaN of no elements. Integers become float32.

    Examples
    --------
    >>> mg.mean([[1.0, 2.0], [3.0, 4.0]], axis=1)
    tensor([1.5, 3.5], dtype=float32)
    """

def min(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The smallest element, NaN if there is one. Elements that tie for it share the gradient alike."""

def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """The smaller of two. At a tie each gets half of the gradient.

    minimum(a, b) = where((a <= b) | (a != a), a, b), elementwise and broadcasting.

    Examples
    --------
    >>> mg.minimum([1.0, np.nan], 2.0)
    tensor([ 1., nan], dtype=float32)
    """

def moveaxis(x: TensorLike, source: Axes, destination: Axes) -> Tensor:
    """Axes `source` moved to the places `destination` (integers or tuples); the others keep their order.

    Examples
    --------
    >>> mg.moveaxis(mg.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """

def mse(x: TensorLike, target: TensorLike, reduction: Literal['mean', 'sum', 'none'] = 'mean') -> Tensor:
    """Squared error, (x - target)².

    Examples
    --------
    >>> mg.mse([1.0, 2.0], [1.0, 4.0])
    tensor(2., dtype=float32)
    """

def mul(a: TensorLike, b: TensorLike) -> Tensor:
    """Product.

    mul(a, b) = a * b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.mul([1.0, 2.0], [3.0, 4.0])
    tensor([3., 8.], dtype=float32)
    """

def neg(x: TensorLike) -> Tensor:
    """Negative.

    neg(x) = -x, elementwise and broadcasting.

    Examples
    --------
    >>> mg.neg([1.0, -2.0])
    tensor([-1.,  2.], dtype=float32)
    """

def nll_loss(x: TensorLike, targets: TensorLike, weight: TensorLike | None = None, reduction: Literal['mean', 'sum', 'none'] = 'mean', ignore_index: int = -100) -> Tensor:
    """-x of the targets' classes, where x are logarithms of probabilities; all else as in `cross_entropy`.

    Examples
    --------
    >>> mg.nll_loss([[-0.5, -1.0]], [1])
    tensor(1., dtype=float32)
    """

def norm(x: TensorLike, ord: float | str | None = 2, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Vector norm, (sum of |x| to the power ord) to the power 1 / ord, over the given axes (all by default).

    ord: a number (the Frobenius norm is 2 over both axes); inf is the largest |x|, -inf the smallest, 0 the number of
    elements that are not 0. Where the norm is 0 so is its gradient; elements equal to 0 get none for ord below 2; ties
    of the largest |x| share alike (inf).

    Examples
    --------
    >>> mg.norm([3.0, 4.0])
    tensor(5., dtype=float32)
    """

def not_equal(a: TensorLike, b: TensorLike) -> Tensor:
    """Where the two differ. No gradient.

    not_equal(a, b) = a != b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.not_equal([1, 2], [1, 3])
    tensor([False,  True], dtype=bool)
    """

def one_hot(indices: TensorLike, n: int) -> Tensor:
    """float32 of shape (*indices.shape, n): 1 at each index, 0 elsewhere. No gradient.

    Raises IndexError for an index outside [0, n).

    Examples
    --------
    >>> mg.one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """

def outer(a: TensorLike, b: TensorLike) -> Tensor:
    """Every element of a times every element of b: shape (a.size, b.size).

    Examples
    --------
    >>> mg.outer([1, 2], [3, 4]).tolist()
    [[3, 4], [6, 8]]
    """

def pad(x: TensorLike, pad_width: int | Sequence[Any], mode: str = 'constant', constant_values: float = 0) -> Tensor:
    """x with a margin: `pad_width` elements before and after each axis, as np.pad.

    pad_width: one number, a pair (before, after), or a pair for each axis, the first axis first (PyTorch's order is the
    other way round). mode: "constant" fills in constant_values, given in these forms too; "edge", "reflect",
    "symmetric", "wrap" continue x.

    Examples
    --------
    >>> mg.pad([1, 2], (1, 2))
    tensor([0, 1, 2, 0, 0], dtype=int64)
    """

def pinv(x: TensorLike, rcond: float | None = None) -> Tensor:
    """The pseudoinverse (Moore and Penrose). Singular values up to rcond times the largest count as 0.

    rcond: by default max(m, n) times the rounding unit. The derivative is that at constant rank (Golub & Pereyra 1973).

    Examples
    --------
    >>> mg.pinv([[2.0, 0.0], [0.0, 4.0]]).round(decimals=4).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """

def pool_sum(x: TensorLike, kernel_size: Axes, stride: Axes | None = None, padding: Axes | Literal['same', 'valid'] = 0, ceil_mode: bool = False) -> Tensor:
    """Sum of each window of the last two axes.

    Examples
    --------
    >>> mg.pool_sum([[[[1.0, 2.0], [4.0, 3.0]]]], 2).tolist()
    [[[[10.0]]]]
    """

def pow(a: TensorLike, b: TensorLike) -> Tensor:
    """Power, a to the b (IEEE 754 pow). At a = b = 0 both subgradients are 0.

    pow(a, b) = pow(a, b), elementwise and broadcasting.

    Examples
    --------
    >>> mg.pow([2.0, 9.0], [3.0, 0.5])
    tensor([8., 3.], dtype=float32)
    """

def prod(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Product. Of integers and booleans: int64. Derivatives are exact at zeros, too."""

def qr(x: TensorLike) -> list[Tensor]:
    """[q, r] with x = q @ r: orthonormal columns and an upper triangle, for x with no more columns than rows.

    Where the columns of x depend on each other there is no gradient: backward raises LinAlgError, a ValueError.

    Examples
    --------
    >>> [x.shape for x in mg.qr(mg.ones((4, 2)))]
    [(4, 2), (2, 2)]
    """

def reciprocal(x: TensorLike) -> Tensor:
    """1 / x.

    reciprocal(x) = 1 / x, elementwise and broadcasting.

    Examples
    --------
    >>> mg.reciprocal([2.0, -4.0])
    tensor([ 0.5 , -0.25], dtype=float32)
    """

def relu(x: TensorLike) -> Tensor:
    """max(x, 0). Subgradient at 0: 0.

    relu(x) = where(x < 0, 0, x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.relu([-2.0, 0.0, 3.0])
    tensor([0., 0., 3.], dtype=float32)
    """

def remainder(a: TensorLike, b: TensorLike) -> Tensor:
    """a - b floor(a / b), with the sign of b, also of integers. Derivatives where a / b is whole: 1 and -a / b.

    remainder(a, b) = a % b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.remainder([7, -7], 3)
    tensor([1, 2], dtype=int64)
    """

def repeat(x: TensorLike, repeats: Axes | TensorLike, axis: Axes | None = None) -> Tensor:
    """Each element in turn `repeats` times, an integer or one for each, along an axis; None: of the flattened x.

    As np.repeat and torch.repeat_interleave.

    Examples
    --------
    >>> mg.repeat([1, 2], 2)
    tensor([1, 1, 2, 2], dtype=int64)
    """

def reshape(x: TensorLike, shape: Axes) -> Tensor:
    """The same elements, in C order, in another shape; one size may be -1. As a method, t.reshape(2, 3) too.

    Examples
    --------
    >>> mg.reshape(mg.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]], dtype=int64)
    """

def rms_norm(x: TensorLike, weight: TensorLike | None = None, axis: Axes | None = -1, eps: float | None = None) -> Tensor:
    """x / sqrt(mean of x² + eps) * weight (Zhang & Sennrich 2019, arXiv:1910.07467), as torch.nn.functional.rms_norm.

    axis: the axis, or the axes, that are normalised together. weight: of these axes' sizes, or None. eps: None is the
    distance of 1 to the next number of x's dtype.

    Examples
    --------
    >>> mg.rms_norm([[3.0, 3.0]]).round(decimals=3).tolist()
    [[1.0, 1.0]]
    """

def roll(x: TensorLike, shift: Axes, axis: Axes | None = None) -> Tensor:
    """Elements moved on by `shift` places along an axis, those that fall off the end put in front.

    Several shifts go with several axes. None: along the flattened x, which then gets its shape back.

    Examples
    --------
    >>> mg.roll([1, 2, 3, 4], 1)
    tensor([4, 1, 2, 3], dtype=int64)
    """

def round(x: TensorLike) -> Tensor:
    """Nearest integer, halves to even.

    round(x) = round(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.round([0.5, 1.5, 2.4])
    tensor([0., 2., 2.], dtype=float32)
    """

def rsqrt(x: TensorLike) -> Tensor:
    """1 / sqrt(x).

    rsqrt(x) = rsqrt(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.rsqrt([4.0, 0.25])
    tensor([0.5, 2. ], dtype=float32)
    """

def scaled_dot_product_attention(query: TensorLike, key: TensorLike, value: Any, attn_mask: TensorLike | None = None, dropout_p: float = 0.0, is_causal: bool = False, scale: TensorLike | None = None, generator: np.random.Generator | None = None) -> Tensor:
    """softmax(query key^T / √E) value (Vaswani et al. 2017, arXiv:1706.03762, eq. 1), with the arguments of PyTorch's.

    query (..., L, E), key (..., S, E), value (..., S, V) -> (..., L, V), with leading axes that broadcast. attn_mask:
    bool, True where a query may look at a key, or float, to be added to the scores; it broadcasts to (..., L, S).
    is_causal: query i looks at keys 0 to i, in place of a mask. A query that may look at none gets 0. dropout_p: of the
    weights, drawn from `generator`. scale: in place of 1/√E.

    Raises ValueError for shapes that do not fit, and for a mask besides is_causal; TypeError for an integer mask.

    Examples
    --------
    >>> mg.scaled_dot_product_attention(mg.zeros((1, 2)), mg.zeros((2, 2)), [[0.0, 2.0], [4.0, 4.0]]).tolist()
    [[2.0, 3.0]]
    """

def scatter_add(x: TensorLike, axis: Axes | None, index: Any, src: TensorLike) -> Tensor:
    """As torch.scatter_add: a copy of x with src[i][j] added to element [i][index[i][j]], for axis 1.

    index: integers, of as many dimensions as x; no larger than src, and but for the axis no larger than x.

    Examples
    --------
    >>> mg.scatter_add(mg.zeros(3), 0, [0, 2, 2], mg.ones(3))
    tensor([1., 0., 2.], dtype=float32)
    """

def sigmoid(x: TensorLike) -> Tensor:
    """Logistic sigmoid, 1 / (1 + exp(-x)).

    sigmoid(x) = sigmoid(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.sigmoid([-np.inf, 0.0, 2.0]).round(decimals=4)
    tensor([0.    , 0.5   , 0.8808], dtype=float32)
    """

def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1. Its derivative is 0 everywhere.

    sign(x) = sign(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.sign([-2.5, 0.0, 4.0])
    tensor([-1.,  0.,  1.], dtype=float32)
    """

def silu(x: TensorLike) -> Tensor:
    """x sigmoid(x), also called swish (Hendrycks & Gimpel 2016, arXiv:1606.08415).

    silu(x) = x * sigmoid(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.silu([-1.0, 0.0, 1.0]).round(decimals=4)
    tensor([-0.2689,  0.    ,  0.7311], dtype=float32)
    """

def sin(x: TensorLike) -> Tensor:
    """Sine, of radians.

    sin(x) = sin(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.sin([0.0, np.pi / 2]).round(decimals=4)
    tensor([0., 1.], dtype=float32)
    """

def sinh(x: TensorLike) -> Tensor:
    """Hyperbolic sine.

    sinh(x) = sinh(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.sinh([0.0, 1.0]).round(decimals=4)
    tensor([0.    , 1.1752], dtype=float32)
    """

def slogdet(x: TensorLike) -> list[Tensor]:
    """[sign, log of the absolute value] of the determinants: what det is of use for without overflow.

    Of a singular matrix they are 0 and -inf, and backward raises LinAlgError: there is no gradient.

    Examples
    --------
    >>> [x.item() for x in mg.slogdet([[1.0, 0.0], [0.0, -1.0]])]
    [-1.0, 0.0]
    """

def softmax(x: TensorLike, axis: Axes | None = -1) -> Tensor:
    """exp(x) / sum(exp(x)) over an axis (or several), from the differences to the maximum, so that nothing overflows.

    -inf among the x gives 0; nothing but -inf gives NaN, as in PyTorch.

    Examples
    --------
    >>> mg.softmax([0.0, np.log(3.0)]).round(decimals=4)
    tensor([0.25, 0.75], dtype=float64)
    """

def softmax_cross_entropy(logits: TensorLike, targets: TensorLike) -> Tensor:
    """-log_softmax(logits)[target] along the last axis. logits: (..., classes). targets: (...) integers.

    Examples
    --------
    >>> mg.softmax_cross_entropy([[0.0, 0.0]], [1]).round(decimals=4)
    tensor([0.6931], dtype=float32)
    """

def softplus(x: TensorLike) -> Tensor:
    """log(1 + exp(x)).

    softplus(x) = softplus(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.softplus([-1000.0, 0.0, 1000.0]).round(decimals=4)
    tensor([0.000e+00, 6.931e-01, 1.000e+03], dtype=float32)
    """

def solve(a: TensorLike, b: TensorLike) -> Tensor:
    """The x with a @ x = b. a: (..., n, n). b: (n,) or (..., n, m); the batch axes broadcast.

    Raises LinAlgError, a ValueError, for a singular matrix.

    Examples
    --------
    >>> mg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
    tensor([1. , 0.5], dtype=float32)
    """

def sort(x: TensorLike, axis: Axes | None = -1, descending: bool = False) -> Tensor:
    """x sorted along an axis, in ascending or descending order; None: flattened first. Values only: their indices are
    `argsort`.

    Examples
    --------
    >>> mg.sort([30, 10, 20])
    tensor([10, 20, 30], dtype=int64)
    """

def split(x: TensorLike, sections: Axes, axis: Axes | None = 0) -> list[Tensor]:
    """A list of pieces along an axis. sections: the number of equal pieces, or (as in PyTorch) the size of each.

    np.split of a tensor, which takes the places of the cuts, works as in NumPy.

    Examples
    --------
    >>> [x.tolist() for x in mg.split([1, 2, 3, 4], 2)]
    [[1, 2], [3, 4]]
    """

def sqrt(x: TensorLike) -> Tensor:
    """Square root. Derivative at 0: inf.

    sqrt(x) = sqrt(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.sqrt([4.0, 2.0]).round(decimals=4)
    tensor([2.    , 1.4142], dtype=float32)
    """

def square(x: TensorLike) -> Tensor:
    """x².

    square(x) = x * x, elementwise and broadcasting.

    Examples
    --------
    >>> mg.square([-3, 4])
    tensor([ 9, 16], dtype=int64)
    """

def squeeze(x: TensorLike, axis: Axes | None = None) -> Tensor:
    """x without these axes, which must have size 1; without all such axes by default.

    Examples
    --------
    >>> mg.squeeze(mg.zeros((1, 3, 1))).shape
    (3,)
    """

def stack(arrays: Tensor | np.ndarray[Any, Any] | Sequence[TensorLike], axis: Axes | None = 0) -> Tensor:
    """Tensors of one shape along a new axis.

    Examples
    --------
    >>> mg.stack([[1, 2], [3, 4]], axis=1).tolist()
    [[1, 3], [2, 4]]
    """

def standardize(x: TensorLike, axis: Axes | None = -1, eps: float = 1e-05) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over an axis, or several; the variance is the mean of the squares.

    Examples
    --------
    >>> mg.standardize([1.0, 3.0]).round(decimals=3)
    tensor([-1.,  1.], dtype=float32)
    """

def std(x: TensorLike, axis: Axes | None = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Standard deviation, the root of `var`: ddof=0 by default, as in NumPy; ddof=1 is PyTorch's default.

    Of equal values it is 0, and so is its gradient.
    """

def stop_gradient(x: TensorLike) -> Tensor:
    """x as a constant. No gradient passes.

    Examples
    --------
    >>> mg.grad(lambda x: x * mg.stop_gradient(x))(mg.tensor(3.0))
    tensor(3., dtype=float32)
    """

def straight_through(hard: TensorLike, soft: TensorLike) -> Tensor:
    """The value of hard with the gradient of soft, of one shape (Bengio et al. 2013, arXiv:1308.3432).

    Raises ValueError for two shapes.

    Examples
    --------
    >>> mg.grad(lambda x: mg.straight_through(mg.round(x), x))(mg.tensor(0.7))
    tensor(1., dtype=float32)
    """

def sub(a: TensorLike, b: TensorLike) -> Tensor:
    """Difference.

    sub(a, b) = a - b, elementwise and broadcasting.

    Examples
    --------
    >>> mg.sub([5, 7], [1, 2])
    tensor([4, 5], dtype=int64)
    """

def sum(x: TensorLike, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Sum. Of integers and booleans: int64.

    Examples
    --------
    >>> mg.sum([[1, 2], [3, 4]], axis=0)
    tensor([4, 6], dtype=int64)
    """

def svd(x: TensorLike) -> list[Tensor]:
    """[u, s, vh] with x = (u * s) @ vh: singular values, in descending order, and as many vectors on either side.

    Where two singular values are equal, what depends on the choice of their vectors has a gradient of NaN, as has what
    depends on the vectors of a singular value of 0 if x is not square; the values' own gradient is defined there.

    Examples
    --------
    >>> [x.shape for x in mg.svd(mg.ones((4, 2)))]
    [(4, 2), (2,), (2, 2)]
    """

def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged.

    Examples
    --------
    >>> mg.swapaxes(mg.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """

def take(x: TensorLike, indices: TensorLike, axis: Axes | None = None) -> Tensor:
    """The slices of x at these indices along an axis (None: the elements of the flattened x).

    The axis makes room for those of `indices`, which are integers; negative ones count from the end.

    Examples
    --------
    >>> mg.take([10, 20, 30], [2, 0])
    tensor([30, 10], dtype=int64)
    """

def take_along_axis(x: TensorLike, indices: TensorLike, axis: Axes | None = -1) -> Tensor:
    """For each place of `indices`, the element of x there, but with that index along the axis: x[i][indices[i][j]].

    Axes other than this one broadcast. None: from the flattened x, by indices of one dimension.

    Examples
    --------
    >>> mg.take_along_axis([[3, 1], [2, 4]], [[1], [0]], axis=1).tolist()
    [[1], [2]]
    """

def tan(x: TensorLike) -> Tensor:
    """Tangent, of radians.

    tan(x) = tan(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.tan([0.0, 1.0]).round(decimals=4)
    tensor([0.    , 1.5574], dtype=float32)
    """

def tanh(x: TensorLike) -> Tensor:
    """Hyperbolic tangent.

    tanh(x) = tanh(x), elementwise and broadcasting.

    Examples
    --------
    >>> mg.tanh([-1.0, 0.0, 1.0]).round(decimals=4)
    tensor([-0.7616,  0.    ,  0.7616], dtype=float32)
    """

def tile(x: TensorLike, reps: Axes) -> Tensor:
    """x laid out `reps` times along each axis (np.tile; in PyTorch, torch.tile and Tensor.repeat).

    Examples
    --------
    >>> mg.tile([1, 2], 2)
    tensor([1, 2, 1, 2], dtype=int64)
    """

def topk(x: TensorLike, k: int, axis: Axes | None = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    """(values, indices) of the k largest elements along an axis, the largest first; or of the k smallest.

    Of equal elements the first ones are taken. NaN counts as the largest.

    Examples
    --------
    >>> mg.topk([30.0, 10.0, 20.0], 2)[1]
    tensor([0, 2], dtype=int64)
    """

def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Sum of a diagonal of two axes (the first two, as in NumPy), over the others.

    Examples
    --------
    >>> mg.trace([[1, 2], [3, 4]])
    tensor(5, dtype=int64)
    """

def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """Axes in another order; reversed by default. The method takes axes too: t.transpose(1, 0, 2).

    Examples
    --------
    >>> mg.transpose(mg.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """

def tril(x: TensorLike, k: int = 0) -> Tensor:
    """The lower triangle of each matrix: what lies above the k-th diagonal is 0.

    Examples
    --------
    >>> mg.tril([[1, 2], [3, 4]])
    tensor([[1, 0],
            [3, 4]], dtype=int64)
    """

def triu(x: TensorLike, k: int = 0) -> Tensor:
    """The upper triangle of each matrix: what lies below the k-th diagonal is 0.

    Examples
    --------
    >>> mg.triu([[1, 2], [3, 4]])
    tensor([[1, 2],
            [0, 4]], dtype=int64)
    """

def unstack(x: TensorLike, axis: Axes | None = 0) -> list[Tensor]:
    """A list of the slices along an axis; along the first it is what iteration over a tensor gives.

    Examples
    --------
    >>> [x.tolist() for x in mg.unstack([[1, 2], [3, 4]])]
    [[1, 2], [3, 4]]
    """

def var(x: TensorLike, axis: Axes | None = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Variance: squared deviations from the mean, summed and divided by n - ddof.

    The default is NumPy's, ddof=0. PyTorch's default, the unbiased estimate, is ddof=1.
    """

def vecmat(v: TensorLike, a: TensorLike) -> Tensor:
    """Vectors (..., n) times matrices (..., n, m): (..., m), with leading axes that broadcast.

    Examples
    --------
    >>> mg.vecmat([1, 1], [[1, 2], [3, 4]])
    tensor([4, 6], dtype=int64)
    """

def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor:
    """a where the condition (bool) holds, b elsewhere.

    where(condition, a, b) = where(condition, a, b), elementwise and broadcasting.

    Examples
    --------
    >>> mg.where([True, False], 1.0, [10.0, 20.0])
    tensor([ 1., 20.], dtype=float32)
    """
