"""Exercise 6: a pass of the compiler. Slices of a sum are sums of slices.

    before                                   after
    a = p + z                                i = sigmoid(p[:, :H] + z[:, :H])
    i = sigmoid(a[:, :H])                    f = sigmoid(p[:, H:] + z[:, H:])
    f = sigmoid(a[:, H:])

`rebuilt(roots, rule)` walks a program and asks the rule for each value: rule(value, inputs) gives another value for
it, or None to leave it as it is. You get the values for which the change pays (`liftable`). Left to do is the rule:
of a slice (`is_part(value)`; `value.params["index"]`, complete, an entry an axis) of such a value, make the
elementwise op of the slices. `whole.of(inputs, program, shape=...)` is the op of `whole` with other inputs;
`o.getitem(x, index=...)` makes a slice. Operands broadcast: one may have fewer axes, or an axis of size 1, which is
read as it is; a number (no `Value`) stays.
"""


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
        raise NotImplementedError("exercise 6")

    return cse_dce(program, rebuilt(roots, rule))
