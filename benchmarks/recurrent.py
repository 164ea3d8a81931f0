"""Recurrent cells against PyTorch and JAX: a training step and inference, over a grid of (T, B, I, H), float32.

    python benchmarks/recurrent.py [--cells lstm mgu] [--points 0 3 128,1,64,64] [--mode train] [--rounds 5] [--busy]

A training step is forward, and backward for the input and the parameters from a cotangent of the output. Each peer
works in a process of its own, a new one each round; for each point they take turns. A ratio is the peer's time over
ours: median (least..most) over the rounds. "floor" is our time over the time of the products' flops at the rate of a
2048^3 float32 product of NumPy measured beside it. With lstm among the cells, "flop/lstm" is the time a flop over
LSTM's at that point.

Peers: torch_nn (nn.LSTM, nn.GRU, nn.RNN), torch (the same cell, eager, in a Python loop), jax (jit of lax.scan), and
torch_compile (of that loop) where it is asked for.

Other questions: --check (do outputs and gradients agree?), --memory (growth of the peak resident set over three
training steps, after three others and malloc_trim), --first-call (seconds of the first training step and of the next
one: with empty caches; ours also with what another cell left in the cache, and with all cached; on a busy machine
compare the seconds of CPU).
"""

import argparse
import ctypes
import gc
import importlib.util
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from cells import CELLS, HAND_FUSED, PEERS, exists, flops, with_large_product
from side_by_side import Worker, answer, busy_loop, seconds_per_call

GRID = [
    (64, 32, 128, 256), (35, 20, 200, 200), (35, 20, 192, 192), (128, 1, 64, 64), (100, 64, 64, 128),
    (35, 20, 640, 640), (35, 20, 650, 650), (32, 128, 512, 512), (512, 16, 32, 32), (64, 8, 128, 256),
    (1000, 1, 1, 32), (20, 4096, 8, 16),
]  # fmt: skip
POINTS = {cell: [GRID[0], GRID[3]] for cell in CELLS} | {"convlstm": [(10, 8, 16, 64)]}
POINTS |= dict.fromkeys(HAND_FUSED, GRID)
CHECKED = [(5, 3, 6, 8), (4, 2, 8, 8)]
WEIGHED = [GRID[0], GRID[8]]
FIRST = [GRID[0], (10, 1, 64, 64), (10_000, 1, 64, 64)]


PRODUCT_FLOPS = 2 * 2048**3


# What a worker does.


def timed(peer, cell, point, mode, budget):
    train, infer = peer(cell, point)
    return seconds_per_call(train if mode == "train" else infer, budget)


def first_and_next(peer, cell, point):
    """Seconds of the first call and of the next one, and what the first took of the CPU, on which others may run."""
    train, _ = peer(cell, point)
    times = []
    for _ in range(2):
        start, cpu = time.perf_counter(), time.process_time()
        train()
        times.append((time.perf_counter() - start, time.process_time() - cpu))
    (first, cpu), (after, _) = times
    return first, after, cpu


def saved(peer, cell, point, path):
    """The output and the gradients, into a file."""
    import numpy as np

    output, gradients = peer(cell, point)[0]()
    np.savez(path, output=np.asarray(output), **{name: np.asarray(g) for name, g in gradients.items()})


def growth(peer, cell, point):
    """Bytes that the peak of the resident set grows by over three training steps, after three others."""
    train, _ = peer(cell, point)
    for _ in range(3):  # code, threads and libraries that are loaded late
        train()
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc: what is free and kept for later would hide what a step takes
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts again from what is resident now
    before = peak()
    for _ in range(3):
        train()
    return peak() - before


def peak() -> int:
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


TASKS = {"time": timed, "first": first_and_next, "save": saved, "growth": growth}


def work(task, peer, cell, point, *arguments):
    peer = with_large_product if peer == "product" else PEERS[peer]
    return TASKS[task](peer, cell, tuple(point), *arguments)


# What the parent asks, and prints.


def compare(options) -> list:
    """Times of all peers at all points."""
    cases = [(mode, *case) for mode in options.modes for case in options.cases]
    times: dict = {}
    for r in range(options.rounds):
        with ExitStack() as stack:
            workers = {peer: stack.enter_context(Worker("--worker")) for peer in ["product", *options.peers]}
            for mode, cell, point in cases:
                for peer, worker in workers.items():
                    if not exists(peer, cell):
                        continue
                    time.sleep(0.2)  # threads of the peer before stop spinning
                    question = ("time", "product", cell, point, "infer", 0.3)
                    if peer != "product":
                        question = ("time", peer, cell, point, mode, options.seconds)
                    seconds = worker.ask(*question)
                    if isinstance(seconds, str):
                        print(f"{peer} failed on {mode} {cell} {point}: {seconds}", flush=True)
                    else:
                        times.setdefault((mode, cell, point), {}).setdefault(peer, []).append(seconds)
                if r == options.rounds - 1:
                    show(mode, cell, point, times, options)
    for mode in options.modes:
        for cell in options.cells:
            show_means(mode, cell, times, options)
    rates = [PRODUCT_FLOPS / seconds / 1e9 for by_peer in times.values() for seconds in by_peer["product"]]
    print(f"large product, GFLOP/s: {spread(rates)}; where it varies, something else was running")
    return [
        {"mode": mode, "cell": cell, "point": point, "peer": peer, "seconds": seconds}
        for (mode, cell, point), by_peer in times.items()
        for peer, seconds in by_peer.items()
    ]


def ratios(times: dict, case, peer, ours) -> list[float]:
    by_peer = times.get(case, {})
    return [theirs / our for theirs, our in zip(by_peer.get(peer, []), by_peer.get(ours, []))]


def show(mode, cell, point, times, options):
    case = mode, cell, point
    ours = next((peer for peer in options.peers if peer in times[case]), None)
    if ours is None:
        return
    own = times[case][ours]
    scale = PRODUCT_FLOPS / flops(cell, point, mode)
    floors = [scale * ratio for ratio in ratios(times, case, ours, "product")]
    line = f"{mode:5} {cell:9} {','.join(map(str, point)):15} {ours} {milliseconds(own)}, floor {spread(floors)}"
    lstm = times.get((mode, "lstm", point), {}).get(ours)
    if cell != "lstm" and lstm:
        scale = flops("lstm", point, mode) / flops(cell, point, mode)
        line += f", flop/lstm {statistics.median(own) / statistics.median(lstm) * scale:.2f}"
    for peer in options.peers:
        if peer != ours and (found := ratios(times, case, peer, ours)):
            line += f"; {peer} {milliseconds(times[case][peer])}, {spread(found)}"
    print(line, flush=True)


def show_means(mode, cell, times, options):
    ours = next(peer for peer in options.peers if exists(peer, cell))
    line = f"{mode:5} {cell:9} geometric mean of the medians"
    for peer in options.peers:
        found = [ratios(times, (mode, cell, point), peer, ours) for point in options.points[cell]]
        medians = [statistics.median(r) for r in found if r]
        if medians and peer != ours:
            line += f"; {peer} {statistics.geometric_mean(medians):.2f}, least {min(medians):.2f}"
    if ";" in line:
        print(line)


def milliseconds(seconds: list[float]) -> str:
    return f"{1e3 * statistics.median(seconds):.3g} ms"


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def asked_alone(peer, *question, **environment):
    """The answer of a process that does nothing else."""
    with Worker("--worker", **environment) as worker:
        result = worker.ask(question[0], peer, *question[1:])
    if isinstance(result, str):
        print(f"{peer} failed on {' '.join(map(str, question))}: {result}", flush=True)
        return None
    return result


def check(options) -> list:
    """Largest differences of outputs and gradients from the first peer's, relative to each array's largest value."""
    import numpy as np

    rows = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {peer: stack.enter_context(Worker("--worker")) for peer in options.peers}
        for cell in options.cells:
            for point in CHECKED:
                results = {}
                for peer, worker in workers.items():
                    path = f"{folder}/{peer}.npz"
                    if not exists(peer, cell):
                        continue
                    if failure := worker.ask("save", peer, cell, point, path):
                        print(f"{peer} failed on {cell} {point}: {failure}")
                    else:
                        results[peer] = dict(np.load(path))
                reference = results.pop(options.peers[0], None)
                for peer, arrays in results.items() if reference else ():
                    assert arrays.keys() == reference.keys(), (arrays.keys(), reference.keys())
                    worst, name = max(
                        (float(np.nan_to_num(abs(arrays[name] - value).max() / abs(value).max(), nan=np.inf)), name)
                        for name, value in reference.items()
                    )
                    rows.append({"cell": cell, "point": point, "peer": peer, "difference": worst, "array": name})
                    print(f"{'ok ' if worst < 1e-4 else 'BAD'} {cell} {point} {peer}: {worst:.1e} ({name})", flush=True)
    return rows


def weigh(options) -> list:
    rows = []
    for cell, point in options.cases:
        line = f"{cell} {point}: a training step adds to the peak"
        for peer in options.peers:
            if not exists(peer, cell):
                continue
            asked_alone(peer, "growth", cell, point)  # the first fills the caches
            found = [asked_alone(peer, "growth", cell, point) for _ in range(options.rounds)]
            if None not in found:
                rows.append({"cell": cell, "point": point, "peer": peer, "bytes": found})
                line += f"; {peer} {statistics.median(found) / 1e6:.1f} MB"
        print(line, flush=True)
    return rows


def first_calls(options) -> list:
    rows = []
    for cell, point in options.cases:
        for peer in options.peers:
            if not exists(peer, cell):
                continue
            found: dict = {}
            for _ in range(options.rounds):
                with tempfile.TemporaryDirectory() as cold, tempfile.TemporaryDirectory() as warm:
                    states = [("empty caches", cold, cell)]
                    if peer == "minigrad":  # the cell before leaves the fixed kernels and its own, which are of no use
                        other = "rnn" if cell == "gru" else "gru"
                        states += [("all cached", cold, cell), ("", warm, other), ("fixed kernels cached", warm, cell)]
                    for state, folder, what in states:
                        places = {"MINIGRAD_CACHE_DIR": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
                        times = asked_alone(peer, "first", what, point, **places)
                        if state and times:
                            found.setdefault(state, []).append(times)
            for state, times in found.items():
                first, after, cpu = [statistics.median(column) for column in zip(*times)]
                line = f"first step {first:.2f} s ({cpu:.2f} s of CPU), next {after:.4f} s"
                print(f"{cell} {point} {peer}, {state}: {line}", flush=True)
                rows.append({"cell": cell, "point": point, "peer": peer, "state": state, "seconds": times})
    return rows


def point_of(text: str):
    numbers = tuple(map(int, text.split(",")))
    if len(numbers) == 1:
        return GRID[numbers[0]]
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"wanted an index or T,B,I,H, got {text}")
    return numbers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, help="default: all; lstm for --memory and --first-call")
    parser.add_argument("--points", nargs="+", type=point_of, help=f"T,B,I,H, or indexes of {GRID}")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS)[:-1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1, help="of calls that one time is the median of")
    parser.add_argument("--mode", choices=["train", "infer", "both"], default="both")
    parser.add_argument("--busy", action="store_true", help="beside a process that keeps one core busy")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--check", action="store_true")
    other.add_argument("--memory", action="store_true")
    other.add_argument("--first-call", action="store_true")
    parser.add_argument("--json", metavar="FILE", help="all raw numbers")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ.pop(f"{library}_NUM_THREADS", None)  # every peer takes the threads that it takes by itself
    if options.worker:
        answer(work)
        return
    options.modes = ["train", "infer"] if options.mode == "both" else [options.mode]
    options.peers = [peer for peer in PEERS if peer in options.peers]  # ours first
    for peer in list(options.peers):
        package = peer.split("_")[0]
        if importlib.util.find_spec(package) is None:
            print(f"{peer} is left out: {package} is not installed")
            options.peers.remove(peer)
    options.cells = options.cells or (["lstm"] if options.memory or options.first_call else CELLS)
    options.cells = [cell for cell in CELLS if cell in options.cells]  # LSTM first
    dense = options.points or (WEIGHED if options.memory else FIRST if options.first_call else None)
    options.points = POINTS | (dict.fromkeys(CELLS[:-1], dense) if dense else {})
    options.cases = [(cell, point) for cell in options.cells for point in options.points[cell]]
    question = check if options.check else weigh if options.memory else first_calls if options.first_call else compare
    neighbour = busy_loop() if options.busy else None
    state = "beside a busy process" if options.busy else "no process of ours beside it"
    print(f"{state}, load before {os.getloadavg()[0]:.2f}; {', '.join(options.peers)}", flush=True)
    try:
        rows = question(options)
    finally:
        if neighbour:
            neighbour.kill()
    if options.json:
        Path(options.json).write_text(json.dumps({"busy": options.busy, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
