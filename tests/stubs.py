"""What type checkers and editors know of the package, written from the package: `python tests/stubs.py`.

minigrad/ops/__init__.pyi has the functions of the op table, minigrad/methods.pyi what the table puts on Tensor, and
minigrad/__init__.pyi the public names. test_layers.py fails where they are not what this file writes.
"""

import ast
import inspect
import re
import types
import typing
from pathlib import Path

from public_calls import CALLS, of_op

import minigrad as mg
from minigrad.ops import public
from minigrad.ops.table import composites, table
from minigrad.tensor import Tensor

HOME = Path(mg.__file__).parent
COMMAND = "python tests/stubs.py"
HEAD = f"# Written by `{COMMAND}` from the package itself; do not edit.\n"
TYPES = """\
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minigrad.tensor import Tensor

TensorLike: TypeAlias = Tensor | ArrayLike
Axes: TypeAlias = int | Sequence[int]
"""
# What a parameter of an op takes that is not annotated, since its op has more to say about it than its type.
PARAMETERS = {
    "arrays": "Tensor | np.ndarray[Any, Any] | Sequence[TensorLike]", "operands": "TensorLike", "other": "TensorLike",
    "axis": "Axes | None", "axis1": "int", "axis2": "int", "source": "Axes", "destination": "Axes", "shift": "Axes",
    "shape": "Axes", "reps": "Axes", "repeats": "Axes | TensorLike", "sections": "Axes", "dtype": "DTypeLike",
    "kernel_size": "Axes", "stride": "Axes | None", "padding": "Axes | Literal['same', 'valid']", "dilation": "Axes",
    "output_padding": "Axes", "pad_width": "int | Sequence[Any]", "mode": "str", "constant_values": "float",
    "low": "TensorLike | None", "high": "TensorLike | None", "min": "TensorLike | None", "max": "TensorLike | None",
    "ord": "float | str | None", "order": "str", "slope": "TensorLike", "index": "Any",
    "axes": "Sequence[int] | None", "value": "Any", "momentum": "float", "size": "Axes | None",
    "output_size": "Axes | None", "scale_factor": "float | Sequence[float] | None",
}  # fmt: skip
# Parameters of methods that take them in their own way, and what special methods return.
BINARY = {
    "add", "sub", "mul", "truediv", "mod", "floordiv", "pow", "and", "or", "xor", "lshift", "rshift", "matmul",
    "divmod", "eq", "ne", "lt", "le", "gt", "ge",
}  # fmt: skip
UNARY = {"neg", "pos", "abs", "invert"}
TAKEN = {"reshape": "*shape: Any", "transpose": "*axes: Any", "__setitem__": "index: Any, value: Any"}
RESULTS = {"__iter__": "Iterator[Tensor]", "__setitem__": "None", "__divmod__": "tuple[Tensor, Tensor]",
           "__rdivmod__": "tuple[Tensor, Tensor]"}  # fmt: skip
SPECIAL = {"__getitem__", "__iter__", "__setitem__"}


def written(annotation) -> str:
    """A type as a stub says it."""
    arguments = typing.get_args(annotation)
    if hasattr(annotation, "__metadata__"):  # Annotated: a type and its range
        return written(arguments[0])
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return " | ".join(map(written, arguments))
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not arguments:
        return annotation.__name__ if annotation.__module__ != "numpy.random._generator" else "np.random.Generator"
    return re.sub(r"\b(typing|collections\.abc|minigrad\.tensor)\.", "", str(annotation))


def parameter(p: inspect.Parameter, hints: dict) -> str:
    """A parameter: inputs may be given by name too, whatever the forward's signature says."""
    if p.name in hints:
        kind = written(hints[p.name])
    elif p.name in PARAMETERS:
        kind = PARAMETERS[p.name]
    else:  # an input of the op
        kind = "TensorLike" if p.default is not None else "TensorLike | None"
    star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
    if p.default is p.empty:
        return f"{star}{p.name}: {kind}"
    default = repr(p.default) if isinstance(p.default, (int, float, str, bool, type(None))) else "..."
    return f"{star}{p.name}: {kind} = {default}"


def arguments(f) -> list[str]:
    hints = typing.get_type_hints(f, include_extras=True)
    made, named = [], False
    for p in inspect.signature(f).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not named:
            made.append("*")
        named = named or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        made.append(parameter(p, hints))
    return made


def result(name: str) -> str:
    """What an op returns, from a call of it."""
    f = public[name]
    own = name in composites or (name in table and f is table[name].call)  # called as its sample says
    args, kwargs = of_op(name) if own else CALLS[name]()
    value = f(*args, **kwargs)
    if isinstance(value, list):
        return "list[Tensor]"
    if isinstance(value, tuple):
        return f"tuple[{', '.join('Tensor' for _ in value)}]"
    return "Tensor" if isinstance(value, Tensor) else "Any"


def text_of(f, indent: str) -> str:
    """The docstring: editors show it, and there is no source that they would find it in."""
    doc = inspect.getdoc(f)
    if not doc:
        return f"{indent}...\n"
    lines = doc.replace("\\", "\\\\").replace('"""', "'''").splitlines()
    text = "\n".join([lines[0], *[f"{indent}{line}".rstrip() for line in lines[1:]]])
    return f'{indent}"""{text}{chr(10) + indent if len(lines) > 1 else ""}"""\n'


def listed(names) -> str:
    """`__all__`, a name a line, so that two changes of it seldom meet."""
    return "\n".join(["__all__ = [", *[f"    {name!r}," for name in sorted(names)], "]\n"])


def functions() -> str:
    made = [HEAD, TYPES, listed(public)]
    for name, f in sorted(public.items()):
        made.append(f"def {name}({', '.join(arguments(f))}) -> {result(name)}:\n{text_of(f, '    ')}")
    return "\n".join(made)


def methods() -> str:
    """Those that tensor.py does not define itself."""
    tree = ast.parse((HOME / "tensor.py").read_text())
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Tensor"]
    own = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    made = [HEAD, TYPES, "class Methods:"]
    for name, f in sorted(vars(Tensor).items()):
        operator = name.strip("_") in BINARY | UNARY or name.strip("_")[1:] in BINARY or name in SPECIAL
        if name in own or (name.startswith("_") and not operator):
            continue
        if isinstance(f, property):
            made.append(f"    @property\n    def {name}(self) -> Tensor:\n{text_of(f, '        ')}")
        elif callable(f):
            made.append(method(name, f))
    return "\n".join(made)


def method(name: str, f) -> str:
    operator = name.strip("_") if name.startswith("__") else ""
    if name in TAKEN:
        taken = [TAKEN[name]]
    elif operator in BINARY or operator[1:] in BINARY:
        taken = ["other: Any"]  # what is foreign to tensors answers for itself
    else:
        taken = [] if operator in UNARY else arguments(f)[1:]
    kind = RESULTS.get(name) or (result(name) if public.get(name) is f else "Tensor")
    override = "  # type: ignore[override]" if operator in ("eq", "ne") else ""
    return f"    def {name}({', '.join(['self', *taken])}) -> {kind}:{override}\n{text_of(f, '        ')}"


def names() -> str:
    """The package's own imports, and the workbench, as what is imported for others."""
    tree = ast.parse((HOME / "__init__.py").read_text())
    made = [HEAD]
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("minigrad"):
            for alias in node.names:
                made.append(f"from {node.module} import {alias.name}" + f" as {alias.name}" * (alias.name != "*"))
    for name, module in sorted(mg.WORKBENCH.items()):
        inside, last = f"minigrad.{module}".rpartition(".")[::2] if name == module else (f"minigrad.{module}", name)
        made.append(f"from {inside} import {last} as {name}")
    return "\n".join([*made, "", "__version__: str", listed(mg.__all__)])


def stubs() -> dict[Path, str]:
    return {
        HOME / "__init__.pyi": names(),
        HOME / "ops" / "__init__.pyi": functions(),
        HOME / "methods.pyi": methods(),
    }


if __name__ == "__main__":
    for path, text in stubs().items():
        path.write_text(text)
        print(path)
