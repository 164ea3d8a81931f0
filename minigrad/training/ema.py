"""An exponential moving average of a module's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad.arguments import Fraction, checked
from minigrad.nn.module import Module, fit

__all__ = ["EMA"]


class EMA:
    """The exponential moving average of a module's weights: often better on new data than the weights of any one step.

    At update n (from 0) the average becomes d average + (1 - d) weights, d = min(decay, (1 + n) / (10 + n)), so that
    the first weights are soon forgotten.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> ema = mg.training.EMA(layer, 0.99)
    >>> ema.update()  # after each step of the optimizer
    >>> with ema.applied():  # the layer has the averaged weights
    ...     y = layer(mg.ones((1, 2)))
    """

    @checked
    def __init__(self, model: Module, decay: Fraction = 0.999):
        self.model, self.decay = model, decay
        self.count = 0
        self.average = model.state_dict()

    def update(self) -> None:
        """Take the weights of now into the average."""
        d = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        for name, weights in self.model.state_dict().items():
            self.average[name] += (1 - d) * (weights - self.average[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While this lasts the module has the averaged weights."""
        weights = self.model.state_dict()
        self.model.load_state_dict(self.average)
        try:
            yield
        finally:
            self.model.load_state_dict(weights)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, **{f"average.{name}": array.copy() for name, array in self.average.items()}}

    @checked
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set what `state_dict` returned. Raises ValueError for anything else; then nothing has been changed."""
        arrays = self.check_state_dict(state)
        self.count = arrays.pop("count").item()
        self.average = {name.removeprefix("average."): array.copy() for name, array in arrays.items()}

    def check_state_dict(self, state: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The state as arrays. Raises what `load_state_dict` would raise, and changes nothing."""
        wanted = {"count": np.zeros((), int), **{f"average.{name}": array for name, array in self.average.items()}}
        arrays, _, _ = fit(wanted, state, "EMA")
        if not all(np.isfinite(array).all() for array in arrays.values()) or arrays["count"] < 0:
            raise ValueError("load_state_dict of EMA: an average is not finite, or the count is below 0")
        return arrays
