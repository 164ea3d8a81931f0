"""Batches of sequences of several lengths, as in `torch.nn.utils.rnn`: padded, packed, and one by one.

A padded batch and its `lengths` are what a layer takes fastest. A packed one has the steps of all sequences and no
padding: first the first step of each, longest sequence first, then the second steps of those that have one, and so on.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad import tree
from minigrad.arguments import checked
from minigrad.creation import arange, full
from minigrad.ops.elementwise import greater_equal, less, where
from minigrad.ops.join import concatenate, stack
from minigrad.ops.reduce import cumsum
from minigrad.tensor import Tensor, as_array, as_tensor

Lengths = Any


class PackedSequence(NamedTuple):
    """The steps of a batch of sequences without padding, as `pack_padded_sequence` makes it; `Recurrent` takes it and
    returns its output so.

    data: (sum of the lengths, ...). batch_sizes: how many sequences have a first step, a second, and so on.
    sorted_indices: which sequence of the batch is the longest, the next one, and so on; unsorted_indices: the place of
    each in that order.
    """

    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any

    def packed(self, padded, batch_first: bool = False) -> "PackedSequence":
        """Another padded batch of the same lengths, packed."""
        sizes = as_tensor(self.batch_sizes)
        first = cumsum(sizes, axis=0) - sizes  # where the rows of each step begin
        row = arange(self.data.shape[0])  # len() would fix the size in a trace
        step = greater_equal(row[:, None], first).sum(axis=1) - 1
        sequence = as_tensor(self.sorted_indices)[row - first[step]]
        padded = as_tensor(padded)
        return self._replace(data=padded[sequence, step] if batch_first else padded[step, sequence])


@checked
def pad_sequence(sequences: Sequence, batch_first: bool = False, padding_value: float = 0.0) -> Tensor:
    """Sequences of shapes (T_k, ...) as one batch (T, B, ...), or (B, T, ...), with `padding_value` after their ends.

    The lengths that a layer wants beside it are those of the sequences.

    >>> nn.pad_sequence([mg.ones(2), mg.ones(3)]).tolist()
    [[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]]

    Raises ValueError for no sequence and for shapes that differ in more than the first axis.
    """
    if not len(sequences):
        raise ValueError("pad_sequence: got no sequence, wanted at least one")
    tensors = [as_tensor(x) for x in sequences]
    if any(x.ndim == 0 or x.shape[1:] != tensors[0].shape[1:] or x.dtype != tensors[0].dtype for x in tensors):
        got = ", ".join(f"{x.dtype}{list(x.shape)}" for x in tensors[:5])
        raise ValueError(f"pad_sequence: got {got}, wanted one dtype, and shapes that differ in the first axis alone")
    longest = max(len(x) for x in tensors)
    rest = tensors[0].shape[1:]
    padded = [
        concatenate([x, full((longest - len(x), *rest), padding_value, x.dtype)]) if len(x) < longest else x
        for x in tensors
    ]
    return stack(padded, axis=0 if batch_first else 1)


@checked
def unpad_sequence(padded: Any, lengths: Lengths, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, one by one: what `pad_sequence` was given."""
    x = as_tensor(padded)
    found = numbers("unpad_sequence", lengths, x, batch_first, 0)
    return [x[k, :n] if batch_first else x[:n, k] for k, n in enumerate(found.tolist())]


@checked
def pack_padded_sequence(x: Any, lengths: Lengths, batch_first: bool = False) -> PackedSequence:
    """A padded batch (T, B, ...), or (B, T, ...), without its padding. lengths: B integers from 1 to T, in any order.

    >>> nn.pack_padded_sequence(np.array([[1, 4], [2, 5], [3, 0]]), [3, 2]).data.tolist()
    [1, 4, 2, 5, 3]
    """
    x = as_tensor(x)
    found = numbers("pack_padded_sequence", lengths, x, batch_first, 1)
    order = np.argsort(-found, kind="stable")
    sizes = (found > np.arange(found.max(initial=0))[:, None]).sum(1)
    empty = PackedSequence(np.empty(sizes.sum()), sizes, order, np.argsort(order))
    return empty.packed(x, batch_first)


@checked
def pack_sequence(sequences: Sequence) -> PackedSequence:
    """Sequences of shapes (T_k, ...), in any order, packed."""
    return pack_padded_sequence(pad_sequence(sequences), [len(x) for x in sequences])


@checked
def pad_packed_sequence(
    packed: PackedSequence, batch_first: bool = False, padding_value: float = 0.0
) -> tuple[Tensor, Tensor]:
    """(padded batch, lengths) of a packed one: what `pack_padded_sequence` was given."""
    data, sizes, place = as_tensor(packed.data), as_tensor(packed.batch_sizes), as_tensor(packed.unsorted_indices)
    first = cumsum(sizes, axis=0) - sizes
    there, row = less(place, sizes[:, None]), first[:, None] + place  # (T, B)
    if batch_first:
        there, row = there.T, row.T
    rows = data[where(there, row, 0)]
    padded = where(there.reshape((*there.shape, *[1] * (data.ndim - 1))), rows, np.array(padding_value, data.dtype))
    return padded, there.sum(axis=1 if batch_first else 0)


@checked
def unpack_sequence(packed: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, one by one."""
    return unpad_sequence(*pad_packed_sequence(packed))


def takes_packed(forward: Callable) -> Callable:
    """forward(self, x, ..., lengths) of a padded batch x, for packed ones, too."""

    @functools.wraps(forward)
    def call(self, x, *args, **kwargs):
        if not isinstance(x, PackedSequence):
            return forward(self, x, *args, **kwargs)
        for name in ("lengths", "mask"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    f"{type(self).__name__}: got {name} beside a packed sequence, which has its own lengths"
                )
        padded, lengths = pad_packed_sequence(x, self.batch_first)
        output, *rest = forward(self, padded, *args, **{**kwargs, "lengths": lengths})
        return tree.map(functools.partial(x.packed, batch_first=self.batch_first), output), *rest

    return call


def numbers(name: str, lengths, x: Tensor, batch_first: bool, least: int) -> np.ndarray:
    """Lengths as integers; refuses those that are not from `least` to the steps of x, one for each sequence."""
    if x.ndim < 2:
        raise ValueError(f"{name}: got a batch of shape {x.shape}, wanted (T, B, ...), or (B, T, ...) with batch_first")
    found = as_array(lengths)
    batch, steps = x.shape[:2] if batch_first else x.shape[1::-1]
    if found.dtype.kind not in "iu" or found.shape != (batch,) or ((found < least) | (found > steps)).any():
        raise ValueError(f"{name}: got lengths {found.tolist()}, wanted {batch} integers from {least} to {steps}")
    return found
