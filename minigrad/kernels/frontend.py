"""From a Numba function to its LLVM code, that of all that it calls with it: for inspection.py.

Numba optimises a function, wraps it for Python and for C and turns it into machine code, all this for each function
before it goes on with the one that calls it. What is inspected is the LLVM code of the outermost one, which is
optimised as a whole: so the rest is left out here.
"""

from numba import jit
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
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
