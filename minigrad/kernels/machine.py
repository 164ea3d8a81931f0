"""The part of a machine that this process may use: its cores, and how many threads to start on them.

It is not the board that counts but the affinity mask, the quotas of control groups (a container's), and the other ranks
of a job that were started on the same machine. Linux tells all of that in files, and launchers in variables; elsewhere
there are as many cores as processors. Hyper-threads of one core share its vector units: a thread a core is the default.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")
MOST = 1024  # threads
RANKS = (  # how many ranks a launcher has started on this machine, and which of them this is
    ("MPI_LOCALNRANKS", "MPI_LOCALRANKID"),  # MPICH and its kin
    ("OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),  # Open MPI
    ("MV2_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),  # MVAPICH
    ("PALS_LOCAL_SIZE", "PALS_LOCAL_RANKID"),  # Cray
    ("LOCAL_WORLD_SIZE", "LOCAL_RANK"),  # torchrun
    ("SLURM_STEP_TASKS_PER_NODE", "SLURM_LOCALID"),  # srun; the last, as it may have started the daemons of another one
)


class Machine(NamedTuple):
    """cpus: processors that this process may run on. cores: the same, by physical core, those of a package together.
    quota: processors' worth of time that a control group allows, or None. rank, ranks: of a job on this machine.
    sharing: ranks, this one included, that may use the same processors; pinned: the launcher has divided them.
    asked: $OMP_NUM_THREADS, or None.
    """

    cpus: frozenset[int]
    cores: tuple[frozenset[int], ...]
    quota: float | None
    rank: int
    ranks: int
    sharing: int
    pinned: bool
    asked: int | None

    @property
    def usable(self) -> int:
        """Cores for this process, at least 1."""
        usable = len(self.cores) // self.sharing
        if self.quota is not None:
            usable = min(usable, int(self.quota / self.ranks))
        return max(1, usable)

    @property
    def threads(self) -> int:
        return self.asked or min(self.usable, MOST)

    @property
    def place(self) -> frozenset[int]:
        """The processors to pin this rank to: its part of the cores if the launcher has divided nothing, else all."""
        if self.pinned or self.ranks > len(self.cores):
            return self.cpus
        first, last = [len(self.cores) * k // self.ranks for k in (self.rank, self.rank + 1)]
        return frozenset[int]().union(*self.cores[first:last])


def found(root: Path = ROOT, environ: Mapping[str, str] = os.environ, cpus: frozenset[int] | None = None) -> Machine:
    """This machine, or that of another tree of files, environment and affinity mask."""
    if cpus is None:
        cpus = affinity()
    rank, ranks, variable = local_rank(environ)
    whole = divisible(cpus, variable, root) if variable else cpus
    sharing = max(1, round(ranks * len(cpus) / len(whole)))
    return Machine(
        cpus, cores_of(cpus, root), quota_of(root), rank, ranks, sharing, cpus < whole, asked_threads(environ)
    )


def affinity() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def pin() -> None:
    """Keep this process, a rank of several on its machine, to its part of the cores: all its threads, as far as the
    launcher has not pinned them, and the number of BLAS's."""
    import threadpoolctl  # late, as who is no rank need not load it

    machine = found()
    if machine.ranks > 1:
        threadpoolctl.threadpool_limits(machine.threads)
    if machine.place != machine.cpus:
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.sched_setaffinity(int(thread), machine.place)


def stopped_ranks(variables: Iterable[str], root: Path = ROOT) -> list[int]:
    """Ranks on this machine whose process is stopped, as by SIGSTOP: children of the launcher that is our own parent.

    variables: in which it may have told each its rank.
    """
    found = []
    for process in (root / "proc").glob("[0-9]*"):
        status = text_of(process / "status")
        if field(status, "State") == "T" and field(status, "PPid") == str(os.getppid()):
            told = re.search(rf"(?:^|\0)(?:{'|'.join(variables)})=(\d+)", text_of(process / "environ"))
            found += [int(told[1])] if told else []
    return found


def asked_threads(environ: Mapping[str, str]) -> int | None:
    """$OMP_NUM_THREADS: "4", or of nested levels "4,2"."""
    text = environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(text) if re.fullmatch(r"\d{1,9}", text) and 1 <= int(text) <= MOST else None


def local_rank(environ: Mapping[str, str]) -> tuple[int, int, str]:
    """(rank, how many, the variable with the rank) among the ranks that were started on this machine."""
    for size, rank in RANKS:
        with contextlib.suppress(KeyError, ValueError, IndexError):
            sizes = [
                int(number)
                for number, _, times in re.findall(r"(\d+)(\(x(\d+)\))?", environ[size])
                for _ in range(int(times or 1))
            ]  # srun's is of every machine: 5,4(x3)
            k, n = int(environ[rank]), sizes[int(environ["SLURM_NODEID"]) if len(sizes) > 1 else 0]
            if 0 <= k < n:
                return k, n, rank
    return 0, 1, ""


def cores_of(cpus: frozenset[int], root: Path) -> tuple[frozenset[int], ...]:
    groups, left = [], set(cpus)
    while left:
        topology = root / f"sys/devices/system/cpu/cpu{min(left)}/topology"
        core = {min(left)} | listed(text_of(topology / "thread_siblings_list")) & left
        groups.append((text_of(topology / "physical_package_id"), min(left), frozenset(core)))
        left -= core
    return tuple(core for *_, core in sorted(groups, key=lambda group: group[:2]))


def divisible(cpus: frozenset[int], variable: str, root: Path) -> frozenset[int]:
    """The processors that the launcher of this rank could have divided: those that it may run on itself (the first
    ancestor without the rank's variable is the launcher), as far as they are there and of our control group."""
    process, whole = "self", frozenset[int]()
    while status := text_of(root / f"proc/{process}/status"):
        if f"{variable}=" not in text_of(root / f"proc/{process}/environ"):
            whole = listed(field(status, "Cpus_allowed_list"))
            break
        process = field(status, "PPid")
    there = text_of(root / "sys/devices/system/cpu/online")  # a mask may have what could be plugged in
    for text in (there, next(controlled(root, "cpuset", "cpuset.cpus.effective", "cpuset.effective_cpus"), "")):
        whole &= listed(text) or whole
    return whole | cpus


def quota_of(root: Path) -> float | None:
    quotas = []
    for text in controlled(root, "cpu", "cpu.max", "cpu.cfs_quota_us cpu.cfs_period_us"):
        with contextlib.suppress(ValueError, ZeroDivisionError):
            time, period = map(int, text.split())  # "max" of version 2, -1 of version 1: no limit
            quotas += [time / period] if time > 0 else []
    return min(quotas, default=None)


def controlled(root: Path, controller: str, unified: str, separate: str) -> Iterator[str]:
    """What files say of our control group and of those that it lies in, from the inner one outwards. unified, separate:
    the files' names in versions 2 and 1 of control groups; of several, what they say side by side."""
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            mounted = root / "sys/fs/cgroup" / controllers
            inner = mounted / path.lstrip("/")
            for group in (inner, *inner.parents):
                texts = [text_of(group / name) for name in (separate if controllers else unified).split()]
                if all(texts):
                    yield " ".join(texts)
                if group == mounted:
                    break


def listed(text: str) -> frozenset[int]:
    """The numbers of a text such as 0-3,8."""
    ranges = [list(map(int, part.split("-"))) for part in re.findall(r"\d+(?:-\d+)?", text)]
    return frozenset(k for first, *last in ranges for k in range(first, (last or [first])[0] + 1))


def field(status: str, name: str) -> str:
    found = re.search(rf"^{name}:\s*(\S+)", status, re.M)
    return found[1] if found else ""


def text_of(path: Path) -> str:
    """What a file says; nothing if it is not there or not for us."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
