"""The learning-rate finder: the loss while the rate grows from step to step (Smith 2017, arXiv:1506.01186)."""

import math
from typing import NamedTuple

import numpy as np

__all__ = ["LearningRates"]
SMOOTHING = 0.9  # of the losses, whose noise would hide their slope
TOO_LARGE = 4  # times the least loss ends the search


class LearningRates(NamedTuple):
    """What `Trainer.find_lr` found: the rates that were tried, and the loss, smoothed, after a step at each."""

    rates: np.ndarray
    losses: np.ndarray

    @property
    def suggested(self) -> float:
        """Where the loss falls fastest, as the rate grows: a rate to begin with."""
        if len(self.rates) < 3:
            return float(self.rates[0])
        return float(self.rates[np.gradient(self.losses, np.log(self.rates)).argmin()])


def search(step, least: float, most: float, steps: int) -> LearningRates:
    """step: from a number and a rate to the loss there. Ends before `steps` where the loss runs away."""
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    for k in range(steps):
        rate = least * (most / least) ** (k / max(1, steps - 1))
        loss = step(k, rate)
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smooth = mean / (1 - SMOOTHING ** (k + 1))
        if not math.isfinite(loss) or (losses and smooth > TOO_LARGE * abs(min(losses)) + 1e-12):
            break
        rates.append(rate)
        losses.append(smooth)
    if not rates:
        raise ValueError(f"find_lr: the loss is not finite at the least rate, {least}: give a smaller one")
    return LearningRates(np.array(rates), np.array(losses))
