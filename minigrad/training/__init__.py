"""Training that can be reused: the loop with its checkpoints and logs, batches, learning rates, averages of weights."""

from minigrad.training.batches import Batches, pad
from minigrad.training.ema import EMA
from minigrad.training.hooks import CSV, Curves, EarlyStopping, Hook, Progress, TensorBoard
from minigrad.training.ranks import Division
from minigrad.training.rates import LearningRates
from minigrad.training.trainer import RunError, Stopped, Trainer

__all__ = [
    "CSV",
    "EMA",
    "Batches",
    "Curves",
    "Division",
    "EarlyStopping",
    "Hook",
    "LearningRates",
    "Progress",
    "RunError",
    "Stopped",
    "TensorBoard",
    "Trainer",
    "pad",
]
