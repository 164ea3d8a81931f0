"""From the text of a kernel to LLVM, in one walk over its syntax tree.

Kernels are written in a small language in which every type follows from the one before, so nothing has to be inferred.
The language is a part of Python, and of Numba: tests run the same text as Python with every access to memory checked,
and compare what is made here with what Numba makes of it.

A text defines constants, which Python evaluates when the text is read (only `np` is there), and functions:

- under `@inline` a function of scalars, expanded where it is called. It has assignments, loops over constants (the
  elements of a tuple, a range) and one `return`; a constant may be a tuple, and so may what it returns;
- others become functions of LLVM, once for each combination of types that they are called with. They have assignments,
  `for` over a range, whose step is positive unless it is a constant, `while`, `if`, `return`. Options are those of
  `numba.njit`: `fastmath`, a set of LLVM's flags, and `forceinline`. One whose name begins with `apart_` is never
  inlined, because what `load` and `store` promise about memory holds within it alone;
- under `@llvm("attribute")` a function of integers that returns nothing, whose docstring is its body in LLVM.

Values are 64-bit integers, float32, float64, booleans, and pointers to them, which only arguments are. `np.int32`
holds bits: arithmetic on it gives 64 bits, as in Numba. Other integers are read and written, and computed with as
`np.int64` of them. A variable keeps its type. What the language lacks raises
KernelError, which names the statement.
"""

import ast
import re
from collections.abc import Sequence

import numpy as np

from minigrad.kernels import instructions
from minigrad.kernels.expressions import Expressions, Slot
from minigrad.kernels.instructions import FLOATS, NUMPY_TYPE, Refused, Value, machine

ARGUMENTS = {"intp": "i64", "int64": "i64", "float32": "float", "float64": "double", "voidptr": "ptr i8"}


class KernelError(ValueError):
    """A statement of a kernel that the language does not have."""


def llvm_text(source: str, functions: dict[str, str], entry: str, lines: bool = False) -> str:
    """LLVM code of some functions of `source`, and of all that they call. What can be seen of it is `entry` followed by
    the name of each.

    functions: argument types by name, as of build.address. lines: note the line of `source` that each instruction comes
    from, for LLVM's remarks. Raises KernelError for what is not in the language.
    """
    program = Program(source, lines)
    for function, argument_types in functions.items():
        kinds = tuple([argument_kind(name.strip()) for name in argument_types.split(",")])
        if function not in program.functions:
            raise KernelError(f"the kernel's text defines no function {function}")
        try:
            program.function(function, kinds, f"{entry}_{function}")
        except Refused as why:
            raise KernelError(f"kernel function {function}: {why}") from None
    return program.text()


def argument_kind(name: str) -> str:
    if pointer := re.fullmatch(r"CPointer\((\w+)\)", name):
        return f"ptr {argument_kind(pointer[1])}"
    if name not in ARGUMENTS:
        raise KernelError(f"an argument of a kernel is {name}; wanted {', '.join(ARGUMENTS)} or a CPointer to one")
    return ARGUMENTS[name]


class Program:
    """A text: its constants and functions, and the LLVM code of those functions that have been called."""

    def __init__(self, source: str, lines: bool):
        self.functions: dict[str, ast.FunctionDef] = {}
        self.constants: dict[str, object] = {"np": np}
        constants = []
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.FunctionDef):
                self.functions[statement.name] = statement
            elif isinstance(statement, ast.Assign):
                constants.append(statement)
            else:
                raise KernelError(
                    f"line {statement.lineno}: `{ast.unparse(statement)}` is not in the language of kernels"
                )
        exec(compile(ast.Module(constants, []), "<constants of a kernel>", "exec"), self.constants)
        self.made: dict[tuple, tuple[str, str] | None] = {}  # what it is called in LLVM, the kind of its result
        self.texts: list[str] = []
        self.declared: dict[str, str] = {}
        self.notes = instructions.Lines() if lines else None

    def function(self, name: str, kinds: tuple[str, ...], entry: str = "") -> tuple[str, str]:
        """The name in LLVM, and the kind of the result, of a function for arguments of these kinds."""
        if (name, kinds) not in self.made:
            self.made[name, kinds] = None
            symbol = entry or f"{name}.{len(self.made)}"
            if attribute := in_llvm(self.functions[name]):
                self.made[name, kinds] = symbol, "void"
                self.write_llvm(self.functions[name], kinds, symbol, attribute)
                return symbol, "void"
            body = Body(self, self.functions[name], kinds, symbol, bool(entry))
            self.made[name, kinds] = symbol, body.returned
        made = self.made[name, kinds]
        if made is None:
            raise Refused(f"{name} calls itself")
        return made

    def write_llvm(self, tree: ast.FunctionDef, kinds: tuple[str, ...], symbol: str, attribute: str) -> None:
        """A function that is in LLVM already; its lines that declare something stand outside of it."""
        names = [a.arg for a in tree.args.args]
        if kinds != ("i64",) * len(names):
            raise Refused(f"{tree.name} takes {len(names)} integers")
        lines = (ast.get_docstring(tree, clean=False) or "").split("\n")
        for line in [line.strip() for line in lines if line.lstrip().startswith("declare ")]:
            self.declared[re.findall(r"@([\w.]+)", line)[0]] = line
        body = [line for line in lines if not line.lstrip().startswith("declare ")]
        arguments = ", ".join(f"i64 %{name}" for name in names)
        self.texts.append(
            "\n".join([f"define internal void @{symbol}({arguments}) {attribute} {{\nentry:", *body, "}"])
        )

    def text(self) -> str:
        notes = self.notes.notes if self.notes else []
        return "\n".join([*self.declared.values(), *self.texts, *instructions.SCOPES, *notes, ""])


class Body(Expressions):
    """The LLVM code of one function, statement by statement."""

    def __init__(self, program: Program, tree: ast.FunctionDef, kinds: Sequence[str], symbol: str, entry: bool):
        super().__init__(program.declared, program.constants, program.functions)
        self.program, self.tree = program, tree
        self.expanding: list[str] = []
        self.returned = ""
        self.fast, attributes = options(tree)
        if tree.name.startswith("apart_"):
            attributes += "noinline "
        names = [a.arg for a in tree.args.args]
        if len(names) != len(kinds):
            raise Refused(f"{tree.name} takes {len(names)} arguments, got {len(kinds)}")
        noted = ""
        if program.notes:
            self.function_note = program.notes.function(tree.name, tree.lineno)
            noted = f"!dbg !{self.function_note} "
        self.at(tree)
        for name, kind in zip(names, kinds):
            self.assign(name, Value(kind, f"%a.{name}"))
        if self.block(tree.body):
            if self.returned not in ("", "void"):
                raise KernelError(f"kernel function {tree.name} returns a value on some ways and none on others")
            self.returned = "void"
            self.add("ret void")
        else:
            self.add("unreachable")
        arguments = ", ".join(f"{machine(kind)} %a.{name}" for name, kind in zip(names, kinds))
        linkage = "" if entry else "internal "
        head = f"define {linkage}{machine(self.returned)} @{symbol}({arguments}) {attributes}{noted}{{"
        program.texts.append("\n".join([head, "entry:", *self.reserved, *self.lines, "}"]))

    def at(self, node: ast.stmt) -> None:
        """What is written from now on comes from this statement; in an inline function, from where it is called."""
        if self.program.notes and not self.expanding:
            self.note = f", !dbg !{self.program.notes.line(node.lineno, self.function_note)}"

    # Statements

    def block(self, statements: Sequence[ast.stmt]) -> bool:
        """Whether what stands behind these statements is ever reached."""
        for statement in statements:
            self.at(statement)
            try:
                method = getattr(self, f"do_{type(statement).__name__}", None)
                if method is None:
                    raise Refused("a statement of this kind is not in the language of kernels")
                goes_on = method(statement)
            except Refused as why:
                name = self.expanding[-1] if self.expanding else self.tree.name
                text = ast.unparse(statement).split("\n")[0]
                raise KernelError(f"kernel function {name}, line {statement.lineno}, `{text}`: {why}") from None
            if goes_on is False:
                return False
        return True

    def do_Assign(self, s: ast.Assign):
        if len(s.targets) != 1:
            raise Refused("one target at a time")
        [target] = s.targets
        if isinstance(target, ast.Tuple):
            value = self.value(s.value)
            if not isinstance(value, tuple) or isinstance(value, Value) or len(value) != len(target.elts):
                raise Refused(f"wanted {len(target.elts)} values")
            for to, v in zip(target.elts, value):
                self.assign_to(to, v)
        else:
            self.assign_to(target, self.value(s.value))

    def do_AugAssign(self, s: ast.AugAssign):
        self.assign_to(s.target, self.value(ast.BinOp(readable(s.target), s.op, s.value)))

    def assign_to(self, target: ast.expr, value) -> None:
        if isinstance(target, ast.Name):
            self.assign(target.id, value)
        elif isinstance(target, ast.Subscript):
            at, kind = self.element(target)
            if kind in FLOATS:  # as NumPy does
                value = self.converted(value, NUMPY_TYPE[kind])
            value = self.typed(value)
            if value.kind != kind:
                raise Refused(f"stores {value.kind} where there is {kind}")
            self.add(f"store {kind} {value.text}, ptr {at}")
        else:
            raise Refused("assigns to what is neither a name nor an element")

    def assign(self, name: str, value) -> None:
        if self.expanding:
            self.scope[name] = value
            return
        value = self.typed(value)
        slot = self.scope.get(name)
        if slot is None:
            slot = self.scope[name] = self.slot(value.kind, f"v.{name}")
        assert isinstance(slot, Slot)
        if slot.kind != value.kind:
            raise Refused(f"{name} was {slot.kind} and would become {value.kind}")
        self.add(f"store {machine(value.kind)} {value.text}, ptr {slot.at}")

    def do_Expr(self, s: ast.Expr):
        if not isinstance(s.value, ast.Constant):  # a docstring
            self.value(s.value)

    def do_Return(self, s: ast.Return):
        value = self.typed(self.value(s.value)) if s.value else Value("void", "")
        if self.returned not in ("", value.kind):
            raise Refused(f"returns {value.kind}, and {self.returned} before")
        self.returned = value.kind
        self.add(f"ret {machine(value.kind)} {value.text}".rstrip())
        return False

    def do_If(self, s: ast.If):
        then, otherwise, after = self.labels("then", "else", "after")
        self.add(f"br i1 {self.truth(self.value(s.test))}, label %{then}, label %{otherwise}")
        goes_on = []
        for label, statements in ((then, s.body), (otherwise, s.orelse)):
            self.label(label)
            goes_on.append(self.block(statements))
            if goes_on[-1]:
                self.add(f"br label %{after}")
        if not any(goes_on):
            return False
        self.label(after)
        return True

    def do_While(self, s: ast.While):
        if s.orelse:
            raise Refused("a loop has no else")
        head, body, done = self.labels("head", "body", "done")
        self.add(f"br label %{head}")
        self.label(head)
        test = self.value(s.test)
        if test is True:
            self.add(f"br label %{body}")
        else:
            self.add(f"br i1 {self.truth(test)}, label %{body}, label %{done}")
        self.label(body)
        if self.block(s.body):
            self.at(s)
            self.add(f"br label %{head}")
        if test is True:
            return False
        self.label(done)
        return True

    def do_For(self, s: ast.For):
        if s.orelse or not isinstance(s.target, ast.Name):
            raise Refused("a loop has one variable and no else")
        over = s.iter
        if self.expanding:
            values = self.value(over)
            if isinstance(values, Value) or not isinstance(values, tuple | range):
                raise Refused("an inline function loops over constants alone")
            for value in values:
                self.assign(s.target.id, value)
                self.block(s.body)
            return
        if not (isinstance(over, ast.Call) and ast.unparse(over.func) == "range" and 1 <= len(over.args) <= 3):
            raise Refused("a loop goes over a range")
        bounds = [self.integer(self.value(a)) for a in over.args]
        first, last, step = ["0", *bounds, "1"] if len(bounds) == 1 else [*bounds, "1"][:3]
        if step == "0":
            raise Refused("the step of a range is not 0")
        more = "sgt" if step.startswith("-") else "slt"
        head, body, done = self.labels("head", "body", "done")
        counter = self.slot("i64", f"{head}.counter").at
        self.add(f"store i64 {first}, ptr {counter}")
        self.add(f"br label %{head}")
        self.label(head)
        i = self.new(f"load i64, ptr {counter}")
        self.add(f"br i1 {self.new(f'icmp {more} i64 {i}, {last}')}, label %{body}, label %{done}")
        self.label(body)
        self.assign(s.target.id, Value("i64", i))
        if self.block(s.body):
            self.at(s)
            self.add(f"store i64 {self.new(f'add nsw i64 {i}, {step}')}, ptr {counter}")
            self.add(f"br label %{head}")
        self.label(done)

    def expanded(self, name: str, arguments: list):
        """The result of an inline function, its statements written here."""
        tree = self.program.functions[name]
        names = [a.arg for a in tree.args.args]
        if len(names) != len(arguments):
            raise Refused(f"{name} takes {len(names)} arguments, got {len(arguments)}")
        if name in self.expanding:
            raise Refused(f"{name} calls itself")
        *statements, last = tree.body
        if not isinstance(last, ast.Return) or last.value is None:
            raise Refused(f"the inline function {name} does not end with its result")
        before = self.scope, self.fast
        self.scope, self.fast = dict(zip(names, arguments)), "contract "
        self.expanding.append(name)
        try:
            self.block(statements)
            return self.value(last.value)
        finally:
            self.expanding.pop()
            self.scope, self.fast = before

    def called(self, name: str, arguments: list) -> Value:
        values = [self.typed(x) for x in arguments]
        symbol, kind = self.program.function(name, tuple([v.kind for v in values]))
        call = f"call {machine(kind)} @{symbol}({', '.join(f'{machine(v.kind)} {v.text}' for v in values)})"
        if kind == "void":
            self.add(call)
            return Value("void", "")
        return Value(kind, self.new(call))


def in_llvm(tree: ast.FunctionDef) -> str:
    """The attribute in LLVM of a function that is written in it, or ""."""
    for decorator in tree.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "llvm":
            return ast.literal_eval(decorator.args[0])
    return ""


def options(tree: ast.FunctionDef) -> tuple[str, str]:
    """Of a function's decorator: the flags of its arithmetic, and attributes, as LLVM writes them."""
    fast, attributes = ("contract ", "") if not tree.decorator_list else ("", "")
    for decorator in tree.decorator_list:
        for keyword in getattr(decorator, "keywords", ()):
            given = ast.literal_eval(keyword.value)
            if keyword.arg == "fastmath":
                fast = "".join(f"{flag} " for flag in sorted(given))
            elif keyword.arg == "forceinline" and given:
                attributes = "alwaysinline "
    return fast, attributes


def readable(target: ast.expr) -> ast.expr:
    """What an augmented assignment writes, as an expression that is read."""
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    if isinstance(target, ast.Subscript):
        return ast.Subscript(target.value, target.slice, ast.Load())
    raise Refused("assigns to what is neither a name nor an element")
