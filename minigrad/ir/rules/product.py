"""Einsum: two operands at a time, in the order that costs least, each pair as one product of matrices."""

import math
import string

import numpy as np

from minigrad.ir.rules.kernel import Product
from minigrad.ir.rules.lookup import product_of_lookup
from minigrad.ir.rules.partition import PARTIAL, REPLICATE, SHARD, transposed
from minigrad.ir.rules.rule import Rule
from minigrad.ops.product import _terms
from minigrad.symbolic import hinted


def einsum(p, *arrays, subscripts):
    terms, result = _terms(subscripts, tuple([x.ndim for x in arrays]))
    sizes: dict[str, int] = {}
    for term, x in zip(terms, arrays):
        for index, n in zip(term, x.shape):
            sizes[index] = n if n != 1 else sizes.get(index, 1)
    operands = [simplified(p, x, term, result + "".join(terms[:k] + terms[k + 1 :]), sizes)
                for k, (x, term) in enumerate(zip(arrays, terms))]  # fmt: skip
    for pair in cheapest([term for _, term in operands], result, sizes):
        first, second = [operands.pop(k) for k in sorted(pair, reverse=True)][::-1]
        needed = result + "".join([term for _, term in operands])
        operands.append(multiplied(p, *first, *second, needed))
    ((x, term),) = operands
    x, term = summed(p, x, term, result)
    return spread(p, x, term, result, sizes)


def cheapest(terms: list[str], result: str, sizes) -> list[tuple]:
    """Which two operands to multiply, one after another; their product comes last in the list then."""
    if len(terms) < 2:
        return []
    shapes = [np.broadcast_to(np.empty(()), hinted([sizes[index] for index in term])) for term in terms]
    path, _ = np.einsum_path(f"{','.join(terms)}->{result}", *shapes, optimize="greedy")
    pairs: list[tuple] = []
    for step in path[1:]:
        count = len(terms) - len(pairs)
        places = sorted(step)
        pairs += [tuple(places[-2:])] if len(places) > 1 else []
        for done in range(1, len(places) - 1):  # several at once: the product with the next one
            pairs.append((places[-2 - done], count - 1 - done))
    return pairs


def simplified(p, x, term: str, elsewhere: str, sizes):
    """An operand with every index once: of one that stands twice the diagonal, of one that nothing else has the sum.

    An axis of size 1 that is stretched to another operand's goes too.
    """
    k = 0
    while k < len(term):
        index, first = term[k], term.index(term[k])
        if first < k:
            x = p.apply("diagonal", x, offset=0, axis1=first, axis2=k)
            term = term[:first] + term[first + 1 : k] + term[k + 1 :] + index
            k = 0
        elif x.shape[k] == 1 != sizes[index]:
            x = p.apply("reshape", x, shape=(*x.shape[:k], *x.shape[k + 1 :]))
            term = term[:k] + term[k + 1 :]
        else:
            k += 1
    return summed(p, x, term, elsewhere)


def summed(p, x, term: str, needed: str):
    """The sum over the indices that nothing needs."""
    axes = tuple([k for k, index in enumerate(term) if index not in needed])
    return (p.apply("sum", x, axis=axes, keepdims=False) if axes else x), "".join(
        [index for index in term if index in needed]
    )


def multiplied(p, a, of_a: str, b, of_b: str, needed: str):
    """The product of two operands, summed over what they share and nobody needs."""
    shared = [index for index in of_a if index in of_b]
    batch = "".join([index for index in shared if index in needed])
    inner = "".join([index for index in shared if index not in needed])
    if needed and not batch and of_b and needed[0] in of_b:  # the left one gives the leading axes
        a, of_a, b, of_b = b, of_b, a, of_a
    rows = "".join([index for index in of_a if index not in shared])
    columns = "".join([index for index in of_b if index not in shared])
    sizes = dict(zip(of_a + of_b, (*a.shape, *b.shape)))

    def shape(*groups) -> tuple:
        return tuple([math.prod([sizes[index] for index in group]) for group in groups])

    lead = (of_a[:1], of_b[:1])
    crossed = needed[:1] not in (*batch, "") or (lead[0] == lead[1] and lead[0] in (*inner,))
    in_a_loop = p.parent is not None  # whose rows threads divide
    if inner and batch and crossed and in_a_loop and type(sizes[batch[0]]) is int and sizes[batch[0]] <= UNROLLED:
        return unrolled(p, a, of_a, b, of_b, needed, batch[0], sizes[batch[0]])
    result = batch + rows + columns
    if not inner or not (rows or columns):
        left = ordered(p, a, of_a, batch + rows + inner)
        left = p.apply("reshape", left, shape=shape(*batch, *rows, *([""] * len(columns)), *inner))
        right = ordered(p, b, of_b, batch + columns + inner)
        right = p.apply("reshape", right, shape=shape(*batch, *([""] * len(rows)), *columns, *inner))
        product = p.apply("mul", left, right)
        axes = tuple(range(len(result), len(result) + len(inner)))
        return (p.apply("sum", product, axis=axes, keepdims=False) if axes else product), result
    if not rows and not batch:  # a vector on the left
        a, of_a, b, of_b, rows, columns = b, of_b, a, of_a, columns, rows
        result = rows
    groups = (*batch, rows) if batch else (*rows,)  # without a batch, the rows keep their axes
    if not batch and rows and columns and lead == (inner[0], inner[0]):  # the gradient of a weight, a.T @ b
        left = p.apply("reshape", ordered(p, a, of_a, inner + rows), shape=shape(inner, rows))
        left = p.apply("transpose", left, axes=(1, 0))
    else:
        left = p.apply("reshape", ordered(p, a, of_a, batch + rows + inner), shape=shape(*groups, inner))
    right = ordered(p, b, of_b, batch + inner + columns)
    matrix = columns or batch
    product = p.apply(
        "matmul", left, p.apply("reshape", right, shape=shape(*batch, inner, columns) if matrix else shape(inner))
    )
    return p.apply("reshape", product, shape=shape(*result)), result


UNROLLED = 16  # products that are one after another rather than one, whose leading axis would not be the rows'


def unrolled(p, a, of_a: str, b, of_b: str, needed: str, index: str, size: int):
    """A product for each value of an index that both operands and the result have (as heads), side by side.

    As one, its leading axis would be that index; so it stays that of the rows.
    """
    made = []
    for k in range(size):
        parts = [
            p.apply("getitem", x, index=(*[slice(None)] * term.index(index), k)) for x, term in ((a, of_a), (b, of_b))
        ]
        y, result = multiplied(
            p, parts[0], of_a.replace(index, ""), parts[1], of_b.replace(index, ""), needed.replace(index, "")
        )
        made.append(y)
    at = int(result[:1] == needed[:1])  # behind the rows
    shape = (*y.shape[:at], 1, *y.shape[at:])
    joined = p.apply("concatenate", *[p.apply("reshape", y, shape=shape) for y in made], axis=at)
    return joined, result[:at] + index + result[at:]


def ordered(p, x, term: str, wanted: str):
    return p.apply("transpose", x, axes=tuple([term.index(index) for index in wanted]))


def spread(p, x, term: str, result: str, sizes):
    """The axes in the order of the result; those of size 1 that were left out are back."""
    x = ordered(p, x, term, "".join([index for index in result if index in term]))
    shape = tuple([sizes[index] for index in result])
    return p.apply("broadcast_to", p.apply("reshape", x, shape=tuple(
        [sizes[index] if index in term else 1 for index in result])), shape=shape)  # fmt: skip


def matmul(p, a, b):
    """An outer product for each row is a multiplication, which is fused with what is made of it."""
    return p.apply("mul", a, b) if a.ndim >= 3 <= b.ndim and a.shape[-1] == 1 else None


# Under one more leading axis


def einsum_batched(b, *arrays, subscripts):
    terms, result = _terms(subscripts, tuple([len(b.shape(k)) for k in range(len(arrays))]))
    sample = next((c for c in string.ascii_letters if c not in "".join(terms)), None)
    if sample is None:
        raise ValueError(f"einsum: {subscripts!r} leaves no letter for an axis of samples")
    terms = [sample + term if on else term for term, on in zip(terms, b.on)]
    return b.o.einsum(*arrays, subscripts=f"{','.join(terms)}->{sample}{result}")


def matmul_batched(b, x, y):
    left, right = b.shape(0), b.shape(1)
    if b.on == (True, False) and len(right) <= 2:  # one product of all samples' rows
        return b.apply(x, y)
    if b.on == (False, True) and len(right) == 1 and len(left) <= 2:  # of columns, which are rows of the transpose
        return b.apply(y, x if len(left) == 1 else b.o.swapaxes(x, axis1=-1, axis2=-2))
    rows = left if len(left) > 1 else (1, *left)
    columns = right if len(right) > 1 else (*right, 1)
    ndim = max(len(rows), len(columns))

    def lined(k: int, shape: tuple):
        return b.o.reshape(b.inputs[k], shape=(b.size, *[1] * (ndim - len(shape)), *shape) if b.on[k] else shape)

    product = b.apply(lined(0, rows), lined(1, columns))
    ends = [*product.shape[-2:-1]] * (len(left) > 1) + [*product.shape[-1:]] * (len(right) > 1)
    return b.o.reshape(product, shape=(*product.shape[:-2], *ends))


def matmul_partition(v, of_a, of_b):
    a, b = v.inputs
    if of_a == transposed(of_b) and a.ndim == 2 == b.ndim:
        return PARTIAL
    if of_a == SHARD and of_b == REPLICATE and a.ndim >= 2 and b.ndim <= 2:
        return SHARD
    if a.ndim == b.ndim >= 3 and all(
        k == SHARD or x.shape[0] in (1, v.shape[0]) for x, k in zip(v.inputs, (of_a, of_b))
    ):
        return SHARD  # what is replicated is read at the same rows
    if of_a == REPLICATE and of_b == SHARD and b.ndim >= 3 and 2 <= a.ndim < b.ndim:
        return SHARD
    return None


def matmul_stacked(v, axis, of_a, of_b):
    """Rows times a matrix that is the same for all."""
    a, b = v.inputs
    return axis if not of_b and b.ndim <= 2 and axis < a.ndim - 1 else None


def matmul_flops(shapes, results) -> float:
    return 2.0 * math.prod(results[0]) * shapes[0][-1]


def matmul_is_outer(v) -> bool:
    """Whether no term is added to another."""
    return v.inputs[0].shape[-1] == 1


def einsum_is_outer(v) -> bool:
    terms, result = _terms(v.params["subscripts"], tuple([x.ndim for x in v.inputs]))
    return set("".join(terms)) == set(result)


def matmul_hoist(v, of_a, of_b) -> bool:
    """With a weight on one side: of the rows of all steps, or of their columns."""
    a, b = v.inputs
    return b.ndim <= 2 if of_a and not of_b else of_b and not of_a and a.ndim == 2 and b.ndim == 1


def matmul_over_steps(v):
    """Of a.T @ b, a weight's gradient: one product over the rows of all steps. Of a matrix for each sample, one product
    for each."""
    a, b = v.inputs
    if a.ndim > 2 and a.shape[:-2] == b.shape[:-2]:
        return matrices_over_steps(v, a, b, a.shape[-1])
    if not (a.ndim == 2 == b.ndim and is_transposed(a)):
        return None

    def lined(o, x):
        return o.reshape(x, shape=(math.prod(x.shape[:-1]), x.shape[-1]))

    return (a.inputs[0], b), lambda o, x, y: o.matmul(o.transpose(lined(o, x), axes=(1, 0)), lined(o, y))


def is_transposed(x) -> bool:
    """Of a matrix: by the canonical form, or by what is called while a program is traced."""
    name = getattr(x.op, "name", "")
    return name == "transpose" or (name == "swapaxes" and (x.params["axis1"] - x.params["axis2"]) % 2 == 1)


def outer_over_steps(v):
    """Of an outer product, or one for each sample, which is a multiplication that broadcasts: a product of matrices."""
    for a, b in (v.inputs, v.inputs[::-1]) if v.ndim > 1 else ():
        shapes = [(*[1] * (v.ndim - x.ndim), *x.shape) for x in (a, b)]
        if shapes == [(*v.shape[:-1], 1), (*v.shape[:-2], 1, v.shape[-1])]:
            return matrices_over_steps(v, a, b, 1)
    return None


def matrices_over_steps(v, a, b, k: int):
    """Of products (*samples, n, k) @ (*samples, k, m), where the result is larger than the operands: one of matrices
    that are longer by the number of steps."""
    if v.size <= a.size + b.size:
        return None
    (*samples, n, m), s = v.shape, v.ndim - 2

    def make(o, x, y):
        steps = x.shape[0]
        x, y = o.reshape(x, shape=(steps, *samples, n, k)), o.reshape(y, shape=(steps, *samples, k, m))
        x = o.transpose(x, axes=(*range(1, s + 1), 0, s + 2, s + 1))  # the rows of all steps, as of a.T @ b
        y = o.transpose(y, axes=(*range(1, s + 1), 0, s + 1, s + 2))
        x, y = o.reshape(x, shape=(*samples, steps * k, n)), o.reshape(y, shape=(*samples, steps * k, m))
        return o.matmul(o.transpose(x, axes=(*range(s), s + 1, s)), y)

    return (a, b), make


RULES = {
    "einsum": Rule(canonical=einsum, batch=einsum_batched, light=einsum_is_outer),
    "matmul": Rule(
        canonical=matmul,
        batch=matmul_batched,
        partition=matmul_partition,
        stacked=matmul_stacked,
        kernel=Product(),
        flops=matmul_flops,
        hoist=matmul_hoist,
        light=matmul_is_outer,
        sinks=True,
        linear=(0, 1),
        rounded="matmul_bfloat16",
        of_rows=product_of_lookup,
        over_steps=matmul_over_steps,
    ),
    "matmul_bfloat16": Rule(
        batch=matmul_batched,
        partition=matmul_partition,
        stacked=matmul_stacked,
        kernel=Product(rounds=True),
        flops=matmul_flops,
    ),
}
