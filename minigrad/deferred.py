"""Cotangents of weights, kept as factors until somebody needs their value.

A weight that is used at every step of a loop gets one product a step, a.T @ g, and the sum of them all. Kept as the
lists of the a and of the g, that sum is a single product of the stacked lists: the same arithmetic, in one large call
in place of many small ones and as many additions.
"""

import numpy as np

from minigrad.kernels import matmul

MOST = 1 << 22  # elements of factors to keep, before they are multiplied: the arrays could have been given back


class DeferredProduct:
    """The sum of a.T @ g over pairs of matrices, each pair with as many rows in a as in g, and of `total`."""

    __slots__ = ("dtype", "kept", "lefts", "rights", "shape", "total")

    def __init__(self, lefts: list[np.ndarray], rights: list[np.ndarray], total: np.ndarray | None = None):
        self.lefts = lefts
        self.rights = rights
        self.total = total
        self.kept = len(lefts[0]) if len(lefts) == 1 else sum(map(len, lefts))
        self.shape = (lefts[0].shape[1], rights[0].shape[1]) if total is None else total.shape
        self.dtype = rights[0].dtype if total is None else total.dtype

    def add(self, other: "DeferredProduct") -> None:
        """Take in the pairs of another one."""
        self.lefts += other.lefts
        self.rights += other.rights
        self.kept += other.kept
        if other.total is not None:
            self.total = other.total if self.total is None else self.total + other.total
        if self.kept * sum(self.shape) > MOST:
            self.total, self.lefts, self.rights, self.kept = self.value(), [], [], 0

    def transpose(self, axes=None) -> "DeferredProduct":
        """(a.T @ g).T is g.T @ a."""
        if axes not in (None, (1, 0), (-1, -2)):
            return self
        return DeferredProduct(self.rights, self.lefts, None if self.total is None else self.total.T)

    def swapaxes(self, a: int, b: int) -> "DeferredProduct":
        return self.transpose() if a % 2 != b % 2 else self

    def value(self) -> np.ndarray:
        if self.total is not None and not self.lefts:
            return self.total
        left = self.lefts[0] if len(self.lefts) == 1 else np.concatenate(self.lefts)
        right = self.rights[0] if len(self.rights) == 1 else np.concatenate(self.rights)
        product = left.T * right if len(left) == 1 else matmul.product(left.T, right)
        return product if self.total is None else np.add(self.total, product, out=product)


def value_of(cotangent):
    """The array of a cotangent that may be a DeferredProduct."""
    return cotangent.value() if type(cotangent) is DeferredProduct else cotangent
