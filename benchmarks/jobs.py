"""Whole jobs against PyTorch, PyTorch in bfloat16 and JAX: a training step, or what one consists of, float32.

    python benchmarks/jobs.py [--jobs mlp cnn] [--peers minigrad torch] [--rounds 5] [--seconds 1] [--busy] [--cpu]

Each peer works in a process of its own, a new one each round; for each job they take turns. A ratio is the peer's time
over ours: median (least..most) over the rounds. "minigrad" has the loss alone in `mg.jit`, "step" the whole step,
"eager" nothing, "rounded" the loss with products in bfloat16. --check: do losses and gradients agree? --cpu: one thread
each, and its CPU time in place of the clock, for a machine on which others work, too.
"""

import argparse
import importlib.util
import os
import statistics
import time
from contextlib import ExitStack

from cell_steps import STEPS, norms
from job_peers import JOBS, PEERS
from side_by_side import Worker, answer, busy_loop, seconds_per_call

PACKAGES = {"step": "minigrad", "eager": "minigrad", "rounded": "minigrad", "bfloat16": "torch"}


def work(task, peer, job, budget, alone):
    if alone:
        one_thread(peer)
    step = STEPS[job](peer) if job in STEPS else PEERS[peer](job)
    if step is None:
        return None
    if task == "check":
        return norms(step()) if job in STEPS else step()
    if alone:
        return seconds_per_call(step, budget, time.process_time)
    return seconds_per_call(step, budget)


def one_thread(peer) -> None:
    """JAX has its flags from the environment."""
    if PACKAGES.get(peer, peer) == "minigrad":
        import minigrad as mg

        mg.set_num_threads(1)
    elif peer in ("torch", "bfloat16"):
        import torch

        torch.set_num_threads(1)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def environment(options) -> dict[str, str]:
    if not options.cpu:
        return {}
    return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
            "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}  # fmt: skip


def compare(options) -> None:
    times: dict = {}
    for r in range(options.rounds):
        with ExitStack() as stack:
            workers = {p: stack.enter_context(Worker("--worker", **environment(options))) for p in options.peers}
            for job in options.jobs:
                for peer, worker in workers.items():
                    time.sleep(0.2)  # threads of the peer before stop spinning
                    found = worker.ask("time", peer, job, options.seconds, options.cpu)
                    if isinstance(found, str):
                        if r == 0:
                            print(f"{peer} failed on {job}: {found}", flush=True)
                    elif found is not None:
                        times.setdefault(job, {}).setdefault(peer, []).append(found)
                if r == options.rounds - 1:
                    show(job, times.get(job, {}), options.peers[0])


def show(job, by_peer, ours) -> None:
    line = f"{job:12}"
    for peer, found in by_peer.items():
        line += f"  {peer} {1e3 * statistics.median(found):.3g} ms"
        if peer != ours and ours in by_peer:
            line += f", {spread([theirs / our for theirs, our in zip(found, by_peer[ours])])}"
    print(line, flush=True)


def check(options) -> None:
    """What each peer's first step says of its loss and of its gradients' norms; of a cell's, the results' norms."""
    for job in options.jobs:
        for peer in options.peers:
            with Worker("--worker") as worker:
                print(job, peer, worker.ask("check", peer, job, 0, False), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=[*JOBS, *STEPS], default=[*JOBS, *STEPS])
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1, help="of calls that one time is the median of")
    parser.add_argument("--busy", action="store_true", help="beside a process that keeps one core busy")
    parser.add_argument("--cpu", action="store_true", help="CPU time of one thread")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        answer(work)
        return
    options.peers = [p for p in PEERS if p in options.peers and importlib.util.find_spec(PACKAGES.get(p, p))]
    neighbour = busy_loop() if options.busy else None
    print(f"load before {os.getloadavg()[0]:.2f}; {', '.join(options.peers)}", flush=True)
    try:
        (check if options.check else compare)(options)
    finally:
        if neighbour:
            neighbour.kill()


if __name__ == "__main__":
    main()
