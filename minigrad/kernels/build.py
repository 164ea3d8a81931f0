"""From the text of a Numba function to the address of its machine code, by way of a cache on disk.

A kernel is a self-contained piece of source: everything that it calls is in its own text. So the hash of the text,
of the versions and of the CPU is a complete key, and an edited callee cannot leave a stale result behind. What is
stored is an object file (no pickle), behind its own SHA-256: a torn or foreign file is a miss, never an exception.
A hit needs neither Numba nor the compiler: llvmlite maps the object file in about a millisecond.
"""

import hashlib
import os
import re
import stat
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path

import llvmlite.binding as llvm
import platformdirs

ENTRY = "minigrad_entry"
MAGIC = b"minigrad object 1\n"
CPU = f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
VERSIONS = " ".join([sys.version, version("numba"), version("llvmlite")])

lock = threading.RLock()
loaded: dict[str, int] = {}
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
    names of numba.types joined by commas ("intp, CPointer(float32)"). The function returns nothing and cannot raise.
    """
    text = "\0".join([source, function, argument_types, CPU, VERSIONS])
    key = hashlib.sha256(text.encode()).hexdigest()
    with lock:
        if key not in loaded:
            machine_code = read(key)
            if machine_code is None:
                machine_code = compile_object(source, function, argument_types, f"{ENTRY}_{key}")
                write(key, machine_code)
            loaded[key] = load(machine_code, f"{ENTRY}_{key}")
        return loaded[key]


def compile_object(source: str, function: str, argument_types: str, entry: str) -> bytes:
    """Object file whose one visible symbol, `entry`, is a C function around Numba's code for `function`."""
    from numba import njit, types

    namespace: dict = {}
    exec(compile(source, f"<minigrad kernel {function}>", "exec"), namespace)
    signature = eval(f"void({argument_types})", vars(types).copy())
    kernel = njit(error_model="numpy", fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True)(
        namespace[function]
    )
    kernel.compile(signature)
    compiled = kernel.overloads[signature.args]
    numba_code = str(compiled.library.get_llvm_str())
    inner = compiled.fndesc.llvm_func_name
    header = re.search(rf"^define .*?@{re.escape(inner)}\((.*?)\)[^)]*$", numba_code, re.M).group(1)
    kinds = [parameter.split()[0] for parameter in re.sub(r"\([^)]*\)", "", header).split(", ")[2:]]
    # Numba's calling convention puts a place for the result and one for an exception in front; kernels use neither.
    names = [f"{kind} %a{i}" for i, kind in enumerate(kinds)]
    wrapper = f"""
define void @{entry}({", ".join(names)}) {{
  %result = alloca ptr
  %exception = alloca ptr
  %status = call i32 @{inner}({", ".join(["ptr %result", "ptr %exception", *names])})
  ret void
}}
"""
    module = llvm.parse_assembly(numba_code + wrapper)
    for f in module.functions:
        if f.is_declaration and re.match("NRT_|numba_", f.name):
            raise ValueError(f"kernel {function} needs Numba's runtime ({f.name}): it allocates or raises; it may not")
        if not f.is_declaration and f.name != entry:
            f.linkage = "internal"
    passes = llvm.create_pass_builder(target_machine(), llvm.create_pipeline_tuning_options(3))
    manager = passes.getModulePassManager()
    manager.run(module, passes)
    return target_machine().emit_object(module)


def target_machine():
    engine()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True)


def engine():
    global _engine
    if _engine is None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        _engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    return _engine


def load(machine_code: bytes, entry: str) -> int:
    engine().add_object_file(llvm.ObjectFileRef.from_data(machine_code))
    engine().finalize_object()
    return engine().get_function_address(entry)


# The cache: one file a kernel, in a directory that only this user can write.


def cache_directory() -> Path | None:
    """$MINIGRAD_CACHE_DIR, else the platform's cache directory of the user; None where no private one is to be had.

    Whoever can write there decides what machine code we run: a directory that belongs to another user, or that others
    may write, is refused.
    """
    path = Path(os.environ.get("MINIGRAD_CACHE_DIR") or platformdirs.user_cache_path("minigrad") / "kernels")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError:
        return None
    foreign = hasattr(os, "getuid") and status.st_uid != os.getuid()
    return None if foreign or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else path


def read(key: str) -> bytes | None:
    directory = cache_directory()
    try:
        content = (directory / key).read_bytes() if directory else b""
    except OSError:
        return None
    digest, machine_code = content[len(MAGIC) : len(MAGIC) + 32], content[len(MAGIC) + 32 :]
    intact = content.startswith(MAGIC) and hashlib.sha256(machine_code).digest() == digest
    return machine_code if intact else None


def write(key: str, machine_code: bytes) -> None:
    """Atomically: several processes may write the same kernel at once, and any of them may die halfway."""
    directory = cache_directory()
    if directory is None:
        return
    try:
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".writing-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(MAGIC + hashlib.sha256(machine_code).digest() + machine_code)
        os.replace(temporary, directory / key)
    except OSError:
        pass  # a full or read-only disk costs the next process a compilation, nothing else
