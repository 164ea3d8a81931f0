"""What holds for every cell. Each property is a function of a `Trial` that raises `Wrong` where it does not hold."""

import numpy as np

from minigrad import nn, tree
from minigrad.compile.jit import jit as compiled_by_jit
from minigrad.modes import no_grad
from minigrad.nn import Recurrent
from minigrad.tensor import Tensor
from minigrad.testing import pointing
from minigrad.testing.runs import (
    Run,
    Trial,
    Wrong,
    difference,
    gradients_of,
    layer_outputs,
    leaf,
    leaves_of,
    rounding,
    tolerance,
)  # fmt: skip


def state_shapes(trial: Trial) -> None:
    """A step returns a state of the structure, shapes and dtypes of the one that it got, an output of (B, ...) in x's
    dtype, and a layer of the cell has as many outputs as steps, none of none."""
    cell = trial.cell()
    watcher = pointing.Recorder()
    with watcher:
        run = Run(cell, leaf(trial.x), watcher=watcher)
    other = next((node for node, a, _ in watcher.entries if a.dtype != trial.dtype), None)
    line = pointing.described(other) if other else None
    before, structure = tree.flatten(run.before)
    after, now = tree.flatten(run.state)
    if structure != now:
        raise Wrong(f"a step got the state {tree.describe(run.before)} and returned {tree.describe(run.state)}", line)
    for name, old, new in zip(tree.names(run.state, "the state"), before, after):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            if new._node is not None and old.dtype == new.dtype:
                line = pointing.described(new._node)
            raise Wrong(f"{name} was {old.dtype}{list(old.shape)}, a step returned {new.dtype}{list(new.shape)}", line)
        if new.shape[:1] != (trial.case.batch,):
            raise Wrong(f"{name} is {new.dtype}{list(new.shape)}, wanted a first axis of the batch, {trial.case.batch}")
    for k, y in enumerate(run.outputs[: trial.case.steps]):
        if y.shape[:1] != (trial.case.batch,) or y.dtype != trial.dtype:
            raise Wrong(
                f"{run.names[k]} is {y.dtype}{list(y.shape)}, wanted {trial.dtype}[{trial.case.batch}, ...]", line
            )
    for steps in (0, 1):
        (output, *_), _ = layer_outputs(Recurrent(cell), Tensor(Trial(trial.make, trial.case._replace(steps=steps)).x))
        if output.shape[:2] != (steps, trial.case.batch):
            raise Wrong(f"the output of {steps} steps has shape {output.shape}")


def dtypes(trial: Trial) -> None:
    """Results are of x's dtype, and those of float32 are those of float64, rounded."""
    cell, x = trial.cell(), leaf(trial.x)
    watcher = pointing.Recorder()
    with watcher:
        run = Run(cell, x, watcher=watcher)
    other = next((node for node, a, _ in watcher.entries if a.dtype != trial.dtype), None)
    if other:
        raise Wrong(f"an op makes {other.dtype} of {trial.dtype}", pointing.described(other))
    wide = Trial(trial.make, trial.case._replace(dtype="float64"))
    run64 = Run(wide.cell(), leaf(wide.x))
    apart = difference(run.names, [a.astype(float) for a in run64.arrays], run.arrays, 1e-3)
    if apart:
        raise Wrong(f"of float64 and float32, {apart}")


def no_change_in_place(trial: Trial) -> None:
    """A step leaves its input, its state and the parameters as they were."""
    cell, x = trial.cell(), Tensor(trial.x.copy())
    with no_grad():
        state = Run(trial.cell(), Tensor(trial.x.copy())).state  # no zeros, which some changes leave as they are
        named = [("x", x)] + list(zip(tree.names(state, "the state"), tree.flatten(state)[0]))
        named += [(f"parameter {name}", p) for name, p in cell.named_parameters()]
        before = [t._data.copy() for _, t in named]
        Run(cell, x, state)
        apart = difference([name for name, _ in named], before, [t._data for _, t in named])
        if apart:
            for _, t in named:
                t._data = t._data.copy()
                t._data.flags.writeable = False
            line = None
            try:
                Run(cell, x, state)
            except (ValueError, RuntimeError) as error:
                line = pointing.line_of(error)
            raise Wrong(f"the cell changes {apart}", line)


def determinism(trial: Trial) -> None:
    """The same x gives the same bits again, whatever the cell has seen in between."""
    cell = trial.cell()
    held = attributes(cell)
    first = pointing.recorded(cell, trial.x)
    kept = what_changed(held, cell)
    run = Run(cell, leaf(trial.x))
    for text, other in (("run twice", cell), ("of a cell that has seen x before and one that has not", trial.cell())):
        apart = difference(run.names, run.arrays, Run(other, leaf(trial.x)).arrays)
        if apart:
            line = pointing.first_difference(first, pointing.recorded(cell, trial.x))
            raise Wrong(f"{text}: {apart}{kept}", line)


def attributes(cell) -> dict:
    """What a cell and the modules in it hold, by name: arrays as their bytes, the rest as text."""
    return {
        f"{name}.{key}".lstrip("."): value.tobytes() if isinstance(value, np.ndarray) else repr(value)
        for name, module in cell.named_modules()
        for key, value in ((key, getattr(value, "_data", value)) for key, value in vars(module).items())
        if not isinstance(value, nn.Module)
    }


def what_changed(held: dict, cell) -> str:
    """What a cell holds now and did not hold before, as a part of a sentence."""
    now = attributes(cell)
    names = [name for name in now if held.get(name) != now[name]]
    return "; a call changes " + ", ".join(f"self.{name}" for name in names) if names else ""


def batch_independence(trial: Trial) -> None:
    """A row of the batch sees nothing of the others: changing one changes no other's outputs and gradients, and each
    alone gives what it gives among the others."""
    B, rng = trial.case.batch, np.random.default_rng(trial.case.seed)
    cell = trial.cell()
    row = int(rng.integers(B))
    changed = trial.x.copy()
    changed[:, row] = trial.input(rng)[:, row]
    others = [b for b in range(B) if b != row]
    other = trial.cell(changed=row)
    run, after = Run(cell, leaf(trial.x)), Run(other, leaf(changed))
    rtol = tolerance(trial.dtype)

    def rows(arrays, which):
        return [a[which] for a in arrays]

    apart = difference(run.names, rows(run.arrays, others), rows(after.arrays, others), rtol)
    if apart:
        line = pointing.first_difference(
            pointing.recorded(cell, trial.x), pointing.recorded(other, changed), pointing.only_row(row, B)
        )
        raise Wrong(f"changing row {row} of x changes another: of the others, {apart}", line)
    alone = Run(trial.cell([row]), leaf(trial.x[:, [row]]))
    apart = difference(run.names, rows(run.arrays, [row]), alone.arrays, rtol)
    if apart:
        raise Wrong(f"row {row} of x, among the others and alone, gives different results: {apart}")
    x = leaf(trial.x)
    outputs = Run(cell, x).outputs
    cotangents = [np.where((np.arange(B) == row).reshape(-1, *[1] * (v.ndim - 1)), v, 0).astype(v.dtype)
                  for v in trial.cotangents(outputs)]  # fmt: skip
    (gradient,) = gradients_of(outputs, cotangents, [x._node])
    leaked = np.abs(gradient[:, others]).max(initial=0)
    if not leaked <= rtol * np.abs(gradient).max(initial=0):
        finder = pointing.FirstLeak(row, B, x._node, outputs)
        with finder:
            gradients_of(outputs, cotangents, [x._node])
        raise Wrong(f"a cotangent for row {row} alone gives another row a gradient, up to {leaked:.6g}", finder.line)


def causality(trial: Trial) -> None:
    """No step sees a later one, and the state is all that one hands to the next: going on from it with another cell of
    the same parameters gives what going through gives."""
    T, rng = trial.case.steps, np.random.default_rng(trial.case.seed)
    k = int(rng.integers(1, T + 1))
    changed = trial.x.copy()
    changed[k:] = trial.input(rng)[k:]
    cell = trial.cell()
    run = Run(cell, leaf(trial.x))
    after = Run(cell, leaf(changed))
    apart = difference(run.names[:k], run.arrays[:k], after.arrays[:k])
    if apart:
        cell = trial.cell()
        line = pointing.first_difference(
            pointing.recorded(cell, trial.x), pointing.recorded(cell, changed), lambda _, step: step >= k
        )
        raise Wrong(f"changing x from step {k} on changes what came before: {apart}", line)
    cell = trial.cell()
    held = attributes(cell)
    run = Run(cell, leaf(trial.x))
    start = Run(trial.cell(), leaf(trial.x[:k]))
    end = Run(trial.cell(), leaf(trial.x[k:]), start.state)
    pieces = start.arrays[:k] + end.arrays
    apart = difference(run.names, run.arrays, pieces)
    if apart:
        raise Wrong(
            f"{T} steps at once, and {k} and then {T - k} from the state that was left, differ: {apart}"
            f"{what_changed(held, cell) or '; more than the state goes from step to step'}"
        )


def padding_invariance(trial: Trial) -> None:
    """What is behind the end of a sequence, be it NaN, changes no output, state or gradient; they are those of the
    sequence alone."""
    rng = np.random.default_rng(trial.case.seed)
    lengths = rng.integers(0, trial.case.steps + 1, trial.case.batch)
    padded = np.arange(trial.case.steps)[:, None] >= lengths
    layer = Recurrent(trial.cell())

    def gradients(x, lengths=None, layer=layer):
        x = leaf(x)
        outputs, names = layer_outputs(layer, x, lengths)
        named = leaves_of(layer, x)
        cotangents = [np.ones(y.shape, y.dtype) for y in outputs]
        arrays = [y._data for y in outputs] + gradients_of(outputs, cotangents, [p._node for _, p in named])
        return arrays, [*names, *(f"the gradient of {name}" for name, _ in named)]

    zeros, garbage = trial.x.copy(), trial.x.copy()
    zeros[padded], garbage[padded] = 0, np.nan
    given = f"lengths {lengths.tolist()}"
    with pointing.FirstNaN() as nan:
        before, names = gradients(zeros, lengths)
    after, _ = gradients(garbage, lengths)
    apart = difference(names, before, after)
    if apart:
        raise Wrong(f"{given}: with NaN in place of 0 as padding, {apart}", nan.line)
    alone = [gradients(trial.x[:n, [b]], None, Recurrent(trial.cell([b])))[0] for b, n in enumerate(lengths)]
    for b, n in enumerate(lengths):
        outputs = [before[0][:n, [b]], *[a[:, [b]] for a in before[1 : -len(leaves_of(layer, Tensor(zeros)))]]]
        apart = difference(names[: len(outputs)], alone[b][: len(outputs)], outputs, tolerance(trial.dtype))
        if apart:
            raise Wrong(f"{given}: row {b} alone, and in the batch: {apart}")
    first = len(before) - len(leaves_of(layer, Tensor(zeros))) + 1  # of the parameters' gradients
    summed = [sum(gradient) for gradient in zip(*[a[first:] for a in alone])]
    apart = difference(names[first:], summed, before[first:], tolerance(trial.dtype))
    if apart:
        atol = rounding(lambda: gradients(zeros, lengths)[0], layer)[first:]
        apart = difference(names[first:], summed, before[first:], tolerance(trial.dtype), atol)
    if apart:
        raise Wrong(f"{given}: of the rows alone, added, and of the batch: {apart}", nan.line)


def jit(trial: Trial) -> None:
    """A compiled layer of the cell gives the results and gradients of the uncompiled one."""
    cell = trial.cell()
    layer = Recurrent(cell)

    def arrays(run):
        x = leaf(trial.x)
        outputs, _ = layer_outputs(run, x)
        nodes = [p._node for _, p in leaves_of(cell, x)]
        return [y._data for y in outputs] + gradients_of(outputs, trial.cotangents(outputs), nodes)

    eager, compiled = arrays(layer), arrays(compiled_by_jit(layer))
    names = layer_outputs(layer, leaf(trial.x))[1]
    names += [f"the gradient of {name}" for name, _ in leaves_of(cell, leaf(trial.x))]
    apart = difference(names, eager, compiled, tolerance(trial.dtype))
    if apart:
        apart = difference(names, eager, compiled, tolerance(trial.dtype), rounding(lambda: arrays(layer), cell))
    if apart:
        raise Wrong(f"eager and compiled, {apart}", lambda: pointing.unlike_compiled(trial))
