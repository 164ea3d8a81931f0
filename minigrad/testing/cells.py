"""`check_cell`: what every cell should satisfy, as properties that Hypothesis tries to refute on drawn cases."""

import contextlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minigrad import nn
from minigrad.arguments import Count, checked
from minigrad.testing import derivatives, pointing, properties
from minigrad.testing.runs import Case, Skipped, Trial, Wrong


@dataclass(frozen=True)
class Property:
    """name: as printed. holds: raises Wrong or Skipped. cases: how many are drawn. The rest: what they are made of, and
    what must hold first."""

    name: str
    holds: Callable[[Trial], None]
    cases: int = 12
    dtypes: tuple[str, ...] = ("float32", "float64")
    scales: tuple[float, ...] = (1.0, 0.25, 3.0)
    steps: tuple[int, int] = (1, 4)
    batch: tuple[int, int] = (1, 3)
    compiles: bool = False  # anew for other sizes: one pair has to do
    needs: tuple[str, ...] = ("state shapes", "no change in place", "determinism")  # or else it says nothing


FIRST = "vjp, central differences"
DERIVATIVE: dict[str, Any] = {"dtypes": ("float64",), "scales": (1.0, 0.25, 2.0), "steps": (1, 3), "batch": (1, 2)}
PROPERTIES = [
    Property("state shapes", properties.state_shapes, steps=(1, 3), needs=()),
    Property("no change in place", properties.no_change_in_place, needs=("state shapes",)),
    Property("determinism", properties.determinism, needs=("state shapes", "no change in place")),
    Property("dtypes", properties.dtypes, dtypes=("float32",), scales=(1.0,)),
    Property("batch independence", properties.batch_independence, batch=(2, 4)),
    Property("causality", properties.causality),
    Property("padding invariance", properties.padding_invariance),
    Property(FIRST, derivatives.central_differences, **DERIVATIVE),
    Property("vjp, complex step", derivatives.complex_step, **DERIVATIVE),
    Property("jvp against vjp", derivatives.duality, **DERIVATIVE),
    Property("second derivatives", derivatives.second_derivatives, 6, **DERIVATIVE, needs=(FIRST,)),
    Property("eager against jit", properties.jit, 6, compiles=True),
]


@dataclass(frozen=True)
class Result:
    """What came of a property. ok: whether it held in all cases; a property that does not apply is ok, and `skipped`
    says why. case, what, line: the smallest counterexample, what is wrong there, the op and line that it points at.
    note: what was not checked, and where."""

    name: str
    cases: int = 0
    skipped: str | None = None
    case: Case | None = None
    what: str | None = None
    line: str | None = None
    note: str | None = None

    @property
    def ok(self) -> bool:
        return self.what is None

    def __str__(self) -> str:
        if self.skipped:
            return f"skip  {self.name:26}{self.skipped}"
        if self.ok:
            note = f", {self.note}".replace(os.getcwd() + os.sep, "") if self.note else ""
            return f"ok    {self.name:26}{self.cases} cases{note}"
        lines = [f"FAIL  {self.name:26}{self.case or ''}".rstrip(), self.what or ""]
        if self.line:
            lines.append(f"look at {self.line}")
        return "\n      ".join(lines).replace(os.getcwd() + os.sep, "")


@dataclass(frozen=True)
class Report:
    """Results of all properties; printed, a line each. True if none failed."""

    cell: str
    results: list[Result] = field(default_factory=list)

    def __bool__(self):
        return all(result.ok for result in self.results)

    def __str__(self) -> str:
        return "\n".join(map(str, self.results))


@checked
def check_cell(cell: Callable, *, seed: Count = 0) -> Report:
    """Check what every cell should satisfy; returns a `Report` if all holds.

    cell: a cell that is made, whose sizes are kept, or what makes one, called as cell(input_size, hidden_size), then
    sizes are drawn too. See minigrad.nn.Recurrent for what a cell is. Drawn besides: the number of steps T and the
    batch B, float32 or float64, the scale of x and of the parameters (which are drawn; the cell given is not changed),
    lengths. The cell is in evaluation: dropout passes all. seed: of the draws; equal seeds draw the same.

    The properties: a step returns a state of the structure, shapes and dtypes that it got, also at T = 0 and 1; float32
    gives what float64 gives; nothing is changed in place; the same x gives the same bits; no row of the batch sees
    another; no step sees the future, and nothing but the state goes from step to step; padding changes nothing; the vjp
    is that of central differences and of a complex step (where every op has a complex form); the jvp is the vjp's
    transpose; second derivatives are those of central differences of the vjp; the compiled layer is the eager one.
    A derivative that the cell declares for a step function (a straight-through estimator) is no derivative of it: the
    report says where it is, and the others are checked.
    None can see that a cell is another than you meant: compare its numbers with the paper's or another's for that.

    Raises AssertionError with the report if a property fails: its smallest counterexample, what differs there, and the
    op and the line that it points at. Raises TypeError if no cell comes of `cell`, whatever the sizes.

    Examples
    --------
    >>> bool(mg.testing.check_cell(models.MinGRUCell(2, 3)))
    True
    """
    report = Report(name_of(cell), list(results(cell, seed)))
    if not report:
        raise AssertionError(f"check_cell({report.cell}):\n{report}")
    return report


def name_of(cell) -> str:
    return getattr(cell, "__name__", None) or type(cell).__name__


def results(cell, seed: int = 0, input_size: int | None = None, hidden_size: int | None = None) -> Iterator[Result]:
    """The result of each property as soon as it is there. The sizes are drawn, unless they are given."""
    sizes = None if isinstance(cell, nn.Module) else sizes_of(cell, input_size, hidden_size)
    failed: list[str] = []
    for one in PROPERTIES:
        wanting = [name for name in one.needs if name in failed]
        if wanting:
            failed.append(one.name)
            yield Result(one.name, skipped=f"not tried: {wanting[0]} must hold first")
            continue
        result = refute(one, cell, sizes, seed)
        if not result.ok:
            failed.append(one.name)
        yield result


def sizes_of(make, input_size: int | None, hidden_size: int | None) -> list[tuple[int, int]]:
    """Pairs of input and hidden size for which a cell can be made, the smallest first."""
    inputs = [input_size] if input_size else range(1, 5)
    hidden = [hidden_size] if hidden_size else [1, 2, 3, 4, 6, 8, 16]
    found, reason = [], None
    for pair in sorted(itertools.product(inputs, hidden), key=lambda pair: (sum(pair), pair)):
        try:
            if isinstance(Trial(make, Case(pair, 0, 1, "float32", 1.0, 0)).made(), nn.Module):
                found.append(pair)
        except ValueError as error:  # some want a multiple of a number
            reason = error
    if not found:
        why = f": {reason}" if reason else ", an nn.Module"
        raise TypeError(f"check_cell: {name_of(make)}(input_size, hidden_size) makes no cell{why}")
    return found[:12]


def refute(checked: Property, make, sizes, seed: int) -> Result:
    """Let Hypothesis look for a case in which the property fails, and make it smaller."""
    import hypothesis
    import hypothesis.strategies as st

    if sizes and checked.compiles:
        sizes = [next((pair for pair in sizes if 1 < pair[0] != pair[1] > 1), sizes[-1])]
    cases = st.builds(
        Case, st.sampled_from(sizes) if sizes else st.none(), st.integers(*checked.steps), st.integers(*checked.batch),
        st.sampled_from(checked.dtypes), st.sampled_from(checked.scales), st.integers(0, 99),
    )  # fmt: skip
    known: dict[Case, tuple | None] = {}
    skipped: list[str] = []
    notes: list[str] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=checked.cases, database=None, deadline=None, print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )  # fmt: skip
    @hypothesis.given(cases)
    def holds(case):
        if skipped:
            return
        if case not in known:
            known[case] = outcome(checked, make, case, skipped, notes)
        assert known[case] is None

    with contextlib.suppress(AssertionError), hypothesis_elsewhere():
        holds()
    failed = [case for case, found in known.items() if found]
    if not failed:
        return Result(checked.name, len(known), skipped[0] if skipped else None, note=notes[0] if notes else None)
    smallest = min(failed, key=lambda case: simplicity(case, checked))
    what, line = known[smallest]  # type: ignore[misc]
    if callable(line):
        find, line = line, None
        with contextlib.suppress(Exception):  # a wrong cell may well not run as it did
            line = find()
    return Result(checked.name, len(known), None, smallest, what, line)


@contextlib.contextmanager
def hypothesis_elsewhere() -> Iterator[None]:
    """Hypothesis keeps a few files (of its own, not of what it found) in .hypothesis/ of the working folder: put them
    into a folder that goes away, unless there is one already."""
    from hypothesis import configuration

    home = configuration.storage_directory(intent_to_write=False).home_directory
    if home.exists():
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(home)


def simplicity(case: Case, checked: Property) -> tuple:
    return (case.sizes and sum(case.sizes), case.sizes, case.steps, case.batch, checked.dtypes.index(case.dtype),
            checked.scales.index(case.scale), case.seed)  # fmt: skip


def outcome(checked: Property, make, case: Case, skipped: list[str], notes: list[str]):
    """None if the property holds; else what is wrong and the line that it points at."""
    try:
        with np.errstate(all="ignore"):
            trial = Trial(make, case)
            checked.holds(trial)
            notes += [trial.note] if trial.note else []
    except Wrong as wrong:
        return str(wrong), wrong.line
    except Skipped as reason:
        skipped.append(str(reason))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit as well: it would end the check as if all were well
        return f"{type(error).__name__}: {error}", pointing.line_of(error)
    return None
