"""A step of training on several ranks: ours under MPI, beside PyTorch's DistributedDataParallel (gloo).

    python benchmarks/ddp.py [--ranks 2] [--points 64,16,128,256] [--rounds 5] [--alone]

A step is a layer of LSTM over (T, B, I), B the samples of a rank, a linear head on its last output, a mean squared
error, the gradients of all parameters summed over the ranks, and SGD. Ours is a jitted loss and `DataParallel`;
"nn.LSTM" and "eager", the same cell as a Python loop over time, are wrapped in DistributedDataParallel. Each rank has
one thread. The peers take turns, a run of mpiexec each, of which the first rank's median step counts. A ratio is the
peer's time over ours: median (least..most) over the rounds. --alone: beside these a step of one process alone with
the samples of one rank, no sum: what a step would take if sums cost nothing. Wants mpi4py and mpiexec (extra
`distributed`).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

PEERS = ["minigrad", "nn.LSTM", "eager"]
POINTS = ["64,16,128,256", "35,10,256,256"]
PORT = "29517"


def data(point):
    import numpy as np

    T, B, I, _ = point
    rng = np.random.default_rng(int(os.environ.get("PMI_RANK", 0)))
    return rng.normal(size=(T, B, I)).astype("float32"), rng.normal(size=(B, 1)).astype("float32")


def minigrad(point):
    import minigrad as mg
    from minigrad import nn, optim
    from minigrad.models import LSTM

    mg.set_num_threads(1)

    class Model(nn.Module):
        def __init__(self):
            self.layer, self.head = LSTM(point[2], point[3]), nn.Linear(point[3], 1)

        def forward(self, x):
            return self.head(self.layer(x)[0][-1])

    model = mg.distributed.DataParallel(Model())
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    loss = mg.jit(lambda x, y: mg.square(model(x) - y).mean())
    x, y = map(mg.tensor, data(point))

    def step():
        optimizer.zero_grad()
        model.backward(loss(x, y), terms=point[1])
        optimizer.step()

    return step


def pytorch(point, peer):
    import torch

    torch.set_num_threads(1)
    rank, size = (int(os.environ.get(name, default)) for name, default in (("PMI_RANK", 0), ("PMI_SIZE", 1)))

    class Eager(torch.nn.LSTM):
        def forward(self, x):
            h = c = x.new_zeros(x.shape[1], self.hidden_size)
            outputs = []
            for x_t in x:
                gates = x_t @ self.weight_ih_l0.T + self.bias_ih_l0 + h @ self.weight_hh_l0.T + self.bias_hh_l0
                i, f, g, o = gates.chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                outputs.append(h)
            return torch.stack(outputs), (h, c)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = (torch.nn.LSTM if peer == "nn.LSTM" else Eager)(point[2], point[3])
            self.head = torch.nn.Linear(point[3], 1)

        def forward(self, x):
            return self.head(self.layer(x)[0][-1])

    model = Model()
    if size > 1:
        where = f"tcp://127.0.0.1:{PORT}"
        torch.distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=size)
        model = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = map(torch.from_numpy, data(point))

    def step():
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()

    return step


def rank_of(peer: str, point: list[int], calls: int) -> None:
    """Be a rank: all make as many steps."""
    step = minigrad(point) if peer == "minigrad" else pytorch(point, peer)
    for _ in range(3):
        step()
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    if os.environ.get("PMI_RANK", "0") == "0":
        print(json.dumps(statistics.median(times)), flush=True)
    if peer != "minigrad" and int(os.environ.get("PMI_SIZE", 1)) > 1:
        import torch

        torch.distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--points", nargs="*", default=POINTS, help="T,B,I,H")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="that are timed in a round")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    points = [[int(n) for n in point.split(",")] for point in options.points]
    if options.peer:
        rank_of(options.peer, points[0], options.steps)
        return
    mpiexec = shutil.which("mpiexec") or sys.exit("there is no mpiexec: pip install 'minigrad-rnn[distributed]'")

    def seconds(peer: str, point: list[int], ranks: int) -> float:
        command = [mpiexec, "-n", str(ranks)] if ranks > 1 else []
        command += [sys.executable, sys.argv[0], "--peer", peer, "--points", ",".join(map(str, point))]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        result = subprocess.run(
            [*command, "--steps", str(options.steps)], capture_output=True, text=True, env=environment
        )
        if result.returncode:
            sys.exit(f"{peer} failed: {result.stderr.strip()[-1000:]}")
        return float(result.stdout.split()[-1])

    for point in points:
        rounds = []
        for _ in range(options.rounds):
            rounds.append({peer: seconds(peer, point, options.ranks) for peer in PEERS})
            if options.alone:
                rounds[-1]["alone"] = seconds("minigrad", point, 1)
        ours = 1e3 * statistics.median(r["minigrad"] for r in rounds)
        line = f"{point} on {options.ranks} ranks: minigrad {ours:.3g} ms"
        for name in [name for name in rounds[0] if name != "minigrad"]:
            ratios = [r[name] / r["minigrad"] for r in rounds]
            line += f"; {name} {statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
