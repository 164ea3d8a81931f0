"""What the properties of a cell are made of: a case that was drawn, its cell, and runs that can be compared."""

import copy
import functools
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minigrad import nn, tape, tree
from minigrad.nn.cell import example_input, first_step, initial_state, take_step
from minigrad.nn.declared import batch_axes, example_context
from minigrad.tensor import Tensor

EPS = 1e-5  # of central differences


class Case(NamedTuple):
    """What is drawn. Smaller is simpler; sizes are None for a cell that is made already."""

    sizes: tuple[int, int] | None
    steps: int
    batch: int
    dtype: str
    scale: float
    seed: int

    def __str__(self):
        sizes = "input={} hidden={} ".format(*self.sizes) if self.sizes else ""
        return f"{sizes}T={self.steps} B={self.batch} {self.dtype} scale={self.scale:g} seed={self.seed}"


class Wrong(Exception):
    """A property does not hold: what is where, and `line`, the op and the line of code that it points at, or a function
    that finds them, for which there is time once the counterexample is small."""

    def __init__(self, what: str, line: str | Callable[[], str | None] | None = None):
        super().__init__(what)
        self.line = line


class Skipped(Exception):
    """A property does not apply; the message says why."""


class Trial:
    """A case with the numbers that belong to it; two trials of one case are the same."""

    def __init__(self, make, case: Case):
        self.make, self.case = make, case
        self.note: str | None = None  # what a property that holds has to say
        self.dtype = np.dtype(case.dtype)

    @functools.cached_property
    def x(self) -> np.ndarray:
        return self.input(np.random.default_rng([self.case.seed, 0]))

    def input(self, rng) -> np.ndarray:
        """x (T, B, ...) of the case's dtype, from N(0, scale²)."""
        size = self.case.sizes and self.case.sizes[0]
        return self.case.scale * example_input(self.cell(), self.case.steps, self.case.batch, rng, size).astype(
            self.dtype
        )

    def made(self):
        """What is made of the sizes, or a copy of the cell given. The global generator is as before."""
        generator = nn.default_generator.bit_generator
        before = generator.state
        try:
            nn.manual_seed(self.case.seed)
            return self.make(*self.case.sizes) if self.case.sizes else copy.deepcopy(self.make)
        finally:
            generator.state = before

    def context(self, draw: int):
        """What the steps of the cell read, None if it reads nothing: of the shapes of another draw, other numbers."""
        length = int(np.random.default_rng([self.case.seed, 6]).integers(1, 5))
        rng = np.random.default_rng([self.case.seed, 6, draw])
        context = example_context(self.made(), self.case.batch, rng, length, self.dtype)
        return tree.map(lambda c: c if c.dtype == bool else self.case.scale * c, context)

    def cell(self, rows=None, changed: int | None = None) -> nn.Module:
        """The cell, made anew, in evaluation, its parameters drawn: none is 0 or 1, so that none hides an error. One
        that reads a context has it: that of these rows of the batch; changed: a row that has another one."""
        cell = self.made().astype(self.dtype).eval()
        rng = np.random.default_rng([self.case.seed, 1])
        for parameter in cell.parameters():
            values = rng.uniform(0.2, 1.0, parameter.shape) * rng.choice([-1.0, 1.0], parameter.shape)
            parameter._data = (self.case.scale * values).astype(self.dtype)
        context, structure = tree.flatten(self.context(0))
        if not context:
            return cell
        axes = batch_axes(cell)
        if changed is not None:
            for axis, c, other in zip(axes, context, tree.flatten(self.context(1))[0]):
                np.moveaxis(c, axis, 0)[changed] = np.moveaxis(other, axis, 0)[changed]
        if rows is not None:
            context = [c.take(rows, axis) for axis, c in zip(axes, context)]
        return Reading(cell, tree.unflatten(structure, context))

    def cotangents(self, outputs) -> list[np.ndarray]:
        """One for each output, between 1/2 and 3/2 of either sign."""
        rng = np.random.default_rng([self.case.seed, 2])
        return [directions(rng, y.shape).astype(y.dtype) for y in outputs]


class Reading(nn.Module):
    """A cell and the context that its steps read: leaves, as x is."""

    def __init__(self, cell, context):
        self.cell, self.context = cell, tree.map(lambda c: Tensor(c) if c.dtype == bool else leaf(c), context)

    def __getattr__(self, name: str):
        if name in ("cell", "context", "context_shape"):  # not there yet, as in a copy; or no more to be given
            raise AttributeError(name)
        return getattr(self.cell, name)

    def forward(self, x, state, *shared):
        return self.cell(x, state, *shared, context=self.context)

    def initial_state(self, x):
        return initial_state(self.cell, x[None])


def directions(rng, shape) -> np.ndarray:
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


class Run:
    """A cell's steps over x (T, B, ...), a tensor: the outputs of all steps and the leaves of the last state, with
    their names. `watcher`, an observer of tensors, is told which step it is."""

    def __init__(self, cell, x: Tensor, state=None, watcher=None):
        self.before = state = initial_state(cell, x) if state is None else state
        shared = [cell.shared(first_step(x))] if hasattr(cell, "shared") else []
        ys = []
        for t in range(len(x)):
            if watcher:
                watcher.at_step = t
            y, state = take_step(cell, x[t], state, *shared)
            ys.append(y)
        self.state = state
        self.outputs: list[Any] = [*ys, *tree.flatten(state)[0]]
        self.names = [f"the output at step {t}" for t in range(len(ys))] + tree.names(state, "the last state")
        self.arrays = [y._data for y in self.outputs]


def layer_outputs(layer, x, lengths=None) -> tuple[list[Tensor], list[str]]:
    """What a `Recurrent` returns, flat, and its names."""
    returned = layer(x, lengths=lengths)
    return tree.flatten(returned)[0], ["the output", *tree.names(returned[1], "the last state")]


def leaf(array: np.ndarray) -> Tensor:
    return Tensor(array.copy()).requires_grad_()


def leaves_of(cell, x: Tensor) -> list[tuple[str, Tensor]]:
    read = cell.context if isinstance(cell, Reading) else None
    named = zip(tree.names(read, "the context"), tree.flatten(read)[0])
    return [
        ("x", x),
        *((name, c) for name, c in named if c.requires_grad),
        *((f"parameter {name}", p) for name, p in cell.named_parameters()),
    ]


def gradients_of(outputs, cotangents, wanted) -> list[np.ndarray]:
    """Of <cotangents, outputs> with respect to each of the nodes `wanted`; zeros where nothing arrives."""
    roots = [(y._node, v) for y, v in zip(outputs, cotangents) if y._node is not None]
    found = tape.pull_back(*zip(*roots), wanted=set(wanted), keep=True) if roots else {}  # type: ignore[misc]
    return [np.asarray(found.get(node, np.zeros(node.shape, node.dtype))) for node in wanted]


@contextmanager
def values_of(tensors, arrays):
    """Within, the tensors (parameters, say) hold these arrays, or stand for these tensors."""
    before = [(t._data, t._node) for t in tensors]
    try:
        for t, a in zip(tensors, arrays):
            t._data, t._node = (a._data, a._node) if isinstance(a, Tensor) else (a, t._node)
        yield
    finally:
        for t, (data, node) in zip(tensors, before):
            t._data, t._node = data, node


def rounding(run, cell) -> list[float]:
    """By how much the arrays that run() gives may be off by rounding alone: 64 times the largest number of all in the
    last place, and 64 times what changes where each parameter of the cell is nudged by a few units in the last place.

    A gradient that is 0 (of the bias of attention's keys, which a softmax does not see) is a sum that cancels: all its
    digits are rounding, and the largest number of its own array says nothing about it.
    """
    parameters, rng, before = list(cell.parameters()), np.random.default_rng(0), run()
    eps = max(float(np.finfo(p.dtype).eps) for p in parameters)
    largest = max(float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in before)
    changes = [eps * largest] * len(before)
    for _ in range(4):
        nudged = [p._data * (1 + 4 * eps * rng.choice([-1, 1], p.shape)).astype(p.dtype) for p in parameters]
        with values_of(parameters, nudged), np.errstate(all="ignore"):
            apart = [float(np.nan_to_num(np.abs(a - b)).max(initial=0)) for a, b in zip(before, run())]
        changes = list(map(max, changes, apart))
    return [64 * change for change in changes]


def difference(names, before, after, rtol: float = 0.0, atol=None) -> str | None:
    """Where two lists of arrays differ most, with both values; None if they agree within rtol of the largest number.

    NaN is equal to NaN. atol: what each array may differ by besides, 0 if it is not given.
    """
    worst, found = 0.0, None
    for name, a, b, slack in zip(names, before, after, atol or [0.0] * len(names), strict=True):
        if a.shape != b.shape:
            return f"{name} has shape {a.shape}, and then {b.shape}"
        with np.errstate(all="ignore"):
            apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))
            apart = np.where(np.isnan(apart), np.inf, apart)
            largest = max((np.abs(c[np.isfinite(c)]).max(initial=0) for c in (a, b)), default=0)
        if a.size and apart.max() > max(worst, rtol * largest + slack):
            worst = apart.max()
            index = tuple(int(k) for k in np.unravel_index(apart.argmax(), a.shape))
            found = f"{name}, element {index}: {a[index]:.6g} became {b[index]:.6g}"
    return found


def tolerance(dtype) -> float:
    """For results that are equal but for the order of sums."""
    return 1e4 * float(np.finfo(dtype).eps)
