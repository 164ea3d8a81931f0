"""Products: matmul, dot, outer, and einsum, which is all of them."""

import functools
import math
import string

import numpy as np

from minigrad.arguments import checked
from minigrad.deferred import DeferredProduct
from minigrad.kernels import sums
from minigrad.kernels.bfloat16 import rounded
from minigrad.kernels.matmul import LONG, product
from minigrad.modes import RAW, thread
from minigrad.ops.declare import composite, op
from minigrad.ops.reduce import sum_to
from minigrad.ops.shape import reshape, swapaxes, transpose
from minigrad.ops.table import Spec, filled, numpy_rules
from minigrad.symbolic import broadcast_shapes, key_of
from minigrad.tensor import Tensor, foreign


def product_shape(a: Spec, b: Spec) -> tuple[int, ...]:
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul wants at least one axis on each side; for scalars use *")
    rows, columns = a.shape[-2:-1], b.shape[-1:] if b.ndim > 1 else ()
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise ValueError(f"the last axis of a ({a.shape[-1]}) and the second to last of b ({inner}) must be equal")
    try:
        batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ValueError(f"the batch axes {a.shape[:-2]} and {b.shape[:-2]} do not broadcast") from None
    return (*batch, *rows, *columns)


def _rows(x):
    """All axes but the last made one."""
    return x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_a(g, b, a_shape):
    if len(a_shape) == 1 and b.ndim == 1:
        return g * b
    if len(a_shape) == 1 and b.ndim == 2:
        return matmul(b, g)
    if len(a_shape) == 1:
        return sum_to(reshape(matmul(b, reshape(g, (*g.shape, 1))), (*b.shape[:-2], b.shape[-2])), shape=a_shape)
    if b.ndim == 1:
        return reshape(g, (*g.shape, 1)) * b
    product = matmul(g, swapaxes(b, -1, -2))
    return product if product.shape == a_shape else sum_to(product, shape=a_shape)


def _matmul_b(g, a, b_shape):
    if len(b_shape) == 1 and a.ndim == 1:
        return g * a
    if len(b_shape) == 1 and a.ndim == 2:
        return matmul(g, a)
    if len(b_shape) == 1:
        return sum_to(reshape(g, (*g.shape, 1)) * a, shape=b_shape)
    if a.ndim == 1:
        return sum_to(reshape(a, (*a.shape, 1)) * reshape(g, (*g.shape[:-1], 1, g.shape[-1])), shape=b_shape)
    if a.ndim > 2 and len(b_shape) == 2:  # one large product in place of a batch of them and a sum
        return matmul(swapaxes(_rows(a), 0, 1), _rows(g))
    if a.ndim == 2 == len(b_shape) and thread.mode is RAW and a.size + g.size < math.prod(b_shape):
        return DeferredProduct([a], [g])
    product = matmul(swapaxes(a, -1, -2), g)
    return product if product.shape == b_shape else sum_to(product, shape=b_shape)


def _matmul_sample(d):
    a, b = d.choice([((3,), (3,)), ((2, 3), (3, 4)), ((3,), (2, 3, 4)), ((2, 1, 3), (3,)), ((2, 2, 3), (3, 1)),
                     ((2, 1, 2, 3), (3, 3, 2)), ((2, 1), (1, 3)), ((2, 3), (2, 3, 2)),
                     ((2, 3), (5, 3, 4)), ((2, 3), (1, 3, 4)), ((2, 1), (5, 1, 4))])  # fmt: skip
    return d.array(a), d.array(b), {}


@op(shape=product_shape, sample=_matmul_sample, a=_matmul_a, b=_matmul_b, numpy=np.matmul)
def matmul(a, b, /):
    """Matrix product over the last two axes, with batch axes that broadcast; a vector is a row on the left, a column
    on the right.

    Examples
    --------
    >>> mg.matmul([[1, 2], [3, 4]], [1, 1])
    tensor([3, 7], dtype=int64)
    """
    if a.ndim > 1 and b.ndim > 1 and a.shape[-1] == 1 == b.shape[-2]:
        return a * b  # an outer product: NumPy's BLAS takes four times as long for it
    if a.ndim > 2 and b.ndim == 2 and a.shape[-1] == b.shape[0]:  # one large product in place of a batch of them
        return product(a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    if a.ndim and a.shape[-1] >= LONG and a.ndim <= 2 and b.ndim in (1, 2) and a.shape[-1] == b.shape[0]:
        return product(a.reshape(-1, a.shape[-1]), b.reshape(b.shape[0], -1)).reshape((*a.shape[:-1], *b.shape[1:]))
    return product(a, b) if a.ndim == b.ndim == 2 else np.matmul(a, b)


@op(shape=product_shape, sample=_matmul_sample, method=False, public=False)
def matmul_bfloat16(a, b, /):
    """matmul of operands rounded to bfloat16, summed in their own type: what products become under jit. No gradient."""
    return matmul(rounded(a), rounded(b))


def _matmul_operator(a, b):
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) and (foreign(a) or foreign(b)):
        return NotImplemented
    return matmul(a, b)


matmul.op.orders = lambda a, b: a.ndim <= 2 and b.ndim <= 2  # of a stack, NumPy keeps the order of its leading axes
Tensor.__matmul__ = _matmul_operator
Tensor.__rmatmul__ = lambda self, other: _matmul_operator(other, self)


def _dot_sample(d):
    a, b = d.choice([((3,), (3,)), ((), (2,)), ((2, 3), (3,)), ((2, 3), (4, 3, 2))])
    return d.array(a), d.array(b), {}


@composite(sample=_dot_sample, numpy=np.dot)
def dot(a, b, /):
    """Product over the last axis of a and the second to last of b (its only one, of a vector), as NumPy's dot.

    Of vectors their inner product, of matrices the matrix product; where both have more axes, every row of a meets
    every column of b: shape (*a.shape[:-1], *b.shape[:-2], b.shape[-1]). A 0-d operand multiplies.

    Raises ValueError where the two axes differ.

    Examples
    --------
    >>> mg.dot([1, 2, 3], [4, 5, 6])
    tensor(32, dtype=int64)
    """
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if b.ndim <= 2:
        return matmul(a, b)
    columns = transpose(b, (b.ndim - 2, *range(b.ndim - 2), b.ndim - 1))
    product = matmul(a, reshape(columns, (b.shape[-2], math.prod(b.shape[:-2]) * b.shape[-1])))
    return reshape(product, (*a.shape[:-1], *b.shape[:-2], b.shape[-1]))


@composite(sample=lambda d: (d.array(d.shape(1, 2)), d.array((3,)), {}), numpy=np.outer)
def outer(a, b, /):
    """Every element of a times every element of b: shape (a.size, b.size).

    Examples
    --------
    >>> mg.outer([1, 2], [3, 4]).tolist()
    [[3, 4], [6, 8]]
    """
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))


def _matvec_sample(d):
    a, v = d.choice([((2, 3), (3,)), ((2, 3), (4, 3)), ((4, 2, 3), (4, 3)), ((4, 2, 3), (3,)), ((1, 2, 3), (4, 3)),
                     ((2, 1, 2, 3), (4, 3)), ((2, 0), (4, 0))])  # fmt: skip
    return d.array(a), d.array(v), {}


@composite(sample=_matvec_sample, numpy=np.matvec)
def matvec(a, v, /):
    """Matrices (..., m, n) times vectors (..., n): (..., m), with leading axes that broadcast. W h of a paper, for
    every row h of a batch, is mg.matvec(W, h).

    Examples
    --------
    >>> mg.matvec([[1, 2], [3, 4]], [1, 1])
    tensor([3, 7], dtype=int64)
    """
    if a.ndim < 2 or v.ndim < 1:
        raise ValueError(f"wanted matrices and vectors, got shapes {a.shape} and {v.shape}")
    if a.ndim == 2:  # one large product
        return matmul(v, swapaxes(a, 0, 1))
    return matmul(a, v[..., None])[..., 0]


def _vecmat_sample(d):
    a, v, _ = _matvec_sample(d)
    return v, np.ascontiguousarray(np.swapaxes(a, -1, -2)), {}


@composite(sample=_vecmat_sample, numpy=np.vecmat)
def vecmat(v, a, /):
    """Vectors (..., n) times matrices (..., n, m): (..., m), with leading axes that broadcast.

    Examples
    --------
    >>> mg.vecmat([1, 1], [[1, 2], [3, 4]])
    tensor([4, 6], dtype=int64)
    """
    if a.ndim < 2 or v.ndim < 1:
        raise ValueError(f"wanted vectors and matrices, got shapes {v.shape} and {a.shape}")
    return matmul(v, a) if a.ndim == 2 else matmul(v[..., None, :], a)[..., 0, :]


# Einsum


@functools.lru_cache(maxsize=1024)
def _terms(subscripts: str, ndims: tuple[int, ...]) -> tuple[list[str], str]:
    """The operands' indices and the result's, each axis a letter: spaces, `...` and a missing result written out."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    given = left.split(",")
    if len(given) != len(ndims):
        raise ValueError(f"{subscripts!r} names {len(given)} operands, and there are {len(ndims)}")
    spare = [c for c in string.ascii_letters if c not in text]
    hidden = [n - len(term.replace("...", "", 1)) for term, n in zip(given, ndims)]  # axes that an ellipsis stands for
    for term, n, rest in zip(given, ndims, hidden):
        if rest < 0 or (rest and "..." not in term):
            raise ValueError(f"{term!r} of {subscripts!r} does not fit an operand of {n} dimensions")
    batch = "".join(spare[: max(hidden)])
    terms = [term.replace("...", batch[len(batch) - rest :]) for term, rest in zip(given, hidden)]
    if arrow:
        result = right.replace("...", batch)
        if batch and "..." not in right:
            raise ValueError(f"the result of {subscripts!r} wants an ellipsis too; to sum over its axes, name them")
    else:
        result = batch + "".join(c for c in sorted(set(left) - set(",.")) if left.count(c) == 1)
    if not all(c in string.ascii_letters for c in "".join(terms) + result):
        raise ValueError(f"{subscripts!r}: wanted letters, commas, `...` and at most one `->`, such as 'ij,jk->ik'")
    if len(set(result)) != len(result) or not set(result) <= set("".join(terms)):
        raise ValueError(f"the result's indices in {subscripts!r} must be different ones of the operands'")
    return terms, result


def _einsum_shape(*arrays, subscripts) -> tuple[int, ...]:
    terms, result = _terms(subscripts, tuple([x.ndim for x in arrays]))
    sizes: dict[str, int] = {}
    for term, x in zip(terms, arrays):
        own = dict(zip(term, x.shape))
        for index, n in zip(term, x.shape):
            if n != own[index] or (n != 1 and sizes.get(index, 1) not in (1, n)):
                raise ValueError(f"axes that share an index in {subscripts!r} differ in size; wanted equal ones, or 1")
            sizes[index] = sizes.get(index, 1) if n == 1 else n
    return tuple([sizes[index] for index in result])


def _einsum_vjp(g, arrays, subscripts):
    """For each operand, an einsum of the cotangent with the other operands.

    An index that this operand alone has (or has in its full size) was summed over: its cotangent is repeated, which is
    a product with ones. One that it has twice took the diagonal: its cotangent goes there, times the identity.
    """
    terms, result = _terms(subscripts, tuple([x.ndim for x in arrays]))
    pulled = []
    for k, (term, x) in enumerate(zip(terms, arrays)):
        factors = [g, *arrays[:k], *arrays[k + 1 :]]
        named = [result, *terms[:k], *terms[k + 1 :]]
        known = {
            (index, key_of(n)) for letters, factor in zip(named, factors) for index, n in zip(letters, factor.shape)
        }
        spare = iter([c for c in string.ascii_letters if c not in "".join([term, *named])])
        wanted = ""
        for index, n in zip(term, x.shape):
            if index in wanted:
                twin = next(spare)
                factors.append(np.eye(n, dtype=g.dtype))
                named.append(index + twin)
                wanted += twin
                continue
            if (index, key_of(n)) not in known:
                factors.append(filled((n,), g.dtype, 1))
                named.append(index)
            wanted += index
        product = contract(factors, subscripts=f"{','.join(named)}->{wanted}")
        pulled.append(product if product.shape == x.shape else sum_to(product, shape=x.shape))
    return pulled


def _einsum_sample(d):
    subscripts, *shapes = d.choice([
        ("ij,jk->ik", (2, 3), (3, 4)), ("ij,kj", (2, 3), (4, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)),
        ("ijk->j", (2, 3, 2)), ("ij,jk->ik", (2, 1), (3, 2)), ("iji,j->ij", (2, 3, 2), (3,)),
        ("...i,...i->...", (2, 1, 3), (4, 3)), ("b...i,ij", (2, 3, 2), (2, 4)),
        ("i,j,k->kji", (2,), (3,), (2,)), ("ij,jk,kl->il", (2, 3), (3, 2), (2, 2)), (",i->i", (), (3,)), ("ji", (2, 3)),
        ("ij,ij->i", (0, 2), (1, 2)),
    ])  # fmt: skip
    return [d.array(s) for s in shapes], {"subscripts": subscripts}


@op(shape=_einsum_shape, sample=_einsum_sample, arrays=_einsum_vjp, name="einsum", method=False)
def contract(arrays, /, subscripts):
    """Einsum of a sequence of operands: see `einsum`."""
    _einsum_shape(*arrays, subscripts=subscripts)
    terms, result = _terms(subscripts, tuple([x.ndim for x in arrays]))
    arrays, terms = list(arrays), list(terms)
    for k, (term, x) in enumerate(zip(terms, arrays)):
        unique = "".join(dict.fromkeys(term))
        elsewhere = [result, *terms[:k], *terms[k + 1 :]]
        alone = [i for i, c in enumerate(unique) if not any(c in other for other in elsewhere)]
        if alone and x.dtype.kind == "f":
            arrays[k] = sums.add_reduce(np.einsum(f"{term}->{unique}", x), tuple(alone))
            terms[k] = "".join([c for i, c in enumerate(unique) if i not in alone])
    if not result and len(arrays) > 1 and all(x.dtype.kind == "f" for x in arrays):
        return _dot_of_rest(arrays, terms)
    return np.einsum(f"{','.join(terms)}->{result}", *arrays, optimize=True)


def _dot_of_rest(arrays: list, terms: list[str]):
    """A number: the smallest operand times what the others are over its indices. BLAS would add it up in float32."""
    k = min(range(len(arrays)), key=lambda k: arrays[k].size)
    x, term = arrays.pop(k), terms.pop(k)
    indices = "".join(dict.fromkeys(term))
    x = np.einsum(f"{term}->{indices}", x)
    rest = np.einsum(f"{','.join(terms)}->{indices}", *arrays, optimize=True)
    product = rest * x
    return sums.add_reduce(product, tuple(range(product.ndim)))


@checked
def einsum(subscripts: str, *operands):
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
    if not isinstance(subscripts, str):
        raise TypeError(
            f"einsum: got subscripts of type {type(subscripts).__name__}, wanted a string such as 'ij,jk->ik'"
        )
    return contract(operands, subscripts=subscripts)


contract.op.keeps_order = False
numpy_rules[np.einsum] = einsum
