"""What LLVM made of a Numba function: its code, and which loops it vectorised; if not, why.

The kernel that runs was optimised once and has come from a cache since, so it is compiled anew here, with the lines of
its source noted, and optimised the same way in a process of its own, where LLVM's remarks are on.
"""

import ast
import inspect
import json
import linecache
import re
import subprocess
import sys
import threading
import types
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minigrad.arguments import checked
from minigrad.kernels import build, loops

__all__ = ["InnerLoop", "KernelReport", "inspect_kernel"]

REMARK = re.compile(r"remark: (.*?):(\d+):\d+: (.*)")
WIDTH = re.compile(r"vectorized loop \(vectorization width: (?:vscale x )?(\d+), interleaved count: (\d+)\)")
REGISTERS = {"zmm": "512 bits", "ymm": "256 bits", "xmm": "128 bits, or one number"}


@dataclass
class InnerLoop:
    """A loop that LLVM looked at. line, text: in the source. function: that it is in. width: elements of a vector, 1 if
    it was not vectorised; interleaved: vectors a turn. reason: why it was not, in LLVM's words."""

    function: str
    line: int
    text: str
    width: int
    interleaved: int = 1
    reason: str = ""

    def __str__(self):
        done = f"vectorised, {self.width} elements wide"
        done += f", {self.interleaved} vectors a turn" if self.interleaved > 1 else ""
        outcome = done if self.width > 1 else f"not vectorised: {self.reason}"
        return f"{self.function}, line {self.line}: {self.text}\n    {outcome}"


@dataclass
class KernelReport:
    """source: Python. llvm: LLVM IR after optimisation. assembly: of this machine. loops: see InnerLoop; by line.

    registers: how many lines of the assembly name vector registers of each kind ("zmm", "ymm", "xmm"; on x86).
    calls: functions of libraries that are called, and in how many places; a vectorised loop calls them once an element.
    """

    name: str
    source: str
    llvm: str
    assembly: str
    loops: list[InnerLoop]
    registers: dict[str, int]
    calls: dict[str, int]

    def __str__(self):
        parts = [f"kernel {self.name}: {len(self.assembly.splitlines())} lines of assembly"]
        used = [f"{n} of {kind} ({REGISTERS[kind]})" for kind, n in self.registers.items() if n]
        parts += [f"  instructions with vector registers: {', '.join(used)}"] if used else []
        called = [f"{f} ({n} places)" for f, n in self.calls.items()]
        parts += [f"  calls, an element at a time: {', '.join(called)}"] if called else []
        parts += [f"  {line}" for loop in self.loops for line in str(loop).split("\n")]
        return "\n".join(parts if self.loops else [*parts, "  LLVM left no loop to vectorise"])

    def functions(self) -> str:
        """The part of the source that has the loops: not what every kernel has at its head."""
        names = {loop.function for loop in self.loops}
        defined = [n for n in ast.parse(self.source).body if isinstance(n, ast.FunctionDef) and n.name in names]
        return "\n\n".join(ast.get_source_segment(self.source, n) or "" for n in defined)

    def save(self, folder) -> None:
        """Write name.py, name.ll, name.s and name.txt (this report) to a folder. OSError if that cannot be done."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "_", self.name)
        for ending, text in (("py", self.source), ("ll", self.llvm), ("s", self.assembly), ("txt", f"{self}\n")):
            (folder / f"{name}.{ending}").write_text(text)


@checked
def inspect_kernel(f, *args) -> KernelReport:
    """What LLVM made of a Numba function for these arguments: source, LLVM IR, assembly, its loops.

    f: a function decorated with @numba.njit, and values of its arguments (or Numba types); or an elementwise op of
    minigrad, such as mg.tanh, and optionally a dtype ("float32"). prange is looked at as range.

    It is compiled anew, in a few seconds. Raises TypeError for what is neither, RuntimeError if LLVM fails.

    Examples
    --------
    >>> report = mg.inspect_kernel(mg.tanh, "float64")
    >>> report.name, "double" in report.llvm
    ('tanh', True)
    """
    import numba
    from numba import typeof
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    op = getattr(f, "op", None)
    if hasattr(op, "vjp_kernels"):
        dtype = np.dtype(*args or ["float32"]).name
        if dtype not in ("float32", "float64"):
            raise TypeError(f"inspect_kernel: got dtype {dtype}, wanted float32 or float64")
        return inspect_source(f.__name__, *elementwise_sources(op, dtype)[op.name])
    if not isinstance(f, Dispatcher):
        raise TypeError(
            f"inspect_kernel: wanted a function decorated with @numba.njit or an elementwise op such as mg.tanh, got "
            f"{getattr(f, '__name__', type(f).__name__)}"
        )
    kinds = tuple(x if isinstance(x, numba.types.Type) else typeof(x) for x in args)
    with noting_lines(), global_compiler_lock:
        kernel = renewed(f, {})
        kernel.compile(kinds)
        compiled = kernel.overloads[kinds]
        module = build.llvm.parse_bitcode(compiled.library.bitcode())
    for g in module.functions:
        if not g.is_declaration and g.name != compiled.fndesc.llvm_func_name:
            g.linkage = "internal"
    numbas = str(Path(numba.__file__).parent)
    source = inspect.getsource(f.py_func)
    return report(f.__name__, source, module, lambda file: [] if numbas in file else linecache.getlines(file))


def renewed(f, made: dict):
    """A copy of a Numba function, to be compiled by us, and so are the Numba functions of the globals that it names."""
    from numba.core.dispatcher import Dispatcher

    from minigrad.kernels import frontend

    if f not in made:
        python = f.py_func
        options = {k: v for k, v in f.targetoptions.items() if k != "parallel"}
        named = dict(python.__globals__)
        copy = types.FunctionType(python.__code__, named, python.__name__, python.__defaults__, python.__closure__)
        copy.__module__, copy.__qualname__ = python.__module__, python.__qualname__
        made[f] = frontend.compiled_by_us(copy, **{**options, "nopython": True})
        for name in python.__code__.co_names:
            if isinstance(named.get(name), Dispatcher):
                named[name] = renewed(named[name], made)
    return made[f]


def inspect_source(name: str, source: str, function: str, argument_types: str) -> KernelReport:
    """Of a kernel of ours: arguments as of build.address."""
    with build.lock:
        module = build.llvm_module(source, {function: argument_types}, build.ENTRY, lines=True)
    return report(name, source, module, lambda file: source.splitlines())


def elementwise_sources(op, dtype: str) -> dict[str, tuple[str, str, str]]:
    """The kernels of an elementwise op, by name, as arguments of `inspect_source`: its value and its derivatives."""
    kernels = {op.name: op.kernels, **{f"{op.name} backward {x}": k for x, k in op.vjp_kernels.items()}}
    found = {}
    for name, k in kernels.items():
        kinds = ["bool_" if x in op.booleans else dtype for x in k.names] + [dtype]
        source = loops.loop_source(k.names, [loops.kernel_expression(k.expression)], kinds, dtype)
        found[name] = (source, "loop", loops.ARGUMENTS)
    return found


_lock = threading.Lock()


@contextmanager
def noting_lines():
    """Within, what frontend.py compiles has the lines of its source noted."""
    from numba.core.compiler_machinery import register_pass
    from numba.core.errors import NumbaDebugInfoWarning

    from minigrad.kernels import frontend

    @register_pass(mutates_CFG=True, analysis_only=False)
    class LoweringWithLines(frontend.Lowering):
        _name = "minigrad_lowering_with_lines"

        def run_pass(self, state):
            state.flags.debuginfo = state.flags.dbg_directives_only = True  # else variables would live in memory
            state.targetctx = state.targetctx.subtarget(enable_debuginfo=True)
            return super().run_pass(state)

    class Pipeline(frontend.Pipeline):
        def define_pipelines(self):
            [passes] = super().define_pipelines()
            passes.passes = [(LoweringWithLines if p is frontend.Lowering else p, name) for p, name in passes.passes]
            return [passes]

    with _lock, build.lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaDebugInfoWarning)  # of a function that is in no file
        before, frontend.Pipeline = frontend.Pipeline, Pipeline
        try:
            yield
        finally:
            frontend.Pipeline = before


def report(name: str, source: str, module, lines_of) -> KernelReport:
    """Optimise a module in another process, and read LLVM's remarks. lines_of: from a file's name to its lines."""
    program = str(Path(__file__).with_name("remarks.py"))
    command = [sys.executable, program, build.CPU_NAME, build.CPU_FEATURES]
    done = subprocess.run(command, input=module.as_bitcode(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"kernel {name}: LLVM failed: {done.stderr.decode(errors='replace')[-500:]}")
    code, assembly = json.loads(done.stdout)
    registers = {kind: sum(f"%{kind}" in line for line in assembly.splitlines()) for kind in REGISTERS}
    calls = Counter(re.findall(r" call [^@\n]*@([\w.]+)\(", code))
    declared = set(re.findall(r"^declare [^@\n]*@([\w.]+)\(", code, re.MULTILINE))
    outside = {
        f: n for f, n in calls.items() if f in declared and not f.startswith(("llvm.", "NRT_", "numba_unpickle"))
    }
    inner = loops_in(lines_of, done.stderr.decode(errors="replace"))
    return KernelReport(name, source, code, assembly, inner, registers, outside)


def loops_in(lines_of, remarks: str) -> list[InnerLoop]:
    found: dict[tuple, InnerLoop] = {}
    reason = ""
    for file, number, remark in REMARK.findall(remarks):
        done = WIDTH.match(remark)
        if not done and remark.startswith(
            "loop not vectorized: "
        ):  # said of an instruction; the loop's own line follows
            reason = reason or remark.removeprefix("loop not vectorized: ")
        if not (done or remark == "loop not vectorized"):
            continue
        lines, line = lines_of(file), int(number)
        at, why, reason = (file, line), reason, ""
        if "explicitly disabled" in why or not 0 < line <= len(lines):  # decided before; or code of Numba's own
            continue
        text = lines[line - 1].strip()
        if done:
            found[at] = InnerLoop(function_at(lines, line), line, text, int(done[1]), int(done[2]))
        else:
            found.setdefault(at, InnerLoop(function_at(lines, line), line, text, 1, 1, why or "LLVM gives no reason"))
    return [found[at] for at in sorted(found)]


def function_at(lines: list[str], line: int) -> str:
    """Name of the innermost function around a line, from the lines of its file."""
    functions = [
        n for n in ast.walk(ast.parse("".join(f"{x.rstrip()}\n" for x in lines))) if isinstance(n, ast.FunctionDef)
    ]
    inside = [f for f in functions if f.lineno <= line <= (f.end_lineno or f.lineno)]
    return max(inside, key=lambda f: f.lineno).name if inside else "module"
