"""Which op is it? Runs that are recorded op by op, and what can be told from two of them."""

import sysconfig
import traceback

import numpy as np

from minigrad.compile.jit import jit
from minigrad.observe import Observer
from minigrad.sites import call_site, of_the_engine
from minigrad.tape import Node, Pick, tape_of
from minigrad.tensor import Tensor
from minigrad.testing.gradients import pulled_back
from minigrad.testing.runs import (
    EPS,
    Run,
    Trial,
    difference,
    directions,
    gradients_of,
    leaf,
    leaves_of,
    tolerance,
)  # fmt: skip

PYTHON = sysconfig.get_path("stdlib")


class Recorder(Observer):
    """Every result that goes on the tape: (node, a copy of its values, step). change: (k, array), which is added to
    the k-th of them as soon as it is there, so that all that follows is computed from it."""

    def __init__(self, change=None):
        self.entries: list[tuple[Node, np.ndarray, int]] = []
        self.change, self.at_step, self.latest = change, 0, 0

    def recorded(self, tensor):
        if tensor._node.op is None or tensor._node.seq <= self.latest:  # what a vjp takes from its node is not new
            return
        self.latest = tensor._node.seq
        if self.change and len(self.entries) == self.change[0]:
            if tensor._data.base is not None:
                tensor._data = tensor._data.copy()
            tensor._data += self.change[1]  # in place: the node has saved this array for its vjp, perhaps
        self.entries.append((tensor._node, tensor._data.copy(), self.at_step))


def recorded(cell, x: np.ndarray) -> list:
    with Recorder() as recorder:
        Run(cell, leaf(x), watcher=recorder)
    return recorder.entries


def first_difference(before: list, after: list, allowed=lambda changed, step: False) -> str | None:
    """The first op whose result differs between two recordings where it is not allowed to; None if there is none."""
    for (node, a, step), (other, b, _) in zip(before, after):
        if node.op.name != other.op.name:  # another course
            return described(other)
        changed = ~((a == b) | ((a != a) & (b != b))) if a.shape == b.shape else np.ones(a.shape, bool)
        if changed.any() and not allowed(changed, step):
            return described(node)
    longer = max(before, after, key=len)[min(len(before), len(after)) :]
    return described(longer[0][0]) if longer else None


def only_row(row: int, batch: int):
    """Allows changes that are confined to one row of an axis that may be the batch."""

    def allowed(changed, step):
        places = np.nonzero(np.atleast_1d(changed))
        return any(n == batch and (place == row).all() for n, place in zip(changed.shape, places))

    return allowed


def described(*nodes: Node) -> str | None:
    """Ops and the lines of the cell that called them; None if no line did."""
    found: dict[str, list[str]] = {}
    caller, _ = call_site()
    for node in nodes:
        if node.site[0] is caller:  # recorded by us, on the way back perhaps
            continue
        names = found.setdefault(node.line, [])
        if node.op.name not in names:
            names.append(node.op.name)
    return "; ".join(f"{' or '.join(names)} at {line}" for line, names in found.items()) or None


def wrong_vjp(trial: Trial, name: str, agrees, second: bool = False) -> str | None:
    """The op whose vjp (second: of the vjp's ops, too) is wrong, found by changing the results of ops, the last first.

    The cotangent of an op's result is a sum over what takes it. Where it is wrong, and right for all that were computed
    later, one of those takers has a wrong vjp.
    """
    rng = np.random.default_rng(trial.case.seed)

    def run(change=None):
        cell, x = trial.cell(), leaf(trial.x)
        named = leaves_of(cell, x)
        with Recorder(change) as recorder:
            outputs = Run(cell, x, watcher=recorder).outputs
            if second:
                kept = [(y, Tensor(v)) for y, v in zip(outputs, trial.cotangents(outputs)) if y._node is not None]
                outputs = pulled_back([y for y, _ in kept], [("", v) for _, v in kept], named)
        return dict(named), outputs, recorder.entries

    named, outputs, entries = run()
    v = [directions(rng, y.shape) for y in outputs]
    nodes = [node for node, *_ in entries]
    order = tape_of([y._node for y in outputs if y._node is not None])
    wrong = named[name]._node
    for k, g in reversed(list(enumerate(gradients_of(outputs, v, nodes)))):
        u = directions(rng, g.shape)
        quotients = []
        for eps in (EPS, EPS / 2):
            plus, minus = ([y._data for y in run((k, end * eps * u))[1]] for end in (1, -1))
            quotients.append(sum(np.sum(a * (p - m)) for a, p, m in zip(v, plus, minus)) / (2 * eps))
        if not agrees(g * u, quotients):
            wrong = nodes[k]
            break
    return described(*[n for n in order if wrong in n.inputs]) or None


def not_linear(trial: Trial) -> str | None:
    """The first op whose vjp does not double when the cotangent does."""
    for node, a, _ in recorded(trial.cell(), trial.x):
        given = node.inputs[0].inputs if type(node) is Pick else node.inputs
        inputs = [n for n in given if n is not None]
        g = directions(np.random.default_rng(0), a.shape)
        once, twice = (gradients_of([Tensor(a, node)], [k * g], inputs) for k in (1, 2))
        if difference([""] * len(once), [2 * p for p in once], twice, 1e-12):
            return described(node)
    return None


def unlike_compiled(trial: Trial) -> str | None:
    """The first op that gives something else when it is compiled, the steps one after the other."""

    class Tensors(Observer):
        def recorded(self, tensor):
            if tensor._node.op is not None:
                found.append(tensor)

    def f(x):
        with Tensors():
            Run(cell, x)
        tensors, nodes[:] = list(found), [t._node for t in found]
        found.clear()
        return tensors

    found: list = []
    nodes: list = []
    cell = trial.cell()
    eager = [t._data for t in f(leaf(trial.x))]
    sites, nodes = nodes, []
    compiled = [t._data for t in jit(f)(leaf(trial.x))]
    for node, a, b in zip(sites, eager, compiled):
        if difference([""], [a], [b], tolerance(trial.dtype)):
            return described(node)
    return None


class First(Observer):
    """Keeps the first op at which something was seen."""

    node: Node | None = None

    @property
    def line(self) -> str | None:
        return described(self.node) if self.node else None


class FirstNaN(First):
    """The first op that makes what is no number, or whose vjp does."""

    def recorded(self, tensor):
        if self.node is None and tensor._node.op is not None and not np.isfinite(tensor._data).all():
            self.node = tensor._node

    def pull(self, node, run, cotangent):
        pulled = run()
        arrays = [a for a in pulled if isinstance(a, np.ndarray)]
        if self.node is None and not all(np.isfinite(a).all() for a in arrays):
            self.node = node
        return pulled


class FirstLeak(First):
    """The first op whose vjp gives a row other than `row` a cotangent. below: the nodes that depend on x."""

    def __init__(self, row: int, batch: int, x: Node, outputs):
        self.confined, self.below = only_row(row, batch), {x}
        for node in tape_of([y._node for y in outputs if y._node is not None]):
            if any(parent in self.below for parent in node.inputs):
                self.below.add(node)

    def pull(self, node, run, cotangent):
        pulled = run()
        given = [g for parent, g in zip(node.inputs, pulled) if parent in self.below and isinstance(g, np.ndarray)]
        if self.node is None and any(g.any() and not self.confined(g != 0, 0) for g in given):
            self.node = node
        return pulled


def line_of(error: BaseException) -> str | None:
    """The last line of code outside of the engine that an exception came through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not of_the_engine(frame.filename) and not frame.filename.startswith(("<", PYTHON)):
            return f'{frame.filename}:{frame.lineno}: "{frame.line}"'
    return None
