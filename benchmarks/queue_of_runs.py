"""What a sweep of many runs costs the command that watches it: memory, and the time of a table.

    python benchmarks/queue_of_runs.py [--runs 10000]

The runs do nothing: each gives the figures and the curve of a run of `minigrad train temporal`, of 80 settings. Another
thread takes one after the other, as a worker would; the rows, the live table and the tests at the end are the
command's own. Memory is what the process holds, in MB (Linux).
"""

import argparse
import contextlib
import io
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from minigrad import sweeps
from minigrad.cli.sweep import SHOWN, grid_of, watched
from minigrad.models.tasks.sweeps import compare_to_best, settings, table
from minigrad.models.tasks.temporal import TemporalOrder

CELLS, RATES = ["lstm", "gru", "rnn", "lstm1"], 20
TOLD = 2000  # runs from one line to the next


def megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def run(folder, seed, **_):
    loss = np.random.default_rng(seed).random()
    figures = {"step": 500, "seconds": 1.0, "loss": loss, "held_out_loss": loss, TemporalOrder.figure: loss}
    return {**figures, "parameters": 1000, "curve": [(250 * k, loss) for k in range(1, 13)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    seeds = parser.parse_args().runs // (len(CELLS) * RATES)
    rates = [f"{rate:.6f}" for rate in np.linspace(1e-3, 1e-2, RATES)]
    grid = grid_of(TemporalOrder, ["--cell", *CELLS, "--lr", *rates, "--seed", f"0..{seeds - 1}"])
    rows: list = []
    with tempfile.TemporaryDirectory() as out, watched(TemporalOrder, grid) as finished, ThreadPoolExecutor(1) as one:

        def tell(row):
            with contextlib.redirect_stdout(io.StringIO()):
                finished(row)
            rows.append(row)
            if len(rows) % TOLD == 0:
                begin = time.process_time()
                table(settings(rows, TemporalOrder)[:SHOWN], TemporalOrder)
                milliseconds = 1e3 * (time.process_time() - begin)
                print(f"{len(rows)} runs: {megabytes():.0f} MB, a table {milliseconds:.0f} ms", flush=True)

        print(f"at first: {megabytes():.0f} MB", flush=True)
        sweeps.sweep(run, grid, Path(out), one, tell)
        begin = time.process_time()
        compare_to_best(settings(rows, TemporalOrder))
        print(f"tests of {len(CELLS) * RATES} settings: {time.process_time() - begin:.1f} s, {megabytes():.0f} MB")


if __name__ == "__main__":
    main()
