"""That a cell's derivatives are right, in float64. Each property is a function of a `Trial`, as in properties.py."""

import contextlib

import numpy as np

from minigrad.modes import no_grad
from minigrad.tensor import Tensor
from minigrad.testing import pointing
from minigrad.testing.complexstep import STEP, NoComplexForm, complex_numbers
from minigrad.testing.declared import Declared
from minigrad.testing.gradients import inner, pulled_back
from minigrad.testing.runs import (
    EPS,
    Run,
    Skipped,
    Trial,
    Wrong,
    directions,
    gradients_of,
    leaf,
    leaves_of,
    values_of,
)  # fmt: skip
from minigrad.transforms import jvp, vjp

DECLARED = "but for the derivative declared for a step function, at"


def agrees(products, quotients, noise=0.0) -> bool:
    """Whether a derivative, the sum of the products, is that of two difference quotients, as far as they can tell."""
    slack = 1e-9 + noise + 1e-6 * np.abs(products).sum() + 2 * abs(quotients[0] - quotients[1])
    return bool(abs(products.sum() - quotients[1]) <= slack)


def central_differences(trial: Trial) -> None:
    """The vjp of x and of each parameter, against central differences of two widths along a random direction."""
    cell, x = trial.cell(), leaf(trial.x)
    outputs = Run(cell, x).outputs
    v, named = trial.cotangents(outputs), leaves_of(cell, x)
    noise = 1e-10 * sum(np.abs(y._data).sum() for y in outputs)
    rng = np.random.default_rng([trial.case.seed, 3])

    def quotient(p, u, eps, held=contextlib.nullcontext):
        ends = []
        for end in (p._data + eps * u, p._data - eps * u):
            with no_grad(), values_of([p], [end]), held():
                ends.append(Run(cell, x).arrays)
        return sum(np.sum(a * (b - c)) for a, b, c in zip(v, *ends)) / (2 * eps)

    for (name, p), g in zip(named, gradients_of(outputs, v, [p._node for _, p in named])):
        u = directions(rng, p.shape)
        if agrees(g * u, [quotient(p, u, EPS), quotient(p, u, EPS / 2)], noise):
            continue
        with no_grad():
            declared = Declared(lambda: Run(cell, x))
        if declared.any:
            held = declared.held
            if agrees(g * u, [quotient(p, u, EPS, held), quotient(p, u, EPS / 2, held)], noise):
                trial.note = f"{DECLARED} {declared.line}"
                continue
        places = list(np.ndindex(p.shape))
        units = [np.eye(p.size)[k].reshape(p.shape) for k in range(p.size)]
        numeric = [quotient(p, unit, EPS) for unit in units]
        k = int(np.argmax([abs(g[i] - n) for i, n in zip(places, numeric)]))
        raise Wrong(
            f"the derivative with respect to {name}, element {places[k]}: the vjp gives {g[places[k]]:.8g}, "
            f"central differences {numeric[k]:.8g}",
            lambda: pointing.wrong_vjp(trial, name, lambda products, quotients: agrees(products, quotients, noise)),
        )


def complex_step(trial: Trial) -> None:
    """The vjp of x and of each parameter, against a complex step along a random direction."""
    cell, x = trial.cell(), leaf(trial.x)
    outputs = Run(cell, x).outputs
    v, named = trial.cotangents(outputs), leaves_of(cell, x)
    gradients = gradients_of(outputs, v, [p._node for _, p in named])
    rng = np.random.default_rng([trial.case.seed, 3])
    tensors = [p for _, p in named]
    for k, (name, p) in enumerate(named):
        u = directions(rng, p.shape)
        given = [t._data.astype(complex) for t in tensors]
        given[k] = given[k] + 1j * STEP * u
        try:
            with no_grad(), complex_numbers(), values_of(tensors, given):
                arrays = Run(cell, x).arrays
        except NoComplexForm as reason:
            raise Skipped(str(reason)) from reason
        except TypeError as reason:
            raise Skipped("the cell makes tensors of its own inside a step, and none is complex") from reason
        exact = sum(np.sum(a * b.imag) for a, b in zip(v, arrays)) / STEP
        products = gradients[k] * u
        if not abs(products.sum() - exact) <= 1e-12 + 1e-9 * np.abs(products).sum():
            with no_grad():
                declared = Declared(lambda: Run(cell, x))
            if declared.any:
                raise Skipped(f"a derivative is declared for a step function, at {declared.line}")
            raise Wrong(
                f"the derivative with respect to {name} along a direction: the vjp gives {products.sum():.12g}, "
                f"a complex step {exact:.12g}",
                lambda: pointing.wrong_vjp(trial, name, agrees),
            )


def function_of(cell, x: Tensor):
    """(f, its arguments): the outputs of a run as a function of x and the parameters."""
    tensors = [p for _, p in leaves_of(cell, x)]

    def f(*given):
        with values_of(tensors, given):
            return [y for y in Run(cell, x).outputs if y.dtype.kind == "f"]

    return f, [Tensor(p._data) for p in tensors]


def duality(trial: Trial) -> None:
    """<v, jvp(u)> = <vjp(v), u>: forward mode is the transpose of reverse mode."""
    f, given = function_of(trial.cell(), leaf(trial.x))
    rng = np.random.default_rng([trial.case.seed, 4])
    u = [Tensor(directions(rng, p.shape)) for p in given]
    outputs, tangents = jvp(f, given, u)
    v = [Tensor(a) for a in trial.cotangents(outputs)]
    _, pull = vjp(f, *given)
    pulled = list(pull(v))
    forward, reverse = inner(v, tangents), inner(pulled, u)
    if not abs(forward - reverse) <= 1e-9 * (1 + sum(np.abs(a._data * b._data).sum() for a, b in zip(pulled, u))):
        raise Wrong(f"<v, jvp(u)> is {forward:.10g}, <vjp(v), u> is {reverse:.10g}", lambda: pointing.not_linear(trial))


def second_derivatives(trial: Trial) -> None:
    """The derivative of <w, vjp(v)> with respect to x and each parameter, against central differences of the vjp."""
    cell, x = trial.cell(), leaf(trial.x)
    named = leaves_of(cell, x)
    nodes = [p._node for _, p in named]
    rng = np.random.default_rng([trial.case.seed, 5])
    w = [directions(rng, p.shape) for _, p in named]
    outputs = Run(cell, x).outputs
    v = trial.cotangents(outputs)
    kept = [(y, a) for y, a in zip(outputs, v) if y._node is not None]
    first = pulled_back([y for y, _ in kept], [("", Tensor(a)) for _, a in kept], named)
    noise = 1e-9 * sum(np.abs(a * g._data).sum() for a, g in zip(w, first))
    for (name, p), g in zip(named, gradients_of(first, w, nodes)):
        u = directions(rng, p.shape)

        def quotient(eps, held=contextlib.nullcontext):
            ends = []
            for end in (p._data + eps * u, p._data - eps * u):
                with values_of([p], [end]):
                    with held():
                        outputs = Run(cell, x).outputs
                    ends.append(gradients_of(outputs, v, nodes))
            return sum(np.sum(a * (b - c)) for a, b, c in zip(w, *ends)) / (2 * eps)

        quotients = [quotient(EPS), quotient(EPS / 2)]
        if not agrees(g * u, quotients, noise):
            declared = Declared(lambda: Run(cell, x))
            if declared.any and agrees(g * u, [quotient(EPS, declared.held), quotient(EPS / 2, declared.held)], noise):
                trial.note = f"{DECLARED} {declared.line}"
                continue
            raise Wrong(
                f"the second derivative with respect to {name} along a direction: the vjp of the vjp gives "
                f"{(g * u).sum():.8g}, central differences of the vjp {quotients[1]:.8g}",
                lambda: pointing.wrong_vjp(trial, name, agrees, second=True),
            )
