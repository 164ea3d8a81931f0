"""Finding what went wrong: the op that made the first NaN or infinity, and what the layers of a module are."""

import itertools
from collections import Counter
from contextlib import ExitStack
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.arguments import checked
from minigrad.compile.switch import disable_jit
from minigrad.deferred import DeferredProduct
from minigrad.modes import no_grad
from minigrad.nn.module import Module
from minigrad.observe import Observer, replaced
from minigrad.sharing import key_of
from minigrad.sites import call_site, line_of_site
from minigrad.tensor import Tensor

__all__ = ["detect_anomaly", "summary"]


class detect_anomaly(Observer):
    """`with mg.detect_anomaly():` the first op that makes a NaN or an infinity raises FloatingPointError.

    The error names the op, the line that called it, the step of `mg.scan` (and how often the line had run), what the op
    was given; backward, the op whose vjp it was, and the line and step that recorded it. An infinity that comes in as a
    constant, a mask of -inf say, is no anomaly; a NaN that comes in is one, in the op that meets it. Jitted functions
    run op by op. Every result is looked at: several times slower.

    Examples
    --------
    >>> with mg.detect_anomaly():  # doctest: +IGNORE_EXCEPTION_DETAIL
    ...     mg.log(mg.tensor([1.0, -1.0]))
    Traceback (most recent call last):
    FloatingPointError: detect_anomaly: forward, log gave nan in 1 of 2 places, ...
    """

    def __enter__(self) -> "detect_anomaly":
        self.t, self.inside = None, 0
        self.runs: Counter = Counter()
        self.steps: dict = {}
        self.undo = disable_jit()
        self.undo.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self.undo.__exit__(*error)
        super().__exit__(*error)

    def step(self, f, t, run):
        before, self.t = self.t, t
        try:
            return run()
        finally:
            self.t = before

    def recorded(self, tensor):
        self.steps[tensor._node.seq] = self.t

    def kernel(self, op, run, arrays):
        self.inside += 1
        try:
            result = run()
        finally:
            self.inside -= 1
        if not self.inside:
            site = call_site()
            self.runs[site] += 1
            if fault := fault_of(result, arrays):
                count = f", which ran for the {ordinal(self.runs[site])} time" if self.runs[site] > 1 else ""
                raise FloatingPointError(
                    f"detect_anomaly: forward, {op.name} {fault}{of_step(self.t)}, at {line_of_site(site)}{count}"
                )
        return result

    def pull(self, node, run, cotangent):
        self.inside += 1
        try:
            pulled = run()
        finally:
            self.inside -= 1
        if not self.inside and (fault := fault_of(pulled, [cotangent, *node.saved])):
            raise FloatingPointError(
                f"detect_anomaly: backward, the vjp of {node.op.name} {fault}"
                f"{of_step(self.steps.get(node.seq))}; recorded at {node.line}"
            )
        return pulled


def arrays_in(x):
    """The float arrays in what an op takes or gives."""
    if isinstance(x, (list, tuple)):
        return itertools.chain.from_iterable(map(arrays_in, x))
    if type(x) is DeferredProduct:
        x = x.value()
    x = x._data if isinstance(x, Tensor) else x
    return [x] if isinstance(x, (np.ndarray, np.generic, float)) and np.asarray(x).dtype.kind == "f" else []


def fault_of(results, given) -> str:
    """What is wrong with the results of an op; "" if nothing is."""
    for y in arrays_in(results):
        finite = np.isfinite(y)
        if finite.all():
            continue
        inputs = [np.asarray(x) for x in arrays_in(given)]
        came_in = any(np.isnan(x).any() for x in inputs)
        if not np.isnan(y).any() and any(not np.isfinite(x).all() for x in inputs):
            continue  # infinities out of infinities
        place = tuple(map(int, np.argwhere(~finite)[0]))
        what = f"gave {np.asarray(y)[place]} in {np.sum(~finite):,} of {np.size(y):,} places, first at {list(place)}"
        ranges = [f"{x.dtype}{list(x.shape)} from {x.min():.4g} to {x.max():.4g}" for x in inputs if x.size]
        return f"{what}, of {' and '.join(ranges)}" + (" (the NaN was there before)" if came_in else "")
    return ""


def of_step(t) -> str:
    return "" if t is None else f" at step {t}"


def ordinal(n: int) -> str:
    return f"{n:,}{'th' if 10 <= n % 100 <= 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


@checked
def summary(module: Module, *inputs) -> None:
    """Print a module's layers as they are called: output shapes, parameters, calls. Nothing is recorded.

    A layer that is called at every step of a loop is one line, with the number of calls. Parameters of a layer include
    those of the layers in it; one that is shared is counted once in the total.

    Parameters
    ----------
    module
        The module.
    *inputs
        What it is called on: tensors or arrays.

    Examples
    --------
    >>> mg.debug.summary(nn.Sequential(nn.Linear(3, 4), mg.tanh, nn.Linear(4, 1)), mg.zeros((2, 3)))
    layer       output parameters calls
    Sequential  [2, 1]         21     1
      0: Linear [2, 4]         16     1
      2: Linear [2, 1]          5     1
    21 parameters, 8.4e-05 MB
    """
    outputs: dict = {}
    calls: Counter = Counter()

    def wrap(call):
        def watched(part, *args, **kwargs):
            result = call(part, *args, **kwargs)
            calls[key_of(part)] += 1
            outputs[key_of(part)] = result
            return result

        return watched

    with ExitStack() as stack:
        stack.enter_context(no_grad())
        stack.enter_context(disable_jit())
        stack.enter_context(replaced(Module, "__call__", wrap))
        module(*inputs)
    rows = [("layer", "output", "parameters", "calls")]
    for name, part in module.named_modules():
        key = key_of(part)
        label = f"  {name}: " * bool(name) + type(part).__name__
        count = sum(p.size for p in part.parameters())
        rows.append((label, shapes(outputs[key]) if calls[key] else "not called", f"{count:,}", f"{calls[key]:,}"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for label, output, *numbers in rows:
        print(label.ljust(widths[0]), output.ljust(widths[1]), *[n.rjust(w) for n, w in zip(numbers, widths[2:])])
    parameters = list(module.parameters())
    size = sum(p._data.nbytes for p in parameters)
    print(f"{sum(p.size for p in parameters):,} parameters, {size / 1e6:.3g} MB")


def shapes(result) -> str:
    """Shapes of what a module gave, in its structure."""
    if isinstance(result, Tensor):
        return str(list(result.shape))
    if isinstance(result, (tuple, list)):
        return f"({', '.join(map(shapes, result))})"
    if isinstance(result, dict):
        return f"{{{', '.join(f'{k}: {shapes(v)}' for k, v in result.items())}}}"
    leaves = tree.flatten(result)[0]
    return type(result).__name__ if leaves == [result] else shapes(tuple(leaves))
