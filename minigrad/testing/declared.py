"""Straight-through estimators: a derivative that a cell declares in place of the one that its function has.

A step function (round, sign) has the derivative 0, and a cell that learns through one declares another, by
`straight_through`, `stop_gradient`, `detach` or `custom_vjp`. Differences of the cell cannot find it. They are taken
then of a function that has it: what stop_gradient and detach returned stays what it was at the point, and a custom_vjp
function, where it stands still, goes along its declared derivative. So all other derivatives are checked.
"""

from contextlib import ExitStack, contextmanager

import numpy as np

from minigrad import tree
from minigrad.custom import custom_vjp
from minigrad.observe import Observer, replaced
from minigrad.ops.elementwise import ZERO
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table
from minigrad.sites import call_site, line_of_site
from minigrad.tensor import Tensor
from minigrad.transforms import jvp


class Steps(Observer):
    """Whether a step function runs: an op whose derivatives are 0, a bool or an integer made a float, a choice between
    two numbers."""

    def __init__(self):
        self.found = False

    def kernel(self, op, run, arrays):
        result = run()
        if isinstance(op, Elementwise):
            steps = bool(op.derivatives) and set(op.derivatives.values()) == {ZERO}
            steps = steps or (
                op.name == "where" and np.size(arrays[0]) > 1 and all(np.size(a) == 1 for a in arrays[1:])
            )
        else:
            steps = op.name == "one_hot" or (op.name == "astype" and arrays[0].dtype.kind != "f" == result.dtype.kind)
        self.found = self.found or steps
        return result


class Declared:
    """What the calls with a declared derivative were given and returned in a run; within `held`, another run returns
    what follows from that by the derivatives declared. line: the first of them."""

    def __init__(self, run):
        self.calls: list = []
        self.line: str | None = None
        self.place: int | None = None  # among the calls, while held
        self.inside = False
        steps = Steps()
        with steps, self._watching():
            run()
        self.any = steps.found and bool(self.calls)

    @contextmanager
    def held(self):
        self.place = 0
        try:
            with self._watching():
                yield
        finally:
            self.place = None

    @contextmanager
    def _watching(self):
        with ExitStack() as stack:
            stack.enter_context(replaced(custom_vjp, "__call__", self._of_custom))
            stack.enter_context(replaced(table["stop_gradient"], "forward", self._of_stop))
            stack.enter_context(replaced(Tensor, "detach", self._of_detach))
            yield

    def _next(self, *new):
        """The call that this one repeats; while recording, this one."""
        if self.place is None:
            self.line = self.line or line_of_site(call_site())
            self.calls.append(new)
            return new
        self.place += 1
        return self.calls[self.place - 1]

    def _of_stop(self, forward):
        return lambda x: forward(x) if self.inside else self._next(np.array(x))[0]

    def _of_detach(self, detach):
        return lambda t: detach(t) if self.inside else Tensor(self._next(t._data.copy())[0])

    def _of_custom(self, call):
        def watched(function, *args):
            if self.inside:
                return call(function, *args)
            self.inside = True
            try:
                leaves, structure = tree.flatten(call(function, *args))
                given = [np.array(x._data) for x in tree.flatten(args)[0] if isinstance(x, Tensor)]
                before, results = self._next(given, [np.array(y._data) for y in leaves])
                if self.place is None:
                    return tree.unflatten(structure, leaves)
                return tree.unflatten(structure, self._continued(call, function, args, leaves, before, results))
            finally:
                self.inside = False

        return watched

    @staticmethod
    def _continued(call, function, args, leaves, before, results) -> list:
        """The results of a call, but where they are as before, what the declared derivative adds to them."""
        flat, structure = tree.flatten(args)
        places = [k for k, x in enumerate(flat) if isinstance(x, Tensor)]
        moving = [k for k, a in zip(places, before) if a.dtype.kind == "f"]
        start = dict(zip(places, before))

        def of(*chosen):
            given = [Tensor(start[k]) if k in start else x for k, x in enumerate(flat)]
            for k, x in zip(moving, chosen):
                given[k] = x
            return tree.flatten(call(function, *tree.unflatten(structure, given)))[0]

        points = [Tensor(start[k]) for k in moving]
        _, tangents = jvp(of, points, [Tensor(flat[k]._data - start[k]) for k in moving])
        return [
            y if t is None else Tensor(np.where(y._data == old, old + t._data, y._data), y._node)
            for y, old, t in zip(leaves, results, tangents)
        ]
