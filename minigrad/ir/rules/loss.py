"""Losses: a number for each row of logits."""

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.kernel import Python
from minigrad.ir.rules.rule import Rule

RULES = {
    name: Rule(batch=batch.leading, partition=partition.leading, kernel=Python())
    for name in ("softmax_cross_entropy", "softmax_error")
}
