"""The roofline (Williams, Waterman & Patterson 2009): speed against flops a byte, under what the machine can do."""

import numpy as np
from matplotlib.figure import Figure

from minigrad.profiling import costs

LABELS = 12


def draw(p) -> Figure:
    figure = Figure(figsize=(13, 5.6), layout="constrained")
    roof, bars = figure.subplots(1, 2, width_ratios=[1.35, 1])
    tasks = [row for row in p.by_task if row.total]
    loops = {times.name for times in p.loops.values()}
    shown = sorted([row for row in p.by_op if row.name not in loops] + tasks, key=lambda row: -row.total)[:LABELS]
    roofline(roof, [row for row in shown if row.total and row.flops and row.bytes])
    most = shown[0].total if shown else 0.0
    whole_bars(bars, p, [row for row in shown if row.total > most / 200])
    return figure


def roofline(axes, rows) -> None:
    peak, bandwidth = costs.peak(), costs.bandwidth()
    whole = sum(row.total for row in rows) or 1.0
    intensities = [row.flops / row.bytes for row in rows]
    x = np.geomspace(min([*intensities, 0.05]) / 2, max([*intensities, 100.0]) * 3, 200)
    axes.loglog(x, np.minimum(peak, x * bandwidth) / 1e9, color="black")
    axes.annotate(f"{peak / 1e9:.0f} GFLOP/s", (x[-1], peak / 1e9), ha="right", va="bottom")
    low = x[20]
    axes.annotate(f"{bandwidth / 1e9:.1f} GB/s", (low, low * bandwidth / 1e9), ha="right", va="bottom")
    for k, (row, intensity) in enumerate(zip(rows, intensities)):
        speed = row.flops / row.total / 1e9
        axes.scatter(
            intensity, speed, s=30 + 900 * row.total / whole, alpha=0.55, color=f"C{k % 10}", edgecolor="black"
        )
        axes.annotate(str(k + 1), (intensity, speed), ha="center", va="center", fontsize=8)
    names = [f"{k + 1}  {short(row.name)}" for k, row in enumerate(rows)]
    axes.text(
        0.99,
        0.02,
        "\n".join(names),
        transform=axes.transAxes,
        fontsize=7,
        ha="right",
        ma="left",
        va="bottom",
        family="monospace",
    )  # fmt: skip
    axes.set(
        xlabel="flops a byte read or written",
        ylabel="GFLOP/s",
        title="Roofline (areas: shares of kernels' time; above the slope: operands in the cache)",
    )
    axes.grid(True, which="major", alpha=0.3)


def whole_bars(axes, p, rows) -> None:
    parts = p.seconds
    names = ["kernels forward", "kernels backward", "Python forward", "Python backward", "compile"]
    names = [name for name in names if parts[name]]
    labels = [*names, *[short(row.name) for row in rows]]
    values = [1e3 * parts[name] for name in names] + [1e3 * row.total for row in rows]
    colours = ["#444444"] * len(names) + [f"C{k % 10}" for k in range(len(rows))]
    axes.barh(range(len(values)), values, color=colours)
    axes.set_yticks(range(len(values)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="ms", title="Time: the whole (grey), and in kernels")
    axes.grid(True, axis="x", alpha=0.3)


def short(name: str) -> str:
    return name if len(name) < 48 else name[:45] + "..."
