"""Exercise 5: the loop over time, `mg.scan`, as eager code runs it.

Call `carry, y = f(carry, x)` for each x along the leading axis of xs (from the last one, if `reverse`), and give the
last carry and the ys, stacked in the order of xs. All of them may be nested: `leaves, structure = tree.flatten(x)`,
`tree.unflatten(structure, leaves)`. These are there, as in minigrad/scan.py: `as_tensor`, `stack(tensors)`,
`unstack(tensor)`, `_length(leaves, names, length)` and `_no_steps(...)`, for no step at all; `take_step(f, carry, x,
t)` calls f and refuses what it may not do, `unchanged(f, t, "the carry", structure, before, after)` gives the leaves
of what a step returned, and refuses other structures, shapes and dtypes. The way the library begins is left standing,
with the case of a traced function, which is the compiler's.
"""


def scan(f, init, xs, length=None, reverse=False):
    leaves, carry_structure = tree.flatten(init)
    carries = [as_tensor(leaf) for leaf in leaves]
    streams, xs_structure = tree.flatten(xs)
    streams = [as_tensor(leaf) for leaf in streams]
    length = _length(streams, tree.names(xs_structure, "xs"), length)
    if length == 0:
        carries = [copy(c) for c in carries]
        return tree.unflatten(carry_structure, carries), _no_steps(f, carry_structure, carries, xs_structure, streams)
    if tracing() and not thread.program.eager:
        return traced_scan(f, init, xs, length, reverse)
    raise NotImplementedError("exercise 5")
