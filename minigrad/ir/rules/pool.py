"""Pooling of images."""

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import Python
from minigrad.ir.rules.rule import Rule

RULES = {name: Rule(batch=batch.images, partition=partition.leading, kernel=Python())
         for name in ("max_pool2d_indices", "pool_sum", "pool_spread")}  # fmt: skip
