"""A product of a lookup is a lookup of a product, where the table has fewer rows than are looked up.

    before                                   after
    x = embedding(E, i)                      P = matmul(E, W)
    y = matmul(x, W)                         y = embedding(P, i)

An embedding of 96 characters before a cell, at 2,048 places of a text: one product of 96 rows. Backward, cotangents are
added up by index first, which both gradients need, and the products are of 96 rows, too:

    d = matmul(g, V)                         s = untake(g, i, shape=(96, 1024), axis=0)
    e = untake(d, i, shape=(96, 64), axis=0) e = where(is there, matmul(s, V), 0)
    w = matmul(transpose(g), x)              w = matmul(transpose(s), where(is there, E, 0))

Zeros are in the place of rows that are not looked up, since they have no part in it. Outside of loops, where what does
not depend on a carry is by then. How many rows are looked up may be a symbol: which is more is then a guard.
"""

from minigrad.ir.rewrite import rebuilt
from minigrad.ir.rules import rule_of
from minigrad.ir.rules.batch import ops_of


def lookup(program, roots: list) -> list:
    """The roots, rebuilt."""
    o = ops_of(program)
    return rebuilt(roots, lambda value, inputs: rule_of(value.op).of_rows(o, value, *inputs) if value.op else None)
