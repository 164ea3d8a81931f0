"""The roofline (Williams, Waterman & Patterson 2009): speed against flops a byte, under what the machine can do."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minigrad.kernels import peaks
from minigrad.profiling import costs

LABELS = 12
WIDTH = 150  # letters of a line below the axes
SHORT = 34  # of a bar's name


def draw(p) -> Figure:
    loops = {times.name for times in p.loops.values()}
    rows = [row for row in p.by_op if row.name not in loops and row.total] + [row for row in p.by_task if row.total]
    rows = sorted(rows, key=lambda row: -row.total)[:LABELS]
    rows = [(str(k), f"C{(k - 1) % 10}", row) for k, row in enumerate(rows, 1)]
    names = [textwrap.shorten(f"{k:>2}  {row.name}", WIDTH, placeholder="...") for k, _, row in rows]
    below = 0.3 + 0.16 * (len(rows) + 3)  # inches of what is written there
    figure = Figure(figsize=(13, 5.3 + below), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[5.3, below])
    above, text = parts
    roof, bars = above.subplots(1, 2, width_ratios=[1.35, 1])
    notes = roofline(roof, [each for each in rows if each[2].flops and each[2].bytes])
    whole_bars(bars, p, rows)
    lines = [*names, *[textwrap.fill(note, WIDTH, subsequent_indent="    ") for note in notes]]
    text.text(0.02, 0.98, "\n".join(lines), fontsize=8, va="top", family="monospace")
    return figure


def roofline(axes, rows) -> list[str]:
    """Draws it; returns what is to be said of it."""
    peak, bandwidth = peaks.flops(), peaks.bandwidth()
    whole = sum(row.total for *_, row in rows) or 1.0
    points = [(row.flops / row.bytes, row.flops / row.total) for *_, row in rows]
    x = np.geomspace(min([*[i for i, _ in points], 0.05]) / 2, max([*[i for i, _ in points], 100.0]) * 3, 200)
    axes.loglog(x, np.minimum(peak, x * bandwidth) / 1e9, color="black")
    axes.annotate(f"{peak / 1e9:.0f} GFLOP/s", (x[-1], peak / 1e9), ha="right", va="bottom")
    low = x[20]
    axes.annotate(f"{bandwidth / 1e9:.1f} GB/s", (low, low * bandwidth / 1e9), ha="right", va="bottom")
    reasons: dict[str, list[str]] = {}
    for (k, colour, row), (intensity, speed) in zip(rows, points):
        reason = costs.ABOVE_PEAK if speed > peak else costs.ABOVE_SLOPE if speed > intensity * bandwidth else None
        if reason:
            reasons.setdefault(reason, []).append(k)
        size, edge = 30 + 900 * row.total / whole, "red" if reason else "black"
        axes.scatter(intensity, speed / 1e9, s=size, alpha=0.55, color=colour, edgecolor=edge, linewidth=1.2)
        axes.annotate(k, (intensity, speed / 1e9), ha="center", va="center", fontsize=8)
    axes.set(xlabel="flops a byte read or written", ylabel="GFLOP/s", title="Roofline")
    axes.grid(True, which="major", alpha=0.3)
    return ["Areas: shares of the kernels' time.", *[f"{', '.join(ks)} {why}." for why, ks in reasons.items()]]


def whole_bars(axes, p, rows) -> None:
    parts = p.seconds
    names = ["kernels forward", "kernels backward", "Python forward", "Python backward", "compile"]
    names = [name for name in names if parts[name]]
    most = rows[0][2].total if rows else 0.0
    rows = [each for each in rows if each[2].total > most / 200]
    short = [row.name if len(row.name) <= SHORT else row.name[: SHORT - 3] + "..." for *_, row in rows]
    labels = names + [f"{name}  {k}" for name, (k, *_) in zip(short, rows)]
    values = [1e3 * parts[name] for name in names] + [1e3 * row.total for *_, row in rows]
    axes.barh(range(len(values)), values, color=["#444444"] * len(names) + [colour for _, colour, _ in rows])
    axes.set_yticks(range(len(values)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="ms", title="Time: the whole (grey), and in kernels")
    axes.grid(True, axis="x", alpha=0.3)
