"""A program as text, and back: what `explain` prints, and what the tests of the passes are written in.

    x = input float32[7, 5, 3]
    W = captured float32[3, 4]
    h0 = input float32[5, 4]
    h, hs = loop 7 steps backwards
        const u = W
        carry c = h0
        each x_t = x
        p = matmul(x_t, u)  # float32[5, 4]
        n = tanh(p)  # float32[5, 4]
        next n
        give n
    y = add(h, 1.0)  # float32[5, 4]
    return y, hs

One line is one value; what stands behind `#` is for the reader. Values come in an order that follows from the results
alone: each just before the first that needs it. So two programs that do the same in the same way print the same text,
whatever order they were built in.
"""

import ast
import functools
import re

import numpy as np

from minigrad.ir.loop import UNBOUNDED, Body, Loop
from minigrad.ir.number import Number
from minigrad.ir.rules.kernel import NARROW
from minigrad.ir.trace import Pick, Program, Value
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import Spec, table

INDENT = "    "
ENDS = "next", "sum", "give", "times", "while"  # times: the constant that counts the steps; while: what says go on
KINDS = ("input", "captured", "cotangent")
LITERALS = {"slice": slice, "dtype": np.dtype, "array": np.array, "inf": np.inf, "nan": np.nan, "__builtins__": {}}
LITERALS |= {d: functools.partial(Number, dtype=d) for d in ("float32", "float64", "int64", "bool")}
LITERALS |= {d.name: functools.partial(Number, dtype=d) for d in NARROW}


def show(roots) -> str:
    """The text of what the roots depend on."""
    printer = _Printer(next((v.program for v in roots if isinstance(v, Value)), Program()))
    return "\n".join([*printer.values(roots), f"return {printer.listed(roots)}"])


class _Printer:
    def __init__(self, program: Program):
        self.names: dict[Value, str] = {}
        self.kinds = dict.fromkeys([value for [(value, _, _)] in program.captured.values()], "captured")
        self.kinds |= dict.fromkeys(program.cotangents, "cotangent")

    def name(self, x) -> str:
        return self.names.setdefault(x, f"v{len(self.names)}") if isinstance(x, Value) else repr(x)

    def listed(self, values) -> str:
        return ", ".join([self.name(v) if v is not None else "_" for v in values])

    def values(self, roots) -> list[str]:
        order = by_need(roots)
        results: dict = {}
        for v in order:
            if v.op is Pick:
                results.setdefault(v.inputs[0], {})[v.params] = v
        lines: list[str] = []
        for v in order:
            if v.op is not Pick and v not in self.names:  # the body of a loop knows its inputs already
                lines += self.value(v, results)
        return lines

    def value(self, v: Value, results: dict) -> list[str]:
        if v.op is None:
            return [f"{self.name(v)} = {self.kinds.get(v, 'input')} {Spec(v.shape, v.dtype)}"]
        several = v.dtype is None
        target = self.listed([results[v].get(k) for k in range(len(v.shape))]) if several else self.name(v)
        head = f"{'recompute ' if v.recompute else ''}{target} = "
        if isinstance(v.op, Loop):
            return [head + heading(v.op), *[INDENT + line for line in self.loop(v)]]
        typed = isinstance(v.op, Elementwise) and not any(
            isinstance(x, Value) for x, n in zip(v.inputs, v.op.inputs) if n not in v.op.booleans
        )  # else numbers are of the dtype of the values beside them
        arguments = [f"{x.dtype}({x!r})" if typed and type(x) is Number else self.name(x) for x in v.inputs]
        arguments += [f"{k}={p!r}" for k, p in v.params.items()]
        specs = ", ".join([str(spec) for spec in (v.shape if several else [Spec(v.shape, v.dtype)])])
        return [f"{head}{v.op.name}({', '.join(arguments)})  # {specs}"]

    def loop(self, v: Value) -> list[str]:
        loop = v.op
        outside = dict(zip(loop.inputs, v.inputs))
        lines = []
        for word, part in (("const", loop.consts), ("carry", loop.carries), ("each", loop.streams)):
            lines += [f"{word} {self.name(x)} = {self.name(outside[x])}" for x in part]
        lines += self.values(loop.outputs)
        control = [[v] if v is not None else [] for v in (loop.count, loop.go)]
        for word, part in zip(ENDS, (loop.carry_outs, loop.sums, loop.ys, *control)):
            if part:
                lines.append(f"{word} {self.listed(part)}")
        return lines


def heading(loop: Loop) -> str:
    steps = "any" if loop.length == UNBOUNDED else loop.length
    return f"loop {steps} steps{' backwards' if loop.reverse else ''}{' chunked' if loop.chunked else ''}"


def by_need(roots) -> list[Value]:
    """What the roots depend on, each value just before the first that needs it."""
    order: dict = {}
    stack = [v for v in reversed(roots) if isinstance(v, Value)]
    while stack:
        v = stack[-1]
        missing = [x for x in v.inputs if isinstance(x, Value) and x not in order] if v not in order else []
        if missing:
            stack += reversed(missing)
        else:
            order[stack.pop()] = None
    return list(order)


def read(text: str) -> tuple[Program, list[Value]]:
    """The program that a text describes, and its roots. Draws of random numbers cannot be read.

    Raises ValueError for a line that says nothing, a name that nothing has before, an op that there is not.
    """
    program = Program()
    lines = [line.split("  #")[0].rstrip() for line in text.splitlines()]
    reader = _Reader(program, {}, [line for line in lines if line])
    return program, reader.block()["return"]


class _Reader:
    """Reads the lines of one block; what is indented below a loop is another."""

    def __init__(self, program: Program, names: dict[str, Value], lines: list[str]):
        self.program, self.names = program, names
        margin = min([len(line) - len(line.lstrip()) for line in lines], default=0)
        self.lines = [line[margin:] for line in lines]

    def block(self) -> dict[str, list]:
        """What the lines return, or give to the loop: a list for each of the words."""
        results: dict = {word: [] for word in (*ENDS, "return")}
        k = 0
        while k < len(self.lines):
            line, k = self.lines[k], k + 1
            below = []
            while k < len(self.lines) and self.lines[k].startswith(" "):
                below.append(self.lines[k])
                k += 1
            word, _, rest = line.partition(" ")
            if word in results:
                results[word] += [self.named(name) for name in rest.split(", ")]
            else:
                self.statement(line, below)
        return results

    def named(self, name: str) -> Value:
        if name not in self.names:
            raise ValueError(f"read: no value is called {name!r} before it is used")
        return self.names[name]

    def statement(self, line: str, below: list[str]) -> None:
        parts = re.fullmatch(r"(recompute )?([\w, ]+) = (.+)", line)
        if parts is None:
            raise ValueError(f"read: {line!r} is no statement; wanted `name = op(...)`, a loop, an input or `return`")
        again, targets, said = parts.groups()
        outer, self.program.recomputing = self.program.recomputing, bool(again)
        try:
            made = self.loop(said, below) if said.startswith("loop ") else self.value(said)
        finally:
            self.program.recomputing = outer
        values = made if isinstance(made, list) else [made]
        names = targets.split(", ")
        if len(names) != len(values):
            raise ValueError(f"read: {line!r} has {len(values)} results, and names {len(names)}")
        self.names.update((name, v) for name, v in zip(names, values) if name != "_")

    def value(self, said: str):
        kind, _, spec = said.partition(" ")
        if kind in KINDS:
            return self.given(kind, spec)
        call = ast.parse(said, mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in table):
            raise ValueError(f"read: {said!r} names no op of the table")
        inputs = [self.operand(x) for x in call.args]
        params = {str(keyword.arg): literal(keyword.value) for keyword in call.keywords}
        return self.program.apply(call.func.id, *inputs, **params)

    def operand(self, node: ast.expr):
        return self.named(node.id) if isinstance(node, ast.Name) and node.id not in LITERALS else literal(node)

    def given(self, kind: str, spec: str) -> Value:
        dtype, _, shape = spec.partition("[")
        value = self.program.input(Spec(tuple(ast.literal_eval(f"[{shape}")), np.dtype(dtype)))
        if kind == "captured":
            self.program.captured[id(value)] = [(value, None, None)]
        if kind == "cotangent":
            self.program.cotangents.append(value)
        return value

    def loop(self, said: str, below: list[str]) -> list[Value]:
        words = said.split()
        length = UNBOUNDED if words[1] == "any" else int(words[1])
        reverse, chunked = "backwards" in words, "chunked" in words
        body = Body(self.program)
        inner: dict = {"const": [], "carry": [], "each": []}
        outside: dict = {word: [] for word in inner}
        names: dict = {}
        own = _Reader(body, names, below)
        while own.lines and (parts := re.fullmatch(r"(const|carry|each) (\w+) = (\w+)", own.lines[0])):
            word, name, source = parts.groups()
            x = self.named(source)
            names[name] = body.input(Spec(x.shape[1:] if word == "each" else x.shape, x.dtype))
            inner[word].append(names[name])
            outside[word].append(x)
            del own.lines[0]
        found = own.block()
        entries = inner["const"], inner["carry"], inner["each"]
        loop = Loop(body, length, reverse, *entries, found["next"], found["sum"], found["give"])
        loop.count, loop.go = [found[word][0] if found[word] else None for word in ("times", "while")]
        loop.chunked = chunked
        return self.program.record(loop, [x for part in outside.values() for x in part], {}, loop.specs())


def literal(node: ast.expr):
    return eval(compile(ast.Expression(node), "a program's text", "eval"), LITERALS)
