"""The command `minigrad doctor`: what minigrad finds on this machine, what the machine can do, and what to mend."""

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import llvmlite.binding as llvm
import typer

from minigrad import __version__
from minigrad.kernels import bfloat16, build, cache, loops, machine, peaks, threads, tiles
from minigrad.kernels.machine import ROOT, Machine, listed, text_of

DISTRIBUTION = "minigrad-rnn"
EXTRAS = ("cli", "io", "sweep", "distributed", "testing", "onnx")  # for users; the others are for work on minigrad
CACHES = "sys/devices/system/cpu/cpu{}/cache"


def doctor():
    """What is found here, the peaks of this machine, and a line for each thing to mend (exit code 1, then)."""
    found, pools = machine.found(), blas()
    problems = [*of_threads(found, pools, os.environ), *of_settings(os.environ), *of_cache(), *of_versions()]
    show("minigrad", f"{__version__}, {versions()}")
    show("extras", ", ".join(extras()) or "none")
    show("CPU", f"{cpu_name()} ({build.CPU_NAME} to LLVM), {vectors()}")
    show("caches", caches(found))
    show("cores", cores(found))
    show("threads", f"{threads.count}" + (" (OMP_NUM_THREADS)" if found.asked else ""))
    for pool in pools:
        kind = pool.get("architecture") or "unknown"
        show("BLAS", f"{pool['internal_api']} {pool['version']} for {kind}, {told(pool['num_threads'])}")
    show("cache", f"{cache_folder()}, {held()}")
    show("peaks", measured())
    print(*[f"\nmend: {problem}" for problem in problems] or ["\nNothing to mend."], sep="")
    if problems:
        raise typer.Exit(1)


def show(label: str, text: str) -> None:
    print(f"{label:9} {text}", flush=True)


def told(count: int, what: str = "thread") -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def versions() -> str:
    names = ("numpy", "numba", "llvmlite")
    return ", ".join([f"Python {platform.python_version()}", *[f"{name} {version(name)}" for name in names]])


def requirements() -> Iterator:
    from packaging.requirements import Requirement

    try:
        yield from map(Requirement, requires(DISTRIBUTION) or ())
    except PackageNotFoundError:  # a folder of sources on the path
        return


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def extras() -> list[str]:
    """Those of which every package is there; packages that others lack."""
    found = []
    for extra in EXTRAS:
        wanted = [one.name for one in requirements() if one.marker and one.marker.evaluate({"extra": extra})]
        missing = [name for name in wanted if not installed(name)]
        if wanted and len(missing) < len(wanted):
            found.append(f"{extra} (without {', '.join(missing)})" if missing else extra)
    return found


def of_versions() -> Iterator[str]:
    for one in requirements():
        found = installed(one.name)
        if one.marker is None and found is None:
            yield f"{one.name} is not installed: pip install '{one.name}{one.specifier}'"
        elif found and not one.specifier.contains(found, prereleases=True):
            yield f"{one.name} {found} is installed, wanted {one.specifier}: pip install '{one.name}{one.specifier}'"


def cpu_name(root: Path = ROOT) -> str:
    name = re.search(r"^model name\s*:\s*(.+)$", text_of(root / "proc/cpuinfo"), re.M)
    return name[1] if name else platform.processor() or platform.machine()


def vectors() -> str:
    text, pairs = f"vectors of {8 * tiles.SHAPE.width} bits", bfloat16.host_shape()
    return text + (f", products in bfloat16 by {'AMX' if pairs == bfloat16.TILES else 'AVX512-BF16'}" if pairs else "")


def caches(found: Machine, root: Path = ROOT) -> str:
    """Sizes of the caches of the first processor, and how many processors share each."""
    texts = []
    for index in sorted((root / CACHES.format(min(found.cpus))).glob("index*")):
        level, kind, size, shared = [text_of(index / n) for n in ("level", "type", "size", "shared_cpu_list")]
        if kind != "Instruction" and level and size:
            texts.append(f"L{level} {size}" + (f" for {n}" if (n := len(listed(shared))) > 1 else ""))
    return ", ".join(texts) or "unknown"


def cores(found: Machine) -> str:
    """How many this process may use, and why it is not more."""
    board = os.cpu_count() or 1
    texts = [f"{found.usable} to use"]
    if len(found.cores) < len(found.cpus):
        texts.append(f"{len(found.cpus)} hyper-threads of {len(found.cores)} cores")
    if len(found.cpus) < board:
        texts.append(f"pinned to {len(found.cpus)} of {board} processors")
    if found.quota is not None:
        texts.append(f"the control group's quota is {found.quota:g}")
    if found.ranks > 1:
        texts.append(f"rank {found.rank} of {found.ranks} on this machine")
    return "; ".join(texts)


def blas() -> list[dict]:
    from threadpoolctl import threadpool_info

    return [pool for pool in threadpool_info() if pool["user_api"] == "blas" and "numpy" in pool["filepath"]]


def of_threads(found: Machine, pools: list[dict], environ: Mapping[str, str]) -> Iterator[str]:
    text = environ.get("OMP_NUM_THREADS")
    if text and found.asked is None:
        yield f"OMP_NUM_THREADS is {text!r}, which is no number from 1 to {machine.MOST} and not followed: unset it"
    usable = told(found.usable, "core")
    if found.asked and found.asked > found.usable:
        yield f"OMP_NUM_THREADS asks for {told(found.asked)}, and this process has {usable}: unset it"
    if found.ranks > 1:  # which keep BLAS in their part themselves
        if found.sharing > len(found.cores) or (found.quota or found.ranks) < found.ranks:
            yield f"{found.ranks} ranks on this machine have less than a core each: start fewer"
        return
    for pool in pools:
        variable, count = f"{pool['internal_api'].upper()}_NUM_THREADS", pool["num_threads"]
        if count > max(1, min(len(found.cpus), found.quota or count)):
            yield f"BLAS takes {told(count)}, and this process has {usable}: set {variable}={found.usable}"
        elif count == 1 < found.usable and found.asked is None:
            yield f"BLAS takes one thread of {found.usable}, outside of jitted functions: unset {variable}"


def of_settings(environ: Mapping[str, str]) -> Iterator[str]:
    """Of variables that make programs slow, or the machine another one."""
    host = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    if build.target_cpu() != host:
        names = [name for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX") if name in environ]
        yield f"kernels are made for another CPU than this one, {host[0]}: unset {', '.join(names)}"
    if loops.INTERPRETED:
        yield "NUMBA_DISABLE_JIT is set: kernels run as Python, a hundred times slower: unset it"
    if environ.get("MINIGRAD_PRINT_PASSES", "0") not in ("", "0"):
        yield "MINIGRAD_PRINT_PASSES is set: programs are printed while they are compiled: unset it"
    if sys.flags.dev_mode:
        yield "Python is in its development mode, which checks what it does: unset PYTHONDEVMODE, leave out -X dev"


def cache_folder() -> str:
    try:
        return str(cache.folder())
    except OSError as error:
        return str(error)


def held() -> str:
    try:
        sizes = [status.st_size for _, status in cache.ours(cache.folder())]
    except OSError as error:
        return f"unknown: {error.strerror or error}"
    return f"{told(len(sizes), 'file')}, {sum(sizes) / 1e6:.1f} MB"


def of_cache() -> Iterator[str]:
    try:
        folder, limit = cache.folder(), cache.limit()
        reason = cache.trouble(folder)
        if limit and not reason:  # then it should work
            key = hashlib.sha256(b"doctor").hexdigest()
            cache.write(key, b"works")
            reason = None if cache.read(key) else "what is written there cannot be read back"
        if reason:
            yield f"kernels are not kept in {folder}: {reason}; set MINIGRAD_CACHE_DIR to a folder of yours"
        if limit == 0:
            yield "MINIGRAD_CACHE_SIZE is 0: kernels are compiled anew in every process: unset it"
    except ValueError as error:
        yield str(error)
    except OSError as error:
        yield f"kernels are not kept: {error}"


def measured() -> str:
    """The peaks as they were kept, or as they are now."""
    features = build.CPU_FEATURES.split(",")
    if loops.INTERPRETED or not all(feature[:1] in ("+", "-", "") for feature in features):
        return "not measured: no kernel can be compiled"
    try:
        rates = f"{peaks.flops() / 1e9:.0f} GFLOP/s of a float32 product, {peaks.bandwidth() / 1e9:.1f} GB/s of a copy"
    except (ValueError, RuntimeError, MemoryError, OSError) as error:
        return f"not measured: {error or 'not enough memory'}"
    kept = all(peaks.kept(what, threads.count) for what in peaks.MEASURED)
    return rates + ("" if kept else "; not kept, as the machine is busy or the cache not used")
