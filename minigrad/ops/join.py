"""Joining tensors, dividing them into parts, and repeating them."""

import operator

import numpy as np

from minigrad.arguments import Size
from minigrad.ops.declare import composite, op
from minigrad.ops.shape import axis_of, broadcast_to, is_integer, reshape, shape_of
from minigrad.ops.table import Spec, publish
from minigrad.tensor import Tensor, as_array, look

# Joining and dividing


def _concatenated(*arrays: Spec, axis=0) -> tuple[int, ...]:
    if not arrays:
        raise ValueError("wanted at least one tensor")
    first = arrays[0]
    axis = axis_of(axis, first.ndim)
    for x in arrays:
        if x.ndim != first.ndim or any(x.shape[k] != first.shape[k] for k in range(first.ndim) if k != axis):
            raise ValueError(f"shapes must agree but on axis {axis}")
    return tuple([n if k != axis else sum([x.shape[axis] for x in arrays]) for k, n in enumerate(first.shape)])


@op(
    shape=_concatenated,
    sample=lambda d: ([d.array((2, 3)), d.array((d.integer(0, 3), 3))], dict(axis=d.choice([0, -2]))),
    arrays=lambda g, arrays_shape, axis: split(g, [s[axis] for s in arrays_shape], axis),
    numpy=(np.concatenate, np.concat),
    method=False,
)
def concatenate(arrays, /, axis=0):
    """A sequence of tensors, one after another along an axis that they have.

    Examples
    --------
    >>> mg.concatenate([[1, 2], [3]])
    tensor([1, 2, 3], dtype=int64)
    """
    return np.concatenate(arrays, operator.index(axis))


def _sizes(n: int, sections) -> list[int]:
    """Sizes of the pieces of n: `sections` is a number of equal pieces, or the sizes."""
    if is_integer(sections):
        if sections < 1 or n % sections:
            raise ValueError(f"cannot split {n} into {sections} equal pieces; give their sizes, or use chunk")
        return [n // sections] * int(sections)
    sizes = list(shape_of(sections))
    if sum(sizes) != n or any(m < 0 for m in sizes):
        raise ValueError(f"pieces of sizes {sizes} do not add up to {n}")
    return sizes


def _pieces(x: Spec, sections, axis=0) -> list[Spec]:
    axis = axis_of(axis, x.ndim)
    return [Spec((*x.shape[:axis], m, *x.shape[axis + 1 :]), x.dtype) for m in _sizes(x.shape[axis], sections)]


def _piece(x_shape, k: int, sections, axis):
    axis = axis_of(axis, len(x_shape))
    sizes = _sizes(x_shape[axis], sections)
    start = sum(sizes[:k])
    return (*[slice(None)] * axis, slice(start, start + sizes[k]), ...)


@op(
    shape=_pieces,
    sample=lambda d: (d.array((4, 6)), dict(sections=d.choice([2, (1, 2, 3)]), axis=d.choice([1, -1]))),
    x=lambda g, axis: concatenate(g, axis),
    view=True,
    place=lambda x_shape, k, sections, axis: _piece(x_shape, k, sections, axis),
)
def split(x, /, sections, axis=0):
    """A list of pieces along an axis. sections: the number of equal pieces, or (as in PyTorch) the size of each.

    np.split of a tensor, which takes the places of the cuts, works as in NumPy.

    Examples
    --------
    >>> [x.tolist() for x in mg.split([1, 2, 3, 4], 2)]
    [[1, 2], [3, 4]]
    """
    where = [slice(None)] * x.ndim
    pieces, start = [], 0
    for size in _sizes(x.shape[axis], sections):
        where[axis] = slice(start, start + size)
        pieces.append(x[tuple(where)])
        start += size
    return pieces


def _cut(x, indices_or_sections, axis=0):
    if not is_integer(indices_or_sections):
        n = x.shape[axis]
        cuts = [min(max(c + n if c < 0 else c, 0), n) for c in indices_or_sections]
        indices_or_sections = [end - start for start, end in zip([0, *cuts], [*cuts, n])]
    return split(x, indices_or_sections, axis)


publish(_cut, np.split, method=False)


@composite(sample=lambda d: (d.array((5, 3)), dict(chunks=d.integer(1, 6))))
def chunk(x, /, chunks: Size, axis=0):
    """A list of pieces of equal size along an axis, the last one smaller where it must be, `chunks` of them at most.

    As torch.chunk: the size is n / chunks rounded up, so that there may be fewer.

    Examples
    --------
    >>> [x.tolist() for x in mg.chunk([1, 2, 3, 4, 5], 2)]
    [[1, 2, 3], [4, 5]]
    """
    n = x.shape[axis_of(axis, x.ndim)]
    size = -(-n // chunks)
    return split(x, [min(size, n - start) for start in range(0, n, size)] if n else [0] * chunks, axis)


def _stacked(*arrays: Spec, axis=0) -> tuple[int, ...]:
    if not arrays:
        raise ValueError("wanted at least one tensor")
    if any(x.shape != arrays[0].shape for x in arrays):
        raise ValueError("wanted tensors of one shape")
    axis = axis_of(axis, arrays[0].ndim + 1)
    return (*arrays[0].shape[:axis], len(arrays), *arrays[0].shape[axis:])


@op(
    shape=_stacked,
    sample=lambda d: ([d.array((2, 3)) for _ in range(d.integer(1, 3))], dict(axis=d.choice([0, 1, 2, -1]))),
    arrays=lambda g, axis: unstack(g, axis),
    numpy=np.stack,
    method=False,
)
def stack(arrays, /, axis=0):
    """Tensors of one shape along a new axis.

    Examples
    --------
    >>> mg.stack([[1, 2], [3, 4]], axis=1).tolist()
    [[1, 3], [2, 4]]
    """
    if axis == 0 and arrays and arrays[0].ndim and len({x.shape for x in arrays}) == 1:  # np.stack is slow
        return np.concatenate(arrays).reshape(len(arrays), *arrays[0].shape)
    return np.stack(arrays, operator.index(axis))


def _unstacked(x: Spec, axis=0) -> list[Spec]:
    axis = axis_of(axis, x.ndim)
    return [Spec(x.shape[:axis] + x.shape[axis + 1 :], x.dtype)] * x.shape[axis]


@op(
    shape=_unstacked,
    sample=lambda d: (d.array((3, 2)), dict(axis=d.choice([0, 1, -1]))),
    x=lambda g, axis: stack(g, axis),
    numpy=np.unstack,
    view=True,
    place=lambda x_shape, k, axis: (*[slice(None)] * axis_of(axis, len(x_shape)), k, ...),
)
def unstack(x, /, axis=0):
    """A list of the slices along an axis; along the first it is what iteration over a tensor gives.

    Examples
    --------
    >>> [x.tolist() for x in mg.unstack([[1, 2], [3, 4]])]
    [[1, 2], [3, 4]]
    """
    first = x if axis == 0 else np.moveaxis(x, axis, 0)
    return [first[k, ...] for k in range(len(first))]


# Repeating


@composite(sample=lambda d: (d.array((2, 3)), dict(reps=d.choice([2, (3,), (2, 2), (2, 1, 2), (0, 1)]))), numpy=np.tile)
def tile(x, /, reps):
    """x laid out `reps` times along each axis (np.tile; in PyTorch, torch.tile and Tensor.repeat).

    Examples
    --------
    >>> mg.tile([1, 2], 2)
    tensor([1, 2, 1, 2], dtype=int64)
    """
    reps = shape_of(reps)
    ndim = max(len(reps), x.ndim)
    reps, shape = (1,) * (ndim - len(reps)) + reps, (1,) * (ndim - x.ndim) + x.shape
    apart = [size for n in shape for size in (1, n)]
    repeated = [size for r, n in zip(reps, shape) for size in (r, n)]
    together = tuple([r * n for r, n in zip(reps, shape)])
    return reshape(broadcast_to(reshape(x, tuple(apart)), tuple(repeated)), together)


@composite(
    sample=lambda d: (
        d.array((2, 3)),
        d.choice([dict(repeats=2), dict(repeats=2, axis=-1), dict(repeats=(2, 0, 1), axis=1)]),
    ),
    numpy=np.repeat,
)
def repeat(x, /, repeats, axis=None):
    """Each element in turn `repeats` times, an integer or one for each, along an axis; None: of the flattened x.

    As np.repeat and torch.repeat_interleave.

    Examples
    --------
    >>> mg.repeat([1, 2], 2)
    tensor([1, 1, 2, 2], dtype=int64)
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = axis_of(axis, x.ndim)
    if not is_integer(repeats):
        return x[(slice(None),) * axis + (np.repeat(np.arange(x.shape[axis]), look(as_array(repeats))),)]
    before, n, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    apart = broadcast_to(reshape(x, (*before, n, 1, *after)), (*before, n, repeats, *after))
    return reshape(apart, (*before, n * repeats, *after))


def _iter(self):
    if not self.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(unstack(self))


Tensor.__iter__ = _iter
