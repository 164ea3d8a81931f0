"""Lengths of padded sequences: what is a step, and what is padding."""

import minigrad as mg


def valid_steps(owner: str, lengths, steps: int, batch: int, least: int = 0, name: str = "lengths"):
    """A bool tensor (steps, batch), True where a sequence of the batch has a step; without lengths, everywhere.

    owner, name: of the function and the argument, for the errors. Raises TypeError for lengths that are no integers,
    ValueError for another number of them than batch, or one that is not from `least` to `steps`.
    """
    if lengths is None:
        return mg.ones((steps, batch), bool)
    lengths = lengths if isinstance(lengths, mg.Tensor) else mg.tensor(lengths)
    if lengths.dtype.kind not in "iu":
        raise TypeError(f"{owner}: got {name} of {lengths.dtype}, wanted integers")
    if lengths.shape != (batch,):
        raise ValueError(f"{owner}: got {name} of shape {lengths.shape}, wanted ({batch},), one for each sequence")
    if not mg.tracing():
        given = lengths.numpy()
        if ((given < least) | (given > steps)).any():
            raise ValueError(f"{owner}: got {name} {given.tolist()}, wanted each from {least} to {steps}")
    return mg.arange(steps)[:, None] < lengths
