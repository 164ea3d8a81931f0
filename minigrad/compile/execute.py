"""Running a program on arrays: one call after another, each loop as one kernel."""

import numpy as np

from minigrad.compile.divide import Unsupported
from minigrad.compile.loop import Loop
from minigrad.compile.native import Kernel
from minigrad.compile.passes.rewrite import order_of
from minigrad.compile.trace import Draw, Pick, Value, drawn
from minigrad.kernels import loops, matmul
from minigrad.ops.pointwise import Elementwise
from minigrad.tape import RAW, thread


class Sequence:
    """Values in order, to be computed from arrays of the inputs: as one Python function, a line a value.

    The memory of a value is let go after its last use.
    """

    def __init__(self, inputs, outputs, order=None):
        self.inputs, self.outputs = list(inputs), list(outputs)
        given = set(self.inputs)
        self.order = [v for v in order_of(self.outputs) if v not in given] if order is None else order
        names = {v: f"v{k}" for k, v in enumerate([*self.inputs, *self.order])}
        last = {x: v for v in self.order for x in v.inputs if isinstance(x, Value)}
        kept = set(self.outputs)
        ends: dict = {}
        for x, v in last.items():
            if x not in kept:
                ends.setdefault(v, []).append(names[x])
        self.functions: dict = {}
        lines = [f"def run({', '.join(names[v] for v in self.inputs)}):", "    pass"]
        for v in self.order:
            name = names[v]
            self.functions[f"of_{name}"] = call_of(v)
            arguments = ", ".join([names[x] if isinstance(x, Value) else repr(x) for x in v.inputs])
            lines.append(f"    {name} = of_{name}({arguments})")
            if v in ends:
                lines.append(f"    del {', '.join(ends[v])}")
        lines.append(f"    return [{', '.join(names[v] for v in self.outputs)}]")
        self.text = "\n".join(lines)
        self.functions |= {"inf": np.inf, "nan": np.nan}
        exec(compile(self.text, f"{__file__}, a program", "exec"), self.functions)

    def __call__(self, arrays: list) -> list:
        caller, thread.mode = thread.mode, RAW
        try:
            with np.errstate(all="ignore"):
                return self.functions["run"](*arrays)
        finally:
            thread.mode = caller


def call_of(value: Value):
    """The function of arrays that computes a value."""
    op, params = value.op, value.params
    if op is Pick:
        return lambda several: several[params]
    if op is Draw:
        return lambda: drawn(params["item"])
    if isinstance(op, Loop):
        return loop_call(op)
    if isinstance(op, Elementwise):
        return lambda *arrays: np.asarray(op.forward_any(*arrays))
    if op.name == "matmul" and value.dtype.kind == "f" and all(x.dtype == value.dtype for x in value.inputs):
        a, b = value.inputs
        if a.ndim >= 2 and b.ndim == 2:
            return lambda a, b: product(a, b)  # looked up when it is called: an observer may be there

    def call(*arrays):
        result = op.forward(list(arrays), **params) if op.variadic else op.forward(*arrays, **params)
        if type(result) is list:  # NumPy gives a number for what has no axes
            return [np.asarray(r) for r in result]
        return np.asarray(result)

    return call


def product(a, b):
    if b.shape[0] == 1:
        return a * b
    if a.ndim == 2:
        return matmul.matmul(a, b)
    return matmul.matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])


def loop_call(loop: Loop):
    """The kernel of a loop; its steps one by one, where there can be none."""
    if not loops.INTERPRETED and loop.length:
        try:
            kernel = Kernel(loop)
            loop.kernel = kernel
            return lambda *arrays: kernel.run(arrays)
        except Unsupported as reason:
            loop.kernel = reason
    body = Sequence(loop.inputs, loop.outputs)
    return lambda *arrays: run_steps(loop, body, arrays)


def run_steps(loop: Loop, body: Sequence, arrays) -> list:
    """A loop, step by step."""
    nc, n = len(loop.consts), len(loop.carries)
    consts, carries, streams = arrays[:nc], arrays[nc : nc + n], arrays[nc + n :]
    sums: list = [np.zeros(s.shape, s.dtype) for s in loop.sums]
    ys: list = [np.empty((loop.length, *y.shape), y.dtype) for y in loop.ys]
    for t in reversed(range(loop.length)) if loop.reverse else range(loop.length):
        results = body([*consts, *carries, *[stream[t, ...] for stream in streams]])
        carries, rest = results[:n], results[n:]
        for k, part in enumerate(rest[: len(sums)]):
            sums[k] = sums[k] + part
        for y, part in zip(ys, rest[len(sums) :]):
            y[t] = part
    return [*carries, *sums, *ys]
