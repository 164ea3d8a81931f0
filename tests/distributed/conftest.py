import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def of_mpich(name: str) -> str | None:
    """A file of the wheel `mpich`."""
    try:
        return next((str(path.locate().resolve()) for path in files("mpich") or () if path.name == name), None)
    except PackageNotFoundError:
        return None


@pytest.fixture(scope="session")
def on_mpi():
    """The words before a command that let it run on so many ranks, and the environment in which it finds MPI."""
    pytest.importorskip("mpi4py")
    mpiexec = of_mpich("mpiexec") or shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("there is no mpiexec")
    library = of_mpich("libmpi.so.12")
    environment = {**os.environ, **({"MPI4PY_LIBMPI": library} if library else {})}  # mpi4py looks in sys.prefix alone
    return lambda ranks: [mpiexec, "-n", str(ranks), sys.executable], environment


@pytest.fixture(scope="session")
def on_ranks(on_mpi):
    """Runs a script of this folder on so many ranks, of a thread each."""
    launcher, environment = on_mpi

    def run(ranks: int, script: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess:
        command = [*launcher(ranks), str(HERE / script), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)

    return run
