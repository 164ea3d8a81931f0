"""Published cells, written from their papers, a step each; `python benchmarks/zoo.py` says how they fare."""

from zoo import dynamics, gates, images, matrices, memory, sampling
from zoo.cell import CELLS

__all__ = ["CELLS", "FILES"]
FILES = (gates, dynamics, matrices, memory, sampling, images)
