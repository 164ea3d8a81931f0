"""The kinds of kernels that loops are made of; what an op says of its own where one kind computes it.

fits: whether the kernel takes a value of these types and shapes; `main` is the float type that the loop computes with,
`constants` what is the same at every step. It may raise Unsupported to say why not. What no kernel takes, Python
computes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.ir.number import Number

INT64, BOOL = np.dtype("int64"), np.dtype(bool)
FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")
NARROW = frozenset([np.dtype(f"{u}int{bits}") for u in ("", "u") for bits in (8, 16, 32)])  # which int64 can hold


def natural(shape) -> tuple:
    """Strides, in elements, of an array of a shape that lies in order."""
    strides, n = [], 1
    for size in reversed(shape):
        strides.append(n)
        n *= size
    return tuple(reversed(strides))


def lies_in_order(shape, strides) -> bool:
    """Whether these are natural strides, but for those of axes of size 1, which nobody takes."""
    return all(n == 1 or s == t for n, s, t in zip(shape, strides, natural(shape), strict=True))


def dtypes_of(v) -> set:
    return {x.dtype for x in (v, *operands(v))}


def operands(v) -> list:
    """The inputs that are values."""
    return [x for x in v.inputs if x is not None and type(x) is not Number]


def of_floats(v, main) -> bool:
    return {y.dtype for y in v.inputs} == {main} and (v.dtype.kind != "f" or v.dtype == main)


def of_numbers(v, main) -> bool:
    """Of integers, too, whose places are asked for."""
    return of_floats(v, main) or {y.dtype for y in v.inputs} == {INT64}


class Kernel:
    def fits(self, v, main, constants) -> bool:
        raise NotImplementedError


@dataclass(frozen=True)
class Scalar(Kernel):
    """A scalar expression, part of a run of such.

    takes: whether it takes a value. text: (value, texts of the operands by name) -> the expression; by default that of
    the op. booleans: the expression where all operands are booleans, of {y} for the usual one and of the operands'
    names; None if kernels have none.
    """

    takes: Callable[..., bool]
    text: Callable[..., str] | None = None
    booleans: str | None = None

    def fits(self, v, main, constants) -> bool:
        if self.text is None and all(x.dtype == BOOL for x in v.inputs):
            return self.booleans is not None
        return self.takes(v, main)


class Cast(Scalar):
    """The same number in another type."""


@dataclass(frozen=True)
class Product(Kernel):
    """A product of matrices. rounds: its operands to bfloat16, from float32."""

    rounds: bool = False

    def fits(self, v, main, constants) -> bool:
        return dtypes_of(v) == {main} and (not self.rounds or main == FLOAT32)


@dataclass(frozen=True)
class Fold(Kernel):
    """A reduction over axes, element by element. steps: of a kind of operands (f, i or b) the text of the start, and of
    how `total` goes on with `value`. made: the text of the result. sums: whether it is a sum, of which a long one is
    added up in float64, block by block. any_order: whether the result is the same in any order."""

    steps: Callable[[str], tuple[str, str]]
    made: str = "total"
    sums: bool = False
    any_order: bool = False

    def fits(self, v, main, constants) -> bool:
        return any(dtypes_of(v) <= {kind, BOOL} for kind in (FLOAT32, FLOAT64, INT64))


@dataclass(frozen=True)
class Along(Kernel):
    """One row after another along an axis. names: of the operands. text: (row, n) -> the lines for one row of n
    elements, written with a Row (compile/along.py). takes: whether it takes a value, what else there is to ask."""

    names: tuple[str, ...]
    text: Callable[..., list[str]]
    takes: Callable[..., bool] = of_floats

    def fits(self, v, main, constants) -> bool:
        axis = v.params["axis"]
        return type(axis) is int and axis >= 0 and self.takes(v, main)


def nothing(v) -> dict:
    return {}


@dataclass(frozen=True)
class Blocks(Kernel):
    """One block after another: the last axes of operands and results, a matrix or an image. operands, results: how many
    axes of each belong to a block, by name. text: what is done with one, in Python, in which x[i, j] is an element of x
    (compile/blocks.py). sizes: of a value, the numbers that the text names; flops: with these, those of one block;
    rooms: the shapes of memory for one block. refusal: what is said in a LinAlgError where the text has `refuse()`."""

    operands: dict[str, int]
    results: dict[str, int]
    text: str
    sizes: Callable[..., dict]
    flops: Callable[..., int]
    rooms: Callable[..., dict] = nothing
    refusal: str = ""

    def fits(self, v, main, constants) -> bool:
        floats = {x.dtype for x in v.inputs if x.dtype.kind == "f"}
        return floats == {main} and all(x.size for x in v.inputs) and all(x.dtype.kind in "fiu" for x in v.inputs)


@dataclass(frozen=True)
class Gather(Kernel):
    """What integers pick along an axis. negative: whether they may count from the end."""

    negative: bool = True

    def fits(self, v, main, constants) -> bool:
        return v.inputs[1].dtype.kind in "iu" and v.inputs[0].size > 0


@dataclass(frozen=True)
class Convolution(Kernel):
    """geometry: of a value what kernels/conv.py wants to know. transposed: whether the weight's channels are exchanged
    and its sides reversed."""

    geometry: Callable[..., Any]
    transposed: bool = False

    def fits(self, v, main, constants) -> bool:
        return dtypes_of(v) == {main} and v.inputs[2:] in ((), (None,)) and all(x.size for x in v.inputs[:2])


class WeightGradient(Convolution):
    """Of the images and the cotangent the gradient with respect to the weight."""


@dataclass(frozen=True)
class Join(Kernel):
    """Its operands lie one after another along an axis of it, written there at once."""

    def fits(self, v, main, constants) -> bool:
        return True


@dataclass(frozen=True)
class Part(Kernel):
    """A part of its operand, named by its index; a view."""

    def fits(self, v, main, constants) -> bool:
        return False


@dataclass(frozen=True)
class Copies(Kernel):
    """Copies of operands to parts of it. parts: (value, its View) -> (an operand, or None for zeros; where it goes) in
    order; None if the value is none of that."""

    parts: Callable[..., Any]

    def fits(self, v, main, constants) -> bool:
        return False  # and then it is copied, if it can be
