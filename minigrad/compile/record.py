"""A function's program: f, run on values in the place of its tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.ir.trace import Program, stand_in
from minigrad.modes import TRACED, TRACED_OFF, thread
from minigrad.ops.table import Spec
from minigrad.tensor import Tensor, as_tensor
from minigrad.views import Argument

RESULTS = (int, float, complex, str, bytes, np.generic, np.dtype)  # what f may return besides tensors


def record(
    f: Callable, program: Program, leaves: list, structure, needs: bool, sizes: list | None = None
) -> tuple[list, list, list, Any]:
    """Trace f: values of the arguments, their places on the tape, the results, flat, and their structure.

    leaves, structure: of (args, kwargs). needs: whether it is to be differentiated. sizes: the shapes of the tensors
    among the leaves, if they are not their own.
    """
    inputs, variables, given = [], [], []
    shapes = iter(sizes or ())
    for leaf in leaves:
        if isinstance(leaf, (Tensor, np.ndarray)):
            leaf = as_tensor(leaf)
            value = program.input(Spec(next(shapes), leaf.dtype) if sizes else leaf)
            program.lay_out(value, leaf._data)
            variable = stand_in(leaf._node, value)
            inputs.append(value)
            variables.append(variable)
            given.append(Argument(value, variable))
        else:
            given.append(leaf)
    if program.actions is not None:
        program.actions.arguments = {v for v in variables if v is not None}
    args, kwargs = tree.unflatten(structure, given)
    outer = thread.mode, thread.program
    thread.mode, thread.program = TRACED if needs else TRACED_OFF, program
    try:
        results, structure_out = tree.flatten(f(*args, **kwargs))
    finally:
        thread.mode, thread.program = outer
    for x in results:
        if not isinstance(x, (Tensor, np.ndarray, *RESULTS)):
            raise TypeError(
                f"jit: among the results is one of type {type(x).__name__}; wanted tensors, numbers and "
                "strings in nested tuples, lists and dicts"
            )
    return inputs, variables, results, structure_out
