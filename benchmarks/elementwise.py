"""Elementwise kernels by size, against NumPy's own and against ours divided between threads: from where they pay.

    python benchmarks/elementwise.py [--rounds 3]

Into an output that is there already; one thread but for the last peer.
"""

import numpy as np
from side_by_side import main

OPS = ["add", "mul", "exp", "log", "tanh", "sin", "sqrt", "maximum"]
CASES = [
    (name, dtype, size) for name in OPS for dtype in ("float32", "float64") for size in (1 << 12, 1 << 16, 1 << 20)
]
NUMPY = {"mul": "multiply"}


def operands(case):
    name, dtype, size = case
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(0.1, 3, size).astype(dtype) for _ in range(2))
    return {"add": [x, y], "mul": [x, y], "maximum": [x, y]}.get(name, [x])


def repeated(function, size):
    """One call is too short to time: as many as make up a million elements, their results let go one by one."""

    def calls():
        for _ in range(max(1, (1 << 20) // size)):
            function()

    return calls


def with_minigrad(case):
    import minigrad as mg

    inputs = operands(case)
    kernel, out = getattr(mg, case[0]).op.kernels[inputs[0].dtype], np.empty_like(inputs[0])
    return repeated(lambda: kernel(*inputs, out=out), case[2])


def with_numpy(case):
    inputs = operands(case)
    function, out = getattr(np, NUMPY.get(case[0], case[0])), np.empty_like(inputs[0])
    return repeated(lambda: function(*inputs, out=out), case[2])


def with_threads(case):
    import minigrad as mg
    from minigrad.kernels import pieces

    pieces.SHARED = pieces.LARGE = 0
    inputs = operands(case)
    kernel, out = getattr(mg, case[0]).op.kernels[inputs[0].dtype], np.empty_like(inputs[0])
    return repeated(lambda: pieces.split(kernel, *inputs, out=out), case[2])


if __name__ == "__main__":
    main(__doc__, {"minigrad": with_minigrad, "numpy": with_numpy, "threads": with_threads}, CASES, budget=0.3)
