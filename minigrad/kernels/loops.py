"""Elementwise loops, generated from scalar expressions and handed to NumPy as ufuncs.

A ufunc is NumPy's own vehicle for a loop over arrays: it broadcasts, walks strides, allocates or takes the output and
releases the interpreter lock, in C. We supply the loop. `elementwise` writes its source: the scalar functions of
float32.py or float64.py that the expressions call, the expressions, and a loop over contiguous memory that LLVM
vectorises. Strided and broadcast operands are gathered into a buffer on the stack, a block at a time, so that this is
the only loop there is.
"""

import ast
import ctypes
import functools
import importlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from minigrad.kernels import build

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
BLOCK = 512
ARGUMENTS = "CPointer(intp), CPointer(intp), CPointer(intp), voidptr"  # of the C function that NumPy calls


class _KernelExpression(ast.NodeTransformer):
    """An op's expression as it stands in a kernel: literals take the operands' dtype, `where` becomes a select."""

    def __init__(self, number: str):
        self.number = number

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            return node
        return ast.Call(ast.parse(self.number, mode="eval").body, [node], [])

    def visit_Call(self, node):
        self.generic_visit(node)
        if node.func.id == "where":
            return ast.IfExp(*node.args)
        return node


def kernel_expression(expression: str, number: str = "Float") -> str:
    """number: the type of literals."""
    return ast.unparse(_KernelExpression(number).visit(ast.parse(expression, mode="eval")))


@functools.cache
def source_of(module: str) -> str:
    """Text of a file of this folder. It is read, not imported: to import it costs Numba's half second."""
    return (Path(__file__).parent / f"{module}.py").read_text()


@functools.cache
def definitions(dtype: str) -> dict[str, str]:
    """Text of every function and constant of float32.py or float64.py and its trigonometry, in order, by name."""
    text = f"{source_of(dtype)}\n{source_of(f'trigonometry_{dtype}')}"
    lines, found = text.splitlines(), {}
    for node in ast.parse(text).body:
        segment = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        if isinstance(node, ast.FunctionDef):
            found[node.name] = "@inline\n" + segment
        elif isinstance(node, ast.Assign):
            found.update((target.id, segment) for target in node.targets)
    return found


NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")  # and not an attribute's
TOLD = re.compile(r'"{3}.*?"{3}|#[^\n]*', re.DOTALL)  # docstrings and comments


@functools.lru_cache(256)
def names_in(text: str) -> frozenset[str]:
    """The names that a kernel's text uses, in a tenth of the time of ast.parse."""
    return frozenset(NAME.findall(TOLD.sub("", text)))


def with_dependencies(text: str, dtype: str) -> str:
    """`text` preceded by the scalar functions and constants that it names, and those that these name."""
    available = definitions(dtype)
    needed: set[str] = set()
    unseen = set(names_in(text))
    while unseen:
        name = unseen.pop()
        if name in available and name not in needed:
            needed.add(name)
            unseen |= names_in(available[name])
    return "\n".join([segment for name, segment in available.items() if name in needed] + [text])


def elementwise(name: str, inputs: Sequence[str], outputs: Sequence[str], dtype: str, booleans: Sequence[str] = ()):
    """A ufunc of `len(inputs)` operands and one output for each expression in `outputs`.

    dtype: "float32" or "float64", of every operand but those named in `booleans`, and of the outputs.
    """
    outputs = [kernel_expression(output) for output in outputs]
    if INTERPRETED:
        return interpreted(inputs, outputs, dtype)
    kinds = ["bool_" if x in booleans else dtype for x in inputs] + [dtype] * len(outputs)
    source = loop_source(inputs, outputs, kinds, dtype)
    return as_ufunc(build.address(source, "loop", ARGUMENTS), name, kinds, len(inputs))


def loop_source(inputs: Sequence[str], outputs: Sequence[str], kinds: Sequence[str], dtype: str) -> str:
    arity = len(kinds)
    results = [f"result_{k}" for k in range(len(outputs))]
    lines = [f"def apart_contiguous({', '.join(f'p{k}' for k in range(arity))}, n):", "    for i in range(n):"]
    lines += [f"        {x} = load(p{k}, i, np.{kinds[k]})" for k, x in enumerate(inputs)]
    lines += [f"        {r} = Float({expression})" for r, expression in zip(results, outputs)]
    lines += [f"        store(p{len(inputs) + k}, i, {r})" for k, r in enumerate(results)]
    sizes = [np.dtype(kind).itemsize for kind in kinds]
    is_contiguous = [f"steps[{k}] == {sizes[k]}" for k in range(arity)]
    walk = [
        "def loop(args, dims, steps, data):",
        "    n = dims[0]",
        "    flags = floating_point_flags()",
        f"    block = n if {' and '.join(is_contiguous)} else {BLOCK}",
        *[f"    buffer_{k} = stack({sizes[k] * BLOCK})" for k in range(arity)],
        "    for start in range(0, n, max(block, 1)):",
        "        m = min(block, n - start)",
    ]
    for k in range(arity):
        walk += [
            f"        p{k} = args[{k}] + start * steps[{k}]",
            f"        if not ({is_contiguous[k]}):",
        ]
        if k < len(inputs):
            walk += [
                f"            for i in range(m if steps[{k}] != 0 or start == 0 else 0):  # one number fills it once",
                f"                store(buffer_{k}, i, load(p{k} + i * steps[{k}], 0, np.{kinds[k]}))",
            ]
        walk += [f"            p{k} = buffer_{k}"]
    walk += [f"        apart_contiguous({', '.join(f'p{k}' for k in range(arity))}, m)"]
    for k in range(len(inputs), arity):
        walk += [
            f"        if not ({is_contiguous[k]}):",
            "            for i in range(m):",
            f"                to = args[{k}] + (start + i) * steps[{k}]",
            f"                store(to, 0, load(buffer_{k}, i, np.{kinds[k]}))",
        ]
    walk += ["    restore_floating_point_flags(flags)"]
    body = with_dependencies('@njit(error_model="numpy", fastmath={"contract"})\n' + "\n".join(lines), dtype)
    return "\n".join([f"Float = np.{dtype}", body, *walk])


def interpreted(inputs: Sequence[str], outputs: Sequence[str], dtype: str) -> Callable:
    """The same loop in plain Python, for the debugger and for coverage (NUMBA_DISABLE_JIT=1)."""
    namespace = dict(vars(importlib.import_module(f"minigrad.kernels.{dtype}")), Float=np.dtype(dtype).type)
    scalar = eval(f"lambda {', '.join(inputs)}: ({', '.join(outputs)},)", namespace)

    def loop(*operands, out=None):
        operands = [np.asarray(x, dtype if np.asarray(x).dtype != bool else bool) for x in operands]
        shape = np.broadcast_shapes(*[x.shape for x in operands])
        results = [np.empty(shape, dtype) for _ in outputs]
        columns = [np.broadcast_to(x, shape).ravel() for x in operands]
        with np.errstate(all="ignore"):
            for i in range(results[0].size):
                for result, value in zip(results, scalar(*[column[i] for column in columns])):
                    result.flat[i] = value
        if out is not None:
            outs = out if isinstance(out, tuple) else (out,)
            for to, result in zip(outs, results):
                to[...] = result
            results = outs
        return results[0] if len(outputs) == 1 else tuple(results)

    return loop


# NumPy's C API: the function that makes a ufunc out of a loop, at its documented place in the API's table.
_FROM_LOOP = 1
_alive: list = []  # what a ufunc points to must outlive it
made: dict[np.ufunc, tuple[int, tuple[str, ...]]] = {}  # those of one output: the address of the loop, its types


def as_ufunc(loop: int, name: str, kinds: Sequence[str], inputs: int) -> np.ufunc:
    """A NumPy ufunc around the loop at an address."""
    pointers = (ctypes.c_void_p * 1)(loop)
    data = (ctypes.c_void_p * 1)(None)
    types = ctypes.create_string_buffer(bytes(np.dtype(kind).num for kind in kinds), len(kinds))
    text = ctypes.create_string_buffer(name.encode())
    _alive.append((pointers, data, types, text))
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    api = get_pointer(np._core._multiarray_umath._UFUNC_API, None)
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    arguments = [pointer, pointer, pointer, integer, integer, integer, integer, pointer, pointer, integer]
    make = ctypes.PYFUNCTYPE(ctypes.py_object, *arguments)(ctypes.cast(api, ctypes.POINTER(pointer))[_FROM_LOOP])
    ufunc = make(
        ctypes.addressof(pointers), ctypes.addressof(data), ctypes.addressof(types), 1, inputs, len(kinds) - inputs,
        -1, ctypes.addressof(text), ctypes.addressof(text), 0,
    )  # fmt: skip
    if len(kinds) == inputs + 1:
        made[ufunc] = loop, tuple(kinds)
    return ufunc
