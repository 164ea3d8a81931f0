"""The page: one HTML file with the data, the script and the style in it; it asks no network for anything.

Numbers are columns of typed arrays, so that 20,000 nodes are a megabyte or two and are read at once.
"""

import base64
import json
from html import escape
from importlib import resources
from typing import Any

import numpy as np

from minigrad.html import NAMES
from minigrad.ops.table import Spec
from minigrad.sites import line_number
from minigrad.viz.declared import function_text, line_text, vjp_text
from minigrad.viz.kernels import Kernels
from minigrad.viz.notebook import Page, sha256
from minigrad.viz.record import state_names
from minigrad.viz.tape import Tape

UNITS = 96  # rows of a heat map; of more units, as many at even distances


def page(title: str, subtitle: str, tape: Tape, kernels: Kernels, maps: list[tuple[str, np.ndarray]]) -> Page:
    """The page. maps: (name, array (T, units)) of what is shown over time."""
    data = json.dumps(data_of(title, tape, kernels, maps), separators=(",", ":"), allow_nan=False)
    files = resources.files("minigrad.viz") / "static"
    script = "\n".join((files / name).read_text("utf-8") for name in ("data.js", "graph.js", "details.js", "main.js"))
    style = (files / "page.css").read_text("utf-8")
    script, style = f'"use strict";\n(() => {{\n{script}\n}})();\n', f"\n{style}"
    parts = {
        "TITLE": escape(title),
        "SUBTITLE": escape(subtitle),
        "SCRIPT_HASH": sha256(script),
        "STYLE_HASH": sha256(style),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": data.replace("<", "\\u003c"),
    }
    pieces = (files / "page.html").read_text("utf-8").split("@@")
    return Page("".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces)), title)


def column(values, dtype) -> str:
    with np.errstate(over="ignore"):  # a norm may be more than a float32 holds
        return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()


class Strings:
    """Each different thing once, and its number."""

    def __init__(self):
        self.numbers: dict = {}

    def __call__(self, key) -> int:
        return self.numbers.setdefault(key, len(self.numbers))

    def __iter__(self):
        return iter(self.numbers)


def data_of(title: str, tape: Tape, kernels: Kernels, maps) -> dict[str, Any]:
    record, layout = tape.record, tape.layout
    seen = record.recorder
    ops, shapes, sites, names, params = Strings(), Strings(), Strings(), Strings(), Strings()
    declared: dict[int, Any] = {}
    columns: dict[str, list] = {n: [] for n in ("op", "shape", "site", "name", "params", "parent")}
    starts, sizes = [0], []
    for k, node in enumerate(tape.nodes):
        op = ops(node.op.name if node.op else "leaf")
        if op not in declared:
            declared[op] = vjp_text(node.op) if node.op else []
        columns["op"].append(op)
        columns["shape"].append(shapes(written(node)))
        columns["site"].append(sites(node.site) if node.site else -1)
        columns["name"].append(names(record.names[k]) if k in record.names else -1)
        columns["params"].append(params(params_of(node)))
        columns["parent"] += record.parents(k)
        starts.append(len(columns["parent"]))
        sizes.append(1 if node.dtype is None else Spec(node.shape, node.dtype).size)
    unknown = (np.nan,) * len(NAMES)
    carries = [seen.carries.get(node, (-1, -1)) for node in tape.nodes]
    return {
        "title": title,
        "count": len(tape.nodes),
        "steps": layout.steps,
        "rows": layout.rows,
        "widths": layout.widths,
        "ops": [{"name": name, "vjp": declared[k]} for k, name in enumerate(ops)],
        "shapes": list(shapes),
        "names": list(names),
        "params": list(params),
        **sources_of(list(sites), kernels),
        "ints": {n: column(v, np.int32) for n, v in columns.items()}
        | {
            "starts": column(starts, np.int32),
            "size": column(sizes, np.int32),
            "block": column(layout.block, np.int32),
            "key": column(layout.keys, np.int32),
            "step": column(layout.step, np.int32),
            "loop": column([loop for loop, _ in record.places], np.int32),
            "carry": column([part for _, part in carries], np.int32),
            "order": column(record.order, np.int32),
        },
        "floats": {"x": column(layout.x, np.float32), "y": column(layout.y, np.float32)}
        | {
            f"{side}_{name}": column([which.get(node, unknown)[k] for node in tape.nodes], np.float32)
            for side, which in (("v", seen.values), ("g", seen.cotangents))
            for k, name in enumerate(NAMES)
        }
        | {"saturated": column([seen.saturated.get(node, np.nan) for node in tape.nodes], np.float32)},
        "maps": [map_of(name, a) for name, a in maps],
        "flow": flow_of(tape),
        "reverse": seen.reverse,
    }


def written(node) -> str:
    return f"{len(node.shape)} results" if node.dtype is None else f"{node.dtype}{list(node.shape)}"


def params_of(node) -> str:
    if not isinstance(node.params, dict):
        return f"result {node.params}" if isinstance(node.params, int) else ""
    text = ", ".join(f"{k}={v!r}" for k, v in node.params.items() if v is not None)
    return text if len(text) < 200 else text[:199] + "…"


def sources_of(sites: list, kernels: Kernels) -> dict[str, Any]:
    """The lines that recorded the nodes, the functions that they are in, and the kernels that came of them."""
    functions = Strings()
    lines = []
    for site in sites:
        text, first = function_text(site[0])
        lines.append(
            {
                "file": site[0].co_filename,
                "line": line_number(site),
                "text": line_text(site),
                "function": functions((text, first)) if text else -1,
                "forward": kernels.forward.get(site, []),
                "backward": kernels.backward.get(site, []),
                "outside": kernels.outside.get(site, []),
            }
        )
    return {
        "sites": lines,
        "functions": [{"text": text, "first": first} for text, first in functions],
        "parts": [{"title": a, "text": text, "loop": loop} for a, text, loop in kernels.parts],
        "loops": [{"title": a, "text": text} for a, text in kernels.loops],
        "why_not": kernels.why_not,
    }


def map_of(name: str, a: np.ndarray) -> dict[str, Any]:
    """A heat map: bytes from 0, the least value, to 254, the greatest; 255 is not finite. Units in rows."""
    a = a.reshape(len(a), -1).T.astype(np.float64)
    units = len(a)
    a = a[np.unique(np.linspace(0, units - 1, min(units, UNITS)).astype(int))]
    finite = np.isfinite(a)
    low, high = (float(a[finite].min()), float(a[finite].max())) if finite.any() else (0.0, 0.0)
    if low < 0:
        high = max(high, -low)
        low = -high
    scaled = np.where(finite, 254 * (np.where(finite, a, low) - low) / ((high - low) or 1.0), 255)
    bytes_ = column(scaled.round(), np.uint8)
    return {"name": name, "rows": len(a), "units": units, "low": low, "high": high, "data": bytes_}


def flow_of(tape: Tape) -> list[dict[str, Any]]:
    """The norm of the cotangent of what each step hands on, ‖∂L/∂h_t‖, by loop and part of the state."""
    seen = tape.record.recorder
    norms: dict[tuple, list] = {}
    for k, node in enumerate(tape.nodes):
        if node in seen.carries and tape.layout.block[k] == 1:
            line = norms.setdefault(seen.carries[node], [None] * tape.layout.steps)
            norm = seen.cotangents[node][NAMES.index("norm")] if node in seen.cotangents else 0.0
            line[tape.layout.step[k]] = float(norm) if np.isfinite(norm) else None
    loops = len({loop for loop, _ in norms})
    parts = max((part for _, part in norms), default=0) + 1
    name = state_names(parts)
    return [
        {"name": name[part] + (f", loop {loop}" if loops > 1 else ""), "norms": line}
        for (loop, part), line in sorted(norms.items())
    ]
