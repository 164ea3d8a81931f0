"""What `jit` has made of a function: a trace, divided into what runs forward and what waits for the cotangents."""

import copy
from typing import NamedTuple

import numpy as np

from minigrad import tree
from minigrad.compile.call import Call
from minigrad.compile.derivatives import Derivatives
from minigrad.compile.execute import Sequence, apart, compile_loops, memory_of
from minigrad.compile.guards import UNCHANGED, Guards
from minigrad.compile.passes.pipeline import optimise
from minigrad.compile.record import record
from minigrad.compile.sources import Consumed, refusing
from minigrad.compile.stages import Stages, stopped
from minigrad.compile.walk import Walk
from minigrad.ir.absent import Presence, Reach
from minigrad.ir.actions import Actions, is_other
from minigrad.ir.draws import generators_of
from minigrad.ir.rewrite import order_of
from minigrad.ir.trace import Pick, Program, Value
from minigrad.modes import TRACED, TRACED_OFF, thread
from minigrad.mutations import dense_order
from minigrad.ops.table import on_tape
from minigrad.symbolic import Sizes, evaluator
from minigrad.tape import pull_back
from minigrad.tensor import Tensor


class Options(NamedTuple):
    """What `jit` was told besides the function."""

    checkpoint: int | None = None
    precision: str | None = None

    def refuse_elsewhere(self) -> None:
        """Raise if what is being traced, of which a function with these options is a part, has another precision."""
        if self.precision is not None and thread.program.precision != self.precision:
            raise RuntimeError(
                f"jit: a function that was jitted with precision={self.precision!r} is called in a function that was "
                "not, of which it is a part, computed as the rest; give precision to the outer one, or call it outside"
            )


class Compiled:
    """What jit has made of a function for one kind of arguments.

    forward: from arrays of the inputs to results and residuals. backward: from residuals and cotangents to gradients.
    present: the differentiable results, by their places among them, that the backward has cotangents of; None for all.
    It does for others where they make no difference but zeros. variants: what was compiled for others yet, when a
    backward wanted it. used: for which of them the last backward was; the next call takes it that it will be so again.
    apart: whether the kernels give each result memory of its own. stopped: of a function that acts (ir/actions.py), the
    results that have been differentiated in it, and cannot be again.
    kept: tensors from outside that the function changes; their new values follow the results.
    basis: of a variant, what had taken the place of what the root closed over when the variant was traced.
    sizes: of a program that is to serve several sizes, its symbols and guards; it runs when it is `bound` to some.
    """

    def __init__(
        self, f, derivatives: Derivatives | None, structure, leaves, needs: bool, options: Options, log=None,
        present: frozenset | None = None, sizes: Sizes | None = None, shapes: list | None = None,
    ):  # fmt: skip
        """shapes: of the tensors among the leaves, in which sizes are symbols of `sizes`; None: their own."""
        self.f, self.derivatives, self.structure_in, self.needs = f, derivatives, structure, needs
        self.options, self.sizes, self.shapes = options, sizes, shapes
        self.name = getattr(f, "__name__", type(f).__name__)
        self.variants: dict[frozenset, Compiled] = {}
        self.used: frozenset = frozenset()
        self.basis: dict[int, Tensor] = UNCHANGED
        before = Walk(f, leaves, structure)
        consumed = Consumed(before.consumed.values())
        program = self.program = Program()
        outer = thread.mode, thread.program
        try:
            with refusing() as called:
                inputs, tensors, gradients, origins = self.trace(program, leaves, present)
                consumed.refuse_changed(lambda: copy.copy(self).trace(Program(), leaves, present), called)
        finally:
            thread.mode, thread.program = outer
        made = [x for x in tensors if x is not None]
        # after the trace: what it did to a list, say, it does not do again
        self.guards = Guards(f, leaves, structure, program, before, {id(t) for _, t, _ in self.captured})
        orders = [dense_order(program.memory_of(x._data)) for x in made]
        self.orders = [
            (k, axes if axes != tuple(sorted(axes)) else ()) for k, axes in enumerate(orders) if axes is not None
        ]
        program.memories.clear()
        program.in_order.clear()
        self.tensors = [tensor for _, tensor, _ in self.captured]
        self.places = [k for k, x in enumerate(tensors[: len(self.others)]) if x is not None]
        self.wanted = [k for k, g in enumerate(gradients) if g is not None]
        self.origins = [origins[k] for k in self.wanted]
        items = [value.params["item"] for value in program.effects]
        self.generators = list(dict.fromkeys(generator for item in items for generator in generators_of(item)))
        self.count = len(made)
        if program.actions.done:
            stages = Stages(self.name, program, [x._data for x in made], log)
        else:
            roots = optimise(program, [x._data for x in made] + [gradients[k] for k in self.wanted], log)
        self.constants = [(v, program.owned.get(id(t), t)) for [(v, _, t)] in program.captured.values()][
            len(self.captured) :
        ]
        self.numbers: list[np.ndarray] = []
        self.borrowed = [t for _, t, _ in self.captured if id(t) in program.borrowed]  # memory of somebody's arrays
        given = [*inputs, *[v for v, *_ in self.captured], *[v for v, _ in self.constants]]
        given += [v for v, _ in program.scalars.values()]
        if program.actions.done:
            stages.complete([*given, *[v for _, v in program.actions.given()]])
            self.backward, self.apart = Sequence([], []), False
            self.forward: Sequence | Stages = stages
        else:
            parts = self.divide(given, roots[: self.count], roots[self.count :], program.cotangents)
            self.forward, self.backward = [Sequence(a, b, order, compile_loops(order)) for a, b, order in parts]
            memories = [memory_of(v, self.forward.kernels) for v in self.forward.outputs[: self.count]]
            self.apart = all(type(x) is tuple for x in memories) and len(set(memories)) == len(memories)
        self.build = tree.builder(self.structure)
        if sizes is not None:
            sizes.closed = True

    def trace(self, program: Program, leaves, present: frozenset | None) -> tuple[list, list, list, list]:
        """Trace f and its backward: values of the arguments; the results, flat, None for those that are no tensors; the
        gradients, and for each the results that send it something."""
        program.every, program.precision = self.options.checkpoint if self.needs else None, self.options.precision
        program.actions = Actions(program)
        inputs, variables, results, self.structure = record(
            self.f, program, leaves, self.structure_in, self.needs, self.shapes
        )
        thread.mode, thread.program = TRACED if self.needs else TRACED_OFF, program
        tensors = [Tensor(*program.enter(x)) if isinstance(x, (Tensor, np.ndarray)) else None for x in results]
        self.others = [None if isinstance(x, (Tensor, np.ndarray)) else x for x in results]
        self.kept = [x for x, _ in program.actions.kept.values()]
        tensors += [Tensor(value) for _, value in program.actions.kept.values()]
        made = [x for x in tensors if x is not None]
        self.captured = [
            (value, program.owned.get(id(tensor), tensor), leaf is not None)
            for [(value, leaf, tensor)] in program.captured.values()
        ]
        variables += [leaf for [(_, leaf, _)] in program.captured.values()]
        taped = [k for k, x in enumerate(made) if x._node is not None]
        acts = program.actions.close()
        if self.kept:
            program.actions.refuse_views([x._data for x in made])
        self.differentiable, self.stopped = ([], taped) if acts else (taped, [])
        program.cotangents = [program.input(made[k]) for k in self.differentiable]
        self.present = frozenset(range(len(program.cotangents))) if present is None else present
        if acts:  # it has had its backward
            self.served = {self.present: True}
            return inputs, tensors, [None] * len(variables), [set()] * len(variables)
        gradients, origins = self.pull(program, variables, [made[k]._node for k in self.differentiable])
        return inputs, tensors, gradients, origins

    def bound(self, values: dict[str, int]) -> "Compiled":
        """The program for these values of its symbols. It shares all that does not depend on them."""
        assert self.sizes is not None
        at, made = evaluator(self.sizes, values), copy.copy(self)
        made.variants, made.served = {}, {self.present: True}
        made.others = at(self.others)
        made.numbers = [np.asarray(at(x), value.dtype) for value, x in self.program.scalars.values()]
        made.forward, made.backward = self.forward.bound(at), self.backward.bound(at)
        return made

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

    def divide(self, given, outputs, gradients, cotangents) -> list[tuple]:
        """Divide the program into what runs forward, and what waits for the cotangents: of each its inputs, its outputs
        and the values in order."""
        early = set(order_of([*outputs, *self.program.effects])) | set(given)
        late = [v for v in order_of(gradients) if v not in early and v not in cotangents]
        early.update([v for v in late if v.op is Pick and v.inputs[0] in early])  # of a loop, for the backward alone
        late = [v for v in late if v not in early]
        needed = dict.fromkeys(
            x for v in late for x in v.inputs if isinstance(x, Value) and x in early
        ) | dict.fromkeys(g for g in gradients if g in early)
        residuals = list(needed)
        order = sorted([v for v in early if v.op is not None], key=lambda v: v.seq)
        return [(given, [*outputs, *residuals], order), ([*residuals, *cotangents], gradients, late)]

    def holds(self) -> dict[int, Tensor] | None:
        """None if what the function read besides its arguments is not as it was when it was traced; else, by the id of
        a tensor that was there, what has taken its place."""
        became = self.guards.hold()
        if became is None or not self.program.actions.hold():
            return None
        for value, tensor, had in self.captured:
            tensor = became.get(id(tensor), tensor)
            data = tensor._data
            if data.shape != value.shape or data.dtype != value.dtype or (tensor._node is not None) != had:
                return None
        return became

    def now(self, became: dict[int, Tensor]) -> list[Tensor]:
        """The tensors that it closes over."""
        if became is UNCHANGED:
            return self.tensors
        return [became.get(id(t), t) for t in self.tensors]

    def translated(self, root: "Compiled", became: dict[int, Tensor]) -> dict[int, Tensor]:
        """What `became` says of the root, said of this variant: `basis` is what it was when the variant was traced."""
        if not became and not self.basis:
            return UNCHANGED
        return {id(t): now for t, now in zip(root.now(self.basis), root.now(became))}

    def run(self, tensors, copies: dict, became: dict[int, Tensor]) -> tuple[list, list, list]:
        """Its results, residuals, and the random generators with their states before; of arrays that may change before
        the backward it reads the copies, by their ids."""
        arrays = [x._data for x in (*tensors, *self.now(became))]
        arrays += [t._data for _, t in self.constants] + self.numbers + self.program.actions.given_arrays()
        if copies:
            arrays = [copies[id(a)][1] if id(a) in copies else a for a in arrays]
        states = [(generator, generator.bit_generator.state) for generator in self.generators]
        results = self.forward(arrays)
        outs = results[: self.count]
        outs = outs if self.apart else apart(outs, arrays)
        for k, axes in self.orders:  # which decides what a reshape of the result is, a view or a copy
            if not (outs[k].transpose(axes) if axes else outs[k]).flags.c_contiguous:
                axes = axes or tuple(range(outs[k].ndim))
                outs[k] = np.ascontiguousarray(outs[k].transpose(axes)).transpose(np.argsort(axes))
        return outs, results[self.count :], states

    def call(self, leaves, tensors, became: dict[int, Tensor], root: "Compiled | None" = None):
        """became: what has taken the place of what the root (by default this) closed over."""
        variant = self.variants.get(self.used)
        if variant is not None:
            return variant.call(leaves, tensors, became, self)
        root = root or self
        own = became if root is self else self.translated(root, became)
        kept = [own.get(id(x), x) for x in self.kept]
        if any(is_other(x, t) for x in kept for t in tensors):
            raise RuntimeError(
                f"jit: an argument of {self.name} lies in the memory of a tensor that copy_ changes there, and would "
                "not follow; pass a copy"
            )
        change = [*self.borrowed, *kept] if self.differentiable else []
        copies = {id(t._data): (t._data, t._data.copy()) for t in change}
        outs, residuals, states = self.run(tensors, copies, own)
        made: list = [Tensor(x) for x in outs]
        for k in self.stopped:
            made[k] = stopped(self.name, outs[k])
        if root.wanted:
            parents = [x._node for x in tensors] + [t._node for t in root.now(became)]
            given = [(x._data, x._node) if isinstance(x, Tensor) else x for x in leaves]
            ids = None if root is self else self.ids(len(tensors), own)
            chosen = on_tape(
                Call(self, root, ids, states, copies, own, became, self.guards.behind()),
                [parents[k] for k in root.wanted], {}, (tuple(residuals), given),
                [outs[k] for k in self.differentiable],
            )  # fmt: skip
            for k, x in zip(self.differentiable, chosen):
                made[k] = x
        leaves = list(self.others)
        for k, x in zip(self.places, made):
            leaves[k] = x
        for x, new in zip(kept, made[len(self.places) :]):
            x.copy_(new)
        return self.build(leaves)

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
