"""Convolutions in a kernel: what is planned for one, and its text, calls of the fixed kernels of kernels/conv.py.

These take images whose samples lie in order each; others are copied before, or behind.

    y = conv2d(x, w)            call(pack_filters, w, ..., filters)     where the weight changes from step to step
                                call(conv, x, ..., filters, y, ...)
    d = conv2d_weight(x, g)     for chunk in range(0, N, some):
                                    call(conv_weight, x[chunk], ..., g[chunk], ..., sums, ...)
                                    call(unpack, sums, d, ...)
"""

import numpy as np

from minigrad.compile.tasks import Buffer, Convolution, Fused, View, WeightGradient
from minigrad.ir.rules.kernel import lies_in_order, natural
from minigrad.ir.rules.partition import REPLICATE, SHARD
from minigrad.ir.trace import Value
from minigrad.kernels import conv
from minigrad.kernels.convolution import RUN, filters


def convolution(plan, v: Value, kernel) -> list:
    """The tasks of a convolution. plan: a Schedule."""
    weight, of = v.inputs[1], kernel.geometry(v)
    before, x = operand(plan, v.inputs[0])
    to, after = result(plan, v)
    if weight in plan.fixed:
        index = plan.fixed[weight], kernel.transposed, of.groups
        packed, source = plan.buffer("filters", index, weight.shape, v.dtype), None
    else:
        packed, source = scratch(plan, v, weight.size), plan.home(weight)
    room = scratch(plan, v, conv.workspace_size(of, v.dtype))
    made = Convolution(v, x, source, packed, to, room, of, kernel.transposed, plan.kinds[v] == SHARD)
    return [*before, made, *after]


def weight_gradient(plan, v: Value, kernel) -> list:
    of = kernel.geometry(v)
    before, x = operand(plan, v.inputs[0])
    also_before, g = operand(plan, v.inputs[1])
    to, after = result(plan, v, first=0)
    room, sums = [scratch(plan, v, size) for size in conv.weight_sizes(of, v.dtype)]
    return [*before, *also_before, WeightGradient(v, x, g, to, sums, room, of), *after]


def scratch(plan, v: Value, size: int) -> Buffer:
    """Memory of each thread, in whole cache lines."""
    return plan.buffer("scratch", v, (-(-size // 16) * 16,), v.dtype, False, plan.rows)


def operand(plan, v: Value) -> tuple[list, View]:
    """(copies to be made before, where an operand's samples lie in order)."""
    home = plan.home(v)
    if lies_in_order(v.shape[1:], home.strides[1:]):
        return [], home
    view = copy_of(plan, v)
    return [copying(plan, v, view)], view


def result(plan, v: Value, first: int = 1) -> tuple[View, list]:
    """(where the axes of the result from `first` on lie in order, copies to be made behind)."""
    home = plan.home(v)
    if lies_in_order(v.shape[first:], home.strides[first:]):
        return home, []
    plan.homes[v] = copy_of(plan, v)
    return plan.homes[v], [copying(plan, v, home)]


def copy_of(plan, v: Value) -> View:
    private = plan.rows and plan.kinds[v] == REPLICATE
    b = plan.buffer("scratch", v, v.shape, v.dtype, False, private)
    return View(b, 0, v.shape, natural(v.shape), v.dtype)


def copying(plan, v: Value, to: View) -> Fused:
    return Fused(v.shape, plan.kinds[v] == SHARD, [], [(v, to)])


# Texts


def text(e, task: Convolution) -> list[str]:
    x, to, of, lines = task.x, task.to, task.geometry, []
    first, count = ("first", "last - first") if task.rows else ("0", e.number(x.shape[0]))
    if task.weight is not None:
        w = task.weight
        packing, begin = filters(w.shape, w.strides, of.groups, task.transposed)
        flipped = (*w.strides[:2], *[-n for n in w.strides[2:]]) if task.transposed else w.strides
        start = e.base(w.like(w.offset + begin, strides=flipped))
        lines = [f"call(pack_filters, {start}, {', '.join([e.number(k) for k in packing])}, {task.filters.name})"]
    source, made = at_sample(e, x, first), at_sample(e, to, first)
    return [
        *lines,
        f"call(conv, {source}, {count}, {e.elements(x.strides[0])}, {task.filters.name}, {made}, "
        f"{e.elements(to.strides[0])}, {task.workspace.name}, {numbers(e, of)})",
    ]


def text_of_weight(e, task: WeightGradient) -> list[str]:
    """A sum in float32 is one of few samples, which is added to those before it."""
    x, g, of = task.x, task.g, task.geometry
    count = e.number(x.shape[0])
    some = e.number(max(1, RUN // (of.OH * of.OW))) if x.dtype == np.float32 else count
    at_x, at_g = at_sample(e, x, "chunk"), at_sample(e, g, "chunk")
    return [
        f"for chunk in range(0, {count}, {some}):",
        f"    call(conv_weight, {at_x}, min({some}, {count} - chunk), {e.elements(x.strides[0])}, {at_g}, "
        f"{e.elements(g.strides[0])}, {task.sums.name}, {task.workspace.name}, pack, {numbers(e, of)})",
        f"    call(unpack, {task.sums.name}, {e.base(task.to)}, chunk, {e.number(of.groups)}, {e.number(of.O)}, "
        f"{e.number(of.I * of.kh * of.kw)})",
    ]


def at_sample(e, view: View, k: str) -> str:
    return f"{e.base(view)} + {k} * {e.bytes(view.strides[0], view.dtype)}"


def numbers(e, of: conv.Geometry) -> str:
    return ", ".join([e.number(n) for n in of])
