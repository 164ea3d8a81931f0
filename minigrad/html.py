"""What notebooks show of tensors and modules: a small table each."""

from html import escape

import numpy as np

from minigrad.tape import Node

TABLE = 'style="font:13px ui-sans-serif,system-ui,sans-serif;border-collapse:collapse" cellpadding="3"'
NAMES = ("min", "mean", "max", "norm", "zeros", "finite")
MOST = 64  # rows and columns of a heat map


def of_tensor(x) -> str:
    """Kind, shape, dtype, statistics; the numbers if they are few, else a heat map."""
    if isinstance(x._data, Node):
        return f"<code>{escape(repr(x))}</code>"
    a = x._data
    origin = "" if x._node is None else "requires a gradient" if x.is_leaf else f"made by {x._node.op.name}"
    title = f"<b>{escape(type(x).__name__)}</b> {a.dtype}{list(a.shape)} <i>{escape(origin)}</i>"
    if a.size <= 12 or a.dtype.kind not in "fiub":
        return f"<div>{title}<pre>{escape(np.array2string(a, separator=', ', threshold=100))}</pre></div>"
    low, mean, high, norm, zeros, finite = statistics(a)
    cells = [("min", low), ("mean", mean), ("max", high), ("norm", norm)]
    line = ", ".join(f"{name} {value:.4g}" for name, value in cells) + f", zeros {zeros:.1%}"
    if finite < 1:
        line += f", <b>not finite {1 - finite:.1%}</b>"
    return f"<div>{title}<br/><small>{line}</small><br/>{heat_map(a)}</div>"


def heat_map(a: np.ndarray) -> str:
    """An SVG of a matrix, blue below zero and red above; of more axes the leading ones are rows. Every k-th row and
    column where there are more than 64."""
    rows = a.reshape(-1, a.shape[-1]) if a.ndim > 1 else a.reshape(1, -1)
    rows = rows[:: -(-len(rows) // MOST), :: -(-rows.shape[1] // MOST)].astype(np.float64)
    finite = np.isfinite(rows)
    largest = np.abs(rows[finite]).max(initial=0.0) or 1.0
    height, width = rows.shape
    boxes = []
    for i, j in np.ndindex(rows.shape):
        share = abs(rows[i, j]) / largest if finite[i, j] else 1.0
        colour = "#888" if not finite[i, j] else "#2166ac" if rows[i, j] < 0 else "#b2182b"
        boxes.append(f'<rect x="{j}" y="{i}" width="1.02" height="1.02" fill="{colour}" fill-opacity="{share:.2f}"/>')
    scale = max(2, min(14, 360 // max(width, 1)))
    return (
        f'<svg role="img" aria-label="heat map, from {-largest:.3g} to {largest:.3g}" viewBox="0 0 {width} {height}" '
        f'width="{scale * width}" height="{scale * height}" style="background:#fff">{"".join(boxes)}</svg>'
    )


def of_module(module) -> str:
    """Its settings as `repr` has them, and a table of its parameters."""
    parameters = list(module.named_parameters())
    rows = []
    for name, p in parameters:
        low, mean, high, norm, *_ = statistics(p._data)
        values = "".join(f"<td>{value:.4g}</td>" for value in (low, mean, high, norm))
        rows.append(
            f"<tr><td><code>{escape(name)}</code></td><td>{p.dtype}{list(p.shape)}</td><td>{p.size:,}</td>{values}</tr>"
        )
    total = sum(p.size for _, p in parameters)
    head = "".join(f"<th>{h}</th>" for h in ("parameter", "shape", "numbers", "min", "mean", "max", "norm"))
    summary = f"<b>{escape(type(module).__name__)}</b>, {total:,} numbers in {len(parameters)} parameters"
    return f"<div>{summary}<table {TABLE}><tr>{head}</tr>{''.join(rows)}</table></div>"


def statistics(array: np.ndarray) -> tuple[float, ...]:
    """(min, mean, max, Euclidean norm, share of zeros, share of finite numbers), the first five of the finite ones."""
    a = np.asarray(array).astype(np.float64).ravel()
    if not a.size:
        return (np.nan,) * len(NAMES)
    zeros, share = 1 - np.count_nonzero(a) / a.size, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        norm = np.sqrt(a @ a)
    if not np.isfinite(norm):
        finite = a[np.isfinite(a)]
        share = finite.size / a.size
        if not finite.size:
            return (np.nan, np.nan, np.nan, np.nan, zeros, share)
        a, largest = finite, np.abs(finite).max() or 1.0
        norm = np.sqrt(np.square(a / largest).sum()) * largest  # which does not overflow
    return float(a.min()), float(a.mean()), float(a.max()), float(norm), zeros, share
