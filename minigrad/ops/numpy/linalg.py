"""np.linalg: factorisations with NumPy's parameters, norms, least squares."""

import math
from typing import Any, NamedTuple

import numpy as np

from minigrad.ops import factor, linalg, reduce
from minigrad.ops.elementwise import abs
from minigrad.ops.join import concatenate
from minigrad.ops.linalg import _mT
from minigrad.ops.numpy.declare import numbers, off_the_tape, stands_for
from minigrad.ops.product import matmul
from minigrad.ops.reduce import _root, norm, sum
from minigrad.ops.shape import axes_of, moveaxis, reshape, transpose
from minigrad.tensor import Tensor


class SVDResult(NamedTuple):
    U: Any
    S: Any
    Vh: Any


class EighResult(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    sign: Any
    logabsdet: Any


@stands_for(np.linalg.svd)
def svd(x, /, full_matrices=True, compute_uv=True):
    """The vectors beyond the smaller size, which full_matrices adds, are an arbitrary basis and have no gradient."""
    u, s, vh = factor.svd(x)
    if not compute_uv:
        return s
    m, n = x.shape[-2:]
    if full_matrices and m != n:
        whole = np.linalg.svd(numbers(x))
        u = u if m < n else concatenate([u, Tensor(whole.U[..., n:].copy())], -1)
        vh = vh if n < m else concatenate([vh, Tensor(whole.Vh[..., m:, :].copy())], -2)
    return SVDResult(u, s, vh)


@stands_for(np.linalg.svdvals)
def svdvals(x, /):
    return factor.svd(x)[1]


@stands_for(np.linalg.eigh)
def eigh(x, /, UPLO="L"):
    if UPLO.upper() not in ("L", "U"):
        raise ValueError(f"got UPLO={UPLO!r}, wanted 'L' or 'U'")
    return EighResult(*factor.eigh(x if UPLO.upper() == "L" else _mT(x)))


@stands_for(np.linalg.eigvalsh)
def eigvalsh(x, /, UPLO="L"):
    return eigh(x, UPLO).eigenvalues


@stands_for(np.linalg.qr)
def qr(x, /, mode="reduced"):
    m, n = x.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        raise TypeError(f"takes no mode={mode!r} of tensors of shape {x.shape}; wanted 'reduced' or 'r'")
    q, r = factor.qr(x[..., :m])
    if n > m:
        r = concatenate([r, matmul(_mT(q), x[..., m:])], -1)
    return r if mode == "r" else QRResult(q, r)


@stands_for(np.linalg.slogdet)
def slogdet(x, /):
    return SlogdetResult(*linalg.slogdet(x))


@stands_for(np.linalg.cholesky)
def cholesky(x, /, upper=False):
    """upper: the transpose, of the upper triangle."""
    return _mT(linalg.cholesky(_mT(x))) if upper else linalg.cholesky(x)


@stands_for(np.linalg.pinv)
def pinv(x, /, rcond=None, hermitian=False, rtol=None):
    if hermitian:
        raise TypeError("takes no hermitian=True of tensors; leave it out")
    if rcond is not None and rtol is not None:
        raise ValueError("rcond and rtol are one number; give it once")
    return factor.pinv(x, rtol if rcond is None else rcond)


@stands_for(np.linalg.matrix_rank)
def matrix_rank(x, /, tol=None, hermitian=False, rtol=None):
    return off_the_tape(np.linalg.matrix_rank, x, tol, hermitian, rtol=rtol)


@stands_for(np.linalg.lstsq)
def lstsq(a, b, /, rcond=None):
    """The solution is pinv(a) @ b. The residuals, and the singular values, have their gradients too."""
    m, n = a.shape[-2:]
    if rcond is not None and rcond < 0:
        rcond = np.finfo(a.dtype).eps
    limit = max(m, n) * np.finfo(a.dtype).eps if rcond is None else rcond
    s = factor.svd(a)[1]
    values = numbers(s)
    rank = int((values > limit * values[0]).sum()) if values.size else 0
    x = matmul(factor.pinv(a, limit), b)
    over = reshape(b - matmul(a, x), (m, -1))
    residuals = sum(over * over, 0) if rank == n < m else Tensor(np.zeros(0, a.dtype))
    return x, residuals, rank, s


@stands_for(np.linalg.tensorsolve)
def tensorsolve(a, b, /, axes=None):
    if axes is not None:
        rest = [k for k in range(a.ndim) if k not in axes_of(axes, a.ndim)]
        a = transpose(a, (*rest, *axes_of(axes, a.ndim)))
    shape = a.shape[b.ndim :]
    return reshape(linalg.solve(reshape(a, (b.size, -1)), reshape(b, (-1,))), shape)


@stands_for(np.linalg.tensorinv)
def tensorinv(a, /, ind=2):
    rows = math.prod(a.shape[:ind])
    return reshape(linalg.inv(reshape(a, (rows, -1))), a.shape[ind:] + a.shape[:ind])


# Norms


def _of_matrices(x, ord):
    """Of the last two axes."""
    if ord is None or ord == "fro":
        return _root(sum(x * x, (-2, -1)))
    if ord in (1, -1, math.inf, -math.inf):
        sums = sum(abs(x), -2 if ord in (1, -1) else -1)
        return reduce.max(sums, -1) if ord > 0 else reduce.min(sums, -1)
    if ord not in ("nuc", 2, -2):
        raise ValueError(f"got ord={ord!r}, wanted 'fro', 'nuc', 1, -1, 2, -2, inf or -inf for a matrix")
    s = factor.svd(x)[1]
    return sum(s, -1) if ord == "nuc" else s[..., 0 if ord == 2 else -1]


@stands_for(np.linalg.norm)
def norm_(x, /, ord=None, axis=None, keepdims=False):
    axes = axes_of(axis, x.ndim)
    if len(axes) != 2 or (ord is None and axis is None):
        if len(axes) != 1 and ord is not None:
            raise ValueError(f"got {len(axes)} axes, wanted one for a vector, two for a matrix")
        if isinstance(ord, str):
            raise ValueError(f"got ord={ord!r} for a vector, wanted a number")
        return norm(x, 2 if ord is None else ord, axis, keepdims)
    y = _of_matrices(moveaxis(reduce._as_float(x), axes, (-2, -1)), ord)
    return reshape(y, reduce.reduced(x, axes, True)) if keepdims else y


@stands_for(np.linalg.matrix_norm)
def matrix_norm(x, /, keepdims=False, ord="fro"):
    return norm_(x, ord, (-2, -1), keepdims)


@stands_for(np.linalg.cond)
def cond(x, /, p=None):
    if p is None or p in (2, -2):
        s = factor.svd(x)[1]
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    return _of_matrices(x, p) * _of_matrices(linalg.inv(x), p)
