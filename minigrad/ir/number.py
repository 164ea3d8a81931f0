"""A number in a program."""

import numpy as np


class Number:
    """A number among the inputs of an elementwise value.

    It has a dtype, so that nothing that evaluates the value has to guess one: of Python numbers alone,
    `where(mask, 1.0, 0.0)` would be float32.
    """

    __slots__ = ("value",)
    shape, ndim, size = (), 0, 1
    dtype = property(lambda self: self.value.dtype)

    def __init__(self, x, dtype):
        self.value = np.dtype(dtype).type(x)

    def __repr__(self):
        return str(self.value)  # the shortest text that gives this number in its dtype

    def __eq__(self, other):  # 0.0 is not -0.0, and NaN is NaN
        return type(other) is Number and (self.dtype, repr(self)) == (other.dtype, repr(other))

    def __hash__(self):
        return hash(repr(self))
