"""What a process may use of a machine, read from made-up machines: files in a temporary tree, and an environment."""

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minigrad.kernels import machine

HYDRA = {"MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "0"}


def tree(files: dict[str, str], root=None) -> Path:
    root = Path(root or tempfile.mkdtemp())
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def board(packages: int, cores: int, threads: int) -> dict[str, str]:
    """A machine that counts its processors as Linux does: first one of each core of every package, then their twins."""
    n = packages * cores
    files = {"sys/devices/system/cpu/online": f"0-{n * threads - 1}\n"}
    for k in range(n * threads):
        at = f"sys/devices/system/cpu/cpu{k}/topology"
        files[f"{at}/thread_siblings_list"] = ",".join(str(k % n + n * t) for t in range(threads)) + "\n"
        files[f"{at}/physical_package_id"] = f"{k % packages}\n"
    return files


def launched(cpus, by="0-1023") -> dict[str, str]:
    """A rank's process within a shell within the launcher's daemon, which may run on the processors `by`: of all that
    could be plugged in, or of a part."""
    environ = "\0".join(f"{name}=1" for _, name in machine.RANKS)
    mine = ",".join(map(str, sorted(cpus)))
    return {
        "proc/self/status": f"Name:\tpython\nPPid:\t12\nCpus_allowed_list:\t{mine}\n", "proc/self/environ": environ,
        "proc/12/status": f"Name:\tsh\nPPid:\t7\nCpus_allowed_list:\t{mine}\n", "proc/12/environ": environ,
        "proc/7/status": f"PPid:\t1\nCpus_allowed_list:\t{by}\n", "proc/7/environ": "HOME=/root",
    }  # fmt: skip


def ranks(k: int, n: int) -> dict[str, str]:
    return {"MPI_LOCALNRANKS": str(n), "MPI_LOCALRANKID": str(k)}


boards = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 2))


@given(boards, st.data())
def test_a_thread_a_core_of_those_in_the_mask(of, data):
    count = of[0] * of[1] * of[2]
    cpus = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    found = machine.found(tree(board(*of)), {}, frozenset(cpus))
    assert found.threads == len({k % (of[0] * of[1]) for k in cpus})
    assert sorted(itertools.chain(*found.cores)) == sorted(cpus) and found.place == cpus


@given(boards, st.integers(1, 10))
@example((2, 4, 2), 2)
def test_ranks_divide_the_machine_and_stay_what_they_are_when_pinned(of, n):
    """Each has cores of its own, of one package if it can be, and no fewer threads once it is pinned."""
    files, cpus = board(*of), frozenset(range(of[0] * of[1] * of[2]))
    root = tree(files | launched(cpus))
    each = [machine.found(root, ranks(k, n), cpus) for k in range(n)]
    cores = of[0] * of[1]
    assert all(m.threads == max(1, cores // n) for m in each)
    if n > cores:
        assert all(m.place == cpus for m in each)
        return
    assert sorted(itertools.chain(*[m.place for m in each])) == sorted(cpus)
    if n == of[0]:
        assert all(len({k % of[0] for k in m.place}) == 1 for m in each)
    for k, m in enumerate(each):
        pinned = machine.found(tree(files | launched(m.place)), ranks(k, n), m.place)
        assert (
            pinned.place == m.place
            and pinned.pinned == (n > 1)
            and m.threads <= pinned.threads <= len(m.place) // of[2]
        )


@pytest.mark.parametrize("cpus, by, threads", [
    ("0-7", "0-7", 2),  # nothing is pinned: 8 cores, 4 ranks
    ("0-1", "0-7", 2), ("3", "0-7", 1),  # pinned to a part each
    ("0-3", "0-7", 2),  # pinned to a package, in pairs
    ("0-3", "0-3", 1),  # started within a mask (taskset): it is not the launcher's
])  # fmt: skip
def test_what_the_launcher_has_pinned_is_told_from_what_it_was_started_with(cpus, by, threads):
    mask = machine.listed(cpus)
    found = machine.found(tree(board(1, 8, 1) | launched(mask, by)), ranks(0, 4), mask)
    assert (found.threads, found.pinned) == (threads, cpus != by)


def test_a_daemon_outside_of_our_control_group_has_not_pinned():
    """As srun's, where a control group holds the job to a part of the machine."""
    mask = frozenset(range(4))
    files = board(1, 64, 1) | launched(mask, "0-63")
    files |= {"proc/self/cgroup": "0::/job/step\n", "sys/fs/cgroup/job/cpuset.cpus.effective": "0-3\n"}
    slurm = {"SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_LOCALID": "1"}
    found = machine.found(tree(files), slurm, mask)
    assert (found.threads, found.pinned, found.place) == (2, False, {2, 3})


@pytest.mark.parametrize("files, quota", [
    ({"proc/self/cgroup": "0::/a/b\n", "a/b/cpu.max": "max 100000\n", "a/cpu.max": "250000 100000\n"}, 2.5),
    ({"proc/self/cgroup": "0::/\n", "cpu.max": "50000 100000\n"}, 0.5),
    ({"proc/self/cgroup": "0::/\n", "cpu.max": "max 100000\n"}, None),
    ({"proc/self/cgroup": "3:cpu,cpuacct:/docker/x\n0::/\n", "cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
      "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 3.0),  # of the host's path nothing is mounted in a container
    ({"proc/self/cgroup": "1:cpu:/\n", "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ({"proc/self/cgroup": "0::/../..\n", "cpu.max": "200000 0\n"}, None),
    ({"proc/self/cgroup": "0::/\n", "cpu.max": "a lot"}, None), ({}, None),
])  # fmt: skip
def test_quotas_of_both_versions_of_control_groups(files, quota):
    root = tree({name if name.startswith("proc") else f"sys/fs/cgroup/{name}": files[name] for name in files})
    found = machine.found(tree(board(1, 8, 1), root), {}, frozenset(range(8)))
    assert found.quota == quota and found.threads == max(1, int(8 if quota is None else quota))
    both = [machine.found(root, ranks(k, 2), frozenset(range(8))).threads for k in range(2)]
    assert sum(both) <= max(2, 8 if quota is None else quota)


@pytest.mark.parametrize("environ, wanted", [
    (HYDRA, (0, 2)), ({"OMPI_COMM_WORLD_LOCAL_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "3"}, (3, 4)),
    ({"SLURM_STEP_TASKS_PER_NODE": "5,4(x3)", "SLURM_LOCALID": "2", "SLURM_NODEID": "3"}, (2, 4)),
    ({"SLURM_STEP_TASKS_PER_NODE": "1", "SLURM_LOCALID": "0"} | HYDRA, (0, 2)),  # mpiexec within a job of Slurm's
    ({"MPI_LOCALNRANKS": "2"}, (0, 1)), ({"MPI_LOCALNRANKS": "two", "MPI_LOCALRANKID": "0"}, (0, 1)),
    ({"MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "5"}, (0, 1)), ({}, (0, 1)),
    ({"SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_LOCALID": "1", "SLURM_NODEID": "2"}, (0, 1)),
])  # fmt: skip
def test_launchers_say_how_many_ranks_a_machine_has(environ, wanted):
    assert machine.local_rank(environ)[:2] == wanted


@pytest.mark.parametrize("text, asked", [("3", 3), ("4,2", 4), ("0", None), ("-1", None), ("many", None), ("", None)])
def test_omp_num_threads_is_what_is_asked_for(text, asked):
    found = machine.found(tree(board(1, 2, 1)), {"OMP_NUM_THREADS": text}, frozenset({0, 1}))
    assert (found.asked, found.threads) == (asked, asked or 2)


def test_ranks_that_are_stopped_are_children_of_our_launcher():
    ours = os.getppid()
    processes = {
        11: ("T (stopped)", ours, "HOME=/root\0PMI_RANK=3\0PMI_SIZE=4"),
        12: ("t (tracing stop)", ours, "PMI_RANK=1"),  # a debugger
        13: ("R (running)", ours, "PMI_RANK=2"),
        14: ("T (stopped)", ours + 1, "PMI_RANK=2"),  # of another job
        15: ("T (stopped)", ours, "NOT_PMI_RANK=5"),
        16: ("T (stopped)", ours, "PMIX_RANK=10"),
    }
    files = {"proc/17/cmdline": ""}  # it has ended
    for k, (state, parent, environ) in processes.items():
        files[f"proc/{k}/status"] = f"Name:\tpython\nState:\t{state}\nPPid:\t{parent}\n"
        files[f"proc/{k}/environ"] = environ
    assert sorted(machine.stopped_ranks(["PMI_RANK", "PMIX_RANK"], tree(files))) == [3, 10]


def test_where_there_are_no_such_files_processors_count(tmp_path):
    assert machine.found(tmp_path, HYDRA, frozenset(range(6))).threads == 3


PINNED = """
import os, threading
from threadpoolctl import threadpool_info
from minigrad.kernels import machine
end = threading.Event()
threading.Thread(target=end.wait).start()
machine.pin()
masks = {frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")}
end.set()
print(*map(sorted, masks), {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes cannot be pinned here")
def test_a_rank_is_pinned_with_all_its_threads_and_those_of_blas():
    whole = machine.found()
    mine = whole._replace(rank=1, ranks=2, sharing=2, asked=None)
    environ = {**os.environ, "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"}
    environ.pop("OMP_NUM_THREADS", None)
    done = subprocess.run([sys.executable, "-c", PINNED], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"{sorted(mine.place)} { ({mine.threads}) }\n"
