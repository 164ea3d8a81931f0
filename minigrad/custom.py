"""Functions whose calls are one node of the tape each: with a vjp of your own, or computed again in the backward."""

import gc
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import update_wrapper, wraps
from typing import Any, TypeVar, overload

from minigrad import tree
from minigrad.arguments import checked
from minigrad.modes import ON, RAW, clock, enable_grad, no_grad, recording, thread, tracing
from minigrad.mutations import mutations
from minigrad.ops.table import Spec, filled
from minigrad.sharing import Sharable, shared
from minigrad.sites import call_site, line_of_site
from minigrad.tape import Leaf, Node, Pick, pull_back
from minigrad.tensor import Tensor, as_tensor
from minigrad.transforms import fitting, recorded_since, variable
from minigrad.views import Argument, as_results, root_of, without_changes


def _record_call(op, inputs: Sequence, saved: tuple, leaves: list, kept: Sequence[int]) -> None:
    """Put the results at the places `kept` among the leaves on the tape, as the results of one node of `op`."""
    site = call_site()
    specs = [Spec(leaves[k].shape, leaves[k].dtype) for k in kept]
    node = Node(op, inputs, {}, saved, specs, None, site)
    for index, (k, spec) in enumerate(zip(kept, specs)):
        data = leaves[k]._data
        if not tracing() and (data.base is not None or any(data is x for x in saved[0])):
            data = data.copy()  # it may be the memory of an argument, or of what the function closes over
        leaves[k] = Tensor(data, Pick(op, (node,), index, (), spec.shape, spec.dtype, site))


def _part(leaves) -> tuple[tuple, list]:
    """Arrays of the tensors among the leaves, and the other leaves; each None where the other one is."""
    arrays = tuple([x._data if isinstance(x, Tensor) else None for x in leaves])
    return arrays, [None if isinstance(x, Tensor) else x for x in leaves]


def _join(arrays, others, nodes=None) -> list:
    nodes = nodes or [None] * len(others)
    return [other if x is None else Argument(x, node) for x, other, node in zip(arrays, others, nodes)]


class custom_vjp:
    """A function with a vjp of your own, in place of the one that the tape would derive (the interface is JAX's).

        @mg.custom_vjp
        def f(x, y): ...
        f.defvjp(fwd, bwd)

    fwd(x, y) returns (result, residuals), bwd(residuals, g) a tuple with a cotangent for each argument: of its
    structure and shapes, None for zero. g has the structure of the result, zeros where no gradient arrives. Arguments,
    results and residuals may be nested. Higher derivatives differentiate fwd and bwd. Only arguments get gradients: a
    parameter that f merely closes over gets none, so pass it in.

    Raises RuntimeError if it is called before defvjp; backward raises ValueError for cotangents that do not fit.

    Examples
    --------
    >>> @mg.custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, g: (mg.clip(g, -1.0, 1.0),))
    >>> mg.grad(lambda x: 5 * clipped(x))(mg.tensor(1.0)).item()
    1.0
    """

    @checked
    def __init__(self, f: Callable):
        update_wrapper(self, f)
        self.f = f
        self.fwd: Callable | None = None
        self.bwd: Callable | None = None
        self.name = f"custom_vjp of {getattr(f, '__name__', type(f).__name__)}"

    @checked
    def defvjp(self, fwd: Callable, bwd: Callable) -> None:
        """Set the two functions."""
        self.fwd, self.bwd = fwd, bwd

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fwd is None:
            raise RuntimeError(f"{self.name}: its vjp is missing; call defvjp(fwd, bwd) on it first")
        bound = inspect.signature(self.f).bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(f"{self.name}: fwd takes arguments by position; {sorted(bound.kwargs)} are keyword-only")
        leaves, structure = tree.flatten(bound.args)
        if tracing():  # what it closes over, too, by its place in the program
            leaves = [Tensor(*thread.program.enter(x)) if isinstance(x, Tensor) else x for x in leaves]
        arrays, others = _part(leaves)
        nodes = [x._node if isinstance(x, Tensor) else None for x in leaves]
        recorded = recording() and any(nodes)
        with no_grad():
            args = tree.unflatten(structure, _join(arrays, others))
            result, residuals = self.run_fwd(args) if recorded else (self.f(*args), None)
        outs, out_structure = tree.flatten(result)
        if recorded:
            labels = list(bound.arguments)  # fewer than arguments if there is a *args
            labels += [f"argument {k}" for k in range(len(labels), len(structure))]
            kept = [k for k, x in enumerate(outs) if isinstance(x, Tensor) and x.dtype.kind == "f"]
            residuals, residual_structure = tree.flatten(residuals)
            saved, residual_others = _part(residuals)
            call = _CustomCall(
                self, structure, others, labels, out_structure, len(outs), kept, residual_structure, residual_others
            )
            _record_call(call, nodes, (arrays, saved), outs, kept)
        return tree.unflatten(out_structure, as_results(outs))

    def run_fwd(self, args):
        pair = self.fwd(*args)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"{self.name}: fwd must return (result, residuals), got {tree.describe(pair)}")
        return pair


@dataclass
class _CustomCall:
    """The op of one call of a custom_vjp function: all that its node needs but the arrays, which the node saved."""

    function: custom_vjp
    structure: tuple
    others: list
    labels: list[str]
    out_structure: object
    out_count: int
    kept: list[int]
    residual_structure: object
    residual_others: list

    name = property(lambda self: self.function.name)

    def pull(self, node, g, useful=None):
        arrays, saved = node.saved
        raw = thread.mode is RAW
        args = _join(arrays, self.others, None if raw else node.inputs)
        if raw:
            residuals = tree.unflatten(self.residual_structure, _join(saved, self.residual_others))
        else:  # the residuals on the tape, so that they have derivatives
            _, residuals = self.function.run_fwd(tree.unflatten(self.structure, args))
        cotangents: list = [None] * self.out_count
        for k, spec, one in zip(self.kept, node.shape, g):
            one = as_tensor(filled(spec.shape, spec.dtype) if one is None else one)
            cotangents[k] = Argument(one._data, one._node)
        with no_grad() if raw else enable_grad():
            pulled = self.function.bwd(residuals, tree.unflatten(self.out_structure, cotangents))
        return [None if c is None else c._data if raw else c for c in self.per_leaf(pulled, args)]

    def per_leaf(self, pulled, args) -> list:
        """What bwd returned, as a list of a cotangent for each leaf of the arguments."""
        labels = [f"the cotangent of {label}" for label in self.labels]
        wanted = f"wanted one for each argument: {', '.join(labels)}; None for zero"
        if not isinstance(pulled, (tuple, list)):
            raise TypeError(f"{self.name}: bwd returned {tree.describe(pulled)}, {wanted}")
        if len(pulled) != len(self.structure):
            raise ValueError(f"{self.name}: bwd returned {len(pulled)} cotangents, {wanted}")
        given: list = []
        places: list = []
        for one, structure, label in zip(pulled, self.structure, labels):
            places += tree.names(structure, label)
            zero = [None] * (len(places) - len(given))
            given += zero if one is None else tree.flatten_like(structure, one, f"{self.name}: {label}")
        floats = [isinstance(x, Tensor) and x.dtype.kind == "f" for x in args]
        return fitting(self.name, [one if yes else None for one, yes in zip(given, floats)], args, places)


M = TypeVar("M", bound=Sharable)


@overload
def checkpoint(f: M) -> M: ...


@overload
@checked
def checkpoint(f: Callable) -> Callable: ...


def checkpoint(f: Any) -> Any:
    """f, computing again in the backward what it would have kept: memory for time (Chen et al. 2016, arXiv:1604.06174).

    f: a function, or a Module; then the result is a Module that shares everything with f but how it is called, as of
    `jit`.

    The tape holds the arguments of a call and nothing of what happens inside. Parameters and other tensors that f
    closes over get their gradients; draws from random generators are repeated. f may hold further checkpoints and be
    differentiated to any order. It runs once more for each backward, so it should have no effects.

    Raises RuntimeError if f changes an argument in place, or on the tape a tensor that it closes over; at backward, if
    what f read has been changed in place, or if f took another course.

    Examples
    --------
    >>> f = mg.checkpoint(lambda x: mg.tanh(mg.tanh(x)).sum())
    >>> mg.grad(f)(mg.zeros(2)).tolist()
    [1.0, 1.0]
    """

    @wraps(f)
    def checkpointed(*args, **kwargs):
        if tracing():  # the compiler computes again what it marks
            return thread.program.recomputed(without_changes, (f, args, kwargs), {})
        if thread.mode is not ON:
            return without_changes(f, args, kwargs)
        leaves, structure = tree.flatten((args, kwargs))
        arrays, others = _part(leaves)
        nodes = [x._node if isinstance(x, Tensor) else None for x in leaves]
        call = _CheckpointedCall(f, structure, others)
        replaced, thread.generators = thread.generators, call.draws
        before, thread.written = thread.written, []
        try:
            run = call.record(arrays, [None if n is None else Leaf(n.shape, n.dtype) for n in nodes])
            call.refuse_changes_outside(run)
        finally:
            thread.generators, thread.written = replaced, before
        call.older = [n.seq for n in run.older]
        for key, draw in call.draws.items() if replaced is not None else ():
            replaced.setdefault(key, draw)  # the enclosing checkpoint repeats them too
        if run.kept:
            _record_call(call, nodes + run.older, (arrays,), run.outs, run.kept)
        return tree.unflatten(run.structure, as_results(run.outs))

    return shared(f, "checkpoint", checkpointed, checkpoint) if isinstance(f, Sharable) else checkpointed


def cut(inside: list[Node], older: list[Node], start: int, linked: bool = True) -> dict[Node, Node]:
    """Put a node between those that a run recorded and each older one that they rest on, so that it can be pulled back
    to there and no further; linked to what it stands for, or not."""
    borders = {n: variable(n if linked else None, n.shape, n.dtype) for n in older}
    for border in borders.values():
        border.seq = start  # before all that the run recorded
    for node in inside:
        node.inputs = tuple([borders.get(n, n) for n in node.inputs])
    return borders


@dataclass
class _Run:
    """One run of a checkpointed function: its results (those at the places `kept` rest on what it recorded), the nodes
    that it recorded, and those that were there before."""

    start: int
    outs: list
    structure: object
    kept: list[int]
    inside: list[Node]
    older: list[Node]


class _CheckpointedCall:
    """The op of one call of a checkpointed function.

    draws: the generators that it drew from, with their states before. older: when the nodes that it closes over were
    recorded. They tell which is which in the next run, as an enclosing checkpoint may have cut the tape between them
    and this call's node.
    """

    def __init__(self, f, structure, others):
        self.name = f"checkpoint of {getattr(f, '__name__', type(f).__name__)}"
        self.f, self.structure, self.others = f, structure, others
        self.draws: dict = {}
        self.older: list[int] = []

    def record(self, arrays, variables) -> _Run:
        start = next(clock)
        args, kwargs = tree.unflatten(self.structure, _join(arrays, self.others, variables))
        with enable_grad():
            outs, structure = tree.flatten(self.f(*args, **kwargs))
        nodes = [x._node if isinstance(x, Tensor) else None for x in outs]
        kept = [k for k, n in enumerate(nodes) if n is not None and (n.seq > start or n in variables)]
        inside, older = recorded_since(start, [nodes[k] for k in kept])
        return _Run(start, outs, structure, kept, inside, [n for n in older if n not in variables])

    def pull(self, node, g, useful=None):
        raw = thread.mode is RAW

        def stand_in(n):  # on plain arrays the tape of this run ends here; else it goes on to what n stands for
            return None if n is None else variable(None if raw else n, n.shape, n.dtype)

        variables = [stand_in(n) for n in node.inputs[: len(self.others)]]
        run = self.repeat(node.saved[0], variables)
        shapes = [run.outs[k].shape for k in run.kept]
        if [n.seq for n in run.older] != self.older or shapes != [spec.shape for spec in node.shape]:
            raise RuntimeError(
                f"{self.name} ({node.line}) took another course when it was repeated for the backward; "
                "it must depend on its arguments, tensors and random generators alone"
            )
        self.refuse_changed(node, run)
        borders = cut(run.inside, run.older, run.start, linked=not raw)
        ends = [*variables, *borders.values()]
        given = [(run.outs[k]._node, one) for k, one in zip(run.kept, g) if one is not None]
        pulled = pull_back(
            [root for root, _ in given],
            [one for _, one in given],
            wanted={end for end, n in zip(ends, node.inputs) if n is not None and (useful is None or n in useful)},
            keep=not raw,
            differentiable=not raw,
        )
        return [None if end is None else pulled.get(end) for end in ends]

    def repeat(self, arrays, variables) -> _Run:
        """Run f again with the random draws of the first run."""
        states = [(generator, generator.bit_generator.state) for generator, _ in self.draws.values()]
        replaced, thread.generators = thread.generators, None
        try:
            for generator, state in self.draws.values():
                generator.bit_generator.state = state
            return self.record(arrays, variables)
        finally:
            thread.generators = replaced
            for generator, state in states:
                generator.bit_generator.state = state

    def refuse_changes_outside(self, run: _Run) -> None:
        """Raise if f has changed a tensor on the tape that is still there when f has returned, and is no result: what
        is recorded inside has no gradients for it."""
        results = [root_of(x) for x in run.outs if isinstance(x, Tensor)]

        def remaining():
            found = [(written(), site) for written, site in thread.written or ()]
            return [(x, site) for x, site in found if x is not None and not any(x is y for y in results)]

        if remaining():
            gc.collect()  # what only a cycle keeps is not there any more
            for x, site in remaining():
                raise RuntimeError(
                    f"{self.name}: it changed a tensor {x.dtype}{list(x.shape)} from outside in place, on the tape "
                    f"({line_of_site(site)}); return the new values, and change it with them outside"
                )

    def refuse_changed(self, node, run: _Run) -> None:
        """Raise if an array that f read was changed in place between the first run and this one."""
        for inner in run.inside if mutations.latest > node.seq else ():
            array = mutations.changed(inner, after=node.seq, before=run.start)
            if array is not None:
                raise RuntimeError(
                    f"backward of {self.name}: an array {Spec(array.shape, array.dtype)} that it reads was "
                    f"changed in place after {node.line} recorded it; change a copy, or call backward first"
                )
