"""Elementwise ops as ONNX nodes: their scalar expression (minigrad/ops/elementwise.py), read a third way.

So an op that is declared tomorrow has its form. What kernels have as functions is a node of ONNX, or an expression.
"""

import ast
import functools
from collections.abc import Sequence

import numpy as np

from minigrad.onnx.graph import INT64, Graph, Unsupported
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table

BOOL = np.dtype(bool)
WIDE = {np.dtype(name) for name in ("float32", "float64", "int32", "int64", "uint64")}

NODES = {
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "pow": "Pow", "sin": "Sin", "cos": "Cos", "tan": "Tan",
    "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh",
    "sigmoid": "Sigmoid", "erf": "Erf", "abs": "Abs", "sign": "Sign", "floor": "Floor", "ceil": "Ceil",
    "round": "Round",
}  # fmt: skip
OF_FLOATS = ("floor", "ceil", "round")  # which change no integer
# Functions that ONNX does not have, (their arguments, what they are), such that nothing is lost near 0.
FUNCTIONS = {
    "rsqrt": (("x",), "1 / sqrt(x)"),
    "expm1": (("x",), "where(abs(x) < 0.5, tanh(x / 2) * (exp(x) + 1), exp(x) - 1)"),
    "log1p": (("x",), "where(abs(x) < 1, where(1 + x == 1, x, log(1 + x) * x / (1 + x - 1)), log(1 + x))"),
    "softplus": (("x",), "where(x < 0, 0, x) + log1p(exp(-abs(x)))"),
    "log_sigmoid": (("x",), "-softplus(-x)"),
    "arctan2": (
        ("a", "b"),
        "where((a == 0) & (b == 0), a, arctan(a / b)) + where(b < 0, where(a < 0, -1, 1) * 3.141592653589793, 0)",
    ),
}
ARITHMETIC: dict[type, str] = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Pow: "Pow"}
COMPARISONS: dict[type, str] = {
    ast.Lt: "Less", ast.LtE: "LessOrEqual", ast.Gt: "Greater", ast.GtE: "GreaterOrEqual", ast.Eq: "Equal",
    ast.NotEq: "Equal",
}  # fmt: skip
LOGIC: dict[type, str] = {ast.BitAnd: "And", ast.BitOr: "Or", ast.BitXor: "Xor"}
BITS: dict[type, str] = {ast.BitAnd: "BitwiseAnd", ast.BitOr: "BitwiseOr", ast.BitXor: "BitwiseXor"}


class Term:
    """A part of an expression: the name of its result, and whether that is boolean."""

    def __init__(self, name: str, boolean: bool):
        self.name, self.boolean = name, boolean


def elementwise(g: Graph, v, names: Sequence[str]) -> str:
    """The result of an elementwise value on operands of these names."""
    op = v.op
    operands = [x.dtype for x, n in zip(v.inputs, op.inputs) if n not in op.booleans] or [BOOL]
    dtype = operands[0] if operands[0] in WIDE else INT64
    scope = {n: Term(name, x.dtype == BOOL) for n, x, name in zip(op.inputs, v.inputs, names)}
    if operands[0] not in WIDE:
        scope |= {n: Term(g.cast(t.name, INT64), False) for n, t in scope.items() if not t.boolean}
    writer = Writer(g, dtype)
    result = writer.value(parsed(op.expression), scope)
    if v.dtype == BOOL:
        return writer.condition(result)
    name = writer.number(result)
    return name if v.dtype == dtype else g.cast(name, v.dtype)


@functools.cache
def parsed(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


class Writer:
    """Writes expressions into a graph; numbers in them are of one dtype."""

    def __init__(self, g: Graph, dtype):
        self.g, self.dtype = g, np.dtype(dtype)
        self.known: dict = {}

    def number(self, x: Term) -> str:
        return self.g.cast(x.name, self.dtype) if x.boolean else x.name

    def condition(self, x: Term) -> str:
        return x.name if x.boolean else self.g.cast(x.name, BOOL)

    def value(self, e: ast.expr, scope: dict[str, Term]) -> Term:
        key = ast.unparse(e), *[t.name for t in scope.values()]
        if key not in self.known:
            method = getattr(self, f"of_{type(e).__name__}", None)
            if method is None:
                raise Unsupported(f"`{ast.unparse(e)}` in its expression; extend minigrad/onnx/expressions.py")
            self.known[key] = method(e, scope)
        return self.known[key]

    def of_Constant(self, e: ast.Constant, scope) -> Term:
        return Term(self.g.constant(np.asarray(e.value, self.dtype)), False)

    def of_Name(self, e: ast.Name, scope) -> Term:
        return scope[e.id]

    def of_UnaryOp(self, e: ast.UnaryOp, scope) -> Term:
        if isinstance(e.op, ast.USub):
            if isinstance(e.operand, ast.Constant):
                return self.of_Constant(ast.Constant(-e.operand.value), scope)  # type: ignore[operator]
            return Term(self.g.node("Neg", self.number(self.value(e.operand, scope))), False)
        x = self.value(e.operand, scope)
        if x.boolean:
            return Term(self.g.node("Not", x.name), True)
        return Term(self.g.node("BitwiseNot", x.name), False)

    def of_BinOp(self, e: ast.BinOp, scope) -> Term:
        a, b = self.value(e.left, scope), self.value(e.right, scope)
        if a.boolean and b.boolean and type(e.op) in LOGIC:
            return Term(self.g.node(LOGIC[type(e.op)], a.name, b.name), True)
        x, y = self.number(a), self.number(b)
        if type(e.op) in BITS:
            return Term(self.g.node(BITS[type(e.op)], x, y), False)
        if isinstance(e.op, (ast.Mod, ast.FloorDiv)):
            return Term((self.remainder if isinstance(e.op, ast.Mod) else self.quotient)(x, y), False)
        return Term(self.g.node(ARITHMETIC[type(e.op)], x, y), False)

    def remainder(self, x: str, y: str) -> str:
        """With the sign of y."""
        g = self.g
        if self.dtype.kind != "f":
            return g.node("Mod", x, y)
        zero, rest = g.constant(np.asarray(0, self.dtype)), g.node("Mod", x, y, fmod=1)
        crossed = g.node("Xor", g.node("Less", rest, zero), g.node("Less", y, zero))
        crossed = g.node("And", crossed, g.node("Not", g.node("Equal", rest, zero)))
        return g.node("Where", crossed, g.node("Add", rest, y), rest)

    def quotient(self, x: str, y: str) -> str:
        """Rounded down."""
        g = self.g
        exact = g.node("Div", g.node("Sub", x, self.remainder(x, y)), y)
        if self.dtype.kind != "f":
            return exact
        zero = g.node("Equal", y, g.constant(np.asarray(0, self.dtype)))
        return g.node("Where", zero, g.node("Div", x, y), g.node("Round", exact))

    def of_Compare(self, e: ast.Compare, scope) -> Term:
        (sign,), (right,) = e.ops, e.comparators
        a, b = self.value(e.left, scope), self.value(right, scope)
        equal = isinstance(sign, (ast.Eq, ast.NotEq))
        if a.boolean and equal and isinstance(right, ast.Constant) and right.value == 0:
            return a if isinstance(sign, ast.NotEq) else Term(self.g.node("Not", a.name), True)
        both = equal and a.boolean and b.boolean
        x, y = (a.name, b.name) if both else (self.number(a), self.number(b))
        made = self.g.node(COMPARISONS[type(sign)], x, y)
        return Term(self.g.node("Not", made) if isinstance(sign, ast.NotEq) else made, True)

    def of_Call(self, e: ast.Call, scope) -> Term:
        name, operands = ast.unparse(e.func), [self.value(x, scope) for x in e.args]
        if name == "where":
            return self.choice(*operands)
        if name in NODES:
            numbers = [self.number(x) for x in operands]
            whole = name in OF_FLOATS and self.dtype.kind != "f"
            return Term(numbers[0] if whole else self.g.node(NODES[name], *numbers), False)
        inputs, expression = self.function(name)
        return self.value(parsed(expression), dict(zip(inputs, operands)))

    def function(self, name: str) -> tuple:
        if name in FUNCTIONS:
            return FUNCTIONS[name]
        op = table.get(name)
        if not isinstance(op, Elementwise):
            raise Unsupported(f"the function {name} in its expression; give it one in minigrad/onnx/expressions.py")
        return op.inputs, op.expression

    def choice(self, c: Term, a: Term, b: Term) -> Term:
        g, condition = self.g, self.condition(c)
        if a.boolean and b.boolean:
            first = g.node("And", condition, a.name)
            return Term(g.node("Or", first, g.node("And", g.node("Not", condition), b.name)), True)
        return Term(g.node("Where", condition, self.number(a), self.number(b)), False)
