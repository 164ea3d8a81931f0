"""Function transforms: a function in, its derivative out. Each nests in each, to any order.

All of them are `pull_back` on a tape of their own. A transform gives the function fresh variables in place of its
arguments, so that what is recorded between them and the result is the transform's, and nothing else is. A variable
stays linked to the argument that it stands for when that one is on a tape already; so an outer transform sees through
an inner one. The way back is recorded only if somebody outside could differentiate it: if the function's tape rests on
something older than the call, a parameter or an outer variable. Otherwise it runs on plain arrays.

Arguments and results are nested tuples, lists and dicts of tensors (minigrad/tree.py).
"""

from collections.abc import Callable, Sequence
from functools import wraps
from operator import attrgetter

import numpy as np

from minigrad import tree
from minigrad.arguments import checked, described, is_integer
from minigrad.modes import clock, enable_grad, recording, thread, tracing
from minigrad.ops.join import stack
from minigrad.ops.shape import reshape
from minigrad.ops.table import Spec, filled
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
    order = sorted(found, key=attrgetter("seq"))
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


def _vjp(name, f, primals, has_aux=False, labels=None, start=None):
    """(result, aux, pull, tensors of the result), where pull takes a cotangent a leaf and gives a tuple like primals.

    start: what is younger than this moment (now) counts as the transform's own.
    """
    start = start or next(clock)
    outside = recording()
    labels = labels or [f"argument {k}" for k in range(len(primals))]
    leaves, structure = differentiable_leaves(name, primals, labels)
    if tracing():  # so that a variable stands for what the program knows
        leaves = [Tensor(*thread.program.enter(x)) for x in leaves]
    with enable_grad():
        inputs = [variable(x._node if outside else None, x.shape, x.dtype) for x in leaves]
        result = f(*tree.unflatten(structure, [Argument(x._data, node) for x, node in zip(leaves, inputs)]))
    aux = None
    if has_aux:
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{name}: with has_aux the function must return (result, aux), got {tree.describe(result)}")
        result, aux = result
    outs, out_structure = tree.flatten(result)
    for k, (out, place) in enumerate(zip(outs, tree.names(result, "the result"))):
        try:
            outs[k] = as_tensor(out)
        except (TypeError, ValueError):
            raise TypeError(f"{name}: {place} is a {type(out).__name__}, wanted a tensor") from None
    outs = as_results(outs)
    aux_leaves, aux_structure = tree.flatten(aux)
    aux_leaves = as_results(aux_leaves)
    tensors = [x for x in outs + aux_leaves if isinstance(x, Tensor) and x._node is not None]
    foreign = outside and bool(recorded_since(start, [x._node for x in tensors])[1])
    if foreign:
        result, aux = tree.unflatten(out_structure, outs), tree.unflatten(aux_structure, aux_leaves)
    else:
        result = tree.unflatten(out_structure, [x.detach() for x in outs])
        aux = tree.unflatten(aux_structure, [x.detach() if isinstance(x, Tensor) else x for x in aux_leaves])

    def pull(cotangents, keep=True):
        given = [(x._node, g) for x, g in zip(outs, cotangents) if g is not None and x._node is not None]
        differentiable = recording() and (foreign or any(g._node is not None for _, g in given))
        pulled = pull_back(
            [node for node, _ in given],
            [g if differentiable or tracing() else g._data for _, g in given],
            wanted=set(inputs),
            keep=keep or differentiable,
            differentiable=differentiable,
        )
        gradients = [pulled.get(node) for node in inputs]
        return tree.unflatten(structure, [
            zeros_of(node) if g is None else as_tensor(g)
            for node, g in zip(inputs, gradients)
        ])  # fmt: skip

    return result, aux, pull, outs


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
def vjp(f: Callable, *primals, has_aux: bool = False):
    """(f(*primals), pull): pull(u) is u times the Jacobian, a tuple of cotangents like the primals.

    pull wants a cotangent of the structure and shapes of the result (None: no cotangent) and can be called again. With
    has_aux, f returns (result, aux), and (result, pull, aux) comes back.

    Raises TypeError for primals that are not float, ValueError for a cotangent that does not fit.
    """
    result, aux, pull, outs = _vjp("vjp", f, primals, has_aux)
    _, structure = tree.flatten(result)

    def pull_cotangent(cotangent):
        given = tree.flatten_like(structure, cotangent, "vjp: the cotangent")
        return pull(fitting("vjp", given, outs, tree.names(structure, "the cotangent")))

    return (result, pull_cotangent, aux) if has_aux else (result, pull_cotangent)


@checked
def jvp(f: Callable, primals: Sequence, tangents: Sequence):
    """(f(*primals), tangent): the derivative of f along the tangents, of the structure and shapes of the result.

    tangents: like primals; None for zero. The vjp is linear in the cotangent u; its own vjp with respect to u, applied
    to the tangents, is the jvp (Townsend 2017, "A new trick for calculating Jacobian vector products"). An integer
    result has the tangent None.
    """
    start = next(clock)
    primals, tangents = several("jvp", "primals", primals), several("jvp", "tangents", tangents)
    result, _, pull, outs = _vjp("jvp", f, primals)
    leaves, structure = tree.flatten(primals)
    given = tree.flatten_like(structure, tangents, "jvp: tangents")
    given = fitting("jvp", given, [as_tensor(x) for x in leaves], tree.names(structure, "tangents"))
    floats = [x.dtype.kind == "f" for x in outs]
    zeros = [as_tensor(filled(x.shape, x.dtype)) for x, is_float in zip(outs, floats) if is_float]

    def linear(*u):
        u = iter(u)
        return pull([next(u) if is_float else None for is_float in floats])

    _, _, push, _ = _vjp("jvp", linear, zeros, start=start)
    pushed = iter(push(given, keep=False))
    return result, tree.unflatten(tree.flatten(result)[1], [next(pushed) if is_float else None for is_float in floats])


def _chosen(name: str, f: Callable, argnums, args, kwargs):
    """f as a function of the chosen arguments, those arguments, and what to call them."""
    numbers = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    for k in numbers:
        if not is_integer(k):
            raise TypeError(f"{name}: got argnums={described(argnums)}, wanted the number of an argument, or several")
        if not -len(args) <= k < len(args):
            raise ValueError(f"{name}: argnums {argnums}, but there are {len(args)} positional arguments")
    numbers = [int(k) % len(args) for k in numbers]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{name}: argnums {argnums} names an argument twice (of {len(args)}); name it once")

    def of(*chosen):
        given = list(args)
        for k, x in zip(numbers, chosen):
            given[k] = x
        return f(*given, **kwargs)

    return of, [args[k] for k in numbers], [f"argument {k}" for k in numbers]


@checked
def value_and_grad(f: Callable, argnums=0, has_aux: bool = False) -> Callable:
    """The function that returns (f(...), its gradient).

    f: returns a tensor with one element; with has_aux, (that, anything), which comes back as ((value, aux), gradient).
    argnums: the argument to differentiate (an int), or several (a tuple; then the gradient is a tuple). The gradient
    has the structure, shapes and dtypes of the argument.

    Raises TypeError for an argument that is not float or a result that is not a tensor, ValueError for a result that is
    not a scalar.
    """

    @wraps(f)
    def value_and_gradient(*args, **kwargs):
        of, chosen, labels = _chosen("grad", f, argnums, args, kwargs)
        value, aux, pull, _ = _vjp("grad", of, chosen, has_aux, labels)
        if not isinstance(value, Tensor):
            raise TypeError(f"grad: the function must return one scalar tensor, got {tree.describe(value)}")
        if value.size != 1 or value.dtype.kind != "f":
            raise (ValueError if value.size != 1 else TypeError)(
                f"grad: the function must return a float scalar, got {Spec(value.shape, value.dtype)}; "
                "reduce it with sum() or mean(), or use jacobian or vjp"
            )
        gradient = pull([as_tensor(filled(value.shape, value.dtype, 1))], keep=False)
        gradient = gradient if isinstance(argnums, (tuple, list)) else gradient[0]
        return ((value, aux) if has_aux else value), gradient

    return value_and_gradient


@checked
def grad(f: Callable, argnums=0, has_aux: bool = False) -> Callable:
    """The gradient of a scalar function, as a function: `value_and_grad` without the value. With has_aux it returns
    (gradient, aux)."""
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def gradient(*args, **kwargs):
        value, g = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


@checked
def jacobian(f: Callable, argnums=0) -> Callable:
    """The function that returns the Jacobian of f, one backward pass for each element of the result.

    For a tensor result of shape S and a tensor argument of shape A it is a tensor of shape (*S, *A). Nested results
    give a tree of results, each holding the tree of arguments; argnums as in `grad`.
    """

    @wraps(f)
    def jacobian_of(*args, **kwargs):
        of, chosen, labels = _chosen("jacobian", f, argnums, args, kwargs)
        result, _, pull, outs = _vjp("jacobian", of, chosen, labels=labels)
        leaves, structure = tree.flatten(tuple(chosen))
        leaves = [as_tensor(x) for x in leaves]

        def block(k, out):
            rows = []
            for element in range(out.size):
                u = np.zeros(out.shape, out.dtype)
                u.flat[element] = 1
                one_hot = [Tensor(u) if j == k else None for j in range(len(outs))]
                rows.append(tree.flatten(pull(one_hot))[0])
            if rows:
                columns = [reshape(stack(c), (*out.shape, *x.shape)) for c, x in zip(zip(*rows), leaves)]
            else:
                columns = [Tensor(np.zeros((*out.shape, *x.shape), x.dtype)) for x in leaves]
            columns = tree.unflatten(structure, columns)
            return columns if isinstance(argnums, (tuple, list)) else columns[0]

        return tree.unflatten(tree.flatten(result)[1], [block(k, out) for k, out in enumerate(outs)])

    return jacobian_of


@checked
def hessian(f: Callable, argnums=0) -> Callable:
    """The function that returns the second derivatives of a scalar function: jacobian(grad(f))."""
    return jacobian(grad(f, argnums), argnums)


@checked
def hvp(f: Callable, primals: Sequence, tangents: Sequence):
    """The Hessian of the scalar function f at primals, times tangents; a tuple like primals.

    Reverse over reverse: the Hessian is symmetric, so its vjp is its jvp.
    """
    primals, tangents = several("hvp", "primals", primals), several("hvp", "tangents", tangents)
    differentiable_leaves("hvp", primals, [f"argument {k}" for k in range(len(primals))])
    leaves, structure = tree.flatten(primals)
    given = tree.flatten_like(structure, tangents, "hvp: tangents")
    fitting("hvp", given, [as_tensor(x) for x in leaves], tree.names(structure, "tangents"))
    everything = tuple(range(len(primals)))
    return vjp(grad(f, everything), *primals)[1](tangents)


def several(name: str, argument: str, given) -> tuple:
    """The primals or tangents of a transform as a tuple."""
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"{name}: got {argument}={described(given)}, wanted a tuple or list, one each argument of f")
    return tuple(given)
