"""Seconds of a fresh process: to import minigrad, and to take a first LSTM step with the kernels cached.

python benchmarks/startup.py [--rounds 5]
"""

import argparse
import statistics
import subprocess
import sys
import time

IMPORT = "import minigrad"
STEP = """
import numpy as np
import minigrad as mg
from minigrad.models import LSTM
lstm = LSTM(16, 32)
output, _ = lstm(mg.tensor(np.ones((5, 3, 16), np.float32)))
mg.sum(output * output).backward()
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for name, program in [("import", IMPORT), ("import and first LSTM step", STEP)]:
        times = []
        for _ in range(rounds + 1):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            times.append(time.perf_counter() - start)
        print(f"{name}: first {times[0]:.2f} s, then median {statistics.median(times[1:]):.2f} s")
