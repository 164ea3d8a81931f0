"""A program with actions (minigrad/ir/actions.py) in stages: what is computed before each of them, and they.

    loss = f(w, x)                 stage 0     from w, x to loss, g
    loss.backward()
    opt.step()                     action 0    w.grad = g; opt.step()
    y = g(w, x)                    stage 1     from w, x to y, with w as it is now
    return loss, y

Each stage is a program of its own: what it reads of those before it is given to it.
"""

import copy
from bisect import bisect_left
from collections.abc import Callable

import numpy as np

from minigrad.compile.execute import Sequence, apart, compile_loops, memory_of
from minigrad.compile.passes.pipeline import optimise
from minigrad.ir.actions import Action, base_of
from minigrad.ir.rewrite import order_of
from minigrad.ir.trace import Value
from minigrad.ops.table import on_tape
from minigrad.tensor import Tensor


class Stages:
    """What runs a program with actions: from arrays of `inputs` to arrays of the outputs.

    name: of the function. sequences: one for each action. places: where values lie among the arrays of a call.
    """

    def __init__(self, name: str, program, outputs: list[Value], log=None):
        self.name = name
        self.program, self.acts = program, program.actions.done
        self.outputs: list[Value] = outputs
        self.inputs: list[Value] = []
        self.sequences: list[Sequence] = []
        self.made: list[list[Value]] = []  # by each sequence
        ends = [action.seq for action in self.acts]
        roots = [*outputs, *[v for action in self.acts for _, v, _ in action.sets if v is not None]]
        of = {v: bisect_left(ends, v.seq) for v in order_of(roots) if v.op is not None}
        changed = {v: (k, action) for k, action in enumerate(self.acts) for v in action.stale}
        others = [(v, k, action) for k, action in enumerate(self.acts) for v in (*action.stale, *action.shared)]
        wanted: list[dict] = [{} for _ in ends]  # of each stage, what is read after it
        for v in roots:
            if v in of:
                wanted[of[v]][v] = None
        uses = [(of[x], of[v], x) for v in of for x in v.inputs if x in of]
        uses += [(of[x], len(ends), x) for x in outputs if x in of]
        for made, then, x in uses:
            for base, k, action in others:
                if base_of(x) is base and made <= k < then:
                    raise RuntimeError(
                        f"jit: {x.dtype}{list(x.shape)}, a view of what {action.name} changes, is read after that and "
                        "was made before; make it after that, or copy() it"
                    )
        for v, k in of.items():
            for x in v.inputs:
                if isinstance(x, Value) and x in changed and changed[x][0] < k:
                    raise RuntimeError(
                        f"jit: {v.line} reads {x.dtype}{list(x.shape)} as it was before {changed[x][1].name} changed "
                        "it; read it again after that, or do this before"
                    )
                if x in of and of[x] < k:
                    wanted[of[x]][x] = None
        entered: dict[Value, Value] = {}  # in later stages
        for k, read in enumerate(wanted):
            self.stage(list(read), k, entered, log)
            entered |= {v: program.input(v) for v in read}
            self.made.append([entered[v] for v in read])
        self.values = {v: entered.get(v, v) for v in roots}
        self.kernels = {v: kernel for one in self.sequences for v, kernel in one.kernels.items()}
        self.order = [v for one in self.sequences for v in one.order]
        self.repeated = [repeated(one) for one in self.sequences]

    def stage(self, roots: list[Value], k: int, entered: dict, log) -> None:
        """Compile the values of stage k that later ones read. entered: what stands in it for values of earlier ones."""
        became = dict(entered)
        for v in order_of(roots):
            if v not in became:
                inputs = [became[x] if isinstance(x, Value) else x for x in v.inputs]
                became[v] = v if v.op is None or inputs == list(v.inputs) else v.of(inputs)
        first = self.acts[k - 1].seq if k else 0
        draws = [v for v in self.program.effects if first < v.seq < self.acts[k].seq]
        if roots:
            roots = optimise(self.program, [became[v] for v in roots], log)
        order = order_of([*roots, *draws])
        computed = [v for v in order if v.op is not None]
        given = [v for v in order if v.op is None]
        self.sequences.append(Sequence(given, roots, computed, compile_loops(computed)))

    def complete(self, inputs: list[Value]) -> None:
        """Say what the arrays of a call stand for."""
        self.inputs = inputs
        results = [action.result for action in self.acts if action.result is not None]
        became = [v for action in self.acts for _, v in action.became]
        values = dict.fromkeys([*inputs, *[v for made in self.made for v in made], *results, *became])
        self.places = {v: k for k, v in enumerate(values)}
        self.reads = [[self.places[v] for v in one.inputs] for one in self.sequences]
        self.writes = [[self.places[v] for v in made] for made in self.made]
        kept = {self.place(v) for action in self.acts for _, v, _ in action.sets if v is not None}
        kept |= {self.places[v] for v in became}
        self.results = [(self.place(v), self.place(v) in kept) for v in self.outputs]

    def place(self, v: Value) -> int:
        return self.places[self.values.get(v, v)]

    def bound(self, at: Callable) -> "Stages":
        """The same for sizes that were not fixed. at: what each of them is (symbolic.evaluator)."""
        made = copy.copy(self)
        made.sequences = [one.bound(at) for one in self.sequences]
        made.kernels = {v: kernel for one in made.sequences for v, kernel in one.kernels.items()}
        return made

    def __call__(self, arrays: list) -> list:
        """Compute, and act."""
        found = arrays + [None] * (len(self.places) - len(arrays))
        for k, (sequence, action) in enumerate(zip(self.sequences, self.acts)):
            if sequence.order or self.writes[k]:
                given, again = [found[place] for place in self.reads[k]], self.repeated[k]
                results = sequence(given)
                if again is None:
                    results = [x if x.flags.writeable else x.copy() for x in apart(results, given)]
                else:
                    for place in again:
                        results[place] = results[place].copy()
                for place, x in zip(self.writes[k], results):
                    found[place] = x
            self.act(action, found)
        return [found[k].copy() if kept else found[k] for k, kept in self.results]

    def act(self, action: Action, found: list) -> None:
        taken = set(range(len(self.inputs)))  # memory that is not the gradient's alone
        for x, v, taped in action.sets:
            if v is None:
                x._node.grad = None
            else:
                k = self.place(v)
                array = found[k].copy() if k in taken else found[k]
                x._node.grad = stopped(self.name, array) if taped else Tensor(array)
                taken.add(k)
        if action.call is not None:
            result = action.call()
            if action.result is not None:
                found[self.place(action.result)] = np.asarray(result)
        for x, v in action.became:
            found[self.places[v]] = x._node.grad._data


def repeated(sequence: Sequence) -> list[int] | None:
    """The outputs that lie in the memory of others before them; None where that shows when they are computed alone."""
    places = [memory_of(v, sequence.kernels) for v in sequence.outputs]
    known = all(type(place) is tuple for place in places)
    return [k for k, place in enumerate(places) if place in places[:k]] if known else None


class Stopped:
    """The op of what a function with actions gives, if it was on the tape there: it has no backward outside."""

    def __init__(self, name: str):
        self.name = f"jit of {name}"

    def pull(self, node, g, useful=None):
        raise RuntimeError(
            f"backward of {self.name}: a jitted function that calls backward, or an optimizer's step, has taken its "
            "gradients when it returns; take these in it too, return detach(), or call backward outside of it alone"
        )


def stopped(name: str, array: np.ndarray) -> Tensor:
    return on_tape(Stopped(name), (), {}, (), array)
