"""Structural ops take their canonical forms (minigrad/ir/rules), so that the other passes see few of them.

    before                                   after
    a = swapaxes(x, -1, -2)                  a = transpose(x, (1, 0))
    i, f = split(p, 2, axis=-1)              i = p[:, 0:4];  f = p[:, 4:8]
    s = sum_to(g, (4,))                      s = sum(g, axis=(0,))

The vjps have been recorded before: they are those of the ops that were called.
"""

from minigrad.compile.passes.clean import canonical_form, place
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import order_of, rewrite
from minigrad.ir.trace import Pick, Value


def canonicalize(program, roots: list) -> list:
    """The roots, rebuilt; in the bodies of loops too."""
    added: dict = {}  # for each loop, the constants that the forms of its ops brought with them: outside
    for value in order_of(roots):
        if isinstance(value.op, Loop):
            loop, body = value.op, value.op.body
            before, parent = len(body.consts), body.parent
            body.parent = program  # a body that is computed again has another one than where it was recorded
            place(loop, canonicalize(body, loop.outputs))
            body.parent = parent
            added[value] = [outside._data for _, _, outside in body.consts[before:]]
            loop.consts = loop.consts + [inner for inner, _, _ in body.consts[before:]]

    def rule(value, inputs):
        if added.get(value):
            count = len(value.op.consts) - len(added[value])
            return value.of((*inputs[:count], *added[value], *inputs[count:]), program)
        if value.op is Pick:
            return inputs[0][value.params] if isinstance(inputs[0], list) else None
        return None if value.op is None else canonical_form(program, value, inputs)

    became = rewrite(roots, rule)
    return [became[r] if isinstance(r, Value) else r for r in roots]
