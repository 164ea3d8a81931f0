"""From the text of a kernel to the address of its machine code, by way of a cache on disk.

A kernel is a self-contained piece of source: everything that it calls is in its own text. So the hash of the text, of
the versions and of the CPU is a complete key, and an edited callee cannot leave a stale result behind. A hit does
without the compiler: llvmlite maps the object file in a fraction of a millisecond.

lowering.py says what a kernel's text may contain.
"""

import hashlib
import os
import threading
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding as llvm

from minigrad.kernels import cache, lowering

ENTRY = "minigrad_entry"


NEEDS_AVX = {"f16c", "fma", "fma4", "sha512", "sm3", "sm4", "vaes", "vpclmulqdq", "xop"}  # LLVM takes it as given then


def target_cpu() -> tuple[str, str]:
    """(name, features) of the CPU to compile for: this machine's, unless Numba's variables name another.

    As in Numba, NUMBA_CPU_NAME replaces the name and NUMBA_CPU_FEATURES the features ("+avx2,-avx512f"); a CPU called
    generic has none, and NUMBA_ENABLE_AVX=0 takes those of AVX from this machine's, with those that imply it.
    """
    name = os.environ.get("NUMBA_CPU_NAME", llvm.get_host_cpu_name())
    features = llvm.get_host_cpu_features()
    if os.environ.get("NUMBA_ENABLE_AVX", "1").strip() == "0":
        features.update({name: False for name in features if name.startswith("avx") or name in NEEDS_AVX})
    given = "" if name.lower() == "generic" else features.flatten()
    return name, os.environ.get("NUMBA_CPU_FEATURES", given)


CPU_NAME, CPU_FEATURES = target_cpu()
CPU = f"{llvm.get_process_triple()} {CPU_NAME} {CPU_FEATURES}"
COMPILER = [
    Path(__file__).with_name(f"{name}.py").read_text() for name in ("build", "lowering", "expressions", "instructions")
]
VERSIONS = " ".join([version("llvmlite"), *COMPILER])

lock = threading.RLock()
loaded: dict[str, list[int]] = {}
_engine = None


def _renew_lock() -> None:
    """A child of fork has nobody who would release the lock that another thread of its parent held."""
    global lock
    lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # hold it across the fork, so that the child sees no half-made kernel
    os.register_at_fork(
        before=lambda: lock.acquire(), after_in_parent=lambda: lock.release(), after_in_child=_renew_lock
    )


def address(source: str, function: str, argument_types: str) -> int:
    """Address of `function` of `source`, compiled for C callers.

    source: Python text that defines everything that the function uses. argument_types: what the function takes, as
    names of types joined by commas ("intp, CPointer(float32)"). The function returns nothing and cannot raise.
    """
    return addresses(source, {function: argument_types})[0]


def addresses(source: str, functions: dict[str, str]) -> list[int]:
    """Addresses of several functions of one text, which are compiled at once. functions: argument types by name."""
    text = "\0".join([source, *functions, *functions.values(), CPU, VERSIONS])
    key = hashlib.sha256(text.encode()).hexdigest()
    with lock:
        if key not in loaded:
            machine_code = cache.read(key)
            if machine_code is None:
                machine_code = compile_object(source, functions, f"{ENTRY}_{key}")
                cache.write(key, machine_code)
            loaded[key] = load(machine_code, [f"{ENTRY}_{key}_{name}" for name in functions])
        return loaded[key]


def compile_object(source: str, functions: dict[str, str], entry: str) -> bytes:
    """Object file in which nothing is visible but a C function `entry`_name for each of `functions` of `source`."""
    module = llvm_module(source, functions, entry)
    machine = target_machine()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(module, passes)
    return machine.emit_object(module)


def llvm_module(source: str, functions: dict[str, str], entry: str, lines: bool = False):
    """The LLVM module of some functions of a text, not optimised. lines: note the line of `source` that each
    instruction comes from."""
    engine()
    text = lowering.llvm_text(source, functions, entry, lines)
    return llvm.parse_assembly(f'target triple = "{llvm.get_process_triple()}"\n{text}')


def target_machine():
    engine()
    target = llvm.Target.from_default_triple()
    if not all(one[0] in "+-" for one in CPU_FEATURES.split(",") if one):  # LLVM would end the process
        raise ValueError(f"NUMBA_CPU_FEATURES={CPU_FEATURES!r}: wanted names of LLVM's, each with + or - before it")
    return target.create_target_machine(cpu=CPU_NAME, features=CPU_FEATURES, opt=3, jit=True)


def engine():
    global _engine
    if _engine is None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        _engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    return _engine


def load(machine_code: bytes, names: list[str]) -> list[int]:
    engine().add_object_file(llvm.ObjectFileRef.from_data(machine_code))
    engine().finalize_object()
    return [engine().get_function_address(name) for name in names]
