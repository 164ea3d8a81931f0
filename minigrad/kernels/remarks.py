"""Optimise LLVM bitcode as build.py does, with LLVM's remarks on its loops on stderr: a program of its own, because the
options that ask for them hold for a whole process. Arguments: the CPU's name and features. Bitcode on stdin; LLVM's
and machine code on stdout, as JSON.
"""

import json
import sys

import llvmlite.binding as llvm

for kind in ("", "-missed", "-analysis"):
    llvm.set_option("minigrad", f"--pass-remarks{kind}=loop-vectorize")
llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
cpu, features = sys.argv[1:]
machine = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=3, jit=True)
module = llvm.parse_bitcode(sys.stdin.buffer.read())
passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
passes.getModulePassManager().run(module, passes)
# without a version LLVM drops the notes on lines, which served the remarks and would clutter the code
text = str(module).replace('!"Debug Info Version", i32 3', '!"Debug Info Version", i32 0')
module = llvm.parse_assembly(text)
print(json.dumps([str(module), machine.emit_assembly(module)]))
