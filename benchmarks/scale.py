"""What a training step costs on n machines: a + b * parameters / bandwidth + compute / n, measured, and predicted.

    sudo python benchmarks/scale.py [--measurements FILE] [--docs]

Measured are all-reduces of MPI (mpi4py with the wheel of MPICH) on loopback and between network namespaces of a given
delay and bandwidth (network.py), as `minigrad.distributed` makes them, and training steps of two models at several
batch sizes, in processor time of one thread. --measurements: where they are kept, or read from if they are there.
--docs: put the tables into docs/scale.md.
"""

import argparse
import json
import math
import re
import time
from itertools import product
from pathlib import Path

import numpy as np
from network import all_reduces, network

import minigrad as mg
from minigrad import optim
from minigrad.models import LSTMCell
from minigrad.models.tasks.charlm import CharacterModel

PAGE = Path(__file__).parents[1] / "docs/scale.md"
SIZES = [1 << 10, 1 << 18, 1 << 20, 1 << 22]  # float32 of an all-reduce
NETWORKS = [
    (2, 1e8, 0.0),
    (2, 1e8, 1e-3),
    (2, 1e8, 5e-3),
    (2, 1e9, 0.0),
    (2, 1e9, 1e-3),
    (4, 1e8, 1e-3),
    (4, 1e9, 1e-3),
]
MODELS = {"character model": (64, 256, 1), "50 M parameters": (64, 2048, 2)}  # embedding, hidden units, layers
VOCABULARY, STEPS, BATCHES = 100, 64, (1, 2, 4, 8, 16)
MACHINES = [2, 4, 8, 16, 32, 64, 128, 256]
BANDWIDTHS = {"1 Gbit/s": 1e9, "25 Gbit/s": 25e9}
CORES, DELAY, BATCH, LOCAL, RANK = 2, 5e-5, 256, 8, 4


def measure() -> dict:
    loopback = all_reduces(2, SIZES, 30, apart=False)
    found = {"loopback": list(loopback.items()), "networks": [], "models": {}}
    for n, bits, delay in NETWORKS:
        with network(n, bits, delay):
            seconds = all_reduces(n, SIZES[: 4 if bits > 1e8 else 3], 5, apart=True)
        found["networks"].append([n, bits, delay, list(seconds.items())])
    for name, sizes in MODELS.items():
        found["models"][name] = step_seconds(*sizes)
    return found


def step_seconds(embedding: int, hidden: int, layers: int) -> dict:
    """Parameters; what PowerSGD would send in their place; seconds of a step, by batch size."""
    mg.set_num_threads(1)
    model = CharacterModel(LSTMCell, VOCABULARY, embedding, hidden, layers, 0.0)
    optimizer, rng, seconds = optim.AdamW(model.parameters()), np.random.default_rng(0), []
    shapes = [p.shape for p in model.parameters()]

    @mg.jit
    def loss_of(x, y):
        return mg.cross_entropy(model(x)[0].reshape(-1, VOCABULARY), y.reshape(-1))

    for batch in BATCHES:
        x, y = [mg.tensor(rng.integers(VOCABULARY, size=(STEPS, batch))) for _ in range(2)]
        took = []
        for _ in range(4):
            start = time.process_time()
            optimizer.zero_grad()
            loss_of(x, y).backward()
            optimizer.step()
            took.append(time.process_time() - start)
        seconds.append([batch, min(took)])
    low = sum(min(math.prod(s), RANK * sum(s)) if len(s) == 2 else math.prod(s) for s in shapes)
    return {"parameters": sum(map(math.prod, shapes)), "low rank": low, "seconds": seconds}


def line(points) -> tuple[float, float]:
    """a, b >= 0 of seconds = a + b * x, with the least relative errors."""
    from scipy.optimize import nnls

    x, y = np.array(points, dtype=float).T
    (a, b), _ = nnls(np.stack([1 / y, x / y], 1), np.ones(len(x)))
    return a, b


def of_sum(points) -> tuple[float, float]:
    """a, the seconds of an all-reduce of the least size, and b, the seconds a number more that the others take."""
    (_, a), *others = points
    return a, float(np.median([(seconds - a) / size for size, seconds in others]))


class Costs:
    """What follows from the measurements. An all-reduce has 2 log2 n rounds, one message after another."""

    def __init__(self, found: dict):
        self.found = found
        a, b = of_sum(found["loopback"])
        self.round, self.host = a / 2, 32 / b  # seconds; bits a second that one rank has from and to another at once
        ratios = []
        for n, bits, _, points in found["networks"]:
            if bits == 1e8:  # where the network is what limits
                ratios.append(of_sum(points)[1] * bits / (64 * (n - 1) / n))
        self.overhead = float(np.median(ratios))

    def a(self, n: int) -> float:
        return 2 * math.log2(n) * (self.round + DELAY) if n > 1 else 0.0

    def b(self, n: int) -> float:
        """Bits a parameter."""
        return 64 * (n - 1) / n * self.overhead

    def rate(self, bits: float) -> float:
        """Bits a second that remain: what is sent is also copied and added up, one after the other."""
        return 1 / (1 / bits + 1 / self.host)

    def compute(self, name: str, n: int) -> float:
        fixed, each = line(self.found["models"][name]["seconds"])
        return (fixed + each * BATCH / n) / CORES

    def step(self, name: str, n: int, bits: float, numbers: float | None = None, every: int = 1) -> float:
        numbers = self.found["models"][name]["parameters"] if numbers is None else numbers
        return self.compute(name, n) + (self.a(n) + self.b(n) * numbers / self.rate(bits)) / every


def measured_tables(costs: Costs) -> list[str]:
    lines = ["| ranks | Gbit/s | delay, ms | a, ms | b, bits | 64(n-1)/n |", "|---|---|---|---|---|---|"]
    for n, bits, delay, points in costs.found["networks"]:
        a, b = of_sum(points)
        lines.append(
            f"| {n} | {bits / 1e9:g} | {1e3 * delay:g} | {1e3 * a:.2g} | {b * bits:.1f} | {64 * (n - 1) / n:g} |"
        )
    a, _ = of_sum(costs.found["loopback"])
    lines += [
        f"| 2 | loopback | | {1e3 * a:.2g} | | |", "",
        f"On loopback two ranks add up {costs.host / 1e9:.2g} Gbit/s, copies and sums included. At 0.1 Gbit/s, where",
        f"the wire is what limits, b is {costs.overhead:.2f} times 64(n-1)/n (the median).", "",
    ]  # fmt: skip
    lines += ["| | parameters | seconds of a step, one thread | of batch 1, 2, 4, 8, 16 |", "|---|---|---|---|"]
    for name, model in costs.found["models"].items():
        fixed, each = line(model["seconds"])
        times = ", ".join(f"{seconds:.3g}" for _, seconds in model["seconds"])
        lines.append(f"| {name} | {model['parameters']:,} | {fixed:.2g} + {each:.2g} a sample | {times} |")
    return lines


def predicted_tables(costs: Costs) -> list[str]:
    lines = []
    for name, (label, bits) in product(costs.found["models"], BANDWIDTHS.items()):
        one = costs.step(name, 1, bits)
        numbers = costs.found["models"][name]["parameters"]
        lines += [f"**{name}, {label}**: {told(one)} on one machine.", ""]
        lines += ["| machines | a | b·P/W | compute | step | times faster | of n |", "|---|---|---|---|---|---|---|"]
        for n in MACHINES:
            a, sent, compute = costs.a(n), costs.b(n) * numbers / costs.rate(bits), costs.compute(name, n)
            faster = one / (a + sent + compute)
            texts = [told(a), told(sent), told(compute), told(a + sent + compute), f"{faster:.2g}", f"{faster / n:.0%}"]
            lines.append(f"| {n} | {' | '.join(texts)} |")
        lines += ["", stops(costs, name, bits), ""]
    return lines


def stops(costs: Costs, name: str, bits: float) -> str:
    steps = {n: costs.step(name, n, bits) for n in [1, *MACHINES]}
    tenth = max([n for n in MACHINES if steps[n] < 0.9 * steps[n // 2]], default=1)
    half = max(n for n in steps if steps[1] / steps[n] >= n / 2)
    return f"A doubling saves a tenth of the step or more up to {tenth} machines; up to {half}, half of each is used."


def remedies(costs: Costs) -> list[str]:
    """Times faster than one machine, and the number of machines at which that is the most."""
    names = ["", "as it is", "bfloat16", f"rank {RANK}", f"every {LOCAL} steps", f"rank {RANK}, every {LOCAL}"]
    lines = [f"| {' | '.join(names)} |", "|---|---|---|---|---|---|"]
    for (name, model), (label, bits) in product(costs.found["models"].items(), BANDWIDTHS.items()):
        whole, low, cells = model["parameters"], model["low rank"], []
        for numbers, every in [(whole, 1), (whole / 2, 1), (low, 1), (whole, LOCAL), (low, LOCAL)]:
            faster = {n: costs.step(name, 1, bits) / costs.step(name, n, bits, numbers, every) for n in [1, *MACHINES]}
            n = max(faster, key=faster.get)
            cells.append(f"{faster[n]:.2g} at {n} ({faster[16]:.2g})")
        lines.append(f"| {name}, {label} | {' | '.join(cells)} |")
    return lines


def told(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measurements", type=Path, metavar="FILE")
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    if options.measurements and options.measurements.exists():
        found = json.loads(options.measurements.read_text())
    else:
        found = measure()
        if options.measurements:
            options.measurements.write_text(json.dumps(found))
    costs = Costs(found)
    parts = {"measured": measured_tables(costs), "predicted": predicted_tables(costs), "remedies": remedies(costs)}
    for name, lines in parts.items():
        text = "\n".join(lines).strip()
        print(f"{text}\n")
        if options.docs:
            block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.S)
            PAGE.write_text(block.sub(lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text()))


if __name__ == "__main__":
    main()
