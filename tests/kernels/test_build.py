"""From text to machine code: keys, refused kernels, threads, processes and forks; then the loops themselves."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from minigrad.kernels import build, loops, pieces, threads

pytestmark = pytest.mark.skipif(loops.INTERPRETED, reason="the JIT is off: nothing is compiled")

SOURCE = """
@njit
def callee(x):
    return x + np.float32({step})

def kernel(x, n):
    for i in range(n):
        x[i] = callee(x[i])
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "loaded", {})
    return tmp_path / "cache"


def run(step=1.0, size=5):
    """[0, 0, ...] + step, by a kernel that is compiled or found in the cache."""
    import ctypes

    address = build.address(SOURCE.format(step=step), "kernel", "CPointer(float32), intp")
    x = np.zeros(size, np.float32)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_ssize_t)(address)(x.ctypes.data, size)
    return x.tolist()


def forbid_compilation(monkeypatch):
    def refuse(*_):
        raise AssertionError("compiled, though the cache should have had it")

    monkeypatch.setattr(build, "compile_object", refuse)


def test_second_use_comes_from_the_disk(cache, monkeypatch):
    assert run() == [1.0] * 5
    monkeypatch.setattr(build, "loaded", {})
    forbid_compilation(monkeypatch)
    assert run() == [1.0] * 5


def test_an_edited_callee_is_compiled_anew(cache):
    assert run(step=1.0) == [1.0] * 5
    assert run(step=2.0) == [2.0] * 5


def test_versions_and_cpu_are_part_of_the_key(cache, monkeypatch):
    run()
    before = set(os.listdir(cache))
    monkeypatch.setattr(build, "loaded", {})
    monkeypatch.setattr(build, "VERSIONS", "another numba")
    run()
    assert set(os.listdir(cache)) > before


@pytest.mark.parametrize(
    "variables",
    [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_CPU_NAME": "nocona", "NUMBA_CPU_FEATURES": "+sse2"},
     {"NUMBA_ENABLE_AVX": "0"}],
)  # fmt: skip
def test_numbas_variables_choose_the_cpu(variables):
    program = textwrap.dedent("""
        import os
        from numba.core.registry import cpu_target
        from minigrad.kernels import build, matmul
        numbas = cpu_target.target_context.codegen()
        name, features = numbas._get_host_cpu_name(), numbas._get_host_cpu_features()
        ours, fewer = build.target_cpu()
        assert ours == name and set(fewer.split(",")) - set(features.split(",")) <= {"-" + n for n in build.NEEDS_AVX}
        assert fewer == features or "NUMBA_ENABLE_AVX" in os.environ  # there Numba leaves what implies AVX
        assert build.CPU.endswith(f" {ours} {fewer}")  # which is in the key of the cache
        text = "define <8 x double> @f(<8 x double> %x) { %y = fadd <8 x double> %x, %x ret <8 x double> %y }"
        assembly = build.target_machine().emit_assembly(build.llvm.parse_assembly(text))
        assert "xmm" in assembly and "ymm" not in assembly and "zmm" not in assembly
        assert matmul.SHAPE.width == 16
    """)
    without = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    assert subprocess.run([sys.executable, "-c", program], env=without | variables, timeout=60).returncode == 0


@pytest.mark.parametrize("features, message", [("+avx2,sse3", "each with + or - before it"), ("+avx2,,-sse3", None)])
def test_features_that_llvm_cannot_read_are_refused(features, message):
    command = [sys.executable, "-c", "import minigrad as mg; mg.jit(mg.tanh)(mg.ones(3))"]
    done = subprocess.run(
        command, env=os.environ | {"NUMBA_CPU_FEATURES": features}, capture_output=True, text=True, timeout=60
    )
    last = done.stderr.splitlines()[-1:]
    assert done.returncode == 0 if message is None else done.returncode == 1 and message in last[0], done.stderr


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_file_is_compiled_anew(cache, monkeypatch, damage):
    run()
    (file,) = cache.iterdir()
    intact = file.read_bytes()
    file.write_bytes(intact[: len(intact) // 2] if damage == "cut" else intact[:-1] + bytes([intact[-1] ^ 1]))
    monkeypatch.setattr(build, "loaded", {})
    assert run() == [1.0] * 5
    monkeypatch.setattr(build, "loaded", {})
    forbid_compilation(monkeypatch)
    assert run() == [1.0] * 5


def test_a_folder_that_cannot_be_used_costs_nothing_but_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MINIGRAD_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(build, "loaded", {})
    assert run() == [1.0] * 5


def test_a_kernel_that_allocates_is_refused(cache):
    source = "def kernel(x, n):\n    x[0] = np.zeros(n)[0]\n"
    with pytest.raises(ValueError, match=r"kernel, line 2, `x\[0\] = np\.zeros\(n\)\[0\]`: .*not in the language"):
        build.address(source, "kernel", "CPointer(float32), intp")


def test_two_threads_may_ask_for_one_kernel_at_once(cache):
    results = []
    workers = [threading.Thread(target=lambda: results.append(run(step=3.0))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [[3.0] * 5] * 4


def test_two_processes_may_fill_one_cache_at_once(cache):
    program = textwrap.dedent("""
        import numpy as np
        from minigrad.kernels import loops
        tanh = loops.elementwise("tanh", ["x"], ["tanh(x)"], "float32")
        assert abs(tanh(np.float32([0.5]))[0] - np.tanh(0.5)) < 1e-6
    """)
    running = [subprocess.Popen([sys.executable, "-c", program], env=os.environ) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert not [file for file in cache.iterdir() if file.name.startswith(".")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_fork_computes_with_threads_of_its_own():
    program = textwrap.dedent("""
        import os, sys
        import numpy as np
        import minigrad as mg
        from minigrad.kernels import pieces, threads
        threads.count = 2
        x = mg.tensor(np.linspace(-3, 3, 2 * pieces.LARGE, dtype=np.float32))
        expected = mg.tanh(x).numpy().copy()  # starts the parent's pool
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(mg.tanh(x).numpy(), expected) else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0


def test_importing_needs_no_numba():
    program = "import sys, minigrad; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_a_first_call_imports_no_masked_arrays():
    """They take a fifth of the time that Python takes for it."""
    program = textwrap.dedent("""
        import sys
        import minigrad as mg
        x = mg.tensor([1.0, 2.0])
        mg.jit(mg.grad(lambda x: (x[[0, 1]] * x).sum()))(x)
        sys.exit("numpy.ma" in sys.modules)
    """)
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_large_arrays_are_split_between_threads_with_the_same_bits(monkeypatch):
    kernel = loops.elementwise("fma_like", ["a", "b"], ["a * b + a"], "float32")
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, pieces.LARGE // 2)).astype(np.float32)
    b = rng.standard_normal(pieces.LARGE // 2).astype(np.float32)
    alone = kernel(a, b)
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "count", count)
        assert np.array_equal(pieces.split(kernel, a, b), alone)
        for x, y in ((a, a[::-1].copy()), (a, 2.5), (np.broadcast_to(np.float32(3), a.shape), a), (a.T, b[:, None])):
            assert np.array_equal(pieces.split(kernel, x, y), kernel(x, y))
        out = np.empty_like(a)
        assert pieces.split(kernel, a, b, out=out) is out
        assert np.array_equal(out, alone)


def test_strided_broadcast_reversed_and_inplace_operands():
    kernel = loops.elementwise("scaled", ["a", "b"], ["a * b"], "float64")
    rng = np.random.default_rng(1)
    for n in (0, 1, 7, 511, 512, 513, 1500):
        a, b = rng.standard_normal((4, n)), rng.standard_normal(2 * n)
        for x, y in [(a, b[:n]), (a[::2], b[::2]), (a[:, ::-1], b[n:]), (a.T, rng.standard_normal((n, 1))), (a, 2.5)]:
            assert np.array_equal(kernel(x, y), x * y)
        expected = a * b[:n]
        assert kernel(a, b[:n], out=a) is a
        assert np.array_equal(a, expected)


def test_no_warning_for_lanes_that_a_select_drops():
    kernel = loops.elementwise("safe_log", ["x"], ["where(x > 0, log(x), 0)"], "float32")
    with np.errstate(all="raise"):
        assert kernel(np.float32([-1, 0, 1, 2])).tolist() == [0, 0, 0, pytest.approx(np.log(2))]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_of_fork_can_compile_though_another_thread_was_compiling(cache):
    program = textwrap.dedent("""
        import os, sys, threading, time
        from minigrad.kernels import build, loops
        started = threading.Event()

        def hold():
            with build.lock:
                started.set()
                time.sleep(0.3)

        threading.Thread(target=hold).start()
        started.wait()
        child = os.fork()
        if child == 0:
            loops.elementwise("id", ["x"], ["x"], "float32")
            os._exit(0)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_large_arrays_of_integers_keep_their_dtype():
    import minigrad as mg

    for dtype in (np.int8, np.uint8, np.int32, np.int64, bool):
        small = (np.arange(1, 100) % 10).astype(dtype)
        large = np.resize(small, pieces.LARGE + 1)
        calls = [mg.abs, mg.sign, mg.relu, mg.floor, lambda x: mg.maximum(x, x), lambda x: mg.where(x > 3, x, x)]
        if dtype is not bool:
            calls += [mg.square, lambda x: x + x, lambda x: x + 1, lambda x: 5 * x, lambda x: mg.clip(x, 1, 3)]
        else:
            calls = calls[3:]
        for call in calls:
            expected, got = call(mg.tensor(small)), call(mg.tensor(large))
            assert got.dtype == expected.dtype
            assert np.array_equal(got.numpy()[: len(small)], expected.numpy())


def test_a_task_that_fails_is_reported_after_the_others_have_ended():
    done = []

    def fail():
        raise ValueError("planted")

    def slow():
        import time

        time.sleep(0.1)
        done.append(1)

    with pytest.raises(ValueError, match="planted"):
        threads.run([fail, slow])
    assert done == [1]
