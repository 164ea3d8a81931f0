# Written by `python tests/stubs.py` from the package itself; do not edit.

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minigrad.tensor import Tensor

TensorLike: TypeAlias = Tensor | ArrayLike
Axes: TypeAlias = int | Sequence[int]

class Methods:
    @property
    def T(self) -> Tensor:
        """Axes in another order; reversed by default. The method takes axes too: t.transpose(1, 0, 2).

        Examples
        --------
        >>> mg.transpose(mg.zeros((2, 3, 4)), (2, 0, 1)).shape
        (4, 2, 3)
        """

    def __abs__(self) -> Tensor:
        """Absolute value. Subgradient at 0: 0.

        abs(x) = abs(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.abs([-3, 0, 2])
        tensor([3, 0, 2], dtype=int64)
        """

    def __add__(self, other: Any) -> Tensor:
        ...

    def __and__(self, other: Any) -> Tensor:
        ...

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        ...

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        ...

    def __floordiv__(self, other: Any) -> Tensor:
        ...

    def __ge__(self, other: Any) -> Tensor:
        ...

    def __getitem__(self, index: Any) -> Tensor:
        ...

    def __gt__(self, other: Any) -> Tensor:
        ...

    def __iadd__(self, other: Any) -> Tensor:
        ...

    def __iand__(self, other: Any) -> Tensor:
        ...

    def __ifloordiv__(self, other: Any) -> Tensor:
        ...

    def __ilshift__(self, other: Any) -> Tensor:
        ...

    def __imod__(self, other: Any) -> Tensor:
        ...

    def __imul__(self, other: Any) -> Tensor:
        ...

    def __invert__(self) -> Tensor:
        ...

    def __ior__(self, other: Any) -> Tensor:
        ...

    def __ipow__(self, other: Any) -> Tensor:
        ...

    def __irshift__(self, other: Any) -> Tensor:
        ...

    def __isub__(self, other: Any) -> Tensor:
        ...

    def __iter__(self) -> Iterator[Tensor]:
        ...

    def __itruediv__(self, other: Any) -> Tensor:
        ...

    def __ixor__(self, other: Any) -> Tensor:
        ...

    def __le__(self, other: Any) -> Tensor:
        ...

    def __lshift__(self, other: Any) -> Tensor:
        ...

    def __lt__(self, other: Any) -> Tensor:
        ...

    def __matmul__(self, other: Any) -> Tensor:
        ...

    def __mod__(self, other: Any) -> Tensor:
        ...

    def __mul__(self, other: Any) -> Tensor:
        ...

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        ...

    def __neg__(self) -> Tensor:
        """Negative.

        neg(x) = -x, elementwise and broadcasting.

        Examples
        --------
        >>> mg.neg([1.0, -2.0])
        tensor([-1.,  2.], dtype=float32)
        """

    def __or__(self, other: Any) -> Tensor:
        ...

    def __pos__(self) -> Tensor:
        """The same values in memory of their own.

        Examples
        --------
        >>> mg.copy([1, 2])
        tensor([1, 2], dtype=int64)
        """

    def __pow__(self, other: Any) -> Tensor:
        ...

    def __radd__(self, other: Any) -> Tensor:
        ...

    def __rand__(self, other: Any) -> Tensor:
        ...

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        ...

    def __rfloordiv__(self, other: Any) -> Tensor:
        ...

    def __rlshift__(self, other: Any) -> Tensor:
        ...

    def __rmatmul__(self, other: Any) -> Tensor:
        ...

    def __rmod__(self, other: Any) -> Tensor:
        ...

    def __rmul__(self, other: Any) -> Tensor:
        ...

    def __ror__(self, other: Any) -> Tensor:
        ...

    def __rpow__(self, other: Any) -> Tensor:
        ...

    def __rrshift__(self, other: Any) -> Tensor:
        ...

    def __rshift__(self, other: Any) -> Tensor:
        ...

    def __rsub__(self, other: Any) -> Tensor:
        ...

    def __rtruediv__(self, other: Any) -> Tensor:
        ...

    def __rxor__(self, other: Any) -> Tensor:
        ...

    def __setitem__(self, index: Any, value: Any) -> None:
        ...

    def __sub__(self, other: Any) -> Tensor:
        ...

    def __truediv__(self, other: Any) -> Tensor:
        ...

    def __xor__(self, other: Any) -> Tensor:
        ...

    def abs(self) -> Tensor:
        """Absolute value. Subgradient at 0: 0.

        abs(x) = abs(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.abs([-3, 0, 2])
        tensor([3, 0, 2], dtype=int64)
        """

    def add(self, b: TensorLike) -> Tensor:
        """Sum.

        add(a, b) = a + b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.add([1.0, 2.0], 3.0)
        tensor([4., 5.], dtype=float32)
        """

    def all(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Whether every element is true, that is, not 0. No gradient.

        Examples
        --------
        >>> mg.all([[True, True], [True, False]], axis=1)
        tensor([ True, False], dtype=bool)
        """

    def any(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Whether an element is true, that is, not 0. No gradient.

        Examples
        --------
        >>> mg.any([[False, True], [False, False]], axis=1)
        tensor([ True, False], dtype=bool)
        """

    def arccos(self) -> Tensor:
        """Arc cosine, in radians.

        arccos(x) = arccos(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.arccos([1.0, -1.0]).round(decimals=4)
        tensor([0.    , 3.1416], dtype=float32)
        """

    def arcsin(self) -> Tensor:
        """Arc sine, in radians.

        arcsin(x) = arcsin(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.arcsin([0.0, 1.0]).round(decimals=4)
        tensor([0.    , 1.5708], dtype=float32)
        """

    def arcsinh(self) -> Tensor:
        """Inverse hyperbolic sine.

        arcsinh(x) = where(x == 0, x, sign(x) * where(abs(x) < 1e8, log1p(abs(x) + x * x / (1 + sqrt(1 + x * x))), log(abs(x)) + 0.6931471805599453)), elementwise and broadcasting.

        Examples
        --------
        >>> mg.arcsinh([0.0, -2.0]).round(decimals=4)
        tensor([ 0.    , -1.4436], dtype=float32)
        """

    def arctan(self) -> Tensor:
        """Arc tangent, in radians.

        arctan(x) = arctan(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.arctan([0.0, np.inf]).round(decimals=4)
        tensor([0.    , 1.5708], dtype=float32)
        """

    def arctan2(self, b: TensorLike) -> Tensor:
        """Angle of the point (b, a), in radians. Subgradients at (0, 0): 0.

        arctan2(a, b) = arctan2(a, b), elementwise and broadcasting.

        Examples
        --------
        >>> mg.arctan2([1.0, -1.0], [0.0, 0.0]).round(decimals=4)
        tensor([ 1.5708, -1.5708], dtype=float32)
        """

    def argmax(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Place of the largest element (the first of several) along an axis, or in the flattened x. No gradient.

        Examples
        --------
        >>> mg.argmax([[1, 5], [4, 2]], axis=1)
        tensor([1, 0], dtype=int64)
        """

    def argmin(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Place of the smallest element (the first of several) along an axis, or in the flattened x. No gradient."""

    def argsort(self, axis: Axes | None = -1, descending: bool = False) -> Tensor:
        """Indices that sort x along an axis, in ascending or descending order; equal elements keep theirs. No gradient.

        None: of the flattened x. NaN comes last, in descending order first.

        Examples
        --------
        >>> mg.argsort([30, 10, 20])
        tensor([1, 2, 0], dtype=int64)
        """

    def astype(self, dtype: DTypeLike) -> Tensor:
        """The values in another dtype, rounded; no copy if it is x's own. The gradient comes back in x's dtype.

        A cast to integers or bool is off the tape.

        Examples
        --------
        >>> mg.astype([0.5, 2.5], "int64")
        tensor([0, 2], dtype=int64)
        """

    def broadcast_to(self, shape: Axes) -> Tensor:
        """x repeated, without a copy, along new leading axes and along axes of size 1.

        Examples
        --------
        >>> mg.broadcast_to([1, 2], (2, 2))
        tensor([[1, 2],
                [1, 2]], dtype=int64)
        """

    def cbrt(self) -> Tensor:
        """Cube root, of negative numbers too. Derivative at 0: inf.

        cbrt(x) = where((x == 0) | (x - x != 0), x, sign(x) * pow(abs(x), 0.3333333333333333) - (sign(x) * pow(abs(x), 0.3333333333333333) - x / ((sign(x) * pow(abs(x), 0.3333333333333333)) * (sign(x) * pow(abs(x), 0.3333333333333333)))) / 3), elementwise and broadcasting.

        Examples
        --------
        >>> mg.cbrt([-8.0, 27.0]).round(decimals=4)
        tensor([-2.,  3.], dtype=float32)
        """

    def ceil(self) -> Tensor:
        """Smallest integer above.

        ceil(x) = ceil(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.ceil([1.2, -1.7])
        tensor([ 2., -1.], dtype=float32)
        """

    def cholesky(self) -> Tensor:
        """Lower triangular y with y @ y.mT = x, for symmetric positive definite x. Its lower triangle alone is read.

        So is the gradient: that of the lower triangle, 0 above (Murray 2016, arXiv:1602.07527, eq. 8). PyTorch's spreads it
        over both triangles; that of what x was made from, such as a in a @ a.mT, is the same.

        Raises LinAlgError, a ValueError, for an x that is not positive definite.

        Examples
        --------
        >>> mg.cholesky([[4.0, 0.0], [0.0, 9.0]]).tolist()
        [[2.0, 0.0], [0.0, 3.0]]
        """

    def chunk(self, chunks: int, axis: Axes | None = 0) -> list[Tensor]:
        """A list of pieces of equal size along an axis, the last one smaller where it must be, `chunks` of them at most.

        As torch.chunk: the size is n / chunks rounded up, so that there may be fewer.

        Examples
        --------
        >>> [x.tolist() for x in mg.chunk([1, 2, 3, 4, 5], 2)]
        [[1, 2, 3], [4, 5]]
        """

    def clip(self, low: TensorLike | None = None, high: TensorLike | None = None, *, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
        """x limited to [low, high], either of which may be None: see the op of this name. min, max: NumPy's and PyTorch's
        names of the bounds.

        Examples
        --------
        >>> mg.clip([-2.0, 0.5, 9.0], 0.0, 1.0)
        tensor([0. , 0.5, 1. ], dtype=float32)
        """

    def copy(self) -> Tensor:
        """The same values in memory of their own.

        Examples
        --------
        >>> mg.copy([1, 2])
        tensor([1, 2], dtype=int64)
        """

    def copy_(self, values: TensorLike) -> Tensor:
        """Overwrite the values, in place; they are broadcast to this tensor's shape and cast to its dtype."""

    def cos(self) -> Tensor:
        """Cosine, of radians.

        cos(x) = cos(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.cos([0.0, np.pi]).round(decimals=4)
        tensor([ 1., -1.], dtype=float32)
        """

    def cosh(self) -> Tensor:
        """Hyperbolic cosine.

        cosh(x) = cosh(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.cosh([0.0, 1.0]).round(decimals=4)
        tensor([1.    , 1.5431], dtype=float32)
        """

    def cummax(self, axis: Axes | None = -1) -> tuple[Tensor, Tensor]:
        """(values, indices) of the largest element so far along an axis, as torch.cummax. Of equal ones, and of NaN, the
        last counts, and has the gradient.

        Examples
        --------
        >>> mg.cummax([1, 3, 2, 4], 0)[0]
        tensor([1, 3, 3, 4], dtype=int64)
        """

    def cummin(self, axis: Axes | None = -1) -> tuple[Tensor, Tensor]:
        """(values, indices) of the smallest element so far along an axis; all else as `cummax`.

        Examples
        --------
        >>> mg.cummin([3, 1, 2, 0], 0)[0]
        tensor([3, 1, 1, 0], dtype=int64)
        """

    def cumprod(self, axis: Axes | None = None) -> Tensor:
        """Products of the elements so far along an axis; None: of the flattened x. Of integers and booleans: int64."""

    def cumsum(self, axis: Axes | None = None) -> Tensor:
        """Sums of the elements so far along an axis; None: of the flattened x. Of integers and booleans: int64.

        Examples
        --------
        >>> mg.cumsum([1, 2, 3])
        tensor([1, 3, 6], dtype=int64)
        """

    def det(self) -> Tensor:
        """Determinants of square matrices. Singular ones have a gradient too; a second derivative wants an inverse.

        Examples
        --------
        >>> mg.det([[2.0, 1.0], [0.0, 3.0]]).round(decimals=4)
        tensor(6., dtype=float32)
        """

    def detach(self) -> Tensor:
        """The same values, off the tape. The memory is shared: a change in place of one is seen in the other."""

    def diag(self, k: int = 0) -> Tensor:
        """The k-th diagonal of a matrix, as a vector; of a vector, the matrix that has it as its k-th diagonal.

        Examples
        --------
        >>> mg.diag([1, 2]).tolist()
        [[1, 0], [0, 2]]
        """

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Elements i, i + offset of two axes, as the last axis. A read-only view.

        Examples
        --------
        >>> mg.diagonal([[1, 2], [3, 4]])
        tensor([1, 4], dtype=int64)
        """

    def div(self, b: TensorLike) -> Tensor:
        """Quotient; integers become float32.

        div(a, b) = a / b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.div([1, 3], 2)
        tensor([0.5, 1.5], dtype=float32)
        """

    def dot(self, b: TensorLike) -> Tensor:
        """Product over the last axis of a and the second to last of b (its only one, of a vector), as NumPy's dot.

        Of vectors their inner product, of matrices the matrix product; where both have more axes, every row of a meets
        every column of b: shape (*a.shape[:-1], *b.shape[:-2], b.shape[-1]). A 0-d operand multiplies.

        Raises ValueError where the two axes differ.

        Examples
        --------
        >>> mg.dot([1, 2, 3], [4, 5, 6])
        tensor(32, dtype=int64)
        """

    def elu(self) -> Tensor:
        """x above 0, exp(x) - 1 below (Clevert et al. 2015, arXiv:1511.07289).

        elu(x) = where(x > 0, x, expm1(x)), elementwise and broadcasting.

        Examples
        --------
        >>> mg.elu([-1.0, 2.0]).round(decimals=4)
        tensor([-0.6321,  2.    ], dtype=float32)
        """

    def equal(self, b: TensorLike) -> Tensor:
        """Where the two are equal. No gradient.

        equal(a, b) = a == b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.equal([1, 2], [1, 3])
        tensor([ True, False], dtype=bool)
        """

    def erf(self) -> Tensor:
        """Error function.

        erf(x) = erf(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.erf([0.0, 0.5]).round(decimals=4)
        tensor([0.    , 0.5205], dtype=float32)
        """

    def exp(self) -> Tensor:
        """Exponential.

        exp(x) = exp(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.exp([0.0, 1.0]).round(decimals=4)
        tensor([1.    , 2.7183], dtype=float32)
        """

    def expand_dims(self, axis: Axes | None) -> Tensor:
        """New axes of size 1; `axis`, an integer or several, says where they are in the result.

        Examples
        --------
        >>> mg.expand_dims([1, 2], 1).shape
        (2, 1)
        """

    def expm1(self) -> Tensor:
        """exp(x) - 1, exact near 0.

        expm1(x) = expm1(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.expm1([0.0, 1.0]).round(decimals=4)
        tensor([0.    , 1.7183], dtype=float32)
        """

    def flatten(self, order: str = 'C') -> Tensor:
        """The elements in one line, in memory of their own."""

    def flip(self, axis: Axes | None = None) -> Tensor:
        """The order of the elements reversed along an axis, several, or all (None).

        Examples
        --------
        >>> mg.flip([1, 2, 3])
        tensor([3, 2, 1], dtype=int64)
        """

    def floor(self) -> Tensor:
        """Largest integer below.

        floor(x) = floor(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.floor([1.7, -1.2])
        tensor([ 1., -2.], dtype=float32)
        """

    def floor_divide(self, b: TensorLike) -> Tensor:
        """floor(a / b), also of integers. Its derivatives are 0 everywhere.

        floor_divide(a, b) = a // b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.floor_divide([7, -7], 3)
        tensor([ 2, -3], dtype=int64)
        """

    def gather(self, axis: Axes | None, index: Any) -> Tensor:
        """As torch.gather: of the shape of `index`, with result[i][j] = x[i][index[i][j]] for axis 1.

        index: integers, of as many dimensions as x, and no larger but along the axis.

        Examples
        --------
        >>> mg.gather([[1, 2], [3, 4]], 1, [[1], [0]]).tolist()
        [[2], [3]]
        """

    def gelu(self) -> Tensor:
        """x times the normal distribution function (Hendrycks & Gimpel 2016, arXiv:1606.08415).

        gelu(x) = 0.5 * x * (1 + erf(x * 0.7071067811865476)), elementwise and broadcasting.

        Examples
        --------
        >>> mg.gelu([-1.0, 0.0, 1.0]).round(decimals=4)
        tensor([-0.1587,  0.    ,  0.8413], dtype=float32)
        """

    def greater(self, b: TensorLike) -> Tensor:
        """Where a > b. No gradient.

        greater(a, b) = a > b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.greater([1, 2, 3], 2)
        tensor([False, False,  True], dtype=bool)
        """

    def greater_equal(self, b: TensorLike) -> Tensor:
        """Where a >= b. No gradient.

        greater_equal(a, b) = a >= b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.greater_equal([1, 2, 3], 2)
        tensor([False,  True,  True], dtype=bool)
        """

    def hard_sigmoid(self) -> Tensor:
        """x / 6 + 1/2 between 0 and 1. Subgradient at -3 and 3: 0.

        hard_sigmoid(x) = where(x <= -3, 0, where(x >= 3, 1, x / 6 + 0.5)), elementwise and broadcasting.

        Examples
        --------
        >>> mg.hard_sigmoid([-4.0, 0.0, 1.5, 4.0])
        tensor([0.  , 0.5 , 0.75, 1.  ], dtype=float32)
        """

    def hard_tanh(self) -> Tensor:
        """x between -1 and 1. Subgradient at -1 and 1: 0.

        hard_tanh(x) = where(x <= -1, -1, where(x >= 1, 1, x)), elementwise and broadcasting.

        Examples
        --------
        >>> mg.hard_tanh([-4.0, 0.5, 4.0])
        tensor([-1. ,  0.5,  1. ], dtype=float32)
        """

    def inv(self) -> Tensor:
        """Inverse of square matrices, in the last two axes. Raises LinAlgError, a ValueError, for a singular one.

        Examples
        --------
        >>> mg.inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
        [[0.5, 0.0], [0.0, 0.25]]
        """

    def isfinite(self) -> Tensor:
        """Where x is neither infinite nor NaN. No gradient.

        isfinite(x) = x - x == 0, elementwise and broadcasting.

        Examples
        --------
        >>> mg.isfinite([1.0, np.inf, np.nan])
        tensor([ True, False, False], dtype=bool)
        """

    def isnan(self) -> Tensor:
        """Where x is not a number. No gradient.

        isnan(x) = x != x, elementwise and broadcasting.

        Examples
        --------
        >>> mg.isnan([1.0, np.nan])
        tensor([False,  True], dtype=bool)
        """

    def less(self, b: TensorLike) -> Tensor:
        """Where a < b. No gradient.

        less(a, b) = a < b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.less([1, 2, 3], 2)
        tensor([ True, False, False], dtype=bool)
        """

    def less_equal(self, b: TensorLike) -> Tensor:
        """Where a <= b. No gradient.

        less_equal(a, b) = a <= b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.less_equal([1, 2, 3], 2)
        tensor([ True,  True, False], dtype=bool)
        """

    def log(self) -> Tensor:
        """Natural logarithm.

        log(x) = log(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.log([1.0, 10.0]).round(decimals=4)
        tensor([0.    , 2.3026], dtype=float32)
        """

    def log1p(self) -> Tensor:
        """log(1 + x), exact near 0.

        log1p(x) = log1p(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.log1p([0.0, 1.0]).round(decimals=4)
        tensor([0.    , 0.6931], dtype=float32)
        """

    def log_sigmoid(self) -> Tensor:
        """log(sigmoid(x)).

        log_sigmoid(x) = log_sigmoid(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.log_sigmoid([-1000.0, 0.0]).round(decimals=4)
        tensor([-1.000e+03, -6.931e-01], dtype=float32)
        """

    def log_softmax(self, axis: Axes | None = -1) -> Tensor:
        """log(softmax(x)), without the loss of small probabilities: x - log(sum(exp(x))).

        Examples
        --------
        >>> mg.log_softmax([0.0, 0.0]).round(decimals=4)
        tensor([-0.6931, -0.6931], dtype=float32)
        """

    def logaddexp(self, b: TensorLike) -> Tensor:
        """log(exp(a) + exp(b)), without overflow. Derivatives where both are the same infinity: NaN.

        logaddexp(a, b) = where(a >= b, a, where(a < b, b, a + b)) + log1p(exp(-abs(where((a == b) & (a - a != 0), 0, a - b)))), elementwise and broadcasting.

        Examples
        --------
        >>> mg.logaddexp([0.0, 2.0], [0.0, -1000.0]).round(decimals=4)
        tensor([0.6931, 2.    ], dtype=float32)
        """

    def logical_and(self, b: TensorLike) -> Tensor:
        """Where both are true. No gradient.

        logical_and(a, b) = (a != 0) & (b != 0), elementwise and broadcasting.

        Examples
        --------
        >>> mg.logical_and([True, True], [True, False])
        tensor([ True, False], dtype=bool)
        """

    def logical_not(self) -> Tensor:
        """Where x is false. No gradient.

        logical_not(x) = x == 0, elementwise and broadcasting.

        Examples
        --------
        >>> mg.logical_not([True, False])
        tensor([False,  True], dtype=bool)
        """

    def logical_or(self, b: TensorLike) -> Tensor:
        """Where one is true. No gradient.

        logical_or(a, b) = (a != 0) | (b != 0), elementwise and broadcasting.

        Examples
        --------
        >>> mg.logical_or([False, False], [True, False])
        tensor([ True, False], dtype=bool)
        """

    def logical_xor(self, b: TensorLike) -> Tensor:
        """Where exactly one is true. No gradient.

        logical_xor(a, b) = (a != 0) ^ (b != 0), elementwise and broadcasting.

        Examples
        --------
        >>> mg.logical_xor([True, True], [True, False])
        tensor([False,  True], dtype=bool)
        """

    def logsumexp(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """log(sum(exp(x))), by way of the largest x so that nothing overflows. Its gradient is the softmax.

        Where every x is -inf the result is -inf, and the gradient 0. Integers become float32.

        Examples
        --------
        >>> mg.logsumexp([1000.0, 1000.0]).round(decimals=4)
        tensor(1000.6932, dtype=float32)
        """

    def matmul(self, b: TensorLike) -> Tensor:
        """Matrix product over the last two axes, with batch axes that broadcast; a vector is a row on the left, a column
        on the right.

        Examples
        --------
        >>> mg.matmul([[1, 2], [3, 4]], [1, 1])
        tensor([3, 7], dtype=int64)
        """

    def matvec(self, v: TensorLike) -> Tensor:
        """Matrices (..., m, n) times vectors (..., n): (..., m), with leading axes that broadcast. W h of a paper, for
        every row h of a batch, is mg.matvec(W, h).

        Examples
        --------
        >>> mg.matvec([[1, 2], [3, 4]], [1, 1])
        tensor([3, 7], dtype=int64)
        """

    def max(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """The largest element, NaN if there is one. Elements that tie for it share the gradient alike.

        Examples
        --------
        >>> mg.max([[1, 5], [4, 2]], axis=1)
        tensor([5, 4], dtype=int64)
        """

    def maximum(self, b: TensorLike) -> Tensor:
        """The larger of two. At a tie each gets half of the gradient.

        maximum(a, b) = where((a >= b) | (a != a), a, b), elementwise and broadcasting.

        Examples
        --------
        >>> mg.maximum([1, 5, 3], 2)
        tensor([2, 5, 3], dtype=int64)
        """

    def mean(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Arithmetic mean; NaN of no elements. Integers become float32.

        Examples
        --------
        >>> mg.mean([[1.0, 2.0], [3.0, 4.0]], axis=1)
        tensor([1.5, 3.5], dtype=float32)
        """

    def min(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """The smallest element, NaN if there is one. Elements that tie for it share the gradient alike."""

    def minimum(self, b: TensorLike) -> Tensor:
        """The smaller of two. At a tie each gets half of the gradient.

        minimum(a, b) = where((a <= b) | (a != a), a, b), elementwise and broadcasting.

        Examples
        --------
        >>> mg.minimum([1.0, np.nan], 2.0)
        tensor([ 1., nan], dtype=float32)
        """

    def moveaxis(self, source: Axes, destination: Axes) -> Tensor:
        """Axes `source` moved to the places `destination` (integers or tuples); the others keep their order.

        Examples
        --------
        >>> mg.moveaxis(mg.zeros((2, 3, 4)), 0, -1).shape
        (3, 4, 2)
        """

    def mul(self, b: TensorLike) -> Tensor:
        """Product.

        mul(a, b) = a * b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.mul([1.0, 2.0], [3.0, 4.0])
        tensor([3., 8.], dtype=float32)
        """

    def neg(self) -> Tensor:
        """Negative.

        neg(x) = -x, elementwise and broadcasting.

        Examples
        --------
        >>> mg.neg([1.0, -2.0])
        tensor([-1.,  2.], dtype=float32)
        """

    def norm(self, ord: float | str | None = 2, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Vector norm, (sum of |x| to the power ord) to the power 1 / ord, over the given axes (all by default).

        ord: a number (the Frobenius norm is 2 over both axes); inf is the largest |x|, -inf the smallest, 0 the number of
        elements that are not 0. Where the norm is 0 so is its gradient; elements equal to 0 get none for ord below 2; ties
        of the largest |x| share alike (inf).

        Examples
        --------
        >>> mg.norm([3.0, 4.0])
        tensor(5., dtype=float32)
        """

    def not_equal(self, b: TensorLike) -> Tensor:
        """Where the two differ. No gradient.

        not_equal(a, b) = a != b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.not_equal([1, 2], [1, 3])
        tensor([False,  True], dtype=bool)
        """

    def outer(self, b: TensorLike) -> Tensor:
        """Every element of a times every element of b: shape (a.size, b.size).

        Examples
        --------
        >>> mg.outer([1, 2], [3, 4]).tolist()
        [[3, 4], [6, 8]]
        """

    def pad(self, pad_width: int | Sequence[Any], mode: str = 'constant', constant_values: float = 0) -> Tensor:
        """x with a margin: `pad_width` elements before and after each axis, as np.pad.

        pad_width: one number, a pair (before, after), or a pair for each axis, the first axis first (PyTorch's order is the
        other way round). mode: "constant" fills in constant_values, given in these forms too; "edge", "reflect",
        "symmetric", "wrap" continue x.

        Examples
        --------
        >>> mg.pad([1, 2], (1, 2))
        tensor([0, 1, 2, 0, 0], dtype=int64)
        """

    def pow(self, b: TensorLike) -> Tensor:
        """Power, a to the b (IEEE 754 pow). At a = b = 0 both subgradients are 0.

        pow(a, b) = pow(a, b), elementwise and broadcasting.

        Examples
        --------
        >>> mg.pow([2.0, 9.0], [3.0, 0.5])
        tensor([8., 3.], dtype=float32)
        """

    def prod(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Product. Of integers and booleans: int64. Derivatives are exact at zeros, too."""

    def ravel(self, order: str = 'C') -> Tensor:
        """The elements in one line, as np.ravel."""

    def reciprocal(self) -> Tensor:
        """1 / x.

        reciprocal(x) = 1 / x, elementwise and broadcasting.

        Examples
        --------
        >>> mg.reciprocal([2.0, -4.0])
        tensor([ 0.5 , -0.25], dtype=float32)
        """

    def relu(self) -> Tensor:
        """max(x, 0). Subgradient at 0: 0.

        relu(x) = where(x < 0, 0, x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.relu([-2.0, 0.0, 3.0])
        tensor([0., 0., 3.], dtype=float32)
        """

    def remainder(self, b: TensorLike) -> Tensor:
        """a - b floor(a / b), with the sign of b, also of integers. Derivatives where a / b is whole: 1 and -a / b.

        remainder(a, b) = a % b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.remainder([7, -7], 3)
        tensor([1, 2], dtype=int64)
        """

    def repeat(self, repeats: Axes | TensorLike, axis: Axes | None = None) -> Tensor:
        """Each element in turn `repeats` times, an integer or one for each, along an axis; None: of the flattened x.

        As np.repeat and torch.repeat_interleave.

        Examples
        --------
        >>> mg.repeat([1, 2], 2)
        tensor([1, 1, 2, 2], dtype=int64)
        """

    def reshape(self, *shape: Any) -> Tensor:
        ...

    def roll(self, shift: Axes, axis: Axes | None = None) -> Tensor:
        """Elements moved on by `shift` places along an axis, those that fall off the end put in front.

        Several shifts go with several axes. None: along the flattened x, which then gets its shape back.

        Examples
        --------
        >>> mg.roll([1, 2, 3, 4], 1)
        tensor([4, 1, 2, 3], dtype=int64)
        """

    def round(self, decimals: int = 0) -> Tensor:
        """Rounded to this number of decimals, halves to even."""

    def rsqrt(self) -> Tensor:
        """1 / sqrt(x).

        rsqrt(x) = rsqrt(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.rsqrt([4.0, 0.25])
        tensor([0.5, 2. ], dtype=float32)
        """

    def scatter_add(self, axis: Axes | None, index: Any, src: TensorLike) -> Tensor:
        """As torch.scatter_add: a copy of x with src[i][j] added to element [i][index[i][j]], for axis 1.

        index: integers, of as many dimensions as x; no larger than src, and but for the axis no larger than x.

        Examples
        --------
        >>> mg.scatter_add(mg.zeros(3), 0, [0, 2, 2], mg.ones(3))
        tensor([1., 0., 2.], dtype=float32)
        """

    def sigmoid(self) -> Tensor:
        """Logistic sigmoid, 1 / (1 + exp(-x)).

        sigmoid(x) = sigmoid(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.sigmoid([-np.inf, 0.0, 2.0]).round(decimals=4)
        tensor([0.    , 0.5   , 0.8808], dtype=float32)
        """

    def sign(self) -> Tensor:
        """-1, 0 or 1. Its derivative is 0 everywhere.

        sign(x) = sign(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.sign([-2.5, 0.0, 4.0])
        tensor([-1.,  0.,  1.], dtype=float32)
        """

    def silu(self) -> Tensor:
        """x sigmoid(x), also called swish (Hendrycks & Gimpel 2016, arXiv:1606.08415).

        silu(x) = x * sigmoid(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.silu([-1.0, 0.0, 1.0]).round(decimals=4)
        tensor([-0.2689,  0.    ,  0.7311], dtype=float32)
        """

    def sin(self) -> Tensor:
        """Sine, of radians.

        sin(x) = sin(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.sin([0.0, np.pi / 2]).round(decimals=4)
        tensor([0., 1.], dtype=float32)
        """

    def sinh(self) -> Tensor:
        """Hyperbolic sine.

        sinh(x) = sinh(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.sinh([0.0, 1.0]).round(decimals=4)
        tensor([0.    , 1.1752], dtype=float32)
        """

    def slogdet(self) -> list[Tensor]:
        """[sign, log of the absolute value] of the determinants: what det is of use for without overflow.

        Of a singular matrix they are 0 and -inf, and backward raises LinAlgError: there is no gradient.

        Examples
        --------
        >>> [x.item() for x in mg.slogdet([[1.0, 0.0], [0.0, -1.0]])]
        [-1.0, 0.0]
        """

    def softmax(self, axis: Axes | None = -1) -> Tensor:
        """exp(x) / sum(exp(x)) over an axis (or several), from the differences to the maximum, so that nothing overflows.

        -inf among the x gives 0; nothing but -inf gives NaN, as in PyTorch.

        Examples
        --------
        >>> mg.softmax([0.0, np.log(3.0)]).round(decimals=4)
        tensor([0.25, 0.75], dtype=float64)
        """

    def softplus(self) -> Tensor:
        """log(1 + exp(x)).

        softplus(x) = softplus(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.softplus([-1000.0, 0.0, 1000.0]).round(decimals=4)
        tensor([0.000e+00, 6.931e-01, 1.000e+03], dtype=float32)
        """

    def solve(self, b: TensorLike) -> Tensor:
        """The x with a @ x = b. a: (..., n, n). b: (n,) or (..., n, m); the batch axes broadcast.

        Raises LinAlgError, a ValueError, for a singular matrix.

        Examples
        --------
        >>> mg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
        tensor([1. , 0.5], dtype=float32)
        """

    def sort(self, axis: Axes | None = -1, descending: bool = False) -> Tensor:
        """x sorted along an axis, in ascending or descending order; None: flattened first. Values only: their indices are
        `argsort`.

        Examples
        --------
        >>> mg.sort([30, 10, 20])
        tensor([10, 20, 30], dtype=int64)
        """

    def split(self, sections: Axes, axis: Axes | None = 0) -> list[Tensor]:
        """A list of pieces along an axis. sections: the number of equal pieces, or (as in PyTorch) the size of each.

        np.split of a tensor, which takes the places of the cuts, works as in NumPy.

        Examples
        --------
        >>> [x.tolist() for x in mg.split([1, 2, 3, 4], 2)]
        [[1, 2], [3, 4]]
        """

    def sqrt(self) -> Tensor:
        """Square root. Derivative at 0: inf.

        sqrt(x) = sqrt(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.sqrt([4.0, 2.0]).round(decimals=4)
        tensor([2.    , 1.4142], dtype=float32)
        """

    def square(self) -> Tensor:
        """x².

        square(x) = x * x, elementwise and broadcasting.

        Examples
        --------
        >>> mg.square([-3, 4])
        tensor([ 9, 16], dtype=int64)
        """

    def squeeze(self, axis: Axes | None = None) -> Tensor:
        """x without these axes, which must have size 1; without all such axes by default.

        Examples
        --------
        >>> mg.squeeze(mg.zeros((1, 3, 1))).shape
        (3,)
        """

    def std(self, axis: Axes | None = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """Standard deviation, the root of `var`: ddof=0 by default, as in NumPy; ddof=1 is PyTorch's default.

        Of equal values it is 0, and so is its gradient.
        """

    def sub(self, b: TensorLike) -> Tensor:
        """Difference.

        sub(a, b) = a - b, elementwise and broadcasting.

        Examples
        --------
        >>> mg.sub([5, 7], [1, 2])
        tensor([4, 5], dtype=int64)
        """

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Sum. Of integers and booleans: int64.

        Examples
        --------
        >>> mg.sum([[1, 2], [3, 4]], axis=0)
        tensor([4, 6], dtype=int64)
        """

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged.

        Examples
        --------
        >>> mg.swapaxes(mg.zeros((2, 3, 4)), 0, 2).shape
        (4, 3, 2)
        """

    def take(self, indices: TensorLike, axis: Axes | None = None) -> Tensor:
        """The slices of x at these indices along an axis (None: the elements of the flattened x).

        The axis makes room for those of `indices`, which are integers; negative ones count from the end.

        Examples
        --------
        >>> mg.take([10, 20, 30], [2, 0])
        tensor([30, 10], dtype=int64)
        """

    def take_along_axis(self, indices: TensorLike, axis: Axes | None = -1) -> Tensor:
        """For each place of `indices`, the element of x there, but with that index along the axis: x[i][indices[i][j]].

        Axes other than this one broadcast. None: from the flattened x, by indices of one dimension.

        Examples
        --------
        >>> mg.take_along_axis([[3, 1], [2, 4]], [[1], [0]], axis=1).tolist()
        [[1], [2]]
        """

    def tan(self) -> Tensor:
        """Tangent, of radians.

        tan(x) = tan(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.tan([0.0, 1.0]).round(decimals=4)
        tensor([0.    , 1.5574], dtype=float32)
        """

    def tanh(self) -> Tensor:
        """Hyperbolic tangent.

        tanh(x) = tanh(x), elementwise and broadcasting.

        Examples
        --------
        >>> mg.tanh([-1.0, 0.0, 1.0]).round(decimals=4)
        tensor([-0.7616,  0.    ,  0.7616], dtype=float32)
        """

    def tile(self, reps: Axes) -> Tensor:
        """x laid out `reps` times along each axis (np.tile; in PyTorch, torch.tile and Tensor.repeat).

        Examples
        --------
        >>> mg.tile([1, 2], 2)
        tensor([1, 2, 1, 2], dtype=int64)
        """

    def topk(self, k: int, axis: Axes | None = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
        """(values, indices) of the k largest elements along an axis, the largest first; or of the k smallest.

        Of equal elements the first ones are taken. NaN counts as the largest.

        Examples
        --------
        >>> mg.topk([30.0, 10.0, 20.0], 2)[1]
        tensor([0, 2], dtype=int64)
        """

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Sum of a diagonal of two axes (the first two, as in NumPy), over the others.

        Examples
        --------
        >>> mg.trace([[1, 2], [3, 4]])
        tensor(5, dtype=int64)
        """

    def transpose(self, *axes: Any) -> Tensor:
        ...

    def tril(self, k: int = 0) -> Tensor:
        """The lower triangle of each matrix: what lies above the k-th diagonal is 0.

        Examples
        --------
        >>> mg.tril([[1, 2], [3, 4]])
        tensor([[1, 0],
                [3, 4]], dtype=int64)
        """

    def triu(self, k: int = 0) -> Tensor:
        """The upper triangle of each matrix: what lies below the k-th diagonal is 0.

        Examples
        --------
        >>> mg.triu([[1, 2], [3, 4]])
        tensor([[1, 2],
                [0, 4]], dtype=int64)
        """

    def unstack(self, axis: Axes | None = 0) -> list[Tensor]:
        """A list of the slices along an axis; along the first it is what iteration over a tensor gives.

        Examples
        --------
        >>> [x.tolist() for x in mg.unstack([[1, 2], [3, 4]])]
        [[1, 2], [3, 4]]
        """

    def var(self, axis: Axes | None = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """Variance: squared deviations from the mean, summed and divided by n - ddof.

        The default is NumPy's, ddof=0. PyTorch's default, the unbiased estimate, is ddof=1.
        """

    def vecmat(self, a: TensorLike) -> Tensor:
        """Vectors (..., n) times matrices (..., n, m): (..., m), with leading axes that broadcast.

        Examples
        --------
        >>> mg.vecmat([1, 1], [[1, 2], [3, 4]])
        tensor([4, 6], dtype=int64)
        """

    def zero_(self) -> Tensor:
        """Set every value to 0, in place."""
