"""Factorisations of matrices, over leading batch axes: singular values, eigenvalues, QR; and the pseudoinverse.

Vectors that belong to equal singular values or eigenvalues are an arbitrary basis: what depends on the choice has no
gradient there, and gets NaN (PyTorch's convention). The values themselves, and what does not depend on the choice, do.
"""

import math

import numpy as np

from minigrad.dtypes import common_dtype
from minigrad.ops.declare import op
from minigrad.ops.elementwise import where
from minigrad.ops.linalg import _mT, _square, solve
from minigrad.ops.shape import reshape
from minigrad.ops.table import Spec


def _matrices(x: Spec) -> tuple[int, ...]:
    if common_dtype([x]).kind != "f":
        raise TypeError("wanted float32 or float64; use x.astype")
    if x.ndim < 2:
        raise ValueError("wanted matrices in the last two axes")
    return x.shape


def _over(numerator, gap):
    """numerator / gap; where the gap is 0, 0 if the numerator is 0 as well, else NaN."""
    none = gap == 0
    return where(none & (numerator == 0), 0.0, where(none, math.nan, numerator)) / where(none, 1.0, gap)


def _column(s):
    return reshape(s, (*s.shape, 1))


def _row(s):
    return reshape(s, (*s.shape[:-1], 1, s.shape[-1]))


def _diagonal(s):
    return _column(s) * np.eye(s.shape[-1], dtype=s.dtype)


def _between(s):
    """s[j] - s[i] at (i, j), and 1 where these are one."""
    return _row(s) - _column(s) + np.eye(s.shape[-1], dtype=s.dtype)


def _svd_shape(x: Spec) -> list[Spec]:
    *batch, m, n = _matrices(x)
    k = min(m, n)
    return [Spec((*batch, m, k), x.dtype), Spec((*batch, k), x.dtype), Spec((*batch, k, n), x.dtype)]


def _svd_x(g, y):
    (gu, gs, gvh), (u, s, vh) = g, y
    m, n = u.shape[-2], vh.shape[-1]
    left, right = _mT(u) @ gu, vh @ _mT(gvh)
    gap = _between(s * s)
    inner = _over(left - _mT(left), gap) * _row(s) + _column(s) * _over(right - _mT(right), gap) + _diagonal(gs)
    x = u @ inner @ vh
    if m > n:
        x = x + _over(gu - u @ left, _row(s)) @ vh
    if n > m:
        x = x + u @ _over(gvh - _mT(right) @ vh, _column(s))
    return x


def _separated(d, *shape):
    """A matrix whose singular values, or eigenvalues, lie apart."""
    n = min(shape)
    wide = np.zeros(shape)
    wide[np.arange(n), np.arange(n)] = 2.0 + 3.0 * np.arange(n)
    return d.array(shape, -0.3, 0.3) + wide


@op(shape=_svd_shape, sample=lambda d: (_separated(d, *d.choice([(2, 2), (3, 2), (2, 3)])), {}), x=_svd_x, method=False)
def svd(x, /):
    """[u, s, vh] with x = (u * s) @ vh: singular values, in descending order, and as many vectors on either side.

    Where two singular values are equal, what depends on the choice of their vectors has a gradient of NaN, as has what
    depends on the vectors of a singular value of 0 if x is not square; the values' own gradient is defined there.

    Examples
    --------
    >>> [x.shape for x in mg.svd(mg.ones((4, 2)))]
    [(4, 2), (2,), (2, 2)]
    """
    _matrices(x)
    return list(np.linalg.svd(x, full_matrices=False))


def _eigh_x(g, y):
    (gw, gv), (w, v) = g, y
    inner = _mT(v) @ gv
    x = v @ (_over((inner - _mT(inner)) * 0.5, _between(w)) + _diagonal(gw)) @ _mT(v)
    n = w.shape[-1]
    lower = np.tril(np.ones((n, n), w.dtype), -1) + 0.5 * np.eye(n, dtype=w.dtype)
    return lower * (x + _mT(x))  # what is above the diagonal is not read


@op(
    shape=lambda x: [Spec(_square(x)[:-1], x.dtype), Spec(x.shape, x.dtype)],
    sample=lambda d: (_separated(d, 3, 3), {}),
    x=_eigh_x,
    method=False,
)
def eigh(x, /):
    """[eigenvalues, in ascending order, and eigenvectors, in columns] of symmetric x, of which the lower triangle is
    read. So is the gradient: that of the lower triangle, 0 above.

    Where two eigenvalues are equal, what depends on the choice of their vectors has a gradient of NaN; the values' own
    gradient is defined there.

    Examples
    --------
    >>> mg.eigh([[2.0, 0.0], [0.0, 1.0]])[0].round(decimals=4)
    tensor([1., 2.], dtype=float32)
    """
    _square(x)
    return list(np.linalg.eigh(x))


def _qr_shape(x: Spec) -> list[Spec]:
    *batch, m, n = _matrices(x)
    if m < n:
        raise ValueError(f"got {m} rows and {n} columns, wanted no more columns than rows")
    return [Spec(x.shape, x.dtype), Spec((*batch, n, n), x.dtype)]


def _qr_x(g, y):
    (gq, gr), (q, r) = g, y
    n = r.shape[-1]
    m = r @ _mT(gr) - _mT(gq) @ q
    lower = m * np.tril(np.ones((n, n), r.dtype))
    symmetric = lower + _mT(m * np.tril(np.ones((n, n), r.dtype), -1))
    return _mT(solve(r, _mT(gq + q @ symmetric)))


@op(shape=_qr_shape, sample=lambda d: (_separated(d, *d.choice([(2, 2), (3, 2)])), {}), x=_qr_x, method=False)
def qr(x, /):
    """[q, r] with x = q @ r: orthonormal columns and an upper triangle, for x with no more columns than rows.

    Where the columns of x depend on each other there is no gradient: backward raises LinAlgError, a ValueError.

    Examples
    --------
    >>> [x.shape for x in mg.qr(mg.ones((4, 2)))]
    [(4, 2), (2, 2)]
    """
    _qr_shape(x)
    return list(np.linalg.qr(x))


def _pinv_x(g, x, y):
    gt, yt = _mT(g), _mT(y)
    outside = gt @ y @ yt
    inside = yt @ y @ gt
    return outside - x @ (y @ outside) + inside - (inside @ y) @ x - yt @ g @ yt


@op(
    shape=lambda x, rcond=None: (*_matrices(x)[:-2], x.shape[-1], x.shape[-2]),
    sample=lambda d: (_separated(d, *d.choice([(2, 2), (3, 2), (2, 3)])), dict(rcond=None)),
    x=_pinv_x,
    method=False,
)
def pinv(x, /, rcond: float | None = None):
    """The pseudoinverse (Moore and Penrose). Singular values up to rcond times the largest count as 0.

    rcond: by default max(m, n) times the rounding unit. The derivative is that at constant rank (Golub & Pereyra 1973).

    Examples
    --------
    >>> mg.pinv([[2.0, 0.0], [0.0, 4.0]]).round(decimals=4).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    _matrices(x)
    return np.linalg.pinv(x, rtol=max(x.shape[-2:]) * np.finfo(x.dtype).eps if rcond is None else rcond)
