"""`minigrad doctor`: what it says of made-up machines and settings; it ends in lines, whatever the environment."""

import os
import subprocess
import sys

import pytest

from minigrad.cli import doctor
from minigrad.kernels import cache, peaks
from minigrad.kernels.machine import Machine

ALONE = Machine(frozenset(range(4)), tuple(frozenset({k}) for k in range(4)), None, 0, 1, 1, False, None)
OPENBLAS = {"internal_api": "openblas", "num_threads": 4}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Peaks that take no time, and a cache of their own; returns what has been measured."""
    runs = []
    monkeypatch.setenv("MINIGRAD_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.setattr(peaks, "MEASURED", {name: lambda name=name: (name, 1.0) for name in ("flops", "bandwidth")})
    monkeypatch.setattr(peaks, "fastest", lambda run, amount: (runs.append(run) or 7e9, True))
    peaks.found.cache_clear()
    yield runs
    peaks.found.cache_clear()


def test_it_says_what_is_found_and_measures_the_peaks_once(minigrad, measured, monkeypatch):
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONDEVMODE"):
        monkeypatch.delenv(variable, raising=False)
    code, out, err = minigrad("doctor")
    labels = [line.partition(" ")[0] for line in out.splitlines()]
    assert labels[:8] == ["minigrad", "extras", "CPU", "caches", "cores", "threads", "BLAS", "cache"]
    assert "peaks     7 GFLOP/s of a float32 product, 7.0 GB/s of a copy\n" in out and err == ""
    peaks.found.cache_clear()  # as in another process
    assert minigrad("doctor")[1] == out.replace(" 1 file,", " 3 files,")
    assert measured == ["flops", "bandwidth"] and code == ("\nmend: " in out)


@pytest.mark.parametrize("found, environ, blas, problem", [
    ({}, {}, 4, None), ({"asked": 4}, {"OMP_NUM_THREADS": "4"}, 4, None),
    ({"asked": 1}, {"OMP_NUM_THREADS": "1"}, 1, None),
    ({}, {"OMP_NUM_THREADS": "many"}, 4, "OMP_NUM_THREADS is 'many', which is no number from 1 to 1024"),
    ({"asked": 8}, {"OMP_NUM_THREADS": "8"}, 4, "asks for 8 threads, and this process has 4 cores: unset it"),
    ({}, {}, 1, "BLAS takes one thread of 4, outside of jitted functions: unset OPENBLAS_NUM_THREADS"),
    ({}, {}, 64, "BLAS takes 64 threads, and this process has 4 cores: set OPENBLAS_NUM_THREADS=4"),
    ({"quota": 1.5}, {}, 4, "BLAS takes 4 threads, and this process has 1 core: set OPENBLAS_NUM_THREADS=1"),
    ({"ranks": 4, "sharing": 4}, {}, 4, None), ({"ranks": 8, "sharing": 2}, {}, 4, None),
    ({"ranks": 8, "sharing": 8}, {}, 4, "8 ranks on this machine have less than a core each: start fewer"),
    ({"ranks": 4, "sharing": 4, "quota": 2.0}, {}, 4, "less than a core each"),
])  # fmt: skip
def test_threads_that_are_too_many_or_too_few(found, environ, blas, problem):
    problems = [*doctor.of_threads(ALONE._replace(**found), [OPENBLAS | {"num_threads": blas}], environ)]
    assert problems == [] if problem is None else len(problems) == 1 and problem in problems[0]


@pytest.mark.parametrize(
    "variable, value, problem",
    [
        ("NUMBA_CPU_NAME", "generic", "kernels are made for another CPU than this one"),
        ("NUMBA_CPU_FEATURES", "nonsense", "unset NUMBA_CPU_FEATURES"),
        ("MINIGRAD_PRINT_PASSES", "1", "MINIGRAD_PRINT_PASSES is set"),
    ],
)
def test_settings_that_make_programs_slow(variable, value, problem, monkeypatch):
    assert not any(variable in line for line in doctor.of_settings(os.environ))
    monkeypatch.setenv(variable, value)
    assert any(problem in line and variable in line for line in doctor.of_settings(os.environ))


@pytest.mark.parametrize("folder, size, problem", [
    ("kernels", "256", None), ("kernels", "0", "MINIGRAD_CACHE_SIZE is 0"),
    ("kernels", "lots", "wanted a number of megabytes"),
    ("file", "256", "is not a folder; set MINIGRAD_CACHE_DIR"), ("file/kernels", "256", "is not a folder"),
    ("~no such user/kernels", "256", "kernels are not kept: no home folder"),
])  # fmt: skip
def test_a_cache_that_cannot_be_used(folder, size, problem, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIGRAD_CACHE_DIR", folder if folder[0] == "~" else str(tmp_path / folder))
    monkeypatch.setenv("MINIGRAD_CACHE_SIZE", size)
    problems = [*doctor.of_cache()]
    assert problems == [] if problem is None else len(problems) == 1 and problem in problems[0]


def test_a_cache_that_keeps_nothing(measured, monkeypatch):
    monkeypatch.setattr(cache, "read", lambda key: None)
    assert "cannot be read back" in next(doctor.of_cache())


def test_a_package_that_is_too_old(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda name: ["numpy>=99", "rich>=1; extra == 'cli'", "absent>=2"])
    lines = [*doctor.of_versions()]
    assert lines[0].endswith("is installed, wanted >=99: pip install 'numpy>=99'") and lines[1].startswith(
        "absent is not"
    )
    assert doctor.extras() == ["cli"]


def test_cores_and_caches_are_told(tmp_path):
    found = Machine(frozenset({0, 4}), (frozenset({0, 4}),), 1.5, 1, 4, 2, True, None)
    text = doctor.cores(found)
    assert text.startswith("1 to use; 2 hyper-threads of 1 core") and "quota is 1.5" in text and "rank 1 of 4" in text
    index = tmp_path / "sys/devices/system/cpu/cpu0/cache/index0"
    index.mkdir(parents=True)
    for name, content in {"level": "2", "type": "Unified", "size": "2048K", "shared_cpu_list": "0,4"}.items():
        (index / name).write_text(content)
    assert doctor.caches(found, tmp_path) == "L2 2048K for 2" and doctor.caches(ALONE, tmp_path / "none") == "unknown"


def test_no_environment_ends_in_a_traceback(tmp_path):
    """No kernel could be compiled: LLVM ends the process when it reads such features."""
    environ = {"NUMBA_CPU_FEATURES": "nonsense", "OMP_NUM_THREADS": "-", "MINIGRAD_CACHE_DIR": "/dev/null"}
    command = [sys.executable, "-m", "minigrad", "doctor"]
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == "" and done.stdout.count("\nmend: ") == 3, done
    assert "not measured: no kernel can be compiled" in done.stdout
