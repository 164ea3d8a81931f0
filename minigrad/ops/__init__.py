"""The op table. Each op is declared in one place: the file of its family."""

from minigrad.ops import elementwise, index, linalg, reduce, shape  # noqa: F401
from minigrad.ops.table import Elementwise, table  # noqa: F401

Elementwise.namespace["sum_to"] = reduce.sum_to
