"""What batching rules are made of: the op under one more leading axis, which some of its operands have.

A rule is called as rule(b, *inputs, **params), with the operands and parameters of the call for one sample, only that
some operands have an axis of samples in front. It gives the results, each with that axis. It is written with ops, so
that it works on the values of a program and on tensors alike.

    one sample                                 y = sum(x, axis=0)
    the rule's result, x of shape (n, ...)     Y = sum(X, axis=1)
"""

import math
from collections.abc import Callable, Sequence

from minigrad.ops.shape import axes_of, axis_of
from minigrad.ops.table import Spec, table


class Ops:
    """The ops of the table by name, as `make(name, *inputs, **params)` makes them: `o.mul(a, b)`.

    constant: from an array to what the ops take. The operands of concatenate and the like are given one by one.
    """

    def __init__(self, make: Callable, constant: Callable):
        self.make, self.constant = make, constant

    def __getattr__(self, name: str) -> Callable:
        return lambda *inputs, **params: self.make(name, *inputs, **params)


def ops_of(program) -> Ops:
    """On values of a program."""
    return Ops(program.apply, program.constant)


def _call(name: str, *inputs, **params):
    op = table[name]
    return op.call(list(inputs), **params) if op.variadic else op.call(*inputs, **params)


ON_TENSORS = Ops(_call, lambda array: array)


class Batch:
    """One call under a leading axis of `size` samples. name: of the op. o: the ops that the rule is to use. on: for
    each operand, whether it has the axis."""

    def __init__(self, o: Ops, name: str, size: int, inputs: Sequence, on: Sequence[bool]):
        self.o, self.name, self.size = o, name, size
        self.inputs, self.on = tuple(inputs), tuple(on)

    def apply(self, *inputs, **params):
        """The op itself."""
        return self.o.make(self.name, *inputs, **params)

    def shape(self, k: int) -> tuple[int, ...]:
        """Of operand k of one sample."""
        x = self.inputs[k]
        return tuple(getattr(x, "shape", ()))[1 if self.on[k] else 0 :]

    def spec(self, k: int) -> Spec:
        return Spec(self.shape(k), self.inputs[k].dtype)

    def whole(self, k: int):
        """Operand k with the axis of samples: repeated if it does not have it."""
        if self.on[k]:
            return self.inputs[k]
        return self.o.broadcast_to(self.inputs[k], shape=(self.size, *self.shape(k)))

    def padded(self, k: int, ndim: int):
        """Operand k, with axes of size 1 behind that of samples, so that others of ndim axes broadcast with it."""
        x, shape = self.inputs[k], self.shape(k)
        if not self.on[k] or len(shape) >= ndim:
            return x
        return self.o.reshape(x, shape=(self.size, *[1] * (ndim - len(shape)), *shape))

    def reshaped(self, x, *shape: int):
        """x in this shape a sample."""
        return self.o.reshape(x, shape=(self.size, *shape))

    def front(self, x, axis: int):
        """x with this axis, that of the samples, moved to the front."""
        return self.o.transpose(x, axes=(axis, *[k for k in range(x.ndim) if k != axis]))


def elementwise(b: Batch, *inputs):
    ndim = max([len(b.shape(k)) for k in range(len(inputs))])
    return b.apply(*[b.padded(k, ndim) for k in range(len(inputs))])


def leading(b: Batch, *inputs, **params):
    """Of ops that work on the last axes alone, whatever comes before them."""
    return b.apply(*[b.whole(k) for k in range(len(inputs))], **params)


def over_axes(b: Batch, *inputs, axis=None, **params):
    """Of ops over any axes of operands of one shape."""
    axes = tuple([k + 1 for k in axes_of(axis, len(b.shape(0)))])
    return b.apply(*[b.whole(k) for k in range(len(inputs))], axis=axes, **params)


def along_axis(b: Batch, *inputs, axis=None, **params):
    """Of ops along one axis of operands of one shape; None: of the flattened operand."""
    if axis is None:
        return b.apply(b.reshaped(inputs[0], math.prod(b.shape(0))), axis=1, **params)
    return b.apply(*[b.whole(k) for k in range(len(inputs))], axis=axis_of(axis, len(b.shape(0))) + 1, **params)


def images(b: Batch, x, **params):
    """Of ops on images (N, ...): the samples' images are one batch."""
    n = b.shape(0)[0]
    y = b.apply(b.o.reshape(x, shape=(b.size * n, *b.shape(0)[1:])), **params)
    return b.o.reshape(y, shape=(b.size, n, *y.shape[1:]))
