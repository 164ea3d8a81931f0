"""`minigrad profile CELL`: a layer of a cell, forward and backward, profiled; kernels inspected."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from minigrad import nn, tree
from minigrad.badinput import BadInput
from minigrad.compile.jit import jit
from minigrad.nn.declared import example_context
from minigrad.profiling import profile
from minigrad.profiling.report import ms
from minigrad.tensor import Tensor

PASSES = 3
INSPECTED = 4  # kernels that are written to a folder unasked: each takes seconds to compile anew


def run(
    name: str, input_size: int, hidden: int, steps: int, batch: int, seed: int, compiled: bool, out: Path | None,
    kernel: str | None,
) -> None:  # fmt: skip
    """Print the table of a few passes, or the report on one kernel. Into `out`: table.txt, trace.json.gz, profile.png,
    kernels/. Raises BadInput where the cell or the kernel is none, OSError where the folder cannot be written."""
    from minigrad.models.tasks import cells  # late: it imports every cell

    make = cells.cell_named(name, input_size, hidden)
    if out is not None:
        (out / "kernels").mkdir(parents=True, exist_ok=True)
    nn.manual_seed(seed)
    with cells.running(name):
        cell = make(input_size, hidden)
    layer = nn.Recurrent(lambda: cell)
    call = jit(layer) if compiled else layer
    rng = np.random.default_rng(seed)
    x = Tensor(cells.example_input(cell, steps, batch, rng, input_size))
    context = tree.map(Tensor, example_context(cell, batch, rng))

    def once():
        layer.zero_grad()
        with cells.running(name):
            cells.forward_backward(call, x, context)

    first, p = profiles(once, compiled)
    if kernel is not None:
        if kernel not in p.kernels:
            raise BadInput(f"--kernel {kernel}: wanted one of {', '.join(p.kernels)}")
        inspected = p.inspect(kernel)
        print(inspected.functions(), inspected, sep="\n\n")
        if out is not None:
            inspected.save(out / "kernels")
            print(f"{out}/kernels: its whole source, LLVM IR and assembly")
        return
    count = sum(parameter.size for parameter in layer.parameters())
    title = (
        f"{name}, {'jit' if compiled else 'eager'}: x {list(x.shape)} (steps, batch, ...), {count:,} parameters; "
        f"{PASSES} passes forward and backward\n"
        f"The first call took {ms(first.seconds['whole'])}, {ms(first.seconds['compile'])} of it compilation"
        f"{' (kernels that were in the cache are only loaded)' if first.seconds['compile'] else ''}.\n"
    )
    text = f"{title}\n{p}"
    print(text)
    if out is not None:
        (out / "table.txt").write_text(text + "\n")
        p.save_trace(out / "trace.json.gz")
        p.save_picture(out / "profile.png")
        for each in p.kernels[:INSPECTED]:
            p.inspect(each).save(out / "kernels")
        print(f"\n{out}: table.txt, profile.png, trace.json.gz (open it in https://ui.perfetto.dev), kernels/")


def profiles(once: Callable[[], None], compiled: bool) -> tuple[profile, profile]:
    """Of the first run, which compiles, and of a few others."""
    with profile() as first:
        once()
    with profile(tasks=compiled) as warm:  # compiles the loops with a clock
        once()
    with profile(tasks=compiled) as p:
        p.take_loops(warm)
        for _ in range(PASSES):
            once()
    with profile(memory=True) as of_memory:
        once()
    p.peak_memory = of_memory.peak_memory
    return first, p
