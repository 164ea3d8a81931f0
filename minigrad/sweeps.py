"""Many runs of one function, one for each combination of its options: on processes, or where an executor runs them."""

import hashlib
import itertools
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from minigrad import disk
from minigrad.arguments import checked
from minigrad.kernels import machine, threads

__all__ = ["kept", "processes", "sweep"]

RESULT = "result.json"
SUBMITTED = 1000  # runs at most that an executor has at a time: a queue of any length costs the driver no memory
ALONE = threading.Lock()  # the default generator and the number of threads are those of the process


@checked
def sweep(
    run: Callable[..., dict],
    grid: Mapping[str, Sequence],
    out: str | Path,
    executor: Executor | None = None,
    finished: Callable[[dict], Any] | None = None,
) -> list[dict]:
    """Call run(folder, **options) for every combination of the options in grid, and keep what it returns.

    run: a function that can be pickled (of a module, or `functools.partial` of one). It gets a folder of its own under
    out, where it may leave what lets it go on if it is called again after it was killed, and returns figures by name:
    what JSON can hold. It runs with one thread, and one run at a time in a process.
    grid: the values of each option: numbers, strings, booleans, None or paths.
    out: a folder. What has been run there before is not run again, so that a sweep which was stopped goes on with what
    is missing, and a second one adds to the first. A run is the same if its options are, and the contents of files that
    they name (`file.py:Class` too).
    executor: any `concurrent.futures.Executor`, that of a Dask client (`Client(address).get_executor(pure=False)`) for
    one; else processes, as many as there are cores. It is not shut down.
    finished: called with each row as soon as it is there.

    Returns a row a combination, in the order of grid: `folder` (its name), options, and figures, or `error`, a line,
    for a run that raised; such a run is tried again next time.

    Raises RuntimeError if workers or the scheduler are lost (what has finished is kept), ValueError or TypeError for a
    grid that is none, or a folder with something else in it.

    Example:
        >>> import tempfile, concurrent.futures, minigrad as mg
        >>> def run(folder, lr, seed):
        ...     return {"loss": lr * (seed + 1)}
        >>> with tempfile.TemporaryDirectory() as out:
        ...     with concurrent.futures.ThreadPoolExecutor() as pool:
        ...         rows = mg.sweep(run, {"lr": [0.5, 1.0], "seed": range(2)}, out, pool)
        >>> [row["loss"] for row in rows]
        [0.5, 1.0, 1.0, 2.0]
    """
    out = Path(out)
    done: dict[str, dict] = {}

    def take(name: str, row: dict) -> None:
        done[name] = row
        if finished:
            finished(row)

    wanted = {folder_of(options): options for options in combinations(grid)}
    for name in wanted:
        if (out / name / RESULT).exists():
            take(name, row_of(name, *read(out / name / RESULT)))
    missing = iter([(name, options) for name, options in wanted.items() if name not in done])
    with processes() if executor is None else nullcontext(executor) as pool:
        for name, row in results(run, missing, out, pool):
            take(name, row)
    return [done[name] for name in wanted]


def combinations(grid: Mapping[str, Sequence]) -> Iterator[dict]:
    """The options of every run, the last option varying fastest."""
    for name, values in grid.items():
        if not isinstance(name, str):
            raise TypeError(f"sweep: an option is named {name!r:.60}; wanted a string")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ValueError(f"sweep: the values of {name!r:.60} are {values!r:.60}; wanted a list of at least one")
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values))


def folder_of(options: dict) -> str:
    """The name of a run's folder: a digest of its options and of the files that they name."""
    named = {name: [written(value), contents(value)] for name, value in sorted(options.items())}
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]


def written(value):
    if isinstance(value, Path):
        return str(value)
    value = value.item() if isinstance(value, np.generic) else value
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(f"sweep: got an option of {type(value).__name__}; wanted a number, a string, a path or None")
    return value


def contents(value) -> str:
    """A digest of the file that an option names, `file.py:Class` too; empty for what names none."""
    for path in [value, value.rpartition(":")[0]] if isinstance(value, str) else [value]:
        if isinstance(path, (str, Path)) and path and os.path.isfile(path):
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def row_of(folder: str, options: dict, figures: dict) -> dict:
    return {"folder": folder, **{name: written(value) for name, value in options.items()}, **figures}


def read(path: Path) -> tuple[dict, dict]:
    """(options, figures) of a run that has finished."""
    try:
        options, figures = json.loads(disk.read_text(path))
        return dict(options), dict(figures)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not the result of a run; remove it, and the run is done again") from error


def kept(out: str | Path) -> list[dict]:
    """The rows of all runs that have finished in a folder, those of earlier sweeps too, in the order of their options.

    Those of a file that has changed since (a cell of one's own, say) are not among them.
    """
    found = [(path.parent.name, *read(path)) for path in Path(out).glob(f"*/{RESULT}")]
    found = [(folder, options, figures) for folder, options, figures in found if folder_of(options) == folder]
    return [row_of(*each) for each in sorted(found, key=lambda each: json.dumps(each[1]))]


def results(run: Callable, missing: Iterator, out: Path, pool: Executor) -> Iterator[tuple[str, dict]]:
    """(folder's name, row) of every run as it finishes, which is then on disk, too."""
    ended: SimpleQueue = SimpleQueue()
    running: dict[Future, tuple[str, dict]] = {}
    try:
        while True:
            for name, options in itertools.islice(missing, SUBMITTED - len(running)):
                future = pool.submit(alone, run, out / name, options)
                running[future] = name, options
                future.add_done_callback(ended.put)
            if not running:
                return
            future = ended.get()
            name, options = running.pop(future)
            yield name, keep(future, out / name, options)
    except (BrokenExecutor, CancelledError) as error:
        lost = "a process was killed" if isinstance(error, BrokenExecutor) else "the scheduler is gone"
        raise RuntimeError(
            f"{lost}; what has finished is kept in {out}: the same sweep goes on with the rest"
        ) from error
    finally:
        for future in running:
            future.cancel()


def keep(future: Future, folder: Path, options: dict) -> dict:
    """The row of a run that has ended, written to its folder."""
    try:
        figures = future.result()
        text = json.dumps([options, figures], default=written)
    except (BrokenExecutor, CancelledError):
        raise
    except Exception as error:  # whatever the run raises is told, and the others go on
        return row_of(folder.name, options, {"error": f"{type(error).__name__}: {error}".splitlines()[0]})
    folder.mkdir(parents=True, exist_ok=True)
    disk.replace(folder / RESULT, text.encode())
    return row_of(folder.name, options, figures)


def alone(run: Callable, folder: Path, options: dict) -> dict:
    """One run, in the process that does it."""
    from threadpoolctl import threadpool_limits  # late: only who sweeps needs it

    with ALONE, threadpool_limits(1):  # BLAS has threads of its own
        count = threads.count
        threads.set_num_threads(1)
        try:
            return run(folder, **options)
        except (SystemExit, KeyboardInterrupt):
            if OWN:
                os._exit(1)  # asked to stop: it would take the next run that is queued
            raise
        finally:
            threads.set_num_threads(count)


OWN = False  # whether this is one of `processes`


def become_own() -> None:
    global OWN
    OWN = True


@contextmanager
def processes(count: int | None = None) -> Iterator[Executor]:
    """As many as there are cores. If the sweep is interrupted, they are told to stop, and waited for."""
    others = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count or machine.found().usable, spawn, initializer=become_own)
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
