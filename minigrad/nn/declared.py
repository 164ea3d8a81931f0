"""Shapes that a cell declares in terms of its sizes: of its state, and of the context that its steps read.

    state_shape = "hidden_size", "slots width"            # zeros: (*batch, hidden_size) and (*batch, slots, width)
    context_shape = "places batch memory_size", "bool places batch"   # a memory, and a mask over its places

Each string is a shape in words: an integer, or the name of an attribute of the cell that is one; `...` are the axes of
x behind its channels (an image's rows and columns). Strings in tuples are a state or a context of several tensors. In
`context_shape` one word is `batch`; a name that the cell does not have is a length that is the caller's to choose;
`bool` in front says that it is a mask.
"""

from typing import Any

import numpy as np

from minigrad import tree
from minigrad.arguments import is_integer
from minigrad.creation import zeros
from minigrad.tensor import Tensor, as_tensor

BATCH, MASK = "batch", "bool"


def size_of(cell, word: str) -> int | None:
    """The size that a word names; None if the cell has no such."""
    size = int(word) if word.isdigit() else getattr(cell, word, None)
    return size if is_integer(size) else None


def zero_state(cell, x) -> Any:
    """Zeros of the shapes that the cell declares (by default of one, (*batch, hidden_size)), from a step's x: of its
    dtype, if it is a float's, else of the parameters'."""
    features = getattr(cell, "feature_ndim", 1)
    batch = x.shape[: x.ndim - features]
    dtype = x.dtype if x.dtype.kind == "f" else next(cell.parameters()).dtype

    def zero(shape: str) -> Tensor:
        sizes: list = []
        for word in shape.split():
            size = size_of(cell, word)
            if word != "..." and size is None:
                raise ValueError(
                    f"{type(cell).__name__}: got state_shape {shape!r}, wanted integers and names of sizes that it "
                    f"has; {word!r} is neither"
                )
            sizes += x.shape[x.ndim - features + 1 :] if word == "..." else [size]
        return zeros((*batch, *sizes), dtype)

    return tree.map(zero, getattr(cell, "state_shape", "hidden_size"))


def words_of(shape: str) -> tuple[list[str], bool]:
    """The axes of a tensor of a context, and whether it is a mask."""
    words = shape.split()
    return (words[1:], True) if words[:1] == [MASK] else (words, False)


def check_context(cell, context, batch: int) -> None:
    """Raise ValueError or TypeError for a context that is not what the cell declares, if it declares one."""
    if not hasattr(cell, "context_shape"):
        return
    name = type(cell).__name__
    shapes, structure = tree.flatten(cell.context_shape)
    given = tree.flatten(context)[0]
    if len(given) != len(shapes) or any(not hasattr(c, "shape") for c in given):
        raise TypeError(
            f"{name}: got the context {tree.describe(context)}, wanted context={tree.unflatten(structure, shapes)}"
        )
    known = {BATCH: batch}
    for shape, c in zip(shapes, given):
        words, mask = words_of(shape)
        sizes = [size_of(cell, word) for word in words]
        wanted = [known.setdefault(w, n) if size is None else size for w, n, size in zip(words, c.shape, sizes)]
        if len(words) != c.ndim or any(n != size for n, size in zip(c.shape, wanted)):
            raise ValueError(f"{name}: got a context of shape {c.shape} with a batch of {batch}, wanted {shape!r}")
        if mask != (c.dtype == bool):
            raise TypeError(f"{name}: got a context of {c.dtype}, wanted {'bool' if mask else 'no bool'}: {shape!r}")


def batch_axes(cell) -> list[int]:
    """Which axis is the batch, of each tensor of the context that a cell declares."""
    return [words_of(shape)[0].index(BATCH) for shape in tree.flatten(cell.context_shape)[0]]


def batched_context(cell, context):
    """The context of an unbatched x as that of a batch of one, where the cell says which axis that is."""
    if not hasattr(cell, "context_shape"):
        return context
    leaves, structure = tree.flatten(context)
    return tree.unflatten(
        structure, [as_tensor(c)[(slice(None),) * k + (None,)] for k, c in zip(batch_axes(cell), leaves)]
    )


def example_context(cell, batch: int, generator, length: int = 5, dtype=np.float32) -> Any:
    """A context such as the cell declares, None if it declares none: arrays from N(0, 1); of a mask, three of four
    places are True, and in each row the first."""
    if not hasattr(cell, "context_shape"):
        return None

    def example(shape: str) -> np.ndarray:
        words, mask = words_of(shape)
        sizes = [batch if word == BATCH else size_of(cell, word) or length for word in words]
        if not mask:
            return generator.standard_normal(sizes).astype(dtype)
        drawn = generator.random(sizes) < 0.75
        drawn[tuple(slice(None) if word == BATCH else 0 for word in words)] = True
        return drawn

    return tree.map(example, cell.context_shape)
