"""`minigrad show CELL`: a page about one run of a cell."""

from pathlib import Path

import numpy as np

from minigrad import nn
from minigrad.badinput import BadInput
from minigrad.nn.declared import example_context
from minigrad.viz.show import show, trace


def run(name: str, input_size: int, hidden: int, steps: int, batch: int, seed: int, out: Path) -> None:
    """Write the page to `out`, or, if it is called .svg, a figure of the tape. Raises
    BadInput where the cell is none, OSError where the file cannot be written."""
    if out.suffix not in (".html", ".htm", ".svg"):
        raise BadInput(f"--out {out}: wanted a name that ends in .html, or .svg for a figure")
    from minigrad.models.tasks import cells  # late: it imports every cell

    make = cells.cell_named(name, input_size, hidden)
    nn.manual_seed(seed)
    cell = make(input_size, hidden)
    generator = np.random.default_rng(seed)
    x = cells.example_input(cell, steps, batch, generator, input_size)
    context = example_context(cell, batch, generator)
    given = {} if context is None else {"context": context}
    try:
        text: str = trace(cell, x, **given).svg() if out.suffix == ".svg" else show(cell, x, **given)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise BadInput(f"{name}: {cells.told(error, name.rpartition(':')[0])}") from error
    out.write_text(text, encoding="utf-8")
    print(f"{out}: {len(text) / 1e6:.2f} MB; open it in a browser")
