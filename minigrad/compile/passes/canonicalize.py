"""Structural ops take their canonical forms (minigrad/ir/rules), so that the other passes see few of them.

    before                                   after
    a = swapaxes(x, -1, -2)                  a = transpose(x, (1, 0))
    i, f = split(p, 2, axis=-1)              i = p[:, 0:4];  f = p[:, 4:8]
    s = sum_to(g, (4,))                      s = sum(g, axis=(0,))

The vjps have been recorded before: they are those of the ops that were called.
"""

from minigrad.compile.passes.cse_dce import canonical_form
from minigrad.ir.loop import Loop
from minigrad.ir.rewrite import rebuilt
from minigrad.ir.trace import Pick, Value


def canonicalize(program, roots: list) -> list:
    """The roots, rebuilt; in the bodies of loops too."""

    def rule(value, inputs):
        if isinstance(value.op, Loop):
            return canonical_loop(program, value, inputs)
        if value.op is Pick:
            return inputs[0][value.params] if isinstance(inputs[0], list) else None
        return None if value.op is None else canonical_form(program, value, inputs)

    return rebuilt(roots, rule)


def canonical_loop(program, value: Value, inputs: tuple) -> Value:
    loop, body = value.op, value.op.body
    count, known, parent = len(loop.consts), len(body.consts), body.parent
    body.parent = program  # a body that is computed again has another one than where it was recorded
    outputs = canonicalize(body, loop.outputs)
    body.parent = parent
    added, body.consts = body.consts[known:], body.consts[:known]  # constants that the forms of its ops brought
    made = loop.with_outputs(outputs).replace(consts=[*loop.consts, *[inner for inner, _, _ in added]])
    return value.of((*inputs[:count], *[outside._data for _, _, outside in added], *inputs[count:]), program, made)
