"""`scan`: a loop over time that carries a state. Eager, it is that loop, on the tape."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import tree
from minigrad.arguments import Count, checked
from minigrad.ir.control import scan as traced_scan
from minigrad.ir.step import in_order, take_step, unchanged
from minigrad.modes import no_grad, thread, tracing
from minigrad.ops.join import stack, unstack
from minigrad.ops.shape import copy
from minigrad.tensor import Tensor, as_tensor
from minigrad.views import as_arguments, as_results


@checked
def scan(f: Callable, init: Any, xs: Any, length: Count | None = None, reverse: bool = False) -> tuple[Any, Any]:
    """Loop `carry, y = f(carry, x)` over the leading axis of xs: the meaning of jax.lax.scan.

    Parameters
    ----------
    f
        The step. It may not change what it is given in place (`h = h + x`, not `h += x`).
    init
        The first carry; f returns first what has its structure, shapes and dtypes.
    xs
        Tensors (T, ...), or None with a length. Both, and y, may be nested tuples, lists and dicts; f is given the
        structure of xs without the leading axis.
    length
        T, where there are no xs.
    reverse
        From the last x to the first; ys keep the order of xs.

    Returns
    -------
    (carry, ys)
        The last carry, and the ys, stacked.

    Raises
    ------
    ValueError
        For xs that disagree in length, for a carry or a y that changes, for no length at all.
    RuntimeError
        For a step that changes its arguments in place.

    Examples
    --------
    >>> total, sums = mg.scan(lambda c, x: (c + x, c + x), 0.0, mg.tensor([1.0, 2.0, 3.0]))
    >>> total.item(), sums.tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    leaves, carry_structure = tree.flatten(init)
    carries = in_order([as_tensor(leaf) for leaf in leaves])
    streams, xs_structure = tree.flatten(xs)
    streams = [as_tensor(leaf) for leaf in streams]
    length = _length(streams, tree.names(xs_structure, "xs"), length)
    if length == 0:
        carries = [copy(c) for c in carries]
        return tree.unflatten(carry_structure, carries), _no_steps(f, carry_structure, carries, xs_structure, streams)
    if tracing() and not thread.program.eager:
        return traced_scan(f, init, xs, length, reverse)
    slices = [unstack(stream) for stream in streams]
    rows: list = [None] * length
    y_structure = ys = None
    for t in reversed(range(length)) if reverse else range(length):
        x = tree.unflatten(xs_structure, as_arguments([stream[t] for stream in slices]))
        carry, y = take_step(f, tree.unflatten(carry_structure, as_arguments(carries)), x, t)
        carries = in_order(unchanged(f, t, "the carry", carry_structure, carries, carry))
        if ys is None:
            ys, y_structure = tree.flatten(y)
            ys = rows[t] = in_order([as_tensor(leaf) for leaf in ys])
        else:
            rows[t] = in_order(unchanged(f, t, "y", y_structure, ys, y))
    return tree.unflatten(carry_structure, as_results(carries)), tree.unflatten(
        y_structure, [stack(r) for r in zip(*rows)]
    )


def _length(streams, places, length: int | None) -> int:
    for stream, place in zip(streams, places):
        if stream.ndim == 0:
            raise ValueError(f"scan: {place} is a scalar, wanted a leading axis to loop over; close over it instead")
    lengths = {place: stream.shape[0] for stream, place in zip(streams, places)}
    if length is not None:
        lengths["length"] = length
    if not lengths:
        raise ValueError("scan: xs holds no tensor, so how many steps to take must be said: length=...")
    first = next(iter(lengths.values()))
    if any(n != first for n in lengths.values()):
        got = ", ".join(f"{place} has {n}" if place != "length" else f"length={n}" for place, n in lengths.items())
        raise ValueError(f"scan: xs must agree in the length of their leading axis: {got}")
    return first


def _no_steps(f, carry_structure, carries, xs_structure, streams):
    """ys of length 0. What f returns is found by running it once, off the tape, on zeros."""
    with no_grad():
        carry = tree.unflatten(carry_structure, [Tensor(c._data) for c in carries])
        x = tree.unflatten(xs_structure, [Tensor(np.zeros(s.shape[1:], s.dtype)) for s in streams])
        carry, y = take_step(f, carry, x)
        unchanged(f, 0, "the carry", carry_structure, carries, carry)
    return tree.map(lambda leaf: Tensor(np.zeros((0, *as_tensor(leaf).shape), as_tensor(leaf).dtype)), y)
