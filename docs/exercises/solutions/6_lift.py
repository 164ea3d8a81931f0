def lift_within(program, roots):
    o, needed = ops_of(program), set(roots)
    users = {}
    for v in order_of(roots):
        for x in v.inputs:
            users.setdefault(x, []).append(v)
    liftable = {
        v
        for v, slices in users.items()
        if is_elementwise(v) and v not in needed and all(is_part(u) for u in slices)
        if sum([u.size for u in slices]) <= v.size
    }

    def rule(value, inputs):
        if not (is_part(value) and value.inputs[0] in liftable):
            return None
        whole, index = inputs[0], value.params["index"]

        def part(x):
            if not isinstance(x, Value) or x.ndim == 0:
                return x
            own = []
            for k, n, m in zip(index[whole.ndim - x.ndim :], x.shape, whole.shape[whole.ndim - x.ndim :]):
                stretched = n == 1 != m
                own.append((slice(None) if isinstance(k, slice) else 0) if stretched else k)
            return o.getitem(x, index=tuple(own))

        made = whole.of([part(x) for x in whole.inputs], program, shape=value.shape)
        made.recompute = value.recompute
        return made

    return cse_dce(program, rebuilt(roots, rule))
