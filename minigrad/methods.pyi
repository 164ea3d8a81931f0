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
        """Axes in another order; reversed by default. The method takes axes too: t.transpose(1, 0, 2)."""

    def __abs__(self) -> Tensor:
        """Absolute value. Subgradient at 0: 0.

        abs(x) = abs(x), elementwise and broadcasting.
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
        """

    def __or__(self, other: Any) -> Tensor:
        ...

    def __pos__(self) -> Tensor:
        """The same values in memory of their own."""

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
        """

    def add(self, b: TensorLike) -> Tensor:
        """Sum.

        add(a, b) = a + b, elementwise and broadcasting.
        """

    def all(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Whether every element is true, that is, not 0. No gradient."""

    def any(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Whether an element is true, that is, not 0. No gradient."""

    def arccos(self) -> Tensor:
        """Arc cosine, in radians.

        arccos(x) = arccos(x), elementwise and broadcasting.
        """

    def arcsin(self) -> Tensor:
        """Arc sine, in radians.

        arcsin(x) = arcsin(x), elementwise and broadcasting.
        """

    def arcsinh(self) -> Tensor:
        """Inverse hyperbolic sine.

        arcsinh(x) = where(x == 0, x, sign(x) * where(abs(x) < 1e8, log1p(abs(x) + x * x / (1 + sqrt(1 + x * x))), log(abs(x)) + 0.6931471805599453)), elementwise and broadcasting.
        """

    def arctan(self) -> Tensor:
        """Arc tangent, in radians.

        arctan(x) = arctan(x), elementwise and broadcasting.
        """

    def arctan2(self, b: TensorLike) -> Tensor:
        """Angle of the point (b, a), in radians. Subgradients at (0, 0): 0.

        arctan2(a, b) = arctan2(a, b), elementwise and broadcasting.
        """

    def argmax(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Place of the largest element (the first of several) along an axis, or in the flattened x. No gradient."""

    def argmin(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Place of the smallest element (the first of several) along an axis, or in the flattened x. No gradient."""

    def argsort(self, axis: Axes | None = -1, descending: bool = False) -> Tensor:
        """Indices that sort x along an axis, in ascending or descending order; equal elements keep theirs. No gradient.

        None: of the flattened x. NaN comes last, in descending order first.
        """

    def astype(self, dtype: DTypeLike) -> Tensor:
        """The values in another dtype, rounded; no copy if it is x's own. The gradient comes back in x's dtype.

        A cast to integers or bool is off the tape.
        """

    def broadcast_to(self, shape: Axes) -> Tensor:
        """x repeated, without a copy, along new leading axes and along axes of size 1."""

    def cbrt(self) -> Tensor:
        """Cube root, of negative numbers too. Derivative at 0: inf.

        cbrt(x) = where((x == 0) | (x - x != 0), x, sign(x) * pow(abs(x), 0.3333333333333333) - (sign(x) * pow(abs(x), 0.3333333333333333) - x / ((sign(x) * pow(abs(x), 0.3333333333333333)) * (sign(x) * pow(abs(x), 0.3333333333333333)))) / 3), elementwise and broadcasting.
        """

    def ceil(self) -> Tensor:
        """Smallest integer above.

        ceil(x) = ceil(x), elementwise and broadcasting.
        """

    def cholesky(self) -> Tensor:
        """Lower triangular y with y @ y.mT = x, for symmetric positive definite x. Its lower triangle alone is read.

        So is the gradient: that of the lower triangle, 0 above (Murray 2016, arXiv:1602.07527, eq. 8). PyTorch's spreads it
        over both triangles; that of what x was made from, such as a in a @ a.mT, is the same.

        Raises LinAlgError, a ValueError, for an x that is not positive definite.
        """

    def chunk(self, chunks: int, axis: Axes | None = 0) -> list[Tensor]:
        """A list of pieces of equal size along an axis, the last one smaller where it must be, `chunks` of them at most.

        As torch.chunk: the size is n / chunks rounded up, so that there may be fewer.
        """

    def clip(self, low: TensorLike | None = None, high: TensorLike | None = None, *, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
        """x limited to [low, high], either of which may be None: see the op of this name. min, max: NumPy's and PyTorch's
        names of the bounds.
        """

    def copy(self) -> Tensor:
        """The same values in memory of their own."""

    def copy_(self, values: TensorLike) -> Tensor:
        """Overwrite the values, in place; they are broadcast to this tensor's shape and cast to its dtype."""

    def cos(self) -> Tensor:
        """Cosine, of radians.

        cos(x) = cos(x), elementwise and broadcasting.
        """

    def cosh(self) -> Tensor:
        """Hyperbolic cosine.

        cosh(x) = cosh(x), elementwise and broadcasting.
        """

    def cummax(self, axis: Axes | None = -1) -> tuple[Tensor, Tensor]:
        """(values, indices) of the largest element so far along an axis, as torch.cummax. Of equal ones, and of NaN, the
        last counts, and has the gradient.
        """

    def cummin(self, axis: Axes | None = -1) -> tuple[Tensor, Tensor]:
        """(values, indices) of the smallest element so far along an axis; all else as `cummax`."""

    def cumprod(self, axis: Axes | None = None) -> Tensor:
        """Products of the elements so far along an axis; None: of the flattened x. Of integers and booleans: int64."""

    def cumsum(self, axis: Axes | None = None) -> Tensor:
        """Sums of the elements so far along an axis; None: of the flattened x. Of integers and booleans: int64."""

    def det(self) -> Tensor:
        """Determinants of square matrices. Singular ones have a gradient too; a second derivative wants an inverse."""

    def detach(self) -> Tensor:
        """The same values, off the tape. The memory is shared: a change in place of one is seen in the other."""

    def diag(self, k: int = 0) -> Tensor:
        """The k-th diagonal of a matrix, as a vector; of a vector, the matrix that has it as its k-th diagonal."""

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Elements i, i + offset of two axes, as the last axis. A read-only view."""

    def div(self, b: TensorLike) -> Tensor:
        """Quotient; integers become float32.

        div(a, b) = a / b, elementwise and broadcasting.
        """

    def dot(self, b: TensorLike) -> Tensor:
        """Product over the last axis of a and the second to last of b (its only one, of a vector), as NumPy's dot.

        Of vectors their inner product, of matrices the matrix product; where both have more axes, every row of a meets
        every column of b: shape (*a.shape[:-1], *b.shape[:-2], b.shape[-1]). A 0-d operand multiplies.

        Raises ValueError where the two axes differ.
        """

    def elu(self) -> Tensor:
        """x above 0, exp(x) - 1 below (Clevert et al. 2015, arXiv:1511.07289).

        elu(x) = where(x > 0, x, expm1(x)), elementwise and broadcasting.
        """

    def equal(self, b: TensorLike) -> Tensor:
        """Where the two are equal. No gradient.

        equal(a, b) = a == b, elementwise and broadcasting.
        """

    def erf(self) -> Tensor:
        """Error function.

        erf(x) = erf(x), elementwise and broadcasting.
        """

    def exp(self) -> Tensor:
        """Exponential.

        exp(x) = exp(x), elementwise and broadcasting.
        """

    def expand_dims(self, axis: Axes | None) -> Tensor:
        """New axes of size 1; `axis`, an integer or several, says where they are in the result."""

    def expm1(self) -> Tensor:
        """exp(x) - 1, exact near 0.

        expm1(x) = expm1(x), elementwise and broadcasting.
        """

    def flatten(self, order: str = 'C') -> Tensor:
        """The elements in one line, in memory of their own."""

    def flip(self, axis: Axes | None = None) -> Tensor:
        """The order of the elements reversed along an axis, several, or all (None)."""

    def floor(self) -> Tensor:
        """Largest integer below.

        floor(x) = floor(x), elementwise and broadcasting.
        """

    def floor_divide(self, b: TensorLike) -> Tensor:
        """floor(a / b), also of integers. Its derivatives are 0 everywhere.

        floor_divide(a, b) = a // b, elementwise and broadcasting.
        """

    def gather(self, axis: Axes | None, index: Any) -> Tensor:
        """As torch.gather: of the shape of `index`, with result[i][j] = x[i][index[i][j]] for axis 1.

        index: integers, of as many dimensions as x, and no larger but along the axis.
        """

    def gelu(self) -> Tensor:
        """x times the normal distribution function (Hendrycks & Gimpel 2016, arXiv:1606.08415).

        gelu(x) = 0.5 * x * (1 + erf(x * 0.7071067811865476)), elementwise and broadcasting.
        """

    def greater(self, b: TensorLike) -> Tensor:
        """Where a > b. No gradient.

        greater(a, b) = a > b, elementwise and broadcasting.
        """

    def greater_equal(self, b: TensorLike) -> Tensor:
        """Where a >= b. No gradient.

        greater_equal(a, b) = a >= b, elementwise and broadcasting.
        """

    def hard_sigmoid(self) -> Tensor:
        """x / 6 + 1/2 between 0 and 1. Subgradient at -3 and 3: 0.

        hard_sigmoid(x) = where(x <= -3, 0, where(x >= 3, 1, x / 6 + 0.5)), elementwise and broadcasting.
        """

    def hard_tanh(self) -> Tensor:
        """x between -1 and 1. Subgradient at -1 and 1: 0.

        hard_tanh(x) = where(x <= -1, -1, where(x >= 1, 1, x)), elementwise and broadcasting.
        """

    def inv(self) -> Tensor:
        """Inverse of square matrices, in the last two axes. Raises LinAlgError, a ValueError, for a singular one."""

    def isfinite(self) -> Tensor:
        """Where x is neither infinite nor NaN. No gradient.

        isfinite(x) = x - x == 0, elementwise and broadcasting.
        """

    def isnan(self) -> Tensor:
        """Where x is not a number. No gradient.

        isnan(x) = x != x, elementwise and broadcasting.
        """

    def less(self, b: TensorLike) -> Tensor:
        """Where a < b. No gradient.

        less(a, b) = a < b, elementwise and broadcasting.
        """

    def less_equal(self, b: TensorLike) -> Tensor:
        """Where a <= b. No gradient.

        less_equal(a, b) = a <= b, elementwise and broadcasting.
        """

    def log(self) -> Tensor:
        """Natural logarithm.

        log(x) = log(x), elementwise and broadcasting.
        """

    def log1p(self) -> Tensor:
        """log(1 + x), exact near 0.

        log1p(x) = log1p(x), elementwise and broadcasting.
        """

    def log_sigmoid(self) -> Tensor:
        """log(sigmoid(x)).

        log_sigmoid(x) = log_sigmoid(x), elementwise and broadcasting.
        """

    def log_softmax(self, axis: Axes | None = -1) -> Tensor:
        """log(softmax(x)), without the loss of small probabilities: x - log(sum(exp(x)))."""

    def logaddexp(self, b: TensorLike) -> Tensor:
        """log(exp(a) + exp(b)), without overflow. Derivatives where both are the same infinity: NaN.

        logaddexp(a, b) = where(a >= b, a, where(a < b, b, a + b)) + log1p(exp(-abs(where((a == b) & (a - a != 0), 0, a - b)))), elementwise and broadcasting.
        """

    def logical_and(self, b: TensorLike) -> Tensor:
        """Where both are true. No gradient.

        logical_and(a, b) = (a != 0) & (b != 0), elementwise and broadcasting.
        """

    def logical_not(self) -> Tensor:
        """Where x is false. No gradient.

        logical_not(x) = x == 0, elementwise and broadcasting.
        """

    def logical_or(self, b: TensorLike) -> Tensor:
        """Where one is true. No gradient.

        logical_or(a, b) = (a != 0) | (b != 0), elementwise and broadcasting.
        """

    def logical_xor(self, b: TensorLike) -> Tensor:
        """Where exactly one is true. No gradient.

        logical_xor(a, b) = (a != 0) ^ (b != 0), elementwise and broadcasting.
        """

    def logsumexp(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """log(sum(exp(x))), by way of the largest x so that nothing overflows. Its gradient is the softmax.

        Where every x is -inf the result is -inf, and the gradient 0. Integers become float32.
        """

    def matmul(self, b: TensorLike) -> Tensor:
        """Matrix product over the last two axes, with batch axes that broadcast; a vector is a row on the left, a column
        on the right.
        """

    def matvec(self, v: TensorLike) -> Tensor:
        """Matrices (..., m, n) times vectors (..., n): (..., m), with leading axes that broadcast. W h of a paper, for
        every row h of a batch, is mg.matvec(W, h).
        """

    def max(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """The largest element, NaN if there is one. Elements that tie for it share the gradient alike."""

    def maximum(self, b: TensorLike) -> Tensor:
        """The larger of two. At a tie each gets half of the gradient.

        maximum(a, b) = where((a >= b) | (a != a), a, b), elementwise and broadcasting.
        """

    def mean(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Arithmetic mean; NaN of no elements. Integers become float32."""

    def min(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """The smallest element, NaN if there is one. Elements that tie for it share the gradient alike."""

    def minimum(self, b: TensorLike) -> Tensor:
        """The smaller of two. At a tie each gets half of the gradient.

        minimum(a, b) = where((a <= b) | (a != a), a, b), elementwise and broadcasting.
        """

    def moveaxis(self, source: Axes, destination: Axes) -> Tensor:
        """Axes `source` moved to the places `destination` (integers or tuples); the others keep their order."""

    def mul(self, b: TensorLike) -> Tensor:
        """Product.

        mul(a, b) = a * b, elementwise and broadcasting.
        """

    def neg(self) -> Tensor:
        """Negative.

        neg(x) = -x, elementwise and broadcasting.
        """

    def norm(self, ord: float | str | None = 2, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Vector norm, (sum of |x| to the power ord) to the power 1 / ord, over the given axes (all by default).

        ord: a number (the Frobenius norm is 2 over both axes); inf is the largest |x|, -inf the smallest, 0 the number of
        elements that are not 0. Where the norm is 0 so is its gradient; elements equal to 0 get none for ord below 2; ties
        of the largest |x| share alike (inf).
        """

    def not_equal(self, b: TensorLike) -> Tensor:
        """Where the two differ. No gradient.

        not_equal(a, b) = a != b, elementwise and broadcasting.
        """

    def outer(self, b: TensorLike) -> Tensor:
        """Every element of a times every element of b: shape (a.size, b.size)."""

    def pad(self, pad_width: int | Sequence[Any], mode: str = 'constant', constant_values: float = 0) -> Tensor:
        """x with a margin: `pad_width` elements before and after each axis, as np.pad.

        pad_width: one number, a pair (before, after), or a pair for each axis, the first axis first (PyTorch's order is the
        other way round). mode: "constant" fills in constant_values, given in these forms too; "edge", "reflect",
        "symmetric", "wrap" continue x.
        """

    def pow(self, b: TensorLike) -> Tensor:
        """Power, a to the b (IEEE 754 pow). At a = b = 0 both subgradients are 0.

        pow(a, b) = pow(a, b), elementwise and broadcasting.
        """

    def prod(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Product. Of integers and booleans: int64. Derivatives are exact at zeros, too."""

    def ravel(self, order: str = 'C') -> Tensor:
        """The elements in one line, as np.ravel."""

    def reciprocal(self) -> Tensor:
        """1 / x.

        reciprocal(x) = 1 / x, elementwise and broadcasting.
        """

    def relu(self) -> Tensor:
        """max(x, 0). Subgradient at 0: 0.

        relu(x) = where(x < 0, 0, x), elementwise and broadcasting.
        """

    def remainder(self, b: TensorLike) -> Tensor:
        """a - b floor(a / b), with the sign of b, also of integers. Derivatives where a / b is whole: 1 and -a / b.

        remainder(a, b) = a % b, elementwise and broadcasting.
        """

    def repeat(self, repeats: Axes | TensorLike, axis: Axes | None = None) -> Tensor:
        """Each element in turn `repeats` times, an integer or one for each, along an axis; None: of the flattened x.

        As np.repeat and torch.repeat_interleave.
        """

    def reshape(self, *shape: Any) -> Tensor:
        ...

    def roll(self, shift: Axes, axis: Axes | None = None) -> Tensor:
        """Elements moved on by `shift` places along an axis, those that fall off the end put in front.

        Several shifts go with several axes. None: along the flattened x, which then gets its shape back.
        """

    def round(self, decimals: int = 0) -> Tensor:
        """Rounded to this number of decimals, halves to even."""

    def rsqrt(self) -> Tensor:
        """1 / sqrt(x).

        rsqrt(x) = rsqrt(x), elementwise and broadcasting.
        """

    def scatter_add(self, axis: Axes | None, index: Any, src: TensorLike) -> Tensor:
        """As torch.scatter_add: a copy of x with src[i][j] added to element [i][index[i][j]], for axis 1.

        index: integers, of as many dimensions as x; no larger than src, and but for the axis no larger than x.
        """

    def sigmoid(self) -> Tensor:
        """Logistic sigmoid, 1 / (1 + exp(-x)).

        sigmoid(x) = sigmoid(x), elementwise and broadcasting.
        """

    def sign(self) -> Tensor:
        """-1, 0 or 1. Its derivative is 0 everywhere.

        sign(x) = sign(x), elementwise and broadcasting.
        """

    def silu(self) -> Tensor:
        """x sigmoid(x), also called swish (Hendrycks & Gimpel 2016, arXiv:1606.08415).

        silu(x) = x * sigmoid(x), elementwise and broadcasting.
        """

    def sin(self) -> Tensor:
        """Sine, of radians.

        sin(x) = sin(x), elementwise and broadcasting.
        """

    def sinh(self) -> Tensor:
        """Hyperbolic sine.

        sinh(x) = sinh(x), elementwise and broadcasting.
        """

    def slogdet(self) -> list[Tensor]:
        """[sign, log of the absolute value] of the determinants: what det is of use for without overflow.

        Of a singular matrix they are 0 and -inf, and backward raises LinAlgError: there is no gradient.
        """

    def softmax(self, axis: Axes | None = -1) -> Tensor:
        """exp(x) / sum(exp(x)) over an axis (or several), from the differences to the maximum, so that nothing overflows.

        -inf among the x gives 0; nothing but -inf gives NaN, as in PyTorch.
        """

    def softplus(self) -> Tensor:
        """log(1 + exp(x)).

        softplus(x) = softplus(x), elementwise and broadcasting.
        """

    def solve(self, b: TensorLike) -> Tensor:
        """The x with a @ x = b. a: (..., n, n). b: (n,) or (..., n, m); the batch axes broadcast.

        Raises LinAlgError, a ValueError, for a singular matrix.
        """

    def sort(self, axis: Axes | None = -1, descending: bool = False) -> Tensor:
        """x sorted along an axis, in ascending or descending order; None: flattened first. Values only: their indices are
        `argsort`.
        """

    def split(self, sections: Axes, axis: Axes | None = 0) -> list[Tensor]:
        """A list of pieces along an axis. sections: the number of equal pieces, or (as in PyTorch) the size of each.

        np.split of a tensor, which takes the places of the cuts, works as in NumPy.
        """

    def sqrt(self) -> Tensor:
        """Square root. Derivative at 0: inf.

        sqrt(x) = sqrt(x), elementwise and broadcasting.
        """

    def square(self) -> Tensor:
        """x².

        square(x) = x * x, elementwise and broadcasting.
        """

    def squeeze(self, axis: Axes | None = None) -> Tensor:
        """x without these axes, which must have size 1; without all such axes by default."""

    def std(self, axis: Axes | None = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """Standard deviation, the root of `var`: ddof=0 by default, as in NumPy; ddof=1 is PyTorch's default.

        Of equal values it is 0, and so is its gradient.
        """

    def sub(self, b: TensorLike) -> Tensor:
        """Difference.

        sub(a, b) = a - b, elementwise and broadcasting.
        """

    def sum(self, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
        """Sum. Of integers and booleans: int64."""

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""

    def take(self, indices: TensorLike, axis: Axes | None = None) -> Tensor:
        """The slices of x at these indices along an axis (None: the elements of the flattened x).

        The axis makes room for those of `indices`, which are integers; negative ones count from the end.
        """

    def take_along_axis(self, indices: TensorLike, axis: Axes | None = -1) -> Tensor:
        """For each place of `indices`, the element of x there, but with that index along the axis: x[i][indices[i][j]].

        Axes other than this one broadcast. None: from the flattened x, by indices of one dimension.
        """

    def tan(self) -> Tensor:
        """Tangent, of radians.

        tan(x) = tan(x), elementwise and broadcasting.
        """

    def tanh(self) -> Tensor:
        """Hyperbolic tangent.

        tanh(x) = tanh(x), elementwise and broadcasting.
        """

    def tile(self, reps: Axes) -> Tensor:
        """x laid out `reps` times along each axis (np.tile; in PyTorch, torch.tile and Tensor.repeat)."""

    def topk(self, k: int, axis: Axes | None = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
        """(values, indices) of the k largest elements along an axis, the largest first; or of the k smallest.

        Of equal elements the first ones are taken. NaN counts as the largest.
        """

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """Sum of a diagonal of two axes (the first two, as in NumPy), over the others."""

    def transpose(self, *axes: Any) -> Tensor:
        ...

    def tril(self, k: int = 0) -> Tensor:
        """The lower triangle of each matrix: what lies above the k-th diagonal is 0."""

    def triu(self, k: int = 0) -> Tensor:
        """The upper triangle of each matrix: what lies below the k-th diagonal is 0."""

    def unstack(self, axis: Axes | None = 0) -> list[Tensor]:
        """A list of the slices along an axis; along the first it is what iteration over a tensor gives."""

    def var(self, axis: Axes | None = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
        """Variance: squared deviations from the mean, summed and divided by n - ddof.

        The default is NumPy's, ddof=0. PyTorch's default, the unbiased estimate, is ddof=1.
        """

    def vecmat(self, a: TensorLike) -> Tensor:
        """Vectors (..., n) times matrices (..., n, m): (..., m), with leading axes that broadcast."""

    def zero_(self) -> Tensor:
        """Set every value to 0, in place."""
