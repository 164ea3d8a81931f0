"""Every published cell of benchmarks/zoo/: does it compile, and how fast is a training step of it?

    python benchmarks/zoo.py [NAMES] [--points large small] [--rounds 3] [--check]

For each cell: its lines; what minigrad's jit makes of its loop (kernels forward and backward; how many of their values
are calls of Python; whether threads divide the batch); and the time of a training step (forward, and backward for the
parameters and the input from a cotangent of the output) of mg.jit, with ratios of eager minigrad, of the same cell in
PyTorch eager and in JAX's jitted scan: the peer's time over ours, so more is better. Each works in a process of its
own; they take turns. At the end geometric means.

Points (T, B, I, H): large is 64,32,128,128; small is 128,1,64,64. --check compares outputs and gradients with those of
the peers.

The peers are not requirements of minigrad: pip install torch jax (for the CPU). What is not there is left out.
"""

import argparse
import importlib.util
import inspect
import os
import statistics
import tempfile
from contextlib import ExitStack
from types import SimpleNamespace

from side_by_side import Worker, answer, seconds_per_call
from zoo import CELLS, frameworks

POINTS = {"large": (64, 32, 128, 128), "small": (128, 1, 64, 64)}
CHECKED = (4, 6, 32, 32)
PEERS = {"eager": "minigrad", "torch": "torch", "jax": "jax"}  # and what must be installed


# What a worker does.


def minigrad_step(name: str, point, compiled: bool) -> SimpleNamespace:
    """train() -> (output, gradients by name); explain()."""
    import numpy as np

    import minigrad as mg

    cell = CELLS[name]
    numbers = cell.numbers(*point)
    layer = frameworks.minigrad()[1](cell)
    layer = mg.jit(layer) if compiled else layer

    def leaf(a):
        return mg.tensor(a, requires_grad=a.dtype.kind == "f")

    parameters, x = mg.tree.map(leaf, (numbers.parameters, numbers.x))
    state = mg.tree.map(mg.tensor, numbers.state)
    with mg.no_grad():
        G = mg.tensor(cotangent(layer(parameters, x, state).shape))
    xs = [a for a in (x if isinstance(x, tuple) else (x,)) if a.requires_grad]
    leaves = parameters | {f"x{k}": a for k, a in enumerate(xs)}

    def train():
        for a in leaves.values():
            a.grad = None
        y = layer(parameters, x, state)
        y.backward(G)
        return y.detach(), {k: a.grad if a.grad is not None else np.zeros(a.shape) for k, a in leaves.items()}

    return SimpleNamespace(train=train, explain=lambda: layer.explain(parameters, x, state))


def torch_step(name: str, point) -> SimpleNamespace:
    import torch

    cell = CELLS[name]
    numbers = cell.numbers(*point)
    layer = frameworks.torch()[1](cell)

    def tensors(a):
        if isinstance(a, tuple):
            return tuple([tensors(b) for b in a])
        return torch.as_tensor(a)

    parameters, x, state = (
        {k: tensors(a) for k, a in numbers.parameters.items()},
        tensors(numbers.x),
        tensors(numbers.state),
    )
    xs = [a for a in (x if isinstance(x, tuple) else (x,)) if a.is_floating_point()]
    leaves = parameters | {f"x{k}": a for k, a in enumerate(xs)}
    for a in leaves.values():
        a.requires_grad_()
    G = torch.from_numpy(cotangent(layer(parameters, x, state).shape))

    def train():
        for a in leaves.values():
            a.grad = None
        y = layer(parameters, x, state)
        y.backward(G)
        return y.detach(), {k: a.grad if a.grad is not None else torch.zeros(a.shape) for k, a in leaves.items()}

    return SimpleNamespace(train=train)


def jax_step(name: str, point) -> SimpleNamespace:
    import jax
    import jax.numpy as jnp

    cell = CELLS[name]
    numbers = cell.numbers(*point)
    layer = frameworks.jax()[1](cell)
    parameters, x, state = jax.tree.map(jnp.asarray, (numbers.parameters, numbers.x, numbers.state))
    G = jnp.asarray(cotangent(jax.eval_shape(layer, parameters, x, state).shape))

    @jax.jit
    def forward_and_backward(parameters, x, state, G):
        flat = x if isinstance(x, tuple) else (x,)
        smooth = [a for a in flat if a.dtype.kind == "f"]

        def of(parameters, smooth):
            rest = iter(smooth)
            new = [next(rest) if a.dtype.kind == "f" else a for a in flat]
            return layer(parameters, tuple(new) if isinstance(x, tuple) else new[0], state)

        y, vjp = jax.vjp(of, parameters, smooth)
        gradients, xs = vjp(G)
        return y, gradients | {f"x{k}": a for k, a in enumerate(xs)}

    return SimpleNamespace(train=lambda: jax.block_until_ready(forward_and_backward(parameters, x, state, G)))


def cotangent(shape):
    import numpy as np

    return np.random.default_rng(1).standard_normal(shape, "float32")


def step_of(peer: str, name: str, point) -> SimpleNamespace:
    if peer in ("jit", "eager"):
        return minigrad_step(name, point, peer == "jit")
    return {"torch": torch_step, "jax": jax_step}[peer](name, point)


def work(task: str, peer: str, name: str, point, *arguments):
    step = step_of(peer, name, point)
    if task == "time":
        return seconds_per_call(step.train, *arguments)
    if task == "save":
        import numpy as np

        y, gradients = step.train()
        np.savez(arguments[0], output=np.asarray(y), **{k: np.asarray(g) for k, g in gradients.items()})
        return None
    return kernels(step.explain())


def kernels(explanation) -> dict:
    """Of the loops that jit made: how many have kernels, the calls of Python in these, whether threads divide them."""
    loops = explanation.loops
    return {
        "forward": sum(loop.source is not None for loop in loops if "forward" in loop.direction),
        "backward": sum(loop.source is not None for loop in loops if "backward" in loop.direction),
        "steps": [loop.why_not for loop in loops if loop.source is None],
        "calls": [task for loop in loops for task in loop.tasks if task.startswith("call of Python")],
        "divided": [loop.divided for loop in loops],
    }


# What the parent asks, and prints.


def lines_of(name: str) -> int:
    """Of the step itself: neither its declaration, its reference nor empty lines."""
    step = CELLS[name].step
    source = inspect.getsource(step)
    source = source[source.index(f"def {name}") :].replace(f'"""{step.__doc__}"""', "")
    return sum(bool(line.strip()) for line in source.splitlines()[1:])


def compare(options) -> None:
    times: dict = {}
    for r in range(options.rounds):
        with ExitStack() as stack:
            workers = {peer: stack.enter_context(Worker("--worker")) for peer in options.peers}
            for name in options.names:
                if r == 0:
                    show_kernels(name, workers["jit"])
                for point in options.points:
                    for peer, worker in workers.items():
                        seconds = worker.ask("time", peer, name, POINTS[point], options.seconds)
                        if isinstance(seconds, str):
                            print(f"  {name} {point}: {peer} failed: {seconds}", flush=True)
                        else:
                            times.setdefault((name, point), {}).setdefault(peer, []).append(seconds)
                    if r == options.rounds - 1 and "jit" in times.get((name, point), {}):
                        show(name, point, times[name, point])
    for point in options.points:
        found = [by_peer for (_, at), by_peer in times.items() if at == point and "jit" in by_peer]
        means = [
            f"{peer} {statistics.geometric_mean(rates):.2f} (least {min(rates):.2f})"
            for peer in options.peers[1:]
            if (rates := [ratio(by_peer, peer)[0] for by_peer in found if peer in by_peer])
        ]
        print(f"{point}: geometric mean over {len(found)} cells: {', '.join(means)}")


def show_kernels(name: str, worker) -> None:
    found = worker.ask("kernels", "jit", name, CHECKED)
    if isinstance(found, str):
        print(f"{name}: jit failed: {found}", flush=True)
        return
    text = f"{found['forward']} kernels forward, {found['backward']} backward"
    text += f", {len(found['calls'])} calls of Python" if found["calls"] else ""
    text += "".join(f", steps one by one ({reason})" for reason in found["steps"])
    text += ", divided" if all(found["divided"]) else ", one thread" if not any(found["divided"]) else ", half divided"
    print(f"{name}: {lines_of(name)} lines, {text}", flush=True)


def ratio(by_peer: dict, peer: str) -> tuple[float, float, float]:
    """Median, least and most of the peer's time over ours, a round each."""
    rates = [theirs / our for theirs, our in zip(by_peer[peer], by_peer["jit"])]
    return statistics.median(rates), min(rates), max(rates)


def show(name: str, point: str, by_peer: dict) -> None:
    line = f"  {name} {point}: {1e3 * statistics.median(by_peer['jit']):.3g} ms"
    for peer in by_peer:
        if peer != "jit":
            middle, least, most = ratio(by_peer, peer)
            line += f"; {peer} {middle:.2f} ({least:.2f}..{most:.2f})"
    print(line, flush=True)


def check(options) -> None:
    """Largest differences of outputs and gradients from ours, relative to each array's largest value."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {peer: stack.enter_context(Worker("--worker")) for peer in options.peers}
        for name in options.names:
            results = {}
            for peer, worker in workers.items():
                if failure := worker.ask("save", peer, name, CHECKED, f"{folder}/{peer}.npz"):
                    print(f"BAD {name} {peer} failed: {failure}", flush=True)
                else:
                    results[peer] = dict(np.load(f"{folder}/{peer}.npz"))
            ours = results.pop("jit", {})
            for peer, arrays in results.items():
                worst, where = max(
                    (float(np.nan_to_num(abs(arrays[k] - a).max() / (abs(a).max() + 1e-3), nan=np.inf)), k)
                    for k, a in ours.items()
                )
                print(f"{'ok ' if worst < 1e-4 else 'BAD'} {name} {peer}: {worst:.1e} ({where})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAMES", help=f"default: all: {', '.join(CELLS)}")
    parser.add_argument("--points", nargs="+", choices=POINTS, default=list(POINTS))
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of calls that one time is the median of")
    parser.add_argument("--check", action="store_true", help="do outputs and gradients agree?")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        answer(work)
        return
    options.names = options.names or list(CELLS)
    if unknown := [name for name in options.names if name not in CELLS]:
        parser.error(f"no cells {', '.join(unknown)}; there are {', '.join(CELLS)}")
    for peer in list(options.peers):
        if importlib.util.find_spec(PEERS[peer]) is None:
            print(f"{peer} is left out: pip install {PEERS[peer]}")
            options.peers.remove(peer)
    options.peers = ["jit", *options.peers]
    print(f"load before {os.getloadavg()[0]:.2f}", flush=True)
    (check if options.check else compare)(options)


if __name__ == "__main__":
    main()
