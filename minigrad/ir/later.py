"""Sums of products of each sample's matrices, kept as factors until somebody needs them (as minigrad/deferred.py).

The gradient of a weight that is used at every step of an eager loop is a sum of products. Where all samples share the
weight it is one product over the steps and the samples; else it is one a sample, over the steps.
"""

from collections.abc import Callable, Sequence

import numpy as np

from minigrad.ir.rules.batch import Ops
from minigrad.modes import RAW, thread


class Later:
    """The sum of some terms, each an op on operands with an axis of samples, and ops that are linear after it.

    make: from the operands, with an axis in front, to the sum over that axis (Rule.over_steps). first: the op itself,
    for the only term. after: (name, params) of the ops after the sum. key: what terms must have in common to be added.
    """

    def __init__(self, ops: Ops, key: tuple, make: Callable, first: Callable, terms: list, after: tuple = ()):
        self.ops, self.key, self.make, self.first, self.terms, self.after = ops, key, make, first, terms, after

    def plus(self, other: "Later") -> "Later | None":
        if self.key != other.key:
            return None
        return Later(self.ops, self.key, self.make, self.first, self.terms + other.terms, self.after)

    def then(self, name: str, params: dict) -> "Later":
        key, after = (*self.key, name, repr(params)), (*self.after, (name, params))
        return Later(self.ops, key, self.make, self.first, self.terms, after)

    def total(self) -> np.ndarray:
        """The sum over the samples, too."""
        return self.sum_of([np.concatenate(x) if len(x) > 1 else x[0] for x in zip(*self.terms)])

    def value(self) -> np.ndarray:
        """For each sample."""
        mode, thread.mode = thread.mode, RAW
        try:
            if len(self.terms) == 1 and not self.after:
                return self.first()
            stacks = [np.stack(x) for x in zip(*self.terms)]
            size = stacks[0].shape[1]
            if not size:  # the shape is that of one
                stacks = [np.zeros((x.shape[0], 1, *x.shape[2:]), x.dtype) for x in stacks]
            return np.stack([self.sum_of([x[:, k] for x in stacks]) for k in range(max(size, 1))])[:size]
        finally:
            thread.mode = mode

    def sum_of(self, operands: Sequence[np.ndarray]) -> np.ndarray:
        result = self.make(self.ops, *operands)
        for name, params in self.after:
            result = self.ops.make(name, result, **params)
        return result
