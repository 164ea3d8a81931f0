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
    slices = [unstack(stream) for stream in streams]
    rows, y_structure, first = {}, None, None
    for t in reversed(range(length)) if reverse else range(length):
        x = tree.unflatten(xs_structure, as_arguments([stream[t] for stream in slices]))
        carry, y = take_step(f, tree.unflatten(carry_structure, as_arguments(carries)), x, t)
        carries = unchanged(f, t, "the carry", carry_structure, carries, carry)
        if first is None:
            first, y_structure = tree.flatten(y)
            first = [as_tensor(leaf) for leaf in first]
        rows[t] = unchanged(f, t, "y", y_structure, first, y)
    ys = [stack([rows[t][k] for t in range(length)]) for k in range(len(first))]
    return tree.unflatten(carry_structure, as_results(carries)), tree.unflatten(y_structure, ys)
