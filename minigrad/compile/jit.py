"""`jit`: a function traced once for each kind of arguments, then run as compiled programs."""

import contextlib
import functools
import threading
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np

from minigrad import tree
from minigrad.compile.execute import Sequence
from minigrad.compile.explain import Explanation, explain, stage
from minigrad.compile.guards import Guards
from minigrad.compile.passes.pipeline import optimise
from minigrad.compile.passes.rewrite import order_of
from minigrad.compile.trace import Pick, Program, Value, generators_of
from minigrad.custom import checkpoint
from minigrad.ops.table import on_tape
from minigrad.tape import RAW, TRACED, Leaf, clock, enable_grad, memory_of, pull_back, recording, thread, tracing
from minigrad.tensor import Tensor, as_tensor

KEPT = 8  # traces for one kind of arguments: what a function closes over may change at every call


class _Switch(threading.local):
    off = 0


switch = _Switch()


class disable_jit(contextlib.ContextDecorator):
    """Run jitted functions as ordinary ones in this thread, to debug them: `with mg.disable_jit():`, or a decorator."""

    def __enter__(self):
        switch.off += 1

    def __exit__(self, *_):
        switch.off -= 1


class jit:
    """f, compiled: the same results and gradients.

    f: a function or Module of tensors (arrays are taken as such) in nested tuples, lists and dicts, and of Python
    values, which are part of the program. It is traced when it is first called with arguments of such a structure, with
    these shapes, dtypes and Python values; `traces` counts how often. Loops (`mg.scan`) become kernels that serve every
    length and batch size. Tensors that f closes over, parameters above all, are read at every call. On the tape a call
    is one node; derivatives of a second order run f uncompiled.

    checkpoint: save the carries of loops every so many steps and compute the rest again in the backward. With √T steps
    the memory of a loop of T steps grows with √T (Chen et al. 2016, arXiv:1604.06174), for about half more time.

    f should have no effects: what it prints or appends happens while it is traced and not again.

    Raises TypeError where f asks for the numbers of a traced tensor (`if x > 0`), or returns what is no tensor, number
    or string.
    """

    def __init__(self, f: Callable, checkpoint: int | None = None):
        if checkpoint is not None and (type(checkpoint) is not int or checkpoint < 1):
            raise ValueError(f"jit: got checkpoint={checkpoint!r}, wanted a number of steps, 1 or more, or None")
        if not callable(f):
            raise TypeError(f"jit: wanted a function or a Module, got {type(f).__name__}")
        self.f = f
        functools.update_wrapper(self, f, updated=())
        self.known: dict = {}
        self.checkpoint = checkpoint
        self.traces = 0

    def __getattr__(self, name):
        if name in ("f", "__wrapped__"):
            raise AttributeError(name)
        return getattr(self.f, name)

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self):
        return f"jit({self.f!r})"

    def __call__(self, *args, **kwargs):
        if switch.off or tracing() or thread.mode is RAW:
            return self.f(*args, **kwargs)
        leaves, structure = tree.flatten((args, kwargs))
        needs = recording()
        key: list = [str(structure), needs]
        tensors = []
        for leaf in leaves:
            if isinstance(leaf, np.ndarray):
                leaf = as_tensor(leaf)
            if isinstance(leaf, Tensor):
                key.append((leaf._data.shape, leaf._data.dtype, needs and leaf._node is not None))
                tensors.append(leaf)
            else:
                key.append((type(leaf), leaf))
        try:
            found = self.known.setdefault(tuple(key), [])
        except TypeError:
            wrong = next(x for x in leaves if type(x).__hash__ is None)
            raise TypeError(
                f"jit: an argument is a {type(wrong).__name__}; wanted tensors, arrays and hashable Python values in "
                "nested tuples, lists and dicts"
            ) from None
        for compiled in found:
            if compiled.holds():
                break
        else:
            self.traces += 1
            compiled = Compiled(self.f, structure, leaves, needs, self.checkpoint)
            found.append(compiled)
            del found[:-KEPT]
        return compiled.call(tensors)

    def explain(self, *args, **kwargs) -> Explanation:
        """What is made of f for these arguments: print it, or read its parts (minigrad/compile/explain.py).

        Tensors that require a gradient, and parameters, are differentiated.
        """
        leaves, structure = tree.flatten((args, kwargs))
        stages: list = []
        compiled = Compiled(
            self.f, structure, leaves, recording(), self.checkpoint,
            lambda name, roots: stages.append(stage(name, roots)),
        )  # fmt: skip
        return explain(getattr(self.f, "__name__", type(self.f).__name__), compiled, stages)


class Compiled:
    """What jit has made of a function for one kind of arguments.

    forward: from arrays of the inputs to results and residuals. backward: from residuals and cotangents to gradients.
    """

    def __init__(self, f, structure, leaves, needs: bool, every=None, log=None):
        self.f, self.structure_in = f, structure
        self.leaves = [None if isinstance(x, (Tensor, np.ndarray)) else x for x in leaves]
        self.is_tensor = [isinstance(x, (Tensor, np.ndarray)) for x in leaves]
        program = self.program = Program()
        program.every = every if needs else None
        inputs, variables, given = [], [], []
        for leaf in leaves:
            if isinstance(leaf, (Tensor, np.ndarray)):
                leaf = as_tensor(leaf)
                value = program.input(leaf)
                variable = Leaf(leaf.shape, leaf.dtype) if needs and leaf._node is not None else None
                inputs.append(value)
                variables.append(variable)
                given.append(Tensor(value, variable))
            else:
                given.append(leaf)
        args, kwargs = tree.unflatten(structure, given)
        outer = thread.mode, thread.program
        thread.mode, thread.program = TRACED, program
        try:
            outs, self.structure = tree.flatten(f(*args, **kwargs))
            self.others = [None if isinstance(x, (Tensor, np.ndarray)) else x for x in outs]
            tensors = [Tensor(*program.enter(x)) if isinstance(x, (Tensor, np.ndarray)) else None for x in outs]
            made = [x for x in tensors if x is not None]
            self.captured = [(value, tensor, leaf is not None) for [(value, leaf, tensor)] in program.captured.values()]
            if needs:
                variables += [leaf for [(_, leaf, _)] in program.captured.values()]
            self.differentiable = [k for k, x in enumerate(made) if needs and x._node is not None]
            cotangents = program.cotangents = [program.input(made[k]) for k in self.differentiable]
            gradients: list = [None] * len(variables)
            if self.differentiable:
                pulled = pull_back(
                    [made[k]._node for k in self.differentiable],
                    [Tensor(c) for c in cotangents],
                    wanted={v for v in variables if v is not None},
                    keep=True,
                )
                gradients = [program.enter(pulled[v])[0] if v is not None and v in pulled else None for v in variables]
        finally:
            thread.mode, thread.program = outer
        self.guards = Guards(f, leaves)  # after the trace: what it did to a list, say, it does not do again
        self.constants = [(v, t) for [(v, _, t)] in program.captured.values()][len(self.captured) :]
        self.places = [k for k, x in enumerate(tensors) if x is not None]
        self.wanted = [k for k, g in enumerate(gradients) if g is not None]
        items = [value.params["item"] for value in program.effects]
        self.generators = list(dict.fromkeys(generator for item in items for generator in generators_of(item)))
        count = len(made)
        roots = optimise(program, [x._data for x in made] + [gradients[k] for k in self.wanted], log)
        self.arrange(inputs, roots[:count], roots[count:], cotangents)

    def arrange(self, inputs, outputs, gradients, cotangents) -> None:
        """Divide the program into what runs forward, and what waits for the cotangents."""
        program = self.program
        given = [*inputs, *[v for v, *_ in self.captured], *[v for v, _ in self.constants]]
        early = set(order_of([*outputs, *program.effects])) | set(given)
        late = [v for v in order_of(gradients) if v not in early and v not in cotangents]
        moved = [
            v for v in late if v.op is Pick and v.inputs[0] in early
        ]  # results of a loop that backward alone needs
        early.update(moved)
        late = [v for v in late if v not in early]
        needed = dict.fromkeys(
            x for v in late for x in v.inputs if isinstance(x, Value) and x in early
        ) | dict.fromkeys(g for g in gradients if g in early)
        residuals = list(needed)
        order = sorted([v for v in early if v.op is not None], key=lambda v: v.seq)
        self.count = len(outputs)
        self.forward = Sequence(given, [*outputs, *residuals], order)
        self.backward = Sequence([*residuals, *cotangents], gradients, late)

    def holds(self) -> bool:
        """Whether what the function read besides its arguments is as it was when it was traced."""
        if not self.guards.hold():
            return False
        for value, tensor, had in self.captured:
            data = tensor._data
            if data.shape != value.shape or data.dtype != value.dtype or (tensor._node is not None) != had:
                return False
        return True

    def call(self, tensors):
        arrays = (
            [x._data for x in tensors] + [t._data for _, t, _ in self.captured] + [t._data for _, t in self.constants]
        )
        states = [(generator, generator.bit_generator.state) for generator in self.generators]
        results = self.forward(arrays)
        outs, residuals = apart(results[: self.count], arrays), results[self.count :]
        made: list = [Tensor(x) for x in outs]
        if self.wanted and recording():
            parents = [x._node for x in tensors] + [t._node for _, t, _ in self.captured]
            chosen = on_tape(
                Call(self, tensors, states), [parents[k] for k in self.wanted], {}, (tuple(residuals),),
                [outs[k] for k in self.differentiable],
            )  # fmt: skip
            for k, x in zip(self.differentiable, chosen):
                made[k] = x
        leaves = list(self.others)
        for k, x in zip(self.places, made):
            leaves[k] = x
        return tree.unflatten(self.structure, leaves)


def apart(results, given) -> list:
    """The results, each in memory of its own, as far as eager code gives it that: a change in place changes one."""
    taken = {id(memory_of(x)) for x in given}
    outs = []
    for x in results:
        owner = id(memory_of(x))
        outs.append(x.copy() if owner in taken else x)
        taken.add(owner)
    return outs


class Call:
    """The op, on the tape, of one call of a jitted function."""

    def __init__(self, compiled: Compiled, tensors, states):
        self.compiled, self.states = compiled, states
        self.given = [(x._data, x._node) for x in tensors]
        self.name = f"jit of {getattr(compiled.f, '__name__', type(compiled.f).__name__)}"

    def pull(self, node, g, useful=None):
        compiled = self.compiled
        if thread.mode is RAW:
            cotangents = [
                np.zeros(s.shape, s.dtype) if one is None else np.asarray(one) for one, s in zip(g, node.shape)
            ]
            return compiled.backward([*node.saved[0], *cotangents])
        return self.pull_uncompiled(node, g)

    def pull_uncompiled(self, node, g):
        """On the tape: f runs again, uncompiled, and what it recorded is pulled back."""
        compiled = self.compiled
        tensors = iter([Tensor(data, n) for data, n in self.given])
        leaves = [next(tensors) if is_tensor else x for is_tensor, x in zip(compiled.is_tensor, compiled.leaves)]
        args, kwargs = tree.unflatten(compiled.structure_in, leaves)
        start, again, given = next(clock), None, []
        found: dict = {}

        def add(n, c):
            if n is not None and c is not None:
                found[n] = c if n not in found else found[n] + c

        with enable_grad(), disable_jit(), self.drawing_as_before():
            outs = [x for x in tree.flatten(checkpoint(compiled.f)(*args, **kwargs))[0] if isinstance(x, Tensor)]
            for k, one in zip(compiled.differentiable, g):
                result = outs[k]._node
                if result.seq < start:  # f returns what it closes over
                    add(result, one)
                elif again is None:
                    (again,) = result.inputs
                    given = [None] * len(again.shape)
                if result.seq > start:
                    given[result.params] = one
            for n, c in zip(again.inputs, again.op.pull(again, given)) if again else ():
                add(n, c)
        return [found.get(n) for n in node.inputs]

    @contextmanager
    def drawing_as_before(self):
        """Within, generators have the states that they had before the call."""
        now = [(generator, generator.bit_generator.state) for generator, _ in self.states]
        try:
            for generator, state in self.states:
                generator.bit_generator.state = state
            yield
        finally:
            for generator, state in now:
                generator.bit_generator.state = state
