"""What `mg.profile` costs when it is on: the same training step of an LSTM with and without it, in turn.

Off, nothing of it is in the engine. Times are of the processor in this thread, the least of some: other work on the
machine does not count. python benchmarks/profile_cost.py
"""

import time

import numpy as np

import minigrad as mg
from minigrad.models import LSTMCell, Recurrent

TURNS = 15


def seconds(step) -> float:
    start = time.thread_time()
    step()
    return time.thread_time() - start


def compare(name: str, layer, x, tasks: bool = False) -> None:
    def step():
        layer.zero_grad()
        output, _ = layer(x)
        (output * output).sum().backward()

    def profiled() -> tuple[float, float]:
        """Of the step, and of entering and leaving."""
        start = time.thread_time()
        with p:
            p.take_loops(warm)
            inside = seconds(step)
        return inside, time.thread_time() - start - inside

    with mg.profile(tasks=tasks) as warm:
        step()
    p = mg.profile(tasks=tasks)
    pairs = [(seconds(step), *profiled()) for _ in range(TURNS)]
    off, on, around = (min(column) for column in zip(*pairs))
    print(
        f"{name:38}{1e3 * off:9.2f} ms off{1e3 * on:9.2f} ms on   x{on / off:.2f}{len(p.events):8,} events"
        f"{1e6 * (on - off) / len(p.events):7.2f} us each{1e3 * around:7.2f} ms around"
    )


def main() -> None:
    for steps, batch, size in ((100, 1, 32), (100, 16, 64)):
        x = mg.tensor(np.random.default_rng(0).standard_normal((steps, batch, size)).astype(np.float32))
        name = f"LSTM (T, B, H) = ({steps}, {batch}, {size})"
        compare(f"{name}, eager", Recurrent(LSTMCell(size, size)), x)
        compare(f"{name}, jit", mg.jit(Recurrent(LSTMCell(size, size))), x)
        compare(f"{name}, jit, tasks", mg.jit(Recurrent(LSTMCell(size, size))), x, tasks=True)


if __name__ == "__main__":
    main()
