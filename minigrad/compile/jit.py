"""`jit`: a function traced once for each kind of arguments, then run as compiled programs."""

import contextlib
import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np

from minigrad import tree
from minigrad.compile.call import Call
from minigrad.compile.execute import Sequence, apart, compile_loops
from minigrad.compile.explain import Explanation, explain, stage
from minigrad.compile.guards import UNCHANGED, Guards
from minigrad.compile.keys import key_of_structure, key_of_value
from minigrad.compile.passes.pipeline import optimise
from minigrad.compile.sources import Consumed, refusing
from minigrad.compile.switch import switch
from minigrad.compile.walk import Walk
from minigrad.ir.absent import Presence, Reach
from minigrad.ir.rewrite import order_of
from minigrad.ir.trace import Pick, Program, Value, generators_of, stand_in
from minigrad.modes import RAW, TRACED, TRACED_OFF, recording, thread, tracing
from minigrad.ops.table import on_tape
from minigrad.sharing import Sharable, shared, way_of
from minigrad.tape import pull_back
from minigrad.tensor import Tensor, as_tensor
from minigrad.views import Argument, without_changes

KEPT = 8  # traces for one kind of arguments: what a function closes over may change at every call
KINDS = 256  # of arguments for which a function keeps its programs; those that were used last
RESULTS = (int, float, complex, str, bytes, np.generic, np.dtype)  # what f may return besides tensors


M = TypeVar("M", bound=Sharable)


@overload
def jit(f: M, checkpoint: int | None = None) -> M: ...


@overload
def jit(f: Callable, checkpoint: int | None = None) -> "Jitted": ...


def jit(f: Any, checkpoint: int | None = None) -> Any:
    """f, compiled: the same results and gradients.

    f: a function or Module of tensors (arrays are taken as such) in nested tuples, lists and dicts, and of Python
    values, which are part of the program: numbers, strings and the like, and frozen dataclasses of them, by type and
    value; other objects by their identity, whatever their `__eq__` says. It is traced when it is first called with
    arguments of such a structure, with these shapes, dtypes and Python values; `traces` counts how often. Loops
    (`mg.scan`) become kernels that serve every length and batch size. What no kernel has (a loop in the loop, a matrix
    inverse, an op of the other float type) the kernel calls Python for at every step (`explain` names it). On the tape
    a call is one node; derivatives of a second order run f uncompiled.

    As in eager code, a result that is not used sends nothing back: what leads to it alone gets no gradient. The
    backward is compiled for all results. If zeros in the place of the cotangents of those that are not used would
    change other gradients (0 times infinity is NaN), f is traced and compiled once more for those that are used.

    Tensors that f closes over, parameters above all, are read at every call, and so are arrays that meet a tensor.
    Another tensor of the same shape and dtype in the same place (a variable, an attribute, an entry of a list, dict or
    tuple) takes the part of the one that was there. f is traced again when other things that it reads have changed:
    variables that it closes over and globals that it names, what its Modules and containers hold, the attributes that
    its code names of other objects, of classes and of Python's modules (all, where it computes names), environment
    variables and context variables, a tensor whose numbers Python asked for (`w.item()`), arrays that NumPy may have
    computed with. Looking costs at every call: 20 ns an entry of a container, 0.1 ms a megabyte of such an array.

    checkpoint: save the carries of loops every so many steps and compute the rest again in the backward. With √T steps
    the memory of a loop of T steps grows with √T (Chen et al. 2016, arXiv:1604.06174), for about half more time.

    Of a Module the result is a Module (of a subclass of its class) that shares everything with f but how it is called:
    parameters and their names, modes, whatever is set on either. A copy of it has its own parameters and compiles for
    itself.

    f should have no effects: what it prints or appends happens while it is traced and not again. It must not draw from
    a random generator, read a clock or a file, or take values from an iterator, which would stand still: do that
    outside and pass the result (random ops such as `nn.Dropout` draw anew at every call).

    Raises TypeError where f asks for the numbers of a traced tensor (`if x > 0`), or returns what is no tensor, number
    or string; RuntimeError, with the line and the cure, where it changes an argument or a tensor from outside in place,
    leaves a traced one in a variable, changes a number that it reads, does what would stand still, calls `eval`, `exec`
    or `globals`, or uses a tensor from where nobody can watch that another takes its place.
    """
    if checkpoint is not None and (type(checkpoint) is not int or checkpoint < 1):
        raise ValueError(f"jit: got checkpoint={checkpoint!r}, wanted a number of steps, 1 or more, or None")
    if not callable(f):
        raise TypeError(f"jit: wanted a function or a Module, got {type(f).__name__}")
    jitted = Jitted(f, checkpoint)
    return shared(f, "jit", jitted, jitted.again, JittedModule) if isinstance(f, Sharable) else jitted


class Jitted:
    """A function that `jit` has made; the call of a module that it has made. What it is asked for and has not, and what
    is set on it, is f's."""

    own = frozenset({"f", "known", "checkpoint", "traces", *functools.WRAPPER_ASSIGNMENTS, "__wrapped__"})

    def __init__(self, f: Callable, checkpoint: int | None = None):
        self.f = f
        functools.update_wrapper(self, f, updated=())
        self.known: OrderedDict = OrderedDict()  # kind of arguments -> programs
        self.checkpoint = checkpoint
        self.traces = 0

    @property
    def again(self) -> Callable:
        """The function that makes the like of it of another one."""
        return functools.partial(jit, checkpoint=self.checkpoint) if self.checkpoint else jit

    def __getattr__(self, name):
        if name in self.own:
            raise AttributeError(name)
        return getattr(self.f, name)

    def __setattr__(self, name, value):
        if name in self.own:
            object.__setattr__(self, name, value)
        else:
            setattr(self.f, name, value)

    def __delattr__(self, name):
        delattr(self.f, name)

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    def __reduce__(self):  # a copy compiles for itself
        return self.again, (self.f,)

    def __repr__(self):
        return f"jit({self.f!r})"

    def __call__(self, *args, **kwargs):
        if switch.off or thread.mode is RAW:
            return self.f(*args, **kwargs)
        if tracing():  # a part of the program that is being recorded
            return without_changes(self.f, args, kwargs)
        leaves, structure = tree.flatten((args, kwargs))
        needs = recording()
        key: list = [key_of_structure(structure, self.known), needs]
        tensors = []
        for k, leaf in enumerate(leaves):
            if isinstance(leaf, np.ndarray):  # which may be written into before the backward
                leaf = leaves[k] = as_tensor(leaf.copy() if needs else leaf)
            if isinstance(leaf, Tensor):
                key.append((leaf._data.shape, leaf._data.dtype, leaf._node is not None))
                tensors.append(leaf)
            else:
                key.append(key_of_value(leaf, self.known))
        kind = tuple(key)
        found = self.known.get(kind)
        if found is None:
            found = self.known[kind] = []
            while len(self.known) > KINDS:
                self.known.popitem(last=False)
        for compiled in found:
            became = compiled.holds()
            if became is not None:
                break
        else:
            self.traces += 1
            compiled, became = Compiled(self.f, structure, leaves, needs, self.checkpoint), UNCHANGED
            found.append(compiled)
            del found[:-KEPT]
        with contextlib.suppress(KeyError):  # another thread has dropped it
            self.known.move_to_end(kind)
        return compiled.call(leaves, tensors, became)

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


class Asked:
    """A name that a jitted module has of its call, unless the module has one of its own."""

    def __init__(self, name: str):
        self.name = name

    def __get__(self, module, owner=None):
        return self if module is None else getattr(way_of(module).call, self.name)


class JittedModule:
    """What a jitted module can do that others cannot."""

    __slots__ = ()
    explain, traces, known = Asked("explain"), Asked("traces"), Asked("known")


class Compiled:
    """What jit has made of a function for one kind of arguments.

    forward: from arrays of the inputs to results and residuals. backward: from residuals and cotangents to gradients.
    present: the differentiable results, by their places among them, that the backward has cotangents of; None for all.
    It does for others where they make no difference but zeros. variants: what was compiled for others yet, when a
    backward wanted it. used: for which of them the last backward was; the next call takes it that it will be so again.
    basis: of a variant, what had taken the place of what the root closed over when the variant was traced.
    """

    def __init__(self, f, structure, leaves, needs: bool, every=None, log=None, present: frozenset | None = None):
        self.f, self.structure_in, self.needs, self.every = f, structure, needs, every
        self.variants: dict[frozenset, Compiled] = {}
        self.used: frozenset = frozenset()
        self.basis: dict[int, Tensor] = UNCHANGED
        before = Walk(f, leaves, structure)
        consumed = Consumed(before.consumed.values())
        program = self.program = Program()
        program.every = every if needs else None
        outer = thread.mode, thread.program
        try:
            with refusing():
                inputs, variables, results, self.structure = self.record(program, leaves)
                consumed.refuse_changed(lambda: self.record(Program(), leaves))
                thread.mode, thread.program = TRACED if needs else TRACED_OFF, program
                tensors = [Tensor(*program.enter(x)) if isinstance(x, (Tensor, np.ndarray)) else None for x in results]
                made = [x for x in tensors if x is not None]
                self.captured = [
                    (value, program.owned.get(id(tensor), tensor), leaf is not None)
                    for [(value, leaf, tensor)] in program.captured.values()
                ]
                variables += [leaf for [(_, leaf, _)] in program.captured.values()]
                self.differentiable = [k for k, x in enumerate(made) if x._node is not None]
                cotangents = program.cotangents = [program.input(made[k]) for k in self.differentiable]
                self.present = frozenset(range(len(cotangents))) if present is None else present
                gradients, origins = self.pull(program, variables, [made[k]._node for k in self.differentiable])
        finally:
            thread.mode, thread.program = outer
        # after the trace: what it did to a list, say, it does not do again
        self.guards = Guards(f, leaves, structure, program, before)
        self.others = [None if isinstance(x, (Tensor, np.ndarray)) else x for x in results]
        program.memories.clear()
        self.places = [k for k, x in enumerate(tensors) if x is not None]
        self.wanted = [k for k, g in enumerate(gradients) if g is not None]
        self.origins = [origins[k] for k in self.wanted]
        items = [value.params["item"] for value in program.effects]
        self.generators = list(dict.fromkeys(generator for item in items for generator in generators_of(item)))
        count = len(made)
        roots = optimise(program, [x._data for x in made] + [gradients[k] for k in self.wanted], log)
        self.constants = [(v, program.owned.get(id(t), t)) for [(v, _, t)] in program.captured.values()][
            len(self.captured) :
        ]
        parts = self.divide(inputs, roots[:count], roots[count:], cotangents)
        self.forward, self.backward = [Sequence(a, b, order, compile_loops(order)) for a, b, order in parts]

    def record(self, program: Program, leaves) -> tuple[list, list, list, Any]:
        """Trace f: values of the arguments, their places on the tape, the results, flat, and their structure."""
        inputs, variables, given = [], [], []
        for leaf in leaves:
            if isinstance(leaf, (Tensor, np.ndarray)):
                leaf = as_tensor(leaf)
                value = program.input(leaf)
                variable = stand_in(leaf._node, leaf)
                inputs.append(value)
                variables.append(variable)
                given.append(Argument(value, variable))
            else:
                given.append(leaf)
        args, kwargs = tree.unflatten(self.structure_in, given)
        outer = thread.mode, thread.program
        thread.mode, thread.program = TRACED if self.needs else TRACED_OFF, program
        try:
            results, structure = tree.flatten(self.f(*args, **kwargs))
        finally:
            thread.mode, thread.program = outer
        for x in results:
            if not isinstance(x, (Tensor, np.ndarray, *RESULTS)):
                raise TypeError(
                    f"jit: among the results is one of type {type(x).__name__}; wanted tensors, numbers and "
                    "strings in nested tuples, lists and dicts"
                )
        return inputs, variables, results, structure

    def pull(self, program: Program, variables: list, results: list) -> tuple[list, list]:
        """Trace the backward: for each variable a value, or None; and the results that send it something."""
        places = sorted(self.present)
        wanted = {v for v in variables if v is not None}
        roots = [results[k] for k in places]
        self.reach = Reach(roots, wanted)
        program.around = self.reach, Presence(dict.fromkeys(range(len(roots)), np.True_), {}, [])
        pulled = pull_back(roots, [Tensor(program.cotangents[k]) for k in places], wanted=wanted, keep=True)
        origins = [{places[k] for k in self.reach.origins.get(v, ())} for v in variables]
        self.reach.close()
        program.around = None
        self.served = {self.present: True}
        return [program.enter(pulled[v])[0] if v in pulled else None for v in variables], origins

    def serves(self, present: frozenset) -> bool:
        """Whether its backward is right if these cotangents alone are there, with zeros in place of the others."""
        if present not in self.served:
            places = sorted(self.present)
            sets = [
                Presence({n: np.bool_(k in some) for n, k in enumerate(places)}, {}, [])
                for some in (present, self.present)
            ]
            self.served[present] = present <= self.present and self.reach.exact(*sets)
        return self.served[present]

    def divide(self, inputs, outputs, gradients, cotangents) -> list[tuple]:
        """Divide the program into what runs forward, and what waits for the cotangents: of each its inputs, its outputs
        and the values in order."""
        program = self.program
        given = [*inputs, *[v for v, *_ in self.captured], *[v for v, _ in self.constants]]
        early = set(order_of([*outputs, *program.effects])) | set(given)
        late = [v for v in order_of(gradients) if v not in early and v not in cotangents]
        early.update([v for v in late if v.op is Pick and v.inputs[0] in early])  # of a loop, for the backward alone
        late = [v for v in late if v not in early]
        needed = dict.fromkeys(
            x for v in late for x in v.inputs if isinstance(x, Value) and x in early
        ) | dict.fromkeys(g for g in gradients if g in early)
        residuals = list(needed)
        order = sorted([v for v in early if v.op is not None], key=lambda v: v.seq)
        self.count = len(outputs)
        self.borrowed = [t for _, t, _ in self.captured if id(t) in program.borrowed]  # memory of somebody's arrays
        return [(given, [*outputs, *residuals], order), ([*residuals, *cotangents], gradients, late)]

    def holds(self) -> dict[int, Tensor] | None:
        """None if what the function read besides its arguments is not as it was when it was traced; else, by the id of
        a tensor that was there, what has taken its place."""
        became = self.guards.hold()
        if became is None:
            return None
        for value, tensor, had in self.captured:
            tensor = became.get(id(tensor), tensor)
            data = tensor._data
            if data.shape != value.shape or data.dtype != value.dtype or (tensor._node is not None) != had:
                return None
        return became

    def now(self, became: dict[int, Tensor]) -> list[Tensor]:
        """The tensors that it closes over."""
        return [became.get(id(t), t) for _, t, _ in self.captured]

    def translated(self, root: "Compiled", became: dict[int, Tensor]) -> dict[int, Tensor]:
        """What `became` says of the root, said of this variant: `basis` is what it was when the variant was traced."""
        if not became and not self.basis:
            return UNCHANGED
        return {id(t): now for t, now in zip(root.now(self.basis), root.now(became))}

    def run(self, tensors, copies: dict, became: dict[int, Tensor]) -> tuple[list, list, list]:
        """Its results, residuals, and the random generators with their states before; of arrays that may change before
        the backward it reads the copies, by their ids."""
        arrays = [x._data for x in tensors] + [t._data for t in self.now(became)]
        arrays += [t._data for _, t in self.constants]
        if copies:
            arrays = [copies[id(a)][1] if id(a) in copies else a for a in arrays]
        states = [(generator, generator.bit_generator.state) for generator in self.generators]
        results = self.forward(arrays)
        return apart(results[: self.count], arrays), results[self.count :], states

    def call(self, leaves, tensors, became: dict[int, Tensor], root: "Compiled | None" = None):
        """became: what has taken the place of what the root (by default this) closed over."""
        variant = self.variants.get(self.used)
        if variant is not None:
            return variant.call(leaves, tensors, became, self)
        root = root or self
        own = became if root is self else self.translated(root, became)
        copies = {id(t._data): (t._data, t._data.copy()) for t in self.borrowed} if self.differentiable else {}
        outs, residuals, states = self.run(tensors, copies, own)
        made: list = [Tensor(x) for x in outs]
        if root.wanted:
            parents = [x._node for x in tensors] + [t._node for t in root.now(became)]
            given = [(x._data, x._node) if isinstance(x, Tensor) else x for x in leaves]
            chosen = on_tape(
                Call(self, root, self.ids(len(tensors), own), states, copies, own, became, self.guards.behind()),
                [parents[k] for k in root.wanted], {}, (tuple(residuals), given),
                [outs[k] for k in self.differentiable],
            )  # fmt: skip
            for k, x in zip(self.differentiable, chosen):
                made[k] = x
        leaves = list(self.others)
        for k, x in zip(self.places, made):
            leaves[k] = x
        return tree.unflatten(self.structure, leaves)

    def ids(self, count: int, became: dict[int, Tensor]) -> list:
        """What its gradients are of: by place the tensors that it is given, by node those that it reads."""
        captured = self.now(became)
        return [k if k < count else captured[k - count]._node for k in self.wanted]

    def gradients(self, residuals, cotangents, present: frozenset) -> list:
        """Of its parents; None where none of the cotangents that are present leads."""
        found = self.backward([*residuals, *cotangents])
        if present == self.present:
            return found
        return [g if origins & present else None for g, origins in zip(found, self.origins)]
