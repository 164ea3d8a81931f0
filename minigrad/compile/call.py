"""A call of a jitted function on the tape: its compiled backward, and f run again where that does not do."""

from contextlib import contextmanager

import numpy as np

from minigrad import tree
from minigrad.compile.switch import disable_jit
from minigrad.custom import cut
from minigrad.ir.trace import numbers
from minigrad.modes import RAW, clock, enable_grad, no_grad, recording, thread, tracing
from minigrad.mutations import mutations
from minigrad.tape import pull_back
from minigrad.tensor import Tensor
from minigrad.transforms import recorded_since, variable


class Call:
    """The op of one call of a jitted function. Its node saves the residuals, and the arguments: of a tensor (array,
    node).

    compiled: what ran: root, or one of its variants for some sets of cotangents. ids: what the gradients of a variant
    are of. copies: by the id of each array that f closes over, the array and a copy of it from before the call. became,
    root_became: what had taken the place of what compiled and root closed over. behind: what f reads through weak
    references, held so that f can run again.
    """

    def __init__(self, compiled, root, ids, states, copies: dict, became: dict, root_became: dict, behind: list):
        self.compiled, self.root, self.ids, self.states, self.copies = compiled, root, ids, states, copies
        self.became, self.root_became, self.behind = became, root_became, behind
        self.name = f"jit of {getattr(compiled.f, '__name__', type(compiled.f).__name__)}"

    def pull(self, node, g, useful=None):
        if thread.mode is not RAW:
            return self.pull_uncompiled(node, g) if tracing() else self.pull_recorded(node, g, useful)
        compiled, root = self.compiled, self.root
        present = frozenset([k for k, one in enumerate(g) if one is not None])
        cotangents = [np.zeros(s.shape, s.dtype) if one is None else np.asarray(one) for one, s in zip(g, node.shape)]
        if not compiled.serves(present):
            return self.pull_variant(node, cotangents, present)
        gradients = compiled.gradients(node.saved[0], cotangents, present)
        if compiled is root:
            root.used = root.present
            return gradients
        return self.in_order(node, self.ids, gradients)

    def pull_variant(self, node, cotangents, present: frozenset) -> list:
        """By a program for these cotangents. Its forward runs first, as it has other residuals; from the next call on
        it runs at once."""
        self.refuse_changed(node, "the gradients of some of its results")
        root = self.root
        leaves = [Tensor(*x) if type(x) is tuple else x for x in node.saved[1]]
        if root.serves(present):
            variant, root.used = root, root.present
        else:
            if present not in root.variants:
                root.variants[present] = type(root)(
                    root.f, root.derivatives, root.structure_in, leaves, root.needs, root.options, present=present
                )
                root.variants[present].basis = self.root_became
            variant, root.used = root.variants[present], present
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        became = self.root_became if variant is root else variant.translated(root, self.root_became)
        with self.drawing_as_before():
            _, residuals, _ = variant.run(tensors, self.copies, became)
        return self.in_order(node, variant.ids(len(tensors), became), variant.gradients(residuals, cotangents, present))

    def in_order(self, node, ids: list, gradients: list) -> list:
        """Gradients of a program in the order of the node's inputs, which is that of the root's."""
        found: dict = {}
        for name, one in zip(ids, gradients):
            add(found, name, one)
        count = sum(type(x) is tuple for x in node.saved[1])
        return [found.pop(k if k < count else n, None) for k, n in zip(self.root.wanted, node.inputs)]

    def refuse_changed(self, node, what: str, copies=()) -> None:
        """Raise if f would not read now what it read in the call. copies: pairs of an array and what it was."""
        compiled = self.compiled
        captured = compiled.now(self.became)
        arrays = [x[0] for x in node.saved[1] if type(x) is tuple] + [t._data for t in captured]
        now = compiled.holds()
        changed = now is None or any(a is not b for a, b in zip(compiled.now(now), captured))
        changed = changed or any(mutations.time(a) > node.seq for a in arrays if id(a) not in self.copies)
        if changed or any(numbers(array) != numbers(copy) for array, copy in copies):
            raise RuntimeError(
                f"backward of {self.name}: something that it reads was changed after the call ({node.line}), and "
                f"{what} run it again; change it after they have been taken"
            )

    def pull_recorded(self, node, g, useful) -> list:
        """On the tape: a call of the jitted backward of f."""
        args, kwargs, numbers = self.arguments(node)
        cotangents = [None] * self.root.count
        for k, one in zip(self.root.differentiable, g):
            cotangents[k] = one
        wanted = tuple([k for k, n in zip(numbers, node.inputs) if useful is None or n in useful])
        with self.drawing_as_before():
            found = self.root.derivatives.backward(args, kwargs, cotangents, wanted, self.root.needs)
        return [found.get(k) for k in numbers]

    def push(self, node, tangents) -> list | None:
        """The tangents of the results, from those of the node's inputs: a call of the jitted forward mode of f."""
        if tracing():
            return None
        args, kwargs, numbers = self.arguments(node)
        raw = thread.mode is RAW
        given = {k: Tensor(t) if raw else t for k, t in zip(numbers, tangents) if t is not None}
        with no_grad() if raw else enable_grad(), self.drawing_as_before():
            found = self.root.derivatives.forward(args, kwargs, given, self.root.needs)
        made = [found.get(k) for k in self.root.differentiable]
        return [x if x is None or not raw else x._data for x in made]

    def arguments(self, node) -> tuple[tuple, dict, list[int]]:
        """The arguments of the call, for a derivative of f (minigrad/compile/derivatives.py), and of the node's inputs
        their numbers there."""
        self.refuse_changed(node, "derivatives of a second order", self.copies.values())
        root, leaves = self.root, list(node.saved[1])
        tensors = [k for k, x in enumerate(leaves) if type(x) is tuple]
        captured = [len(tensors) + k for k, (_, _, had) in enumerate(root.captured) if had]
        number = {k: k for k in range(len(tensors))} | {k: len(tensors) + n for n, k in enumerate(captured)}
        parents = dict(zip(root.wanted, node.inputs))
        for n, k in enumerate(tensors):
            data, parent = leaves[k]
            leaves[k] = Tensor(data, parents.get(n, parent))  # another one, if a checkpoint around has put it there
        return *tree.unflatten(root.structure_in, leaves), [number[k] for k in root.wanted]

    def pull_uncompiled(self, node, g) -> list:
        """While something else is traced: f runs again, as a part of that, and what it recorded is pulled back, to its
        arguments and to what was there before."""
        compiled, differentiable, inside_a_trace = self.compiled, recording(), tracing()
        self.refuse_changed(node, "derivatives of a second order", self.copies.values())
        if inside_a_trace:
            compiled.options.refuse_elsewhere()
        if inside_a_trace and self.states:
            raise RuntimeError(
                f"backward of {self.name} ({node.line}) inside of another jitted function, where the random numbers "
                "that it drew are not known; call it inside, too"
            )
        leaves = [Tensor(*x) if type(x) is tuple else x for x in node.saved[1]]
        if inside_a_trace:
            leaves = [Tensor(*thread.program.enter(x)) if isinstance(x, Tensor) else x for x in leaves]
        variables = [
            None if x._node is None else variable(x._node, x.shape, x.dtype) for x in leaves if isinstance(x, Tensor)
        ]
        start, entries = next(clock), iter(variables)
        leaves = [Tensor(x._data, next(entries)) if isinstance(x, Tensor) else x for x in leaves]
        args, kwargs = tree.unflatten(compiled.structure_in, leaves)
        f = compiled.f if compiled.needs else no_grad()(compiled.f)
        with enable_grad(), disable_jit(), self.drawing_as_before():
            outs = [x for x in tree.flatten(f(*args, **kwargs))[0] if isinstance(x, (Tensor, np.ndarray))]
        found: dict = {}
        roots = []
        for k, one in zip(compiled.differentiable, g):
            if one is not None:
                result = outs[k]._node
                if result.seq > start or result in variables:
                    roots.append((result, one))
                else:  # f returns what it closes over
                    add(found, result, one)
        inside, older = recorded_since(start, [root for root, _ in roots])
        borders = cut(inside, [n for n in older if n not in variables], start)
        pulled = pull_back(
            [root for root, _ in roots], [one for _, one in roots],
            wanted={*variables, *borders.values()} - {None}, keep=True, differentiable=differentiable,
        )  # fmt: skip
        for n, border in borders.items():
            add(found, n, pulled.get(border))
        if inside_a_trace:  # there each tensor from outside has a place of its own
            entered = {thread.program.enter(t)[1]: t._node for t in compiled.now(self.became)}
            for n in list(found):
                add(found, entered[n], found.pop(n))
        # In the place of what f closes over the node may have others, put there by a checkpoint around the call.
        captured = self.root.now(self.root_became)
        return [
            pulled.get(variables[k]) if k < len(variables) else found.pop(captured[k - len(variables)]._node, None)
            for k in self.root.wanted
        ]

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


def add(found: dict, key, cotangent) -> None:
    if cotangent is not None:
        found[key] = cotangent if key not in found else found[key] + cotangent
