"""`check_step`: what every function of a step for `mg.scan` should satisfy, on an example."""

from collections.abc import Callable, Iterator

import numpy as np

from minigrad import tree
from minigrad.arguments import Count, checked, restated
from minigrad.compile.jit import jit
from minigrad.modes import no_grad
from minigrad.nn.stepped import Stepped
from minigrad.scan import scan
from minigrad.tensor import Tensor, as_tensor
from minigrad.testing import pointing
from minigrad.testing.cells import Report, Result
from minigrad.testing.gradients import gradcheck, in_float64, is_float
from minigrad.testing.runs import Wrong, difference, directions, gradients_of, leaf, tolerance


@checked
def check_step(f: Callable, init, xs, *, seed: Count = 0) -> Report:
    """Check what every function of a step should satisfy, f(carry, x) -> (carry, y), as mg.scan(f, init, xs) runs it;
    returns a `Report` if all holds.

    init, xs: an example, whose numbers are taken in float64; so is what f closes over and requires a gradient, tensors
    and parameters of modules, whose derivatives are checked too. seed: of the directions of the derivatives.

    The properties: nothing is changed in place; the same numbers give the same bits; nothing but the carry goes from
    step to step, and none sees the future; vjp and jvp are those of central differences; so are second derivatives; the
    compiled loop is the eager one.

    Raises AssertionError with the report if a property fails; ValueError or TypeError, as mg.scan does, for an example
    that cannot be run and a carry that a step returns in another shape or dtype.

    Examples
    --------
    >>> W = mg.tensor(np.eye(2), requires_grad=True)
    >>> def step(h, x):
    ...     h = mg.tanh(mg.matvec(W, h) + x)
    ...     return h, h
    >>> bool(mg.testing.check_step(step, np.zeros((3, 2)), np.ones((4, 3, 2))))
    True
    """
    try:
        example = StepTrial(f, init, xs, seed)
        with no_grad(), in_float64(example.stepped):
            example.stepped(*example.given())
    except (ValueError, TypeError) as error:
        raise restated(error, f"check_step: {str(error).removeprefix('tensor: ')}") from error
    with in_float64(example.stepped):
        report = Report(getattr(f, "__name__", type(f).__name__), list(results(example)))
    if not report:
        raise AssertionError(f"check_step({report.cell}):\n{report}")
    return report


class StepTrial:
    """A function of a step and its example, in float64."""

    def __init__(self, f, init, xs, seed: int):
        def numbers(x) -> np.ndarray:
            x = as_tensor(x)._data
            return x.astype(np.float64) if is_float(x) else x.copy()

        self.stepped, self.seed = Stepped(f), seed
        self.init, self.xs = tree.map(numbers, init), tree.map(numbers, xs)

    def given(self) -> tuple:
        return tree.map(lambda a: leaf(a) if is_float(a) else Tensor(a), (self.init, self.xs))

    def leaves(self, given) -> list[tuple[str, Tensor]]:
        named = zip([*tree.names(given[0], "init"), *tree.names(given[1], "xs")], tree.flatten(given)[0])
        return [*((name, x) for name, x in named if is_float(x)), *self.stepped.named_parameters()]

    def outputs(self, run, given) -> tuple[list[str], list[Tensor]]:
        carry, ys = run(*given)
        names = [*tree.names(carry, "the carry"), *tree.names(ys, "ys")]
        return names, [as_tensor(y) for y in tree.flatten((carry, ys))[0]]


def no_change_in_place(trial: StepTrial) -> None:
    given = trial.given()
    named = trial.leaves(given)
    before = [x._data.copy() for _, x in named]
    with no_grad():
        trial.stepped(*given)
    apart = difference([name for name, _ in named], before, [x._data for _, x in named])
    if apart:
        raise Wrong(f"the step changes {apart}")


def determinism(trial: StepTrial) -> None:
    names, once = trial.outputs(trial.stepped, trial.given())
    again = trial.outputs(trial.stepped, trial.given())[1]
    apart = difference(names, [y._data for y in once], [y._data for y in again])
    if apart:
        raise Wrong(f"run twice: {apart}")


def causality(trial: StepTrial) -> None:
    init, xs = trial.given()
    names, whole = trial.outputs(trial.stepped, (init, xs))
    T = len(tree.flatten(xs)[0][0])
    for k in range(T + 1):
        carry, first = trial.stepped(init, tree.map(lambda x, k=k: x[:k], xs))
        carry, last = trial.stepped(carry, tree.map(lambda x, k=k: x[k:], xs))
        ys = tree.map(lambda a, b: np.concatenate([as_tensor(a)._data, as_tensor(b)._data]), first, last)
        pieces = [getattr(y, "_data", y) for y in tree.flatten((carry, ys))[0]]
        apart = difference(names, [y._data for y in whole], pieces)
        if apart:
            raise Wrong(f"{T} steps at once, and {k} and then {T - k} from the carry that was left, differ: {apart}")


def derivatives(trial: StepTrial) -> None:
    gradcheck(trial.stepped, (trial.init, trial.xs), seed=trial.seed)


def second_derivatives(trial: StepTrial) -> None:
    gradcheck(trial.stepped, (trial.init, trial.xs), second_order=True, seed=trial.seed)


def compiled(trial: StepTrial) -> None:
    f, arrays = trial.stepped.f, []
    for run in (trial.stepped, jit(lambda init, xs: scan(f, init, xs))):
        rng, given = np.random.default_rng(trial.seed), trial.given()
        names, outputs = trial.outputs(run, given)
        floats = [y for y in outputs if is_float(y)]
        named = trial.leaves(given)
        pulled = gradients_of(floats, [directions(rng, y.shape) for y in floats], [x._node for _, x in named])
        arrays.append([*(y._data for y in outputs), *pulled])
        names = [*names, *(f"the gradient of {name}" for name, _ in named)]
    apart = difference(names, arrays[0], arrays[1], tolerance(np.float64))
    if apart:
        raise Wrong(f"eager and compiled, {apart}")


PROPERTIES: dict[str, Callable[[StepTrial], None]] = {
    "no change in place": no_change_in_place,
    "determinism": determinism,
    "causality": causality,
    "vjp and jvp": derivatives,
    "second derivatives": second_derivatives,
    "eager against jit": compiled,
}
FIRST = ("no change in place", "determinism", "vjp and jvp")  # without which what follows says nothing


def results(trial: StepTrial) -> Iterator[Result]:
    failed = None
    for name, holds in PROPERTIES.items():
        if failed:
            yield Result(name, skipped=f"not tried: {failed} must hold first")
            continue
        try:
            with np.errstate(all="ignore"):
                holds(trial)
            yield Result(name, 1)
        except Exception as error:
            told = str(error) if isinstance(error, (Wrong, AssertionError)) else f"{type(error).__name__}: {error}"
            yield Result(name, 1, what=told, line=None if isinstance(error, Wrong) else pointing.line_of(error))
            failed = name if name in FIRST else failed
