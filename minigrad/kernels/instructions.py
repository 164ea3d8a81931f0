"""What kernels are made of, as LLVM: numbers and their arithmetic, and the instructions that Python does not spell.

intrinsics.py has those that a loop's arithmetic and memory need for Numba as well, and says what each of them does.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np


class Refused(Exception):
    """Why a statement is not in the language of kernels."""


class Value(NamedTuple):
    """kind: LLVM's type, or "ptr" and that of the elements. text: a name or a number."""

    kind: str
    text: str


KIND_OF: dict[object, str] = {
    np.float32: "float", np.float64: "double", np.int32: "i32", np.int64: "i64", np.bool_: "i1",
    float: "double", int: "i64", bool: "i1",
    np.int8: "i8", np.int16: "i16", np.uint8: "u8", np.uint16: "u16", np.uint32: "u32", np.uint64: "u64",
}  # fmt: skip
NUMPY = {
    np.abs: "fabs", np.fabs: "fabs", np.copysign: "copysign", np.sqrt: "sqrt", np.floor: "floor", np.ceil: "ceil",
    np.rint: "rint",
}  # fmt: skip
NUMPY_TYPE = {"float": np.float32, "double": np.float64}
FLOATS = ("float", "double")
NARROW = {"i8": "sext", "i16": "sext", "u8": "zext", "u16": "zext", "u32": "zext", "u64": "bitcast"}  # to 64 bits
SAME_SIZE = {("float", "i32"), ("i32", "float"), ("double", "i64"), ("i64", "double")}

HAS_SSE = llvm.get_process_triple().startswith("x86_64")

# What `load` reads, what `store` writes and what `add_to` adds to are three places: see intrinsics._unaliased.
SCOPES = [
    '!0 = !{!"minigrad"}', '!1 = !{!"read", !0}', '!2 = !{!"written", !0}', '!3 = !{!"summed", !0}',
    "!4 = !{!1}", "!5 = !{!2}", "!6 = !{!3}", "!7 = !{!2, !3}", "!8 = !{!1, !3}", "!9 = !{!1, !2}",
]  # fmt: skip
READ, WRITTEN, SUMMED = [f", !alias.scope !{4 + k}, !noalias !{7 + k}" for k in range(3)]


class Lines:
    """Notes of the lines that instructions come from."""

    def __init__(self):
        self.notes = [
            '!20 = !DIFile(filename: "kernel", directory: "")',
            "!21 = distinct !DICompileUnit(language: DW_LANG_Python, file: !20, isOptimized: true, "
            "emissionKind: DebugDirectivesOnly)",
            "!22 = !DISubroutineType(types: !{null})",
            '!23 = !{i32 2, !"Debug Info Version", i32 3}',
            "!llvm.dbg.cu = !{!21}",
            "!llvm.module.flags = !{!23}",
        ]
        self.known: dict[tuple[int, int], int] = {}

    def add(self, text: str) -> int:
        self.notes.append(f"!{20 + len(self.notes)} = {text}")
        return 19 + len(self.notes)

    def function(self, name: str, line: int) -> int:
        return self.add(
            f'distinct !DISubprogram(name: "{name}", scope: !20, file: !20, line: {line}, type: !22, unit: !21, '
            "spFlags: DISPFlagDefinition)"
        )

    def line(self, line: int, function: int) -> int:
        if (line, function) not in self.known:
            self.known[line, function] = self.add(f"!DILocation(line: {line}, column: 1, scope: !{function})")
        return self.known[line, function]


def is_tuple(x) -> bool:
    return isinstance(x, tuple) and not isinstance(x, Value)


class Writer:
    """Lines of a function of LLVM, and the values in them. fast: flags of floating-point arithmetic."""

    def __init__(self, declared: dict[str, str]):
        self.declared = declared  # what the module declares, by name
        self.lines: list[str] = []
        self.reserved: list[str] = []  # places on the stack
        self.fast = ""
        self.note = ""
        self.count = 0

    def add(self, line: str) -> None:
        self.lines.append(f"  {line}{self.note}")

    def new(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"  %t{self.count} = {text}{self.note}")
        return f"%t{self.count}"

    def labels(self, *names: str) -> list[str]:
        self.count += 1
        return [f"{name}{self.count}" for name in names]

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    # Values

    def typed(self, x) -> Value:
        """A value of LLVM: itself, or a constant of Python's."""
        if isinstance(x, Value):
            return x
        kind = KIND_OF.get(type(x))
        if kind is None:
            raise Refused(f"{x!r} is no number")
        return Value(kind, literal(x))

    def integer(self, x) -> str:
        """A 64-bit integer."""
        x = self.typed(x)
        if x.kind == "i32":
            return self.converted(x, np.int64).text
        if x.kind != "i64":
            raise Refused(f"an integer is wanted, not {x.kind}")
        return x.text

    def truth(self, x) -> str:
        x = self.typed(x)
        if x.kind in FLOATS:
            return self.new(f"fcmp {self.fast}une {x.kind} {x.text}, {literal(0.0)}")
        return x.text if x.kind == "i1" else self.new(f"icmp ne {x.kind} {x.text}, 0")

    def alike(self, a, b) -> tuple[Value, Value]:
        """Two values as one type: the wider one of integers or of floats."""
        a, b = self.typed(a), self.typed(b)
        if a.kind != b.kind:
            for kinds, wide in (({"i32", "i64"}, np.int64), (set(FLOATS), np.float64)):
                if {a.kind, b.kind} == kinds:
                    return self.converted(a, wide), self.converted(b, wide)
            raise Refused(f"{a.kind} and {b.kind} together")
        return a, b

    def converted(self, x, to):
        """A number as a type of NumPy's."""
        if not isinstance(x, Value):
            with np.errstate(all="ignore"):
                return bool(x) if to is np.bool_ else to(x)
        kind = KIND_OF[to]
        if x.kind == kind:
            return x
        if kind == "i1":
            return Value("i1", self.truth(x))
        verb = CONVERSIONS.get((x.kind, kind))
        if verb is None:
            raise Refused(f"{x.kind} as {kind}")
        return Value(kind, self.new(f"{verb} {machine(x.kind)} {x.text} to {machine(kind)}"))

    def selected(self, condition: str, a, b):
        """One of two values that are there."""
        if is_tuple(a) and is_tuple(b) and len(a) == len(b):
            return tuple([self.selected(condition, x, y) for x, y in zip(a, b)])
        a, b = self.alike(a, b)
        fast = self.fast if a.kind in FLOATS else ""  # by which LLVM knows the maximum of a row
        return Value(a.kind, self.new(f"select {fast}i1 {condition}, {a.kind} {a.text}, {b.kind} {b.text}"))

    def arithmetic(self, of_integers: str, of_floats: str, a: Value, b: Value) -> Value:
        a, b = self.alike(a, b)
        if a.kind in FLOATS and of_floats:
            return Value(a.kind, self.new(f"{of_floats} {self.fast}{a.kind} {a.text}, {b.text}"))
        if a.kind == "i1" and of_integers in ("and", "or", "xor"):
            return Value("i1", self.new(f"{of_integers} i1 {a.text}, {b.text}"))
        if a.kind == "i1" and of_integers in ("add", "sub", "mul"):  # as in Numba, of integers
            a, b = self.converted(a, np.int64), self.converted(b, np.int64)
        if a.kind in ("i32", "i64") and of_integers:
            return Value("i64", self.new(f"{of_integers} i64 {self.integer(a)}, {self.integer(b)}"))
        raise Refused(f"this operator of {a.kind}")

    def intrinsic(self, name: str, arguments: list) -> Value:
        """One of LLVM's functions of floats."""
        values = [self.typed(x) for x in arguments]
        kind = values[0].kind if values else ""
        if kind not in FLOATS or any(v.kind != kind for v in values):
            raise Refused(f"{name} of {', '.join(v.kind for v in values)}")
        symbol = f"llvm.{name}.{'f32' if kind == 'float' else 'f64'}"
        self.declare(symbol, f"declare {kind} @{symbol}({', '.join([kind] * len(values))})")
        return Value(
            kind, self.new(f"call {self.fast}{kind} @{symbol}({', '.join(f'{kind} {v.text}' for v in values)})")
        )

    def declare(self, symbol: str, text: str) -> None:
        self.declared[symbol] = text

    def table(self, name: str, array: np.ndarray) -> Value:
        """Address of an array of constants."""
        kind = KIND_OF[array.dtype.type]
        numbers = ", ".join(f"{kind} {literal(x)}" for x in array.reshape(-1).tolist())
        self.declare(name, f"@{name} = internal constant [{array.size} x {kind}] [{numbers}], align 64")
        return Value("i64", self.new(f"ptrtoint ptr @{name} to i64"))

    def address(self, address, index, kind: str) -> str:
        """Pointer to element `index` of the array at an integer address."""
        start = self.new(f"inttoptr i64 {self.integer(address)} to ptr")
        index = self.integer(index)
        return start if index == "0" else self.new(f"getelementptr inbounds {kind}, ptr {start}, i64 {index}")

    def instruction(self, name: str, arguments: list) -> Value:
        function, count = TABLE[name]
        if count is not None and len(arguments) != count:
            raise Refused(f"{name} takes {count} arguments, got {len(arguments)}")
        return function(self, *arguments) or Value("void", "")


CONVERSIONS = {
    ("float", "double"): "fpext", ("double", "float"): "fptrunc", ("i64", "i32"): "trunc", ("i32", "i64"): "sext",
    ("i1", "i32"): "zext", ("i1", "i64"): "zext",
    **{(a, b): verb for b in FLOATS for a, verb in (("i1", "uitofp"), ("i32", "sitofp"), ("i64", "sitofp"))},
    **{(a, b): "fptosi" for a in FLOATS for b in ("i32", "i64")},
    **{("i64", kind): "bitcast" if kind == "u64" else "trunc" for kind in NARROW},
    **{(kind, "i64"): verb for kind, verb in NARROW.items()},
    **{("i1", kind): "zext" for kind in NARROW},
}  # fmt: skip


def literal(x) -> str:
    """A number as LLVM writes it; of a float its bits, as a float64's."""
    if isinstance(x, bool | np.bool_):
        return "true" if x else "false"
    if isinstance(x, int | np.integer):
        return str(int(x))
    return f"0x{struct.unpack('<Q', struct.pack('<d', float(x)))[0]:016X}"


TABLE: dict[str, tuple[Callable, int | None]] = {}  # what writes an instruction, and how many arguments it has


def instruction(function: Callable) -> Callable:
    code = function.__code__
    TABLE[function.__name__] = function, None if code.co_flags & 4 else code.co_argcount - 1  # 4: it has *arguments
    return function


@instruction
def fma(w: Writer, a, b, c):
    return w.intrinsic("fma", [a, b, c])


def machine(kind: str) -> str:
    """LLVM's type of a kind."""
    return "ptr" if kind.startswith("ptr") else kind.replace("u", "i", 1) if kind in NARROW else kind


def stored(x: Value) -> str:
    """LLVM's type of a value in memory: a boolean is a byte there."""
    return "i8" if x.kind == "i1" else machine(x.kind)


@instruction
def load(w: Writer, address, index, dtype, scope=READ):
    kind = KIND_OF.get(dtype)
    if kind is None:
        raise Refused(f"loads {dtype}")
    if kind == "i1":
        byte = w.new(f"load i8, ptr {w.address(address, index, 'i8')}{scope}")
        return Value("i1", w.new(f"trunc i8 {byte} to i1"))
    return Value(kind, w.new(f"load {machine(kind)}, ptr {w.address(address, index, machine(kind))}{scope}"))


TABLE["load"] = load, 3


@instruction
def load_any(w: Writer, address, index, dtype):
    return load(w, address, index, dtype, "")


@instruction
def store(w: Writer, address, index, value, scope=WRITTEN):
    value = w.typed(value)
    at = w.address(address, index, stored(value))
    text = w.new(f"zext i1 {value.text} to i8") if value.kind == "i1" else value.text
    w.add(f"store {stored(value)} {text}, ptr {at}{scope}")


TABLE["store"] = store, 3


@instruction
def store_any(w: Writer, address, index, value):
    store(w, address, index, value, "")


@instruction
def add_to(w: Writer, address, index, value):
    value = w.typed(value)
    if value.kind not in FLOATS:
        raise Refused(f"adds {value.kind}")
    at = w.address(address, index, value.kind)
    old = w.new(f"load {value.kind}, ptr {at}{SUMMED}")
    total = w.new(f"fadd {w.fast}{value.kind} {old}, {value.text}")
    w.add(f"store {value.kind} {total}, ptr {at}{SUMMED}")


@instruction
def plus(w: Writer, total, value):
    total, value = w.typed(total), w.typed(value)
    if total.kind != value.kind or value.kind not in FLOATS:
        raise Refused(f"adds {value.kind} to {total.kind}")
    return Value(total.kind, w.new(f"fadd contract nsz reassoc {total.kind} {total.text}, {value.text}"))


@instruction
def stack(w: Writer, size):
    if not isinstance(size, int):
        raise Refused("the size of a place on the stack is a constant")
    w.count += 1
    w.reserved.append(f"  %stack{w.count} = alloca [{size} x i8], align 64")
    return Value("i64", w.new(f"ptrtoint ptr %stack{w.count} to i64"))


@instruction
def call(w: Writer, address, *integers):
    function = w.new(f"inttoptr i64 {w.integer(address)} to ptr")
    w.add(f"call void {function}({', '.join(f'i64 {w.integer(n)}' for n in integers)})")


@instruction
def cycles(w: Writer):
    """The counter of the CPU's cycles."""
    w.declare("llvm.readcyclecounter", "declare i64 @llvm.readcyclecounter()")
    return Value("i64", w.new("call i64 @llvm.readcyclecounter()"))


@instruction
def floating_point_flags(w: Writer):
    """The flags (overflow, invalid, ...) that arithmetic has raised so far in this thread; 0 where we cannot tell."""
    if not HAS_SSE:
        return Value("i32", "0")
    w.declare("llvm.x86.sse.stmxcsr", "declare void @llvm.x86.sse.stmxcsr(ptr)")
    w.count += 1
    w.reserved.append(f"  %flags{w.count} = alloca i32")
    w.add(f"call void @llvm.x86.sse.stmxcsr(ptr %flags{w.count})")
    return Value("i32", w.new(f"load i32, ptr %flags{w.count}"))


@instruction
def restore_floating_point_flags(w: Writer, flags):
    """Vector code computes lanes that a select then drops; without this NumPy would warn of what happened in them."""
    if HAS_SSE:
        w.declare("llvm.x86.sse.ldmxcsr", "declare void @llvm.x86.sse.ldmxcsr(ptr)")
        w.count += 1
        w.reserved.append(f"  %flags{w.count} = alloca i32")
        w.add(f"store i32 {w.typed(flags).text}, ptr %flags{w.count}")
        w.add(f"call void @llvm.x86.sse.ldmxcsr(ptr %flags{w.count})")


@instruction
def look(w: Writer, address):
    """The integer at an address as other threads have left it, after a short rest."""
    if HAS_SSE:
        w.declare("llvm.x86.sse2.pause", "declare void @llvm.x86.sse2.pause()")
        w.add("call void @llvm.x86.sse2.pause()")
    return Value("i64", w.new(f"load atomic i64, ptr {w.address(address, 0, 'i64')} seq_cst, align 8"))


@instruction
def add(w: Writer, address, n):
    """Add to the integer at an address, in one step; what it was before."""
    return Value("i64", w.new(f"atomicrmw add ptr {w.address(address, 0, 'i64')}, i64 {w.integer(n)} seq_cst"))
