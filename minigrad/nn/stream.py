"""`Stream`: a layer one step at a time, as the steps come."""

from typing import Any

from minigrad import tree
from minigrad.modes import no_grad
from minigrad.tensor import as_tensor


class Stream:
    """A layer that is given one step at a time and keeps the state in between: `Recurrent.stream` makes it.

        step = mg.jit(layer).stream(batch)     # compiled once, for all steps
        y = step(x)                            # (batch, input_size) to (batch, output size)
        step.reset()                           # the next step is the first of other sequences

    The outputs are those of the layer over the whole sequence. state: after the last step, laid out as the layer's,
    None before the first; it may be set, to go on from there. steps: how many were taken since it was reset. Nothing
    goes on the tape.

    Examples
    --------
    >>> layer = models.GRU(3, 4)
    >>> stream = layer.stream(batch=2)
    >>> stream(mg.ones((2, 3))).shape, stream(mg.zeros((2, 3))).shape
    ((2, 4), (2, 4))
    """

    def __init__(self, layer, batch: int | None, context):
        self.layer, self.batch = layer, batch
        self.context = tree.map(as_tensor, context)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.state: Any = None
        self.steps = 0

    def __call__(self, x: Any) -> Any:
        layer, x = self.layer, as_tensor(x)
        features = getattr(layer.cells[0], "feature_ndim", 1)
        leading = () if self.batch is None else (self.batch,)
        if x.ndim != len(leading) + features or x.shape[: len(leading)] != leading:
            axes = [*map(str, leading), "input_size", "rows", "columns"][: len(leading) + features]
            raise ValueError(
                f"{type(self).__name__}: got x of shape {x.shape}, wanted that of a step, ({', '.join(axes)}); "
                "another batch wants a stream of its own"
            )
        if layer.training and any(hasattr(cell, "shared") for cell in layer.cells):
            raise RuntimeError(
                f"{type(self).__name__}: masks of dropout that all steps share are drawn anew at each call of the "
                "layer; stream it after layer.eval()"
            )
        axis = int(layer.batch_first and self.batch is not None)
        at = (slice(None),) * axis
        with no_grad():
            output, state = layer(x[(*at, None)], self.state, context=self.context)
            output = tree.map(lambda y: y[(*at, 0)], output)
        self.state = state
        self.steps += 1
        return output

    def __repr__(self) -> str:
        batch = "one sequence" if self.batch is None else f"a batch of {self.batch}"
        return f"Stream({type(self.layer).__name__}, {batch}, {self.steps} steps since it was reset)"
