"""A run on several ranks: what a `Trainer` does otherwise than in one process."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from minigrad import io, tree
from minigrad.arguments import Size, checked
from minigrad.badinput import BadInput
from minigrad.compile.switch import disable_jit
from minigrad.creation import full_like
from minigrad.distributed.gradients import Gradients
from minigrad.distributed.samples import Draws, own_rows, share
from minigrad.distributed.world import START, broadcast, rank, reduced, reducing, refuse_apart
from minigrad.tensor import Tensor

__all__ = ["Division"]
NEAR = 1e-3  # of what should be equal but for rounding: a hundred times float32's


class Division:
    """How the ranks divide the batch of a step (`mpiexec -n 4 python train.py`).

    The Trainer then calls `batches(step, rows)`, for the arguments of `loss` for the samples `rows`, a slice, of the
    step's batch: a function that draws draws what it draws for the whole batch, and takes the rows of it, so that all
    ranks draw the same. Before the first step a trial on a few samples tells whether the loss of a batch follows from
    those of its parts, or is refused; and where random draws have their samples, which is asked again when batches come
    that have another shape.

    Parameters
    ----------
    examples
        Samples of the batch: a number, or a function of the step.
    terms
        `terms(*batch)`: how many terms the loss is a mean of; by default, the samples.
    trial
        A loss with the same draws and no effects, for the trial, if `loss` has effects (carries a state, say).

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> def batches(step, rows=slice(None)):
    ...     return (x[rows],)
    >>> division = mg.training.Division(64)
    """

    @checked
    def __init__(
        self, examples: Size | Callable[[int], int], terms: Callable | None = None, trial: Callable | None = None
    ):
        self.examples, self.terms, self.trial = examples, terms, trial

    def count(self, step: int) -> int:
        return self.examples(step) if callable(self.examples) else self.examples


class Tried(NamedTuple):
    """What a trial has given: the loss of some samples, its gradient, and of how many terms it is the mean."""

    loss: float
    gradient: np.ndarray
    terms: float


def compare(whole: Tried, parts: list[Tried]) -> None:
    """Raise ValueError unless a loss and its gradient are the means of those of the parts."""
    every = sum(part.terms for part in parts) or 1
    loss = sum(part.loss * part.terms for part in parts) / every
    gradient = sum(part.gradient * (part.terms / every) for part in parts)
    scale = max(float(np.linalg.norm(part.gradient)) for part in (whole, *parts))
    off = float(np.linalg.norm(whole.gradient - gradient)) / (scale or 1)
    if off > NEAR or abs(whole.loss - loss) > NEAR * max(abs(part.loss) for part in (whole, *parts)):
        told = " and ".join(f"{part.loss:.6g} (of {part.terms:g} terms)" for part in parts)
        raise ValueError(
            f"the loss of a few samples is {whole.loss:.6g}, of two parts of them {told}, whose mean is {loss:.6g}; "
            f"gradients differ by {off:.1g}. What mixes the samples of a batch, as BatchNorm does, or is a sum of "
            "means over different things, can be trained in one process"
        )


class Ranks:
    """What the ranks do together in a Trainer's run."""

    def __init__(self, trainer, division: Division | None):
        if division is None:
            raise BadInput("Trainer: a run on several ranks wants `division`, which says how they divide a batch")
        self.trainer, self.division = trainer, division
        self.generators = [part for part in trainer.parts.values() if isinstance(part, np.random.Generator)]
        self.draws: dict[tuple, Draws] = {}  # by the shapes of a batch
        self.draw_at_all = True

    def begin(self) -> None:
        """Every rank begins with what rank 0 has; then the trial."""
        states = broadcast({name: io.state_of(name, part) for name, part in self.trainer.parts.items()})
        self.trainer.best = broadcast(self.trainer.best)
        if rank():
            for name, part in self.trainer.parts.items():
                io.set_state(part, states[name])
        if self.trainer.done < self.trainer.steps:
            self.try_loss(self.trainer.done * self.trainer.accumulate)

    # The trial

    def try_draws(self, step: int, half: int) -> tuple[Draws, "Tried"]:
        """Where a step's draws have their samples, and what a batch of twice `half` samples gives."""
        found: dict[int, Tried] = {}

        def run(n: int) -> None:
            found[n] = self.tried(step, slice(0, n), nullcontext())

        draws = Draws(run, (half, 2 * half))
        return draws, found[2 * half]

    def try_loss(self, step: int) -> None:
        """Whether the loss of a few samples, and its gradient, follow from those of their parts."""
        half = self.half(step)
        try:
            draws, whole = self.try_draws(step, half)
            for cut in {1, half}:
                rows = slice(0, cut), slice(cut, 2 * half)
                compare(whole, [self.tried(step, part, draws.of(part, 2 * half)) for part in rows])
        except (ValueError, IndexError) as error:
            raise BadInput(f"a batch cannot be divided between ranks: {error}") from error
        self.draw_at_all = bool(draws.found)

    def half(self, step: int) -> int:
        count = self.division.count(step)
        if count < 2:
            raise BadInput(f"ranks divide a batch between them, and this one has {count} sample")
        return min(2, count // 2)

    def tried(self, step: int, rows: slice, drawing) -> "Tried":
        """What some rows give; generators, weights, buffers and gradients are set back."""
        before, weights = self.states(), self.trainer.model.state_dict()
        parameters = [p for p in self.trainer.optimizer.parameters if p.requires_grad]
        gradients = [p.grad for p in parameters]
        self.trainer.optimizer.zero_grad()
        try:
            batch = tuple(self.trainer.batches(step, rows))
            with disable_jit(), drawing:
                loss = self.trainer.loss_of(batch, self.division.trial)
                loss.backward(full_like(loss.detach(), 1))
            gradient = [np.zeros(p.size) if p.grad is None else p.grad.numpy().ravel() for p in parameters]
            return Tried(loss.item(), np.concatenate(gradient), self.terms(batch, rows))
        finally:
            for p, g in zip(parameters, gradients):
                p.grad = g
            self.trainer.model.load_state_dict(weights)
            self.set_states(before)

    def states(self) -> list:
        return [generator.bit_generator.state for generator in self.generators]

    def set_states(self, states: list) -> None:
        for generator, state in zip(self.generators, states):
            generator.bit_generator.state = state

    # A step

    def terms(self, batch: tuple, rows: slice) -> float:
        found = self.division.terms(*batch) if self.division.terms else rows.stop - rows.start
        return found.item() if isinstance(found, Tensor) else float(found)

    def batch_of(self, k: int, rows: slice) -> tuple[tuple, Any]:
        """This rank's samples of a batch, and the context in which its loss draws for them."""
        before = self.states()
        batch = tuple(self.trainer.batches(k, rows))
        if not self.draw_at_all:
            return batch, nullcontext()
        kind = tuple([getattr(x, "shape", None) for x in tree.flatten(batch)[0]])
        if kind not in self.draws:
            after = self.states()
            self.set_states(before)
            self.draws[kind], _ = self.try_draws(k, self.half(k))
            self.set_states(after)
        return batch, self.draws[kind].of(rows, self.division.count(k))

    def gradients(self, step: int) -> float:
        """As the Trainer's: the gradients of all ranks' shares, and the loss of all.

        What a rank without a sample computes counts for nothing.
        """
        n, total = self.trainer.accumulate, 0.0
        gradients = Gradients([p for p in self.trainer.optimizer.parameters if p.requires_grad])
        for k in range(step * n, step * n + n):
            count = self.division.count(k)
            rows = own_rows(count)
            batch, drawing = self.batch_of(k, rows)
            terms = self.terms(batch, rows) if rows == share(count) else 0.0
            every = reducing(terms, what="the number of terms")  # meanwhile the loss is computed
            with drawing:
                loss = self.trainer.loss_of(batch)
                weight = terms / (float(every()) or 1) / n
                if not weight:
                    continue
                if k % n == n - 1:  # which draws again, where it computes again
                    gradients.backward(loss, weight)
                else:
                    loss.backward(Tensor(np.full(loss.shape, weight, loss.dtype)))
            total += weight * loss.item()
        return float(gradients.finish([total])[0])

    # What all have to agree on

    def agree(self) -> None:
        """A signal that one rank got, or a reason to stop, is that of all."""
        trainer = self.trainer
        trainer.signal, stop = reduced(
            np.array([trainer.signal, bool(trainer.reason)]), "max", "the next step"
        ).tolist()
        if stop:
            trainer.reason = trainer.reason or "another rank is to stop"

    def of_first(self, value: Any) -> Any:
        """Rank 0's value."""
        return broadcast(value, "the evaluation")

    def save(self) -> bool:
        """Compare the weights; whether this rank is to save."""
        refuse_apart(self.trainer.model.state_dict(), self.trainer.done)
        if rank():
            for name, part in self.trainer.parts.items():  # of what the ranks have a part each, all bring theirs
                io.state_of(name, part)
        return rank() == 0

    def saved(self) -> None:
        """Wait for rank 0, which has a checkpoint to write and hooks to call that the others have not."""
        reduced(0.0, what="the checkpoint", patience=START)
