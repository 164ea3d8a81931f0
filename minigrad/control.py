"""`cond`, `switch` and `while_loop`: control flow that depends on the numbers in tensors.

Eager, they are the `if` and the `while` of Python, on the tape. In a jitted function, where Python does not know the
numbers, they are compiled (minigrad/ir/control.py).
"""

from collections.abc import Callable, Sequence
from typing import Any

from minigrad import tree
from minigrad.arguments import Count, checked
from minigrad.ir import control as traced
from minigrad.ir.step import as_scalar, in_order, line_of, same_results, unchanged
from minigrad.modes import clock, thread, tracing
from minigrad.ops.elementwise import clip, logical_and, logical_not, sub, where
from minigrad.sites import call_site
from minigrad.tape import Node
from minigrad.tensor import Tensor, as_tensor
from minigrad.transforms import recorded_since
from minigrad.views import as_arguments, as_results, without_changes


@checked
def cond(p: Any, f: Callable, g: Callable, *operands: Any) -> Any:
    """f(*operands) if p else g(*operands): the meaning of jax.lax.cond.

    The branch that is not chosen is not computed, draws nothing and sends no gradient. In a jitted function p may be
    traced; then both branches are recorded and must return the same structure, shapes and dtypes. Under `vmap` each
    sample decides for itself, and both branches are computed.

    Parameters
    ----------
    p
        A bool, or a scalar tensor (bool, or a number: true where it is not 0).
    f, g
        Functions of the operands; they may close over other tensors.
    *operands
        Tensors, or what becomes one. They and the result may be nested tuples, lists and dicts.

    Returns
    -------
    Tensors, in the structure that the branch returns.

    Raises
    ------
    ValueError
        For a p of several numbers (where each row decides for itself, `mg.where` chooses), and when traced for results
        that differ.
    TypeError
        For a p that is no number.

    Examples
    --------
    >>> f = mg.jit(lambda x: mg.cond(x.sum() > 0, mg.sqrt, lambda x: 0 * x, x))
    >>> f(mg.tensor([4.0, 9.0])).tolist(), f(mg.tensor([-4.0, 1.0])).tolist()
    ([2.0, 3.0], [-0.0, 0.0])
    """
    decided, operands = as_scalar("cond", "p", p), tree.map(as_tensor, operands)
    if isinstance(decided, Tensor):
        if thread.program.eager:
            return of_each_sample("cond", [decided, logical_not(decided)], [f, g], operands)
        taken = decided.astype("int64")
        return traced.of_branches("cond", [taken, sub(1, taken)], [f, g], operands)
    return tree.map(as_tensor, without_changes(f if decided else g, operands, {}))


@checked
def switch(index: Any, branches: Sequence[Callable], *operands: Any) -> Any:
    """branches[index](*operands), index clamped to the branches that there are: the meaning of jax.lax.switch.

    Parameters
    ----------
    index
        An integer, or a scalar tensor of integers.
    branches
        Functions of the operands.
    *operands
        As of `cond`.

    Raises
    ------
    ValueError
        For no branches, for an index of several numbers, and when traced for results that differ.
    TypeError
        For an index that is no integer.

    Examples
    --------
    >>> [mg.switch(k, [mg.sin, mg.cos, mg.exp], 0.0).item() for k in (-1, 1, 7)]
    [0.0, 1.0, 1.0]
    """
    if not isinstance(branches, Sequence) or not all(callable(f) for f in branches):
        raise TypeError(f"switch: got branches={branches!r}, wanted a list of functions")
    if not branches:
        raise ValueError("switch: got no branches, wanted one function or more")
    decided, operands = as_scalar("switch", "index", index, "iu"), tree.map(as_tensor, operands)
    last = len(branches) - 1
    if isinstance(decided, Tensor):
        decided = clip(decided.astype("int64"), 0, last)
        if thread.program.eager:
            return of_each_sample("switch", [decided == k for k in range(len(branches))], branches, operands)
        chosen = [(decided == k).astype("int64") for k in range(len(branches))]
        return traced.of_branches("switch", chosen, branches, operands)
    return tree.map(as_tensor, without_changes(branches[min(max(decided, 0), last)], operands, {}))


@checked
def while_loop(cond: Callable, body: Callable, init: Any, bound: Count | None = None) -> Any:
    """carry = body(carry), from init on, while cond(carry): the meaning of jax.lax.while_loop.

    Eager, the loop is on the tape and has derivatives like any Python. In a jitted function its reverse mode
    (`backward`, `grad`, `vjp`) needs a bound, as what every step keeps for it lies in memory for that many; forward
    mode (`jvp`) of first order does without. Where the rows of a batch stop at different times, go on while any of them
    does (`.any()`) and keep those that are done with `mg.where`.

    Parameters
    ----------
    cond
        Of the carry: a bool or a scalar tensor.
    body
        Of the carry: the next one, of the same structure, shapes and dtypes.
    init
        The first carry: nested tuples, lists and dicts of tensors.
    bound
        Of how many steps at most; after so many the loop ends whatever cond says.

    Returns
    -------
    The last carry.

    Raises
    ------
    ValueError
        For a carry that changes its type, for what is no scalar from cond.
    RuntimeError
        When a jitted loop without a bound is differentiated in reverse.

    Examples
    --------
    >>> halve = lambda c: (c[0] / 2, c[1] + 1)
    >>> x, steps = mg.while_loop(lambda c: c[0] > 1, halve, (mg.tensor(100.0), 0))
    >>> x.item(), steps.item()
    (0.78125, 7)
    """
    leaves, structure = tree.flatten(init)
    if bound == 0:
        return tree.unflatten(structure, [as_tensor(x) for x in as_results(as_arguments(leaves))])
    if tracing() and not thread.program.eager:
        return traced.while_loop(cond, body, init, bound)
    carries = in_order([as_tensor(leaf) for leaf in leaves])
    what, t = f"what {line_of(cond)} returned", 0
    while t != bound:
        go = as_scalar("while_loop", what, cond(tree.unflatten(structure, as_arguments(carries))))
        if not isinstance(go, Tensor) and not go:
            break
        if isinstance(go, Tensor):  # for some samples of vmap it may go on, for others not
            return while_any_sample(cond, body, carries, structure, go, t, bound)
        carry = body(tree.unflatten(structure, as_arguments(carries)))
        carries = in_order(unchanged(body, t, "the carry", structure, carries, carry, "while_loop"))
        t += 1
    return tree.unflatten(structure, as_results(as_arguments(carries)))


# Eager, in a function that vmap maps, where the samples decide each for itself: what runs, runs for all of them, and of
# those that have not chosen it neither the values nor the gradients are used.


def of_each_sample(name: str, chosen: Sequence[Tensor], branches: Sequence[Callable], operands):
    """Of each sample the result of the branch that it has chosen: of each branch a bool."""
    results = [tree.flatten(without_others(there, f, operands)) for there, f in zip(chosen, branches)]
    (made, structure), *others = [([as_tensor(x) for x in leaves], structure) for leaves, structure in results]
    for there, f, (leaves, other) in zip(chosen[1:], branches[1:], others):
        same_results(name, branches[0], f, structure, made, tree.unflatten(other, leaves))
        made = [where(there, x, rest) for x, rest in zip(leaves, made)]
    return tree.unflatten(structure, made)


def while_any_sample(cond: Callable, body: Callable, carries: list, structure, go: Tensor, t: int, bound: int | None):
    """The rest of a while_loop, from step t on."""
    what, active = f"what {line_of(cond)} returned", go
    while t != bound and thread.program.of_any_sample(active):
        carry = without_others(active, body, (tree.unflatten(structure, as_arguments(carries)),))
        after = unchanged(body, t, "the carry", structure, carries, carry, "while_loop")
        carries = [where(active, new, old) for new, old in zip(after, carries)]
        go = as_scalar("while_loop", what, cond(tree.unflatten(structure, as_arguments(carries))))
        active, t = logical_and(active, go), t + 1
    return tree.unflatten(structure, as_results(as_arguments(carries)))


def without_others(there: Tensor, f: Callable, operands):
    """f(*operands), through which gradients flow for some samples alone."""
    start = next(clock)
    result = without_changes(f, operands, {})
    nodes = [x._node for x in tree.flatten(result)[0] if isinstance(x, Tensor) and x._node is not None]
    inside, older = recorded_since(start, nodes)
    gates = {n: Node(_Gate(there), (n,), {}, (), n.shape, n.dtype, call_site()) for n in older}
    for gate in gates.values():
        gate.seq = start
    for node in inside:
        node.inputs = tuple([gates.get(n, n) for n in node.inputs])
    return result


class _Gate:
    """The op of a node that lets gradients through for some samples alone; zeros for the others, whatever they are."""

    name = "gate"

    def __init__(self, there: Tensor):
        self.there = there

    def pull(self, node: Node, g, useful=None) -> list:
        return [where(self.there, g, 0.0)]
