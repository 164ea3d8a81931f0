"""Cotangents of weights, kept as factors until somebody needs their value.

A weight that is used at every step of a loop gets one product a step, a.T @ g, and the sum of them all. Kept as the
lists of the a and of the g, that sum is a single product of the stacked lists: the same arithmetic, in one large call
in place of many small ones and as many additions.
"""

import numpy as np


class DeferredProduct:
    """The sum of a.T @ g over pairs of matrices, each pair with as many rows in a as in g."""

    __slots__ = ("dtype", "lefts", "rights", "shape")

    def __init__(self, lefts: list[np.ndarray], rights: list[np.ndarray]):
        self.lefts = lefts
        self.rights = rights
        self.shape = (lefts[0].shape[1], rights[0].shape[1])
        self.dtype = rights[0].dtype

    def add(self, other: "DeferredProduct") -> None:
        """Take in the pairs of another one."""
        self.lefts += other.lefts
        self.rights += other.rights

    def transpose(self, axes=None) -> "DeferredProduct":
        """(a.T @ g).T is g.T @ a."""
        return DeferredProduct(self.rights, self.lefts) if axes in (None, (1, 0), (-1, -2)) else self

    def swapaxes(self, a: int, b: int) -> "DeferredProduct":
        return self.transpose() if a % 2 != b % 2 else self

    def value(self) -> np.ndarray:
        if len(self.lefts) == 1:
            left, right = self.lefts[0], self.rights[0]
            return left.T * right if len(left) == 1 else left.T @ right
        return np.concatenate(self.lefts).T @ np.concatenate(self.rights)
