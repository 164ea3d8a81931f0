"""Gradients of all parameters, summed over the ranks: in one flat buffer, a bucket at a time, while backward runs.

The tape's backward visits the youngest node first, and parameters, older than all that is computed with them, last. For
the time of a backward that is to be reduced each parameter counts as made just before its first use, which is where its
gradient is complete: a bucket that is full is on its way while backward goes on to what lies before.

What is jitted as a whole is one node, which gives all gradients at once.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from minigrad.distributed.world import Meetings, reducing, wait, world
from minigrad.kernels import memory
from minigrad.tape import Node, tape_of
from minigrad.tensor import Tensor

BUCKET = 1 << 20  # bytes
BACKWARDS = threading.Lock()  # of all that move nodes


class Bucket:
    """Gradients that are reduced together: a piece of the flat buffer. parameters: their numbers."""

    def __init__(self, flat: np.ndarray, parameters: Sequence[int]):
        self.flat, self.missing = flat, set(parameters)
        self.request: Any = None


class Gradients:
    """The gradients of one step. Parameters are in the order in which modules have them: the last are complete first,
    so that buckets are filled from the end. Buckets go out in order, as MPI wants, whichever is full first."""

    def __init__(self, parameters: Sequence[Tensor]):
        self.parameters = parameters
        self.present = np.zeros(len(parameters))
        self.views: list[np.ndarray] = [np.empty(0)] * len(parameters)
        self.buckets: list[Bucket] = []
        self.bucket_of: dict[int, Bucket] = {}
        self.sent = 0
        for dtype in dict.fromkeys(p.dtype for p in parameters):
            self._divide([k for k, p in enumerate(parameters) if p.dtype == dtype][::-1], dtype)

    def _divide(self, numbers: list[int], dtype) -> None:
        """Lay gradients of one dtype into a flat buffer, and cut it into buckets."""
        flat = memory.empty((sum(self.parameters[k].size for k in numbers),), dtype)
        begin = end = 0
        inside: list[int] = []
        for k in numbers:
            p = self.parameters[k]
            self.views[k] = flat[end : end + p.size].reshape(p.shape)
            end += p.size
            inside.append(k)
            if (end - begin) * flat.itemsize >= BUCKET or k == numbers[-1]:
                self.buckets.append(Bucket(flat[begin:end], inside))
                self.bucket_of |= dict.fromkeys(inside, self.buckets[-1])
                begin, inside = end, []

    def take(self, k: int, gradient: Tensor | None) -> None:
        """Parameter k's gradient of this backward is complete."""
        self._add(k, gradient)
        while self.sent < len(self.buckets) and not self.buckets[self.sent].missing:
            self._send()
        for bucket in self.buckets[: self.sent]:
            bucket.request.Test()  # MPI works while it is asked

    def _add(self, k: int, gradient: Tensor | None) -> None:
        before = self.parameters[k].grad
        parts = [g._data for g in (before, gradient) if g is not None]
        if len(parts) == 2:
            np.add(parts[0], parts[1], out=self.views[k])
        else:
            self.views[k][...] = parts[0] if parts else 0
        self.present[k] = bool(parts)
        self.bucket_of[k].missing.discard(k)

    def _send(self) -> None:
        from mpi4py import MPI

        bucket = self.buckets[self.sent]
        bucket.request = world().Iallreduce(MPI.IN_PLACE, bucket.flat, MPI.SUM)
        self.sent += 1

    def finish(self, numbers: Sequence[float] = ()) -> np.ndarray:
        """Send what has not been sent, wait for all, and set the gradients: None of what has none on any rank.

        Returns the sums of a few numbers more.
        """
        for k in self.bucket_of:
            if k in self.bucket_of[k].missing:
                self._add(k, None)
        while self.sent < len(self.buckets):
            self._send()
        total = reducing(np.concatenate([self.present, numbers]), what="the sum of the losses")
        for bucket in self.buckets:
            wait(bucket.request, "the sum of the gradients")
        sums = total()
        Meetings.steps += 1
        for k, p in enumerate(self.parameters):
            p.grad = Tensor(self.views[k]) if sums[k] else None
        return sums[len(self.parameters) :]

    def backward(self, loss: Tensor, weight: float) -> None:
        """weight * loss, backward; gradients are taken as they come."""
        removes = [p.register_hook(partial(self.take, k)) for k, p in enumerate(self.parameters)]
        try:
            with first_used_first(loss, {p._node for p in self.parameters}):
                loss.backward(Tensor(np.full(loss.shape, weight, loss.dtype)))
        finally:
            for remove in removes:
                remove()


@contextmanager
def first_used_first(root: Tensor, leaves: set[Node]) -> Iterator[None]:
    """While this lasts, leaves count as made just before their first use in what a root depends on."""
    assert root._node is not None
    with BACKWARDS:
        before: dict[Node, float] = {}
        try:
            for node in tape_of([root._node]):
                for leaf in leaves.intersection(node.inputs) - before.keys():
                    before[leaf] = leaf.seq
                    leaf.seq = math.nextafter(node.seq, 0)
            yield
        finally:
            for leaf, seq in before.items():
                leaf.seq = seq
