"""What a step of a loop does, in which order, and where each value lies.

A schedule is a list of tasks. A `Fused` task is one loop over a shape that computes a run of elementwise values and
writes those that something outside of it needs; a `Product`, a `Reduction` is a task of its own. A value that is a part
of another, or another in another layout, is a `View` of its memory and costs nothing; parts of a concatenation are
written where the whole lies.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad.compile.divide import COLUMNS, PARTIAL, ROWS, WHOLE, Unsupported, divide
from minigrad.compile.loop import Loop
from minigrad.compile.passes.rewrite import is_elementwise, is_op, is_view, order_of
from minigrad.compile.trace import Pick, Value
from minigrad.kernels import conv, matmul
from minigrad.ops.conv import _geometry
from minigrad.ops.shape import axes_of, axis_of


@dataclass(eq=False)
class Buffer:
    """Memory that a kernel is given. kind: input, packed, y, history, pair, scratch, sum or total; index: which one.

    A sum of few terms is added to its total, in float64, before the next ones are added up.

    per_step: whether it has a slice for each step. private: whether each thread has its own.
    """

    kind: str
    index: Any
    shape: tuple
    dtype: Any
    per_step: bool = False
    private: bool = False
    name: str = ""


@dataclass(eq=False)
class View:
    """Part of a buffer's memory: strides in elements, or the name of a number that the caller gives."""

    buffer: Buffer
    offset: int
    shape: tuple
    strides: tuple
    dtype: Any
    out: bool = False  # of a carry: where the next one lies

    def part(self, axis: int, start: int, size: int) -> "View":
        shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])
        if start and not isinstance(self.strides[axis], int):
            raise Unsupported("a slice along an axis of unknown stride")
        return self.like(self.offset + (start * self.strides[axis] if start else 0), shape, self.strides)

    def require_inside(self) -> None:
        """Raise unless it lies in its buffer; a stride that the caller gives is taken for a contiguous one's."""
        whole = self.buffer.shape
        strides = [math.prod(whole[1:]) if isinstance(s, str) else s for s in self.strides]
        reach = [s * (n - 1) for s, n in zip(strides, self.shape, strict=True)]
        low = self.offset + sum([r for r in reach if r < 0])
        high = self.offset + sum([r for r in reach if r > 0])
        if math.prod(self.shape) and not 0 <= low <= high < math.prod(whole):
            raise RuntimeError(
                f"jit: a kernel would read elements {low} to {high} of {self.buffer.name}, of shape {whole}. This is a "
                "fault of minigrad's compiler; mg.disable_jit() runs the function without it"
            )

    def like(self, offset, shape, strides) -> "View":
        return View(self.buffer, offset, tuple(shape), tuple(strides), self.dtype, self.out)


def natural(shape) -> tuple:
    strides, n = [], 1
    for size in reversed(shape):
        strides.append(n)
        n *= size
    return tuple(reversed(strides))


@dataclass(eq=False)
class Fused:
    """Elementwise values over one shape. writes: (value, view) to store; adds: (value, view, axes) to add up."""

    shape: tuple
    rows: bool
    values: list = field(default_factory=list)
    writes: list = field(default_factory=list)
    adds: list = field(default_factory=list)


@dataclass(eq=False)
class Product:
    """value = a @ b, the right operand packed beforehand (a Buffer) or read where it lies (a View)."""

    value: Value
    a: View
    b: Any
    to: View
    rows: bool
    adds: bool = False  # to what is there, over the rows of this thread
    room: Any = None  # to pack the right operand of such a sum


@dataclass(eq=False)
class Convolution:
    """value = conv of x with filters packed beforehand. geometry: (I, H, W, O, kh, kw, top, left, OH, OW)."""

    value: Value
    x: View
    filters: Buffer
    to: View
    workspace: Buffer
    geometry: tuple
    rows: bool


def geometry_of(v: Value) -> tuple:
    """What kernels/conv.py wants to know of a convolution of stride 1; raises Unsupported for others."""
    x, w, *bias = v.inputs
    stride, padding, dilation = _geometry(w.shape[2:], v.params["stride"], v.params["padding"], v.params["dilation"])
    if stride != (1, 1) or dilation != (1, 1) or v.params["groups"] != 1 or bias != [None]:
        raise Unsupported(f"{v.op.name} with stride, dilation or groups")
    (top, _), (left, _) = padding
    kh, kw = w.shape[2:]
    if v.op.name == "conv_transpose2d":
        top, left = kh - 1 - top, kw - 1 - left
    if top < 0 or left < 0:
        raise Unsupported(f"{v.op.name} with padding beyond the kernel")
    return (*x.shape[1:], v.shape[1], kh, kw, top, left, *v.shape[2:])


@dataclass(eq=False)
class Reduction:
    """Sum, max or min over some axes."""

    value: Value
    x: View
    to: View
    axes: tuple
    rows: bool


def schedule(loop: Loop) -> "Schedule":
    """The schedule of a loop, its batch divided between threads if no op mixes it. Raises Unsupported."""
    try:
        return Schedule(loop, True)
    except Unsupported:
        return Schedule(loop, False)


class Schedule:
    """Of a loop: tasks, buffers, what lies where. rows: whether threads may divide the batch, the leading axis."""

    def __init__(self, loop: Loop, divided: bool):
        self.loop = loop
        self.order = [v for v in order_of(loop.outputs) if v.dtype is not None or v.op is not None]
        self.check()
        self.rows = divided
        self.kinds = divide(loop, self.order) if divided else dict.fromkeys([*self.order, *loop.carries], WHOLE)
        self.buffers: list[Buffer] = []
        self.homes: dict[Value, View] = {}
        self.tasks: list = []
        self.results: list = []  # for each output of the loop: (buffer, how to read it)
        self.place()
        self.arrange()

    def check(self) -> None:
        """Refuse what no kernel can do."""
        floats = set()
        for v in self.order:
            if v.dtype is not None and v.dtype.kind == "f":
                floats.add(v.dtype)
            if v.op is None or v.op is Pick or is_view(v):
                continue
            if is_op(v, "matmul", "concatenate", "sum", "sum_to", "max", "min"):
                if any(x.dtype.kind != "f" for x in (v, *v.inputs)):
                    raise Unsupported(f"{v.op.name} of what are no floats")
                continue
            if is_op(v, "conv2d", "conv_transpose2d") and v.inputs[1] in self.loop.consts:
                geometry_of(v)
                continue
            if is_elementwise(v):
                operands = [x.dtype.kind for x in v.inputs if isinstance(x, Value)]
                if v.dtype.kind not in "fb" or any(kind not in "fb" for kind in operands):
                    raise Unsupported(f"{v.op.name} of integers")
                continue
            raise Unsupported(v.op.name)
        if len(floats) != 1:
            raise Unsupported(f"float dtypes {sorted(map(str, floats))} in one loop")
        if any(0 in v.shape for v in self.order if v.dtype is not None):
            raise Unsupported("an empty axis")
        (self.dtype,) = floats
        for v in [x for x in self.loop.inputs if x in set(self.order)]:
            if v.dtype.kind not in "fb":
                raise Unsupported(f"an input of {v.dtype}")

    # Where values lie

    def buffer(self, kind, index, shape, dtype, per_step=False, private=False) -> Buffer:
        made = Buffer(kind, index, tuple(shape), dtype, per_step, private, f"{kind}{len(self.buffers)}")
        self.buffers.append(made)
        return made

    def place(self) -> None:
        """Homes of inputs and of results; the others get theirs when they are scheduled."""
        loop = self.loop
        used = set(self.order)
        for k, v in enumerate(loop.inputs):
            if v not in used or v in loop.carries:
                continue
            per_step = v in loop.streams
            b = self.buffer("input", k, v.shape, v.dtype, per_step)
            strides = natural(v.shape)
            if v.ndim > 1:
                strides = (f"{b.name}_row", *strides[1:])
            self.homes[v] = View(b, 0, v.shape, strides, v.dtype)
        self.targets: list[tuple] = []  # (value, view): what is to be there at the end of a step
        self.results = [None] * len(loop.outputs)
        n, m = len(loop.carries), len(loop.sums)
        ys = dict(enumerate(loop.ys))
        for k, (carry, out) in enumerate(zip(loop.carries, loop.carry_outs)):
            before = [j for j, y in ys.items() if y is carry]
            after = [j for j, y in ys.items() if y is out and y is not carry]
            kept = bool(before or after)
            private = self.rows and self.kinds.get(carry) == WHOLE
            b = self.buffer("history" if kept else "pair", k, carry.shape, carry.dtype, False, private)
            self.homes[carry] = View(b, 0, carry.shape, natural(carry.shape), carry.dtype)
            view = View(b, 0, carry.shape, natural(carry.shape), carry.dtype, True)
            self.targets.append((out, view))
            self.results[k] = (b, "last")
            for j in before:
                self.results[n + m + j] = (b, "before")
            for j in after:
                self.results[n + m + j] = (b, "after")
            for j in before + after:
                del ys[j]
        for j, y in ys.items():
            private = self.rows and self.kinds[y] == WHOLE
            b = self.buffer("y", j, y.shape, y.dtype, True, private)
            self.targets.append((y, View(b, 0, y.shape, natural(y.shape), y.dtype)))
            self.results[n + m + j] = (b, "all")
        self.totals: dict[Buffer, Buffer] = {}
        for j, s in enumerate(loop.sums):
            b = self.buffer("sum", j, s.shape, s.dtype, False, self.rows)
            self.totals[b] = self.buffer("total", j, s.shape, np.dtype("float64"), False, self.rows)
            self.results[n + j] = (self.totals[b], "all")
        self.copies = []
        for v, view in self.targets:
            of_all = self.rows and self.kinds[v] == WHOLE and not view.buffer.private
            if v.op is None or v in self.homes or is_view(v) or self.kinds[v] == COLUMNS or of_all:
                self.copies.append((v, view))
            else:
                self.homes[v] = view
        for v in reversed(self.order):
            if is_op(v, "concatenate"):
                whole = self.home(v)
                axis, start = axis_of(v.params["axis"], v.ndim), 0
                for x in v.inputs:
                    part = whole.part(axis, start, x.shape[axis])
                    start += x.shape[axis]
                    computed = is_elementwise(x) or is_op(x, "matmul", "sum", "sum_to", "max", "min", "concatenate")
                    if computed and x not in self.homes and self.kinds[x] == self.kinds[v]:
                        self.homes[x] = part
                    else:
                        self.copies.append((x, part))

    def home(self, v: Value) -> View:
        """Where a value lies; made now if it is not a view and has no place yet."""
        if v not in self.homes:
            if v.op is Pick or is_view(v):
                self.homes[v] = self.view_of(v)
            else:
                b = self.buffer("scratch", v, v.shape, v.dtype, False, self.rows and self.kinds[v] == WHOLE)
                self.homes[v] = View(b, 0, v.shape, natural(v.shape), v.dtype)
        return self.homes[v]

    def view_of(self, v: Value) -> View:
        if v.op is Pick:
            several = v.inputs[0]
            whole = self.home(several.inputs[0])
            axis = axis_of(several.params["axis"], whole_ndim(several))
            if several.op.name == "split":
                start = sum([spec.shape[axis] for spec in several.shape[: v.params]])
                return whole.part(axis, start, v.shape[axis])
            one = whole.part(axis, v.params, 1)
            return one.like(one.offset, v.shape, one.strides[:axis] + one.strides[axis + 1 :])
        x, params = self.home(v.inputs[0]), v.params
        name, n = v.op.name, len(x.shape)
        if name == "swapaxes":
            order = list(range(n))
            a, b = axis_of(params["axis1"], n), axis_of(params["axis2"], n)
            order[a], order[b] = order[b], order[a]
            return x.like(x.offset, v.shape, [x.strides[k] for k in order])
        if name == "transpose":
            order = list(range(n)[::-1] if params["axes"] is None else axes_of(params["axes"], n))
            return x.like(x.offset, v.shape, [x.strides[k] for k in order])
        if name == "broadcast_to":
            lead = v.ndim - n
            strides = [0] * lead + [
                0 if s == 1 and t != 1 else k for s, t, k in zip(x.shape, v.shape[lead:], x.strides)
            ]
            return x.like(x.offset, v.shape, strides)
        if name == "reshape":
            return self.reshaped(x, v)
        if name == "getitem":
            return self.indexed(x, v)
        if name == "flip":
            offset, strides = x.offset, list(x.strides)
            for k in axes_of(params["axis"], n):
                if not isinstance(strides[k], int):
                    raise Unsupported("a flip along an axis of unknown stride")
                offset += (x.shape[k] - 1) * strides[k]
                strides[k] = -strides[k]
            return x.like(offset, v.shape, strides)
        raise Unsupported(name)

    def reshaped(self, x: View, v: Value) -> View:
        """x in another shape, where its memory allows it; an axis of unknown stride stays as it is."""
        shape, strides, lead = x.shape, x.strides, []
        if shape and v.shape and shape[0] == v.shape[0]:
            lead, shape, strides = [x.strides[0]], x.shape[1:], x.strides[1:]
        if not all(isinstance(s, int) for s in strides):
            raise Unsupported("a reshape of memory of unknown strides")
        probe = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), shape, strides)
        try:
            probe.shape = v.shape[len(lead) :]
        except AttributeError:
            raise Unsupported("a reshape of strided memory") from None
        return x.like(x.offset, v.shape, [*lead, *probe.strides])

    def indexed(self, x: View, v: Value) -> View:
        index = v.params["index"] if isinstance(v.params["index"], tuple) else (v.params["index"],)
        named = len([p for p in index if p is not None and p is not Ellipsis])
        if Ellipsis in [p for p in index if p is Ellipsis or p is None or isinstance(p, (int, slice))]:
            at = next(k for k, p in enumerate(index) if p is Ellipsis)
            index = (*index[:at], *[slice(None)] * (len(x.shape) - named), *index[at + 1 :])
        index = (*index, *[slice(None)] * (len(x.shape) - len([p for p in index if p is not None])))
        offset, strides, axis = x.offset, [], 0
        for p in index:
            if p is None:
                strides.append(0)
                continue
            n, stride = x.shape[axis], x.strides[axis]
            if isinstance(p, slice):
                start, _, step = p.indices(n)
                if (start, step) != (0, 1) and not isinstance(stride, int):
                    raise Unsupported("a slice along an axis of unknown stride")
                offset += start * stride if start else 0
                strides.append(stride * step if step != 1 else stride)
            else:
                k = int(p) % n
                if k and not isinstance(stride, int):
                    raise Unsupported("an index along an axis of unknown stride")
                offset += k * stride if k else 0
            axis += 1
        return x.like(offset, v.shape, strides)

    # In which order

    def arrange(self) -> None:
        depth: dict = {}
        sums = list(enumerate(self.loop.sums))
        skipped = set()
        for _, s in sums:  # sums over rows are added up where their terms are computed
            if is_op(s, "sum_to", "sum") and not any(s in v.inputs for v in self.order) and s not in self.homes:
                skipped.add(s)
            if is_op(s, "matmul") and self.kinds[s] == PARTIAL and not any(s in v.inputs for v in self.order):
                skipped.add(s)
        if any(kind == PARTIAL and v not in skipped for v, kind in self.kinds.items()):
            raise Unsupported("a sum over the batch inside a step")

        def base(x):
            while x.op is Pick or is_view(x):
                x = x.inputs[0]
            return x

        fused: dict = {}
        barriers: dict = {}
        for v in self.order:
            if v.op is None or v in skipped:
                depth[v] = 0
                continue
            if v.op is Pick or is_view(v):
                depth[v] = depth[base(v)]
                continue
            level = 0
            for x in v.inputs:
                if isinstance(x, Value):
                    u = base(x)
                    if u.op is None:
                        continue
                    if is_elementwise(v):
                        together = (
                            is_elementwise(u) and x is u and u.shape == v.shape and self.kinds[u] == self.kinds[v]
                        )
                        level = max(level, depth[u] + (0 if together else 1))
                    elif is_op(v, "concatenate") and any(x is w for w, _ in self.copies):
                        level = max(level, depth[u] + 1)
                    else:
                        level = max(level, depth[u])
            depth[v] = level
        self.delay(depth, base, skipped)
        for v in self.order:
            if v.op is None or v in skipped or v.op is Pick or is_view(v):
                continue
            level = depth[v]
            if is_elementwise(v):
                key = (level, v.shape, self.kinds[v])
                fused.setdefault(key, Fused(v.shape, self.kinds[v] == ROWS)).values.append(v)
            else:
                barriers.setdefault(level, []).append(v)
        group_of = {v: task for task in fused.values() for v in task.values}
        for task in fused.values():
            inside = set(task.values)
            for v in task.values:
                others = [u for u in self.order if v in u.inputs and u not in inside]
                users = [u for u in others if u not in skipped or is_op(u, "matmul")]  # which reads it from memory
                if users or v in self.homes or any(v is w for w, _ in self.copies):
                    task.writes.append((v, self.home(v)))
        extra: dict = {}
        for v, view in self.copies:
            u = base(v)
            direct = group_of.get(v)
            if direct is not None and (direct.rows or not self.rows or view.buffer.private):
                direct.writes.append((v, view))
                continue
            level = depth[u] + 1 if u.op is not None else 0
            rows = self.rows and not view.buffer.private
            extra.setdefault(level, []).append(Fused(v.shape, rows, [], [(v, view)], []))
        for j, s in sums:
            b = next(b for b in self.buffers if b.kind == "sum" and b.index == j)
            to = View(b, 0, s.shape, natural(s.shape), s.dtype)
            if s in skipped and is_op(s, "matmul"):
                a, g = s.inputs
                level = max(depth[base(a)], depth[base(g)])
                barriers.setdefault(level, []).append((s, to))
                continue
            source: Value = s
            axes: tuple[int, ...] = ()
            if s in skipped:
                source = s.inputs[0]
                lead = source.ndim - s.ndim
                if is_op(s, "sum_to"):
                    axes = tuple(range(lead)) + tuple(
                        [lead + k for k, n in enumerate(s.shape) if n == 1 and source.shape[lead + k] != 1]
                    )
                else:
                    axes = axes_of(s.params.get("axis"), source.ndim)
            strides = iter(to.strides)
            keeps = s.ndim == source.ndim
            spread = []
            lead = source.ndim - s.ndim if is_op(s, "sum_to") else 0
            for k in range(source.ndim):
                if k < lead:
                    spread.append(0)
                elif k in axes:
                    spread.append(0)
                    if keeps or is_op(s, "sum_to"):
                        next(strides)
                else:
                    spread.append(next(strides))
            view = to.like(0, source.shape, spread)
            task = group_of.get(source)
            inner = [stride for stride, n in zip(spread, source.shape) if n != 1]
            if task is not None and inner and inner[-1] == 0:  # sums along the innermost axis are a task of their own
                if not any(v is source for v, _ in task.writes):
                    task.writes.append((source, self.home(source)))
                task = None
            rows = self.kinds[source] == ROWS
            if self.rows and not rows:  # each thread adds up the whole: only the first one's counts
                self.results[len(self.loop.carries) + j] = (self.totals[b], "first")
            if task is None:
                level = depth[base(source)] + (1 if base(source).op is not None else 0)
                task = Fused(source.shape, rows)
                extra.setdefault(level, []).append(task)
            task.adds.append((source, view))
        last = max([0, *barriers, *extra, *[level for level, _, _ in fused]])
        for level in range(last + 1):
            self.tasks += [task for key, task in fused.items() if key[0] == level]
            self.tasks += extra.get(level, [])
            for v in barriers.get(level, []):
                self.tasks += self.barrier(*v) if isinstance(v, tuple) else self.barrier(v)

    def delay(self, depth, base, skipped) -> None:
        """Compute an elementwise value no sooner than it is needed: what it is computed from is there anyway."""
        users: dict = {}
        for v in self.order:
            if not (v.op is Pick or is_view(v)):
                for x in v.inputs:
                    if isinstance(x, Value):
                        users.setdefault(base(x), []).append((v, x))
        for v in reversed(self.order):
            if not is_elementwise(v) or v not in users:
                continue
            limits = []
            for u, x in users[v]:
                if u in skipped:
                    continue
                together = is_elementwise(u) and x is v and u.shape == v.shape and self.kinds[u] == self.kinds[v]
                ahead = is_elementwise(u) or (is_op(u, "concatenate") and x is not v)
                limits.append(depth[u] - (0 if together or not ahead else 1))
            if limits and v not in self.homes and not any(base(w) is v for w, _ in self.copies):
                depth[v] = max(depth[v], min(limits))

    def barrier(self, v: Value, to: View | None = None) -> list:
        rows = self.kinds[v] == ROWS
        if is_op(v, "concatenate"):
            return []
        if is_op(v, "matmul"):
            a, b = v.inputs
            adds = to is not None
            left = self.home(a)
            if b in self.loop.consts and b.ndim == 2 and not adds:
                right: Any = self.packed(b)
            else:
                right = self.home(b)
            room = None
            if adds and self.rows:
                room = self.buffer(
                    "scratch", v, (matmul.packed_size(b.shape[0], b.shape[1], v.dtype),), v.dtype, False, True
                )
            return [Product(v, left, right, to or self.home(v), rows, adds, room)]
        x = self.home(v.inputs[0])
        if is_op(v, "conv2d", "conv_transpose2d"):
            to, geometry = self.home(v), geometry_of(v)
            for view in (x, to):
                if view.strides[1:] != natural(view.shape)[1:]:
                    raise Unsupported("a convolution of strided memory")
            I, H, W, O, kh, kw, top, left, OH, OW = geometry
            size = -(-conv.workspace_size(I, H, W, kh, kw, top, left, OH, OW, O, v.dtype) // 16) * 16
            room = self.buffer("scratch", v, (size,), v.dtype, False, self.rows)
            filters = self.buffer(
                "filters", (self.loop.inputs.index(v.inputs[1]), v.op.name), v.inputs[1].shape, v.dtype
            )
            return [Convolution(v, x, filters, to, room, geometry, rows)]
        if is_op(v, "sum_to"):
            lead = len(x.shape) - v.ndim
            axes = tuple(range(lead)) + tuple(
                [lead + k for k, n in enumerate(v.shape) if n == 1 and x.shape[lead + k] != 1]
            )
        else:
            axes = axes_of(v.params.get("axis"), len(x.shape))
        return [Reduction(v, x, self.home(v), axes, rows)]

    def packed(self, b: Value) -> Buffer:
        k = self.loop.inputs.index(b)
        for buffer in self.buffers:
            if buffer.kind == "packed" and buffer.index == k:
                return buffer
        return self.buffer("packed", k, b.shape, b.dtype)


def whole_ndim(several: Value) -> int:
    return several.inputs[0].ndim
