"""Elementwise ops: all of them alike."""

from minigrad.ir.rules import batch, partition
from minigrad.ir.rules.rule import Rule

ELEMENTWISE = Rule(batch=batch.elementwise, partition=partition.elementwise)
