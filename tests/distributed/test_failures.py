"""Runs of the command on two ranks that are killed, at any moment, stopped or interrupted, while they train: all end
within seconds, no checkpoint is lost, and the run goes on bit for bit as if nothing had happened.

MPI's own beginning and end wait for all ranks with a patience that does not end: one that is stopped before the first
step or after the last is not missed."""

import csv
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import numpy as np
import pytest

from minigrad import io

pytestmark = pytest.mark.heavy
FILES = "checkpoint.safetensors", "weights.safetensors"
SECONDS = 10.0  # in which all has to end
STEPS = 80
OPTIONS = (
    "--hidden", "8", "--embedding", "4", "--length", "10", "--batch", "9", "--dropout", "0.2", "--every", "8",
    "--steps", str(STEPS),
)  # fmt: skip


def step_of(folder) -> int:
    """Of the checkpoint; -1 where there is none."""
    if not (folder / FILES[0]).exists():
        return -1
    return io.load(folder / FILES[0])[1]["checkpoint"]["run"]["step"]


def log_of(folder) -> list[dict]:
    """The log, but for what depends on the clock."""
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if "second" not in k} for row in csv.DictReader(file)]


def equal(a, b) -> bool:
    """Whether two runs have the same files, and the same bits in them."""
    if {path.name for path in a.iterdir()} != {path.name for path in b.iterdir()}:
        return False
    for name in FILES:
        (one, _), (other, _) = (io.load(folder / name) for folder in (a, b))
        if one.keys() != other.keys() or any(one[key].tobytes() != other[key].tobytes() for key in one):
            return False
    return log_of(a) == log_of(b)


class Runs:
    """Launches of one run of `minigrad train charlm`, each of which goes on where the one before was ended."""

    def __init__(self, on_mpi, folder):
        self.psutil = pytest.importorskip("psutil")
        self.launcher, self.environment = on_mpi
        self.folder, self.out, self.whole = folder, folder / "run", folder / "whole"
        letters = np.random.default_rng(0).choice(list("abcd "), 4000)
        (folder / "text.txt").write_text("".join(letters))
        begin = time.monotonic()
        process = self.start(self.whole)
        told = process.communicate(timeout=600)
        assert process.returncode == 0, told
        self.seconds = time.monotonic() - begin
        self.draws, self.completed = np.random.default_rng(1), 0

    def start(self, out, ranks: int = 2) -> subprocess.Popen:
        how = ["--resume"] if step_of(out) >= 0 else ["--text", str(self.folder / "text.txt"), *OPTIONS]
        words = [*self.launcher(ranks), "-m", "minigrad", "train", "charlm", *how, "--out", str(out)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, env=self.environment, start_new_session=True, **pipes)

    def process_of(self, launched, rank: int):
        """The process of a rank; the launcher, if it has ended."""
        while launched.poll() is None:
            for process in self.psutil.Process(launched.pid).children(recursive=True):
                with suppress(self.psutil.Error):
                    if process.environ().get("PMI_RANK") == str(rank):
                        return process
            time.sleep(0.001)
        return launched

    def signalled(self, rank: int | None, number: int, within: float, trains: bool):
        """Start, or go on; send a signal to a rank, or to the launcher, at a random moment; trains: between two steps.

        Returns (exit code, stdout, stderr, seconds until the end), or None if the run was done before.
        """
        before = step_of(self.out)
        launched = self.start(self.out)
        while trains and not (launched.stdout.readline() or "step").startswith("step"):
            pass
        target = launched if rank is None else self.process_of(launched, rank)
        time.sleep(self.draws.uniform(0, self.seconds / (3 if trains else 1)))
        sent = time.monotonic()
        with suppress(self.psutil.NoSuchProcess):
            target.send_signal(number)
        try:
            out, err = launched.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            for process in self.psutil.Process(launched.pid).children(recursive=True):
                process.kill()
            launched.kill()
            if not trains or step_of(self.out) < STEPS:
                raise
        seconds = time.monotonic() - sent
        assert before <= step_of(self.out)
        if launched.wait() and (not trains or step_of(self.out) < STEPS):
            return launched.returncode, out, err, seconds
        self.finish()
        return None

    def check(self) -> None:
        """A run that is done is that which nothing has ended; another begins."""
        assert equal(self.out, self.whole)
        shutil.rmtree(self.out)
        self.completed += 1

    def finish(self) -> None:
        launched = self.start(self.out)
        told = launched.communicate(timeout=600)
        assert launched.returncode == 0, told
        self.check()


@pytest.fixture
def runs(on_mpi, tmp_path):
    return Runs(on_mpi, tmp_path)


def endings(runs, count: int, rank: int | None, number: int, within: float = SECONDS, trains: bool = True):
    """What `count` launches told that a signal has ended."""
    found: list[tuple] = []
    while len(found) < count:
        told = runs.signalled(rank, number, within, trains)
        found += [told] if told else []
    runs.finish()
    longest = max(seconds for *_, seconds in found)
    print(f"{count} of signal {number} to rank {rank}: at most {longest:.1f} s, {runs.completed} runs completed")
    return found


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed(runs, rank):
    for code, out, err, _ in endings(runs, 50, rank, signal.SIGKILL, trains=False):
        assert code, (out, err)
        assert "(signal 9)" in out + err, (out, err)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_stopped(runs, rank):
    for code, _, err, _ in endings(runs, 5, rank, signal.SIGSTOP, within=15):
        assert code and f"rank {rank} is stopped: " in err and err.count("is stopped") == 1, (code, err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_launcher_that_is_interrupted(runs, number):
    for code, _, err, _ in endings(runs, 10, None, number):
        assert code == 128 + number and err.startswith("stopped after step ") and err.count("\n") == 1, (code, err)
