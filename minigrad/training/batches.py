"""Which examples make a batch, and sequences of several lengths as one array."""

from collections.abc import Iterable

import numpy as np

from minigrad.arguments import Count, Size, checked

__all__ = ["Batches", "pad"]


class Batches:
    """Numbers of examples, a batch a step: each example once an epoch, in an order that is drawn anew for each epoch.

    A batch follows from its step's number and the seed alone, so a run that is resumed needs to keep nothing of it.

    Parameters
    ----------
    examples
        How many there are; they are numbered from 0.
    size
        Examples a batch; the last batch of an epoch may have fewer.
    lengths
        The length of each example: then those of a batch are of nearly the same length, and little is padded. The
        epoch's order is cut into pools of `pool` batches, each pool is sorted by length and cut into batches, and
        the batches are put in an order that is drawn.
    pool
        Batches that are sorted together: the more, the less padding, and the less is left to chance.
    seed
        Of the orders.

    Examples
    --------
    >>> batches = mg.training.Batches(4, 2, lengths=[9, 1, 8, 2])
    >>> sorted(sorted(batches(step).tolist()) for step in range(len(batches)))
    [[0, 2], [1, 3]]
    """

    @checked
    def __init__(self, examples: Size, size: Size, *, lengths=None, pool: Size = 50, seed: Count = 0):
        self.size, self.pool, self.seed = size, pool, seed
        self.lengths = np.zeros(examples, int) if lengths is None else np.asarray(lengths)
        if self.lengths.shape != (examples,) or self.lengths.dtype.kind not in "iu":
            got = f"{self.lengths.dtype} of shape {self.lengths.shape}"
            raise ValueError(f"Batches: got lengths of {got}, wanted {examples} integers, one an example")
        self._epoch = -1, [np.zeros(0, int)]

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.lengths) // self.size)

    @checked
    def __call__(self, step: Count) -> np.ndarray:
        """The numbers of the examples of a step."""
        epoch, place = divmod(step, len(self))
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._batches(epoch)
        return self._epoch[1][place]

    def _batches(self, epoch: int) -> list[np.ndarray]:
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(len(self.lengths))
        pools = [order[k : k + self.pool * self.size] for k in range(0, len(order), self.pool * self.size)]
        pools = [pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools]
        batches = [pool[k : k + self.size] for pool in pools for k in range(0, len(pool), self.size)]
        return [batches[k] for k in generator.permutation(len(batches))]


@checked
def pad(sequences: Iterable, value: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of several lengths as one array, time first, and their lengths, as `Recurrent` takes them.

    Parameters
    ----------
    sequences
        Arrays (or lists) of shapes (T, ...) that differ in T alone.
    value
        What stands behind the end of the shorter ones.

    Returns
    -------
    (T, B, ...) and (B,), where T is the greatest length and B how many there are.

    Examples
    --------
    >>> padded, lengths = mg.training.pad([[1, 2, 3], [4]])
    >>> padded.tolist(), lengths.tolist()
    ([[1, 4], [2, 0], [3, 0]], [3, 1])
    """
    try:
        arrays = [np.asarray(sequence) for sequence in sequences]
        lengths = np.array([len(array) for array in arrays])
        filled = [array for array in arrays if len(array)] or arrays[:1]  # an empty list has no dtype of its own
        result = np.full((lengths.max(), len(arrays), *filled[0].shape[1:]), value, np.result_type(*filled))
        for b, array in enumerate(arrays):
            if (len(array) and array.shape[1:] != result.shape[2:]) or array.dtype.kind not in "fiub":
                raise ValueError(f"{array.dtype} of shape {array.shape} beside {filled[0].shape}")
            if len(array):
                result[: len(array), b] = array
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"pad: wanted sequences of numbers, alike but for their lengths: {error}") from error
    return result, lengths
