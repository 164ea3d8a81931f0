"""What training on several ranks costs: a step of the character model, beside one process with the samples of a rank.

    python benchmarks/overlap.py [--ranks 2] [--batch 16] [--rounds 9] [--steps 100] [--first]

Runs of `minigrad train charlm`, an LSTM of 256 units and 64 characters a step, take turns: on the ranks, of a thread
each, with `batch` samples a rank, and in one process with as many. A step is whatever the Trainer does from one to the
next: data, loss, gradients and their sum, clipping, AdamW. Of each run the median step counts, of the first rank, in
wall time and in CPU time (of which the first moments of waiting are a part); a ratio is that of two runs that follow
each other, median (least..most) over the rounds. --first: real-time scheduling, before the machine's other programs
(Linux, root). Wants mpi4py and mpiexec (extra `distributed`).
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

SKIPPED = 10  # steps at first


def be_rank(batch: int, steps: int, first: bool) -> None:
    """Train, and print the medians of a step's wall and CPU time."""
    import minigrad as mg
    from minigrad.cli.tasks import tasks
    from minigrad.distributed import rank, size
    from minigrad.models.tasks.loop import train

    mg.set_num_threads(1)
    moments = []

    class Times(mg.training.Hook):
        def step(self, trainer):
            moments.append((time.perf_counter(), time.process_time()))
            if len(moments) == SKIPPED and first:
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            if len(moments) == SKIPPED + steps:
                sys.exit()

        def end(self, trainer):
            moments[:SKIPPED] = []

    with tempfile.TemporaryDirectory() as out:
        task = tasks()["charlm"][1](out=out, batch=batch * size(), steps=10**6, every=10**6)
        try:
            train(task, [Times()])
        finally:
            if rank() == 0:
                gaps = [[b - a for a, b in itertools.pairwise(column)] for column in zip(*moments)]
                print(json.dumps([statistics.median(gap) for gap in gaps]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="samples of a rank")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=100, help="that are timed in a round")
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        be_rank(options.batch, options.steps, options.first)
        return
    mpiexec = shutil.which("mpiexec") or sys.exit("there is no mpiexec: pip install 'minigrad-rnn[distributed]'")

    def seconds(ranks: int) -> list[float]:
        command = [mpiexec, "-n", str(ranks)] if ranks > 1 else []
        command += [sys.executable, *sys.argv, "--rank"]
        result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if result.returncode:
            sys.exit(f"a run failed: {result.stderr.strip()[-1000:]}")
        return json.loads(result.stdout.splitlines()[-1])

    rounds = [(seconds(options.ranks), seconds(1)) for _ in range(options.rounds)]
    for k, kind in enumerate(("wall", "CPU")):
        several, alone = ([1e3 * run[k] for run in runs] for runs in zip(*rounds))
        ratios = [a / b for a, b in zip(several, alone)]
        medians = [f"{statistics.median(times):.3g} ms" for times in (several, alone)]
        spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f}..{max(ratios):.3f})"
        print(f"{kind}: {medians[0]} on {options.ranks} ranks, {medians[1]} alone; ratio {spread}")


if __name__ == "__main__":
    main()
