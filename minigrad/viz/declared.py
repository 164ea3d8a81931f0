"""Source text: of a node's line and the function that it is in, of an op's vjp as it was declared."""

import ast
import functools
import inspect
import linecache
import textwrap

from minigrad.sites import line_number


@functools.cache
def function_text(code) -> tuple[str, int]:
    """Text of the function or file that a code object is of, and its first line; a file's is left out if it is long."""
    try:  # inspect takes the code of a file or a notebook's cell for its first statement
        whole = linecache.getlines(code.co_filename) if code.co_name == "<module>" else []
        lines, first = (whole, 1) if whole else inspect.getsourcelines(code)
    except (OSError, TypeError):
        return "", 0
    return ("".join(lines), first or 1) if len(lines) <= 120 else ("", 0)


def line_text(site) -> str:
    return linecache.getline(site[0].co_filename, line_number(site)).strip()


@functools.cache
def lambdas_of(file: str) -> dict:
    """Text of the lambdas of a file, by (first line, names of the arguments)."""
    text = "".join(linecache.getlines(file))
    found = {}
    for node in ast.walk(ast.parse(text)) if text else ():
        if isinstance(node, ast.Lambda):
            found[node.lineno, tuple(a.arg for a in node.args.args)] = ast.unparse(node.body)
    return found


def vjp_text(op) -> list[tuple[str, str]]:
    """(input, how its cotangent comes of g, as it was declared) for each input that has one."""
    derivatives = getattr(op, "derivatives", None)
    if derivatives is not None:
        return list(derivatives.items())
    vjps = getattr(op, "vjps", None)
    if vjps is not None:
        return [(name, text_of(vjp)) for name, vjp in vjps.items()]
    function = getattr(op, "function", None)
    if function is not None:  # a custom_vjp
        return [("bwd", text_of(function.bwd))]
    return [("", (inspect.getdoc(type(op)) or op.name))]


def text_of(f) -> str:
    code = getattr(f, "__code__", None)
    if code is None:
        return repr(f)
    names = code.co_varnames[: code.co_argcount]
    if code.co_name == "<lambda>":
        found = lambdas_of(code.co_filename).get((code.co_firstlineno, names))
        if found:
            return found
    try:
        return textwrap.dedent(inspect.getsource(f)).rstrip()
    except (OSError, TypeError):
        return f"{f.__name__}({', '.join(names)})"
