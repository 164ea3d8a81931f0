"""Loops over a shape as text, and where the elements of views lie within them."""

import math
from typing import Any

import numpy as np

from minigrad.compile.tasks import View


def spread(view: View, shape) -> View:
    """The view, broadcast to a shape."""
    lead = len(shape) - len(view.shape)
    strides = [0 if n == 1 and m != 1 else s for n, m, s in zip(view.shape, shape[lead:], view.strides)]
    return view.like(view.offset, shape, [0] * lead + strides)


class Nest:
    """Loops over a shape, axes joined where all views allow it, and the addresses of views within them.

    rows: whether a thread has rows of its own; axis: which one is that of the rows. split: keep the last axis as an
    ordinary loop. flat: where rows lie one behind the other in all views, their elements are one loop.
    """

    def __init__(self, shape, views, rows: bool, emitter: Any, split=False, axis=0, flat=False):
        self.emitter = emitter
        for view in views:
            view.require_inside()
        axes = [[k] for k in range(len(shape)) if shape[k] != 1 or (rows and k == axis)]
        self.shape, self.rows = shape, [axis] if rows else None
        joined: list[list[int]] = []
        for group in axes:
            alone = self.rows in (group, joined[-1] if joined else None)
            if joined and not alone and all(self.joins(v, joined[-1][-1], group[0]) for v in views):
                joined[-1].append(group[0])
            else:
                joined.append(list(group))
        last = joined[-1] if joined else []
        self.flat = bool(
            flat and rows and joined[-2:-1] == [self.rows] and all(self.joins(v, axis, last[0]) for v in views)
        )
        if self.flat:
            joined[-2:] = [[axis, *last]]
        self.loops = joined
        self.inner = joined[-1] if joined and joined[-1] != self.rows else None
        self.outer = joined[:-1] if self.inner else joined
        self.indent = "    " * len(joined)

    @staticmethod
    def joins(view: View, a: int, b: int) -> bool:
        s, t = view.strides[a], view.strides[b]
        if isinstance(s, str) or isinstance(t, str):
            return False
        return s == t * view.shape[b]

    def length(self, group: list[int]) -> int:
        return math.prod([self.shape[axis] for axis in group])

    def head(self, k: int) -> str:
        """Of loop k, counted inwards."""
        group = self.loops[k]
        bounds = "first, last" if group == self.rows else self.emitter.number(self.length(group))
        if self.flat and k == len(self.loops) - 1:
            each = self.emitter.number(self.length(group[1:]))
            bounds = f"first * {each}, last * {each}"
        return f"for {self.index(k)} in range({bounds}):"

    def index(self, k: int) -> str:
        return "j" if self.inner and k == len(self.loops) - 1 else f"i{k}"

    def element(self, address: str, view: View, depth: int) -> str:
        """Address and index of a view's element where so many loops are open, at the start of the others."""
        terms, index = [address], "0"
        for k, group in enumerate(self.loops[:depth]):
            stride = view.strides[group[-1]]
            if stride == 1 and self.index(k) == "j":
                index = "j"
            elif stride != 0:
                terms.append(f"{self.index(k)} * {self.emitter.bytes(stride, view.dtype)}")
        return f"{' + '.join(terms)}, {index}"

    def opening(self, reads, others) -> list[str]:
        """The heads of the loops, and what is read on the way in: (name, address, view, _) and (address, view)."""
        e, lines = self.emitter, []
        for k in range(len(self.outer)):
            lines.append(f"{'    ' * k}{self.head(k)}")
        deep = "    " * len(self.outer)
        self.addresses: dict = {}
        for at, view in dict.fromkeys([(at, view) for _, at, view, _ in reads] + others):
            terms = [
                f"i{k} * {e.bytes(view.strides[group[-1]], view.dtype)}"
                for k, group in enumerate(self.outer)
                if view.strides[group[-1]] != 0
            ]
            if terms:
                name = f"{at}_{len(self.addresses)}"
                lines.append(f"{deep}{name} = {' + '.join([at, *terms])}")
                self.addresses[at, view] = name
            else:
                self.addresses[at, view] = at
        late = []
        for name, at, view, _ in reads:
            place, index = self.place(at, view)
            line = f"{name} = load({place}, {index}, {element(view, e.schedule.dtype)})"
            if self.inner and view.strides[self.inner[-1]] != 0:
                late.append(line)
            else:
                lines.append(deep + line)
        if self.inner:
            lines.append(deep + self.head(len(self.outer)))
        lines += [self.indent + line for line in late]
        return lines

    def place(self, at: str, view: View) -> tuple[str, str]:
        """(address, index) of the view's element here."""
        start = self.addresses[at, view]
        stride = view.strides[self.inner[-1]] if self.inner else 0
        if stride == 0:
            return start, "0"
        if stride == 1:
            return start, "j"
        return f"{start} + j * {self.emitter.bytes(stride, view.dtype)}", "0"


def element(view: View, main: np.dtype) -> str:
    """The type of a view's elements, as a kernel writes it."""
    if view.dtype == main:
        return "Float"
    return "np.bool_" if view.dtype == bool else f"np.{view.dtype.name}"
