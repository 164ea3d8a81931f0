"""Matrices: diagonals, inverses, determinants, over leading batch axes."""

import numpy as np

from minigrad.dtypes import common_dtype
from minigrad.ops.declare import composite, op
from minigrad.ops.product import product_shape
from minigrad.ops.reduce import sum, sum_to
from minigrad.ops.shape import reshape, swapaxes
from minigrad.ops.table import Spec, publish

# Diagonals


def _diagonal_shape(x: Spec, offset=0, axis1=0, axis2=1) -> tuple[int, ...]:
    if not (-x.ndim <= axis1 < x.ndim and -x.ndim <= axis2 < x.ndim) or axis1 % x.ndim == axis2 % x.ndim:
        raise ValueError(f"axis1 {axis1} and axis2 {axis2} must be two of the {x.ndim} axes")
    axis1, axis2 = axis1 % x.ndim, axis2 % x.ndim
    rows, columns = x.shape[axis1] + min(offset, 0), x.shape[axis2] - max(offset, 0)
    return (*[n for k, n in enumerate(x.shape) if k not in (axis1, axis2)], max(0, min(rows, columns)))


@op(
    shape=_diagonal_shape,
    sample=lambda d: (
        d.array((2, 3, 4)),
        dict(offset=d.integer(-2, 3), **dict(zip(("axis1", "axis2"), d.choice([(0, 1), (-1, 0), (1, 2), (2, 1)])))),
    ),
    x=lambda g, x_shape, offset, axis1, axis2: undiagonal(g, shape=x_shape, offset=offset, axis1=axis1, axis2=axis2),
    numpy=np.diagonal,
    view=True,
)
def diagonal(x, /, offset: int = 0, axis1=0, axis2=1):
    """Elements i, i + offset of two axes, as the last axis. A read-only view.

    Examples
    --------
    >>> mg.diagonal([[1, 2], [3, 4]])
    tensor([1, 4], dtype=int64)
    """
    return np.diagonal(x, offset, axis1, axis2)


def _last_diagonal(x, offset=0):
    """np.linalg.diagonal: of the last two axes, where np.diagonal means the first two."""
    return diagonal(x, offset, -2, -1)


publish(_last_diagonal, np.linalg.diagonal, method=False)


def _undiagonal_shape(g: Spec, shape, offset=0, axis1=0, axis2=1) -> tuple[int, ...]:
    wanted = _diagonal_shape(Spec(tuple(shape), g.dtype), offset, axis1, axis2)
    if g.shape != wanted:
        raise ValueError(f"a tensor of shape {tuple(shape)} has a diagonal of shape {wanted}")
    return tuple(shape)


@op(
    shape=_undiagonal_shape,
    sample=lambda d: (
        d.array((2, 3)),
        {"shape": d.choice([(3, 2, 4), (4, 2, 3)]), "offset": 0, "axis1": 0, "axis2": 2},
    ),
    g=lambda g, offset, axis1, axis2: diagonal(g, offset, axis1, axis2),
    method=False,
    public=False,
)
def undiagonal(g, /, shape, offset=0, axis1=0, axis2=1):
    """Zeros of `shape` with g as the diagonal: the transpose of `diagonal`."""
    result = np.zeros(_undiagonal_shape(g, shape, offset, axis1, axis2), g.dtype)
    rows = result.diagonal(offset, axis1, axis2)
    rows.flags.writeable = True
    rows[...] = g
    return result


@composite(sample=lambda d: (d.array(d.choice([(3,), (3, 4)])), {"k": d.integer(-2, 2)}), numpy=np.diag)
def diag(x, /, k: int = 0):
    """The k-th diagonal of a matrix, as a vector; of a vector, the matrix that has it as its k-th diagonal.

    Examples
    --------
    >>> mg.diag([1, 2]).tolist()
    [[1, 0], [0, 2]]
    """
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError(f"wanted a vector or a matrix, got {x.ndim} dimensions; use diagonal with two axes")
    n = x.shape[0] + abs(k)
    return undiagonal(x, shape=(n, n), offset=k)


@composite(
    sample=lambda d: (d.array((3, 2, 4)), {"offset": d.integer(-2, 3), "axis1": d.choice([0, 2]), "axis2": 1}),
    numpy=np.trace,
)
def trace(x, /, offset: int = 0, axis1=0, axis2=1):
    """Sum of a diagonal of two axes (the first two, as in NumPy), over the others.

    Examples
    --------
    >>> mg.trace([[1, 2], [3, 4]])
    tensor(5, dtype=int64)
    """
    return sum(diagonal(x, offset, axis1, axis2), axis=-1)


def _last_trace(x, offset=0):
    """np.linalg.trace: of the last two axes, where np.trace means the first two."""
    return trace(x, offset, -2, -1)


publish(_last_trace, np.linalg.trace, method=False)


# Matrices


def _square(x: Spec, *others: Spec) -> tuple[int, ...]:
    if common_dtype([x, *others]).kind != "f":
        raise TypeError("wanted float32 or float64; use x.astype")
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError("wanted square matrices in the last two axes")
    return x.shape


INDEFINITE = "a matrix is not positive definite; add a small multiple of the identity"
SINGULAR = "a matrix is singular, it has no inverse; add a small multiple of the identity"


def _factorised(function, *arrays):
    """function(*arrays), its complaint about a matrix in words of ours."""
    try:
        return function(*arrays)
    except np.linalg.LinAlgError as error:
        if function is np.linalg.cholesky:
            raise type(error)(INDEFINITE) from None
        raise type(error)(SINGULAR) from None


def _matrix(d, *batch):
    """Well-conditioned matrices."""
    n = d.integer(1, 3)
    return d.array((*batch, n, n), -1, 1) + 3 * np.eye(n)


def _mT(x):
    return swapaxes(x, -1, -2)


@op(
    shape=_square,
    sample=lambda d: (_matrix(d, *d.shape(0, 2, 2)), {}),
    x=lambda g, y: -(_mT(y) @ g @ _mT(y)),
    numpy=np.linalg.inv,
)
def inv(x, /):
    """Inverse of square matrices, in the last two axes. Raises LinAlgError, a ValueError, for a singular one.

    Examples
    --------
    >>> mg.inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    _square(x)
    return _factorised(np.linalg.inv, x)


def _solve_shape(a: Spec, b: Spec) -> tuple[int, ...]:
    _square(a, b)
    return product_shape(a, b)


def _solve_transposed(a, g, b_ndim):
    if b_ndim > 1:
        return solve(_mT(a), g)
    return reshape(solve(_mT(a), reshape(g, (*g.shape, 1))), g.shape)


def _solve_a(g, a, y, a_shape, b_shape):
    b = _solve_transposed(a, g, len(b_shape))
    if len(b_shape) == 1:
        b, y = reshape(b, (*b.shape, 1)), reshape(y, (*y.shape, 1))
    return sum_to(-(b @ _mT(y)), shape=a_shape)


def _solve_sample(d):
    a = _matrix(d, *d.choice([(), (2,), (1, 2)]))
    n = a.shape[-1]
    return a, d.array(d.choice([(n,), (n, 2), (3, 1, n, 1)])), {}


@op(
    shape=_solve_shape,
    sample=_solve_sample,
    a=_solve_a,
    b=lambda g, a, b_shape: sum_to(_solve_transposed(a, g, len(b_shape)), shape=b_shape),
    numpy=np.linalg.solve,
)
def solve(a, b, /):
    """The x with a @ x = b. a: (..., n, n). b: (n,) or (..., n, m); the batch axes broadcast.

    Raises LinAlgError, a ValueError, for a singular matrix.

    Examples
    --------
    >>> mg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
    tensor([1. , 0.5], dtype=float32)
    """
    _solve_shape(a, b)
    return _factorised(np.linalg.solve, a, b)


def _cholesky_x(g, y):
    n = y.shape[-1]
    half = np.tril(np.ones((n, n), y.dtype)) - 0.5 * np.eye(n, dtype=y.dtype)
    inner = half * (_mT(y) @ g)
    outer = solve(_mT(y), _mT(solve(_mT(y), inner)))
    lower = np.tril(np.ones((n, n), y.dtype), -1) + 0.5 * np.eye(n, dtype=y.dtype)
    return lower * (outer + _mT(outer))  # what is above the diagonal is not read


@op(
    shape=_square,
    sample=lambda d: (np.stack([d.positive_definite(3) for _ in range(d.integer(1, 2))]), {}),
    x=_cholesky_x,
    numpy=np.linalg.cholesky,
)
def cholesky(x, /):
    """Lower triangular y with y @ y.mT = x, for symmetric positive definite x. Its lower triangle alone is read.

    So is the gradient: that of the lower triangle, 0 above (Murray 2016, arXiv:1602.07527, eq. 8). PyTorch's spreads it
    over both triangles; that of what x was made from, such as a in a @ a.mT, is the same.

    Raises LinAlgError, a ValueError, for an x that is not positive definite.

    Examples
    --------
    >>> mg.cholesky([[4.0, 0.0], [0.0, 9.0]]).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    _square(x)
    return _factorised(np.linalg.cholesky, x)


def _scale(g, x):
    """x times g, one number for each matrix."""
    return reshape(g, (*g.shape, 1, 1)) * x


def _cofactor_x(g, x, y):
    n = x.shape[-1]
    identity = np.eye(n, dtype=x.dtype)
    return (_scale(sum(g * y, axis=(-2, -1)), identity) - y @ _mT(g)) @ _mT(inv(x))


@op(shape=_square, sample=lambda d: (_matrix(d), {}), x=_cofactor_x, method=False, public=False)
def cofactor(x, /):
    """Matrix of cofactors, det(x) inv(x).mT where x has an inverse; the gradient of the determinant everywhere.

    From the singular values: those of the cofactors are the products of all others.
    """
    _square(x)
    u, s, v = np.linalg.svd(x)
    ones = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([ones, s], -1), -1)[..., :-1]
    after = np.cumprod(np.concatenate([ones, s[..., ::-1]], -1), -1)[..., :-1][..., ::-1]
    sign = np.asarray(np.linalg.det(u) * np.linalg.det(v))[..., None, None]
    return sign * ((u * (before * after)[..., None, :]) @ v)


@op(
    shape=lambda x: _square(x)[:-2],
    sample=lambda d: (_matrix(d, *d.shape(0, 1, 2)), {}),
    x=lambda g, x: _scale(g, cofactor(x)),
    numpy=np.linalg.det,
)
def det(x, /):
    """Determinants of square matrices. Singular ones have a gradient too; a second derivative wants an inverse.

    Examples
    --------
    >>> mg.det([[2.0, 1.0], [0.0, 3.0]]).round(decimals=4)
    tensor(6., dtype=float32)
    """
    _square(x)
    return np.linalg.det(x)


@op(
    shape=lambda x: [_square(x)[:-2]] * 2,
    sample=lambda d: (_matrix(d, *d.shape(0, 1, 2)), {}),
    x=lambda g, x: _scale(g[1], _mT(inv(x))),
    numpy=np.linalg.slogdet,
)
def slogdet(x, /):
    """[sign, log of the absolute value] of the determinants: what det is of use for without overflow.

    Of a singular matrix they are 0 and -inf, and backward raises LinAlgError: there is no gradient.

    Examples
    --------
    >>> [x.item() for x in mg.slogdet([[1.0, 0.0], [0.0, -1.0]])]
    [-1.0, 0.0]
    """
    _square(x)
    sign, logarithm = np.linalg.slogdet(x)
    return [np.asarray(sign), np.asarray(logarithm)]
