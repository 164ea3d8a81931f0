"""Products of what is looked up in a table, and what is added up by index: with the table's rows in place of those that
are looked up, where the table has fewer.

A row of the table that nobody looks up has no part in any of this, whatever is in it: infinity times zero is NaN.
"""

from typing import Any

from minigrad.ir.rules.shape import is_op
from minigrad.symbolic import key_of


def lined(x):
    """x without what only divides its leading axes in another way."""
    while is_op(x, "reshape") and x.ndim and x.inputs[0].ndim and key_of(x.shape[-1]) == key_of(x.inputs[0].shape[-1]):
        x = x.inputs[0]
    return x


def looked_up(x) -> Any:
    """The lookup of rows in a smaller table, (n, width), whose result x is, its leading axes perhaps divided in another
    way; None if it is none."""
    x = lined(x)
    if not (is_op(x, "embedding") or (is_op(x, "take") and x.params["axis"] == 0)):
        return None
    table, indices = x.inputs
    return x if table.ndim == 2 and table.shape[0] < indices.size else None


def product_of_lookup(o, v, a, b):
    """a[i] @ b as (a @ b)[i]. And g.T @ a[i], the gradient of b, as s.T @ a, with s the rows of g added up by index."""
    if b.ndim != 2 or a.ndim < 2:
        return None
    if (found := looked_up(a)) is not None:
        table, indices = found.inputs
        made = found.of((o.matmul(table, b), indices), shape=(*indices.shape, b.shape[1]))
        return o.reshape(made, shape=v.shape)
    if not (is_op(a, "transpose") and a.ndim == 2):
        return None
    (rows,) = a.inputs
    if (found := looked_up(b)) is not None:
        return o.matmul(o.transpose(added_up(o, rows, found), axes=(1, 0)), known(o, found))
    if (found := looked_up(rows)) is not None:
        return o.matmul(o.transpose(known(o, found), axes=(1, 0)), added_up(o, b, found))
    return None


def added_up(o, g, lookup):
    """The rows of g, one for each index of a lookup, added up by index."""
    table, indices = lookup.inputs
    return by_index(o, g, indices, table.shape[0])


def by_index(o, g, indices, n: int):
    width = g.shape[-1]
    return o.untake(o.reshape(g, shape=(*indices.shape, width)), indices, shape=(n, width), axis=0)


def known(o, lookup):
    """The table of a lookup with zeros in the rows that it does not look up."""
    table, indices = lookup.inputs
    return o.where(is_there(o, indices, table.shape[0], table.dtype), table, 0.0)


def is_there(o, indices, n: int, dtype):
    """(n, 1): whether each index is among these."""
    counts = o.untake(o.astype(o.equal(indices, indices), dtype=dtype), indices, shape=(n,), axis=0)
    return o.reshape(o.greater(counts, 0.0), shape=(n, 1))


def sum_of_products(o, v, g, indices):
    """The rows of d @ w added up by index: the rows of d added up, times w."""
    made = lined(g)
    n = v.shape[0]
    if v.ndim != 2 or v.params["axis"] != 0 or not is_op(made, "matmul") or not n < indices.size:
        return None
    d, w = made.inputs
    if d.ndim < 2 or w.ndim != 2:
        return None
    return o.where(is_there(o, indices, n, v.dtype), o.matmul(by_index(o, d, indices, n), w), 0.0)
