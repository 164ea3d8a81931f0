"""See inside: `show(cell, x)` makes a page of a run, `trace(cell, x).svg()` a figure; `Tape(y)` is a tensor's tape.

The command `minigrad show CELL` does the first two.
"""

from minigrad.viz.notebook import Page
from minigrad.viz.show import show, show_step, trace
from minigrad.viz.tape import Tape

__all__ = ["Page", "Tape", "show", "show_step", "trace"]
