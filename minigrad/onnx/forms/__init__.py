"""The ONNX form of each op, a file a family as in minigrad/ops.

A form is one of

    a function      (g, v, *names, **params) -> the name of the result that it has written into the Graph g
    Composed(f)     f(o, v, *inputs, **params) -> the value, or the values, in whose form it is written
    Without(why)    ONNX has none; the error on export says why

An elementwise op needs none: its expression is read (minigrad/onnx/expressions.py). Nor does an op whose rule
(minigrad/ir/rules) says by which others it enters a program (`canonical`), or of what kernels make it in a loop
(`lower`). All else is in the table of its family; a test fails for an op of which none of this is true.
"""

from minigrad.ir.rules import RULES
from minigrad.onnx.expressions import elementwise
from minigrad.onnx.forms import along, conv, index, linalg, neural, pool, product, reduce, shape
from minigrad.onnx.forms.form import Composed, Without
from minigrad.ops.pointwise import Elementwise
from minigrad.ops.table import table

FORMS = {
    name: form
    for family in (along, conv, index, linalg, neural, pool, product, reduce, shape)
    for name, form in family.FORMS.items()
}


def of_expression(g, v, *names):
    return elementwise(g, v, names)


def form_of(op):
    """The form of an op; None if it has none."""
    name = getattr(op, "name", "")
    if name in FORMS or table.get(name) is not op:
        return FORMS.get(name)
    if isinstance(op, Elementwise):
        return of_expression
    rule = RULES.get(name)
    return Composed(rule.lower) if rule and rule.lower else None


__all__ = ["FORMS", "Composed", "Without", "form_of"]
