"""Attention as a function of queries, keys and values."""

import math

import numpy as np

from minigrad.arguments import Probability
from minigrad.ops.declare import composite
from minigrad.ops.elementwise import greater, greater_equal, where
from minigrad.ops.neural import dropout, softmax
from minigrad.ops.product import matmul
from minigrad.ops.reduce import cumsum
from minigrad.ops.shape import broadcast_to, swapaxes


def _sample(d):
    batch, heads = d.choice([((), ()), ((2,), (2,)), ((2,), ()), ((2, 1), (2, 3))])
    L, S, E, V = d.choice([(3, 4, 2, 2), (1, 1, 3, 2), (4, 4, 1, 3)])
    query, key, value = d.array((*heads, L, E)), d.array((*batch, S, E)), d.array((*batch, S, V))
    kind = d.choice(["none", "bool", "float", "causal"])
    mask = {"bool": lambda: d.mask((L, S)), "float": lambda: d.array((1, S))}.get(kind, lambda: None)()
    return query, key, value, mask, {"is_causal": kind == "causal"}


@composite(sample=_sample, method=False)
def scaled_dot_product_attention(
    query, key, value, attn_mask=None, /, dropout_p: Probability = 0.0, is_causal: bool = False, scale=None,
    generator: np.random.Generator | None = None,
):  # fmt: skip
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
    if (
        min(query.ndim, key.ndim, value.ndim) < 2
        or query.shape[-1] != key.shape[-1]
        or key.shape[-2] != value.shape[-2]
    ):
        raise ValueError(
            f"got query {query.shape}, key {key.shape}, value {value.shape}, "
            "wanted (..., L, E), (..., S, E), (..., S, V)"
        )
    if is_causal and attn_mask is not None:
        raise ValueError("got attn_mask and is_causal, wanted one of them")
    if dropout_p and generator is None:
        raise ValueError(f"got dropout_p={dropout_p}, wanted a generator with it, as mg.random.default_generator")
    scores = matmul(query, swapaxes(key, -1, -2)) * (1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale)
    allowed = attn_mask
    if is_causal:
        of_query, of_key = [cumsum(broadcast_to(np.ones((), np.int64), (n,)), axis=0) for n in scores.shape[-2:]]
        allowed = greater_equal(of_query[:, None], of_key)
    elif attn_mask is not None and attn_mask.dtype != bool:
        if attn_mask.dtype.kind != "f":
            raise TypeError(f"got attn_mask of {attn_mask.dtype}, wanted bool or float")
        scores, allowed = scores + attn_mask, greater(attn_mask, -np.inf)
    if allowed is None:
        weights = softmax(scores, axis=-1)
    else:  # -inf would make NaN of a query that may look at none
        lowest = float(np.finfo(scores.dtype).min)
        weights = where(allowed, softmax(where(allowed, scores, lowest), axis=-1), 0)
    return matmul(dropout(weights, dropout_p, generator) if dropout_p else weights, value)
