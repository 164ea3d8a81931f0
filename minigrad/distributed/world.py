"""The ranks, and how they meet: MPI's collective operations, waited for with patience that ends.

A rank that is killed takes the others with it: the launcher sees to that. One that raises calls MPI's Abort (`tell` and
`abort`). One that hangs is missed by the others, in `wait`: between two meetings all ranks do the same work, so that
none should wait much longer for another than it has worked itself. Of ranks on the same machine the system tells
whether they are stopped, which no work does to a process.
"""

import hashlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, NoReturn

import numpy as np

from minigrad import tree
from minigrad.arguments import checked
from minigrad.kernels import machine
from minigrad.tensor import Tensor, as_array

__all__ = ["all_reduce", "rank", "size"]
# How launchers tell a process that it is one of several: Hydra (MPICH, Intel MPI; Slurm's PMI), Open MPI, MVAPICH.
LAUNCHERS = "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"
PMIX = "PMIX_RANK"  # set by others, srun say, whatever their number
RANK_OF = *[name.replace("SIZE", "RANK") for name in LAUNCHERS], PMIX
# Seconds of waiting: in the first steps, which compile; later, at least; and as a multiple of the work before.
START, PATIENCE, TIMES = 300.0, 30.0, 3
SPINS = 200  # looks at a request before a rank sleeps between them
NAP = 5e-5
LOOK, LOOKS = 1.0, 5  # seconds of waiting between looks at the other processes, of which so many find one stopped


class Meetings:
    """When this rank last met the others, and how many steps they have done together."""

    last, steps = time.monotonic(), 0


def launched() -> bool:
    """Whether this process is one of several."""
    several = any(os.environ.get(name, "1") not in ("", "0", "1") for name in LAUNCHERS)
    return several or PMIX in os.environ or "mpi4py.MPI" in sys.modules


@cache
def world():
    """MPI's communicator of all ranks, each of which keeps to its part of its machine's cores."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter where there is no library of MPI's
        text = f"{error}".splitlines()[0]
        raise ImportError(f"{text}; several processes need MPI: pip install 'minigrad-rnn[distributed]'") from error
    before = sys.excepthook

    def ended(kind, error, trace) -> None:
        tell(lambda: before(kind, error, trace))
        abort(1)

    if MPI.COMM_WORLD.size > 1:
        machine.pin()
        sys.excepthook = ended
    return MPI.COMM_WORLD


def size() -> int:
    """How many ranks there are.

    Examples
    --------
    >>> mg.distributed.size()
    1
    """
    return world().size if launched() else 1


def rank() -> int:
    """The number of this process among them, from 0.

    Examples
    --------
    >>> mg.distributed.rank()
    0
    """
    return world().rank if launched() else 0


def mute() -> None:
    """Let rank 0 alone print, until `tell`."""
    if rank():
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def tell(say: Callable[[], object]) -> None:
    """Let say() tell why this rank ends: rank 0 at once, others after a moment, in which rank 0, if the same has
    happened there, tells it and ends them."""
    if rank():
        time.sleep(1)
        sys.stderr = sys.__stderr__
        print(f"rank {rank()}: ", end="", file=sys.stderr)
    say()


def abort(code: int) -> None:
    """End all ranks."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    time.sleep(0.5)  # the launcher drops what it has not passed on yet
    world().Abort(code)
    os._exit(code)  # MPICH's comes back before it ends the process


def leave(message: str, code: int) -> NoReturn:
    """End the program, and all ranks with it, with a line on stderr."""
    if world.cache_info().currsize and size() > 1:
        tell(lambda: print(message, file=sys.stderr))
        abort(code)
    print(message, file=sys.stderr)
    sys.exit(code)


class RankError(RuntimeError):
    """Another rank has not come where all have to meet, or has not what all should have."""


def wait(request, what: str, patience: float = 0.0) -> None:
    """Wait until all ranks have come to a collective operation, and it is done. Raises RankError if one does not.

    patience: seconds, if they are to be more than the work before tells.
    """
    begin = looked = time.monotonic()
    own = begin - Meetings.last
    patience = max(patience, PATIENCE, TIMES * own) if Meetings.steps > 1 else START
    spins, stopped = 0, dict[int, int]()
    while not request.Test():
        spins += 1
        if spins < SPINS:
            os.sched_yield() if hasattr(os, "sched_yield") else time.sleep(0)
            continue
        time.sleep(NAP)
        now = time.monotonic()
        if now - looked > LOOK:
            # looks are counted, not seconds: all ranks may be stopped together, and go on one after another
            looked, stopped = now, {k: stopped.get(k, 0) + 1 for k in machine.stopped_ranks(RANK_OF)}
            if LOOKS in stopped.values():
                raise RankError(f"rank {max(stopped, key=stopped.__getitem__)} is stopped: {what} was waited for")
        if now - begin > patience:
            raise RankError(
                f"a rank hangs, or is much slower than this one: {what} was waited for {patience:.0f} s, after "
                f"{own:.1f} s of work"
            )
    Meetings.last = time.monotonic()


def reducing(
    array: np.ndarray | float, op: str = "sum", what: str = "a sum", patience: float = 0.0
) -> Callable[[], np.ndarray]:
    """Begin to add up an array over the ranks, or what op says; what is returned waits for the result."""
    from mpi4py import MPI

    result = np.array(array, order="C")
    result = result.astype(np.int64) if result.dtype == bool else result
    request = world().Iallreduce(MPI.IN_PLACE, result, {"sum": MPI.SUM, "max": MPI.MAX, "min": MPI.MIN}[op])

    def finish() -> np.ndarray:
        wait(request, what, patience)
        return result

    return finish


def reduced(*given: Any, **options: Any) -> np.ndarray:
    """As `reducing`, and waits."""
    return reducing(*given, **options)()


def broadcast(value: Any, what: str = "what rank 0 has") -> Any:
    """Rank 0's value: anything that can be pickled."""
    data = np.frombuffer(pickle.dumps(value) if rank() == 0 else b"", np.uint8)
    count = np.array(len(data))
    wait(world().Ibcast(count), what)
    data = data.copy() if rank() == 0 else np.empty(int(count), np.uint8)
    wait(world().Ibcast(data), what)
    # pickle makes a dtype of its own for an array, where the tape looks for NumPy's one
    return value if rank() == 0 else tree.map(of_numpy, pickle.loads(data.tobytes()))


def of_numpy(x: Any) -> Any:
    return x.view(np.dtype(x.dtype.str)) if isinstance(x, np.ndarray) and x.dtype.names is None else x


@checked
def all_reduce(x: Any, op: Literal["sum", "max", "min"] = "sum") -> Any:
    """The sum of x over the ranks, which all have to call this.

    Parameters
    ----------
    x
        A tensor without a gradient, an array or a number, of the same shape and dtype on all ranks; booleans are
        counted.
    op
        "sum", "max" or "min".

    Returns
    -------
    A tensor, an array or a number; x itself where there is one rank.

    Raises
    ------
    TypeError
        For what is neither.
    ValueError
        For a tensor on the tape, through which no gradient would flow.

    Examples
    --------
    >>> mg.distributed.all_reduce(3)
    3
    """
    if isinstance(x, Tensor) and x.requires_grad:
        raise ValueError("all_reduce: got a tensor on the tape, through which no gradient flows; detach() it")
    array = np.asarray(x) if isinstance(x, (int, float)) else as_array(x)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"all_reduce: got {array.dtype}, wanted numbers")
    if size() == 1:
        return x
    result = reduced(array, op)
    if isinstance(x, Tensor):
        return Tensor(result)
    return result if isinstance(x, np.ndarray) else result.item()


def refuse_apart(arrays: Mapping[str, np.ndarray], step: int) -> None:
    """Raise RankError, naming it, if an array is not bit for bit the same on all ranks."""
    digests = [hashlib.blake2b(array.tobytes(), digest_size=8).digest() for array in arrays.values()]
    own = np.frombuffer(b"".join(digests), np.uint64)
    least, most = (reduced(own, op, "the comparison of the weights") for op in ("min", "max"))
    if apart := [name for name, a, b in zip(arrays, least, most) if a != b]:
        raise RankError(
            f"after step {step} the ranks have different values of {', '.join(apart[:3])}"
            f"{f' and {len(apart) - 3} more' if len(apart) > 3 else ''}: something else than gradients has changed "
            "them, or it is not the same on all ranks (statistics of a batch, say, or random numbers that a rank draws "
            "on its own)"
        )
