"""Linear algebra, over leading batch axes where NumPy has them."""

import numpy as np

from minigrad.ops.reduce import sum_to
from minigrad.ops.shape import reshape, swapaxes
from minigrad.ops.table import Spec, op
from minigrad.tensor import Tensor


def _product_shape(a: Spec, b: Spec) -> tuple[int, ...]:
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul wants at least one axis on each side; for scalars use *")
    rows, columns = a.shape[-2:-1], b.shape[-1:] if b.ndim > 1 else ()
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise ValueError(f"the last axis of a ({a.shape[-1]}) and the second to last of b ({inner}) must be equal")
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"the batch axes {a.shape[:-2]} and {b.shape[:-2]} do not broadcast") from None
    return (*batch, *rows, *columns)


def _matmul_a(g, b, a_shape):
    if len(a_shape) == 1 and b.ndim == 1:
        return g * b
    if len(a_shape) == 1:
        return sum_to(reshape(matmul(b, reshape(g, (*g.shape, 1))), (*b.shape[:-2], b.shape[-2])), shape=a_shape)
    if b.ndim == 1:
        return reshape(g, (*g.shape, 1)) * b
    product = matmul(g, swapaxes(b, -1, -2))
    return product if product.shape == a_shape else sum_to(product, shape=a_shape)


def _matmul_b(g, a, b_shape):
    if len(b_shape) == 1 and a.ndim == 1:
        return g * a
    if len(b_shape) == 1:
        return sum_to(reshape(g, (*g.shape, 1)) * a, shape=b_shape)
    if a.ndim == 1:
        return sum_to(reshape(a, (-1, 1)) * reshape(g, (*g.shape[:-1], 1, g.shape[-1])), shape=b_shape)
    if a.ndim > 2 and len(b_shape) == 2:  # one large product in place of a batch of them and a sum
        return matmul(swapaxes(reshape(a, (-1, a.shape[-1])), 0, 1), reshape(g, (-1, g.shape[-1])))
    product = matmul(swapaxes(a, -1, -2), g)
    return product if product.shape == b_shape else sum_to(product, shape=b_shape)


@op(shape=_product_shape, sample=lambda d: (d.array((2, 3)), d.array((3, 4)), {}), a=_matmul_a, b=_matmul_b, numpy=np.matmul)
def matmul(a, b, /):
    """Matrix product over the last two axes, with batch axes that broadcast; a vector is a row on the left, a column
    on the right."""
    return np.matmul(a, b)


Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda self, other: matmul(other, self)
