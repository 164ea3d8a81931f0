"""Proofs for your own functions, ops and cells: `gradcheck`, `check_cell`, and Hypothesis strategies that draw inputs.

Hypothesis is imported by the strategies and by `check_cell` alone; `gradcheck` needs nothing but NumPy.
"""

from minigrad.testing.cells import Report, Result, check_cell
from minigrad.testing.gradients import gradcheck
from minigrad.testing.steps import check_step
from minigrad.testing.strategies import Draw, arrays, broadcastable_shapes, seeds, shapes, spread, tensors

__all__ = [
    "Draw",
    "Report",
    "Result",
    "arrays",
    "broadcastable_shapes",
    "check_cell",
    "check_step",
    "gradcheck",
    "seeds",
    "shapes",
    "spread",
    "tensors",
]
