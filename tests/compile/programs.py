"""What the tests of jit share: small programs, and the comparison with eager code."""

from collections import namedtuple
from dataclasses import replace

import numpy as np

import minigrad as mg
from minigrad.ir import rules
from minigrad.ops.table import table

Pair = namedtuple("Pair", "a b")
T, B, H = 5, 3, 4


def draw(seed, *shape, dtype="float64", grad=True):
    return mg.tensor(np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype), requires_grad=grad)


def leaves(tree):
    return [x for x in mg.tree.flatten(tree)[0] if isinstance(x, mg.Tensor)]


def results_and_gradients(f, wanted, *args, **kwargs):
    """Arrays of the results of f and of the gradients of a random functional of them."""
    for x in wanted:
        x.grad = None
    results = leaves(f(*args, **kwargs))
    rng = np.random.default_rng(0)
    terms = [(y * rng.uniform(0.5, 1.5, y.shape).astype(y.dtype)).sum() for y in results if y.requires_grad]
    if terms:
        sum(terms).backward()
    gradients = [None if x.grad is None else x.grad.numpy() for x in wanted]
    return [y.detach().numpy() for y in results], gradients


def same(f, wanted, *args, rtol=1e-10, **kwargs):
    """jit(f), after a check that it gives what f gives, with the same gradients of `wanted`."""
    jitted = f if hasattr(f, "explain") else mg.jit(f)
    with mg.disable_jit():
        values, gradients = results_and_gradients(f, wanted, *args, **kwargs)
    for _ in range(2):  # traced, then found
        got, pulled = results_and_gradients(jitted, wanted, *args, **kwargs)
        for a, b in zip(got + pulled, values + gradients, strict=True):
            assert (a is None) == (b is None)
            if b is not None:
                assert a.dtype == b.dtype and a.shape == b.shape
                np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
    return jitted


def without_kernels(monkeypatch, *names):
    """Let no kernel compute these ops."""
    for name in names:
        op = table[name]
        monkeypatch.setitem(rules.known, op, replace(rules.rule_of(op), kernel=None, lower=None))


def calls_of_python(loop) -> set:
    """The ops for which the kernel of a loop, one of those of a report, calls Python."""
    return {task.split(":")[1].split(",")[0].strip() for task in loop.tasks if "call of Python" in task}


def cell(h, x):
    h = mg.tanh(0.5 * h + x)
    return h, h * h


def looped(h, xs):
    return mg.scan(cell, h, xs)
