"""Random numbers of a program: what a step of a loop draws is drawn for all steps, in the order of eager code."""

import numpy as np

from minigrad.ops.neural import draw
from minigrad.ops.table import Spec


def drawn_specs(item) -> list[Spec]:
    if item[0] == "draw":
        return [Spec(item[2], item[3])]
    _, steps, _, items = item
    return [Spec((steps, *spec.shape), spec.dtype) for inner in items for spec in drawn_specs(inner)]


def generators_of(item) -> list:
    """Generators that an item draws from."""
    return [item[1]] if item[0] == "draw" else [g for inner in item[3] for g in generators_of(inner)]


def drawn(item) -> list[np.ndarray]:
    """Carry out the draws of an item: ("draw", generator, shape, dtype, kind) or ("loop", steps, reverse, items)."""
    if item[0] == "draw":
        _, generator, shape, dtype, kind = item
        return [draw(generator, shape, kind, dtype)]
    _, steps, reverse, items = item
    stacks = [np.empty(spec.shape, spec.dtype) for spec in drawn_specs(item)]
    for t in reversed(range(steps)) if reverse else range(steps):
        k = 0
        for inner in items:
            for array in drawn(inner):
                stacks[k][t] = array
                k += 1
    return stacks
