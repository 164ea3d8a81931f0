"""A tape as an object that can be drawn: `Tape(loss)`."""

from collections import Counter
from collections.abc import Sequence
from html import escape

from minigrad.arguments import described
from minigrad.sites import line_number
from minigrad.tape import Node
from minigrad.tensor import Tensor
from minigrad.viz.layout import AFTER, STEP, Layout
from minigrad.viz.record import Record, Recorder

LANE, ROW, MARGIN = 108, 54, 40  # pixels
MANY = 12  # users of a node from which its edges are drawn pale
MOST = 400  # nodes that a notebook draws
STYLE = (
    "text{font:11px ui-sans-serif,system-ui,Helvetica,Arial,sans-serif;text-anchor:middle;fill:#1c2330}",
    "text.small{font-size:9px;fill:#5a6472}",
    "path{fill:none;stroke:#9aa4b2;stroke-width:1.1}",
    "path.far{stroke-opacity:0.35;stroke-width:0.8}",
    "path.carry{stroke:#7a3fb0;stroke-width:1.6}",
    "rect{fill:#e8f0fa;stroke:#4a78b5}",
    "rect.leaf{fill:#fdf1dc;stroke:#b98324}",
    "rect.paper{fill:#fff;stroke:none}",
)


class Tape:
    """What a tensor, or several, were computed from: every node that backward would visit, in order of creation.

    y: a tensor on the tape. `svg()` draws it, a notebook shows it; `nodes` are those of minigrad/tape.py, `record` and
    `layout` what minigrad.viz makes of them. Raises ValueError for a tensor that is on no tape.

    Examples
    --------
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> mg.viz.Tape((x * x).sum())
    Tape of 3 nodes: 1 leaf, 1 mul, 1 sum
    """

    def __init__(self, *y: Tensor, record: Record | None = None):
        if record is None:
            for tensor in y:
                if not isinstance(tensor, Tensor):
                    raise TypeError(f"Tape: wanted tensors, got {described(tensor)}")
            roots: Sequence[Node] = [tensor._node for tensor in y if tensor._node is not None]
            if not roots:
                raise ValueError(
                    "Tape: wanted a tensor on the tape; this one rests on nothing that requires a gradient"
                )
            record = Record(roots, Recorder(), {})
        self.record = record
        self.nodes = record.nodes
        self.layout = Layout(record)
        self.users = Counter(p for k in range(len(self)) for p in record.parents(k))

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        ops = Counter(node.op.name if node.op else "leaf" for node in self.nodes)
        return f"Tape of {len(self)} nodes: " + ", ".join(f"{n} {name}" for name, n in ops.most_common())

    def svg(self) -> str:
        """The tape as an SVG, for a paper or a web page: a box for each node with op, name and shape; what one step
        hands to the next in another colour; the line of code as a tooltip. No scripts, no fonts of its own."""
        at = self.layout
        pitch = at.widths[STEP] + 0.6
        starts = [0.0, at.widths[0] + 0.4]
        starts.append(starts[STEP] + at.steps * pitch if at.steps else starts[STEP])
        lane = [starts[at.block[k]] + at.x[k] + at.step[k] * pitch for k in range(len(self))]
        xs = [MARGIN + LANE * (x + 0.5) for x in lane]
        ys = [MARGIN + ROW * (y + 0.5) for y in at.y]
        width = 2 * MARGIN + LANE * (starts[AFTER] + at.widths[AFTER])
        height = 2 * MARGIN + ROW * at.rows
        edges, boxes = [], []
        style = "".join(f".mg-tape {rule}" for rule in STYLE)  # a style in an SVG is one of the whole page
        for k, node in enumerate(self.nodes):
            for p in self.record.parents(k):
                edges.append(self._edge(p, k, xs, ys))
            boxes.append(self._box(k, node, xs[k], ys[k]))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" role="img" class="mg-tape" aria-label="{escape(repr(self))}"><style>{style}</style>'
            f'<rect class="paper" width="100%" height="100%"/>{"".join(edges)}{"".join(boxes)}</svg>'
        )

    def _edge(self, p: int, k: int, xs, ys) -> str:
        carry = self.layout.block[p] == self.layout.block[k] == STEP and self.layout.step[p] != self.layout.step[k]
        x0, y0, x1, y1 = xs[p], ys[p] + 16, xs[k], ys[k] - 16
        bend = max(14.0, min(60.0, abs(y1 - y0) / 2))
        path = f"M{x0:.0f} {y0:.0f}C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} {x1:.0f} {y1:.0f}"
        far = self.layout.block[p] != self.layout.block[k] or self.users[p] > MANY
        kind = ' class="carry"' if carry else ' class="far"' if far else ""
        return f'<path{kind} d="{path}"/>'

    def _box(self, k: int, node: Node, x: float, y: float) -> str:
        name = self.record.names.get(k, "")
        title = node.op.name if node.op else name or "leaf"
        below = (f"{name} " if name and node.op else "") + shape_text(node)
        line = f"{node.site[0].co_filename}:{line_number(node.site)}" if node.site else "a leaf"
        kind = ' class="leaf"' if node.op is None else ""
        return (
            f'<g><title>{escape(f"{node!r} {line}")}</title><rect{kind} x="{x - 48:.0f}" y="{y - 16:.0f}" width="96" '
            f'height="32" rx="7"/><text x="{x:.0f}" y="{y - 2:.0f}">{escape(cut(title, 15))}</text>'
            f'<text class="small" x="{x:.0f}" y="{y + 10:.0f}">{escape(cut(below, 19))}</text></g>'
        )

    def _repr_html_(self) -> str:
        if len(self) > MOST:
            return f"<p>{escape(repr(self))}. Too many to draw here: <code>svg()</code> draws them all.</p>"
        return f'<div style="overflow:auto;max-height:600px">{self.svg()}</div>'


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def shape_text(node: Node) -> str:
    if node.dtype is None:
        return f"{len(node.shape)} results"
    return f"{list(node.shape)}" if node.shape else "scalar"
