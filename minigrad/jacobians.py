"""Jacobians, Hessians and products with them, of `grad` and `vjp`."""

import operator
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.arguments import checked
from minigrad.modes import thread, tracing
from minigrad.ops.join import stack
from minigrad.ops.shape import reshape
from minigrad.sharing import made_of, whole_of
from minigrad.tensor import Tensor
from minigrad.transforms import _chosen, _numbers, _Run, _with, along, differentiable_leaves, grad, several, vjp
from minigrad.vmap import vmap


@checked
def jacobian(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """The function that returns the Jacobian of f: a backward pass for each element of the result, or, where it is
    jitted or f is, one for all of them at once (`vmap`).

    Parameters
    ----------
    f
        A function of tensors.
    argnums
        As of `grad`.

    Returns
    -------
    Callable
        For a tensor result of shape S and a tensor argument of shape A its result has the shape (*S, *A). Nested
        results give a tree of results, each holding the tree of arguments.

    Examples
    --------
    >>> mg.jacobian(lambda x: x[:2] * x[2])(mg.tensor([1.0, 2.0, 3.0])).tolist()
    [[3.0, 0.0, 1.0], [0.0, 3.0, 2.0]]
    """

    key = "jacobian", repr(argnums)

    @wraps(f)
    def jacobian_of(*args, **kwargs):
        of, chosen, labels = _chosen("jacobian", f, argnums, args, kwargs)
        if (whole := whole_of(f)) is not None:
            leaves, structure = differentiable_leaves("jacobian", chosen, labels)
            args = _with(args, _numbers("jacobian", argnums, len(args)), tree.unflatten(structure, leaves))
            return whole.of(key, lambda f: jacobian(f, argnums))(*args, **kwargs)
        run = _Run("jacobian", of, chosen, labels=labels)

        def block(k, out):
            def row(u):
                return run.pull([u if j == k else None for j in range(len(run.outs))])

            columns = [reshape(c, (*out.shape, *x.shape)) for c, x in zip(rows_of(row, out, run.leaves), run.leaves)]
            columns = tree.unflatten(run.structure, columns)
            return columns if isinstance(argnums, (tuple, list)) else columns[0]

        return tree.unflatten(run.out_structure, [block(k, out) for k, out in enumerate(run.outs)])

    return made_of(f, key, lambda f: jacobian(f, argnums), jacobian_of)


def rows_of(row: Callable, out: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """What `row` makes of the one-hot tensors like `out`, in order, stacked. like: what its leaves are like."""
    size = operator.index(out.size)
    hot = np.eye(size, dtype=out.dtype).reshape(size, *out.shape)
    if not size:
        return [Tensor(np.zeros((0, *x.shape), x.dtype)) for x in like]
    if tracing():  # of a program all rows are one part
        return tree.flatten(vmap(row)(Tensor(*thread.program.enter(hot))))[0]
    return [stack(c) for c in zip(*[tree.flatten(row(Tensor(u)))[0] for u in hot])]


@checked
def hessian(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """The function that returns the second derivatives of a scalar function: jacobian(grad(f)).

    Parameters
    ----------
    f, argnums
        As of `grad`.

    Examples
    --------
    >>> mg.hessian(lambda x: x[0] ** 2 * x[1])(mg.tensor([1.0, 3.0])).tolist()
    [[6.0, 2.0], [2.0, 0.0]]
    """
    return jacobian(grad(f, argnums), argnums)


@checked
def hvp(f: Callable, primals: Sequence, tangents: Sequence) -> tuple[Any, Any]:
    """The Hessian of a scalar function times tangents.

    Reverse over reverse: the Hessian is symmetric, so its vjp is its jvp.

    Parameters
    ----------
    f
        A function with a scalar result.
    primals, tangents
        Its arguments, and a direction like them.

    Returns
    -------
    tuple
        Like primals.

    Examples
    --------
    >>> mg.hvp(lambda x: (x**3).sum(), (mg.tensor([1.0, 2.0]),), (mg.tensor([1.0, 1.0]),))[0].tolist()
    [6.0, 12.0]
    """
    primals, tangents = several("hvp", "primals", primals), several("hvp", "tangents", tangents)
    primals, tangents = along("hvp", primals, tangents)
    if (whole := whole_of(f)) is not None:
        return whole.of(("hvp",), lambda f: lambda *given: hvp(f, *given))(primals, tangents)
    everything = tuple(range(len(primals)))
    return vjp(grad(f, everything), *primals)[1](tangents)
