"""`vmap`: a function of one sample as a function of many, run once for all of them (minigrad/ir/samples.py).

On the tape around, a call is one node. Its backward is that of one sample, run for all samples at once, and recorded
again as such a node if somebody could differentiate it; so custom rules, `stop_gradient` and the rest mean inside what
they mean elsewhere.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.arguments import checked, described, is_integer
from minigrad.ir.absent import Reach
from minigrad.ir.forward import Tangent, push_forward
from minigrad.ir.samples import Samples
from minigrad.modes import RAW, recording, thread, tracing
from minigrad.ops.reduce import sum
from minigrad.ops.shape import moveaxis
from minigrad.ops.table import Spec, on_tape
from minigrad.sharing import whole_of
from minigrad.tape import Node, pull_back
from minigrad.tensor import Tensor, as_tensor
from minigrad.views import Argument, as_results


@checked
def vmap(f: Callable, in_axes: Any = 0, out_axes: Any = 0) -> Callable:
    """The function that calls f for each sample of its arguments, as one call for all: the meaning of jax.vmap.

    in_axes: along which axis of an argument the samples lie; None: it is the same for all. One for all arguments, or a
    tuple with one each; for a nested argument a tree of them, which may end early. Keyword arguments are mapped along
    axis 0. out_axes: likewise for the results; None wants a result that is the same for all. Arguments with None are
    given to f as they are; the others are tensors (arrays are taken as such).

    f sees the shapes of one sample. It may close over tensors and parameters, which all samples share and gradients
    flow to, call modules, scans, other transforms and `vmap` again. `cond`, `switch` and `while_loop` decide for each
    sample; what any sample chooses is computed for all. `if` on numbers that differ from sample to sample is refused,
    as are random draws, dropout's too: draw outside and map over what was drawn. There may be no sample at all, where
    the ops take no rows.

    Eager, f is run with every call, op by op: each costs some ten times the Python of an eager op, for all samples
    together, and a `jit` or `checkpoint` in f has no effect on speed and memory. Put `jit` around: then it costs
    nothing, loops of f are one loop each, and a weight that the samples share gets its gradient as one product.
    `vmap(jit(f))` is `jit(vmap(f))`, and so is that of a gradient of a jitted function.

    Raises ValueError for arguments that disagree in the number of samples, have no such axis, or if nothing is mapped;
    TypeError for in_axes that do not fit, for a mapped argument or a result that is no tensor.

    Gradients of each sample:

        >>> w, x = mg.tensor([1.0, 2.0]), mg.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> loss = lambda w, x: (w @ x) ** 2
        >>> mg.vmap(mg.grad(loss), in_axes=(None, 0))(w, x).tolist()
        [[2.0, 0.0], [0.0, 4.0], [6.0, 6.0]]
    """
    check_axes("in_axes", in_axes)
    check_axes("out_axes", out_axes)
    whole = whole_of(f)
    if whole is not None:
        return whole.of(("vmap", repr(in_axes), repr(out_axes)), lambda f: vmap(f, in_axes, out_axes))

    @wraps(f)
    def mapped(*args, **kwargs):
        leaves, structure = tree.flatten((args, kwargs))
        axes = axes_of_arguments(in_axes, args, kwargs)
        names = [p for k, arg in enumerate(args) for p in tree.names(arg, f"argument {k}")]
        names += [p for key, arg in kwargs.items() for p in tree.names(arg, key)]
        leaves, size = samples_first(leaves, axes, names)
        return run(f, leaves, structure, axes, size, out_axes)

    return mapped


# Axes


def check_axes(name: str, axes) -> None:
    for axis in tree.flatten(axes)[0]:
        if not is_integer(axis):
            raise TypeError(f"vmap: got {name}={described(axes)}, wanted an integer, None, or a tree of them")


def axes_of_arguments(in_axes, args: tuple, kwargs: dict) -> list:
    """For each leaf its axis, or None."""
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ValueError(f"vmap: got in_axes={described(in_axes)} for {len(args)} positional arguments")
    axes = in_axes if isinstance(in_axes, tuple) else [in_axes] * len(args)
    found: list = []
    for k, (axis, arg) in enumerate(zip(axes, args)):
        spread(axis, arg, f"in_axes of argument {k}", found)
    for key, arg in kwargs.items():
        spread(0, arg, key, found)
    return found


def spread(axes, given, name: str, found: list) -> None:
    """Append the axis of each leaf of what is given: axes is a tree like it that may end early."""
    inner, parts = tree.children(axes), tree.children(given)
    if axes is None or inner is None:
        found += [axes] * len(tree.flatten(given)[0])
        return
    if parts is None or tree.kind(axes) is not tree.kind(given) or inner[0] != parts[0]:
        if given is None:
            return
        raise ValueError(
            f"vmap: {name}: wanted {tree.describe(given)} or one axis for all of it, got {described(axes)}"
        )
    for key, axis in zip(*inner):
        spread(axis, given[key], name + tree.place(axes, key), found)


def position(axis, ndim: int, what: str) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"vmap: {what} has {ndim} axes, so there is no axis {axis}")
    return int(axis) % ndim


def samples_first(leaves: list, axes: list, names: list[str]) -> tuple[list, int]:
    """The leaves, those that are mapped as tensors with the samples in front, and how many samples there are."""
    made, sizes = list(leaves), {}
    for k, (axis, name) in enumerate(zip(axes, names)):
        if axis is None:
            continue
        try:
            x = as_tensor(leaves[k])
        except (TypeError, ValueError):
            raise TypeError(
                f"vmap: {name} is a {type(leaves[k]).__name__}, wanted a tensor; give it None in in_axes"
            ) from None
        if not x.ndim:
            raise ValueError(f"vmap: {name} is one number and has no axis of samples; give it None in in_axes")
        axis = position(axis, x.ndim, f"{name}, {Spec(x.shape, x.dtype)},")
        sizes[name] = x.shape[axis]
        made[k] = moveaxis(x, axis, 0) if axis else x
    if not sizes:
        raise ValueError("vmap: nothing is mapped; wanted at least one argument with an axis in in_axes")
    if len(set(sizes.values())) > 1:
        got = ", ".join([f"{name} has {n}" for name, n in sizes.items()])
        raise ValueError(f"vmap: the arguments must agree in the number of samples: {got}")
    return made, next(iter(sizes.values()))


# A call


def run(f: Callable, leaves: list, structure, axes: list, size: int, out_axes):
    outs, out_structure, found, places = record(f, leaves, structure, axes, size, out_axes)
    for k, (x, axis, place) in enumerate(zip(outs, found, places)):
        if axis is not None and (axis := position(axis, x.ndim, f"{place}, with its samples,")):
            outs[k] = moveaxis(x, 0, axis)
    return tree.unflatten(out_structure, outs)


def record(f: Callable, leaves: list, structure, axes: list, size: int, out_axes) -> tuple[list, Any, list, list]:
    """The results, with the samples in front; their structure; for each its axis of samples, and what to call it."""
    samples = Samples(size, thread.program if tracing() else None)
    with samples.recording(), np.errstate(all="ignore"):
        given = [
            Argument(*samples.place(x, axis is not None)) if isinstance(x, Tensor) else x
            for x, axis in zip(leaves, axes)
        ]
        args, kwargs = tree.unflatten(structure, given)
        result = f(*args, **kwargs)
        outs, out_structure = tree.flatten(result)
        places = tree.names(result, "the result")
        found: list = []
        spread(out_axes, result, "out_axes", found)
        outs = [entered(samples, x, place) for x, place in zip(as_results(outs), places)]
    for x, axis, place in zip(outs, found, places):
        if axis is None and x._data.on:
            raise ValueError(f"vmap: {place} differs from sample to sample, and out_axes says None")
    call = VmapCall(samples, f"vmap of {getattr(f, '__name__', type(f).__name__)}")
    if tracing():
        call.again = lambda: record(f, leaves, structure, axes, size, out_axes)[0]
    made = apart(recorded(call, samples, outs, [axis is not None for axis in found]), outs)
    return made, out_structure, found, places


def entered(samples: Samples, x, place: str) -> Tensor:
    try:
        return Tensor(*samples.enter(as_tensor(x)))
    except (TypeError, ValueError):
        raise TypeError(f"vmap: {place} is a {type(x).__name__}, wanted a tensor") from None


def apart(results: list[Tensor], outs: Sequence[Tensor]) -> list[Tensor]:
    """The results, each in memory of its own."""
    seen: set = set()
    for x, out in zip(results, outs):
        array = x._data
        if isinstance(array, np.ndarray) and (array.base is not None or id(array) in seen or not out._data.on):
            x._data = array.copy()
        seen.add(id(array))
    return results


def recorded(call: "VmapCall", samples: Samples, outs: Sequence[Tensor], inside: Sequence[bool]) -> list[Tensor]:
    """Results as tensors of the program around, on its tape. inside: whether they are to have the axis of samples."""
    made = samples.taken_out([x._data for x in outs], inside)
    roots = [x._node for x in outs]
    if not recording() or not any(roots) or not samples.entries:
        return [Tensor(x) for x in made]
    nodes = [node for _, _, node in samples.entries]
    saved = roots, [(leaf, value) for leaf, value, _ in samples.entries], inside
    tensors = on_tape(call, nodes, {}, saved, made)
    return [Tensor(x._data) if root is None else x for x, root in zip(tensors, roots)]


def began(program):
    """Of programs that continue each other, as those of vmap do, the first."""
    return program.first if isinstance(program, Samples) else program


class VmapCall:
    """The op of one call of a mapped function. Its node saves the results' nodes inside, what entered from the tape
    around, and which results have the axis of samples. again: records the call once more, in the program that is traced
    then; it gives the results."""

    again: Any = None

    def __init__(self, samples: Samples, name: str):
        self.samples, self.name = samples, name

    def needed(self, node: Node) -> tuple:
        return ()  # what the nodes inside need is looked at when they are pulled back

    def through(self, node: Node) -> list[set[int]]:
        """For each input, the results that send it something."""
        roots, entries, _ = node.saved
        places = [k for k, root in enumerate(roots) if root is not None]
        reach = Reach([roots[k] for k in places], {leaf for leaf, _ in entries})
        return [{places[k] for k in reach.origins.get(leaf, ())} for leaf, _ in entries]

    def pull(self, node: Node, g, useful=None) -> list:
        """The cotangents of what entered. What all samples share is sent the sum over them."""
        entries, raw = node.saved[1], thread.mode is RAW
        wanted = [useful is None or n in useful for n in node.inputs]
        result: list[Any] = [None] * len(entries)
        if recording():
            for k, x in zip(*self.record_backward(node, g, wanted)):
                result[k] = x if entries[k][1].on else sum(x, axis=0)
        else:
            samples, places, outs = self.run_backward(node, g, wanted)
            with samples.running():
                for k, x in zip(places, outs):
                    found = samples.whole(x._data) if entries[k][1].on else samples.total(x._data)
                    result[k] = found if raw else Tensor(found)
        return result

    @staticmethod
    def linked(samples: Samples, entries: Sequence, parents: Sequence) -> None:
        """What had entered another program of these samples enters this one, from its nodes on the tape around."""
        for (leaf, value), parent in zip(entries, parents):
            samples.entries.append((leaf, value, samples.data_of(Tensor(value.data, parent))[1]))

    def run_backward(self, node: Node, g, wanted: Sequence[bool]) -> tuple[Samples, list[int], list[Tensor]]:
        """The numbers of the entries that get something, and what each sample sends them."""
        roots, entries, inside = node.saved
        differentiable = recording()
        samples = Samples(self.samples.size, thread.program if tracing() else None, self.samples.first)
        with samples.recording():
            self.linked(samples, entries, node.inputs if differentiable else ())
            given = [
                (root, Tensor(*samples.place(one if isinstance(one, Tensor) else Tensor(one), flag)))
                for root, one, flag in zip(roots, g, inside)
                if root is not None and one is not None
            ]
            pulled = pull_back(
                [root for root, _ in given], [one for _, one in given],
                wanted={leaf for (leaf, _), yes in zip(entries, wanted) if yes}, keep=True,
                differentiable=differentiable,
            )  # fmt: skip
            places = [k for k, (leaf, _) in enumerate(entries) if leaf in pulled]
            return samples, places, [Tensor(*samples.enter(pulled[entries[k][0]])) for k in places]

    def push(self, node: Node, tangents: Sequence) -> list:
        """The tangents of the results: those of each sample, for all of them."""
        raw, differentiable = thread.mode is RAW, recording()
        node = self.here(node) if differentiable else node
        (roots, entries, inside), parents, of = node.saved, node.inputs, node.op.samples
        samples = Samples(of.size, thread.program if tracing() else None, of.first)
        with samples.recording():
            self.linked(samples, entries, parents if differentiable else ())
            given = {
                leaf: Tangent(Tensor(*samples.place(t if isinstance(t, Tensor) else Tensor(t), value.on)))
                for (leaf, value), t in zip(entries, tangents)
                if t is not None
            }
            pushed = push_forward([root for root in roots if root is not None], given, differentiable)
            places = [k for k, root in enumerate(roots) if root in pushed]
            outs = [Tensor(*samples.enter(pushed[roots[k]].value)) for k in places]
        flags, result = [inside[k] for k in places], [None] * len(roots)
        if differentiable:
            call = VmapCall(samples, f"tangents of {self.name}")
            if tracing():
                call.again = lambda: [x for x in node.op.push(node, tangents) if x is not None]
            made: list[Any] = recorded(call, samples, outs, flags)
        else:
            found = samples.taken_out([x._data for x in outs], flags)
            made = found if raw else [Tensor(x) for x in found]
        for k, x in zip(places, made):
            result[k] = x
        return result

    def record_backward(self, node: Node, g, wanted: Sequence[bool]) -> tuple[list[int], list[Tensor]]:
        """The same, on the tape."""
        node = self.here(node)
        samples, places, outs = node.op.run_backward(node, g, wanted)
        call = VmapCall(samples, f"backward of {self.name}")
        if tracing():
            call.again = lambda: self.record_backward(node, g, wanted)[1]
        return places, recorded(call, samples, outs, [True] * len(outs))

    def here(self, node: Node) -> Node:
        """The node, recorded again if that was in the step of a loop, and what is traced now is the step of its
        backward: which has the numbers of that step, but not what was on the tape between them."""
        if self.again is None or began(thread.program) is began(self.samples.outside):
            return node
        return next(x._node.inputs[0] for x in self.again() if x._node is not None)
