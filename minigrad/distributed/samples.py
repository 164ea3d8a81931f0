"""Which samples of a batch are this rank's, and what is drawn at random for them.

A sample has the same random numbers whatever rank it is on: each rank draws those of the whole batch, from the same
generator, and keeps those of its own samples. So all generators stay the same, too. Along which axis of a draw the
samples lie, a trial tells: the function runs on two batches of different size, and where the draw's shape follows, the
samples are. A draw whose shape does not follow is the same for all samples, and on all ranks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from minigrad.arguments import Count, checked
from minigrad.distributed.world import rank, reduced, size
from minigrad.modes import thread

Shape = tuple[int, ...]


@checked
def share(count: Count) -> slice:
    """Which of `count` samples are this rank's: as many on each, or one less on some.

    Examples
    --------
    >>> mg.distributed.share(10)
    slice(0, 10, None)
    """
    r, n = rank(), size()
    return slice(-(-r * count // n), -(-(r + 1) * count // n))


def own_rows(count: int) -> slice:
    """What this rank computes with: its share, or if that is empty the last sample, as it has to draw what all draw."""
    rows = share(count)
    return rows if rows.start < rows.stop else slice(count - 1, count)


def gathered(array: np.ndarray, axis: int | None, count: int) -> np.ndarray:
    """All `count` samples of an array of which each rank has its rows along an axis, bit for bit."""
    rows = share(count)
    if axis is None:
        return array
    whole = np.zeros((*array.shape[:axis], count, *array.shape[axis + 1 :]), array.dtype)
    if rows.start < rows.stop:
        whole[(slice(None),) * axis + (rows,)] = array
    return reduced(whole.view(np.uint8), what="the samples of all").view(whole.dtype)


@contextmanager
def drawing(draw: Callable) -> Iterator[None]:
    """While this lasts, draw(generator, shape, kind, dtype) makes the random numbers of this thread."""
    outer, thread.drawing = thread.drawing, draw
    try:
        yield
    finally:
        thread.drawing = outer


def numbers(generator, shape: Shape, kind: str, dtype) -> np.ndarray:
    return np.asarray(getattr(generator, kind)(shape, dtype=dtype))


class Draws:
    """The shapes that a function draws, each with the axis along which the samples lie, or None."""

    def __init__(self, run: Callable[[int], object], counts: tuple[int, int]):
        """run: of the function on a batch of so many samples. Raises ValueError if a draw has no one axis for them."""
        few, many = (self._shapes(run, count) for count in counts)
        if len(few) != len(many):
            raise ValueError(f"{len(few)} random draws for {counts[0]} samples and {len(many)} for {counts[1]}")
        self.found: set[tuple[Shape, int | None]] = set()
        for a, b in dict.fromkeys(zip(few, many)):
            apart = [k for k, pair in enumerate(zip(a, b)) if pair[0] != pair[1]]
            if len(a) != len(b) or len(apart) > 1 or any((a[k], b[k]) != counts for k in apart):
                raise ValueError(
                    f"random numbers of shape {a} for {counts[0]} samples and {b} for {counts[1]} are drawn: wanted "
                    "one axis that has as many places as there are samples"
                )
            self.found.add((a, apart[0] if apart else None))

    def _shapes(self, run, count: int) -> list[Shape]:
        shapes: list[Shape] = []

        def record(generator, shape, kind, dtype):
            shapes.append(shape)
            return numbers(generator, shape, kind, dtype)

        with drawing(record):
            run(count)
        return shapes

    def of(self, rows: slice, count: int):
        """A context in which the samples `rows` of `count` are drawn for."""
        axes: dict[Shape, int | None] = {}
        for shape, axis in self.found:
            if axis is not None:
                shape = (*shape[:axis], rows.stop - rows.start, *shape[axis + 1 :])
            if axes.setdefault(shape, axis) != axis:
                raise ValueError(
                    f"two random draws have the shape {shape}, and their samples lie along different axes: a batch "
                    "of another size, or another number of ranks, would tell them apart"
                )

        def draw(generator, shape, kind, dtype):
            if shape not in axes:
                raise ValueError(f"random numbers of shape {shape} are drawn, which was not so in the trial before")
            axis = axes[shape]
            if axis is None:
                return numbers(generator, shape, kind, dtype)
            whole = numbers(generator, (*shape[:axis], count, *shape[axis + 1 :]), kind, dtype)
            return np.ascontiguousarray(whole[(slice(None),) * axis + (rows,)])

        return drawing(draw)
