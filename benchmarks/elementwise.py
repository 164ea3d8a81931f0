"""Elementwise kernels by size, against NumPy's own and against ours in one thread (which tells from where on two pay).

python benchmarks/elementwise.py [--rounds 3]
"""

import numpy as np
from side_by_side import main

OPS = ["add", "mul", "exp", "log", "tanh", "sin", "sqrt", "maximum", "where"]
CASES = [
    (name, dtype, size)
    for name in OPS
    for dtype in ("float32", "float64")
    for size in (1 << 12, 1 << 16, 1 << 18, 1 << 20)
]
NUMPY = {"mul": np.multiply}


def operands(case):
    name, dtype, size = case
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(0.1, 3, size).astype(dtype) for _ in range(2))
    return {"add": [x, y], "mul": [x, y], "maximum": [x, y], "where": [x > y, x, y]}.get(name, [x])


def repeated(function, size):
    """One call is too short to time: as many as make up a million elements."""
    return lambda: [function() for _ in range(max(1, (1 << 20) // size))] and None


def with_minigrad(case):
    import minigrad as mg

    inputs = [mg.tensor(x) for x in operands(case)]
    op = getattr(mg, case[0])
    return repeated(lambda: op(*inputs), case[2])


def with_numpy(case):
    inputs = operands(case)
    function = NUMPY.get(case[0]) or getattr(np, case[0])
    return repeated(lambda: function(*inputs), case[2])


def with_one_thread(case):
    from minigrad.kernels import threads

    threads.LARGE = case[2] + 1
    return with_minigrad(case)


if __name__ == "__main__":
    main(__doc__, {"minigrad": with_minigrad, "numpy": with_numpy, "one thread": with_one_thread}, CASES, budget=0.3)
