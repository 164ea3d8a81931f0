"""Break each vjp of the op table by a factor and see whether the tests notice: `python tests/mutation.py`.

A mutant's vjp is 1.01 times what it should be (where it should be 0: 1% of the cotangent), on arrays as on tensors.
No kernel is compiled for it: the factor stands behind the kernel. Prints a line for each mutant, and ends with 1 if one
survives the check of test_table.py against central differences.
"""

import sys
from contextlib import contextmanager
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from minigrad.ops.elementwise import ZERO
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table
from minigrad.testing import Draw

sys.path.insert(0, str(Path(__file__).parent / "ops"))
from test_table import check_vjp

FACTOR = 1.01


def wrong(vjp, is_zero):
    """The vjp, off by a factor. A vjp of several arrays gives a list."""

    def off(g, *saved):
        pulled = g * (FACTOR - 1) if is_zero else vjp(g, *saved)
        if isinstance(pulled, (list, tuple)):
            return [None if p is None else p * FACTOR for p in pulled]
        return pulled if is_zero else pulled * FACTOR

    return off


def wrong_for(vjp, k: int):
    """A vjp of all inputs at once, off by a factor for one of them."""

    def off(g, *saved):
        return [p * FACTOR if i == k and p is not None else p for i, p in enumerate(vjp(g, *saved))]

    return off


class WrongKernels:
    """Stands where an elementwise vjp's kernels by dtype do."""

    def __init__(self, kernels, is_zero):
        self.kernels, self.is_zero = kernels, is_zero

    def __getitem__(self, dtype):
        return wrong(lambda g, *saved: g if self.kernels is None else self.kernels[dtype](g, *saved), self.is_zero)


@contextmanager
def mutant(op, name: str):
    """The op with the vjp of one input broken, for as long as the context lasts."""
    k = op.inputs.index(name)
    is_zero = isinstance(op, Elementwise) and op.derivatives[name] == ZERO
    before = op.plans, getattr(op, "raw_plans", None), op.together
    vjp, saved = op.plans[k]
    op.plans = [*op.plans[:k], (wrong(vjp, is_zero), saved), *op.plans[k + 1 :]]
    op.together = op.together and (wrong_for(op.together[0], k), op.together[1])
    if isinstance(op, Elementwise):
        kernels, saved = op.raw_plans[k]
        op.raw_plans = [*op.raw_plans[:k], (WrongKernels(kernels, is_zero), saved), *op.raw_plans[k + 1 :]]
    try:
        yield
    finally:
        op.plans, op.together = before[0], before[2]
        if before[1] is not None:
            op.raw_plans = before[1]


def is_noticed(name: str) -> bool:
    @settings(max_examples=12, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(st.data())
    def check(data):
        check_vjp(name, Draw(data))

    try:
        check()
    except AssertionError:
        return True
    return False


def survivors(report=lambda line: None) -> list[str]:
    """Names of the mutants that no test notices; of the ops too that fail without being broken."""
    found = []
    for name, op in sorted(table.items()):
        if op.vjps and is_noticed(name):
            found.append(f"{name}, unbroken")
        for x in op.vjps:
            with mutant(op, x):
                noticed = is_noticed(name)
            report(f"{name:24}{x:12}{'noticed' if noticed else 'SURVIVES'}")
            if not noticed:
                found.append(f"{name} with respect to {x}")
    return found


if __name__ == "__main__":
    alive = survivors(print)
    print("every mutant is noticed" if not alive else f"not noticed: {', '.join(alive)}")
    sys.exit(1 if alive else 0)
