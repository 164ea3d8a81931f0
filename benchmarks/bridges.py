"""A training loop of PyTorch, and one of JAX, with a cell of ours in it, against the same loop with the same cell.

    python benchmarks/bridges.py [--loops torch jax] [--points 128,1,64,64] [--rounds 5] [--cores 2]

The cell is the peephole LSTM (Gers et al. 2002), which nn.LSTM does not fuse. A step of the loop is the layer over
(T, B, I), a linear head on its last output, a mean squared error, the gradients of all parameters, and SGD: PyTorch's
optimizer, or JAX's arithmetic under jax.jit. "eager" is the Python loop over time in PyTorch, "compiled" the same under
torch.compile, which unrolls it (--compiled: it takes minutes at the first call); "scan" is jax.lax.scan. Each works in
a process of its own, a new one each round, and they take turns. A ratio is the time of the other over that of the loop
with ours: median (least..most) over the rounds. Before that, the losses after three steps are compared.
--cpu: CPU time in place of the clock, for a machine on which others work, too; best with --cores 1.
"""

import argparse
import os
import statistics
import sys
import time
from types import SimpleNamespace

from cells import forward_of, minigrad_layer, numbers
from side_by_side import Worker, answer, seconds_per_call

CELL, RATE = "peephole", 0.01
POINTS = [(64, 32, 128, 256), (128, 1, 64, 64)]
PEERS = {"torch": ["minigrad", "eager"], "jax": ["minigrad", "scan"]}


def data(point):
    """Parameters of the cell and of the head, x, the target, and zeros for a state."""
    import numpy as np

    parameters, x, target, zero = numbers(CELL, point)
    head = np.full((1, point[3]), 0.1, "float32")
    return parameters, head, x, target[-1, :, :1], zero


def ours(point, parameters):
    import minigrad as mg

    layer = minigrad_layer(CELL, *point[2:])
    layer.load_state_dict({f"{name}_l0": value for name, value in parameters.items()})
    return mg.jit(layer)


def in_torch(peer, point):
    import torch

    parameters, head, x, target, zero = data(point)

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in parameters.items():
                setattr(self, name, torch.nn.Parameter(torch.from_numpy(value)))
            self.functions = SimpleNamespace(
                sigmoid=torch.sigmoid, tanh=torch.tanh, split=lambda a, n, axis=-1: a.chunk(n, axis)
            )

        def forward(self, x):
            state, outputs = (torch.from_numpy(zero), torch.from_numpy(zero)), []
            for x_t in x:
                state = forward_of[CELL](self.functions, self, x_t, state)
                outputs.append(state[0])
            return torch.stack(outputs), state

    if peer == "minigrad":
        from minigrad.interop import torch as bridge

        layer = bridge.module(ours(point, parameters))
    else:
        layer = Own() if peer == "eager" else torch.compile(Own())
    last = torch.nn.Linear(point[3], 1, bias=False)
    last.load_state_dict({"weight": torch.from_numpy(head)})
    optimizer = torch.optim.SGD([*layer.parameters(), *last.parameters()], lr=RATE)
    x, target = torch.from_numpy(x), torch.from_numpy(target)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(last(layer(x)[0][-1]), target)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def in_jax(peer, point):
    import jax
    import jax.numpy as jnp

    parameters, head, x, target, zero = jax.tree.map(jnp.asarray, data(point))
    functions = SimpleNamespace(
        sigmoid=jax.nn.sigmoid, tanh=jnp.tanh, split=lambda a, n, axis=-1: jnp.split(a, n, axis)
    )

    def scan(parameters, x):
        def one(state, x_t):
            state = forward_of[CELL](functions, SimpleNamespace(**parameters), x_t, state)
            return state, state[0]

        return jax.lax.scan(one, (zero, zero), x)[1]

    if peer == "minigrad":
        from minigrad.interop import jax as bridge

        f = bridge.function(ours(point, data(point)[0]))

        def layer(parameters, x):
            return f({f"{name}_l0": value for name, value in parameters.items()}, x)[0]
    else:
        layer = scan

    @jax.jit
    def update(weights):
        def loss(weights):
            return ((layer(weights["cell"], x)[-1] @ weights["head"].T - target) ** 2).mean()

        value, gradients = jax.value_and_grad(loss)(weights)
        return value, jax.tree.map(lambda w, g: w - RATE * g, weights, gradients)

    now = {"weights": {"cell": parameters, "head": head}}

    def step():
        value, now["weights"] = jax.block_until_ready(update(now["weights"]))
        return value

    return step


def work(task, loop, peer, point, cpu=False):
    step = {"torch": in_torch, "jax": in_jax}[loop](peer, tuple(point))
    if task == "loss":
        return [float(step()) for _ in range(3)]
    return seconds_per_call(step, 2.0, time.process_time if cpu else time.perf_counter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loops", nargs="*", default=["torch", "jax"], choices=["torch", "jax"])
    parser.add_argument("--points", nargs="*", default=POINTS, type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="cores that each peer may use")
    parser.add_argument("--compiled", action="store_true", help="torch.compile, too")
    parser.add_argument("--cpu", action="store_true", help="CPU time in place of the clock")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        os.sched_setaffinity(0, range(options.cores))
        return answer(work)
    for loop in options.loops:
        peers = PEERS[loop] + ["compiled"] * (options.compiled and loop == "torch")
        for point in options.points:
            times: dict = {peer: [] for peer in peers}
            losses = {}
            for r in range(options.rounds):
                for peer in peers:
                    with Worker("--worker", "--cores", str(options.cores)) as worker:
                        if r == 0:
                            losses[peer] = worker.ask("loss", loop, peer, point)
                        times[peer].append(worker.ask("time", loop, peer, point, options.cpu))
            report(loop, point, times, losses)


def report(loop: str, point: tuple, times: dict, losses: dict) -> None:
    mine = times["minigrad"]
    failed = {peer: t for peer, values in times.items() for t in values if isinstance(t, str)}
    if failed:
        sys.exit(f"{loop} {point}: {failed}")
    line = f"{loop} {point}: minigrad {1e3 * statistics.median(mine):.3g} ms"
    for peer in list(times)[1:]:
        ratios = [theirs / our for theirs, our in zip(times[peer], mine)]
        apart = max(abs(a - b) / abs(b) for a, b in zip(losses["minigrad"], losses[peer]))
        line += (
            f"; {peer} {statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f}), losses {apart:.0e} apart"
        )
    print(line, flush=True)


if __name__ == "__main__":
    main()
