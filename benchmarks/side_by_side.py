"""Peers timed against each other: each in a process of its own, in turn, over several rounds; ratios and medians out.

A benchmark is a script that defines `peers` (name -> function that takes a case and returns a function to time) and
`cases`, and calls `main`. The first peer is ours; a ratio is the peer's time over ours, so more is better. Machines
differ and drift; a ratio of two processes that took turns drifts less.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time


def seconds_per_call(function, budget: float = 1.0, clock=time.perf_counter) -> float:
    """Median time of a call, after a warm-up, in about `budget` seconds of calls."""
    function()
    start = clock()
    function()
    once = clock() - start
    if once > 3 * budget:
        return once
    calls = max(3, min(1000, int(budget / (once + 1e-9))))
    times = []
    for _ in range(calls):
        start = clock()
        function()
        times.append(clock() - start)
    return statistics.median(times)


def busy_loop() -> subprocess.Popen:
    """Another process that keeps a core busy."""
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


class Worker:
    """This script again, in a process of its own, which answers one question at a time and sleeps in between."""

    def __init__(self, *arguments: str, **environment: str):
        self.command = [sys.executable, sys.argv[0], *arguments]
        self.environment = os.environ | environment
        self._start()

    def _start(self) -> None:
        pipes: dict = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(self.command, env=self.environment, **pipes)

    def ask(self, *question):
        """What the worker's function returned for these arguments; a text if it failed, and then a new one starts."""
        print(json.dumps(question), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        status = self.process.wait()
        self._start()
        return f"ended with status {status}"

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait()


def answer(function) -> None:
    """Be a worker: call `function` with each question's arguments. What else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            result = function(*json.loads(line))
        except Exception as error:
            result = f"{type(error).__name__}: {error}".splitlines()[0]
        print(json.dumps(result), file=answers, flush=True)


def main(description: str, peers: dict, cases: list, budget: float = 1.0) -> None:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="cores that each peer may use")
    parser.add_argument("--busy", action="store_true", help="beside a process that keeps one core busy")
    parser.add_argument("--only", nargs="*", help="peers to run")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        os.sched_setaffinity(0, range(options.cores))
        print(json.dumps(seconds_per_call(peers[options.peer](cases[options.case]), budget)))
        return
    names = [name for name in peers if not options.only or name in options.only]
    ours = names[0]
    neighbour = busy_loop() if options.busy else None
    try:
        for k, case in enumerate(cases):
            times: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(options.rounds):
                for name in names:
                    command = [sys.executable, sys.argv[0], "--peer", name, "--case", str(k)]
                    command += ["--cores", str(options.cores)]
                    result = subprocess.run(command, capture_output=True, text=True)
                    if result.returncode:
                        sys.exit(f"{name} failed on {case}: {result.stderr.strip().splitlines()[-1]}")
                    times[name].append(float(result.stdout.splitlines()[-1]))
            line = f"{case}: {ours} {1e3 * statistics.median(times[ours]):.3g} ms"
            for name in names[1:]:
                ratios = [theirs / our for theirs, our in zip(times[name], times[ours])]
                line += f"; {name} {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(line, flush=True)
    finally:
        if neighbour:
            neighbour.kill()
