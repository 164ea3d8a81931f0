"""Ops that move numbers about, in their canonical forms (minigrad/ir/rules)."""

from minigrad.onnx.graph import same_size
from minigrad.symbolic import Symbolic


def reshape(g, v, x, shape):
    return reshaped(g, x, v.shape)


def reshaped(g, x: str, shape) -> str:
    """Of one size that is not known, Reshape finds it; a 0 in a shape is one to it if told so."""
    symbolic = [k for k, n in enumerate(shape) if isinstance(n, Symbolic)]
    if len(symbolic) == 1 and 0 not in [n for n in shape if type(n) is int]:
        return g.node("Reshape", x, g.sizes([-1 if k in symbolic else n for k, n in enumerate(shape)]))
    return g.node("Reshape", x, g.sizes(shape), allowzero=1)


def broadcast_to(g, v, x, shape):
    """To Expand a 1 is what the operand has."""
    (given,) = v.inputs
    lead = len(v.shape) - len(given.shape)
    before = [*[None] * lead, *given.shape]
    return g.node("Expand", x, g.sizes([1 if same_size(n, m) else n for n, m in zip(v.shape, before)]))


def transpose(g, v, x, axes):
    return g.node("Transpose", x, perm=list(axes))


def concatenate(g, v, *arrays, axis):
    return g.node("Concat", *arrays, axis=axis)


def astype(g, v, x, dtype):
    return g.cast(x, v.dtype)


FORMS = {
    "reshape": reshape, "broadcast_to": broadcast_to, "transpose": transpose, "concatenate": concatenate,
    "astype": astype,
}  # fmt: skip
