"""Cells side by side: parameters, flops, speed, memory, how far the gradient reaches back, and how they learn."""

import importlib.util
import statistics
import subprocess
import sys
import timeit
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad.badinput import BadInput
from minigrad.models.gradient_flow import gradient_flow
from minigrad.models.tasks.cells import cell_named, cell_path, example_input, forward_backward, running
from minigrad.models.tasks.files import save_figure
from minigrad.models.tasks.sweeps import aligned, band, trained
from minigrad.nn.declared import example_context
from minigrad.nn.recurrent import Recurrent

PYTORCHS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
TORCH = """
import statistics, sys, timeit, torch
name, steps, batch, inputs, hidden, times = sys.argv[1], *map(int, sys.argv[2:])
layer, x = getattr(torch.nn, name)(inputs, hidden), torch.randn(steps, batch, inputs)
run = lambda: layer(x)[0].square().mean().backward()
run()
print(statistics.median(timeit.repeat(run, number=1, repeat=times)))
"""
TIMES = 7  # of which the median is told


@dataclass
class Compared:
    """A cell among others. Seconds are of a training step, forward and backward for the parameters; flops and saved
    bytes too. peak: bytes that such a jitted step takes at most, besides what was there before. norms: ‖∂L/∂h_t‖ at
    t = 0 to T for a loss on the last output, all parts of the state together. curves: a seed's (step, figure) pairs."""

    name: str
    parameters: int
    flops: float
    eager: float
    jitted: float
    pytorch: float | None
    saved: int
    peak: int
    norms: np.ndarray
    curves: list[list] = field(default_factory=list)


def measured(name: str, make: Callable, input_size: int, hidden: int, steps: int, batch: int, seed: int) -> Compared:
    """What can be told of a cell without training it."""
    generator = np.random.default_rng(seed)
    mg.nn.manual_seed(seed)
    layer = Recurrent(make, input_size, hidden)
    (cell,) = layer.cells
    x = mg.tensor(example_input(cell, steps, batch, generator, input_size))
    context = mg.tree.map(mg.tensor, example_context(cell, batch, generator))
    fast = mg.jit(layer)
    eager, jitted = [seconds_of(partial(forward_backward, each, x, context)) for each in (layer, fast)]
    tracemalloc.start()
    forward_backward(fast, x, context)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    made = fast.explain(x, context=context)
    flow = gradient_flow(cell, x, lambda outputs: outputs[-1].square().sum(), context=context)
    norms = np.sqrt(sum(part**2 for part in mg.tree.flatten(flow.norms)[0]))
    count = sum(p.size for p in layer.parameters())
    pytorch = pytorchs_seconds(name, steps, batch, input_size, hidden)
    return Compared(name, count, made.flops, eager, jitted, pytorch, made.saved, peak, norms)


def seconds_of(run: Callable) -> float:
    run()
    return statistics.median(timeit.repeat(run, number=1, repeat=TIMES))


def pytorchs_seconds(name: str, *sizes: int) -> float | None:
    """Of PyTorch's layer of this name, in a process of its own; None if there is no PyTorch or no such layer."""
    if name not in PYTORCHS or importlib.util.find_spec("torch") is None:
        return None
    command = [sys.executable, "-c", TORCH, PYTORCHS[name], *map(str, sizes), str(TIMES)]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode else float(done.stdout)


def learnt(names: list[str], task, seeds: int, steps: int | None, out: Path) -> list[list]:
    """Of each cell the learning curves on a task, a list of (step, figure) a seed: a sweep in the folder `out`."""
    given = {} if steps is None else {"steps": [steps], "every": [max(1, steps // 10)]}
    grid = {"cell": [cell_path(name) for name in names], "seed": range(seeds), **given}
    rows = mg.sweep(partial(trained, task=task), grid, out.absolute())
    if failed := [row for row in rows if "error" in row]:
        raise BadInput(f"{failed[0]['cell']}, seed {failed[0]['seed']}: {failed[0]['error']}")
    return [[row["curve"] for row in rows if row["cell"] == cell] for cell in grid["cell"]]


def compare(names, input_size, hidden, steps, batch, seed, task=None, task_steps=None, seeds=3, out=None) -> list:
    """What `minigrad compare` does: prints a table, with `out` writes compare.png there. Returns a list of `Compared`.

    names: of cells, as `cell_named` takes them. task: a class of models/tasks, for learning curves of `seeds` runs.
    Raises BadInput for what is no cell or no task for one.
    """
    makes = [cell_named(name, input_size, hidden) for name in names]
    if task is not None and "cell" not in task.options():
        raise BadInput(f"--task {task.name}: it has no --cell")
    if task is not None and out is None:
        raise BadInput("--task wants --out FOLDER for its runs")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    cells = []
    for name, make in zip(names, makes):
        with running(name):
            cells.append(measured(name, make, input_size, hidden, steps, batch, seed))
    if task is not None:
        for cell, curves in zip(cells, learnt(names, task, seeds, task_steps, out)):
            cell.curves = curves
    print(f"A training step, T={steps} B={batch} I={input_size} H={hidden}, float32:\n")
    print(table(cells, task))
    if out is not None:
        draw(cells, task, out / "compare.png")
        print(f"\n{out / 'compare.png'}")
    return cells


def table(cells: list[Compared], task=None) -> str:
    rows = [["cell", "parameters", "Mflop", "eager ms", "jit ms", "PyTorch ms", "kept MB", "peak MB", "reach"]]
    if task is not None:
        rows[0].append(f"{task.name}: {task.figure.replace('_', ' ')} (least to most)")
    for c in cells:
        row = [Path(c.name).name, f"{c.parameters:,}", f"{c.flops / 1e6:.4g}", f"{1e3 * c.eager:.3g}"]
        row += [f"{1e3 * c.jitted:.3g}", "" if c.pytorch is None else f"{1e3 * c.pytorch:.3g}"]
        reach = c.norms[0] / next((norm for norm in c.norms[::-1] if norm), np.inf)
        row += [f"{c.saved / 1e6:.3g}", f"{c.peak / 1e6:.3g}", f"{reach:.1e}"]
        if c.curves:
            last = [curve[-1][1] for curve in c.curves]
            row.append(f"{statistics.median(last):.4g} ({min(last):.4g} to {max(last):.4g})")
        rows.append(row)
    reach = "reach: ‖∂L/∂h_0‖ over that of the last state that counts, for a loss on the last output, untrained"
    return "\n".join([aligned(rows), "", reach])


def draw(cells: list[Compared], task, path: Path) -> None:
    """Speed, gradient flow and, with a task, learning curves: a line a cell, the band from worst seed to best."""
    from matplotlib.figure import Figure

    panels = 2 + (task is not None)
    figure = Figure(figsize=(4.6 * panels, 3.8), layout="constrained")
    speed, flow, *rest = figure.subplots(1, panels)
    places = np.arange(len(cells))
    for k, (label, way) in enumerate([("eager", "eager"), ("jit", "jitted"), ("PyTorch", "pytorch")]):
        seconds = [getattr(c, way) for c in cells]
        if any(seconds):
            speed.barh(places + 0.27 * (k - 1), [1e3 * s if s else np.nan for s in seconds], 0.25, label=label)
    speed.set(
        xscale="log",
        xlabel="ms a training step (logarithmic)",
        yticks=places,
        yticklabels=[Path(c.name).name for c in cells],
    )
    speed.invert_yaxis()
    speed.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    for k, c in enumerate(cells):
        flow.plot(np.where(c.norms > 0, c.norms, np.nan)[::-1], f"C{k}", label=Path(c.name).name)
        for axes in rest:
            band(axes, c.curves, f"C{k}", Path(c.name).name)
            axes.set(xlabel="training step", ylabel=task.figure.replace("_", " "), title=task.name)
    flow.set(yscale="log", xlabel="steps back in time", ylabel="‖∂L/∂h_t‖ (logarithmic)", title="gradient, untrained")
    for axes in (flow, *rest):
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path)
