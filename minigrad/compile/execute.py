"""Running a program on arrays: one call after another, each loop as one kernel."""

import copy
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType

import numpy as np

from minigrad import mutations
from minigrad.compile import native
from minigrad.compile.bind import value_at
from minigrad.compile.counted import CountedKernel
from minigrad.compile.native import Kernel
from minigrad.ir.draws import drawn
from minigrad.ir.loop import Loop
from minigrad.ir.number import Number
from minigrad.ir.rewrite import is_product, is_view, order_of, rounds
from minigrad.ir.rules.rule import Unsupported
from minigrad.ir.trace import Draw, Pick, Value
from minigrad.kernels import loops, matmul
from minigrad.modes import RAW, thread
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import Spec
from minigrad.symbolic import has_sizes


class Sequence:
    """Values in order, to be computed from arrays of the inputs: as one Python function, `run`, a line a value.

    A second line checks dtype and shape of what an op has computed; results of a loop have them by construction.
    The memory of a value is let go after its last use.
    """

    def __init__(self, inputs, outputs, order=None, kernels: "Mapping[Value, Kernel | Steps] | None" = None):
        """kernels: what runs the loops; by default they are compiled now."""
        self.inputs, self.outputs = list(inputs), list(outputs)
        given = set(self.inputs)
        self.order = [v for v in order_of(self.outputs) if v not in given] if order is None else order
        self.kernels = compile_loops(self.order) if kernels is None else kernels
        self.names = names = {v: f"v{k}" for k, v in enumerate([*self.inputs, *self.order])}
        last = {x: v for v in self.order for x in v.inputs if isinstance(x, Value)}
        kept = set(self.outputs)
        ends: dict = {}
        for x, v in last.items():
            if x not in kept:
                ends.setdefault(v, []).append(names[x])
        self.globals: dict = {"check": check}
        lines = [f"def run({', '.join(names[v] for v in self.inputs)}):", "    pass"]
        for v in self.order:
            lines += self.lines_of(v, names)
            if v in ends:
                lines.append(f"    del {', '.join(ends[v])}")
        lines.append(f"    return [{', '.join(names[v] for v in self.outputs)}]")
        self.text = "\n".join(lines)
        exec(compile(self.text, f"{__file__}, a program", "exec"), self.globals)
        self.run, self.alone = self.globals["run"], self.is_machine_code()

    def lines_of(self, v: Value, names: dict) -> list[str]:
        name, arguments = names[v], []
        for k, x in enumerate(v.inputs):
            if isinstance(x, Number):
                self.globals[f"{name}_{k}"] = np.asarray(x.value)
            arguments.append(f"{name}_{k}" if isinstance(x, Number) else names[x] if isinstance(x, Value) else "None")
        if v.op is Pick:
            line = f"    {name} = {arguments[0]}[{v.params}]"
        else:
            self.globals[f"of_{name}"] = call_of(v, self.kernels.get(v))
            line = f"    {name} = of_{name}({', '.join(arguments)})"
        if v.dtype is None or (v.op is Pick and isinstance(v.inputs[0].op, Loop)) or is_plain_view(v):
            return [line]  # of several results each is checked when it is picked; a view is what it is a view of
        self.globals |= {f"dtype_{name}": v.dtype, f"shape_{name}": tuple(v.shape), f"value_{name}": v}
        wrong = f"{name}.dtype is not dtype_{name} or {name}.shape != shape_{name}"
        return [line, f"    if {wrong}: check({name}, value_{name})"]

    def bound(self, at: Callable) -> "Sequence":
        """The same for sizes that were not fixed. at: what each of them is (symbolic.evaluator)."""
        made, of = copy.copy(self), dict(self.globals)
        made.kernels = {v: kernel.bound(at) for v, kernel in self.kernels.items()}
        for v in self.order:
            name = self.names[v]
            if v in made.kernels:
                of[f"of_{name}"] = made.kernels[v]
            elif v.op is not Pick and has_sizes((v.shape, v.params)):
                of[f"of_{name}"] = call_of(value_at(v, at))
            if f"shape_{name}" in of and has_sizes(v.shape):
                of |= {f"shape_{name}": at(v.shape), f"value_{name}": value_at(v, at)}
        made.globals, made.run = of, FunctionType(self.run.__code__, of)
        return made

    def is_machine_code(self) -> bool:
        """Whether nothing is computed by NumPy or Python, but for views."""
        kernels = [self.kernels.get(v) for v in self.order if v.op is not Pick and not is_plain_view(v)]
        return all(isinstance(kernel, native.Kernel) and not kernel.calls for kernel in kernels)

    def __call__(self, arrays: list) -> list:
        if self.alone:
            return self.run(*arrays)
        caller, thread.mode = thread.mode, RAW
        try:
            with np.errstate(all="ignore"):
                return self.run(*arrays)
        finally:
            thread.mode = caller


def is_plain_view(v: Value) -> bool:
    """Whether it is a view of one array, and one that NumPy gives as an array."""
    return v.op is not Pick and is_view(v) and v.dtype is not None and v.ndim > 0


def memory_of(value: Value, kernels):
    """What stands for the memory that a value lies in: two results of a loop may be parts of one buffer."""
    while value.op is not None and is_view(value):
        value = value.inputs[0]
    kernel = kernels.get(value.inputs[0]) if value.op is Pick else None
    if isinstance(kernel, native.Kernel):
        return value.inputs[0], kernel.buffer_of(value.params)
    return value


def check(array: np.ndarray, value: Value) -> None:
    """Raise unless an array is what the program says of the value that it stands for."""
    got, wanted = Spec(array.shape, array.dtype), Spec(tuple(value.shape), value.dtype)
    if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
        raise RuntimeError(
            f"jit: got {got} for {value}. This is a fault of minigrad's compiler; mg.disable_jit() runs the function "
            "without it"
        )


def call_of(value: Value, kernel: "Kernel | Steps | None" = None):
    """The function of arrays that computes a value. kernel: what runs it, if it is a loop; by default compiled now."""
    op, params = value.op, value.params
    if op is Draw:
        return lambda: drawn(params["item"])
    if isinstance(op, Loop):
        return kernel or compiled(value)
    if isinstance(op, Elementwise):
        return lambda *arrays: np.asarray(op.forward_any(*arrays))
    if is_product(value) and value.dtype.kind == "f" and all(x.dtype == value.dtype for x in value.inputs):
        a, b = value.inputs
        if a.ndim >= 2 and b.ndim == 2:
            kind = matmul.BFLOAT16 if rounds(value) else value.dtype
            return lambda a, b: product(a, b, kind)  # looked up when it is called: an observer may be there

    if is_plain_view(value):
        return functools.partial(op.forward, **params)

    def call(*arrays):
        result = op.forward(list(arrays), **params) if op.variadic else op.forward(*arrays, **params)
        if type(result) is list:  # NumPy gives a number for what has no axes
            return [np.asarray(r) for r in result]
        return np.asarray(result)

    return call


def product(a, b, kind):
    if b.shape[0] == 1 and kind != matmul.BFLOAT16:
        return a * b
    if a.ndim == 2:
        return matmul.matmul(a, b, None, kind)
    lined = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
    return matmul.matmul(lined, b, None, kind).reshape(*a.shape[:-1], b.shape[1])


class Steps:
    """A loop that is run step by step, as there is no kernel for it. why_not: what the kernel lacks."""

    def __init__(self, loop: Loop, why_not: str):
        self.loop, self.why_not, self.length = loop, why_not, loop.length
        self.body = Sequence(loop.inputs, loop.outputs)
        self.sums, self.ys = [s.shape for s in loop.sums], [(loop.length, *y.shape) for y in loop.ys]

    def bound(self, at: Callable) -> "Steps":
        made = copy.copy(self)
        made.length, made.sums, made.ys, made.body = at(self.length), at(self.sums), at(self.ys), self.body.bound(at)
        return made

    def __call__(self, *arrays) -> list:
        return self.run(arrays)

    def run(self, arrays) -> list:
        loop = self.loop
        nc, n = len(loop.consts), len(loop.carries)
        consts, carries, streams = arrays[:nc], arrays[nc : nc + n], arrays[nc + n :]
        sums: list = [np.zeros(shape) for shape in self.sums]  # in float64: float32 would lose what is added to many
        ys: list = [np.empty(shape, y.dtype) for shape, y in zip(self.ys, loop.ys)]
        steps = self.length if loop.count is None else int(arrays[loop.inputs.index(loop.count)])
        for t in reversed(range(steps)) if loop.reverse else range(steps):
            results = self.body.run(*[*consts, *carries, *[stream[t, ...] for stream in streams]])
            carries, rest = results[:n], results[n:]
            for k, part in enumerate(rest[: len(sums)]):
                np.add(sums[k], part, out=sums[k])
            for y, part in zip(ys, rest[len(sums) :]):
                y[t] = part
            if loop.go is not None and not results[-1]:
                break
        return [*carries, *[total.astype(s.dtype) for total, s in zip(sums, loop.sums)], *ys]


def compiled(value: Value) -> Kernel | Steps:
    """The kernel of a loop; its steps one by one, where there can be none."""
    loop = value.op
    specs = loop.specs()
    if [(tuple(s.shape), s.dtype) for s in value.shape] != [(s.shape, s.dtype) for s in specs]:
        gives = ", ".join(map(str, specs))
        raise RuntimeError(f"jit: {value}, gives {gives}. This is a fault of minigrad's compiler")
    if loops.INTERPRETED or not loop.length:
        return Steps(loop, "None")
    try:
        if loop.count is not None:
            return CountedKernel(loop, call_of)
        return Kernel(loop, call_of if loop.length != 1 else refuse)
    except Unsupported as reason:
        return Steps(loop, str(reason))


def refuse(value: Value):
    """Of a kernel of one step: Python itself does as well what the kernel would call it for."""
    raise Unsupported(value.op.name)


def compile_loops(order: Iterable[Value]) -> dict[Value, Kernel | Steps]:
    """What runs each loop among some values."""
    return {value: compiled(value) for value in order if isinstance(value.op, Loop)}


def apart(results, given) -> list:
    """The results, each in memory of its own, as far as eager code gives it that: a change in place changes one."""
    taken = {id(mutations.memory_of(x)) for x in given}
    outs = []
    for x in results:
        owner = id(mutations.memory_of(x))
        outs.append(x.copy() if owner in taken else x)
        taken.add(owner)
    return outs
