"""From the text of a Numba function to LLVM code, in a fraction of the time that Numba takes for machine code.

Numba types and lowers a function and then optimises it, wraps it for Python and for C and turns it into machine code,
all this for each function before it goes on with the one that calls it. What we keep is the LLVM code of the outermost
one, which build.py optimises as a whole: so the rest is left out here. A function that several kernels share (tanh, a
load from memory) is typed and lowered once in a process.
"""

import ast
import hashlib

from numba import jit, types
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.typed_passes import NativeLowering


class Library(CPUCodeLibrary):
    """LLVM code of a function and of those that it calls: linked, neither optimised nor given to Numba's engine."""

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalized = True

    def bitcode(self) -> bytes:
        self._ensure_finalized()
        return self._final_module.as_bitcode()


@register_pass(mutates_CFG=True, analysis_only=False)
class Lowering(NativeLowering):
    """Numba's own, into a Library; in the place of machine code callers get an object that is equal to no other."""

    _name = "minigrad_lowering"

    def run_pass(self, state):
        state.library = Library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        identity = [].append  # the dispatcher wants a built-in method
        state.targetctx.insert_user_function(identity, state.cr.fndesc, [state.library])
        state.cr = state.cr._replace(cfunc=identity)
        return True


class Pipeline(CompilerBase):
    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.passes = [(Lowering if p is NativeLowering else p, name) for p, name in passes.passes]
        passes.finalize()
        return [passes]


def compiled_by_us(function, **options) -> Dispatcher:
    return jit(**options, no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=Pipeline)(function)


def llvm_code(source: str, function: str, argument_types: str) -> tuple[bytes, str]:
    """Bitcode of `function` of `source` with all that it calls, and the function's name there.

    It has Numba's calling convention: a place for the result, one for an exception, then the arguments.
    """
    signature = eval(f"void({argument_types})", vars(types).copy())
    python = definitions(source, f"<minigrad kernel {function}>")[function]
    kernel = compiled_by_us(python, nopython=True, error_model="numpy", fastmath={"contract"})
    with global_compiler_lock:
        kernel.compile(signature)
        compiled = kernel.overloads[signature.args]
        return compiled.library.bitcode(), compiled.fndesc.llvm_func_name


shared: dict[str, object] = {}


def definitions(source: str, filename: str) -> dict:
    """What the text defines, by name. A function that an earlier text defined too, and just so, is the same object.

    Just so: its own text is the same, and all that it names has been defined before it, in the same way.
    """
    statements = ast.parse(source).body
    binds = [bound_by(statement) for statement in statements]
    last = {name: i for i, names in enumerate(binds) for name in names}
    namespace: dict = {}
    meanings: dict[str, str] = {}
    for i, statement in enumerate(statements):
        uses = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        known = [f"{name} {meanings[name]}" for name in sorted(uses | binds[i]) if name in meanings]
        meaning = hashlib.sha256("\n".join([ast.dump(statement), *known]).encode()).hexdigest()
        is_function = isinstance(statement, ast.FunctionDef)
        if is_function and meaning in shared:
            namespace[statement.name] = shared[meaning]
        else:
            exec(compile(ast.Module([statement], []), filename, "exec"), namespace)
            if is_function:
                made = namespace[statement.name]
                if isinstance(made, Dispatcher):
                    made = namespace[statement.name] = compiled_by_us(made.py_func, **made.targetoptions)
                if all(last.get(name, i) <= i for name in uses):
                    shared[meaning] = made
        meanings.update(dict.fromkeys(binds[i], meaning))
    return namespace


def bound_by(statement: ast.stmt) -> set[str]:
    """Names that a statement at the top of a text may bind; too many do no harm."""
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    nodes = list(ast.walk(statement))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return names | {(node.asname or node.name).split(".")[0] for node in nodes if isinstance(node, ast.alias)}
