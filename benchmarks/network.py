"""A network of a given delay and bandwidth between network namespaces of this machine, and all-reduces of MPI over it.

Each namespace has a TUN device, `net0`, whose rate `tc` limits; a process carries every packet to the device that it is
for, after the delay (`netem` would do that in the kernel, where it has it). For Linux, as root.
"""

import collections
import contextlib
import fcntl
import importlib.metadata
import json
import multiprocessing
import os
import select
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TUNSETIFF, TUN_WITHOUT_HEADER = 0x400454CA, 0x1001
BYTES = 32_000  # of a packet at most: large ones, as a process carries them
NAMES = [f"scale{k}" for k in range(16)]
LAUNCHER = """#!/bin/sh
# What mpiexec calls for ssh: [OPTIONS] ADDRESS COMMAND...
while [ "${1#-}" != "$1" ]; do shift; done
address=$1; shift
case $address in
    127.*) exec /bin/sh -c "$*" ;;
    *) exec ip netns exec scale$((${address##*.} - 1)) /bin/sh -c "$*" ;;
esac
"""


def run(*words) -> None:
    subprocess.run([str(word) for word in words], check=True)


def tap(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), TUN_WITHOUT_HEADER))
    return descriptor


def carry(taps: list[int], delay: float) -> None:
    """Give each packet, read from one device, to that of its address, `delay` seconds later."""
    with contextlib.suppress(OSError):  # it is to be on time
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    late: collections.deque = collections.deque()
    while True:
        left = max(0.0, late[0][0] - time.monotonic()) if late else None
        for descriptor in select.select(taps, [], [], left)[0]:
            with contextlib.suppress(BlockingIOError):
                for _ in range(16):
                    packet = os.read(descriptor, 1 << 16)
                    late.append((time.monotonic() + delay, packet))
        while late and late[0][0] <= time.monotonic():
            packet = late.popleft()[1]
            if packet[0] >> 4 == 4 and 1 <= packet[19] <= len(taps):
                with contextlib.suppress(BlockingIOError):
                    os.write(taps[packet[19] - 1], packet)


@contextlib.contextmanager
def network(n: int, bits: float, delay: float) -> Iterator[None]:
    """n namespaces; what each sends is limited to `bits` a second, and is `delay` seconds on its way."""
    taps = []
    try:
        for k, name in enumerate(NAMES[:n]):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
            run("ip", "netns", "add", name)
            taps.append(tap(f"tap{name}"))
            run("ip", "link", "set", f"tap{name}", "netns", name, "name", "net0")
            run("ip", "-n", name, "addr", "add", f"10.77.0.{k + 1}/24", "dev", "net0")
            run("ip", "-n", name, "link", "set", "net0", "mtu", BYTES, "txqueuelen", 10000, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
            limit = ("rate", f"{bits:.0f}bit", "burst", 2 * BYTES, "limit", 1 << 26)
            run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "net0", "root", "tbf", *limit)
        carrier = multiprocessing.get_context("fork").Process(target=carry, args=(taps, delay), daemon=True)
        carrier.start()
        yield
        carrier.terminate()
        carrier.join()
    finally:
        for descriptor in taps:
            os.close(descriptor)
        for name in NAMES[:n]:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def all_reduces(n: int, sizes: list[int], times: int, apart: bool) -> dict[int, float]:
    """Seconds of all-reduces of so many float32 by n ranks over TCP: on this machine's loopback, or each rank in a
    namespace."""
    files = {file.name: file.locate() for file in importlib.metadata.files("mpich") or ()}
    environ = {**os.environ, "MPI4PY_LIBMPI": str(files["libmpi.so.12"]), "UCX_TLS": "tcp,self"}
    with tempfile.TemporaryDirectory() as folder:
        hosts, launcher = Path(folder) / "hosts", Path(folder) / "launcher"
        hosts.write_text("".join(f"{'10.77' if apart else '127.0'}.0.{k + 1}:1\n" for k in range(n)))
        launcher.write_text(LAUNCHER)
        launcher.chmod(0o700)
        command = [files["mpiexec.hydra"], "-n", n, "-f", hosts, "-launcher", "ssh", "-launcher-exec", launcher]
        if apart:
            command = ["ip", "netns", "exec", NAMES[0], *command, "-iface", "net0"]
        command += [sys.executable, __file__, times, *sizes]
        done = subprocess.run([str(word) for word in command], env=environ, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(f"mpiexec ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return {int(size): seconds for size, seconds in json.loads(done.stdout).items()}


def rank(times: int, sizes: list[int]) -> None:
    """Print seconds, the least of so many times, of the sums that `minigrad.distributed` makes: bucket by bucket."""
    import numpy as np
    from mpi4py import MPI

    from minigrad.distributed.gradients import BUCKET
    from minigrad.kernels import machine

    machine.pin()
    with contextlib.suppress(OSError):  # or other programs are measured
        os.nice(-15)
    world, found = MPI.COMM_WORLD, {}
    for size in sizes:
        x, took = np.zeros(size, np.float32), []
        parts = [x[k : k + BUCKET // 4] for k in range(0, size, BUCKET // 4)]
        for _ in range(times if size > 1 << 16 else 8 * times):
            world.Barrier()
            start = time.perf_counter()
            MPI.Request.Waitall([world.Iallreduce(MPI.IN_PLACE, part, MPI.SUM) for part in parts])
            took.append(world.allreduce(time.perf_counter() - start, MPI.MAX))
        found[size] = min(took)
    if world.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    rank(int(sys.argv[1]), [int(word) for word in sys.argv[2:]])
