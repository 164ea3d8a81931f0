"""`gradcheck`: the gradients of a function against central differences."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager

import numpy as np

from minigrad import modes, tape, tree
from minigrad.arguments import Count, Finite, checked
from minigrad.tensor import Tensor, as_array
from minigrad.transforms import jvp


@checked
def gradcheck(
    f: Callable, inputs, *, eps: Finite = 1e-5, rtol: Finite = 1e-6, atol: Finite = 1e-8, second_order: bool = False,
    seed: Count = 0,
) -> bool:  # fmt: skip
    """Check the gradients of f against central differences, in float64; True if they agree.

    f: called as f(*inputs); returns a tensor or a nested structure of tensors. A Module's parameters are checked too.
    inputs: a tensor or an array, or a sequence of arguments, each of which may be nested tuples, lists and dicts. What
    is float becomes a float64 copy and is checked; the rest is passed as it is.

    With a random cotangent v and each element x of the inputs, the vjp must equal
    <v, f(x + eps) - f(x - eps)> / (2 eps) within atol + rtol |the difference quotient|; and with a random tangent u,
    <v, jvp(u)> = <vjp(v), u>. With second_order the same is checked of the function (inputs, v) -> vjp(v). Keep the
    inputs away from kinks: there is no derivative for the difference quotient to approach.

    Raises AssertionError naming input, element, both values and the ops that take the input; also if two calls of f
    differ (randomness inside). Raises ValueError for an eps that is not between 0 and 1 or an input that is not finite,
    TypeError if f returns no float tensor, or one that is not float64.

    Examples
    --------
    >>> mg.testing.gradcheck(lambda x, y: (x * mg.tanh(y)).sum(), [np.ones(3), np.ones(3)], second_order=True)
    True
    """
    rng = np.random.default_rng(seed)
    arguments = (inputs,) if isinstance(inputs, (Tensor, np.ndarray, float)) else tuple(inputs)
    values, structure = tree.flatten(arguments)
    values = [Tensor(np.array(as_array(x), np.float64)).requires_grad_() if is_float(x) else x for x in values]
    where = [k for k, x in enumerate(values) if is_float(x)]
    names = tree.names(arguments, "inputs")
    if not 0 < eps < 1:
        raise ValueError(f"gradcheck: got eps={eps}, wanted a small number above 0, such as 1e-5")
    for k in where:
        if not np.isfinite(values[k]._data).all():
            raise ValueError(f"gradcheck: {names[k]} holds NaN or infinity, of which there is no difference quotient")

    def of(*xs) -> list[Tensor]:
        given = list(values)
        for k, x in zip(where, xs):
            given[k] = x
        return float_tensors(f(*tree.unflatten(structure, given)))

    with in_float64(f) as parameters:
        xs = [values[k] for k in where]
        leaves = [(names[k], x) for k, x in zip(where, xs)] + parameters
        if not leaves:
            raise TypeError("gradcheck: there is no float input to check")

        def outputs():
            return of(*xs)

        check(outputs, leaves, rng, eps, rtol, atol, "")
        if xs:
            check_duality(of, xs, rng, rtol, atol)
        if second_order:
            cotangents = [(f"cotangent {k}", random_like(y, rng).requires_grad_()) for k, y in enumerate(outputs())]
            check(
                lambda: pulled_back(outputs(), cotangents, leaves), leaves + cotangents, rng, eps, rtol, atol, "second "
            )
    return True


def check(outputs: Callable[[], list[Tensor]], leaves, rng, eps, rtol, atol, order: str) -> None:
    """Compare the vjp of `outputs` with its difference quotients, over every element of the leaves."""
    results, again = outputs(), outputs()
    if any(not np.array_equal(y._data, z._data, equal_nan=True) for y, z in zip(results, again, strict=True)):
        raise AssertionError("gradcheck: two calls of the function differ; give it a generator with a fixed seed")
    v = [random_like(y, rng) for y in results]
    roots = [(y._node, g._data) for y, g in zip(results, v) if y._node is not None]
    if not roots:
        raise AssertionError("gradcheck: the result does not depend on the inputs by way of the tape")
    gradients = tape.pull_back(*zip(*roots), wanted=[x._node for _, x in leaves], keep=True)  # type: ignore[misc]
    for name, x in leaves:
        gradient = gradients.get(x._node, np.zeros(x.shape))
        if gradient.shape != x.shape:
            raise AssertionError(f"gradcheck: {name} of shape {x.shape} got a gradient of shape {gradient.shape}")
        for index in np.ndindex(x.shape):
            numeric = difference_quotient(outputs, v, x, index, eps)
            analytic = gradient[index]
            if not abs(analytic - numeric) <= atol + rtol * abs(numeric):
                takers = [n for n in tape.tape_of([root for root, _ in roots]) if x._node in n.inputs]
                raise AssertionError(
                    f"gradcheck: wrong {order}derivative with respect to {name}, element {index}: the vjp gives "
                    f"{analytic!s}, central differences {numeric!s} (rtol={rtol}, atol={atol}). This input is taken by "
                    + ("; ".join(f"{n.op.name} at {n.line}" for n in takers) or "no op on the tape")
                )


def difference_quotient(outputs, cotangents, x: Tensor, index, eps: float) -> float:
    """Derivative of <cotangents, outputs()> with respect to x[index], by central differences."""
    value = x._data[index]
    ends = []
    for end in (value + eps, value - eps):
        with modes.no_grad():
            x[index] = end
        ends.append((end, [y._data.copy() for y in outputs()]))  # a copy: a result may be a view of x
    with modes.no_grad():
        x[index] = value
    (above, plus), (below, minus) = ends
    return sum(np.sum(v._data * (p - m)) for v, p, m in zip(cotangents, plus, minus)) / (above - below)


def check_duality(f, xs: list[Tensor], rng, rtol, atol) -> None:
    """<v, jvp(u)> = <vjp(v), u>: forward mode is the transpose of reverse mode."""
    u = [random_like(x, rng) for x in xs]
    ys, tangents = jvp(f, xs, u)
    v = [random_like(y, rng) for y in ys]
    gradients = pulled_back(f(*xs), [("", g) for g in v], [("", x) for x in xs])
    forward, reverse = inner(v, tangents), inner(gradients, u)
    if not abs(forward - reverse) <= atol + rtol * abs(reverse):
        raise AssertionError(f"gradcheck: <v, jvp(u)> is {forward}, but <vjp(v), u> is {reverse}; they must be equal")


def inner(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> float:
    return float(sum(np.sum(x._data * y._data) for x, y in zip(xs, ys, strict=True)))


def pulled_back(results: list[Tensor], cotangents, leaves) -> list[Tensor]:
    """Gradients of <cotangents, results> with respect to the leaves, themselves on the tape."""
    roots = [(y._node, v) for y, (_, v) in zip(results, cotangents) if y._node is not None]
    wanted = [x._node for _, x in leaves]
    found = tape.pull_back(*zip(*roots), wanted=wanted, keep=True, differentiable=True)  # type: ignore[misc]
    return [found.get(x._node, Tensor(np.zeros(x.shape))) for _, x in leaves]


def random_like(x: Tensor, rng) -> Tensor:
    """Numbers between 1/2 and 3/2 of either sign: none is so small that an error would hide in it."""
    return Tensor(np.asarray(rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1.0, 1.0], x.shape)))


def is_float(x) -> bool:
    return type(x) is float or (isinstance(x, (Tensor, np.ndarray, np.generic)) and x.dtype.kind == "f")


def float_tensors(result) -> list[Tensor]:
    found = [y for y in tree.flatten(result)[0] if isinstance(y, Tensor) and is_float(y)]
    if not found:
        raise TypeError("gradcheck: the function returned no float tensor")
    for y in found:
        if y.dtype != np.float64:
            raise TypeError(f"gradcheck: the function returned {y.dtype} for float64 inputs; it must keep their dtype")
    return found


@contextmanager
def in_float64(f):
    """The parameters of a Module, by name, as float64 leaves for as long as the context lasts; none for a function."""
    parameters = list(f.named_parameters()) if hasattr(f, "named_parameters") else []
    before = [(p, p._data, p._node) for _, p in parameters]
    try:
        for _, p in parameters:
            p._data, p._node = p._data.astype(np.float64), None
            p.requires_grad_()
        yield [(f"parameter {name}", p) for name, p in parameters]
    finally:
        for p, data, node in before:
            p._data, p._node = data, node
