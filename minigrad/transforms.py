"""Function transforms: a function in, its derivative out. Each nests in each, to any order.

All of them are `pull_back`, or `push_forward`, on a tape of their own. A transform gives the function fresh variables
in place of its arguments, so that what is recorded between them and the result is the transform's, and nothing else is.
A variable stays linked to the argument that it stands for when that one is on a tape already; so an outer transform
sees through an inner one. The way back, or forward, is recorded only if somebody outside could differentiate it: if the
function's tape rests on something older than the call, a parameter or an outer variable. Otherwise it runs on plain
arrays. What is made of a function that is jitted is jitted as a whole (`whole_of`).

Arguments and results are nested tuples, lists and dicts of tensors (minigrad/tree.py).
"""

import operator
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from minigrad import tree
from minigrad.arguments import checked, described, is_integer
from minigrad.ir.forward import Tangent, push_forward
from minigrad.modes import clock, enable_grad, recording, thread, tracing
from minigrad.ops.table import Spec, filled
from minigrad.sharing import made_of, whole_of
from minigrad.sites import call_site
from minigrad.tape import Leaf, Node, pull_back
from minigrad.tensor import Tensor, as_tensor, tensor
from minigrad.views import Argument, as_results


def zeros_of(node: Node) -> Tensor:
    """The gradient of what has none."""
    zeros = filled(node.shape, node.dtype)
    return zeros if isinstance(zeros, Tensor) else tensor(zeros)


class _Variable:
    """The op of the nodes through which an argument enters a transform."""

    name = "variable"

    @staticmethod
    def pull(node, g, useful=None):
        return [g]


def variable(node: Node | None, shape, dtype) -> Node:
    """A fresh node that stands for `node`, linked to it if there is one."""
    return Leaf(shape, dtype) if node is None else Node(_Variable, (node,), {}, (), shape, dtype, call_site())


def recorded_since(start: int, roots: Sequence) -> tuple[list[Node], list[Node]]:
    """Nodes recorded since `start` that the roots depend on, and the older ones that those rest on, in order."""
    found, unseen = dict.fromkeys(roots), list(roots)
    while unseen:
        node = unseen.pop()
        if node.seq > start:
            new = [parent for parent in node.inputs if parent is not None and parent not in found]
            found.update(dict.fromkeys(new))
            unseen += new
    order = sorted(found, key=operator.attrgetter("seq"))
    return [n for n in order if n.seq > start], [n for n in order if n.seq < start]


def differentiable_leaves(name: str, args: Sequence, labels: Sequence[str]) -> tuple[list[Tensor], object]:
    """Leaves of the arguments as tensors, and their structure; refuses what has no derivative."""
    leaves, structure = tree.flatten(tuple(args))
    places = [p for arg, label in zip(args, labels) for p in tree.names(arg, label)]
    for k, leaf in enumerate(leaves):
        try:
            leaves[k] = as_tensor(leaf)
        except (TypeError, ValueError):
            raise TypeError(f"{name}: {places[k]} is a {type(leaf).__name__}, wanted a tensor") from None
        if leaves[k].dtype.kind != "f":
            raise TypeError(
                f"{name}: {places[k]} is {Spec(leaves[k].shape, leaves[k].dtype)}, and only floats have derivatives; "
                "cast it with astype(float32), or choose other arguments with argnums"
            )
    return leaves, structure


class _Run:
    """A run of f on variables in the place of its arguments.

    inputs: the variables, by the leaves of the arguments. outs: the leaves of the result, and result, aux as the caller
    gets them. foreign: whether the function's tape rests on something older.
    """

    def __init__(self, name: str, f: Callable, primals: Sequence, has_aux=False, labels=None):
        start, outside = next(clock), recording()
        labels = labels or [f"argument {k}" for k in range(len(primals))]
        self.leaves, self.structure = differentiable_leaves(name, primals, labels)
        if tracing():  # so that a variable stands for what the program knows
            self.leaves = [Tensor(*thread.program.enter(x)) for x in self.leaves]
        with enable_grad():
            self.inputs = [variable(x._node if outside else None, x.shape, x.dtype) for x in self.leaves]
            given = [Argument(x._data, node) for x, node in zip(self.leaves, self.inputs)]
            result = f(*tree.unflatten(self.structure, given))
        aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError(
                    f"{name}: with has_aux the function must return (result, aux), got {tree.describe(result)}"
                )
            result, aux = result
        outs, self.out_structure = tree.flatten(result)
        for k, (out, place) in enumerate(zip(outs, tree.names(result, "the result"))):
            try:
                outs[k] = as_tensor(out)
            except (TypeError, ValueError):
                raise TypeError(f"{name}: {place} is a {type(out).__name__}, wanted a tensor") from None
        self.outs = as_results(outs)
        aux_leaves, aux_structure = tree.flatten(aux)
        aux_leaves = as_results(aux_leaves)
        tensors = [x for x in self.outs + aux_leaves if isinstance(x, Tensor) and x._node is not None]
        self.foreign = outside and bool(recorded_since(start, [x._node for x in tensors])[1])

        def mine(x):
            return x if self.foreign or not isinstance(x, Tensor) else x.detach()

        self.result = tree.unflatten(self.out_structure, [mine(x) for x in self.outs])
        self.aux = tree.unflatten(aux_structure, [mine(x) for x in aux_leaves])

    def pull(self, cotangents: Sequence, keep=True):
        """From a cotangent for each of outs, or None, to a tuple like the primals."""
        given = [(x._node, g) for x, g in zip(self.outs, cotangents) if g is not None and x._node is not None]
        differentiable = recording() and (self.foreign or any(g._node is not None for _, g in given))
        pulled = pull_back(
            [node for node, _ in given],
            [g if differentiable or tracing() else g._data for _, g in given],
            wanted=set(self.inputs),
            keep=keep or differentiable,
            differentiable=differentiable,
        )
        gradients = [pulled.get(node) for node in self.inputs]
        return tree.unflatten(self.structure, [
            zeros_of(node) if g is None else as_tensor(g)
            for node, g in zip(self.inputs, gradients)
        ])  # fmt: skip


def fitting(name: str, values: Sequence, tensors: Sequence, places: Sequence[str]) -> list:
    """Values as tensors of the tensors' dtypes; refuses other shapes, lets None through."""
    fitted = []
    for value, x, place in zip(values, tensors, places):
        if value is not None:
            value = as_tensor(value)
            if value.shape != x.shape:
                raise ValueError(f"{name}: {place} has shape {value.shape}, wanted {x.shape}")
            if value.dtype != x.dtype:
                value = value.astype(x.dtype)
        fitted.append(value)
    return fitted


@checked
def vjp(f: Callable, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of f, and the function that pulls a cotangent back through it.

    Parameters
    ----------
    f
        A function of tensors.
    *primals
        Its arguments, float, in nested tuples, lists and dicts.
    has_aux
        f returns (result, aux), and (result, pull, aux) comes back.

    Returns
    -------
    (f(*primals), pull)
        pull(u) is u times the Jacobian, a tuple of cotangents like the primals. It wants a cotangent of the structure
        and shapes of the result (None: no cotangent) and can be called again.

    Raises
    ------
    TypeError
        For primals that are not float.
    ValueError
        For a cotangent that does not fit.

    Examples
    --------
    >>> y, pull = mg.vjp(lambda x: x**3, mg.tensor([1.0, 2.0]))
    >>> pull(mg.tensor([1.0, 10.0]))[0].tolist()
    [3.0, 120.0]
    """
    run = _Run("vjp", f, primals, has_aux)

    def pull_cotangent(cotangent):
        given = tree.flatten_like(run.out_structure, cotangent, "vjp: the cotangent")
        return run.pull(fitting("vjp", given, run.outs, tree.names(run.out_structure, "the cotangent")))

    return (run.result, pull_cotangent, run.aux) if has_aux else (run.result, pull_cotangent)


@checked
def jvp(f: Callable, primals: Sequence, tangents: Sequence) -> tuple[Any, Any]:
    """The value of f, and its derivative along tangents: forward mode, in which each op takes its tangents along.

    Parameters
    ----------
    f
        A function of tensors.
    primals, tangents
        Its arguments, and directions like them; None for zero.

    Returns
    -------
    (f(*primals), tangent)
        The tangent has the structure and shapes of the result; that of an integer result is None.

    Examples
    --------
    >>> y, dy = mg.jvp(mg.sin, (mg.tensor(0.0),), (mg.tensor(2.0),))
    >>> y.item(), dy.item()
    (0.0, 2.0)
    """
    primals, tangents = several("jvp", "primals", primals), several("jvp", "tangents", tangents)
    if (whole := whole_of(f)) is not None:
        return whole.of(("jvp",), lambda f: lambda *given: jvp(f, *given))(*along("jvp", primals, tangents))
    run = _Run("jvp", f, primals)
    given = tree.flatten_like(run.structure, tangents, "jvp: tangents")
    given = fitting("jvp", given, run.leaves, tree.names(run.structure, "tangents"))
    if tracing():
        given = [t if t is None else Tensor(*thread.program.enter(t)) for t in given]
    differentiable = recording() and (run.foreign or any(t is not None and t._node is not None for t in given))
    pushed = push_forward(
        [x._node for x in run.outs if x._node is not None],
        {node: Tangent(t if differentiable or tracing() else t._data)
         for node, t in zip(run.inputs, given) if t is not None},
        differentiable,
    )  # fmt: skip

    def tangent(x):
        if x.dtype.kind != "f":
            return None
        return as_tensor(pushed[x._node].value).copy() if x._node in pushed else zeros_of(x)

    return run.result, tree.unflatten(run.out_structure, [tangent(x) for x in run.outs])


def _numbers(name: str, argnums, count: int) -> list[int]:
    """The places of the chosen arguments among so many."""
    numbers = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    for k in numbers:
        if not is_integer(k):
            raise TypeError(f"{name}: got argnums={described(argnums)}, wanted the number of an argument, or several")
        if not -count <= k < count:
            raise ValueError(f"{name}: argnums {argnums}, but there are {count} positional arguments")
    numbers = [int(k) % count for k in numbers]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{name}: argnums {argnums} names an argument twice (of {count}); name it once")
    return numbers


def _with(args: Sequence, numbers: Sequence[int], chosen: Sequence) -> list:
    """The arguments with others at these places."""
    given = list(args)
    for k, x in zip(numbers, chosen):
        given[k] = x
    return given


def _chosen(name: str, f: Callable, argnums, args, kwargs):
    """f as a function of the chosen arguments, those arguments, and what to call them."""
    numbers = _numbers(name, argnums, len(args))

    def of(*chosen):
        return f(*_with(args, numbers, chosen), **kwargs)

    return of, [args[k] for k in numbers], [f"argument {k}" for k in numbers]


@checked
def value_and_grad(f: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """The function that returns (f(...), its gradient).

    Parameters
    ----------
    f
        Returns a tensor with one element; with has_aux, (that, anything), which comes back as ((value, aux), gradient).
    argnums
        The argument to differentiate (an int), or several (a tuple; then the gradient is a tuple).
    has_aux
        Whether f returns something besides.

    Returns
    -------
    Callable
        The gradient has the structure, shapes and dtypes of the argument.

    Raises
    ------
    TypeError
        For an argument that is not float or a result that is not a tensor.
    ValueError
        For a result that is not a scalar.

    Examples
    --------
    >>> value, g = mg.value_and_grad(lambda x: (x * x).sum())(mg.tensor([1.0, 2.0]))
    >>> value.item(), g.tolist()
    (5.0, [2.0, 4.0])
    """

    @wraps(f)
    def value_and_gradient(*args, **kwargs):
        of, chosen, labels = _chosen("grad", f, argnums, args, kwargs)
        run = _Run("grad", of, chosen, has_aux, labels)
        value, aux = run.result, run.aux
        if not isinstance(value, Tensor):
            raise TypeError(f"grad: the function must return one scalar tensor, got {tree.describe(value)}")
        if value.size != 1 or value.dtype.kind != "f":
            raise (ValueError if value.size != 1 else TypeError)(
                f"grad: the function must return a float scalar, got {Spec(value.shape, value.dtype)}; "
                "reduce it with sum() or mean(), or use jacobian or vjp"
            )
        gradient = run.pull([as_tensor(filled(value.shape, value.dtype, 1))], keep=False)
        gradient = gradient if isinstance(argnums, (tuple, list)) else gradient[0]
        return ((value, aux) if has_aux else value), gradient

    key = "value_and_grad", repr(argnums), has_aux
    return made_of(f, key, lambda f: value_and_grad(f, argnums, has_aux), value_and_gradient)


@checked
def grad(f: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """The gradient of a scalar function, as a function: `value_and_grad` without the value.

    Parameters
    ----------
    f, argnums, has_aux
        As of `value_and_grad`; with has_aux it returns (gradient, aux).

    Examples
    --------
    >>> mg.grad(mg.grad(lambda x: x**3))(mg.tensor(2.0)).item()
    12.0
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def gradient(*args, **kwargs):
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return made_of(f, ("grad", repr(argnums), has_aux), lambda f: grad(f, argnums, has_aux), gradient)


def along(name: str, primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    """Primals and tangents as tensors that fit."""
    leaves, structure = differentiable_leaves(name, primals, [f"argument {k}" for k in range(len(primals))])
    given = tree.flatten_like(structure, tangents, f"{name}: tangents")
    given = fitting(name, given, leaves, tree.names(structure, "tangents"))
    return tree.unflatten(structure, leaves), tree.unflatten(structure, given)


def several(name: str, argument: str, given) -> tuple:
    """The primals or tangents of a transform as a tuple."""
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"{name}: got {argument}={described(given)}, wanted a tuple or list, one each argument of f")
    return tuple(given)
