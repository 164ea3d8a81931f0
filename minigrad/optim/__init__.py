"""Optimizers, gradient clipping and learning-rate schedules."""

from minigrad.optim.clip import clip_grad_norm, clip_grad_value
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.rules import SGD, Adagrad, Adam, AdamW, RMSprop
from minigrad.optim.schedules import ReduceOnPlateau, Schedule, cosine, exponential, linear, step_decay, warmup

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "ReduceOnPlateau",
    "Schedule",
    "clip_grad_norm",
    "clip_grad_value",
    "cosine",
    "exponential",
    "linear",
    "step_decay",
    "warmup",
]
