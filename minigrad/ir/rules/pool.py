"""Pooling of images."""

from minigrad.ir.rules import batch
from minigrad.ir.rules.rule import Rule

RULES = {name: Rule(batch=batch.images) for name in ("max_pool2d_indices", "pool_sum", "pool_spread")}
