"""Indexing, gathering and scattering."""

import numpy as np

from minigrad.ops.table import Spec, op
from minigrad.tensor import Tensor, unwrap


def is_basic(index) -> bool:
    """Whether an index selects each element at most once: ints, slices, None and Ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, (int, slice, np.integer)) for p in parts)


def _indexed(x: Spec, index) -> tuple[int, ...]:
    probe = np.broadcast_to(np.empty((), x.dtype), x.shape)  # takes no memory, and NumPy knows the rules of indexing
    return probe[index].shape


@op(
    shape=_indexed,
    sample=lambda d: (d.array((3, 4)), dict(index=d.choice([1, (slice(None), 2), np.array([0, 0, 2]), (Ellipsis, None)]))),
    x=lambda g, x_shape, index: unindex(g, shape=x_shape, index=index),
    method=False,
)
def getitem(x, /, index):
    """x[index], as NumPy: ints, slices, None, Ellipsis, integer arrays, boolean masks."""
    return x[index]


@op(
    shape=lambda g, shape, index: tuple(shape),
    sample=lambda d: (d.array((2, 4)), dict(shape=(3, 4), index=np.array([0, 2]))),
    g=lambda g, index: getitem(g, index=index),
    method=False,
)
def unindex(g, /, shape, index):
    """Zeros of `shape` with g added at `index`: the transpose of getitem. What an index names twice gets both."""
    result = np.zeros(shape, g.dtype)
    if is_basic(index):
        result[index] = g
    else:
        np.add.at(result, index, g)
    return result


def _getitem(self, index):
    if not is_basic(index):
        index = unwrap(index)
    return getitem(self, index=index)


Tensor.__getitem__ = _getitem
