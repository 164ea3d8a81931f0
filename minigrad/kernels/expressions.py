"""Expressions of kernels as LLVM: a Value, or, of what is constant, what Python has."""

import ast
import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minigrad.kernels import instructions
from minigrad.kernels.instructions import FLOATS, KIND_OF, Refused, Value, machine
from minigrad.kernels.quotients import quotient

OPERATORS: dict[type, tuple] = {  # Python's, LLVM's for integers and for floats
    ast.Add: (operator.add, "add", "fadd"), ast.Sub: (operator.sub, "sub", "fsub"),
    ast.Mult: (operator.mul, "mul", "fmul"), ast.Div: (operator.truediv, "", "fdiv"),
    ast.FloorDiv: (operator.floordiv, "", ""), ast.Mod: (operator.mod, "", ""),
    ast.Pow: (operator.pow, "", ""), ast.LShift: (operator.lshift, "shl", ""),
    ast.RShift: (operator.rshift, "ashr", ""), ast.BitAnd: (operator.and_, "and", ""),
    ast.BitOr: (operator.or_, "or", ""), ast.BitXor: (operator.xor, "xor", ""),
}  # fmt: skip
COMPARISONS: dict[type, tuple] = {
    ast.Lt: (operator.lt, "slt", "olt"), ast.LtE: (operator.le, "sle", "ole"), ast.Gt: (operator.gt, "sgt", "ogt"),
    ast.GtE: (operator.ge, "sge", "oge"), ast.Eq: (operator.eq, "eq", "oeq"), ast.NotEq: (operator.ne, "ne", "une"),
}  # fmt: skip
PYTHON = {"len": len, "min": min, "max": max, "range": range}


class Slot(NamedTuple):
    """A variable: a place on the stack, of which LLVM makes a register."""

    kind: str
    at: str


class Expressions(instructions.Writer):
    """Expressions within a function. scope: names -> Slot; in an inline function, what they stand for.

    `expanded` and `called` give the result of a function of the text.
    """

    expanded: Callable
    called: Callable

    def __init__(self, declared: dict[str, str], constants: dict[str, object], functions: dict[str, ast.FunctionDef]):
        super().__init__(declared)
        self.constants, self.functions = constants, functions
        self.scope: dict[str, object] = {}

    def value(self, e: ast.expr):
        method = getattr(self, f"of_{type(e).__name__}", None)
        if method is None:
            raise Refused(f"`{ast.unparse(e)}`: an expression of this kind is not in the language of kernels")
        return method(e)

    def of_Constant(self, e: ast.Constant):
        return e.value

    def of_Tuple(self, e: ast.Tuple):
        return tuple([self.value(x) for x in e.elts])

    def of_Name(self, e: ast.Name):
        known = self.scope.get(e.id, self.constants.get(e.id, PYTHON.get(e.id)))
        if known is None:
            raise Refused(f"{e.id} has no value here")
        return self.loaded(known) if isinstance(known, Slot) else known

    def slot(self, kind: str, name: str) -> Slot:
        self.reserved.append(f"  %{name} = alloca {machine(kind)}")
        return Slot(kind, f"%{name}")

    def loaded(self, slot: Slot) -> Value:
        return Value(slot.kind, self.new(f"load {machine(slot.kind)}, ptr {slot.at}"))

    def of_Attribute(self, e: ast.Attribute):
        of = self.value(e.value)
        if isinstance(of, np.ndarray) and e.attr == "ctypes":
            return self.table(ast.unparse(e.value), of)
        if isinstance(of, Value) and e.attr == "data":
            return of
        if of is np and hasattr(np, e.attr):
            return getattr(np, e.attr)
        raise Refused(f"`{ast.unparse(e)}` is not in the language of kernels")

    def of_Subscript(self, e: ast.Subscript):
        of = self.value(e.value)
        if isinstance(of, tuple) and not isinstance(of, Value):
            if isinstance(e.slice, ast.Slice):
                bounds = [None if b is None else self.value(b) for b in (e.slice.lower, e.slice.upper, e.slice.step)]
                return of[slice(*bounds)]
            return of[self.value(e.slice)]
        at, kind = self.element(e)
        return Value(kind, self.new(f"load {kind}, ptr {at}"))

    def element(self, e: ast.Subscript) -> tuple[str, str]:
        """Address and kind of an element of an array."""
        of = self.value(e.value)
        if not isinstance(of, Value) or not of.kind.startswith("ptr "):
            raise Refused(f"`{ast.unparse(e.value)}` is no array")
        kind, index = of.kind.removeprefix("ptr "), self.integer(self.value(e.slice))
        return self.new(f"getelementptr {kind}, ptr {of.text}, i64 {index}"), kind

    def of_BinOp(self, e: ast.BinOp):
        of_python, of_integers, of_floats = OPERATORS.get(type(e.op), (None, "", ""))
        a, b = self.value(e.left), self.value(e.right)
        if foldable(a, b) and of_python:
            with np.errstate(all="ignore"):
                result = of_python(a, b)
            if isinstance(result, int) or np.isfinite(result):  # the sign of Python's NaN is not LLVM's
                return result
        if isinstance(e.op, ast.FloorDiv | ast.Mod):
            return quotient(self, self.typed(a), self.typed(b), isinstance(e.op, ast.Mod))
        return self.arithmetic(of_integers, of_floats, self.typed(a), self.typed(b))

    def of_UnaryOp(self, e: ast.UnaryOp):
        x = self.value(e.operand)
        if isinstance(e.op, ast.Not):
            return (not x) if foldable(x) else Value("i1", self.new(f"xor i1 {self.truth(x)}, true"))
        if foldable(x):
            return {ast.USub: operator.neg, ast.Invert: operator.invert, ast.UAdd: operator.pos}[type(e.op)](x)
        x = self.typed(x)
        if isinstance(e.op, ast.USub) and x.kind in ("float", "double"):
            return Value(x.kind, self.new(f"fneg {x.kind} {x.text}"))
        if isinstance(e.op, ast.USub | ast.Invert) and x.kind in ("i32", "i64"):
            n = self.integer(x)
            return Value("i64", self.new(f"sub i64 0, {n}" if isinstance(e.op, ast.USub) else f"xor i64 {n}, -1"))
        raise Refused(f"`{ast.unparse(e)}` of {x.kind}")

    def of_Compare(self, e: ast.Compare):
        if len(e.ops) != 1 or type(e.ops[0]) not in COMPARISONS:
            raise Refused(f"`{ast.unparse(e)}`: one comparison of two numbers at a time")
        of_python, of_integers, of_floats = COMPARISONS[type(e.ops[0])]
        a, b = self.value(e.left), self.value(e.comparators[0])
        if foldable(a, b):
            return bool(of_python(a, b))
        a, b = self.alike(a, b)
        if a.kind in ("float", "double"):
            return Value("i1", self.new(f"fcmp {self.fast}{of_floats} {a.kind} {a.text}, {b.text}"))
        if a.kind == "i1" and of_integers not in ("eq", "ne"):
            raise Refused(f"`{ast.unparse(e)}` of booleans")
        return Value("i1", self.new(f"icmp {of_integers} {a.kind} {a.text}, {b.text}"))

    def of_BoolOp(self, e: ast.BoolOp):
        """Both sides are evaluated if that can do no harm."""
        result = self.value(e.values[0])
        for node in e.values[1:]:
            first = self.truth(result)
            ends = isinstance(e.op, ast.Or)  # the first decides if it is true; with `and`, if it is false
            if self.harmless(node):
                other = self.value(node)
                result = self.selected(first, *((result, other) if ends else (other, result)))
            else:
                decided = functools.partial(Value, "i1", first)
                asked = functools.partial(self.truth_of, node)
                result = self.chosen(first, *((decided, asked) if ends else (asked, decided)))
        return result

    def of_IfExp(self, e: ast.IfExp):
        test = self.value(e.test)
        if foldable(test):
            return self.value(e.body if test else e.orelse)
        condition = self.truth(test)
        if not (self.harmless(e.body) and self.harmless(e.orelse)):
            return self.chosen(condition, *[functools.partial(self.value, x) for x in (e.body, e.orelse)])
        return self.selected(condition, self.value(e.body), self.value(e.orelse))

    def truth_of(self, e: ast.expr) -> Value:
        return Value("i1", self.truth(self.value(e)))

    def chosen(self, condition: str, yes: Callable, no: Callable) -> Value:
        """One of two values, of which only the one that is wanted is computed."""
        then, otherwise, after = self.labels("then", "else", "after")
        self.add(f"br i1 {condition}, label %{then}, label %{otherwise}")
        before, sides = self.lines, []
        for label, choice in ((then, yes), (otherwise, no)):
            self.lines = []
            self.label(label)
            sides.append((self.typed(choice()), self.lines))
        kinds = {value.kind for value, _ in sides}
        kind = "double" if kinds == set(FLOATS) else sides[0][0].kind
        slot = self.slot(kind, f"{after}.chosen")
        for value, self.lines in sides:
            value = self.converted(value, np.float64) if kind == "double" else value
            if value.kind != kind:
                raise Refused(f"a choice between {' and '.join(sorted(kinds))}")
            self.add(f"store {kind} {value.text}, ptr {slot.at}")
            self.add(f"br label %{after}")
        self.lines = [*before, *sides[0][1], *sides[1][1]]
        self.label(after)
        return self.loaded(slot)

    def harmless(self, e: ast.expr) -> bool:
        """Whether an expression neither does anything nor reads memory."""
        for node in ast.walk(e):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                name = node.func.id
                called = name in self.functions and not inline(self.functions[name])
                if called or (name in instructions.TABLE and name != "fma"):
                    return False
            if isinstance(node, ast.Subscript) and isinstance(self.scope.get(getattr(node.value, "id", "")), Slot):
                return False
        return True

    def of_Call(self, e: ast.Call):
        if e.keywords:
            raise Refused(f"`{ast.unparse(e)}`: arguments have no names")
        if isinstance(e.func, ast.Attribute) and e.func.attr == "view":
            kind = KIND_OF.get(self.value(e.args[0]), "")
            x = self.typed(self.value(e.func.value))
            if (x.kind, kind) not in instructions.SAME_SIZE:
                raise Refused(f"`{ast.unparse(e)}`: the bits of {x.kind} as another type")
            return Value(kind, self.new(f"bitcast {x.kind} {x.text} to {kind}"))
        arguments = [self.value(a) for a in e.args]
        name = e.func.id if isinstance(e.func, ast.Name) else ""
        if name in self.functions:
            return (self.expanded if inline(self.functions[name]) else self.called)(name, arguments)
        if name in instructions.TABLE:
            return self.instruction(name, arguments)
        function = self.value(e.func)
        if function in KIND_OF and len(arguments) == 1:
            return self.converted(arguments[0], function)
        if function in instructions.NUMPY:
            return self.intrinsic(instructions.NUMPY[function], arguments)
        if function in PYTHON.values() and (function is len or foldable(*arguments)):
            return function(*arguments)
        if function in (min, max):
            first, *others = [self.integer(x) for x in arguments]
            for n in others:
                chosen = self.new(f"icmp {'slt' if function is min else 'sgt'} i64 {n}, {first}")
                first = self.new(f"select i1 {chosen}, i64 {n}, i64 {first}")
            return Value("i64", first)
        raise Refused(f"`{ast.unparse(e)}` is not in the language of kernels")


def foldable(*values) -> bool:
    """Whether these are constants with which Python may compute: of one type, and no bits."""
    if any(isinstance(v, Value) or not isinstance(v, int | float | np.floating) for v in values):
        return False
    numpy = {type(v) for v in values if isinstance(v, np.floating)}
    return not numpy or (len(numpy) == 1 and all(isinstance(v, np.floating) for v in values))


def inline(tree: ast.FunctionDef) -> bool:
    return any(ast.unparse(d) == "inline" for d in tree.decorator_list)
