"""Products of NumPy, each a matmul or an einsum."""

import math
import string

import numpy as np

from minigrad.ops import product
from minigrad.ops.elementwise import mul
from minigrad.ops.join import stack
from minigrad.ops.linalg import inv
from minigrad.ops.numpy.declare import stands_for, tensors
from minigrad.ops.numpy.shape import at_least, cast, ravel
from minigrad.ops.product import contract, matmul
from minigrad.ops.reduce import sum
from minigrad.ops.shape import axes_of, moveaxis, reshape, transpose


@stands_for(np.tensordot, np.linalg.tensordot)
def tensordot(a, b, /, axes=2):
    if isinstance(axes, (int, np.integer)):
        axes = tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes))
    left, right = axes_of(axes[0], a.ndim), axes_of(axes[1], b.ndim)
    if [a.shape[k] for k in left] != [b.shape[k] for k in right]:
        raise ValueError(f"axes {axes} of shapes {a.shape} and {b.shape} differ in size")
    rest = [[k for k in range(x.ndim) if k not in used] for x, used in ((a, left), (b, right))]
    size = math.prod([a.shape[k] for k in left])
    rows = reshape(
        transpose(a, (*rest[0], *left)), (-1, size) if size else (math.prod([a.shape[k] for k in rest[0]]), 0)
    )
    columns = reshape(transpose(b, (*right, *rest[1])), (size, math.prod([b.shape[k] for k in rest[1]])))
    return reshape(matmul(rows, columns), tuple([x.shape[k] for x, kept in zip((a, b), rest) for k in kept]))


@stands_for(np.inner)
def inner(a, b, /):
    return tensordot(a, b, ((a.ndim - 1,), (b.ndim - 1,))) if a.ndim and b.ndim else a * b


@stands_for(np.vdot)
def vdot(a, b, /):
    return matmul(ravel(a), ravel(b))


@stands_for(np.vecdot)
def vecdot(a, b, /, axis=-1):
    return sum(moveaxis(a, axis, -1) * moveaxis(b, axis, -1), -1)


stands_for(np.linalg.vecdot)(lambda x1, x2, /, axis=-1: vecdot(x1, x2, axis))


stands_for(np.linalg.matmul)(lambda x1, x2, /: matmul(x1, x2))


@stands_for(np.linalg.outer)
def outer(a, b, /):
    return product.outer(a, b)


@stands_for(np.kron)
def kron(a, b, /):
    ndim = max(a.ndim, b.ndim)
    a, b = at_least(a, ndim), at_least(b, ndim)
    apart = [[n for pair in zip(x.shape, [1] * ndim) for n in pair] for x in (a, b)]
    left, right = tuple(apart[0]), tuple([n for pair in zip([1] * ndim, b.shape) for n in pair])
    return reshape(reshape(a, left) * reshape(b, right), tuple([n * m for n, m in zip(a.shape, b.shape)]))


@stands_for(np.cross)
def cross(a, b, /, axisa=-1, axisb=-1, axisc=-1, axis=None):
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(f"got vectors of {a.shape[-1]} and {b.shape[-1]} elements, wanted 3")
    turned = [mul(a[..., i], b[..., j]) - mul(a[..., j], b[..., i]) for i, j in ((1, 2), (2, 0), (0, 1))]
    return moveaxis(stack(turned, -1), -1, axisc)


stands_for(np.linalg.cross)(lambda x1, x2, /, axis=-1: cross(x1, x2, axis, axis, axis))


@stands_for(np.linalg.multi_dot)
def multi_dot(arrays, /):
    """The product of matrices, in the order of the fewest multiplications."""
    n = len(arrays)
    if n < 2:
        raise ValueError(f"got {n} matrices, wanted at least 2")
    letters = string.ascii_letters[: n + 1]
    terms = [letters[k : k + 2] for k in range(n)]
    terms[0], terms[-1] = terms[0][-arrays[0].ndim :], terms[-1][: arrays[-1].ndim]
    ends = (letters[0] if arrays[0].ndim > 1 else "") + (letters[-1] if arrays[-1].ndim > 1 else "")
    return contract(arrays, subscripts=f"{','.join(terms)}->{ends}")


@stands_for(np.linalg.matrix_power)
def matrix_power(x, /, n):
    if n < 0:
        return matrix_power(inv(x), -n)
    if n == 0:
        return x * 0 + np.eye(x.shape[-1], dtype=x.dtype)
    half = matrix_power(x, n // 2) if n > 1 else None
    return x if half is None else matmul(half, half) if n % 2 == 0 else matmul(matmul(half, half), x)


@stands_for(np.einsum)
def einsum(*operands, optimize=False, dtype=None, out=None):
    """With subscripts in a string, or with lists of integers behind the operands."""
    if out is not None:
        raise TypeError("np.einsum of tensors takes no out: ops do not write into arrays")
    if not isinstance(operands[0], str):
        pairs, last = operands[: len(operands) // 2 * 2], operands[len(operands) // 2 * 2 :]
        names = ["".join([_letter(k) for k in part]) for part in (*pairs[1::2], *last)]
        n = len(pairs) // 2
        operands = (",".join(names[:n]) + "".join([f"->{name}" for name in names[n:]]), *pairs[::2])
    subscripts, *arrays = operands
    return product.einsum(subscripts, *[cast(x, dtype) for x in tensors(arrays)])


def _letter(k) -> str:
    return "..." if k is ... else string.ascii_letters[k]
