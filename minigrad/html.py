"""What notebooks show of tensors and modules: a small table each; and how they show a whole page."""

import base64
import struct
import zlib
from collections.abc import Sequence
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
    """An image of a matrix, blue below zero and red above, with its colour bar; of more axes the leading ones are rows.
    Every k-th row and column where there are more than 64."""
    rows = a.reshape(-1, a.shape[-1]) if a.ndim > 1 else a.reshape(1, -1)
    rows = rows[:: -(-len(rows) // MOST), :: -(-rows.shape[1] // MOST)].astype(np.float64)
    finite = np.isfinite(rows)
    largest = np.abs(rows[finite]).max(initial=0.0) or 1.0
    levels = np.where(finite, 127 + 127 * np.where(finite, rows, 0) / largest, 255)
    width = rows.shape[1]
    scale = max(2, min(14, 360 // max(width, 1)))
    picture = image(levels.round().astype(np.uint8), scale, f"heat map, from {-largest:.3g} to {largest:.3g}")
    bar = image(np.arange(0, 255, 8, dtype=np.uint8)[None], 4, "colour bar")
    return f"{picture}<br/><small>{-largest:.3g} {bar} {largest:.3g}</small>"


def image(levels: np.ndarray, scale: int, label: str) -> str:
    """An <img> of bytes, each a colour of the palette, as a PNG in its own text: an SVG would be ten times as long."""
    height, width = levels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), levels], axis=1)  # each begins with its filter, none

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
    png += chunk(b"PLTE", PALETTE.tobytes()) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b"")
    return (
        f'<img alt="{label}" src="data:image/png;base64,{base64.b64encode(png).decode()}" width="{scale * width}" '
        f'height="{scale * height}" style="image-rendering:pixelated;display:inline;margin:0;vertical-align:middle"/>'
    )


def palette() -> np.ndarray:
    """Colours of the levels 0 to 254, from blue through white to red; 255 is grey, for what is not finite."""
    share = np.linspace(-1, 1, 255)[:, None]
    end = np.where(share < 0, np.array([0x21, 0x66, 0xAC]), np.array([0xB2, 0x18, 0x2B]))
    return np.concatenate([255 + (end - 255) * np.abs(share), [[0x88] * 3]]).round().astype(np.uint8)


PALETTE = palette()


def frame(page: str, height: int = 760) -> str:
    """A page within a page, as notebooks show it: a document of its own, so that neither's style or rules reach the
    other, which may run its scripts and nothing else."""
    return (
        f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts" width="100%" height="{height}" '
        'style="border:0;width:100%" loading="lazy"></iframe>'
    )


def table(heads: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A small table; its first column is text, the others are numbers."""

    def line(cells, kind):
        first, *others = [escape(str(cell)) for cell in cells]
        right = "".join(f'<{kind} style="text-align:right">{cell}</{kind}>' for cell in others)
        return f'<tr><{kind} style="text-align:left">{first}</{kind}>{right}</tr>'

    return f"<table {TABLE}>{line(heads, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def of_module(module) -> str:
    """Its settings as `repr` has them, and a table of its parameters."""
    parameters = list(module.named_parameters())
    rows = []
    for name, p in parameters:
        low, mean, high, norm, *_ = statistics(p._data)
        rows.append([name, f"{p.dtype}{list(p.shape)}", f"{p.size:,}", *[f"{x:.4g}" for x in (low, mean, high, norm)]])
    total = sum(p.size for _, p in parameters)
    summary = f"<b>{escape(type(module).__name__)}</b>, {total:,} numbers in {len(parameters)} parameters"
    return f"<div>{summary}{table(('parameter', 'shape', 'numbers', 'min', 'mean', 'max', 'norm'), rows)}</div>"


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
