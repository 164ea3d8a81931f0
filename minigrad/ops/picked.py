"""x[index] and x[index] = value where the numbers of an index are not known: a function is traced, or mapped.

NumPy's rules of integer indices, in ops that compile. The axes that integers pick from become one, from which `take`
picks; what is written is chosen, place by place, by `where`.
"""

import math
from functools import reduce
from typing import NamedTuple

import numpy as np

from minigrad.ops.along import take, take_along_axis, untake
from minigrad.ops.elementwise import logical_and, maximum, where
from minigrad.ops.index import getitem, is_basic, owned_index
from minigrad.ops.reduce import any as any_of
from minigrad.ops.shape import broadcast_to, reshape, transpose
from minigrad.symbolic import broadcast_shapes
from minigrad.tensor import Tensor, unwrap


class Picked(NamedTuple):
    """part: of the tensor, what slices, None and Ellipsis leave. axes: those of it that integers pick from, in order.
    indices: the integers of each. place: which axis of the result is the first of the indices' own."""

    part: Tensor
    axes: tuple[int, ...]
    indices: tuple
    place: int

    @property
    def shape(self) -> tuple:
        """Of the result."""
        rest = [n for k, n in enumerate(self.part.shape) if k not in self.axes]
        own = broadcast_shapes(*[i.shape for i in self.indices])
        return (*rest[: self.place], *own, *rest[self.place :])

    @property
    def order(self) -> list[int]:
        """Of the part's axes, so that those that integers pick from stand together, at the place."""
        rest = [k for k in range(self.part.ndim) if k not in self.axes]
        return [*rest[: self.place], *self.axes, *rest[self.place :]]


def unknown(part) -> bool:
    """Whether it is an integer, or several, that nobody knows yet."""
    return isinstance(part, Tensor) and not isinstance(part._data, np.ndarray) and part.dtype.kind in "iu"


def picked(x: Tensor, index) -> Picked | None:
    """What an index with unknown integers picks; None of another one."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if not any(unknown(part) for part in parts):
        return None
    parts = [part if part is None or part is ... or isinstance(part, slice) or unknown(part) else unwrap(part)
             for part in parts]  # fmt: skip
    arrays = [
        np.asarray(part) for part in parts if not (part is None or part is ... or isinstance(part, (slice, Tensor)))
    ]
    if any(a.dtype.kind not in "biu" or (a.dtype == bool and a.ndim == 0) for a in arrays):
        return None
    masks = sum([a.ndim - 1 for a in arrays if a.dtype == bool])
    named = masks + sum([part is not None and part is not ... for part in parts])
    if named > x.ndim or sum([part is ... for part in parts]) > 1:
        raise IndexError(f"an index of {named} entries does not fit {x.ndim} dimensions")
    basic: list = []
    axes, indices = [], []
    for part in parts:
        if part is None or isinstance(part, slice):
            basic.append(part)
        elif part is ...:
            basic += [slice(None)] * (x.ndim - named)
        else:
            known = not isinstance(part, Tensor)
            for one in np.asarray(part).nonzero() if known and np.asarray(part).dtype == bool else [part]:
                axes.append(len(basic))
                indices.append(np.asarray(one) if known else one)
                basic.append(slice(None))
    at = [k for k, part in enumerate(parts) if not (part is None or part is ... or isinstance(part, slice))]
    together = at == list(range(at[0], at[0] + len(at)))
    plain = all(isinstance(part, slice) and part == slice(None) for part in basic)
    return Picked(x if plain else getitem(x, tuple(basic)), tuple(axes), tuple(indices), axes[0] if together else 0)


def pick(p: Picked) -> Tensor:
    """The result."""
    if of_each_row(p):
        n, _, *rest = p.part.shape
        at = broadcast_to(reshape(p.indices[1], (n, 1, *[1] * len(rest))), (n, 1, *rest))
        return reshape(take_along_axis(p.part, at, 1), (n, *rest))
    return take(*in_one_axis(p))


def of_each_row(p: Picked) -> bool:
    """Whether each row has an index of its own, x[arange(n), i], so that rows do not meet."""
    if p.axes != (0, 1) or p.indices[1].shape != p.part.shape[:1]:
        return False
    return isinstance(p.indices[0], np.ndarray) and np.array_equal(p.indices[0], np.arange(p.part.shape[0]))


def in_one_axis(p: Picked) -> tuple:
    """(the part with the axes that integers pick from made one, the places along it, which axis it is)"""
    if len(p.axes) == 1:
        return p.part, p.indices[0], p.axes[0]
    whole = transpose(p.part, p.order)
    sizes = [p.part.shape[k] for k in p.axes]
    places, inside = 0, True
    for i, n in zip(p.indices, sizes):
        inside = logical_and(inside, logical_and(-n <= i, i < n))
        places = places * n + where(i < 0, i + n, i)
    count = math.prod(sizes)
    rest = [n for k, n in enumerate(p.part.shape) if k not in p.axes]
    flat = reshape(whole, (*rest[: p.place], count, *rest[p.place :]))
    return flat, where(inside, places, -count - 1), p.place  # `take` says that there is no such place


def put(p: Picked, value: Tensor) -> Tensor:
    """The part with value in the places that are picked, broadcast to them. Of what is picked twice the last stays."""
    if value.ndim > len(p.shape):
        value = reshape(value, value.shape[value.ndim - len(p.shape) :])
    value = broadcast_to(value, p.shape)
    if of_each_row(p) or all(i.ndim == 0 for i in p.indices):
        chosen = reduce(logical_and, [at(p, *pair) for pair in zip(p.axes, p.indices)])
        shape = [1 if k in p.axes[of_each_row(p) :] else n for k, n in enumerate(p.part.shape)]
        return where(chosen, reshape(value, tuple(shape)), p.part)
    return put_in_order(p, value)


def at(p: Picked, axis: int, index) -> Tensor:
    """Where the part's places along an axis are those of an index: of one for all, or of one for each row."""
    n = p.part.shape[axis]
    index = take(Tensor(np.arange(n)), index, 0)  # counted from the front; one that there is not is said
    index = reshape(index, (*index.shape, *[1] * (p.part.ndim - index.ndim)))
    return index == np.arange(n).reshape(-1, *[1] * (p.part.ndim - axis - 1))


def put_in_order(p: Picked, value: Tensor) -> Tensor:
    flat, places, axis = in_one_axis(p)
    own = len(p.shape) - (flat.ndim - 1)  # how many axes the indices have
    front = [axis, *[k for k in range(flat.ndim) if k != axis]]
    rows = transpose(flat, front)
    first = range(axis, axis + own)
    value = transpose(value, [*first, *[k for k in range(value.ndim) if k not in first]])
    count = math.prod(value.shape[:own])
    places = reshape(broadcast_to(places, value.shape[:own]), (count,))
    values = reshape(value, (count, *rows.shape[1:]))
    number = np.arange(1, count + 1)
    places = where(places < 0, places + rows.shape[0], places)
    again = any_of(logical_and(places[:, None] == places, number[:, None] < number), axis=1)
    last = untake(where(again, 0, number), places, (rows.shape[0],), 0)  # the number of the value of each place, or 0
    there = reshape(last > 0, (rows.shape[0], *[1] * (rows.ndim - 1)))
    rows = where(there, take(values, maximum(last - 1, 0), 0), rows)
    back = transpose(rows, np.argsort(front).tolist())
    if len(p.axes) == 1:
        return back
    sizes = [p.part.shape[k] for k in p.axes]
    whole = reshape(back, (*back.shape[:axis], *sizes, *back.shape[axis + 1 :]))
    return transpose(whole, np.argsort(p.order).tolist())


def _getitem(self, index):
    if type(index) is int or is_basic(index):
        return getitem(self, index)
    if isinstance(index, Tensor) and index.dtype.kind in "iu":
        return take(self, index, 0)
    found = picked(self, index)
    return getitem(self, owned_index(index)) if found is None else pick(found)


Tensor.__getitem__ = _getitem
